"""Rate and spiking maps of several images side by side, and what is left between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure

from ..exceptions import LabelError
from .answers import say_answer
from .column import COLUMN, new_figure, png_of, short_label
from .drawing import add_colorbar, bar_label, check_look, draw_input, draw_map, few_ticks, shown_part
from .heat_map import draw_over_time, draw_signal_above, label_places, label_times
from .planes import STRONGEST
from .results import check_rate
from .scale import check_scale, color_limits, extends
from .selection import nearest_steps, select_scenes
from .text import LONGEST_NAME, as_title, in_two_lines, literal, name_of, plain
from .ticks import label_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.colors import Colormap
    from matplotlib.figure import SubFigure
    from numpy.typing import ArrayLike

    from .scale import Style

__all__ = ["Comparison", "comparison"]

# Spikes have to pass all layers before there is a map; 10, 30 and 100 ms of 100 steps.
_FRACTIONS = (0.1, 0.3, 1.0)
# Points; a larger title would run into the next, in six columns.
_SMALL = 6
# Letters of the name of an image, beside its row.
_LONGEST = 12
# Room for titles above the first row and for the color bar below the last [inch].
_TITLES, _BAR = 0.2, 0.42
# Rows of wide images are not lower: their names stand upright beside them [inch].
_ROW = 0.45
# Room below a row for the answers of both networks, where they differ [inch].
_ANSWER, _SECOND_LINE = 0.2, 0.09
# A signal, and the heat map of its maps below it [inch].
_SIGNAL, _HEAT = 0.25, 0.85


class Comparison(NamedTuple):
    """Artists of `comparison`, in rows of images, from left to right.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure; notebooks show the Comparison itself.
    axes : list of list of matplotlib.axes.Axes
        The image if there is one, the rate map, the spiking maps, the difference. Of signals, these above each map
        first.
    images : list of matplotlib.image.AxesImage or of matplotlib.lines.Line2D
        The input images in the first axes of each row; empty without images. Of signals, their channels.
    maps : list of list of matplotlib.image.AxesImage
        In each row the rate map, the spiking maps, the difference.
    colorbar : matplotlib.colorbar.Colorbar
        Of all maps, the differences too.
    times : list of float
        Times of the spiking maps [s].
    """

    figure: Figure | SubFigure
    axes: list
    images: list
    maps: list
    colorbar: Colorbar
    times: list

    def _repr_png_(self):
        return png_of(self.figure)


def comparison(
    spiking: xr.Dataset,
    rate: xr.Dataset,
    images: ArrayLike | None = None,
    *,
    image: int | Sequence[int] = 0,
    label: int | str | Sequence[int | str] | None = None,
    times: Sequence[float] | None = None,
    scale: Literal["shared"] | tuple[float, float] = "shared",
    style: Style = "signed",
    cmap: str | Colormap | None = None,
    alpha: float = 0.65,
    interpolation: str | None = None,
    plane: str | int = STRONGEST,
    title: str | None = None,
    fig: Figure | SubFigure | None = None,
) -> Comparison:
    """Draw image, rate map, spiking maps at some times, and the difference, a row for each image.

    Of signals, whose maps have one dimension: a heat map of the rate map, the spiking maps, and what is left between
    them, places along the signal above and times down.

    The last column is the spiking map of the last of these times minus the rate map. It is in the colors of all other
    maps, so that equal colors are equal logits: where it is pale, there is little between the networks.

    Parameters
    ----------
    spiking : xarray.Dataset
        Result of `nengo_cam.spiking_cam`, of unit spikes best reduced by `nengo_cam.cumulative` or `nengo_cam.smooth`:
        ``cam`` (image, time, label, y, x) and, if no label is chosen, ``logits`` (image, time, label).
    rate : xarray.Dataset
        Result of `nengo_cam.rate_cam`: the same without time.
    images : array_like of shape (N, Y, X), (N, Y, X, C) or (N, T, Y, X, C), optional
        Input images, one per image of ``spiking`` or the full set that its ``image`` coordinate counts in.
    image : int or sequence of int
        Positions along the dim ``image`` of ``spiking``, one for each row. An image may come twice.
    label : int, str or sequence of them, optional
        Label of the maps: one for all rows, or one for each; of a single image several, a row for each. ``"top3"``: of
        each image three rows, those with the largest logits at the last step, and any other number likewise. Default:
        the one with the largest.
    times : sequence of float, optional
        When [s]; the nearest steps are shown. Default: at 10, 30 and 100 % of the simulation; in a heat map
        all steps.
    scale : "shared" or (float, float)
        How far the colors reach: as far as the rate maps shown, in either direction, or ``(vmin, vmax)`` [logit]. What
        lies beyond has the outermost color, which the color bar then says by pointed ends.
    style : {"signed", "heatmap"}
        ``"heatmap"`` draws the positive part only, and says so, the more opaque the larger it is, of the difference as
        well.
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
        Above all panels, drawn letter by letter.
    fig : matplotlib.figure.Figure or SubFigure, optional
        Where to draw, best with ``layout="constrained"``. Default: a new figure, one column of a journal wide.

    Returns
    -------
    Comparison
        Figure and artists.

    Raises
    ------
    ResultError
        If a Dataset lacks something, the two are swapped or do not fit each other.
    LabelError
        If there is no such label, or not one for each row.
    ImageError
        If the images do not fit the maps.
    ParameterError
        If ``image``, ``times``, ``scale``, ``style``, ``cmap``, ``alpha``, ``interpolation`` or ``plane`` is out of
        range.

    See Also
    --------
    nengo_cam.compare : Score how close the maps are, at all times.

    Examples
    --------
    >>> drawn = ncam.comparison(ncam.cumulative(spiking), rate, images, image=[0, 2])
    >>> [ax.get_title() for ax in drawn.axes[0]]
    ['input', 'rate', '4 ms', '12 ms', '40 ms', 'last − rate']
    >>> drawn.figure.savefig("comparison.png")
    """
    look = check_look(cmap, alpha, interpolation, style, check_scale(scale, ("shared",)))
    # Other figures do without rate maps.
    check_rate(rate, ("cam",))
    scenes = _select(spiking, rate, images, image, label, plane)
    if scenes[0].flat:
        return _of_signals(fig, scenes, look, scale, times, title)
    moments = scenes[0].times
    steps = _default_steps(len(moments)) if times is None else nearest_steps(moments, times)
    rows = [_maps_of(scene, steps) for scene in scenes]
    rates = np.stack([scene.rate for scene in scenes])
    clim = color_limits(rates[:, None], rates, scale, style=style).rate[0]

    n_columns = len(rows[0]) + (images is not None)
    if fig is None:
        fig = new_figure(_height(scenes, n_columns))
    axes = fig.subplots(len(rows), n_columns, squeeze=False).tolist()
    shown, drawn = [], []
    for scene, maps, row in zip(scenes, rows, axes):
        pictures = [scene.picture(step) for step in (steps[-1], *steps, steps[-1])]
        if images is not None:
            shown.append(draw_input(row[0], pictures[-1]).artists[0])
        drawn.append(
            [
                draw_map(ax, values, scene.extent, picture, clim=clim, look=look)
                for ax, values, picture in zip(row[-len(maps) :], maps, pictures)
            ]
        )
        name = plain(scene.image, _LONGEST)
        literal(row[0].set_ylabel(f"image {name}\n{short_label(scene.label)}", fontsize=_SMALL))
        if scene.answers is not None:
            # Below the map of the CNN, and below the last of the spiking network.
            for ax, answer in zip((row[-2], row[-len(maps)]), scene.answers):
                say_answer(ax, ("answer", answer), line=LONGEST_NAME // 2, fontsize=_SMALL - 1)
        for ax in row:
            few_ticks(ax, flat=False)
            ax.spines[:].set_linewidth(0.5)
        label_pixels(row[0], scene.coordinates, fontsize=_SMALL - 1.5, small=True)
    columns = ["input"] * len(shown[:1]) + ["rate", *map(scenes[0].moment, steps), "last − rate"]
    for ax, name in zip(axes[0], columns):
        # Beside coordinates the axes are narrower.
        ax.set_title(name, fontsize=_SMALL - (1 if "y" in scenes[0].coordinates else 0), pad=3)
    bar = _add_bar(fig, axes, drawn, np.array(rows), clim, scenes[0], style)
    if title is not None:
        literal(fig.suptitle(as_title(title), fontsize="small"))
    artists = [[one.map for one in row] for row in drawn]
    return Comparison(fig, axes, shown, artists, bar, [float(moments[step]) for step in steps])


def _add_bar(fig, axes, drawn, maps, clim, scene, style):
    label = bar_label(scene.units, style)
    if scene.plane:
        label += f", {scene.plane}"
    bar = add_colorbar(
        fig, drawn[0][0], [ax for row in axes for ax in row], extend=extends(shown_part(maps, style), *clim),
        label=label, location="bottom", aspect=40, shrink=0.8, pad=0.02,
    )  # fmt: skip
    bar.ax.tick_params(labelsize="x-small")
    bar.ax.xaxis.label.set_fontsize("x-small")
    return bar


def _of_signals(fig, scenes, look, scale, times, title):
    """Draw maps of one dimension as heat maps over time: rate, spiking, and what is left between them."""
    steps = np.arange(len(scenes[0].times)) if times is None else np.array(nearest_steps(scenes[0].times, times))
    rates = np.stack([scene.rate for scene in scenes])
    clim = color_limits(rates[:, None], rates, scale, style=look.style).rate[0]
    with_input = scenes[0].film is not None
    heights = [*[_SIGNAL] * with_input, _HEAT] * len(scenes)
    if fig is None:
        # Places stand below the last row.
        fig = new_figure(sum(heights) + 0.1 * len(heights) + _height_of_answers(scenes) + _TITLES + _BAR + 0.15)
    grid = fig.add_gridspec(len(heights), 3, height_ratios=heights)
    axes, shown, drawn, rows = [], [], [], []
    for i, scene in enumerate(scenes):
        top = i * (1 + with_input)
        above = [fig.add_subplot(grid[top, j]) for j in range(3)] if with_input else []
        here = [fig.add_subplot(grid[top + with_input, j]) for j in range(3)]
        signals = [draw_signal_above(ax, scene, int(steps[-1])) for ax in above]
        shown += signals[0] if signals else []
        # At all times the same, so that colors are compared along a row of pixels.
        constant = np.repeat(scene.rate[None], len(steps), axis=0)
        maps = [constant, scene.spiking[steps], scene.spiking[steps] - constant]
        drawn.append([draw_over_time(ax, one, scene, clim=clim, look=look) for ax, one in zip(here, maps)])
        rows.append(maps)
        axes.append([*above, *here])
        label_times(here[0], scene.times[steps], fontsize=_SMALL)
        here[0].set_ylabel("")
        name = plain(scene.image, _LONGEST)
        literal(here[0].set_ylabel(f"image {name}\n{short_label(scene.label)}\ntime [ms]", fontsize=_SMALL))
        for ax in here:
            ax.spines[:].set_linewidth(0.5)
            if scene is scenes[-1]:
                label_places(ax, scene, fontsize=_SMALL)
            else:
                ax.set_xticks([])
        if scene.answers is not None:
            for ax, answer in zip(here[1::-1], scene.answers):
                say_answer(ax, ("answer", answer), line=LONGEST_NAME // 2, fontsize=_SMALL - 1)
    for ax, name in zip(axes[0], ("rate", "spiking", "spiking − rate")):
        ax.set_title(name, fontsize=_SMALL, pad=3)
    bar = _add_bar(fig, axes, drawn, np.array(rows), clim, scenes[0], look.style)
    if title is not None:
        literal(fig.suptitle(as_title(title), fontsize="small"))
    artists = [[one.map for one in row] for row in drawn]
    return Comparison(fig, axes, shown, artists, bar, scenes[0].times[steps].tolist())


def _select(spiking, rate, images, image, label, plane):
    """Cut out what each row shows."""
    if label is None:
        return select_scenes(spiking, rate, images, image, None, plane=plane)
    rows = list(image) if np.iterable(image) else [image]
    if isinstance(label, str) or not np.iterable(label) or len(rows) == 1:
        return select_scenes(spiking, rate, images, rows, label, ("cam",), plane=plane)
    labels = list(label)
    if len(labels) != len(rows):
        raise LabelError(
            f"label: expected one for all rows or one for each of {len(rows)}, got {len(labels)}. Repeat the image for "
            "several labels of it."
        )
    pairs = zip(rows, labels)
    return [
        scene for row, name in pairs for scene in select_scenes(spiking, rate, images, row, name, ("cam",), plane=plane)
    ]


def _maps_of(scene, steps):
    maps = [scene.spiking[step] for step in steps]
    # Between the maps that are seen; of three dimensions, the strongest values of both may come from different planes.
    return [scene.rate, *maps, maps[-1] - scene.rate]


def _default_steps(n_steps):
    return sorted({max(round(fraction * n_steps) - 1, 0) for fraction in _FRACTIONS})


def _height_of_answers(scenes):
    found = [scene.answers for scene in scenes if scene.answers is not None]
    on_two_lines = sum(any("\n" in in_two_lines(name_of(name)) for name in pair) for pair in found)
    return _ANSWER * len(found) + _SECOND_LINE * on_two_lines


def _height(scenes, n_columns):
    left, right, bottom, top = scenes[0].extent
    # What the names of the rows leave of the width.
    side = (COLUMN - 0.35) / n_columns
    answers = _height_of_answers(scenes)
    row = max(side * min(abs((bottom - top) / (right - left)), 2), _ROW)
    return len(scenes) * float(row) + answers + _TITLES + _BAR
