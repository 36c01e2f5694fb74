"""The map of a network as a part of the network: a node, the operator that it becomes, and how simulators run that.

The readout has one kernel for all positions, behind their mean, or weights for each. The operator reads them where the
simulator has them, and has none of its own. So its map is that of the weights of the moment, whatever training or a
learning rule makes of them; a copy of the weights would go on showing the network as it was.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import nengo
import numpy as np
from nengo.builder import Builder, Model, Operator, Signal
from nengo.builder.operator import Reset
from numpy.typing import NDArray

from .. import compat
from ..exceptions import SimulatorError
from ..simulator import Rule, register_operator
from ..simulator.signals import Value

__all__ = ["FeaturesToMaps", "MapOperator", "oriented"]


class FeaturesToMaps(nengo.Node):
    """A node that takes features and gives out the maps of some labels.

    Parameters
    ----------
    readout : nengo.Connection
        The connection whose weights are the kernel of the map.
    labels : ndarray of int
        Labels M, by index.
    n_labels : int
        Labels L of the readout.
    map_shape : tuple of int
        Cells of the map along each axis.
    n_channels : int
        Channels K of the features.
    by_position : bool
        Whether the readout has weights for each position, straight from the features.
    """

    def __init__(
        self,
        readout: nengo.Connection,
        labels: NDArray[np.int64],
        *,
        n_labels: int,
        map_shape: Sequence[int],
        n_channels: int,
        by_position: bool = False,
    ) -> None:
        cells = math.prod(map_shape)
        super().__init__(
            _unknown_to_simulator, size_in=cells * n_channels, size_out=cells * len(labels), label="features to maps"
        )
        self.readout = readout
        self.labels = labels
        self.n_labels = n_labels
        self.n_channels = n_channels
        self.by_position = by_position


def _unknown_to_simulator(t: float, features: NDArray[np.floating]) -> NoReturn:
    """Stand for the output of the node in simulators that build it as a node like any other."""
    raise SimulatorError(
        "cam_node: the simulator does not know what computes the map; expected a simulator that runs Nengo's "
        "operators, got one that calls the node. Use nengo.Simulator, nengo_dl.Simulator or nengo_cam.Simulator."
    )


class MapOperator(Operator):
    """Multiply the features of each cell by the weights of the readout.

    Parameters
    ----------
    find_weights : callable
        Gives the signal of the readout's weights, or None as long as it is not built.
    node : FeaturesToMaps
        What the operator is of.
    features, maps : nengo.builder.Signal
        What is read, of shape (cells * K,), and set, of shape (M * cells,).
    """

    def __init__(
        self, find_weights: Callable[[], Signal | None], node: FeaturesToMaps, features: Signal, maps: Signal
    ) -> None:
        super().__init__(tag=str(node))
        self._find_weights: Callable[[], Signal | None] | None = find_weights
        self.labels = node.labels
        self.n_labels = node.n_labels
        self.n_channels = node.n_channels
        self.by_position = node.by_position
        self._reads: list[Signal] = [features]
        self.sets: list[Signal] = [maps]
        self.incs: list[Signal] = []
        self.updates: list[Signal] = []

    @property
    def reads(self) -> list[Signal]:
        """Features, and behind them the weights, which Nengo builds later than the node."""
        if self._find_weights is not None and (weights := self._find_weights()) is not None:
            # Once only: who rewrites operators puts other signals in the place of these.
            self._reads, self._find_weights = [*self._reads, weights], None
        return self._reads

    @reads.setter
    def reads(self, signals: list[Signal]) -> None:
        self._reads = signals

    @property
    def features(self) -> Signal:
        """What is mapped, cell by cell, channels last."""
        return self.reads[0]

    @property
    def weights(self) -> Signal:
        """Weights of the readout.

        Raises
        ------
        SimulatorError
            If the readout is not in the network that is simulated, or its weights are not one for each label and
            channel, or each label, position and channel.
        """
        if len(self.reads) < 2:
            raise SimulatorError(
                "cam_node: the readout is not in the network that is simulated; expected the network with its head, "
                f"got a part of it with {self.tag!r}. Simulate net.net, or the network that it is in."
            )
        weights = self.reads[1]
        n_weighed = self.features.size if self.by_position else self.n_channels
        if weights.size != self.n_labels * n_weighed:
            raise SimulatorError(
                f"cam_node: the weights of the readout are no kernel; expected {self.n_labels} x {n_weighed} "
                f"numbers, got {weights.shape}. Give the readout a dense transform."
            )
        return weights

    @property
    def maps(self) -> Signal:
        """What is given out, label by label."""
        return self.sets[0]

    def make_step(self, signals: Any, dt: float, rng: Any) -> Callable[[], None]:
        """Make what computes the map of a step; see ``nengo.builder.Operator.make_step``."""
        if len(self.reads) < 2 and self._find_weights is not None:
            # Nengo tries each operator when it is added, if it is told to fail fast; the readout comes later.
            return lambda: None
        weights, features, maps = (signals[signal] for signal in (self.weights, self.features, self.maps))

        def step() -> None:
            kernel = oriented(weights, self.n_labels)[self.labels]
            cells = features.reshape(-1, self.n_channels)
            if self.by_position:
                # The logit is the sum over positions, and the map is what it is the mean of.
                kernel = len(cells) * kernel.reshape(-1, *cells.shape)
                maps[...] = np.einsum("lck,ck->lc", kernel, cells).ravel()
            else:
                maps[...] = (kernel @ cells.T).ravel()

        return step


def oriented(weights: Any, n_labels: int) -> Any:
    """Write the weights of a readout with labels first.

    Parameters
    ----------
    weights : ndarray of shape (L, K) or (..., K, L)
        Those of a matrix, or of a convolution, which has its filters last.
    n_labels : int
        Labels L.

    Returns
    -------
    ndarray of shape (L, K)
        A view where one says the same.
    """
    return weights.reshape(n_labels, -1) if weights.ndim == 2 else weights.reshape(-1, n_labels).T


@Builder.register(FeaturesToMaps)
def build_features_to_maps(model: Model, node: FeaturesToMaps) -> None:
    """Build the node into signals and the operator between them.

    Parameters
    ----------
    model : nengo.builder.Model
        What to build it into.
    node : FeaturesToMaps
        What to build.
    """
    features, maps = Signal(shape=node.size_in, name=f"{node}.in"), Signal(shape=node.size_out, name=f"{node}.out")
    model.sig[node]["in"], model.sig[node]["out"] = features, maps
    model.add_op(Reset(features))
    model.add_op(MapOperator(lambda: model.sig[node.readout].get("weights"), node, features, maps))
    model.params[node] = None


@register_operator(MapOperator)
class MapRule(Rule):
    """The maps of all steps at once; the weights are constant, as those of all operators are here."""

    # A network with such a node costs, and counts, as one without until somebody looks at the map.
    optional = True

    def __init__(self, operator: MapOperator, build: Any) -> None:
        super().__init__(operator, build)
        self._n_channels = operator.n_channels
        self._kernel = oriented(build.constant(operator.weights), operator.n_labels)[operator.labels]
        if operator.by_position:
            n_cells = operator.features.size // operator.n_channels
            self._kernel = n_cells * self._kernel.reshape(-1, n_cells, operator.n_channels)

    @property
    def inputs(self) -> list[Signal]:
        return self.operator.reads[:1]

    def __call__(self, inputs: Sequence[Value], chunk: Any) -> list[Value | None]:
        array = inputs[0].dense()
        cells = array.reshape((*array.shape[:2], -1, self._n_channels))
        if self.operator.by_position:
            maps = np.einsum("lck,ntck->ntlc", self._kernel, cells)
        else:
            maps = np.matmul(self._kernel, np.swapaxes(cells, 2, 3))
        return [Value(maps.reshape((*array.shape[:2], -1)))]


@compat.when_nengo_dl_is_imported
def _teach_nengo_dl() -> None:
    importlib.import_module(".nengo_dl_map_operator", __package__)
