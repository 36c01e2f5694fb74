"""One class-activation map on its image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ..exceptions import ParameterError, ResultError
from ..scoring.positions import pixel_centers, remedy_of_arrays
from .displayed import as_images, check_cover, displayed, gray, image_extent, map_extent
from .scale import centered_colormap, check_scale, color_limits, extends
from .selection import milliseconds
from .text import literal, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.colors import Colormap
    from matplotlib.figure import SubFigure
    from numpy.typing import ArrayLike

    from .displayed import Extent

__all__ = ["Overlay", "add_colorbar", "check_alpha", "draw_map", "overlay"]

# Black is drawn as this gray: under a half-transparent map, a black background would dull all its colors.
DARKEST = 0.5
# Letters of a label above the map, and beside the color bar.
_LONGEST = 24


class Overlay(NamedTuple):
    """Artists of `overlay`.

    Attributes
    ----------
    axes : matplotlib.axes.Axes
        In pixel coordinates of the input image, row 0 at the top.
    image : matplotlib.image.AxesImage or None
        The image in gray.
    map : matplotlib.image.AxesImage
        The map; its array holds the values in logits.
    colorbar : matplotlib.colorbar.Colorbar or None
        In the colors of the map as they appear on a medium gray of the image.
    """

    axes: Axes
    image: AxesImage | None
    map: AxesImage
    colorbar: Colorbar | None


def overlay(
    cam: xr.DataArray,
    image: ArrayLike | None = None,
    *,
    ax: Axes | None = None,
    scale: Literal["frame"] | tuple[float, float] = "frame",
    cmap: str | Colormap = "RdBu_r",
    alpha: float = 0.65,
    interpolation: str = "nearest",
    colorbar: bool = True,
    title: str | None = None,
) -> Overlay:
    """Draw one class-activation map on its image.

    The map keeps its sign and its units and its opacity is the same everywhere, so that equal values have equal
    colors. The image is drawn in grays, lightened, so that all color belongs to the map. The color bar is mixed
    with a medium gray of the image in the same way as the map is.

    Parameters
    ----------
    cam : xarray.DataArray of shape (Y, X)
        Map with dims and coordinates y and x, its cell centers in pixels of the input image [logit].
    image : array_like of shape (Y_image, X_image) or (Y_image, X_image, C), optional
        Input image in any units; stretched to its own range. Without it the map is drawn opaque.
    ax : matplotlib.axes.Axes, optional
        Where to draw. By default on a new figure, which is ``.axes.figure`` of the result.
    scale : "frame" or (float, float)
        ``"frame"``: symmetric about zero, up to the largest magnitude in the map. Or ``(vmin, vmax)`` [logit]; zero
        keeps the neutral color.
    cmap : str or matplotlib.colors.Colormap
        Diverging color map.
    alpha : float
        Opacity of the map in [0, 1] where there is an image.
    interpolation : str
        As in matplotlib's ``imshow``. By default the cells are shown as they are.
    colorbar : bool
        Whether to add a color bar.
    title : str, optional
        Drawn letter by letter: ``$`` and ``_`` make no mathematics. By default made from the label and time that
        ``cam`` was selected at, if it has them as coordinates.

    Returns
    -------
    Overlay
        The artists.

    Raises
    ------
    ResultError
        If ``cam`` is not a DataArray over y and x with coordinates.
    ImageError
        If the image has a wrong shape or does not cover the same pixels.
    ParameterError
        If ``scale``, ``cmap`` or ``alpha`` is not valid.

    Examples
    --------
    >>> drawn = ncam.overlay(rate.cam.isel(image=0).sel(label=2), images[0], title="2")
    >>> drawn.axes.get_title()
    '2'
    >>> drawn.axes.figure.savefig("map.png")
    """
    cam = _check_map(cam)
    check_scale(scale, ("frame",))
    check_alpha(alpha)
    values = cam.values
    extent = map_extent(pixel_centers(cam, "y"), pixel_centers(cam, "x"))
    clim = color_limits(values[None, None], scale=scale).spiking[0, 0]
    cmap = centered_colormap(cmap, *clim)
    picture = None
    if image is not None:
        picture = displayed(as_images(np.asarray(image)[None])[0, 0])
        check_cover(extent, picture.shape, values.shape)

    if ax is None:
        fig = Figure(figsize=(4.2, 3.6), layout="constrained")
        FigureCanvasAgg(fig)
        ax = fig.subplots()
    look = {"clim": clim, "cmap": cmap, "alpha": alpha, "interpolation": interpolation}
    drawn, artist = draw_map(ax, values, extent, picture, **look)
    literal(ax.set_title(_title(cam) if title is None else _lines(title)))
    bar = None
    if colorbar:
        label = f"CAM [{cam.attrs.get('units') or 'logit'}]"
        bar = add_colorbar(ax.figure, artist, ax, label=label, extend=extends(values, *clim))
    return Overlay(ax, drawn, artist, bar)


def draw_map(
    ax: Axes,
    values: np.ndarray,
    extent: Extent,
    picture: np.ndarray | None = None,
    *,
    clim: tuple[float, float] | np.ndarray,
    cmap: Colormap,
    alpha: float,
    interpolation: str = "nearest",
) -> tuple[AxesImage | None, AxesImage]:
    """Draw a map on a displayed picture, without title and color bar.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    values : ndarray of shape (Y, X)
        Map [logit].
    extent : tuple of float
        ``(left, right, bottom, top)`` of the map [pixel].
    picture : ndarray of shape (Y_image, X_image) or (Y_image, X_image, 3), optional
        Image in [0, 1].
    clim : (float, float)
        Color limits [logit].
    cmap : matplotlib.colors.Colormap
        Color map for these limits.
    alpha : float
        Opacity of the map; 1 is used without a picture.
    interpolation : str
        As in matplotlib's ``imshow``.

    Returns
    -------
    tuple of matplotlib.image.AxesImage
        The picture (or None) and the map.
    """
    drawn = None
    if picture is not None:
        # Lightened by the color limits, not by changing the values: these stay what they are for whoever reads them.
        black = -DARKEST / (1 - DARKEST)
        drawn = ax.imshow(gray(picture), cmap="gray", vmin=black, vmax=1, extent=image_extent(picture.shape))
    artist = ax.imshow(
        values, cmap=cmap, vmin=clim[0], vmax=clim[1], extent=extent, interpolation=interpolation,
        alpha=1.0 if picture is None else alpha,
    )  # fmt: skip
    left, right, bottom, top = extent if picture is None else image_extent(picture.shape)
    ax.set(xlim=(left, right), ylim=(bottom, top))
    return drawn, artist


def add_colorbar(
    fig: Figure | SubFigure,
    artist: AxesImage,
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
    artist : matplotlib.image.AxesImage
        A map. The bar follows its limits when they change.
    axes : matplotlib.axes.Axes or sequence of them
        What to take the space from.
    label : str
        Quantity and unit.
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
    # `draw_map` has set it.
    alpha: Any = artist.get_alpha()
    colors = alpha * artist.cmap(np.linspace(0, 1, 256))[:, :3] + (1 - alpha) * (1 + DARKEST) / 2
    mixed = ScalarMappable(norm=artist.norm, cmap=ListedColormap(colors))
    bar = fig.colorbar(mixed, ax=axes, label=plain(label, _LONGEST), extend=extend, **kwargs)
    # Whichever way it stands.
    literal(bar.ax.xaxis.label, bar.ax.yaxis.label)
    return bar


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


def _check_map(cam):
    if not isinstance(cam, xr.DataArray):
        raise ResultError(
            f"cam: not a map; expected an xarray.DataArray over y and x, got {type(cam).__name__}. "
            + remedy_of_arrays(cam, "Select one, e.g. spiking['cam'].isel(image=0, time=-1, label=0).")
        )
    if set(cam.dims) != {"y", "x"}:
        extra = [dim for dim in cam.dims if dim not in ("y", "x")]
        selection = ", ".join(f"{dim}=0" for dim in extra)
        remedy = f"Select one map, e.g. with .isel({selection}) or .sel" if extra else "Only 2-D maps can be drawn"
        raise ResultError(f"cam: not a single map; expected the dims ('y', 'x'), got {cam.dims}. {remedy}.")
    missing = [dim for dim in ("y", "x") if dim not in cam.coords]
    if missing or 0 in cam.shape:
        raise ResultError(
            f"cam: its place in the image is not known; expected cells with the coordinates y and x in pixels, got "
            f"shape {cam.shape} without {missing}. Keep the coordinates of the Dataset."
        )
    return cam.transpose("y", "x")


def _title(cam) -> Any:
    parts = []
    if "label" in cam.coords and cam["label"].ndim == 0:
        parts.append(f"label {plain(cam['label'].item(), _LONGEST)}")
    if "time" in cam.coords and cam["time"].ndim == 0:
        parts.append(milliseconds(cam["time"].item()))
    return ", ".join(parts)


def _lines(title):
    return "\n".join(plain(line) if line.strip() else "" for line in str(title).splitlines())
