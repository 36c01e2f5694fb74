"""One image of a player as a matplotlib figure, of which a frame redraws only what changes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

from PIL import Image

from ..plotting.film.layout import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from ..plotting.drawing import Look
    from ..plotting.scale import Scale
    from ..plotting.score_curve import Curve
    from ..plotting.selection import Scene

__all__ = ["Stage"]


class Stage:
    """Draws one image, its labels, scale and smoothing step by step.

    Parameters
    ----------
    scenes : sequence of Scene
        What to show: one image, with a label each.
    curves : sequence of Curve, optional
        Their scores.
    scale : {"image", "frame"} or (float, float)
        How far the colors reach.
    look : Look
        How maps look, checked.
    title : str, optional
        Above all panels.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    panel : nengo_cam.plotting.film.panel.Panel
        Its axes and artists.
    colorbars : list of matplotlib.colorbar.Colorbar
        One, or with ``scale="frame"`` one per map.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        curves: Sequence[Curve] | None,
        *,
        scale: Scale,
        look: Look,
        title: str | None = None,
    ):
        steps = range(len(scenes[0].times))
        self.figure, (self.panel,), self.colorbars = lay_out(
            scenes, curves, steps=steps, scale=scale, look=look, title=title
        )
        # Bars that stay the same, as that of the rate map of a still image does, belong to the background.
        every = 2 if scenes[0].rate is not None and not scenes[0].rate_moves else 1
        self._bars = [bar.ax for bar in self.colorbars[::every]] if scale == "frame" else []
        # Frames of axes lie above the maps in them.
        with_images = list(self.panel.map_axes) + ([] if self.panel.input is None else [self.panel.input.axes])
        self._above = [spine for ax in with_images for spine in ax.spines.values()]
        for artist in [*self.panel.draw(0), *self._above, *self._bars]:
            artist.set_animated(True)
        # As `lay_out` made it; other canvases have no background to keep.
        self._canvas = cast("FigureCanvasAgg", self.figure.canvas)
        self._canvas.draw()
        self._background = self._canvas.copy_from_bbox(self.figure.bbox)

    def draw(self, step: int) -> None:
        """Draw one step.

        Parameters
        ----------
        step : int
            Position along the dim ``time``.
        """
        changed = self.panel.draw(step)
        self._canvas.restore_region(self._background)
        for artist in [*changed, *self._above, *self._bars]:
            self.figure.draw_artist(artist)

    def png(self) -> bytes:
        """Return the frame drawn last as a PNG, packed for speed."""
        canvas, png = self._canvas, io.BytesIO()
        size = canvas.get_width_height(physical=True)
        picture = Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
        picture.convert("RGB").save(png, format="png", compress_level=1)
        return png.getvalue()
