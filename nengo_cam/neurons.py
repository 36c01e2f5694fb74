"""Neuron types that Nengo lacks, known to Nengo's and NengoDL's simulators."""

import numpy as np
from nengo.dists import Choice
from nengo.exceptions import ValidationError
from nengo.neurons import RectifiedLinear
from nengo.params import NumberParam, Parameter

from . import compat

__all__ = [
    "ClippedIntegrateAndFire",
    "ClippedRectifiedLinear",
    "IntegrateAndFire",
    "SignedClippedIntegrateAndFire",
    "SignedIntegrateAndFire",
    "clipped",
    "spike_height",
]


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

    def __init__(self, amplitude=1, negative_threshold=0.5, initial_state=None):
        super().__init__(amplitude, initial_state=initial_state)
        self.negative_threshold = negative_threshold

    def step(self, dt, J, output, voltage, spike_count):
        """Advance the neurons by one time step, in place; see `nengo.neurons.NeuronType.step`."""
        voltage += J * dt
        taken_back = np.minimum(np.floor(voltage + self.negative_threshold), 0)
        n_spikes = np.where(voltage < 0, np.maximum(taken_back, -spike_count), np.floor(voltage))
        output[:] = (self.amplitude / dt) * n_spikes
        voltage -= n_spikes
        spike_count += n_spikes


class _MaxValueParam(Parameter):
    """A positive number, or one for each neuron."""

    equatable = True

    def coerce(self, instance, value):
        try:
            array = np.array(super().coerce(instance, value), dtype=float)
        except (TypeError, ValueError):
            array = np.zeros((0, 0))
        if array.ndim > 1 or not array.size or not (np.isfinite(array) & (array > 0)).all():
            raise ValidationError(
                f"expected a positive number or one for each neuron, got {value!r}. Try 6.",
                attr=self.name,
                obj=instance,
            )
        array.setflags(write=False)
        return array if array.ndim else float(array)

    def hashvalue(self, instance):
        return np.asarray(self.__get__(instance, None)).tobytes()


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

    max_value = _MaxValueParam("max_value")

    def __init__(self, max_value, amplitude=1, initial_state=None):
        super().__init__(amplitude, initial_state=initial_state)
        self.max_value = max_value

    def step(self, dt, J, output):
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
    goes on firing for a while, as one that was inhibited stays silent.

    Parameters
    ----------
    max_value : float or array_like of shape (n_neurons,)
        Largest mean output [the unit of the activation it stands for], of all neurons or of each; must be positive.
    amplitude : float
        Output per spike and second [the unit of the activation it stands for]; must be positive.
    initial_state : dict of {str: nengo.dists.Distribution or array_like}
        ``{"voltage": ...}`` and ``{"allowance": ...}`` override the initial voltage and allowance [spikes]; half a
        threshold and half a spike round both counts to the nearest number.

    Raises
    ------
    nengo.exceptions.ValidationError
        If a parameter is out of its range.

    Notes
    -----
    In `nengo_dl.Simulator` it runs as TensorFlow operations, and is trained through its rate form.
    """

    state = {"voltage": Choice([0.5]), "allowance": Choice([0.5])}  # noqa: RUF012 (Nengo declares state so)

    max_value = _MaxValueParam("max_value")

    def __init__(self, max_value, amplitude=1, initial_state=None):
        super().__init__(amplitude, initial_state=initial_state)
        self.max_value = max_value

    def rates(self, x, gain, bias):
        """Compute firing rates by the rate form; see `nengo.neurons.NeuronType.rates`."""
        return np.minimum(super().rates(x, gain, bias), self.max_value)

    def step(self, dt, J, output, voltage, allowance):
        """Advance the neurons by one time step, in place; see `nengo.neurons.NeuronType.step`."""
        voltage += J * dt
        allowance += self.max_value / self.amplitude * dt
        n_spikes = np.maximum(np.floor(np.minimum(voltage, allowance)), 0)
        output[:] = (self.amplitude / dt) * n_spikes
        voltage -= n_spikes
        allowance -= n_spikes


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

    Raises
    ------
    nengo.exceptions.ValidationError
        If a parameter is out of its range.
    """

    state = {**SignedIntegrateAndFire.state, "allowance": Choice([0.5])}  # noqa: RUF012 (Nengo declares state so)

    max_value = _MaxValueParam("max_value")

    def __init__(self, max_value, amplitude=1, negative_threshold=0.5, initial_state=None):
        super().__init__(amplitude, negative_threshold, initial_state=initial_state)
        self.max_value = max_value

    def rates(self, x, gain, bias):
        """Compute firing rates by the rate form; see `nengo.neurons.NeuronType.rates`."""
        return np.minimum(super().rates(x, gain, bias), self.max_value)

    def step(self, dt, J, output, voltage, spike_count, allowance):
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


def clipped(neurons, max_value):
    """Make the neurons that stand for a clipped ReLU where others stand for plain ReLU.

    Parameters
    ----------
    neurons : nengo.neurons.NeuronType
        What stands for plain ReLU.
    max_value : float or array_like of shape (n_neurons,)
        Largest output of the clipped ReLU, for amplitude 1.

    Returns
    -------
    nengo.neurons.NeuronType or None
        The clipped twin with the other parameters of ``neurons``; None if their type has none.
    """
    options = {"amplitude": getattr(neurons, "amplitude", 1), "initial_state": neurons.initial_state}
    max_value = np.multiply(max_value, options["amplitude"])
    if type(neurons) is RectifiedLinear:
        return ClippedRectifiedLinear(max_value, **options)
    if type(neurons) is IntegrateAndFire:
        return ClippedIntegrateAndFire(max_value, **options)
    if type(neurons) is SignedIntegrateAndFire:
        return SignedClippedIntegrateAndFire(max_value, negative_threshold=neurons.negative_threshold, **options)
    return None


def spike_height(neuron_type, dt):
    """Return what a neuron gives out in a step in which it spikes once.

    Parameters
    ----------
    neuron_type : nengo.neurons.NeuronType
        A spiking type.
    dt : float
        Time step [s].

    Returns
    -------
    float
        Output [the unit of the activation that the neurons stand for].
    """
    return getattr(neuron_type, "amplitude", 1) / dt


def _register_with_nengo_dl():
    """Teach NengoDL to run the neurons as TensorFlow operations; its fallback calls Python at every step."""
    compat.import_nengo_dl()
    import tensorflow as tf
    from nengo_dl.neuron_builders import (
        RectifiedLinearBuilder,
        SimNeuronsBuilder,
        SpikingRectifiedLinearBuilder,
    )

    class IntegrateAndFireBuilder(SpikingRectifiedLinearBuilder):
        """Build a group of `IntegrateAndFire` neurons; the training step, the rate form, is inherited."""

        def step(self, J, dt, voltage):
            voltage += J * dt
            n_spikes = tf.nn.relu(tf.floor(voltage))
            return n_spikes * self.alpha, voltage - n_spikes

    class SignedIntegrateAndFireBuilder(IntegrateAndFireBuilder):
        """Build a group of `SignedIntegrateAndFire` neurons."""

        def build_pre(self, signals, config):
            super().build_pre(signals, config)
            self.negative_threshold = signals.op_constant(
                [op.neurons for op in self.ops],
                [op.J.shape[0] for op in self.ops],
                "negative_threshold",
                signals.dtype,
            )

        def step(self, J, dt, voltage, spike_count):
            voltage += J * dt
            taken_back = -tf.nn.relu(-tf.floor(voltage + self.negative_threshold))
            n_spikes = tf.where(voltage < 0, tf.maximum(taken_back, -spike_count), tf.floor(voltage))
            return n_spikes * self.alpha, voltage - n_spikes, spike_count + n_spikes

    class Clipped:
        """What builders of clipped neurons have besides."""

        def build_pre(self, signals, config):
            super().build_pre(signals, config)

            def constant(value_of):
                values = [np.broadcast_to(value_of(op.neurons), op.J.shape) for op in self.ops]
                return tf.constant(np.concatenate(values)[None], dtype=signals.dtype)

            self.max_value = constant(lambda neurons: neurons.max_value)
            self.allowed = constant(lambda neurons: neurons.max_value / neurons.amplitude * signals.dt_val)

    class ClippedRectifiedLinearBuilder(Clipped, RectifiedLinearBuilder):
        """Build a group of `ClippedRectifiedLinear` neurons."""

        def step(self, J, dt):
            return tf.minimum(super().step(J, dt), self.max_value)

    class ClippedIntegrateAndFireBuilder(Clipped, IntegrateAndFireBuilder):
        """Build a group of `ClippedIntegrateAndFire` neurons."""

        def step(self, J, dt, voltage, allowance):
            voltage += J * dt
            allowance += self.allowed
            n_spikes = tf.nn.relu(tf.floor(tf.minimum(voltage, allowance)))
            return n_spikes * self.alpha, voltage - n_spikes, allowance - n_spikes

        def training_step(self, J, dt, **state):
            return tf.minimum(super().training_step(J, dt, **state), self.max_value)

    class SignedClippedIntegrateAndFireBuilder(Clipped, SignedIntegrateAndFireBuilder):
        """Build a group of `SignedClippedIntegrateAndFire` neurons."""

        def step(self, J, dt, voltage, spike_count, allowance):
            voltage += J * dt
            allowance += self.allowed
            taken_back = -tf.nn.relu(-tf.floor(voltage + self.negative_threshold))
            fired = tf.floor(tf.minimum(voltage, allowance))
            n_spikes = tf.where(voltage < 0, tf.maximum(taken_back, -spike_count), fired)
            return n_spikes * self.alpha, voltage - n_spikes, spike_count + n_spikes, allowance - n_spikes

        def training_step(self, J, dt, **state):
            return tf.minimum(super().training_step(J, dt, **state), self.max_value)

    SimNeuronsBuilder.TF_NEURON_IMPL.update(
        {
            ClippedRectifiedLinear: ClippedRectifiedLinearBuilder,
            IntegrateAndFire: IntegrateAndFireBuilder,
            ClippedIntegrateAndFire: ClippedIntegrateAndFireBuilder,
            SignedIntegrateAndFire: SignedIntegrateAndFireBuilder,
            SignedClippedIntegrateAndFire: SignedClippedIntegrateAndFireBuilder,
        }
    )


_register_with_nengo_dl()
