"""How much a file may unpack to."""

from __future__ import annotations

import os
import pathlib
import stat

from ...exceptions import InputFileError

__all__ = ["MAX_TEXT", "allowed_bytes", "check_bytes", "check_regular", "is_folder"]

#: What every file may unpack to, however small it is [byte].
_FLOOR = 128 * 2**20
#: What no file may unpack to unless it is asked for [byte].
_CEILING = 4 * 2**30
#: In between, how much larger than the file its content may be. Trained weights and photographs stay far below.
_RATIO = 100
#: Longest text, such as the description of a model [byte]. ResNet152 needs 0.4 MB.
MAX_TEXT = 16 * 2**20


def allowed_bytes(path: str | os.PathLike, max_bytes: int | None = None) -> int:
    """Return how much a file may unpack to.

    Parameters
    ----------
    path : path-like
        The file.
    max_bytes : int, optional
        The user's own limit [byte], which is returned as it is.

    Returns
    -------
    int
        128 MiB or, if that is more, a hundred times the size of the file; at most 4 GiB, or the file's size.
    """
    if max_bytes is not None:
        return int(max_bytes)
    size = pathlib.Path(path).stat().st_size
    return max(size, min(_CEILING, max(_FLOOR, _RATIO * size)))


def check_bytes(subject: str, n_bytes: int, limit: int, what: str) -> None:
    """Refuse what is larger than its limit, before it is read.

    Parameters
    ----------
    subject : str
        The file, as errors name it.
    n_bytes : int
        How large it is, or says it is [byte].
    limit : int
        How large it may be [byte].
    what : str
        What is that large.

    Raises
    ------
    InputFileError
        If it is larger.
    """
    if n_bytes > limit:
        raise InputFileError(
            f"{subject}: {what} would take {_size(n_bytes)}; expected at most {_size(limit)}, the limit for this file. "
            f"If you trust it, raise the limit: max_bytes={n_bytes} (--max-bytes {n_bytes}).",
            n_bytes=n_bytes,
            max_bytes=limit,
        )


def _size(n_bytes):
    for factor, unit in ((2**50, "PiB"), (2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if n_bytes >= factor:
            # Numbers in a file may be too long for a float.
            return f"more than 1000 {unit}" if n_bytes >= 1000 * factor else f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes} bytes"


def is_folder(path: str | os.PathLike) -> bool:
    """Tell whether there is a folder; a path that cannot be is none."""
    try:
        return stat.S_ISDIR(pathlib.Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def check_regular(subject: str, path: str | os.PathLike) -> None:
    """Check that there is a plain file: no folder, and nothing that could make a reader wait or never end.

    Parameters
    ----------
    subject : str
        The file, as errors name it.
    path : path-like
        Where it is. Links are followed.

    Raises
    ------
    InputFileError
        If there is no such file, or if it is a folder, a device, a pipe, or empty.
    """
    try:
        status = pathlib.Path(path).stat()
    except (OSError, ValueError) as err:
        reason = "there is no such file" if isinstance(err, FileNotFoundError) else f"it cannot be found ({err})"
        raise InputFileError(f"{subject}: {reason}. Check the path.") from err
    if stat.S_ISDIR(status.st_mode):
        raise InputFileError(f"{subject}: expected a file, got a folder. Give the path of a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise InputFileError(f"{subject}: expected a file, got a device or a pipe. Copy it into a file.")
    if status.st_size == 0:
        raise InputFileError(f"{subject}: expected a file with content, got an empty one. Save it again.")
