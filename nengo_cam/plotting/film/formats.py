"""What a film can be saved as, by the suffix of its file, and what is wrong with a path before a frame is drawn."""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING, Any, Union

from matplotlib.animation import writers
from PIL import Image

from ...checks.output import check_folder, check_writable
from ...exceptions import MissingDependencyError, OutputPathError, ParameterError
from .frames import APNGWriter, PNGWriter, WebPWriter
from .gif import GIFWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

__all__ = ["check_film", "check_frames", "find_writer", "has_webp", "numbered"]

_PICTURES = {".gif": GIFWriter, ".webp": WebPWriter, ".apng": APNGWriter, ".png": PNGWriter}
_VIDEOS = (".mp4", ".m4v", ".mov")
# Of pages, which hold a film of another format.
_PAGES = (".html", ".htm")
_SUFFIXES = [".gif", ".webp", ".apng", ".png", *_VIDEOS, *_PAGES]
# The number in the name of a frame, as in "%03d.png".
_NUMBER = re.compile(r"%0?\d*d")

Writer = Union[str, type, None]


def check_film(path: str | os.PathLike[str], *, inputs: Sequence[str | os.PathLike[str]] = ()) -> None:
    """Check that a film can be saved, before the run that it shall show.

    Parameters
    ----------
    path : str or path-like
        File to be written, or the pattern of several.
    inputs : sequence of str or path-like
        Files that the run reads, none of which may be overwritten by it.

    Raises
    ------
    OutputPathError
        If nothing can be written there, the suffix is unknown, it is one of the inputs, or frames of a film are there
        already, of which some may stay.
    MissingDependencyError
        If ffmpeg is needed and not there, or Pillow was built without WebP.
    """
    path = pathlib.Path(path)
    find_writer(path, None)
    if numbered(path):
        # How many frames there will be is not known before the run.
        check_frames(path, 0)
    else:
        check_writable(path, inputs=inputs)


def numbered(path: pathlib.Path) -> bool:
    """Tell whether a path is a pattern of one file a frame."""
    return path.suffix.lower() == ".png"


def check_frames(path: pathlib.Path, n_frames: int) -> None:
    """Check that frames can be written, and that none of another film would be left between them.

    Parameters
    ----------
    path : pathlib.Path
        Pattern of the files.
    n_frames : int
        How many there will be; fewer that are there are replaced.

    Raises
    ------
    OutputPathError
        If nothing can be written there, or frames of higher numbers are there.
    """
    check_folder(path.parent, [path.name % number for number in range(max(n_frames, 1))])
    others = [file for number, file in _numbered_files(path) if number >= n_frames]
    if others:
        # Whoever makes a video of them would have the end of one film behind the other.
        raise OutputPathError(
            f"output {str(path)!r}: frames of another film would stay among those of this one; expected none that are "
            f"not replaced, got {len(others)}, the first {str(others[0])!r}. Remove them, or choose another folder."
        )


def find_writer(path: pathlib.Path, writer: str | None) -> Writer:
    """Choose what writes a film, and check that it can.

    Parameters
    ----------
    path : pathlib.Path
        File to be written.
    writer : str or None
        Name of one of matplotlib's writers; None to choose by the suffix.

    Returns
    -------
    str, type or None
        Name of one of matplotlib's writers, a class of ours, or None for a page.

    Raises
    ------
    OutputPathError
        If the suffix is unknown, the writer writes no such files, or a name of frames has no number.
    MissingDependencyError
        If ffmpeg is needed and not there, or Pillow was built without WebP.
    ParameterError
        If matplotlib knows no such writer.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise OutputPathError(
            f"output {str(path)!r}: not a film format; expected one of {_SUFFIXES}, got {suffix!r}. Change the suffix."
        )
    if writer is not None and (suffix not in (".gif", *_VIDEOS) or (writer == "pillow" and suffix != ".gif")):
        known = "'.gif'" if writer == "pillow" else f"one of {['.gif', *_VIDEOS]}"
        raise OutputPathError(
            f"output {str(path)!r}: the writer {writer!r} cannot write it; expected {known}, got {suffix!r}. "
            "Change the suffix or leave the writer out."
        )
    if writer is None and suffix in _PICTURES:
        _check_picture(path, suffix)
        return _PICTURES[suffix]
    if suffix in _PAGES:
        return None
    name = "ffmpeg" if writer is None else writer
    if writers.is_available(name):
        return name
    if "ffmpeg" in name:
        raise MissingDependencyError(
            f"output {str(path)!r}: the program ffmpeg was not found; expected it on PATH or in matplotlib's "
            f"rcParams['animation.ffmpeg_path']. Install it, or save a GIF: {path.with_suffix('.gif').name!r}."
        )
    raise ParameterError(
        f"writer: not available; expected one of {writers.list()}, got {name!r}. Leave it out to choose by suffix."
    )


def has_webp() -> bool:
    """Tell whether Pillow can write animated WebP, without which it can be built."""
    Image.init()
    return "WEBP" in Image.SAVE_ALL


def _check_picture(path, suffix):
    if suffix == ".png" and (path.name.count("%") != 1 or not _NUMBER.search(path.name)):
        raise OutputPathError(
            f"output {str(path)!r}: a PNG holds one frame; expected a file name with the place of its number, such as "
            f"{path.stem.replace('%', '') + '_%03d.png'!r}, got {path.name!r}. Add it, or choose '.apng' for one file."
        )
    if suffix == ".webp" and not has_webp():
        raise MissingDependencyError(
            f"output {str(path)!r}: Pillow was built without WebP; expected one with it. Install another, or choose "
            f"{path.with_suffix('.apng').name!r}."
        )


def _numbered_files(path: pathlib.Path) -> list[tuple[int, Any]]:
    before, after = _NUMBER.split(path.name)
    name = re.compile(rf"{re.escape(before)}(\d+){re.escape(after)}")
    found = []
    for file in path.parent.glob("*") if path.parent.is_dir() else ():
        match = name.fullmatch(file.name)
        # A number with other zeros in front is another file.
        if match and path.name % int(match[1]) == file.name:
            found.append((int(match[1]), file))
    return sorted(found)
