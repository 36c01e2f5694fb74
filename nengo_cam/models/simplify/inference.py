"""The same logits with fewer layers: what a converted network has to compute, and no more."""

import dataclasses
import logging
from typing import Any

import numpy as np

from ... import compat
from ...exceptions import UnsupportedModelError
from ..graph import FlatModel, flatten
from ..head import INFERENCE_IDENTITIES, locate_head
from ..keras3 import as_keras2
from .clipping import max_value_of
from .equivalence import check_equivalence
from .rewriting import Rewriting, rewrite
from .steps import build

__all__ = [
    "Reduction",
    "features_and_logits",
    "inference_model",
    "rectified_layers",
    "reduce_model",
    "reduced_logits",
]

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Reduction:
    """A model reduced to what inference needs; made by `reduce_model`.

    Attributes
    ----------
    model : tf.keras.Model
        The model, see `inference_model`.
    rewriting : Rewriting
        What became of each layer call of the source.
    largest_difference : float
        Largest difference from the source on random images, in features as a fraction of the largest feature, in
        logits or outputs likewise, whichever is largest.
    """

    model: Any
    rewriting: Rewriting
    largest_difference: float


def inference_model(model):
    """Rebuild a model with a GAP head so that it gives logits and holds only what inference needs.

    * Nested models are opened; Dropout, noise and augmentation layers, regularizers and constraints are left out, and
      so are layers that change nothing, and whatever follows the readout (softmax, sigmoid).
    * BatchNormalization is folded into the convolution or dense layer before or after it where this is exact; where it
      is not, it keeps its moving statistics and is marked as not trainable. Normalization and Rescaling likewise: the
      new model takes the same images.
    * Operators such as ``x + y`` become their layer; separable, dilated and causal convolutions and differences
      become layers that NengoDL has natively.

    A layer without weights that is used several times becomes several layers. Layers keep their names; the source model
    is not changed. The result is compared with it on random images.

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
        If a layer is called with ``training=True``, has weights that are not finite, is a Normalization that was
        adapted to more than channels, or cannot be made again from its configuration; or if the result differs from
        the source by more than rounding.

    Examples
    --------
    >>> simple = ncam.inference_model(model)  # logits: the softmax is gone
    >>> probabilities = np.exp(simple.predict(images, verbose=0))
    >>> probabilities /= probabilities.sum(axis=1, keepdims=True)
    >>> bool(np.allclose(probabilities, model.predict(images, verbose=0), atol=1e-5))
    True
    """
    return reduce_model(model).model


def reduce_model(model):
    """Make the `inference_model` of a model, and say what became of its layers.

    Parameters
    ----------
    model : tf.keras.Model
        As for `inference_model`.

    Returns
    -------
    Reduction
        The new model, and how it differs from its source.

    Raises
    ------
    ModelTypeError, HeadError, UnsupportedModelError
        As `inference_model`.
    """
    model = as_keras2(model)
    flat = flatten(model)
    head = locate_head(flat)
    for call in flat.calls:
        _check_call(flat, call)
    rewriting = rewrite(flat, head)
    reduced, tensors = build(flat.name, rewriting.inputs, rewriting.steps, rewriting.logits)
    difference = check_equivalence(model, flat, head, rewriting, reduced, tensors)
    logger.info("Reduced model %r to %d layers; largest difference %.1e", flat.name, len(reduced.layers), difference)
    return Reduction(reduced, rewriting, difference)


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


def reduced_logits(model, frames, minibatch_size):
    """Run a reduced model, a minibatch at a time.

    Parameters
    ----------
    model : tf.keras.Model
        A model made by `inference_model`.
    frames : ndarray of shape (N, Y, X, channels)
        Images, checked by the caller.
    minibatch_size : int
        Images that run at a time.

    Returns
    -------
    ndarray of shape (N, L)
        Logits.
    """
    parts = range(0, len(frames), minibatch_size)
    logits = [np.asarray(model(frames[start : start + minibatch_size], training=False)) for start in parts]
    # The readout may be a convolution, which leaves axes of length 1.
    return np.concatenate(logits).reshape(len(frames), -1)


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


def _check_call(flat: FlatModel, call):
    """Refuse what has no inference form, before anything is rebuilt."""
    if call.kwargs.get("training") and (call.kind in INFERENCE_IDENTITIES or "BatchNormalization" in call.kind):
        raise UnsupportedModelError(
            f"model {flat.name!r}: {call.kind} {call.name!r} is called with training=True, so that its output depends "
            "on chance or on the rest of the batch; expected its inference form, got the other. Build the model "
            "without training=True."
        )
    if not all(np.isfinite(weights).all() for weights in call.layer.get_weights()):
        raise UnsupportedModelError(
            f"model {flat.name!r}: the weights of {call.name!r} are not finite; expected numbers, got NaN or infinity. "
            "Train the model again."
        )
