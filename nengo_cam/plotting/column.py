"""Figures as wide as a column of a journal."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["COLUMN", "dress", "new_figure", "png_of"]

#: Width of a column [inch].
COLUMN = 3.3


def new_figure(height):
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


def dress(ax):
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


def png_of(figure):
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
