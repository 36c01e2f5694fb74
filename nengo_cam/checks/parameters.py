"""Checks of plain arguments that several modules take."""

import itertools
import numbers

import numpy as np

from ..exceptions import ParameterError

__all__ = ["check_count", "check_positive", "check_seed", "number_twins"]


def check_count(name, value, *, optional=False):
    """Check that an argument is a whole number of at least 1.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object
        What the user gave.
    optional : bool
        Whether None will do too.

    Raises
    ------
    ParameterError
        If it is something else.
    """
    if optional and value is None:
        return
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ParameterError(f"{name}: expected a whole number of at least 1, got {value!r}. Try {name}=10.")


def check_positive(name, value, *, unit):
    """Check that an argument is a positive, finite number.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object
        What the user gave.
    unit : str
        Its unit, for the message.

    Raises
    ------
    ParameterError
        If it is something else.
    """
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not np.isfinite(value) or value <= 0:
        raise ParameterError(f"{name}: expected a positive number of {unit}, got {value!r}. Give a positive {name}.")


def check_seed(seed):
    """Check that a seed is None or a number that NumPy and TensorFlow take.

    Parameters
    ----------
    seed : object
        What the user gave.

    Raises
    ------
    ParameterError
        If it is something else.
    """
    if seed is None:
        return
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise ParameterError(f"seed: expected a whole number from 0 to 2**31 - 1 or None, got {seed!r}. Try seed=0.")


def number_twins(names):
    """Give a name that comes again a number: ImageNet's crane is a bird, and a machine.

    Parameters
    ----------
    names : sequence of str
        Names, in order.

    Returns
    -------
    list of str
        As many names, all of them different: the second ``"crane"`` is ``"crane (2)"``.
    """
    taken, seen, result = set(names), set(), []
    for name in names:
        if name in seen:
            name = next(free for n in itertools.count(2) if (free := f"{name} ({n})") not in taken)
            taken.add(name)
        seen.add(name)
        result.append(name)
    return result
