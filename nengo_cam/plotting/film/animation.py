"""A film of maps over time: shown in a notebook or saved whole or not at all."""

from __future__ import annotations

import contextlib
import pathlib
from typing import TYPE_CHECKING, Any, Optional, cast

import numpy as np
from matplotlib.animation import FuncAnimation, writers
from tqdm.auto import tqdm

from ...checks.output import atomic_path, check_writable
from ...checks.parameters import is_real
from ...exceptions import MissingDependencyError, OutputPathError, ParameterError
from .embedded import embed
from .gif import GIFWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from matplotlib.animation import AbstractMovieWriter
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

__all__ = ["CAMAnimation", "check_film", "check_fps"]

# None is our own.
WRITERS = {".gif": None, ".mp4": "ffmpeg", ".m4v": "ffmpeg", ".mov": "ffmpeg"}


class CAMAnimation(FuncAnimation):
    """A film of class-activation maps, as `animate` returns it.

    It is a matplotlib animation: a notebook shows it, as a video where the program ffmpeg is, otherwise as an animated
    picture; `save` writes it to a file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Where the panels are.
    panels : sequence
        Objects with a method ``draw(step)`` that changes their artists and returns them.
    steps : sequence of int
        Steps of the simulation, one per frame.
    fps : float
        Frames per second.
    progress_bar : bool
        Whether `save` shows its progress.

    Attributes
    ----------
    figure, panels, steps, fps, progress_bar
        As given.

    Raises
    ------
    ParameterError
        If ``fps`` is not positive.
    """

    def __init__(
        self, figure: Figure, panels: Sequence[Any], steps: Sequence[int], *, fps: float = 20, progress_bar: bool = True
    ):
        check_fps(fps)
        self.figure = figure
        self.panels = panels
        self.steps = list(steps)
        # Matplotlib's types ask for whole numbers; it takes any.
        self.fps: Any = fps
        self.progress_bar = progress_bar
        super().__init__(figure, self.draw, frames=self.steps, interval=1000 / fps, cache_frame_data=False)

    def __del__(self) -> None:
        # matplotlib warns here about films that were never shown. Building one to look at its artists is no mistake.
        pass

    def draw(self, step: int) -> list[Artist]:
        """Draw one step of the simulation.

        Parameters
        ----------
        step : int
            Position along the dim ``time``.

        Returns
        -------
        list of matplotlib.artist.Artist
            The artists that were changed.
        """
        return [artist for panel in self.panels for artist in panel.draw(step)]

    # What Matplotlib's has more goes through `kwargs`.
    def save(  # type: ignore[override]
        self,
        path: str | os.PathLike[str],
        writer: str | AbstractMovieWriter | None = None,
        fps: float | None = None,
        dpi: float = 100,
        *,
        progress_bar: bool | None = None,
        **kwargs: Any,
    ) -> None:
        """Save the film.

        The path and the writer are checked before the first frame is drawn, and the file appears only when it is
        complete: neither Ctrl-C nor an error leaves a part of it behind.

        Parameters
        ----------
        path : str or path-like
            File to write: .gif, or .mp4, .m4v or .mov, which need the program ffmpeg.
        writer : str or matplotlib.animation.AbstractMovieWriter, optional
            By default chosen by the suffix. With a writer object any suffix is accepted, and it has its own ``fps``.
        fps : float, optional
            Frames per second, by default those of the film. Viewers slow GIFs of more than 50 down.
        dpi : float
            Pixels per inch of the figure.
        progress_bar : bool, optional
            Whether to show the progress, by default as given to `animate`.
        **kwargs
            Passed to `matplotlib.animation.Animation.save`.

        Raises
        ------
        OutputPathError
            If nothing can be written there, or the suffix is unknown.
        MissingDependencyError
            If ffmpeg is needed and not there.
        ParameterError
            If matplotlib knows no such writer, or ``fps`` is not positive.
        """
        path = pathlib.Path(path)
        if writer is None or isinstance(writer, str):
            fps = self.fps if fps is None else fps
            check_fps(fps)
            writer = _check_writer(path, writer)
            if writer is None:
                # Matplotlib refuses a rate beside a writer object, which has its own.
                writer, fps = GIFWriter(fps=cast(int, fps)), None
        progress_bar = self.progress_bar if progress_bar is None else progress_bar
        with atomic_path(path) as partial, self._bar(path.name, progress_bar) as bar, _interruptible():
            kwargs.setdefault("progress_callback", lambda frame, total: bar.update())
            super().save(str(partial), writer=writer, fps=cast(Optional[int], fps), dpi=dpi, **kwargs)

    def _bar(self, name, progress_bar):
        return tqdm(total=len(self.steps), desc=name, unit="frame", disable=not progress_bar)

    def _repr_html_(self):
        return embed(self)


@contextlib.contextmanager
def _interruptible():
    # Matplotlib closes its writer while an exception passes. An interrupted ffmpeg, or PillowWriter without a
    # frame, then raises another one, which would hide the Ctrl-C.
    try:
        yield
    except Exception as err:
        if isinstance(err.__context__, KeyboardInterrupt):
            raise err.__context__ from None
        raise


def check_film(path: str | os.PathLike[str], *, inputs: Sequence[str | os.PathLike[str]] = ()) -> None:
    """Check that a film can be saved, before the run that it shall show.

    Parameters
    ----------
    path : str or path-like
        File to be written.
    inputs : sequence of str or path-like
        Files that the run reads, none of which may be overwritten by it.

    Raises
    ------
    OutputPathError
        If nothing can be written there, the suffix is unknown, or it is one of the inputs.
    MissingDependencyError
        If ffmpeg is needed and not there.
    """
    _check_writer(check_writable(path, inputs=inputs), None)


def check_fps(fps: Any) -> None:
    """Check a number of frames per second.

    Parameters
    ----------
    fps : float
        Frames per second.

    Raises
    ------
    ParameterError
        If it is not a positive, finite number.
    """
    if not is_real(fps) or not 0 < fps < np.inf:
        raise ParameterError(f"fps: not a frame rate; expected a positive number, got {fps!r}. Try 20.")


def _check_writer(path, writer):
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise OutputPathError(
            f"output {str(path)!r}: not a film format; expected one of {list(WRITERS)}, got {suffix!r}. "
            "Change the suffix."
        )
    writer = WRITERS[suffix] if writer is None else writer
    if writer is None:
        return None
    if writer == "pillow" and suffix != ".gif":
        raise OutputPathError(
            f"output {str(path)!r}: the writer 'pillow' cannot write it; expected '.gif', got {suffix!r}. "
            "Change the suffix or leave the writer out."
        )
    if writers.is_available(writer):
        return writer
    if "ffmpeg" in writer:
        raise MissingDependencyError(
            f"output {str(path)!r}: the program ffmpeg was not found; expected it on PATH or in matplotlib's "
            f"rcParams['animation.ffmpeg_path']. Install it, or save a GIF: {path.with_suffix('.gif').name!r}."
        )
    raise ParameterError(
        f"writer: not available; expected one of {writers.list()}, got {writer!r}. Leave it out to choose by suffix."
    )
