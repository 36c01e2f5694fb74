"""How far the colors reach: limits of signed maps, symmetric about zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Union, cast

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap

from ..exceptions import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.colors import Colormap

__all__ = [
    "SCALES",
    "STYLES",
    "Limits",
    "centered_colormap",
    "check_scale",
    "check_style",
    "color_limits",
    "extends",
    "style_colormap",
]

SCALES = ("shared", "image", "frame")
STYLES = ("signed", "heatmap")

# Color maps of the styles, where none is chosen.
_COLORMAPS = {"signed": "RdBu_r", "heatmap": "inferno"}

#: How far colors reach: by one of these rules, or limits ``(vmin, vmax)`` [logit].
Scale = Union[Literal["shared", "image", "frame"], tuple[float, float]]
Style = Literal["signed", "heatmap"]


class Limits(NamedTuple):
    """Color limits of every map.

    Attributes
    ----------
    spiking : ndarray of shape (N, T, 2)
        ``(vmin, vmax)`` of each spiking map [logit].
    rate : ndarray of shape (N, 2) or (N, T, 2)
        ``(vmin, vmax)`` of each rate map [logit].
    """

    spiking: np.ndarray
    rate: np.ndarray


def check_scale(scale: Any, choices: Sequence[str] = SCALES) -> str | tuple[float, float]:
    """Check the argument ``scale`` of a plot.

    Parameters
    ----------
    scale : str or (float, float)
        One of ``choices``, or a pair ``(vmin, vmax)`` [logit].
    choices : sequence of str
        The names that the plot offers.

    Returns
    -------
    str or (float, float)
        The same; a pair as floats.

    Raises
    ------
    ParameterError
        If it is none of these, or if the pair is not finite and increasing.
    """
    if isinstance(scale, str) and scale in choices:
        return scale
    try:
        vmin, vmax = (float(limit) for limit in scale)
    except (TypeError, ValueError) as err:
        names = ", ".join(map(repr, choices))
        raise ParameterError(
            f"scale: not a known choice; expected {names} or a pair (vmin, vmax), got {scale!r}. Choose one of them."
        ) from err
    if not (np.isfinite(vmin) and np.isfinite(vmax) and vmin < vmax):
        raise ParameterError(
            f"scale: not a range; expected finite limits with vmin < vmax, got ({vmin!r}, {vmax!r}). "
            "Give two different numbers in increasing order."
        )
    return vmin, vmax


def check_style(style: Any, scale: Any = None) -> Style:
    """Check the argument ``style`` of a plot.

    Parameters
    ----------
    style : str
        "signed" or "heatmap".
    scale : str or (float, float), optional
        Its argument ``scale``, checked.

    Returns
    -------
    str
        The same.

    Raises
    ------
    ParameterError
        If it is none of these, or if the limits leave nothing of the positive part.
    """
    if not isinstance(style, str) or style not in STYLES:
        raise ParameterError(f"style: unknown; expected one of {list(STYLES)}, got {style!r}. Choose one.")
    if style == "heatmap" and isinstance(scale, tuple) and scale[1] <= 0:
        raise ParameterError(
            f"scale: no positive value is within it; expected an upper limit above 0 with style='heatmap', got "
            f"{scale!r}. Raise it, or choose style='signed'."
        )
    return cast("Style", style)


def color_limits(
    spiking: np.ndarray, rate: np.ndarray | None = None, scale: Scale = "shared", *, style: Style = "signed"
) -> Limits:
    """Find the color limits of spiking and rate maps.

    ``"shared"`` gives one limit to all maps of all images, ``"image"`` one to all maps of an image, ``"frame"`` each
    map its own. The limits are ``(-v, v)``, so that zero has the neutral color. For ``"shared"`` and ``"image"``, v is
    the largest magnitude in the *settled* maps, which are the rate maps if there are any, otherwise the spiking maps of
    the last step; if those are all zero, in all spiking maps.

    The settled maps decide because single steps would not do: one spike in a step of dt has the amplitude
    1 / (scale * dt), and a running mean starts with the same peaks. A limit that holds them leaves the settled map, the
    one to be read, nearly white. What lies beyond the limit is drawn in the outermost color, and color bars say so by
    pointed ends (see `extends`).

    Values that are not finite count as missing. Where all values are zero or missing, v is 1.

    Parameters
    ----------
    spiking : ndarray of shape (N, T, Y, X) or (N, T, X)
        Maps of N images at T steps, signed [logit].
    rate : ndarray of shape (N, Y, X) or (N, T, Y, X), or without Y, optional
        Rate maps of the same images [logit], for moving input at each step.
    scale : {"shared", "image", "frame"} or (float, float)
        The rule, or limits ``(vmin, vmax)`` for all maps [logit].
    style : {"signed", "heatmap"}
        Whether negative values count. For ``"heatmap"`` they do not, and the lower limit is 0, or above.

    Returns
    -------
    Limits
        Limits of every map; those of the rate maps are there without ``rate`` too.

    Raises
    ------
    ParameterError
        If ``scale`` is none of these.
    """
    rule = check_scale(scale)
    n_images, n_steps = spiking.shape[:2]
    n_axes = spiking.ndim - 2
    if isinstance(rule, tuple):
        vmin, vmax = rule
        pair = np.array([max(vmin, 0.0) if style == "heatmap" else vmin, vmax])
        steps_of_rates = () if rate is None else rate.shape[1 : rate.ndim - n_axes]
        return Limits(np.tile(pair, (n_images, n_steps, 1)), np.tile(pair, (n_images, *steps_of_rates, 1)))

    if style == "heatmap":
        spiking, rate = np.maximum(spiking, 0), None if rate is None else np.maximum(rate, 0)
    if rule == "frame":
        of_steps = _peaks(spiking, n_axes)
        of_rates = of_steps[:, -1] if rate is None else _peaks(rate, n_axes)
    else:
        if rule == "shared":
            settled = np.full(n_images, _settled_peak(spiking, rate))
        else:
            rates: Any = [None] * n_images if rate is None else rate
            settled = np.array([_settled_peak(spiking[i][None], rates[i]) for i in range(n_images)])
        of_steps, of_rates = np.repeat(settled[:, None], n_steps, axis=1), settled
        if rate is not None and rate.ndim == spiking.ndim:
            of_rates = of_steps
    limits = Limits(_symmetric(of_steps), _symmetric(of_rates))
    if style == "heatmap":
        for of_maps in limits:
            of_maps[..., 0] = 0
    return limits


def extends(maps: np.ndarray, vmin: float, vmax: float) -> Literal["neither", "min", "max", "both"]:
    """Say on which sides maps reach beyond the color limits.

    Parameters
    ----------
    maps : ndarray
        Values drawn [logit].
    vmin, vmax : float
        Color limits [logit].

    Returns
    -------
    {"neither", "min", "max", "both"}
        The argument ``extend`` of a matplotlib color bar.
    """
    below, above = bool(np.any(maps < vmin)), bool(np.any(maps > vmax))
    if below and above:
        return "both"
    return "min" if below else "max" if above else "neither"


def centered_colormap(cmap: str | Colormap, vmin: float, vmax: float) -> Colormap:
    """Cut a diverging color map so that its middle falls on zero and both sides keep the same slope.

    Parameters
    ----------
    cmap : str or matplotlib.colors.Colormap
        Diverging color map.
    vmin, vmax : float
        Color limits [logit]; for symmetric limits the map stays as it is.

    Returns
    -------
    matplotlib.colors.Colormap
        Color map to be used with these limits.

    Raises
    ------
    ParameterError
        If matplotlib knows no color map of this name.
    """
    full = _known(cmap, "a diverging color map", "Try 'RdBu_r', 'PuOr_r' or 'coolwarm'.")
    reach = max(abs(vmin), abs(vmax))
    first, last = 0.5 + 0.5 * vmin / reach, 0.5 + 0.5 * vmax / reach
    if (first, last) == (0.0, 1.0):
        return full
    return ListedColormap(full(np.linspace(first, last, 256)), name=f"{full.name} about 0")


def style_colormap(
    cmap: str | Colormap | None, clim: Sequence[float] | np.ndarray, style: Style = "signed"
) -> Colormap:
    """Find the color map of a style.

    Parameters
    ----------
    cmap : str or matplotlib.colors.Colormap or None
        Chosen by the user: diverging for signed maps, sequential for heat maps. None is ``"RdBu_r"`` and ``"inferno"``.
    clim : (float, float)
        Color limits [logit].
    style : {"signed", "heatmap"}
        The style.

    Returns
    -------
    matplotlib.colors.Colormap
        Color map to be used with these limits.

    Raises
    ------
    ParameterError
        If matplotlib knows no color map of this name.
    """
    chosen = _COLORMAPS[style] if cmap is None else cmap
    if style == "signed":
        return centered_colormap(chosen, *clim)
    return _known(chosen, "a sequential color map", "Try 'inferno', 'turbo' or 'YlOrRd'.")


def _known(cmap, kind, remedy):
    if not isinstance(cmap, str):
        return cmap
    try:
        return matplotlib.colormaps[cmap]
    except KeyError as err:
        raise ParameterError(
            f"cmap: unknown to matplotlib; expected the name of {kind}, got {cmap!r}. {remedy}"
        ) from err


def _settled_peak(spiking, rate):
    settled = _peak(spiking[:, -1] if rate is None else rate)
    return settled if settled > 0 else _peak(spiking)


def _peaks(maps, n_axes):
    """Largest magnitude of each map, of shape (...) for maps (..., Y, X), or with as many axes as they have."""
    leading, cells = maps.shape[:-n_axes], maps.shape[-n_axes:]
    return np.array([_peak(frame) for frame in maps.reshape(-1, *cells)]).reshape(leading)


def _peak(maps):
    peak = np.max(np.abs(maps), initial=0.0, where=np.isfinite(maps))
    # A limit near the end of the float range would overflow when colors are computed.
    return float(peak) if peak > np.finfo(np.float32).tiny else 0.0


def _symmetric(peaks):
    limits = np.where(peaks > 0, peaks, 1.0)
    return np.stack([-limits, limits], axis=-1)
