"""Checks of plain arguments that several modules take."""

from __future__ import annotations

import itertools
import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from ..exceptions import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CNN_MINIBATCH",
    "RUN_MINIBATCH",
    "check_count",
    "check_positive",
    "check_seed",
    "check_synapse",
    "is_real",
    "is_whole",
    "number_twins",
]

#: Images that a spiking network runs at a time unless told otherwise: a chunk holds activity of all its steps for each
#: of them, so that few steps fit into memory if they are many; and from here on more save little time per image.
RUN_MINIBATCH = 16
#: Images that the CNN runs at a time unless told otherwise: Keras's own default. It has no steps, so more images fit.
CNN_MINIBATCH = 32


def is_real(value: object) -> bool:
    """Tell whether a value is one real number.

    Parameters
    ----------
    value : object
        What the user gave.

    Returns
    -------
    bool
        False for True and False too, which Python counts among the numbers, and for arrays. NaN and infinity are real.
    """
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number by its type.

    Parameters
    ----------
    value : object
        What the user gave.

    Returns
    -------
    bool
        False for True and False too, and for 3.0.
    """
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def check_count(name: str, value: Any, *, optional: bool = False) -> None:
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
    if not is_whole(value) or value < 1:
        raise ParameterError(f"{name}: expected a whole number of at least 1, got {value!r}. Try {name}=10.")


def check_positive(name: str, value: Any, *, unit: str) -> None:
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
    if not is_real(value) or not np.isfinite(value) or value <= 0:
        raise ParameterError(f"{name}: expected a positive number of {unit}, got {value!r}. Give a positive {name}.")


def check_seed(seed: Any) -> None:
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
    if not is_whole(seed) or not 0 <= seed < 2**31:
        raise ParameterError(f"seed: expected a whole number from 0 to 2**31 - 1 or None, got {seed!r}. Try seed=0.")


def check_synapse(synapse: Any) -> None:
    """Check that an argument is a synapse of Nengo's, a positive time constant or None.

    Parameters
    ----------
    synapse : object
        What the user gave.

    Raises
    ------
    ParameterError
        If it is something else.
    """
    # By name, not by class: readers of results check their arguments here too, and they do without Nengo.
    bases = {(base.__module__.partition(".")[0], base.__name__) for base in type(synapse).__mro__}
    if synapse is None or ("nengo", "Synapse") in bases:
        return
    if not (is_real(synapse) and np.isfinite(synapse) and synapse > 0):
        raise ParameterError(
            f"synapse: expected a nengo synapse, a positive time constant in seconds or None, got {synapse!r}. Try "
            "0.005."
        )


def number_twins(names: Sequence[str]) -> list[str]:
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
    # A number must not make a name that another one has already.
    taken, seen, result = set(names), set(), []
    for name in names:
        if name in seen:
            name = next(free for n in itertools.count(2) if (free := f"{name} ({n})") not in taken)
            taken.add(name)
        seen.add(name)
        result.append(name)
    return result
