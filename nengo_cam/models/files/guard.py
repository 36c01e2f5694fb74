"""How large a model may become while Keras builds it.

A few bytes can describe layers of any size, which Keras makes before it looks for their weights. `guarded_building`
watches it and stops it before memory is taken.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from ... import compat
from ...exceptions import InputFileError, UnsafeFileError
from .limits import check_bytes

__all__ = ["guarded_building"]

#: Variables that models have and files lack, such as the states of random generators [byte].
_SLACK = 2**20
#: Largest tensor that a layer makes of one image [byte]. No memory is taken for it until the model runs.
_MAX_TENSOR = 2**30
_FLOAT = 4
_MAX_CALLS = 40_000
#: Axes that Keras cuts into single positions while it builds a model.
_MAX_PIECES = 2**14
#: Values that a Normalization with given statistics makes of them while it is built.
_MAX_STATISTICS = 2**22


@contextlib.contextmanager
def guarded_building(subject: str, n_bytes: int, limit: int) -> Iterator[Any]:
    """Stop Keras when a model that is built in this block becomes too large.

    Variables begin as zeros, since all get their values from the file: initializers take time.

    Parameters
    ----------
    subject : str
        The file, as errors name it.
    n_bytes : int
        Size of all weights in the file [byte].
    limit : int
        How large a tensor may be, if that is more than 1 GiB [byte].

    Raises
    ------
    InputFileError
        If the model has more weights than there are in the file, if a layer makes a tensor that is too large of one
        image, or if layers are called too often.
    UnsafeFileError
        If a layer is called with numbers only, and so would run.
    """
    guard = _Guard(subject, n_bytes, max(limit, _MAX_TENSOR))
    with compat.watched_building(guard.before_call, guard.after_call, guard.make_variable):
        yield


class _Guard:
    def __init__(self, subject, n_bytes, max_tensor):
        self._subject, self._max_tensor = subject, max_tensor
        self._stored, self._taken, self._n_calls = n_bytes, 0, 0

    def before_call(self, layer, leaves):
        self._n_calls += 1
        if self._n_calls > _MAX_CALLS:
            raise self._error(layer, f"expected at most {_MAX_CALLS} calls of layers, got more")
        tensors = [leaf for leaf in leaves if hasattr(leaf, "shape") and hasattr(leaf, "dtype")]
        if all(map(compat.is_value, tensors)):
            raise UnsafeFileError(
                f"{self._subject}: the layer {layer.name!r} ({type(layer).__name__}) is called with numbers, and so "
                "runs when the file is opened; expected tensors. Replace the layer, or pass --unsafe (unsafe=True) if "
                "you trust it."
            )
        for tensor in tensors:
            self._check_tensor(layer, tensor)
            for part in (layer, getattr(layer, "layer", None)):
                self._check_cost(part, tensor)

    def after_call(self, layer, outputs):
        for tensor in outputs:
            if hasattr(tensor, "shape"):
                self._check_tensor(layer, tensor)

    def make_variable(self, next_creator, **options):
        shape = options.get("shape")
        if callable(options.get("initial_value")) and shape is not None:
            tf = compat.import_tensorflow()
            shape, dtype = tf.TensorShape(shape), tf.as_dtype(options.get("dtype") or "float32")
            self._take(options.get("name"), _known(shape) * dtype.size)
            options["initial_value"] = lambda: tf.zeros(shape, dtype)
        return next_creator(**options)

    def _take(self, name, n_bytes):
        self._taken += n_bytes
        if self._taken > self._stored + _SLACK:
            raise InputFileError(
                f"{self._subject}: with the variable {str(name)!r}, the model has at least {self._taken} bytes of "
                f"weights; expected as many as there are in the file, got {self._stored}. Save it again with "
                "model.save."
            )

    def _check_tensor(self, layer, tensor):
        what = f"the tensor of one image at the layer {layer.name!r}"
        check_bytes(self._subject, _known(tensor.shape) * _FLOAT, self._max_tensor, what)

    def _check_cost(self, layer, tensor):
        """Bound what some layers do in Python or NumPy when they are built."""
        kind, sizes = type(layer).__name__, [n for n in tensor.shape[1:] if n is not None]
        if kind in ("UpSampling1D", "UpSampling3D"):
            factors = layer.size if isinstance(layer.size, (list, tuple)) else [layer.size]
            if max(factors) * max(sizes, default=1) > _MAX_PIECES:
                raise self._error(layer, f"expected axes of at most {_MAX_PIECES} positions, got more")
        has_statistics = kind == "Normalization" and getattr(layer, "input_mean", None) is not None
        if has_statistics and math.prod(sizes) > _MAX_STATISTICS:
            raise self._error(layer, f"expected images of at most {_MAX_STATISTICS} values, got more")

    def _error(self, layer, problem):
        return InputFileError(
            f"{self._subject}: the layer {layer.name!r} ({type(layer).__name__}) is too large to be built; {problem}. "
            "If you trust the file, pass --unsafe (unsafe=True)."
        )


def _known(shape):
    """Count the elements along all axes whose size is known."""
    return math.prod(int(n) for n in shape if n is not None) if shape.rank is not None else 0
