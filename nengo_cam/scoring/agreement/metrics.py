"""How alike two maps are: pure functions over the last axes of arrays, whose leading axes broadcast.

All compute in double precision. Where a score is undefined it is NaN, without a warning: a blank map of the first
steps correlates with nothing. A map that holds NaN scores NaN.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...checks.parameters import is_real, is_whole
from ...exceptions import ParameterError
from .registry import register_metric

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["cosine", "pearson", "rmse", "spearman", "ssim", "topk_iou"]

#: Side of the windows of `ssim`, as in scikit-image.
SSIM_WINDOW = 7
_K1, _K2 = 0.01, 0.03


@register_metric("correlation of maps (Pearson)", lowest=-1, highest=1, better="higher")
def pearson(maps: ArrayLike, references: ArrayLike, *, n_axes: int = 2) -> np.ndarray:
    r"""Correlate maps over their positions.

    :math:`r = \frac{\sum_p (a_p - \bar a)(b_p - \bar b)}{\|a - \bar a\| \, \|b - \bar b\|}`. Invariant to the scale
    and offset of either map.

    Parameters
    ----------
    maps, references : array_like of shape (..., Y, X)
        Maps [logit]; the leading axes broadcast.
    n_axes : int
        Number of map axes: 2, or 1 for shape (..., X), 3 for (..., Z, Y, X).

    Returns
    -------
    ndarray of shape (...)
        From -1 to 1; NaN where a map is constant.

    Raises
    ------
    ParameterError
        If the maps differ in their last axes.

    Examples
    --------
    >>> maps = np.array([[0.0, 1.0], [2.0, 3.0]])
    >>> float(ncam.agreement.pearson(maps, 5 * maps - 2).round(6)), float(ncam.agreement.pearson(maps, -maps).round(6))
    (1.0, -1.0)
    >>> float(ncam.agreement.pearson(maps, np.ones((2, 2))))
    nan
    """
    return _cosine(*(_centered(values) for values in _flat(maps, references, n_axes)))


@register_metric("rank correlation of maps (Spearman)", lowest=-1, highest=1, better="higher")
def spearman(maps: ArrayLike, references: ArrayLike, *, n_axes: int = 2) -> np.ndarray:
    """Correlate the ranks of maps over their positions.

    Equal values share the mean of their ranks. Invariant to any increasing function of either map.

    Parameters
    ----------
    maps, references, n_axes
        As for `pearson`.

    Returns
    -------
    ndarray of shape (...)
        From -1 to 1; NaN where a map is constant.

    Raises
    ------
    ParameterError
        If the maps differ in their last axes.
    """
    return _cosine(*(_centered_ranks(values) for values in _flat(maps, references, n_axes)))


@register_metric("cosine of maps", lowest=-1, highest=1, better="higher")
def cosine(maps: ArrayLike, references: ArrayLike, *, n_axes: int = 2) -> np.ndarray:
    r"""Measure the cosine of the angle between maps, :math:`\frac{a \cdot b}{\|a\| \, \|b\|}`.

    Invariant to the scale of either map; unlike `pearson`, an offset counts.

    Parameters
    ----------
    maps, references, n_axes
        As for `pearson`.

    Returns
    -------
    ndarray of shape (...)
        From -1 to 1; NaN where a map is zero.

    Raises
    ------
    ParameterError
        If the maps differ in their last axes.
    """
    return _cosine(*(values.astype(float, copy=False) for values in _flat(maps, references, n_axes)))


@register_metric("RMS difference of maps", lowest=0, highest=math.inf, better="lower", units="logit")
def rmse(maps: ArrayLike, references: ArrayLike, *, n_axes: int = 2) -> np.ndarray:
    r"""Measure the root of the mean squared difference of maps, :math:`\sqrt{\frac{1}{P} \sum_p (a_p - b_p)^2}`.

    Parameters
    ----------
    maps, references, n_axes
        As for `pearson`.

    Returns
    -------
    ndarray of shape (...)
        From 0 up [logit].

    Raises
    ------
    ParameterError
        If the maps differ in their last axes.
    """
    ours, theirs = _flat(maps, references, n_axes)
    with np.errstate(invalid="ignore"):
        difference = np.subtract(ours, theirs, dtype=float)
    return np.sqrt(_dot(difference, difference) / difference.shape[-1])


@register_metric("overlap of the strongest positions", lowest=0, highest=1, better="higher")
def topk_iou(maps: ArrayLike, references: ArrayLike, *, n_axes: int = 2, fraction: float = 0.1) -> np.ndarray:
    """Measure how far the strongest positions of two maps are the same: intersection over union.

    The strongest are the ``k = ceil(fraction * P)`` positions with the largest signed values, and all that tie with
    the last of them, so the result does not depend on the order of positions, and a set may have more than k.

    Parameters
    ----------
    maps, references, n_axes
        As for `pearson`.
    fraction : float
        Which part of the P positions counts as strongest, above 0 and below 1.

    Returns
    -------
    ndarray of shape (...)
        From 0 to 1; NaN where a map is constant.

    Raises
    ------
    ParameterError
        If the maps differ in their last axes, or ``fraction`` is out of range.

    Examples
    --------
    >>> maps, references = np.arange(10.0).reshape(2, 5), np.arange(10.0)[::-1].reshape(2, 5)
    >>> float(ncam.agreement.topk_iou(maps, references, fraction=0.2))  # the strongest two positions of each
    0.0
    """
    if not is_real(fraction) or not 0 < fraction < 1:
        raise ParameterError(f"fraction: expected a number above 0 and below 1, got {fraction!r}. Try fraction=0.1.")
    (ours, undefined), (theirs, undefined_too) = (_strongest(v, fraction) for v in _flat(maps, references, n_axes))
    shared = np.count_nonzero(ours & theirs, axis=-1)
    either = np.count_nonzero(ours, axis=-1) + np.count_nonzero(theirs, axis=-1) - shared
    return np.where(undefined | undefined_too, np.nan, shared / np.maximum(either, 1))


@register_metric("structural similarity of maps", lowest=-1, highest=1, better="higher")
def ssim(
    maps: ArrayLike,
    references: ArrayLike,
    *,
    n_axes: int = 2,
    data_range: float | np.ndarray | None = None,
    window: int | None = None,
) -> np.ndarray:
    r"""Measure the structural similarity of maps, mean over all windows that lie within them.

    In each window, with means :math:`\mu`, sample variances :math:`\sigma^2` and covariance :math:`\sigma_{ab}`,
    :math:`\frac{(2 \mu_a \mu_b + c_1)(2 \sigma_{ab} + c_2)}{(\mu_a^2 + \mu_b^2 + c_1)(\sigma_a^2 + \sigma_b^2 + c_2)}`
    with :math:`c_1 = (0.01 R)^2` and :math:`c_2 = (0.03 R)^2` [1]_, eq. 13. Windows are square and unweighted, as by
    default in scikit-image, whose values these are.

    Parameters
    ----------
    maps, references, n_axes
        As for `pearson`.
    data_range : float or ndarray of shape (...), optional
        Range R of values that counts as large [logit]. Default: that of each reference, largest minus smallest value.
    window : int, optional
        Side of a window, odd. Default: 7, or the largest odd side that fits into a smaller map.

    Returns
    -------
    ndarray of shape (...)
        From -1 to 1; NaN where the range is 0, and for maps of less than 3 positions along an axis.

    Raises
    ------
    ParameterError
        If the maps differ in their last axes, ``data_range`` is not positive, or ``window`` is even or does not fit.

    References
    ----------
    .. [1] Wang et al. (2004). Image quality assessment: from error visibility to structural similarity. IEEE
       Transactions on Image Processing 13(4), 600-612.
    """
    flat = _flat(maps, references, n_axes)
    shape = np.shape(maps)[-n_axes:]
    side = _check_window(window, shape)
    over_map = tuple(range(-n_axes, 0))
    a, b = (values.reshape((*values.shape[:-1], *shape)).astype(float, copy=False) for values in flat)
    if data_range is None:
        data_range = np.ptp(b, axis=over_map)
    elif not np.all(np.asarray(data_range) > 0):
        raise ParameterError(
            f"data_range: expected a positive range of values in logits, got {data_range!r}. Leave it out for the "
            "range of each reference."
        )
    if side < 3:
        # A window of one position has no variance.
        return np.full(np.broadcast_shapes(a.shape[:-n_axes], b.shape[:-n_axes]), np.nan)
    scale = np.expand_dims(np.asarray(data_range, float), over_map)
    scale = np.where(scale > 0, scale, np.nan)
    c1, c2 = (_K1 * scale) ** 2, (_K2 * scale) ** 2
    # Averages divide by the number n of values in a window, the paper's variances by n - 1.
    unbiased = side**n_axes / (side**n_axes - 1)

    def average(values):
        return _average_windows(values, side, n_axes)

    with np.errstate(invalid="ignore"):
        mean_a, mean_b = average(a), average(b)
        product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
        covariance = unbiased * (average(a * b) - product)
        variances = unbiased * (average(a * a) + average(b * b) - squares)
        similarity = (2 * product + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return similarity.mean(axis=over_map)


def _flat(maps, references, n_axes):
    """Check two stacks of maps, and make one axis of the axes of the maps."""
    ours, theirs = np.asarray(maps), np.asarray(references)
    if min(ours.ndim, theirs.ndim) < n_axes or ours.shape[-n_axes:] != theirs.shape[-n_axes:]:
        raise ParameterError(
            f"maps: expected the same last {n_axes} axes as those of references, got shapes {ours.shape} and "
            f"{theirs.shape}. Take both from the same network, or set n_axes."
        )
    return tuple(
        values.reshape((*values.shape[:-n_axes], math.prod(values.shape[-n_axes:]))) for values in (ours, theirs)
    )


def _dot(ours, theirs):
    with np.errstate(invalid="ignore"):
        return np.einsum("...p,...p->...", ours, theirs)


def _cosine(ours, theirs):
    """Cosine over the last axis; NaN if one of them is zero, or holds NaN."""
    norms = np.sqrt(_dot(ours, ours)) * np.sqrt(_dot(theirs, theirs))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip(_dot(ours, theirs) / norms, -1, 1)


def _centered(values):
    with np.errstate(invalid="ignore"):
        centered = np.subtract(values, values.mean(axis=-1, dtype=float, keepdims=True), dtype=float)
    # The mean of a constant map is rounded, and what is left would correlate.
    centered[values.max(axis=-1) == values.min(axis=-1)] = 0
    return centered


def _centered_ranks(values):
    """Replace values by their ranks minus the mean rank; ties share their mean."""
    n = values.shape[-1]
    order = np.argsort(values, axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    is_first = np.ones(values.shape, bool)
    is_first[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    first = np.flatnonzero(is_first)
    counts = np.diff(first, append=values.size)
    shared = first % n + (counts - 1) / 2 - (n - 1) / 2
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, np.repeat(shared, counts).reshape(values.shape), axis=-1)
    ranks[np.isnan(ordered[..., -1])] = np.nan
    return ranks


def _strongest(values, fraction):
    """Mark the strongest positions; and say which maps have none, being constant or holding NaN."""
    n = values.shape[-1]
    # 0.1 * 30 is a little more than 3.
    k = max(1, math.ceil(fraction * n - 1e-9))
    last = np.partition(values, n - k, axis=-1)[..., n - k, None]
    return values >= last, ~(values.max(axis=-1) > values.min(axis=-1))


def _check_window(window, shape):
    if window is None:
        side = min(SSIM_WINDOW, *shape)
        return side - 1 + side % 2
    if not is_whole(window) or window % 2 == 0 or not 3 <= window <= min(shape):
        raise ParameterError(
            f"window: expected an odd whole number from 3 to {min(shape)}, the shortest side of the maps, got "
            f"{window!r}. Leave it out."
        )
    return window


def _average_windows(values, window, n_axes):
    """Average over all windows within a map: products with band matrices, one axis after the other."""
    for axis in range(-n_axes, 0):
        shape = values.shape
        n_windows = shape[axis] - window + 1
        band = np.zeros((n_windows, shape[axis]))
        for i in range(n_windows):
            band[i, i : i + window] = 1 / window
        if axis == -1:
            return values @ band.T
        after = shape[axis + 1 :]
        values = band @ values.reshape((*shape[:axis], shape[axis], math.prod(after)))
        values = values.reshape((*shape[:axis], n_windows, *after))
    return values
