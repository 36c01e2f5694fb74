"""All that a player can show, checked once: images, labels, and ways to smooth over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..exceptions import ImageError, ParameterError, ResultError
from ..plotting.answers import logits_of
from ..plotting.displayed import as_images, displayed, displayed_signal, image_index
from ..plotting.planes import STRONGEST, check_plane, plane_of_input, plane_of_maps
from ..plotting.results import check_spiking
from ..plotting.scale import check_scale, color_limits
from ..plotting.score_curve import align_scores, check_scores
from ..plotting.selection import milliseconds, select_scenes
from ..scoring.agreement import cumulative, smooth
from ..scoring.positions import pixel_centers, positions
from ..scoring.readout import holds_level

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from nengo.synapses import Synapse
    from numpy.typing import ArrayLike

    from ..plotting.scale import Scale, Style
    from ..plotting.selection import Scene

__all__ = ["SMOOTHINGS", "Show", "choose"]

SMOOTHINGS = ("running mean", "lowpass", "none")


class Show:
    """What a player shows.

    Parameters
    ----------
    spiking : xarray.Dataset
        Spiking maps.
    rate : xarray.Dataset or None
        Rate maps.
    images : array_like or None
        Input images.
    scores : xarray.Dataset or None
        Scores over time.
    metric : str or None
        Which of them.
    synapse : nengo.synapses.Synapse or float
        What ``"lowpass"`` filters by.
    plane : "strongest" or int
        Which plane is shown of maps of three dimensions.
    style : {"signed", "heatmap"}
        Whether negative values count for the limits of the colors.

    Attributes
    ----------
    spiking, rate, images
        As given; the images with all their axes.
    plane, style
        As given, checked.
    flat : bool
        Whether maps have one dimension, as the signals that they are of.
    scores : xarray.DataArray or None
        The scores chosen.
    names, labels : list
        Values of the coordinates ``image`` and ``label``.
    logit_labels : list
        Labels of the logits: all of the network, where results keep them, otherwise ``labels``.
    times : ndarray of shape (T,)
        Times of the steps [s].
    smoothings : tuple of str
        Ways to smooth that can be chosen, the default first; the reduction that ``spiking`` comes with, if it has one.
        A level that is held is shown as it is, and has no mean.

    Raises
    ------
    ResultError, ImageError, ParameterError
        If something is missing or does not fit.
    """

    def __init__(
        self,
        spiking: xr.Dataset,
        rate: xr.Dataset | None,
        images: ArrayLike | None,
        *,
        scores: xr.Dataset | None,
        metric: str | None,
        synapse: Synapse | float,
        plane: str | int = STRONGEST,
        style: Style = "signed",
    ):
        self.scores = check_scores(scores, metric)
        check_spiking(spiking)
        # Checks maps, and the first image.
        (scene,) = select_scenes(spiking, rate, images, [0], None, moving=True, plane=plane)
        self.spiking, self.rate, self.style = spiking, rate, style
        self._places = positions(spiking["cam"])
        self.flat = scene.flat
        self.plane = check_plane(plane, spiking.sizes.get("z"))
        self.images = None if images is None else as_images(images, spiking.attrs.get("input_shape"), len(self._places))
        self.times, self.labels, self.logit_labels = scene.times, scene.labels, scene.logit_labels
        self.names = spiking["image"].values.tolist()
        self._synapse, self._cache = synapse, {}
        # The mean of a level with those of earlier steps is a worse estimate than the level itself.
        choices = ("none", "lowpass") if holds_level(spiking) else SMOOTHINGS
        if self._moves() and not holds_level(spiking):
            # A running mean remembers what was shown at first for as long as the run takes.
            choices = ("lowpass", "running mean", "none")
        self.smoothings: tuple[str, ...] = tuple(c for c in choices if c != "lowpass" or self._can_filter())
        if scene.reduction:
            self.smoothings = (scene.reduction,)
            self._cache[scene.reduction] = spiking
        if images is not None:
            self._check_images()
        if self.scores is not None:
            align_scores(self.scores, self.names, self.labels, self.times)

    def smoothed(self, smoothing: str) -> xr.Dataset:
        """Return the spiking maps, smoothed; each way is computed once.

        Parameters
        ----------
        smoothing : str
            One of ``smoothings``.

        Returns
        -------
        xarray.Dataset
            Maps and logits.
        """
        if smoothing not in self._cache:
            self._cache[smoothing] = self._smooth(smoothing)
        return self._cache[smoothing]

    def scenes(self, image: int, label: int | str | Sequence[int | str] | None, smoothing: str) -> list[Scene]:
        """Cut out one image.

        Parameters
        ----------
        image : int
            Position along the dim ``image``.
        label : int, str, sequence of them, or None
            Labels of the maps, as `nengo_cam.plotting.selection.labels_shown` reads them.
        smoothing : str
            One of ``smoothings``.

        Returns
        -------
        list of Scene
            The image with its maps over time, one for each label.

        Raises
        ------
        LabelError, ImageError
            If there is no such label, or no such image among the images.
        """
        return select_scenes(
            self.smoothed(smoothing), self.rate, self.images, [image], label, moving=True, plane=self.plane
        )

    def strongest(self, n: int) -> list[int]:
        """Find the labels that count: those that lead at some step, and the strongest of each image in the end.

        Logits of unit spikes count by their running mean: in a single step nearly any label can lead.

        Parameters
        ----------
        n : int
            How many of each image.

        Returns
        -------
        list of int
            Positions in ``logit_labels``, in their order.
        """
        logits = _logits(self.spiking)
        if not (holds_level(self.spiking) or self.spiking.attrs.get("time_reduction")):
            logits = np.cumsum(logits, axis=1, dtype=float) / np.arange(1, logits.shape[1] + 1)[:, None]
        # NaN would be taken for the largest.
        logits = np.where(np.isnan(logits), -np.inf, logits)
        last = np.argsort(-logits[:, -1], axis=-1, kind="stable")[:, :n]
        return sorted({*last.ravel().tolist(), *logits.argmax(axis=-1).ravel().tolist()})

    def picture(self, position: int) -> np.ndarray:
        """Return the input of an image as it is displayed.

        Parameters
        ----------
        position : int
            Position along the dim ``image``.

        Returns
        -------
        ndarray of shape (F, Y, X, C)
            Frames in [0, 1], with one channel or three colors; the channels of a signal, with one row.

        Raises
        ------
        ImageError
            If there is no picture for it.
        """
        images: Any = self.images
        film = images[image_index(len(images), len(self.names), position, self.names[position])]
        if self.flat:
            return displayed_signal(film)[:, None]
        if "z" in self._places:
            film = plane_of_input(film, self.plane, pixel_centers(self.spiking, "z"))
        picture = displayed(film)
        return picture[..., None] if picture.ndim == 3 else picture

    def n_bytes(self, n_smoothings: int, n_labels: int) -> tuple[int, int]:
        """Count cells of maps and pixels of images.

        Parameters
        ----------
        n_smoothings, n_labels : int
            How many ways of smoothing and how many labels are counted.

        Returns
        -------
        maps, images : int
            How many bytes they take in a page.
        """
        cam = self.spiking["cam"]
        # Of three dimensions a page shows one plane.
        a_way = cam.size // len(self.labels) // cam.sizes.get("z", 1) * n_labels
        maps = a_way * n_smoothings
        # A rate map that stands still is a step of the film.
        if self.rate is not None and "time" in self.rate.dims:
            maps += a_way
        if self.images is None:
            return maps, 0
        n_planes = self.images.shape[2] if "z" in self._places else 1
        return maps, self.images[0].size // n_planes * len(self.names)

    def limits(self, scale: Scale, smoothing: str) -> tuple[np.ndarray, np.ndarray]:
        """Find the color limits of all maps of all labels.

        Parameters
        ----------
        scale : {"shared", "image", "frame"} or (float, float)
            The rule: one for all images and labels, one for each image and label, one for each map; or limits [logit].
        smoothing : str
            One of ``smoothings``.

        Returns
        -------
        spiking : ndarray of shape (N, L, T, 2)
            Limits ``(vmin, vmax)`` of spiking maps [logit].
        rate : ndarray of shape (N, L, 2) or (N, L, T, 2)
            Limits of rate maps [logit].
        """
        maps, rates = self.maps(smoothing), self.rate_maps()
        films = maps.reshape(-1, *maps.shape[2:])
        found = color_limits(
            films, None if rates is None else rates.reshape(-1, *rates.shape[2:]), scale, style=self.style
        )
        of_maps, of_rates = (limits.reshape(*maps.shape[:2], *limits.shape[1:]) for limits in found)
        return of_maps, of_rates

    def shared_limits(self, smoothing: str) -> tuple[float, float]:
        """Return the color limits ``(vmin, vmax)`` of the scale ``"shared"`` [logit]."""
        vmin, vmax = self.limits("shared", smoothing)[0][0, 0, 0].tolist()
        return vmin, vmax

    def maps(self, smoothing: str) -> np.ndarray:
        """Return spiking maps of shape (N, L, T, Y, X) [logit]; those of signals have one row."""
        return self._pictures_of(self.smoothed(smoothing)["cam"].transpose("image", "label", "time", *self._places))

    def rate_maps(self) -> np.ndarray | None:
        """Return rate maps of shape (N, L, Y, X) [logit], in the order of the spiking ones, or None.

        Those of moving images have the shape (N, L, T, Y, X).
        """
        if self.rate is None:
            return None
        return self._pictures_of(self._rate_of_images()["cam"].transpose("image", "label", ..., *self._places))

    def logits(self, smoothing: str) -> np.ndarray:
        """Return logits of shape (N, T, L) of ``logit_labels``."""
        return _logits(self.smoothed(smoothing))

    def rate_logits(self) -> np.ndarray | None:
        """Return logits of the rate network of ``labels``, of shape (N, L), of moving images (N, T, L), or None."""
        if self.rate is None:
            return None
        return self._rate_of_images()["logits"].transpose("image", ..., "label").values

    def _pictures_of(self, maps):
        if "z" in self._places:
            return plane_of_maps(maps.values, self.plane)
        return maps.values[..., None, :] if self.flat else maps.values

    def _moves(self):
        """Whether the input is known to move: the CNN answers at each step then."""
        known = [self.spiking.get("cnn_logits")] if self.rate is None else [self.rate["cam"]]
        return any(values is not None and "time" in values.dims for values in known)

    def _rate_of_images(self):
        known = self.rate["image"].values.tolist()
        return self.rate.isel(image=[known.index(name) for name in self.names])

    def _check_images(self):
        for position, name in enumerate(self.names):
            index = image_index(len(self.images), len(self.names), position, name)
            if not np.all(np.isfinite(self.images[index])):
                raise ImageError(
                    f"images: not all pixels are finite; expected numbers, got NaN or inf in image {name!r}. Replace "
                    "them first."
                )

    def _can_filter(self):
        # Time steps that are not even, or a missing bias, leave nothing to choose; a wrong synapse is an error.
        try:
            smooth(self.spiking.isel(image=[0], label=[0]), self._synapse)
        except ResultError:
            return False
        return True

    def _smooth(self, smoothing):
        if smoothing == "none":
            return self.spiking
        if smoothing == "running mean":
            return cumulative(self.spiking)
        smoothed = smooth(self.spiking, self._synapse)
        if np.isscalar(self._synapse):
            smoothed.attrs["time_reduction"] = f"lowpass {milliseconds(self._synapse)}"
        return smoothed


def _logits(spiking):
    """Return logits of shape (N, T, L), of all labels where they are kept beside those of the maps."""
    # Checked to be there.
    logits = cast("xr.DataArray", logits_of(spiking)[0])
    return logits.transpose("image", "time", ...).values


def choose(name: str, value: Any, choices: Sequence[str]) -> Any:
    """Check a choice of a player.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object
        What the user gave.
    choices : sequence of str
        What there is. For the scale a pair of limits will do too.

    Returns
    -------
    object
        The value.

    Raises
    ------
    ParameterError
        If it is none of them.
    """
    if name == "scale":
        return check_scale(value, choices)
    if value not in choices:
        raise ParameterError(f"{name}: not a choice; expected one of {list(choices)}, got {value!r}. Choose one.")
    return value
