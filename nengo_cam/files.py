"""Results reach the disk whole or not at all."""

import contextlib
import os
import pathlib
import tempfile

from .exceptions import OutputPathError

__all__ = ["atomic_path", "check_writable", "make_folder"]


def check_writable(path):
    """Check that a file can be written at ``path``, before the work whose result goes there.

    Parameters
    ----------
    path : str or path-like
        File to be written. Nothing is left behind by the check.

    Returns
    -------
    pathlib.Path
        The path.

    Raises
    ------
    OutputPathError
        If the folder does not exist or is not writable, or if ``path`` is a folder or a file that is read-only.
    """
    path = pathlib.Path(path)
    folder = path.parent
    if not folder.is_dir():
        raise OutputPathError(f"output {str(path)!r}: the folder {str(folder)!r} does not exist. Create it first.")
    if path.is_dir():
        raise OutputPathError(f"output {str(path)!r}: expected a file name, got a folder. Append a file name.")
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputPathError(f"output {str(path)!r}: the file exists and is read-only. Choose another name.")
    try:
        # os.access does not see read-only mounts and full quotas; writing does.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as err:
        raise OutputPathError(
            f"output {str(path)!r}: nothing can be written to the folder {str(folder)!r} ({err.strerror}). "
            "Choose another folder."
        ) from err
    return path


def make_folder(path):
    """Make a folder for results, and those above it, if it is not there yet.

    Parameters
    ----------
    path : str or path-like
        The folder.

    Raises
    ------
    OutputPathError
        If it cannot be made.
    """
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputPathError(
            f"output {str(path)!r}: the folder cannot be made ({err.strerror}). Choose another place."
        ) from err


@contextlib.contextmanager
def atomic_path(path):
    """Give a temporary path beside ``path`` to write to, and move it there once it is complete.

    Parameters
    ----------
    path : str or path-like
        Where the file shall be in the end. An existing file is replaced only when the new one is complete.

    Yields
    ------
    pathlib.Path
        A path in the same folder with the same suffix. Whatever ends the block early, Ctrl-C included, removes it.

    Raises
    ------
    OutputPathError
        If ``path`` cannot be written, see `check_writable`.
    """
    path = check_writable(path)
    # The suffix stays last: writers choose the format by it.
    partial = path.with_name(f".{path.stem}-{os.getpid()}.part{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
