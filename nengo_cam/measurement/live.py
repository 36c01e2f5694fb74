"""The map while the network runs: a node that other Nengo objects can react to, and that nengo-gui can draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import nengo
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..conversion.convert import as_synapse
from ..conversion.network import CAMNetwork
from ..exceptions import LabelError, ParameterError
from ..models.head import CAMHead
from ..plotting.live_picture import LivePicture
from .arguments import check_network
from .labels import ALL_LABELS, choose_labels, name_labels
from .map_operator import FeaturesToMaps

__all__ = ["LARGEST_NODE", "CAMNode", "cam_node"]

#: Most numbers that a node gives out at each step unless its labels are named: 4096 maps of 4 x 4 cells.
LARGEST_NODE = 2**16


def cam_node(
    net: CAMNetwork,
    *,
    labels: int | str | Sequence[int | str] | None = None,
    label_names: Sequence[str] | None = None,
    synapse: nengo.synapses.Synapse | float | None = None,
) -> CAMNode:
    """Add a node to a network whose output is the map of chosen labels, so that others can react to where it looks.

    At every step the output is what `nengo_cam.spiking_cam` gives for that step: the features through the synapse of
    their connection into the pooling, times the weights of the readout. It has no weights of its own. Those of the
    readout are read where the simulator has them, so that the map follows whatever training (``sim.fit``,
    ``load_params``, ``freeze_params``) or a learning rule makes of them, and a loss on the map trains the network.

    Of `nengo_cam.from_network` it takes networks whose readout has one weight for each channel behind a plain mean over
    positions, or one for each channel and position straight from the features, also while a rule changes them: the map
    of a step is made with the weights of that step, and passes the synapse behind them. The mean is that of the arrays
    which the network has when the node is added; training should leave the pooling alone.

    The node and what feeds it stand in a network of their own, the last one in ``net.net.networks``. Nothing else
    changes: neurons start as they would without it, and it counts neither as a layer nor in `nengo_cam.measure_cost`.
    Nodes can be added several times, each for itself; to be rid of one, convert again. A simulator that is open already
    does not have it. Random processes of nodes without a seed of their own draw other numbers with it.

    Parameters
    ----------
    net : CAMNetwork
        The network, of `nengo_cam.convert`, `nengo_cam.from_converter` or `nengo_cam.from_network`.
    labels : int, str or sequence of them, optional
        Labels M, by index or, with ``label_names``, by name. Default: all.
    label_names : sequence of str, optional
        A name for each label of the readout.
    synapse : nengo.synapses.Synapse, float or None
        Filter on the map, besides that on the features; a float is the time constant of a lowpass [s]. Maps of spikes
        of one size have to be averaged over time to be read. As any connection through a synapse, it brings the map one
        step later.

    Returns
    -------
    CAMNode
        The node; ``node.size_out`` is the number of labels times that of cells.

    Raises
    ------
    ModelTypeError
        If ``net`` is not a `CAMNetwork`.
    LabelError
        If a label does not exist, or ``label_names`` does not name all labels.
    UnsupportedModelError
        If the network was built by hand, and the weights of its readout are not by themselves those of the map: if
        the pooling is no plain mean, if they come from values that an ensemble represents, or lead to neurons with a
        gain, or are no matrix.
    ParameterError
        If ``synapse`` is none, or if no labels are chosen and all of them are more than `LARGEST_NODE` numbers.

    Examples
    --------
    >>> import nengo
    >>> looking = ncam.convert(model, calibrate_on=images)
    >>> cam = ncam.cam_node(looking, labels=[3, 5], synapse=0.02)
    >>> cam.shape, cam.size_out
    ((2, 28, 28), 1568)

    What it gives is there for ensembles, nodes and probes, of one label too:

    >>> with looking.net:
    ...     watcher = nengo.Ensemble(50, 1)
    ...     connection = nengo.Connection(cam.of(3), watcher, transform=np.full((1, 784), 1 / 784))
    ...     probe = nengo.Probe(cam)
    >>> with ncam.Simulator(looking.net, minibatch_size=4, progress_bar=False) as sim:
    ...     sim.run_steps(10, data={looking.input: images.reshape(4, 1, -1)})
    ...     maps = cam.maps(sim.data[probe])
    >>> maps.shape
    (4, 10, 2, 28, 28)
    """
    check_network(net)
    synapse = as_synapse(synapse)
    names = name_labels(net.head, label_names)
    chosen = choose_labels(net.head, labels, names, named=label_names is not None)
    cells = math.prod(net.head.map_shape)
    if labels is None and len(chosen) * cells > LARGEST_NODE:
        raise ParameterError(
            f"labels: all {len(chosen):,} maps of {cells:,} cells are many numbers for every step; expected at most "
            f"{LARGEST_NODE:,} unless labels are chosen, got {len(chosen) * cells:,}. Pass labels=."
        )
    by_position = net.weighs_positions()
    # In a network of its own: Nengo deals out seeds by kind, and one more connection beside the others would give all
    # ensembles other initial voltages.
    with net.net, nengo.Network(label="class-activation maps"):
        maps = FeaturesToMaps(
            net.readout, chosen, n_labels=net.head.n_labels, map_shape=net.head.map_shape,
            n_channels=net.head.n_channels, by_position=by_position,
        )  # fmt: skip
        features = net.features
        # Represented features are decoded as those that are pooled, and not with Nengo's solver for connections.
        solved = {"solver": features.solver} if isinstance(features.target, nengo.Ensemble) else {}
        # As the features arrive at the pooling: otherwise the map is of another moment than the logit.
        nengo.Connection(features.target, maps, synapse=features.synapse, **solved)
        made: nengo.Node = maps
        if net.map_synapse is not None:
            # Weights that learn stand before this filter of the logits, so the map does too.
            made = nengo.Node(size_in=maps.size_out, label="filtered maps")
            nengo.Connection(maps, made, synapse=net.map_synapse)
        cam = CAMNode(net.head, chosen, names[chosen])
        nengo.Connection(made, cam, synapse=synapse)
    return cam


class CAMNode(nengo.Node):
    """A node of a network that gives out class-activation maps at every step; `cam_node` makes and feeds it.

    Its output is that of the labels one after the other, each row by row: the order of ``array.ravel()`` for an array
    of ``shape``.

    Parameters
    ----------
    head : CAMHead
        Head of the model.
    indices : ndarray of int
        Labels, by index in the readout.
    labels : ndarray
        The same by name, if they have names.

    Attributes
    ----------
    shape : tuple of int
        Shape of the output at a step: (M, Y, X), without Y for 1-D models, with Z in front of it for 3-D models.
    labels : list of int or str
        Labels, by name if they have names.
    indices : ndarray of int
        The same by index in the readout.
    dims : tuple of str
        Names of the axes of a map: ``("y", "x")``.
    centers : tuple of ndarray
        For each of these axes, the centers of the cells in the input image [pixel].
    """

    def __init__(self, head: CAMHead, indices: NDArray[np.int64], labels: NDArray[Any]) -> None:
        super().__init__(
            size_in=len(indices) * math.prod(head.map_shape), label="map of " + ", ".join(map(str, labels))
        )
        self.shape = (len(indices), *head.map_shape)
        self.indices = indices
        self.labels = labels.tolist()
        self.dims = head.dims
        self.centers = head.centers

    def maps(self, output: ArrayLike) -> NDArray[Any]:
        """Bring what a probe saw, or what an object is given at a step, into the shape of maps.

        Parameters
        ----------
        output : array_like of shape (..., M * Y * X)
            Output of the node.

        Returns
        -------
        ndarray of shape (..., M, Y, X)
            Maps [logit].

        Raises
        ------
        ParameterError
            If its last axis is not that of the node.
        """
        array = np.asarray(output)
        if array.ndim < 1 or array.shape[-1] != self.size_out:
            raise ParameterError(
                f"output: not that of the node {self.label!r}; expected (..., {self.size_out}), got {array.shape}. "
                "Pass sim.data[probe] of a probe on the node."
            )
        return array.reshape((*array.shape[:-1], *self.shape))

    def of(self, label: int | str) -> Any:
        """Give the part of the output that is the map of one label, to connect it or to probe it.

        Parameters
        ----------
        label : int or str
            One of ``labels``, or its index in the readout.

        Returns
        -------
        nengo.base.ObjView
            Y * X numbers of the node.

        Raises
        ------
        LabelError
            If the node has no map of it.
        """
        position = self._position(label)
        cells = math.prod(self.shape[1:])
        return self[position * cells : (position + 1) * cells]

    def display(
        self, labels: int | str | Sequence[int | str] | None = None, *, limit: float | None = None
    ) -> nengo.Node:
        """Add a node that draws the maps for nengo-gui, at every step; there choose "HTML" in its menu.

        The function of the node has the picture in its attribute ``_nengo_html_``: red speaks for the label and blue
        against it, each cell is a square. It is Python and draws one image, for `nengo.Simulator`.

        Parameters
        ----------
        labels : int, str or sequence of them, optional
            Which of the node's labels. Default: all.
        limit : float, optional
            Value with the strongest colors [logit]. Default: the largest magnitude since the run began.

        Returns
        -------
        nengo.Node
            The node, in the network around.

        Raises
        ------
        LabelError
            If the node has no map of a label, or more are to be drawn than `nengo_cam.measurement.labels.ALL_LABELS`.
        ParameterError
            If ``limit`` is not positive, the maps have three dimensions, or it is not called within ``with net.net:``.

        Examples
        --------
        >>> looking = ncam.convert(model, calibrate_on=images)
        >>> cam = ncam.cam_node(looking, labels=[3, 5], synapse=0.02)
        >>> with looking.net:
        ...     picture = cam.display()
        >>> picture.output._nengo_html_[:4]
        '<svg'
        """
        around = nengo.Network.context[-1:]
        # What feeds the picture goes where the map is made, for the reason given there.
        own = [network for outer in around for network in outer.all_networks if self in network.nodes]
        if not own:
            raise ParameterError(
                "display: the picture is a node of the network; expected to be called within `with net.net:`, got "
                f"{around[0] if around else 'no network'}. Open that of {self.label!r}."
            )
        wanted: list[Any] = np.ravel(np.array(self.labels if labels is None else labels, dtype=object)).tolist()
        positions = [self._position(label) for label in wanted]
        if not 0 < len(positions) <= ALL_LABELS:
            raise LabelError(
                f"labels: maps side by side have to be seen; expected 1 to {ALL_LABELS}, got {len(positions)}. Choose "
                "some of the node's labels."
            )
        picture = LivePicture(self.shape[1:], [self.labels[position] for position in positions], limit=limit)
        cells = math.prod(self.shape[1:])
        shown = np.add.outer(np.multiply(positions, cells), np.arange(cells)).ravel().tolist()
        node = nengo.Node(picture, size_in=len(shown), size_out=0, label=f"picture: {self.label}")
        with own[0]:
            nengo.Connection(self[shown], node, synapse=None)
        return node

    def _position(self, label: Any) -> int:
        """Find a label among those of the node, by name before index."""
        for known in (self.labels, self.indices.tolist()):
            if not isinstance(label, bool) and label in known:
                return known.index(label)
        raise LabelError(
            f"label: the node has no map of {label!r}; expected one of {self.labels!r}, got {label!r}. Add it to "
            "labels= of nengo_cam.cam_node.",
            label=label,
        )
