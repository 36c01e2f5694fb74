"""A film in a notebook: all of its frames in one string, and nothing from a network."""

from __future__ import annotations

import base64
import logging
import pathlib
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

from matplotlib.animation import FFMpegWriter

from .formats import has_webp
from .frames import WebPWriter
from .gif import GIFWriter

if TYPE_CHECKING:
    from .animation import CAMAnimation

__all__ = ["embed", "film_page"]

logger = logging.getLogger(__name__)


# Nothing is fetched, by whatever way.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; media-src data:; \
style-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>Class-activation maps over time</title>
</head>
<body style="margin: 0.5rem; background: #fff; text-align: center">
{film}
</body>
</html>
"""


def embed(film: CAMAnimation, **options: Any) -> str:
    """Write a film as HTML: a video if the program ffmpeg can make one, otherwise an animated picture.

    A video is smaller and has controls. Matplotlib's own player of pictures would take eight to fifty times the size,
    leave out what lies beyond ``rcParams["animation.embed_limit"]``, and fetch the signs on its buttons.

    Parameters
    ----------
    film : nengo_cam.plotting.CAMAnimation
        The film.
    **options
        Of its method ``save``; without a progress bar, unless one is asked for.

    Returns
    -------
    str
        One element, which holds every frame.
    """
    fps = options.pop("fps", film.fps)
    about = f"Film of class-activation maps, {len(film.steps)} frames at {fps:g} frames per second"
    if FFMpegWriter.isAvailable():
        try:
            # H.264 is what every browser plays, whatever matplotlib is set to.
            data, size = _encoded(film, ".mp4", FFMpegWriter(fps=fps, codec="h264"), options)
        except (OSError, subprocess.CalledProcessError) as err:
            logger.warning("film: ffmpeg made no video (%s); an animated picture is shown instead.", err)
        else:
            return (
                f'<video controls autoplay loop muted playsinline {_box(size)} aria-label="{about}" '
                f'src="data:video/mp4;base64,{data}"></video>'
            )
    kind, writer = ("webp", WebPWriter) if has_webp() else ("gif", GIFWriter)
    data, size = _encoded(film, f".{kind}", writer(fps=fps), options)
    return f'<img {_box(size)} alt="{about}" src="data:image/{kind};base64,{data}">'


def film_page(film: CAMAnimation, **options: Any) -> str:
    """Write a page with a film in it, which needs nothing else.

    Parameters
    ----------
    film : nengo_cam.plotting.CAMAnimation
        The film.
    **options
        As for `embed`.

    Returns
    -------
    str
        HTML.
    """
    return _PAGE.format(film=embed(film, **options))


def _encoded(film, suffix, writer, options):
    """Return a film in base64, and its width and height [pixel]."""
    before = film.figure.get_size_inches()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"film{suffix}")
        try:
            film.save(path, writer=writer, **{"progress_bar": False, **options})
            size = writer.frame_size
        finally:
            # A video has an even number of pixels, to which matplotlib cuts the figure.
            film.figure.set_size_inches(before)
        return base64.b64encode(path.read_bytes()).decode(), size


def _box(size):
    return 'width="{}" height="{}" style="max-width: 100%; height: auto"'.format(*size)
