"""The same logits from channels that share one range."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Collection
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ... import compat
from ...checks.percentiles import check_percentile
from ...exceptions import ParameterError, VerificationError
from ..graph import fill_arguments
from .clipping import clipped_relu, max_value_of
from .equivalence import tolerance
from .inference import ReducedModel, activity_levels, features_and_logits, read_reduced, rectified_layers

__all__ = ["BalancedModel", "balance_channels", "scale_channels"]

# Layers that undo the factors of their input and apply those of their output in their own weights.
_REWEIGHTED = frozenset(
    {"BatchNormalization", "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"}
    | {f"Conv{n}D{suffix}" for n in (1, 2, 3) for suffix in ("", "Transpose")}
)
# Layers f with f(s x) = s f(x) for s > 0 that keep channels apart. An activation that is not so is found separately.
_POSITIONS = ("AveragePooling", "Cropping", "GlobalAveragePooling", "GlobalMaxPooling", "MaxPooling", "UpSampling")
_HOMOGENEOUS = frozenset(
    {"Activation", "LeakyReLU", "PReLU", "ReLU"}
    | {f"{kind}{n}D" for n in (1, 2, 3) for kind in (*_POSITIONS, "ZeroPadding")}
)
# Layers f with f(s x, s y) = s f(x, y).
_MERGING = frozenset({"Add", "Average", "Maximum", "Minimum", "Subtract"})
_RESHAPING = frozenset({"Flatten", "Reshape"})
# The element that stands for every channel that must not be scaled.
_FIXED = 0


@dataclasses.dataclass(frozen=True, eq=False)
class BalancedModel:
    """A model whose channels have one range, and how to get back to the units of its source.

    Attributes
    ----------
    reduced : ReducedModel
        The model, with the layer names of its source.
    feature_factors : ndarray of shape (K,)
        What each channel of the pooled features was multiplied by: ``features / feature_factors`` are the features of
        the source model.
    layer_factors : dict of {str: ndarray of shape (channels,)}
        The same for the output of every rectified layer.
    largest_difference : float
        Largest difference from the source model, in logits as a fraction of the largest logit or in restored features
        as a fraction of the largest feature, whichever is larger.
    """

    reduced: ReducedModel = dataclasses.field(repr=False)
    feature_factors: np.ndarray = dataclasses.field(repr=False)
    layer_factors: dict = dataclasses.field(repr=False)
    largest_difference: float

    @property
    def model(self) -> Any:
        """The Keras model."""
        return self.reduced.model


def balance_channels(
    model: Any,
    images: np.ndarray,
    *,
    percentile: float = 99.9,
    max_factor: float = 30.0,
    fixed: Collection[str] = (),
    batch_size: int = 32,
) -> BalancedModel:
    r"""Scale the channels of rectified layers to one range, and undo it in the layers that they feed.

    A converted network has one firing-rate scale per layer, so a channel that is much weaker than the strongest of its
    layer hardly spikes. Since :math:`\mathrm{relu}(s x) = s\, \mathrm{relu}(x)` for :math:`s > 0`, weights and bias of
    channel :math:`i` can be multiplied by :math:`s_i` if the weights of the next layer for it are divided by
    :math:`s_i` ([1]_, sec. 4.1). The factor is that of channel-wise normalization [2]_, with a robust maximum ([3]_,
    sec. 2.2.2) and a limit:

    .. math:: s_i = \min\left(\frac{\max_j P_p(a_j)}{P_p(a_i)},\ s_{\max}\right)

    where :math:`P_p(a_i)` is the percentile of the activity of channel :math:`i` over positions and images. All
    channels then have the percentile of the strongest of their layer. Logits and maps do not change, up to rounding.

    Factors pass through pooling, padding, cropping, upsampling, reshaping and concatenation, and through a layer of
    clipped ReLU, which clips each channel at its factor times the value that it had. Channels that meet in a sum share
    one factor, by the strongest activity of all layers that share it. A channel has factor 1 if it goes into, or comes
    from, what is not homogeneous (sigmoid, or a convolution whose own activation is clipped) or not known, such as a
    layer of your own.

    Parameters
    ----------
    model : tf.keras.Model or ReducedModel
        A model made by `nengo_cam.inference_model`. It is not changed.
    images : ndarray of shape (N, Y, X, channels)
        Sample images, checked by the caller.
    percentile : float
        Percentile of a channel's activity that is taken for its range; above 0, at most 100.
    max_factor : float
        Largest factor; at least 1, which leaves all channels alone.
    fixed : collection of str
        Names of layers whose channels keep factor 1.
    batch_size : int
        Images that go through the model at a time. Changes the result by rounding only.

    Returns
    -------
    BalancedModel
        The new model and the factors.

    Raises
    ------
    ParameterError
        If ``percentile`` or ``max_factor`` is out of range, or a name in ``fixed`` is not that of a layer.
    VerificationError
        If the new model differs from the old one by more than rounding; has the ``largest_difference``.
    ModelTypeError, HeadError
        If ``model`` is not what `nengo_cam.inference_model` makes.

    Notes
    -----
    A channel that is nearly silent for the sample images may be strong for others, where it fires up to ``max_factor``
    times as fast as it would without balancing. On a MobileNet with plain ReLU, 0.2 % of the channels ask for more than
    30; granting it made the maps no better and the fastest neuron five times as fast. A channel whose percentile is 0
    says nothing about its range, and has factor 1.

    References
    ----------
    .. [1] Nagel et al. (2019). Data-Free Quantization Through Weight Equalization and Bias Correction. ICCV.
       arXiv:1906.04721.
    .. [2] Kim et al. (2020). Spiking-YOLO: Spiking Neural Network for Energy-Efficient Object Detection. AAAI.
       arXiv:1903.06530, section on channel-wise data-based normalization.
    .. [3] Rueckauer et al. (2017). Conversion of Continuous-Valued Deep Networks to Efficient Event-Driven Networks
       for Image Classification. Frontiers in Neuroscience 11:682.

    Examples
    --------
    >>> from nengo_cam.models.simplify import balance_channels
    >>> balanced = balance_channels(ncam.inference_model(model), train[:50])
    >>> bool(np.allclose(balanced.model(images), ncam.inference_model(model)(images), rtol=1e-4, atol=1e-4))
    True
    """
    check_percentile(percentile)
    if not isinstance(max_factor, numbers.Real) or isinstance(max_factor, bool) or not 1 <= max_factor < np.inf:
        raise ParameterError(f"max_factor: expected a finite number of at least 1, got {max_factor!r}. Try 30.")
    reduced = read_reduced(model)
    _check_names("fixed", fixed, [call.name for call in reduced.flat.calls])
    channels = _Channels(reduced.flat, fixed)
    levels = activity_levels(reduced.model, images, percentile, batch_size, by_channel=True)
    factors = channels.factors(levels, max_factor)
    balanced = _rebuild(reduced, {name: (factors[i], factors[o]) for name, (i, o) in channels.of_layer.items()})
    feature_factors = factors[channels.of_tensor[reduced.calls.features]]
    difference = _checked_difference(reduced, balanced, feature_factors, images, batch_size)
    layer_factors = {name: factors[channels.of_output[name]] for name in levels}
    return BalancedModel(balanced, feature_factors, layer_factors, difference)


def scale_channels(model: Any, factors: dict[str, np.ndarray]) -> BalancedModel:
    """Multiply the output channels of some rectified layers, and undo it in the layers that they feed.

    Parameters
    ----------
    model : tf.keras.Model or ReducedModel
        A model made by `nengo_cam.inference_model`. It is not changed.
    factors : dict of {str: ndarray of shape (channels,)}
        Positive factor of each channel, by the name of the layer.

    Returns
    -------
    BalancedModel
        The new model and the factors. ``largest_difference`` is measured on one frame of noise.

    Raises
    ------
    ParameterError
        If a layer is not there or not rectified, a factor is not positive, or the number of channels is another; if
        channels that meet in a sum were given different factors, or cannot be scaled because what they feed is not
        homogeneous or not known.
    VerificationError
        If the new model differs from the old one by more than rounding.
    ModelTypeError, HeadError
        If ``model`` is not what `nengo_cam.inference_model` makes.
    """
    reduced = read_reduced(model)
    _check_names("factors", factors, [layer.name for layer in rectified_layers(reduced.model)])
    if not all(np.all(np.asarray(given) > 0) for given in factors.values()):
        raise ParameterError("factors: expected positive numbers, got others. A ReLU keeps positive factors only.")
    channels = _Channels(reduced.flat)
    by_element = channels.given_factors(factors)
    scaled = _rebuild(reduced, {name: (by_element[i], by_element[o]) for name, (i, o) in channels.of_layer.items()})
    feature_factors = by_element[channels.of_tensor[reduced.calls.features]]
    noise = np.random.default_rng(0).random((1, *reduced.head.input_shape), dtype=np.float32)
    difference = _checked_difference(reduced, scaled, feature_factors, noise, 1)
    rectified = rectified_layers(reduced.model)
    layer_factors = {layer.name: by_element[channels.of_output[layer.name]] for layer in rectified}
    return BalancedModel(scaled, feature_factors, layer_factors, difference)


def _check_names(what, names, valid):
    unknown = [name for name in names if name not in valid]
    if unknown:
        raise ParameterError(f"{what}: expected names among {valid}, got {unknown[0]!r}. Name layers of the model.")


class _Channels:
    """Which channels of which tensors have to be scaled alike.

    Every channel that may have a factor of its own is an element, a number; ``_FIXED`` stands for all that must not be
    scaled. Elements that must have the same factor are tied. A tensor's elements are those along its last axis:
    ``of_tensor`` has them by key, ``of_output`` those of the output by the name of any layer, and ``of_layer`` those of
    input and output by the name of a layer that makes up for factors. All calls of such a layer have the same ones,
    since they have the same weights.
    """

    def __init__(self, flat, fixed=()):
        self._n_elements = 1
        self._ties = []
        self.of_layer, self.of_output = {}, {}
        self.of_tensor = {key: self._fixed(shape) for key, shape in flat.input_shapes.items()}
        for call in flat.calls:
            inputs = [self.of_tensor[key] for key in call.inputs]
            elements = self._follow(call, inputs)
            if elements is None:
                for of_input in inputs:
                    self._tie(of_input, _FIXED)
                self.of_tensor.update(zip(call.outputs, map(self._fixed, call.output_shapes)))
            else:
                if not (_is_homogeneous(call.layer) or _is_clipped(call.layer)):
                    self._tie(elements, _FIXED)
                self.of_tensor[call.outputs[0]] = elements
            self.of_output[call.name] = self.of_tensor[call.outputs[0]]
        for key in flat.outputs:
            self._tie(self.of_tensor[key], _FIXED)
        for name in fixed:
            self._tie(self.of_output[name], _FIXED)

    def _follow(self, call, inputs):
        """Return the elements of the output of a call, up to its activation; None if they cannot be followed."""
        kind, shape = _known_kind(call), call.output_shapes[0]
        if kind in _REWEIGHTED:
            if call.name not in self.of_layer:
                self.of_layer[call.name] = (inputs[0], self._fresh(shape[-1]))
            before, after = self.of_layer[call.name]
            self._tie(before, inputs[0])
            return after
        if _is_clipped(call.layer):
            # What clips makes up for factors too, by the values that it clips at.
            before, _ = self.of_layer.setdefault(call.name, (inputs[0], inputs[0]))
            self._tie(before, inputs[0])
            return inputs[0]
        if kind in _HOMOGENEOUS:
            return inputs[0]
        if kind in _RESHAPING and shape[-1] and shape[-1] % len(inputs[0]) == 0:
            # Channels are the last axis, so in memory they take turns.
            return np.resize(inputs[0], shape[-1])
        if kind == "Concatenate" and call.layer.axis in (-1, len(shape) - 1):
            return np.concatenate(inputs)
        if kind in _MERGING or kind == "Concatenate":
            # One channel may be broadcast to all.
            inputs = np.broadcast_arrays(*inputs)
            for other in inputs[1:]:
                self._tie(inputs[0], other)
            return inputs[0]
        return None

    def _fresh(self, n):
        self._n_elements += n
        return np.arange(self._n_elements - n, self._n_elements)

    def _fixed(self, shape):
        return np.full((shape[-1] if shape else None) or 1, _FIXED)

    def _tie(self, elements, others):
        self._ties.append(np.broadcast_arrays(elements, others))

    def _groups(self, more_ties=()):
        """Return the number of the group of tied elements that each element is in."""
        first, second = np.concatenate([np.zeros((2, 0), int), *self._ties, *more_ties], axis=1)
        graph = coo_matrix((np.ones(len(first)), (first, second)), shape=(self._n_elements,) * 2)
        return connected_components(graph, directed=False)[1]

    def factors(self, levels, max_factor):
        """Return the factor of each element, from the ranges of the channels of rectified layers by layer name."""
        groups = self._groups()
        own, reference = np.zeros((2, self._n_elements))
        free = {name: self.of_output[name][groups[self.of_output[name]] != groups[_FIXED]] for name in levels}
        # Layers that share a channel, as the branches of a residual sum do, need one reference among them.
        families = self._groups([np.broadcast_arrays(elements, elements[:1]) for elements in free.values()])
        for name, level in levels.items():
            np.maximum.at(own, groups[self.of_output[name]], level)
            np.maximum.at(reference, families[free[name]], level.max())
        own, reference = own[groups], reference[families]
        scalable = (groups != groups[_FIXED]) & (own > 0)
        factors = np.ones(self._n_elements)
        factors[scalable] = np.minimum(reference[scalable] / own[scalable], max_factor)
        return factors

    def given_factors(self, by_layer):
        """Return the factor of each element, from those of the channels of some layers by name."""
        groups = self._groups()
        factors = np.ones(self._n_elements)
        said = {groups[_FIXED]: (1.0, "what its channels feed")}
        for name, given in by_layer.items():
            elements = self.of_output[name]
            if np.shape(given) != elements.shape:
                raise ParameterError(
                    f"scale_firing_rates: {name!r} has {len(elements)} channels; expected one number or one for each, "
                    f"got shape {np.shape(given)}. Give one scale for each channel."
                )
            for group, factor in zip(groups[elements], given):
                other, source = said.setdefault(group, (factor, name))
                if not np.isclose(factor, other, rtol=1e-6):
                    raise ParameterError(
                        f"scale_firing_rates: the channels of {name!r} cannot be scaled one by one because of "
                        f"{source!r}; expected {other:g} times the layer's largest scale, got {factor:g}. Give "
                        f"{name!r} one number."
                    )
                factors[groups == group] = factor
        return factors


def _known_kind(call):
    """Name the kind of a layer if it is Keras's own and has its channels last, otherwise None."""
    tf = compat.import_tensorflow()
    layer, kind = call.layer, call.kind
    if type(layer) is not clipped_relu() and not compat.is_keras_layer(type(layer)):
        return None
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    # A constant among the inputs, which cannot be scaled.
    if len(tf.nest.flatten(call.args)) != len(call.inputs):
        return None
    if kind == "BatchNormalization" and list(layer.axis) != [len(call.output_shapes[0]) - 1]:
        return None
    return kind


def _is_homogeneous(layer):
    """Tell whether the activation that a layer applies, if any, satisfies f(s x) = s f(x) for s > 0."""
    tf = compat.import_tensorflow()
    if isinstance(layer, tf.keras.layers.ReLU):
        return layer.max_value is None and layer.threshold == 0
    linear, relu = (None, tf.keras.activations.linear, tf.identity), (tf.keras.activations.relu, tf.nn.relu)
    return getattr(layer, "activation", None) in (*linear, *relu, tf.nn.leaky_relu)


def _is_clipped(layer):
    """Tell whether a layer is nothing but a clipped ReLU."""
    tf = compat.import_tensorflow()
    kinds = (tf.keras.layers.Activation, tf.keras.layers.ReLU, clipped_relu())
    return type(layer) in kinds and max_value_of(layer) is not None and np.isfinite(max_value_of(layer)).all()


def _rebuild(reduced, factors):
    """Copy a model, with layers rescaled by the factors of their input and output channels, by layer name."""
    tf = compat.import_tensorflow()
    flat = reduced.flat
    names = flat.input_names
    tensors = {key: tf.keras.Input(batch_shape=shape, name=names[key]) for key, shape in flat.input_shapes.items()}
    inputs, copies = list(tensors.values()), {}
    for call in flat.calls:
        if call.name not in copies:
            copies[call.name] = _copy(call.layer, factors.get(call.name))
        args, kwargs = fill_arguments(call.args, call.kwargs, tensors)
        tensors.update(zip(call.outputs, tf.nest.flatten(copies[call.name](*args, **kwargs))))
    for call in flat.calls:
        weights, copy = call.layer.get_weights(), copies[call.name]
        copy.set_weights(weights if len(weights) == len(copy.weights) else [np.ones_like(weights[-1]), *weights])
    for name, (before, after) in factors.items():
        if copies[name].weights:
            _rescale(copies[name], before, after)
    model = tf.keras.Model(inputs, [tensors[key] for key in flat.outputs], name=flat.name)
    calls = tuple(dataclasses.replace(call, layer=copies[call.name]) for call in flat.calls)
    return reduced.rebuilt(model, dataclasses.replace(flat, calls=calls))


def _copy(layer, factors):
    """Make a layer again, without its weights; a clipped one with its clips multiplied by the factors."""
    tf = compat.import_tensorflow()
    config = layer.get_config()
    if _is_clipped(layer) and np.any(factors[0] != 1):
        return clipped_relu()(max_value_of(layer) * factors[0], name=layer.name, dtype=config["dtype"])
    if type(layer) is tf.keras.layers.BatchNormalization:
        # Without gamma it has nothing to hold a factor but the variance, whose epsilon would spoil it.
        config["scale"] = True
    return type(layer).from_config(config)


def _rescale(layer, before, after):
    """Undo the factors of the input channels of a layer in its weights, and apply those of its output channels."""
    kind = type(layer).__name__
    if kind == "BatchNormalization":
        # gamma (x - mean) / sqrt(variance + epsilon) + beta: the root is left alone, so epsilon keeps its weight.
        scales = {"gamma": after / before, "moving_mean": before, "beta": after}
    elif kind.startswith("Depthwise"):
        scales = {"depthwise_kernel": after.reshape(len(before), -1) / before[:, None], "bias": after}
    elif kind.startswith("Separable"):
        scales = {"depthwise_kernel": 1 / before[:, None], "pointwise_kernel": after, "bias": after}
    elif kind.endswith("Transpose"):
        scales = {"kernel": after[:, None] / before, "bias": after}
    else:
        # Output channels are in order of their groups, and a group sees its own inputs only.
        n_groups = getattr(layer, "groups", 1)
        seen = np.repeat(before.reshape(n_groups, -1), len(after) // n_groups, axis=0).T
        scales = {"kernel": after / seen, "bias": after}
    for name, scale in scales.items():
        variable = getattr(layer, name)
        if variable is not None:
            variable.assign(variable.numpy().astype(float) * scale)


def _checked_difference(reduced, balanced, *args):
    """Check that two models give the same, see `_largest_difference`."""
    model = reduced.model
    difference = _largest_difference(model, balanced.model, reduced.head.pooling, *args)
    allowed = tolerance(model.layers)
    # Not "difference > allowed": NaN must fail.
    if not difference <= allowed:
        raise VerificationError(
            f"model {model.name!r}: balancing its channels changed it; expected logits and features within "
            f"{allowed:.0e} of the largest, got {difference:.1e}. Convert it with balance=False.",
            largest_difference=difference,
        )
    return difference


def _largest_difference(model, balanced, pooling, feature_factors, images, batch_size):
    """Compare logits and restored features of two models, each as a fraction of the largest."""
    source, result = features_and_logits(model, pooling), features_and_logits(balanced, pooling)
    difference, largest = np.zeros((2, 2))
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        expected, got = source(batch, training=False), result(batch, training=False)
        for i, units in enumerate((feature_factors, 1)):
            values = expected[i].numpy().astype(float)
            difference[i] = np.maximum(difference[i], np.abs(got[i].numpy() / units - values).max())
            largest[i] = np.maximum(largest[i], np.abs(values).max())
    return float(np.max(difference / np.where(largest > 0, largest, 1)))
