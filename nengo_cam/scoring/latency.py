"""When a spiking network has made up its mind, when its map has, and which of the two comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from ..checks.parameters import is_real
from ..exceptions import LabelError, ParameterError, ResultError
from .agreement import get_metric
from .positions import describe
from .readout import every_label

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["decision_latency", "explanation_latency", "latency_summary", "settling_time"]

#: Logits that differ by less than this part of the largest do not differ but for rounding, in single precision.
_ROUNDING = 1e-6


def settling_time(holds: ArrayLike, times: ArrayLike) -> np.ndarray:
    """Find the first time from which a condition holds to the end.

    Parameters
    ----------
    holds : array_like of bool of shape (..., T)
        Whether it holds at each step.
    times : array_like of shape (T,)
        Times of the steps [s].

    Returns
    -------
    ndarray of shape (...)
        Times [s]; NaN where it does not hold at the last step.

    Examples
    --------
    >>> from nengo_cam.scoring.latency import settling_time
    >>> settling_time([[False, True, True], [True, True, False]], [0.001, 0.002, 0.003])
    array([0.002,   nan])
    """
    holds, times = np.asarray(holds, bool), np.asarray(times, float)
    n_last = np.where(holds.all(axis=-1), holds.shape[-1], np.argmin(holds[..., ::-1], axis=-1))
    return np.where(n_last > 0, times[-np.maximum(n_last, 1)], np.nan)


def decision_latency(spiking: xr.Dataset, *, classes: ArrayLike | None = None, since: float = 0.0) -> xr.Dataset:
    """Find the first time from which the answer of a network stays the same, or right, to the end.

    The answer is the label with the largest logit. A step decides nothing if several labels share the largest logit,
    or if all logits are those of the bias: nothing has reached the readout yet. Logits are taken as they are. Those of
    single steps of unit spikes are mostly noise: reduce them first by `nengo_cam.cumulative` or `nengo_cam.smooth`. A
    level that receivers hold (``attrs["readout"]`` "level") answers at each step without.

    Parameters
    ----------
    spiking : xarray.Dataset
        Made by `nengo_cam.spiking_cam`: ``logits`` (image, time, label), and ``bias`` (label) if there is one; those
        of all labels (``all_logits``) where maps of some were chosen.
    classes : array_like of shape (N,), optional
        True classes, as values of the coordinate ``label``. With them the answer has to stay right.
    since : float
        When the input changed [s]: only later steps count, and latencies are counted from there. The first step that
        shows the new input is at ``since + dt``, so a network that answers it at once has a latency of one step.

    Returns
    -------
    xarray.Dataset
        ``latency`` (image) [s], NaN where it never settles; ``settled`` (image), whether it does; ``answer`` (image),
        the label answered at the last step. ``attrs`` hold the ``criterion``, and the ``duration`` of the run [s], both
        from ``since`` on.

    Raises
    ------
    ResultError
        If there are no logits, or their dims are not image, time and label.
    LabelError
        If ``classes`` is not one label of the Dataset for each image.
    ParameterError
        If ``since`` is not a time before the last step.

    Examples
    --------
    >>> decision = ncam.decision_latency(ncam.cumulative(spiking), classes=classes)
    >>> decision.latency.dims, decision.latency.attrs["units"]
    (('image',), 's')
    >>> bool((decision.latency.where(decision.settled, 1) > 0).all())
    True
    >>> decision.attrs["criterion"]
    'the answer stays right'
    """
    if not isinstance(spiking, xr.Dataset) or "logits" not in spiking:
        raise ResultError(
            f"spiking: expected a Dataset with the variable 'logits', got {describe(spiking)}. Pass what spiking_cam "
            "gives."
        )
    given = every_label(spiking)
    _check_dims("spiking", "logits", given, ("image", "time", "label"))
    logits = given.transpose("image", "time", "label")
    labels, values = logits["label"].values, logits.values.astype(float)
    known = np.where(np.isnan(values), -np.inf, values)
    answers = known.argmax(axis=-1)
    slack = _ROUNDING * np.max(np.abs(values), axis=(1, 2), keepdims=True, initial=0, where=np.isfinite(values))
    largest = known.max(axis=-1, keepdims=True)
    # A burn-in has no logits at all, and so no single largest.
    decided = np.isfinite(largest[..., 0]) & (np.count_nonzero(known >= largest - slack, axis=-1) == 1)
    if "bias" in spiking:
        with np.errstate(invalid="ignore"):
            decided &= (np.abs(known - _bias_of(spiking, logits.dims)) > slack).any(axis=-1)
    wanted = answers[:, -1] if classes is None else _positions_of(classes, labels, len(answers))
    late, times = _steps_since(since, logits["time"])
    latency = settling_time((decided & (answers == wanted[:, None]))[:, late], times)
    criterion = "the answer stays the same" if classes is None else "the answer stays right"
    result = _dataset(latency, logits.isel(time=0, label=0, drop=True), times, "decision latency", criterion)
    return result.assign(answer=("image", labels[answers[:, -1]], {"long_name": "answer at the last step"}))


def _bias_of(spiking, dims):
    """Return the biases of all labels with all axes of the logits."""
    bias = every_label(spiking, "bias")
    # xarray gives a bias an axis of images, or of time, where results were joined along it.
    return bias.expand_dims([dim for dim in dims if dim not in bias.dims]).transpose(*dims).values


def explanation_latency(
    scores: xr.Dataset,
    metric: str = "pearson",
    threshold: float = 0.9,
    *,
    label: int | str | xr.DataArray | None = None,
    since: float = 0.0,
) -> xr.Dataset:
    """Find the first time from which the map of a label agrees with the rate network's to the end.

    It agrees where the score is at least the threshold, or at most, if less is better. Where the score is NaN, as for
    blank maps, it does not.

    Parameters
    ----------
    scores : xarray.Dataset
        Made by `nengo_cam.compare`, with a time dimension.
    metric : str
        Which score.
    threshold : float
        From which score on maps agree, in units of the metric.
    label : label, or xarray.DataArray of labels, optional
        Whose map: one label for all images; one for each, as ``scores.rate_answer``; or all, by ``scores.label``.
        Default: what the spiking network answers at the last step, ``scores.spiking_answer``.
    since : float
        When the input changed [s], as for `decision_latency`.

    Returns
    -------
    xarray.Dataset
        ``latency`` (image) [s], NaN where it never settles, and ``settled`` (image), whether it does; over image and
        label if all labels are asked for. ``attrs`` hold the ``criterion``, and the ``duration`` of the run [s], both
        from ``since`` on.

    Raises
    ------
    ResultError
        If the metric was not measured, has no time dimension, or ``label`` is left out and no answer is known.
    ParameterError
        If it is not known which way the metric is better, ``threshold`` is not a number, or ``since`` is not a time
        before the last step.
    LabelError
        If a label is not in ``scores``.

    Examples
    --------
    >>> scores = ncam.compare(ncam.cumulative(spiking), rate, metrics=["pearson"])
    >>> loose, strict = (ncam.explanation_latency(scores, threshold=t) for t in (0.5, 0.9))
    >>> bool((strict.latency >= loose.latency).all())
    True
    >>> strict.attrs["criterion"]
    'pearson >= 0.9'
    """
    if not isinstance(scores, xr.Dataset) or metric not in scores:
        found = list(map(str, scores)) if isinstance(scores, xr.Dataset) else type(scores).__name__
        raise ResultError(f"scores: expected a Dataset with the score {metric!r}, got {found}. Name it in compare.")
    measured = scores[metric]
    _check_dims("scores", metric, measured, ("image", "time", "label"))
    if not is_real(threshold) or not np.isfinite(threshold):
        raise ParameterError(f"threshold: expected a number, got {threshold!r}. Try threshold=0.9 for a correlation.")
    better = measured.attrs.get("better") or get_metric(metric).better
    if label is None:
        if "spiking_answer" not in scores.coords:
            raise ResultError(
                "scores: the answers are not known; expected the coordinate 'spiking_answer', got "
                f"{list(map(str, scores.coords))}. Compare Datasets with logits, or choose a label."
            )
        label = scores["spiking_answer"]
    measured = _of_label(measured, label)
    values = measured.transpose(..., "time").values
    # Comparisons with NaN are false.
    holds = values >= threshold if better == "higher" else values <= threshold
    late, times = _steps_since(since, measured["time"])
    latency = settling_time(holds[..., late], times)
    criterion = f"{metric} {'>=' if better == 'higher' else '<='} {threshold:g}"
    template = measured.isel(time=0, drop=True)
    return _dataset(latency, template, times, "explanation latency", criterion)


def latency_summary(decision: xr.Dataset, explanation: xr.Dataset) -> xr.Dataset:
    """Sum up over images when networks decide, when their maps agree, and which comes first.

    Images that never settle count, as later than all others.

    Parameters
    ----------
    decision, explanation : xarray.Dataset
        Made by `decision_latency` and `explanation_latency`, of the same images, one label for each.

    Returns
    -------
    xarray.Dataset
        Over ``of``, "decision" and "explanation":

        ``latency`` (of, quantile)
            Quartiles and median [s]; NaN where that quantile of the images never settles.
        ``never`` (of)
            Fraction of images that never settle.

        And of the two together:

        ``order`` (first)
            Fraction of images whose map settles before the decision ("explanation"), after it ("decision"), at the
            same step ("same"), or that settle in neither ("neither").
        ``correlation``
            Rank correlation (Spearman) of the two over the ``n_settled`` images that settle in both; NaN if they are
            fewer than two, or one latency is the same for all.

    Raises
    ------
    ResultError
        If one has no latency over image alone, or their images differ.

    Examples
    --------
    >>> averaged = ncam.cumulative(spiking)
    >>> explanation = ncam.explanation_latency(ncam.compare(averaged, rate), threshold=0.8)
    >>> summary = ncam.latency_summary(ncam.decision_latency(averaged), explanation)
    >>> summary.first.values.tolist()
    ['explanation', 'same', 'decision', 'neither']
    >>> float(summary.order.sum())
    1.0
    """
    for name, result in (("decision", decision), ("explanation", explanation)):
        if not isinstance(result, xr.Dataset) or "latency" not in result or result["latency"].dims != ("image",):
            found = result["latency"] if isinstance(result, xr.Dataset) and "latency" in result else result
            raise ResultError(
                f"{name}: expected a Dataset with latency over ('image',), got {describe(found)}. Pass what "
                f"{name}_latency gives, of one label."
            )
    images = decision["image"].values.tolist()
    if images != explanation["image"].values.tolist() or not images:
        raise ResultError(
            f"explanation: its images differ from those of decision; expected {images[:8]!r}, got "
            f"{explanation['image'].values.tolist()[:8]!r}. Compute both from the same images."
        )
    latencies = np.stack([decision["latency"].values, explanation["latency"].values])
    never = np.isnan(latencies)
    late = np.where(never, np.inf, latencies)
    decides, explains = late
    # Times are copies of the same coordinate, unless a file has rounded them.
    same = np.isclose(decides, explains) & ~never.any(axis=0)
    order = {
        "explanation": (explains < decides) & ~same,
        "same": same,
        "decision": (decides < explains) & ~same,
        "neither": never.all(axis=0),
    }
    quantiles = (0.25, 0.5, 0.75)
    both = latencies[:, ~never.any(axis=0)]
    seconds = {"units": "s", "long_name": "latency"}
    return xr.Dataset(
        {
            "latency": (("of", "quantile"), _quantiles(late, quantiles), seconds),
            "never": ("of", never.mean(axis=1), {"units": "1", "long_name": "fraction of images that never settle"}),
            "order": ("first", [np.mean(o) for o in order.values()], {"units": "1", "long_name": "fraction of images"}),
            "correlation": ((), _rank_correlation(*both), {"units": "1", "long_name": "rank correlation"}),
            "n_settled": ((), both.shape[1], {"units": "1", "long_name": "images that settle in both"}),
        },
        {"of": ["decision", "explanation"], "quantile": list(quantiles), "first": list(order)},
        {
            "decision": str(decision.attrs.get("criterion", "")),
            "explanation": str(explanation.attrs.get("criterion", "")),
            "n_images": len(images),
        },
    )


def _rank_correlation(ours, theirs):
    return float(get_metric("spearman").function(ours, theirs, n_axes=1)) if len(ours) else np.nan


def _quantiles(late, quantiles):
    """Interpolate between order statistics, as NumPy does; NaN where one of them is infinite."""
    ordered = np.sort(late, axis=1)
    at = (ordered.shape[1] - 1) * np.array(quantiles)
    below, above = ordered[:, np.floor(at).astype(int)], ordered[:, np.ceil(at).astype(int)]
    finite = np.isfinite(above)
    below, above = np.where(finite, below, np.nan), np.where(finite, above, np.nan)
    return below + (above - below) * (at % 1)


def _steps_since(since, time):
    """Find the steps after a change, and their times from there on [s]."""
    times = time.values.astype(float)
    if not is_real(since) or not 0 <= since < times[-1]:
        raise ParameterError(
            f"since: expected seconds from 0 to before the last step at {times[-1]:g}, got {since!r}. Give the time of "
            "the last step that shows the old input."
        )
    # Times are products of whole numbers and dt, perhaps rounded by a file: the step at the change is an old one.
    late = times > since + 1e-6 * times[-1]
    return late, times[late] - since


def _dataset(latency, template, times, long_name, criterion):
    """Put latencies over the dims and coordinates of a template."""
    coords = {name: template.coords[name] for name in template.dims if name in template.coords}
    if "label" in template.coords:
        coords["label"] = template.coords["label"].variable
    settled = ~np.isnan(latency)
    return xr.Dataset(
        {
            "latency": (template.dims, latency, {"units": "s", "long_name": long_name}),
            "settled": (template.dims, settled, {"long_name": f"whether {criterion} to the end"}),
        },
        coords,
        {"criterion": criterion, "duration": float(times[-1])},
    )


def _check_dims(name, variable, values, dims):
    if set(values.dims) != set(dims) or 0 in values.shape:
        raise ResultError(
            f"{name}: {variable!r} has the wrong dims, or is empty; expected {dims}, got sizes {dict(values.sizes)}. "
            "Keep a dim when you select from it, e.g. .isel(image=[0])."
        )


def _of_label(measured, label):
    """Select labels; a label for each image is selected image by image."""
    labels = measured["label"].values.tolist()
    wanted = label if isinstance(label, xr.DataArray) else xr.DataArray(label)
    unknown = [value for value in np.ravel(wanted.values).tolist() if value not in labels]
    if unknown or not set(wanted.dims) <= {"image", "label"}:
        raise LabelError(
            f"label: not in the scores; expected labels among {labels[:20]!r}, one for all images, one for each, or "
            f"all of them, got {unknown[:5] or wanted.dims!r}. Choose one of these, or measure maps of the labels "
            "that are answered."
        )
    order = xr.DataArray(
        np.reshape([labels.index(v) for v in np.ravel(wanted.values).tolist()], wanted.shape), dims=wanted.dims
    )
    return measured.isel(label=order)


def _positions_of(classes, labels, n_images):
    """Find where true classes stand among the labels."""
    classes = np.asarray(classes)
    if classes.shape != (n_images,):
        raise LabelError(
            f"classes: expected one label for each of {n_images} images, got shape {classes.shape}. Pass values of "
            "the coordinate label, not one-hot vectors."
        )
    known = {label: i for i, label in enumerate(labels.tolist())}
    unknown = sorted({value for value in classes.tolist() if value not in known}, key=str)
    if unknown:
        raise LabelError(
            f"classes: {unknown[0]!r} is not a label of the Dataset; expected some of {labels.tolist()[:20]!r}, got "
            f"{unknown[:5]!r}. Pass values of the coordinate label.",
            label=unknown[0],
        )
    return np.array([known[value] for value in classes.tolist()])
