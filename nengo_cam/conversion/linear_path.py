"""What lies between features and logits of a network that somebody built by hand: connections that add up.

Nothing is named pooling there. So all ways back from the readout to the features are followed, and the matrix that they
make together is the pooling, however many connections it is written in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NoReturn

import nengo
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import compat
from ..exceptions import UnsupportedModelError
from .transforms import pull_back

__all__ = ["ROUNDING", "LinearPath", "find_path", "is_learned", "object_name"]

_LINEAR = (nengo.transforms.NoTransform, nengo.Dense, nengo.Sparse, nengo.Convolution, nengo.ConvolutionTranspose)
#: Rows of a pooling matrix that differ by less than this, as a fraction of the largest, are the same at all positions.
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class LinearPath:
    """The connections from features to logits.

    Attributes
    ----------
    features : nengo.Node, nengo.Ensemble or nengo.ensemble.Neurons
        What is pooled.
    readout : nengo.Connection
        The connection that gives the logits.
    pooling : dict of {object: tuple of nengo.Connection}
        What arrives at each object between features and readout; empty if the readout comes from the features.
    biases : tuple of nengo.Connection
        Connections from constant nodes to where the readout leads.
    synapse : nengo.synapses.Synapse or None
        The one filter that features pass on every way.
    late_synapse : nengo.synapses.Synapse or None
        The filter of a readout that learns: what its changing weights have made of the features passes it.
    solver : nengo.solvers.Solver or None
        What features were decoded with, if they are what an ensemble represents.
    """

    features: Any
    readout: nengo.Connection
    pooling: dict[Any, tuple[nengo.Connection, ...]]
    biases: tuple[nengo.Connection, ...]
    synapse: Any
    late_synapse: Any
    solver: Any

    @property
    def n_labels(self) -> int:
        """Number of labels L."""
        return self.readout.post_obj.size_in

    @property
    def is_direct(self) -> bool:
        """Whether the readout comes straight from the features, with a weight for each position."""
        return not self.pooling

    def kernel(self, sim: Any, map_shape: tuple[int, ...], weights: ArrayLike | None = None) -> NDArray[np.floating]:
        """Return what each feature is worth to each label, in units of the map.

        Parameters
        ----------
        sim : nengo.Simulator, nengo_dl.Simulator or nengo_cam.Simulator
            An open simulator of the network.
        map_shape : tuple of int
            Shape (Y, X) of the map.
        weights : array_like of shape (..., L, Y * X * K), optional
            Of a readout that learns, its weights at other times than now.

        Returns
        -------
        ndarray of shape (K, L), or (..., Y, X, K, L)
            The first if what is pooled is worth the same at all positions. Times what is pooled it is the map, whose
            mean over positions is the logit without its bias.
        """
        n_cells = int(np.prod(map_shape))
        if self.is_direct:
            matrix = self._readout_matrix(sim, weights)
            by_position = matrix.reshape(*matrix.shape[:-1], *map_shape, -1)
            # The mean over positions has to be the sum that the readout makes.
            return n_cells * np.moveaxis(by_position, matrix.ndim - 2, -1) * self._gain(sim)
        pooled = self.pooling_matrix(sim)
        by_position = n_cells * pooled.reshape(len(pooled), n_cells, -1)
        mean = by_position.mean(axis=1)
        readout = self._readout_matrix(sim, None)
        if np.abs(by_position - mean[:, None]).max() <= ROUNDING * np.abs(by_position).max():
            return (readout @ mean).T * self._gain(sim)
        kernel = np.einsum("lp,pck->ckl", readout, by_position) * self._gain(sim)
        return kernel.reshape(*map_shape, *kernel.shape[1:])

    def bias(self, sim: Any) -> NDArray[np.floating]:
        """Return what arrives besides (L,) [logit]; see `kernel`."""
        target = self.readout.post_obj
        total = np.zeros(self.n_labels)
        for connection in self.biases:
            values = pull_back(connection, sim.data[connection].weights, np.eye(self.n_labels))
            total += self._gain(sim) * (values @ np.ravel(connection.pre_obj.output))
        return total + sim.data[target.ensemble].bias if _are_neurons(target) else total

    def pooling_matrix(self, sim: Any = None) -> NDArray[np.floating]:
        """Return what all connections between features and readout are together.

        Parameters
        ----------
        sim : nengo.Simulator, nengo_dl.Simulator or nengo_cam.Simulator, optional
            An open simulator of the network. Default: the arrays that its owner wrote, which training changes in a
            simulator only.

        Returns
        -------
        ndarray of shape (size of what the readout comes from, Y * X * K)
        """
        return self._pull(sim, np.eye(self.readout.pre_obj.size_out), self.readout.pre_obj)

    @property
    def pooling_connections(self) -> tuple[nengo.Connection, ...]:
        """All connections between features and readout."""
        return tuple(connection for connections in self.pooling.values() for connection in connections)

    def _gain(self, sim: Any) -> Any:
        """Return what Nengo multiplies input of neurons by (L,)."""
        target = self.readout.post_obj
        return np.asarray(sim.data[target.ensemble].gain) if _are_neurons(target) else 1.0

    def _readout_matrix(self, sim: Any, weights: Any) -> NDArray[np.floating]:
        """Return the readout's weights (..., L, size of what it comes from)."""
        given = sim.data[self.readout].weights if weights is None else weights
        if is_learned(self.readout) or self._reads_neurons:
            # As they are: Nengo lets a matrix of all neurons learn, and nothing else.
            return np.asarray(given)
        return pull_back(self.readout, self._weights(self.readout, sim), np.eye(self.n_labels))

    @property
    def _reads_neurons(self) -> bool:
        """Whether the readout's decoders are the weights of features that are the ensemble's neurons."""
        return isinstance(self.readout.pre_obj, nengo.Ensemble) and _are_neurons(self.features)

    def _weights(self, connection: nengo.Connection, sim: Any) -> Any:
        # Those of a simulator have the decoders in them; the features are what is decoded.
        if sim is None or isinstance(connection.pre_obj, nengo.Ensemble):
            return getattr(connection.transform, "init", None)
        return sim.data[connection].weights

    def _pull(self, sim: Any, rows: NDArray[np.floating], obj: Any) -> NDArray[np.floating]:
        """Go back from an object to the features, all ways together."""
        if obj == self.features:
            return rows
        parts = (
            self._pull(sim, pull_back(connection, self._weights(connection, sim), rows), connection.pre_obj)
            for connection in self.pooling[obj]
        )
        return sum(parts, np.zeros((len(rows), self.features.size_out)))


def find_path(
    net: nengo.Network, name: str, features: Any, readout: nengo.Connection, input: nengo.Node | None = None
) -> LinearPath:
    """Find what lies between features and logits, and check that it is linear.

    Parameters
    ----------
    net : nengo.Network
        The network.
    name : str
        What to call it in errors.
    features : nengo.Node, nengo.Ensemble or nengo.ensemble.Neurons
        What is pooled.
    readout : nengo.Connection
        The connection that gives the logits.
    input : nengo.Node, optional
        The node that takes the image, whose output is no constant whatever it was made with.

    Returns
    -------
    LinearPath

    Raises
    ------
    UnsupportedModelError
        If the logits are not a weighted sum of the features and a constant, at every time step.
    """
    return _Search(net, name, features, readout, input).find()


def is_learned(connection: nengo.Connection) -> bool:
    """Tell whether a learning rule changes a connection's weights while the network runs.

    Parameters
    ----------
    connection : nengo.Connection
        Any.

    Returns
    -------
    bool
    """
    rules = connection.learning_rule_type
    if rules is None:
        return False
    found = rules.values() if isinstance(rules, dict) else rules if isinstance(rules, (list, tuple)) else [rules]
    # Encoders belong to what the connection leads to.
    return any(rule.modifies != "encoders" for rule in found)


def object_name(obj: Any) -> str:
    """Name an object of a network, by the label that its owner gave it or by what it is.

    Parameters
    ----------
    obj : object
        A node, an ensemble, its neurons or a connection.

    Returns
    -------
    str
    """
    if _are_neurons(obj):
        return object_name(obj.ensemble)
    return getattr(obj, "label", None) or type(obj).__name__.lower()


def _are_neurons(obj: Any) -> bool:
    return isinstance(obj, nengo.ensemble.Neurons)


class _Search:
    """Goes back from the readout to the features, and refuses what is not a weighted sum."""

    def __init__(self, net: nengo.Network, name: str, features: Any, readout: nengo.Connection, input: Any) -> None:
        self._name, self._features, self._readout, self._input = name, features, readout, input
        self._arriving: dict[Any, list[nengo.Connection]] = {}
        for connection in net.all_connections:
            self._arriving.setdefault(connection.post_obj, []).append(connection)
        self._pooling: dict[Any, tuple[nengo.Connection, ...]] = {}

    def find(self) -> LinearPath:
        features, readout = self._features, self._readout
        self._check_target(readout)
        learns = is_learned(readout)
        source = readout.pre_obj
        decodes_neurons = isinstance(source, nengo.Ensemble) and features == source.neurons
        if learns and source != features and not decodes_neurons:
            self._refuse(
                f"{readout!r} learns, and comes from {object_name(source)!r}",
                "the neurons of the features",
                "another object",
                "Pass features=ensemble.neurons of the ensemble that it comes from",
            )
        if learns and not decodes_neurons and readout.pre_slice != slice(None):
            self._refuse(
                f"{readout!r} learns, and comes from a part of {object_name(source)!r}",
                "all of its neurons",
                f"[{readout.pre_slice}]",
                "Give all neurons a weight",
            )
        if learns and isinstance(features, nengo.Ensemble):
            self._refuse(
                f"{readout!r} learns decoders, a weight for each neuron",
                "features=ensemble.neurons",
                "what the ensemble represents",
                "Pass the neurons as features",
            )
        self._check_sum(readout)
        ways = [()] if decodes_neurons else list(self._ways(source, ()))
        filters = {tuple(way) for way in ways}
        if len(filters) > 1:
            self._refuse(
                f"features reach {object_name(source)!r} through several filters",
                "the same synapse on all ways",
                f"{[list(map(str, way)) for way in filters]}",
                "Give the connections one synapse",
            )
        (early,) = filters
        if learns:
            return self._path(early, late=readout.synapse)
        # Weights that stand still may as well come behind the filter, so it counts as one of the features.
        return self._path((*early, *(() if readout.synapse is None else (readout.synapse,))), late=None)

    def _path(self, filters: tuple[Any, ...], late: Any) -> LinearPath:
        if len(filters) > 1:
            self._refuse(
                "features pass several filters on their way to the logits",
                "one synapse at most",
                f"{list(map(str, filters))}",
                "Give the other connections synapse=None",
            )
        (synapse,) = filters or (None,)
        decoding = [c for c in (*self._steps(), self._readout) if c.pre_obj is self._features]
        is_decoded = isinstance(self._features, nengo.Ensemble)
        if is_decoded:
            self._check_decoding(decoding)
        return LinearPath(
            features=self._features,
            readout=self._readout,
            pooling=self._pooling,
            biases=tuple(self._biases()),
            synapse=synapse,
            late_synapse=late,
            solver=decoding[0].solver if is_decoded else None,
        )

    def _check_decoding(self, decoding: list[nengo.Connection]) -> None:
        """Refuse decoders that no single probe of the ensemble has: the map would be of other features."""
        name = object_name(self._features)
        solvers = [connection.solver for connection in decoding]
        if any(solver != solvers[0] for solver in solvers):
            self._refuse(
                f"connections decode {name!r} in several ways",
                "the same solver for all",
                f"{list(map(str, solvers))}",
                "Give them one solver",
            )
        for connection in decoding:
            if connection.eval_points is not None:
                self._refuse(
                    f"{connection!r} decodes {name!r} by points of its own, which a probe cannot be given",
                    "those of the ensemble",
                    "eval_points on the connection",
                    "Give them to the ensemble",
                )

    def _steps(self) -> Iterator[nengo.Connection]:
        for connections in self._pooling.values():
            yield from connections

    def _ways(self, obj: Any, seen: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """Yield the filters of each way from the features to an object."""
        if obj == self._features:
            yield ()
            return
        name = object_name(obj)
        if any(obj is known for known in seen):
            self._refuse(
                f"connections between features and readout run in a circle through {name!r}",
                "ways that lead on",
                "a circle",
                "Lead feedback to the features or before them",
            )
        is_tensor_node = isinstance(obj, compat.import_nengo_dl().TensorNode)
        if is_tensor_node or not isinstance(obj, nengo.Node) or obj.output is not None:
            kind = "neurons" if _are_neurons(obj) or isinstance(obj, nengo.Ensemble) else "a function"
            self._refuse(
                f"{name!r} stands between features and readout",
                "nodes without output, such as nengo.Node(size_in=channels), which add up",
                kind,
                "Pool by connections to such a node, or take the features behind it",
            )
        arriving = self._arriving.get(obj, [])
        if not arriving:
            self._refuse(
                f"nothing leads from the features {object_name(self._features)!r} to {name!r}",
                "connections from the features to where the readout begins",
                "none",
                "Pass what is pooled as features",
            )
        self._pooling[obj] = tuple(arriving)
        for connection in arriving:
            self._check_sum(connection)
            if is_learned(connection):
                self._refuse(
                    f"{connection!r} between features and readout learns",
                    "a learning rule on the readout only",
                    "one on the pooling",
                    "Let the readout come from the features, with a weight for each position",
                )
            for way in self._ways(connection.pre_obj, (*seen, obj)):
                yield (*way, *(() if connection.synapse is None else (connection.synapse,)))

    def _check_sum(self, connection: nengo.Connection) -> None:
        """Refuse a connection that is no weighted sum of what it comes from."""
        comes_from_neurons = (
            isinstance(connection.pre_obj, nengo.Ensemble) and self._features == connection.pre_obj.neurons
        )
        # Decoders of a function are weights of neurons, too.
        if connection.function is not None and not comes_from_neurons:
            self._refuse(
                f"{connection!r} computes a function",
                "weights",
                "a function",
                "Lead its result to a nengo.Node(size_in=...), and pass that as features, or pass ensemble.neurons",
            )
        if not isinstance(connection.transform, _LINEAR):
            kind = type(connection.transform).__name__
            self._refuse(f"the weights of {connection!r} are not known", "nengo.Dense or the like", kind, "Replace it")
        if isinstance(connection.pre_obj, nengo.Ensemble) and connection.solver.weights:
            self._refuse(
                f"{connection!r} is solved for weights from neuron to neuron, and nothing has the sum of what arrives",
                "a solver for decoders",
                repr(connection.solver),
                "Pass weights=False to the solver",
            )
        is_decoded = isinstance(connection.pre_obj, nengo.Ensemble) and not comes_from_neurons
        init = getattr(connection.transform, "init", None)
        # Nengo keeps a number as an array without axes.
        if is_decoded and not (init is None or np.ndim(init) or isinstance(init, (int, float, np.ndarray))):
            self._refuse(f"the transform of {connection!r} is drawn", "an array", repr(init), "Draw it beforehand")

    def _check_target(self, readout: nengo.Connection) -> None:
        """Refuse logits that are something else than the sum of what arrives."""
        target, name = readout.post_obj, object_name(readout.post_obj)
        is_node = isinstance(target, nengo.Node)
        if is_node and (isinstance(target, compat.import_nengo_dl().TensorNode) or target.output is not None):
            self._refuse(
                f"the readout leads to {name!r}, which gives out something else than the logits",
                "a node that adds up",
                "a function",
                "Lead it to nengo.Node(size_in=labels), and that on",
            )
        if readout.post_slice != slice(None):
            self._refuse(
                f"the readout leads to a part of {name!r}",
                "an object of the logits' size",
                f"[{readout.post_slice}] of {target.size_in}",
                "Lead it to nengo.Node(size_in=labels), and that on",
            )

    def _biases(self) -> Iterator[nengo.Connection]:
        """Yield the other connections that lead to the logits; only constants may."""
        target = self._readout.post_obj
        # Through encoders an ensemble brings its neurons something, too; what comes is not known from outside.
        encoded = self._arriving.get(target.ensemble, []) if _are_neurons(target) else []
        for connection in encoded:
            self._refuse(
                f"{connection!r} leads to the neurons of the logits too, by their encoders",
                "the readout, and biases that lead to the neurons themselves",
                f"one that leads to {object_name(target.ensemble)!r}",
                "Lead it elsewhere, or the readout to a nengo.Node(size_in=labels) and that on",
            )
        for connection in self._arriving[target]:
            if connection is self._readout:
                continue
            source = connection.pre_obj
            # The image stands where the array of the input was, while the network runs.
            is_constant = (
                isinstance(source, nengo.Node) and source is not self._input and isinstance(source.output, np.ndarray)
            )
            if not is_constant or connection.function is not None or connection.synapse is not None:
                self._refuse(
                    f"{connection!r} leads to the logits too",
                    "the readout, and biases from constant nodes with synapse=None",
                    f"one from {object_name(source)!r} with synapse {connection.synapse}",
                    "Lead it elsewhere, such as from the logits to a node of yours",
                )
            yield connection

    def _refuse(self, problem: str, expected: str, got: str, remedy: str) -> NoReturn:
        raise UnsupportedModelError(f"network {self._name!r}: {problem}; expected {expected}, got {got}. {remedy}.")
