"""The same logits by a model that converts better.

``inference`` leaves out what inference does not need; ``balance`` gives the channels of a layer the same range.
"""

from .balance import BalancedModel, balance_channels, scale_channels
from .inference import features_and_logits, inference_model, max_value_of, rectified_layers, reduced_names

__all__ = [
    "BalancedModel",
    "balance_channels",
    "features_and_logits",
    "inference_model",
    "max_value_of",
    "rectified_layers",
    "reduced_names",
    "scale_channels",
]
