"""A `CAMNetwork` around a Nengo network that somebody built by hand, with no Keras model behind it.

What is features and what is readout nobody can guess in such a network, so its owner says it; `linear_path` finds what
lies between. What needs a CNN to compare with is refused, in one place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import nengo
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks.parameters import is_whole, number_twins
from ..exceptions import MissingCNNError, ModelTypeError, ParameterError, UnsupportedModelError
from ..models.coordinates import name_places
from ..models.geometry import even_centers
from ..models.head import CAMHead
from .kernel_form import weighs_positions
from .linear_path import LinearPath, find_path, is_learned, object_name
from .network import CAMNetwork
from .parts import add_probe, find_probe

__all__ = ["NativeNetwork", "from_network"]


def from_network(
    net: nengo.Network,
    *,
    input: nengo.Node,
    features: Any,
    readout: nengo.Connection,
    map_shape: Sequence[int],
    input_shape: Sequence[int] | None = None,
    centers: Sequence[ArrayLike] | None = None,
    coords: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> CAMNetwork:
    r"""Read class-activation maps from a Nengo network that you built by hand.

    You say what the features are, and which connection gives the logits; all connections between the two are followed,
    and have to add up to a weighted sum. The map is that sum before positions are added, in units of the logit:

    * Where features are pooled, by a mean over positions however it is written, and a readout of ``kernel`` (K, L)
      follows, :math:`M_l(y, x) = \sum_k w_{kl}\, a_k(y, x)`.
    * Where each position has weights of its own, as in a readout straight from the features,
      :math:`M_l(y, x) = Y X \sum_k w_{l,(y,x,k)}\, a_k(y, x)`.

    In both the mean of the map over positions plus the bias is the logit, at every step. Weights are those of the
    simulator. Where a learning rule acts on the readout they change while it runs, and the map of a step is made with
    the weights of that step; each image begins with those that the simulator begins with.

    All that is added to the network is a probe of the features, through the synapse of their way to the logits, and
    one of the logits; probes of yours that see just that are taken instead.

    Parameters
    ----------
    net : nengo.Network
        The network. Feedback and learning rules run on ``nengo_dl.Simulator`` and ``nengo.Simulator``, TensorNodes on
        ``nengo_dl.Simulator`` and some on `nengo_cam.Simulator`.
    input : nengo.Node
        The node that takes the image, flattened; other nodes keep the output that they have.
    features : nengo.ensemble.Neurons, nengo.Node or nengo.Ensemble
        What is pooled, of size Y * X * K, channels last: the neurons of an ensemble; a node, such as a TensorNode or
        one to which decoded values lead; or an ensemble, if the values that it represents are the features.
    readout : nengo.Connection
        The connection that gives the logits, to a node without output of size L, to neurons or to an ensemble. It
        comes from what is pooled, from the features, or from the ensemble whose neurons are the features: then its
        decoders are the weights. What else leads there has to be constant, and is the bias.
    map_shape : sequence of int
        Shape (Y, X) of the features; (X,) or (Z, Y, X).
    input_shape : sequence of int, optional
        Shape (Y, X, channels) of an image, so that maps lie on images. Default: images are vectors, of shape
        (N, size) or (N, T, size), which are taken all the same, and a cell of the map counts as a pixel.
    centers : sequence of array_like, optional
        For each axis of the map, where its cells look in the image [pixel]. Default: cells divide the image evenly.
    coords : mapping of {str: sequence}, optional
        What rows and columns of the image are called, as for `nengo_cam.convert`; with ``input_shape``.
    name : str, optional
        Name of the network, for messages and provenance. Default: its label.

    Returns
    -------
    CAMNetwork
        A `nengo_cam.conversion.native.NativeNetwork`. Whatever measures it takes it, and leaves out what a CNN would
        say; what is nothing but a comparison with a CNN raises `MissingCNNError`.

    Raises
    ------
    ModelTypeError
        If ``net`` is not a ``nengo.Network``.
    ParameterError
        If something is not in the network or not what it should be, or shapes do not fit each other.
    UnsupportedModelError
        If the logits are not a weighted sum of the features and a constant: there are neurons, functions, several
        filters or several ways of decoding between the two, or something else leads to the logits.

    Examples
    --------
    >>> import nengo
    >>> rng = np.random.default_rng(0)
    >>> with nengo.Network(seed=0) as mine:
    ...     image = nengo.Node(np.zeros(28 * 28))
    ...     conv = nengo.Convolution(4, (28, 28, 1), strides=(2, 2), init=rng.normal(size=(3, 3, 1, 4)))
    ...     spikes = nengo.SpikingRectifiedLinear(amplitude=0.01)
    ...     layer = nengo.Ensemble(13 * 13 * 4, 1, neuron_type=spikes, gain=nengo.dists.Choice([100.0]))
    ...     layer.bias = np.zeros(13 * 13 * 4)
    ...     first = nengo.Connection(image, layer.neurons, transform=conv, synapse=None)
    ...     pooled, logits = nengo.Node(size_in=4), nengo.Node(size_in=10)
    ...     mean = np.tile(np.eye(4), 13 * 13) / (13 * 13)
    ...     pooling = nengo.Connection(layer.neurons, pooled, transform=mean, synapse=0.005)
    ...     readout = nengo.Connection(pooled, logits, transform=rng.normal(size=(10, 4)), synapse=None)
    >>> by_hand = ncam.from_network(
    ...     mine, input=image, features=layer.neurons, readout=readout, map_shape=(13, 13), input_shape=(28, 28, 1)
    ... )
    >>> maps = ncam.spiking_cam(by_hand, images, n_steps=20, seed=0, progress_bar=False)
    >>> maps.cam.shape
    (4, 20, 10, 13, 13)
    >>> bool(np.allclose(maps.cam.mean(("y", "x")) + maps.bias, maps.logits, atol=1e-4))
    True
    """
    if not isinstance(net, nengo.Network):
        raise ModelTypeError(
            f"net: expected a nengo.Network, got {type(net).__module__}.{type(net).__name__}. Pass the network itself; "
            "for a nengo_dl.Converter use nengo_cam.from_converter."
        )
    name = str(name or net.label or "network")
    _check_objects(net, input, features, readout)
    cells = _shape("map_shape", map_shape, (1, 2, 3))
    _check_map(net, features, cells)
    image_shape, places, unit = _check_images(input, cells, input_shape, centers)
    if coords is not None and input_shape is None:
        raise ParameterError(
            "coords: they are of the pixels of the image, and its node takes a vector; expected input_shape, got None. "
            "Pass input_shape=(Y, X, channels)."
        )
    path = find_path(net, name, features, readout, input)
    pooling = "no pooling" if path.is_direct else object_name(readout.pre_obj)
    head = CAMHead(
        model=name,
        features=object_name(features),
        pooling=pooling,
        readout=object_name(readout.post_obj),
        activation="linear",
        kernel=np.full((features.size_out // math.prod(cells), path.n_labels), np.nan),
        bias=np.full(path.n_labels, np.nan),
        input_shape=image_shape,
        map_shape=cells,
        centers=places,
        exact_centers=centers is not None,
        center_unit=unit,
    )
    head = name_places(head, coords)
    # Only now, as everything has been checked: a network that is refused stays as it is.
    is_node = isinstance(readout.post_obj, nengo.Node)
    return NativeNetwork(
        net=net,
        converter=None,
        source=None,  # type: ignore[arg-type]
        reduced=None,  # type: ignore[arg-type]
        objects={},
        model=None,
        head=head,
        input=input,
        readout=readout,
        readout_bias=path.biases[0] if path.biases else None,
        features=find_probe(net, features, path.synapse, label="features", solver=path.solver),
        # Neurons and ensembles make something else of what arrives.
        logits=find_probe(net, readout.post_obj, None, label="logits", attr=None if is_node else "input"),
        neurons=None,
        synapse=path.synapse,
        firing_rate_scales={},
        channel_factors={},
        feature_factors=np.ones(head.n_channels),
        largest_differences={},
        calibration_range=None,
        target_rate=None,
        converter_options={},
        adopted=True,
        path=path,
    )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class NativeNetwork(CAMNetwork):
    """A `nengo_cam.CAMNetwork` without a CNN behind it, made by `nengo_cam.from_network`.

    Its ``converter``, ``source``, ``reduced``, ``model`` and ``neurons`` are None, and ``objects`` is empty; ``kernel``
    and ``bias`` of its ``head`` are NaN, as only a simulator has its weights (`readout_parameters`). ``synapse`` is the
    filter that features pass on their way to the logits.

    Attributes
    ----------
    path : nengo_cam.conversion.linear_path.LinearPath
        What lies between features and logits.
    """

    path: LinearPath = None  # type: ignore[assignment]

    def __getstate__(self):
        if self.tensor_nodes:
            raise UnsupportedModelError(
                f"network {self.head.model!r}: TensorNodes cannot be pickled; expected native Nengo objects only, got "
                f"{list(self.tensor_nodes)}. Build the network where it is needed."
            )
        return vars(self)

    @property
    def has_cnn(self) -> bool:
        """Whether there is a CNN that the network came from: there is none."""
        return False

    @property
    def learns(self) -> bool:
        """Whether a learning rule changes the readout's weights while the network runs."""
        return is_learned(self.readout)

    @property
    def map_synapse(self) -> nengo.synapses.Synapse | None:
        """Filter that maps pass over time, where weights that learn stand before it; else None."""
        return self.path.late_synapse

    def weighs_positions(self) -> bool:
        """Tell whether the readout's weights differ by position; see `CAMNetwork.weighs_positions`.

        Raises
        ------
        UnsupportedModelError
            If they are not what maps are made with: see `nengo_cam.conversion.kernel_form`.
        """
        return weighs_positions(self.path, self.head.model, self.head.map_shape)

    @property
    def neuron_layers(self) -> dict[str, nengo.Ensemble]:
        """All ensembles, by their labels; a label that comes again gets a number."""
        found = [ensemble for ensemble in self.net.all_ensembles if not isinstance(ensemble.neuron_type, nengo.Direct)]
        return dict(zip(number_twins([object_name(ensemble) for ensemble in found]), found))

    @contextlib.contextmanager
    def probed_weights(self) -> Iterator[nengo.Probe | None]:
        """Probe the readout's weights at every step while a simulator is made; see `CAMNetwork.probed_weights`."""
        own = [p for p in self.net.all_probes if p.target is self.readout and p.attr == "weights"]
        if not self.learns or any(probe.sample_every is None and probe.synapse is None for probe in own):
            yield next((p for p in own if p.sample_every is None and p.synapse is None), None)
            return
        before = list(self.net.probes)
        try:
            yield add_probe(self.net, self.readout, label="weights", attr="weights")
        finally:
            # They are large: a network that its owner runs should not keep them.
            self.net.probes[:] = before

    def readout_parameters(self, sim: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the readout's weights as a simulator has them now.

        Parameters
        ----------
        sim : nengo.Simulator, nengo_dl.Simulator or nengo_cam.Simulator
            An open simulator of ``net``.

        Returns
        -------
        kernel : ndarray of shape (K, L), (Y, X, K, L) or (N, Y, X, K, L)
            Weights of the map [logit per unit of activity]: of all positions alike, or of each; with a learning rule
            on ``nengo_dl.Simulator`` those of each item of the minibatch.
        bias : ndarray of shape (L,)
            Bias [logit].
        """
        return self.path.kernel(sim, self.head.map_shape), self.path.bias(sim)

    def kernels(self, sim: Any, weights: NDArray[np.floating]) -> NDArray[np.floating]:
        """Make kernels of weights that were probed while the readout learned; see `CAMNetwork.kernels`."""
        return self.path.kernel(sim, self.head.map_shape, weights)

    def shaped(self, images: Any) -> Any:
        """Give images that are vectors the shape of an image; see `CAMNetwork.shaped`."""
        shape, expected = np.shape(images) if isinstance(images, (np.ndarray, list)) else (), self.head.input_shape
        # A signal of one axis may have the shape of moving vectors; what fits as it is stays so.
        if len(shape) not in (2, 3) or shape[-1] != self.input.size_out or shape[-len(expected) :] == expected:
            return images
        return np.reshape(images, (*shape[:-1], *expected))

    def require_cnn(self, what: str) -> NoReturn:
        """Refuse what compares with a CNN.

        Parameters
        ----------
        what : str
            What was asked for.

        Raises
        ------
        MissingCNNError
            Always.
        """
        raise MissingCNNError(
            f"network {self.head.model!r}: it was built by hand, and there is no CNN behind it for {what}; expected a "
            "network of nengo_cam.convert or from_converter, got one of from_network. Compare its maps with those of a "
            "Keras model of yours: rate_cam(model, images)."
        )

    def replay(self, sim: Any = None) -> NoReturn:
        """Refuse: there is no Keras model to run again.

        Raises
        ------
        MissingCNNError
            Always.
        """
        self.require_cnn("replay")

    def layer_weights(self, sim: Any) -> NoReturn:
        """Refuse: there are no Keras layers whose weights these are.

        Raises
        ------
        MissingCNNError
            Always.
        """
        self.require_cnn("layer_weights")

    def cnn_logits(self, images: ArrayLike, *, minibatch_size: int = 1) -> NoReturn:
        """Refuse: there is no CNN.

        Raises
        ------
        MissingCNNError
            Always.
        """
        self.require_cnn("cnn_logits")

    def verify(self, images: ArrayLike, **options: Any) -> NoReturn:
        """Refuse: there is no CNN; `nengo_cam.completeness_error` of its maps says whether they are complete.

        Raises
        ------
        MissingCNNError
            Always.
        """
        self.require_cnn("verify")

    def __repr__(self):
        kinds = sorted({type(e.neuron_type).__name__ for e in self.neuron_layers.values()})
        learns = ", learns online" if self.learns else ""
        return "\n".join(
            (
                f"<CAMNetwork of network {self.head.model!r}, built by hand",
                f"  input     {'x'.join(map(str, self.head.input_shape))}",
                f"  head      {self.head}{learns}",
                f"  neurons   {self.n_neurons} {' and '.join(kinds)}, features through synapse {self.synapse}",
                f"  TensorNodes  {', '.join(self.tensor_nodes) or 'none'}>",
            )
        )


def _check_objects(net: nengo.Network, input: Any, features: Any, readout: Any) -> None:
    """Check that what was named is in the network, and of the right kind."""
    kinds = (
        ("input", input, nengo.Node, "a nengo.Node", net.all_nodes),
        ("readout", readout, nengo.Connection, "a nengo.Connection", net.all_connections),
    )
    for what, given, kind, wanted, known in kinds:
        if not isinstance(given, kind):
            raise ParameterError(f"{what}: expected {wanted}, got {given!r}. {_REMEDIES[what]}.")
        _check_known(what, given, known, net)
    if input.size_in or input.output is None:
        raise ParameterError(
            f"input: {object_name(input)!r} passes on what arrives; expected a node with an output of its own, got one "
            f"of size_in {input.size_in}. Make it nengo.Node(np.zeros(size))."
        )
    if isinstance(features, nengo.base.ObjView):
        raise ParameterError(
            f"features: expected a whole object, got a part, {features!r}. Lead the part to a nengo.Node(size_in=...) "
            "with synapse=None, and pass that."
        )
    if not isinstance(features, (nengo.Node, nengo.Ensemble, nengo.ensemble.Neurons)):
        raise ParameterError(
            f"features: expected neurons of an ensemble, a node or an ensemble, got {features!r}. Pass "
            "ensemble.neurons."
        )
    owner = features.ensemble if isinstance(features, nengo.ensemble.Neurons) else features
    _check_known("features", owner, [*net.all_nodes, *net.all_ensembles], net)


_REMEDIES = {
    "input": "Pass the node that takes the image",
    "readout": "Write the readout as nengo.Connection(pooled, logits, transform=weights), and pass that",
}


def _check_known(what, given, known, net):
    # By identity: some of Nengo's objects compare otherwise.
    if all(given is not one for one in known):
        raise ParameterError(
            f"{what}: {given!r} is not in the network; expected an object of {net!r}, got another. Make it inside "
            "`with net:`."
        )


def _shape(what, given, n_axes):
    shape = tuple(given) if np.iterable(given) and not isinstance(given, str) else ()
    if len(shape) not in n_axes or not all(is_whole(n) and n > 0 for n in shape):
        raise ParameterError(
            f"{what}: expected {' or '.join(map(str, n_axes))} whole numbers of at least 1, got {given!r}. Count the "
            "cells along each axis."
        )
    return tuple(int(n) for n in shape)


def _check_map(net: nengo.Network, features: Any, cells: tuple[int, ...]) -> None:
    """Check that features can be maps of this shape, by their size and by what a convolution says of them."""
    name, n_cells = object_name(features), math.prod(cells)
    if features.size_out % n_cells:
        raise ParameterError(
            f"map_shape: {n_cells} cells do not divide {name!r}; expected Y * X * K to be {features.size_out}, got "
            f"{cells}. Count the cells of the last feature map."
        )
    for connection in net.all_connections:
        shape = getattr(connection.transform, "output_shape", None)
        if connection.post_obj != features or not isinstance(shape, nengo.transforms.ChannelShape):
            continue
        if not shape.channels_last:
            raise ParameterError(
                f"features: {connection!r} gives {name!r} its channels first; expected channels last, got "
                f"{shape.shape}. Build it with channels_last=True."
            )
        if connection.post_slice == slice(None) and shape.spatial_shape != cells:
            raise ParameterError(
                f"map_shape: the convolution gives {name!r} another shape; expected {shape.spatial_shape}, got {cells}."
                f" Pass map_shape={shape.spatial_shape}."
            )
    own = tuple(getattr(features, "shape_out", None) or ())
    if len(own) == len(cells) + 1 and own[:-1] != cells:
        raise ParameterError(
            f"map_shape: the TensorNode {name!r} gives another shape; expected {own[:-1]}, got {cells}. Pass "
            f"map_shape={own[:-1]}."
        )


def _check_images(
    input: nengo.Node, cells: tuple[int, ...], input_shape: Any, centers: Any
) -> tuple[tuple[int, ...], tuple[NDArray[Any], ...], str]:
    """Check what is said of the image; return its shape, the centers of cells in it, and their unit."""
    shape: tuple[int, ...] = (input.size_out,)
    places = tuple(np.arange(n, dtype=float) for n in cells)
    if input_shape is not None:
        shape = _shape("input_shape", input_shape, (len(cells) + 1,))
        if math.prod(shape) != input.size_out:
            raise ParameterError(
                f"input_shape: {shape} has not as many values as {object_name(input)!r} takes; expected "
                f"{input.size_out}, got {math.prod(shape)}. Count the channels too."
            )
        places = even_centers(shape[:-1], cells)
    if centers is None:
        return shape, places, "cell" if input_shape is None else "pixel"
    if input_shape is None:
        raise ParameterError(
            f"centers: without input_shape nobody knows what pixels are; expected input_shape, got {input_shape!r}. "
            "Pass input_shape=(Y, X, channels)."
        )
    given = tuple(np.asarray(axis, float) for axis in centers) if np.iterable(centers) else ()
    sizes = tuple(axis.shape for axis in given)
    if sizes != tuple((n,) for n in cells) or not all(np.isfinite(axis).all() for axis in given):
        raise ParameterError(
            f"centers: expected for each axis of the map {cells} as many pixels, all finite, got arrays of shape "
            f"{list(sizes)}. Pass one array for rows and one for columns."
        )
    return shape, given, "pixel"
