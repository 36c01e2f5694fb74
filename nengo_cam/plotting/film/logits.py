"""Logits over time below the maps of a film: the labels shown, the strongest of the others, and where the rest is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..text import literal, name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D

    from ..selection import Scene

__all__ = ["SHOWN", "LogitPlot"]

# Neither red nor blue, which mean the sign of a map.
SHOWN = ("#1b7837", "#762a83", "#b8860b", "#00868b", "#c51b7d", "#6b4423")
RUNNER_UP, OTHERS, BAND = "0.35", "0.8", "0.9"
# Beyond so many, lines make a gray slab that says nothing.
_MOST_LINES = 20
# Of so many labels: how the next best are drawn, so that each can be found by its name.
_NEXT_BEST = ((0, (1, 1)), (0, (4, 1, 1, 1)), (0, (6, 2)))
# Letters of a row of the legend, in each column of maps above it.
_LONGEST_ROW = 24


class LogitPlot:
    """Curves that grow with the time.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    scenes : sequence of Scene
        One image with its labels shown.
    columns : int
        How many maps stand above it, side by side.

    Attributes
    ----------
    shown : list of matplotlib.lines.Line2D
        Logits of the labels shown.
    references : list of matplotlib.lines.Line2D
        Their logits in the rate network; empty without.
    runner_up : matplotlib.lines.Line2D or None
        Logit of the strongest label that is not shown.
    next_best : list of matplotlib.lines.Line2D
        Logits of those after it, where there are too many to draw all.
    others : matplotlib.lines.Line2D or None
        Logits of all others, with gaps between them; None where they are too many.
    band : matplotlib.collections.PolyCollection or None
        From the smallest to the largest logit of all others, where they are too many.
    marker : matplotlib.lines.Line2D
        The line at the current time.
    milliseconds : ndarray of shape (T,)
        Times [ms].
    """

    def __init__(self, ax: Axes, scenes: Sequence[Scene], columns: int):
        scene = scenes[0]
        # A film asks for them before.
        logits = cast("np.ndarray", scene.logits)
        self.milliseconds, self._logits = 1000 * scene.times, logits
        chosen = [scene.logit_labels.index(shown.label) for shown in scenes]
        last = np.where(np.isnan(logits[-1]), -np.inf, logits[-1])
        others = [i for i in np.argsort(-last, kind="stable").tolist() if i not in chosen]
        self.others: Line2D | None = None
        self.band: PolyCollection | None = None
        self.runner_up: Line2D | None = None
        self.next_best: list[Line2D] = []
        self._curves: list[tuple[Line2D, list[int]]] = []
        rest = others[1:]
        if len(rest) > _MOST_LINES:
            rest = others[1 + len(_NEXT_BEST) :]
            self._low, self._high = _reach(logits[:, rest])
            self.band = ax.fill_between([], [], color=BAND, linewidth=0, label=f"{len(rest)} other labels", zorder=0.5)
            for index, style in zip(others[1:], _NEXT_BEST):
                (line,) = ax.plot([], [], color="0.5", linewidth=1, linestyle=style, label=_name(scene, index))
                self.next_best.append(line)
                self._curves.append((line, [index]))
        elif rest:
            (self.others,) = ax.plot([], [], color=OTHERS, linewidth=0.8, label="other labels")
            self._curves.append((self.others, rest))
        if others:
            name = f"{_name(scene, others[0])} (strongest other)"
            (self.runner_up,) = ax.plot([], [], color=RUNNER_UP, linewidth=1.2, label=name)
            self._curves.append((self.runner_up, others[:1]))
        self.shown: list[Line2D] = []
        for index, color in zip(chosen, _cycle(SHOWN)):
            (line,) = ax.plot([], [], color=color, linewidth=2, label=_name(scene, index))
            self.shown.append(line)
            self._curves.append((line, [index]))
        self.references: list[Line2D] = []
        # Those that change.
        self._reference_logits: list[np.ndarray] = []
        values = self._add_references(ax, scenes)
        self.marker = ax.axvline(self.milliseconds[0], color="black", linewidth=0.8)
        ax.set(xlabel="time [ms]", ylabel="logit", xlim=_time_limits(self.milliseconds), ylim=_padded(values))
        ax.spines[["top", "right"]].set_visible(False)
        # Each label beside its rate.
        pairs = [[line] for line in self.shown]
        for pair, line in zip(pairs, self.references):
            pair.append(line)
        rest_of_all = [self.runner_up, *self.next_best, self.others, self.band]
        handles: list[Any] = [artist for pair in pairs for artist in pair]
        handles += [artist for artist in rest_of_all if artist is not None]
        self.legend_rows = _rows(handles, columns)
        legend = ax.legend(
            handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small", frameon=False,
            ncol=-(-len(handles) // self.legend_rows),
        )  # fmt: skip
        literal(*legend.get_texts())

    def draw(self, step: int) -> list[Artist]:
        """Show one step.

        Parameters
        ----------
        step : int
            Position along the dim ``time``.

        Returns
        -------
        list of matplotlib.artist.Artist
            What has changed, in the order in which it is drawn.
        """
        times = self.milliseconds[: step + 1]
        artists: list[Artist] = []
        if self.band is not None:
            corners = np.concatenate(
                [np.stack([times, self._low[: step + 1]], -1), np.stack([times, self._high[: step + 1]], -1)[::-1]]
            )
            self.band.set_verts([corners[np.isfinite(corners).all(axis=1)]])
            artists.append(self.band)
        for line, labels in self._curves:
            line.set_data(*_joined(times, self._logits[: step + 1, labels]))
            artists.append(line)
        for line, logits in zip(self.references, self._reference_logits):
            line.set_data(times, logits[: step + 1])
            artists.append(line)
        self.marker.set_xdata([self.milliseconds[step]] * 2)
        return [*artists, self.marker]

    def _add_references(self, ax, scenes):
        """Draw the logits of the rate network, and return all values that the axes have to hold."""
        values = [scenes[0].logits.ravel()]
        for scene, color in zip(scenes, _cycle(SHOWN)):
            if scene.rate_logits is None:
                continue
            logits = scene.rate_logits[..., scene.labels.index(scene.label)]
            style = {
                "color": color, "linewidth": 1.2, "linestyle": "--", "label": f"label {name_of(scene.label)}, rate",
            }  # fmt: skip
            if logits.ndim:
                self._reference_logits.append(logits)
                self.references += ax.plot([], [], **style)
            else:
                self.references.append(ax.axhline(float(logits), **style))
            values.append(np.ravel(logits))
        return np.concatenate(values)


def _name(scene, index):
    return f"label {name_of(scene.logit_labels[index])}"


def _cycle(colors):
    # As many as there are labels; of more than six, colors come again.
    while True:
        yield from colors


def _reach(logits):
    """Return the smallest and the largest of logits (T, L) at each step, NaN where there are none."""
    known = np.isfinite(logits)
    low = np.where(known, logits, np.inf).min(axis=1)
    high = np.where(known, logits, -np.inf).max(axis=1)
    return np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan)


def _joined(times, curves):
    """Join curves (T, L) into one line with gaps, which draws many labels as fast as one."""
    if curves.shape[1] == 1:
        return times, curves[:, 0]
    x = np.tile(np.append(times, np.nan), curves.shape[1])
    return x, np.vstack([curves, np.full(curves.shape[1], np.nan)]).T.ravel()


def _rows(handles, columns):
    """Find the fewest rows of a legend that are not too long, with at most as many names in one as there are maps."""
    lengths = [len(handle.get_label()) for handle in handles]
    for n_columns in range(min(columns, len(lengths)), 1, -1):
        n_rows = -(-len(lengths) // n_columns)
        widths = [max(lengths[i : i + n_rows]) for i in range(0, len(lengths), n_rows)]
        if sum(widths) <= _LONGEST_ROW * columns:
            return n_rows
    return len(lengths)


def _time_limits(times):
    return (min(0.0, times[0]), times[-1]) if len(times) > 1 else (0.0, 2 * times[-1])


def _padded(values):
    values = values[np.isfinite(values)]
    if values.size == 0:
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin
