"""One plane of maps of three dimensions, as a picture has only two."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..exceptions import ParameterError

__all__ = ["STRONGEST", "check_plane", "plane_name", "plane_of_input", "plane_of_maps"]

STRONGEST = "strongest"


def check_plane(plane: Any, n_planes: int | None) -> str | int:
    """Check the argument ``plane`` of a plot.

    Parameters
    ----------
    plane : "strongest" or int
        What the user gave.
    n_planes : int or None
        How many planes the maps have; None if they have no dim ``z``.

    Returns
    -------
    str or int
        The same; an int from 0 on.

    Raises
    ------
    ParameterError
        If there is no such plane.
    """
    if isinstance(plane, str) and plane == STRONGEST:
        return STRONGEST
    if n_planes is None:
        raise ParameterError(
            f"plane: these maps have no planes; expected 'strongest', got {plane!r}. Leave it out: only maps with a "
            "dim 'z' have planes."
        )
    try:
        index = operator.index(plane)
    except TypeError:
        index = n_planes
    if not -n_planes <= index < n_planes:
        raise ParameterError(
            f"plane: not a plane of the maps; expected 'strongest' or an int from 0 to {n_planes - 1}, got {plane!r}. "
            "Choose one."
        )
    return index % n_planes


def plane_of_maps(maps: np.ndarray, plane: str | int) -> np.ndarray:
    """Reduce maps to one plane.

    Parameters
    ----------
    maps : ndarray of shape (..., Z, Y, X)
        Signed maps [logit].
    plane : "strongest" or int
        For each row and column the value of largest magnitude along z, with its sign; or the plane at this position.

    Returns
    -------
    ndarray of shape (..., Y, X)
        One plane [logit].
    """
    if not isinstance(plane, str):
        return maps[..., plane, :, :]
    # `argmax` takes NaN for the largest.
    size = np.where(np.isnan(maps), -1, np.abs(maps))
    return np.take_along_axis(maps, size.argmax(axis=-3, keepdims=True), axis=-3)[..., 0, :, :]


def plane_of_input(films: np.ndarray, plane: str | int, centers: np.ndarray) -> np.ndarray:
    """Reduce the input to what lies behind a plane of the maps.

    Parameters
    ----------
    films : ndarray of shape (..., Z, Y, X, C)
        Volumes.
    plane : "strongest" or int
        As for `plane_of_maps`.
    centers : ndarray of shape (planes,)
        Where the planes of the maps are centered along z [pixel].

    Returns
    -------
    ndarray of shape (..., Y, X, C)
        The mean along z, or the slice nearest to the plane.
    """
    if isinstance(plane, str):
        return films.mean(axis=-4)
    return films[..., int(np.clip(np.rint(centers[plane]), 0, films.shape[-4] - 1)), :, :, :]


def plane_name(plane: str | int) -> str:
    """Say in a title which plane is drawn: "strongest along z" or "plane 3"."""
    return f"{STRONGEST} along z" if isinstance(plane, str) else f"plane {plane}"
