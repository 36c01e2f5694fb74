"""The order in which operators run, each for a whole chunk, and where each signal's value comes from."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from nengo.builder.neurons import SimNeurons
from nengo.builder.node import SimPyFunc

from .context import Build
from .cycles import explain_cycle
from .operator_folding import fold
from .operator_rules import find_rule
from .signals import element_indices, overlap, signal_key

if TYPE_CHECKING:
    import numpy as np
    from nengo.builder import Model, Operator

    from .operator_rules import Rule

__all__ = ["Part", "Plan", "Task"]

Part = collections.namedtuple("Part", "task, output, source, target")
Part.__doc__ = """A contribution to a signal: output number ``output`` of a task.

``source`` and ``target`` say which elements of the output go where; both None if all of it goes everywhere.
"""


class Task:
    """A rule with the signals that it reads and writes."""

    def __init__(self, operator: Operator, rule: Rule):
        self.operator = operator
        self.rule = rule
        self.inputs = [signal_key(signal) for signal in rule.inputs]


class Plan:
    """Rules in an order in which all can run for a chunk of time, one after the other.

    Parameters
    ----------
    model : nengo.builder.Model
        The built network.
    dtype : numpy.dtype
        Precision.
    minibatch_size : int
        Number of items that run at a time.

    Attributes
    ----------
    build : Build
        What the rules were told.
    idle : set of int
        Numbers of the tasks that need not run: rules that are `optional`, and what only follows from them, unobserved.
    absorbers : dict
        From the key of a signal to the number of a task whose rule may add what stands still beside its output.
    tasks : list of Task
        In the order of running.
    signals : dict
        From a signal's key to the signal, for all signals that are read.
    parts : dict
        From the same key to the list of `Part` that make up the signal; empty for constants and fed nodes.

    Raises
    ------
    SimulatorError
        If the network has a cycle, or an operator that no rule covers.
    """

    def __init__(self, model: Model, dtype: np.dtype, minibatch_size: int):
        operators = fold(model.operators, exact=dtype == "float64", dt=model.dt)
        self.build = Build(model.dt, dtype, minibatch_size, operators)
        rules = [(op, find_rule(op)) for op in operators]
        graph = _signal_graph(operators)
        order = _topological_order(operators, graph, model)
        made = {id(op): Task(op, rule(op, self.build)) for op, rule in rules}
        self.tasks = [made[id(op)] for op in order]
        self.idle = _unobserved(self.tasks, graph)
        # The reference makes its steps in its own order, and draws seeds for processes while it does so.
        self.reset_order = _reference_order(model.operators, made)
        self._read_all()
        self.absorbers = self._find_absorbers()

    def _find_absorbers(self):
        """For signals to which a convolution is added and which only neurons read, the number of that task."""
        readers = collections.Counter(key for task in self.tasks for key in task.inputs)
        absorbers = {}
        for task in self.tasks:
            for key in task.inputs:
                able = [
                    p.task for p in self.parts[key] if p.source is None and hasattr(self.tasks[p.task].rule, "absorb")
                ]
                if isinstance(task.operator, SimNeurons) and readers[key] == 1 and able:
                    absorbers[key] = able[0]
        return absorbers

    def _read_all(self):
        written = collections.defaultdict(list)
        for number, task in enumerate(self.tasks):
            for output, signal in enumerate(task.rule.outputs):
                written[id(signal.base)].append((number, output, signal))
        self.signals, self.parts = {}, {}
        for task in self.tasks:
            for signal in task.rule.inputs:
                key = signal_key(signal)
                if key not in self.signals:
                    self.signals[key] = signal
                    self.parts[key] = _parts(signal, written[id(signal.base)])


def _unobserved(tasks, graph):
    """Find the numbers of the tasks that run for nobody."""
    observed, optional = set(), set()
    for task in reversed(tasks):
        readers = {id(op) for op in graph[id(task.operator)]}
        # What a function does with its input besides giving out a value cannot be known.
        observes = not task.rule.outputs or isinstance(task.operator, SimPyFunc)
        if observes or readers & observed:
            observed.add(id(task.operator))
    for task in tasks:
        if task.rule.optional or id(task.operator) in optional:
            optional |= {id(task.operator), *(id(op) for op in graph[id(task.operator)])}
    idle = optional - observed
    return {number for number, task in enumerate(tasks) if id(task.operator) in idle}


def _parts(signal, writers):
    parts = []
    for number, output, written in writers:
        if signal_key(written) == signal_key(signal):
            parts.append(Part(number, output, None, None))
        elif (shared := overlap(written, signal)) is not None:
            parts.append(Part(number, output, *shared))
    return parts


def _signal_graph(operators):
    """For each operator, the operators that need what it writes: also one step later."""
    written = collections.defaultdict(list)
    for op in operators:
        for signal in op.sets + op.incs + op.updates:
            written[id(signal.base)].append((signal, op))
    graph = {id(op): [] for op in operators}
    for op in operators:
        for signal in op.reads:
            for target, writer in written[id(signal.base)]:
                if signal is target or _overlaps(signal, target):
                    graph[id(writer)].append(op)
    return graph


def _overlaps(a, b):
    if not (a.is_view and b.is_view):
        return True
    one, other = element_indices(a), element_indices(b)
    if isinstance(one, slice) and isinstance(other, slice) and one.step == other.step == 1:
        return one.start < other.stop and other.start < one.stop
    return overlap(a, b) is not None


def _topological_order(operators, graph, model):
    waiting = dict.fromkeys(graph, 0)
    for readers in graph.values():
        for op in readers:
            waiting[id(op)] += 1
    ready = collections.deque(op for op in operators if not waiting[id(op)])
    order = []
    while ready:
        op = ready.popleft()
        order.append(op)
        # Depth first: what an operator made is used while it is still in the cache, and dropped soon.
        for reader in reversed(graph[id(op)]):
            waiting[id(reader)] -= 1
            if not waiting[id(reader)]:
                ready.appendleft(reader)
    if len(order) < len(operators):
        done = {id(op) for op in order}
        explain_cycle([op for op in operators if id(op) not in done], graph, model)
    return order


def _reference_order(operators, made):
    """Tasks with a state, in the order in which the reference simulator makes its steps."""
    from nengo.utils.graphs import toposort
    from nengo.utils.simulator import operator_dependency_graph

    order = toposort(operator_dependency_graph(operators))
    tasks = [made[id(op)] for op in order if id(op) in made]
    known = {id(task) for task in tasks}
    return tasks + [task for task in made.values() if id(task) not in known]
