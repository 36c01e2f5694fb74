"""HDF5 files, whose every object is looked at before one of them is read.

HDF5 can point from a file to others, keep terabytes of zeros in a kilobyte, and load libraries that unpack its content.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...exceptions import InputFileError, UnsafeFileError
from .limits import MAX_TEXT, check_bytes

__all__ = ["attribute_text", "opened_hdf5"]

_MAX_OBJECTS = 200_000
#: What a list of names may take if every name were as long as it could be [byte].
_MAX_TEXTS = 2 * 2**30
_LZF = 32000
# What numbers are kept as. bfloat16, which NumPy lacks, comes as two bytes.
_KINDS = "fiub"
_HALF = np.dtype("V2")


@contextlib.contextmanager
def opened_hdf5(subject: str, path: str | os.PathLike, limit: int, *, unsafe: bool = False) -> Iterator[Any]:
    """Open an HDF5 file once all that it holds has been checked.

    Parameters
    ----------
    subject : str
        The file, as errors name it.
    path : path-like
        Where it is.
    limit : int
        How large its arrays may be together, and how long its texts [byte].
    unsafe : bool
        Whether to open it unchecked.

    Yields
    ------
    file : h5py.File
        The file. If it was checked, all is reached by hard links, and arrays are of plain numbers kept in this file.
    n_bytes : int
        Size of all arrays; 0 if it was not checked [byte].

    Raises
    ------
    InputFileError
        If it is no HDF5 file, broken, or too large.
    UnsafeFileError
        If it points to other files or needs libraries to be read.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except (OSError, ValueError, RuntimeError, KeyError) as err:
        raise InputFileError(
            f"{subject}: expected a Keras model (HDF5, .keras or SavedModel), got something else ({err}). Save it with "
            "model.save."
        ) from err
    with file:
        try:
            n_bytes = 0 if unsafe else _Check(subject, limit).file(file)
        except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as err:
            if isinstance(err, InputFileError):
                raise
            raise InputFileError(
                f"{subject}: its HDF5 structure is broken ({type(err).__name__}: {err}); expected what model.save "
                "writes, got something else. Save it again."
            ) from err
        yield file, n_bytes


def attribute_text(item: Any, name: str) -> str | None:
    """Return a text attribute of a file that has been checked.

    Parameters
    ----------
    item : h5py.Group
        What has the attribute.
    name : str
        Its name.

    Returns
    -------
    str or None
        The text; None if there is no such attribute, or if it is no text.
    """
    value = item.attrs.get(name)
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return str(value) if isinstance(value, str) else None


class _Check:
    """Looks at objects by HDF5's own identifiers, which read no more than headers."""

    def __init__(self, subject, limit):
        self._subject, self._limit = subject, limit
        self._n_bytes = self._n_stored = self._n_text = self._most_texts = self._size = 0

    def file(self, file):
        """Check all that can be reached from the root; return the size of all arrays."""
        import h5py

        self._size = file.id.get_filesize()
        seen, to_do = set(), [(b"/", h5py.h5g.open(file.id, b"/"))]
        while to_do:
            name, item = to_do.pop()
            key = h5py.h5o.get_info(item).addr
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > _MAX_OBJECTS:
                raise self._too_many()
            if isinstance(item, h5py.h5d.DatasetID):
                self._dataset(name, item)
            self._attributes(name, item)
            if isinstance(item, h5py.h5g.GroupID):
                if item.get_num_objs() + len(to_do) > _MAX_OBJECTS:
                    raise self._too_many()
                to_do += [(name + b"/" + link, self._linked(name, item, link)) for link in item]
        self._texts()
        return self._n_bytes

    def _linked(self, name, group, link):
        """Open what a link of a group means."""
        import h5py

        # A soft link may lead through an external one; Keras makes neither.
        if group.links.get_info(link).type != h5py.h5l.TYPE_HARD:
            raise self._unsafe(name + b"/" + link, "a link to another place, perhaps in another file")
        return h5py.h5o.open(group, link)

    def _dataset(self, name, dataset):
        import h5py

        # In this order: the extent of a virtual dataset is looked up in its sources.
        plan = dataset.get_create_plist()
        if plan.get_layout() not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
            raise self._unsafe(name, "a virtual dataset, which is read from other files")
        if plan.get_layout() == h5py.h5d.CONTIGUOUS and plan.get_external_count():
            raise self._unsafe(name, "a dataset whose values are in another file")
        known = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, _LZF)
        filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
        if set(filters) - set(known):
            raise self._unsafe(name, f"a dataset that the library of the HDF5 filter {filters[0]} unpacks")
        kind = dataset.get_type()
        is_number = kind.get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM, h5py.h5t.OPAQUE)
        if not is_number or (kind.dtype.kind not in _KINDS and kind.dtype != _HALF):
            raise self._broken(name, "an array of numbers", "one of another type")
        space = dataset.get_space()
        if space.get_simple_extent_type() == h5py.h5s.NULL:
            raise self._broken(name, "an array of numbers", "an empty one")
        self._n_bytes += kind.get_size() * _product(space.get_simple_extent_dims())
        check_bytes(self._subject, self._n_bytes, self._limit, "its arrays")
        self._n_stored += dataset.get_storage_size()
        if plan.get_layout() == h5py.h5d.CHUNKED:
            # A chunk is unpacked as a whole, also where the array is a part of it.
            n_bytes = kind.get_size() * _product(plan.get_chunk())
            check_bytes(self._subject, n_bytes, self._limit, "a chunk of its arrays")

    def _attributes(self, name, item):
        import h5py

        for index in range(h5py.h5a.get_num_attrs(item)):
            attribute = h5py.h5a.open(item, index=index)
            kind, shape = attribute.get_type(), attribute.shape
            if kind.get_class() not in (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM):
                raise self._broken(name, "numbers and text as attributes", "another type")
            n_values = _product(shape or ())
            self._n_text += n_values * kind.get_size()
            if kind.get_class() == h5py.h5t.STRING and kind.is_variable_str() and n_values > 1:
                # Such texts stand elsewhere in the file, and all may be the same one; HDF5 does not tell how long.
                self._most_texts = max(self._most_texts, n_values)
            check_bytes(self._subject, self._n_text, max(self._limit, MAX_TEXT), "its attributes")

    def _texts(self):
        """Bound what the longest list of texts may take: each is as long as what is not in arrays, at most."""
        n_bytes = self._most_texts * max(self._size - self._n_stored, 0)
        check_bytes(self._subject, n_bytes, max(self._limit, _MAX_TEXTS), "its longest list of names")

    def _unsafe(self, name, what):
        return UnsafeFileError(
            f"{self._subject}: {_shown(name)} is {what}; expected arrays in the file itself. Save the model again with "
            "model.save, or pass --unsafe (unsafe=True) if you trust it."
        )

    def _broken(self, name, expected, got):
        return InputFileError(
            f"{self._subject}: {_shown(name)} holds {got}; expected {expected}, as model.save writes. Save it again."
        )

    def _too_many(self):
        return InputFileError(
            f"{self._subject}: expected at most {_MAX_OBJECTS} objects in it, got more. Save it with model.save."
        )


def _product(shape):
    n = 1
    for size in shape:
        n *= int(size)
    return n


def _shown(name):
    text = name.decode("utf-8", errors="replace").lstrip("/")
    return repr(text if len(text) <= 60 else f"{text[:57]}...") if text else "the file"
