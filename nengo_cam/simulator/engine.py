"""Runs the tasks of a plan, chunk of time by chunk: what stands still once, what moves in every chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .signals import Value, element_indices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nengo.builder import Signal

    from .context import StepRange
    from .operator_rules import Rule
    from .plan import Plan
    from .signals import Key

__all__ = ["Engine"]

#: How often something is computed: once for all, once for new data that stands still, for each chunk, not at all.
CONSTANT, STILL, MOVING, IDLE = range(4)


class Engine:
    """State and values of a running simulation.

    Parameters
    ----------
    plan : Plan
        What runs in which order.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self._fed: dict[int, int] | None = None
        self._constants: dict[tuple[int, int], Value] = {}

    def reset(self, seed: int) -> None:
        """Put all rules back to their initial state."""
        rng = np.random.RandomState(seed)
        for task in self.plan.reset_order:
            task.rule.reset(rng)

    def feed(self, fed: Mapping[Signal, np.ndarray]) -> None:
        """Take data for some nodes, and compute what does not change from step to step.

        Parameters
        ----------
        fed : dict of {nengo.builder.Signal: ndarray of shape (batch, 1 or steps, size)}
            Values that replace what the network itself gives these signals.
        """
        levels = {id(signal): STILL if array.shape[1] == 1 else MOVING for signal, array in fed.items()}
        # Fed as the last time, what was computed of constants still holds.
        if levels != self._fed:
            self._fed, self._constants = levels, {}
            self._set_levels()
            self._set_lifetimes()
        fed = {id(signal): array for signal, array in fed.items()}
        outputs = dict(self._constants)
        # As the reference has it: a NaN is an error where it arises.
        with np.errstate(invalid="raise", divide="ignore"):
            for number, task in enumerate(self.plan.tasks):
                if self._task_levels[number] <= STILL and (number, 0) not in outputs:
                    self._run(number, task, outputs, {}, fed, None)
            self._still = {key: self._gather(key, outputs, fed, moving=False) for key in self._needs_still}
        self._absorb()
        if not self._constants:
            self._constants = {slot: v for slot, v in outputs.items() if self._task_levels[slot[0]] == CONSTANT}

    def _absorb(self):
        """Let convolutions add what stands still beside their output, where they can."""
        for key, number in self.plan.absorbers.items():
            still = self._still.get(key) if self._task_levels[number] == MOVING else None
            if self.plan.tasks[number].rule.absorb(None if still is None else still.dense()):
                del self._still[key]

    def _set_levels(self):
        """Find out how often each task and each signal has to be computed."""
        plan, fed = self.plan, self._fed
        self._task_levels, self._levels = [], {}
        for number, task in enumerate(plan.tasks):
            for key in task.inputs:
                if key not in self._levels:
                    base = id(plan.signals[key].base)
                    below = (self._task_levels[part.task] for part in plan.parts[key])
                    self._levels[key] = fed[base] if base in fed else max(below, default=CONSTANT)
            level = max((self._levels[key] for key in task.inputs), default=CONSTANT)
            outputs = [id(signal.base) for signal in task.rule.outputs]
            # A node that is fed does not run itself.
            idle = number in plan.idle or (bool(outputs) and all(base in fed for base in outputs))
            self._task_levels.append(IDLE if idle else MOVING if task.rule.moving else level)

    def _set_lifetimes(self):
        """Find out after which task each value can be dropped, and how much is alive at most."""
        plan = self.plan
        moving = [n for n, level in enumerate(self._task_levels) if level == MOVING]
        read = {key for number in moving for key in plan.tasks[number].inputs}
        # Signals that the moving tasks read, and of which some part stands still.
        self._needs_still = [
            key
            for key in read
            if self._levels[key] != MOVING or any(self._task_levels[part.task] <= STILL for part in plan.parts[key])
        ]
        last = {}
        for number in moving:
            for key in plan.tasks[number].inputs:
                last[key] = number
                last.update(((part.task, part.output), number) for part in plan.parts[key])
        self._drop = {number: [] for number in moving}
        for name, number in last.items():
            self._drop[number].append(name)
        sizes = {}
        alive = self.elements_per_step = 0
        for number in moving:
            task = plan.tasks[number]
            for key in task.inputs:
                if self._levels[key] == MOVING and key not in sizes and not self._is_shared(key):
                    sizes[key] = plan.signals[key].size
                    alive += sizes[key]
            for output, signal in enumerate(task.rule.outputs):
                if self.plan.build.is_read(signal):
                    sizes[number, output] = signal.size
                    alive += signal.size
            self.elements_per_step = max(self.elements_per_step, alive)
            alive -= sum(sizes.pop(name, 0) for name in self._drop[number])

    def _is_shared(self, key):
        """Whether a signal needs no memory besides that of its parts."""
        return all(part.source is None for part in self.plan.parts[key])

    @property
    def may_settle(self) -> bool:
        """Whether what runs for each chunk may come to rest: fed with what stands still, and no rule against it."""
        # Where nothing moves, there is nothing to come to rest.
        return self.elements_per_step > 0 and self._all_moving(lambda rule: rule.may_settle)

    @property
    def settled(self) -> bool:
        """Whether all further steps with the same data would be copies of the last one.

        If no state would change with the same input once more, then no output would; so the input of all that comes
        behind stays the same, and by and by that of the whole network.
        """
        return self._all_moving(lambda rule: rule.settled)

    def _all_moving(self, holds):
        """Whether something holds for all rules that run for each chunk, and nothing that is fed moves."""
        levels = zip(self.plan.tasks, self._task_levels)
        return MOVING not in self._fed.values() and all(holds(task.rule) for task, level in levels if level == MOVING)

    def sole_source(self, key: Key) -> Rule | None:
        """Find the rule whose first output is a signal, nothing added and nothing cut out; None if there is none."""
        parts = self.plan.parts.get(key, ())
        if len(parts) != 1 or parts[0].source is not None or parts[0].output != 0:
            return None
        return self.plan.tasks[parts[0].task].rule if self._task_levels[parts[0].task] == MOVING else None

    def advance(
        self, chunk: StepRange, fed: Mapping[Signal, np.ndarray], wanted: Iterable[Key]
    ) -> dict[Key, np.ndarray]:
        """Run all moving tasks for a chunk.

        Parameters
        ----------
        chunk : StepRange
            Time steps.
        fed : dict
            As for `feed`, the steps of this chunk.
        wanted : iterable
            Keys of the signals to give back.

        Returns
        -------
        dict
            From keys to arrays of shape (batch or 1, steps or 1, size).
        """
        fed = {id(signal): array for signal, array in fed.items()}
        outputs: dict[tuple[int, int], Value] = {}
        values: dict[Key, Value] = {}
        result: dict[Key, np.ndarray] = {}
        wanted = set(wanted)
        with np.errstate(invalid="raise", divide="ignore"):
            for number, task in enumerate(self.plan.tasks):
                if self._task_levels[number] == MOVING:
                    self._run(number, task, outputs, values, fed, chunk)
                # Before they are dropped.
                for key in wanted.intersection(task.inputs) - result.keys():
                    value = values.get(key)
                    result[key] = (self._gather(key, outputs, fed, True) if value is None else value).dense()
                for name in self._drop.get(number, ()):
                    outputs.pop(name, None)
                    values.pop(name, None)
        return result

    def _run(self, number, task, outputs, values, fed, chunk):
        inputs = []
        for key in task.inputs:
            if key not in values:
                values[key] = self._gather(key, outputs, fed, moving=chunk is not None)
            inputs.append(values[key])
        for output, value in enumerate(task.rule(inputs, chunk)):
            if value is not None:
                outputs[number, output] = value

    def _gather(self, key, outputs, fed, moving):
        """Put a signal together from what was written to it.

        With ``moving`` the parts that stand still come from `feed`, without it only they count.
        """
        signal = self.plan.signals[key]
        base = id(signal.base)
        if base in fed:
            if moving and self._levels[key] != MOVING:
                return self._still[key]
            array = fed[base]
            return Value(array if not signal.is_view else array[:, :, element_indices(signal)])
        if not self.plan.parts[key]:
            initial = np.asarray(signal.initial_value, self.plan.build.dtype)
            return Value(initial.reshape(1, 1, -1))
        parts = [
            (part, outputs[part.task, part.output])
            for part in self.plan.parts[key]
            if (self._task_levels[part.task] == MOVING) == moving and (part.task, part.output) in outputs
        ]
        still = self._still.get(key) if moving else None
        if not parts:
            return still or Value(np.zeros((1, 1, signal.size), self.plan.build.dtype))
        if all(part.source is None for part, _ in parts):
            terms = [term for _, value in parts for term in value.terms]
            return Value(*(still.terms if still else ()), *terms)
        return Value(self._assemble(signal, parts, still))

    def _assemble(self, signal, parts, still):
        """Add up parts that cover different elements."""
        values = [value for _, value in parts] + ([still] if still else [])
        shape = (max(v.batch for v in values), max(v.n_steps for v in values), signal.size)
        out = np.zeros(shape, self.plan.build.dtype)
        if still:
            out += still.dense()
        for part, value in parts:
            if part.source is None:
                out += value.dense()
            else:
                out[:, :, part.target] += value.dense()[:, :, part.source]
        return out
