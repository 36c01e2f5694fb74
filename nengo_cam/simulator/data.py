"""What users feed to a simulator, and what they read from it."""

from __future__ import annotations

import collections.abc
from typing import TYPE_CHECKING, Any

import numpy as np

from ..exceptions import ParameterError
from .reference_builder import LazyEnsemble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, MutableMapping

    import nengo
    from nengo.builder import Model, Signal
    from numpy.typing import ArrayLike

__all__ = ["SimulationData", "check_feed"]


class SimulationData(collections.abc.Mapping):
    """What a simulator knows of the objects of a network.

    For a probe, the data recorded so far, read-only, of shape (batch, steps, size), or (steps, size) without a
    minibatch. For other objects what Nengo's builder makes of them: ``sim.data[connection].weights``,
    ``sim.data[ensemble].gain``.
    """

    def __init__(self, params: MutableMapping[Any, Any], probes: Iterable[nengo.Probe], squeeze: bool):
        self._params = params
        self._recorded: dict[nengo.Probe, list[np.ndarray]] = {probe: [] for probe in probes}
        self._copies: dict[nengo.Probe, list[tuple[np.ndarray, np.ndarray]]] = {probe: [] for probe in probes}
        self._squeeze = squeeze

    def record(
        self, probe: nengo.Probe, array: np.ndarray, copies: Iterable[tuple[np.ndarray, np.ndarray]] = ()
    ) -> None:
        """Add to the data of a probe.

        Parameters
        ----------
        probe : nengo.Probe
            The probe.
        array : ndarray of shape (batch, steps, size)
            What it saw.
        copies : iterable of (ndarray, ndarray)
            Parts of ``array`` that are not written yet, as views of it, and what belongs there. They are written when
            somebody looks at the data.
        """
        # Views keep the permission that they were made with.
        array.setflags(write=False)
        self._recorded[probe].append(array)
        self._copies[probe].extend(copies)

    def clear(self) -> None:
        """Forget the data of all probes."""
        self._recorded = {probe: [] for probe in self._recorded}
        self._copies = {probe: [] for probe in self._recorded}

    def __getitem__(self, obj: Any) -> Any:
        if obj not in self._recorded:
            value = self._params[obj]
            # Most are never asked for.
            if isinstance(value, LazyEnsemble):
                value = self._params[obj] = value.build()
            return value
        pieces = self._recorded[obj]
        if not pieces:
            return np.zeros((0,))
        for place, values in self._copies[obj]:
            place[...] = values
        self._copies[obj].clear()
        if len(pieces) > 1:
            # When somebody looks: joined after every run, many short ones would copy everything again and again.
            joined = np.concatenate(pieces, axis=1)
            joined.setflags(write=False)
            pieces[:] = [joined]
        return pieces[0][0] if self._squeeze else pieces[0]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._params)

    def __len__(self) -> int:
        return len(self._params)


def check_feed(
    data: Mapping[nengo.Node, ArrayLike] | None, model: Model, n_steps: int, minibatch_size: int | None, dtype: np.dtype
) -> dict[Signal, np.ndarray]:
    """Check what nodes are fed with.

    Parameters
    ----------
    data : dict of {nengo.Node: array_like of shape (batch, 1 or n_steps, size)} or None
        What the user gave. Without a minibatch the first axis may be left out.
    model : nengo.builder.Model
        The built network.
    n_steps : int
        Number of steps that will run.
    minibatch_size : int or None
        Number of items.
    dtype : numpy.dtype
        Precision.

    Returns
    -------
    dict of {nengo.builder.Signal: ndarray of shape (batch, 1 or n_steps, size)}
        By the output signals of the nodes.

    Raises
    ------
    ParameterError
        If something other than a node without input is fed, or an array has another shape.
    """
    fed = {}
    for node, values in (data or {}).items():
        signal = model.sig[node].get("out") if node in model.sig else None
        if signal is None or getattr(node, "size_in", 1) != 0:
            raise ParameterError(
                f"data: {node!r} cannot be fed; expected a node of the network that has an output and no input, got "
                f"{node!r}. Feed the nodes that the network starts from."
            )
        array = np.asarray(values, dtype)
        if minibatch_size is None and array.ndim == 2:
            array = array[None]
        batch = minibatch_size or 1
        lengths = (1, n_steps)
        if array.ndim != 3 or array.shape[0] != batch or array.shape[1] not in lengths or array.shape[2] != signal.size:
            raise ParameterError(
                f"data: array for {node!r} does not fit; expected shape ({batch}, {n_steps} or 1, {signal.size}) for "
                f"(items, steps, size), got {array.shape}. Reshape it, or make the simulator with another "
                "minibatch_size."
            )
        fed[signal] = array
    return fed
