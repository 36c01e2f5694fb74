"""From a Keras CNN to a Nengo network whose class-activation maps can be read."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import nengo
import numpy as np
from numpy.typing import ArrayLike

from .. import compat
from ..checks.callers import user_stacklevel
from ..checks.images import check_images
from ..checks.parameters import check_synapse
from ..exceptions import (
    DepthWarning,
    NonSpikingWarning,
    ParameterError,
    RectifiedInputWarning,
    UnsupportedModelError,
)
from ..models.coordinates import name_places
from ..models.simplify import rectified_layers, reduce_model
from ..models.source import read_model
from ..models.spiking_keras import has_spiking_forms, without_spikes
from ..neurons import clipped
from . import layers
from .calibrate import scale_rates
from .choosing import AUTO, choose_neurons, count_rectified, why_not_carried
from .network import CAMNetwork, rectifies_input
from .parts import find_parts
from .report import non_spiking_layers, spiked_tensor_nodes

__all__ = ["convert"]


def convert(
    model: Any,
    *,
    neurons: nengo.neurons.NeuronType | str | None = AUTO,
    scale_firing_rates: Any = None,
    calibrate_on: ArrayLike | None = None,
    target_rate: float = 200,
    percentile: float = 99.9,
    balance: bool = True,
    synapse: nengo.synapses.Synapse | float | None = None,
    output: int | str | None = None,
    coords: Mapping[str, Any] | None = None,
    **converter_options: Any,
) -> CAMNetwork:
    """Convert a Keras CNN with a GAP head to a Nengo network, with probes for its class-activation maps.

    The model is first reduced to what inference needs (`nengo_cam.inference_model`), then handed to
    ``nengo_dl.Converter``. The features are probed through the same synapse as their connection into the pooling, so
    that at every time step the mean of the map plus the readout's bias is the logit.

    Parameters
    ----------
    model : tf.keras.Model, keras.Model or SourceModel
        Functional or built Sequential model that `nengo_cam.find_head` accepts. It is not changed. One of Keras 3 is
        rebuilt with Keras 2 and compared with it. Or what `nengo_cam.models.source.read_model` made of it, so that it
        is not read again for each of several conversions.
    neurons : nengo.neurons.NeuronType, "auto" or None
        What replaces ReLU units: any spiking or rate type. ``"auto"`` chooses by the number of rectified layers:
        `SignedIntegrateAndFire` for up to five, `SigmaDelta` for more, or if there is max pooling or the like, or if
        the answers to ``calibrate_on`` hang on more levels than spikes of one size tell in 50 and in 100 ms, or these
        images move; see `nengo_cam.conversion.choosing.choose_neurons`. None keeps rectified-linear rate neurons.
        Clipped ReLU (ReLU6) becomes the clipped twin of `IntegrateAndFire`, `SignedIntegrateAndFire` or `SigmaDelta`,
        and clipped rate neurons if other neurons are asked for.
    scale_firing_rates : float or dict of {str or tf.keras.layers.Layer: float or array_like}, optional
        Firing rate per unit of activity [Hz], for all rectified layers, by layer, or by layer and channel. Inputs of
        neurons are multiplied by it and outputs divided, so that activity keeps its units. Exact for neurons that are
        linear above threshold.
    calibrate_on : array_like of shape (N, Y, X, channels), optional
        Sample images, as fed to the model. Finds one scale per layer so that its strong activity fires at
        ``target_rate``; see `nengo_cam.conversion.calibrate.calibrate_layers`. Layers named in ``scale_firing_rates``
        keep theirs.
    target_rate : float
        Firing rate for activity at the percentile [Hz].
    percentile : float
        Percentile of a channel's and a layer's activity that fires at ``target_rate``, from 0 to 100.
    balance : bool
        Whether calibration also gives the channels of a layer the same range, which leaves logits and maps as they are
        and lets weak channels spike; see `nengo_cam.models.simplify.balance_channels`.
    synapse : nengo.synapses.Synapse, float or None
        Filter on the output of all neurons; a float is the time constant of a lowpass filter [s].
    output : int or str, optional
        Which output to convert, by number or by the name of its layer, if the model has several.
    coords : mapping of {str: sequence}, optional
        What rows and columns are called where the input is no picture: ``{"y": frequencies, "x": times}``, a number or
        a name for each pixel of an axis. Results have them as coordinates, with pixels beside them (``y_pixel``), and
        figures as ticks.
    **converter_options
        Further options of ``nengo_dl.Converter``: ``allow_fallback``, ``inference_only``, ``max_to_avg_pool``,
        ``split_shared_weights``, ``swap_activations``.

    Returns
    -------
    CAMNetwork
        The network, its parts and its probes.

    Raises
    ------
    ModelTypeError
        If ``model`` is not a Keras model whose layers can be read.
    HeadError
        If it has no GAP head.
    UnsupportedModelError
        If NengoDL cannot convert a layer.
    ParameterError
        If an option has a wrong type or value, or names a layer that is not there.
    ImageError
        If ``calibrate_on`` does not fit the model.
    VerificationError
        If balancing channels changes the logits by more than rounding.

    Warns
    -----
    NonSpikingWarning
        If spiking neurons were asked for and some layers with a nonlinearity do not spike.
    DepthWarning
        If spikes of one size were asked for, and the network has more rectified layers than they carry at
        ``target_rate``.
    RectifiedInputWarning
        If layers of spiking neurons that rectify their input, such as `nengo.SpikingRectifiedLinear`, follow on one
        another without a synapse.

    Examples
    --------
    >>> net = ncam.convert(model, calibrate_on=train[:100], target_rate=200)
    >>> net.spiking, net.tensor_nodes
    (True, ())
    >>> list(net.firing_rate_scales)
    ['conv0', 'conv1', 'conv2', 'conv3', 'conv4']

    Rate neurons instead, for the same answers as Keras at every step:

    >>> ncam.convert(model, neurons=None).spiking
    False

    Which neurons were chosen for it:

    >>> print(net.choice)
    chosen: SignedIntegrateAndFire(negative_threshold=0.25), as spikes of one size carry 5 rectified layers
    """
    _check_neurons(neurons)
    synapse = as_synapse(synapse)
    source = read_model(model, output=output)
    keeps_spikes = has_spiking_forms(source.model)
    if keeps_spikes and not isinstance(neurons, str):
        # What was asked for takes the place of the model's own spiking neurons, as of ReLU.
        source, keeps_spikes = read_model(without_spikes(source.model)), False
    reduced = reduce_model(source)
    # Of a user's own before anything is computed.
    coordinates = name_places(source.head, coords).coordinates
    # Before calibration, which runs the model on all images.
    layers.check_layers(reduced.flat)
    head = reduced.head
    choice = ""
    images, calibration_range, moving = None, None, False
    if calibrate_on is not None:
        images = check_images(calibrate_on, head.input_shape, name="calibrate_on")
        moving = images.ndim == len(head.input_shape) + 2
        images = images.reshape((-1, *head.input_shape))
        calibration_range = (float(images.min()), float(images.max()))
    scaled = scale_rates(
        reduced, scale_firing_rates, images, target_rate=target_rate, percentile=percentile, balance=balance
    )
    if isinstance(neurons, str):
        chosen = choose_neurons(
            scaled.reduced, scales=scaled.scales, images=images, moving=moving,
            max_to_avg_pool=bool(converter_options.get("max_to_avg_pool")),
        )  # fmt: skip
        neurons, choice = chosen.neurons, chosen.sentence
    converter = _run_converter(scaled.reduced.model, neurons, scaled.scales, synapse, converter_options)
    if not any(isinstance(ensemble.neuron_type, type(neurons)) for ensemble in converter.net.all_ensembles):
        # There is no ReLU, or swap_activations has the last word: of a choice that nothing follows is not told.
        choice = ""
    if keeps_spikes:
        neurons, choice = _own_spikes(converter.net, neurons, choice)
    pooling = converter.model.get_layer(head.pooling).output
    (node,) = converter.inputs.values()
    differences = {"simplified": reduced.largest_difference, "scaled": scaled.largest_difference}
    net = CAMNetwork(
        converter=converter,
        source=source,
        reduced=scaled.reduced,
        objects={name: converter.layers[scaled.reduced.output(name)] for name in scaled.reduced.flat.call_names},
        model=source.model,
        head=dataclasses.replace(scaled.reduced.head, coordinates=coordinates),
        neurons=neurons,
        synapse=synapse,
        firing_rate_scales=scaled.scales,
        channel_factors=scaled.channel_factors,
        feature_factors=np.ones(head.n_channels) if scaled.feature_factors is None else scaled.feature_factors,
        largest_differences={how: value for how, value in differences.items() if value is not None},
        calibration_range=calibration_range,
        target_rate=None if images is None else float(target_rate),
        converter_options=converter_options,
        choice=choice,
        make_rate_form=rate_form,
        net=converter.net,
        input=node,
        # By tensor: the readout layer may be called elsewhere too.
        **find_parts(
            converter.net, head.model, converter.layers[pooling], converter.layers[converter.model.outputs[0]]
        ),
    )
    _warn_if_not_spiking(net)
    _warn_if_not_carried(net)
    warn_if_rectifying(net)
    return net


def rate_form(net: CAMNetwork) -> CAMNetwork:
    """Convert the model of a network again, with rate neurons: what has to compute the same as Keras.

    Parameters
    ----------
    net : CAMNetwork
        One that was converted, by `convert` or by its owner.

    Returns
    -------
    CAMNetwork
        Of the reduced model, its channels balanced as they are.
    """
    # A user's converter scales other layers than rectified ones too; of rate neurons the scale changes nothing.
    scales = None if net.adopted else net.firing_rate_scales
    return convert(net.reduced.model, neurons=None, scale_firing_rates=scales, **net.converter_options)


def _own_spikes(network, neurons, choice):
    """Say that neurons are the model's own, and which; others of plain ReLUs have been chosen beside them."""
    own = [e.neuron_type for e in network.all_ensembles if type(e.neuron_type) is nengo.RegularSpiking]
    kept = "kept: RegularSpiking, the neurons of the model's SpikingActivation layers"
    return (neurons, f"{kept}; of others {choice}") if choice else (own[0], kept)


def _check_neurons(neurons):
    if isinstance(neurons, str) and neurons == AUTO:
        return
    if neurons is not None and not isinstance(neurons, nengo.neurons.NeuronType):
        hint = " Call it: make an instance of it." if isinstance(neurons, type) else " Try 'auto'."
        raise ParameterError(f"neurons: expected a Nengo neuron type, 'auto' or None, got {neurons!r}.{hint}")
    if isinstance(neurons, nengo.Direct):
        raise ParameterError("neurons: nengo.Direct has no activity to read; expected neurons, got Direct(). Use None.")


def as_synapse(synapse: Any) -> nengo.synapses.Synapse | None:
    """Make a synapse of what a user gave.

    Parameters
    ----------
    synapse : nengo.synapses.Synapse, float or None
        One of Nengo's, or the time constant of a lowpass [s].

    Returns
    -------
    nengo.synapses.Synapse or None

    Raises
    ------
    ParameterError
        If it is something else.
    """
    check_synapse(synapse)
    return synapse if synapse is None or isinstance(synapse, nengo.synapses.Synapse) else nengo.Lowpass(float(synapse))


def _run_converter(model, neurons, scales, synapse, options):
    """Run NengoDL's converter, its refusals in our words."""
    nengo_dl = compat.import_nengo_dl()
    if options.get("temporal_model"):
        raise ParameterError(
            "temporal_model: time belongs to the simulation here; expected False, got True. Pass moving images of "
            "shape (N, T, Y, X, channels) to spiking_cam."
        )
    swap = options.get("swap_activations") or {}
    if not isinstance(swap, dict):
        raise ParameterError(
            f"swap_activations: expected a dict from activations to activations, got {swap!r}. See nengo_dl.Converter."
        )
    swap = dict(swap)
    for layer in rectified_layers(model) if neurons is not None else ():
        if getattr(layer, "activation", None) in swap:
            continue
        rate_form = layers.rate_form(layer)
        max_value = getattr(rate_form, "max_value", None)
        twin = neurons if max_value is None else clipped(neurons, max_value)
        if twin is not None:
            # The user's own swap of this activation wins.
            swap.setdefault(rate_form, twin)
    known = ("allow_fallback", "inference_only", "max_to_avg_pool", "split_shared_weights", "swap_activations")
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ParameterError(
            f"convert: {unknown[0]!r} is not an option; expected options of nengo_dl.Converter, {list(known)}, got "
            f"{unknown[0]!r}. Check the spelling."
        )
    try:
        with layers.registered():
            return nengo_dl.Converter(
                model,
                scale_firing_rates={model.get_layer(name): scale for name, scale in scales.items()},
                synapse=synapse,
                **{**options, "swap_activations": swap},
            )
    except (TypeError, ValueError) as err:
        remedy = "Replace the layer"
        if "split_shared_weights" in str(err):
            remedy = "Pass split_shared_weights=True"
        elif any(type(layer).__name__ in ("SlicingOpLambda", "TFOpLambda") for layer in model.layers):
            remedy = "Use layers in place of functions; a Lambda layer makes one of any function"
        elif not options.get("allow_fallback", True):
            remedy = "Replace the layer, or leave allow_fallback out"
        raise UnsupportedModelError(
            f"model {model.name!r}: NengoDL cannot convert it; expected layers that it knows, got: {err}. {remedy}."
        ) from err


def _warn_if_not_spiking(net):
    """Say which nonlinearities stay non-spiking although spiking neurons were asked for."""
    if net.neurons is None or not net.neurons.spiking:
        return
    silent = non_spiking_layers(net)
    if silent or not net.spiking:
        spiked = spiked_tensor_nodes(net)
        raw = [name for name in silent if name in spiked]
        advice = (
            f" Without a synapse {raw} see single spikes instead of activity: pass synapse=0.005, or for max pooling "
            "max_to_avg_pool=True."
        )
        warnings.warn(
            f"model {net.model.name!r}: these layers do not spike: {silent or 'all'}. Only ReLU, plain or clipped, "
            f"becomes {type(net.neurons).__name__}; replace other nonlinearities, or pass swap_activations."
            f"{advice if raw else ''}",
            NonSpikingWarning,
            stacklevel=user_stacklevel(),
        )


def _warn_if_not_carried(net):
    """Say that spikes of one size will not carry so many layers; see `choosing`."""
    # Without calibration nobody knows how fast neurons fire.
    if net.neurons is None or net.target_rate is None:
        return
    sentence = why_not_carried(net.neurons, count_rectified(net.reduced), net.target_rate)
    if sentence:
        warnings.warn(f"model {net.model.name!r}: {sentence}", DepthWarning, stacklevel=user_stacklevel())


def warn_if_rectifying(net: CAMNetwork) -> None:
    """Say what becomes of neurons that rectify what fluctuates; see `IntegrateAndFire`.

    Parameters
    ----------
    net : CAMNetwork
        One that was just converted or adopted.

    Warns
    -----
    RectifiedInputWarning
        If several layers of such neurons follow on one another without a synapse.
    """
    if not net.rectifies_without_synapse:
        return
    kinds = sorted(
        {type(e.neuron_type).__name__ for e in net.spiking_layers.values() if rectifies_input(e.neuron_type)}
    )
    given, kind, remedy = "neurons", type(net.neurons).__name__, "Use neurons='auto'"
    if net.adopted:
        given, kind = "converter", " and ".join(kinds)
        remedy = "Pass synapse=0.005 to nengo_dl.Converter, or let nengo_cam.convert(model, calibrate_on=images) choose"
    warnings.warn(
        f"{given}: {kind} rectifies its input at every step, and without a synapse the error "
        "adds up over layers: at 200 Hz a network of five convolutions found the digit in 10 % of MNIST's images "
        f"instead of 98 %. {remedy}.",
        RectifiedInputWarning,
        stacklevel=user_stacklevel(),
    )
