"""One image and its class-activation maps at a few times, side by side."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from .answers import say_answer
from .column import short_label
from .drawing import add_colorbar, bar_label, check_look, draw_input, draw_map, few_ticks, shown_part
from .heat_map import draw_over_time, draw_signal_above, label_places, label_times, peak_limits
from .planes import STRONGEST
from .scale import check_scale, color_limits, extends
from .selection import nearest_steps, select_scenes
from .text import as_title, in_two_lines, literal, name_of, plain
from .ticks import label_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.colors import Colormap
    from matplotlib.figure import SubFigure
    from numpy.typing import ArrayLike

    from .scale import Scale, Style

__all__ = ["Timeline", "timeline"]

# Letters of a name, above all panels.
_LONGEST = 32

# Letters of a name that fit below a map, after who answers so.
_LINE = 14
# Room for a box around what is said below the maps [inch].
_BOX = 0.08

# Maps settle quickly at first and slowly later; for 100 steps of 1 ms these are 5, 10, 20, 50 and 100 ms.
DEFAULT_FRACTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)


class Timeline(NamedTuple):
    """Artists of `timeline`, each list from left to right.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure; notebooks show the Timeline itself.
    axes : list of matplotlib.axes.Axes
        The image if there is one, the spiking maps, the rate map if there is one; of several labels the maps row by
        row.
    image : matplotlib.image.AxesImage, list of matplotlib.lines.Line2D, or None
        The input image in the first axes, or the channels of a signal.
    maps : list of matplotlib.image.AxesImage
        The spiking maps, then the rate map; of several labels row by row. Of signals the heat map, then the rate map,
        label by label.
    colorbars : list of matplotlib.colorbar.Colorbar
        One, or with ``scale="frame"`` one per map.
    times : list of float
        Times of the spiking maps [s].
    """

    figure: Figure | SubFigure
    axes: list
    image: object
    maps: list
    colorbars: list
    times: list

    def _repr_png_(self):
        png = io.BytesIO()
        self.figure.figure.savefig(png, format="png")
        return png.getvalue()


def timeline(
    spiking: xr.Dataset,
    rate: xr.Dataset | None = None,
    images: ArrayLike | None = None,
    *,
    image: int = 0,
    label: int | str | Sequence[int | str] | None = None,
    times: Sequence[float] | None = None,
    scale: Scale = "shared",
    style: Style = "signed",
    cmap: str | Colormap | None = None,
    alpha: float = 0.65,
    interpolation: str | None = None,
    plane: str | int = STRONGEST,
    title: str | None = None,
    fig: Figure | SubFigure | None = None,
) -> Timeline:
    """Draw the maps of one image at a few times, between the image and the rate map.

    Maps of one dimension are drawn as a heat map: places along the signal, which stands above it, and times down. The
    rate map is a strip below. Of several labels each has a column.

    Parameters
    ----------
    spiking : xarray.Dataset
        Result of `nengo_cam.spiking_cam`: ``cam`` (image, time, label, y, x) and ``logits`` (image, time, label)
        [logit], time [s], y and x [pixel].
    rate : xarray.Dataset, optional
        Result of `nengo_cam.rate_cam`: the same without time.
    images : array_like of shape (N, Y, X), (N, Y, X, C) or (N, T, Y, X, C), optional
        Input images, one per image of ``spiking`` or the full set that its ``image`` coordinate counts in. Of a
        film, each map lies on the frame of its time; the first panel shows the frame of the last map.
    image : int
        Position along the dim ``image`` of ``spiking``.
    label : int, str or sequence of them, optional
        Label of the maps, or several, a row for each; ``"top3"`` for the three with the largest logits at the last
        step, and any other number likewise. By default the one with the largest.
    times : sequence of float, optional
        When [s]; the nearest steps are shown. By default at 5, 10, 20, 50 and 100 % of the simulation; in a heat map
        all steps.
    scale : {"shared", "image", "frame"} or (float, float)
        How far the colors reach, see `nengo_cam.plotting.scale.color_limits`. ``"shared"`` (here the same as
        ``"image"``): as far as the rate map, or the spiking map of the last step if there is no rate map; earlier
        maps may go beyond it, which the color bar then says. ``"frame"``: each map its own, with its own bar. Or
        ``(vmin, vmax)`` [logit].
    style : {"signed", "heatmap"}
        ``"heatmap"`` draws the positive part only, and says so, the more opaque the larger it is.
    cmap : str or matplotlib.colors.Colormap, optional
        Diverging color map, by default ``"RdBu_r"``; for heat maps a sequential one, by default ``"inferno"``.
    alpha : float
        Opacity of the maps in [0, 1] where there is an image.
    interpolation : str, optional
        As in matplotlib's ``imshow``. By default ``"nearest"``, cells as they are; ``"bilinear"`` where a cell is
        larger than a tenth of the image, and than a pixel.
    plane : "strongest" or int
        Of maps of three dimensions: for each row and column the value of largest magnitude along z, with its sign, on
        the mean of the image along z; or the plane at this position, on the slice of the image there.
    title : str, optional
        Above all panels, drawn letter by letter. By default made from the image, the label and the kind of maps.
    fig : matplotlib.figure.Figure or SubFigure, optional
        Where to draw, best with ``layout="constrained"``. By default a new figure.

    Returns
    -------
    Timeline
        Figure and artists.

    Raises
    ------
    ResultError
        If a Dataset lacks something, the two are swapped or do not fit each other.
    LabelError
        If there is no such label, or there are not so many.
    ImageError
        If the images do not fit the maps.
    ParameterError
        If ``image``, ``times``, ``scale``, ``style``, ``cmap``, ``alpha``, ``interpolation`` or ``plane`` is out of
        range.

    Examples
    --------
    >>> drawn = ncam.timeline(ncam.cumulative(spiking), rate, images, image=1, times=[0.01, 0.02, 0.04])
    >>> len(drawn.maps)  # at three times, and the rate map
    4
    >>> drawn.figure.savefig("timeline.png")
    """
    look = check_look(cmap, alpha, interpolation, style, check_scale(scale))
    variables = ("cam", "logits") if label is None else ("cam",)
    scenes = select_scenes(spiking, rate, images, [image], label, variables, plane=plane)
    scene = scenes[0]
    steps = _default_steps(len(scene.times)) if times is None else nearest_steps(scene.times, times)
    rates = [one.rate for one in scenes if one.rate is not None]
    limits = color_limits(
        np.stack([one.spiking for one in scenes]), np.stack(rates) if rates else None, scale, style=style
    )
    if scene.flat:
        heading = _title(scenes) if title is None else as_title(title)
        return _of_signals(fig, scenes, limits, look, None if times is None else steps, heading, each=scale == "frame")
    rows = [_row(one, steps, *of_one) for one, *of_one in zip(scenes, limits.spiking, limits.rate)]

    if fig is None:
        below = (1.4 if scale == "frame" else 0.75) + _height_of_answers(scene)
        fig = _new_figure(len(rows), len(rows[0]) + (images is not None), scene.extent, below)
        if scene.answers is not None:
            _leave_room_for_boxes(fig)
    axes, of_input = _add_axes(fig, len(rows), len(rows[0]), images is not None)
    shown = None
    if of_input is not None:
        shown = draw_input(of_input, scene.picture(steps[-1])).artists[0]
        of_input.set_title("input")
        few_ticks(of_input, flat=False)
        label_pixels(of_input, scene.coordinates)
    drawn = []
    for row_axes, row, one in zip(axes, rows, scenes):
        for ax, part in zip(row_axes, row):
            drawn.append(draw_map(ax, part.values, scene.extent, part.picture, clim=part.clim, look=look))
            few_ticks(ax, flat=False)
            if one is scene:
                ax.set_title(part.title)
        if len(scenes) > 1:
            literal(row_axes[0].set_ylabel(short_label(one.label), fontsize="small"))
    literal(fig.suptitle(_title(scenes) if title is None else as_title(title), fontsize="medium"))
    if scene.answers is not None:
        _say_answers(axes[-1], scene.answers, rate is not None)
    if scale == "frame" and of_input is not None:
        # Panels with a bar below sit at the bottom of their cell.
        of_input.set_anchor("S")
    flat_axes = ([] if of_input is None else [of_input]) + [ax for row in axes for ax in row]
    values = [part.values for row in rows for part in row]
    bars = _colorbars(fig, flat_axes, drawn, values, bar_label(scene.units, style), style, each=scale == "frame")
    return Timeline(
        fig, flat_axes, shown, [one.map for one in drawn], bars, [float(scene.times[step]) for step in steps]
    )


def _of_signals(fig, scenes, limits, look, steps, title, *, each):
    """Draw maps of one dimension as heat maps over time, a column for each label."""
    scene = scenes[0]
    chosen = np.arange(len(scene.times)) if steps is None else np.array(steps)
    with_input, with_rate = scene.film is not None, scene.rate is not None
    heights = [0.55] * with_input + [1.9] + [0.5 if each else 0.3] * with_rate
    if fig is None:
        below = 1.0 + 0.3 * (scene.answers is not None) + 0.2 * (len(scenes) > 1)
        fig = Figure(figsize=(3.2 * len(scenes) + 0.9, sum(heights) + below), dpi=150, layout="constrained")
        FigureCanvasAgg(fig)
    grid = fig.add_gridspec(len(heights), len(scenes), height_ratios=heights)
    axes, drawn, values, shown = [], [], [], None
    for column, (one, clims, rate_clim) in enumerate(zip(scenes, limits.spiking, limits.rate)):
        of_label = [fig.add_subplot(grid[row, column]) for row in range(len(heights))]
        if with_input:
            lines = draw_signal_above(of_label[0], one, chosen[-1])
            shown = lines if shown is None else shown
        over_time = of_label[int(with_input)]
        drawn.append(draw_over_time(over_time, one.spiking[chosen], one, clim=peak_limits(clims[chosen]), look=look))
        values.append(one.spiking[chosen])
        if with_rate:
            drawn.append(draw_over_time(of_label[-1], one.rate[None], one, clim=rate_clim, look=look))
            values.append(one.rate[None])
            over_time.set_xticks([])
        label_places(of_label[-1], one)
        if column == 0:
            label_times(over_time, one.times[chosen])
            if with_rate:
                of_label[-1].set_ylabel("rate", fontsize="small", rotation=0, ha="right", va="center")
        if len(scenes) > 1:
            literal(of_label[0].set_title(f"label {name_of(one.label)}", fontsize="small"))
        axes += of_label
    literal(fig.suptitle(title, fontsize="medium"))
    if scene.answers is not None:
        say_answer(axes[len(heights) - 1], *zip(("network", "CNN"), scene.answers))
    label = bar_label(scene.units, look.style)
    if each:
        # Beside the maps: below them stand places and answers.
        bars = _colorbars(fig, axes, drawn, values, label, look.style, each=True, location="right")
        for bar in bars[1::2] if with_rate else []:
            bar.set_label("")
            bar.locator = MaxNLocator(2)
            bar.update_ticks()
    else:
        maps = np.concatenate(values)
        bars = _colorbars(fig, axes, drawn[:1], [maps], label, look.style, each=False)
    return Timeline(fig, axes, shown, [one.map for one in drawn], bars, scene.times[chosen].tolist())


class _Part(NamedTuple):
    """One map of a row."""

    values: np.ndarray
    clim: np.ndarray
    title: str
    picture: np.ndarray | None


def _row(scene, steps, clims, rate_clim):
    """Collect the maps of a label: those of the steps, then that of the rate network."""
    row = [_Part(scene.spiking[step], clims[step], scene.moment(step), scene.picture(step)) for step in steps]
    if scene.rate is not None:
        row.append(_Part(scene.rate, rate_clim, "rate", row[-1].picture))
    return row


def _add_axes(fig, n_rows, n_maps, with_input):
    """Add a row of axes for each label, and one for the input before all of them."""
    grid = fig.add_gridspec(n_rows, n_maps + with_input)
    # The first axes are the leftmost ones.
    of_input = fig.add_subplot(grid[:, 0]) if with_input else None
    return [[fig.add_subplot(grid[i, j + with_input]) for j in range(n_maps)] for i in range(n_rows)], of_input


def _title(scenes):
    scene = scenes[0]
    parts = [f"image {plain(scene.image, _LONGEST)}"]
    if len(scenes) == 1:
        parts.append(f"label {name_of(scene.label)}")
    kind = plain(scene.kind, _LONGEST)
    return f"{', '.join(parts)} ({kind}; {scene.plane})" if scene.plane else f"{', '.join(parts)} ({kind})"


def _leave_room_for_boxes(fig):
    # The layout does not count the box around an answer.
    fig.set_layout_engine(ConstrainedLayoutEngine(h_pad=_BOX))


def _height_of_answers(scene):
    if scene.answers is None:
        return 0
    # Names on two lines, below one map or below two.
    longer = sum("\n" in in_two_lines(name_of(name), _LINE) for name in scene.answers)
    return 0.3 + 0.15 * (longer > 0) if scene.rate is not None else 0.5 + 0.25 * longer


def _say_answers(axes, answers, with_rate):
    network, cnn = zip(("network", "CNN"), answers)
    if with_rate:
        say_answer(axes[-2], network, line=_LINE)
        say_answer(axes[-1], cnn, line=_LINE)
    else:
        say_answer(axes[-1], network, cnn, line=_LINE)


def _default_steps(n_steps):
    return sorted({max(round(fraction * n_steps) - 1, 0) for fraction in DEFAULT_FRACTIONS})


def _new_figure(n_rows, n_panels, extent, below):
    left, right, bottom, top = extent
    height = 1.35 * float(np.clip(abs((bottom - top) / (right - left)), 0.5, 2))
    fig = Figure(figsize=(1.5 * n_panels + 0.9, n_rows * height + below), dpi=150, layout="constrained")
    FigureCanvasAgg(fig)
    return fig


def _colorbars(fig, axes, drawn, values, label, style, *, each, location="bottom"):
    if each:
        bars = []
        for one, of_one in zip(drawn, values):
            extend = extends(shown_part(of_one, style), *one.map.get_clim())
            bars.append(add_colorbar(fig, one, one.map.axes, label=label, extend=extend, location=location))
        return bars
    extend = extends(shown_part(np.stack(values), style), *drawn[0].map.get_clim())
    # Padding is relative to the width of all axes together, of which some may stand below others.
    n_columns = len({ax.get_subplotspec().colspan.start for ax in axes})
    return [add_colorbar(fig, drawn[0], axes, label=label, extend=extend, pad=0.05 / n_columns, aspect=15)]
