"""A film of spiking maps beside the rate map, over the logits as they grow."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

from ...exceptions import ParameterError
from ..drawing import check_look
from ..planes import STRONGEST
from ..scale import check_scale
from ..score_curve import check_scores, score_curve
from ..selection import select_scenes
from .animation import CAMAnimation, check_fps
from .layout import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike

    from ..scale import Scale, Style

__all__ = ["animate"]


def animate(
    spiking: xr.Dataset,
    rate: xr.Dataset | None = None,
    images: ArrayLike | None = None,
    *,
    scores: xr.Dataset | None = None,
    metric: str | None = None,
    image: int | Sequence[int] = 0,
    label: int | str | Sequence[int | str] | None = None,
    scale: Scale = "shared",
    style: Style = "signed",
    fps: float = 20,
    stride: int = 1,
    cmap: str | Colormap | None = None,
    alpha: float = 0.65,
    interpolation: str | None = None,
    plane: str | int = STRONGEST,
    title: str | None = None,
    fig: Figure | None = None,
    progress_bar: bool = True,
) -> CAMAnimation:
    """Make a film of the maps of one or more images over the time of the simulation.

    Each image comes first, in its colors, then its spiking map, the rate map beside it, and below them the logits of
    all labels up to the current time, and scores if there are some. Their axes stay the same over the film. Of more
    than some twenty labels the strongest are drawn and named, and a band reaches from the smallest to the largest of
    all others.

    Maps of one dimension are strips of color behind their signals, and curves on them whose scale is the color bar.

    Parameters
    ----------
    spiking : xarray.Dataset
        Result of `nengo_cam.spiking_cam`: ``cam`` (image, time, label, y, x) and ``logits`` (image, time, label)
        [logit], time [s], y and x [pixel]. Maps of one dimension lack y, those of three have z. With ``all_logits``
        (image, time, all_label) the logits of labels that there are no maps of are drawn too.
    rate : xarray.Dataset, optional
        Result of `nengo_cam.rate_cam`: the same without time. That of moving images has the times of ``spiking``; its
        maps play along, and what both networks answer is said below them at the steps at which they differ.
    images : array_like of shape (N, Y, X), (N, Y, X, C) or (N, T, Y, X, C), optional
        Input images, one per image of ``spiking`` or the full set that its ``image`` coordinate counts in. A film
        plays along with the maps. Signals lack Y, volumes have Z. Two channels without negative values are events, off
        before on: darker and lighter than the gray of none.
    scores : xarray.Dataset, optional
        Result of `nengo_cam.compare` for these images, labels and times: drawn over time below the logits. Where a
        score is undefined (NaN), its curve has a gap. If other maps were compared than are shown, say their running
        mean, a note tells so.
    metric : str, optional
        Which of the scores; by default the first.
    image : int or sequence of int
        Positions along the dim ``image`` of ``spiking``, drawn side by side.
    label : int, str or sequence of them, optional
        Label of the maps, or several, side by side above their rate maps; ``"top3"`` for the three with the largest
        logits at the last step, and any other number likewise. By default the one with the largest, for each image.
    scale : {"shared", "image", "frame"} or (float, float)
        How far the colors reach, see `nengo_cam.plotting.scale.color_limits`. ``"shared"``: one limit over time,
        over all images drawn, and over spiking and rate maps. It is the largest magnitude in the rate maps, or in the
        spiking maps of the last step if there are no rate maps; what goes beyond it is drawn in the outermost color
        and the color bar has pointed ends. ``"image"``: the same for each image. ``"frame"``: each map its own.
        Or ``(vmin, vmax)`` [logit].
    style : {"signed", "heatmap"}
        ``"heatmap"`` draws the positive part only, and says so, the more opaque the larger it is.
    fps : float
        Frames per second.
    stride : int
        Steps from one frame to the next. The last step is always the last frame.
    cmap : str or matplotlib.colors.Colormap, optional
        Diverging color map, by default ``"RdBu_r"``; for heat maps a sequential one, by default ``"inferno"``.
    alpha : float
        Opacity of the maps in [0, 1].
    interpolation : str, optional
        As in matplotlib's ``imshow``. By default ``"nearest"``, cells as they are; ``"bilinear"`` where a cell is
        larger than a tenth of the image, and than a pixel.
    plane : "strongest" or int
        Of maps of three dimensions: for each row and column the value of largest magnitude along z, with its sign, on
        the mean of the image along z; or the plane at this position, on the slice of the image there.
    title : str, optional
        Above all panels, drawn letter by letter.
    fig : matplotlib.figure.Figure, optional
        Where to draw, best with ``layout="constrained"``. By default a new figure, whose layout is computed once.
    progress_bar : bool
        Whether saving shows its progress.

    Returns
    -------
    CAMAnimation
        The film. Nothing but its first frame is drawn yet.

    Raises
    ------
    ResultError
        If a Dataset lacks something, the two are swapped or do not fit each other, or the scores do not fit the maps.
    LabelError
        If there is no such label, or there are not so many.
    ImageError
        If the images do not fit the maps.
    ParameterError
        If ``image``, ``metric``, ``scale``, ``style``, ``fps``, ``stride``, ``cmap``, ``alpha``, ``interpolation`` or
        ``plane`` is out of range, or there is a ``metric`` without ``scores``.

    Examples
    --------
    >>> film = ncam.animate(ncam.cumulative(spiking), rate, images, image=[0, 1], stride=10, progress_bar=False)
    >>> film.save("cam.gif")  # an .mp4 needs FFmpeg
    """
    look = check_look(cmap, alpha, interpolation, style, check_scale(scale))
    check_fps(fps)
    scenes = select_scenes(spiking, rate, images, image, label, moving=True, plane=plane)
    chosen = check_scores(scores, metric)
    curves = None if chosen is None else [score_curve(chosen, scene) for scene in scenes]
    steps = _frame_steps(len(scenes[0].times), stride)
    # Before there is a film, which takes the first drawing of its figure for the start of the show.
    fig, panels, _ = lay_out(scenes, curves, steps=steps, scale=scale, look=look, fig=fig, title=title)
    film = CAMAnimation(fig, panels, steps, fps=fps, progress_bar=progress_bar)
    film.draw(steps[0])
    return film


def _frame_steps(n_steps, stride):
    try:
        valid = operator.index(stride) >= 1
    except TypeError:
        valid = False
    if not valid:
        raise ParameterError(f"stride: not a number of steps; expected an int of at least 1, got {stride!r}. Try 1.")
    return list(range((n_steps - 1) % stride, n_steps, stride))
