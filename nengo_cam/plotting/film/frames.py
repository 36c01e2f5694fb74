"""Films without any loss of color: animated pictures, and one picture a frame."""

from __future__ import annotations

import io
import pathlib
from typing import TYPE_CHECKING, Any, ClassVar

from matplotlib.animation import AbstractMovieWriter
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["APNGWriter", "FramesWriter", "PNGWriter", "WebPWriter", "durations"]


def durations(n_frames: int, fps: float, tick: int = 1) -> list[int]:
    """Find how long each frame is shown, in the whole ticks that a format counts in.

    Parameters
    ----------
    n_frames : int
        Number of frames.
    fps : float
        Frames per second.
    tick : int
        What the format counts in [ms].

    Returns
    -------
    list of int
        Durations [ms], multiples of the tick and at least one. Frames end at the tick nearest to when they should, so
        that rounding does not add up over a film.
    """
    ends = [round(1000 * i / fps / tick) for i in range(n_frames + 1)]
    # A duration of zero means "as it comes" to viewers, most of which then take 100 ms.
    return [tick * max(end - start, 1) for start, end in zip(ends, ends[1:])]


class FramesWriter(AbstractMovieWriter):
    """Keep the frames of a film until all are there; what is made of them says a subclass."""

    def setup(self, fig: Figure, outfile: str | pathlib.Path, dpi: float | None = None) -> None:
        """Start a film.

        Parameters
        ----------
        fig : matplotlib.figure.Figure
            The figure.
        outfile : str or pathlib.Path
            File to write.
        dpi : float, optional
            Pixels per inch, by default those of the figure.
        """
        super().setup(fig, outfile, dpi=dpi)
        self._frames: list[Any] = []


class _AnimatedPicture(FramesWriter):
    """Write an animated picture with all colors of its frames."""

    # What Pillow calls the format, and is told of how to write it.
    format = ""
    options: ClassVar[dict[str, Any]] = {}

    def grab_frame(self, **savefig_kwargs: Any) -> None:
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

    def finish(self) -> None:
        """Write the file, if there is a frame."""
        if self._frames:
            first, *rest = self._frames
            _picture(first).save(
                self.outfile, format=self.format, save_all=True, append_images=_Pictures(rest), loop=0,
                duration=durations(len(self._frames), self.fps), **self.options,
            )  # fmt: skip


class WebPWriter(_AnimatedPicture):
    """Write an animated WebP without any loss, in a third of the size of a GIF."""

    format = "webp"
    # Lossless, the quality is how hard the encoder tries.
    options: ClassVar[dict[str, Any]] = {"lossless": True, "quality": 50, "method": 2}


class APNGWriter(_AnimatedPicture):
    """Write an animated PNG, which programs that know no animation show as its first frame."""

    format = "png"


class PNGWriter(AbstractMovieWriter):
    """Write a picture for each frame.

    The name of the file to write is a pattern such as ``"%03d.png"``, filled in with 0, 1, 2 and so on.
    """

    def setup(self, fig: Figure, outfile: str | pathlib.Path, dpi: float | None = None) -> None:
        """Start a film.

        Parameters
        ----------
        fig : matplotlib.figure.Figure
            The figure.
        outfile : str or pathlib.Path
            Pattern of the files to write.
        dpi : float, optional
            Pixels per inch, by default those of the figure.
        """
        super().setup(fig, outfile, dpi=dpi)
        self._n_written = 0

    def grab_frame(self, **savefig_kwargs: Any) -> None:
        """Write the figure as it is now.

        Parameters
        ----------
        **savefig_kwargs
            Passed to ``fig.savefig``.
        """
        pattern = pathlib.Path(self.outfile)
        # Only the name: a folder may be called anything.
        path = pattern.with_name(pattern.name % self._n_written)
        self.fig.savefig(path, **{**savefig_kwargs, "format": "png", "dpi": self.dpi})
        self._n_written += 1

    def finish(self) -> None:
        """Do nothing: all files are there."""


class _Pictures:
    """Unpacks frames one after the other, as often as they are asked for: Pillow goes over those of a PNG twice."""

    def __init__(self, frames):
        self._frames = frames

    def __iter__(self):
        return map(_picture, self._frames)


def _picture(frame):
    return Image.open(frame).convert("RGB")
