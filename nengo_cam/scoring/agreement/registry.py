"""What each metric means: its range, and which way is better.

`register_metric` fills it; a new metric goes into `metrics`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, Literal, TypeVar

from ...exceptions import ParameterError

__all__ = ["Metric", "get_metric", "metric_names", "register_metric"]

_METRICS: dict[str, Metric] = {}

#: What is decorated, which stays what it is.
_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class Metric:
    """A score of one map against another.

    Attributes
    ----------
    name : str
        Name of the function.
    function : callable
        ``function(maps, references, *, n_axes=2, **options)``: arrays of shape (..., Y, X), or with another number
        ``n_axes`` of map axes, whose leading axes broadcast; returns scores over these.
    long_name : str
        What it is, for the axes of figures.
    units : str
        Unit of the score.
    lowest, highest : float
        Its range.
    better : {"higher", "lower"}
        Which end of the range equal maps are at.
    """

    name: str
    function: Callable
    long_name: str
    units: str
    lowest: float
    highest: float
    better: str

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of a variable that holds its scores."""
        return {
            "units": self.units,
            "long_name": self.long_name,
            "range": [self.lowest, self.highest],
            "better": self.better,
        }


def register_metric(
    long_name: str, *, lowest: float, highest: float, better: Literal["higher", "lower"], units: str = "1"
) -> Callable[[_Function], _Function]:
    """Register a function as a metric of its name.

    Parameters
    ----------
    long_name, lowest, highest, better, units
        As in `Metric`.

    Returns
    -------
    callable
        Decorator, which leaves the function as it is.

    Raises
    ------
    ParameterError
        If ``better`` is neither "higher" nor "lower", or the name is taken by another function.
    """
    if better not in ("higher", "lower"):
        raise ParameterError(f"better: expected 'higher' or 'lower', got {better!r}. Say which one equal maps have.")

    def decorate(function):
        name = function.__name__
        known = _METRICS.get(name)
        # A module that is loaded again may register its own again.
        if known is not None and known.function.__module__ != function.__module__:
            raise ParameterError(
                f"metric {name!r}: the name is taken; expected a new name, got that of a function of "
                f"{known.function.__module__}. Rename the function."
            )
        _METRICS[name] = Metric(name, function, long_name, units, float(lowest), float(highest), better)
        return function

    return decorate


def get_metric(name: str) -> Metric:
    """Find a metric by its name.

    Parameters
    ----------
    name : str
        Name of a registered metric.

    Returns
    -------
    Metric
        What is known of it.

    Raises
    ------
    ParameterError
        If there is none.
    """
    if not isinstance(name, str) or name not in _METRICS:
        raise ParameterError(f"metric {name!r}: unknown; expected one of {metric_names()}, got {name!r}. Choose one.")
    return _METRICS[name]


def metric_names() -> list[str]:
    """Return the names of all metrics, in the order of registration."""
    return list(_METRICS)
