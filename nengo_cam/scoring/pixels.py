"""Images with the maps that explain them: checked, one map for each image, brought to its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from ..checks.images import check_images
from ..exceptions import ImageError, LabelError, ParameterError, ResultError
from .positions import check_positions, pixel_centers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

__all__ = ["check_interpolation", "check_pairs", "choose_labels", "on_pixels", "one_per_image", "score"]

_INTERPOLATIONS = ("linear", "nearest")


def on_pixels(
    maps: xr.DataArray, shape: tuple[int, ...], *, interpolation: Literal["linear", "nearest"] = "linear"
) -> np.ndarray:
    """Bring maps to the pixels of the image, by the coordinates of their cells.

    Parameters
    ----------
    maps : xarray.DataArray with dims (..., y, x), (..., x) or (..., z, y, x)
        Maps with pixel coordinates.
    shape : tuple of int
        Shape of the image without channels.
    interpolation : {"linear", "nearest"}
        Linear between the centers of neighboring cells along each axis, constant beyond the outermost; or the value
        of the nearest cell, of two equally near the first.

    Returns
    -------
    ndarray of shape (..., *shape)
        A value for each pixel.

    Raises
    ------
    ResultError
        If ``maps`` has no such dims, or not as many as the image.
    ParameterError
        If ``interpolation`` is unknown.
    """
    check_interpolation(interpolation)
    dims = check_positions("maps", maps)
    if len(dims) != len(shape):
        raise ResultError(
            f"maps: expected one dim for each axis of an image of shape {tuple(shape)}, got {dims}. Pass the images "
            "without channels, and their maps."
        )
    values = maps.transpose(..., *dims).values.astype(float)
    for axis, (dim, n_pixels) in enumerate(zip(dims, shape), start=-len(dims)):
        centers, pixels = pixel_centers(maps, dim), np.arange(n_pixels)
        if interpolation == "nearest":
            weights = np.eye(len(centers))[abs(pixels[:, None] - centers).argmin(axis=1)]
        else:
            # Interpolation is linear in the values: what it makes of unit vectors is its matrix, which serves all maps.
            weights = np.stack([np.interp(pixels, centers, unit) for unit in np.eye(len(centers))], axis=1)
        values = np.moveaxis(np.moveaxis(values, axis, -1) @ weights.T, -1, axis)
    return values


def check_interpolation(interpolation: Any) -> None:
    """Check that an interpolation is one that `on_pixels` knows.

    Parameters
    ----------
    interpolation : object
        What the user gave.

    Raises
    ------
    ParameterError
        If it is something else.
    """
    if interpolation not in _INTERPOLATIONS:
        raise ParameterError(
            f"interpolation: expected one of {list(_INTERPOLATIONS)}, got {interpolation!r}. Choose one."
        )


def check_pairs(images: ArrayLike, maps: xr.DataArray) -> tuple[np.ndarray, xr.DataArray]:
    """Check that maps are those of still images.

    Parameters
    ----------
    images : array_like of shape (N, Y, X, channels)
        Images.
    maps : xarray.DataArray with dims (image, label, y, x) or (image, y, x)
        Maps, in any order of dims.

    Returns
    -------
    images : ndarray of float32
        The images.
    maps : xarray.DataArray
        The maps, image first, positions last.

    Raises
    ------
    ImageError
        If the images are no images, or not as many as the maps.
    ResultError
        If the maps have other dims, or values that are not finite.
    """
    dims = check_positions("maps", maps)
    others = [str(dim) for dim in maps.dims if dim not in dims]
    if sorted(others) not in (["image"], ["image", "label"]):
        raise ResultError(
            f"maps: expected dims ('image', 'label', 'y', 'x') or the same without label, got {tuple(maps.dims)}. "
            "Choose one time: maps.isel(time=-1)."
        )
    shape = np.shape(images)
    if len(shape) != len(dims) + 2:
        raise ImageError(
            f"images: wrong shape; expected still images, {len(dims) + 2} axes for maps with dims {dims}, got {shape}. "
            "Pass the images that the maps were made of.",
            shape=shape,
        )
    images = check_images(images, shape[1:])
    if len(images) != maps.sizes["image"]:
        raise ImageError(
            f"images: expected as many as there are maps, {maps.sizes['image']}, got {len(images)}. Pass the images "
            "that the maps were made of."
        )
    if not np.isfinite(maps.values).all():
        raise ResultError("maps: expected finite values, got NaN or infinity. Leave those images out.")
    return images, maps.transpose("image", ..., *dims)


def score(predict: Callable[[np.ndarray], ArrayLike], images: np.ndarray) -> np.ndarray:
    """Ask a callable for scores, and check what comes.

    Parameters
    ----------
    predict : callable
        From images to scores.
    images : ndarray of shape (N, ...)
        Images.

    Returns
    -------
    ndarray of shape (N, L)
        The scores.

    Raises
    ------
    ResultError
        If they have another shape, or are not finite.
    """
    scores = np.asarray(predict(images), dtype=float)
    if scores.ndim != 2 or len(scores) != len(images) or not np.isfinite(scores).all():
        raise ResultError(
            f"predict: expected finite scores of shape ({len(images)}, L), got shape {scores.shape}"
            f"{'' if np.isfinite(scores).all() else ' with NaN or infinity'}. Return one row for each image."
        )
    return scores


def choose_labels(
    predict: Callable[[np.ndarray], ArrayLike], images: np.ndarray, maps: xr.DataArray, labels: int | ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    """Decide on the label of each image.

    Parameters
    ----------
    predict, images, maps
        As checked by `check_pairs`.
    labels : int or array_like of shape (N,), or None
        Columns of the scores; None takes the highest score of each image.

    Returns
    -------
    labels : ndarray of shape (N,)
        Columns of the scores.
    scores : ndarray of shape (N, L)
        Scores of the images.

    Raises
    ------
    LabelError
        If a label has no score or no map.
    ResultError
        If ``predict`` gives something else than scores.
    """
    scores = score(predict, images)
    if labels is None:
        labels = scores.argmax(axis=1)
    try:
        given = np.broadcast_to(labels, len(images))
    except ValueError:
        # Not whole numbers, so that the error below says what was expected.
        given = np.zeros(0)
    if given.dtype.kind not in "iu" or not ((given >= 0) & (given < scores.shape[1])).all():
        raise LabelError(
            f"labels: expected one for all images or {len(images)}, whole numbers from 0 to {scores.shape[1] - 1}, got "
            f"{labels!r}. Give columns of the scores."
        )
    if "label" in maps.dims:
        known = _columns(maps, scores.shape[1])
        missing = sorted(set(given.tolist()) - set(known))
        if missing:
            raise LabelError(
                f"labels: no map for {missing}; expected some of {known}, got {missing[0]}. Make the maps of all "
                "labels.",
                label=missing[0],
            )
    return given, scores


def one_per_image(maps: xr.DataArray, labels: np.ndarray) -> xr.DataArray:
    """Pick the map of each image's label.

    Parameters
    ----------
    maps : xarray.DataArray with dims (image, label, y, x) or (image, y, x)
        Maps, from `check_pairs`.
    labels : ndarray of shape (N,)
        Labels, from `choose_labels`.

    Returns
    -------
    xarray.DataArray with dims (image, y, x)
    """
    if "label" not in maps.dims:
        return maps
    names = maps.label.values
    columns = names.tolist() if names.dtype.kind in "iu" else list(range(len(names)))
    picked = xr.DataArray([columns.index(label) for label in labels.tolist()], dims="image")
    return maps.isel(label=picked).drop_vars("label").transpose("image", ...)


def _columns(maps, n_labels):
    """Tell which column of the scores each map stands for."""
    names = maps.label.values
    if names.dtype.kind in "iu":
        return names.tolist()
    if len(names) != n_labels:
        raise LabelError(
            f"maps: {len(names)} named labels do not tell which of {n_labels} scores they are; expected all of them, "
            f"got {names.tolist()}. Make the maps of all labels, or without label_names."
        )
    return list(range(n_labels))
