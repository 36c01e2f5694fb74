"""Where maps and images lie, in pixel coordinates of the input image.

Pixel (0, 0) is centred on y = x = 0, so an image of (Y, X) pixels reaches from -0.5 to Y - 0.5 and X - 0.5.
"""

import numpy as np

from ..exceptions import ImageError, ResultError

__all__ = ["check_cover", "image_extent", "map_extent"]


def map_extent(y, x):
    """Find the rectangle that the cells of a map cover.

    Parameters
    ----------
    y : array_like of shape (Y,)
        Centres of the rows [pixel]. A single row is taken to reach from the edge of the image at -0.5 to as far on
        the other side.
    x : array_like of shape (X,)
        Centres of the columns [pixel].

    Returns
    -------
    tuple of float
        ``(left, right, bottom, top)`` as matplotlib's ``imshow`` takes it, with the first row at the top [pixel].

    Raises
    ------
    ResultError
        If the centres are not evenly spaced.
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
    """Check that a map covers an image, give or take one cell of the map.

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
        If the image is larger or smaller than what the map covers.
    """
    left, right, bottom, top = extent
    slack_x, slack_y = abs(right - left) / cells[1], abs(bottom - top) / cells[0]
    differences = np.abs(np.subtract(extent, image_extent(shape)))
    if np.any(differences > np.array([slack_x, slack_x, slack_y, slack_y]) + 1e-6):
        raise ImageError(
            f"image: {tuple(shape[:2])} pixels do not fit the map; expected about "
            f"{(round(bottom + 0.5), round(right + 0.5))} pixels (Y, X) from its y and x coordinates, "
            f"got {tuple(shape[:2])}. Pass the image that the map was computed from, at its original size."
        )


def _edges(centres, name):
    centres = np.asarray(centres, dtype=float)
    if len(centres) == 1:
        return -0.5, 2 * float(centres[0]) + 0.5
    steps = np.diff(centres)
    if not np.allclose(steps, steps[0], rtol=1e-3) or steps[0] == 0:
        raise ResultError(
            f"coordinate {name!r}: the cells are not evenly spaced; expected equal steps, got steps from "
            f"{steps.min():g} to {steps.max():g}. Select a contiguous part of the map."
        )
    step = (centres[-1] - centres[0]) / (len(centres) - 1)
    return float(centres[0] - step / 2), float(centres[-1] + step / 2)
