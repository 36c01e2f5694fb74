"""Between NumPy and TensorFlow without copies where that is possible."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["to_numpy"]


def to_numpy(tensor: Any) -> np.ndarray:
    """Read a tensor as an array, which may share the tensor's memory and is read-only then."""
    try:
        return np.asarray(memoryview(tensor))
    except (BufferError, TypeError, ValueError):
        # On a GPU, or of a type that has no buffer.
        return tensor.numpy()
