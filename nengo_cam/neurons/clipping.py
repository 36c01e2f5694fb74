"""Neurons with a largest output, for clipped ReLU, and which of them stands for which neurons without."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.dists import Choice
from nengo.neurons import NeuronType, RectifiedLinear
from numpy.typing import ArrayLike, NDArray

from .integrate_and_fire import IntegrateAndFire, SignedIntegrateAndFire
from .params import MaxValueParam
from .sigma_delta import SigmaDelta

__all__ = ["ClippedIntegrateAndFire", "ClippedRectifiedLinear", "SignedClippedIntegrateAndFire", "clipped"]


class ClippedRectifiedLinear(RectifiedLinear):
    r"""Rectified-linear rate neuron with a largest output, as ``tf.keras.layers.ReLU(max_value)``.

    .. math:: \text{output} = \min(a \max(0, J), m)

    with the input current :math:`J`, the amplitude :math:`a` and the largest output :math:`m`. The rate at which the
    output is clipped, :math:`m / a`, grows as the amplitude is divided, so that scaling of firing rates (gain
    multiplied, amplitude divided) leaves the output as it is.

    Parameters
    ----------
    max_value : float or array_like of shape (n_neurons,)
        Largest output [the unit of the activation it stands for], of all neurons or of each; must be positive.
    amplitude : float
        Output per unit of input [the unit of the activation it stands for]; must be positive.
    initial_state : dict
        Has no use here: there is no state.

    Raises
    ------
    nengo.exceptions.ValidationError
        If a parameter is out of its range.
    """

    max_value = MaxValueParam("max_value")

    def __init__(self, max_value: ArrayLike, amplitude: float = 1, initial_state: dict[str, Any] | None = None) -> None:
        super().__init__(amplitude, initial_state=initial_state)
        self.max_value = max_value

    def step(self, dt: float, J: NDArray, output: NDArray) -> None:
        """Compute the output, in place; see `nengo.neurons.NeuronType.step`."""
        super().step(dt, J, output)
        np.minimum(output, self.max_value, out=output)


class ClippedIntegrateAndFire(IntegrateAndFire):
    r"""Integrate-and-fire neuron with a largest mean output: the spiking twin of `ClippedRectifiedLinear`.

    It integrates as `IntegrateAndFire` does, and is allowed :math:`m / a` spikes per second, where :math:`m` is the
    largest output and :math:`a` the amplitude. What is allowed and not used yet, :math:`q`, is kept:

    .. math::

        v &\leftarrow v + J \Delta t, \quad q \leftarrow q + (m / a) \Delta t \\
        n &= \max(0, \lfloor \min(v, q) \rfloor) \\
        v &\leftarrow v - n, \quad q \leftarrow q - n \\
        \text{output} &= n \, a / \Delta t

    Over time the mean output tends to :math:`\min(a \max(0, \bar J), m)` for the mean input :math:`\bar J`, and at no
    time was it larger than :math:`m` by more than half a spike.

    Clipping the current before it is integrated would give the mean of the clipped current, which is smaller than the
    clipped mean wherever the input fluctuates, as rectifying gives a larger one. So the upper bound mirrors the lower:
    voltage that may not be fired is kept without limit, and so is allowance that was not used. Measured with normally
    distributed input of mean :math:`m / a` and three times that as its standard deviation at each step, the mean output
    after 2000 steps is .97 :math:`m`; with the voltage bounded by one threshold .95, with unused allowance forgotten
    besides .65, with the current clipped less than .01. The price: a neuron that was driven beyond its clip for a while
    goes on firing for a while, as one that was inhibited stays silent, if no ``floor`` ends that.

    Parameters
    ----------
    max_value : float or array_like of shape (n_neurons,)
        Largest mean output [the unit of the activation it stands for], of all neurons or of each; must be positive.
    amplitude : float
        Output per spike and second [the unit of the activation it stands for]; must be positive.
    initial_state : dict of {str: nengo.dists.Distribution or array_like}
        ``{"voltage": ...}`` and ``{"allowance": ...}`` override the initial voltage and allowance [spikes]; half a
        threshold and half a spike round both counts to the nearest number.
    floor : float or None
        Lowest voltage that a step leaves [thresholds]; not positive. None is no bound.

    Raises
    ------
    nengo.exceptions.ValidationError
        If a parameter is out of its range.

    Notes
    -----
    In `nengo_dl.Simulator` it runs as TensorFlow operations, and is trained through its rate form.
    """

    state = {"voltage": Choice([0.5]), "allowance": Choice([0.5])}  # noqa: RUF012 (Nengo declares state so)

    max_value = MaxValueParam("max_value")

    def __init__(
        self,
        max_value: ArrayLike,
        amplitude: float = 1,
        initial_state: dict[str, Any] | None = None,
        floor: float | None = None,
    ) -> None:
        super().__init__(amplitude, initial_state=initial_state, floor=floor)
        self.max_value = max_value

    def rates(self, x: ArrayLike, gain: ArrayLike, bias: ArrayLike) -> NDArray:
        """Compute firing rates by the rate form; see `nengo.neurons.NeuronType.rates`."""
        return np.minimum(super().rates(x, gain, bias), self.max_value)

    def step(self, dt: float, J: NDArray, output: NDArray, voltage: NDArray, allowance: NDArray) -> None:
        """Advance the neurons by one time step, in place; see `nengo.neurons.NeuronType.step`."""
        voltage += J * dt
        allowance += self.max_value / self.amplitude * dt
        n_spikes = np.maximum(np.floor(np.minimum(voltage, allowance)), 0)
        output[:] = (self.amplitude / dt) * n_spikes
        voltage -= n_spikes
        allowance -= n_spikes
        self._keep_above_floor(voltage)


class SignedClippedIntegrateAndFire(SignedIntegrateAndFire):
    r"""Integrate-and-fire neuron that takes spikes back, with a largest mean output.

    `SignedIntegrateAndFire` with the allowance of `ClippedIntegrateAndFire`, to which a spike taken back returns:
    :math:`n = \lfloor \min(v, q) \rfloor` where :math:`v \geq 0`. With :math:`\theta = 0` the spike count is the
    rounded integral of the input, at least 0 and at most the rounded number of spikes that are allowed, at every step.

    Parameters
    ----------
    max_value : float or array_like of shape (n_neurons,)
        Largest mean output [the unit of the activation it stands for], of all neurons or of each; must be positive.
    amplitude : float
        Output per spike and second [the unit of the activation it stands for]; must be positive.
    negative_threshold : float
        Voltage below zero at which a spike is taken back, :math:`\theta` [thresholds]; not negative.
    initial_state : dict of {str: nengo.dists.Distribution or array_like}
        ``{"voltage": ...}`` and ``{"allowance": ...}`` override the initial voltage and allowance [spikes].
    memory : int or None
        How many spikes at most can be taken back, and how many thresholds of inhibition are remembered; at least 1.
        None is no bound.

    Raises
    ------
    nengo.exceptions.ValidationError
        If a parameter is out of its range.
    """

    state = {**SignedIntegrateAndFire.state, "allowance": Choice([0.5])}  # noqa: RUF012 (Nengo declares state so)

    max_value = MaxValueParam("max_value")

    def __init__(
        self,
        max_value: ArrayLike,
        amplitude: float = 1,
        negative_threshold: float = 0.5,
        initial_state: dict[str, Any] | None = None,
        memory: int | None = None,
    ) -> None:
        super().__init__(amplitude, negative_threshold, initial_state=initial_state, memory=memory)
        self.max_value = max_value

    def rates(self, x: ArrayLike, gain: ArrayLike, bias: ArrayLike) -> NDArray:
        """Compute firing rates by the rate form; see `nengo.neurons.NeuronType.rates`."""
        return np.minimum(super().rates(x, gain, bias), self.max_value)

    def step(
        self, dt: float, J: NDArray, output: NDArray, voltage: NDArray, spike_count: NDArray, allowance: NDArray
    ) -> None:
        """Advance the neurons by one time step, in place; see `nengo.neurons.NeuronType.step`."""
        voltage += J * dt
        allowance += self.max_value / self.amplitude * dt
        taken_back = np.minimum(np.floor(voltage + self.negative_threshold), 0)
        fired = np.floor(np.minimum(voltage, allowance))
        n_spikes = np.where(voltage < 0, np.maximum(taken_back, -spike_count), fired)
        output[:] = (self.amplitude / dt) * n_spikes
        voltage -= n_spikes
        spike_count += n_spikes
        allowance -= n_spikes
        self._forget(voltage, spike_count)


def clipped(neurons: NeuronType, max_value: ArrayLike) -> NeuronType | None:
    """Make the neurons that stand for a clipped ReLU where others stand for plain ReLU.

    Parameters
    ----------
    neurons : nengo.neurons.NeuronType
        What stands for plain ReLU.
    max_value : float or array_like of shape (n_neurons,)
        Largest output of the clipped ReLU, for amplitude 1; must be positive.

    Returns
    -------
    nengo.neurons.NeuronType or None
        The clipped twin with the other parameters of ``neurons``; None if their type has none.

    Raises
    ------
    nengo.exceptions.ValidationError
        If the largest output is not positive.
    """
    kind = type(neurons)
    if kind not in _CLIPPED:
        return None
    twin, names = _CLIPPED[kind]
    options = {name: getattr(neurons, name) for name in ("amplitude", "initial_state", *names)}
    max_value = np.multiply(max_value, neurons.amplitude)
    if getattr(neurons, "max_value", None) is not None:
        # Neurons that are clipped already stay so.
        max_value = np.minimum(max_value, neurons.max_value)
    return twin(max_value=max_value, **options)


#: By type, the clipped twin and the parameters besides those that all types have. A subclass is not covered.
_CLIPPED = {
    RectifiedLinear: (ClippedRectifiedLinear, ()),
    IntegrateAndFire: (ClippedIntegrateAndFire, ("floor",)),
    SignedIntegrateAndFire: (SignedClippedIntegrateAndFire, ("negative_threshold", "memory")),
    SigmaDelta: (SigmaDelta, ("bits", "quantum", "threshold")),
}
