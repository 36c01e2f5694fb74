"""The axes of one image in a film, and what changes in them from step to step."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..answers import say_answer, say_answers_at_steps
from ..drawing import draw_input, draw_map, few_ticks
from ..text import literal, name_of, plain
from ..ticks import label_pixels
from .logits import SHOWN, LogitPlot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D

    from ..drawing import DrawnInput, Look
    from ..score_curve import Curve
    from ..selection import Scene

__all__ = ["Panel", "PanelAxes"]

# Letters of the name of an image and of a line above a map; of a name that leaves room for the time.
_LONGEST, _LONGEST_LINE, _SHORT = 22, 32, 14


class PanelAxes(NamedTuple):
    """Where one image of a film is drawn.

    Attributes
    ----------
    maps : list of matplotlib.axes.Axes
        For each label the spiking map and, if there is one, the rate map.
    logits : matplotlib.axes.Axes
        Logits over time.
    scores : matplotlib.axes.Axes or None
        Scores over time.
    input : matplotlib.axes.Axes or None
        The input by itself.
    """

    maps: list
    logits: Axes
    scores: Axes | None = None
    input: Axes | None = None


class Panel:
    """The axes and artists of one image in a film.

    Parameters
    ----------
    axes : PanelAxes
        Where to draw.
    scenes : sequence of Scene
        What to show: one image, with a label each.
    curves : sequence of Curve, optional
        Scores to show, of the same labels.
    clims : ndarray of shape (L, T, 2)
        Color limits of each spiking map [logit].
    rate_clims : ndarray of shape (L, 2) or (L, T, 2)
        Color limits of the rate maps [logit], of moving input at each step.
    look : Look
        How maps look.

    Attributes
    ----------
    scenes : list of Scene
        As given.
    scene : Scene
        The first of them.
    map_axes, logit_axes, score_axes : list of Axes, Axes, Axes or None
        As given.
    clims : ndarray of shape (T, 2)
        Color limits of the spiking maps of the first scene.
    drawn : list of nengo_cam.plotting.drawing.DrawnMap
        The maps, in the order of their axes.
    pictures, maps : list of matplotlib.image.AxesImage
        Of these the images (empty without, and of signals) and the maps.
    logits : nengo_cam.plotting.film.logits.LogitPlot
        The curves of logits.
    others, runner_up, shown, reference, marker : matplotlib.lines.Line2D or None
        Of these the others, the strongest of them, the first label shown, its rate logit, and the line at the current
        time.
    said : list of matplotlib.text.Annotation
        What is said below each map of moving input, while the answers differ.
    input : matplotlib.image.AxesImage or matplotlib.lines.Line2D or None
        The input image by itself; of a signal, its first channel.
    score, score_marker : matplotlib.lines.Line2D or None
        Score of the first label up to the current time, and the line there.
    scores : list of matplotlib.lines.Line2D
        Scores of all labels.
    """

    def __init__(
        self,
        axes: PanelAxes,
        scenes: Sequence[Scene],
        curves: Sequence[Curve] | None,
        clims: np.ndarray,
        rate_clims: np.ndarray,
        look: Look,
    ):
        self.scenes, self.scene, self.clims = list(scenes), scenes[0], clims[0]
        self.map_axes, self.logit_axes, self.score_axes = axes.maps, axes.logits, axes.scores
        self._with_rate = self.scene.rate is not None
        self._clims = clims
        self._rate_clims = np.broadcast_to(rate_clims if rate_clims.ndim == 3 else rate_clims[:, None], clims.shape)
        self.drawn = [
            draw_map(ax, values, scene.extent, scene.picture(0), clim=clim, look=look)
            for ax, (scene, values, clim) in zip(axes.maps, self._maps_at(0))
        ]
        self.maps: list[AxesImage] = [drawn.map for drawn in self.drawn]
        self.pictures = [drawn.picture for drawn in self.drawn if drawn.picture is not None]
        for ax in axes.maps:
            few_ticks(ax, flat=self.scene.flat)
            if self.scene.flat:
                # Signals have an abscissa below each map; pictures beside the input have none.
                label_pixels(ax, self.scene.coordinates)
        self._add_titles()
        self._add_answers()
        self._input: DrawnInput | None = None
        self.input: AxesImage | Line2D | None = None
        if axes.input is not None:
            self._add_input(axes.input)
        # Rate maps of several labels stand in a row of their own.
        n_maps = len(scenes) if len(scenes) > 1 else len(axes.maps)
        self.logits = LogitPlot(axes.logits, scenes, n_maps + (axes.input is not None))
        self.others, self.runner_up, self.marker = self.logits.others, self.logits.runner_up, self.logits.marker
        self.shown = self.logits.shown[0]
        self.reference = self.logits.references[0] if self.logits.references else None
        self.scores: list[Line2D] = []
        self.score = self.score_marker = None
        if curves is not None:
            self._add_scores(curves)

    def draw(self, step: int) -> list[Artist]:
        """Show one step.

        Parameters
        ----------
        step : int
            Position along the dim ``time``.

        Returns
        -------
        list of matplotlib.artist.Artist
            The artists that were changed.
        """
        picture = self.scene.picture(step)
        artists: list[Artist] = [] if self._input is None else list(self._input.show(picture))
        for drawn, (_, values, clim) in zip(self.drawn, self._maps_at(step)):
            artists += drawn.show(values, clim, picture)
        # Side by side, titles with the time beside a name would run into each other.
        shortest = _SHORT if len(self.scenes) == 1 else 0
        for title, scene, label in zip(self._titles, self.scenes, self._labels):
            name = f"label {label}{', ' if len(label) <= shortest else chr(10)}{scene.moment(step)}"
            title.set_text("\n".join(line for line in (plain(scene.kind, _LONGEST_LINE), scene.plane, name) if line))
        artists += [*self._titles, *self.said, *self.logits.draw(step)]
        for line, values in zip(self.scores, self._scores if self.scores else []):
            line.set_data(self.logits.milliseconds[: step + 1], values[: step + 1])
            artists.append(line)
        if self.score_marker is not None:
            self.score_marker.set_xdata([self.logits.milliseconds[step]] * 2)
            artists.append(self.score_marker)
        self._say(step)
        # In the order in which they lie on each other.
        return artists

    def tallest(self, steps: Sequence[int]) -> int:
        """Find a step that takes as much room as any.

        Parameters
        ----------
        steps : sequence of int
            Steps that are shown.

        Returns
        -------
        int
            The last one with differing answers, or simply the last one.
        """
        answers = self.scene.answers_by_step
        return max((step for step in steps if answers is not None and answers[step]), default=steps[-1])

    def _maps_at(self, step):
        """Return scene, values and color limits of each map at a step, in the order of the axes."""
        found = []
        for scene, clims, rate_clims in zip(self.scenes, self._clims, self._rate_clims):
            found.append((scene, scene.spiking[step], clims[step]))
            if self._with_rate:
                found.append((scene, scene.rate_at(step), rate_clims[step]))
        return found

    def _add_titles(self):
        every = 2 if self._with_rate else 1
        spiking_axes, rate_axes = self.map_axes[::every], self.map_axes[1::2] if self._with_rate else []
        self._labels = [name_of(scene.label) for scene in self.scenes]
        self._titles = [ax.title for ax in spiking_axes]
        for title in self._titles:
            title.set_fontsize("medium")
        literal(*self._titles, self.map_axes[0].set_ylabel(f"image {plain(self.scene.image, _LONGEST)}"))
        for ax, label in zip(rate_axes, self._labels):
            literal(ax.set_title(f"rate\nlabel {label}", fontsize="medium"))

    def _add_answers(self):
        """Say below the maps of the first label what the networks answer, which is the same for all labels."""
        axes = self.map_axes[: 1 + self._with_rate]
        if self.scene.answers is not None:
            said = tuple(zip(("network", "CNN"), self.scene.answers))
            # Each below its own map; both below the only one.
            for ax, answers in zip(axes, [said[:1], said[1:]] if self._with_rate else [said]):
                say_answer(ax, *answers)
        self.said = [] if self.scene.answers_by_step is None else [say_answers_at_steps(ax) for ax in axes]

    def _add_input(self, ax):
        self._input = draw_input(ax, self.scene.picture(0), flat=self.scene.flat)
        self.input = self._input.artists[0]
        few_ticks(ax, flat=self.scene.flat)
        label_pixels(ax, self.scene.coordinates)
        ax.set_title("input", fontsize="medium")
        # The name of the image belongs to the first axes.
        literal(ax.set_ylabel(self.map_axes[0].get_ylabel()))
        self.map_axes[0].set_ylabel("")

    def _say(self, step):
        """Say below the maps of moving input what is answered at a step, if the two networks differ."""
        if not self.said:
            return
        answers = self.scene.answers_by_step[step]
        said = (
            [] if answers is None else [f"{who}: {name_of(label)}" for who, label in zip(("network", "CNN"), answers)]
        )
        # Each below its own map; both below the only one.
        texts = ["\n".join(said)] if len(self.said) == 1 else said or ["", ""]
        for annotation, text in zip(self.said, texts):
            annotation.set_text(text)
            annotation.set_visible(bool(text))

    def _add_scores(self, curves):
        ax, curve = self.score_axes, curves[0]
        self._scores = [curve.values for curve in curves]
        for index in range(len(curves)):
            self.scores += ax.plot([], [], color=SHOWN[index % len(SHOWN)], linewidth=2)
        self.score = self.scores[0]
        self.score_marker = ax.axvline(self.logits.milliseconds[0], color="black", linewidth=0.8)
        # The logits above have the same abscissa.
        ax.sharex(self.logit_axes)
        self.logit_axes.tick_params(labelbottom=False)
        self.logit_axes.set_xlabel("")
        ax.set(xlabel="time [ms]", ylabel=plain(curve.name, _LONGEST), ylim=curve.limits)
        literal(ax.yaxis.label)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="0.9", linewidth=0.6)
        if curve.note:
            literal(ax.set_title(plain(curve.note, _LONGEST_LINE), loc="right", fontsize="small", pad=2))
