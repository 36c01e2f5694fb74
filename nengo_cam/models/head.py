"""Which tensor is pooled, and which readout turns it into classes."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np

from .. import compat
from ..exceptions import HeadError
from .affine import affine_of
from .geometry import cell_centers
from .outputs import activation_name

if TYPE_CHECKING:
    from .graph import FlatModel, LayerCall

__all__ = [
    "INFERENCE_IDENTITIES",
    "CAMHead",
    "HeadCalls",
    "describe_head",
    "keeps_numbers",
    "locate_head",
]

#: Layers that do nothing at inference.
INFERENCE_IDENTITIES = frozenset(
    {
        "ActivityRegularization",
        "AlphaDropout",
        "Dropout",
        "GaussianDropout",
        "GaussianNoise",
        "RandomBrightness",
        "RandomContrast",
        "RandomFlip",
        "RandomRotation",
        "RandomTranslation",
        "RandomZoom",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
    }
)
_N_NAMED = 8
_RESHAPES = frozenset({"Flatten", "Reshape"})
_OUTPUT_ACTIVATIONS = ("linear", "softmax", "sigmoid")


@dataclasses.dataclass(frozen=True)
class CAMHead:
    """The part of a CNN that class-activation maps are read from: features, global pooling, linear readout.

    Attributes
    ----------
    model : str
        Name of the model.
    features : str
        Name of the layer whose output is pooled.
    pooling : str
        Name of the global pooling layer.
    readout : str
        Name of the linear layer that turns pooled features into classes; that of the pooling if they are classes
        already.
    activation : str
        What follows the readout: ``"linear"``, ``"softmax"`` or ``"sigmoid"``. Maps and logits are those before it.
    kernel : ndarray of shape (K, L)
        Readout weights as Keras has them [logit per unit of activity], with what stands between features and logits
        and is linear. A converted network that was trained further has others; `nengo_cam.spiking_cam` takes those
        from the simulator.
    bias : ndarray of shape (L,)
        Readout bias [logit], likewise; zeros if there is none.
    input_shape : tuple of int
        Shape of an image: (Y, X, channels), or (X, channels), or (Z, Y, X, channels).
    map_shape : tuple of int
        Shape of a feature: (Y, X), or (X,), or (Z, Y, X).
    centers : tuple of ndarray
        For each axis of the map the centers of what its cells see in the image [pixel]; the center of the first pixel
        is 0.
    exact_centers : bool
        Whether ``centers`` follow from the layers; otherwise the cells divide the image evenly.
    coordinates : dict of {str: ndarray}
        Of ``coords`` of `nengo_cam.convert`: what the user calls the pixels along an axis. Empty if they are pixels.
    center_unit : str
        "pixel", or "cell" if nobody knows the shape of the image.
    """

    model: str
    features: str
    pooling: str
    readout: str
    activation: str
    kernel: np.ndarray = dataclasses.field(repr=False, compare=False)
    bias: np.ndarray = dataclasses.field(repr=False, compare=False)
    input_shape: tuple
    map_shape: tuple
    centers: tuple = dataclasses.field(repr=False, compare=False)
    exact_centers: bool = True
    center_unit: str = "pixel"
    coordinates: dict = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the map's axes."""
        return ("z", "y", "x")[-len(self.map_shape) :]

    @property
    def n_channels(self) -> int:
        """Number of channels K."""
        return self.kernel.shape[0]

    @property
    def n_labels(self) -> int:
        """Number of labels L."""
        return self.kernel.shape[1]

    def __str__(self):
        size = "x".join(map(str, self.map_shape))
        return (
            f"{self.features} ({size}x{self.n_channels}) -> {self.pooling} -> "
            f"{self.readout} ({self.n_labels} labels, {self.activation})"
        )


@dataclasses.dataclass(frozen=True)
class HeadCalls:
    """The layer calls of a head, in a `nengo_cam.models.graph.FlatModel`.

    Attributes
    ----------
    features : hashable
        Key of the tensor that is pooled.
    pooling : LayerCall
        The pooling.
    readout : LayerCall or None
        What turns pooled features into classes; None if they are classes already.
    before, between, after : tuple of LayerCall
        Calls between features and pooling, between pooling and readout, and from the readout to the model's output.
    folded : tuple of LayerCall
        Those of them that multiply channels by factors and add offsets, and so are part of the kernel.
    activation : str
        What is applied to the logits.
    kernel : ndarray of shape (K, L)
        All that is linear between features and logits, taken together.
    bias : ndarray of shape (L,)
        The same.
    """

    features: Hashable
    pooling: LayerCall
    readout: LayerCall | None
    before: tuple
    between: tuple
    after: tuple
    folded: tuple
    activation: str
    kernel: np.ndarray = dataclasses.field(repr=False, compare=False)
    bias: np.ndarray = dataclasses.field(repr=False, compare=False)

    @property
    def calls(self) -> tuple[LayerCall, ...]:
        """All of them, in the order in which they run."""
        readout = () if self.readout is None else (self.readout,)
        return (*self.before, self.pooling, *self.between, *readout, *self.after)


def describe_head(flat: FlatModel, calls: HeadCalls) -> CAMHead:
    """Put the head of a flat model into words and numbers.

    Parameters
    ----------
    flat : nengo_cam.models.graph.FlatModel
        The model.
    calls : HeadCalls
        Its head.

    Returns
    -------
    CAMHead
        The same by names.
    """
    features = flat.producer(calls.features)
    ((input_key, input_shape),) = flat.input_shapes.items()
    shape = flat.shape(calls.features)
    if _is_channels_first(calls.pooling):
        map_shape, centers, exact = shape[2:], tuple(map(np.arange, shape[2:])), shape[2:] == input_shape[2:]
    else:
        map_shape, (centers, exact) = shape[1:-1], cell_centers(flat, calls.features)
    return CAMHead(
        model=flat.name,
        features=flat.input_names[input_key] if features is None else features.name,
        pooling=calls.pooling.name,
        readout=(calls.readout or calls.pooling).name,
        activation=calls.activation,
        kernel=calls.kernel,
        bias=calls.bias,
        input_shape=tuple(input_shape[1:]),
        map_shape=tuple(map_shape),
        centers=centers,
        exact_centers=exact,
    )


def locate_head(flat: FlatModel, *, pooled: bool = False) -> HeadCalls:
    """Find the head of a flat model; the working part of `nengo_cam.find_head`.

    Parameters
    ----------
    flat : nengo_cam.models.graph.FlatModel
        The model, with one output.
    pooled : bool
        Whether the features are to be what is pooled, whatever stands in front of it. Networks are probed, and channels
        scaled, at the input of the pooling; so in a reduced model what multiplies channels there is left to the
        features, and only the readout's own weights are the kernel.

    Returns
    -------
    HeadCalls
        The calls of the head.

    Raises
    ------
    HeadError
        If the model ends otherwise.
    """
    if len(flat.input_shapes) != 1 or len(flat.outputs) != 1:
        raise HeadError(
            f"model {flat.name!r}: expected one input and one output, got {len(flat.input_shapes)} inputs and "
            f"{len(flat.outputs)} outputs. Build a tf.keras.Model from the one to the other."
        )
    walk = _Walk(flat)
    after, readout, between = walk.past(_is_neutral, _is_activation, walk.is_affine), None, ()
    if not walk.is_at_pooling():
        readout = walk.at_readout()
        between = walk.past(_is_neutral, walk.is_affine)
    pooling = walk.at_pooling(readout)
    channel_axis = 1 if _is_channels_first(pooling) else -1
    before = () if pooled else walk.past_maps(channel_axis)
    features = walk.key
    if not any(id(call) in walk.affines for call in before):
        # Nothing that belongs to the readout: what is pooled are the features.
        features, before = pooling.inputs[0], ()
    activation = walk.activation(readout, after)
    if readout is None and activation == "linear" and not _is_linear_convolution(flat.producer(features)):
        raise walk.error(
            f"no readout was found; expected a Dense layer at the end, got {pooling.kind} {pooling.name!r}",
            "Add a Dense readout",
        )
    folded = [[call for call in side if id(call) in walk.affines] for side in ((*before, *between), after)]
    before_pooling, behind = ([walk.affines[id(call)] for call in side] for side in folded)
    kernel, bias = _linear_part(before_pooling, behind, readout, n_channels=_n_channels(flat, pooling))
    return HeadCalls(
        features, pooling, readout, before, between, after, (*folded[0], *folded[1]), activation, kernel, bias
    )


class _Walk:
    """Goes from the output of a model up to its features, one call at a time, and remembers what it has seen."""

    def __init__(self, flat):
        self._flat = flat
        self._seen = []
        #: Factors and offsets of the calls that were found to be nothing else, by the id of the call.
        self.affines = {}
        self._look(flat.outputs[0])

    def _look(self, key):
        self.key, self.call = key, self._flat.producer(key)
        if self.call is not None:
            self._seen.insert(0, self.call)

    def past(self, *accepted):
        """Walk past calls that one of the given functions accepts, and return them in the order in which they run."""
        passed = []
        while self.call is not None and any(accepts(self.call) for accepts in accepted):
            passed.insert(0, self.call)
            self._look(self.call.inputs[0])
        return tuple(passed)

    def past_maps(self, channel_axis):
        """Walk past calls between features and pooling that leave each channel where it is; see `past`."""
        shape = self._flat.shape

        def keeps_channels(call):
            before, after = shape(call.inputs[0]), call.output_shapes[0]
            if before == after and _keeps_numbers(call):
                return True
            return _is_neutral(call) and len(before) > 2 and before[channel_axis] == after[channel_axis]

        return self.past(keeps_channels, lambda call: self.is_affine(call, channel_axis))

    def is_affine(self, call, channel_axis=None):
        """Tell whether a call does nothing but multiply channels by factors and add offsets.

        Behind the pooling the channels are the only axis that is longer than 1.
        """
        if len(call.inputs) != 1 or call.kwargs.get("training"):
            return False
        shape = self._flat.shape(call.inputs[0])
        if channel_axis is None:
            long = [axis for axis, n in enumerate(shape) if axis > 0 and n != 1]
            if len(long) > 1:
                return False
            channel_axis = long[0] if long else -1
        affine = affine_of(call.layer, shape, channel_axis)
        if affine is not None:
            self.affines[id(call)] = affine
        return affine is not None

    def is_at_pooling(self):
        """Tell whether the call takes the mean over all positions."""
        return self.call is not None and _is_global_mean(self._flat, self.call)

    def at_readout(self):
        """Check that the call is a readout, walk past it and return it."""
        self._check_chain()
        call = self.call
        if call is None or not (call.kind == "Dense" or _is_pointwise(self._flat, call)):
            got = "nothing" if call is None else f"{call.kind} {call.name!r}"
            raise self.error(
                f"no readout was found; expected a Dense layer at the end, got {got}", "Add a Dense readout"
            )
        self._look(call.inputs[0])
        return call

    def at_pooling(self, readout):
        """Check that the call pools all of a map that the readout fits, walk past it and return it."""
        self._check_chain()
        call, flat = self.call, self._flat
        if not self.is_at_pooling():
            fed_by = flat.producer(readout.inputs[0])
            got = "the input of the model" if call is None else call.kind
            raise self.error(
                f"the readout {readout.name!r} is fed by {'the input' if fed_by is None else repr(fed_by.name)}; "
                f"expected a global average pooling layer, got {got}",
                "Leave one Dense layer after the pooling: a CAM needs a linear readout, other heads a gradient method"
                if got == "Dense"
                else "Replace it by a global average pooling layer, such as GlobalAveragePooling2D",
            )
        sizes = [flat.shape(call.inputs[0])[1:], *(shape[1:] for shape in flat.input_shapes.values())]
        if any(None in size for size in sizes):
            raise self.error(
                f"the pooling {call.name!r} takes maps of shape {flat.shape(call.inputs[0])}; expected a fixed size, "
                "got None",
                "Build the model with a full input shape, e.g. tf.keras.Input((28, 28, 1))",
            )
        n_channels = _n_channels(flat, call)
        if readout is not None and _weights(readout)[0].shape[0] != n_channels:
            raise self.error(
                f"the readout {readout.name!r} is applied to a tensor of shape {flat.shape(readout.inputs[0])}; "
                f"expected (None, {n_channels}), got another last axis",
                "Put a Flatten layer before it",
            )
        self._look(call.inputs[0])
        return call

    def activation(self, readout, after):
        """Name what is applied to the logits."""
        applied = [] if readout is None else [name for name in [activation_name(readout.layer)] if name != "linear"]
        for call in after:
            if _is_activation(call):
                applied += [name for name in [activation_name(call.layer)] if name != "linear"]
            elif applied and id(call) in self.affines:
                applied.append(call.kind)
        if len(applied) > 1 or not set(applied) <= set(_OUTPUT_ACTIVATIONS):
            what = "the pooling" if readout is None else f"the readout {readout.name!r}"
            raise self.error(
                f"{what} is not linear up to a last softmax or sigmoid; expected one activation of "
                f"{list(_OUTPUT_ACTIVATIONS)}, got {' and '.join(applied)}",
                "Make the readout linear, softmax or sigmoid",
            )
        return applied[0] if applied else "linear"

    def _check_chain(self):
        if self.call is not None and len(self.call.inputs) != 1:
            raise self.error(
                f"{self.call.name!r} has {len(self.call.inputs)} inputs; expected a chain from pooling to readout, got "
                f"{self.call.kind}",
                "Move it before the pooling",
            )

    def error(self, problem, remedy):
        """Make an error that names the layers seen and those that could be pooled."""
        flat = self._flat
        shapes = ((call.name, call.output_shapes[0]) for call in flat.calls)
        poolable = [name for name, shape in shapes if len(shape) > 2 and any(n != 1 for n in shape[1:-1])]
        layers = [f"{call.name} ({call.kind})" for call in self._seen]
        last = f"{poolable}" if len(poolable) <= _N_NAMED else f"the last of {len(poolable)} are {poolable[-_N_NAMED:]}"
        return HeadError(
            f"model {flat.name!r}: {problem}. {remedy}. Layers seen: {layers}. Layers that could be pooled: {last}.",
            layers=[call.name for call in self._seen],
            poolable=poolable,
        )


# What a call is


def _is_neutral(call):
    """Tell whether a call changes no number: at inference, or ever."""
    if call.kind == "Activation":
        return activation_name(call.layer) == "linear"
    return call.kind in INFERENCE_IDENTITIES | _RESHAPES


def keeps_numbers(kind: str, config: dict) -> bool:
    """Tell whether a layer that keeps the shape of its input keeps the numbers too.

    Parameters
    ----------
    kind : str
        Class name of a layer of Keras's own.
    config : dict
        Its configuration.

    Returns
    -------
    bool
        Such as padding by 0, pooling over one cell, a linear activation.
    """
    kind = kind.rstrip("123D")
    if kind == "Activation":
        return config["activation"] == "linear"
    if kind in ("ZeroPadding", "Cropping"):
        return not np.any(config["padding" if kind == "ZeroPadding" else "cropping"])
    if kind == "UpSampling":
        return bool(np.all(np.equal(config["size"], 1)))
    if kind in ("AveragePooling", "MaxPooling"):
        return bool(np.all(np.equal(config["pool_size"], 1)))
    if kind == "Permute":
        return list(config["dims"]) == sorted(config["dims"])
    return kind in _RESHAPES


def _keeps_numbers(call):
    return compat.is_keras_layer(type(call.layer)) and keeps_numbers(call.kind, call.layer.get_config())


def _is_activation(call):
    return call.kind in ("Activation", "Softmax")


def _is_channels_first(call):
    return getattr(call.layer, "data_format", None) == "channels_first"


def _n_channels(flat, pooling):
    shape = flat.shape(pooling.inputs[0])
    return shape[1] if _is_channels_first(pooling) else shape[-1]


def _is_global_mean(flat, call):
    """Tell whether a call takes the mean over all positions of a map."""
    if re.fullmatch(r"GlobalAveragePooling[123]D", call.kind):
        return True
    if not re.fullmatch(r"AveragePooling[123]D", call.kind):
        return False
    # A window as large as the map, in one place.
    spatial = slice(2, None) if _is_channels_first(call) else slice(1, -1)
    size = call.layer.pool_size
    sizes = tuple(size) if np.iterable(size) else (size,)
    return sizes == flat.shape(call.inputs[0])[spatial] and set(call.output_shapes[0][spatial]) == {1}


def _is_pointwise(flat, call):
    """Tell whether a call is a convolution of a single position: a Dense layer by another name."""
    if not re.fullmatch(r"Conv[123]D", call.kind) or call.layer.groups != 1:
        return False
    spatial = slice(2, None) if _is_channels_first(call) else slice(1, -1)
    return set(call.layer.kernel_size) == {1} and set(flat.shape(call.inputs[0])[spatial]) == {1}


def _is_linear_convolution(call):
    return (
        call is not None
        and re.fullmatch(r"(Separable)?Conv[123]D", call.kind) is not None
        and activation_name(call.layer) == "linear"
    )


# What a call computes


def _weights(readout):
    """Return kernel (K, L) and bias (L,) of a Dense layer or a convolution of one position."""
    weights = readout.layer.get_weights()
    kernel = weights[0].reshape(weights[0].shape[-2:])
    return kernel, weights[1] if readout.layer.use_bias else np.zeros(kernel.shape[1], kernel.dtype)


def _linear_part(before, behind, readout, *, n_channels):
    """Take all that is linear between features and logits together.

    Parameters
    ----------
    before, behind : sequence of Affine
        Factors and offsets before and after the readout, in the order in which they are applied.
    readout : LayerCall or None
        The readout.
    n_channels : int
        Number of channels of the features K.

    Returns
    -------
    kernel : ndarray of shape (K, L)
        Weights.
    bias : ndarray of shape (L,)
        Bias.
    """
    if readout is None:
        kernel, bias = np.eye(n_channels, dtype=np.float32), np.zeros(n_channels, np.float32)
    else:
        kernel, bias = _weights(readout)
    if not before and not behind:
        return kernel, bias
    dtype, kernel, bias = kernel.dtype, kernel.astype(float), bias.astype(float)
    # The last first: each is applied to what the kernel takes so far.
    for affine in reversed(before):
        bias = affine.shift @ kernel + bias
        kernel = affine.scale[:, None] * kernel
    for affine in behind:
        kernel, bias = kernel * affine.scale, affine(bias)
    return kernel.astype(dtype), bias.astype(dtype)
