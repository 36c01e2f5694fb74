"""Text in files: JSON, and lists of names."""

from __future__ import annotations

import json
import os
import pathlib

from ...exceptions import InputFileError
from .limits import MAX_TEXT, check_bytes, check_regular

__all__ = ["decode", "parse_object", "read_names"]

# More than any number of a model has. Some versions of Python take long to read numbers of millions of digits.
_DIGITS = 40


def read_names(path: str | os.PathLike, *, max_bytes: int | None = None) -> list[str]:
    """Read names, such as those of labels, from a text file.

    Parameters
    ----------
    path : str or path-like
        A file in UTF-8, one name a line.
    max_bytes : int, optional
        How long it may be [byte]. Default: 16 MiB.

    Returns
    -------
    list of str
        The names in their order.

    Raises
    ------
    InputFileError
        If there is no such file, or if it is too long or no such text.
    """
    path = pathlib.Path(path)
    subject = f"names {str(path)!r}"
    check_regular(subject, path)
    limit = MAX_TEXT if max_bytes is None else int(max_bytes)
    check_bytes(subject, path.stat().st_size, limit, "the text")
    try:
        with path.open("rb") as file:
            # A file may grow, and those of /proc have no size.
            content = file.read(limit + 1)
    except OSError as err:
        raise InputFileError(f"{subject}: it cannot be read ({err}). Check the path.") from err
    check_bytes(subject, len(content), limit, "the text")
    text = decode(subject, content, "names, one a line")
    if "\0" in text:
        raise InputFileError(f"{subject}: expected names, one a line, got bytes that are no text. Save it as UTF-8.")
    return text.removeprefix("\ufeff").splitlines()


def decode(subject: str, content: bytes, expected: str) -> str:
    """Decode UTF-8.

    Parameters
    ----------
    subject : str
        The file, as errors name it.
    content : bytes
        Its content.
    expected : str
        What it should be.

    Returns
    -------
    str
        The text.

    Raises
    ------
    InputFileError
        If it is something else.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as err:
        raise InputFileError(
            f"{subject}: expected {expected} in UTF-8, got something else ({err}). Save it so."
        ) from err


def parse_object(subject: str, text: str) -> dict:
    """Parse a JSON object.

    Parameters
    ----------
    subject : str
        The file, as errors name it.
    text : str
        The text.

    Returns
    -------
    dict
        The object.

    Raises
    ------
    InputFileError
        If it is no JSON, nested too deeply, or something else than an object.
    """
    try:
        value = json.loads(text, parse_int=_integer)
        if "\\ud" in text.lower():
            # JSON can write halves of characters, which end in no encoding and so can be neither shown nor saved.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as err:
        reason = "it is nested too deeply" if isinstance(err, RecursionError) else err
        raise InputFileError(
            f"{subject}: its configuration cannot be read ({reason}); expected JSON. Save it with model.save."
        ) from err
    if not isinstance(value, dict):
        raise InputFileError(
            f"{subject}: its configuration cannot be read; expected a JSON object, got {type(value).__name__}. Save it "
            "with model.save."
        )
    return value


def _integer(digits):
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)
