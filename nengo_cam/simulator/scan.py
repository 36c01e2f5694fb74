"""Scans over time, split into blocks of items and elements that do not depend on each other."""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Block", "blocks", "for_each", "for_each_block", "portions", "spread"]

#: Items with at least this many elements are scanned by themselves, so that a step's arrays stay in the cache.
_LONG = 2**14

#: A scan of fewer elements and steps than this is over before a thread has started.
_WORTH_A_THREAD = 2**20


class Block(collections.namedtuple("Block", "items, elements")):
    """Some items and some elements, as slices of arrays (batch, steps, size)."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of items and of elements."""
        return self.items.stop - self.items.start, self.elements.stop - self.elements.start

    def of(self, state: np.ndarray) -> np.ndarray:
        """Take the block from an array of shape (batch, ..., size), as a view."""
        return state[self.items, ..., self.elements]


def blocks(batch: int, size: int) -> list[Block]:
    """Split items and elements into blocks.

    Returns
    -------
    list of Block
    """
    if size < _LONG:
        return [Block(slice(0, batch), slice(0, size))]
    n_parts = min(-(-_n_threads() // batch), size // _LONG)
    edges = np.linspace(0, size, n_parts + 1).astype(int).tolist()
    return [
        Block(slice(i, i + 1), slice(start, stop)) for i in range(batch) for start, stop in zip(edges[:-1], edges[1:])
    ]


def for_each_block(function: Callable[[Block], object], batch: int, n_steps: int, size: int) -> None:
    """Call a function for all blocks, on several processors if there is enough to do.

    Parameters
    ----------
    function : callable
        Takes a `Block`.
    batch, n_steps, size : int
        Shape of the arrays that are scanned.
    """
    for_each(function, blocks(batch, size), parallel=batch * n_steps * size >= _WORTH_A_THREAD)


def for_each(function: Callable[[Any], object], parts: Sequence[Any], *, parallel: bool) -> None:
    """Call a function for all parts of something.

    Parameters
    ----------
    function : callable
        Takes a part.
    parts : sequence
        The parts.
    parallel : bool
        Whether there is enough to do for several processors. What is called has to let go of Python's lock.
    """
    if len(parts) == 1 or not parallel:
        for part in parts:
            function(part)
        return

    # NumPy keeps how it treats errors for each thread.
    errors = np.geterr()

    def run(part):
        with np.errstate(**errors):
            function(part)

    list(_pool(_n_threads()).map(run, parts))


def portions(n: int) -> list[slice]:
    """Split ``n`` things that come in a row into one slice for each processor."""
    edges = np.linspace(0, n, min(n, _n_threads()) + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in zip(edges[:-1], edges[1:])]


def spread(state: np.ndarray, batch: int) -> np.ndarray:
    """Give each item its own copy of a state (batch or 1, ...) as soon as items differ."""
    return state if state.shape[0] == batch else np.repeat(state, batch, axis=0)


def _n_threads():
    return os.cpu_count() or 1


@functools.cache
def _pool(n_threads):
    return concurrent.futures.ThreadPoolExecutor(n_threads, thread_name_prefix="nengo_cam")
