"""Neurons that send how far their activity has moved from the level that they have told."""

# ruff: noqa: RUF012 (Nengo declares state so)

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.dists import Choice
from nengo.neurons import RectifiedLinear
from nengo.params import IntParam
from numpy.typing import ArrayLike, NDArray

from .params import FiniteNumberParam, MaxValueParam

__all__ = ["SigmaDelta"]


class SigmaDelta(RectifiedLinear):
    r"""Rectified-linear neuron that keeps the level it has told others, and sends a spike when it has moved away.

    The level :math:`c` is a whole number of quanta :math:`q`. At each time step the input current :math:`J` says where
    it should be, and what is missing is rounded and sent as one signed spike, if it is not too small to be worth it:

    .. math::

        g &= \min(\max(J, 0), m / a) \\
        e &= g / q - c \\
        s &= \begin{cases}
            1 & \text{graded} \\
            2^{\max(k - p + 1, 0)}, \quad k = \lfloor \log_2 \max(|e|, 1) \rfloor & p \text{ bits}
        \end{cases} \\
        n &= \begin{cases}
            0 & |e| < \theta \\
            \mathrm{sign}(e)\, s\, \lfloor |e| / s + 1/2 \rfloor & \text{else}
        \end{cases} \\
        c &\leftarrow c + n \\
        \text{output} &= a\, q\, c

    with the amplitude :math:`a` and the largest output :math:`m`, if there is one. What travels is :math:`n`, an event
    where it is not 0; receivers add up what they get ([1]_, [2]_), so that the *output* is the level as they hold it.
    It is read at a step and not averaged over steps, and the time step does not enter. With constant input a neuron is
    within :math:`\theta` quanta of its activity after a few steps, and silent from then on.

    A network of neurons that send equal spikes, read by counting, is at best the CNN with its activities rounded to
    :math:`r\, T \Delta t` levels after :math:`T` steps at the firing rate :math:`r`, and deep networks need hundreds of
    levels. Here a spike is worth as much as the activity has moved. The firing rate that a network is scaled to becomes
    a resolution: strong activity of 200 Hz is 200 quanta of 1 Hz.

    Where the input moves, a level forgets what it told as soon as that is wrong, and a network follows without a lag: a
    graded one in the step that shows a change, one of :math:`p` bits within as many steps as a level takes to be told,
    which in deep networks is some. Where nothing moves, nothing is sent. docs/calibration.md has figures.

    Parameters
    ----------
    bits : int or None
        Significant bits of the size of a spike, :math:`p`. 1: a power of two, which a receiver applies by a shift
        instead of a multiplication. 2: that or one and a half of it. None: any whole number of quanta (graded); the
        network then is the CNN with rounded activities, driven by events, from the first step on. The fewer bits, the
        more steps until the level is reached; with 1 it may pass its goal, and zero, for a step.
    quantum : float
        What the level is counted in, :math:`q` [Hz, before the amplitude]; must be positive.
    threshold : float
        Distance from the level at which a spike is sent, :math:`\theta` [quanta]; must be larger than .5, where a
        neuron halfway between two levels would go to and fro for ever.
    max_value : float or array_like of shape (n_neurons,), optional
        Largest output [the unit of the activation it stands for], of all neurons or of each; must be positive. It
        is the goal that is clipped; the level settles within ``threshold`` quanta of it.
    amplitude : float
        Output per unit of input [the unit of the activation it stands for]; must be positive.
    initial_state : dict of {str: nengo.dists.Distribution or array_like}
        ``{"level": ...}`` overrides the initial level [quanta], which is 0: whole numbers.

    Raises
    ------
    nengo.exceptions.ValidationError
        If a parameter is out of its range.

    Notes
    -----
    It spikes with a sign in all forms. It is no neuron for hardware that has spikes of one size only.

    In `nengo_dl.Simulator` it runs as TensorFlow operations, and is trained through its rate form.

    References
    ----------
    .. [1] O'Connor & Welling (2017). Sigma Delta Quantized Networks. ICLR.
    .. [2] Brehove et al. (2025). Sigma-Delta Neural Network Conversion on Loihi 2. arXiv:2505.06417.

    Examples
    --------
    The spikes by which neurons tell an activity of 100 quanta, step by step, and that it is gone:

    >>> def spikes(neurons):
    ...     level, output, sent = np.zeros(1), np.zeros(1), []
    ...     for current in [100.0] * 6 + [0.0] * 3:
    ...         before = level.copy()
    ...         neurons.step(0.001, np.array([current]), output, level)
    ...         sent.append(int(level[0] - before[0]))
    ...     return sent
    >>> spikes(ncam.SigmaDelta(bits=1))
    [128, -32, 4, 0, 0, 0, -128, 32, -4]
    >>> spikes(ncam.SigmaDelta(bits=2))
    [96, 4, 0, 0, 0, 0, -96, -4, 0]
    >>> spikes(ncam.SigmaDelta(bits=None))
    [100, 0, 0, 0, 0, 0, -100, 0, 0]
    """

    state = {"level": Choice([0])}
    spiking = True
    # A spike that is rounded up on the way down leaves the level below zero for a step.
    negative = True

    bits = IntParam("bits", low=1, optional=True)
    quantum = FiniteNumberParam("quantum", low=0, low_open=True)
    threshold = FiniteNumberParam("threshold", low=0.5, low_open=True)
    max_value = MaxValueParam("max_value", optional=True)

    def __init__(
        self,
        bits: int | None = 2,
        quantum: float = 1,
        threshold: float = 0.6,
        max_value: ArrayLike | None = None,
        amplitude: float = 1,
        initial_state: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(amplitude, initial_state=initial_state)
        self.bits = bits
        self.quantum = quantum
        self.threshold = threshold
        self.max_value = max_value

    @property
    def largest_goal(self) -> float | NDArray:
        """Input at which the output is clipped [Hz], of all neurons or of each; infinite without a ``max_value``."""
        # A property, not an attribute: scaling of firing rates changes the amplitude of a copy.
        return np.inf if self.max_value is None else self.max_value / self.amplitude

    def rates(self, x: ArrayLike, gain: ArrayLike, bias: ArrayLike) -> NDArray:
        """Compute the output without rounding; see `nengo.neurons.NeuronType.rates`."""
        goal = np.clip(self.current(x, gain, bias), 0, self.largest_goal)
        return self.amplitude * goal

    def step(self, dt: float, J: NDArray, output: NDArray, level: NDArray) -> None:
        """Advance the neurons by one time step, in place; see `nengo.neurons.NeuronType.step`."""
        goal = np.minimum(np.maximum(J, 0), np.asarray(self.largest_goal, J.dtype))
        error = goal / float(self.quantum) - level
        size = np.abs(error)
        unit = np.ones_like(size)
        if self.bits is not None:
            # The exponent as it is stored: a logarithm is rounded, on each simulator in its own way.
            _, exponent = np.frexp(np.maximum(size, 1))
            unit = np.ldexp(unit, np.maximum(exponent - self.bits, 0))
        # What is not a number has to get into the level, where simulators look for it.
        level += np.where(size < self.threshold, 0, np.copysign(unit * np.floor(size / unit + 0.5), error))
        output[:] = float(self.amplitude * self.quantum) * level
