"""Values of signals over a chunk of time, and views on signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from nengo.builder import Signal
    from numpy.typing import ArrayLike

    from .scan import Block

__all__ = ["Value", "element_indices", "overlap", "signal_key"]

#: What `signal_key` identifies the memory of a signal by.
Key = tuple[int, int, tuple[int, ...], tuple[int, ...]]


class Value:
    """What a signal holds at every step of a chunk: a sum of terms that is only added up where it has to be.

    Parameters
    ----------
    *terms : ndarray of shape (batch or 1, steps or 1, size), or pair of ndarrays
        A pair is an array and the factors of shape (size,) or () that it is still to be multiplied by. An axis of
        length 1 says that the term is the same for all items or steps. Arrays are shared between values: nobody
        writes into them.
    """

    __slots__ = ("terms",)

    def __init__(self, *terms: np.ndarray | tuple[np.ndarray, Any]):
        self.terms: list[tuple[np.ndarray, Any]] = [term if isinstance(term, tuple) else (term, None) for term in terms]

    @property
    def batch(self) -> int:
        """Number of items, 1 if all items are the same."""
        return max(array.shape[0] for array, _ in self.terms)

    @property
    def n_steps(self) -> int:
        """Number of steps, 1 if all steps are the same."""
        return max(array.shape[1] for array, _ in self.terms)

    @property
    def size(self) -> int:
        """Number of elements of the signal."""
        return self.terms[0][0].shape[2]

    def dense(self) -> np.ndarray:
        """Add the terms up.

        Returns
        -------
        ndarray of shape (batch or 1, steps or 1, size)
        """
        if len(self.terms) > 1 or self.terms[0][1] is not None:
            # Still terms first: they are small, and so are their partial sums.
            ordered = sorted(self.terms, key=lambda term: term[0].size)
            total: Any = None
            for array, scale in ordered:
                scaled = array if scale is None else array * scale
                total = scaled if total is None else total + scaled
            self.terms = [(total, None)]
        return self.terms[0][0]

    def scaled(self, factors: ArrayLike) -> Value:
        """Multiply by constant factors of shape (size,) or (), at the time when the terms are added up."""
        if len(self.terms) == 1 and self.terms[0][1] is None and self.n_steps > 1:
            return Value((self.terms[0][0], factors))
        return Value(self.dense() * factors)

    def split(self, factor: float | None = None) -> tuple[Any, list[tuple[np.ndarray, Any]]]:
        """Separate what stands still from what moves.

        Parameters
        ----------
        factor : float, optional
            What the sum is multiplied by, term by term.

        Returns
        -------
        still : ndarray of shape (batch or 1, size), or None
            Sum of the terms that are the same for all steps.
        moving : list of (ndarray of shape (batch or 1, steps, size), ndarray or float or None)
            The others, each with its factor.
        """
        moving: list[tuple[np.ndarray, Any]] = []
        still: Any = None
        for array, scale in self.terms:
            if factor is not None:
                # A product may have this factor in its weights already, and undo it here.
                scale = factor if scale is None else scale * factor
                scale = None if np.all(np.abs(scale - 1) < 1e-12) else scale
            if array.shape[1] > 1:
                moving.append((array, scale))
            else:
                term = array[:, 0] if scale is None else array[:, 0] * scale
                still = term if still is None else still + term
        return still, moving

    def reader(self, block: Block) -> Callable[[int, np.ndarray], np.ndarray]:
        """Make a function that adds up the terms of one step for some items and elements.

        Parameters
        ----------
        block : Block
            Items and elements.

        Returns
        -------
        callable
            ``read(step, buffer)`` returns an array that broadcasts to the shape of the block; it may be the buffer.
        """
        arrays = (
            (array[block.items if array.shape[0] > 1 else slice(None), :, block.elements], scale)
            for array, scale in self.terms
        )
        terms = ((array, scale[block.elements] if np.ndim(scale) else scale) for array, scale in arrays)
        still, moving = Value(*terms).split()
        if not moving:
            return lambda step, buffer: still
        (first, scale), *rest = moving

        def read(step, buffer):
            total = first[:, step]
            if scale is not None:
                total = np.multiply(total, scale, out=buffer)
            if still is not None:
                total = np.add(total, still, out=buffer)
            for array, factors in rest:
                term = array[:, step]
                total = np.add(total, term if factors is None else term * factors, out=buffer)
            return total

        return read


def signal_key(signal: Signal) -> Key:
    """Identify the memory that a signal or view stands for."""
    return id(signal.base), signal.elemoffset, signal.shape, signal.elemstrides


def element_indices(signal: Signal) -> slice | np.ndarray:
    """Where the elements of a view lie in its flattened base, as a slice if possible."""
    if not signal.is_view:
        return slice(0, signal.size)
    indices = np.full(signal.shape, signal.elemoffset, dtype=np.intp)
    for axis, (length, stride) in enumerate(zip(signal.shape, signal.elemstrides)):
        shape = [1] * signal.ndim
        shape[axis] = length
        indices = indices + stride * np.arange(length).reshape(shape)
    return as_slice(indices.ravel())


def as_slice(indices):
    """Turn an array of indices into a slice where one says the same."""
    if len(indices) == 0:
        return slice(0, 0)
    step = 1 if len(indices) == 1 else int(indices[1] - indices[0])
    if step > 0 and np.array_equal(indices, indices[0] + step * np.arange(len(indices))):
        return slice(int(indices[0]), int(indices[-1]) + 1, step)
    return indices


def overlap(written: Signal, read: Signal) -> tuple[slice | np.ndarray, slice | np.ndarray] | None:
    """Find the elements that two views on the same base share.

    Parameters
    ----------
    written, read : nengo.builder.Signal
        Signals with the same base.

    Returns
    -------
    tuple of (slice or ndarray), or None
        Positions in ``written`` and the same elements' positions in ``read``; None if there are none.
    """
    source, target = (np.r_[element_indices(signal)] for signal in (written, read))
    _, in_source, in_target = np.intersect1d(source, target, return_indices=True)
    if len(in_source) == 0:
        return None
    order = np.argsort(in_target)
    return as_slice(in_source[order]), as_slice(in_target[order])
