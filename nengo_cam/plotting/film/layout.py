"""The figure of a film: panels of one or more images side by side, laid out once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..drawing import add_colorbar, bar_label, shown_part
from ..scale import Limits, color_limits, extends, style_colormap
from ..text import as_title, literal
from .panel import Panel, PanelAxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.colorbar import Colorbar

    from ..drawing import Look
    from ..scale import Scale
    from ..score_curve import Curve
    from ..selection import Scene

__all__ = ["lay_out"]

# Rows of the legend that a figure has room for, and what each further one takes [inch].
_FEW_ROWS, _ROW = 4, 0.19

BAR_BELOW = {"location": "bottom", "shrink": 0.7, "aspect": 25}


def lay_out(
    scenes: Sequence[Scene],
    curves: Sequence[Curve] | None = None,
    *,
    steps: Sequence[int],
    scale: Scale,
    look: Look,
    fig: Figure | None = None,
    title: str | None = None,
) -> tuple[Figure, list[Panel], list[Colorbar]]:
    """Draw the panels of a film as they are at its last step.

    The input is the first panel of each image, if there is one.

    Parameters
    ----------
    scenes : sequence of Scene
        What to show: for each image as many labels, those of an image together; all with or all without a rate map.
    curves : sequence of Curve, optional
        Scores of the same images and labels.
    steps : sequence of int
        Steps of the simulation that the film shows.
    scale : {"shared", "image", "frame"} or (float, float)
        How far the colors reach, see `nengo_cam.plotting.scale.color_limits`.
    look : Look
        How maps look, checked.
    fig : matplotlib.figure.Figure, optional
        Where to draw. By default a new figure, whose layout is computed once.
    title : str, optional
        Above all panels.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The figure.
    panels : list of Panel
        One per image.
    colorbars : list of matplotlib.colorbar.Colorbar
        With ``scale="frame"`` one per map, otherwise one, or one per image.

    Raises
    ------
    ParameterError
        If the color map is unknown.
    """
    films = _by_image(scenes)
    limits = _limits(films, scale, look.style)
    # Before there are axes in a figure of the user's.
    style_colormap(look.cmap, limits.spiking[0, 0], look.style)
    grid = _Grid(
        len(films),
        len(films[0]),
        scenes[0].rate is not None,
        scenes[0].film is not None,
        curves is not None,
        scenes[0].flat,
    )
    own_figure = fig is None
    if fig is None:
        fig = _new_figure(grid, scenes[0], scale in ("image", "frame"))
    panels = []
    for i, (film, axes) in enumerate(zip(films, grid.add_to(fig))):
        here = slice(i * len(film), (i + 1) * len(film))
        panels.append(
            Panel(axes, film, None if curves is None else curves[here], limits.spiking[here], limits.rate[here], look)
        )
    bars = _add_colorbars(fig, panels, steps, scale, look.style)
    if title is not None:
        literal(fig.suptitle(as_title(title), fontsize="large"))
    # Laid out once, on the longest titles: laid out anew for each frame, the axes would tremble and saving be slower.
    for panel in panels:
        panel.draw(panel.tallest(steps))
    if own_figure:
        # Names of a thousand labels take rows that the logits below them are not to lose.
        fig.set_figheight(fig.get_figheight() + _ROW * max(panels[0].logits.legend_rows - _FEW_ROWS, 0))
        # Twice, because the room for titles depends on the shape of the axes, which the first pass decides.
        for _ in range(2):
            fig.draw_without_rendering()
        # None and not "none", which leaves a placeholder where there are color bars: Matplotlib would then draw each
        # frame twice, once to lay it out. With these settings it would put an engine of its own in place of None.
        with mpl.rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
            fig.set_layout_engine(None)
    return fig, panels, bars


class _Grid(NamedTuple):
    """Rows and columns of a film: for each image the input, and its labels side by side."""

    n_images: int
    n_labels: int
    with_rate: bool
    with_input: bool
    with_scores: bool
    flat: bool

    @property
    def map_rows(self):
        # Rate maps stand beside the only label, but below several.
        return 2 if self.with_rate and self.n_labels > 1 else 1

    @property
    def columns(self):
        maps = self.n_labels if self.n_labels > 1 else 1 + self.with_rate
        return maps + self.with_input

    def add_to(self, fig):
        """Add the axes of each image to a figure."""
        # Signals are low, and rows of maps would leave the logits little of the height.
        high = 1.3 if self.map_rows == 1 and not self.flat else 1.0
        ratios = [high] * self.map_rows + [1, 0.6][: 1 + self.with_scores]
        grid = fig.add_gridspec(len(ratios), self.columns * self.n_images, height_ratios=ratios)
        found = []
        for i in range(self.n_images):
            start, stop = self.columns * i, self.columns * (i + 1)
            of_input = fig.add_subplot(grid[: self.map_rows, start]) if self.with_input else None
            maps = [
                fig.add_subplot(grid[row, column])
                for column in range(start + self.with_input, stop)
                for row in range(self.map_rows)
            ]
            below = [fig.add_subplot(grid[row, start:stop]) for row in range(self.map_rows, len(ratios))]
            found.append(PanelAxes(maps, below[0], below[1] if self.with_scores else None, of_input))
        return found


def _by_image(scenes):
    """Put the scenes of an image together: as many as come before the first label comes again."""
    n_labels, first = 1, scenes[0]
    # An image may be shown twice.
    while (
        n_labels < len(scenes) and scenes[n_labels].position == first.position and scenes[n_labels].label != first.label
    ):
        n_labels += 1
    return [scenes[i : i + n_labels] for i in range(0, len(scenes), n_labels)]


def _limits(films, scale, style):
    """Find the color limits of all maps; a rule for each image holds for all of its labels."""

    def limits_of(scenes, rule):
        rates = None if scenes[0].rate is None else np.stack([scene.rate for scene in scenes])
        return color_limits(np.stack([scene.spiking for scene in scenes]), rates, rule, style=style)

    if scale != "image":
        return limits_of([scene for film in films for scene in film], scale)
    found = [limits_of(film, "shared") for film in films]
    return Limits(*(np.concatenate(parts) for parts in zip(*found)))


def _new_figure(grid, scene, bars_below):
    left, right, bottom, top = scene.extent
    height = 2.2 * grid.map_rows * float(np.clip(abs((bottom - top) / (right - left)), 0.5, 2))
    width = 2.5 * grid.n_images * max(grid.columns, 1.3) + 0.9
    height += (3.4 if bars_below else 2.8) + (1.2 if grid.with_scores else 0) + 0.7 * (grid.map_rows - 1)
    fig = Figure(figsize=(width, height), layout="constrained")
    _SilentCanvas(fig)
    return fig


class _SilentCanvas(FigureCanvasAgg):
    # FuncAnimation asks for a redraw after each frame. Nobody looks at this canvas: savefig draws by itself.
    def draw_idle(self, *args, **kwargs):
        pass


def _add_colorbars(fig, panels, steps, scale, style):
    label = bar_label(panels[0].scene.units, style)

    def reach(panels):
        shown = []
        for scene in (scene for panel in panels for scene in panel.scenes):
            shown.append(scene.spiking[steps].ravel())
            if scene.rate is not None:
                shown.append(scene.rate.ravel())
        return extends(shown_part(np.concatenate(shown), style), *panels[0].clims[0])

    if scale == "frame":
        return [
            add_colorbar(fig, drawn, drawn.map.axes, label=label, extend="neither", **BAR_BELOW)
            for panel in panels
            for drawn in panel.drawn
        ]
    if scale == "image":
        return [
            add_colorbar(fig, panel.drawn[0], panel.map_axes, label=label, extend=reach([panel]), **BAR_BELOW)
            for panel in panels
        ]
    axes = [ax for panel in panels for ax in panel.map_axes]
    # Padding is relative to the width of all axes together, of which some may stand below others.
    pad = 0.02 if len(panels[0].scenes) == 1 else 0.06
    n_columns = sum(max(len(panel.scenes), len(panel.map_axes) // len(panel.scenes)) for panel in panels)
    return [add_colorbar(fig, panels[0].drawn[0], axes, label=label, extend=reach(panels), pad=pad / n_columns)]
