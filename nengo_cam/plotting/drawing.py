"""How a map, the input behind it and the bar of its colors are drawn, in every figure alike."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.image import interpolations_names
from matplotlib.ticker import MaxNLocator

from ..exceptions import ParameterError
from .displayed import gray, image_extent
from .scale import check_style, style_colormap
from .text import literal, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D

    from .displayed import Extent
    from .scale import Style

__all__ = [
    "POSITIVE_ONLY",
    "DrawnInput",
    "DrawnMap",
    "Look",
    "add_colorbar",
    "bar_label",
    "check_alpha",
    "check_look",
    "draw_input",
    "draw_map",
    "few_ticks",
    "fitting_interpolation",
    "shown_part",
    "to_the_edges",
]

# Black is drawn as this gray: under a half-transparent map, a black background would dull all its colors.
DARKEST = 0.5
# A larger part of the image than this is no longer seen as a cell among many: its edges would look like what was found.
_COARSE = 0.1
# Letters of a quantity and its unit beside the color bar.
_LONGEST = 24
# What of a signal's axes is left free above and below it, in parts of the signal's range.
_MARGIN = 0.08
# Grays of a signal's channels, from the first to the last; lighter than the curve of the map, which is black.
_FIRST_GRAY, _LAST_GRAY = 0.4, 0.75
#: What a figure says of a heat map.
POSITIVE_ONLY = "positive part only"


@dataclasses.dataclass(frozen=True)
class Look:
    """How maps look, whatever is in them.

    Attributes
    ----------
    cmap : str or matplotlib.colors.Colormap or None
        As the user chose it.
    alpha : float
        Opacity where there is an input behind the map: everywhere, of a heat map where it is strongest.
    interpolation : str or None
        As in matplotlib's ``imshow``; None lets the size of the cells decide.
    style : {"signed", "heatmap"}
        Whether negative values are drawn.
    """

    cmap: str | Colormap | None = None
    alpha: float = 0.65
    interpolation: str | None = None
    style: Style = "signed"


class DrawnMap:
    """Artists of one map, which can show another one later.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    values : ndarray of shape (Y, X) or (X,)
        Map [logit].
    extent : tuple of float
        ``(left, right, bottom, top)`` of the map [pixel].
    picture : ndarray or None
        The input, see `draw_map`.
    clim : (float, float)
        Color limits [logit].
    look : Look
        How it looks.

    Attributes
    ----------
    picture : matplotlib.image.AxesImage or None
        The image in gray.
    signal : list of matplotlib.lines.Line2D
        The channels of a signal; empty for images.
    map : matplotlib.image.AxesImage
        The map; where its cells leave a strip of the image free, with the outermost cells repeated up to the edge. Of
        one dimension, an array of one row.
    curve : matplotlib.lines.Line2D or None
        A map of one dimension as a curve, from the lower color limit at the bottom to the upper one on top.
    zero : matplotlib.lines.Line2D or None
        Where the curve is zero.
    """

    def __init__(
        self,
        ax: Axes,
        values: np.ndarray,
        extent: Extent,
        picture: np.ndarray | None,
        clim: tuple[float, float] | np.ndarray,
        look: Look,
    ):
        self.picture: AxesImage | None = None
        self.signal: list[Line2D] = []
        self.curve: Line2D | None = None
        self.zero: Line2D | None = None
        flat = values.ndim == 1
        cells = np.atleast_2d(values).shape
        whole, self._pads = extent, ((0, 0), (0, 0))
        if picture is not None:
            shape = (1, len(picture)) if flat else picture.shape[:2]
            whole = image_extent(shape)
        smooth = look.interpolation or fitting_interpolation(extent, cells, whole, flat)
        cmap, alpha = style_colormap(look.cmap, clim, look.style), 1.0
        if picture is not None:
            # What was seen is not to end before the image does, which would look like a mistake.
            self._pads, extent = to_the_edges(extent, cells, shape)
            cmap, alpha = (_fading(cmap, look.alpha), 1.0) if look.style == "heatmap" else (cmap, look.alpha)
            self._draw_picture(ax, picture, flat)
        left, right, bottom, top = whole
        if flat:
            bottom, top = -_MARGIN, 1 + _MARGIN
            extent = (extent[0], extent[1], bottom, top)
        self.map = ax.imshow(
            np.atleast_2d(self._padded(values)), cmap=cmap, vmin=clim[0], vmax=clim[1], extent=extent,
            interpolation=smooth, alpha=alpha, aspect="auto" if flat else None, zorder=-1 if flat else None,
        )  # fmt: skip
        if flat:
            n_cells = cells[1] + sum(self._pads[1])
            centers = extent[0] + (np.arange(n_cells) + 0.5) * (extent[1] - extent[0]) / n_cells
            # The curve ends where the outermost cells do, not in their middle.
            self._places = np.concatenate([extent[:1], centers, extent[1:2]])
            self.zero = ax.axhline(0, color="black", linewidth=0.5, linestyle=(0, (1, 2)), zorder=1.5)
            (self.curve,) = ax.plot(
                [], [], color="black", linewidth=1.4, drawstyle="steps-mid" if smooth == "nearest" else "default"
            )
            self._draw_curve(values)
        # Colors lie on white paper, or on a medium gray of the image.
        self._ground = 1.0 if flat else (1 + DARKEST) / 2
        ax.set(xlim=(left, right), ylim=(bottom, top))
        if flat:
            ax.set_yticks([])

    def show(self, values: np.ndarray, clim: Any, picture: np.ndarray | None = None) -> list[Artist]:
        """Show another map of the same kind.

        Parameters
        ----------
        values : ndarray of shape (Y, X) or (X,)
            Map [logit].
        clim : (float, float)
            Color limits [logit].
        picture : ndarray, optional
            The input behind it; by default it stays.

        Returns
        -------
        list of matplotlib.artist.Artist
            What may have changed, in the order in which it is drawn.
        """
        self.map.set_data(np.atleast_2d(self._padded(values)))
        self.map.set_clim(*clim)
        if picture is not None and self.picture is not None:
            self.picture.set_data(gray(picture))
        if picture is not None:
            for line, channel in zip(self.signal, picture.T):
                line.set_ydata(channel)
        if self.curve is None or self.zero is None:
            return [self.map] if self.picture is None else [self.picture, self.map]
        self._draw_curve(values)
        return [self.map, *self.signal, self.zero, self.curve]

    def colors(self) -> np.ndarray:
        """Return 256 colors as they appear, mixed with a medium gray of the image, of shape (256, 3)."""
        mixed: Any = self.map.cmap(np.linspace(0, 1, 256))
        alpha = mixed[:, 3:] * cast("float", self.map.get_alpha())
        return alpha * mixed[:, :3] + (1 - alpha) * self._ground

    def _padded(self, values):
        return np.pad(values, self._pads[-values.ndim :], mode="edge") if np.any(self._pads) else values

    def _draw_picture(self, ax, picture, flat):
        if flat:
            self.signal = _draw_signal(ax, picture)
            return
        # Lightened by the color limits, not by changing the values: these stay what they are for whoever reads them.
        black = -DARKEST / (1 - DARKEST)
        self.picture = ax.imshow(gray(picture), cmap="gray", vmin=black, vmax=1, extent=image_extent(picture.shape))

    def _draw_curve(self, values):
        vmin, vmax = self.map.get_clim()
        # On the axes of the signal, with the color bar as its scale: a second axis would be read as that of the signal.
        heights = (np.pad(self._padded(values), 1, mode="edge") - vmin) / (vmax - vmin)
        self.curve.set_data(self._places, heights)
        self.zero.set_ydata([-vmin / (vmax - vmin)] * 2)


def draw_map(
    ax: Axes,
    values: np.ndarray,
    extent: Extent,
    picture: np.ndarray | None = None,
    *,
    clim: tuple[float, float] | np.ndarray,
    look: Look,
) -> DrawnMap:
    """Draw a map on the displayed input, without title and color bar.

    A map of one dimension is a strip of color behind the signal, and a curve on it.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    values : ndarray of shape (Y, X) or (X,)
        Map [logit].
    extent : tuple of float
        ``(left, right, bottom, top)`` of the map [pixel]; of one dimension the last two are not used.
    picture : ndarray of shape (Y_image, X_image) or (Y_image, X_image, 3), or (X_image, C), optional
        Image, or for a map of one dimension the channels of a signal, in [0, 1].
    clim : (float, float)
        Color limits [logit].
    look : Look
        How it looks, checked. Without a picture the map is opaque.

    Returns
    -------
    DrawnMap
        Its artists.

    Raises
    ------
    ParameterError
        If matplotlib knows no color map of that name.
    """
    return DrawnMap(ax, values, extent, picture, clim, look)


class DrawnInput:
    """Artists of the input by itself, which can show another frame later.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    picture : ndarray of shape (Y, X) or (Y, X, 3), or (X, C)
        Image in [0, 1], or the channels of a signal.
    flat : bool
        Whether it is a signal.

    Attributes
    ----------
    artists : list of matplotlib.image.AxesImage or of matplotlib.lines.Line2D
        The image, in color if it has some; or the channels of the signal.
    """

    def __init__(self, ax: Axes, picture: np.ndarray, flat: bool = False):
        if flat:
            self.artists: list[Any] = _draw_signal(ax, picture)
            left, right, _, _ = image_extent((1, len(picture)))
            ax.set(xlim=(left, right), ylim=(-_MARGIN, 1 + _MARGIN), yticks=[])
        else:
            self.artists = [ax.imshow(picture, cmap="gray", vmin=0, vmax=1)]
        self._flat = flat

    def show(self, picture: np.ndarray) -> list[Artist]:
        """Show another frame.

        Parameters
        ----------
        picture : ndarray
            As the first one.

        Returns
        -------
        list of matplotlib.artist.Artist
            What may have changed.
        """
        if self._flat:
            for line, channel in zip(self.artists, picture.T):
                line.set_ydata(channel)
        else:
            self.artists[0].set_data(picture)
        return self.artists


def draw_input(ax: Axes, picture: np.ndarray, *, flat: bool = False) -> DrawnInput:
    """Draw the input by itself, photographs in color.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    picture : ndarray of shape (Y, X) or (Y, X, 3), or (X, C)
        Image in [0, 1], or the channels of a signal.
    flat : bool
        Whether it is a signal.

    Returns
    -------
    DrawnInput
        Its artists.
    """
    return DrawnInput(ax, picture, flat)


def few_ticks(ax: Axes, *, flat: bool, fontsize: str | float = "x-small", keep_y: bool = False) -> None:
    """Take the ticks off axes of an image, and leave a few below a signal, whose place nobody could tell otherwise.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        The axes.
    flat : bool
        Whether they show a signal.
    fontsize : str or float
        Size of the numbers.
    keep_y : bool
        Whether the ordinate keeps its ticks, as that of times does.
    """
    if not keep_y:
        ax.set_yticks([])
    if not flat:
        ax.set_xticks([])
        return
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    ax.tick_params(axis="x", labelsize=fontsize, length=2, pad=1.5)


def add_colorbar(
    fig: Figure | SubFigure,
    drawn: DrawnMap,
    axes: Axes | Sequence[Axes],
    *,
    label: str,
    extend: Literal["neither", "min", "max", "both"],
    **kwargs: Any,
) -> Colorbar:
    """Add a color bar that shows the colors of a map as they appear, mixed with the image.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        The figure.
    drawn : DrawnMap
        A map. The bar follows its limits when they change.
    axes : matplotlib.axes.Axes or sequence of them
        What to take the space from.
    label : str
        What `bar_label` writes.
    extend : {"neither", "min", "max", "both"}
        Where values lie beyond the limits.
    **kwargs
        Passed to ``fig.colorbar``.

    Returns
    -------
    matplotlib.colorbar.Colorbar
        The bar.
    """
    # Opaque colors mixed beforehand: a half-transparent bar would lie on white, and its ends on whatever is there.
    mixed = ScalarMappable(norm=drawn.map.norm, cmap=ListedColormap(drawn.colors()))
    bar = fig.colorbar(mixed, ax=axes, label=label, extend=extend, **kwargs)
    # Whichever way it stands.
    literal(bar.ax.xaxis.label, bar.ax.yaxis.label)
    return bar


def bar_label(units: str, style: Style = "signed", what: str = "CAM") -> str:
    """Write what a color bar shows.

    Parameters
    ----------
    units : str
        Unit of the maps.
    style : {"signed", "heatmap"}
        Of a heat map the bar says that it has no negative values.
    what : str
        The quantity.

    Returns
    -------
    str
        Such as ``"CAM [logit]"``.
    """
    label = plain(f"{what} [{units}]", _LONGEST)
    return f"{label}\n{POSITIVE_ONLY}" if style == "heatmap" else label


def shown_part(values: np.ndarray, style: Style) -> np.ndarray:
    """Return what of maps a style draws: all, or for heat maps what is not negative."""
    return np.maximum(values, 0) if style == "heatmap" else values


def check_alpha(alpha: Any) -> None:
    """Check the argument ``alpha`` of a plot.

    Parameters
    ----------
    alpha : float
        Opacity.

    Raises
    ------
    ParameterError
        If it is not a number in [0, 1].
    """
    if not isinstance(alpha, (int, float, np.number)) or not 0 <= alpha <= 1:
        raise ParameterError(f"alpha: not an opacity; expected a number from 0 to 1, got {alpha!r}. Try 0.65.")


def check_look(
    cmap: Any = None, alpha: Any = 0.65, interpolation: Any = None, style: Any = "signed", scale: Any = None
) -> Look:
    """Check how maps shall look.

    Parameters
    ----------
    cmap, alpha, interpolation, style
        What the user gave, see `Look`.
    scale : str or (float, float), optional
        The argument ``scale``, checked.

    Returns
    -------
    Look
        The same.

    Raises
    ------
    ParameterError
        If one of them is not valid.
    """
    check_alpha(alpha)
    style = check_style(style, scale)
    # Unknown names are told before anything is drawn; which part of the map is taken depends on limits.
    style_colormap(cmap, (-1, 1), style)
    if interpolation is not None and interpolation not in interpolations_names:
        raise ParameterError(
            f"interpolation: unknown to matplotlib; expected None or one of {sorted(interpolations_names)}, got "
            f"{interpolation!r}. Try 'nearest' or 'bilinear'."
        )
    return Look(cmap, alpha, interpolation, style)


def to_the_edges(
    extent: Extent, cells: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[tuple[tuple[int, int], tuple[int, int]], Extent]:
    """Find how many cells to repeat on each side to reach the edges of an image, and the extent with them.

    Parameters
    ----------
    extent : tuple of float
        ``(left, right, bottom, top)`` of the map [pixel].
    cells, shape : tuple
        Shapes (Y, X) of the map and of the image.

    Returns
    -------
    pads : tuple of (int, int)
        Cells before and after the rows, and the columns, as `numpy.pad` takes them.
    extent : tuple of float
        The extent of the map with them; what lies beyond the image is for the limits of the axes to cut off.
    """
    left, right, bottom, top = extent
    pads, places = [], []
    for first, last, n_cells, size in ((top, bottom, cells[0], shape[0]), (left, right, cells[1], shape[1])):
        step = (last - first) / n_cells
        low, high = (-0.5, size - 0.5) if step > 0 else (size - 0.5, -0.5)
        # A rounding error of the centers is no strip.
        before, after = (max(int(np.ceil(gap / step - 1e-6)), 0) for gap in (first - low, high - last))
        pads.append((before, after))
        places.append((first - before * step, last + after * step))
    (top, bottom), (left, right) = places
    return (pads[0], pads[1]), (left, right, bottom, top) if np.any(pads) else extent


def fitting_interpolation(extent: Extent, cells: tuple[int, ...], whole: Extent, flat: bool) -> str:
    """Choose how cells are drawn: smooth where they are so large that their edges would be seen as something found.

    Parameters
    ----------
    extent : tuple of float
        ``(left, right, bottom, top)`` of the map [pixel].
    cells : tuple
        Shape (Y, X) of the map.
    whole : tuple of float
        What is seen, as ``extent``: the image, or the map alone.
    flat : bool
        Whether it is the map of a signal, whose height means nothing.

    Returns
    -------
    {"nearest", "bilinear"}
        As in matplotlib's ``imshow``.
    """
    sides = [(extent[0], extent[1], cells[1], whole[0], whole[1])]
    if not flat:
        sides.append((extent[2], extent[3], cells[0], whole[2], whole[3]))
    for first, last, n_cells, begin, end in sides:
        cell = abs(last - first) / n_cells
        # A cell that is a pixel has the edges of the image itself.
        if cell > 1 + 1e-6 and cell > _COARSE * abs(end - begin) * (1 + 1e-6):
            return "bilinear"
    return "nearest"


def _fading(cmap, alpha):
    """Let a color map fade in from zero, so that the image is seen where there is nothing."""
    colors = cmap(np.linspace(0, 1, 256))
    colors[:, 3] = alpha * np.linspace(0, 1, 256)
    return ListedColormap(colors, name=f"{cmap.name} fading in")


def _draw_signal(ax, picture):
    """Draw the channels of a signal (X, C) as thin lines."""
    grays = np.linspace(_FIRST_GRAY, _LAST_GRAY, picture.shape[1]) if picture.shape[1] > 1 else [_FIRST_GRAY]
    return [
        ax.plot(np.arange(len(picture)), channel, color=str(float(shade)), linewidth=0.8)[0]
        for channel, shade in zip(picture.T, grays)
    ]
