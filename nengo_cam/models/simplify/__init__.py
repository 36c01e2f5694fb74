"""The same logits by a model that converts better.

``inference`` leaves out what inference does not need, and writes the rest in layers that NengoDL has: ``splitting`` and
``folding`` rewrite the ``steps`` of a model, ``rewriting`` says what became of each layer, ``equivalence`` compares the
result with the source. ``balance`` gives the channels of a layer the same range; ``clipping`` holds the clipped ReLU
that this takes.
"""

from .balance import BalancedModel, balance_channels, scale_channels
from .clipping import clipped_relu, max_value_of
from .equivalence import is_half_precision
from .inference import (
    ReducedModel,
    activity_levels,
    features_and_logits,
    inference_model,
    read_reduced,
    rectified_layers,
    reduce_head,
    reduce_model,
    reduced_logits,
)
from .rewriting import Fate, Rewriting, rewrite

__all__ = [
    "BalancedModel",
    "Fate",
    "ReducedModel",
    "Rewriting",
    "activity_levels",
    "balance_channels",
    "clipped_relu",
    "features_and_logits",
    "inference_model",
    "is_half_precision",
    "max_value_of",
    "read_reduced",
    "rectified_layers",
    "reduce_head",
    "reduce_model",
    "reduced_logits",
    "rewrite",
    "scale_channels",
]
