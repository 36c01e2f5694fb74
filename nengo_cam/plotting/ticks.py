"""Ticks in the user's coordinates, on axes that are counted in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from ..scoring.positions import input_coordinates, pixel_centers
from .text import literal, plain

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

__all__ = ["Coordinates", "coordinates_of", "label_pixels", "ticks_of"]

# Ticks of an axis: numbers are read along it, names each by itself.
_NUMBERS, _NAMES = 4, 8
# The same for axes half an inch wide.
_FEW_NUMBERS, _FEW_NAMES = 1, 3
# Letters of a name beside a tick, beside one of such small axes, and of one that can stand level below its own.
_LONGEST, _LONGEST_SMALL, _LEVEL = 14, 7, 3


class Coordinates(NamedTuple):
    """The user's coordinates along an axis.

    Attributes
    ----------
    places : ndarray of shape (n,)
        Where they are known [pixel].
    values : ndarray of shape (n,)
        Numbers or names.
    """

    places: np.ndarray
    values: np.ndarray


def coordinates_of(maps: xr.Dataset | xr.DataArray) -> dict[str, Coordinates]:
    """Read the coordinates that the user gave to the pixels of the input.

    Parameters
    ----------
    maps : xarray.Dataset or xarray.DataArray
        Maps. Those cut out of a Dataset have lost its attributes, and only know the coordinates of their cells.

    Returns
    -------
    dict of {str: Coordinates}
        For y and x, where there are some.
    """
    found = {}
    for dim in ("y", "x"):
        given = input_coordinates(maps.attrs, dim)
        if given is not None:
            found[dim] = Coordinates(np.arange(len(given)), given)
        elif dim in maps.coords and f"{dim}_pixel" in maps.coords:
            found[dim] = Coordinates(pixel_centers(maps, dim), maps[dim].values)
    return found


def ticks_of(given: Coordinates, first: float, last: float, *, small: bool = False) -> tuple[np.ndarray, list[str]]:
    """Choose a few ticks of an axis.

    Parameters
    ----------
    given : Coordinates
        Numbers or names.
    first, last : float
        What the axis shows [pixel].
    small : bool
        Whether the axes are half an inch wide, and have room for fewer and shorter names.

    Returns
    -------
    places : ndarray of shape (ticks,)
        Where they are [pixel].
    names : list of str
        Round numbers, between the places that have the numbers around them; or names, cut off if long. Numbers that do
        not only rise or only fall are names.
    """
    seen = (given.places >= min(first, last)) & (given.places <= max(first, last))
    places, values = given.places[seen], given.values[seen]
    if len(places) == 0:
        return places, []
    if values.dtype.kind in "iuf" and len(values) > 1:
        signs = np.sign(np.diff(values))
        if signs[0] != 0 and (signs == signs[0]).all():
            low, high = sorted((float(values[0]), float(values[-1])))
            found = _round_numbers(low, high, _FEW_NUMBERS if small else _NUMBERS)
            # `interp` wants values that rise.
            order = slice(None, None, int(signs[0]))
            return np.interp(found, values[order], places[order]), [f"{value:.6g}" for value in found]
    every = -(-len(places) // (_FEW_NAMES if small else _NAMES))
    longest = _LONGEST_SMALL if small else _LONGEST
    return places[::every], [plain(_number(value), longest) for value in values[::every].tolist()]


def label_pixels(
    ax: Axes, coordinates: dict[str, Coordinates], *, fontsize: str | float = "x-small", small: bool = False
) -> None:
    """Give axes in pixels ticks in the user's coordinates.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Axes with their final limits.
    coordinates : dict of {str: Coordinates}
        As `coordinates_of` gives them. An axis without any stays as it is.
    fontsize : str or float
        Size of the texts.
    small : bool
        Whether the axes are half an inch wide.
    """
    for dim, given in coordinates.items():
        axis = ax.xaxis if dim == "x" else ax.yaxis
        places, names = ticks_of(given, *(ax.get_xlim() if dim == "x" else ax.get_ylim()), small=small)
        # Names side by side would run into each other.
        upright = dim == "x" and given.values.dtype.kind not in "iuf" and max(map(len, names), default=0) > _LEVEL
        axis.set_ticks(places, names, fontsize=fontsize, rotation=90 if upright else 0)
        axis.set_tick_params(length=2, pad=1.5)
        for text in axis.get_ticklabels():
            literal(text)


def _round_numbers(low, high, n_parts):
    """Find about so many round numbers in a range, but at least two, without which nothing can be read."""
    for finer in range(n_parts, 2 * _NAMES):
        found = np.asarray(MaxNLocator(finer, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
        found = found[(found >= low) & (found <= high)]
        if len(found) >= 2:
            return found
    # They differ by less than a locator can tell.
    return np.array([low, high])


def _number(value):
    return f"{value:.6g}" if isinstance(value, float) else value
