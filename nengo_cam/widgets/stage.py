"""One image of a player as a matplotlib figure, of which a frame redraws only what changes."""

import io

from PIL import Image

from ..plotting.film.layout import lay_out

__all__ = ["Stage"]


class Stage:
    """Draws one image, label, scale and smoothing step by step.

    Parameters
    ----------
    scene : Scene
        What to show.
    curve : Curve or None
        Its scores.
    scale : {"image", "frame"} or (float, float)
        How far the colors reach.
    cmap : str or matplotlib.colors.Colormap
        Diverging color map.
    alpha : float
        Opacity of the maps in [0, 1].

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        The figure.
    panel : nengo_cam.plotting.film.panel.Panel
        Its axes and artists.
    colorbars : list of matplotlib.colorbar.Colorbar
        One, or with ``scale="frame"`` one per map.
    """

    def __init__(self, scene, curve, *, scale, cmap, alpha):
        curves = None if curve is None else [curve]
        steps = range(len(scene.times))
        self.figure, (self.panel,), self.colorbars = lay_out(
            [scene], curves, steps=steps, scale=scale, cmap=cmap, alpha=alpha, with_input=True
        )
        # Bars that stay the same, as that of the rate map does, belong to the background.
        self._bars = [self.colorbars[0].ax] if scale == "frame" else []
        # Frames of axes lie above the maps in them.
        with_images = self.panel.map_axes + ([] if self.panel.input is None else [self.panel.input.axes])
        self._above = [spine for ax in with_images for spine in ax.spines.values()]
        for artist in [*self.panel.draw(0), *self._above, *self._bars]:
            artist.set_animated(True)
        self.figure.canvas.draw()
        self._background = self.figure.canvas.copy_from_bbox(self.figure.bbox)

    def draw(self, step):
        """Draw one step.

        Parameters
        ----------
        step : int
            Position along the dim ``time``.
        """
        canvas = self.figure.canvas
        changed = self.panel.draw(step)
        canvas.restore_region(self._background)
        for artist in [*changed, *self._above, *self._bars]:
            self.figure.draw_artist(artist)

    def png(self):
        """Return the frame drawn last as a PNG, packed for speed."""
        canvas, png = self.figure.canvas, io.BytesIO()
        size = canvas.get_width_height(physical=True)
        picture = Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1)
        picture.convert("RGB").save(png, format="png", compress_level=1)
        return png.getvalue()
