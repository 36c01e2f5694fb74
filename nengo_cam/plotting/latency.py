"""When networks decide against when their maps agree, image by image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.lines import Line2D

from ..exceptions import ResultError
from ..scoring.positions import describe
from .column import new_figure, png_of
from .text import literal, plain, titled

if TYPE_CHECKING:
    from matplotlib.typing import ColorType

__all__ = ["Latency", "latency"]

# Where images that never settle are drawn, and where their margin begins and ends, in durations of the run.
_NEVER, _MARGIN, _END = 1.12, 1.05, 1.19
# Letters of a criterion below an axis.
_LONGEST = 40


class Latency(NamedTuple):
    """Artists of `latency`, and what they count.

    Attributes
    ----------
    axes : matplotlib.axes.Axes
        Decision latency against explanation latency [ms].
    points : matplotlib.collections.PathCollection
        One per image, in their order; those that never settle lie in the margin.
    diagonal : matplotlib.lines.Line2D
        Where both are the same.
    medians : list of matplotlib.lines.Line2D
        Median of the decision and of the explanation; without one if half of the images never settle.
    counts : dict of {str: int}
        Images whose map settles before the decision (``"explanation"``), at the same step (``"same"``), after it
        (``"decision"``), or that settle in neither (``"neither"``); and those that never decide (``"undecided"``), and
        whose map never settles (``"unexplained"``).
    """

    axes: Axes
    points: PathCollection
    diagonal: Line2D
    medians: list
    counts: dict

    def _repr_png_(self):
        return png_of(self.axes.figure)


def latency(
    decision: xr.Dataset,
    explanation: xr.Dataset,
    *,
    color: ColorType = "C0",
    title: str | None = None,
    ax: Axes | None = None,
) -> Latency:
    """Draw for each image when the network decides, and when its map agrees with that of the CNN.

    Below the diagonal the network looks before it decides. Images that never settle lie in the margin beyond the run,
    and are counted there; thin lines are the medians, over all images, where never is later than any time.

    Parameters
    ----------
    decision, explanation : xarray.Dataset
        Results of `nengo_cam.decision_latency` and `nengo_cam.explanation_latency`, of the same images, one label for
        each.
    color : color
        Of the points, as matplotlib takes it.
    title : str, optional
        Drawn letter by letter, above the counts.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: on a new figure, one column of a journal wide.

    Returns
    -------
    Latency
        The artists and the counts.

    Raises
    ------
    ResultError
        If one has no latency over image alone, does not say how long the run was, or their images differ.

    Examples
    --------
    >>> averaged = ncam.cumulative(spiking)
    >>> explanation = ncam.explanation_latency(ncam.compare(averaged, rate), threshold=0.8)
    >>> drawn = ncam.plotting.latency(ncam.decision_latency(averaged), explanation)
    >>> sum(drawn.counts[first] for first in ("explanation", "same", "decision", "neither"))
    4
    """
    _check("decision", decision)
    _check("explanation", explanation)
    images = decision["image"].values.tolist()
    if images != explanation["image"].values.tolist():
        raise ResultError(
            f"explanation: its images differ from those of decision; expected {images[:8]!r}, got "
            f"{explanation['image'].values.tolist()[:8]!r}. Compute both from the same images."
        )
    decides, explains = (1000 * result["latency"].values.astype(float) for result in (decision, explanation))
    duration = 1000 * max(float(decision.attrs["duration"]), float(explanation.attrs["duration"]))
    counts = _count(decides, explains)
    if ax is None:
        ax = new_figure(3.0).subplots()
    (diagonal,) = ax.plot([0, duration], [0, duration], color="0.6", linewidth=0.8, zorder=1)
    for shade in (ax.axvspan, ax.axhspan):
        shade(_MARGIN * duration, _END * duration, color="0.93", linewidth=0, zorder=0)
    medians = []
    lines: list[tuple[np.ndarray, Any]] = [(decides, ax.axvline), (explains, ax.axhline)]
    for values, draw in lines:
        median = float(np.median(np.where(np.isnan(values), np.inf, values)))
        if np.isfinite(median):
            medians.append(draw(median, color=color, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1))
    never = _NEVER * duration
    points = ax.scatter(
        np.where(np.isnan(decides), never, decides), np.where(np.isnan(explains), never, explains),
        s=9, color=color, alpha=0.4, linewidths=0, zorder=2,
    )  # fmt: skip
    _dress(ax, duration, counts, title)
    literal(
        ax.set_xlabel(f"decision latency [ms]\n{_criterion(decision)}".strip(), fontsize="small"),
        ax.set_ylabel(f"explanation latency [ms]\n{_criterion(explanation)}".strip(), fontsize="small"),
    )
    return Latency(ax, points, diagonal, medians, counts)


def _check(name, result):
    if not isinstance(result, xr.Dataset) or "latency" not in result or result["latency"].dims != ("image",):
        values = result["latency"] if isinstance(result, xr.Dataset) and "latency" in result else result
        raise ResultError(
            f"{name}: expected a Dataset with latency over ('image',), got {describe(values)}. Pass what "
            f"{name}_latency gives, of one label."
        )
    if "duration" not in result.attrs or result.sizes["image"] == 0:
        raise ResultError(
            f"{name}: expected at least one image, and attrs['duration'] in seconds, got {result.sizes['image']} "
            f"images and {sorted(result.attrs)}. Pass what {name}_latency gives."
        )


def _count(decides, explains):
    undecided, unexplained = np.isnan(decides), np.isnan(explains)
    decides, explains = (np.where(np.isnan(values), np.inf, values) for values in (decides, explains))
    # Times are copies of the same coordinate, unless a file has rounded them.
    same = np.isclose(decides, explains) & ~undecided
    counts = {
        "explanation": (explains < decides) & ~same,
        "same": same,
        "decision": (decides < explains) & ~same,
        "neither": undecided & unexplained,
        "undecided": undecided,
        "unexplained": unexplained,
    }
    return {name: int(np.count_nonzero(which)) for name, which in counts.items()}


def _dress(ax, duration, counts, title):
    end = _END * duration
    ax.set(xlim=(0, end), ylim=(0, end), aspect="equal")
    ticks = [tick for tick in ax.get_xticks() if 0 <= tick <= duration]
    labels = [f"{tick:g}" for tick in ticks]
    at = [*ticks, _NEVER * duration]
    # One line lower, so that it does not run into the last number.
    ax.set_xticks(at, [*labels, f"\nnever ({counts['undecided']})"])
    ax.set_yticks(at, [*labels, f"never\n({counts['unexplained']})"])
    ax.tick_params(labelsize="x-small")
    ax.spines[["top", "right"]].set_visible(False)
    n_images = sum(counts[name] for name in ("explanation", "same", "decision", "neither"))
    stated = f"{n_images} image{'s' if n_images > 1 else ''}\nmap first {counts['explanation']}, "
    stated += f"decision first {counts['decision']}"
    if counts["same"]:
        stated += f", together {counts['same']}"
    if counts["neither"]:
        stated += f", neither {counts['neither']}"
    literal(ax.set_title(titled(title, stated), fontsize="x-small"))


def _criterion(result):
    criterion = str(result.attrs.get("criterion") or "")
    return plain(criterion.replace(">=", "≥").replace("<=", "≤"), _LONGEST) if criterion else ""
