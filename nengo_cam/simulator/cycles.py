"""What stands in the way of running all time steps at once, in the words of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import nengo

from ..exceptions import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nengo.builder import Model, Operator

__all__ = ["check_learning", "explain_cycle"]

_REMEDY = "Use nengo_dl.Simulator, which steps through time."


def check_learning(network: nengo.Network) -> None:
    """Refuse networks that learn while they run.

    Raises
    ------
    SimulatorError
        If a connection has a learning rule.
    """
    learning = [conn for conn in network.all_connections if conn.learning_rule_type is not None]
    if learning:
        raise SimulatorError(
            f"network {network}: weights that change while it runs need one step after the other; expected no "
            f"learning rules, got them on {_names(learning)}. {_REMEDY}"
        )


def explain_cycle(operators: list[Operator], graph: Mapping[int, Sequence[Operator]], model: Model) -> NoReturn:
    """Raise an error that names the Nengo objects in a cycle.

    Parameters
    ----------
    operators : list of nengo.builder.Operator
        Operators that cannot be ordered: those in cycles, and those behind them.
    graph : dict
        From the id of an operator to the operators that need what it writes.
    model : nengo.builder.Model
        Where they come from.

    Raises
    ------
    SimulatorError
        Always.
    """
    cycle = _find_cycle(operators, graph)
    signals = {id(s.base) for op in cycle for s in op.reads} & {
        id(s.base) for op in cycle for s in op.sets + op.incs + op.updates
    }
    objects = []
    for obj, by_name in model.sig.items():
        # Connections share signals with their ends; those are named by their own entry.
        keys = ("weighted",) if isinstance(obj, nengo.Connection) else ("in", "out")
        values = [by_name.get(key) for key in keys]
        if isinstance(obj, (nengo.Connection, nengo.Ensemble, nengo.Node)) and any(
            s is not None and id(s.base) in signals for s in values
        ):
            objects.append(obj)
        elif isinstance(obj, nengo.ensemble.Neurons) and any(s is not None and id(s.base) in signals for s in values):
            objects.append(obj.ensemble)
    ends = [obj for obj in dict.fromkeys(objects) if not isinstance(obj, nengo.Connection)]
    inside = set(ends)
    connections = [
        conn
        for conn in (model.toplevel.all_connections if model.toplevel else ())
        if {_end(conn.pre_obj), _end(conn.post_obj)} <= inside
    ]
    raise SimulatorError(
        f"network {model.toplevel}: its signals run in a circle, so each step needs the one before; expected a "
        f"feed-forward network, got a cycle through {_names(ends)} by the connections {_names(connections)}. {_REMEDY}"
    )


def _end(obj):
    return obj.ensemble if isinstance(obj, nengo.ensemble.Neurons) else obj


def _find_cycle(operators, graph):
    """Walk backwards until an operator comes up again: each of these waits for another of them."""
    blocked = {id(op): op for op in operators}
    waits_for = {}
    for op in operators:
        for reader in graph[id(op)]:
            if id(reader) in blocked:
                waits_for.setdefault(id(reader), op)
    path, seen, op = [], {}, operators[0]
    while id(op) not in seen:
        seen[id(op)] = len(path)
        path.append(op)
        op = waits_for[id(op)]
    return path[seen[id(op)] :]


def _names(objects, limit=8):
    shown = [str(obj) for obj in objects[:limit]]
    return "[" + ", ".join(shown) + (f", and {len(objects) - limit} more" if len(objects) > limit else "") + "]"
