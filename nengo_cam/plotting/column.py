"""Figures as wide as a column of a journal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .text import in_two_lines, name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

__all__ = ["COLUMN", "dress", "new_figure", "png_of", "short_label"]

#: Width of a column [inch].
COLUMN = 3.3


def new_figure(height: float) -> Figure:
    """Make a figure one column wide.

    Parameters
    ----------
    height : float
        Height [inch].

    Returns
    -------
    matplotlib.figure.Figure
        The figure, with a canvas and without pyplot.
    """
    fig = Figure(figsize=(COLUMN, height), dpi=300, layout="constrained")
    FigureCanvasAgg(fig)
    return fig


def dress(ax: Axes) -> None:
    """Give axes a light grid, small numbers and no more frame than needed.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes.
    """
    ax.grid(color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize="x-small")
    ax.spines[["top", "right"]].set_visible(False)


def png_of(figure: Figure | SubFigure) -> bytes:
    """Render a figure, or the one that a subfigure is part of.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or SubFigure
        The figure.

    Returns
    -------
    bytes
        A PNG file.
    """
    png = io.BytesIO()
    figure.figure.savefig(png, format="png")
    return png.getvalue()


def short_label(label: int | str) -> str:
    """Name a label where there is little room.

    Parameters
    ----------
    label : int or str
        Label.

    Returns
    -------
    str
        ``"label 3"``, or the name, on two lines if it is long.
    """
    # It stands beside or above a map that may be half an inch wide.
    return in_two_lines(name_of(label)) if isinstance(label, str) else f"label {label}"
