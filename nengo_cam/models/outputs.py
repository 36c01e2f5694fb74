"""What a model puts out: the activation behind its logits, and how far two outputs are apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, softmax

__all__ = ["activation_name", "apply_activation", "relative_difference"]


def activation_name(layer: Any) -> str:
    """Name the activation that a layer ends in.

    Parameters
    ----------
    layer : tf.keras.layers.Layer
        Any layer.

    Returns
    -------
    str
        Name of the function, or of its class if it is an object; "linear" if there is none.
    """
    if type(layer).__name__ == "Softmax":
        return "softmax"
    activation = getattr(layer, "activation", None)
    return "linear" if activation is None else getattr(activation, "__name__", type(activation).__name__)


def apply_activation(activation: str, logits: np.ndarray) -> np.ndarray:
    """Apply what follows the logits of a model.

    Parameters
    ----------
    activation : {"linear", "softmax", "sigmoid"}
        What that is, as `nengo_cam.CAMHead` has it.
    logits : ndarray of shape (..., L)
        Logits. They may be of any size: nothing overflows.

    Returns
    -------
    ndarray of shape (..., L)
    """
    # SciPy's: exp() of a logit beyond 88 is infinite in single precision, beyond 709 in double.
    return {"softmax": lambda z: softmax(z, axis=-1), "sigmoid": expit, "linear": lambda z: z}[activation](logits)


def relative_difference(values: np.ndarray, reference: np.ndarray) -> float:
    """Find the largest difference between two arrays, as a fraction of the largest magnitude in the second.

    Parameters
    ----------
    values, reference : ndarray
        Arrays of shapes that broadcast.

    Returns
    -------
    float
        The difference itself if the reference is zero; 0 if there is nothing to compare; NaN if one of them is there.
    """
    largest = np.abs(reference).max(initial=0)
    return float(np.abs(values - reference).max(initial=0) / (largest if largest > 0 else 1))
