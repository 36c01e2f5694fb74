"""Where a spiking network looks and what it answers, beside its CNN: from a model and images in one call."""

from __future__ import annotations

import dataclasses
import functools
import html
import os
import pathlib
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import nengo
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..checks.callers import user_stacklevel
from ..checks.images import check_images
from ..checks.parameters import is_real, is_whole
from ..conversion.choosing import AUTO
from ..conversion.convert import convert
from ..conversion.network import CAMNetwork
from ..conversion.verify import Verification
from ..exceptions import AnswerWarning, InputFileError, ParameterError
from ..measurement.answers import DIFFERING_SHARE
from ..measurement.cam import rate_cam, spiking_cam
from ..measurement.labels import ALL_LABELS, BEST_LABELS, choose_labels, important_labels, keep_labels, name_labels
from ..models import files
from ..models.head import CAMHead
from ..models.source import SourceModel, read_model
from ..plotting import animate
from ..plotting.text import plain
from ..scoring.agreement import compare, cumulative, smooth
from ..scoring.readout import moving_part
from ..simulator import Simulator
from ..widgets import player

if TYPE_CHECKING:
    from ..plotting.film.animation import CAMAnimation
    from ..widgets.player import Player

__all__ = ["Explanation", "explain"]

# Images that the conversion is verified on.
_VERIFIED = 8
_BRIGHTEST = 255
# Letters of a name, and images that are named.
_LONGEST, _NAMED = 80, 20
# Time constant that spikes of one size are smoothed by where images move [s]: longer than the time between two of them.
_FORGETTING = 0.01
# Frames of a film below which it is slow, and how many of them there are per second then.
_FEW_FRAMES, _SLOW = 40, 5.0


def explain(
    model: Any,
    images: Any,
    *,
    calibrate_on: Any = None,
    neurons: nengo.neurons.NeuronType | str | None = AUTO,
    n_steps: int = 100,
    labels: int | str | Sequence[int | str] | None = None,
    label_names: Sequence[str] | str | os.PathLike[str] | None = None,
    rescale: tuple[float, float] | None = None,
    target_rate: float = 200,
    simulator: Any = Simulator,
    minibatch_size: int | None = None,
    dt: float = 0.001,
    seed: int | None = None,
    progress_bar: bool = True,
    **options: Any,
) -> Explanation:
    """Convert a model, verify the conversion, run images, and compare with the CNN.

    Parameters
    ----------
    model : tf.keras.Model, keras.Model, SourceModel, str or path-like
        Model that `nengo_cam.find_head` accepts, or a file of it, which is read without running what is in it; see
        :doc:`/files`.
    images : array_like of shape (N, Y, X, channels) or (N, n_steps, Y, X, channels), path or sequence of paths
        Images as fed to the model; or PNG, JPEG, ``.npy`` or ``.npz`` files. Of a picture of another shape than the
        model takes, the middle is cut out.
    calibrate_on : array_like, path or sequence of paths, optional
        Images that the firing rates are calibrated on. Default: ``images``.
    neurons : nengo.neurons.NeuronType, "auto" or None
        What replaces ReLU units, see `nengo_cam.convert`. ``"auto"`` chooses what carries the model.
    n_steps : int
        Number of time steps.
    labels : int, str or sequence of them, optional
        Labels to map, by index or name. Default: all if there are at most 20; of more, those that either network
        answers, and the five best of the CNN for each image.
    label_names : sequence of str, str or path-like, optional
        Names of all labels, in the order of the readout, or a file with one a line.
    rescale : tuple of (float, float), optional
        What black and white are to the model, such as ``(-1, 1)``: pixels from 0 to 255, in ``images`` and in
        ``calibrate_on``, are brought to this range. For pictures it has to be given, as nothing in a file says on which
        range a model was trained.
    target_rate, **options
        Further options of `nengo_cam.convert`.
    simulator, minibatch_size, dt, seed, progress_bar
        As for `nengo_cam.spiking_cam`.

    Returns
    -------
    Explanation
        Maps of both networks, their agreement, and the network. A notebook shows it.

    Raises
    ------
    InputFileError, UnsafeFileError
        If a file is not there, or does not hold what it should.
    ModelTypeError, HeadError, UnsupportedModelError
        If the model cannot be converted.
    VerificationError
        If the network does not compute what the model computes.
    ImageError
        If images do not fit the model, are empty, or hold NaN or infinity.
    LabelError
        If a label does not exist, or ``label_names`` does not name all labels.
    ParameterError
        If another argument is out of its range, or ``rescale`` is missing for a picture.
    SimulatorError
        If ``simulator`` is unknown or cannot run the network.
    ResultSizeError
        If the maps of all labels would be larger than the memory that is free.

    Warns
    -----
    AnswerWarning
        Names the images that the spiking network answers otherwise than the CNN, if there is one.
    InputRangeWarning, NonSpikingWarning, DepthWarning, RectifiedInputWarning, SilentFeaturesWarning
        As `nengo_cam.convert` and `nengo_cam.spiking_cam` do.

    Examples
    --------
    >>> result = ncam.explain(model, images, calibrate_on=train[:100], progress_bar=False)
    >>> print(result.sentences[0])
    image 0: both networks answer 2
    >>> result.film().save("cam.gif")
    """
    source = _read_model(model)
    head = source.head
    scale = _check_rescale(rescale)
    images = _read_images("images", images, head, scale, n_steps)
    still = images.ndim == len(head.input_shape) + 1
    samples = images if calibrate_on is None else _read_images("calibrate_on", calibrate_on, head, scale, None)
    if not still and samples.ndim == len(head.input_shape) + 1:
        # Films of one frame: neurons are chosen for what will be shown, which moves.
        samples = samples[:, None]
    names = _read_names(label_names)
    # Before anything runs.
    choose_labels(head, labels, name_labels(head, names), named=names is not None)
    net = convert(source, neurons=neurons, calibrate_on=samples, target_rate=target_rate, **options)
    verification = net.verify((images if still else images[:, 0])[:_VERIFIED])
    rate = rate_cam(net, images, labels=labels, label_names=names)
    spiking = spiking_cam(
        net, images, n_steps=n_steps, labels=labels, label_names=names, simulator=simulator,
        minibatch_size=minibatch_size, dt=dt, seed=seed, progress_bar=progress_bar,
    )  # fmt: skip
    if labels is None and head.n_labels > ALL_LABELS:
        kept = important_labels(spiking, rate, BEST_LABELS)
        spiking, rate = keep_labels(spiking, kept), keep_labels(rate, kept)
    result = Explanation(spiking, rate, net, images, verification)
    differing = result.differing
    # Of a larger share the run has warned already.
    if 0 < len(differing) <= DIFFERING_SHARE * len(images):
        # The rates of a model's own spiking neurons are those that it was trained with.
        remedy = "run more steps" if net.keeps_spikes else "run more steps or raise target_rate"
        warnings.warn(
            f"network of {net.model.name!r}: it answers otherwise than its CNN for {len(differing)} of {len(images)} "
            f"images: {'; '.join(result.sentences[i] for i in differing[:_NAMED])}. Their maps are those of another "
            f"answer; {remedy}.",
            AnswerWarning,
            stacklevel=user_stacklevel(),
        )
    return result


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What a spiking network answers and where it looks, beside its CNN; made by `explain`.

    It prints as sentences. A notebook shows them over a player of the maps.

    Attributes
    ----------
    spiking, rate : xarray.Dataset
        As `nengo_cam.spiking_cam` and `nengo_cam.rate_cam` give them.
    net : CAMNetwork
        The converted network.
    images : ndarray of float32
        What was run.
    verification : Verification
        How far the network is from the model.
    """

    spiking: xr.Dataset
    rate: xr.Dataset
    net: CAMNetwork
    images: NDArray[np.float32]
    verification: Verification

    @functools.cached_property
    def agreement(self) -> xr.Dataset:
        """Scores of the maps against the CNN's over time, of what is known by then; see `nengo_cam.compare`."""
        return compare(self._readout, self.rate)

    @property
    def differing(self) -> list[int]:
        """Positions of the images that the two networks answer otherwise."""
        if "answer" not in self.spiking:
            return []
        return np.flatnonzero(self.spiking["answer"].values != self.spiking["cnn_answer"].values).tolist()

    @property
    def sentences(self) -> tuple[str, ...]:
        """What both networks answer, a line for each image; none for a model that answers by a number."""
        if "answer" not in self.spiking:
            return ()
        lines = []
        answers = (self.spiking[name].values.tolist() for name in ("image", "answer", "cnn_answer"))
        for image, own, cnn in zip(*answers):
            # Names come from files, and could otherwise turn the line around.
            own, cnn = plain(own, _LONGEST), plain(cnn, _LONGEST)
            same = "both networks answer" if own == cnn else f"the spiking network answers {own}, but the CNN"
            lines.append(f"image {plain(image)}: {same} {cnn}")
        return tuple(lines)

    def film(self, image: int | Sequence[int] = 0, **options: Any) -> CAMAnimation:
        """Film the maps; of neurons whose level is held, until nothing moves any more.

        Parameters
        ----------
        image : int or sequence of int
            Positions of the images, drawn side by side.
        **options
            Further options of `nengo_cam.animate`.

        Returns
        -------
        CAMAnimation
            The film, which a notebook shows, and which saves itself.

        Raises
        ------
        ResultError
            If the maps cannot be drawn, or are more than a page holds.
        LabelError, ImageError, ParameterError
            As `nengo_cam.animate` does.
        """
        shown = moving_part(self._readout, self.spiking)
        if shown.sizes["time"] < min(_FEW_FRAMES, self.spiking.sizes["time"]):
            options.setdefault("fps", _SLOW)
        position: Any = image
        if is_whole(position) and 0 <= position < len(self.images) and self._answers_in_maps():
            # The settled answer, which is what is said; the last step may have another, and a third would be shown.
            options.setdefault("label", self.spiking["answer"].values.tolist()[position])
        return animate(shown, self._rate_of(shown), self.images, image=image, **options)

    def player(self, **options: Any) -> Player:
        """Make a player of the maps of all images.

        Parameters
        ----------
        **options
            Options of `nengo_cam.player`.

        Returns
        -------
        Player
            The player, which a notebook shows, and which saves itself as a page.

        Raises
        ------
        ResultError
            If the maps cannot be drawn, or are more than a page holds.
        LabelError, ImageError, ParameterError
            As `nengo_cam.player` does.
        """
        shown = moving_part(self.spiking, self.spiking)
        return player(shown, self._rate_of(shown), self.images, **options)

    def _answers_in_maps(self) -> bool:
        """Whether the map of every answer is there: not if there is a single label, or others were asked for."""
        known = set(self.spiking["label"].values.tolist())
        return len(known) > 1 and "answer" in self.spiking and known >= set(self.spiking["answer"].values.tolist())

    @functools.cached_property
    def _readout(self) -> xr.Dataset:
        """Maps and logits as read at each time: averaged, of moving images smoothed, or as they are for levels."""
        if self._moves and self.spiking.attrs.get("readout") != "level":
            # A running mean remembers what was shown at first for as long as the run takes.
            return smooth(self.spiking, _FORGETTING)
        return cumulative(self.spiking)

    @property
    def _moves(self) -> bool:
        """Whether images move: the CNN has a map for each step then."""
        return "time" in self.rate.dims

    def _rate_of(self, shown: xr.Dataset) -> xr.Dataset:
        """Select the CNN's maps of the steps shown, if it has one for each."""
        return self.rate.isel(time=slice(shown.sizes["time"])) if self._moves else self.rate

    def __str__(self):
        lines = list(self.sentences[:_NAMED])
        if len(self.sentences) > _NAMED:
            lines.append(f"and {len(self.sentences) - _NAMED} more images")
        if self.sentences:
            n_same = len(self.sentences) - len(self.differing)
            lines.append(f"{n_same} of {len(self.sentences)} answers are the CNN's")
        if self.net.choice:
            lines.append(f"neurons {self.net.choice}")
        return "\n".join([*lines, str(self.verification)])

    __repr__ = __str__

    def _repr_html_(self):
        sentences = "".join(f"<p>{html.escape(line)}</p>" for line in str(self).splitlines())
        return sentences + self.player()._repr_mimebundle_()["text/html"]


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _read_model(model: Any) -> SourceModel:
    return read_model(files.load_keras_model(model) if _is_path(model) else model)


def _read_names(label_names: Any) -> Sequence[str] | None:
    """Read names if they are in a file; empty lines at its end name nothing."""
    if label_names is None or not _is_path(label_names):
        return label_names
    names = files.read_names(label_names)
    while names and not names[-1].strip():
        names.pop()
    return names


def _check_rescale(rescale: Any) -> tuple[float, float] | None:
    """Check what black and white are to the model."""
    if rescale is None:
        return None
    values = list(rescale) if isinstance(rescale, (list, tuple)) else [rescale]
    if len(values) != 2 or not all(is_real(value) and np.isfinite(value) for value in values) or values[0] >= values[1]:
        raise ParameterError(
            f"rescale: expected what black and white are to the model, the smaller first, got {rescale!r}. Try (0, 1)."
        )
    return float(values[0]), float(values[1])


def _read_images(
    name: str, images: Any, head: CAMHead, scale: tuple[float, float] | None, n_steps: int | None
) -> NDArray[np.float32]:
    """Read images from files if they are there, and bring them to the range and shape that the model takes."""
    paths = [images] if _is_path(images) else list(images) if isinstance(images, (list, tuple)) else []
    if paths and all(map(_is_path, paths)):
        images = _load(paths, head, scale)
    if scale is not None:
        array = np.asarray(images)
        if array.dtype.kind not in "iuf" or (array.size and not 0 <= array.min() <= array.max() <= _BRIGHTEST):
            raise ParameterError(
                f"{name}: rescale is for pixels from 0 to {_BRIGHTEST}; expected such, got others. Leave it out."
            )
        images = array.astype(np.float32) / _BRIGHTEST * (scale[1] - scale[0]) + scale[0]
    return check_images(images, head.input_shape, n_steps=n_steps, name=name)


def _load(paths: list[Any], head: CAMHead, scale: tuple[float, float] | None) -> NDArray[Any]:
    """Read files into one array."""
    arrays = []
    for path in map(pathlib.Path, paths):
        if scale is None and path.suffix.lower() in files.PICTURE_SUFFIXES:
            raise ParameterError(
                f"images {str(path)!r}: pixels from 0 to {_BRIGHTEST}, and nothing says which range the model was "
                "trained on; expected rescale, such as (0, 1) or (-1, 1), got none. Pass it."
            )
        arrays.append(files.load_images(path, size=head.input_shape[:-1], channels=head.input_shape[-1], fit="crop"))
    shapes = sorted({array.shape[1:] for array in arrays})
    if len(shapes) > 1:
        raise InputFileError(f"images: expected one shape in all files, got {shapes}. Resize them.")
    return np.concatenate(arrays)
