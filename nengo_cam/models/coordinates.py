"""What users call the rows and columns of an input that is no picture: times, frequencies, genes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import ParameterError

if TYPE_CHECKING:
    from .head import CAMHead

__all__ = ["at_centers", "check_coordinates", "name_places"]


def name_places(head: CAMHead, coords: Mapping[str, Any] | None) -> CAMHead:
    """Give the rows and columns of a head's input coordinates of the user's.

    Parameters
    ----------
    head : CAMHead
        What was found in a model.
    coords : mapping of {str: sequence}, or None
        By ``"y"``, ``"x"`` or ``"z"``: a number or a name for each pixel along that axis of the input. None leaves the
        head as it is.

    Returns
    -------
    CAMHead
        The same with ``coordinates``.

    Raises
    ------
    ParameterError
        If an axis does not exist, or there is not one finite number or one name for each pixel.
    """
    if coords is None:
        return head
    # The spatial axes of the input; the channels come first or last, and all models here but some have them last.
    sizes = dict(zip(head.dims, head.input_shape[: len(head.dims)]))
    return dataclasses.replace(head, coordinates=check_coordinates(coords, sizes))


def check_coordinates(coords: Any, sizes: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Check coordinates of rows and columns.

    Parameters
    ----------
    coords : object
        What the user gave.
    sizes : mapping of {str: int}
        Pixels along each axis of the input.

    Returns
    -------
    dict of {str: ndarray}
        Numbers or strings, by axis.

    Raises
    ------
    ParameterError
        If an axis does not exist, or there is not one finite number or one name for each pixel.
    """
    if not isinstance(coords, Mapping) or not set(coords) <= set(sizes):
        given = sorted(map(str, coords)) if isinstance(coords, Mapping) else repr(coords)
        raise ParameterError(
            f"coords: expected a dict of {list(sizes)}, the axes of the input, got {given}. Leave others out."
        )
    return {dim: _values(dim, values, sizes[dim]) for dim, values in coords.items()}


def _values(dim: str, values: Sequence[Any], size: int) -> NDArray[Any]:
    array = np.asarray(values)
    named = array.dtype.kind in "UT" or (array.dtype == object and all(isinstance(value, str) for value in array.flat))
    if not (named or (array.dtype.kind in "iuf" and np.isfinite(array).all())) or array.shape != (size,):
        raise ParameterError(
            f"coords[{dim!r}]: expected {size} finite numbers, or {size} names, one for each pixel of that axis of the "
            f"input, got {array.dtype} of shape {array.shape}. Convert times to seconds, and give all of them."
        )
    return array.astype(str) if named else array


def at_centers(values: NDArray[Any], centers: NDArray[Any]) -> NDArray[Any]:
    """Return the coordinates of places between pixels.

    Parameters
    ----------
    values : ndarray of shape (pixels,)
        Coordinate of each pixel.
    centers : ndarray of shape (cells,)
        Places [pixel], which may lie beyond the first or the last.

    Returns
    -------
    ndarray of shape (cells,)
        Numbers are interpolated, and beyond the pixels continued as they end; of names that of the nearest pixel.
    """
    centers = np.asarray(centers, float)
    nearest = np.clip(np.rint(centers), 0, len(values) - 1).astype(int)
    if values.dtype.kind not in "iuf" or np.array_equal(nearest, centers) or len(values) == 1:
        return values[nearest]
    before = np.clip(np.floor(centers), 0, len(values) - 2).astype(int)
    first, second = values[before].astype(float), values[before + 1].astype(float)
    return first + (centers - before) * (second - first)
