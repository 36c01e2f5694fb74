"""Neuron types that Nengo lacks, known to Nengo's and NengoDL's simulators."""

import numpy as np
from nengo.dists import Choice
from nengo.neurons import RectifiedLinear

from . import compat

__all__ = ["IntegrateAndFire"]


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
    while stays silent for a while.

    The voltage starts at half the threshold, which rounds the spike count of constant input to the nearest number
    instead of down ([2]_: the best start in expectation), and not at a random value as Nengo's neurons do.

    Parameters
    ----------
    amplitude : float
        Output per spike and second [the unit of the activation it stands for]; must be positive.
    initial_state : dict of {str: nengo.dists.Distribution or array_like}
        ``{"voltage": ...}`` overrides the initial voltage [thresholds]: ``nengo.dists.Uniform(0, 1)`` starts as
        `nengo.SpikingRectifiedLinear` does.

    Notes
    -----
    In `nengo_dl.Simulator` it runs as TensorFlow operations, and is trained through its rate form.

    References
    ----------
    .. [1] Rueckauer et al. (2017). Conversion of Continuous-Valued Deep Networks to Efficient Event-Driven Networks
       for Image Classification. Frontiers in Neuroscience 11:682.
    .. [2] Bu et al. (2022). Optimized Potential Initialization for Low-latency Spiking Neural Networks. AAAI.
       arXiv:2202.01440.
    """

    state = {"voltage": Choice([0.5])}  # noqa: RUF012 (Nengo declares state so)
    spiking = True

    def rates(self, x, gain, bias):
        """Compute firing rates by the rate form; see `nengo.neurons.NeuronType.rates`."""
        current = self.current(x, gain, bias)
        out = np.zeros_like(current)
        RectifiedLinear.step(self, dt=1.0, J=current, output=out)
        return out

    def step(self, dt, J, output, voltage):
        """Advance the neurons by one time step, in place; see `nengo.neurons.NeuronType.step`."""
        voltage += J * dt
        n_spikes = np.maximum(np.floor(voltage), 0)
        output[:] = (self.amplitude / dt) * n_spikes
        voltage -= n_spikes


def _register_with_nengo_dl():
    """Teach NengoDL to run the neurons as TensorFlow operations; its fallback calls Python at every step."""
    compat.import_nengo_dl()
    import tensorflow as tf
    from nengo_dl.neuron_builders import SimNeuronsBuilder, SpikingRectifiedLinearBuilder

    class IntegrateAndFireBuilder(SpikingRectifiedLinearBuilder):
        """Build a group of `IntegrateAndFire` neurons; the training step, the rate form, is inherited."""

        def step(self, J, dt, voltage):
            voltage += J * dt
            n_spikes = tf.nn.relu(tf.floor(voltage))
            return n_spikes * self.alpha, voltage - n_spikes

    SimNeuronsBuilder.TF_NEURON_IMPL[IntegrateAndFire] = IntegrateAndFireBuilder


_register_with_nengo_dl()
