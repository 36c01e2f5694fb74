r"""Methods that explain by gradients, of a CNN or of measured activity: a `Replay` forward and back, once.

The forward value of a rectified layer is its measured activity :math:`\bar x_l`, everything linear is recomputed from
it, :math:`\bar z_l = W \bar x_{l-1} + b`, and the gate is the derivative of the ReLU at :math:`\bar z_l`
(`nengo_cam.attribution.gates`). The backward pass starts from 1, not from the logit. Where all is silent the gradient
is zero, not undefined. Nothing is rectified, scaled or taken the absolute value of at the end. In the rate network,
where nothing is told, this is what the methods are elsewhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import compat
from ..checks.callers import user_stacklevel
from ..exceptions import AttributionWarning, ParameterError, UnsupportedModelError
from ..models.geometry import cell_centers
from ..models.replay import Replay
from ..models.simplify import ReducedModel, max_value_of
from .gates import Rule, choose_gate, deconvnet_rule, guided_rule
from .methods import METHODS, Explained, Method, find_method, register_method

__all__ = ["GradientMethod", "choose_layer", "explain_gradient", "spatial_layers", "upsample"]

#: Nonlinear layers without an option "activation", by the name of their class.
_NONLINEAR = frozenset({"ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"})


def explain_gradient(
    replay: Replay,
    images: ArrayLike,
    told: Mapping[str, Any],
    target: ArrayLike,
    method: str,
    *,
    layer: str | None = None,
    gate: str = "current",
) -> NDArray[np.float32]:
    """Explain images by a gradient method.

    Parameters
    ----------
    replay : Replay
        The model.
    images : array_like of shape (N, Y, X, channels)
        Images, or means of frames.
    told : mapping of {str: array_like of shape (N, ..., channels)}
        Measured activity of rectified layer calls, in the units of ``replay.reduced``; empty for the CNN itself.
    target : array_like of shape (N, L)
        Weights of the logits in what is explained: one-hot for a label.
    method : str
        "saliency", "input_times_gradient", "guided_backprop", "deconvnet", "grad_cam", "layer_cam", "hires_cam" or
        "guided_grad_cam"; `nengo_cam.attribution` has a function for each, with its equation.
    layer : str, optional
        Layer call that a method of layers looks at. Default: the last rectified one with positions.
    gate : str
        "current" or "activity"; see `nengo_cam.attribution.gates`.

    Returns
    -------
    ndarray of float32 of shape (N, Y, X, channels), or as the output of the layer
        Contributions of channels are not added up.

    Raises
    ------
    ParameterError
        If the method, the layer or the gate does not exist, or the method takes no such option.
    UnsupportedModelError
        If the method is not defined for a layer of the model.

    Examples
    --------
    >>> from nengo_cam.attribution.gradients import explain_gradient
    >>> target = np.eye(10)[classes]
    >>> maps = explain_gradient(net.replay(), images, {}, target, "saliency")
    >>> maps.shape == images.shape
    True
    """
    found = METHODS.get(method)
    if not isinstance(found, GradientMethod):
        valid = [name for name, known in METHODS.items() if isinstance(known, GradientMethod)]
        raise ParameterError(f"method: expected one of {valid}, got {method!r}. Choose one of these.")
    # The default gate is no choice of the user's: a deconvnet has none.
    given = {"layer": layer, "gate": None if gate == "current" else gate}
    _, options = find_method(method, given)
    options = found.prepare(replay.reduced, **options)
    return found.explain(replay, images, told, target, **options).attribution


def _differentiate(replay, images, told, target, rule: Rule, layer: str | None):
    """Return the gradient of a sum of logits, what it is taken by (images, or output of a layer), and the logits."""
    tf = compat.import_tensorflow()
    x = tf.constant(images, tf.float32)
    # Weights are not watched: their gradients are not asked for.
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        replayed = replay(x, told=told, rules=rule)
        score = tf.reduce_sum(tf.cast(replayed.logits, tf.float32) * tf.constant(target, tf.float32))
    source = x if layer is None else replayed.outputs[layer]
    # What does not reach the logits has no part in them.
    gradient = tape.gradient(score, source, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return tuple(array.numpy().astype(np.float32, copy=False) for array in (gradient, source, replayed.logits))


class GradientMethod(Method):
    """A method of one backward pass; see `Method`.

    Parameters
    ----------
    name, long_name, units
        See `Method`.
    rule : str
        What goes back through rectified layers: "gate", "guided" or "deconvnet".
    """

    def __init__(self, name: str, long_name: str, units: str, *, rule: str = "gate") -> None:
        self.name, self.long_name, self.units = name, long_name, units
        self._rule = rule
        # A deconvnet has no gate to choose.
        self.options = () if rule == "deconvnet" else ("gate",)

    def prepare(self, reduced: ReducedModel, **options: Any) -> dict[str, Any]:
        """Refuse layers that the rule is not defined for; see `Method.prepare`.

        Parameters
        ----------
        reduced : ReducedModel
            The model.
        **options
            ``gate``, and ``layer`` of methods of layers.

        Returns
        -------
        dict of {str: object}

        Raises
        ------
        ParameterError
            If the gate does not exist.
        UnsupportedModelError
            If the method is not defined for a layer of the model.

        Warns
        -----
        AttributionWarning
            If it is a deconvnet and there is no max pooling.
        """
        if "gate" in self.options:
            options.setdefault("gate", "current")
            choose_gate(options["gate"])
        if self._rule != "gate":
            self._refuse_other_nonlinearities(reduced)
        if self._rule == "deconvnet":
            _warn_of_deconvnet(reduced)
        return options

    def _refuse_other_nonlinearities(self, reduced):
        """Refuse what the rule's authors said nothing of: negative activity, slopes of every size."""
        for name, call in zip(reduced.flat.call_names, reduced.flat.calls):
            if max_value_of(call.layer) is None and _is_nonlinear(call.layer):
                raise UnsupportedModelError(
                    f"{self.name}: it is defined for ReLU only; expected a model without other nonlinearities, got "
                    f"{call.kind} {name!r}. Use 'saliency' or 'input_times_gradient'."
                )

    def explain(self, replay: Replay, images: Any, told: Mapping[str, Any], target: Any, **options: Any) -> Explained:
        """Differentiate by the images; see `Method.explain`."""
        gradient, _, logits = self._gradient(replay, images, told, target, **options)
        return Explained(gradient, logits)

    def _gradient(self, replay, images, told, target, *, gate="current", layer=None):
        rules = {"gate": lambda: choose_gate(gate), "guided": lambda: guided_rule(choose_gate(gate))}
        rule = deconvnet_rule if self._rule == "deconvnet" else rules[self._rule]()
        return _differentiate(replay, images, told, target, rule, layer)


class _InputTimesGradient(GradientMethod):
    """The gradient times the images."""

    def explain(self, replay, images, told, target, **options):
        gradient, x, logits = self._gradient(replay, images, told, target, **options)
        return Explained(gradient * x, logits)


class _LayerMethod(GradientMethod):
    """A map at the resolution of a rectified layer: its activity, weighted by what becomes of the gradient."""

    def __init__(self, name: str, long_name: str, weigh: Any) -> None:
        super().__init__(name, long_name, "logit")
        self.options = ("gate", "layer")
        self._weigh = weigh

    def prepare(self, reduced, **options):
        options = super().prepare(reduced, **options)
        return {**options, "layer": choose_layer(reduced, options.get("layer"), self.name)}

    def explain(self, replay, images, told, target, **options):
        gradient, activity, logits = self._gradient(replay, images, told, target, **options)
        return Explained(self._weigh(gradient) * activity, logits)


class _GuidedGradCam(GradientMethod):
    """Guided backpropagation where Grad-CAM is positive."""

    def __init__(self) -> None:
        super().__init__("guided_grad_cam", "guided Grad-CAM", "logit² per unit of input", rule="guided")
        # The layer is where Grad-CAM looks; the result has the resolution of the input.
        self.options = ("gate", "layer")

    def prepare(self, reduced, **options):
        options = super().prepare(reduced, **options)
        layer = options.pop("layer", None)
        return {**options, "cam_layer": choose_layer(reduced, layer, self.name)}

    def explain(self, replay, images, told, target, *, gate="current", cam_layer):
        guided, _, logits = self._gradient(replay, images, told, target, gate=gate)
        cam = METHODS["grad_cam"].explain(replay, images, told, target, gate=gate, layer=cam_layer)
        weight = np.maximum(cam.attribution.sum(axis=-1), 0)
        return Explained(guided * upsample(replay.reduced, cam_layer, weight)[..., None], logits)


def _pooled(gradient):
    """Average a gradient over positions: one weight for each channel."""
    return gradient.mean(axis=tuple(range(1, gradient.ndim - 1)), keepdims=True)


register_method(GradientMethod("saliency", "gradient", "logit per unit of input"))
register_method(_InputTimesGradient("input_times_gradient", "Input x Gradient", "logit"))
register_method(GradientMethod("guided_backprop", "guided backpropagation", "logit per unit of input", rule="guided"))
register_method(GradientMethod("deconvnet", "deconvnet", "logit per unit of input", rule="deconvnet"))
register_method(_LayerMethod("grad_cam", "Grad-CAM", _pooled))
register_method(_LayerMethod("layer_cam", "LayerCAM", lambda gradient: np.maximum(gradient, 0)))
register_method(_LayerMethod("hires_cam", "HiResCAM", lambda gradient: gradient))
register_method(_GuidedGradCam())


def spatial_layers(reduced: ReducedModel) -> list[str]:
    """Name the rectified layer calls whose output has positions.

    Parameters
    ----------
    reduced : ReducedModel
        The model.

    Returns
    -------
    list of str
        In the order in which they run.
    """
    calls = zip(reduced.flat.call_names, reduced.flat.calls)
    return [name for name, call in calls if max_value_of(call.layer) is not None and len(call.output_shapes[0]) > 2]


def choose_layer(reduced: ReducedModel, layer: str | None, method: str) -> str:
    """Choose the layer that a method looks at.

    Parameters
    ----------
    reduced : ReducedModel
        The model.
    layer : str or None
        Name of a call; None for the last rectified one with positions.
    method : str
        What needs it, for messages.

    Returns
    -------
    str

    Raises
    ------
    ParameterError
        If there is no such layer.
    UnsupportedModelError
        If the model has none.
    """
    valid = spatial_layers(reduced)
    if not valid:
        raise UnsupportedModelError(
            f"{method}: model {reduced.flat.name!r} has no rectified layer with positions; expected one, got none. Use "
            "'input_times_gradient'."
        )
    if layer is None:
        return valid[-1]
    if layer not in valid:
        raise ParameterError(
            f"layer: expected one of {valid}, the rectified layers with positions, got {layer!r}. Choose one of these."
        )
    return layer


def upsample(reduced: ReducedModel, layer: str, maps: NDArray[Any]) -> NDArray[np.float32]:
    """Interpolate maps of a layer linearly between the centers of its cells; beyond them they stay as at the last.

    Parameters
    ----------
    reduced : ReducedModel
        The model.
    layer : str
        Name of the call.
    maps : ndarray of shape (N, Y, X)
        Maps, with one or three axes of positions likewise.

    Returns
    -------
    ndarray of float32 of shape (N, rows, columns)
        At the pixels of the input.
    """
    key = reduced.flat.calls[reduced.flat.call_names.index(layer)].outputs[0]
    centers, _ = cell_centers(reduced.flat, key)
    pixels = input_positions(reduced)
    for axis, (places, size) in enumerate(zip(centers, pixels), start=1):
        # Each pixel's weights of the cells: interpolation of the unit vectors.
        weights = [np.interp(np.arange(size), places, row) for row in np.eye(len(places))]
        maps = np.moveaxis(np.tensordot(maps, np.array(weights), axes=(axis, 0)), -1, axis)
    return maps.astype(np.float32)


def input_positions(reduced: ReducedModel) -> tuple[int, ...]:
    """Return the number of pixels along each spatial axis of the input."""
    shape = tuple(reduced.head.input_shape)
    return shape[1:] if has_channels_first(reduced) else shape[:-1]


def has_channels_first(reduced: ReducedModel) -> bool:
    """Tell whether images have their channels first, which the model moves to the last axis."""
    ((key, _),) = reduced.flat.input_shapes.items()
    first = next((call for call in reduced.flat.calls if key in call.inputs), None)
    return first is not None and first.kind == "Permute" and first.layer.dims[-1] == 1


def _warn_of_deconvnet(reduced):
    """Say that a deconvnet sees weights only, where nothing in it depends on the images."""
    if any(call.kind.startswith(("MaxPooling", "GlobalMaxPooling")) for call in reduced.flat.calls):
        return
    warnings.warn(
        f"deconvnet: model {reduced.flat.name!r} has no max pooling, so the map of a label is the same for all images "
        "and at all times. Use 'guided_backprop'.",
        AttributionWarning,
        stacklevel=user_stacklevel(),
    )


def _is_nonlinear(layer):
    """Tell whether a layer that is not rectified is nonlinear all the same, pooling aside."""
    activation = getattr(layer, "activation", None)
    linear = compat.import_tensorflow().keras.activations.linear
    return type(layer).__name__ in _NONLINEAR or (activation is not None and activation is not linear)
