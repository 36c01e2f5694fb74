"""A `CAMNetwork` around a network that was there before: that of a ``nengo_dl.Converter`` which a user made.

Nothing is converted again. The model that the converter was given says what stands where; the network says of what
neurons it is. What is added to it are probes, where there are none of the right object through the right synapse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nengo
import numpy as np

from .. import compat
from ..exceptions import HeadError, ModelTypeError, ParameterError, UnsupportedModelError
from ..models.coordinates import name_places
from ..models.head import locate_head
from ..models.simplify import ReducedModel, max_value_of, reduce_head
from ..models.source import SourceModel, read_model
from ..models.spiking_keras import is_keras_spiking
from .convert import as_synapse, rate_form, warn_if_rectifying
from .network import CAMNetwork
from .parts import find_parts

__all__ = ["from_converter"]

# What `convert` passes on to NengoDL; `verify` converts the rate form with the same.
_OPTIONS = ("allow_fallback", "inference_only", "max_to_avg_pool", "split_shared_weights")


def from_converter(converter: Any, *, model: Any = None, coords: Mapping[str, Any] | None = None) -> CAMNetwork:
    """Read class-activation maps from a network that you converted yourself, with ``nengo_dl.Converter``.

    Features, pooling and readout are found in the network, and neurons, synapses and weights are those that it has:
    nothing is converted again, and `nengo_cam.spiking_cam` takes the weights from the simulator, so that a network
    tuned with ``sim.fit`` is explained as it is, after ``sim.freeze_params(converter.net)`` on any simulator. All that
    is added to the network is a probe of the features, through the synapse of their connection into the pooling, and
    one of the logits; probes of yours that see just that are taken instead.

    Parameters
    ----------
    converter : nengo_dl.Converter
        Made with any options but ``temporal_model``, from a Keras model that `nengo_cam.find_head` accepts. The logits
        have to be in the network: end the model in a linear readout, or in a softmax layer of its own, or pass
        ``swap_activations={tf.keras.activations.softmax: tf.keras.activations.linear}``.
    model : tf.keras.Model, optional
        Where ``converter.model`` is not the model whose head is meant: one made of its layers, such as
        ``tf.keras.Model(converter.model.inputs, converter.model.outputs[1])`` if it has several outputs.

    coords : mapping of {str: sequence}, optional
        What rows and columns of the input are called, as for `nengo_cam.convert`.

    Returns
    -------
    CAMNetwork
        As of `nengo_cam.convert`, without calibration; its ``reduced`` is the model with each layer as it is.

    Raises
    ------
    ModelTypeError
        If ``converter`` is not a ``nengo_dl.Converter``, or ``model`` not a Keras model whose layers can be read.
    HeadError
        If the model has no GAP head, or several outputs, one of which has to be chosen; or if a layer of ``model`` is
        not in the network.
    UnsupportedModelError
        If the maps cannot be read from the network as it is: if it has no native node with the logits, normalizes
        between pooling and logits, has its channels first, or has connections in its head that are not the model's; or
        if a layer has no inference form.
    ParameterError
        If it was converted with ``temporal_model=True``, or ``coords`` do not fit the input.

    Warns
    -----
    RectifiedInputWarning
        If layers of spiking neurons that rectify their input, such as `nengo.SpikingRectifiedLinear`, follow on one
        another without a synapse.

    Examples
    --------
    >>> import nengo
    >>> import nengo_dl
    >>> import tensorflow as tf
    >>> simple = ncam.inference_model(model)  # logits, and no layers that only training needs
    >>> swap = {tf.keras.activations.relu: nengo.SpikingRectifiedLinear()}
    >>> converter = nengo_dl.Converter(simple, swap_activations=swap, scale_firing_rates=200, synapse=0.005)
    >>> own = ncam.from_converter(converter)
    >>> own.net is converter.net, own.adopted
    (True, True)
    >>> own.spiking_layers["conv0"].neuron_type
    SpikingRectifiedLinear(amplitude=0.005)
    >>> ncam.spiking_cam(own, images, n_steps=5, check_answers=False, progress_bar=False).cam.dims
    ('image', 'time', 'label', 'y', 'x')
    """
    nengo_dl = compat.import_nengo_dl()
    if not isinstance(converter, nengo_dl.Converter):
        raise ModelTypeError(
            f"converter: expected a nengo_dl.Converter, got {type(converter).__module__}.{type(converter).__name__}. "
            "Pass a Keras model to nengo_cam.convert instead."
        )
    if converter.temporal_model:
        remedy = "Convert the model of a single image, and pass moving images to spiking_cam"
        if is_keras_spiking(converter.model):
            # These have an axis of time of necessity, so there is no model of a single image.
            remedy = "Pass the model of KerasSpiking itself: nengo_cam.convert(model)"
        raise ParameterError(
            f"converter: time is an axis of its model; expected temporal_model=False, got True. {remedy}."
        )
    source = _read_source(converter, model)
    _check_head(source)
    objects = _find_objects(converter, source)
    reduced = reduce_head(source)
    calls, head = source.calls, name_places(reduced.head, coords)
    numbers = {id(call): number for number, call in enumerate(source.flat.calls)}
    pooling, readout = (objects[numbers[id(call)]] for call in (calls.pooling, calls.readout))
    named = _by_name(source, reduced, objects)
    net = CAMNetwork(
        net=converter.net,
        converter=converter,
        source=source,
        reduced=reduced,
        objects=named,
        model=source.model,
        head=head,
        input=_input_node(converter, source.model),
        neurons=_rectified_neurons(converter, reduced, named),
        synapse=as_synapse(converter.synapse),
        firing_rate_scales=_scales(converter, source, reduced, named),
        channel_factors={},
        feature_factors=np.ones(head.n_channels),
        largest_differences={},
        calibration_range=None,
        target_rate=None,
        converter_options=_remaining_options(converter, reduced),
        adopted=True,
        make_rate_form=rate_form,
        **find_parts(converter.net, head.model, pooling, readout),
    )
    warn_if_rectifying(net)
    return net


def _read_source(converter, model):
    """Read the model that the converter was given, or the part of it that is meant."""
    if model is None and len(converter.model.outputs) > 1:
        raise HeadError(
            f"model {converter.model.name!r}: it has {len(converter.model.outputs)} outputs; expected model=, with one "
            f"of {list(converter.model.output_names)}, got None. Pass model=tf.keras.Model(converter.model.inputs, "
            "converter.model.outputs[0]), or another."
        )
    return read_model(converter.model if model is None else model)


def _check_head(source: SourceModel) -> None:
    """Refuse heads that are more than a mean and weights: those of the network would not be the kernel of the map."""
    calls = locate_head(source.flat, pooled=True)
    if getattr(calls.pooling.layer, "data_format", None) == "channels_first":
        problem = f"the pooling {calls.pooling.name!r} takes channels first; expected channels last, got channels first"
    elif calls.readout is None:
        problem = f"it ends in {calls.pooling.name!r}; expected a Dense layer behind it, got none"
    elif calls.folded:
        names = [call.name for call in calls.folded]
        problem = (
            f"{names} multiply what is pooled, besides the readout's weights; expected one linear layer behind the "
            f"pooling, got {len(names) + 1}"
        )
    else:
        return
    raise UnsupportedModelError(
        f"model {source.flat.name!r}: {problem}. Give nengo_dl.Converter nengo_cam.inference_model(model), which ends "
        "in a mean over all positions and one Dense layer."
    )


def _input_node(converter, model):
    """Return the node that takes the image; the user's network may have others, which lead to other outputs."""
    if len(converter.inputs) == 1:
        (node,) = converter.inputs.values()
        return node
    (tensor,) = model.inputs
    return converter.inputs[tensor]


def _find_objects(converter, source):
    """Find what stands in the network for each layer call of the model, by the number of the call."""
    is_chain = isinstance(source.model, compat.import_tensorflow().keras.Sequential)
    objects, after = {}, {id(call) for call in source.calls.after}
    for number, call in enumerate(source.flat.calls):
        obj = _find_object(converter, call.path, is_chain)
        if obj is not None:
            objects[number] = obj
        elif id(call) not in after:
            # What follows the logits need not be there: the converter may have been given the model without it.
            raise HeadError(
                f"model {source.flat.name!r}: the converter's network has nothing for {call.name!r}; expected a model "
                f"of layers of {converter.model.name!r}, called as they are there, got another {call.kind}. Pass the "
                "model that was converted, or tf.keras.Model of its inputs and one of its tensors.",
                layers=[call.name],
            )
    return objects


def _find_object(converter, path, is_chain):
    """Follow a call through the networks of nested models; None if it is not there."""
    network = converter.net
    for depth, (layer, number) in enumerate(path):
        calls = network.layer_map.get(layer, {})
        if is_chain and depth == 0 and len(calls) == 1:
            # NengoDL makes a functional model of a Sequential one, and so calls each layer once more.
            (number,) = calls
        if number not in calls:
            return None
        if depth < len(path) - 1:
            network = next(nested for nested in network.networks if nested.label == f"{layer.name}.{number}")
    (obj,) = calls[number]
    return obj


def _by_name(source, reduced, objects):
    """Name the objects as `CAMNetwork.objects` has them: those of the reduced model first, in the order of running."""
    found = {name: objects[number] for number, name in reduced.successors.items()}
    named = {name: found[name] for name in reduced.flat.call_names}
    for number, obj in objects.items():
        if number not in reduced.successors:
            named.setdefault(source.flat.call_names[number], obj)
    return named


def _neurons_of(named, name):
    """Return the neuron type of what stands for a layer call; None if that is no neurons."""
    obj = named[name]
    return obj.ensemble.neuron_type if isinstance(obj, nengo.ensemble.Neurons) else None


def _rectified_neurons(converter, reduced: ReducedModel, named):
    """Return the neuron type that stands for ReLU; None for NengoDL's own, and if there are several."""
    calls = zip(reduced.flat.call_names, reduced.flat.calls)
    types = [_neurons_of(named, name) for name, call in calls if max_value_of(call.layer) is not None]
    found = [neurons for neurons in types if neurons is not None]
    kinds = {type(neurons) for neurons in found}
    if len(kinds) != 1 or kinds == {nengo.RectifiedLinear}:
        return None
    (kind,) = kinds
    # The ensemble's is a copy if its layer was scaled, with the amplitude of that layer.
    given = [neurons for neurons in dict(converter.swap_activations).values() if type(neurons) is kind]
    return (given or found)[0]


def _scales(converter, source, reduced, named):
    """Read the scales of firing rates [Hz per unit of activity], by the name of the layer."""
    scales = converter.scale_firing_rates
    if scales is None:
        return {}
    found = {}
    for number, name in reduced.successors.items():
        layer = source.flat.calls[number].path[-1][0]
        scale = scales.get(layer) if isinstance(scales, dict) else scales
        # What has no amplitude is not divided by the scale again: NengoDL warns that its output changes.
        if scale is not None and hasattr(_neurons_of(named, name), "amplitude"):
            found[reduced.layer(name).name] = float(scale)
    return found


def _remaining_options(converter, reduced):
    """List the options that make another network than that of the model, apart from the neurons that stand for ReLU."""
    options = {name: getattr(converter, name) for name in _OPTIONS}
    if not any("MaxPool" in call.kind for call in reduced.flat.calls):
        options["max_to_avg_pool"] = False
    swap = {
        old: new
        for old, new in dict(converter.swap_activations).items()
        if not _stands_for(old, new) and _is_used(old, reduced)
    }
    return {**options, **({"swap_activations": swap} if swap else {})}


def _rate_form(activation):
    """Return the rate neurons that NengoDL takes for an activation; None if there are none."""
    if isinstance(activation, nengo.neurons.NeuronType):
        return activation
    return compat.import_nengo_dl().converter.LayerConverter.activation_map.get(activation)


def _stands_for(old, new):
    """Tell whether neurons are those of an activation, only that they spike; any are for ReLU, as of `convert`."""
    rate_form = _rate_form(old)
    if not isinstance(new, nengo.neurons.NeuronType) or rate_form is None:
        return False
    return type(rate_form) is nengo.RectifiedLinear or isinstance(getattr(new, "base_type", new), type(rate_form))


def _is_used(activation, reduced):
    """Tell whether a layer of the body has an activation, by itself or by the rate neurons that stand for it."""
    used = [getattr(call.layer, "activation", None) for call in reduced.flat.calls[:-1]]
    return activation in used or any(activation == _rate_form(one) for one in used if one is not None)
