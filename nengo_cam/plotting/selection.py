"""All that a figure shows of one image, cut out of the Datasets as plain arrays."""

from __future__ import annotations

import dataclasses
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..exceptions import LabelError, ParameterError
from ..scoring.positions import pixel_centers
from ..scoring.readout import holds_level, reduction_of, spike_kind_of
from .answers import answers_by_step, answers_of
from .displayed import as_images, check_cover, displayed, frame_indices, image_index, map_extent
from .results import check_pair, check_rate, check_spiking

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import ArrayLike

__all__ = ["Scene", "milliseconds", "nearest_steps", "select_scenes"]


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
        All labels.
    times : ndarray of shape (T,)
        Times of the steps [s].
    spiking : ndarray of shape (T, Y, X)
        Spiking maps [logit].
    rate : ndarray of shape (Y, X) or (T, Y, X), or None
        Rate map [logit], for moving input at each step.
    logits : ndarray of shape (T, L) or None
        Logits of the spiking network.
    rate_logits : ndarray of shape (L,) or (T, L), or None
        Logits of the rate network, for moving input at each step.
    extent : tuple of float
        ``(left, right, bottom, top)`` of the maps [pixel].
    film : ndarray of shape (F, Y, X) or (F, Y, X, 3), or None
        The input image as it is displayed, in [0, 1].
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

    def picture(self, step: int) -> Any:
        """Return the displayed input at a time step, or None without images."""
        return None if self.film is None or self.frames is None else self.film[self.frames[step]]

    def rate_at(self, step: int) -> Any:
        """Return the rate map at a time step, which is always the same for a still image, or None without."""
        return self.rate if self.rate is None or self.rate.ndim == 2 else self.rate[step]

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
    label: int | str | None,
    variables: Sequence[str] = ("cam", "logits"),
    *,
    moving: bool = False,
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
    label : int or str or None
        Label shown; None is the one with the largest logit at the last step, for each image.
    variables : sequence of str
        Variables needed of the Datasets.
    moving : bool
        Whether the figure can follow moving input: rate maps of each step, and answers that change.

    Returns
    -------
    list of Scene
        One per position.

    Raises
    ------
    ResultError, ParameterError, LabelError, ImageError
        If something is missing or does not fit.
    """
    check_spiking(spiking, variables)
    if rate is not None:
        check_rate(rate, variables, moving=moving)
        check_pair(spiking, rate)
    chosen = _positions(positions, spiking.sizes["image"])
    labels = _positions_of_labels(spiking, chosen, label)
    if images is not None:
        images = as_images(images, spiking.attrs.get("input_shape"))
    return [_scene(spiking, rate, images, position, shown, moving) for position, shown in zip(chosen, labels)]


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


def _scene(spiking, rate, images, position, chosen, moving):
    name = spiking["image"].values.tolist()[position]
    here = spiking.isel(image=position)
    times = here["time"].values.astype(float)
    maps = here["cam"].isel(label=chosen).transpose("time", "y", "x").values
    extent = map_extent(pixel_centers(here, "y"), pixel_centers(here, "x"))
    rate_map = rate_logits = film = frames = None
    if rate is not None:
        there = rate.isel(image=rate["image"].values.tolist().index(name))
        rate_map = there["cam"].isel(label=chosen).transpose(..., "y", "x").values
        rate_logits = there["logits"].transpose(..., "label").values if "logits" in there else None
    if images is not None:
        index = image_index(len(images), spiking.sizes["image"], position, name)
        check_cover(extent, images.shape[2:], maps.shape[1:])
        film = displayed(images[index])
        frames = frame_indices(len(film), times, float(spiking.attrs.get("dt") or _step(times)))
    by_step = answers_by_step(spiking, rate, position, name) if moving else None
    return Scene(
        image=name,
        label=here["label"].values.tolist()[chosen],
        labels=here["label"].values.tolist(),
        times=times,
        spiking=maps,
        rate=rate_map,
        logits=here["logits"].transpose("time", "label").values if "logits" in here else None,
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


def _positions_of_labels(spiking, positions, label):
    if label is None:
        last = spiking["logits"].isel(time=-1, image=positions).transpose("image", "label").values
        # `argmax` takes NaN for the largest.
        return np.where(np.isnan(last), -np.inf, last).argmax(axis=1).tolist()
    labels = spiking["label"].values.tolist()
    if label not in labels:
        shown = repr(labels) if len(labels) <= 20 else f"{labels[:20]!r} and {len(labels) - 20} more"
        raise LabelError(f"label {label!r}: not in the Dataset; expected one of {shown}, got {label!r}. Choose one.")
    return [labels.index(label)] * len(positions)


def _step(times):
    # Not the mean, which gaps between steps that were selected would raise.
    return float(np.median(np.diff(times))) if len(times) > 1 else float(times[0])
