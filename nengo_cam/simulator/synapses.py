"""Rules for linear filters and other synapses: a scan over time, one step behind where the reference is."""

from __future__ import annotations

from typing import TYPE_CHECKING

# ruff: noqa: N806 (Nengo's names)
import numpy as np
from nengo.synapses import LinearFilter, Triangle

from .. import compat
from .operator_rules import Rule
from .scan import for_each_block, spread
from .signals import Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    import nengo
    from nengo.builder import Operator, Signal

    from .context import Build, StepRange

__all__ = ["SynapseRule"]

#: States of Nengo's synapses that do not belong to elements: where `nengo.Triangle` is in its ring of past values.
_COUNTERS = ("Xi",)


class SynapseRule(Rule):
    """A synapse: a scan over time for all items and elements at once.

    The reference *updates* the filtered signal after everybody has read it, so that readers see what was there one
    step before. Here the output is shifted by one step; its last value is kept for the next chunk.
    """

    moving = True

    def __init__(self, operator: Operator, build: Build):
        super().__init__(operator, build)
        self._delayed = operator.mode == "update"
        self._make = _linear_filter if isinstance(operator.process, LinearFilter) else _own_step

    @staticmethod
    def covers(process: nengo.Process) -> bool:
        """Whether a process is a synapse whose own arithmetic is known to be elementwise."""
        own = type(process).make_step
        return own is LinearFilter.make_step or own is Triangle.make_step

    @property
    def inputs(self) -> list[Signal]:
        return [self.operator.input]

    @property
    def outputs(self) -> list[Signal]:
        return [self.operator.output]

    def reset(self, rng: np.random.RandomState) -> None:
        self.operator.process.get_rng(rng)
        self._state = {
            name: np.array(signal.initial_value, self.build.dtype)[None] for name, signal in self.operator.state.items()
        }
        self._last = np.array(self.operator.output.initial_value, self.build.dtype).reshape(1, -1)

    def __call__(self, inputs: Sequence[Value], chunk: StepRange) -> list[Value | None]:
        (value,) = inputs
        batch = max(value.batch, self._last.shape[0])
        self._state = {name: spread(array, batch) for name, array in self._state.items()}
        self._last = spread(self._last, batch)
        out = np.empty((batch, chunk.n_steps, value.size), self.build.dtype)
        # What a synapse counts is one number for all elements. Blocks run side by side, so each counts by itself from
        # where the last chunk ended, and all end with the same number.
        begin = {name: array[:1].copy() for name, array in self._state.items() if name in _COUNTERS}
        ends = []

        def scan(block):
            counters = {name: array[0].copy() for name, array in begin.items()}
            self._scan(value, block, out, chunk, counters)
            ends.append(counters)

        for_each_block(scan, *out.shape)
        for name, counter in ends[0].items():
            self._state[name] = np.repeat(counter[None], batch, axis=0)
        return [Value(out)]

    def _scan(self, value, block, out, chunk, counters):
        read, shape = value.reader(block), block.shape
        buffer = np.empty(shape, out.dtype)
        # Views, so that the states are carried on in place. The axis of items comes next to that of elements.
        state = {
            name: counters[name] if name in counters else np.moveaxis(block.of(array), 0, -2)
            for name, array in self._state.items()
        }
        advance = self._make(self.operator.process, shape, self.build, state)
        last = block.of(self._last)
        for step in range(chunk.n_steps):
            target = block.of(out[:, step])
            filtered = advance(chunk.times[step], np.broadcast_to(read(step, buffer), shape))
            if not self._delayed:
                target[...] = filtered
            else:
                # The place of this step is filled by the one before; the input of this step was read already.
                target[...] = last
                last[...] = filtered


def _own_step(process, shape, build, state):
    """Step of a synapse that works in any shape."""
    return process.make_step(shape, shape, build.dt, None, state)


def _linear_filter(process, shape, build, state):
    """Step of a linear filter, written out so that it adds up in the same order for any number of items."""
    A, B, C, D = (np.asarray(m, build.dtype) for m in compat.state_space(process, build.dt))
    if A.size == 0:
        gain = D.item()
        return lambda t, u: gain * u
    X = state["X"]
    if len(A) == 1 and not D.any():
        decay, gain, x = A.item(), build.dtype.type(C.item() * B.item()), X[0]
        scratch = np.empty(shape, build.dtype)

        def first_order(t, u):
            np.multiply(x, decay, out=x)
            np.multiply(u, gain, out=scratch)
            np.add(x, scratch, out=x)
            return x

        return first_order

    def combine(weights, values):
        total = weights[0] * values[0]
        for weight, value in zip(weights[1:], values[1:]):
            total = total + weight * value
        return total

    def advance(t, u):
        new = [combine(row, X) + b * u for row, b in zip(A, B[:, 0])]
        # Without a direct path the output is that of the new state: Nengo removes the delay.
        out = combine(C[0], X) + D.item() * u if D.any() else combine(C[0], new)
        for x, value in zip(X, new):
            x[...] = value
        return out

    return advance
