"""Rules for processes: those with no input run once for all items, the others item by item."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from nengo.builder.processes import SimProcess

from .operator_rules import Rule, register_operator
from .signals import Value
from .synapses import SynapseRule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nengo.builder import Signal

    from .context import StepRange

__all__ = ["ProcessRule"]


@register_operator(SimProcess)
def choose_process_rule(operator, build):
    """Take the faster rule for synapses."""
    if operator.input is not None and SynapseRule.covers(operator.process):
        return SynapseRule(operator, build)
    return ProcessRule(operator, build)


class ProcessRule(Rule):
    """Any process through its own step function, as the reference runs it.

    A process without input is the same for all items: one item of a minibatch gets what it would get alone.
    """

    moving = True

    @property
    def inputs(self) -> list[Signal]:
        return [] if self.operator.input is None else [self.operator.input]

    @property
    def outputs(self) -> list[Signal]:
        return [self.operator.output]

    def reset(self, rng: np.random.RandomState) -> None:
        operator = self.operator
        rng = operator.process.get_rng(rng)
        shape_in = (0,) if operator.input is None else operator.input.shape
        n_items = 1 if operator.input is None else self.build.minibatch_size
        self._steps = []
        for _ in range(n_items):
            state = {name: np.array(signal.initial_value) for name, signal in operator.state.items()}
            self._steps.append(
                # Copies of the generator: each item draws what it would draw alone.
                operator.process.make_step(shape_in, operator.output.shape, self.build.dt, copy.deepcopy(rng), state)
            )
        self._last = np.array(operator.output.initial_value, self.build.dtype).reshape(1, -1)
        self._last = np.repeat(self._last, n_items, axis=0)

    def __call__(self, inputs: Sequence[Value], chunk: StepRange) -> list[Value | None]:
        operator = self.operator
        out = np.empty((len(self._steps), chunk.n_steps, operator.output.size), self.build.dtype)
        x = inputs[0].dense() if inputs else None
        for item, advance in enumerate(self._steps):
            for step, time in enumerate(chunk.times):
                args = [float(time)]
                if x is not None:
                    row = x[item if x.shape[0] > 1 else 0, step if x.shape[1] > 1 else 0]
                    args.append(row.reshape(operator.input.shape).copy())
                result = np.ravel(advance(*args))
                # Written when all have read: they see what was there one step before.
                if operator.mode == "update":
                    out[item, step] = self._last[item]
                    self._last[item] = result
                else:
                    out[item, step] = result
        return [Value(out)]
