"""A film of maps over time: shown in a notebook or saved whole or not at all."""

from __future__ import annotations

import contextlib
import pathlib
from typing import TYPE_CHECKING, Any, Optional, cast

import numpy as np
from matplotlib.animation import FuncAnimation
from tqdm.auto import tqdm

from ...checks.output import atomic_folder, atomic_path
from ...checks.parameters import is_real
from ...exceptions import ParameterError
from .embedded import embed, film_page
from .formats import check_frames, find_writer, numbered

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from matplotlib.animation import AbstractMovieWriter
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

__all__ = ["CAMAnimation", "check_fps"]


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

        The path and the writer are checked before the first frame is drawn, and files appear only when all is complete:
        neither Ctrl-C nor an error leaves a part behind.

        Parameters
        ----------
        path : str or path-like
            File to write. ``.gif``, and without any loss of color ``.webp`` and ``.apng``; ``.mp4``, ``.m4v`` or
            ``.mov``, which need the program ffmpeg; ``.html``, a page that shows what a notebook would and needs
            nothing else; or the pattern of one picture a frame, such as ``"frames/%03d.png"``, counted from 0. Their
            folder is made if it is not there yet.
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
            If nothing can be written there, the suffix is unknown, a name of frames has no number, or frames of another
            film would stay beside those of this one.
        MissingDependencyError
            If ffmpeg is needed and not there, or Pillow was built without WebP.
        ParameterError
            If matplotlib knows no such writer, or ``fps`` is not positive.
        """
        path = pathlib.Path(path)
        progress_bar = self.progress_bar if progress_bar is None else progress_bar
        if writer is not None and not isinstance(writer, str):
            # Matplotlib refuses a rate beside a writer object, which has its own.
            self._save_file(path, writer, fps, dpi, progress_bar, kwargs)
            return
        fps = self.fps if fps is None else fps
        check_fps(fps)
        chosen = find_writer(path, writer)
        if chosen is None:
            with atomic_path(path) as partial, _interruptible():
                page = film_page(self, fps=fps, dpi=dpi, progress_bar=progress_bar, **kwargs)
                partial.write_text(page, encoding="utf-8")
        elif isinstance(chosen, str):
            self._save_file(path, chosen, fps, dpi, progress_bar, kwargs)
        elif numbered(path):
            check_frames(path, len(self.steps))
            with atomic_folder(path.parent) as folder:
                self._write(folder / path.name, chosen(fps=fps), None, dpi, self._bar(path.name, progress_bar), kwargs)
        else:
            self._save_file(path, chosen(fps=fps), None, dpi, progress_bar, kwargs)

    def _save_file(self, path, writer, fps, dpi, progress_bar, kwargs):
        with atomic_path(path) as partial:
            self._write(partial, writer, fps, dpi, self._bar(path.name, progress_bar), kwargs)

    def _write(self, path, writer, fps, dpi, bar, kwargs):
        with bar, _interruptible():
            options = {"progress_callback": lambda frame, total: bar.update(), **kwargs}
            super().save(str(path), writer=writer, fps=cast(Optional[int], fps), dpi=dpi, **options)

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
