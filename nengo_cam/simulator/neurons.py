"""Rules for neurons: elementwise, step after step, for all items at once."""

# ruff: noqa: N803, N806 (Nengo's names)

import copy

import nengo
import numpy as np
from nengo.builder.neurons import SimNeurons

from .. import compat
from ..neurons import IntegrateAndFire
from .folding import integrators
from .registry import Rule, register_operator
from .scan import Block, for_each_block, spread
from .signals import Value

__all__ = ["find_neurons", "own_step", "register_neurons"]

_NEURONS = {}


def register_neurons(*neuron_types):
    """Register how neurons of some types advance by one time step, for all items at once.

    A subclass is not covered: it may have a ``step`` of its own. Types that are not registered run through their own
    ``step``, one item after the other.

    Parameters
    ----------
    *neuron_types : type
        Subclasses of `nengo.neurons.NeuronType`.

    Returns
    -------
    callable
        Decorator of a function ``make(neurons, dt, dtype)`` that returns ``step(J, output, **state)``. It works in
        place on arrays of shape (batch, size), each element by itself. Blocks of items and elements are scanned over
        time in different threads; each scan makes a step function of its own.
    """

    def decorate(make):
        _NEURONS.update(dict.fromkeys(neuron_types, make))
        return make

    return decorate


def find_neurons(neuron_type):
    """Look up what `register_neurons` was told of a type, or None."""
    return _NEURONS.get(neuron_type)


def own_step(neurons, dt, dtype):
    """Step through the neurons' own ``step``, for types in which it works element by element in any shape."""

    def step(J, output, **state):
        neurons.step(dt, J, output, **state)

    return step


def _register_elementwise():
    types = [
        nengo.RectifiedLinear,
        nengo.Sigmoid,
        nengo.Tanh,
        nengo.LIFRate,
        nengo.LIF,
        nengo.AdaptiveLIFRate,
        nengo.AdaptiveLIF,
        nengo.Izhikevich,
        nengo.RegularSpiking,
    ]
    nengo_dl = compat.import_nengo_dl()
    types += [nengo_dl.SoftLIFRate, nengo_dl.LeakyReLU, nengo_dl.SpikingLeakyReLU]
    register_neurons(*types)(own_step)


_register_elementwise()

integrators.update([IntegrateAndFire, nengo.SpikingRectifiedLinear])


@register_neurons(IntegrateAndFire, nengo.SpikingRectifiedLinear)
def integrate_and_fire(neurons, dt, dtype):
    """Integrate, fire, subtract: the types' own arithmetic, without temporary arrays.

    In single precision the input comes multiplied by ``dt``.
    """
    rectified = type(neurons) is nengo.SpikingRectifiedLinear
    height = dtype.type(neurons.amplitude / dt)
    change = None

    def step(J, output, voltage):
        nonlocal change
        if change is None:
            change = np.empty(voltage.shape, dtype)
        if rectified:
            J = np.maximum(J, 0, out=change)
        if dtype == np.float64:
            J = np.multiply(J, dt, out=change)
        np.add(voltage, J, out=voltage)
        np.floor(voltage, out=output)
        if not rectified:
            np.maximum(output, 0, out=output)
        np.subtract(voltage, output, out=voltage)
        np.multiply(output, height, out=output)

    return step


@register_operator(SimNeurons)
def choose_neurons_rule(operator, build):
    """Choose how neurons run by what they are."""
    make = find_neurons(type(operator.neurons))
    if make is None or operator.state_extra:
        return ItemwiseNeuronsRule(operator, build)
    if not operator.state:
        return RateNeuronsRule(operator, build)
    return NeuronsRule(operator, build)


class RateNeuronsRule(Rule):
    """Neurons without a state: a function of the input, for all steps in one call."""

    def __init__(self, operator, build):
        super().__init__(operator, build)
        self._step = find_neurons(type(operator.neurons))(operator.neurons, build.dt, build.dtype)

    def __call__(self, inputs, chunk):
        current = inputs[0].dense()
        out = np.empty(current.shape, self.build.dtype)
        self._step(current, out)
        return [Value(out)]


class NeuronsRule(Rule):
    """Neurons with a state: a scan over time, elementwise, for all items and elements at once."""

    moving = True

    def __init__(self, operator, build):
        super().__init__(operator, build)
        self._make = find_neurons(type(operator.neurons))
        # In double precision the input times dt is rounded after all terms are added, as the reference does.
        integrates = not build.exact and type(operator.neurons) in integrators
        self._factor = build.dt if integrates else None
        # States are recorded only if somebody looks at them.
        self._recorded = [name for name, signal in operator.state.items() if build.is_read(signal)]

    def reset(self, rng):
        self._state = {
            name: build_state(signal.initial_value, self.build.dtype) for name, signal in self.operator.state.items()
        }

    def __call__(self, inputs, chunk):
        (current,) = inputs
        batch = max(current.batch, next(iter(self._state.values())).shape[0])
        self._state = {name: spread(array, batch) for name, array in self._state.items()}
        shape = (batch, chunk.n_steps, self.operator.output.size)
        out = chunk.storage(self, shape, self.build.dtype)
        records = {name: np.empty(shape, self.build.dtype) for name in self._recorded}

        factor = self._factor

        def scan(block):
            step = self._make(self.operator.neurons, self.build.dt, self.build.dtype)
            read = current.reader(block, factor)
            state = {name: block.of(array) for name, array in self._state.items()}
            buffer, target = np.empty(block.shape, self.build.dtype), block.of(out)
            for i in range(chunk.n_steps):
                J = read(i, buffer)
                step(J if J.shape == block.shape else np.broadcast_to(J, block.shape), target[:, i], **state)
                for name, record in records.items():
                    block.of(record[:, i])[...] = state[name]

        for_each_block(scan, *shape)
        recorded = {name: Value(record) for name, record in records.items()}
        return [Value(out), *(recorded.get(name) for name in self.operator.state)]


class ItemwiseNeuronsRule(Rule):
    """Neurons of any type through their own ``step``, one item after the other, as the reference runs them.

    Random numbers are the reference's for every item: each item has its own copy of the same stream, so that its
    spikes depend neither on the size of the minibatch nor on its place in it.
    """

    moving = True

    def __init__(self, operator, build):
        super().__init__(operator, build)
        self._recorded = [name for name, signal in operator.state.items() if build.is_read(signal)]

    def reset(self, rng):
        self._states = [
            {
                **{n: build_state(s.initial_value, self.build.dtype)[0] for n, s in self.operator.state.items()},
                **copy.deepcopy(self.operator.state_extra),
            }
            for _ in range(self.build.minibatch_size)
        ]

    def __call__(self, inputs, chunk):
        (current,) = inputs
        shape = (len(self._states), chunk.n_steps, self.operator.output.size)
        out = np.empty(shape, self.build.dtype)
        records = {name: np.empty(shape, self.build.dtype) for name in self._recorded}
        for item, state in enumerate(self._states):
            read = current.reader(Block(slice(item, item + 1), slice(0, shape[2])))
            buffer = np.empty((1, shape[2]), self.build.dtype)
            for step in range(chunk.n_steps):
                # A copy: a step may write into its input.
                J = np.array(read(step, buffer)[0])
                self.operator.neurons.step(self.build.dt, J, out[item, step], **state)
                for name, record in records.items():
                    record[item, step] = state[name]
        recorded = {name: Value(record) for name, record in records.items()}
        return [Value(out), *(recorded.get(name) for name in self.operator.state)]


def build_state(initial_value, dtype):
    """Make a state of shape (1, size) from a signal's initial value."""
    return np.array(initial_value, dtype=dtype)[None]
