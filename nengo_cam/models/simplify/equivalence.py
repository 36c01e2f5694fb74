"""How far a rewritten model is from its source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import compat
from ...exceptions import UnsupportedModelError
from ..affine import Affine, affine_of
from ..graph import FlatModel, inference_arguments, run_calls
from ..head import INFERENCE_IDENTITIES, HeadCalls
from ..outputs import apply_activation, relative_difference

if TYPE_CHECKING:
    from .rewriting import Rewriting

__all__ = ["check_equivalence", "is_half_precision", "tolerance"]

_N_IMAGES = 2
# Rounding gives about 1e-6, in half precision 1e-3; a wrong weight gives about 1.
_TOLERANCE, _HALF_TOLERANCE = 1e-4, 5e-2


def check_equivalence(
    model: Any, flat: FlatModel, head: HeadCalls, rewriting: Rewriting, reduced: Any, tensors: dict
) -> float:
    """Check that a rewritten model gives what its source gives, on random images.

    Compared are the features, the logits, and the output with the head's activation applied. Where the first layers
    multiply and add, as Rescaling and Normalization do, the images are such that these give numbers from 0 to 1;
    otherwise the images themselves are from 0 to 1.

    Parameters
    ----------
    model : tf.keras.Model
        The source.
    flat : nengo_cam.models.graph.FlatModel
        The same, flat.
    head : nengo_cam.models.head.HeadCalls
        Its head.
    rewriting : Rewriting
        What became of it.
    reduced : tf.keras.Model
        The model that was made of it.
    tensors : dict
        Symbolic tensors of ``reduced`` by key.

    Returns
    -------
    float
        Largest difference, as a fraction of the largest feature, logit or output.

    Raises
    ------
    UnsupportedModelError
        If it is more than rounding; names the layer after which the two differ.
    """
    tf = compat.import_tensorflow()
    images = _images(model, flat)
    features = _run(flat, images, [head.features])[head.features]
    n = len(images)
    logits = _pooled(features, head) @ head.kernel + head.bias
    output = np.reshape(model(images, training=False), (n, -1))
    probe = tf.keras.Model(reduced.inputs, [tensors[rewriting.features], reduced.outputs[0]])
    got_features, got_logits = (np.asarray(values, float) for values in probe(tf.cast(images, "float32")))
    got_logits = got_logits.reshape(n, -1)
    if _is_channels_first(head):
        features = np.moveaxis(features, 1, -1)
    pairs = ((got_features, features), (got_logits, logits), (apply_activation(head.activation, got_logits), output))
    difference = max(relative_difference(got, expected) for got, expected in pairs)
    allowed = tolerance(call.layer for call in flat.calls)
    # Not "difference > allowed": NaN must fail.
    if not difference <= allowed:
        where = _first_difference(flat, head, rewriting, reduced, tensors, images, allowed)
        raise UnsupportedModelError(
            f"model {flat.name!r}: after {where} the model that was simplified differs from its source on random "
            f"images; expected features, logits and output within {allowed:.0e} of the largest, got {difference:.1e}. "
            "Replace the layer."
        )
    return difference


def _images(model, flat):
    """Make images in the range that the model takes."""
    (dtype,) = (tensor.dtype for tensor in model.inputs)
    ((key, (batch, *shape)),) = flat.input_shapes.items()
    rng = np.random.default_rng(0)
    images = rng.random((batch or _N_IMAGES, *shape))
    if not dtype.is_floating:
        return compat.import_tensorflow().cast(256 * images, dtype)
    return compat.import_tensorflow().cast(_preprocessing(flat, key).inverse(images), dtype)


def _preprocessing(flat, key):
    """Return the factors and offsets that the model begins with, taken together."""
    total = Affine.of(1, 0, flat.shape(key)[-1])
    for call in flat.calls:
        if key in call.inputs:
            affine = affine_of(call.layer, flat.shape(key)) if len(call.inputs) == 1 else None
            if affine is None and call.kind not in INFERENCE_IDENTITIES:
                break
            total = total if affine is None else total.then(affine)
            key = call.outputs[0]
    return total


def _run(flat, images, keys):
    """Run the source's own layers one by one, and return the values of some tensors by key."""
    tf = compat.import_tensorflow()
    ((input_key, _),) = flat.input_shapes.items()
    found = {key: np.asarray(images, float) for key in keys if key == input_key}

    def apply(number, call, args, kwargs):
        return call.layer(*args, **inference_arguments(call.layer, kwargs))

    for call, outputs in run_calls(flat, tf.convert_to_tensor(images), apply):
        found.update({key: np.asarray(value, float) for key, value in zip(call.outputs, outputs) if key in keys})
    return found


def _first_difference(flat, head, rewriting, reduced, tensors, images, allowed):
    """Name the first layer after which a model and its source differ."""
    tf = compat.import_tensorflow()
    # What is left out or folded has no key in the one or the other.
    ends = {step.calls[0]: step.output for step in rewriting.steps if step.calls}
    numbers = [number for number in sorted(ends) if flat.producer(ends[number]) is not None]
    calls = {number: flat.calls[number] for number in numbers}
    expected = _run(flat, images, [ends[number] for number in numbers])
    probe = tf.keras.Model(reduced.inputs, [tensors[ends[number]] for number in numbers])
    for number, got in zip(numbers, tf.nest.flatten(probe(tf.cast(images, "float32")))):
        reference = expected[ends[number]]
        if _is_channels_first(head) and reference.ndim > 2:
            reference = np.moveaxis(reference, 1, -1)
        if not relative_difference(np.asarray(got, float), reference) <= allowed:
            return f"{calls[number].kind} {calls[number].name!r}"
    return "the readout"


def _pooled(features, head):
    """Return means over positions (N, K)."""
    first = 2 if _is_channels_first(head) else 1
    return features.mean(axis=tuple(range(first, first + features.ndim - 2)))


def _is_channels_first(head):
    """Tell whether the source has its channels on the first axis; the rewritten model never has."""
    return getattr(head.pooling.layer, "data_format", None) == "channels_first"


def tolerance(layers: Iterable) -> float:
    """Return how far two models may be from each other by rounding alone.

    Parameters
    ----------
    layers : iterable of tf.keras.layers.Layer
        Layers of one of them.

    Returns
    -------
    float
        Fraction of the largest value; more where a layer computes in half precision.
    """
    return _HALF_TOLERANCE if is_half_precision(layers) else _TOLERANCE


def is_half_precision(layers: Iterable) -> bool:
    """Tell whether any of some layers computes in half precision."""
    return any(getattr(layer, "compute_dtype", None) in ("bfloat16", "float16") for layer in layers)
