"""Measures of one map against one region: pure functions over the last axes of arrays, whose leading axes broadcast."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...checks.parameters import is_real
from ...exceptions import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

__all__ = [
    "area_iou",
    "center_prior",
    "check_threshold",
    "energy_inside",
    "flat",
    "iou_by_chance",
    "mark_cells",
    "marked_iou",
    "pointing_game",
]

#: Standard deviation of the center prior, as part of the image's height and width.
CENTRE_WIDTH = 0.25


def pointing_game(maps: ArrayLike, hits: ArrayLike, *, n_axes: int = 2) -> np.ndarray:
    """Score whether the strongest cell of a map is a hit.

    Parameters
    ----------
    maps : array_like of shape (..., Y, X)
        Signed maps [logit].
    hits : array_like of bool of shape (..., Y, X)
        Which cells are a hit; the leading axes broadcast.
    n_axes : int
        Number of map axes.

    Returns
    -------
    ndarray of shape (...)
        1 or 0; if several cells are equally strong, the part of them that are hits, so that a blank map scores what
        a random cell does. NaN for a map that holds NaN.

    References
    ----------
    .. [1] Zhang et al. (2018). Top-down Neural Attention by Excitation Backprop. International Journal of Computer
       Vision 126(10), 1084-1102, section 4.1.

    Examples
    --------
    >>> from nengo_cam.scoring.localization import pointing_game
    >>> maps, inside = np.array([[0.0, 2.0], [1.0, 0.0]]), np.array([[False, True], [False, False]])
    >>> float(pointing_game(maps, inside)), float(pointing_game(np.zeros((2, 2)), inside))
    (1.0, 0.25)
    """
    maps, hits = flat(maps, n_axes), flat(hits, n_axes).astype(bool)
    strongest = maps == maps.max(axis=-1, keepdims=True)
    n_strongest = np.count_nonzero(strongest, axis=-1)
    with np.errstate(invalid="ignore"):
        return np.count_nonzero(strongest & hits, axis=-1) / np.where(n_strongest, n_strongest, np.nan)


def energy_inside(maps: ArrayLike, inside: ArrayLike, area: ArrayLike, *, n_axes: int = 2) -> np.ndarray:
    r"""Measure which part of the positive evidence lies inside a region.

    :math:`\sum_p w_p \max(a_p, 0) / \sum_p v_p \max(a_p, 0)`, with the area :math:`v_p` of a cell and :math:`w_p` of
    it inside [1]_. Negative parts of the map, evidence against the label, count as 0.

    Parameters
    ----------
    maps : array_like of shape (..., Y, X)
        Signed maps [logit].
    inside : array_like of shape (..., Y, X)
        Area of each cell inside the region [pixel]; the leading axes broadcast.
    area : array_like of shape (Y, X)
        Area of each cell [pixel].
    n_axes : int
        Number of map axes.

    Returns
    -------
    ndarray of shape (...)
        From 0 to 1; NaN where no part of the map is positive.

    References
    ----------
    .. [1] Wang et al. (2020). Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks. CVPR
       Workshops. arXiv:1910.01279, section 4.3 (energy-based pointing game).

    Examples
    --------
    >>> from nengo_cam.scoring.localization import energy_inside
    >>> maps, inside = np.array([[3.0, 1.0], [-5.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 0.0]])
    >>> float(energy_inside(maps, inside, np.ones((2, 2))))
    0.75
    """
    positive = np.maximum(flat(maps, n_axes).astype(float, copy=False), 0)
    within = np.einsum("...p,...p->...", positive, flat(inside, n_axes))
    return _ratio(within, positive @ flat(area, n_axes))


def area_iou(
    maps: ArrayLike, inside: ArrayLike, area: ArrayLike, *, threshold: float = 0.2, n_axes: int = 2
) -> np.ndarray:
    """Measure the overlap of a region with what a map marks: intersection over union of areas.

    A map marks the positive cells that reach ``threshold`` times its largest value, as in [1]_, section 3.2.

    Parameters
    ----------
    maps, inside, area, n_axes
        As for `energy_inside`.
    threshold : float
        Part of the largest value, above 0 and up to 1.

    Returns
    -------
    ndarray of shape (...)
        From 0 to 1; 0 for a map without positive cells, which marks none. NaN for a map that holds NaN, or where both
        areas are 0.

    Raises
    ------
    ParameterError
        If ``threshold`` is out of range.

    References
    ----------
    .. [1] Zhou et al. (2016). Learning Deep Features for Discriminative Localization. CVPR. arXiv:1512.04150.
    """
    check_threshold(threshold)
    maps, inside, area = (flat(values, n_axes) for values in (maps, inside, area))
    return marked_iou(mark_cells(maps, threshold), inside, area)


def center_prior(centers: Sequence[ArrayLike], image_shape: Sequence[int]) -> np.ndarray:
    r"""Make the map of someone who has not seen the image: a bump at its center.

    A Gaussian, :math:`\exp(-\sum_d (c_d - m_d)^2 / (2 (n_d / 4)^2))`, around the center :math:`m` of an image of
    :math:`n_d` pixels.

    Parameters
    ----------
    centers : sequence of array_like
        Centers of the cells along each axis [pixel].
    image_shape : sequence of int
        Size of the image along each axis [pixel].

    Returns
    -------
    ndarray of shape (Y, X)
        Map, 1 at the center.
    """
    axes = [
        np.exp(-(((np.asarray(c) - (n - 1) / 2) / (CENTRE_WIDTH * n)) ** 2) / 2) for c, n in zip(centers, image_shape)
    ]
    # Each with an axis of its own, so that the product spans them all.
    product: Any = math.prod(np.ix_(*axes))
    return product if len(axes) > 1 else axes[0]


def check_threshold(threshold: Any) -> None:
    if not is_real(threshold) or not 0 < threshold <= 1:
        raise ParameterError(f"threshold: expected a number above 0 and up to 1, got {threshold!r}. Try threshold=0.2.")


def flat(values: ArrayLike, n_axes: int) -> np.ndarray:
    values = np.asarray(values)
    return values.reshape((*values.shape[:-n_axes], math.prod(values.shape[-n_axes:])))


def mark_cells(maps: np.ndarray, threshold: float) -> np.ndarray:
    """Mark the cells that reach part of the largest value, as 1; NaN throughout a map that holds NaN."""
    largest = maps.max(axis=-1, keepdims=True)
    marked = ((maps >= threshold * largest) & (maps > 0)).astype(float)
    marked[np.isnan(largest[..., 0])] = np.nan
    return marked


def marked_iou(marked: np.ndarray, inside: np.ndarray, area: np.ndarray) -> np.ndarray:
    within = np.einsum("...p,...p->...", marked, inside)
    return _ratio(within, marked @ area + inside.sum(axis=-1) - within)


def iou_by_chance(marked: np.ndarray, inside: np.ndarray, area: np.ndarray) -> np.ndarray:
    ours, theirs = marked @ area, inside.sum(axis=-1)
    within = ours * theirs / area.sum()
    return _ratio(within, ours + theirs - within)


def _ratio(part, whole):
    """Divide; NaN where there is nothing to divide by."""
    return part / np.where(whole > 0, whole, np.nan)
