"""Rules, and their registry: how an operator of Nengo's runs for all steps of a chunk at once.

That of neuron types is in `neurons`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..exceptions import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from nengo.builder import Operator, Signal

    from .context import Build, StepRange
    from .signals import Value

__all__ = ["Rule", "find_rule", "register_operator"]

#: By class, or by module and name of one: what makes a rule of an operator and the `Build`.
_RULES: dict[type[Operator] | str, Callable[[Operator, Build], Rule]] = {}

#: What is decorated, which stays what it is.
_Made = TypeVar("_Made")


def register_operator(operator_class: type[Operator] | str) -> Callable[[_Made], _Made]:
    """Register a `Rule` for a class of operators and its subclasses.

    Parameters
    ----------
    operator_class : type or str
        Subclass of `nengo.builder.Operator`; or module and name of one, ``"package.module.Name"``, whose package is
        not loaded for it.

    Returns
    -------
    callable
        Decorator of a `Rule`, or of a function that makes one from the operator and the `Build`.
    """

    def decorate(rule):
        _RULES[operator_class] = rule
        return rule

    return decorate


def find_rule(operator: Operator) -> Callable[[Operator, Build], Rule]:
    """Look up the rule for an operator.

    Raises
    ------
    SimulatorError
        If there is none.
    """
    for cls in type(operator).__mro__:
        for key in (cls, f"{cls.__module__}.{cls.__qualname__}"):
            if key in _RULES:
                return _RULES[key]
    known = sorted(key.rpartition(".")[2] if isinstance(key, str) else key.__name__ for key in _RULES)
    raise SimulatorError(
        f"operator {operator}: it cannot run for all time steps at once; expected one of "
        f"{known}, got {type(operator).__name__}. Use nengo_dl.Simulator, or register "
        "a rule for it."
    )


class Rule:
    """How one operator runs for all steps of a chunk at once.

    Derive from it, decorate with `register_operator`, and write `__call__`.

    Parameters
    ----------
    operator : nengo.builder.Operator
        What to run.
    build : Build
        What is known when the simulator is built: ``dt``, ``dtype``, ``minibatch_size``, and which signals are read.

    Attributes
    ----------
    moving : bool
        Whether the output changes from step to step even if the input does not: rules that have a state or read the
        clock say True.
    may_settle : bool
        Whether it may ever be `settled`. Rules that move say False unless they can tell.
    optional : bool
        Whether it is there for those who look: it does not run, nor what follows from it, unless a probe or a Python
        function sees any of that.
    """

    moving = False
    optional = False

    def __init__(self, operator: Operator, build: Build):
        self.operator = operator
        self.build = build

    @property
    def inputs(self) -> list[Signal]:
        """The signals whose values the rule is called with."""
        return self.operator.reads

    @property
    def outputs(self) -> list[Signal]:
        """The signals that the rule gives values for."""
        return self.operator.sets + self.operator.incs + self.operator.updates

    @property
    def may_settle(self) -> bool:
        """See the class."""
        return not self.moving

    @property
    def settled(self) -> bool:
        """Whether one more step, with the input of the last one, would change neither the state nor the output.

        Once that holds for all rules and nothing moves that the network is fed with, all later steps are copies of the
        last one, and are not computed.
        """
        return self.may_settle

    def reset(self, rng: np.random.RandomState) -> None:
        """Go back to the initial state.

        Parameters
        ----------
        rng : numpy.random.RandomState
            The simulator's random numbers. Rules are reset in the order of the reference simulator, so that they draw
            what it draws.
        """

    def __call__(self, inputs: Sequence[Value], chunk: StepRange) -> list[Value | None]:
        """Run.

        Parameters
        ----------
        inputs : list of Value
            Values of `inputs`.
        chunk : StepRange
            Which time steps they are of.

        Returns
        -------
        list of (Value or None)
            Values of `outputs`; None for one that nobody reads.
        """
        raise NotImplementedError
