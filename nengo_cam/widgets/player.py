"""The player: what is chosen, and the ways out of Python that it has."""

from __future__ import annotations

import html
import operator
import pathlib
from typing import TYPE_CHECKING, Any

from ..checks.output import atomic_path, check_writable
from ..exceptions import MissingDependencyError, OutputPathError, ParameterError, ResultError
from ..plotting.drawing import check_alpha
from ..plotting.film.animation import check_fps
from ..plotting.scale import SCALES, centered_colormap
from ..plotting.score_curve import score_curve
from .controls import Controls
from .page import write_page
from .show import Show, choose
from .stage import Stage

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.colors import Colormap
    from nengo.synapses import Synapse
    from numpy.typing import ArrayLike

    from ..plotting.scale import Scale

__all__ = ["Player", "player"]

#: Cells of maps and pixels of images that a notebook keeps, a byte each; about half as many bytes when packed.
MOST_IN_NOTEBOOK = 20_000_000


def player(
    spiking: xr.Dataset,
    rate: xr.Dataset | None = None,
    images: ArrayLike | None = None,
    *,
    scores: xr.Dataset | None = None,
    metric: str | None = None,
    image: int = 0,
    label: int | str | None = None,
    scale: Scale = "image",
    smoothing: str | None = None,
    synapse: Synapse | float = 0.01,
    fps: float = 10,
    cmap: str | Colormap = "RdBu_r",
    alpha: float = 0.65,
) -> Player:
    """Make a player of the maps of all images over the time of the simulation.

    In a notebook it shows a page with controls: play, time, image, label, scale of the colors, and smoothing over
    time. The browser draws, also while other cells run, and in a notebook that was exported. `save` writes the same
    page to a file that plays in any browser, without Python and without a network. What is too much for a notebook to
    keep is shown by ``widget``, for which Python draws; this needs ipywidgets.

    Parameters
    ----------
    spiking : xarray.Dataset
        Result of `nengo_cam.spiking_cam`: ``cam`` (image, time, label, y, x) and ``logits`` (image, time, label)
        [logit], time [s], y and x [pixel]. If it was smoothed already, nothing else can be chosen.
    rate : xarray.Dataset, optional
        Result of `nengo_cam.rate_cam`: the same without time, or for moving images with the times of ``spiking``. Its
        maps then play along, and what both networks answer is said at the steps at which they differ.
    images : array_like of shape (N, Y, X), (N, Y, X, C) or (N, T, Y, X, C), optional
        Input images, one per image of ``spiking`` or the full set that its ``image`` coordinate counts in.
    scores : xarray.Dataset, optional
        Result of `nengo_cam.compare` for all these images and labels: drawn over time below the logits. They stay
        as given, however the maps are smoothed; a note then tells of which maps they are.
    metric : str, optional
        Which of the scores; by default the first.
    image : int
        Position along the dim ``image`` of ``spiking``, to begin with.
    label : int or str, optional
        Label of the maps, to begin with. By default, and for each image anew, the one with the largest logit at the
        last step.
    scale : {"shared", "image", "frame"} or (float, float)
        How far the colors reach, to begin with. ``"image"``: for each image and label one limit for all times, and
        for spiking and rate map: the largest magnitude in the rate map, or in the spiking map of the last step if
        there is no rate map. ``"shared"``: the largest of these, the same for all images and labels. ``"frame"``:
        each map its own. Or ``(vmin, vmax)`` [logit].
    smoothing : {"running mean", "lowpass", "none"}, optional
        How maps and logits are smoothed, to begin with; by default the running mean, and of moving images the lowpass,
        which forgets. The lowpass needs the variable ``bias`` and even time steps. A level that receivers hold
        (``attrs["readout"]`` "level") is shown as it is at each step, "none", and cannot be averaged.
    synapse : nengo.synapses.Synapse or float
        What the lowpass filters by: a time constant [s], or a synapse of Nengo's.
    fps : float
        Steps per second while it plays.
    cmap : str or matplotlib.colors.Colormap
        Diverging color map.
    alpha : float
        Opacity of the maps in [0, 1].

    Returns
    -------
    Player
        The player.

    Raises
    ------
    ResultError
        If a Dataset lacks something, the two are swapped or do not fit each other.
    LabelError
        If there is no such label.
    ImageError
        If the images do not fit the maps.
    ParameterError
        If ``image``, ``metric``, ``scale``, ``smoothing``, ``synapse``, ``fps``, ``cmap`` or ``alpha`` is out of
        range, or there is a ``metric`` without ``scores``.

    Examples
    --------
    >>> scores = ncam.compare(ncam.cumulative(spiking), rate)
    >>> player = ncam.player(spiking, rate, images, scores=scores)  # in a notebook, `player` alone shows the controls
    >>> player.select(image=1, smoothing="lowpass")
    >>> player.save("player.html")
    """
    check_alpha(alpha)
    check_fps(fps)
    cmap = centered_colormap(cmap, -1, 1)
    show = Show(spiking, rate, images, scores=scores, metric=metric, synapse=synapse)
    made = Player(show, fps=fps, cmap=cmap, alpha=alpha)
    made.select(image=image, label=label, scale=scale, smoothing=show.smoothings[0] if smoothing is None else smoothing)
    return made


class Player:
    """A player of class-activation maps, as `player` returns it. A notebook shows it as a page.

    Parameters
    ----------
    show : Show
        What there is to see.
    fps : float
        Steps per second while it plays.
    cmap : matplotlib.colors.Colormap
        Diverging color map.
    alpha : float
        Opacity of the maps.

    Attributes
    ----------
    show, fps, cmap, alpha
        As given.
    image : int
        Position of the image shown.
    label : int or str or None
        Label chosen; None is the one with the largest logit at the last step.
    scale : str or (float, float)
        How far the colors reach.
    smoothing : str
        How maps and logits are smoothed.
    step : int
        Position of the time shown; the last one to begin with.
    """

    def __init__(self, show: Show, *, fps: float, cmap: Colormap, alpha: float):
        self.show, self.fps, self.cmap, self.alpha = show, fps, cmap, alpha
        self.image, self.smoothing = 0, show.smoothings[0]
        self.label: int | str | None = None
        self.scale: Scale = "image"
        # There is most to see.
        self.step = len(show.times) - 1
        # Made when they are first needed: a figure takes a second, and widgets need ipywidgets.
        self._stage: Stage | None = None
        self._controls: Controls | None = None

    def select(self, **choices: Any) -> None:
        """Choose what is shown; widgets follow.

        Parameters
        ----------
        **choices
            Any of ``image``, ``label``, ``scale`` and ``smoothing``, as in `player`.

        Raises
        ------
        LabelError, ImageError, ParameterError
            If there is no such thing. Nothing changes then.
        TypeError
            If there is no such choice.
        """
        wanted = {name: getattr(self, name) for name in ("image", "label", "scale", "smoothing")}
        unknown = set(choices) - set(wanted)
        if unknown:
            raise TypeError(f"select() got unexpected keyword arguments {sorted(unknown)}")
        wanted.update(choices)
        wanted["scale"] = choose("scale", wanted["scale"], SCALES)
        choose("smoothing", wanted["smoothing"], self.show.smoothings)
        self.show.scene(wanted["image"], wanted["label"], wanted["smoothing"])
        # Positions may be counted from the end.
        wanted["image"] = range(len(self.show.names))[wanted["image"]]
        self.__dict__.update(wanted)
        self._stage = None
        if self._controls is not None:
            self._controls.follow()

    @property
    def stage(self) -> Stage:
        """The figure that draws what is chosen, made when it is first needed."""
        if self._stage is None:
            scene = self.show.scene(self.image, self.label, self.smoothing)
            curve = None if self.show.scores is None else score_curve(self.show.scores, scene)
            scale = self.show.shared_limits(self.smoothing) if self.scale == "shared" else self.scale
            self._stage = Stage(scene, curve, scale=scale, cmap=self.cmap, alpha=self.alpha)
        return self._stage

    def draw(self, step: int) -> bytes:
        """Draw one step of what is chosen.

        Parameters
        ----------
        step : int
            Position along the dim ``time``; negative ones count from the end.

        Returns
        -------
        bytes
            The frame as a PNG.

        Raises
        ------
        ParameterError
            If there is no such step.
        """
        step = _check_step(step, len(self.show.times))
        self.stage.draw(step)
        self.step = step
        return self.stage.png()

    @property
    def controls(self) -> Controls:
        """The widgets, made when they are first needed.

        Raises
        ------
        MissingDependencyError
            If ipywidgets is not installed.
        """
        if self._controls is None:
            self._controls = Controls(self)
        return self._controls

    @property
    def widget(self) -> Any:
        """Controls and figure as one widget, to be put among others; they follow `select`, and wait for the kernel.

        Raises
        ------
        MissingDependencyError
            If ipywidgets is not installed.
        """
        return self.controls.box

    def to_html(self, *, smoothing: str | Sequence[str] | None = None) -> str:
        """Write the player as a page that needs nothing else.

        Parameters
        ----------
        smoothing : str or sequence of str, optional
            What can be chosen on the page; each adds to its size. By default all that can be chosen here.

        Returns
        -------
        str
            HTML.

        Raises
        ------
        ParameterError
            If ``smoothing`` is not among the choices.
        ResultError
            If there are more maps and images than a browser can hold, or values beyond single precision.
        ImageError
            If ``images`` has no picture for an image of the maps.
        """
        return write_page(self, self._smoothings(smoothing))

    def save(self, path: str | os.PathLike[str], *, smoothing: str | Sequence[str] | None = None) -> None:
        """Save the player as a page that plays without Python and without a network, also from a disk.

        It begins with what is chosen now. The file appears only when it is complete. A map takes about a byte for
        every two to four of its cells.

        Parameters
        ----------
        path : str or path-like
            File to write, ending in ``.html`` or ``.htm``.
        smoothing : str or sequence of str, optional
            What can be chosen on the page; each adds to its size. By default all that can be chosen here.

        Raises
        ------
        OutputPathError
            If nothing can be written there, or the suffix is not that of a page.
        ParameterError
            If ``smoothing`` is not among the choices.
        ResultError
            If there are more maps and images than a browser can hold, or values beyond single precision.
        ImageError
            If ``images`` has no picture for an image of the maps.
        """
        if pathlib.Path(path).suffix.lower() not in (".html", ".htm"):
            raise OutputPathError(
                f"output {str(path)!r}: not a page; expected the suffix '.html' or '.htm', got "
                f"{pathlib.Path(path).suffix!r}. Change the suffix, or save a film with animate(...).save."
            )
        check_writable(path)
        page = self.to_html(smoothing=smoothing)
        with atomic_path(path) as partial:
            partial.write_text(page, encoding="utf-8")

    def _smoothings(self, smoothing):
        if smoothing is None:
            return list(self.show.smoothings)
        wanted = [smoothing] if isinstance(smoothing, str) else list(smoothing)
        for name in wanted or [None]:
            choose("smoothing", name, self.show.smoothings)
        return [name for name in self.show.smoothings if name in wanted]

    def _repr_html_(self):
        # The script of the page makes it as high as it needs to be, and draws whatever the kernel does.
        height = 760 if self.show.scores is None else 900
        return (
            f'<iframe srcdoc="{html.escape(self._page_of_notebook(), quote=True)}" data-fit '
            f'title="Player of class-activation maps" style="width: 100%; height: {height}px; border: 0"></iframe>'
        )

    def _repr_mimebundle_(self, include=None, exclude=None):
        try:
            return {"text/plain": repr(self), "text/html": self._repr_html_()}
        except ResultError as err:
            # What is too much for a notebook to keep can still be drawn frame by frame.
            note = f"<p>The player is not kept in the notebook. {html.escape(str(err))}</p>"
            return {**self._widget_bundle(), "text/plain": repr(self), "text/html": note}

    def _page_of_notebook(self):
        smoothings = self.show.smoothings
        if sum(self.show.n_bytes(len(smoothings))) > MOST_IN_NOTEBOOK:
            smoothings = [self.smoothing]
        return write_page(self, list(smoothings), most=MOST_IN_NOTEBOOK)

    def _widget_bundle(self):
        try:
            return self.widget._repr_mimebundle_()
        except MissingDependencyError:
            return {}


def _check_step(step, n_steps):
    try:
        found = operator.index(step)
    except TypeError:
        found = n_steps
    if not -n_steps <= found < n_steps:
        raise ParameterError(
            f"step: not a position in time; expected an int from 0 to {n_steps - 1}, got {step!r}. Give the position "
            "along the dim 'time', not a time."
        )
    return found % n_steps
