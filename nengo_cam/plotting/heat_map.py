"""Maps of one dimension over time, as a heat map: places along the signal above it, the first step on top."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from .drawing import DrawnMap, draw_input, few_ticks, to_the_edges
from .ticks import Coordinates, label_pixels, ticks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from .drawing import Look
    from .selection import Scene

__all__ = ["draw_over_time", "draw_signal_above", "label_places", "label_times", "peak_limits"]


def draw_over_time(ax: Axes, maps: np.ndarray, scene: Scene, *, clim: Any, look: Look) -> DrawnMap:
    """Draw maps of one dimension below each other.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw. Rows are counted from 0.
    maps : ndarray of shape (T, X)
        Maps [logit].
    scene : Scene
        Where they are; with an input, they are drawn up to its ends.
    clim : (float, float)
        Color limits [logit].
    look : Look
        How maps look. Without a choice, cells are drawn as they are: smooth, steps would run into each other.

    Returns
    -------
    DrawnMap
        Its artists. Nothing lies behind the map, which is opaque.
    """
    left, right = scene.extent[:2]
    # Rows are counted, and named by their times later: kept steps may be uneven.
    extent = (left, right, len(maps) - 0.5, -0.5)
    ends = left, right
    if scene.film is not None:
        n_pixels = scene.film.shape[1]
        # As far as the signal above, whose ends would otherwise stand beside nothing.
        pads, extent = to_the_edges(extent, maps.shape, (len(maps), n_pixels))
        maps, ends = np.pad(maps, pads, mode="edge"), (-0.5, n_pixels - 0.5)
    drawn = DrawnMap(
        ax, maps, extent, None, clim, dataclasses.replace(look, interpolation=look.interpolation or "nearest")
    )
    ax.set(aspect="auto", xlim=ends, yticks=[])
    return drawn


def draw_signal_above(ax: Axes, scene: Scene, step: int) -> list[Line2D]:
    """Draw the signal above its maps, whose places are its own.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    scene : Scene
        What to show, with an input.
    step : int
        At which step.

    Returns
    -------
    list of matplotlib.lines.Line2D
        Its channels.
    """
    artists = draw_input(ax, scene.picture(step), flat=True).artists
    # Its places are those of the heat map below, which has the ticks.
    ax.set_xticks([])
    ax.spines[:].set_visible(False)
    return artists


def label_times(ax: Axes, times: np.ndarray, *, fontsize: str | float = "small") -> None:
    """Give the rows of a heat map a few ticks in time, whether steps are left out or not.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes.
    times : ndarray of shape (T,)
        Times of the rows [s].
    fontsize : str or float
        Size of the texts.
    """
    places, names = ticks_of(Coordinates(np.arange(len(times)), 1000 * np.asarray(times)), -0.5, len(times) - 0.5)
    ax.set_yticks(places, names, fontsize=fontsize)
    ax.set_ylabel("time [ms]", fontsize=fontsize)
    ax.tick_params(axis="y", length=2, pad=1.5)


def label_places(ax: Axes, scene: Scene, *, fontsize: str | float = "small") -> None:
    """Give a heat map ticks below it: places in the signal, or the user's coordinates.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes.
    scene : Scene
        What is shown.
    fontsize : str or float
        Size of the texts.
    """
    few_ticks(ax, flat=True, fontsize=fontsize, keep_y=True)
    label_pixels(ax, {dim: values for dim, values in scene.coordinates.items() if dim == "x"}, fontsize=fontsize)


def peak_limits(clims: np.ndarray) -> np.ndarray:
    """Find the limits that hold for all steps of a heat map, whose colors are to be compared down its columns.

    Parameters
    ----------
    clims : ndarray of shape (T, 2)
        Color limits of each step [logit].

    Returns
    -------
    ndarray of shape (2,)
        The widest of them.
    """
    return np.array([clims[:, 0].min(), clims[:, 1].max()])
