"""Layers that have no form as a spiking network, and what to do about them."""

from __future__ import annotations

from ...exceptions import UnsupportedModelError
from ...models.graph import FlatModel

__all__ = ["check_layers"]

_NORMALIZE = "Train the model with BatchNormalization in its place, which goes into the weights"
_ATTEND = "Take a model without attention"
_MOVE = "Leave it out, and pass moving images of shape (N, T, Y, X, channels) to spiking_cam: the neurons see the time"
_GATE = "Take a model without squeeze-and-excitation or gating, such as MobileNetV2 for V3 or ResNet for EfficientNet"

_PRODUCT = "it multiplies activities with one another", _GATE
_CHOICE = "it chooses between activities", "Use Add or Average in its place"
_BY_INPUT = "its mean and variance change from image to image", _NORMALIZE
_ATTENTION = "its weights change from image to image", _ATTEND
_RECURRENT = "it has a time of its own", _MOVE

_REASONS = {
    "AdditiveAttention": _ATTENTION,
    "Attention": _ATTENTION,
    "Bidirectional": _RECURRENT,
    "ConvLSTM1D": _RECURRENT,
    "ConvLSTM2D": _RECURRENT,
    "ConvLSTM3D": _RECURRENT,
    "Dot": _PRODUCT,
    "Embedding": ("it looks numbers up in a table", "Begin the model behind it, with the vectors as input"),
    "GRU": _RECURRENT,
    "GroupNormalization": _BY_INPUT,
    "LSTM": _RECURRENT,
    "LayerNormalization": _BY_INPUT,
    "Maximum": _CHOICE,
    "Minimum": _CHOICE,
    "MultiHeadAttention": _ATTENTION,
    "Multiply": _PRODUCT,
    "RNN": _RECURRENT,
    "SimpleRNN": _RECURRENT,
    "TimeDistributed": _RECURRENT,
    "UnitNormalization": _BY_INPUT,
}

#: Layers with several inputs that have a form.
_SUMS = ("Add", "Average", "Concatenate", "Subtract")

#: Operators and functions, which have an error of their own.
_OPERATORS = ("SlicingOpLambda", "TFOpLambda")


def check_layers(flat: FlatModel) -> None:
    """Refuse layers that have no form as a spiking network.

    Parameters
    ----------
    flat : nengo_cam.models.graph.FlatModel
        The layer calls of a model made by `nengo_cam.inference_model`.

    Raises
    ------
    UnsupportedModelError
        If a layer multiplies activities, normalizes each image by itself, attends, or has a time of its own; or has
        several inputs and does more than join or sum them. Names the layer.
    """
    for call in flat.calls:
        kind, n_inputs = call.kind, len(call.inputs)
        if kind in _REASONS:
            reason, remedy = _REASONS[kind]
        elif n_inputs > 1 and kind not in (*_SUMS, *_OPERATORS):
            reason, remedy = f"it has {n_inputs} inputs", f"Use one of {list(_SUMS)} in its place"
        else:
            continue
        raise UnsupportedModelError(
            f"model {flat.name!r}: {kind} {call.layer.name!r} cannot work in spikes: {reason}; expected layers that "
            f"are linear or apply a function to each element or window, got {kind}. {remedy}."
        )
