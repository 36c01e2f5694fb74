"""Whether a result fits into memory, said before it is computed."""

from __future__ import annotations

import pathlib

import psutil

from ..exceptions import ResultSizeError

__all__ = ["CONTROL_GROUPS", "check_room", "free_memory", "readable_bytes"]

#: Of the container that a process runs in, by version of Linux's control groups: limit, use, and what of that use the
#: system would give back, being copies of files. Public, as a test cannot put its own process into a container.
CONTROL_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
        "total_inactive_file",
    ),
)


def free_memory() -> int:
    """Return how much memory can be taken without swapping [bytes].

    Returns
    -------
    int
        What the machine has available, or what is left to the container that the process runs in, if that is less.
    """
    free = psutil.virtual_memory().available
    for limit_file, use_file, statistics, reclaimable in CONTROL_GROUPS:
        limit, used = _number_in(limit_file), _number_in(use_file)
        if limit is not None and used is not None:
            free = min(free, limit - used + (_number_in(statistics, reclaimable) or 0))
    return free


def check_room(n_bytes: int, *, what: str, remedy: str) -> None:
    """Check that a result fits into memory, before anything is computed.

    Parameters
    ----------
    n_bytes : int
        Size of the result [bytes].
    what : str
        What is so large, for the message: the object and its factors.
    remedy : str
        Imperative sentence that says how to make it smaller.

    Raises
    ------
    ResultSizeError
        If it is larger than what is free.
    """
    free = free_memory()
    if n_bytes > free:
        raise ResultSizeError(
            f"{what} take {readable_bytes(n_bytes)}; expected at most the {readable_bytes(free)} of memory that are "
            f"free, got more. {remedy}",
            n_bytes=int(n_bytes),
            free=int(free),
        )


def readable_bytes(n_bytes: float) -> str:
    """Write a number of bytes with three digits and a unit, such as '1.2 GB'."""
    size = float(n_bytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.0f} PB"


def _number_in(path: str, name: str | None = None) -> int | None:
    """Return the number in a file of the system, or the one behind a name; None if there is none."""
    try:
        words = pathlib.Path(path).read_text(encoding="ascii").split()
        return int(words[0] if name is None else words[words.index(name) + 1])
    except (OSError, ValueError, IndexError):
        return None
