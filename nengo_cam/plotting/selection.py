"""All that a figure shows of one image, cut out of the Datasets as plain arrays."""

from __future__ import annotations

import dataclasses
import operator
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..exceptions import LabelError, ParameterError
from ..scoring.positions import pixel_centers
from ..scoring.positions import positions as dims_of
from ..scoring.readout import holds_level, reduction_of, spike_kind_of
from .answers import answers_by_step, answers_of, logits_of
from .displayed import (
    as_images,
    check_cover,
    displayed,
    displayed_signal,
    edges,
    frame_indices,
    image_index,
    map_extent,
)
from .planes import STRONGEST, check_plane, plane_name, plane_of_input, plane_of_maps
from .results import check_pair, check_rate, check_spiking
from .ticks import coordinates_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import ArrayLike

__all__ = ["Scene", "labels_shown", "milliseconds", "nearest_steps", "place_of", "select_scenes"]


@dataclasses.dataclass(frozen=True)
class Scene:
    """One image with its maps of one label over time.

    Attributes
    ----------
    image : int or str
        Value of the ``image`` coordinate.
    label : int or str
        Label shown.
    labels : list
        All labels that there are maps of.
    times : ndarray of shape (T,)
        Times of the steps [s].
    spiking : ndarray of shape (T, Y, X) or (T, X)
        Spiking maps [logit]; of three dimensions, one plane of them.
    rate : ndarray of shape (Y, X) or (T, Y, X), or without Y, or None
        Rate map [logit], for moving input at each step.
    logits : ndarray of shape (T, L) or None
        Logits of the spiking network, of ``logit_labels``.
    rate_logits : ndarray of shape (L,) or (T, L), or None
        Logits of the rate network, for moving input at each step.
    extent : tuple of float
        ``(left, right, bottom, top)`` of the maps [pixel]; of one dimension, of a row that is a pixel high.
    film : ndarray of shape (F, Y, X) or (F, Y, X, 3), or (F, X, C), or None
        The input image as it is displayed, or the channels of the input signal, in [0, 1].
    frames : ndarray of shape (T,) or None
        Index into ``film`` at each step.
    reduction : str
        How the maps were reduced over time, e.g. "running mean"; empty if they were not.
    units : str
        Unit of the maps.
    answers : tuple of (label, label), or None
        What the spiking network answers once it has settled, and its CNN, if that is known to be something else.
    held : bool
        Whether receivers hold the level of each neuron, so that the map of a step is an estimate by itself.
    spike_kind : str
        What a spike is, see `nengo_cam.scoring.readout.spike_kind_of`.
    answers_by_step : list of (label, label) or None, or None
        The same as ``answers`` for each step of moving input, in place of them.
    logit_labels : list
        Labels of the logits: all of the network, where results keep them, otherwise those that there are maps of.
    coordinates : dict of {str: nengo_cam.plotting.ticks.Coordinates}
        The user's coordinates of the pixels of the input, see `nengo_cam.plotting.ticks`.
    position : int
        Position along the dim ``image``.
    plane : str
        Which plane of maps of three dimensions this is; empty if they have two, or one.
    """

    image: Any
    label: Any
    labels: list
    times: np.ndarray
    spiking: np.ndarray
    rate: np.ndarray | None
    logits: np.ndarray | None
    rate_logits: np.ndarray | None
    extent: tuple
    film: np.ndarray | None
    frames: np.ndarray | None
    reduction: str
    units: str
    answers: tuple | None = None
    held: bool = False
    spike_kind: str = ""
    answers_by_step: list | None = None
    logit_labels: list = dataclasses.field(default_factory=list)
    coordinates: dict = dataclasses.field(default_factory=dict)
    position: int = 0
    plane: str = ""

    def picture(self, step: int) -> Any:
        """Return the displayed input at a time step, or None without images."""
        return None if self.film is None or self.frames is None else self.film[self.frames[step]]

    def rate_at(self, step: int) -> Any:
        """Return the rate map at a time step, which is always the same for a still image, or None without."""
        return self.rate[step] if self.rate is not None and self.rate_moves else self.rate

    @property
    def rate_moves(self) -> bool:
        """Whether there is a rate map for each step."""
        return self.rate is not None and self.rate.ndim == self.spiking.ndim

    @property
    def flat(self) -> bool:
        """Whether maps have one dimension, as the signals that they are of."""
        return self.spiking.ndim == 2

    @property
    def kind(self) -> str:
        """Name of the spiking maps with their reduction over time."""
        name = "not spiking" if self.spike_kind == "none" else "spiking"
        how = self.reduction or ("held level" if self.held else "")
        return f"{name}, {how}" if how else name

    @property
    def at_step(self) -> bool:
        """Whether the map of a step is the level at that step, and not what spikes made of it by then."""
        return self.held and not self.reduction

    def moment(self, step: int) -> str:
        """Write of when a map is: "at 12 ms" for the level of a step, otherwise "12 ms"."""
        time = milliseconds(self.times[step])
        return f"at {time}" if self.at_step else time


def select_scenes(
    spiking: xr.Dataset,
    rate: xr.Dataset | None,
    images: ArrayLike | None,
    positions: int | Sequence[int],
    label: int | str | Sequence[int | str] | None,
    variables: Sequence[str] = ("cam", "logits"),
    *,
    moving: bool = False,
    plane: str | int = STRONGEST,
) -> list[Scene]:
    """Check all input of a figure and cut out what it shows.

    Parameters
    ----------
    spiking : xarray.Dataset
        Spiking maps.
    rate : xarray.Dataset or None
        Rate maps; matched to the spiking ones by their ``image`` coordinate.
    images : array_like or None
        Input images, see `nengo_cam.plotting.displayed`.
    positions : int or sequence of int
        Positions along the dim ``image`` of ``spiking``; negative ones count from the end.
    label : int, str, sequence of them, or None
        Labels shown, see `labels_shown`; None is the one with the largest logit at the last step, for each image.
    variables : sequence of str
        Variables needed of the Datasets.
    moving : bool
        Whether the figure can follow moving input: rate maps of each step, and answers that change.
    plane : "strongest" or int
        Which plane is shown of maps of three dimensions.

    Returns
    -------
    list of Scene
        One per position and label, those of an image together.

    Raises
    ------
    ResultError, ParameterError, LabelError, ImageError
        If something is missing or does not fit.
    """
    check_spiking(spiking, variables)
    if _n_top(spiking, label):
        check_spiking(spiking, ("cam", "logits"))
    if rate is not None:
        check_rate(rate, variables, moving=moving)
        check_pair(spiking, rate)
    chosen = _positions(positions, spiking.sizes["image"])
    labels = [labels_shown(spiking, position, label) for position in chosen]
    places = dims_of(spiking["cam"])
    plane = check_plane(plane, spiking.sizes["z"] if "z" in places else None)
    if images is not None:
        images = as_images(images, spiking.attrs.get("input_shape"), len(places))
    return [
        _scene(spiking, rate, images, position, name, moving, plane)
        for position, names in zip(chosen, labels)
        for name in names
    ]


def labels_shown(spiking: xr.Dataset, position: int, label: int | str | Sequence[int | str] | None) -> list[int]:
    """Find the labels that a figure shows of an image.

    Parameters
    ----------
    spiking : xarray.Dataset
        Spiking maps, checked.
    position : int
        Position along the dim ``image``.
    label : int, str, sequence of them, or None
        One label or several; ``"top3"``, if no label is called so, for the three with the largest logits at the last
        step, the largest first, and any other number likewise; None for the largest. Only labels that there are maps of
        count.

    Returns
    -------
    list of int
        Positions along the dim ``label``.

    Raises
    ------
    LabelError
        If there is no such label, one comes twice, or there are not so many.
    """
    labels = spiking["label"].values.tolist()
    several = label is not None and not isinstance(label, str) and np.iterable(label)
    wanted: list[Any] = list(label) if several else [label]  # type: ignore[arg-type]
    n_top = _n_top(spiking, label)
    if n_top:
        if n_top > len(labels):
            raise LabelError(
                f"label {label!r}: more than there are; expected at most 'top{len(labels)}', got {label!r}. Choose "
                "fewer, or keep the maps of more labels."
            )
        last = spiking["logits"].isel(time=-1, image=position).values
        # NaN would be taken for the largest.
        return np.argsort(-np.where(np.isnan(last), -np.inf, last), kind="stable")[:n_top].tolist()
    for name in wanted:
        if name not in labels:
            shown = repr(labels) if len(labels) <= 20 else f"{labels[:20]!r} and {len(labels) - 20} more"
            raise LabelError(f"label {name!r}: not in the Dataset; expected one of {shown}, got {name!r}. Choose one.")
    if not wanted or len(set(wanted)) < len(wanted):
        raise LabelError(f"label: expected one label or several different ones, got {wanted!r}. Name each once.")
    return [labels.index(name) for name in wanted]


def place_of(maps: xr.Dataset | xr.DataArray, images: np.ndarray | None = None) -> tuple[float, float, float, float]:
    r"""Find the rectangle that maps cover, and check that images fit it.

    Parameters
    ----------
    maps : xarray.Dataset or xarray.DataArray
        Maps of one, two or three dimensions.
    images : ndarray of shape (N, T, \*pixels, C), optional
        Images, as `nengo_cam.plotting.displayed.as_images` gives them.

    Returns
    -------
    tuple of float
        ``(left, right, bottom, top)`` [pixel]; of one dimension, of a row that is a pixel high.

    Raises
    ------
    ResultError
        If the cells are not evenly spaced.
    ImageError
        If the images do not fit.
    """
    # Not the coordinates themselves, which may be the user's.
    x = pixel_centers(maps, "x")
    flat = "y" not in maps.sizes
    y = np.zeros(1) if flat else pixel_centers(maps, "y")
    extent = (*edges(x, "x"), 0.5, -0.5) if flat else map_extent(y, x)
    if images is not None:
        # Of volumes the last two axes are those of a picture.
        shape = (1, images.shape[2]) if flat else images.shape[-3:-1]
        check_cover(extent, shape, (len(y), len(x)), counted=maps["x"].attrs.get("units") == "cell")
    return extent


def nearest_steps(times: np.ndarray, wanted: float | Sequence[float]) -> list[int]:
    """Find the steps nearest to some times.

    Parameters
    ----------
    times : ndarray of shape (T,)
        Times of the steps, increasing [s].
    wanted : float or sequence of float
        Times wanted [s].

    Returns
    -------
    list of int
        Steps, in the order wanted.

    Raises
    ------
    ParameterError
        If none is given, or one is more than half a step before the first or after the last.
    """
    moments = np.atleast_1d(np.asarray(wanted, dtype=float))
    slack = _step(times) / 2 * (1 + 1e-6)
    outside = [t for t in moments.tolist() if not times[0] - slack <= t <= times[-1] + slack]
    if outside or moments.size == 0:
        raise ParameterError(
            f"times: outside of the simulation; expected at least one time from {times[0]:g} to {times[-1]:g} s, "
            f"got {outside}. Give times in seconds."
        )
    return [int(np.argmin(np.abs(times - t))) for t in moments]


def milliseconds(seconds: float) -> str:
    """Write a time in milliseconds, as short as it is exact to a microsecond."""
    return np.format_float_positional(round(1000 * float(seconds), 3), trim="-") + " ms"


def _scene(spiking, rate, images, position, chosen, moving, plane):
    name = spiking["image"].values.tolist()[position]
    here = spiking.isel(image=position)
    times = here["time"].values.astype(float)
    places = dims_of(spiking["cam"])
    extent = place_of(here, images)
    logits, logit_labels = logits_of(here)

    def maps_of(result):
        maps = result["cam"].isel(label=chosen).transpose(..., *places).values
        return plane_of_maps(maps, plane) if "z" in places else maps

    rate_map = rate_logits = film = frames = None
    # Images of the two Datasets are matched by name, as one may be a part of the other.
    if rate is not None:
        there = rate.isel(image=rate["image"].values.tolist().index(name))
        rate_map = maps_of(there)
        rate_logits = there["logits"].transpose(..., "label").values if "logits" in there else None
    if images is not None:
        index = image_index(len(images), spiking.sizes["image"], position, name)
        pixels = plane_of_input(images[index], plane, pixel_centers(here, "z")) if "z" in places else images[index]
        film = displayed_signal(pixels) if places == ["x"] else displayed(pixels)
        frames = frame_indices(len(film), times, float(spiking.attrs.get("dt") or _step(times)))
    by_step = answers_by_step(spiking, rate, position, name) if moving else None
    return Scene(
        image=name,
        label=here["label"].values.tolist()[chosen],
        labels=here["label"].values.tolist(),
        times=times,
        spiking=maps_of(here),
        rate=rate_map,
        logits=None if logits is None else logits.transpose("time", ...).values,
        rate_logits=rate_logits,
        extent=extent,
        film=film,
        frames=frames,
        reduction=reduction_of(spiking),
        units=str(spiking["cam"].attrs.get("units") or "logit"),
        answers=answers_of(spiking, rate, position, name) if by_step is None else None,
        answers_by_step=by_step,
        held=holds_level(spiking),
        spike_kind=spike_kind_of(spiking),
        logit_labels=logit_labels,
        coordinates=coordinates_of(spiking),
        position=position,
        plane=plane_name(plane) if "z" in places else "",
    )


def _positions(positions, n_images):
    try:
        found = [operator.index(i) for i in (positions if np.iterable(positions) else [positions])]
    except TypeError as err:
        raise ParameterError(
            f"image: not a position; expected an int or a sequence of ints, got {positions!r}. Give positions along "
            "the dim 'image'."
        ) from err
    if not found or not all(-n_images <= i < n_images for i in found):
        raise ParameterError(
            f"image: not a position in the Dataset; expected at least one of 0 to {n_images - 1}, got {positions!r}. "
            "Give positions, not values of the image coordinate."
        )
    return found


def _n_top(spiking, label):
    """Read how many of the largest logits are asked for, 0 if labels are named."""
    if label is None:
        return 1
    top = re.fullmatch(r"top([1-9]\d*)", label) if isinstance(label, str) else None
    # A label may be called so.
    return int(top[1]) if top and label not in spiking["label"].values.tolist() else 0


def _step(times):
    # Not the mean, which gaps between steps that were selected would raise.
    return float(np.median(np.diff(times))) if len(times) > 1 else float(times[0])
