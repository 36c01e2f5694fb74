"""Scores of many images over time: how well maps agree, and how well they point at the objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from ..exceptions import LabelError, ParameterError, ResultError
from .column import dress, new_figure, png_of
from .score_curve import check_scores, score_limits, score_name
from .text import literal, plain, titled

if TYPE_CHECKING:
    from matplotlib.typing import ColorType
    from numpy.typing import ArrayLike

__all__ = ["Agreement", "Localization", "agreement", "localization"]

_LOCALIZATION = {"pointing": "pointing accuracy", "energy": "energy on the object", "iou": "overlap (IoU)"}
_BASELINES = {"center": ("center", "0.35", (0, (4, 2))), "random": ("random", "0.55", (0, (1, 1.5)))}
_OBJECTS = ("image", "label")
# Letters of the name of a score beside its axis.
_LONGEST = 32


class Agreement(NamedTuple):
    """Artists of `agreement`.

    Attributes
    ----------
    axes : matplotlib.axes.Axes
        Score over time [ms].
    line : matplotlib.lines.Line2D
        Median over images.
    band : matplotlib.collections.PolyCollection
        From the lower to the upper quartile.
    threshold : matplotlib.lines.Line2D or None
        The threshold, if one was given.
    """

    axes: Axes
    line: Line2D
    band: PolyCollection
    threshold: object

    def _repr_png_(self):
        return png_of(self.axes.figure)


class Localization(NamedTuple):
    """Artists of `localization`.

    Attributes
    ----------
    axes : matplotlib.axes.Axes
        Score over time [ms].
    line : matplotlib.lines.Line2D
        Mean over objects.
    band : matplotlib.collections.PolyCollection
        One standard error to either side.
    references : dict of {str: matplotlib.lines.Line2D}
        ``"rate"``, if it is known, ``"center"`` and ``"random"``.
    legend : matplotlib.legend.Legend
        Names them.
    """

    axes: Axes
    line: Line2D
    band: PolyCollection
    references: dict
    legend: Legend

    def _repr_png_(self):
        return png_of(self.axes.figure)


def agreement(
    scores: xr.Dataset,
    *,
    metric: str | None = None,
    label: int | str | ArrayLike | None = None,
    threshold: float | None = None,
    color: ColorType = "C0",
    title: str | None = None,
    ax: Axes | None = None,
) -> Agreement:
    """Draw how well spiking maps agree with rate maps over time: median and quartiles over images.

    A score that is undefined, as of blank maps, counts as worse than all others. Where a quartile falls among those,
    it is not drawn.

    Parameters
    ----------
    scores : xarray.Dataset
        Result of `nengo_cam.compare`, with a time dimension.
    metric : str, optional
        Which score. Default: the first.
    label : label or array_like of shape (N,), optional
        Whose map: one label for all images, or one for each. Default: what the spiking network answers at the last
        step, ``scores.spiking_answer``.
    threshold : float, optional
        A score to mark, such as that of `nengo_cam.explanation_latency`.
    color : color
        Of line and band, as matplotlib takes it.
    title : str, optional
        Drawn letter by letter, above the number of images.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: on a new figure, one column of a journal wide.

    Returns
    -------
    Agreement
        The artists.

    Raises
    ------
    ResultError
        If ``scores`` has no score over image, time and label, or ``label`` is left out and no answer is known.
    LabelError
        If a label is not in ``scores``, or there is not one for each image.
    ParameterError
        If there is no such metric, or ``threshold`` is not a number.

    Examples
    --------
    >>> scores = ncam.compare(ncam.cumulative(spiking), rate, metrics=["pearson", "rmse"])
    >>> ncam.plotting.agreement(scores, metric="rmse").axes.get_ylabel()
    'rmse [logit]'
    """
    values: Any = check_scores(scores, metric)
    if threshold is not None and (not isinstance(threshold, (int, float, np.number)) or not np.isfinite(threshold)):
        raise ParameterError(f"threshold: expected a number, got {threshold!r}. Leave it out to mark none.")
    if label is None:
        if "spiking_answer" not in scores.coords:
            raise ResultError(
                "scores: the answers are not known; expected the coordinate 'spiking_answer', got "
                f"{list(map(str, scores.coords))}. Compare Datasets with logits, or choose a label."
            )
        label = scores["spiking_answer"].values
    chosen = _of_labels(values, label)
    worst = np.inf if values.attrs.get("better") == "lower" else -np.inf
    low, median, high = _quartiles(np.where(np.isnan(chosen), worst, chosen))
    shown = xr.DataArray(
        [low, median, high, np.full_like(low, np.nan if threshold is None else threshold)], attrs=values.attrs
    )
    times = 1000 * values["time"].values.astype(float)
    if ax is None:
        ax = new_figure(2.0).subplots()
    (line,) = ax.plot(times, median, color=color, linewidth=1.2, label="median")
    band = ax.fill_between(times, low, high, color=color, alpha=0.2, linewidth=0, label="quartiles")
    marked = None
    if threshold is not None:
        marked = ax.axhline(threshold, color="0.4", linewidth=0.8, linestyle=(0, (4, 2)))
    dress(ax)
    ax.set(xlim=(0, 1.02 * times[-1]), ylim=score_limits(shown))
    ax.set_xlabel("time [ms]", fontsize="small")
    literal(ax.set_ylabel(plain(score_name(values), _LONGEST), fontsize="small"))
    literal(ax.set_title(titled(title, _count(len(chosen), "image")), fontsize="small"))
    # In the corner that good scores leave free.
    lower = values.attrs.get("better") == "lower"
    location: Literal["upper right", "lower right"] = "upper right" if lower else "lower right"
    ax.legend(handles=[line, band], loc=location, fontsize="x-small", frameon=False)
    return Agreement(ax, line, band, marked)


def localization(
    scores: xr.Dataset,
    *,
    score: Literal["pointing", "energy", "iou"] = "pointing",
    rate: xr.Dataset | None = None,
    color: ColorType = "C0",
    title: str | None = None,
    ax: Axes | None = None,
) -> Localization:
    """Draw how well maps point at the objects over time, beside the rate network and two baselines.

    Means are over all objects, which are the pairs of image and label that have a region; the band is one standard
    error of the mean to either side, which takes the objects of one image for dependent [1]_. At steps where a score is
    undefined for some objects, as the energy of blank maps, the mean is that of the others; if they are less than half
    of all, it is not drawn.

    Parameters
    ----------
    scores : xarray.Dataset
        Result of `nengo_cam.localization_scores` for spiking maps.
    score : {"pointing", "energy", "iou"}
        Which score.
    rate : xarray.Dataset, optional
        Result of `nengo_cam.localization_scores` for the rate maps, of the same objects.
    color : color
        Of line and band, as matplotlib takes it.
    title : str, optional
        Drawn letter by letter, above the number of images.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: on a new figure, one column of a journal wide.

    Returns
    -------
    Localization
        The artists. The random baseline of ``"iou"`` depends on the map, and so on time.

    Raises
    ------
    ResultError
        If a Dataset lacks the score, its baselines or a dim, there is no object, or the two have other objects.
    ParameterError
        If ``score`` is unknown.

    References
    ----------
    .. [1] Cochran (1977). Sampling Techniques. Wiley, section 9A.2: ratio estimators of clusters of unequal size.

    Examples
    --------
    >>> boxes = np.tile([2, 2, 26, 26], (4, 1, 1))  # digits fill their images
    >>> maps = ncam.cumulative(spiking), rate
    >>> ours, theirs = (ncam.localization_scores(m, boxes=boxes, box_labels=classes[:, None]) for m in maps)
    >>> ncam.plotting.localization(ours, score="energy", rate=theirs).axes.get_title()
    '4 objects in 4 images'
    """
    if score not in _LOCALIZATION:
        raise ParameterError(f"score: expected one of {list(_LOCALIZATION)}, got {score!r}. Choose one.")
    names = [score, *(f"{score}_{baseline}" for baseline in _BASELINES)]
    ours = _read("scores", scores, names, with_time=True)
    exist = ~np.isnan(ours[f"{score}_center"].values)
    if not exist.any():
        raise ResultError(
            "scores: there is no object in them; expected at least one region, got none. Check the boxes."
        )
    levels = {}
    if rate is not None:
        theirs = _read("rate", rate, [score, f"{score}_center"], with_time=False)
        _check_same_objects(ours[f"{score}_center"], theirs[f"{score}_center"])
        levels["rate"] = _mean(theirs[score].values[:, None], exist)[0]
    for baseline in _BASELINES:
        values = ours[f"{score}_{baseline}"]
        over_time = values if "time" in values.dims else values.expand_dims("time", axis=1)
        levels[baseline] = _mean(over_time.values, exist)[0]
    mean, error = _mean(ours[score].values, exist)
    times = 1000 * ours[score]["time"].values.astype(float)
    if ax is None:
        ax = new_figure(2.0).subplots()
    (line,) = ax.plot(times, mean, color=color, linewidth=1.2, label="spiking")
    band = ax.fill_between(times, mean - error, mean + error, color=color, alpha=0.2, linewidth=0)
    looks = {"rate": ("rate", "k", "-"), **_BASELINES}
    references = {}
    for name, level in levels.items():
        text, shade, dashes = looks[name]
        (references[name],) = ax.plot(
            times,
            np.broadcast_to(level, times.shape),
            color=shade,
            linestyle=dashes,
            linewidth=0.9,
            label=text,
            zorder=1.5,
        )
    dress(ax)
    ax.set(xlim=(0, 1.02 * times[-1]), ylim=(-0.02, 1.02))
    ax.set_xlabel("time [ms]", fontsize="small")
    ax.set_ylabel(_LOCALIZATION[score], fontsize="small")
    stated = f"{_count(int(exist.sum()), 'object')} in {_count(len(exist), 'image')}"
    literal(ax.set_title(titled(title, stated), fontsize="small"))
    legend = ax.legend(fontsize="x-small", frameon=False, ncols=2, loc="best")
    return Localization(ax, line, band, references, legend)


def _of_labels(values, label):
    """Select the scores of one label for all images, or of one for each: shape (N, T)."""
    known = values["label"].values.tolist()
    n_images = values.sizes["image"]
    wanted = np.ravel(np.asarray(label)).tolist()
    if np.ndim(label) == 0:
        wanted *= n_images
    missing = [name for name in wanted if name not in known]
    if missing or len(wanted) != n_images:
        raise LabelError(
            f"label: expected one of {known[:20]!r} for all images, or one for each of {n_images}, got "
            f"{missing[:5] or len(wanted)!r}. Choose one."
        )
    return values.values[np.arange(n_images), :, [known.index(name) for name in wanted]].astype(float)


def _quartiles(ordered):
    """Find quartiles over the first axis, interpolated as by NumPy; NaN next to an infinite value."""
    ordered = np.sort(ordered, axis=0)
    found = []
    for quantile in (0.25, 0.5, 0.75):
        at = (len(ordered) - 1) * quantile
        below, above = (np.where(np.isfinite(v), v, np.nan) for v in (ordered[int(at)], ordered[int(np.ceil(at))]))
        found.append(below + (above - below) * (at % 1))
    return found


def _mean(values, exist):
    """Mean and its standard error over the objects of all images, with images as clusters: (N, T, L) to (T,) each."""
    there = exist[:, None] & ~np.isnan(values)
    n_objects = there.sum(axis=(0, 2))
    counted = np.where(n_objects >= exist.sum() / 2, n_objects, np.nan)
    mean = np.where(there, values, 0).sum(axis=(0, 2)) / counted
    # What the objects of an image deviate by adds up before it is squared.
    deviations = np.where(there, values - mean[:, None], 0).sum(axis=2)
    n_images = there.any(axis=2).sum(axis=0)
    correction = n_images / np.where(n_images > 1, n_images - 1, np.nan)
    return mean, np.sqrt(correction * (deviations**2).sum(axis=0)) / counted


def _read(name, scores, variables, *, with_time):
    """Check a Dataset of localization scores, and put its dims in order."""
    if not isinstance(scores, xr.Dataset) or not set(variables) <= set(scores):
        got = sorted(map(str, scores)) if isinstance(scores, xr.Dataset) else type(scores).__name__
        raise ResultError(
            f"{name}: expected a Dataset with {variables}, got {got}. Pass what localization_scores gives."
        )
    found = {}
    for variable in variables:
        values = scores[variable]
        wanted = ("image", "time", "label") if with_time and "time" in values.dims else _OBJECTS
        needed = set(wanted) if variable != variables[0] or not with_time else {*_OBJECTS, "time"}
        if set(values.dims) != needed or 0 in values.shape:
            raise ResultError(
                f"{name}: {variable!r} has the wrong dims, or is empty; expected {tuple(sorted(needed))}, got sizes "
                f"{dict(values.sizes)}. Pass scores of {'spiking maps, over time' if with_time else 'rate maps'}."
            )
        found[variable] = values.transpose(*wanted)
    return found


def _check_same_objects(ours, theirs):
    same = all(ours[dim].values.tolist() == theirs[dim].values.tolist() for dim in _OBJECTS)
    if not same or not np.array_equal(np.isnan(ours.values), np.isnan(theirs.values)):
        raise ResultError(
            f"rate: its objects differ from those of scores; expected those of {ours.sizes['image']} images and "
            f"{ours.sizes['label']} labels, got other ones. Score both with the same images and boxes."
        )


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
