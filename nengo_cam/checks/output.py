"""Results reach the disk whole or not at all."""

from __future__ import annotations

import contextlib
import os
import pathlib
import secrets
import shutil
import signal
import stat
import tempfile
import threading
from typing import TYPE_CHECKING

from ..exceptions import OutputPathError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["atomic_folder", "atomic_path", "check_folder", "check_writable", "make_folder"]

# Temporary names: short, so that a long name beside them is no obstacle, and hidden.
_PREFIX = ".nengo-cam-"
# Bytes of a suffix that is kept at a temporary file; a longer one is none that a writer goes by.
_LONGEST_SUFFIX = 32
# What ends a process, unless it asks for something else: kill, a scheduler's limit, a terminal that is closed.
_ENDINGS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def check_writable(path: str | os.PathLike[str], *, inputs: Sequence[str | os.PathLike[str]] = ()) -> pathlib.Path:
    """Check that a file can be written at ``path``, before the work whose result goes there.

    Parameters
    ----------
    path : str or path-like
        File to be written. Nothing is left behind by the check. Of a symbolic link, the file that it leads to.
    inputs : sequence of str or path-like
        Files that the work reads, none of which may be overwritten by it.

    Returns
    -------
    pathlib.Path
        The path.

    Raises
    ------
    OutputPathError
        If the folder does not exist or is not writable, if ``path`` is a folder, a device, one of ``inputs``, a link
        that leads in a circle or a file that is read-only, or if its name is too long or not a name.
    """
    path = pathlib.Path(path)
    target = _target(path)
    folder = target.parent
    kind = _kind(path, target)
    if not folder.is_dir():
        raise OutputPathError(f"output {str(path)!r}: the folder {str(folder)!r} does not exist. Create it first.")
    if kind is not None and stat.S_ISDIR(kind):
        raise OutputPathError(f"output {str(path)!r}: expected a file name, got a folder. Append a file name.")
    if kind is not None and not stat.S_ISREG(kind):
        raise OutputPathError(f"output {str(path)!r}: expected a file, got a device or a pipe. Choose another name.")
    if kind is not None and not os.access(target, os.W_OK):
        raise OutputPathError(f"output {str(path)!r}: the file exists and is read-only. Choose another name.")
    for other in inputs:
        if kind is not None and pathlib.Path(other).exists() and target.samefile(other):
            raise OutputPathError(
                f"output {str(path)!r}: the same file as the input {str(other)!r}; expected another one. Choose "
                "another name."
            )
    try:
        # os.access does not see read-only mounts and full quotas; writing does.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as err:
        why = "" if kind is None else " Also a file that exists is replaced by a new one from its folder."
        raise OutputPathError(
            f"output {str(path)!r}: nothing can be written to the folder {str(folder)!r} ({err.strerror}).{why} "
            "Choose another folder."
        ) from err
    return path


def check_folder(folder: str | os.PathLike[str], names: Sequence[str] = ()) -> None:
    """Check that files can be written to a folder, which may not be there yet, before the work whose results they are.

    Parameters
    ----------
    folder : str or path-like
        The folder. Nothing is made, and nothing is left behind by the check.
    names : sequence of str
        Names of the files.

    Raises
    ------
    OutputPathError
        If the folder is a file, if it cannot be made where it shall be, or if a file cannot be written to it, see
        `check_writable`.
    """
    folder = pathlib.Path(folder)
    target = _target(folder)
    kind = _kind(folder, target)
    nearest = target if kind is not None else next(path for path in target.absolute().parents if path.exists())
    if not nearest.is_dir():
        raise OutputPathError(
            f"output {str(folder)!r}: {str(nearest)!r} is a file; expected a folder, or none yet. Choose another place."
        )
    for name in names if kind is not None else (f"{_PREFIX}check",):
        check_writable(nearest / name)


def make_folder(path: str | os.PathLike[str]) -> None:
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
    except (OSError, ValueError) as err:
        why = getattr(err, "strerror", None) or err
        raise OutputPathError(
            f"output {str(path)!r}: the folder cannot be made ({why}). Choose another place."
        ) from err


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Give a temporary path beside ``path`` to write to, and move it there once it is complete.

    An existing file is replaced only when the new one is complete, and hands on its permissions; a new file has those
    that all new files get. Of a symbolic link, the file that it leads to is replaced, and the link stays. Other names
    of an existing file (hard links) keep its old content.

    Whatever ends the block early removes what was written: an error, Ctrl-C, and in the main thread SIGTERM and SIGHUP.
    For these two a handler is in place while the block runs, if the program has none of its own and does not ignore
    them; it lets the block end in order, and the process then dies of the signal as it would have. What is written in
    another thread when a signal ends the process, or when nothing can be done (SIGKILL), stays behind as a hidden file
    ``.nengo-cam-*``.

    Parameters
    ----------
    path : str or path-like
        Where the file shall be in the end.

    Yields
    ------
    pathlib.Path
        A path in the folder of the file, with the same suffix.

    Raises
    ------
    OutputPathError
        If ``path`` cannot be written, see `check_writable`.
    """
    target = _target(check_writable(path))
    # The suffix stays last: writers choose the format by it.
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    partial = target.with_name(f"{_PREFIX}{secrets.token_hex(6)}.part{suffix}")

    def remove():
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()

    with _ended_in_order(remove):
        try:
            yield partial
            _replace(partial, target)
        finally:
            remove()


@contextlib.contextmanager
def atomic_folder(folder: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Give a temporary folder to write files to, and move them into ``folder`` once all are complete.

    Files of the same names are replaced as by `atomic_path`, which also says what happens when a signal comes; others
    stay.

    Parameters
    ----------
    folder : str or path-like
        Where the files shall be in the end. It is made, and those above it, if it is not there yet.

    Yields
    ------
    pathlib.Path
        An empty folder.

    Raises
    ------
    OutputPathError
        If the folder cannot be made or written to, see `check_folder`.
    """
    final = _target(pathlib.Path(folder))
    check_folder(final, [f"{_PREFIX}check"])
    make_folder(final.parent)
    there = final.is_dir()
    # On the file system of the target, where a move is a rename, which happens whole or not at all.
    place = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX, dir=final if there else final.parent))

    def remove():
        shutil.rmtree(place, ignore_errors=True)

    with _ended_in_order(remove):
        try:
            # Inside, as the temporary folder itself is for its owner alone.
            whole = place / "whole"
            whole.mkdir()
            yield whole
            if there:
                for file in sorted(whole.iterdir()):
                    _replace(file, _target(final / file.name))
            else:
                whole.rename(final)
        finally:
            remove()


def _target(path):
    """Follow a symbolic link to the file that it leads to, whether that is there or not."""
    try:
        return pathlib.Path(os.path.realpath(path)) if path.is_symlink() else path
    except (OSError, ValueError):
        # What is wrong with the name is found where it is looked up.
        return path


def _kind(path, target):
    """Return the mode of what is at ``target``, or None if there is nothing."""
    try:
        # In a circle of links, the way ends at one of them.
        found = target.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as err:
        why = getattr(err, "strerror", None) or err
        n_bytes = len(target.name.encode(errors="replace"))
        raise OutputPathError(
            f"output {str(path)!r}: there can be no file of this name ({why}); expected a name that the file system "
            f"takes, mostly of up to 255 bytes, got {n_bytes} bytes. Choose another name."
        ) from err
    if stat.S_ISLNK(found):
        raise OutputPathError(
            f"output {str(path)!r}: a symbolic link in a circle; expected one that leads to a file. Remove it."
        )
    return found


def _replace(partial, target):
    """Move a complete file to its place, where one that is replaced hands on its permissions and its owner."""
    with contextlib.suppress(FileNotFoundError):
        old, new = target.stat(), partial.stat()
        if hasattr(os, "chown") and (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            # Only root may give files away; otherwise they belong to whom wrote them last.
            with contextlib.suppress(PermissionError):
                os.chown(partial, old.st_uid, old.st_gid)
        partial.chmod(stat.S_IMODE(old.st_mode))
    partial.replace(target)


class _Ended(BaseException):
    """Unwinds a block in which a signal has come that ends the process."""


@contextlib.contextmanager
def _ended_in_order(remove):
    """Let signals that end the process end the block in order first.

    Python does nothing at all when such a signal comes: no ``finally``, no ``atexit``. A handler of the program's own
    is left in place, and signals that it ignores stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may set handlers, and only it runs them.
        yield
        return
    process, came, running = os.getpid(), [], True

    def end(number, frame):
        if os.getpid() != process:
            # A child that was forked in the meantime: what is written is not its own.
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        came.append(number)
        # Once only: the second would end the clean-up of the first.
        if running and len(came) == 1:
            raise _Ended

    ours = [number for number in _ENDINGS if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    except _Ended:
        pass
    finally:
        running = False
        if came:
            # Again, as the signal may have come in the middle of it.
            remove()
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        if came:
            # With the status that whoever sent it expects; the first process of a container does not die of it.
            signal.raise_signal(came[0])
            raise SystemExit(128 + came[0])
