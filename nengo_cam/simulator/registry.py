"""The registry of rules: how an operator of Nengo's runs for all steps of a chunk at once."""

from ..exceptions import SimulatorError

__all__ = ["Rule", "find_rule", "register_operator"]

_RULES = {}


def register_operator(operator_class):
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


def find_rule(operator):
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
    """

    moving = False

    def __init__(self, operator, build):
        self.operator = operator
        self.build = build

    @property
    def inputs(self):
        """The signals whose values the rule is called with."""
        return self.operator.reads

    @property
    def outputs(self):
        """The signals that the rule gives values for."""
        return self.operator.sets + self.operator.incs + self.operator.updates

    def reset(self, rng):
        """Go back to the initial state.

        Parameters
        ----------
        rng : numpy.random.RandomState
            The simulator's random numbers. Rules are reset in the order of the reference simulator, so that they draw
            what it draws.
        """

    def __call__(self, inputs, chunk):
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
