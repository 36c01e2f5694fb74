"""A Keras model read once: its Keras 2 form, its layer calls, its head.

Whatever asks a question about a model reads it here, and passes the `SourceModel` on to what it calls.
"""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

from .. import compat
from ..exceptions import HeadError
from .graph import FlatModel, check_model, flatten
from .head import CAMHead, HeadCalls, describe_head, locate_head
from .keras3 import as_keras2
from .spiking_keras import frame_model, is_keras_spiking

__all__ = ["SourceModel", "find_head", "read_model", "select_output"]


@dataclasses.dataclass(frozen=True, eq=False)
class SourceModel:
    """A Keras model with a GAP head, and all that reading it tells; made by `read_model`.

    Attributes
    ----------
    model : tf.keras.Model
        The model in its Keras 2 form, with one output.
    flat : nengo_cam.models.graph.FlatModel
        Its layer calls.
    calls : nengo_cam.models.head.HeadCalls
        Those of them that are its head.
    head : CAMHead
        The same in names and numbers.
    """

    model: Any
    flat: FlatModel
    calls: HeadCalls
    head: CAMHead

    def __reduce__(self):
        # Symbolic tensors and layers belong to the model, which Keras pickles: the rest is read from it again.
        return read_model, (self.model,)


def read_model(model: Any, *, output: int | str | None = None) -> SourceModel:
    """Read a model as it is now; one that is trained afterwards has to be read again.

    Parameters
    ----------
    model : tf.keras.Model, keras.Model or SourceModel
        Functional or built Sequential model with one input; one of Keras 3 is rebuilt with Keras 2, and one of
        KerasSpiking for one frame (`nengo_cam.models.spiking_keras`). What has been read already is passed through.
    output : int or str, optional
        Which output, by number or by the name of its layer, if the model has several.

    Returns
    -------
    SourceModel
        The model and its parts.

    Raises
    ------
    ModelTypeError, UnsupportedModelError, HeadError
        As `nengo_cam.find_head`; if ``output`` is given for what has been read already.
    """
    if isinstance(model, SourceModel):
        if output is not None:
            raise HeadError(
                f"model {model.model.name!r}: it was read already, with one output; expected output=None, got "
                f"{output!r}. Choose the output when the model is read."
            )
        return model
    model = select_output(model, output)
    flat = flatten(model)
    calls = locate_head(flat)
    return SourceModel(model, flat, calls, describe_head(flat, calls))


def find_head(model: Any, *, output: int | str | None = None) -> CAMHead:
    """Find the features, the global pooling and the readout of a model.

    A class-activation map can be read from every model whose logits are linear in the means of its feature maps [1]_:

    * global average pooling (GAP), or an average pooling as large as the map, or a mean over all positions;
    * then Dense, or a convolution of what is left of the map, with linear, softmax or sigmoid activation;
    * or nothing, if a convolution has one channel for each class, without an activation of its own or with softmax or
      sigmoid after the pooling: the features are the maps.

    Dropout, Flatten, Reshape, linear Activation layers and what multiplies channels by factors and adds offsets
    (BatchNormalization, Normalization, Rescaling, ``x * 2``) may stand in between, and the last activation may be a
    layer of its own. Factors and offsets right before the pooling belong to the kernel, not to the features. Nested
    models are looked into. Maps may have one, two or three axes.

    Parameters
    ----------
    model : tf.keras.Model or keras.Model
        Functional or built Sequential model with one input. One of Keras 3 is rebuilt with Keras 2 and compared with
        it.
    output : int or str, optional
        Which output, by number or by the name of its layer, if the model has several.

    Returns
    -------
    CAMHead
        What was found.

    Raises
    ------
    ModelTypeError
        If ``model`` is not a Keras model whose layers can be read.
    UnsupportedModelError
        If it is a model of Keras 3 that cannot be rebuilt.
    HeadError
        If the model ends otherwise; names the layers seen and those that could be pooled. Also if ``output`` does not
        name one of its outputs.

    References
    ----------
    .. [1] Zhou et al. (2016). Learning Deep Features for Discriminative Localization. CVPR. arXiv:1512.04150, sec. 2.

    Examples
    --------
    >>> head = ncam.find_head(model)
    >>> print(head)
    conv4 (28x28x64) -> gap -> readout (10 labels, softmax)
    >>> head.kernel.shape, head.map_shape
    ((64, 10), (28, 28))
    """
    return read_model(model, output=output).head


def select_output(model: Any, output: int | str | None) -> Any:
    """Cut a model down to one of its outputs.

    Parameters
    ----------
    model : tf.keras.Model or keras.Model
        The model; one of Keras 3 is rebuilt, see `nengo_cam.models.keras3`.
    output : int or str or None
        Number of the output, or name of the layer that makes it; None if there is only one.

    Returns
    -------
    tf.keras.Model
        The same model if it has one output and is of Keras 2, otherwise another that shares its layers.

    Raises
    ------
    ModelTypeError
        If ``model`` is not a Keras model whose layers can be read.
    UnsupportedModelError
        If it is a model of Keras 3 that cannot be rebuilt.
    HeadError
        If there is no such output, or there are several and none is named.
    """
    model = as_keras2(model)
    check_model(model)
    names = list(model.output_names)
    if output is None and len(names) == 1:
        return _of_a_frame(model)
    chosen: Any = names.index(output) if output in names else output
    is_number = isinstance(chosen, numbers.Integral) and not isinstance(chosen, bool)
    if not is_number or not 0 <= chosen < len(names):
        raise HeadError(
            f"model {model.name!r}: it has {len(names)} outputs; expected output=, one of {names} or its number, got "
            f"{output!r}. Name the output to explain."
        )
    return _of_a_frame(compat.import_tensorflow().keras.Model(model.inputs, model.outputs[chosen], name=model.name))


def _of_a_frame(model):
    """Take the axis of time off a model of KerasSpiking; others are what they are."""
    return frame_model(model) if is_keras_spiking(model) else model
