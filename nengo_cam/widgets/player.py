"""The player: what is chosen, and the ways out of Python that it has."""

from __future__ import annotations

import html
import operator
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks.output import atomic_path, check_writable
from ..exceptions import MissingDependencyError, OutputPathError, ParameterError, ResultError
from ..plotting.drawing import check_look
from ..plotting.film.animation import check_fps
from ..plotting.planes import STRONGEST
from ..plotting.scale import SCALES, check_scale
from ..plotting.score_curve import score_curve
from .controls import Controls
from .page import kept_labels, write_page
from .show import Show, choose
from .stage import Stage

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.colors import Colormap
    from nengo.synapses import Synapse
    from numpy.typing import ArrayLike

    from ..plotting.drawing import Look
    from ..plotting.scale import Scale, Style

__all__ = ["Player", "check_page", "player"]

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
    label: int | str | Sequence[int | str] | None = None,
    scale: Scale = "image",
    style: Style = "signed",
    smoothing: str | None = None,
    synapse: Synapse | float = 0.01,
    fps: float = 10,
    cmap: str | Colormap | None = None,
    alpha: float = 0.65,
    interpolation: str | None = None,
    plane: str | int = STRONGEST,
    title: str | None = None,
) -> Player:
    """Make a player of the maps of all images over the time of the simulation.

    In a notebook it shows a page with controls: play, time, image, label, scale of the colors, and smoothing over
    time. The browser draws, also while other cells run, and in a notebook that was exported. `save` writes the same
    page to a file that plays in any browser, without Python and without a network. What is too much for a notebook to
    keep is shown by ``widget``, for which Python draws; this needs ipywidgets.

    Maps of one dimension are strips of color behind their signals, with a curve on them; the page has a heat map of
    them over time, too. Of more than fifty labels the page holds those that lead at some step and the strongest few of
    each image, and a band from the smallest to the largest logit of all others.

    Parameters
    ----------
    spiking : xarray.Dataset
        Result of `nengo_cam.spiking_cam`: ``cam`` (image, time, label, y, x) and ``logits`` (image, time, label)
        [logit], time [s], y and x [pixel]. If it was smoothed already, nothing else can be chosen. Maps of one
        dimension lack y, those of three have z.
    rate : xarray.Dataset, optional
        Result of `nengo_cam.rate_cam`: the same without time, or for moving images with the times of ``spiking``. Its
        maps then play along, and what both networks answer is said at the steps at which they differ.
    images : array_like of shape (N, Y, X), (N, Y, X, C) or (N, T, Y, X, C), optional
        Input images, one per image of ``spiking`` or the full set that its ``image`` coordinate counts in. Signals lack
        Y, volumes have Z.
    scores : xarray.Dataset, optional
        Result of `nengo_cam.compare` for all these images and labels: drawn over time below the logits. They stay
        as given, however the maps are smoothed; a note then tells of which maps they are.
    metric : str, optional
        Which of the scores; by default the first.
    image : int
        Position along the dim ``image`` of ``spiking``, to begin with.
    label : int, str or sequence of them, optional
        Label of the maps, or several side by side, to begin with; ``"top3"`` for the three with the largest logits at
        the last step, and any other number likewise. By default, and for each image anew, the one with the largest.
    scale : {"shared", "image", "frame"} or (float, float)
        How far the colors reach, to begin with. ``"image"``: for each image and label one limit for all times, and
        for spiking and rate map: the largest magnitude in the rate map, or in the spiking map of the last step if
        there is no rate map. ``"shared"``: the largest of these, the same for all images and labels. ``"frame"``:
        each map its own. Or ``(vmin, vmax)`` [logit]. Of several labels side by side ``"image"`` takes the largest.
    style : {"signed", "heatmap"}
        ``"heatmap"`` draws the positive part only, and says so, the more opaque the larger it is.
    smoothing : {"running mean", "lowpass", "none"}, optional
        How maps and logits are smoothed, to begin with; by default the running mean, and of moving images the lowpass,
        which forgets. The lowpass needs the variable ``bias`` and even time steps. A level that receivers hold
        (``attrs["readout"]`` "level") is shown as it is at each step, "none", and cannot be averaged.
    synapse : nengo.synapses.Synapse or float
        What the lowpass filters by: a time constant [s], or a synapse of Nengo's.
    fps : float
        Steps per second while it plays.
    cmap : str or matplotlib.colors.Colormap, optional
        Diverging color map, by default ``"RdBu_r"``; for heat maps a sequential one, by default ``"inferno"``.
    alpha : float
        Opacity of the maps in [0, 1].
    interpolation : str, optional
        As in matplotlib's ``imshow``. By default ``"nearest"``, cells as they are; ``"bilinear"`` where a cell is
        larger than a tenth of the image, and than a pixel. The page draws bilinearly for all that is smooth.
    plane : "strongest" or int
        Of maps of three dimensions: for each row and column the value of largest magnitude along z, with its sign, on
        the mean of the image along z; or the plane at this position, on the slice of the image there.
    title : str, optional
        Above all, drawn letter by letter. By default the page names the model.

    Returns
    -------
    Player
        The player.

    Raises
    ------
    ResultError
        If a Dataset lacks something, the two are swapped or do not fit each other.
    LabelError
        If there is no such label, or there are not so many.
    ImageError
        If the images do not fit the maps.
    ParameterError
        If ``image``, ``metric``, ``scale``, ``style``, ``smoothing``, ``synapse``, ``fps``, ``cmap``, ``alpha``,
        ``interpolation`` or ``plane`` is out of range, or there is a ``metric`` without ``scores``.

    Examples
    --------
    >>> scores = ncam.compare(ncam.cumulative(spiking), rate)
    >>> player = ncam.player(spiking, rate, images, scores=scores)  # in a notebook, `player` alone shows the controls
    >>> player.select(image=1, smoothing="lowpass")
    >>> player.save("player.html")
    """
    look = check_look(cmap, alpha, interpolation, style, check_scale(scale))
    check_fps(fps)
    show = Show(spiking, rate, images, scores=scores, metric=metric, synapse=synapse, plane=plane, style=look.style)
    made = Player(show, fps=fps, look=look, title=title)
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
    look : nengo_cam.plotting.drawing.Look
        How maps look, checked.
    title : str, optional
        Above all.

    Attributes
    ----------
    show, fps, look, title
        As given.
    image : int
        Position of the image shown.
    label : int, str, tuple of them, or None
        Label chosen, or several; None is the one with the largest logit at the last step.
    scale : str or (float, float)
        How far the colors reach.
    smoothing : str
        How maps and logits are smoothed.
    step : int
        Position of the time shown; the last one to begin with.
    """

    def __init__(self, show: Show, *, fps: float, look: Look, title: str | None = None):
        self.show, self.fps, self.look, self.title = show, fps, look, title
        self.image, self.smoothing = 0, show.smoothings[0]
        self.label: int | str | tuple[int | str, ...] | None = None
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
        check_look(None, style=self.look.style, scale=wanted["scale"])
        choose("smoothing", wanted["smoothing"], self.show.smoothings)
        scenes = self.show.scenes(wanted["image"], wanted["label"], wanted["smoothing"])
        if wanted["label"] is not None and not isinstance(wanted["label"], str) and np.iterable(wanted["label"]):
            # One label is that label, whether it stands in a list or not.
            names = tuple(scene.label for scene in scenes)
            wanted["label"] = names if len(names) > 1 else names[0]
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
            scenes = self.show.scenes(self.image, self.label, self.smoothing)
            chosen = self.show.scores
            curves = None if chosen is None else [score_curve(chosen, scene) for scene in scenes]
            scale = self.show.shared_limits(self.smoothing) if self.scale == "shared" else self.scale
            self._stage = Stage(scenes, curves, scale=scale, look=self.look, title=self.title)
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
        check_page(path)
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
        n_labels = len(kept_labels(self)[0])
        if sum(self.show.n_bytes(len(smoothings), n_labels)) > MOST_IN_NOTEBOOK:
            smoothings = [self.smoothing]
        return write_page(self, list(smoothings), most=MOST_IN_NOTEBOOK)

    def _widget_bundle(self):
        try:
            return self.widget._repr_mimebundle_()
        except MissingDependencyError:
            return {}


def check_page(path: str | os.PathLike[str], *, inputs: Sequence[str | os.PathLike[str]] = ()) -> None:
    """Check that a page can be saved, before the run that it shall show.

    Parameters
    ----------
    path : str or path-like
        File to be written.
    inputs : sequence of str or path-like
        Files that the run reads, none of which may be overwritten by it.

    Raises
    ------
    OutputPathError
        If nothing can be written there, the suffix is not that of a page, or it is one of the inputs.
    """
    if pathlib.Path(path).suffix.lower() not in (".html", ".htm"):
        raise OutputPathError(
            f"output {str(path)!r}: not a page; expected the suffix '.html' or '.htm', got "
            f"{pathlib.Path(path).suffix!r}. Change the suffix, or save a film with animate(...).save."
        )
    check_writable(path, inputs=inputs)


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
