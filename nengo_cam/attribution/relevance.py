r"""Layer-wise relevance propagation over measured activity, with a ledger of where relevance stays.

What goes back is not relevance but **coefficients** :math:`c = R / x`. A rectified unit :math:`j` put out the mean
:math:`\bar x_j` that was measured; its current :math:`\bar z_j = \sum_i w_{ij} \bar x_i + b_j` is recomputed from what
its inputs put out. The two differ by what sits in the membrane. Of :math:`R_j = c_j \bar x_j` the part

.. math:: n_j = c_j\,\mathrm{relu}(\bar z_j)

belongs to the inputs and is shared out among them by a rule of `rules`, by denominators that are made of the same
inputs; the rest :math:`c_j (\bar x_j - \mathrm{relu}(\bar z_j))` is the *charge share*. So numerator and denominator
vanish together, where a library that divides :math:`R_j` by :math:`\bar z_j` divides by next to nothing.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import compat
from ..exceptions import ParameterError, UnsupportedModelError
from ..models.replay import Replay
from ..models.simplify import ReducedModel
from .composites import Composite, EpsilonPlus, kernel_kind
from .methods import Explained, Method, register_method
from .rules import Kernel, Pass, ratio, stabilized

__all__ = ["Relevance", "RelevanceMethod", "check_composite", "explain_relevance"]

_TRANSPORTS = ("auto", "coefficients", "relevance")
_STARTS = ("logit", "one")
_CLIPS = ("factor", "share")

# The gradient of these hands on relevance of any kind: each output is one of the inputs.
_ROUTES = {
    "Concatenate", "Dropout", "Flatten", "Maximum", "Minimum", "Permute", "RepeatVector", "Reshape",
    *(f"{kind}{n}D" for kind in ("Cropping", "GlobalMaxPooling", "MaxPooling", "UpSampling", "ZeroPadding")
      for n in (1, 2, 3)),
}  # fmt: skip
# Weighted sums of inputs, and an offset: the Z rule, which in coefficients is the gradient too.
_SUMS = {
    "Add", "Average", "BatchNormalization", "Normalization", "Rescaling", "Subtract",
    *(f"{kind}{n}D" for kind in ("AveragePooling", "GlobalAveragePooling") for n in (1, 2, 3)),
}  # fmt: skip
# Small beside any activity, so that sums are shared out as they are; zennit's own 1e-6 shows beside small ones.
_STABILIZER = 1e-9

#: Layers with changed kernels, made once for each replay.
_kernels: weakref.WeakKeyDictionary[Replay, dict[str, Kernel]] = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True, eq=False)
class Relevance:
    r"""Attributions of a target, and where the rest of it stayed.

    With ``start="logit"``, image by image and to rounding,

    .. math:: \sum_l t_l\,\mathrm{logit}_l = \sum R + \text{bias} + \text{charge} + \text{clip} + \text{epsilon}.

    Attributes
    ----------
    attribution : ndarray of shape (N, Y, X, channels), or as the model takes images
        Relevance :math:`R` of the input [logit].
    bias_share : dict of {str: ndarray of shape (N,)}
        What biases of each layer call were given, by its name [logit].
    charge_share : dict of {str: ndarray of shape (N,)}
        What measured activity has that its current does not explain: it sits in membranes [logit].
    clip_share : dict of {str: ndarray of shape (N,)}
        What stayed with units at their largest activation; zero unless asked for.
    epsilon_share : dict of {str: ndarray of shape (N,)}
        What stabilizers took, and what no contribution was there for, as where the positive current is zero.
    logits : ndarray of shape (N, L)
        Logits.
    total : ndarray of shape (N,)
        What was shared out: the target.
    """

    attribution: np.ndarray
    bias_share: dict[str, np.ndarray]
    charge_share: dict[str, np.ndarray]
    clip_share: dict[str, np.ndarray]
    epsilon_share: dict[str, np.ndarray]
    logits: np.ndarray
    total: np.ndarray

    @property
    def residual(self) -> np.ndarray:
        """Target minus all shares, of shape (N,) [logit]: rounding, and nothing else."""
        shares = (self.bias_share, self.charge_share, self.clip_share, self.epsilon_share)
        booked = sum((values for share in shares for values in share.values()), np.zeros(len(self.total)))
        return self.total - self.attribution.sum(axis=tuple(range(1, self.attribution.ndim)), dtype=float) - booked


def explain_relevance(
    replay: Replay,
    images: ArrayLike,
    told: Mapping[str, ArrayLike],
    target: ArrayLike,
    composite: Composite,
    *,
    transport: str = "auto",
    start: str = "logit",
    clip: str = "factor",
) -> Relevance:
    r"""Share out logits among the inputs of a network, layer by layer.

    Layers with a kernel follow their rule. Sums (Add, average pooling, scales) are shared out by contribution, each
    offset among them; layers that only move values (Flatten, Concatenate, padding, up-sampling) hand them back to
    where they came from, max pooling to the winner. A clipped ReLU hands on what it put out. Silent units give 0.

    Parameters
    ----------
    replay : Replay
        The network's layers, with the weights of the simulator.
    images : array_like of shape (N, Y, X, channels)
        Images, as fed to the model; maps of one or three axes likewise.
    told : mapping of {str: array_like of shape (N, ..., channels)}
        Measured activity by rectified layer call, in the units of the replay; layers that are missing put out the ReLU
        of their current, all of them for the CNN itself.
    target : array_like of shape (N, L)
        Weights of the logits in what is explained: one-hot for a label, differences for a contrast.
    composite : Composite
        Which layer follows which rule.
    transport : {"auto", "coefficients", "relevance"}
        What goes through rectified layers: :math:`c_j\,\mathrm{relu}(\bar z_j)`, with a charge share, or all of
        :math:`c_j \bar x_j`, without one. "auto" leaves it to the rule of each layer: z+, alpha-beta and the rules of
        first layers, whose denominators have one sign, take the relevance and conserve, epsilon and gamma the
        coefficient. "relevance" with those divides by currents that can be close to zero. Without measured activity
        it makes no difference but for ``ZPlus(bias="auto")``.
    start : {"logit", "one"}
        Relevance of each logit at the start: its weight in the target times itself, or the weight.
    clip : {"factor", "share"}
        Whether a unit at its largest activation shares that out like any other, or keeps it, as one whose output does
        not depend on its inputs. With ``Epsilon(0)`` the latter is Input x Gradient.

    Returns
    -------
    Relevance
        Attributions and the ledger.

    Raises
    ------
    ParameterError
        If an option is none of these, ``target`` does not fit the logits, ``composite`` is none, names what there is
        not or leaves a layer out, or a rule does not fit its layer; if images or ``told`` do not fit the replay.
    UnsupportedModelError
        If the network has a layer that relevance has no rule for.

    References
    ----------
    .. [1] Bach et al. (2015). On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
       propagation. PLoS ONE 10(7). doi:10.1371/journal.pone.0130140.
    .. [2] Montavon et al. (2019). Layer-wise relevance propagation: an overview. In: Explainable AI, LNCS 11700.

    Examples
    --------
    >>> from nengo_cam.attribution.composites import EpsilonPlus
    >>> from nengo_cam.attribution.relevance import explain_relevance
    >>> target = np.eye(10, dtype=np.float32)[classes]
    >>> found = explain_relevance(net.replay(), images, {}, target, EpsilonPlus())
    >>> found.attribution.shape == images.shape
    True
    >>> bool(np.abs(found.residual).max() < 2e-5 * np.abs(found.total).max())
    True
    """
    for name, value, choices in (
        ("transport", transport, _TRANSPORTS),
        ("start", start, _STARTS),
        ("clip", clip, _CLIPS),
    ):
        if value not in choices:
            raise ParameterError(
                f"{name}: {value!r} is not there; expected one of {list(choices)}, got {value!r}. Choose one of these."
            )
    check_composite(replay, composite)
    back = _Pass(replay, composite, transport, clip)
    return back.run(images, told, target, start)


def check_composite(replay: Replay, composite: Composite) -> None:
    """Refuse what `explain_relevance` would, before anything runs.

    Parameters
    ----------
    replay : Replay
        The network's layers.
    composite : Composite
        Which layer follows which rule.

    Raises
    ------
    ParameterError
        If ``composite`` is none, names what there is not, leaves a layer out, or has a rule that does not fit its
        layer.
    UnsupportedModelError
        If the network has a layer that relevance has no rule for.
    """
    if not isinstance(composite, Composite):
        raise ParameterError(
            f"composite: it says which layer follows which rule; expected a Composite, got {type(composite).__name__}. "
            "Pass one such as EpsilonPlus()."
        )
    _Pass(replay, composite, "auto", "factor")


#: Variables of a result, by the name of what `nengo_cam.attribution.relevance.Relevance` has of them.
_SHARES = ("bias_share", "charge_share", "clip_share", "epsilon_share")


class RelevanceMethod(Method):
    """Shares out logits among the inputs, by the rules of a composite."""

    name = "lrp"
    long_name = "relevance"
    units = "logit"
    options = ("composite", "transport")

    def prepare(self, reduced: ReducedModel, **options: Any) -> dict[str, Any]:
        """Refuse what has no rule, before anything runs, and choose `nengo_cam.attribution.composites.EpsilonPlus`."""
        filled = {"composite": EpsilonPlus(), "transport": "auto", **options}
        check_composite(Replay(reduced), filled["composite"])
        return filled

    def explain(self, replay: Replay, images: Any, told: Mapping[str, Any], target: Any, **options: Any) -> Explained:
        """Explain images, one activity for each; see `Method.explain`."""
        found = explain_relevance(replay, images, told, target, **options)
        return Explained(found.attribution, found.logits, {name: getattr(found, name) for name in _SHARES})


register_method(RelevanceMethod())


@dataclasses.dataclass
class _Step:
    """What one layer call did."""

    number: int
    name: str
    inputs: list
    pre: Any
    output: Any


@dataclasses.dataclass
class _Carried:
    """Relevance of a tensor x, as c x + r; None where there is none of that form."""

    coefficients: Any = None
    relevance: Any = None

    def add(self, other):
        self.coefficients = _sum(self.coefficients, other.coefficients)
        self.relevance = _sum(self.relevance, other.relevance)

    def of(self, values):
        """Return the relevance."""
        return _sum(None if self.coefficients is None else self.coefficients * values, self.relevance)


class _Pass:
    """The way back through a replay, for one block of images."""

    def __init__(self, replay, composite, transport, clip):
        self._replay, self._transport, self._clip = replay, transport, clip
        self._calls = replay.reduced.flat.calls
        self._names = replay.reduced.flat.call_names
        ((self._input, _),) = replay.reduced.flat.input_shapes.items()
        self._layers = {name: call.layer for name, call in zip(self._names, self._calls)}
        self._rules = composite.assign(self._layers, self._first_kernels())
        self._check()
        self._rectified = self._rectified_tensors()
        self._readers = [key for call in self._calls for key in call.inputs]
        self._kernels = _kernels.setdefault(replay, {})

    def run(self, images, told, target, start):
        """Go forward, then back."""
        tf = compat.import_tensorflow()
        steps = []
        replayed = self._replay(images, told=told, watch=lambda *seen: steps.append(_Step(len(steps), *seen)))
        logits, target = replayed.logits, np.asarray(target, np.float32)
        if target.shape != tuple(logits.shape):
            raise ParameterError(
                f"target: it weighs the logits of each image; expected shape {tuple(logits.shape)}, got "
                f"{target.shape}. Give one row for each image."
            )
        named = [name for name in self._names if kernel_kind(self._layers[name]) or name in self._replay.max_values]
        self._shares = {
            kind: {name: np.zeros(len(target)) for name in named} for kind in ("bias", "charge", "clip", "epsilon")
        }
        coefficients = tf.constant(target) if start == "logit" else ratio(tf.constant(target), logits)
        (output,) = self._replay.reduced.flat.outputs
        (last,) = (step for step in steps if output in self._calls[step.number].outputs)
        self._carried = {output: _Carried(tf.reshape(coefficients, last.output.shape))}
        total = np.sum(np.asarray(coefficients, float) * np.asarray(logits), axis=1)
        for step in reversed(steps):
            self._back(step)
        images = tf.cast(tf.convert_to_tensor(images), "float32")
        found = self._carried.get(self._input, _Carried()).of(images)
        attribution = np.zeros(images.shape, np.float32) if found is None else np.asarray(found)
        shares = (self._shares[kind] for kind in ("bias", "charge", "clip", "epsilon"))
        return Relevance(attribution, *shares, np.asarray(logits), total)

    def _back(self, step):
        """Hand what arrived at the output of a call on to its inputs."""
        call, name = self._calls[step.number], step.name
        carried = self._carried.pop(call.outputs[0], None)
        # Nothing that was asked about reads it.
        if carried is None:
            return
        if name in self._replay.max_values:
            carried = self._through_relu(step, carried)
            if self._replay.linear_layers[name] is None:
                self._give(call.inputs[0], carried)
                return
        rule, kind = self._rules.get(name), type(call.layer).__name__
        if isinstance(rule, Pass):
            self._give(call.inputs[0], _Carried(None, carried.of(step.pre)))
        elif kernel_kind(call.layer):
            self._through_kernel(step, carried, rule)
        else:
            self._through_others(step, carried, kind)

    def _give(self, key, carried):
        self._carried.setdefault(key, _Carried()).add(carried)

    def _book(self, kind, name, values):
        shares = self._shares[kind]
        values = np.asarray(values, float)
        shares[name] = shares.get(name, np.zeros(len(values))) + values.reshape(len(values), -1).sum(axis=1)

    def _through_relu(self, step, carried):
        """Turn what arrived at an activity into what its current has to share out."""
        tf = compat.import_tensorflow()
        pre, output, max_value = step.pre, step.output, tf.constant(self._replay.max_values[step.name], step.pre.dtype)
        if carried.coefficients is None:
            return carried
        if self._transport_of(step) == "relevance":
            return _Carried(None, carried.of(output))
        expected = tf.minimum(tf.nn.relu(pre), max_value)
        self._book("charge", step.name, carried.coefficients * (output - expected))
        if self._clip == "share":
            kept = tf.where(pre >= max_value, expected, tf.zeros_like(expected))
            self._book("clip", step.name, carried.coefficients * kept)
            expected -= kept
        return _Carried(carried.coefficients * ratio(expected, pre), carried.relevance)

    def _through_kernel(self, step, carried, rule):
        call, name = self._calls[step.number], step.name
        (x,), (key,) = step.inputs, call.inputs
        if name not in self._kernels:
            self._kernels[name] = Kernel(self._replay.linear_layers[name])
        arriving = carried.of(step.pre)
        shared = rule.share(
            self._kernels[name],
            x,
            step.pre,
            arriving,
            rectified=self._rectified[key],
            transport=self._rule_transport(rule),
        )
        if shared.bias is not None:
            self._book("bias", name, shared.bias)
        self._book("epsilon", name, shared.absorbed)
        if shared.excess is not None:
            # Where a mean below zero was taken as zero, the layer below is handed less than was shared out.
            self._book("charge", name, shared.coefficients * shared.excess)
        self._give(key, _Carried(shared.coefficients, shared.relevance))

    def _through_others(self, step, carried, kind):
        """Hand on through layers without a kernel, by their gradient."""
        tf = compat.import_tensorflow()
        call, layer = self._calls[step.number], self._replay.linear_layers[step.name]
        coefficients, relevance = carried.coefficients, carried.relevance
        offset = None
        if kind in _SUMS and len(step.inputs) == 1:
            offset = layer(tf.zeros_like(step.inputs[0][:1]))
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(step.inputs)
            output = layer(step.inputs if isinstance(call.args[0], (list, tuple)) else step.inputs[0])

        def back(upstream):
            return tape.gradient(output, step.inputs, upstream, unconnected_gradients="zero")

        if coefficients is not None:
            for key, gradient in zip(call.inputs, back(coefficients)):
                self._give(key, _Carried(gradient))
            if offset is not None:
                self._book("bias", step.name, coefficients * offset)
        if relevance is None:
            return
        if _is_slope(call.layer):
            self._give(call.inputs[0], _Carried(None, relevance))
        elif kind in _SUMS:
            # By contribution, and not as a coefficient: where the sum is next to nothing that would be without bounds.
            factor = ratio(relevance, stabilized(step.pre, _STABILIZER))
            self._book("epsilon", step.name, relevance - factor * step.pre)
            if offset is not None:
                self._book("bias", step.name, factor * offset)
            for key, x, gradient in zip(call.inputs, step.inputs, back(factor)):
                self._give(key, _Carried(None, x * gradient))
        else:
            gradients = back(relevance)
            for key, gradient in zip(call.inputs, gradients):
                self._give(key, _Carried(None, gradient))
            if kind.startswith("ZeroPadding"):
                # Rules that do not look at inputs give relevance to cells of padding too.
                self._book("epsilon", step.name, _by_image(relevance) - _by_image(gradients[0]))

    def _transport_of(self, step):
        """Tell what goes through a ReLU: what the rule of the layer that makes its current asks for."""
        if self._replay.linear_layers[step.name] is not None:
            return self._rule_transport(self._rules.get(step.name))
        if self._transport != "auto":
            return self._transport
        key = self._calls[step.number].inputs[0]
        feeding = [name for name, call in zip(self._names, self._calls) if key in call.outputs]
        # Behind a sum, or where others read the current too, relevance would be shared out by a recomputed current
        # that can be close to zero.
        if not feeding or not kernel_kind(self._layers[feeding[0]]) or self._readers.count(key) > 1:
            return "coefficients"
        return self._rule_transport(self._rules[feeding[0]])

    def _rule_transport(self, rule):
        return self._transport if self._transport != "auto" or rule is None else rule.transport

    def _first_kernels(self):
        """Name the layers with a kernel whose input no other has a part in."""
        seen, first = {self._input: False}, []
        for name, call in zip(self._names, self._calls):
            behind = any(seen[key] for key in call.inputs)
            has_kernel = kernel_kind(call.layer) is not None
            if has_kernel and not behind:
                first.append(name)
            seen.update(dict.fromkeys(call.outputs, behind or has_kernel))
        return first

    def _rectified_tensors(self):
        """Tell of each tensor whether it is made of outputs of ReLUs alone, and cannot be negative by right."""
        kept = (_ROUTES | _SUMS) - {"BatchNormalization", "Normalization", "Rescaling", "Subtract"}
        found = {self._input: False}
        for name, call in zip(self._names, self._calls):
            is_kept = type(call.layer).__name__ in kept and all(found[key] for key in call.inputs)
            found.update(dict.fromkeys(call.outputs, is_kept or name in self._replay.max_values))
        return found

    def _check(self):
        """Refuse layers that nothing is known about, before anything runs."""
        for name, call in zip(self._names, self._calls):
            layer, rule, kind = call.layer, self._rules.get(name), type(call.layer).__name__
            if isinstance(rule, Pass):
                self._check_pass(name, call)
                continue
            if kernel_kind(layer):
                self._check_kernel(name, layer, rule, kind)
                continue
            is_known = name in self._replay.max_values and self._replay.linear_layers[name] is None
            is_known |= compat.is_keras_layer(type(layer)) and (kind in _ROUTES | _SUMS or _is_slope(layer))
            if not is_known:
                raise UnsupportedModelError(
                    f"layer {name!r}: relevance has no rule for it; expected ReLU, LeakyReLU, or a layer that adds, "
                    f"moves or picks values, got {kind}. Use a gradient method, or let the composite begin with "
                    f"({name!r}, Pass()) if it works on each unit by itself."
                )
            if rule is not None:
                raise ParameterError(
                    f"composite: {rule!r} shares out among the weights of a kernel; expected a layer with one, got "
                    f"{name!r} ({kind}). Give such layers no rule, or Pass()."
                )

    def _check_kernel(self, name, layer, rule, kind):
        if name not in self._replay.max_values and not _is_linear(layer):
            raise UnsupportedModelError(
                f"layer {name!r}: relevance has no rule for its activation; expected ReLU or none, got "
                f"{getattr(layer.activation, '__name__', layer.activation)!r}. Use a gradient method, or make the "
                "activation a layer of its own that follows Pass()."
            )
        if rule is None:
            raise ParameterError(
                f"composite: no rule for the layer {name!r}; expected a pair that fits it, got none for {kind}. End "
                "the composite with ('linear', Epsilon())."
            )

    def _check_pass(self, name, call):
        flat = self._replay.reduced.flat
        shapes = [flat.shape(key) for key in call.inputs]
        if shapes != [call.output_shapes[0]]:
            raise ParameterError(
                f"composite: Pass() hands on unit by unit; expected a layer with inputs of the shape of its output, "
                f"got {name!r} with {shapes} and {call.output_shapes[0]}. Give it another rule."
            )


def _is_linear(layer):
    """Tell whether a layer has no activation, or one that does nothing."""
    return layer.activation in (None, compat.import_tensorflow().keras.activations.linear)


def _is_slope(layer):
    """Tell whether a layer multiplies each unit by a factor that its sign decides."""
    kind = type(layer).__name__
    if kind == "ReLU":
        return layer.threshold == 0 and layer.max_value is None
    return kind in ("LeakyReLU", "PReLU") or (kind == "Activation" and _is_linear(layer))


def _sum(one, other):
    return other if one is None else one if other is None else one + other


def _by_image(values):
    values = np.asarray(values, float)
    return values.reshape(len(values), -1).sum(axis=1, keepdims=True)
