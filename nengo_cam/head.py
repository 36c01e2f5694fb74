"""Which tensor is pooled, and which readout turns it into classes."""

import dataclasses

import numpy as np

from .exceptions import HeadError
from .geometry import cell_centres
from .graph import flatten

__all__ = ["INFERENCE_IDENTITIES", "CAMHead", "find_head", "locate_head"]

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
_READOUT_ACTIVATIONS = ("linear", "softmax", "sigmoid")


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
        Name of the linear layer that turns pooled features into classes.
    activation : str
        What follows the readout: ``"linear"``, ``"softmax"`` or ``"sigmoid"``. Maps and logits are those before it.
    kernel : ndarray of shape (K, L)
        Readout weights as Keras has them [logit per unit of activity]. A converted network that was trained further
        has others; `nengo_cam.spiking_cam` takes those from the simulator.
    bias : ndarray of shape (L,)
        Readout bias [logit]; zeros if the readout has none.
    input_shape : tuple of int
        (Y, X, channels) of an image.
    map_shape : tuple of int
        (rows, columns) of the features.
    rows, columns : ndarray
        Centres of what the cells of the map see in the image [pixel]; the centre of the first pixel is 0.
    exact_centres : bool
        Whether ``rows`` and ``columns`` follow from the layers; otherwise the cells divide the image evenly.
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
    rows: np.ndarray = dataclasses.field(repr=False, compare=False)
    columns: np.ndarray = dataclasses.field(repr=False, compare=False)
    exact_centres: bool = True

    @property
    def n_channels(self):
        """Number of channels K."""
        return self.kernel.shape[0]

    @property
    def n_labels(self):
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
    """The layer calls of a head, in a `nengo_cam.graph.FlatModel`.

    Attributes
    ----------
    features : int
        Key of the tensor that is pooled.
    pooling, readout : LayerCall
        The calls.
    between, after : tuple of LayerCall
        Calls between pooling and readout, and from the readout to the output of the model.
    activation : str
        What is applied to the logits.
    """

    features: int
    pooling: object
    readout: object
    between: tuple
    after: tuple
    activation: str


def find_head(model):
    """Find the features, the global pooling and the readout of a model.

    Recognised is global average pooling (GAP) over rows and columns, then any number of Dropout, Flatten, Reshape and
    linear Activation layers, then Dense with linear, softmax or sigmoid activation, with or without bias [1]_. The
    activation may be a layer of its own. Nested models are looked into.

    Parameters
    ----------
    model : tf.keras.Model
        Functional or built Sequential model with one input and one output.

    Returns
    -------
    CAMHead
        What was found.

    Raises
    ------
    ModelTypeError
        If ``model`` is not a Keras model whose layers can be read.
    HeadError
        If the model ends otherwise; names the layers seen and those that could be pooled.

    References
    ----------
    .. [1] Zhou et al. (2016). Learning Deep Features for Discriminative Localization. CVPR. arXiv:1512.04150, sec. 2.
    """
    flat = flatten(model)
    calls = locate_head(flat)
    weights = calls.readout.layer.get_weights()
    kernel = weights[0]
    bias = weights[1] if calls.readout.layer.use_bias else np.zeros(kernel.shape[1], kernel.dtype)
    features = flat.producer(calls.features)
    (input_key,) = flat.input_shapes
    rows, columns, exact = cell_centres(flat, calls.features)
    return CAMHead(
        model=flat.name,
        features=flat.input_names[input_key] if features is None else features.name,
        pooling=calls.pooling.name,
        readout=calls.readout.name,
        activation=calls.activation,
        kernel=kernel,
        bias=bias,
        input_shape=tuple(flat.input_shapes[input_key][1:]),
        map_shape=tuple(flat.shape(calls.features)[1:3]),
        rows=rows,
        columns=columns,
        exact_centres=exact,
    )


def locate_head(flat):
    """Find the head of a flat model; the working part of `find_head`.

    Parameters
    ----------
    flat : nengo_cam.graph.FlatModel
        The model.

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
    seen = []
    activation, after, readout = _walk_to_readout(flat, seen)
    between, pooling = _walk_to_pooling(flat, readout, seen)
    return HeadCalls(pooling.inputs[0], pooling, readout, between, after, activation)


def _walk_to_readout(flat, seen):
    """Go from the output up to the Dense readout, past the activation."""
    activation, after = "linear", []
    call = _step_up(flat, flat.outputs[0], seen)
    while call is not None and call.kind != "Dense":
        found = _own_activation(call)
        if found is not None and activation == "linear":
            activation = found
        elif call.kind not in INFERENCE_IDENTITIES | _RESHAPES:
            break
        after.insert(0, call)
        call = _step_up(flat, call.inputs[0], seen)
    if call is None or call.kind != "Dense":
        got = "nothing" if call is None else f"{call.kind} {call.name!r}"
        is_pointwise = call is not None and getattr(call.layer, "kernel_size", None) == (1, 1)
        raise _head_error(
            flat,
            seen,
            f"no readout was found; expected a Dense layer at the end, got {got}",
            "A 1x1 convolution as readout is not supported; put GlobalAveragePooling2D and Dense in its place"
            if is_pointwise
            else "Add a Dense readout",
        )
    applied = [name for name in (_activation_name(call.layer), activation) if name != "linear"]
    if len(applied) > 1 or not set(applied) <= set(_READOUT_ACTIVATIONS):
        raise _head_error(
            flat,
            seen,
            f"the readout {call.name!r} is not linear up to a last softmax or sigmoid; expected one activation of "
            f"{list(_READOUT_ACTIVATIONS)}, got {' and '.join(applied)}",
            "Make the readout linear, softmax or sigmoid",
        )
    return (applied[0] if applied else "linear"), tuple(after), call


def _walk_to_pooling(flat, readout, seen):
    """Go from the readout up to the global average pooling."""
    between = []
    call = _step_up(flat, readout.inputs[0], seen)
    while call is not None and (call.kind in INFERENCE_IDENTITIES | _RESHAPES or _own_activation(call) == "linear"):
        between.insert(0, call)
        call = _step_up(flat, call.inputs[0], seen)
    if call is None or call.kind != "GlobalAveragePooling2D":
        fed_by = flat.producer(readout.inputs[0])
        got = "the input of the model" if call is None else call.kind
        raise _head_error(
            flat,
            seen,
            f"the readout {readout.name!r} is fed by {'the input' if fed_by is None else repr(fed_by.name)}; expected "
            f"a global average pooling layer, got {got}",
            "Replace it by GlobalAveragePooling2D"
            if got != "Dense"
            else "Leave one Dense layer after the pooling; a CAM needs a linear readout",
        )
    if call.layer.data_format != "channels_last":
        raise _head_error(
            flat,
            seen,
            f"the pooling {call.name!r} has data_format {call.layer.data_format!r}; expected 'channels_last', got "
            f"{call.layer.data_format!r}",
            "Rebuild the model with data_format='channels_last'",
        )
    if len(flat.shape(readout.inputs[0])) != 2:
        raise _head_error(
            flat,
            seen,
            f"the readout {readout.name!r} is applied to a tensor of shape {flat.shape(readout.inputs[0])}; expected "
            f"(None, {call.output_shapes[0][-1]}), got rank {len(flat.shape(readout.inputs[0]))}",
            "Put a Flatten layer before it",
        )
    if None in flat.shape(call.inputs[0])[1:] or any(None in shape[1:] for shape in flat.input_shapes.values()):
        raise _head_error(
            flat,
            seen,
            f"the pooling {call.name!r} takes maps of shape {flat.shape(call.inputs[0])}; expected a fixed size, got "
            "None",
            "Build the model with a full input shape, e.g. tf.keras.Input((28, 28, 1))",
        )
    return tuple(between), call


def _step_up(flat, key, seen):
    """Return the call that makes a tensor if it has one input, and note it."""
    call = flat.producer(key)
    if call is not None:
        seen.insert(0, call)
        if len(call.inputs) != 1:
            raise _head_error(
                flat,
                seen,
                f"{call.name!r} has {len(call.inputs)} inputs; expected a chain from pooling to readout, got "
                f"{call.kind}",
                "Move it before the pooling",
            )
    return call


def _own_activation(call):
    """Name the activation that a layer applies if it does nothing else, otherwise None."""
    if call.kind == "Activation":
        return _activation_name(call.layer)
    if call.kind == "Softmax":
        return "softmax"
    return None


def _activation_name(layer):
    activation = layer.activation
    return getattr(activation, "__name__", type(activation).__name__)


def _head_error(flat, seen, problem, remedy):
    shapes = ((call.name, call.output_shapes[0]) for call in flat.calls)
    poolable = [name for name, shape in shapes if len(shape) == 4 and tuple(shape[1:3]) != (1, 1)]
    layers = [f"{call.name} ({call.kind})" for call in seen]
    last = f"{poolable}" if len(poolable) <= _N_NAMED else f"the last of {len(poolable)} are {poolable[-_N_NAMED:]}"
    return HeadError(
        f"model {flat.name!r}: {problem}. {remedy}. Layers seen: {layers}. Layers that could be pooled: {last}.",
        layers=[call.name for call in seen],
        poolable=poolable,
    )
