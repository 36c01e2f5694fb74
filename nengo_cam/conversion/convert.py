"""From a Keras CNN to a Nengo network whose class-activation maps can be read."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import nengo
import numpy as np
from numpy.typing import ArrayLike

from .. import compat
from ..checks.callers import user_stacklevel
from ..checks.images import check_images
from ..checks.parameters import CNN_MINIBATCH, check_count, check_synapse
from ..exceptions import (
    DepthWarning,
    InputRangeWarning,
    NonSpikingWarning,
    ParameterError,
    RectifiedInputWarning,
    UnsupportedModelError,
    VerificationError,
)
from ..models.coordinates import name_places
from ..models.head import CAMHead
from ..models.replay import Replay
from ..models.simplify import ReducedModel, is_half_precision, rectified_layers, reduce_model, reduced_logits
from ..models.source import SourceModel, read_model
from ..models.spiking_keras import has_spiking_forms, without_spikes
from ..neurons import clipped
from ..simulator import Simulator
from . import layers
from .calibrate import scale_rates
from .choosing import AUTO, choose_neurons, count_rectified, why_not_carried
from .layer_weights import layer_weights
from .parts import add_probe, find_parts
from .report import Report, call_name, network_report, non_spiking_layers, spiked_tensor_nodes
from .verify import Verification, check_simulator, verify

__all__ = ["CAMNetwork", "Verification", "convert"]


def convert(
    model: Any,
    *,
    neurons: nengo.neurons.NeuronType | str | None = AUTO,
    scale_firing_rates: Any = None,
    calibrate_on: ArrayLike | None = None,
    target_rate: float = 200,
    percentile: float = 99.9,
    balance: bool = True,
    synapse: nengo.synapses.Synapse | float | None = None,
    output: int | str | None = None,
    coords: Mapping[str, Any] | None = None,
    **converter_options: Any,
) -> CAMNetwork:
    """Convert a Keras CNN with a GAP head to a Nengo network, with probes for its class-activation maps.

    The model is first reduced to what inference needs (`nengo_cam.inference_model`), then handed to
    ``nengo_dl.Converter``. The features are probed through the same synapse as their connection into the pooling, so
    that at every time step the mean of the map plus the readout's bias is the logit.

    Parameters
    ----------
    model : tf.keras.Model, keras.Model or SourceModel
        Functional or built Sequential model that `nengo_cam.find_head` accepts. It is not changed. One of Keras 3 is
        rebuilt with Keras 2 and compared with it. Or what `nengo_cam.models.source.read_model` made of it, so that it
        is not read again for each of several conversions.
    neurons : nengo.neurons.NeuronType, "auto" or None
        What replaces ReLU units: any spiking or rate type. ``"auto"`` chooses by the number of rectified layers:
        `SignedIntegrateAndFire` for up to five, `SigmaDelta` for more, or if there is max pooling or the like, or if
        the answers to ``calibrate_on`` hang on more levels than spikes of one size tell in 50 and in 100 ms, or these
        images move; see `nengo_cam.conversion.choosing.choose_neurons`. None keeps rectified-linear rate neurons.
        Clipped ReLU (ReLU6) becomes the clipped twin of `IntegrateAndFire`, `SignedIntegrateAndFire` or `SigmaDelta`,
        and clipped rate neurons if other neurons are asked for.
    scale_firing_rates : float or dict of {str or tf.keras.layers.Layer: float or array_like}, optional
        Firing rate per unit of activity [Hz], for all rectified layers, by layer, or by layer and channel. Inputs of
        neurons are multiplied by it and outputs divided, so that activity keeps its units. Exact for neurons that are
        linear above threshold.
    calibrate_on : array_like of shape (N, Y, X, channels), optional
        Sample images, as fed to the model. Finds one scale per layer so that its strong activity fires at
        ``target_rate``; see `nengo_cam.conversion.calibrate.calibrate_layers`. Layers named in ``scale_firing_rates``
        keep theirs.
    target_rate : float
        Firing rate for activity at the percentile [Hz].
    percentile : float
        Percentile of a channel's and a layer's activity that fires at ``target_rate``, from 0 to 100.
    balance : bool
        Whether calibration also gives the channels of a layer the same range, which leaves logits and maps as they are
        and lets weak channels spike; see `nengo_cam.models.simplify.balance_channels`.
    synapse : nengo.synapses.Synapse, float or None
        Filter on the output of all neurons; a float is the time constant of a lowpass filter [s].
    output : int or str, optional
        Which output to convert, by number or by the name of its layer, if the model has several.
    coords : mapping of {str: sequence}, optional
        What rows and columns are called where the input is no picture: ``{"y": frequencies, "x": times}``, a number or
        a name for each pixel of an axis. Results have them as coordinates, with pixels beside them (``y_pixel``), and
        figures as ticks.
    **converter_options
        Further options of ``nengo_dl.Converter``: ``allow_fallback``, ``inference_only``, ``max_to_avg_pool``,
        ``split_shared_weights``, ``swap_activations``.

    Returns
    -------
    CAMNetwork
        The network, its parts and its probes.

    Raises
    ------
    ModelTypeError
        If ``model`` is not a Keras model whose layers can be read.
    HeadError
        If it has no GAP head.
    UnsupportedModelError
        If NengoDL cannot convert a layer.
    ParameterError
        If an option has a wrong type or value, or names a layer that is not there.
    ImageError
        If ``calibrate_on`` does not fit the model.
    VerificationError
        If balancing channels changes the logits by more than rounding.

    Warns
    -----
    NonSpikingWarning
        If spiking neurons were asked for and some layers with a nonlinearity do not spike.
    DepthWarning
        If spikes of one size were asked for, and the network has more rectified layers than they carry at
        ``target_rate``.
    RectifiedInputWarning
        If layers of spiking neurons that rectify their input, such as `nengo.SpikingRectifiedLinear`, follow on one
        another without a synapse.

    Examples
    --------
    >>> net = ncam.convert(model, calibrate_on=train[:100], target_rate=200)
    >>> net.spiking, net.tensor_nodes
    (True, ())
    >>> list(net.firing_rate_scales)
    ['conv0', 'conv1', 'conv2', 'conv3', 'conv4']

    Rate neurons instead, for the same answers as Keras at every step:

    >>> ncam.convert(model, neurons=None).spiking
    False

    Which neurons were chosen for it:

    >>> print(net.choice)
    chosen: SignedIntegrateAndFire(negative_threshold=0.25), as spikes of one size carry 5 rectified layers
    """
    _check_neurons(neurons)
    synapse = as_synapse(synapse)
    source = read_model(model, output=output)
    keeps_spikes = has_spiking_forms(source.model)
    if keeps_spikes and not isinstance(neurons, str):
        # What was asked for takes the place of the model's own spiking neurons, as of ReLU.
        source, keeps_spikes = read_model(without_spikes(source.model)), False
    reduced = reduce_model(source)
    # Of a user's own before anything is computed.
    coordinates = name_places(source.head, coords).coordinates
    # Before calibration, which runs the model on all images.
    layers.check_layers(reduced.flat)
    head = reduced.head
    choice = ""
    images, calibration_range, moving = None, None, False
    if calibrate_on is not None:
        images = check_images(calibrate_on, head.input_shape, name="calibrate_on")
        moving = images.ndim == len(head.input_shape) + 2
        images = images.reshape((-1, *head.input_shape))
        calibration_range = (float(images.min()), float(images.max()))
    scaled = scale_rates(
        reduced, scale_firing_rates, images, target_rate=target_rate, percentile=percentile, balance=balance
    )
    if isinstance(neurons, str):
        chosen = choose_neurons(
            scaled.reduced, scales=scaled.scales, images=images, moving=moving,
            max_to_avg_pool=bool(converter_options.get("max_to_avg_pool")),
        )  # fmt: skip
        neurons, choice = chosen.neurons, chosen.sentence
    converter = _run_converter(scaled.reduced.model, neurons, scaled.scales, synapse, converter_options)
    if not any(isinstance(ensemble.neuron_type, type(neurons)) for ensemble in converter.net.all_ensembles):
        # There is no ReLU, or swap_activations has the last word: of a choice that nothing follows is not told.
        choice = ""
    if keeps_spikes:
        neurons, choice = _own_spikes(converter.net, neurons, choice)
    pooling = converter.model.get_layer(head.pooling).output
    (node,) = converter.inputs.values()
    differences = {"simplified": reduced.largest_difference, "scaled": scaled.largest_difference}
    net = CAMNetwork(
        converter=converter,
        source=source,
        reduced=scaled.reduced,
        objects={name: converter.layers[scaled.reduced.output(name)] for name in scaled.reduced.flat.call_names},
        model=source.model,
        head=dataclasses.replace(scaled.reduced.head, coordinates=coordinates),
        neurons=neurons,
        synapse=synapse,
        firing_rate_scales=scaled.scales,
        channel_factors=scaled.channel_factors,
        feature_factors=np.ones(head.n_channels) if scaled.feature_factors is None else scaled.feature_factors,
        largest_differences={how: value for how, value in differences.items() if value is not None},
        calibration_range=calibration_range,
        target_rate=None if images is None else float(target_rate),
        converter_options=converter_options,
        choice=choice,
        net=converter.net,
        input=node,
        # By tensor: the readout layer may be called elsewhere too.
        **find_parts(
            converter.net, head.model, converter.layers[pooling], converter.layers[converter.model.outputs[0]]
        ),
    )
    _warn_if_not_spiking(net)
    _warn_if_not_carried(net)
    warn_if_rectifying(net)
    return net


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
        return self.synapse is None and len(self.spiking_layers) > 1 and any(map(_rectifies, types))

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
        # A user's converter scales other layers than rectified ones too; of rate neurons the scale changes nothing.
        scales = None if self.adopted else self.firing_rate_scales
        rate_form = convert(self.reduced.model, neurons=None, scale_firing_rates=scales, **self.converter_options)
        result = verify(self, rate_form, images, n_steps=n_steps, simulator=simulator)
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


def _own_spikes(network, neurons, choice):
    """Say that neurons are the model's own, and which; others of plain ReLUs have been chosen beside them."""
    own = [e.neuron_type for e in network.all_ensembles if type(e.neuron_type) is nengo.RegularSpiking]
    kept = "kept: RegularSpiking, the neurons of the model's SpikingActivation layers"
    return (neurons, f"{kept}; of others {choice}") if choice else (own[0], kept)


def _rectifies(neurons):
    """Tell whether spiking neurons rectify their input at every step, as `nengo.SpikingRectifiedLinear`."""
    rate_form = getattr(neurons, "base_type", neurons)
    rectifying = type(neurons) is nengo.SpikingRectifiedLinear or type(rate_form) is nengo.RectifiedLinear
    return rectifying and neurons.spiking


def _check_neurons(neurons):
    if isinstance(neurons, str) and neurons == AUTO:
        return
    if neurons is not None and not isinstance(neurons, nengo.neurons.NeuronType):
        hint = " Call it: make an instance of it." if isinstance(neurons, type) else " Try 'auto'."
        raise ParameterError(f"neurons: expected a Nengo neuron type, 'auto' or None, got {neurons!r}.{hint}")
    if isinstance(neurons, nengo.Direct):
        raise ParameterError("neurons: nengo.Direct has no activity to read; expected neurons, got Direct(). Use None.")


def as_synapse(synapse: Any) -> nengo.synapses.Synapse | None:
    """Make a synapse of what a user gave.

    Parameters
    ----------
    synapse : nengo.synapses.Synapse, float or None
        One of Nengo's, or the time constant of a lowpass [s].

    Returns
    -------
    nengo.synapses.Synapse or None

    Raises
    ------
    ParameterError
        If it is something else.
    """
    check_synapse(synapse)
    return synapse if synapse is None or isinstance(synapse, nengo.synapses.Synapse) else nengo.Lowpass(float(synapse))


def _run_converter(model, neurons, scales, synapse, options):
    """Run NengoDL's converter, its refusals in our words."""
    nengo_dl = compat.import_nengo_dl()
    if options.get("temporal_model"):
        raise ParameterError(
            "temporal_model: time belongs to the simulation here; expected False, got True. Pass moving images of "
            "shape (N, T, Y, X, channels) to spiking_cam."
        )
    swap = options.get("swap_activations") or {}
    if not isinstance(swap, dict):
        raise ParameterError(
            f"swap_activations: expected a dict from activations to activations, got {swap!r}. See nengo_dl.Converter."
        )
    swap = dict(swap)
    for layer in rectified_layers(model) if neurons is not None else ():
        if getattr(layer, "activation", None) in swap:
            continue
        rate_form = layers.rate_form(layer)
        max_value = getattr(rate_form, "max_value", None)
        twin = neurons if max_value is None else clipped(neurons, max_value)
        if twin is not None:
            # The user's own swap of this activation wins.
            swap.setdefault(rate_form, twin)
    known = ("allow_fallback", "inference_only", "max_to_avg_pool", "split_shared_weights", "swap_activations")
    unknown = [name for name in options if name not in known]
    if unknown:
        raise ParameterError(
            f"convert: {unknown[0]!r} is not an option; expected options of nengo_dl.Converter, {list(known)}, got "
            f"{unknown[0]!r}. Check the spelling."
        )
    try:
        with layers.registered():
            return nengo_dl.Converter(
                model,
                scale_firing_rates={model.get_layer(name): scale for name, scale in scales.items()},
                synapse=synapse,
                **{**options, "swap_activations": swap},
            )
    except (TypeError, ValueError) as err:
        remedy = "Replace the layer"
        if "split_shared_weights" in str(err):
            remedy = "Pass split_shared_weights=True"
        elif any(type(layer).__name__ in ("SlicingOpLambda", "TFOpLambda") for layer in model.layers):
            remedy = "Use layers in place of functions; a Lambda layer makes one of any function"
        elif not options.get("allow_fallback", True):
            remedy = "Replace the layer, or leave allow_fallback out"
        raise UnsupportedModelError(
            f"model {model.name!r}: NengoDL cannot convert it; expected layers that it knows, got: {err}. {remedy}."
        ) from err


def _warn_if_not_spiking(net):
    """Say which nonlinearities stay non-spiking although spiking neurons were asked for."""
    if net.neurons is None or not net.neurons.spiking:
        return
    silent = non_spiking_layers(net)
    if silent or not net.spiking:
        spiked = spiked_tensor_nodes(net)
        raw = [name for name in silent if name in spiked]
        advice = (
            f" Without a synapse {raw} see single spikes instead of activity: pass synapse=0.005, or for max pooling "
            "max_to_avg_pool=True."
        )
        warnings.warn(
            f"model {net.model.name!r}: these layers do not spike: {silent or 'all'}. Only ReLU, plain or clipped, "
            f"becomes {type(net.neurons).__name__}; replace other nonlinearities, or pass swap_activations."
            f"{advice if raw else ''}",
            NonSpikingWarning,
            stacklevel=user_stacklevel(),
        )


def _warn_if_not_carried(net):
    """Say that spikes of one size will not carry so many layers; see `choosing`."""
    # Without calibration nobody knows how fast neurons fire.
    if net.neurons is None or net.target_rate is None:
        return
    sentence = why_not_carried(net.neurons, count_rectified(net.reduced), net.target_rate)
    if sentence:
        warnings.warn(f"model {net.model.name!r}: {sentence}", DepthWarning, stacklevel=user_stacklevel())


def warn_if_rectifying(net: CAMNetwork) -> None:
    """Say what becomes of neurons that rectify what fluctuates; see `IntegrateAndFire`.

    Parameters
    ----------
    net : CAMNetwork
        One that was just converted or adopted.

    Warns
    -----
    RectifiedInputWarning
        If several layers of such neurons follow on one another without a synapse.
    """
    if not net.rectifies_without_synapse:
        return
    kinds = sorted({type(e.neuron_type).__name__ for e in net.spiking_layers.values() if _rectifies(e.neuron_type)})
    given, kind, remedy = "neurons", type(net.neurons).__name__, "Use neurons='auto'"
    if net.adopted:
        given, kind = "converter", " and ".join(kinds)
        remedy = "Pass synapse=0.005 to nengo_dl.Converter, or let nengo_cam.convert(model, calibrate_on=images) choose"
    warnings.warn(
        f"{given}: {kind} rectifies its input at every step, and without a synapse the error "
        "adds up over layers: at 200 Hz a network of five convolutions found the digit in 10 % of MNIST's images "
        f"instead of 98 %. {remedy}.",
        RectifiedInputWarning,
        stacklevel=user_stacklevel(),
    )
