"""A converted network, and what is needed to read class-activation maps from it."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import nengo
import numpy as np
from numpy.typing import ArrayLike

from .. import compat
from ..checks.images import check_images
from ..checks.parameters import CNN_MINIBATCH, check_count
from ..exceptions import InputRangeWarning, ParameterError, UnsupportedModelError, VerificationError
from ..models.head import CAMHead
from ..models.replay import Replay
from ..models.simplify import ReducedModel, is_half_precision, reduced_logits
from ..models.source import SourceModel
from ..models.spiking_keras import has_spiking_forms
from ..simulator import Simulator
from .layer_weights import layer_weights
from .parts import add_probe
from .report import Report, call_name, network_report
from .verify import Verification, check_simulator, verify

__all__ = ["CAMNetwork"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CAMNetwork:
    """A converted network and what is needed to read class-activation maps from it.

    Made by `convert`, or by `from_converter` or `from_network` around a network that was there before; of the last,
    whose `has_cnn` is false, ``converter``, ``source``, ``reduced`` and ``model`` are None.

    Attributes
    ----------
    net : nengo.Network
        The network, for any Nengo simulator.
    converter : nengo_dl.Converter
        NengoDL's converter. Of `convert`, ``converter.model`` is the reduced Keras model; of `from_converter` it is
        the user's.
    source : nengo_cam.models.source.SourceModel
        The model that was converted, as it was read.
    reduced : nengo_cam.models.simplify.ReducedModel
        The same reduced to what inference needs, its channels scaled, with logits as output; of `from_converter` only
        its head is reduced.
    objects : dict of {str: nengo.Node, nengo.ensemble.Neurons or nengo_dl.TensorNode}
        What gives out, in the network, the output of each layer call of ``reduced``, by its name; a layer that is
        called again has a number behind it. Of `from_converter` also those of layers that ``reduced`` is without.
    model : tf.keras.Model
        The Keras model that was converted.
    head : CAMHead
        Features, pooling and readout, by the layer names of ``converter.model``.
    input : nengo.Node
        The node that takes the image, flattened.
    readout : nengo.Connection
        The connection from pooling to logits; its weights (L, K) are the kernel of the map, transposed.
    readout_bias : nengo.Connection or None
        The connection that adds the bias.
    features, logits : nengo.Probe
        Probes of size Y * X * K and L.
    neurons : nengo.neurons.NeuronType or None
        What replaced ReLU units; None for rectified-linear rate neurons, where several types did, and where a user's
        converter put something in their place that is no neurons.
    synapse : nengo.synapses.Synapse or None
        Filter on the output of all neurons.
    firing_rate_scales : dict of {str: float}
        Firing rate per unit of activity of ``reduced.model`` [Hz] by layer name; layers that are not listed have 1.
    channel_factors : dict of {str: ndarray of shape (channels,)}
        What the channels of rectified layers were multiplied by in ``reduced.model``; empty if they were not.
    feature_factors : ndarray of shape (K,)
        The same for the pooled features: the probe's data divided by it is in the units of ``model``.
    largest_differences : dict of {str: float}
        What rewriting the model before conversion changed in features and logits, as a fraction of the largest:
        ``"simplified"`` (see `nengo_cam.inference_model`) and, if channels have factors, ``"scaled"``.
    calibration_range : tuple of float or None
        Smallest and largest value of the images that the scales were calibrated on.
    target_rate : float or None
        Firing rate that strong activity was calibrated to [Hz]; None without calibration.
    converter_options : dict
        Options that ``nengo_dl.Converter`` was given besides.
    choice : str
        Which neurons ``neurons="auto"`` chose, and why; empty if they were given, or if none stand in the network.
    adopted : bool
        Whether the network was there before, and `from_converter` or `from_network` found the parts in it.
    make_rate_form : callable
        Converts the model of such a network again, with rate neurons, for `verify`; None without a CNN.

    Examples
    --------
    >>> net.head.readout, net.head.n_labels
    ('readout', 10)
    >>> net.verify(images).completeness_error < 1e-5
    True
    """

    net: nengo.Network
    converter: Any
    source: SourceModel
    reduced: ReducedModel
    objects: dict[str, Any]
    model: Any
    head: CAMHead
    input: nengo.Node
    readout: nengo.Connection
    readout_bias: nengo.Connection | None
    features: nengo.Probe
    logits: nengo.Probe
    neurons: nengo.neurons.NeuronType | None
    synapse: nengo.synapses.Synapse | None
    firing_rate_scales: dict[str, float]
    channel_factors: dict[str, np.ndarray]
    feature_factors: np.ndarray
    largest_differences: dict[str, float]
    calibration_range: tuple[float, float] | None
    target_rate: float | None
    converter_options: dict[str, Any]
    choice: str = ""
    adopted: bool = False
    # Whoever made the network knows how; conversion stands above this module.
    make_rate_form: Callable[[CAMNetwork], CAMNetwork] = None  # type: ignore[assignment]

    def __getstate__(self):
        if self.tensor_nodes:
            # Nengo would make the pickle, and fail when it reads it.
            raise UnsupportedModelError(
                f"network of model {self.model.name!r}: TensorNodes cannot be pickled; expected native Nengo objects "
                f"only, got {list(self.tensor_nodes)}. Pickle the Keras model, and convert it where it is needed."
            )
        if is_half_precision(self.model.layers):
            # Keras 2 reads layers of mixed precision back by calling itself without end.
            raise UnsupportedModelError(
                f"network of model {self.model.name!r}: layers of half precision cannot be pickled; expected single "
                "precision, got a mixed policy. Pickle the Keras model, and convert it where it is needed."
            )
        return vars(self)

    @property
    def has_cnn(self) -> bool:
        """Whether there is a CNN that the network came from; `nengo_cam.from_network` has none."""
        return True

    @property
    def learns(self) -> bool:
        """Whether a learning rule changes the readout's weights while the network runs; see `kernels`."""
        return False

    @property
    def map_synapse(self) -> nengo.synapses.Synapse | None:
        """Filter that maps pass over time, as logits do: of a readout that learns behind a filter; else None."""
        return None

    def weighs_positions(self) -> bool:
        """Tell whether the readout's weights differ by position, for what reads them while the network runs.

        Returns
        -------
        bool
            False: the mean over positions comes before the readout.

        Raises
        ------
        UnsupportedModelError
            Of `nengo_cam.from_network`, if they are not what maps are made with.
        """
        return False

    @property
    def spiking(self) -> bool:
        """Whether any layer spikes."""
        return bool(self.spiking_layers)

    @property
    def tensor_nodes(self) -> tuple[str, ...]:
        """Names of the layers that only NengoDL can run, as TensorFlow operations."""
        tensor_node = compat.import_nengo_dl().TensorNode
        # A Reshape has the object of the layer before it: the first name counts.
        names = {id(obj): name for name, obj in reversed(self.objects.items())}
        # What a user added to the network stands for no layer, and may have no label.
        return tuple(
            names.get(id(node)) or call_name(node.label or repr(node))
            for node in self.net.all_nodes
            if isinstance(node, tensor_node)
        )

    @property
    def spiking_layers(self) -> dict[str, nengo.Ensemble]:
        """The ensembles that spike, by the name of their layer; a layer that is called again has a number behind it."""
        return {name: ensemble for name, ensemble in self.neuron_layers.items() if ensemble.neuron_type.spiking}

    @property
    def keeps_spikes(self) -> bool:
        """Whether neurons are those of a model of KerasSpiking, which nothing has taken the place of."""
        return self.has_cnn and has_spiking_forms(self.reduced.model)

    @property
    def neuron_layers(self) -> dict[str, nengo.Ensemble]:
        """The ensembles that stand for layers of ``reduced``, spiking and not, by the name of the layer call."""
        layers: dict[str, nengo.Ensemble] = {}
        for name in self.reduced.flat.call_names:
            obj = self.objects[name]
            # A Reshape has the object of the layer before it. By identity: Nengo's objects compare otherwise.
            if isinstance(obj, nengo.ensemble.Neurons) and all(obj.ensemble is not known for known in layers.values()):
                layers[name] = obj.ensemble
        return layers

    @property
    def rectifies_without_synapse(self) -> bool:
        """Whether several layers of spiking neurons rectify what fluctuates, an error that adds up."""
        if self.keeps_spikes:
            # Filters are layers of the model, and where it has none, it was trained without.
            return False
        types = [ensemble.neuron_type for ensemble in self.spiking_layers.values()] if self.adopted else [self.neurons]
        return self.synapse is None and len(self.spiking_layers) > 1 and any(map(rectifies_input, types))

    @property
    def report(self) -> Report:
        """What each layer of ``model`` became, a `Report`; see `nengo_cam.measure_activity` for what it does."""
        return network_report(self)

    @contextlib.contextmanager
    def probed_neurons(self, layers: dict[str, nengo.Ensemble] | None = None) -> Iterator[dict[str, nengo.Probe]]:
        """Probe neurons while a simulator is made; the network is then as it was.

        Parameters
        ----------
        layers : dict of {str: nengo.Ensemble}, optional
            Which, by name. Default: all that spike.

        Yields
        ------
        dict of {str: nengo.Probe}
            Unfiltered probes of the output, by the name of the layer. One spike is amplitude / dt.
        """
        layers, before = self.spiking_layers if layers is None else layers, list(self.net.probes)
        try:
            yield {name: add_probe(self.net, ensemble.neurons, label=name) for name, ensemble in layers.items()}
        finally:
            # A simulator keeps the probes that it was built with; nobody else's should have them. The list is put back
            # whole, as Nengo has no way to take a probe out of a network.
            self.net.probes[:] = before

    @contextlib.contextmanager
    def probed_weights(self) -> Iterator[nengo.Probe | None]:
        """Probe the readout's weights while a simulator is made, if they change while it runs.

        Yields
        ------
        nengo.Probe or None
            Their probe at every step; None if they stay as they are.
        """
        yield None

    def kernels(self, sim: Any, weights: np.ndarray) -> np.ndarray:
        """Make kernels of the readout's weights at every step.

        Parameters
        ----------
        sim : nengo.Simulator or nengo_dl.Simulator
            The open simulator that they come from.
        weights : ndarray of shape (N, steps, L, Y * X * K)
            What the probe of `probed_weights` has seen.

        Returns
        -------
        ndarray of shape (N, steps, Y, X, K, L)
            Weights of the map [logit per unit of activity].

        Raises
        ------
        ParameterError
            If they do not change while the network runs.
        """
        raise ParameterError(
            f"network of {self.head.model!r}: no learning rule acts on its readout; expected one, got none. Take the "
            "weights of all steps from readout_parameters."
        )

    def shaped(self, images: Any) -> Any:
        """Give images the shape that the network expects, where their owner may leave it out.

        Parameters
        ----------
        images : array_like or ImageSource
            What a user gave.

        Returns
        -------
        array_like or ImageSource
            The same; of `nengo_cam.from_network` vectors become images.
        """
        return images

    def require_cnn(self, what: str) -> None:
        """Make sure that there is a CNN that the network came from: there is one.

        Parameters
        ----------
        what : str
            What needs it.

        Raises
        ------
        MissingCNNError
            If the network was built by hand; see `nengo_cam.from_network`.
        """

    def replay(self, sim: Any = None) -> Replay:
        """Make what runs the reduced model layer by layer, for methods that explain by gradients or relevance.

        Parameters
        ----------
        sim : nengo.Simulator, nengo_dl.Simulator or nengo_cam.Simulator, optional
            An open simulator of ``net``, whose weights are taken. Default: those of conversion.

        Returns
        -------
        nengo_cam.models.replay.Replay
            In the units of ``reduced``: channels have their factors.

        Raises
        ------
        UnsupportedModelError
            If an option of ``nengo_dl.Converter`` made another network than that of the model: ``swap_activations``,
            ``max_to_avg_pool``.
        """
        replacing = self._replacing
        if replacing:
            raise UnsupportedModelError(
                f"network of model {self.model.name!r}: {' and '.join(replacing)} made another network of it than its "
                "layers say; expected the model's own layers, got others. Change the layers of the model instead."
            )
        return Replay(self.reduced, None if sim is None else self.layer_weights(sim))

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return self.net.n_neurons

    def readout_parameters(self, sim: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the readout's weights as a simulator has them now.

        Parameters
        ----------
        sim : nengo.Simulator or nengo_dl.Simulator
            An open simulator of ``net``.

        Returns
        -------
        kernel : ndarray of shape (K, L)
            Weights [logit per unit of activity].
        bias : ndarray of shape (L,)
            Bias [logit].
        """
        n_labels = self.head.n_labels
        weights = sim.data[self.readout].weights
        # A convolution of the one position that is left has its filters last.
        is_dense = isinstance(self.readout.transform, nengo.Dense)
        kernel = np.reshape(weights, (n_labels, -1)).T if is_dense else np.reshape(weights, (-1, n_labels))
        if self.readout_bias is None:
            return kernel, np.zeros(n_labels, kernel.dtype)
        # The bias is a connection from a node that always says 1.
        return kernel, np.reshape(sim.data[self.readout_bias].weights, n_labels)

    def layer_weights(self, sim: Any) -> dict[str, list[np.ndarray]]:
        """Return the weights of all layers as a simulator has them now, in the order of Keras.

        Parameters
        ----------
        sim : nengo.Simulator, nengo_dl.Simulator or nengo_cam.Simulator
            An open simulator of ``net``.

        Returns
        -------
        dict of {str: list of ndarray}
            By the name of the layer call in ``reduced.flat.call_names``, what its ``get_weights`` would give. Layers
            that run as TensorNodes, and constants such as those of BatchNormalization, have those of ``reduced``.

        Examples
        --------
        >>> with ncam.Simulator(net.net, progress_bar=False) as sim:
        ...     weights = net.layer_weights(sim)
        >>> [array.shape for array in weights["conv0"]]
        [(3, 3, 1, 16), (16,)]
        """
        return layer_weights(self, sim)

    def cnn_logits(self, images: ArrayLike, *, minibatch_size: int = CNN_MINIBATCH) -> np.ndarray:
        """Run the CNN that the network came from, as it was at conversion.

        Parameters
        ----------
        images : array_like of shape (N, Y, X, channels) or (N, T, Y, X, channels)
            Images, as fed to the model.
        minibatch_size : int
            Images that run at a time.

        Returns
        -------
        ndarray of shape (N, L) or (N, T, L)
            Logits, before softmax or sigmoid.

        Raises
        ------
        ImageError
            If ``images`` does not fit the model, is empty, or holds NaN or infinity.
        ParameterError
            If ``minibatch_size`` is not a whole number of at least 1.

        Examples
        --------
        >>> net.cnn_logits(images).argmax(axis=1).tolist() == classes.tolist()
        True
        """
        check_count("minibatch_size", minibatch_size)
        images = check_images(images, self.head.input_shape)
        leading = images.shape[: images.ndim - len(self.head.input_shape)]
        frames = images.reshape((-1, *self.head.input_shape))
        return reduced_logits(self.reduced.model, frames, minibatch_size).reshape((*leading, -1))

    def warn_of_range(self, images: np.ndarray, *, stacklevel: int = 3) -> None:
        """Warn if images lie far outside the range of those that the firing rates were calibrated on.

        Parameters
        ----------
        images : ndarray
            Checked images.
        stacklevel : int
            Which caller the warning is for, as for `warnings.warn`.

        Warns
        -----
        InputRangeWarning
            If they reach beyond the calibration range by more than its width.
        """
        if self.calibration_range is None:
            return
        low, high = self.calibration_range
        margin = max(high - low, float(np.finfo(np.float32).eps))
        if images.min() < low - margin or images.max() > high + margin:
            warnings.warn(
                f"images: values from {images.min():g} to {images.max():g}, but the firing rates were calibrated on "
                f"images from {low:g} to {high:g}. Scale them as the model was trained.",
                InputRangeWarning,
                stacklevel=stacklevel,
            )

    def verify(
        self,
        images: ArrayLike,
        *,
        n_steps: int = 10,
        atol: float = 1e-4,
        completeness_tol: float = 1e-5,
        simulator: type = Simulator,
    ) -> Verification:
        """Check the conversion on images, and state the largest differences.

        The rate form of the network has to give the output, the logits and the maps of the Keras model; the network as
        it is has to satisfy, at every time step, *mean of the map + bias = logit*; and so does the CNN itself, with the
        maps of `nengo_cam.rate_cam`.

        Parameters
        ----------
        images : array_like of shape (N, Y, X, channels)
            Images, as fed to the model; a handful will do, they run together.
        n_steps : int
            Time steps for the second check.
        atol : float
            Largest difference allowed between rate form and Keras, and between the CNN's own maps and its logits, as a
            fraction of the largest magnitude.
        completeness_tol : float
            Largest difference allowed in the identity, as a fraction of the largest logit.
        simulator : type
            What runs both, beside Keras: `nengo_cam.Simulator` or ``nengo_dl.Simulator``, which takes several times as
            long for compiling, and runs networks to which feedback or learning was added.

        Returns
        -------
        Verification
            The differences; prints as sentences.

        Raises
        ------
        VerificationError
            If a difference is larger than allowed. The differences are in its ``verification``.
        ImageError, ParameterError
            If an argument is out of its range.
        SimulatorError
            If `nengo_cam.Simulator` cannot run the network.

        Notes
        -----
        The rate form is converted from the reduced model, its channels balanced as they are. If the network was trained
        further after conversion, only the second check speaks of it.
        """
        # Before the second conversion.
        check_count("n_steps", n_steps)
        check_images(images, self.head.input_shape)
        check_simulator(simulator)
        result = verify(self, self.make_rate_form(self), images, n_steps=n_steps, simulator=simulator)
        failed = result.failures(atol=atol, completeness_tol=completeness_tol)
        if failed:
            raise VerificationError(
                f"network of model {self.model.name!r}: {'; '.join(failed)}. {self._suspect()}", verification=result
            )
        return result

    @property
    def _replacing(self):
        """Options by which NengoDL put other layers in the place of some."""
        return [name for name in ("swap_activations", "max_to_avg_pool") if self.converter_options.get(name)]

    def _suspect(self):
        """Say where to look if verification fails."""
        replacing = self._replacing
        if replacing:
            return f"Leave {' and '.join(replacing)} out to see whether they make the difference."
        if self.tensor_nodes:
            return f"Check the layers that NengoDL runs as TensorNodes: {list(self.tensor_nodes)}."
        return "Convert the model again if it was trained since, and in float32."

    def __repr__(self):
        kinds = sorted({type(e.neuron_type).__name__ for e in self.neuron_layers.values()})
        scales = ", ".join(f"{name} {scale:.4g}" for name, scale in self.firing_rate_scales.items()) or "none"
        balanced = ", channels balanced" if self.channel_factors else ""
        chosen = f" ({self.choice})" if self.choice else ""
        return "\n".join(
            (
                f"<CAMNetwork of model {self.model.name!r}",
                f"  input     {'x'.join(map(str, self.head.input_shape))}",
                f"  head      {self.head}",
                f"  neurons   {self.n_neurons} {' and '.join(kinds)}, synapse {self.synapse}{chosen}",
                f"  scales    {scales} [Hz per unit of activity]{balanced}",
                f"  TensorNodes  {', '.join(self.tensor_nodes) or 'none'}>",
            )
        )


def rectifies_input(neurons: Any) -> bool:
    """Tell whether spiking neurons rectify their input at every step, as `nengo.SpikingRectifiedLinear`.

    Parameters
    ----------
    neurons : nengo.neurons.NeuronType or None
        Any.

    Returns
    -------
    bool
    """
    rate_form = getattr(neurons, "base_type", neurons)
    rectifying = type(neurons) is nengo.SpikingRectifiedLinear or type(rate_form) is nengo.RectifiedLinear
    return rectifying and neurons.spiking
