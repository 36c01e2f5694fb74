"""The registry of methods: what each needs, refuses and gives.

A method is added by an object with the members of `Method`, decorated or passed to `register_method`; `attribute` then
takes it by its name, over images, targets and times.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from numpy.typing import NDArray

from ..exceptions import ParameterError
from ..models.replay import Replay
from ..models.simplify import ReducedModel

__all__ = ["Explained", "Method", "find_method", "register_method"]


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """What a method says of some images.

    Attributes
    ----------
    attribution : ndarray of shape (N, ..., channels)
        At the resolution of the input or of a layer, in the axes of either.
    logits : ndarray of shape (N, L)
        Logits of the model as it was run [logit]; they tell whether that is what the network did.
    shares : dict of {str: dict of {str: ndarray of shape (N,)}}
        What of the logit is not in the attribution, by the name of the variable and of the layer call [logit]; empty
        for methods that keep no account.
    """

    attribution: NDArray[Any]
    logits: NDArray[Any]
    shares: Mapping[str, Mapping[str, NDArray[Any]]] = dataclasses.field(default_factory=dict)


class Method:
    """A method of explanation; derive from it.

    Attributes
    ----------
    name : str
        By which users ask for it.
    long_name : str
        What figures call it.
    units : str
        Units of its attribution.
    options : tuple of str
        Options of `nengo_cam.attribute` that it takes, of those that belong to methods.
    """

    name: str
    long_name: str
    units: str
    options: tuple[str, ...] = ()

    def prepare(self, reduced: ReducedModel, **options: Any) -> dict[str, Any]:
        """Refuse what cannot be explained, before anything runs, and fill in what was left open.

        Parameters
        ----------
        reduced : ReducedModel
            The model.
        **options
            Those of ``self.options`` that the user gave.

        Returns
        -------
        dict of {str: object}
            Options for `explain`, which the result has among its attributes. One called "layer" names the layer whose
            resolution the attribution has; without, or with None, that is the input's.
        """
        return dict(options)

    def explain(self, replay: Replay, images: Any, told: Mapping[str, Any], target: Any, **options: Any) -> Explained:
        """Explain images, one activity for each.

        Parameters
        ----------
        replay : Replay
            The model.
        images : ndarray of shape (N, Y, X, channels)
            Images, or means of frames.
        told : mapping of {str: ndarray of shape (N, ..., channels)}
            Measured activity of rectified layer calls, in the units of ``replay.reduced``; empty for the CNN itself.
        target : ndarray of shape (N, L)
            What of the logits is explained: their weights in it.
        **options
            Of `prepare`.

        Returns
        -------
        Explained
        """
        raise NotImplementedError


#: Methods by name.
METHODS: dict[str, Method] = {}

_M = TypeVar("_M", bound=Method)


def register_method(method: _M) -> _M:
    """Make a method known by its name.

    Parameters
    ----------
    method : Method
        The method.

    Returns
    -------
    Method
        The same.
    """
    METHODS[method.name] = method
    return method


def find_method(name: Any, given: Mapping[str, Any]) -> tuple[Method, dict[str, Any]]:
    """Look up a method, and check that it takes the options that were given.

    Parameters
    ----------
    name : str
        Its name.
    given : mapping of {str: object}
        Options of methods; None for those that were left out.

    Returns
    -------
    method : Method
        The method.
    options : dict of {str: object}
        Those that were given.

    Raises
    ------
    ParameterError
        If there is no such method, or it does not take an option.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ParameterError(f"method: expected one of {list(METHODS)}, got {name!r}. Choose one of these.")
    method = METHODS[name]
    options = {option: value for option, value in given.items() if value is not None}
    for option, value in options.items():
        if option not in method.options:
            taking = [other for other, known in METHODS.items() if option in known.options]
            raise ParameterError(
                f"{option}: {name!r} has no such choice; expected None, or one of the methods {taking}, got {value!r}. "
                "Leave it out."
            )
    return method, options
