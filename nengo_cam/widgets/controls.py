"""The player's widgets in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..exceptions import MissingDependencyError
from ..plotting.selection import milliseconds
from ..plotting.text import name_of

if TYPE_CHECKING:
    from .player import Player

__all__ = ["Controls"]

WINNER = "winner"
CHOICES = ("image", "label", "scale", "smoothing")
NOTE = "Python draws these frames: they wait while another cell runs."
SCALE_NAMES = {"shared": "all alike", "image": "per image, label", "frame": "per map"}


class Controls:
    """Widgets around the figure of a player.

    Parameters
    ----------
    player : Player
        What they control. Widgets show its choices, and change them.

    Attributes
    ----------
    play : ipywidgets.Play
        Counts steps, in the browser.
    time : ipywidgets.SelectionSlider
        Step shown; it reads in milliseconds.
    image, label, scale, smoothing : ipywidgets.Dropdown
        Choices. The values of ``image`` are positions, that of the winning label is None, those of several labels are
        tuples, or ``"top3"``.
    picture : ipywidgets.Image
        The frame.
    note : ipywidgets.HTML
        Says that frames wait while the kernel is busy.
    box : ipywidgets.VBox
        All of them.

    Raises
    ------
    MissingDependencyError
        If ipywidgets is not installed.
    """

    # Dropdowns; set by name.
    image: Any
    label: Any
    scale: Any
    smoothing: Any

    def __init__(self, player: Player):
        widgets = _import_ipywidgets()
        self.player, self._following = player, False
        # Color limits given as numbers, and several labels at once, stay among the choices.
        self._limits: list[tuple[float, float]] = []
        self._several: list[Any] = []
        steps = [(milliseconds(time), step) for step, time in enumerate(player.show.times)]
        self.play = widgets.Play(
            max=len(steps) - 1, value=player.step, interval=round(1000 / player.fps), tooltip="Play or pause",
            # Otherwise nothing would happen at the last step, where it begins.
            repeat=True, show_repeat=False,
        )  # fmt: skip
        self.time = widgets.SelectionSlider(
            options=steps, index=player.step, description="time", layout=widgets.Layout(width="28em")
        )
        # In the browser: the kernel sees only where the slider stands.
        widgets.jslink((self.play, "value"), (self.time, "index"))
        layout = widgets.Layout(width="17em")
        for name in CHOICES:
            dropdown = widgets.Dropdown(description=name, layout=layout)
            dropdown.observe(self._select, names="value")
            setattr(self, name, dropdown)
        self.time.observe(self._draw, names="value")
        self.picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%", object_fit="contain"))
        self.follow()
        rows = [[self.play, self.time], [self.image, self.label, self.scale, self.smoothing]]
        flow = widgets.Layout(flex_flow="row wrap")
        self.note = widgets.HTML(f"<small>{NOTE}</small>")
        self.box = widgets.VBox([*(widgets.HBox(row, layout=flow) for row in rows), self.picture, self.note])

    def follow(self) -> None:
        """Show the choices of the player, and its frame at the time of the slider."""
        self._following = True
        for name in CHOICES:
            options, chosen = self._options(name), getattr(self.player, name)
            dropdown = getattr(self, name)
            if dropdown.options != options:
                dropdown.options = options
            dropdown.index = [value for _, value in options].index(chosen)
        self._following = False
        self._draw()

    def _options(self, name):
        show, scale = self.player.show, self.player.scale
        if name == "image":
            return tuple((str(image), position) for position, image in enumerate(show.names))
        if name == "label":
            chosen = self.player.label
            if chosen is not None and chosen not in [*show.labels, *self._several]:
                self._several.append(chosen)
            several = ((several_text(labels), labels) for labels in self._several)
            return ((WINNER, None), *((str(label), label) for label in show.labels), *several)
        if name == "smoothing":
            return tuple((smoothing, smoothing) for smoothing in show.smoothings)
        if not isinstance(scale, str) and scale not in self._limits:
            self._limits.append(scale)
        own = ((scale_text(limits), limits) for limits in self._limits)
        return (*((text, scale) for scale, text in SCALE_NAMES.items()), *own)

    def _select(self, change):
        if not self._following:
            self.player.select(**{change["owner"].description: change["new"]})

    def _draw(self, change=None):
        self.picture.value = self.player.draw(self.time.value)


def several_text(labels):
    """Name several labels at once: "cat, dog", or "top 3"."""
    return labels.replace("top", "top ") if isinstance(labels, str) else ", ".join(map(name_of, labels))


def scale_text(limits):
    """Name a scale ``(vmin, vmax)`` [logit] that the user gave."""
    return "{:g} to {:g}".format(*limits)


def _import_ipywidgets():
    try:
        import ipywidgets
    except ImportError as err:
        raise MissingDependencyError(
            "player: its widgets need ipywidgets; expected it to be installed, got none. Run: "
            "pip install 'nengo-cam[notebook]', or save the player as a page."
        ) from err
    return ipywidgets
