"""Spiking against rate maps on one page: figures, tables and scores, written into a folder."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .. import plotting
from ..checks.output import atomic_folder, check_folder
from ..checks.parameters import is_real
from ..exceptions import ParameterError, ResultError
from ..plotting.answers import answers_of
from ..scoring.agreement import compare, get_metric, metric_names
from ..scoring.agreement.alignment import final_answers
from ..scoring.latency import decision_latency, explanation_latency, latency_summary
from .comparison_page import CAPTIONS, write_page

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

__all__ = ["ComparisonReport", "check_request", "report_comparison"]

_SCORES, _PAGE = "scores.nc", "report.html"


@dataclasses.dataclass(frozen=True)
class ComparisonReport:
    """A comparison of two networks, ready to be written.

    Attributes
    ----------
    scores : xarray.Dataset
        Scores of `nengo_cam.compare` for the labels that matter, with ``decision_latency``, ``explanation_latency`` and
        ``compared_label`` (image).
    summary : xarray.Dataset
        What `nengo_cam.latency_summary` gives.
    figures : dict of {str: matplotlib.figure.Figure}
        By name.
    notes : list of str
        What was left out, and why.
    """

    scores: xr.Dataset
    summary: xr.Dataset
    figures: dict
    notes: list

    def save(self, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
        """Write figures, scores and page, all of them or none.

        Parameters
        ----------
        folder : str or path-like
            Where to; it is made if it is not there. Files of the same names are replaced, others stay.

        Returns
        -------
        list of pathlib.Path
            What was written, the page last.

        Raises
        ------
        OutputPathError
            If nothing can be written there.
        """
        folder = pathlib.Path(folder)
        check_request(folder)
        with atomic_folder(folder) as whole:
            pictures = {}
            for name, figure in self.figures.items():
                figure.savefig(whole / f"{name}.png")
                pictures[name] = (whole / f"{name}.png").read_bytes()
            self.scores.to_netcdf(whole / _SCORES, engine="h5netcdf")
            (whole / _PAGE).write_text(write_page(self.scores, self.summary, self.notes, pictures), encoding="utf-8")
        names = [*(f"{name}.png" for name in pictures), _SCORES, _PAGE]
        return [folder / name for name in names]


def report_comparison(
    spiking: xr.Dataset,
    rate: xr.Dataset,
    images: ArrayLike,
    *,
    features: xr.Dataset | None = None,
    shown: Sequence[int] | None = None,
    label: int | str | None = None,
    metric: str = "pearson",
    threshold: float = 0.9,
) -> ComparisonReport:
    """Compare a spiking network with its CNN, and draw what is found.

    Parameters
    ----------
    spiking : xarray.Dataset
        Result of `nengo_cam.spiking_cam` for all labels, of unit spikes best reduced by `nengo_cam.cumulative`.
    rate : xarray.Dataset
        Result of `nengo_cam.rate_cam` for the same images and labels.
    images : array_like of shape (N, Y, X, C)
        Those images.
    features : xarray.Dataset, optional
        Result of `nengo_cam.spiking_cam` with ``keep_features=True`` of the first image that is shown, for a raster.
    shown : sequence of int, optional
        Positions of images that are drawn. Default: the first six.
    label : label, optional
        Whose maps are compared, a value of the coordinate ``label``. Default: what the spiking network answers at the
        last step, for each image.
    metric : str
        Score that is drawn, and that says when maps agree; all others are written too.
    threshold : float
        From which score on maps agree.

    Returns
    -------
    ComparisonReport
        Scores, latencies and figures.

    Raises
    ------
    ResultError, LabelError, ImageError, ParameterError
        If something is missing, does not fit or is out of range.
    """
    check_request(None, metric=metric, threshold=threshold)
    answers = final_answers(spiking["logits"])
    compared = answers if label is None else np.full(len(answers), label, spiking["label"].dtype)
    # Others have no part in any figure, and there may be a thousand of them.
    wanted = {*compared.tolist(), *answers.tolist(), *final_answers(rate["logits"]).tolist()}
    needed = [i for i, name in enumerate(spiking["label"].values.tolist()) if name in wanted]
    scores = compare(spiking.isel(label=needed), rate.isel(label=needed), metrics=metric_names())
    explanation = explanation_latency(scores, metric, threshold, label=xr.DataArray(compared, dims="image"))
    decision = decision_latency(spiking)
    shown = list(range(min(6, len(answers)))) if shown is None else list(shown)
    # Labels of all rows at once.
    rows = compared[shown].tolist()
    figures = {
        "comparison": plotting.comparison(spiking, rate, images, image=shown, label=rows).figure,
        "agreement": plotting.agreement(scores, metric=metric, label=compared, threshold=threshold).axes.figure,
        "latency": plotting.latency(decision, explanation).axes.figure,
    }
    notes = _note_answers(spiking, rate)
    if features is None:
        notes.append("There is no raster: features that pass a synapse are no spikes.")
    else:
        try:
            chosen = np.asarray(images)[shown[:1]]
            named = features.assign_coords(image=spiking["image"].values[shown[:1]])
            figures["raster"] = plotting.raster(named, chosen, label=rows[0]).figure
        except ResultError as err:
            notes.append(f"There is no raster: {err}")
    attrs = {
        **scores.attrs,
        "time_reduction": str(spiking.attrs.get("time_reduction") or ""),
        "metric": metric,
        "threshold": float(threshold),
        "compared": "the last answer of the spiking network" if label is None else str(label),
    }
    seconds = {"units": "s"}
    scores = scores.assign(
        decision_latency=("image", decision.latency.values, {**seconds, "criterion": decision.attrs["criterion"]}),
        explanation_latency=(
            "image",
            explanation.latency.values,
            {**seconds, "criterion": explanation.attrs["criterion"]},
        ),
        compared_label=("image", compared, {"long_name": "label whose maps are compared"}),
    ).assign_attrs(attrs)
    return ComparisonReport(scores, latency_summary(decision, explanation), figures, notes)


def _note_answers(spiking, rate):
    """Say in a sentence which images the two networks answer otherwise, if there are any."""
    names = spiking["image"].values.tolist()
    found = {name: answers_of(spiking, rate, position, name) for position, name in enumerate(names)}
    differing = [f"image {name} ({both[0]}; the CNN: {both[1]})" for name, both in found.items() if both is not None]
    if not differing:
        return []
    more = f" and {len(differing) - 10} more" if len(differing) > 10 else ""
    return [
        f"The spiking network settles on another answer than the CNN for {len(differing)} of {len(names)} images: "
        f"{', '.join(differing[:10])}{more}."
    ]


def check_request(folder: str | os.PathLike[str] | None, *, metric: str = "pearson", threshold: Any = 0.9) -> None:
    """Check what a report is asked for, before the work whose result it is.

    Parameters
    ----------
    folder : str or path-like, or None
        Where it goes; nothing is left behind by the check.
    metric : str
        Score that says when maps agree.
    threshold : float
        From which score on.

    Raises
    ------
    OutputPathError
        If the folder is a file, or nothing can be written to it or made where it shall be.
    ParameterError
        If the metric is unknown, or the threshold not a number in its range.
    """
    chosen = get_metric(metric)
    if not is_real(threshold) or not chosen.lowest <= threshold <= chosen.highest or not np.isfinite(threshold):
        raise ParameterError(
            f"threshold: expected a number from {chosen.lowest:g} to {chosen.highest:g}, the range of {metric!r}, got "
            f"{threshold!r}. Choose one."
        )
    if folder is None:
        return
    check_folder(folder, [*(f"{name}.png" for name in CAPTIONS), _SCORES, _PAGE])
