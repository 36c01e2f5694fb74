r"""A reduced model, run again layer by layer: its rectified layers can be told what they put out.

Methods that explain a spiking network by gradients or relevance need three things of a rectified layer that a Keras
model hides: the pre-activation :math:`z` that reaches it, an output other than :math:`\mathrm{relu}(z)` (the activity
that was measured), and a say in what goes back through it. `Replay` gives all three, for graphs with branches too. It
sees no simulator: weights come as arrays (`nengo_cam.CAMNetwork.layer_weights`), activity too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import compat
from ..exceptions import ParameterError
from .graph import Ref, inference_arguments, run_calls
from .simplify import ReducedModel, max_value_of

__all__ = ["Replay", "Replayed", "gate"]

#: From the gradient of a layer's output, its pre-activation, its output (all tensors) and the value that it is clipped
#: at (infinite without a clip) to the gradient of the pre-activation.
Rule = Callable[[Any, Any, Any, Any], Any]


def gate(upstream: Any, pre: Any, output: Any, max_value: Any) -> Any:
    """Pass back what a ReLU passes back: the gradient, where the pre-activation is between zero and the clip.

    Parameters
    ----------
    upstream : tensor of shape (N, ...)
        Gradient of the output.
    pre : tensor of shape (N, ...)
        Pre-activation. It decides, and not the output: an output that was measured says only whether something was
        ever put out.
    output : tensor of shape (N, ...)
        Output; not used.
    max_value : float or ndarray of shape (channels,)
        Where the ReLU is clipped.

    Returns
    -------
    tensor of shape (N, ...)
        Gradient of the pre-activation.
    """
    tf = compat.import_tensorflow()
    is_open = tf.logical_and(pre > 0, pre < tf.constant(max_value, pre.dtype))
    return tf.where(is_open, upstream, tf.zeros_like(upstream))


@dataclasses.dataclass(frozen=True, eq=False)
class Replayed:
    """What a `Replay` computed; tensors that a gradient can be taken of and by.

    Attributes
    ----------
    pre : dict of {str: tensor of shape (N, ..., channels)}
        Pre-activation of each rectified layer call, by its name.
    outputs : dict of {str: tensor of shape (N, ..., channels)}
        Its output: what it was told, or the ReLU of its pre-activation.
    features : tensor of shape (N, Y, X, K), or with one or three axes of the map
        What is pooled.
    logits : tensor of shape (N, L)
        Logits.
    """

    pre: dict[str, Any]
    outputs: dict[str, Any]
    features: Any
    logits: Any


class Replay:
    """The layers of a reduced model, to be run one after the other.

    Parameters
    ----------
    reduced : ReducedModel
        The model, as `nengo_cam.models.simplify.reduce_model` makes it, or a network has it (``net.reduced``).
    weights : mapping of {str: list of ndarray}, optional
        Weights by the name of the layer call, in the order of Keras, such as `nengo_cam.CAMNetwork.layer_weights` reads
        from a simulator. Calls that are missing have those of the model. They are copied. What ``nengo_dl.Converter``
        was told to put in the place of layers is not in the model; `nengo_cam.CAMNetwork.replay` refuses such networks.

    Attributes
    ----------
    reduced : ReducedModel
        As given.
    max_values : dict of {str: float or ndarray of shape (channels,)}
        Where each rectified layer call is clipped, by its name in the order of running; infinite for plain ReLU.
    linear_layers : dict of {str: tf.keras.layers.Layer or None}
        What computes the pre-activation of each call: its layer without the ReLU, None where nothing else is left. For
        calls that are not rectified the layer as it is.

    Raises
    ------
    ParameterError
        If ``weights`` names a call that there is not, or does not fit it.

    Examples
    --------
    >>> from nengo_cam.models.replay import Replay
    >>> replay = Replay(net.reduced)
    >>> list(replay.max_values)
    ['conv0', 'conv1', 'conv2', 'conv3', 'conv4']
    >>> replayed = replay(images)
    >>> bool(np.allclose(replayed.logits, net.cnn_logits(images), atol=1e-4))
    True

    A layer that is told its output hands that on; the layers in front of it do not matter any more:

    >>> silent = np.zeros(replayed.outputs["conv4"].shape)
    >>> told = replay(images, told={"conv4": silent})
    >>> bool(np.allclose(told.logits, net.head.bias))
    True
    """

    def __init__(self, reduced: ReducedModel, weights: Mapping[str, list[np.ndarray]] | None = None):
        self.reduced = reduced
        self._names = reduced.flat.call_names
        given = dict(weights or {})
        self._check_names("weights", given, self._names)
        limits = {name: max_value_of(call.layer) for name, call in zip(self._names, reduced.flat.calls)}
        self.max_values = {name: limit for name, limit in limits.items() if limit is not None}
        self.linear_layers = {
            name: self._linear_part(name, call, given.get(name)) for name, call in zip(self._names, reduced.flat.calls)
        }

    def __call__(
        self,
        images: Any,
        *,
        told: Mapping[str, Any] | None = None,
        rules: Rule | Mapping[str, Rule] = gate,
        watch: Callable[[str, list, Any, Any], None] | None = None,
    ) -> Replayed:
        """Run the layers.

        Parameters
        ----------
        images : array_like or tensor of shape (N, Y, X, channels)
            Images, as fed to the model; maps of one or three axes likewise.
        told : mapping of {str: array_like of shape (N, ..., channels)}, optional
            What rectified layer calls put out, by name, in place of the ReLU of their pre-activation.
        rules : callable or mapping of {str: callable}
            What goes back through rectified layers, one `Rule` for all or by the name of the call; those that are not
            named follow `gate`.
        watch : callable, optional
            Is shown each layer call: its name, its inputs in order, what its layer without the ReLU computes, and what
            it puts out.

        Returns
        -------
        Replayed
            Tensors. Under ``tf.GradientTape`` the gradient goes through the rules to the images and the
            pre-activations, also where an output was told; there is none by what was told.

        Raises
        ------
        ParameterError
            If images have another shape than the model takes; if ``told`` or ``rules`` names a call that is not
            rectified, a rule is not callable, or what is told is not an array of the right shape.
        """
        tf = compat.import_tensorflow()
        told = dict(told or {})
        by_name = dict(rules) if isinstance(rules, Mapping) else dict.fromkeys(self.max_values, rules)
        self._check_names("told", told, self.max_values)
        self._check_names("rules", by_name, self.max_values)
        for rule in by_name.values():
            if not callable(rule):
                raise ParameterError(
                    f"rules: expected callables, got {rule!r}. Pass nengo_cam.models.replay.gate, or one like it."
                )
        images = tf.cast(tf.convert_to_tensor(images), "float32")
        shape = (None, *self.reduced.head.input_shape)
        if not images.shape.is_compatible_with(shape):
            raise ParameterError(
                f"images: the model takes {shape}; expected that shape, got {tuple(images.shape)}. Give images as they "
                "are fed to the model."
            )
        pre: dict[str, Any] = {}
        outputs: dict[str, Any] = {}
        kept: dict[Any, Any] = {}

        def apply(number, call, args, kwargs):
            name, layer = self._names[number], self.linear_layers[self._names[number]]
            # Keras casts what a layer takes to the precision that the layer computes in.
            values = (
                tf.cast(args[0], call.layer.compute_dtype)
                if layer is None
                else (layer(*args, **inference_arguments(layer, kwargs)))
            )
            output = values
            if name in self.max_values:
                pre[name] = values
                output = outputs[name] = self._rectified(name, values, told.get(name), by_name.get(name, gate))
            if watch is not None:
                given = zip(tf.nest.flatten((call.args, call.kwargs)), tf.nest.flatten((args, kwargs)))
                watch(name, [value for leaf, value in given if isinstance(leaf, Ref)], values, output)
            return output

        calls = self.reduced.calls
        for call, results in run_calls(self.reduced.flat, images, apply):
            kept.update((key, value) for key, value in zip(call.outputs, results) if key == calls.features)
            logits = results[0]
        return Replayed(pre, outputs, kept.get(calls.features, images), tf.reshape(logits, (len(logits), -1)))

    def _rectified(self, name, pre, told, rule):
        """Rectify a pre-activation, or put in its place what was told, with a backward rule."""
        tf = compat.import_tensorflow()
        max_value = self.max_values[name]
        if told is None:
            output = tf.minimum(tf.nn.relu(pre), tf.constant(max_value, pre.dtype))
        else:
            try:
                output = tf.cast(tf.convert_to_tensor(told), pre.dtype)
            except (TypeError, ValueError, tf.errors.OpError) as err:
                raise ParameterError(
                    f"told: {name!r} is told what is no array of numbers; expected shape {tuple(pre.shape)}, got "
                    f"{type(told).__name__} ({err}). Give one array."
                ) from err
            # Where the number of images is open, in a tf.function, it fits any.
            if not output.shape.is_compatible_with(pre.shape):
                raise ParameterError(
                    f"told: {name!r} puts out {tuple(pre.shape)}; expected that shape, got {tuple(output.shape)}. Give "
                    "activity image by image, channels last."
                )
        # The value is fixed here; only what goes back depends on the pre-activation.
        fixed = tf.stop_gradient(output)

        @tf.custom_gradient
        def rectify(z):
            return fixed, lambda upstream: rule(upstream, z, fixed, max_value)

        return rectify(pre)

    def _linear_part(self, name, call, weights):
        """Make a layer like that of a call, without its ReLU and with the weights that were given."""
        layer, is_rectified = call.layer, name in self.max_values
        if is_rectified and not layer.weights:
            return None
        own = layer.get_weights()
        weights = own if weights is None else weights
        if [np.shape(array) for array in weights] != [array.shape for array in own]:
            raise ParameterError(
                f"weights: {name!r} has arrays of other shapes; expected {[array.shape for array in own]}, got "
                f"{[np.shape(array) for array in weights]}. Pass what net.layer_weights(sim) gives."
            )
        # A layer of the author's own is not made again without need.
        if not is_rectified and all(map(np.array_equal, weights, own)):
            return layer
        config = layer.get_config()
        if is_rectified:
            config["activation"] = "linear"
        copy = type(layer).from_config(config)
        copy.build(layer.get_input_shape_at(0))
        copy.set_weights(weights)
        # Not all layers' own `build` says that it is done; it would be done again, with weights drawn anew.
        copy.built = True
        return copy

    def _check_names(self, what, given, known):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise ParameterError(
                f"{what}: {unknown[0]!r} is not one of the layer calls that it may name; expected one of "
                f"{list(known)}, got {unknown[0]!r}. Name a call of the reduced model."
            )
