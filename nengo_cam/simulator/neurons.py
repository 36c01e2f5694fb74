"""Rules for neurons: elementwise, step after step, for all items at once."""

# ruff: noqa: N803, N806 (Nengo's names)

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder.neurons import SimNeurons
from numpy.typing import DTypeLike

from .. import compat
from ..neurons import (
    ClippedIntegrateAndFire,
    ClippedRectifiedLinear,
    IntegrateAndFire,
    SigmaDelta,
    SignedClippedIntegrateAndFire,
    SignedIntegrateAndFire,
)
from .context import Build, StepRange
from .integration import (
    integrate_and_fire,
    integrate_and_fire_clipped,
    integrate_and_fire_signed,
    integrate_and_fire_signed_clipped,
    sigma_delta,
    sigma_delta_is_settled,
)
from .operator_folding import integrators
from .operator_rules import Rule, register_operator
from .scan import Block, for_each_block, spread
from .signals import Value

__all__ = ["find_neurons", "own_step", "register_neurons"]

_NEURONS: dict[type, Any] = {}


def register_neurons(*neuron_types: type) -> Callable[[Callable], Callable]:
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


def find_neurons(neuron_type: type) -> Callable | None:
    """Look up what `register_neurons` was told of a type, or None."""
    return _NEURONS.get(neuron_type)


def own_step(neurons: nengo.neurons.NeuronType, dt: float, dtype: DTypeLike) -> Callable:
    """Step through the neurons' own ``step``, for types in which it works element by element in any shape."""

    def step(J, output, **state):
        neurons.step(dt, J, output, **state)

    return step


register_neurons(
    nengo.RectifiedLinear,
    ClippedRectifiedLinear,
    nengo.Sigmoid,
    nengo.Tanh,
    nengo.LIFRate,
    nengo.LIF,
    nengo.AdaptiveLIFRate,
    nengo.AdaptiveLIF,
    nengo.Izhikevich,
    nengo.RegularSpiking,
)(own_step)


@compat.when_nengo_dl_is_imported
def _register_types_of_nengo_dl() -> None:
    # Who has such neurons has imported NengoDL; nobody else has to wait for it.
    nengo_dl = compat.import_nengo_dl()
    register_neurons(nengo_dl.SoftLIFRate, nengo_dl.LeakyReLU, nengo_dl.SpikingLeakyReLU)(own_step)


# Their clipped twins may have a number for each neuron, so blocks of them do not fit into their own step.
register_neurons(IntegrateAndFire, SignedIntegrateAndFire, nengo.SpikingRectifiedLinear)(own_step)


def _allowed(neurons, build, size):
    """Spikes that clipped neurons are allowed per step, for each of them."""
    return np.full(size, neurons.max_value / neurons.amplitude * build.dt, build.dtype)


def _floor(neurons: IntegrateAndFire, build: Build) -> Any:
    return build.dtype.type(-np.inf if neurons.floor is None else neurons.floor)


def _negative(neurons: SignedIntegrateAndFire, build: Build) -> tuple[Any, Any]:
    """Where signed neurons take a spike back, and how many."""
    number: Any = build.dtype.type
    return number(neurons.negative_threshold), number(np.inf if neurons.memory is None else neurons.memory)


# Type: the compiled scan, and its parameters after the first ones, which all have.
integrators.update(
    {
        nengo.SpikingRectifiedLinear: (
            integrate_and_fire,
            lambda neurons, build, size: (True, build.dtype.type(-np.inf)),
        ),
        IntegrateAndFire: (
            integrate_and_fire,
            lambda neurons, build, size: (False, _floor(neurons, build)),
        ),
        ClippedIntegrateAndFire: (
            integrate_and_fire_clipped,
            lambda neurons, build, size: (_floor(neurons, build), _allowed(neurons, build, size)),
        ),
        SignedIntegrateAndFire: (
            integrate_and_fire_signed,
            lambda neurons, build, size: _negative(neurons, build),
        ),
        SignedClippedIntegrateAndFire: (
            integrate_and_fire_signed_clipped,
            lambda neurons, build, size: (*_negative(neurons, build), _allowed(neurons, build, size)),
        ),
    }
)


@register_operator(SimNeurons)
def choose_neurons_rule(operator: SimNeurons, build: Build) -> Rule:
    """Choose how neurons run by what they are."""
    if not any(map(build.is_read, operator.state.values())):
        if type(operator.neurons) in integrators:
            return IntegratorsRule(operator, build)
        if type(operator.neurons) is SigmaDelta:
            return SigmaDeltaRule(operator, build)
    make = find_neurons(type(operator.neurons))
    if make is None or operator.state_extra:
        return ItemwiseNeuronsRule(operator, build)
    if not operator.state:
        return RateNeuronsRule(operator, build)
    return NeuronsRule(operator, build)


class RateNeuronsRule(Rule):
    """Neurons without a state: a function of the input, for all steps in one call."""

    def __init__(self, operator: SimNeurons, build: Build):
        super().__init__(operator, build)
        self._step = _NEURONS[type(operator.neurons)](operator.neurons, build.dt, build.dtype)

    def __call__(self, inputs: Sequence[Value], chunk: StepRange) -> list[Value | None]:
        current = inputs[0].dense()
        out = np.empty(current.shape, self.build.dtype)
        self._step(current, out)
        return [Value(out)]


class NeuronsRule(Rule):
    """Neurons with a state: a scan over time, elementwise, for all items and elements at once."""

    moving = True

    def __init__(self, operator: SimNeurons, build: Build):
        super().__init__(operator, build)
        self._make = find_neurons(type(operator.neurons))
        # States are recorded only if somebody looks at them.
        self._recorded = [name for name, signal in operator.state.items() if build.is_read(signal)]

    def reset(self, rng: Any) -> None:
        self._state = {
            name: build_state(signal.initial_value, self.build.dtype) for name, signal in self.operator.state.items()
        }

    def __call__(self, inputs: Sequence[Value], chunk: StepRange) -> list[Value | None]:
        (current,) = inputs
        batch = max(current.batch, next(iter(self._state.values())).shape[0])
        self._state = {name: spread(array, batch) for name, array in self._state.items()}
        shape = (batch, chunk.n_steps, self.operator.output.size)
        out = chunk.storage(self, shape, self.build.dtype)
        records = {name: np.empty(shape, self.build.dtype) for name in self._recorded}

        def scan(block):
            step = self._make(self.operator.neurons, self.build.dt, self.build.dtype)
            read = current.reader(block)
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


class ScannedNeuronsRule(NeuronsRule):
    """Neurons whose states nobody looks at: a compiled scan.

    Subclasses set what is scanned with:

    Attributes
    ----------
    scan : callable
        The compiled function; see `nengo_cam.simulator.integration`.
    parameters : tuple
        Its last arguments.
    factor : float or None
        What the input is multiplied by before it is added up; see `Value.split`.
    """

    scan: Callable[..., None]
    parameters: tuple
    factor: float | None = None

    def __call__(self, inputs: Sequence[Value], chunk: StepRange) -> list[Value | None]:
        (current,) = inputs
        (first, before), *_ = self._state.items()
        batch = max(current.batch, before.shape[0])
        self._state = {name: spread(array, batch) for name, array in self._state.items()}
        state, dtype = self._state[first], self.build.dtype
        out = chunk.storage(self, (batch, chunk.n_steps, state.shape[1]), dtype)
        still, moving = current.split(self.factor)
        still = np.broadcast_to(np.zeros(1, dtype) if still is None else still, state.shape)

        def scan(block):
            start, stop = block.elements.start, block.elements.stop
            for item in range(block.items.start, block.items.stop):
                J, shift = add_up(moving, item, start, stop, dtype)
                constant = np.ascontiguousarray(still[item])
                states = [array[item] for array in self._state.values()]
                self.scan(J, shift, constant, *states, out[item], start, stop, *self.parameters)
                self.look_at_last(J, shift, constant, *states, start, stop)

        for_each_block(scan, *out.shape)
        # Outputs may hide it: no comparison holds for what is not a number.
        if not np.isfinite(state).all():
            raise FloatingPointError(f"invalid value encountered in the {first}s of {self.operator.neurons}")
        return [Value(out), *(None for _ in self._state)]

    def look_at_last(self, current: np.ndarray, shift: int, still: np.ndarray, *states_and_range: Any) -> None:
        """Look at the last input and the states that it led to, of some neurons; what `scan` was called with."""


class IntegratorsRule(ScannedNeuronsRule):
    """Integrate-and-fire neurons."""

    def __init__(self, operator: SimNeurons, build: Build):
        super().__init__(operator, build)
        neurons = operator.neurons
        self.scan, others = integrators[type(neurons)]
        # In single precision the weights hold dt already, see `fold`. In double precision the input times dt is rounded
        # after all terms are added, as the reference does.
        self.factor = None if build.exact else build.dt
        dtype: Any = build.dtype
        numbers = (build.dt if build.exact else 1, neurons.amplitude / build.dt)
        self.parameters = *map(dtype.type, numbers), *others(neurons, build, operator.output.size)


class SigmaDeltaRule(ScannedNeuronsRule):
    """Sigma-delta neurons: they do not multiply their input by the time step, so they are no integrators."""

    scan = staticmethod(sigma_delta)
    # Not voltages, which move as long as there is input: levels stay once they are told.
    may_settle = True

    def __init__(self, operator: SimNeurons, build: Build):
        super().__init__(operator, build)
        neurons = operator.neurons
        steps_of_size = np.inf if neurons.bits is None else 2.0**neurons.bits
        numbers = (neurons.amplitude * neurons.quantum, neurons.quantum, neurons.threshold, 0.5, steps_of_size)
        dtype: Any = build.dtype
        largest_goal = np.full(operator.output.size, neurons.largest_goal, dtype)
        self.parameters = *map(dtype.type, numbers), largest_goal
        self._settled = False

    @property
    def settled(self) -> bool:
        return self._settled

    def reset(self, rng: Any) -> None:
        super().reset(rng)
        self._settled = False

    def __call__(self, inputs: Sequence[Value], chunk: StepRange) -> list[Value | None]:
        self._settled = True
        return super().__call__(inputs, chunk)

    def look_at_last(self, current: np.ndarray, shift: int, still: np.ndarray, *states_and_range: Any) -> None:
        level, start, stop = states_and_range
        _, quantum, threshold, _, _, largest_goal = self.parameters
        # Blocks are scanned side by side: they only ever say no. The first neuron that moves answers for all.
        if self._settled and not sigma_delta_is_settled(
            current, shift, still, level, start, stop, quantum, threshold, largest_goal
        ):
            self._settled = False


def add_up(terms: list, item: int, start: int, stop: int, dtype: DTypeLike) -> tuple[np.ndarray, int]:
    """Add up moving terms for one item and some elements.

    Parameters
    ----------
    terms : list of (ndarray of shape (batch or 1, steps, size), ndarray or float or None)
        Arrays and their factors.
    item, start, stop : int
        The item, and the elements that are needed.
    dtype : numpy.dtype
        Precision.

    Returns
    -------
    total : ndarray of shape (steps, n)
        The sum, of all elements if that costs nothing.
    first : int
        Number of its first element.
    """
    if not terms:
        return np.zeros((1, stop - start), dtype), start
    if len(terms) == 1 and terms[0][1] is None:
        array = terms[0][0]
        return np.ascontiguousarray(array[item if len(array) > 1 else 0]), 0
    total = None
    for array, scale in terms:
        term = array[item if len(array) > 1 else 0, :, start:stop]
        if scale is not None:
            term = term * (scale[start:stop] if np.ndim(scale) else scale)
        total = term if total is None else total + term
    return np.ascontiguousarray(total, dtype), start


class ItemwiseNeuronsRule(Rule):
    """Neurons of any type through their own ``step``, one item after the other, as the reference runs them.

    Random numbers are the reference's for every item: each item has its own copy of the same stream, so that its
    spikes depend neither on the size of the minibatch nor on its place in it.
    """

    moving = True

    def __init__(self, operator: SimNeurons, build: Build):
        super().__init__(operator, build)
        self._recorded = [name for name, signal in operator.state.items() if build.is_read(signal)]

    def reset(self, rng: Any) -> None:
        self._states = [
            {
                **{n: build_state(s.initial_value, self.build.dtype)[0] for n, s in self.operator.state.items()},
                **copy.deepcopy(self.operator.state_extra),
            }
            for _ in range(self.build.minibatch_size)
        ]

    def __call__(self, inputs: Sequence[Value], chunk: StepRange) -> list[Value | None]:
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


def build_state(initial_value: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Make a state of shape (1, size) from a signal's initial value."""
    return np.array(initial_value, dtype=dtype)[None]
