"""Where maps and images lie, in pixel coordinates of the input image.

Pixel (0, 0) is centered on y = x = 0, so an image of (Y, X) pixels reaches from -0.5 to Y - 0.5 and X - 0.5.
"""

import numpy as np

from ..exceptions import ImageError, ResultError

__all__ = ["check_cover", "image_extent", "map_extent"]


def map_extent(y, x):
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
    top, bottom = _edges(y, "y")
    left, right = _edges(x, "x")
    return left, right, bottom, top


def image_extent(shape):
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


def check_cover(extent, shape, cells):
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

    Raises
    ------
    ImageError
        If the image is larger or smaller than the one that the map belongs to.
    """
    left, right, bottom, top = extent
    # Strided convolutions with TensorFlow's 'same' padding shift a map by up to half a cell.
    slack = np.array([abs(bottom - top) / cells[0], abs(right - left) / cells[1]]) / 2
    middle = np.array([bottom + top, right + left]) / 2
    if np.any(np.abs(middle - (np.array(shape[:2]) - 1) / 2) > slack + 1e-6):
        expected = tuple(round(float(size)) for size in 2 * middle + 1)
        raise ImageError(
            f"image: {tuple(shape[:2])} pixels do not fit the map; expected about {expected} pixels (Y, X) from its y "
            f"and x coordinates, got {tuple(shape[:2])}. Pass the image that the map was computed from, at its "
            "original size."
        )


def _edges(centers, name):
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
