"""The axes of one image in a film, and what changes in them from step to step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..answers import say_answer, say_answers_at_steps
from ..displayed import gray
from ..overlay import draw_map
from ..text import literal, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.image import AxesImage

    from ..score_curve import Curve
    from ..selection import Scene

__all__ = ["Panel"]

# Neither red nor blue, which mean the sign of a map.
SHOWN, RUNNER_UP, OTHERS = "#1b7837", "0.35", "0.8"
# Letters of a name and of a line above a map; of a name that leaves room for the time; of a row of the legend.
_LONGEST, _LONGEST_LINE, _SHORT, _LONGEST_ROW = 22, 32, 14, 48


class Panel:
    """The axes and artists of one image in a film.

    Parameters
    ----------
    map_axes : list of matplotlib.axes.Axes
        For the spiking map and, if there is one, the rate map.
    logit_axes : matplotlib.axes.Axes
        For the logits over time.
    score_axes : matplotlib.axes.Axes or None
        For the scores over time.
    scene : Scene
        What to show.
    curve : Curve or None
        Scores to show.
    clims : ndarray of shape (T, 2)
        Color limits of each spiking map [logit].
    rate_clim : ndarray of shape (2,) or (T, 2)
        Color limits of the rate map [logit], of moving input at each step.
    cmap : matplotlib.colors.Colormap
        Color map for these limits.
    alpha : float
        Opacity of the maps.

    Attributes
    ----------
    scene, map_axes, logit_axes, score_axes, clims
        As given.
    pictures, maps : list of matplotlib.image.AxesImage
        The same for the images (empty without) and the maps.
    others, runner_up, shown, reference, marker : matplotlib.lines.Line2D or None
        Logits of all other labels (gaps between them), of the strongest of these, of the label shown, its rate logit,
        and the line at the current time.
    said : list of matplotlib.text.Annotation
        What is said below each map of moving input, while the answers differ.
    input : matplotlib.image.AxesImage or None
        The input image by itself.
    score, score_marker : matplotlib.lines.Line2D or None
        Score up to the current time, and the line there.
    """

    def __init__(
        self,
        map_axes: Sequence[Axes],
        logit_axes: Axes,
        score_axes: Axes | None,
        scene: Scene,
        curve: Curve | None,
        clims: np.ndarray,
        rate_clim: np.ndarray,
        cmap: Colormap,
        alpha: float,
    ):
        self.scene, self.clims = scene, clims
        self.map_axes, self.logit_axes, self.score_axes = map_axes, logit_axes, score_axes
        self._rate_clims = np.broadcast_to(rate_clim, clims.shape)
        values = [scene.spiking[0]] + ([] if scene.rate is None else [scene.rate_at(0)])
        drawn = [
            draw_map(ax, value, scene.extent, scene.picture(0), clim=clim, cmap=cmap, alpha=alpha)
            for ax, value, clim in zip(self.map_axes, values, (clims[0], self._rate_clims[0]))
        ]
        self.pictures = [picture for picture, _ in drawn if picture is not None]
        self.maps = [artist for _, artist in drawn]
        for ax in self.map_axes:
            ax.set(xticks=[], yticks=[])
        self._label = plain(scene.label, _LONGEST)
        self._break = ", " if len(self._label) <= _SHORT else "\n"
        literal(self.map_axes[0].title, self.map_axes[0].set_ylabel(f"image {plain(scene.image, _LONGEST)}"))
        if scene.rate is not None:
            literal(self.map_axes[1].set_title(f"rate\nlabel {self._label}", fontsize="medium"))
        if scene.answers is not None:
            said = tuple(zip(("network", "CNN"), scene.answers))
            # Each below its own map; both below the only one.
            for ax, answers in zip(self.map_axes, [said] if scene.rate is None else [said[:1], said[1:]]):
                say_answer(ax, *answers)
        self.said = [] if scene.answers_by_step is None else [say_answers_at_steps(ax) for ax in self.map_axes]
        self._add_logits()
        self.input: AxesImage | None = None
        self.score = self.score_marker = None
        if curve is not None:
            self._add_score(curve)

    def add_input(self, ax: Axes) -> None:
        """Show the input image by itself, left of the maps.

        Parameters
        ----------
        ax : matplotlib.axes.Axes
            Where to draw.
        """
        self.input = ax.imshow(self.scene.picture(0), cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_title("input", fontsize="medium")
        # The name of the image belongs to the first axes.
        literal(ax.set_ylabel(self.map_axes[0].get_ylabel()))
        self.map_axes[0].set_ylabel("")

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
        scene = self.scene
        self.maps[0].set_data(scene.spiking[step])
        self.maps[0].set_clim(*self.clims[step])
        if scene.rate is not None and scene.rate.ndim == 3:
            self.maps[1].set_data(scene.rate_at(step))
            self.maps[1].set_clim(*self._rate_clims[step])
        for picture in self.pictures:
            picture.set_data(gray(scene.picture(step)))
        pictures = self.pictures
        if self.input is not None:
            self.input.set_data(scene.picture(step))
            pictures = [self.input, *pictures]
        title = f"{plain(scene.kind, _LONGEST_LINE)}\nlabel {self._label}{self._break}{scene.moment(step)}"
        self.map_axes[0].set_title(title, fontsize="medium")
        for line, labels in self._curves:
            line.set_data(*_joined(self._milliseconds[: step + 1], self._logits[: step + 1, labels]))
        lines = [line for line, _ in self._curves] + [self.marker]
        if self._reference_logits is not None:
            self.reference.set_data(self._milliseconds[: step + 1], self._reference_logits[: step + 1])
            lines.insert(-1, self.reference)
        if self.score is not None:
            self.score.set_data(self._milliseconds[: step + 1], self._scores[: step + 1])
            lines += [self.score, self.score_marker]
        for marker in (self.marker, self.score_marker):
            if marker is not None:
                marker.set_xdata([self._milliseconds[step]] * 2)
        self._say(step)
        # In the order in which they lie on each other.
        return pictures + self.maps + [self.map_axes[0].title, *self.said] + lines

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

    def _say(self, step):
        """Say below the maps of moving input what is answered at a step, if the two networks differ."""
        if not self.said:
            return
        answers = self.scene.answers_by_step[step]
        said = (
            []
            if answers is None
            else [f"{who}: {plain(label, _LONGEST)}" for who, label in zip(("network", "CNN"), answers)]
        )
        # Each below its own map; both below the only one.
        texts = ["\n".join(said)] if len(self.said) == 1 else said or ["", ""]
        for annotation, text in zip(self.said, texts):
            annotation.set_text(text)
            annotation.set_visible(bool(text))

    def _add_logits(self):
        scene, ax = self.scene, self.logit_axes
        self._milliseconds, self._logits = 1000 * scene.times, scene.logits
        chosen = scene.labels.index(scene.label)
        last = np.where(np.isnan(scene.logits[-1]), -np.inf, scene.logits[-1])
        others = [i for i in np.argsort(-last, kind="stable").tolist() if i != chosen]
        self.others = self.runner_up = self.reference = None
        self._curves = []
        if len(others) > 1:
            (self.others,) = ax.plot([], [], color=OTHERS, linewidth=0.8, label="other labels")
            self._curves.append((self.others, others[1:]))
        if others:
            name = f"label {plain(scene.labels[others[0]], _LONGEST)} (strongest other)"
            (self.runner_up,) = ax.plot([], [], color=RUNNER_UP, linewidth=1.2, label=name)
            self._curves.append((self.runner_up, others[:1]))
        (self.shown,) = ax.plot([], [], color=SHOWN, linewidth=2, label=f"label {self._label}")
        self._curves.append((self.shown, [chosen]))
        values, self._reference_logits = scene.logits, None
        if scene.rate_logits is not None:
            rate_logits = scene.rate_logits[..., chosen]
            style = {"color": SHOWN, "linewidth": 1.2, "linestyle": "--", "label": f"label {self._label}, rate"}
            if rate_logits.ndim:
                self._reference_logits = rate_logits
                (self.reference,) = ax.plot([], [], **style)
            else:
                self.reference = ax.axhline(float(rate_logits), **style)
            values = np.append(values, rate_logits)
        self.marker = ax.axvline(self._milliseconds[0], color="black", linewidth=0.8)
        ax.set(xlabel="time [ms]", ylabel="logit", xlim=_time_limits(self._milliseconds), ylim=_padded(values))
        ax.spines[["top", "right"]].set_visible(False)
        handles = [line for line in (self.shown, self.reference, self.runner_up, self.others) if line is not None]
        legend = ax.legend(
            handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small", frameon=False,
            ncol=len(self.maps) if sum(_widths(handles)) <= _LONGEST_ROW else 1,
        )  # fmt: skip
        literal(*legend.get_texts())

    def _add_score(self, curve):
        ax = self.score_axes
        self._scores = curve.values
        (self.score,) = ax.plot([], [], color=SHOWN, linewidth=2)
        self.score_marker = ax.axvline(self._milliseconds[0], color="black", linewidth=0.8)
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


def _joined(times, curves):
    """Join curves (T, L) into one line with gaps, which draws a thousand labels as fast as one."""
    if curves.shape[1] == 1:
        return times, curves[:, 0]
    x = np.tile(np.append(times, np.nan), curves.shape[1])
    return x, np.vstack([curves, np.full(curves.shape[1], np.nan)]).T.ravel()


def _widths(handles):
    """Letters of the longest name in each of two columns of a legend."""
    lengths = [len(handle.get_label()) for handle in handles]
    half = -(-len(lengths) // 2)
    return max(lengths[:half]), max(lengths[half:], default=0)


def _time_limits(times):
    return (min(0.0, times[0]), times[-1]) if len(times) > 1 else (0.0, 2 * times[-1])


def _padded(values):
    values = values[np.isfinite(values)]
    if values.size == 0:
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin
