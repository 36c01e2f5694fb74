"""Scores of maps over time, as `nengo_cam.compare` gives them, checked and cut to what a figure shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from ..exceptions import ParameterError, ResultError
from ..scoring.readout import holds_level, reduction_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .selection import Scene

__all__ = ["Curve", "align_scores", "check_scores", "score_curve", "score_limits", "score_name", "score_note"]

_DIMS = ("image", "time", "label")


class Curve(NamedTuple):
    """Score of the maps of one image and label over time.

    Attributes
    ----------
    values : ndarray of shape (T,)
        Score at each step of the maps; NaN where it is undefined.
    name : str
        Name of the metric, with its unit if it has one.
    limits : (float, float)
        Limits of the ordinate, the same for all images.
    note : str
        Which maps were scored, if they are not those shown; otherwise empty.
    """

    values: np.ndarray
    name: str
    limits: tuple
    note: str


def check_scores(scores: xr.Dataset | None, metric: str | None = None) -> xr.DataArray | None:
    """Check a Dataset of scores, and choose one of its metrics.

    Parameters
    ----------
    scores : xarray.Dataset or None
        Result of `nengo_cam.compare`.
    metric : str, optional
        Name of a variable; by default the first.

    Returns
    -------
    xarray.DataArray with dims (image, time, label), or None
        Its scores; None without any. ``attrs["time_reduction"]`` says how the maps were reduced over time, ``""`` if
        they were not; it is missing if that is unknown. ``attrs["readout"]`` is there if they hold a level.

    Raises
    ------
    ResultError
        If it is not a Dataset, has no variable over image, time and label, lacks one of their coordinates, is empty, or
        its readout is not known.
    ParameterError
        If there is no such metric, or there are no scores to choose from.
    """
    if scores is None:
        if metric is not None:
            raise ParameterError(
                f"metric: nothing to choose from; expected scores with it, got metric={metric!r} alone. Pass "
                "scores=nengo_cam.compare(spiking, rate)."
            )
        return None
    names: list[Any] = []
    if isinstance(scores, xr.Dataset):
        names = [name for name, values in scores.data_vars.items() if set(values.dims) == set(_DIMS)]
    if not names:
        got = f"dims {dict(scores.sizes)}" if isinstance(scores, xr.Dataset) else type(scores).__name__
        raise ResultError(
            f"scores: expected a Dataset with a variable over {_DIMS}, got {got}. Pass the result of compare for "
            "spiking maps, and keep a dim when you select from it, e.g. .isel(image=[0])."
        )
    metric = names[0] if metric is None else metric
    if metric not in names:
        raise ParameterError(f"metric: not in the scores; expected one of {names}, got {metric!r}. Choose one.")
    chosen = scores[metric].transpose(*_DIMS)
    # What `compare` gives has its references among the attributes; other Datasets may say nothing of their maps.
    if "time_reduction" in scores.attrs or "references" in scores.attrs:
        chosen = chosen.assign_attrs(time_reduction=reduction_of(scores))
        if holds_level(scores):
            chosen = chosen.assign_attrs(readout="level")
    missing = [dim for dim in _DIMS if dim not in chosen.coords]
    if missing:
        raise ResultError(
            f"scores: dims without coordinates; expected one for each of {_DIMS}, got none for {missing}. Pass the "
            "result of compare."
        )
    if 0 in chosen.shape:
        raise ResultError(
            f"scores: empty; expected at least one image, time and label, got sizes {dict(chosen.sizes)}. Select at "
            "least one of each."
        )
    return chosen


def align_scores(scores: xr.DataArray, images: Sequence[Any], labels: Sequence[Any], times: np.ndarray) -> np.ndarray:
    """Pick the scores of given images and labels, and check that they were taken at given times.

    Parameters
    ----------
    scores : xarray.DataArray
        As `check_scores` gives it.
    images, labels : sequence of length N and of length L
        Values of the coordinates ``image`` and ``label``.
    times : ndarray of shape (T,)
        Times of the maps [s].

    Returns
    -------
    ndarray of shape (N, T, L)
        Scores.

    Raises
    ------
    ResultError
        If the scores have no such image or label, or other times.
    """
    places = {}
    for dim, wanted in (("image", images), ("label", labels)):
        known = scores[dim].values.tolist()
        missing = [value for value in wanted if value not in known]
        if missing:
            shown = f"{known[:8]!r}" + (f" and {len(known) - 8} more" if len(known) > 8 else "")
            raise ResultError(
                f"scores: no entry of {dim!r} for the maps; expected {missing[0]!r}, got {shown}. Compare the same "
                "maps that you draw."
            )
        places[dim] = [known.index(value) for value in wanted]
    ours = scores["time"].values.astype(float)
    if ours.shape != times.shape or not np.allclose(ours, times):
        raise ResultError(
            f"scores: its times differ from those of the maps; expected {len(times)} up to {times[-1]:g} s, got "
            f"{len(ours)} up to {ours[-1]:g} s. Select the same steps of both."
        )
    return scores.isel(places).values.astype(float)


def score_curve(scores: xr.DataArray, scene: Scene) -> Curve:
    """Cut out the scores of one image and label.

    Parameters
    ----------
    scores : xarray.DataArray
        As `check_scores` gives it.
    scene : nengo_cam.plotting.selection.Scene
        The image, label and times that are shown.

    Returns
    -------
    Curve
        Its scores.

    Raises
    ------
    ResultError
        As `align_scores`.
    """
    values = align_scores(scores, [scene.image], [scene.label], scene.times)[0, :, 0]
    return Curve(values, score_name(scores), score_limits(scores), score_note(scores, scene.reduction))


def score_name(scores: xr.DataArray) -> str:
    """Name a metric for an axis, with its unit.

    Parameters
    ----------
    scores : xarray.DataArray
        Scores, with the attributes that `nengo_cam.compare` gives them.

    Returns
    -------
    str
        Such as ``"pearson"`` or ``"rmse [logit]"``.
    """
    units = str(scores.attrs.get("units") or "1")
    name = "SSIM" if scores.name == "ssim" else str(scores.name).replace("_", " ")
    return name if units == "1" else f"{name} [{units}]"


def score_note(scores: xr.DataArray, reduction: str) -> str:
    """Say which maps were scored, if they are not those shown.

    Parameters
    ----------
    scores : xarray.DataArray
        As `check_scores` gives it.
    reduction : str
        How the maps shown were reduced over time; empty if they were not.

    Returns
    -------
    str
        Such as ``"maps: running mean"``; empty if they are the same, or if it is unknown.
    """
    scored = scores.attrs.get("time_reduction", reduction)
    if scored == reduction:
        return ""
    return f"maps: {scored or ('level of each step' if holds_level(scores) else 'single steps')}"


def score_limits(scores: xr.DataArray) -> tuple[float, float]:
    """Find limits of an ordinate that show zero, perfect agreement, and every score.

    Parameters
    ----------
    scores : xarray.DataArray
        Scores, with the attributes that `nengo_cam.compare` gives them. Without a range, it is taken from the values.

    Returns
    -------
    (float, float)
        Limits, with a margin.
    """
    values = scores.values[np.isfinite(scores.values)]
    # A list that has been in a file is an array.
    highest = np.ravel(scores.attrs.get("range", [0, np.inf]))[-1]
    low = min(0.0, float(values.min(initial=0.0)))
    high = float(highest) if np.isfinite(highest) else float(values.max(initial=0.0)) or 1.0
    margin = 0.03 * (high - low) or 1.0
    return low - margin, high + margin
