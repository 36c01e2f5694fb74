"""The axes of a map: y and x, x alone in one dimension, z, y and x in three."""

from __future__ import annotations

import xarray as xr

from ..exceptions import ResultError

__all__ = ["check_positions", "describe", "positions"]


def positions(maps: xr.DataArray) -> list[str]:
    """Name the dims of a map, from the slowest to the fastest, whatever their order in the array.

    Parameters
    ----------
    maps : xarray.DataArray
        Maps, with any other dims.

    Returns
    -------
    list of str
        Those of z, y and x that there are.
    """
    return [dim for dim in ("z", "y", "x") if dim in maps.dims]


def check_positions(name: str, maps: object) -> list[str]:
    """Check that an array holds maps, and name their dims.

    Parameters
    ----------
    name : str
        What to call it in errors.
    maps : object
        What the user gave.

    Returns
    -------
    list of str
        As `positions`.

    Raises
    ------
    ResultError
        If it is not a DataArray, or has no positions.
    """
    # Every map has an x: a model of one dimension drops y.
    if not isinstance(maps, xr.DataArray) or "x" not in maps.dims:
        raise ResultError(
            f"{name}: expected a DataArray with dims (..., 'y', 'x'), got {describe(maps)}. Pass dataset.cam."
        )
    return positions(maps)


def describe(value: object) -> str:
    """Say what was given instead of a Dataset or maps, for an error.

    Parameters
    ----------
    value : object
        What the user gave.

    Returns
    -------
    str
        Its dims if it has any, otherwise its type.
    """
    return f"dims {tuple(value.dims)}" if hasattr(value, "dims") else type(value).__name__
