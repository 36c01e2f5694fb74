"""Where a warning belongs: at the user's line, however many of our own calls are in between."""

from __future__ import annotations

import inspect
import os
import pathlib

__all__ = ["user_stacklevel"]

_PACKAGE = str(pathlib.Path(__file__).parents[1]) + os.sep


def user_stacklevel() -> int:
    """Count the calls from the function that asks back to the first one outside this package.

    Returns
    -------
    int
        ``stacklevel`` of `warnings.warn` where this is called, so that the warning is for the user's line.
    """
    frame = inspect.currentframe()
    level = 0
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
