"""The figure of a film: panels of one or more images side by side, laid out once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..overlay import add_colorbar
from ..scale import centered_colormap, color_limits, extends
from .panel import Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Colormap

    from ..scale import Scale
    from ..score_curve import Curve
    from ..selection import Scene

__all__ = ["lay_out"]

BAR_BELOW = {"location": "bottom", "shrink": 0.7, "aspect": 25}


def lay_out(
    scenes: Sequence[Scene],
    curves: Sequence[Curve] | None = None,
    *,
    steps: Sequence[int],
    scale: Scale,
    cmap: str | Colormap,
    alpha: float,
    fig: Figure | None = None,
    with_input: bool = False,
) -> tuple[Figure, list[Panel], list[Colorbar]]:
    """Draw the panels of a film as they are at its last step.

    Parameters
    ----------
    scenes : sequence of Scene
        What to show, one per image, all with or all without a rate map.
    curves : sequence of Curve, optional
        Scores of the same images.
    steps : sequence of int
        Steps of the simulation that the film shows.
    scale : {"shared", "image", "frame"} or (float, float)
        How far the colors reach, see `nengo_cam.plotting.scale.color_limits`.
    cmap : str or matplotlib.colors.Colormap
        Diverging color map.
    alpha : float
        Opacity of the maps in [0, 1].
    fig : matplotlib.figure.Figure, optional
        Where to draw. By default a new figure, whose layout is computed once.
    with_input : bool
        Whether the input image is shown by itself, left of the maps, if there is one.

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
        If ``cmap`` is unknown.
    """
    with_rate = scenes[0].rate is not None
    rates = np.stack([scene.rate for scene in scenes if scene.rate is not None]) if with_rate else None
    limits = color_limits(np.stack([scene.spiking for scene in scenes]), rates, scale)
    colormap = centered_colormap(cmap, *limits.spiking[0, 0])
    own_figure = fig is None
    with_input = with_input and scenes[0].film is not None
    columns = 1 + with_rate + with_input
    if fig is None:
        fig = _new_figure(len(scenes), scenes[0].extent, columns, scale in ("image", "frame"), curves is not None)
    ratios = (1.3, 1) if curves is None else (1.3, 1, 0.6)
    grid = fig.add_gridspec(len(ratios), columns * len(scenes), height_ratios=ratios)
    panels = []
    for i, scene in enumerate(scenes):
        here = slice(columns * i, columns * (i + 1))
        input_axes = [fig.add_subplot(grid[0, here.start])] if with_input else []
        map_axes = [fig.add_subplot(grid[0, j]) for j in range(here.start + with_input, here.stop)]
        below = [fig.add_subplot(grid[row, here]) for row in range(1, len(ratios))]
        score_axes, curve = (None, None) if curves is None else (below[1], curves[i])
        panels.append(
            Panel(map_axes, below[0], score_axes, scene, curve, limits.spiking[i], limits.rate[i], colormap, alpha)
        )
        for ax in input_axes:
            panels[-1].add_input(ax)
    bars = _add_colorbars(fig, panels, steps, scale)
    # Laid out once, on the longest titles: laid out anew for each frame, the axes would tremble and saving be slower.
    for panel in panels:
        panel.draw(panel.tallest(steps))
    if own_figure:
        # Twice, because the room for titles depends on the shape of the axes, which the first pass decides.
        for _ in range(2):
            fig.draw_without_rendering()
        # None and not "none", which leaves a placeholder where there are color bars: Matplotlib would then draw each
        # frame twice, once to lay it out. With these settings it would put an engine of its own in place of None.
        with mpl.rc_context({"figure.autolayout": False, "figure.constrained_layout.use": False}):
            fig.set_layout_engine(None)
    return fig, panels, bars


def _new_figure(n_images, extent, columns, bars_below, with_scores):
    left, right, bottom, top = extent
    height = 2.2 * float(np.clip(abs((bottom - top) / (right - left)), 0.5, 2))
    width = 2.5 * n_images * max(columns, 1.3) + 0.9
    height += (3.4 if bars_below else 2.8) + (1.2 if with_scores else 0)
    fig = Figure(figsize=(width, height), layout="constrained")
    _SilentCanvas(fig)
    return fig


class _SilentCanvas(FigureCanvasAgg):
    # FuncAnimation asks for a redraw after each frame. Nobody looks at this canvas: savefig draws by itself.
    def draw_idle(self, *args, **kwargs):
        pass


def _add_colorbars(fig, panels, steps, scale):
    label = f"CAM [{panels[0].scene.units}]"

    def reach(panels):
        shown = [panel.scene.spiking[steps] for panel in panels]
        rates = [panel.scene.rate for panel in panels if panel.scene.rate is not None]
        shown += [rate.reshape(-1, *rate.shape[-2:]) for rate in rates]
        return extends(np.concatenate(shown), *panels[0].clims[0])

    if scale == "frame":
        return [
            add_colorbar(fig, artist, artist.axes, label=label, extend="neither", **BAR_BELOW)
            for panel in panels
            for artist in panel.maps
        ]
    if scale == "image":
        return [
            add_colorbar(fig, panel.maps[0], panel.map_axes, label=label, extend=reach([panel]), **BAR_BELOW)
            for panel in panels
        ]
    axes = [ax for panel in panels for ax in panel.map_axes]
    # Padding is relative to the width of all axes together.
    return [add_colorbar(fig, panels[0].maps[0], axes, label=label, extend=reach(panels), pad=0.02 / len(axes))]
