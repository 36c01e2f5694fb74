"""Spiking against rate maps on one page: figures, tables and scores, written into a folder."""

import base64
import dataclasses
import html
import numbers
import pathlib
import tempfile

import numpy as np
import xarray as xr

from . import plotting
from .agreement import compare, get_metric, metric_names
from .agreement.checks import final_answers
from .exceptions import LabelError, OutputPathError, ParameterError, ResultError
from .files import check_writable, make_folder
from .latency import decision_latency, explanation_latency, latency_summary

__all__ = ["ComparisonReport", "check_request", "find_label", "report_comparison"]

_SCORES, _PAGE = "scores.nc", "report.html"
#: What each figure shows, in the order of the page.
_CAPTIONS = {
    "comparison": "The image, the map of the CNN, that of the spiking network at three times, and the last of these "
    "minus that of the CNN. All maps have the same colours; red speaks for the label, blue against it.",
    "agreement": "Agreement of spiking maps with those of the CNN over time; an undefined score, as of a blank map, "
    "counts as worse than all others. The dashed line is the threshold of the explanation latency.",
    "latency": "Each point is an image. Below the diagonal its map settles before its decision does. Dashed lines "
    "are medians.",
    "raster": "Spikes of the most active neurons among those that are pooled: red where the map is strongest, blue "
    "where it is weakest. The frames on the map say where that is.",
}
_QUARTILES = (0.25, 0.5, 0.75)
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: .5rem 0; } caption { text-align: left; color: #555; padding-bottom: .3rem; }
th, td { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
.number { text-align: right; font-variant-numeric: tabular-nums; } td { overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure img { max-width: 100%; } figcaption { color: #555; max-width: 40rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 2rem; } .figures figure { flex: 0 1 28rem; }
"""


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

    def save(self, folder):
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
        make_folder(folder.parent)
        there = folder.is_dir()
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder if there else folder.parent) as partial:
            # Inside, as the temporary folder itself is for its owner alone.
            whole = pathlib.Path(partial, "whole")
            whole.mkdir()
            pictures = {}
            for name, figure in self.figures.items():
                figure.savefig(whole / f"{name}.png")
                pictures[name] = (whole / f"{name}.png").read_bytes()
            self.scores.to_netcdf(whole / _SCORES, engine="h5netcdf")
            (whole / _PAGE).write_text(self._page(pictures), encoding="utf-8")
            names = [*(f"{name}.png" for name in pictures), _SCORES, _PAGE]
            if there:
                for name in names:
                    (whole / name).replace(folder / name)
            else:
                whole.rename(folder)
        return [folder / name for name in names]

    def _page(self, pictures):
        title = f"{self.scores.attrs.get('model', 'network')}: spiking against rate maps"
        figures = "".join(
            f'<figure><img alt="{name}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
            f"<figcaption>{_CAPTIONS[name]}</figcaption></figure>\n"
            for name, png in pictures.items()
        )
        notes = "".join(f"<p>{html.escape(note)}</p>\n" for note in self.notes)
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>\n'
            f"<h1>{html.escape(title)}</h1>\n{_table(self._answers(), 'Answers and labels')}\n"
            f"<h2>How close the maps are, and from when on</h2>\n{_table(*self._agreement())}\n"
            f"{_table(*self._latencies())}\n{_table(*self._order())}\n"
            f'<h2>Figures</h2>\n<div class="figures">\n{figures}</div>\n{notes}'
            f"<h2>Each image</h2>\n{_table(*self._images())}\n"
            f"<h2>How this was made</h2>\n{_table(list(self.scores.attrs.items()), 'Attributes of the scores')}\n"
            "</body>\n</html>\n"
        )

    def _answers(self):
        scores = self.scores
        same = float((scores.spiking_answer == scores.rate_answer).mean())
        return [
            ["images", scores.sizes["image"]],
            ["time [ms]", f"{1000 * float(scores.time[-1]):g} in {scores.sizes['time']} steps"],
            ["maps and logits", scores.attrs["time_reduction"] or "of each step by itself"],
            ["images with the same last answer of both networks", f"{same:.3f}"],
            ["label whose maps are compared", scores.attrs["compared"]],
        ]

    def _agreement(self):
        rows = []
        for name in metric_names():
            if name in self.scores:
                values = _of_compared(self.scores, name)[:, -1]
                known = values[~np.isnan(values)]
                quartiles = np.quantile(known, _QUARTILES) if len(known) else [np.nan] * 3
                attrs = self.scores[name].attrs
                low, high = attrs["range"]
                undefined = len(values) - len(known)
                name = _with_units(attrs["long_name"], attrs["units"])
                rows.append([name, *map(_number, quartiles), undefined, f"{low:g} to {high:g}", attrs["better"]])
        head = ["score at the last step", "lower quartile", "median", "upper quartile", "undefined", "range", "better"]
        return rows, "Over images; undefined ones are counted, and left out of the quartiles", head

    def _latencies(self):
        summary = self.summary
        rows = []
        for name in ("decision", "explanation"):
            values = 1000 * summary.latency.sel(of=name).values
            quartiles = ["never" if np.isnan(value) else f"{value:g}" for value in values]
            rows.append(
                [f"{name} latency", *quartiles, f"{float(summary.never.sel(of=name)):.3f}", summary.attrs[name]]
            )
        head = [
            "latency [ms]",
            "lower quartile",
            "median",
            "upper quartile",
            "fraction that never settles",
            "settled means",
        ]
        return rows, "From when on answer and map stay as they are", head

    def _order(self):
        texts = {
            "explanation": "the map settles first", "same": "both at the same step",
            "decision": "the decision settles first", "neither": "neither settles",
        }  # fmt: skip
        rows = [[text, f"{float(self.summary.order.sel(first=name)):.3f}"] for name, text in texts.items()]
        correlation = _number(float(self.summary.correlation))
        correlation += f", over {_count(int(self.summary.n_settled))} that settle in both"
        return (
            [*rows, ["rank correlation", correlation]],
            "Fraction of images, and rank correlation of the latencies",
            None,
        )

    def _images(self):
        scores, metric = self.scores, self.scores.attrs["metric"]
        last = _of_compared(scores, metric)[:, -1]
        columns = [
            scores.image.values, scores.rate_answer.values, scores.spiking_answer.values, scores.compared_label.values,
            map(_milliseconds, scores.decision_latency.values), map(_milliseconds, scores.explanation_latency.values),
            map(_number, last),
        ]  # fmt: skip
        head = ["image", "CNN's answer", "spiking answer", "label of the map", "decision [ms]", "explanation [ms]"]
        return [list(row) for row in zip(*columns)], None, [*head, f"{metric} at the last step"]


def report_comparison(spiking, rate, images, *, features=None, shown=None, label=None, metric="pearson", threshold=0.9):
    """Compare a spiking network with its CNN, and draw what is found.

    Parameters
    ----------
    spiking : xarray.Dataset
        Result of `nengo_cam.spiking_cam` for all labels, best reduced by `nengo_cam.cumulative`.
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
    notes = []
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


def check_request(folder, *, metric="pearson", threshold=0.9):
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
    number = isinstance(threshold, numbers.Real) and not isinstance(threshold, bool)
    if not number or not chosen.lowest <= threshold <= chosen.highest or not np.isfinite(threshold):
        raise ParameterError(
            f"threshold: expected a number from {chosen.lowest:g} to {chosen.highest:g}, the range of {metric!r}, got "
            f"{threshold!r}. Choose one."
        )
    if folder is None:
        return
    folder = pathlib.Path(folder)
    if folder.is_dir():
        for name in (*(f"{name}.png" for name in _CAPTIONS), _SCORES, _PAGE):
            check_writable(folder / name)
        return
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise OutputPathError(
            f"output {str(folder)!r}: {str(nearest)!r} is a file; expected a folder, or none yet. Choose another place."
        )
    check_writable(nearest / _PAGE)


def find_label(rate, label):
    """Find a label as users name it, by index or name.

    Parameters
    ----------
    rate : xarray.Dataset
        Maps of all labels.
    label : int, str or None
        Index or name; None stays None.

    Returns
    -------
    label or None
        Value of the coordinate ``label``.

    Raises
    ------
    LabelError
        If there is none.
    """
    names = rate["label"].values.tolist()
    if label is None or (isinstance(label, str) and label in names):
        return label
    if isinstance(label, numbers.Integral) and 0 <= label < len(names):
        return names[label]
    named = f" or one of {names[:20]!r}" if isinstance(names[0], str) else ""
    raise LabelError(
        f"labels: {label!r} does not exist; expected an index from 0 to {len(names) - 1}{named}, got {label!r}. Choose "
        "one of these.",
        label=label,
    )


def _of_compared(scores, metric):
    """Scores of the label that is compared, of each image: shape (N, T)."""
    index = xr.DataArray(
        [scores.label.values.tolist().index(name) for name in scores.compared_label.values.tolist()], dims="image"
    )
    return scores[metric].isel(label=index).transpose("image", "time").values


def _number(value):
    return "undefined" if np.isnan(value) else f"{value:.4g}"


def _count(n_images):
    return f"{n_images} image" + ("" if n_images == 1 else "s")


def _milliseconds(seconds):
    return "never" if np.isnan(seconds) else f"{1000 * seconds:g}"


def _with_units(name, units):
    return name if units == "1" else f"{name} [{units}]"


def _table(rows, caption=None, head=None):
    """Write a table; below a head, columns of numbers are set to the right."""
    rows = [list(map(str, row)) for row in rows]
    places = [' class="number"' if head and all(map(_is_number, column)) else "" for column in zip(*rows)]
    lines = []
    if head:
        # The first column names the rows.
        places[0] = ""
        lines.append("".join(f"<th{place}>{html.escape(name)}</th>" for place, name in zip(places, head)))
    for first, *others in rows:
        cells = [f"<td{place}>{html.escape(value)}</td>" for place, value in zip(places[1:], others)]
        lines.append("".join([f"<th>{html.escape(first)}</th>", *cells]))
    caption = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{caption}\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return text in ("never", "undefined")
    return True
