"""One class-activation map on its image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ..exceptions import ResultError
from ..scoring.positions import pixel_centers, positions, remedy_of_arrays
from .column import png_of
from .displayed import as_images, displayed, displayed_signal
from .drawing import POSITIVE_ONLY, add_colorbar, bar_label, check_look, draw_map, few_ticks, shown_part
from .planes import STRONGEST, check_plane, plane_name, plane_of_input, plane_of_maps
from .scale import check_scale, color_limits, extends
from .selection import milliseconds, place_of
from .text import as_title, literal, name_of
from .ticks import coordinates_of, label_pixels

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import SubFigure
    from numpy.typing import ArrayLike

    from .scale import Style

__all__ = ["Overlay", "overlay"]


class Overlay(NamedTuple):
    """Artists of `overlay`.

    Attributes
    ----------
    axes : matplotlib.axes.Axes
        In pixel coordinates of the input image, row 0 at the top; ticks are in the user's coordinates, if there are
        some.
    image : matplotlib.image.AxesImage, list of matplotlib.lines.Line2D, or None
        The image in gray; of a map of one dimension the channels of the signal.
    map : matplotlib.image.AxesImage
        The map; its array holds the values in logits, where cells leave a strip of the image free with the outermost
        ones repeated up to the edge.
    colorbar : matplotlib.colorbar.Colorbar or None
        In the colors of the map as they appear on a medium gray of the image.
    """

    axes: Axes
    image: AxesImage | list | None
    map: AxesImage
    colorbar: Colorbar | None

    @property
    def figure(self) -> Figure | SubFigure:
        """The figure; notebooks show the Overlay itself."""
        return self.axes.figure

    def _repr_png_(self):
        return png_of(self.figure)


def overlay(
    cam: xr.DataArray,
    image: ArrayLike | None = None,
    *,
    ax: Axes | None = None,
    scale: Literal["frame"] | tuple[float, float] = "frame",
    style: Style = "signed",
    cmap: str | Colormap | None = None,
    alpha: float = 0.65,
    interpolation: str | None = None,
    plane: str | int = STRONGEST,
    colorbar: bool = True,
    title: str | None = None,
) -> Overlay:
    """Draw one class-activation map on its image.

    The map keeps its sign and its units and its opacity is the same everywhere, so that equal values have equal
    colors. The image is drawn in grays, lightened, so that all color belongs to the map. The color bar is mixed
    with a medium gray of the image in the same way as the map is.

    A map of one dimension is a strip of color behind its signal, and a black curve on it, whose scale is the color bar:
    its lower end is the bottom of the axes.

    Parameters
    ----------
    cam : xarray.DataArray of shape (Y, X), (X,) or (Z, Y, X)
        Map with dims and coordinates y and x, its cell centers in pixels of the input image [logit].
    image : array_like of shape (Y_image, X_image) or (Y_image, X_image, C), optional
        Input image in any units; stretched to its own range. Without it the map is drawn opaque. For a map of one
        dimension a signal of shape (X_image,) or (X_image, C), for one of three (Z_image, Y_image, X_image) or
        (Z_image, Y_image, X_image, C). Two channels without negative values are events, off before on: darker and
        lighter than the gray of none.
    ax : matplotlib.axes.Axes, optional
        Where to draw. By default on a new figure, which is ``.figure`` of the result.
    scale : "frame" or (float, float)
        ``"frame"``: symmetric about zero, up to the largest magnitude in the map. Or ``(vmin, vmax)`` [logit]; zero
        keeps the neutral color.
    style : {"signed", "heatmap"}
        ``"heatmap"`` draws the positive part only, and says so, the more opaque the larger it is.
    cmap : str or matplotlib.colors.Colormap, optional
        Diverging color map, by default ``"RdBu_r"``; for a heat map a sequential one, by default ``"inferno"``.
    alpha : float
        Opacity of the map in [0, 1] where there is an image.
    interpolation : str, optional
        As in matplotlib's ``imshow``. By default ``"nearest"``, cells as they are; ``"bilinear"`` where a cell is
        larger than a tenth of the image, and than a pixel.
    plane : "strongest" or int
        Of a map of three dimensions: for each row and column the value of largest magnitude along z, with its sign, on
        the mean of the image along z; or the plane at this position, on the slice of the image there.
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
        If ``cam`` is not a DataArray over y and x, x alone, or z, y and x, with coordinates.
    ImageError
        If the image has a wrong shape or does not cover the same pixels.
    ParameterError
        If ``scale``, ``style``, ``cmap``, ``alpha``, ``interpolation`` or ``plane`` is not valid.

    Examples
    --------
    >>> drawn = ncam.overlay(rate.cam.isel(image=0).sel(label=2), images[0], title="2")
    >>> drawn.axes.get_title()
    '2'
    >>> drawn.figure.savefig("map.png")
    """
    cam = _check_map(cam)
    look = check_look(cmap, alpha, interpolation, style, check_scale(scale, ("frame",)))
    places = positions(cam)
    flat = places == ["x"]
    plane = check_plane(plane, cam.sizes["z"] if "z" in places else None)
    values = plane_of_maps(cam.values, plane) if "z" in places else cam.values
    clim = color_limits(values[None, None], scale=scale, style=style).spiking[0, 0]
    images = None if image is None else as_images(np.asarray(image)[None], n_axes=len(places))
    extent = place_of(cam, images)
    picture = None
    if images is not None:
        pixels = plane_of_input(images[0, 0], plane, pixel_centers(cam, "z")) if "z" in places else images[0, 0]
        picture = displayed_signal(pixels) if flat else displayed(pixels)

    if ax is None:
        fig = Figure(figsize=(4.2, 2.6 if flat else 3.6), layout="constrained")
        FigureCanvasAgg(fig)
        ax = fig.subplots()
    drawn = draw_map(ax, values, extent, picture, clim=clim, look=look)
    if flat:
        few_ticks(ax, flat=True, fontsize="medium")
    label_pixels(ax, coordinates_of(cam), fontsize="small")
    lines = [_title(cam, plane) if title is None else as_title(title)]
    if style == "heatmap" and not colorbar:
        # The bar would have said it.
        lines.append(POSITIVE_ONLY)
    literal(ax.set_title("\n".join(line for line in lines if line)))
    bar = None
    if colorbar:
        label = bar_label(cam.attrs.get("units") or "logit", style)
        bar = add_colorbar(ax.figure, drawn, ax, label=label, extend=extends(shown_part(values, style), *clim))
    return Overlay(ax, drawn.signal or drawn.picture, drawn.map, bar)


def _check_map(cam):
    if not isinstance(cam, xr.DataArray):
        raise ResultError(
            f"cam: not a map; expected an xarray.DataArray over y and x, got {type(cam).__name__}. "
            + remedy_of_arrays(cam, "Select one, e.g. spiking['cam'].isel(image=0, time=-1, label=0).")
        )
    places = positions(cam)
    extra = [dim for dim in cam.dims if dim not in places]
    if extra or places not in (["x"], ["y", "x"], ["z", "y", "x"]):
        selection = ", ".join(f"{dim}=0" for dim in extra)
        remedy = f"Select one map, e.g. with .isel({selection}) or .sel" if extra else "Keep the dims of a whole map"
        raise ResultError(
            f"cam: not a single map; expected the dims ('y', 'x'), ('x',) or ('z', 'y', 'x'), got {cam.dims}. {remedy}."
        )
    missing = [dim for dim in places if dim not in cam.coords]
    if missing or 0 in cam.shape:
        raise ResultError(
            f"cam: its place in the image is not known; expected cells with the coordinates {', '.join(places)} in "
            f"pixels, got shape {cam.shape} without {missing}. Keep the coordinates of the Dataset."
        )
    return cam.transpose(*places)


def _title(cam, plane) -> Any:
    parts = []
    if "label" in cam.coords and cam["label"].ndim == 0:
        parts.append(f"label {name_of(cam['label'].item())}")
    if "time" in cam.coords and cam["time"].ndim == 0:
        parts.append(milliseconds(cam["time"].item()))
    if "z" in cam.dims:
        parts.append(plane_name(plane))
    return ", ".join(parts)
