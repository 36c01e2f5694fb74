"""One image and its class-activation maps at a few times, side by side."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .answers import say_answer
from .overlay import add_colorbar, check_alpha, draw_map
from .scale import centered_colormap, check_scale, color_limits, extends
from .selection import nearest_steps, select_scenes
from .text import literal, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.colors import Colormap
    from matplotlib.figure import SubFigure
    from numpy.typing import ArrayLike

    from .scale import Scale

__all__ = ["Timeline", "timeline"]

# Letters of a name, above all panels.
_LONGEST = 32

# Maps settle quickly at first and slowly later; for 100 steps of 1 ms these are 5, 10, 20, 50 and 100 ms.
DEFAULT_FRACTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)


class Timeline(NamedTuple):
    """Artists of `timeline`, each list from left to right.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure; notebooks show the Timeline itself.
    axes : list of matplotlib.axes.Axes
        The image if there is one, the spiking maps, the rate map if there is one.
    image : matplotlib.image.AxesImage or None
        The input image in the first axes.
    maps : list of matplotlib.image.AxesImage
        The spiking maps, then the rate map.
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
    label: int | str | None = None,
    times: Sequence[float] | None = None,
    scale: Scale = "shared",
    cmap: str | Colormap = "RdBu_r",
    alpha: float = 0.65,
    fig: Figure | SubFigure | None = None,
) -> Timeline:
    """Draw the maps of one image at a few times, between the image and the rate map.

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
    label : int or str, optional
        Label of the maps; by default the one with the largest logit at the last step.
    times : sequence of float, optional
        When [s]; the nearest steps are shown. By default at 5, 10, 20, 50 and 100 % of the simulation.
    scale : {"shared", "image", "frame"} or (float, float)
        How far the colors reach, see `nengo_cam.plotting.scale.color_limits`. ``"shared"`` (here the same as
        ``"image"``): as far as the rate map, or the spiking map of the last step if there is no rate map; earlier
        maps may go beyond it, which the color bar then says. ``"frame"``: each map its own, with its own bar. Or
        ``(vmin, vmax)`` [logit].
    cmap : str or matplotlib.colors.Colormap
        Diverging color map.
    alpha : float
        Opacity of the maps in [0, 1].
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
        If there is no such label.
    ImageError
        If the images do not fit the maps.
    ParameterError
        If ``image``, ``times``, ``scale``, ``cmap`` or ``alpha`` is out of range.

    Examples
    --------
    >>> drawn = ncam.timeline(ncam.cumulative(spiking), rate, images, image=1, times=[0.01, 0.02, 0.04])
    >>> len(drawn.maps)  # at three times, and the rate map
    4
    >>> drawn.figure.savefig("timeline.png")
    """
    check_scale(scale)
    check_alpha(alpha)
    variables = ("cam", "logits") if label is None else ("cam",)
    (scene,) = select_scenes(spiking, rate, images, [image], label, variables)
    steps = _default_steps(len(scene.times)) if times is None else nearest_steps(scene.times, times)
    maps = [scene.spiking[step] for step in steps]
    limits = color_limits(scene.spiking[None], None if scene.rate is None else scene.rate[None], scale)
    clims = [limits.spiking[0, step] for step in steps]
    titles = [scene.moment(step) for step in steps]
    pictures = [scene.picture(step) for step in steps]
    if rate is not None:
        maps.append(scene.rate)
        clims.append(limits.rate[0])
        titles.append("rate")
        pictures.append(pictures[-1])
    cmap = centered_colormap(cmap, *clims[0])

    n_panels = len(maps) + (images is not None)
    if fig is None:
        below = (1.4 if scale == "frame" else 0.75) + (0 if scene.answers is None else 0.3 if rate is not None else 0.5)
        fig = _new_figure(n_panels, scene.extent, below)
    axes = np.atleast_1d(fig.subplots(1, n_panels)).tolist()
    shown = None
    if images is not None:
        shown = axes[0].imshow(pictures[-1], cmap="gray", vmin=0, vmax=1)
        axes[0].set_title("input")
    artists = []
    for ax, values, picture, clim, title in zip(axes[-len(maps) :], maps, pictures, clims, titles):
        artists.append(draw_map(ax, values, scene.extent, picture, clim=clim, cmap=cmap, alpha=alpha)[1])
        ax.set_title(title)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    title = f"image {plain(scene.image, _LONGEST)}, label {plain(scene.label, _LONGEST)}"
    literal(fig.suptitle(f"{title} ({plain(scene.kind, _LONGEST)})", fontsize="medium"))
    if scene.answers is not None:
        network, cnn = zip(("network", "CNN"), scene.answers)
        steps_and_rate = axes[-len(maps) :]
        if rate is None:
            say_answer(steps_and_rate[-1], network, cnn)
        else:
            say_answer(steps_and_rate[-2], network)
            say_answer(steps_and_rate[-1], cnn)
    if scale == "frame" and images is not None:
        # Panels with a bar below sit at the bottom of their cell.
        axes[0].set_anchor("S")
    bars = _colorbars(fig, axes, artists, maps, scene.units, each=scale == "frame")
    return Timeline(fig, axes, shown, artists, bars, [float(scene.times[step]) for step in steps])


def _default_steps(n_steps):
    return sorted({max(round(fraction * n_steps) - 1, 0) for fraction in DEFAULT_FRACTIONS})


def _new_figure(n_panels, extent, below):
    left, right, bottom, top = extent
    height = 1.35 * float(np.clip(abs((bottom - top) / (right - left)), 0.5, 2))
    fig = Figure(figsize=(1.5 * n_panels + 0.9, height + below), dpi=150, layout="constrained")
    FigureCanvasAgg(fig)
    return fig


def _colorbars(fig, axes, artists, maps, units, each):
    label = f"CAM [{units}]"
    if each:
        return [
            add_colorbar(fig, artist, artist.axes, label=label, extend=extends(values, *artist.get_clim()),
                         location="bottom")
            for artist, values in zip(artists, maps)
        ]  # fmt: skip
    extend = extends(np.stack(maps), *artists[0].get_clim())
    # Padding is relative to the width of all axes together.
    return [add_colorbar(fig, artists[0], axes, label=label, extend=extend, pad=0.05 / len(axes), aspect=15)]
