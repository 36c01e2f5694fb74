"""Loops that NumPy would run in many passes, compiled to machine code."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compiled"]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of arrays and numbers when it is first called.

    It runs without Python's lock, so that threads run it side by side, and rounds as NumPy does: products are not
    fused with sums, and sums not reordered.

    Parameters
    ----------
    function : callable
        What Numba can compile.

    Returns
    -------
    callable
        The same, compiled. The machine code is kept beside the module, or where the user's caches are, if either
        can be written.
    """
    compile_it = functools.partial(numba.njit, nogil=True)
    try:
        return compile_it(function, cache=True)
    except RuntimeError:
        # No folder to keep it in: compiled again in each session.
        return compile_it(function)
