"""A film in a notebook: all of its frames in one string, and nothing from a network."""

from __future__ import annotations

import base64
import io
import logging
import pathlib
import subprocess
import tempfile
from typing import TYPE_CHECKING

from matplotlib.animation import FFMpegWriter
from PIL import Image

from .gif import FramesWriter, GIFWriter

if TYPE_CHECKING:
    from .animation import CAMAnimation

__all__ = ["embed"]

logger = logging.getLogger(__name__)


def embed(film: CAMAnimation) -> str:
    """Write a film as HTML: a video if the program ffmpeg can make one, otherwise an animated picture.

    A video is smaller and has controls. Matplotlib's own player of pictures would take eight to fifty times the size,
    leave out what lies beyond ``rcParams["animation.embed_limit"]``, and fetch the signs on its buttons.

    Parameters
    ----------
    film : nengo_cam.plotting.CAMAnimation
        The film.

    Returns
    -------
    str
        One element, which holds every frame.
    """
    about = f"Film of class-activation maps, {len(film.steps)} frames at {film.fps:g} frames per second"
    if FFMpegWriter.isAvailable():
        try:
            # H.264 is what every browser plays, whatever matplotlib is set to.
            data, size = _encoded(film, ".mp4", FFMpegWriter(fps=film.fps, codec="h264"))
        except (OSError, subprocess.CalledProcessError) as err:
            logger.warning("film: ffmpeg made no video (%s); an animated picture is shown instead.", err)
        else:
            return (
                f'<video controls autoplay loop muted playsinline {_box(size)} aria-label="{about}" '
                f'src="data:video/mp4;base64,{data}"></video>'
            )
    # Pillow can be built without WebP.
    Image.init()
    kind, writer = ("webp", WebPWriter) if "WEBP" in Image.SAVE_ALL else ("gif", GIFWriter)
    data, size = _encoded(film, f".{kind}", writer(fps=film.fps))
    return f'<img {_box(size)} alt="{about}" src="data:image/{kind};base64,{data}">'


class WebPWriter(FramesWriter):
    """Write an animated WebP without any loss, in a third of the size of a GIF."""

    def grab_frame(self, **savefig_kwargs):
        """Add the figure as it is now.

        Parameters
        ----------
        **savefig_kwargs
            Passed to ``fig.savefig``.
        """
        # Packed, as there may be a thousand.
        frame = io.BytesIO()
        options = {"format": "png", "dpi": self.dpi, "pil_kwargs": {"compress_level": 1}}
        self.fig.savefig(frame, **{**savefig_kwargs, **options})
        self._frames.append(frame)

    def finish(self):
        """Write the file, if there is a frame."""
        if self._frames:
            first, *rest = self._frames
            # Lossless, the quality is how hard the encoder tries.
            look = {"lossless": True, "quality": 50, "method": 2}
            _picture(first).save(
                self.outfile, format="webp", save_all=True, append_images=map(_picture, rest), loop=0,
                duration=max(round(1000 / self.fps), 1), **look,
            )  # fmt: skip


def _picture(frame):
    return Image.open(frame).convert("RGB")


def _encoded(film, suffix, writer):
    """Return a film in base64, and its width and height [pixel]."""
    before = film.figure.get_size_inches()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, f"film{suffix}")
        try:
            film.save(path, writer=writer, progress_bar=False)
            size = writer.frame_size
        finally:
            # A video has an even number of pixels, to which matplotlib cuts the figure.
            film.figure.set_size_inches(before)
        return base64.b64encode(path.read_bytes()).decode(), size


def _box(size):
    return 'width="{}" height="{}" style="max-width: 100%; height: auto"'.format(*size)
