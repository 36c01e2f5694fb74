"""A comparison of spiking and rate maps as one page of HTML: tables, figures, provenance."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from ..scoring.agreement import metric_names
from ..scoring.readout import holds_level, reduction_of, spike_kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["CAPTIONS", "caption_of", "write_page"]

#: What each figure shows, in the order of the page.
CAPTIONS = {
    "comparison": "The image, the map of the CNN, that of the spiking network at three times, and the last of these "
    "minus that of the CNN. All maps have the same colors; red speaks for the label, blue against it.",
    "agreement": "Agreement of spiking maps with those of the CNN over time; an undefined score, as of a blank map, "
    "counts as worse than all others. The dashed line is the threshold of the explanation latency.",
    "latency": "Each point is an image. Below the diagonal its map settles before its decision does. Dashed lines "
    "are medians.",
    "raster": "Spikes of the most active neurons among those that are pooled: red where the map is strongest, blue "
    "where it is weakest. The frames on the map say where that is.",
}
_LEVEL_RASTER = (
    "Spikes of the neurons that spike most among those that are pooled: red where the map is strongest, blue where it "
    "is weakest. A tick up adds to the level that receivers hold, a tick down takes back; a longer one is a larger "
    "spike. The frames on the map, which is that of the last step, say where the neurons are."
)
_QUARTILES = (0.25, 0.5, 0.75)
# By whether receivers hold a level.
_UNREDUCED = {False: "of each step by itself", True: "the level at each step, not averaged"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: .5rem 0; } caption { text-align: left; color: #555; padding-bottom: .3rem; }
th, td { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
.number { text-align: right; font-variant-numeric: tabular-nums; } td { overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure img { max-width: 100%; } figcaption { color: #555; max-width: 40rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem 2rem; } .figures figure { flex: 0 1 28rem; }
"""


def write_page(scores: xr.Dataset, summary: xr.Dataset, notes: Sequence[str], pictures: Mapping[str, bytes]) -> str:
    """Write a comparison as a page of HTML that holds its figures.

    Parameters
    ----------
    scores, summary, notes
        As `nengo_cam.reports.comparison_report.ComparisonReport` has them.
    pictures : dict of {str: bytes}
        PNG files by the name of the figure.

    Returns
    -------
    str
        HTML.
    """
    title = f"{scores.attrs.get('model') or 'network'}: spiking against rate maps"
    figures = "".join(
        f'<figure><img alt="{name}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{html.escape(caption_of(name, scores))}</figcaption></figure>\n"
        for name, png in pictures.items()
    )
    notes = "".join(f"<p>{html.escape(note)}</p>\n" for note in notes)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n<body>\n'
        f"<h1>{html.escape(title)}</h1>\n{notes}{_table(_answers(scores), 'Answers and labels')}\n"
        f"<h2>How close the maps are, and from when on</h2>\n{_table(*_agreement(scores))}\n"
        f"{_table(*_latencies(summary))}\n{_table(*_order(summary))}\n"
        f'<h2>Figures</h2>\n<div class="figures">\n{figures}</div>\n'
        f"<h2>Each image</h2>\n{_table(*_images(scores))}\n"
        f"<h2>How this was made</h2>\n{_table(list(scores.attrs.items()), 'Attributes of the scores')}\n"
        "</body>\n</html>\n"
    )


def caption_of(name: str, scores: xr.Dataset) -> str:
    """Say what a figure shows.

    Parameters
    ----------
    name : str
        Its name, of `CAPTIONS`.
    scores : xarray.Dataset
        Scores of the maps, with the attributes of the spiking network's result.

    Returns
    -------
    str
        One or more sentences; for the raster with what a spike is, where that is known.

    Raises
    ------
    ResultError
        If the readout of the scores is not known.
    """
    if name != "raster":
        return CAPTIONS[name]
    kind = spike_kind_of(scores)
    text = _LEVEL_RASTER if holds_level(scores) else CAPTIONS[name]
    return f"{text} What is sent: {kind}." if kind else text


def _answers(scores):
    same = float((scores.spiking_answer == scores.rate_answer).mean())
    return [
        ["images", scores.sizes["image"]],
        ["time [ms]", f"{1000 * float(scores.time[-1]):g} in {scores.sizes['time']} steps"],
        ["maps and logits", reduction_of(scores) or _UNREDUCED[holds_level(scores)]],
        *([["spikes", spike_kind_of(scores)]] if spike_kind_of(scores) else []),
        ["images with the same last answer of both networks", f"{same:.3f}"],
        ["label whose maps are compared", scores.attrs["compared"]],
    ]


def _agreement(scores):
    rows = []
    for name in metric_names():
        if name in scores:
            values = _of_compared(scores, name)[:, -1]
            # Counted in a column of their own.
            known = values[~np.isnan(values)]
            quartiles = np.quantile(known, _QUARTILES) if len(known) else [np.nan] * 3
            attrs = scores[name].attrs
            low, high = attrs["range"]
            undefined = len(values) - len(known)
            name = _with_units(attrs["long_name"], attrs["units"])
            rows.append([name, *map(_number, quartiles), undefined, f"{low:g} to {high:g}", attrs["better"]])
    head = ["score at the last step", "lower quartile", "median", "upper quartile", "undefined", "range", "better"]
    return rows, "Over images; undefined ones are counted, and left out of the quartiles", head


def _latencies(summary):
    rows = []
    for name in ("decision", "explanation"):
        values = 1000 * summary.latency.sel(of=name).values
        quartiles = ["never" if np.isnan(value) else f"{value:g}" for value in values]
        rows.append([f"{name} latency", *quartiles, f"{float(summary.never.sel(of=name)):.3f}", summary.attrs[name]])
    head = [
        "latency [ms]",
        "lower quartile",
        "median",
        "upper quartile",
        "fraction that never settles",
        "settled means",
    ]
    return rows, "From when on answer and map stay as they are", head


def _order(summary):
    texts = {
        "explanation": "the map settles first", "same": "both at the same step",
        "decision": "the decision settles first", "neither": "neither settles",
    }  # fmt: skip
    rows = [[text, f"{float(summary.order.sel(first=name)):.3f}"] for name, text in texts.items()]
    correlation = _number(float(summary.correlation))
    correlation += f", over {_count(int(summary.n_settled))} that settle in both"
    return (
        [*rows, ["rank correlation", correlation]],
        "Fraction of images, and rank correlation of the latencies",
        None,
    )


def _images(scores):
    metric = scores.attrs["metric"]
    last = _of_compared(scores, metric)[:, -1]
    columns = [
        scores.image.values, scores.rate_answer.values, scores.spiking_answer.values, scores.compared_label.values,
        map(_milliseconds, scores.decision_latency.values), map(_milliseconds, scores.explanation_latency.values),
        map(_number, last),
    ]  # fmt: skip
    head = ["image", "CNN's answer", "spiking answer", "label of the map", "decision [ms]", "explanation [ms]"]
    return [list(row) for row in zip(*columns)], None, [*head, f"{metric} at the last step"]


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
