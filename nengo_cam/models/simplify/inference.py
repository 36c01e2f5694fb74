"""The same logits with fewer layers: what a converted network has to compute, and no more."""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import Any

import numpy as np

from ... import compat
from ...checks.percentiles import TopValues
from ...exceptions import UnsupportedModelError
from ..graph import FlatModel, flatten
from ..head import INFERENCE_IDENTITIES, CAMHead, HeadCalls, describe_head, locate_head
from ..source import SourceModel, read_model
from .clipping import clipped_relu, max_value_of
from .equivalence import check_equivalence
from .rewriting import Fate, rewrite
from .steps import build, flat_model

__all__ = [
    "ReducedModel",
    "activity_levels",
    "features_and_logits",
    "inference_model",
    "read_reduced",
    "rectified_layers",
    "reduce_head",
    "reduce_model",
    "reduced_logits",
]

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class ReducedModel:
    """A model reduced to what inference needs, and what is known of it; made by `reduce_model`.

    Attributes
    ----------
    model : tf.keras.Model
        The model, see `inference_model`.
    flat : nengo_cam.models.graph.FlatModel
        Its layer calls.
    calls : nengo_cam.models.head.HeadCalls
        Those of them that are its head: the mean over all positions, and one Dense layer.
    head : CAMHead
        The same in names and numbers, with name and activation of the source. What multiplies channels in front of the
        pooling belongs to the features here.
    source : SourceModel or None
        What it comes from; None if it was read as it is, by `read_reduced`.
    fates : tuple of Fate
        What became of each layer call of the source.
    successors : dict of {int: str}
        By the number of a source call, the name of the call (``flat.call_names``) that gives its output. Calls that
        were left out or folded are missing.
    largest_difference : float or None
        Largest difference from the source on random images, in features as a fraction of the largest feature, in
        logits or outputs likewise, whichever is largest; None without a source.
    """

    model: Any
    flat: FlatModel
    calls: HeadCalls
    head: CAMHead
    source: SourceModel | None = None
    fates: tuple[Fate, ...] = ()
    successors: dict[int, str] = dataclasses.field(default_factory=dict)
    largest_difference: float | None = None

    def output(self, name: str) -> Any:
        """Return the symbolic output of a layer call of ``model``, by its name in ``flat.call_names``."""
        number = self.flat.call_names.index(name)
        layers = [call.layer for call in self.flat.calls]
        # Keras numbers the calls of a layer in the order in which they were made, which is that of running.
        return layers[number].get_output_at(layers[:number].count(layers[number]))

    def layer(self, name: str) -> Any:
        """Return the layer of a call of ``model``, by its name in ``flat.call_names``."""
        return self.flat.calls[self.flat.call_names.index(name)].layer

    def rebuilt(self, model: Any, flat: FlatModel) -> ReducedModel:
        """Return the same of a copy of the model with other weights.

        Parameters
        ----------
        model : tf.keras.Model
            The copy, with the names and the structure of ``model``.
        flat : FlatModel
            Its calls, with the keys of ``flat``.

        Returns
        -------
        ReducedModel
        """
        calls = _pooled_head(flat, self.calls.features)
        return _describe(model, flat, calls, **self._history)

    @property
    def _history(self):
        names = ("source", "fates", "successors", "largest_difference")
        return {name: getattr(self, name) for name in names}

    def __reduce__(self):
        # The layer class comes first: Keras must know it when it makes the model again.
        return _restore, (clipped_relu(), self.model, _structure(self.flat), self._history)


def _restore(_, model, structure, history):
    """Read a reduced model again that comes from a pickle."""
    read = read_reduced(model)
    if _structure(read.flat) != structure:
        # Names of calls would mean others than those that the network knows.
        raise UnsupportedModelError(
            f"model {model.name!r}: Keras made another graph of the pickle; expected {len(structure)} layer calls as "
            "they were, got others. Convert the model again."
        )
    return _describe(model, read.flat, read.calls, **history)


def _structure(flat):
    """Say of each layer call by name which others feed it."""
    names = {key: name for name, call in zip(flat.call_names, flat.calls) for key in call.outputs}
    return {name: tuple(names.get(key) for key in call.inputs) for name, call in zip(flat.call_names, flat.calls)}


def _describe(model, flat, calls, *, source=None, **history):
    head = describe_head(flat, calls)
    if source is not None:
        # What a user sees of the head is the source's; the features are those that are pooled.
        head = dataclasses.replace(head, model=source.head.model, activation=source.head.activation)
    return ReducedModel(model, flat, calls, head, source, **history)


def read_reduced(model: Any) -> ReducedModel:
    """Read a model that was reduced before.

    Parameters
    ----------
    model : tf.keras.Model or ReducedModel
        A model made by `inference_model`. What has been read already is passed through.

    Returns
    -------
    ReducedModel
        Without a source.

    Raises
    ------
    ModelTypeError, HeadError
        If ``model`` is not what `inference_model` makes.
    """
    if isinstance(model, ReducedModel):
        return model
    flat = flatten(model)
    return _describe(model, flat, locate_head(flat, pooled=True))


def _pooled_head(flat, features):
    """Find the head of a model that was made here: whatever it was made of, the last two calls."""
    pooling, readout = flat.calls[-2:]
    kernel, *bias = readout.layer.get_weights()
    bias = bias[0] if bias else np.zeros(kernel.shape[1], kernel.dtype)
    return HeadCalls(features, pooling, readout, (), (), (), (), "linear", kernel, bias)


def inference_model(model: Any) -> Any:
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


def reduce_model(model: Any) -> ReducedModel:
    """Make the `inference_model` of a model, and say what became of its layers.

    Parameters
    ----------
    model : tf.keras.Model or SourceModel
        As for `inference_model`; or what `nengo_cam.models.source.read_model` made of it.

    Returns
    -------
    ReducedModel
        The new model, and how it differs from its source.

    Raises
    ------
    ModelTypeError, HeadError, UnsupportedModelError
        As `inference_model`.
    """
    source = read_model(model)
    return _reduce(source, source.calls, fold_layers=True)


def reduce_head(source: SourceModel) -> ReducedModel:
    """Reduce nothing but the head of a model: its body stays as it is, layer by layer.

    For a network that was converted from the model itself, each of whose layers stands for one of the model. Dropout
    and other layers that do nothing at inference are left out all the same.

    Parameters
    ----------
    source : SourceModel
        The model.

    Returns
    -------
    ReducedModel
        A model with layers of its own: from images to features, which are what is pooled, and on to logits by the mean
        over all positions and one Dense layer.

    Raises
    ------
    HeadError, UnsupportedModelError
        As `inference_model`.
    """
    return _reduce(source, locate_head(source.flat, pooled=True), fold_layers=False)


def _reduce(source, head, *, fold_layers):
    """Rewrite a model, and compare it with its source."""
    flat = source.flat
    # Refused in words of the source, whose layers the user knows.
    for call in flat.calls:
        _check_call(flat, call)
    rewriting = rewrite(flat, head, fold_layers=fold_layers)
    model, tensors, layers = build(flat.name, rewriting.inputs, rewriting.steps, rewriting.logits)
    difference = check_equivalence(source.model, flat, head, rewriting, model, tensors)
    logger.info("Reduced model %r to %d layers; largest difference %.1e", flat.name, len(model.layers), difference)
    reduced_flat = flat_model(flat.name, rewriting.inputs, rewriting.steps, rewriting.logits, layers)
    calls = _pooled_head(reduced_flat, rewriting.features)
    successors = {number: reduced_flat.call_names[step] for number, step in rewriting.successors.items()}
    return _describe(
        model,
        reduced_flat,
        calls,
        source=source,
        fates=rewriting.fates,
        successors=successors,
        largest_difference=difference,
    )


def features_and_logits(model: Any, pooling: str) -> Any:
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


def reduced_logits(model: Any, frames: np.ndarray, minibatch_size: int) -> np.ndarray:
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


def rectified_layers(model: Any) -> list:
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


def activity_levels(
    model: Any, images: np.ndarray, percentile: float, batch_size: int, *, by_channel: bool = False
) -> dict[str, Any]:
    """Find how strong the activity of the rectified layers is, over neurons, images and all calls of a layer.

    Parameters
    ----------
    model : tf.keras.Model
        A model made by `inference_model`.
    images : ndarray of shape (N, Y, X, channels)
        Sample images, checked by the caller.
    percentile : float
        Percentile that is taken for strong, checked by the caller.
    batch_size : int
        Images that go through the model at a time.
    by_channel : bool
        Whether each channel has a level of its own, over positions.

    Returns
    -------
    dict of {str: float or ndarray of shape (channels,)}
        Level by layer name.
    """
    tf = compat.import_tensorflow()
    layers = rectified_layers(model)
    # Keras refuses a model without outputs.
    if not layers:
        return {}
    outputs = [[layer.get_output_at(i) for i in range(len(layer.inbound_nodes))] for layer in layers]
    probe = tf.keras.Model(model.inputs, outputs)
    tops = []
    for calls in outputs:
        n_channels = calls[0].shape[-1] if by_channel else None
        n_values = sum(math.prod(output.shape[1:]) for output in calls) // (n_channels or 1)
        tops.append(TopValues(len(images) * n_values, percentile, n_channels=n_channels))
    for start in range(0, len(images), batch_size):
        for top, activities in zip(tops, probe(images[start : start + batch_size], training=False)):
            for activity in tf.nest.flatten(activities):
                top.add(activity.numpy())
    return {layer.name: top.percentile() for layer, top in zip(layers, tops)}


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
