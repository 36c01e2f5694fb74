"""A film of spiking maps beside the rate map, over the logits as they grow."""

import operator

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..exceptions import ParameterError
from .film import CAMAnimation, check_fps
from .overlay import add_colorbar, check_alpha
from .panel import Panel
from .scale import centred_colormap, check_scale, color_limits, extends
from .selection import select_scenes

__all__ = ["animate"]


BAR_BELOW = {"location": "bottom", "shrink": 0.7, "aspect": 25}


def animate(
    spiking, rate=None, images=None, *, image=0, label=None, scale="shared", fps=20, stride=1, cmap="RdBu_r",
    alpha=0.65, fig=None, progress_bar=True,
):  # fmt: skip
    """Make a film of the maps of one or more images over the time of the simulation.

    Each image has its spiking map, the rate map beside it, and below them the logits of all labels up to the current
    time. The logits' axes stay the same over the film.

    Parameters
    ----------
    spiking : xarray.Dataset
        Result of `nengo_cam.spiking_cam`: ``cam`` (image, time, label, y, x) and ``logits`` (image, time, label)
        [logit], time [s], y and x [pixel].
    rate : xarray.Dataset, optional
        Result of `nengo_cam.rate_cam`: the same without time.
    images : array_like of shape (N, Y, X), (N, Y, X, C) or (N, T, Y, X, C), optional
        Input images, one per image of ``spiking`` or the full set that its ``image`` coordinate counts in. A film
        plays along with the maps.
    image : int or sequence of int
        Positions along the dim ``image`` of ``spiking``, drawn side by side.
    label : int or str, optional
        Label of the maps; by default the one with the largest logit at the last step, for each image.
    scale : {"shared", "image", "frame"} or (float, float)
        How far the colours reach, see `nengo_cam.plotting.scale.color_limits`. ``"shared"``: one limit over time,
        over all images drawn, and over spiking and rate maps. It is the largest magnitude in the rate maps, or in the
        spiking maps of the last step if there are no rate maps; what goes beyond it is drawn in the outermost colour
        and the colour bar has pointed ends. ``"image"``: the same for each image. ``"frame"``: each map its own.
        Or ``(vmin, vmax)`` [logit].
    fps : float
        Frames per second.
    stride : int
        Steps from one frame to the next. The last step is always the last frame.
    cmap : str or matplotlib.colors.Colormap
        Diverging colour map.
    alpha : float
        Opacity of the maps in [0, 1].
    fig : matplotlib.figure.Figure, optional
        Where to draw, best with ``layout="constrained"``. By default a new figure, whose layout is computed once.
    progress_bar : bool
        Whether saving shows its progress.

    Returns
    -------
    CAMAnimation
        The film. Nothing but its first frame is drawn yet.

    Raises
    ------
    ResultError
        If a Dataset lacks something, the two are swapped or do not fit each other.
    LabelError
        If there is no such label.
    ImageError
        If the images do not fit the maps.
    ParameterError
        If ``image``, ``scale``, ``fps``, ``stride``, ``cmap`` or ``alpha`` is out of range.
    """
    check_scale(scale)
    check_alpha(alpha)
    check_fps(fps)
    scenes = select_scenes(spiking, rate, images, image, label)
    steps = _frame_steps(len(scenes[0].times), stride)
    rates = None if rate is None else np.stack([scene.rate for scene in scenes])
    limits = color_limits(np.stack([scene.spiking for scene in scenes]), rates, scale)
    cmap = centred_colormap(cmap, *limits.spiking[0, 0])

    own_figure = fig is None
    if own_figure:
        fig = _new_figure(len(scenes), scenes[0].extent, rate is not None, scale in ("image", "frame"))
    columns = 1 if rate is None else 2
    grid = fig.add_gridspec(2, columns * len(scenes), height_ratios=(1.3, 1))
    panels = [
        Panel(
            [fig.add_subplot(grid[0, columns * i + j]) for j in range(columns)],
            fig.add_subplot(grid[1, columns * i : columns * (i + 1)]),
            scene, limits.spiking[i], limits.rate[i], cmap, alpha,
        )
        for i, scene in enumerate(scenes)
    ]  # fmt: skip
    _add_colorbars(fig, panels, steps, scale)
    # Laid out once, on the longest titles: laid out anew for each frame, the axes would tremble and saving be slower.
    # And before there is a film, which takes the first drawing of its figure for the start of the show.
    for panel in panels:
        panel.draw(steps[-1])
    if own_figure:
        # Twice, because the room for titles depends on the shape of the axes, which the first pass decides.
        for _ in range(2):
            fig.draw_without_rendering()
        fig.set_layout_engine("none")
    film = CAMAnimation(fig, panels, steps, fps=fps, progress_bar=progress_bar)
    film.draw(steps[0])
    return film


def _frame_steps(n_steps, stride):
    try:
        valid = operator.index(stride) >= 1
    except TypeError:
        valid = False
    if not valid:
        raise ParameterError(f"stride: not a number of steps; expected an int of at least 1, got {stride!r}. Try 1.")
    return list(range((n_steps - 1) % stride, n_steps, stride))


def _new_figure(n_images, extent, with_rate, bars_below):
    left, right, bottom, top = extent
    height = 2.2 * float(np.clip(abs((bottom - top) / (right - left)), 0.5, 2))
    width = 2.5 * n_images * (2 if with_rate else 1.3) + 0.9
    fig = Figure(figsize=(width, height + (3.4 if bars_below else 2.8)), layout="constrained")
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
        shown += [panel.scene.rate[None] for panel in panels if panel.scene.rate is not None]
        return extends(np.concatenate(shown), *panels[0].clims[0])

    if scale == "frame":
        for panel in panels:
            for artist in panel.maps:
                add_colorbar(fig, artist, artist.axes, label=label, extend="neither", **BAR_BELOW)
    elif scale == "image":
        for panel in panels:
            add_colorbar(fig, panel.maps[0], panel.map_axes, label=label, extend=reach([panel]), **BAR_BELOW)
    else:
        axes = [ax for panel in panels for ax in panel.map_axes]
        # Padding is relative to the width of all axes together.
        add_colorbar(fig, panels[0].maps[0], axes, label=label, extend=reach(panels), pad=0.02 / len(axes))
