"""Spikes of chosen feature neurons, beside the map that they make: unit spikes, or the changes of held levels."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from ..exceptions import ParameterError, ResultError
from ..scoring.readout import holds_level, reduction_of, spike_kind_of
from .column import dress, new_figure, png_of, short_label
from .drawing import add_colorbar, bar_label, check_look, draw_map
from .scale import check_scale, color_limits, extends, style_colormap
from .selection import select_scenes
from .text import as_title, literal, plain

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.colors import Colormap
    from matplotlib.figure import SubFigure
    from numpy.typing import ArrayLike

__all__ = ["Raster", "raster"]

_DIMS = ("image", "time", "channel", "y", "x")
# Of signals.
_FLAT_DIMS = ("image", "time", "channel", "x")
# Where in a diverging color map the colors of the neurons are taken from: those of a clear map, for and against.
_AGAINST, _FOR = 0.08, 0.92
# Letters of the name of a layer beside the raster.
_LONGEST = 18
# By how much multiples may miss a whole number in single precision; and the smallest height that is believed, in
# parts of the smallest output: neurons that never spike less than 25 times in a step are no spiking neurons.
_ROUNDING, _SMALLEST = 2e-3, 0.04
# Parts of the largest level of a channel: what changes by less has been rounded in a file. A quantum is a thousandth.
_UNCHANGED = 1e-6
# Rows of neurons are 1 apart. Spikes with a size reach this far to either side, the smallest at least a part of it.
_REACH, _SHORTEST = 0.48, 0.35
# How wide they are [point]: a part of a step in a column of a journal, within limits. Higher rows show what is longer.
_STEPS_WIDTH, _THINNEST, _WIDEST = 70, 0.9, 2.5
_HEIGHT, _HEIGHT_OF_SIZES = 1.75, 2.5


class Raster(NamedTuple):
    """Artists of `raster`.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure; notebooks show the Raster itself.
    axes : list of matplotlib.axes.Axes
        The raster, in ms and rows of neurons, and the map.
    spikes : list of matplotlib.collections.EventCollection
        The spikes of each neuron, the first on top. Those with a size or a sign reach up from the middle of their row
        if the neuron sends more, down if it takes back.
    neurons : ndarray of shape (n, 3)
        Channel, row and column of each neuron, as positions in ``features``; the row is 0 where these have no ``y``.
    image : matplotlib.image.AxesImage, list of matplotlib.lines.Line2D, or None
        The image below the map, or the channels of a signal.
    map : matplotlib.image.AxesImage
        The map.
    cells : list of matplotlib.patches.Rectangle
        Frames around the cells that the neurons are in.
    colorbar : matplotlib.colorbar.Colorbar
        Of the map.
    """

    figure: Figure | SubFigure
    axes: list
    spikes: list
    neurons: np.ndarray
    image: object
    map: AxesImage
    cells: list
    colorbar: Colorbar

    def _repr_png_(self):
        return png_of(self.figure)


def raster(
    spiking: xr.Dataset,
    images: ArrayLike | None = None,
    *,
    image: int = 0,
    label: int | str | None = None,
    neurons: int | ArrayLike = 24,
    scale: Literal["frame"] | tuple[float, float] = "frame",
    cmap: str | Colormap | None = None,
    alpha: float = 0.65,
    interpolation: str | None = None,
    title: str | None = None,
    fig: Figure | SubFigure | None = None,
) -> Raster:
    """Draw when chosen feature neurons spike, beside the map of all of them.

    A neuron has the color of the map's sign where it stands, for the label or against it, and its cell is framed.

    Unit spikes: a step with several spikes of a neuron has a tick for each, spread over the step, and the map is the
    mean over the time shown; where some take spikes back, ticks go up or down. Where receivers hold a level
    (``attrs["readout"]`` "level"), spikes are the changes of the features from step to step: a tick up where a neuron
    sends more, down where it takes back. Its length is the square root of the change, as a part of the largest that is
    drawn, but at least a third: sizes may differ a thousandfold. The map is then that of the last step.

    Parameters
    ----------
    spiking : xarray.Dataset
        Result of `nengo_cam.spiking_cam` with ``keep_features=True``, from a network without a synapse, not reduced
        over time: ``features`` (image, time, channel, y, x) or without y, ``cam``, and ``logits`` if no label is
        chosen. What its ``attrs["spike_kind"]`` says stands above the raster. Where levels are held, no step may be
        left out; of steps from later than the start, the first shows no spikes, as the level before it is not known.
    images : array_like of shape (N, Y, X), (N, Y, X, C) or (N, T, Y, X, C), optional
        Input images, one per image of ``spiking`` or the full set that its ``image`` coordinate counts in.
    image : int
        Position along the dim ``image`` of ``spiking``.
    label : int or str, optional
        Label of the map. Default: the one with the largest sum of logits over time, or with the largest logit at the
        last step where levels are held.
    neurons : int or array_like of shape (n, 3)
        How many: half of them those that spike most in the cell where the map is strongest, half in the cell where it
        is weakest; silent ones are left out. Or which: channel, row and column of each, as positions in ``features``;
        the row is 0 where these have no ``y``.
    scale : "frame" or (float, float)
        How far the colors of the map reach: as far as the map, in either direction, or ``(vmin, vmax)`` [logit].
    cmap : str or matplotlib.colors.Colormap, optional
        Diverging color map, by default ``"RdBu_r"``.
    alpha : float
        Opacity of the map in [0, 1] where there is an image.
    interpolation : str, optional
        As in matplotlib's ``imshow``. By default ``"nearest"``, cells as they are; ``"bilinear"`` where a cell is
        larger than a tenth of the image, and than a pixel.
    title : str, optional
        Above both axes, drawn letter by letter.
    fig : matplotlib.figure.Figure or SubFigure, optional
        Where to draw, best with ``layout="constrained"``. Default: a new figure, one column of a journal wide.

    Returns
    -------
    Raster
        Figure and artists.

    Raises
    ------
    ResultError
        If the Dataset lacks something, has been reduced over time, its readout is not known, its features are no
        spikes, or steps of a held level are left out.
    LabelError
        If there is no such label.
    ImageError
        If the images do not fit the maps.
    ParameterError
        If ``image``, ``neurons``, ``scale``, ``cmap``, ``alpha`` or ``interpolation`` is out of range.

    Examples
    --------
    >>> kept = ncam.spiking_cam(net, images[:1], n_steps=40, seed=0, keep_features=True, progress_bar=False)
    >>> drawn = ncam.raster(kept, images[:1], neurons=10)
    >>> len(drawn.spikes), drawn.axes[0].get_xlabel()
    (10, 'time [ms]')
    """
    look = check_look(cmap, alpha, interpolation, scale=check_scale(scale, ("frame",)))
    _check_features(spiking)
    try:
        image = operator.index(image)
    except TypeError as err:
        raise ParameterError(f"image: expected one position, got {image!r}. Draw a raster for each image.") from err
    if label is None and "logits" in spiking:
        label = _answer(spiking, image)
    (scene,) = select_scenes(spiking, None, images, image, label, ("cam",) if label is not None else ("cam", "logits"))
    # Double precision: a mean over many steps that cancels is not to be left with the rounding of the sum.
    shown = scene.spiking[-1].astype(float) if scene.held else scene.spiking.mean(axis=0, dtype=float)
    features = spiking["features"].isel(image=image).transpose(*(_FLAT_DIMS if scene.flat else _DIMS)[1:]).values
    if scene.flat:
        # A signal is an image of one row.
        features, shown = features[:, :, None], shown[None]
    dt = float(scene.times[0]) if len(scene.times) == 1 else float(np.median(np.diff(scene.times)))
    sizes = _level_changes(features, scene.times, dt, spiking) if scene.held else _spike_counts(features)
    counts = np.sign(sizes).astype(int) if scene.held else sizes
    chosen = _choose(neurons, counts, shown)
    sent = [sizes[:, k, row, column] for k, row, column in chosen]
    # Ticks reach up and down where spikes have a sign.
    both_ways = scene.held or any((of_neuron < 0).any() for of_neuron in sent)
    clim = color_limits(shown[None, None], scale=scale).spiking[0, 0]
    cmap = style_colormap(cmap, clim)

    if fig is None:
        fig = new_figure(_HEIGHT_OF_SIZES if both_ways else _HEIGHT)
    raster_axes, map_axes = fig.subplots(1, 2, width_ratios=(1.45, 1))
    shades = [_shade(cmap, clim, shown[row, column]) for _, row, column in chosen]
    events = [_events(counts[:, k, row, column], scene.times, dt) for k, row, column in chosen]
    spikes = raster_axes.eventplot(
        events, lineoffsets=np.arange(len(chosen)), linelengths=0.8, linewidths=0.5, colors=shades
    )
    dress(raster_axes)
    raster_axes.grid(visible=False)
    limits = 1000 * (float(scene.times[0]) - dt), 1000 * float(scene.times[-1])
    if both_ways:
        _show_sizes(spikes, sent if scene.held else list(map(_single, sent)), len(scene.times))
        # From which the ticks go up and down.
        raster_axes.hlines(np.arange(len(chosen)), *limits, colors="0.85", linewidths=0.3, zorder=0)
    raster_axes.set(xlim=limits, ylim=(len(chosen) - 0.4, -0.6))
    raster_axes.set_xlabel("time [ms]", fontsize="small")
    literal(raster_axes.set_ylabel(f"neurons of\n{_layer(spiking)}", fontsize="x-small"))
    kind = f" ({plain(scene.spike_kind, _LONGEST)})" if scene.spike_kind else ""
    literal(raster_axes.set_title(f"{sum(map(len, events))} spikes{kind}", fontsize="x-small"))
    raster_axes.set_yticks([])
    drawn = draw_map(map_axes, shown[0] if scene.flat else shown, scene.extent, scene.picture(-1), clim=clim, look=look)
    map_axes.set(xticks=[], yticks=[])
    name = plain(scene.image, _LONGEST)
    # Another answer of the CNN in the title: below the map is its bar.
    other = "" if scene.answers is None else f"\nCNN: {short_label(scene.answers[1])}"
    literal(map_axes.set_title(f"image {name}\n{short_label(scene.label)}{other}", fontsize="x-small"))
    # In one dimension a cell is as high as the axes.
    extent = (*scene.extent[:2], *map_axes.get_ylim()[::-1]) if scene.flat else scene.extent
    cells = _frame_cells(map_axes, extent, shown, chosen, cmap, clim)
    what = f"CAM {scene.moment(-1)}" if scene.held else "mean CAM"
    bar = add_colorbar(
        fig, drawn, map_axes, label=bar_label(scene.units, what=what), extend=extends(shown, *clim),
        orientation="horizontal", cax=map_axes.inset_axes([0, -0.14, 1, 0.06]),
    )  # fmt: skip
    bar.ax.tick_params(labelsize="x-small")
    bar.ax.xaxis.label.set_fontsize("x-small")
    if title is not None:
        literal(fig.suptitle(as_title(title), fontsize="small"))
    return Raster(fig, [raster_axes, map_axes], spikes, chosen, drawn.signal or drawn.picture, drawn.map, cells, bar)


def _check_features(spiking):
    found = getattr(spiking, "data_vars", {})
    if "features" not in found:
        got = sorted(map(str, found)) if len(found) else type(spiking).__name__
        raise ResultError(
            f"spiking: expected a Dataset with the variable 'features', got {got}. Run "
            "spiking_cam(..., keep_features=True)."
        )
    features = spiking["features"]
    if set(features.dims) not in (set(_DIMS), set(_FLAT_DIMS)) or 0 in features.shape:
        raise ResultError(
            f"spiking: 'features' has the wrong dims, or is empty; expected {_DIMS}, or without 'y', got sizes "
            f"{dict(features.sizes)}. Keep a dim when you select from it, e.g. .isel(image=[0])."
        )
    if reduction_of(spiking):
        raise ResultError(
            f"spiking: spikes are lost when time is averaged or smoothed; expected what spiking_cam gives, got "
            f"{spiking.attrs['time_reduction']!r}. Pass it as it is; the map is averaged here."
        )
    if spike_kind_of(spiking) == "none":
        raise ResultError(
            "spiking: its features are no spikes; expected those of neurons that spike, got spike_kind 'none'. Convert "
            "the model with spiking neurons."
        )
    if str(spiking.attrs.get("synapse", None)) != "None":
        raise ResultError(
            f"spiking: its features are filtered; expected those of a network with synapse None, got "
            f"{spiking.attrs['synapse']!r}. Convert the model without a synapse."
        )


def _answer(spiking, image):
    """Find the label that a network answers by all of its spikes, or by its level at the end."""
    if not -spiking.sizes["image"] <= image < spiking.sizes["image"]:
        # The selection says what is wrong.
        return None
    logits = spiking["logits"].isel(image=image)
    total = (logits.isel(time=-1) if holds_level(spiking) else logits.sum("time")).transpose("label").values
    return spiking["label"].values.tolist()[int(total.argmax())]


def _spike_counts(features):
    """Turn features (T, K, Y, X) into spikes per step, with a sign.

    In a channel all spikes have the same height. It is not in the Dataset, as channels differ, but all outputs are
    multiples of it: it is their greatest common divisor.
    """
    size = np.abs(features.astype(float))
    heights = np.array([_common_divisor(size[:, k][size[:, k] > 0]) for k in range(size.shape[1])])
    # Rates hardly change from step to step, or are never zero.
    steady = bool((features == features[:1]).all() or (features != 0).all())
    if np.isnan(heights).any() or (len(features) > 1 and features.any() and steady):
        raise ResultError(
            "spiking: its features are no spikes; expected multiples of one height in each channel, which come and go, "
            "got other values. Convert the model with spiking neurons, and pass the features of all steps as they are."
        )
    return (np.sign(features) * np.rint(size / heights[:, None, None])).astype(int)


def _level_changes(features, times, dt, spiking):
    """Turn held levels (T, K, Y, X) into what was sent at each step, in the units of the features, with a sign."""
    if not np.isfinite(features).all():
        raise ResultError(
            "spiking: its features are not all finite; expected levels at all steps, got NaN or infinity. Pass what "
            "spiking_cam gives, without a burn-in."
        )
    step = float(spiking.attrs.get("dt") or dt)
    longest = float(np.diff(times).max(initial=step))
    if longest > 1.5 * step:
        raise ResultError(
            f"spiking: steps are left out, and with them what was sent there; expected all steps of {step:g} s, got up "
            f"to {longest:g} s from one to the next. Keep all steps, or select some without a gap."
        )
    levels = features.astype(float)
    # Neurons start at level 0; before later steps their level is not known.
    before = np.zeros_like(levels[:1]) if times[0] < 1.5 * step else levels[:1]
    changes = np.diff(levels, axis=0, prepend=before)
    return np.where(np.abs(changes) > _UNCHANGED * np.abs(levels).max(axis=(0, 2, 3), keepdims=True), changes, 0)


def _single(counts):
    """Turn the counts of a neuron into the signs of its spikes, one after another."""
    return np.repeat(np.sign(counts), np.abs(counts))


def _show_sizes(spikes, sizes, n_steps):
    """Let ticks reach up or down from the middle of their row, by the square root of what was sent."""
    largest = max(np.abs(of_neuron).max(initial=0) for of_neuron in sizes)
    for row, (artist, of_neuron) in enumerate(zip(spikes, sizes)):
        sent = of_neuron[of_neuron != 0]
        lengths = _REACH * np.maximum(np.sqrt(np.abs(sent) / largest), _SHORTEST) if len(sent) else sent
        # The first row is on top: up is towards smaller numbers.
        ends = row - np.sign(sent) * lengths
        artist.set_linewidth(float(np.clip(_STEPS_WIDTH / n_steps, _THINNEST, _WIDEST)))
        artist.set_segments([[(x, row), (x, end)] for x, end in zip(artist.get_positions(), ends)])


def _common_divisor(values):
    """Find the number that all positive values are multiples of, but for rounding; NaN if there is none, 1 for none."""
    if len(values) == 0:
        return 1.0
    smallest = values.min()
    divisor = 1.0
    for value in np.unique(np.round(values / smallest, 4)):
        # Euclid's algorithm with the nearest multiple, so that a remainder is small on either side.
        rest = _rest(value, divisor)
        while rest > _ROUNDING:
            divisor, rest = rest, _rest(divisor, rest)
    # Whatever numbers they are, they have a common divisor that is small enough.
    return smallest * divisor if divisor > _SMALLEST else np.nan


def _rest(value, divisor):
    return abs(value - np.rint(value / divisor) * divisor)


def _choose(neurons, counts, mean):
    """Check chosen neurons, or choose them: shape (n, 3)."""
    if isinstance(neurons, (int, np.integer)) and not isinstance(neurons, bool):
        if neurons < 2:
            raise ParameterError(f"neurons: expected at least 2, got {neurons!r}. Try neurons=24.")
        if not np.isfinite(mean).all() or mean.max() == mean.min():
            raise ResultError(
                "spiking: the map has no strongest cell; expected one that is finite and not the same everywhere, got "
                "such. Choose the neurons, or look why the features are silent."
            )
        found = []
        for cell, n_most in ((mean.argmax(), neurons - neurons // 2), (mean.argmin(), neurons // 2)):
            row, column = np.unravel_index(cell, mean.shape)
            total = np.abs(counts[:, :, row, column]).sum(axis=0)
            most = np.argsort(-total, kind="stable")[:n_most]
            found += [(k, row, column) for k in most if total[k] > 0]
        if not found:
            raise ResultError(
                "spiking: the neurons of the strongest and the weakest cell are silent; expected spikes, got none. "
                "Choose the neurons."
            )
        return np.array(found, int)
    given = np.asarray(neurons)
    shape = counts.shape[1:]
    if given.dtype.kind not in "iu" or given.ndim != 2 or given.shape[1] != 3 or len(given) == 0:
        raise ParameterError(
            f"neurons: expected how many, or whole numbers of shape (n, 3) for channel, row and column, got "
            f"{neurons!r}. Try neurons=24."
        )
    outside = given[((given < 0) | (given >= shape)).any(axis=1)]
    if len(outside):
        raise ParameterError(
            f"neurons: {outside[0].tolist()} is not among them; expected positions from 0, below {shape} for channel, "
            f"row and column, got {outside[0].tolist()}. Choose others."
        )
    return given.astype(int)


def _events(counts, times, dt):
    """Find the times of spikes [ms]: in the middle of their step, several evenly spread over it."""
    sizes = np.abs(counts)
    steps = np.repeat(np.arange(len(counts)), sizes)
    nth = np.arange(len(steps)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return 1000 * (times[steps] - dt + dt * (nth + 0.5) / np.maximum(sizes[steps], 1))


def _shade(cmap, clim, value):
    """Color of a neuron by the sign of the map in its cell."""
    reach = max(map(abs, clim))
    color = _FOR if value >= 0 else _AGAINST
    # The color map may be cut to one-sided limits; what is cut off takes the nearest color there is.
    return cmap(((2 * color - 1) * reach - clim[0]) / (clim[1] - clim[0]))


def _frame_cells(ax, extent, mean, chosen, cmap, clim):
    left, right, bottom, top = extent
    height, width = (bottom - top) / mean.shape[0], (right - left) / mean.shape[1]
    frames = []
    for row, column in dict.fromkeys((row, column) for _, row, column in chosen.tolist()):
        place = (left + column * width, top + row * height)
        # White below, so that a frame is seen on its own color.
        ax.add_patch(Rectangle(place, width, height, fill=False, edgecolor="w", linewidth=2.0))
        frame = Rectangle(
            place, width, height, fill=False, edgecolor=_shade(cmap, clim, mean[row, column]), linewidth=1
        )
        frames.append(ax.add_patch(frame))
    return frames


def _layer(spiking):
    """Name the layer, as the head in the attributes begins with it; cut off if it is longer than the axes are high."""
    name = str(spiking.attrs.get("head") or "features").split(" ")[0]
    return plain(name, _LONGEST)
