"""Channels last: models with the channels on the first axis, rewritten with the channels on the last."""

from __future__ import annotations

import numpy as np

from ... import compat
from ...exceptions import UnsupportedModelError
from ..affine import Affine
from ..graph import Ref
from .steps import Step, Steps

__all__ = ["channels_last"]

#: What treats all axes alike, or says by its data_format where the channels are.
_INDIFFERENT = frozenset(
    {"Activation", "Add", "Average", "BatchNormalization", "LeakyReLU", "Multiply", "ReLU", "Subtract"}
)


def channels_last(steps: Steps) -> Steps:
    """Move the channels of all tensors to the last axis, if all layers have them on the first.

    Everything that reads features counts on channels last. The new model takes the images that the old one takes, and
    begins with a Permute.

    Parameters
    ----------
    steps : Steps
        The body of a model.

    Returns
    -------
    Steps

    Raises
    ------
    UnsupportedModelError
        If a layer orders the axes in a way of its own.
    """
    if {step.config["data_format"] for step in steps if "data_format" in step.config} != {"channels_first"}:
        # Where layers disagree, the channels have no one place, and each layer is left with its own.
        return steps
    ((key, shape),) = steps.input_shapes.items()
    turned = ("channels last", key)
    permute = Step(
        layer_type=compat.import_tensorflow().keras.layers.Permute,
        config={"name": "channels_last", "dims": (*range(2, len(shape)), 1)},
        weights=(),
        args=(Ref(key),),
        kwargs={},
        outputs=(turned,),
        shapes=(_moved(shape),),
        calls=(),
    )
    return steps.replaced([permute, *(_turned(step, {key: turned}) for step in steps)])


def _moved(shape):
    return (shape[0], *shape[2:], shape[1]) if len(shape) > 2 else shape


def _turned(step, keys):
    """Return a step that works with the channels last."""
    options = {}
    if "data_format" in step.config:
        options["data_format"] = "channels_last"
    elif step.kind == "Concatenate":
        axis = step.config["axis"] % len(step.shape)
        options["axis"] = {0: 0, 1: -1}.get(axis, axis - 1)
    elif step.kind not in _INDIFFERENT:
        raise _mixed(step, step.layer_type.__name__)
    step = step.fed_by(keys)
    affine = step.affine
    if step.kind == "BatchNormalization":
        if list(np.atleast_1d(step.config["axis"])) != [1]:
            raise _mixed(step, f"axis {step.config['axis']}")
        options["axis"] = -1
        affine = Affine.of_normalization(step.weights, step.config)
    return step.configured(**options).replace(shapes=tuple(map(_moved, step.shapes)), affine=affine)


def _mixed(step, got):
    return UnsupportedModelError(
        f"layer {step.name!r}: the model has its channels on the first axis; expected layers that agree, got {got}. "
        "Build the model with data_format='channels_last'."
    )
