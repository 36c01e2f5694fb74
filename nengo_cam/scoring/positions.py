"""The axes of a map: y and x, x alone in one dimension, z, y and x in three."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from ..exceptions import ResultError

__all__ = ["check_positions", "describe", "input_coordinates", "pixel_centers", "positions", "remedy_of_arrays"]


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
            f"{name}: expected a DataArray with dims (..., 'y', 'x'), got {describe(maps)}. "
            + remedy_of_arrays(maps, "Pass dataset.cam.")
        )
    return positions(maps)


def pixel_centers(maps: xr.DataArray | xr.Dataset, dim: str) -> np.ndarray:
    """Return where the cells of a map are centered in the image.

    Parameters
    ----------
    maps : xarray.DataArray or xarray.Dataset
        Maps with a coordinate for ``dim``.
    dim : str
        One of its `positions`.

    Returns
    -------
    ndarray of float of shape (cells,)
        Centers [pixel]: the coordinate of the dim itself, or that named ``<dim>_pixel`` beside coordinates that the
        user gave to rows and columns.
    """
    return maps.coords[f"{dim}_pixel" if f"{dim}_pixel" in maps.coords else dim].values.astype(float)


def input_coordinates(attrs: dict[Any, Any], dim: str) -> np.ndarray | None:
    """Return the coordinates that the user gave to the pixels of the input.

    Parameters
    ----------
    attrs : dict
        Attributes of a Dataset of maps, whose ``coords`` holds them as JSON.
    dim : str
        A dim of a map.

    Returns
    -------
    ndarray of shape (pixels,) or None
        Numbers or names, one for each pixel along ``dim``; None if that axis is counted in pixels.
    """
    given = json.loads(attrs.get("coords") or "{}")
    return np.array(given[dim]) if dim in given else None


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


def remedy_of_arrays(value: object, remedy: str) -> str:
    """Say what to do with what is no Dataset: of a bare array, nobody can know what its axes are.

    Parameters
    ----------
    value : object
        What the user gave.
    remedy : str
        What else there is to do: an imperative sentence.

    Returns
    -------
    str
        That sentence, or for an array without names of its axes one that leads to `nengo_cam.cam_dataset`.
    """
    if isinstance(value, (list, tuple)) or (hasattr(value, "__array__") and not hasattr(value, "dims")):
        return "Make a Dataset of the features that you probed: nengo_cam.cam_dataset(features, head_or_kernel)."
    return remedy
