"""The input images behind the maps: which one belongs to a map, how it is shown, and where both lie.

Places are pixel coordinates of the input image. Pixel (0, 0) is centered on y = x = 0, so an image of (Y, X) pixels
reaches from -0.5 to Y - 0.5 and X - 0.5.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..exceptions import ImageError, ResultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

__all__ = [
    "as_images",
    "check_cover",
    "displayed",
    "displayed_signal",
    "edges",
    "frame_indices",
    "gray",
    "image_extent",
    "image_index",
    "map_extent",
]

#: ``(left, right, bottom, top)`` [pixel], as matplotlib's ``imshow`` takes it.
Extent = tuple[float, float, float, float]


def as_images(images: ArrayLike, input_shape: Sequence[int] | None = None, n_axes: int = 2) -> np.ndarray:
    r"""Check a stack of images, signals or volumes.

    Parameters
    ----------
    images : array_like of shape (N, \*pixels), (N, \*pixels, C) or (N, T, \*pixels, C)
        Images, or films of T frames; the pixels are (Y, X), of signals (X,), of volumes (Z, Y, X).
    input_shape : sequence of int, optional
        Shape (\*pixels, C) or (\*pixels) that the maps were computed from.
    n_axes : int
        How many axes an image has, as a map of it: 1, 2 or 3.

    Returns
    -------
    ndarray of shape (N, T, \*pixels, C)
        The same with all its axes; T is 1 for still images. Not copied.

    Raises
    ------
    ImageError
        If the shape or the type does not fit.
    """
    images = np.asarray(images)
    pixels = ", ".join(("Z", "Y", "X")[-n_axes:])
    if images.dtype.kind not in "buif":
        raise ImageError(f"images: not numbers; expected a numeric array, got dtype {images.dtype}. Convert it first.")
    # How many axes there are tells signals of several channels from films, and volumes from either.
    if images.ndim not in (n_axes + 1, n_axes + 2, n_axes + 3) or images.size == 0:
        raise ImageError(
            f"images: wrong shape; expected (N, {pixels}), (N, {pixels}, C) or (N, T, {pixels}, C), got "
            f"{images.shape}. Add the missing axis, e.g. images[None] for a single image."
        )
    if images.ndim == n_axes + 1:
        images = images[..., None]
    if images.ndim == n_axes + 2:
        images = images[:, None]
    if input_shape is not None and images.shape[2:-1] != tuple(input_shape[:n_axes]):
        raise ImageError(
            f"images: wrong number of pixels; expected {tuple(input_shape[:n_axes])} ({pixels}) as the maps were "
            f"computed from, got {images.shape[2:-1]}. Pass the images that went into the network."
        )
    return images


def image_index(n_images: int, n_maps: int, position: int, coordinate: Any) -> int:
    """Find the image that belongs to a map.

    As many images as maps are matched one to one; otherwise the images are taken to be the full set, and the map's
    ``image`` coordinate says which one of them it is.

    Parameters
    ----------
    n_images : int
        Number of images given.
    n_maps : int
        Number of images in the Dataset.
    position : int
        Position of the map in the Dataset.
    coordinate : int
        Value of the ``image`` coordinate there.

    Returns
    -------
    int
        Index into the images.

    Raises
    ------
    ImageError
        If there is no such image.
    """
    if n_images == n_maps:
        return position
    try:
        index = operator.index(coordinate)
    except TypeError:
        index = -1
    if not 0 <= index < n_images:
        raise ImageError(
            f"images: none for the image coordinate {coordinate!r}; expected {n_maps} images or all that the maps "
            f"were selected from, got {n_images}. Pass one image per map or the full set."
        )
    return index


def frame_indices(n_frames: int, times: np.ndarray, dt: float) -> np.ndarray:
    """Find the frame of a film that was shown at each time step.

    As many frames as steps are matched one to one; otherwise the frames are taken to be those of the whole
    simulation, one per step of ``dt``.

    Parameters
    ----------
    n_frames : int
        Number of frames; 1 for a still image.
    times : ndarray of shape (T,)
        Times of the maps, where ``times[i] = (i + 1) * dt`` in a whole simulation [s].
    dt : float
        Length of a step [s].

    Returns
    -------
    ndarray of shape (T,)
        Indices of frames.

    Raises
    ------
    ImageError
        If the film is too short.
    """
    if n_frames == 1:
        return np.zeros(len(times), dtype=int)
    if n_frames == len(times):
        return np.arange(n_frames)
    indices = np.rint(np.asarray(times) / dt).astype(int) - 1
    if indices.min() < 0 or indices.max() >= n_frames:
        raise ImageError(
            f"images: the film does not fit the maps; expected {len(times)} frames or one per step up to "
            f"step {indices.max() + 1}, got {n_frames}. Pass the film that went into the network."
        )
    return indices


def displayed(film: ArrayLike) -> np.ndarray:
    """Stretch an image to the range of the display.

    Parameters
    ----------
    film : array_like of shape (..., Y, X, C)
        One image, or the frames of one film, in any units.

    Returns
    -------
    ndarray of shape (..., Y, X) or (..., Y, X, 3)
        Values in [0, 1], stretched by the smallest and largest value of the whole array; a constant image is 0.
        Three channels are colors. Two channels without negative values are events, off before on: 0.5 is none, on is
        lighter and off is darker, by their difference as a part of the largest value. Any other number of channels
        becomes their mean, in gray.

    Raises
    ------
    ImageError
        If a value is not finite.
    """
    picture = _finite(film)
    if picture.shape[-1] == 2 and picture.min() >= 0:
        # Shades and not colors, which mean the sign of a map.
        off, on = np.moveaxis(picture, -1, 0)
        return 0.5 + 0.5 * (on - off) / (picture.max() or 1.0)
    if picture.shape[-1] != 3:
        # No color map fits them all, and a mean shows where something is.
        picture = picture.mean(axis=-1)
    return _stretched(picture)


def displayed_signal(film: ArrayLike) -> np.ndarray:
    """Stretch a signal to the height of its axes.

    Parameters
    ----------
    film : array_like of shape (..., X, C)
        One signal, or the frames of one that changes, in any units.

    Returns
    -------
    ndarray of shape (..., X, C)
        Values in [0, 1], stretched by the smallest and largest value of the whole array, so that channels keep their
        proportions; a constant signal is 0.

    Raises
    ------
    ImageError
        If a value is not finite.
    """
    return _stretched(_finite(film))


def gray(picture: np.ndarray) -> np.ndarray:
    """Reduce a displayed picture to its brightness, so that color is left to the map above it.

    Parameters
    ----------
    picture : ndarray of shape (Y, X) or (Y, X, 3)
        Values in [0, 1].

    Returns
    -------
    ndarray of shape (Y, X)
        Values in [0, 1]. Colors are weighted as in Rec. 601 [1]_.

    References
    ----------
    .. [1] ITU-R Recommendation BT.601-7 (2011), section 2.5.1.
    """
    return picture @ np.array([0.299, 0.587, 0.114]) if picture.ndim == 3 else picture


def map_extent(y: ArrayLike, x: ArrayLike) -> Extent:
    """Find the rectangle that the cells of a map cover.

    Parameters
    ----------
    y : array_like of shape (Y,)
        Centers of the rows [pixel]. A single row is taken to reach from the edge of the image at -0.5 to as far on
        the other side.
    x : array_like of shape (X,)
        Centers of the columns [pixel].

    Returns
    -------
    tuple of float
        ``(left, right, bottom, top)`` as matplotlib's ``imshow`` takes it, with the first row at the top [pixel].

    Raises
    ------
    ResultError
        If the centers are not evenly spaced.
    """
    top, bottom = edges(y, "y")
    left, right = edges(x, "x")
    return left, right, bottom, top


def image_extent(shape: tuple[int, ...]) -> Extent:
    """Find the rectangle that an image covers.

    Parameters
    ----------
    shape : tuple
        Shape (Y, X) or (Y, X, C).

    Returns
    -------
    tuple of float
        ``(left, right, bottom, top)`` [pixel].
    """
    return -0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5


def edges(centers: ArrayLike, name: str) -> tuple[float, float]:
    """Find where the cells along an axis begin and end.

    Parameters
    ----------
    centers : array_like of shape (cells,)
        Centers of the cells [pixel]. A single one is taken to reach from -0.5 to as far on the other side.
    name : str
        The axis, for an error.

    Returns
    -------
    (float, float)
        Outer edges of the first and of the last cell [pixel].

    Raises
    ------
    ResultError
        If the centers are not evenly spaced.
    """
    centers = np.asarray(centers, dtype=float)
    if len(centers) == 1:
        return -0.5, 2 * float(centers[0]) + 0.5
    steps = np.diff(centers)
    if not np.allclose(steps, steps[0], rtol=1e-3) or steps[0] == 0:
        raise ResultError(
            f"coordinate {name!r}: the cells are not evenly spaced; expected equal steps, got steps from "
            f"{steps.min():g} to {steps.max():g}. Select a contiguous part of the map."
        )
    step = (centers[-1] - centers[0]) / (len(centers) - 1)
    return float(centers[0] - step / 2), float(centers[-1] + step / 2)


def check_cover(extent: Extent, shape: tuple[int, ...], cells: tuple[int, ...], *, counted: bool = False) -> None:
    """Check that a map lies in the middle of an image, give or take half a cell.

    It need not cover it: after convolutions without padding no cell is centered near the edge.

    Parameters
    ----------
    extent : tuple of float
        ``(left, right, bottom, top)`` of the map [pixel].
    shape : tuple
        Shape (Y, X, ...) of the image.
    cells : tuple
        Shape (Y, X) of the map.
    counted : bool
        Whether the coordinates of the map only count its cells, as nobody said how large the image is.

    Raises
    ------
    ImageError
        If the image is larger or smaller than the one that the map belongs to.
    """
    left, right, bottom, top = extent
    # Strided convolutions with TensorFlow's 'same' padding shift a map by up to half a cell.
    slack = np.array([abs(bottom - top) / cells[0], abs(right - left) / cells[1]]) / 2
    middle = np.array([bottom + top, right + left]) / 2
    if np.all(np.abs(middle - (np.array(shape[:2]) - 1) / 2) <= slack + 1e-6):
        return
    if counted:
        raise ImageError(
            f"image: {tuple(shape[:2])} pixels do not fit the map, whose place in the image is not known; expected "
            f"coordinates in pixels, got numbers of cells, {tuple(cells)} (Y, X). Make the Dataset with input_shape=, "
            "the shape of an image."
        )
    expected = tuple(round(float(size)) for size in 2 * middle + 1)
    raise ImageError(
        f"image: {tuple(shape[:2])} pixels do not fit the map; expected about {expected} pixels (Y, X) if its y and x "
        f"coordinates are those of all of its cells, got {tuple(shape[:2])}. Pass the image that the map was computed "
        "from, at its original size, and the whole map."
    )


def _finite(film):
    picture = np.asarray(film, dtype=float)
    if not np.all(np.isfinite(picture)):
        raise ImageError("image: some pixels are not finite; expected numbers, got NaN or inf. Replace them first.")
    return picture


def _stretched(picture):
    low, high = picture.min(), picture.max()
    return (picture - low) / (high - low) if high > low else np.zeros_like(picture)
