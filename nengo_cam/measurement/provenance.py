"""The time axis of a result, and how the result was made: the same in every Dataset of this room."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import compat
from ..models.head import CAMHead

__all__ = ["provenance", "time_axis"]


def time_axis(steps: int | ArrayLike, dt: float) -> tuple[str, np.ndarray, dict[str, str]]:
    """Make the coordinate of time: a step ends at its time, as in Nengo's ``trange``.

    Parameters
    ----------
    steps : int or array_like of int
        How many steps from the first, or which, counted from 0.
    dt : float
        Time step [s].

    Returns
    -------
    tuple
        Dimension, values [s] and attributes, for `xarray.Dataset`.
    """
    given: Any = steps
    positions = np.arange(given) if np.ndim(given) == 0 else np.asarray(given)
    return ("time", (positions + 1) * dt, {"units": "s", "long_name": "time"})


def provenance(head: CAMHead, how: dict[str, Any]) -> dict[str, Any]:
    """Make the attributes of a result.

    Parameters
    ----------
    head : CAMHead
        Head of the model; it knows the model's name.
    how : dict of {str: object}
        What is to be said of this result: the run, the network, settings. Values that NetCDF can hold.

    Returns
    -------
    dict
        The model first and the versions of packages last, so that what differs stands together.
    """
    return {"model": head.model, **how, **compat.package_versions()}
