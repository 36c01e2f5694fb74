"""What firing rates buy, and what they cost: answers and maps over time and over spikes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal, NamedTuple

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from ..exceptions import ParameterError, ResultError
from .text import as_title, literal, plain

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import SubFigure

__all__ = ["Tradeoff", "tradeoff"]

_DIMS = ("neurons", "target_rate", "time")
_MEASURES = ("accuracy", "agreement")
# The light end of a sequential map is lost on white.
_COLOURS = (0.0, 0.88)
_BAND = (0.25, 0.75)
# How far the axis of spikes reaches below the largest count: first spikes, long before any answer, would fill it.
_DECADES = 2.5
# Points that are marked, as fractions of the time: they tie the two abscissas together.
_MARKED = (0.25, 0.5, 0.75, 1.0)
# Letters of the name of a neuron type.
_LONGEST = 40


class Tradeoff(NamedTuple):
    """Artists of `tradeoff`, in rows of neuron types and columns of panels, from top left.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure; notebooks show the Tradeoff itself.
    axes : list of list of matplotlib.axes.Axes
        Answers over time, answers over spikes, maps over time, maps over spikes.
    lines : list of list of list of matplotlib.lines.Line2D
        In each axes, one line per rate, in increasing order.
    bands : list of list of matplotlib.collections.PolyCollection
        In each row, the quartiles of the maps over time, one band per rate.
    references : list of matplotlib.lines.Line2D
        Accuracy of the rate network in the axes of accuracy, if it is known.
    legend : matplotlib.legend.Legend
        The rates [Hz]; where all neuron types hold levels of one quantum, how many levels strong activity has.
    """

    figure: Figure | SubFigure
    axes: list
    lines: list
    bands: list
    references: list
    legend: Legend

    def _repr_png_(self):
        png = io.BytesIO()
        self.figure.figure.savefig(png, format="png")
        return png.getvalue()


def tradeoff(
    curve: xr.Dataset,
    *,
    measure: Literal["accuracy", "agreement"] | None = None,
    cmap: str | Colormap = "viridis",
    title: str | None = None,
    fig: Figure | SubFigure | None = None,
) -> Tradeoff:
    """Draw what each firing rate is worth over time, and what it costs in spikes.

    A row per neuron type. Where receivers hold levels, the rate divided by the quantum is the number of levels that
    strong activity has, and no firing rate: the legend says so, or the name of the row if others have unit spikes. The
    left pair of panels shows the answers, the right pair the maps, as the median over images
    with the quartiles as a band; each pair has one ordinate, over time and over the spikes fired up to that time. Dots
    mark a quarter, a half, three quarters and all of the time. The axis of spikes reaches two and a half decades below
    the largest count.

    Parameters
    ----------
    curve : xarray.Dataset
        Result of `nengo_cam.calibration_curve`, whole or with some of its ``neurons``, rates or times selected.
    measure : {"accuracy", "agreement"}, optional
        Which measure of the answers: the fraction that is right, or as by the rate network. By default accuracy if it
        was measured.
    cmap : str or matplotlib.colors.Colormap
        Sequential color map for the rates.
    title : str, optional
        Drawn letter by letter, above all panels.
    fig : matplotlib.figure.Figure or SubFigure, optional
        Where to draw, best with ``layout="constrained"``. By default a new figure, two columns of a journal wide.

    Returns
    -------
    Tradeoff
        Figure and artists.

    Raises
    ------
    ResultError
        If ``curve`` lacks something.
    ParameterError
        If ``measure`` or ``cmap`` is unknown.
    """
    colormap = _colormap(cmap)
    names, rates, times, arrays = _read(curve)
    quanta = _quanta(curve, len(names))
    measure = _choose(measure, arrays)
    colors = colormap(np.linspace(*_COLOURS, len(rates)))
    marked = sorted({max(round(fraction * len(times)) - 1, 0) for fraction in _MARKED})
    if fig is None:
        fig = Figure(figsize=(7.1, 1.5 * len(names) + (0.4 if title is None else 0.65)), dpi=150, layout="constrained")
        FigureCanvasAgg(fig)
    axes = fig.subplots(len(names), 4, sharex="col", squeeze=False).tolist()

    lines, bands, references = [], [], []
    for row, name in enumerate(names):
        answers, maps, spikes = (arrays[variable][row] for variable in (measure, "cam_correlation", "spikes_per_image"))
        # A logarithm of no spikes is not drawn.
        spikes = np.where(spikes > 0, spikes, np.nan)
        look = {"colors": colors, "marked": marked}
        median = maps[..., 1]
        panels = [(times, answers), (spikes, answers), (times, median), (spikes, median)]
        lines.append([_draw_lines(ax, x, y, **look) for ax, (x, y) in zip(axes[row], panels)])
        bands.append(
            [
                axes[row][2].fill_between(times, low, high, color=color, alpha=0.15, linewidth=0)
                for (low, high), color in zip(np.moveaxis(maps[..., [0, 2]], -1, 1), colors)
            ]
        )
        if measure == "accuracy" and arrays["rate_accuracy"] is not None:
            for ax in axes[row][:2]:
                references.append(ax.axhline(arrays["rate_accuracy"], color="0.3", linewidth=0.8, linestyle="--"))
        heading = plain(name, _LONGEST)
        if not np.isnan(quanta[row]) and not _all_alike(quanta):
            heading += f", levels: rate / {quanta[row]:g} Hz"
        literal(axes[row][0].set_title(heading, loc="left", fontsize="small", fontweight="bold"))
    if title is not None:
        literal(fig.suptitle(as_title(title), fontsize="medium"))
    _dress(axes, measure, times, arrays["spikes_per_image"], arrays["cam_correlation"])
    shown = [rate / quanta[0] for rate in rates] if _all_alike(quanta) else rates
    legend = _add_legend(
        axes[0][-1], lines[0][0], shown, references, title="levels" if _all_alike(quanta) else "target\nrate [Hz]"
    )
    return Tradeoff(fig, axes, lines, bands, references, legend)


def _quanta(curve, n_types):
    """Return the quantum of each neuron type [Hz]; NaN of those whose spikes have one size, or if it is not known."""
    quanta = curve["quantum"].values if "quantum" in curve.coords else np.nan
    return np.broadcast_to(np.asarray(quanta, float), n_types)


def _all_alike(quanta):
    """Tell whether all neuron types hold levels, of the same quantum: a rate then is one number of levels."""
    return bool((quanta == quanta[0]).all())


def _draw_lines(ax, x, y, *, colors, marked):
    """Draw a line per rate; x may be the same for all."""
    return [
        ax.plot(
            *curve, color=color, linewidth=1.1, marker="o", markersize=2.8, markeredgewidth=0, markevery=marked
        )[0]
        for curve, color in zip(zip(np.broadcast_to(x, y.shape), y), colors)
    ]  # fmt: skip


def _dress(axes, measure, times, spikes, correlations):
    """Give the panels scales and labels, those that they share only once."""
    most = float(np.nanmax(spikes, initial=0.0)) or 1.0
    # Correlations may be negative, fractions not.
    lowest = min(0.0, float(np.nanmin(correlations, initial=0.0)))
    for row in axes:
        for ax in row:
            ax.grid(color="0.9", linewidth=0.6)
            ax.set_axisbelow(True)
            ax.tick_params(labelsize="x-small")
            ax.spines[["top", "right"]].set_visible(False)
        for i, (label, low) in enumerate(((measure, 0.0), ("CAM correlation", lowest))):
            time_axes, spike_axes = row[2 * i : 2 * i + 2]
            spike_axes.sharey(time_axes)
            spike_axes.tick_params(labelleft=False)
            time_axes.set_ylim(low - 0.02, 1.02)
            time_axes.set_xlim(0, 1.02 * times[-1])
            spike_axes.set(xscale="log", xlim=(most * 10**-_DECADES, most * 1.5))
            time_axes.set_ylabel(label, fontsize="small")
    for ax, label in zip(axes[-1], ("time [ms]", "spikes per image") * 2):
        ax.set_xlabel(label, fontsize="small")


def _add_legend(ax, lines, values, references, title):
    handles, labels = list(lines), [f"{value:g}" for value in values]
    if references:
        handles.append(references[0])
        labels.append("CNN")
    return ax.legend(
        handles, labels, title=title, loc="upper left", bbox_to_anchor=(1.0, 1.05), frameon=False,
        fontsize="x-small", title_fontsize="x-small", handlelength=1.4, borderaxespad=0.2, alignment="left",
    )  # fmt: skip


def _colormap(cmap: str | Colormap) -> Colormap:
    if not isinstance(cmap, str):
        return cmap
    try:
        return matplotlib.colormaps[cmap]
    except KeyError as err:
        raise ParameterError(
            f"cmap: unknown to matplotlib; expected the name of a sequential color map, got {cmap!r}. Try 'viridis'."
        ) from err


def _choose(measure, arrays):
    there = [name for name in _MEASURES if name in arrays]
    if measure is None:
        return there[0]
    if measure not in _MEASURES:
        raise ParameterError(
            f"measure: not a measure of answers; expected one of {list(_MEASURES)}, got {measure!r}. Choose one."
        )
    if measure not in there:
        raise ResultError(
            f"curve: {measure!r} was not measured; expected one of {there}, got {measure!r}. Choose one, or pass "
            "classes to calibration_curve."
        )
    return measure


def _read(curve):
    """Check a curve, and take it apart into names, rates [Hz], times [ms] and arrays (neurons, rate, time, ...)."""
    if not isinstance(curve, xr.Dataset):
        raise ResultError(
            f"curve: expected an xarray.Dataset, got {type(curve).__name__}. Pass the result of calibration_curve."
        )
    needed = ("agreement", "cam_correlation", "spikes_per_image")
    missing = [name for name in (*needed, *_DIMS, "quantile") if name not in curve.variables]
    if missing:
        raise ResultError(
            f"curve: expected {[*needed, *_DIMS, 'quantile']}, got no {missing}. Pass the result of calibration_curve."
        )
    arrays = {}
    for name in (*needed, "accuracy"):
        if name in curve:
            dims = (*_DIMS, "quantile") if name == "cam_correlation" else _DIMS
            # What was selected by one value has lost its dim, but not its coordinate.
            array = curve[name].expand_dims([dim for dim in _DIMS if dim not in curve[name].dims])
            if set(array.dims) != set(dims) or 0 in array.shape:
                raise ResultError(
                    f"curve: {name!r} has the wrong dims; expected {dims}, none empty, got {dict(array.sizes)}. Select "
                    "from the result of calibration_curve, and reduce nothing."
                )
            arrays[name] = array.transpose(*dims).sortby("target_rate")
    quantiles = arrays["cam_correlation"]["quantile"].values.tolist()
    wanted = [_BAND[0], 0.5, _BAND[1]]
    if not set(wanted) <= set(quantiles):
        raise ResultError(f"curve: expected the quantiles {wanted}, got {quantiles}. Keep them when you select.")
    arrays["cam_correlation"] = arrays["cam_correlation"].sel(quantile=wanted)
    first = arrays["agreement"]
    names, rates, times = (first[dim].values for dim in _DIMS)
    arrays = {name: array.values.astype(float) for name, array in arrays.items()}
    arrays["rate_accuracy"] = float(curve["rate_accuracy"]) if "rate_accuracy" in curve else None
    return names.tolist(), rates.tolist(), 1000 * times, arrays
