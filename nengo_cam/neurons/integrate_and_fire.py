"""Spiking rectified-linear neurons whose membrane integrates negative input."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.dists import Choice
from nengo.neurons import RectifiedLinear
from nengo.params import IntParam, NumberParam
from numpy.typing import ArrayLike, NDArray

from .params import FiniteNumberParam

__all__ = ["IntegrateAndFire", "SignedIntegrateAndFire"]


class IntegrateAndFire(RectifiedLinear):
    r"""Spiking rectified-linear neuron whose membrane also integrates negative input.

    At each time step of length :math:`\Delta t` the input current :math:`J` moves the membrane voltage, and whole
    thresholds leave it as spikes (reset by subtraction, [1]_, sec. 2.1):

    .. math::

        v &\leftarrow v + J \Delta t \\
        n &= \max(0, \lfloor v \rfloor) \\
        v &\leftarrow v - n \\
        \text{output} &= n \, a / \Delta t

    with the amplitude :math:`a`. Over time the mean output tends to :math:`a \max(0, J)`, the neuron's rate form.

    `nengo.SpikingRectifiedLinear` rectifies :math:`J` *before* it integrates. That makes no difference for constant
    input, but the input of all layers but the first is made of spikes and fluctuates, and the mean of the rectified
    current is larger than the rectified mean current. Each layer adds such a bias, and after a few layers a converted
    CNN answers at chance, with every array in its place. A membrane that integrates negative current too pays back
    what it fired too much. Nothing is lost by it: the voltage has no lower bound, so a neuron that was inhibited for a
    while stays silent for a while. Where input moves, that while is a lag. A ``floor`` shortens it, below which the
    voltage does not stay, :math:`v \leftarrow \max(v, f)` after the spikes; with several hundred steps it lets some of
    the bias back in.

    The voltage starts at half the threshold, which rounds the spike count of constant input to the nearest number
    instead of down ([2]_: the best start in expectation), and not at a random value as Nengo's neurons do.

    Parameters
    ----------
    amplitude : float
        Output per spike and second [the unit of the activation it stands for]; must be positive.
    initial_state : dict of {str: nengo.dists.Distribution or array_like}
        ``{"voltage": ...}`` overrides the initial voltage [thresholds]: ``nengo.dists.Uniform(0, 1)`` starts as
        `nengo.SpikingRectifiedLinear` does.
    floor : float or None
        Lowest voltage that a step leaves, :math:`f` [thresholds]; not positive. None is no bound.

    Raises
    ------
    nengo.exceptions.ValidationError
        If a parameter is out of its range.

    Notes
    -----
    In `nengo_dl.Simulator` it runs as TensorFlow operations, and is trained through its rate form.

    References
    ----------
    .. [1] Rueckauer et al. (2017). Conversion of Continuous-Valued Deep Networks to Efficient Event-Driven Networks
       for Image Classification. Frontiers in Neuroscience 11:682.
    .. [2] Bu et al. (2022). Optimized Potential Initialization for Low-latency Spiking Neural Networks. AAAI.
       arXiv:2202.01440.

    Examples
    --------
    Inhibition that comes first is not forgotten, as it is by a neuron that rectifies its input:

    >>> import nengo
    >>> def n_spikes(neurons):
    ...     state, output, total = neurons.make_state(1, np.random.RandomState(0)), np.zeros(1), 0
    ...     state["voltage"][:] = 0
    ...     for current in (-500.0, 500.0) * 10:
    ...         neurons.step(0.001, np.array([current]), output, state["voltage"])
    ...         total += float(output[0]) * 0.001
    ...     return round(total)
    >>> n_spikes(ncam.IntegrateAndFire()), n_spikes(nengo.SpikingRectifiedLinear())
    (0, 5)
    """

    state = {"voltage": Choice([0.5])}  # noqa: RUF012 (Nengo declares state so)
    spiking = True

    floor = FiniteNumberParam("floor", high=0, optional=True)

    def __init__(
        self, amplitude: float = 1, initial_state: dict[str, Any] | None = None, floor: float | None = None
    ) -> None:
        super().__init__(amplitude, initial_state=initial_state)
        self.floor = floor

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load a pickle, which has no ``floor`` if it was made before there was one."""
        super().__setstate__({"floor": None, **state})

    def rates(self, x: ArrayLike, gain: ArrayLike, bias: ArrayLike) -> NDArray:
        """Compute firing rates by the rate form; see `nengo.neurons.NeuronType.rates`."""
        current = self.current(x, gain, bias)
        out = np.zeros_like(current)
        RectifiedLinear.step(self, dt=1.0, J=current, output=out)
        return out

    def step(self, dt: float, J: NDArray, output: NDArray, voltage: NDArray) -> None:
        """Advance the neurons by one time step, in place; see `nengo.neurons.NeuronType.step`."""
        voltage += J * dt
        n_spikes = np.maximum(np.floor(voltage), 0)
        output[:] = (self.amplitude / dt) * n_spikes
        voltage -= n_spikes
        self._keep_above_floor(voltage)

    def _keep_above_floor(self, voltage: NDArray) -> None:
        if self.floor is not None:
            np.maximum(voltage, self.floor, out=voltage)


class SignedIntegrateAndFire(IntegrateAndFire):
    r"""Integrate-and-fire neuron that takes spikes back, down to a spike count of zero.

    It integrates as `IntegrateAndFire` does, and remembers how many spikes :math:`c` it has sent. When the voltage
    falls below :math:`-\theta`, negative spikes leave it, but never more than were sent before [1]_:

    .. math::

        v &\leftarrow v + J \Delta t \\
        n &= \begin{cases}
            \lfloor v \rfloor & v \geq 0 \\
            \max(-c, \min(0, \lfloor v + \theta \rfloor)) & v < 0
        \end{cases} \\
        v &\leftarrow v - n, \quad c \leftarrow c + n \\
        \text{output} &= n \, a / \Delta t

    The count never falls below zero, so that the mean output still tends to :math:`a \max(0, J)`.

    Where input moves, all that was ever sent may be taken back, and a long inhibition is paid back, before the neuron
    fires again. A ``memory`` of :math:`M` spikes bounds both, after the spikes:

    .. math::

        c \leftarrow \min(c, M), \quad v \leftarrow \max(v, -M) \text{ if } c = 0

    The neuron then answers a change sooner; :math:`\theta = 1/4` and :math:`M = 2` are a good choice for networks of up
    to some fifteen layers. In deeper ones neurons fire more in the first steps than two spikes make up for: the maps of
    MobileNet correlate .25 with the CNN's after 50 steps, without a bound .79.

    What `IntegrateAndFire` fired too much in the first milliseconds, when spikes of the layers below arrive unevenly,
    it can only make up for by silence, over a long time. Here it is taken back at once. The right class is found
    sooner, and in deep networks at all, at the price of spikes with a sign and of a counter in every neuron. With
    :math:`\theta = 0` the spike count is the rounded integral of the input at every step, the fastest and the most
    restless code; with a larger threshold fewer spikes are sent and taken back again. docs/calibration.md has figures.

    Parameters
    ----------
    amplitude : float
        Output per spike and second [the unit of the activation it stands for]; must be positive.
    negative_threshold : float
        Voltage below zero at which a spike is taken back, :math:`\theta` [thresholds]; not negative.
    initial_state : dict of {str: nengo.dists.Distribution or array_like}
        ``{"voltage": ...}`` overrides the initial voltage [thresholds].
    memory : int or None
        How many spikes at most can be taken back, and how many thresholds of inhibition are remembered, :math:`M`; at
        least 1. None is no bound.

    Raises
    ------
    nengo.exceptions.ValidationError
        If a parameter is out of its range.

    Notes
    -----
    With an infinite negative threshold it is `IntegrateAndFire`.

    References
    ----------
    .. [1] Wang et al. (2022). Signed Neuron with Memory: Towards Simple, Accurate and High-Efficient ANN-SNN
       Conversion. IJCAI.
    """

    state = {"voltage": Choice([0.5]), "spike_count": Choice([0])}  # noqa: RUF012 (Nengo declares state so)
    negative = True

    negative_threshold = NumberParam("negative_threshold", low=0)

    memory = IntParam("memory", low=1, optional=True)

    def __init__(
        self,
        amplitude: float = 1,
        negative_threshold: float = 0.5,
        initial_state: dict[str, Any] | None = None,
        memory: int | None = None,
    ) -> None:
        super().__init__(amplitude, initial_state=initial_state)
        self.negative_threshold = negative_threshold
        self.memory = memory

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load a pickle, which has no ``memory`` if it was made before there was one."""
        super().__setstate__({"memory": None, **state})

    def step(self, dt: float, J: NDArray, output: NDArray, voltage: NDArray, spike_count: NDArray) -> None:
        """Advance the neurons by one time step, in place; see `nengo.neurons.NeuronType.step`."""
        voltage += J * dt
        taken_back = np.minimum(np.floor(voltage + self.negative_threshold), 0)
        n_spikes = np.where(voltage < 0, np.maximum(taken_back, -spike_count), np.floor(voltage))
        output[:] = (self.amplitude / dt) * n_spikes
        voltage -= n_spikes
        spike_count += n_spikes
        self._forget(voltage, spike_count)

    def _forget(self, voltage: NDArray, spike_count: NDArray) -> None:
        if self.memory is not None:
            np.minimum(spike_count, self.memory, out=spike_count)
            # With spikes left to take back the voltage is above the negative threshold already.
            np.maximum(voltage, np.where(spike_count > 0, -np.inf, -self.memory), out=voltage)
