"""Arrays in ``.npy`` and ``.npz`` files."""

from __future__ import annotations

import io
import math
import pathlib

import numpy as np

from ...exceptions import InputFileError, UnsafeFileError
from .archives import open_archive
from .limits import allowed_bytes, check_bytes

__all__ = ["load_array"]

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_LONGEST_HEADER = 12_000
_NAMES = ("images", "x_test")


def load_array(path: pathlib.Path, *, unsafe: bool = False, max_bytes: int | None = None) -> np.ndarray:
    """Load the images in an array file.

    Parameters
    ----------
    path : pathlib.Path
        A ``.npy`` or ``.npz`` file.
    unsafe : bool
        Whether to read pickled objects.
    max_bytes : int, optional
        How large the array may be, see `nengo_cam.models.files.limits.allowed_bytes` [byte].

    Returns
    -------
    ndarray
        The array.

    Raises
    ------
    InputFileError
        If it is no such file, broken, or too large.
    UnsafeFileError
        If the array is pickled and ``unsafe`` is False.
    """
    subject = f"images {str(path)!r}"
    limit = allowed_bytes(path, max_bytes)
    try:
        if path.suffix.lower() == ".npz" and not unsafe:
            with open_archive(subject, path) as archive:
                member = _member(subject, [name for name in archive.names if name.endswith(".npy")], archive.names)
                with archive.open(member) as file:
                    return _read(subject, file, limit)
        if unsafe:
            return _load_trusted(subject, path)
        with path.open("rb") as file:
            return _read(subject, file, limit, path.stat().st_size)
    except InputFileError:
        raise
    except (OSError, EOFError, ValueError, TypeError, SyntaxError, MemoryError, OverflowError) as err:
        raise _unreadable(subject, err) from err


def _member(subject, names, all_names):
    """Choose the member that holds the images."""
    wanted = [f"{name}.npy" for name in _NAMES if f"{name}.npy" in names]
    if not wanted and len(names) != 1:
        shown = [name[: -len(".npy")] if name.endswith(".npy") else name for name in all_names[:10]]
        raise InputFileError(
            f"{subject}: expected one array, or one named 'images', got {shown}. Save the images alone."
        )
    return wanted[0] if wanted else names[0]


def _read(subject, file, limit, n_available=None):
    """Read one array whose header has been looked at first."""
    # A header may say that it is gigabytes long, and NumPy would read it all.
    start = io.BytesIO(file.read(_LONGEST_HEADER))
    shape, fortran, dtype = _header(subject, start)
    if dtype.hasobject:
        raise _pickled(subject, "it holds pickled Python objects")
    if dtype.kind not in "biufc":
        raise InputFileError(f"{subject}: expected an array of numbers, got {str(dtype)[:100]}. Save the images alone.")
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_available is not None and n_bytes > n_available:
        raise _unreadable(subject, f"it is truncated: {n_bytes} bytes by its header, {n_available} in the file")
    check_bytes(subject, n_bytes, limit, "its array")
    content = bytearray(n_bytes)
    view, done = memoryview(content), start.readinto(content)
    while done < n_bytes:
        n = file.readinto(view[done:])
        if not n:
            raise _unreadable(subject, f"it is truncated: {n_bytes} bytes by its header, {done} in the file")
        done += n
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _header(subject, file):
    """Read shape, order and dtype of an array."""
    try:
        version = np.lib.format.read_magic(file)
    except ValueError as err:
        raise _pickled(subject, "it holds pickled Python objects or is no array at all") from err
    if version not in _HEADERS:
        raise _unreadable(subject, f"format {version[0]}.{version[1]}")
    try:
        shape, fortran, dtype = _HEADERS[version](file)
    except Exception as err:
        # A header is Python, and NumPy raises whatever parsing it does, tokenize.TokenError for one.
        raise _unreadable(subject, f"{type(err).__name__}: {str(err)[:200]}") from err
    if any(n < 0 for n in shape):
        raise _unreadable(subject, f"shape {shape}")
    return shape, fortran, dtype


def _pickled(subject, problem):
    return UnsafeFileError(
        f"{subject}: {problem}, and reading it runs code from the file; expected plain numbers. Save it as a plain "
        "array, or pass --unsafe (unsafe=True) if you trust it."
    )


def _load_trusted(subject, path):
    """Read what may be pickled."""
    data = np.load(path, allow_pickle=True)
    if not isinstance(data, np.lib.npyio.NpzFile):
        return np.asarray(data)
    with data:
        names = [f"{name}.npy" for name in data.files]
        return np.asarray(data[_member(subject, names, names)[: -len(".npy")]])


def _unreadable(subject, err):
    return InputFileError(
        f"{subject}: expected an array written by numpy.save or numpy.savez, got something else ({err}). Save it again."
    )
