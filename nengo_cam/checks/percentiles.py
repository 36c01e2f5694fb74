"""Percentiles of more values than fit in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..exceptions import ParameterError
from .parameters import is_real

__all__ = ["RepeatedValues", "TopValues", "check_percentile"]


def check_percentile(percentile: Any) -> None:
    """Check that a percentile of activity can be a reference.

    Parameters
    ----------
    percentile : object
        What the user gave.

    Raises
    ------
    ParameterError
        If it is not a number above 0 and at most 100.
    """
    if not is_real(percentile) or not 0 < percentile <= 100:
        raise ParameterError(f"percentile: expected a number above 0 and at most 100, got {percentile!r}. Try 99.9.")


class TopValues:
    """A high percentile, over all values or for each channel, that keeps only the values at and above it.

    Parameters
    ----------
    n_values : int
        How many values there will be, per channel.
    percentile : float
        Percentile wanted, from 0 to 100.
    n_channels : int or None
        How many channels the last axis of the values has, each with a percentile of its own. None takes all values
        together, whatever their shape.
    """

    def __init__(self, n_values: int, percentile: float, *, n_channels: int | None = None):
        # NumPy's 'linear' rule interpolates between two neighbors in the sorted values; the lower one is the
        # smallest that is needed.
        self._rank = (n_values - 1) * percentile / 100
        self._n_kept = n_values - int(np.floor(self._rank))
        self._n_channels = n_channels
        self._kept: np.ndarray | None = None

    def add(self, values: ArrayLike) -> None:
        """Take values of shape (...) into account, or (..., n_channels) if there is one percentile per channel."""
        # One row per channel, so that the sort runs along memory.
        rows = np.reshape(values, (-1, self._n_channels or 1)).T
        if self._kept is not None:
            rows = np.concatenate([self._kept, rows], axis=1)
        surplus = rows.shape[1] - self._n_kept
        if surplus > 0:
            rows = np.partition(rows, surplus, axis=1)[:, surplus:]
        # A copy: a view would keep the whole batch alive, or be the caller's own array.
        self._kept = rows.copy()

    def percentile(self) -> float | NDArray[np.float64]:
        """Return the percentile, equal to that of `numpy.percentile`.

        Returns
        -------
        float or ndarray of shape (n_channels,)
            The percentile of all values, or of each channel.
        """
        kept = np.sort(np.asarray(self._kept), axis=1).astype(float)
        lower, upper = kept[:, 0], kept[:, min(1, kept.shape[1] - 1)]
        result = lower + (upper - lower) * (self._rank - np.floor(self._rank))
        return float(result[0]) if self._n_channels is None else result


class RepeatedValues:
    """Statistics of values that repeat often, such as spike counts; keeps each value once, and how often it was seen.

    Memory grows with the number of different values only.
    """

    def __init__(self) -> None:
        self._values = np.empty(0)
        self._times = np.empty(0, np.int64)

    def add(self, values: ArrayLike) -> None:
        """Take an array of values into account."""
        new, times = np.unique(values, return_counts=True)
        self._values, where = np.unique(np.concatenate([self._values, new]), return_inverse=True)
        merged = np.zeros(len(self._values), np.int64)
        np.add.at(merged, where, np.concatenate([self._times, times]))
        self._times = merged

    def mean(self) -> float:
        """Return the mean of all values."""
        return float(self._values @ self._times / self._times.sum())

    def percentile(self, percentile: float) -> float:
        """Return a percentile, equal to that of `numpy.percentile`.

        Parameters
        ----------
        percentile : float
            From 0 to 100.

        Returns
        -------
        float
        """
        seen = np.cumsum(self._times)
        rank = (seen[-1] - 1) * percentile / 100
        # Interpolated between two neighbors in the sorted values.
        lower, upper = self._values[np.searchsorted(seen, [np.floor(rank), np.ceil(rank)], side="right")]
        return float(lower + (upper - lower) * (rank - np.floor(rank)))
