"""The map of a step as a picture in SVG, for programs that ask for a new one at every step."""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

from ..checks.parameters import check_positive
from ..exceptions import ParameterError
from .scale import centered_colormap
from .text import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["LivePicture"]

#: Width of a map, height of the line above and below it, and gap to the next one, in units of the picture.
_WIDTH, _LINE, _GAP = 100, 12, 6
#: A label has to fit above its map.
_LONGEST = 18


class LivePicture:
    """A function of time and maps whose attribute ``_nengo_html_`` is their picture, as nengo-gui shows it.

    Parameters
    ----------
    map_shape : tuple of int
        Cells of a map: (Y, X), or (X,) for a single row.
    labels : sequence of int or str
        What stands above each of M maps.
    limit : float, optional
        Value with the strongest colors [logit]. Default: the largest magnitude since the run began, so that nothing is
        drawn stronger than it was when it was larger.
    cmap : str
        Diverging color map; its middle is zero.

    Raises
    ------
    ParameterError
        If a map has more than two dimensions, ``limit`` is not positive, or ``cmap`` is unknown.

    Examples
    --------
    >>> from nengo_cam.plotting.live_picture import LivePicture
    >>> picture = LivePicture((1, 2), ["cat"], limit=3)
    >>> picture(0.001, np.array([3.0, -3.0]))
    >>> picture._nengo_html_.count("<image"), "cat" in picture._nengo_html_
    (1, True)
    """

    def __init__(
        self, map_shape: Sequence[int], labels: Sequence[int | str], *, limit: float | None = None, cmap: str = "RdBu_r"
    ) -> None:
        if len(map_shape) > 2:
            raise ParameterError(
                f"map: three dimensions do not fit a picture; expected (Y, X) or (X,), got {tuple(map_shape)}. Draw "
                "slices of what cam.maps gives."
            )
        if limit is not None:
            check_positive("limit", limit, unit="logit")
        self._rows, self._columns = (1, *map_shape)[-2:]
        self._labels = [plain(label, _LONGEST) for label in labels]
        self._limit = limit
        self._colors = centered_colormap(cmap, -1, 1)
        self._height = _WIDTH * self._rows / self._columns
        self._reach, self._time = 0.0, -math.inf
        # nengo-gui looks for it before the first step.
        self._nengo_html_ = self._draw(np.zeros((len(self._labels), self._rows, self._columns)))

    def __call__(self, t: float, x: NDArray[np.floating]) -> None:
        """Draw a step.

        Parameters
        ----------
        t : float
            Time [s]; when it goes back, a new run begins.
        x : ndarray of shape (M * Y * X,)
            Maps [logit].
        """
        if t <= self._time:
            self._reach = 0.0
        self._time = t
        maps = np.asarray(x, float).reshape((len(self._labels), self._rows, self._columns))
        self._reach = max(self._reach, float(np.max(np.abs(maps), initial=0, where=np.isfinite(maps))))
        self._nengo_html_ = self._draw(maps)

    def _draw(self, maps: NDArray[np.floating]) -> str:
        limit = self._limit or self._reach or 1.0
        width = len(maps) * (_WIDTH + _GAP) - _GAP
        panels = "".join(
            self._panel(number * (_WIDTH + _GAP), label, values, limit)
            for number, (label, values) in enumerate(zip(self._labels, maps))
        )
        return (
            # nengo-gui draws the network behind it.
            f'<svg xmlns="http://www.w3.org/2000/svg" width="100%" height="100%" style="background:white" '
            f'viewBox="0 0 {width} {self._height + 2 * _LINE:g}" font-family="sans-serif" font-size="9">{panels}</svg>'
        )

    def _panel(self, left: float, label: str, values: NDArray[np.floating], limit: float) -> str:
        middle = left + _WIDTH / 2
        # What browsers do to a picture with fewer pixels than it covers is to blur it; cells have edges.
        return (
            f'<text x="{middle:g}" y="9" text-anchor="middle">{escape(label)}</text>'
            f'<image x="{left}" y="{_LINE}" width="{_WIDTH}" height="{self._height:g}" preserveAspectRatio="none" '
            f'style="image-rendering:pixelated" href="data:image/png;base64,{self._png(values / limit)}"/>'
            f'<text x="{middle:g}" y="{self._height + 2 * _LINE - 3:g}" text-anchor="middle" font-size="7">'
            f"\N{PLUS-MINUS SIGN}{limit:.3g} logit</text>"
        )

    def _png(self, signed: NDArray[np.floating]) -> str:
        from PIL import Image

        file = io.BytesIO()
        # From -1..1 to the 0..1 of color maps.
        Image.fromarray(self._colors((signed + 1) / 2, bytes=True)).save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode("ascii")
