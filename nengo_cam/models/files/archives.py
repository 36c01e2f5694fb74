"""Members of zip archives, read no further than a limit."""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from ...exceptions import InputFileError
from .limits import check_bytes

__all__ = ["Archive", "open_archive"]

#: What NumPy and Keras write. Other methods may ask for more memory than their content.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_BLOCK = 2**20
_MAX_MEMBERS = 10_000


@contextlib.contextmanager
def open_archive(subject: str, path: str | os.PathLike) -> Iterator[Archive]:
    """Open a zip archive.

    Parameters
    ----------
    subject : str
        The file, as errors name it.
    path : path-like
        Where it is.

    Yields
    ------
    Archive
        Its members.

    Raises
    ------
    InputFileError
        If it is no archive, or if readers could disagree on what it holds.
    """
    try:
        with zipfile.ZipFile(path) as file:
            yield Archive(subject, file)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, zlib.error) as err:
        if isinstance(err, InputFileError):
            raise
        raise InputFileError(
            f"{subject}: it cannot be unpacked ({err}); expected an archive written by Keras or NumPy, got a broken "
            "one. Save it again."
        ) from err


class Archive:
    """Members of an open archive.

    Parameters
    ----------
    subject : str
        The file, as errors name it.
    file : zipfile.ZipFile
        The archive.

    Attributes
    ----------
    names : list of str
        Names of the members.
    """

    def __init__(self, subject: str, file: Any):
        self._subject, self._file = subject, file
        self.names = file.namelist()
        if len(self.names) > _MAX_MEMBERS or len(set(self.names)) < len(self.names):
            problem = "two members of one name" if len(self.names) <= _MAX_MEMBERS else f"{len(self.names)} members"
            raise InputFileError(
                f"{subject}: expected an archive written by Keras or NumPy, got {problem}. Save it again."
            )

    def __contains__(self, name):
        return name in self.names

    def read(self, name: str, limit: int) -> bytes:
        """Read a member.

        Parameters
        ----------
        name : str
            Its name.
        limit : int
            How long it may be [byte].

        Returns
        -------
        bytes
            Its content.

        Raises
        ------
        InputFileError
            If it is not there, too long, or not to be unpacked.
        """
        return b"".join(self.blocks(name, limit))

    def blocks(self, name: str, limit: int) -> Iterator[bytes]:
        """Read a member piece by piece.

        Parameters
        ----------
        name : str
            Its name.
        limit : int
            How long it may be [byte]. What the archive says of its length is not trusted.

        Yields
        ------
        bytes
            At most 1 MiB each.

        Raises
        ------
        InputFileError
            If it is not there, too long, or not to be unpacked.
        """
        with self.open(name) as member:
            check_bytes(self._subject, self._file.getinfo(name).file_size, limit, f"its member {name!r}")
            n_bytes = 0
            while block := member.read(_BLOCK):
                n_bytes += len(block)
                check_bytes(self._subject, n_bytes, limit, f"its member {name!r}")
                yield block

    def open(self, name: str) -> Any:
        """Open a member.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        file object
            To be read as bytes, and to be closed.

        Raises
        ------
        InputFileError
            If it is not there, or not to be unpacked.
        """
        if name not in self.names:
            raise InputFileError(
                f"{self._subject}: expected a member {name!r}, got {self.names[:10]}. Save it with model.save."
            )
        info = self._file.getinfo(name)
        if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
            raise InputFileError(
                f"{self._subject}: its member {name!r} is encrypted or packed by another method than Keras and NumPy "
                "use; expected a plain archive. Save it again."
            )
        return self._file.open(info)
