"""The same logits with fewer layers: what a converted network has to compute, and no more."""

import numpy as np

from .. import compat
from ..exceptions import UnsupportedModelError
from ..graph import FlatModel, Ref, flatten
from ..head import INFERENCE_IDENTITIES, locate_head

__all__ = ["features_and_logits", "inference_model", "max_value_of", "rectified_layers", "reduced_names"]

# They act in training only, and NengoDL refuses to convert layers that have them.
_TRAINING_ONLY_OPTIONS = (
    "activity_regularizer",
    "beta_regularizer",
    "bias_constraint",
    "bias_regularizer",
    "depthwise_constraint",
    "depthwise_regularizer",
    "gamma_regularizer",
    "kernel_constraint",
    "kernel_regularizer",
    "pointwise_constraint",
    "pointwise_regularizer",
)


def inference_model(model):
    """Rebuild a model with a GAP head so that it gives logits and holds only what inference needs.

    Nested models are opened; Dropout, noise and augmentation layers, regularizers and constraints are left out, and so
    is whatever follows the readout (softmax, sigmoid). A layer without weights that is used several times becomes
    several layers. BatchNormalization keeps its moving statistics and is marked as not trainable, since its inference
    form is what gets converted. Layers keep their names and copies of their weights; the source model is not changed.

    Parameters
    ----------
    model : tf.keras.Model
        Functional or built Sequential model that `nengo_cam.find_head` accepts.

    Returns
    -------
    tf.keras.Model
        Functional model with the same input and the logits as output.

    Raises
    ------
    ModelTypeError
        If ``model`` is not a Keras model whose layers can be read.
    HeadError
        If it has no GAP head.
    UnsupportedModelError
        If a layer is called with ``training=True``, has weights that are not finite, is an adapted Normalization, or
        cannot be made again from its configuration.
    """
    tf = compat.import_tensorflow()
    flat = flatten(model)
    head = locate_head(flat)
    for call in flat.calls:
        _check_call(flat, call)
    ((input_key, shape),) = flat.input_shapes.items()
    tensors = {input_key: tf.keras.Input(batch_shape=shape, name=flat.input_names[input_key])}
    inputs = tensors[input_key]
    copies = {}
    for call, name in zip(flat.calls, reduced_names(flat, head)):
        if name is None:
            tensors[call.outputs[0]] = tensors[call.inputs[0]]
            continue
        if name not in copies:
            copies[name] = _copy(flat, call, name, linear=call is head.readout)
        layer = copies[name]
        args, kwargs = tf.nest.map_structure(
            lambda value: tensors[value.key] if isinstance(value, Ref) else value,
            (call.args, {name: value for name, value in call.kwargs.items() if name != "training"}),
        )
        outputs = tf.nest.flatten(layer(*args, **kwargs))
        layer.set_weights(call.layer.get_weights())
        tensors.update(zip(call.outputs, outputs))
    return tf.keras.Model(inputs, tensors[head.readout.outputs[0]], name=flat.name)


def reduced_names(flat, head):
    """Name the layer that each layer call of a model becomes in its `inference_model`.

    Parameters
    ----------
    flat : nengo_cam.graph.FlatModel
        The model.
    head : nengo_cam.head.HeadCalls
        Its head.

    Returns
    -------
    list of str or None
        For each of ``flat.calls`` a name; None if it is left out, so that what goes in comes out.
    """
    linear = (call for call in head.between if call.kind == "Activation")
    left_out = {id(call) for call in (*linear, *head.after)}
    names, result = {}, []
    for call in flat.calls:
        if id(call) in left_out or call.kind in INFERENCE_IDENTITIES:
            result.append(None)
            continue
        # Layers that share weights stay one layer. Without weights each call gets a layer of its own, and with it its
        # own firing-rate scale.
        identity = id(call.layer) if call.layer.weights else id(call)
        if identity not in names:
            names[identity] = _free_name(call.name, set(names.values()))
        result.append(names[identity])
    return result


def features_and_logits(model, pooling):
    """Build a Keras model that gives the pooled features and the logits.

    Parameters
    ----------
    model : tf.keras.Model
        A model made by `inference_model`.
    pooling : str
        Name of its global pooling layer, from `nengo_cam.find_head`.

    Returns
    -------
    tf.keras.Model
        From images to features (N, Y, X, K) and logits (N, L).
    """
    tf = compat.import_tensorflow()
    return tf.keras.Model(model.inputs, [model.get_layer(pooling).input, model.outputs[0]])


def rectified_layers(model):
    """List the layers of a model that end in a plain or clipped ReLU and so become rectified neurons.

    Parameters
    ----------
    model : tf.keras.Model
        A model made by `inference_model`.

    Returns
    -------
    list of tf.keras.layers.Layer
        The layers, in the order in which they run. Scaling the firing rates of these, and only of these, leaves the
        output of the rate network unchanged.
    """
    return [layer for layer in model.layers if max_value_of(layer) is not None]


def max_value_of(layer):
    """Tell where the ReLU that a layer ends in is clipped.

    Parameters
    ----------
    layer : tf.keras.layers.Layer
        Any layer.

    Returns
    -------
    float or None
        Largest activation; infinite for plain ReLU. None if the layer does not end in a ReLU, or if that has another
        threshold than zero, a slope below it, or a largest activation of zero.
    """
    tf = compat.import_tensorflow()
    if isinstance(layer, tf.keras.layers.ReLU):
        if layer.threshold != 0 or layer.negative_slope != 0 or layer.max_value == 0:
            return None
        return np.inf if layer.max_value is None else float(layer.max_value)
    activation = getattr(layer, "activation", None)
    if activation is tf.nn.relu6:
        return 6.0
    return np.inf if activation in (tf.keras.activations.relu, tf.nn.relu) else None


def _check_call(flat: FlatModel, call):
    """Refuse what has no inference form, before anything is rebuilt."""
    if call.kwargs.get("training") and (call.kind in INFERENCE_IDENTITIES or "BatchNormalization" in call.kind):
        raise UnsupportedModelError(
            f"model {flat.name!r}: {call.kind} {call.name!r} is called with training=True, so that its output depends "
            "on chance or on the rest of the batch; expected its inference form, got the other. Build the model "
            "without training=True."
        )
    if call.kind == "Normalization" and call.layer.weights:
        raise UnsupportedModelError(
            f"model {flat.name!r}: NengoDL loses the statistics that {call.name!r} was adapted to; expected a model "
            "without an adapted Normalization layer, got one. Normalise the images yourself and begin the model after "
            "that layer."
        )
    if not all(np.isfinite(weights).all() for weights in call.layer.get_weights()):
        raise UnsupportedModelError(
            f"model {flat.name!r}: the weights of {call.name!r} are not finite; expected numbers, got NaN or infinity. "
            "Train the model again."
        )


def _free_name(name, taken):
    """Append a number to a name if another layer has it."""
    suffix, free = 1, name
    while free in taken:
        free = f"{name}_{suffix}"
        suffix += 1
    return free


def _copy(flat: FlatModel, call, name, *, linear):
    """Make a layer again, without its weights and without what only training needs."""
    try:
        config = dict(call.layer.get_config(), name=name)
        config.update({option: None for option in _TRAINING_ONLY_OPTIONS if option in config})
        if linear:
            config["activation"] = "linear"
        layer = type(call.layer).from_config(config)
    except Exception as err:
        # Both are the layer author's code and may raise anything.
        raise UnsupportedModelError(
            f"model {flat.name!r}: the {call.kind} layer {call.name!r} cannot be made again from its configuration "
            f"({err}); expected from_config(get_config()) to work, got {type(err).__name__}. Implement get_config."
        ) from err
    layer.trainable = call.layer.trainable and "BatchNormalization" not in call.kind
    return layer
