"""`from_converter`: maps of networks that ``nengo_dl.Converter`` made, against their own probes and `convert`."""

import pickle
import re
import warnings

import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.compat import without_gpu_advice
from nengo_cam.exceptions import (
    HeadError,
    ModelTypeError,
    ParameterError,
    RectifiedInputWarning,
    UnsupportedModelError,
    VerificationError,
)
from nengo_cam.measurement.answers import likely_cause

# Networks without a synapse, which are warned of, are small and run for a few steps.
pytestmark = pytest.mark.filterwarnings("ignore:converter. .* rectifies its input")

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers
relu, linear, softmax = (getattr(_tf.keras.activations, name) for name in ("relu", "linear", "softmax"))

SHAPE = (8, 6, 2)
SPIKING = {relu: nengo.SpikingRectifiedLinear()}
SIMULATORS = {"nengo_dl": nengo_dl.Simulator, "nengo_cam": ncam.Simulator, "nengo": nengo.Simulator}


def conv(name, n=4, **options):
    options = {"padding": "same", "activation": "relu", "bias_initializer": "random_uniform", **options}
    return layers.Conv2D(n, 3, name=name, **options)


def dense(**options):
    return layers.Dense(3, name="readout", bias_initializer="random_uniform", **options)


def gap():
    return layers.GlobalAveragePooling2D(name="gap")


def chain(*stack, seed=0):
    """Make a functional model of layers."""
    _tf.keras.utils.set_random_seed(seed)
    x = inputs = _tf.keras.Input(SHAPE, name="image")
    for layer in stack:
        x = layer(x)
    return _tf.keras.Model(inputs, x, name="own")


def plain(*tail):
    return chain(conv("conv0"), conv("conv1", 5), *(tail or (gap(), dense())))


def convert_by_hand(model, **options):
    """Run NengoDL's converter, whose warnings are not of interest here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nengo_dl.Converter(model, **options)


# Converters, each with the name of the layer whose output is pooled


def with_synapse():
    return convert_by_hand(plain(), swap_activations=SPIKING, scale_firing_rates=200, synapse=0.005), "conv1"


def scaled_by_layer():
    model = plain()
    scales = {model.get_layer("conv0"): 300, model.get_layer("conv1"): 150}
    swap = {nengo.RectifiedLinear(): ncam.IntegrateAndFire()}
    return convert_by_hand(model, swap_activations=swap, scale_firing_rates=scales), "conv1"


def sequential():
    _tf.keras.utils.set_random_seed(0)
    model = _tf.keras.Sequential([layers.InputLayer(SHAPE), conv("conv0"), conv("conv1", 5), gap(), dense()])
    return convert_by_hand(model, swap_activations=SPIKING, scale_firing_rates=200, synapse=0.002), "conv1"


def shared_weights():
    shared = conv("shared")
    model = chain(conv("conv0"), shared, shared, gap(), dense())
    options = {"swap_activations": SPIKING, "scale_firing_rates": 250, "split_shared_weights": True}
    return convert_by_hand(model, **options), None


def normalized_with_dropout():
    norm = layers.BatchNormalization(
        name="norm", beta_initializer="random_uniform", moving_mean_initializer="random_uniform"
    )
    stack = (conv("conv0"), layers.Dropout(0.5), conv("conv1", 5, activation=None), norm, layers.ReLU(name="relu"))
    model = chain(*stack, gap(), layers.Dropout(0.5), dense(), layers.Softmax())
    swap = {_tf.nn.relu: nengo.SpikingRectifiedLinear(), relu: nengo.SpikingRectifiedLinear()}
    return convert_by_hand(model, inference_only=True, swap_activations=swap, scale_firing_rates=200), "relu"


def nested_with_average_for_maximum():
    inner = _tf.keras.Model(*(lambda x: (x, conv("conv0")(x)))(_tf.keras.Input(SHAPE)), name="backbone")
    model = chain(inner, layers.MaxPool2D(2), conv("conv0", 5), gap(), dense(activation="softmax"))
    swap = {**SPIKING, softmax: linear}
    options = {"max_to_avg_pool": True, "swap_activations": swap, "scale_firing_rates": 200, "synapse": 0.003}
    return convert_by_hand(model, **options), "conv0"


CONVERTERS = {
    make.__name__: make
    for make in (
        with_synapse,
        scaled_by_layer,
        sequential,
        shared_weights,
        normalized_with_dropout,
        nested_with_average_for_maximum,
    )
}


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).random((3, *SHAPE), dtype=np.float32)


def cam(net, frames, simulator=ncam.Simulator, n_steps=12):
    return ncam.spiking_cam(net, frames, n_steps=n_steps, simulator=simulator, seed=0, progress_bar=False)


def run_by_hand(converter, probes, frames, simulator=nengo_dl.Simulator, n_steps=12):
    """Return what probes see, each of shape (N, T, size); with the seed that `cam` runs with."""
    (node,) = converter.inputs.values()
    data = {node: np.repeat(frames.reshape(len(frames), 1, -1), n_steps, axis=1)}
    before, converter.net.seed = converter.net.seed, 0
    try:
        with (
            without_gpu_advice(),
            simulator(converter.net, minibatch_size=len(frames), seed=0, progress_bar=False) as sim,
        ):
            sim.run_steps(n_steps, data=data)
            return [np.array(sim.data[probe]) for probe in probes]
    finally:
        converter.net.seed = before


def relative(values, reference):
    return float(np.abs(values - reference).max() / np.abs(reference).max())


def feature_object(converter, name):
    """Find what is pooled without looking at what is tested."""
    # The last call: NengoDL calls the layers of a Sequential model once more.
    pooling = converter.layers[converter.model.get_layer("gap").get_output_at(-1)]
    (connection,) = (c for c in converter.net.all_connections if c.post_obj is pooling)
    if name is not None:
        assert connection.pre_obj is converter.layers[converter.model.get_layer(name).get_output_at(-1)]
    return connection.pre_obj


def own_probe(converter, name):
    """Probe the features as a user would, through the synapse that they gave."""
    obj = feature_object(converter, name)
    with converter.net:
        return nengo.Probe(obj, synapse=converter.synapse if isinstance(obj, nengo.ensemble.Neurons) else None)


@pytest.mark.parametrize("make", CONVERTERS.values(), ids=list(CONVERTERS))
@pytest.mark.parametrize("simulator", ["nengo_dl", "nengo_cam"])
def test_maps_are_what_an_einsum_makes_of_the_users_own_probe(make, simulator, frames):
    converter, name = make()
    probe = own_probe(converter, name)
    net = ncam.from_converter(converter)
    result = cam(net, frames, SIMULATORS[simulator])
    features, logits = run_by_hand(converter, [probe, net.logits], frames)
    kernel, bias = converter.model.get_layer("readout").get_weights()
    features = features.reshape(*features.shape[:2], *net.head.map_shape, -1)
    expected = np.einsum("ntyxk,kl->ntlyx", features.astype(float), kernel)
    assert np.abs(expected).max() > 0
    assert relative(result.cam.values, expected) < 1e-6
    assert relative(result.logits.values, logits) < 1e-6
    # Completeness: the probe sees what is pooled at that very step.
    assert relative(expected.mean(axis=(-1, -2)) + bias, logits) < 1e-6


@pytest.mark.parametrize("simulator", list(SIMULATORS))
@pytest.mark.parametrize(
    ("make", "neurons", "scales", "options"),
    [
        (with_synapse, nengo.SpikingRectifiedLinear(), {"conv0": 200, "conv1": 200}, {"synapse": 0.005}),
        (scaled_by_layer, ncam.IntegrateAndFire(), {"conv0": 300, "conv1": 150}, {}),
        (sequential, nengo.SpikingRectifiedLinear(), {"conv0": 200, "conv1": 200}, {"synapse": 0.002}),
        (
            shared_weights,
            nengo.SpikingRectifiedLinear(),
            {"conv0": 250, "shared": 250},
            {"split_shared_weights": True},
        ),
    ],
    ids=["with_synapse", "scaled_by_layer", "sequential", "shared_weights"],
)
@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.RectifiedInputWarning")
def test_maps_are_those_of_convert(make, neurons, scales, options, simulator, frames):
    converter, _ = make()
    net = ncam.from_converter(converter)
    reference = ncam.convert(converter.model, neurons=neurons, scale_firing_rates=scales, **options)
    assert net.firing_rate_scales == reference.firing_rate_scales
    assert net.neurons == reference.neurons
    got, expected = (cam(each, frames, SIMULATORS[simulator]) for each in (net, reference))
    assert relative(got.cam.values, expected.cam.values) < 1e-6
    assert relative(got.logits.values, expected.logits.values) < 1e-6
    rates = [ncam.rate_cam(each, frames).cam.values for each in (net, reference)]
    assert relative(*rates) < 1e-6


def test_the_users_network_gets_one_probe_and_nothing_else():
    converter, _ = with_synapse()
    net = converter.net

    def seen():
        kinds = ("all_ensembles", "all_nodes", "all_connections", "all_networks")
        connections = [(c.pre, c.post, c.synapse, c.transform, c.seed) for c in net.all_connections]
        ensembles = [(e.neuron_type, e.gain, e.bias, e.seed, e.label) for e in net.all_ensembles]
        return [list(getattr(net, kind)) for kind in kinds], connections, ensembles, net.seed

    before, probes = seen(), list(net.all_probes)
    found = ncam.from_converter(converter)
    assert found.net is net
    assert seen() == before
    assert net.all_probes == [*probes, found.features]
    assert found.logits is probes[0]
    # Once more takes the same.
    again = ncam.from_converter(converter)
    assert (again.features, again.logits) == (found.features, found.logits)
    assert net.all_probes == [*probes, found.features]


def test_probes_of_another_moment_or_of_few_steps_are_not_taken():
    converter, _ = with_synapse()
    neurons = feature_object(converter, "conv1")
    with converter.net:
        unfiltered, slower = nengo.Probe(neurons), nengo.Probe(neurons, synapse=0.01)
        sampled = nengo.Probe(neurons, synapse=0.005, sample_every=0.01)
        part = nengo.Probe(neurons[:10], synapse=0.005)
    net = ncam.from_converter(converter)
    assert net.features not in (unfiltered, slower, sampled, part)
    with converter.net:
        right = nengo.Probe(neurons, synapse=0.005)
    converter.net.probes.remove(net.features)
    assert ncam.from_converter(converter).features is right


def test_a_probe_of_the_neurons_of_an_ensemble_is_taken():
    converter, _ = with_synapse()
    with converter.net:
        # The second convolution's; Nengo makes another object of them than the converter has.
        right = nengo.Probe(converter.net.all_ensembles[1].neurons, synapse=0.005)
    probes = list(converter.net.all_probes)
    assert ncam.from_converter(converter).features is right
    assert converter.net.all_probes == probes


def test_a_network_set_to_keep_the_last_step_has_maps_of_all(frames):
    # As those who train with NengoDL set it.
    plain_net = ncam.from_converter(with_synapse()[0])
    converter, _ = with_synapse()
    with converter.net:
        nengo_dl.configure_settings(keep_history=False)
    net = ncam.from_converter(converter)
    expected, got = (cam(each, frames, nengo_dl.Simulator) for each in (plain_net, net))
    np.testing.assert_array_equal(got.cam, expected.cam)
    report = ncam.measure_activity(net, frames, n_steps=5, simulator=nengo_dl.Simulator, seed=0, progress_bar=False)
    assert (report.dataset.mean_rate.dropna("layer") > 0).all()


def test_after_training_the_weights_are_the_trained_ones(frames):
    converter, _ = with_synapse()
    (node,), (output,) = converter.inputs.values(), converter.outputs.values()
    # Several steps: a lowpass is zero in the first.
    data, targets = np.repeat(frames.reshape(len(frames), 1, -1), 5, axis=1), np.ones((len(frames), 5, 3))
    with (
        without_gpu_advice(),
        nengo_dl.Simulator(converter.net, minibatch_size=len(frames), seed=0, progress_bar=False) as sim,
    ):
        sim.compile(optimizer=_tf.optimizers.Adam(0.05), loss="mse")
        sim.fit({node: data}, {output: targets}, epochs=3, verbose=0)
        sim.freeze_params(converter.net)
    probe = own_probe(converter, "conv1")
    net = ncam.from_converter(converter)
    with nengo.Simulator(converter.net, progress_bar=False) as sim:
        kernel = np.array(sim.data[net.readout].weights).T
        weights = net.layer_weights(sim)
    assert relative(kernel, converter.model.get_layer("readout").get_weights()[0]) > 0.01
    np.testing.assert_allclose(weights["readout"][0], kernel, rtol=1e-6)
    (features,) = run_by_hand(converter, [probe], frames)
    features = features.reshape(*features.shape[:2], *net.head.map_shape, -1)
    expected = np.einsum("ntyxk,kl->ntlyx", features.astype(float), kernel)
    for simulator in SIMULATORS.values():
        assert relative(cam(net, frames, simulator).cam.values, expected) < 1e-6
    # The rate network is the CNN as it was.
    np.testing.assert_allclose(net.cnn_logits(frames), converter.model.predict(frames, verbose=0), atol=1e-5)
    assert "trained" in likely_cause(net, n_steps=10, dt=0.001, trained=True).clause


@pytest.mark.parametrize("make", CONVERTERS.values(), ids=list(CONVERTERS))
def test_everything_takes_it_or_says_why_not(make, frames):
    converter, _ = make()
    net = ncam.from_converter(converter)
    assert f"{net.n_neurons} {type(next(iter(net.spiking_layers.values())).neuron_type).__name__}" in repr(net)
    names = net.report.dataset.layer.values.tolist()
    assert set(net.spiking_layers) <= set(names)
    assert len(names) == len(net.source.flat.calls) + 1
    assert len(net.spiking_layers) == len(converter.net.all_ensembles)
    measured = ncam.measure_activity(net, frames, n_steps=10, seed=0, progress_bar=False).dataset
    assert (measured.correlation.dropna("layer") > 0.3).all()
    counted = ncam.spiking_cam(net, frames, n_steps=10, seed=0, count_spikes=True, progress_bar=False)
    spikes = counted.spike_count.sum("time").mean("image")
    np.testing.assert_allclose(spikes, measured.spikes_per_image.sel(layer=spikes.layer), rtol=1e-6)
    replaced = bool(converter.max_to_avg_pool)
    if replaced:
        with pytest.raises(VerificationError, match="Leave max_to_avg_pool out"):
            net.verify(frames)
        with pytest.raises(UnsupportedModelError, match="max_to_avg_pool made another network"):
            net.replay()
    else:
        assert net.verify(frames).logit_difference < 1e-5
        with ncam.Simulator(net.net, progress_bar=False) as sim:
            logits = net.replay(sim)(frames).logits
        np.testing.assert_allclose(logits, net.cnn_logits(frames), atol=1e-5)
    if net.tensor_nodes:
        with pytest.raises(UnsupportedModelError, match="TensorNodes cannot be pickled"):
            pickle.dumps(net)
        with pytest.raises(UnsupportedModelError, match="synapses cannot be counted"):
            ncam.measure_cost(net, frames, n_steps=3, progress_bar=False)
    else:
        loaded = pickle.loads(pickle.dumps(net))
        np.testing.assert_array_equal(cam(loaded, frames).cam, cam(net, frames).cam)
        cost = ncam.measure_cost(net, frames, n_steps=10, seed=0, progress_bar=False)
        np.testing.assert_array_equal(cost.spikes.sum(("time", "layer")), counted.spike_count.sum(("time", "layer")))


def test_dropout_and_softmax_are_named_in_the_report():
    net = ncam.from_converter(normalized_with_dropout()[0])
    rows = net.report.dataset.set_coords("became").became.to_series()
    assert rows["dropout" if "dropout" in rows else rows.index[2]] == "TensorNode"
    assert rows["norm"] == rows["readout"] == "native node"
    assert rows.iloc[-1] == "TensorNode"
    # Neither a dropout nor what follows the logits is a nonlinearity of the network.
    (sentence,) = net.report.warnings
    assert sentence.startswith("TensorNodes, which run in TensorFlow")
    assert "single spikes" not in sentence


def test_several_neuron_types_and_things_of_the_users():
    model = plain()
    converter = convert_by_hand(model, swap_activations={relu: nengo.LIF()}, scale_firing_rates=100)
    first = converter.layers[model.get_layer("conv0")]
    first.ensemble.neuron_type = nengo.SpikingRectifiedLinear()
    with converter.net:
        mine = nengo.Ensemble(5, 1)
        nengo.Connection(converter.layers[model.get_layer("readout")][0], mine, synapse=0.01)
    net = ncam.from_converter(converter)
    assert net.neurons is None
    assert {name: type(e.neuron_type) for name, e in net.spiking_layers.items()} == {
        "conv0": nengo.SpikingRectifiedLinear,
        "conv1": nengo.LIF,
    }
    assert mine not in net.neuron_layers.values()
    assert "LIF and SpikingRectifiedLinear" in repr(net)
    assert "LIF" in likely_cause(net, n_steps=10, dt=0.001).clause


def test_neurons_behind_the_logits_are_no_layer_of_the_maps(frames):
    model = plain(gap(), dense(), layers.Activation("sigmoid", name="behind"))
    swap = {relu: nengo.SpikingRectifiedLinear(), _tf.keras.activations.sigmoid: nengo.SpikingRectifiedLinear()}
    converter = convert_by_hand(model, swap_activations=swap, scale_firing_rates=200)
    net = ncam.from_converter(converter)
    assert list(net.spiking_layers) == ["conv0", "conv1"]
    assert net.report.dataset.became.values[-1] == "native neurons"
    assert net.logits.obj is converter.layers[model.get_layer("readout")]
    report = ncam.measure_activity(net, frames, n_steps=5, seed=0, progress_bar=False)
    assert np.isnan(report.dataset.mean_rate.values[-1])


def test_without_spikes_it_is_the_cnn(frames):
    converter = convert_by_hand(plain())
    net = ncam.from_converter(converter)
    assert (net.neurons, net.spiking, net.firing_rate_scales) == (None, False, {})
    result = cam(net, frames, n_steps=1)
    assert relative(result.cam.values[:, 0], ncam.rate_cam(net, frames).cam.values) < 1e-5
    assert net.report.warnings == (
        "Nothing was asked to spike: ReLU became rectified-linear rate neurons. Pass swap_activations with spiking "
        "neurons to nengo_dl.Converter.",
    )


@pytest.mark.parametrize(
    ("options", "clause", "remedy"),
    [
        ({"swap_activations": SPIKING}, r"\['conv0', 'conv1'\] were not scaled", "Pass scale_firing_rates"),
        (
            {"swap_activations": {relu: nengo.LIF()}, "scale_firing_rates": 100},
            "rates of LIF are not those",
            "SpikingRectifiedLinear",
        ),
        (
            {"swap_activations": SPIKING, "scale_firing_rates": 100},
            "SpikingRectifiedLinear rectifies its input",
            r"synapse=0\.005",
        ),
        (
            {"swap_activations": SPIKING, "scale_firing_rates": 100, "synapse": 0.005},
            "at scale_firing_rates of 100 Hz an activity of 1 makes 1 spikes in 10 steps",
            "Raise scale_firing_rates",
        ),
    ],
)
def test_the_likely_cause_speaks_of_options_of_the_converter(options, clause, remedy):
    net = ncam.from_converter(convert_by_hand(plain(), **options))
    cause = likely_cause(net, n_steps=10, dt=0.001)
    assert re.search(clause, cause.clause)
    assert re.search(remedy, cause.remedy)
    assert cause.options == {}


def test_the_likely_cause_is_what_was_replaced():
    cause = likely_cause(ncam.from_converter(nested_with_average_for_maximum()[0]), n_steps=10, dt=0.001)
    assert cause.clause == "max_to_avg_pool made another network of it than its layers say"
    assert "check_answers=False" in cause.remedy


def test_the_image_is_found_among_several_inputs(frames):
    other, image = _tf.keras.Input((3,), name="other"), _tf.keras.Input(SHAPE, name="image")
    logits = dense()(gap()(conv("conv0")(image)))
    model = _tf.keras.Model([other, image], [layers.Dense(2, name="elsewhere")(other), logits], name="two")
    converter = convert_by_hand(model, swap_activations=SPIKING, scale_firing_rates=100)
    net = ncam.from_converter(converter, model=_tf.keras.Model(image, logits))
    assert net.input is converter.inputs[image]
    alone = convert_by_hand(_tf.keras.Model(image, logits), swap_activations=SPIKING, scale_firing_rates=100)
    assert net.verify(frames).logit_difference < 1e-5
    got, expected = (ncam.rate_cam(each, frames) for each in (net, ncam.from_converter(alone)))
    np.testing.assert_array_equal(got.cam, expected.cam)
    assert ncam.completeness_error(cam(net, frames)) < 1e-5


def test_a_model_with_several_outputs_needs_to_be_told_which(frames):
    x = inputs = _tf.keras.Input(SHAPE)
    x = features = conv("conv0")(x)
    model = _tf.keras.Model(inputs, [features, dense()(gap()(x))], name="two")
    converter = convert_by_hand(model, swap_activations=SPIKING, scale_firing_rates=100)
    with pytest.raises(HeadError, match=r"it has 2 outputs; expected model=, with one of \['conv0', 'readout'\]"):
        ncam.from_converter(converter)
    chosen = _tf.keras.Model(converter.model.inputs, converter.model.outputs[1])
    net = ncam.from_converter(converter, model=chosen)
    # Both are probed already.
    assert {net.features, net.logits} == set(converter.outputs.values())
    assert ncam.completeness_error(cam(net, frames)) < 1e-5


def test_the_sequential_model_itself_may_be_given(frames):
    converter, _ = sequential()
    _tf.keras.utils.set_random_seed(0)
    model = _tf.keras.Sequential([layers.InputLayer(SHAPE), conv("conv0"), conv("conv1", 5), gap(), dense()])
    converter = convert_by_hand(model, swap_activations=SPIKING, scale_firing_rates=200, synapse=0.002)
    by_model, by_itself = (ncam.from_converter(converter, model=each) for each in (model, None))
    assert by_model.features is by_itself.features
    np.testing.assert_array_equal(cam(by_model, frames).cam, cam(by_itself, frames).cam)


def test_the_output_may_be_converted_without_its_softmax(frames):
    model = plain(gap(), dense(), layers.Softmax())
    logits = _tf.keras.Model(model.inputs, model.get_layer("readout").output)
    converter = convert_by_hand(logits, swap_activations=SPIKING, scale_firing_rates=200)
    net = ncam.from_converter(converter, model=model)
    assert net.head.activation == "softmax"
    assert ncam.completeness_error(cam(net, frames)) < 1e-5


def refused():
    """Yield what is refused: its name, the converter, the model, the error, and its message."""
    other = plain()
    several = chain(conv("conv0"), lambda x: layers.Concatenate(name="both")([gap()(x), layers.Flatten()(x)]), dense())
    part = plain()
    features = _tf.keras.Model(part.inputs, part.get_layer("conv1").output)
    norm = layers.BatchNormalization(name="norm", gamma_initializer="random_uniform")
    yield "no converter", other, None, ModelTypeError, r"expected a nengo_dl\.Converter, got .*Pass a Keras model to"
    yield "no pooling", convert_by_hand(plain(layers.Flatten(), dense())), None, HeadError, "no readout|is fed by"
    yield (
        "max pooling",
        convert_by_hand(plain(layers.GlobalMaxPooling2D(), dense()), max_to_avg_pool=True),
        None,
        HeadError,
        "expected a global average pooling layer, got GlobalMaxPooling2D",
    )
    yield "several features", convert_by_hand(several), None, HeadError, "'both' has 2 inputs"
    yield "a part", convert_by_hand(features), part, HeadError, "has nothing for 'gap'"
    yield "another model", convert_by_hand(plain()), other, HeadError, "has nothing for 'conv0'"
    softmax_inside = convert_by_hand(plain(gap(), dense(activation="softmax")))
    yield "softmax", softmax_inside, None, UnsupportedModelError, "the readout runs as a TensorNode.*inference_model"
    sigmoid = convert_by_hand(plain(gap(), dense(activation="sigmoid")))
    yield "sigmoid", sigmoid, None, UnsupportedModelError, "the readout runs as neurons"
    regular = convert_by_hand(plain(gap(), dense(kernel_regularizer="l2")))
    yield "regularizer", regular, None, UnsupportedModelError, "inference_only=True if the readout has a regularizer"
    folded = convert_by_hand(plain(gap(), norm, dense()), inference_only=True)
    yield "normalized", folded, None, UnsupportedModelError, r"\['norm'\] multiply what is pooled"
    bare = convert_by_hand(plain(conv("classes", 3, activation=None), gap()))
    yield "no readout", bare, None, UnsupportedModelError, "expected a Dense layer behind it, got none"
    temporal = _tf.keras.Sequential([layers.InputLayer((None, 4)), layers.Dense(3, activation="relu")])
    yield (
        "temporal",
        convert_by_hand(temporal, temporal_model=True),
        None,
        ParameterError,
        "expected temporal_model=False, got True",
    )


@pytest.mark.parametrize("name", [
    "no converter", "no pooling", "max pooling", "several features", "a part", "another model", "softmax", "sigmoid",
    "regularizer", "normalized", "no readout", "temporal",
])  # fmt: skip
def test_what_cannot_be_read_is_refused(name):
    converter, model, error, message = {case[0]: case[1:] for case in refused()}[name]
    probes = list(converter.net.all_probes) if name != "no converter" else None
    with pytest.raises(error, match=message):
        ncam.from_converter(converter, model=model)
    # Refused before anything was added.
    assert probes is None or converter.net.all_probes == probes


def test_heads_that_a_user_changed_are_refused():
    def head(converter):
        pooling, readout = (converter.layers[converter.model.get_layer(name).output] for name in ("gap", "readout"))
        (connection,) = (c for c in converter.net.all_connections if c.pre_obj is pooling)
        return pooling, readout, connection

    converter, _ = with_synapse()
    head(converter)[2].synapse = 0.01
    with pytest.raises(UnsupportedModelError, match=r"a filter between pooling and logits.*Lowpass\(tau=0\.01\)"):
        ncam.from_converter(converter)
    for target, what in ((0, "pooling"), (1, "readout")):
        converter, _ = with_synapse()
        with converter.net:
            noise = nengo.Node(np.ones(1))
            nengo.Connection(noise, head(converter)[target][:1], synapse=None)
        with pytest.raises(UnsupportedModelError, match=f"2 connections lead into the {what}; expected one"):
            ncam.from_converter(converter)


def test_a_converter_in_the_place_of_a_network_is_told_the_way(frames):
    converter, _ = with_synapse()
    with pytest.raises(ModelTypeError, match=r"got nengo_dl\.converter\.Converter\. Pass nengo_cam\.from_converter"):
        cam(converter, frames)


# -- What a converter's owner has changed, or meant


def tuned(converter, layer="conv1", factor=1.5):
    """Change the weights of a layer as ``sim.fit`` and ``freeze_params`` would."""
    obj = converter.layers[converter.model.get_layer(layer).output]
    (kernel,) = (c for c in converter.net.all_connections if c.post_obj == obj and "bias" not in repr(c.pre_obj))
    transform = kernel.transform
    kernel.transform = nengo.Convolution(
        transform.n_filters, transform.input_shape, transform.kernel_size, transform.strides, transform.padding,
        init=factor * transform.init,
    )  # fmt: skip
    return converter


def test_what_was_trained_is_named(frames):
    as_it_was = ncam.from_converter(with_synapse()[0])
    net = ncam.from_converter(tuned(with_synapse()[0]))
    for each, names in ((as_it_was, ()), (net, ("conv1",))):
        found = each.verify(frames)
        assert found.trained == names
        assert ("other weights than its model in ['conv1']" in str(found)) == bool(names)
    report = ncam.measure_activity(net, frames, n_steps=10, seed=0, progress_bar=False)
    assert report.dataset.attrs["trained"] == "conv1"
    assert report.warnings[0].startswith("Other weights than the model's: conv1. The network was trained")
    assert not any("scale_firing_rates of 200" in sentence for sentence in report.warnings)
    same = ncam.measure_activity(as_it_was, frames, n_steps=10, seed=0, progress_bar=False)
    assert same.dataset.attrs["trained"] == ""
    assert not any("Other weights" in sentence for sentence in same.warnings)


def test_further_connections_into_a_layer_are_named(frames):
    converter, _ = with_synapse()
    first, second = (converter.layers[converter.model.get_layer(name).output] for name in ("conv0", "conv1"))
    net = ncam.from_converter(tuned(converter))
    assert not any("not the model's" in sentence for sentence in net.report.warnings)
    with converter.net:
        nengo.Connection(nengo.Node(np.full(5, 0.5)), second[:5], synapse=None)
        nengo.Connection(first[:3], second[:3], transform=-1, synapse=None)
    (sentence,) = (text for text in net.report.warnings if "not the model's" in text)
    assert sentence.startswith("Connections that are not the model's lead into 'conv1': maps and logits take them in")
    assert "Further connections lead into ['conv1']: the rate form is without them" in str(net.verify(frames))
    # The layer's own weights are told from them.
    with ncam.Simulator(net.net, progress_bar=False) as sim:
        kernel, bias = net.layer_weights(sim)["conv1"]
    own = converter.model.get_layer("conv1").get_weights()
    np.testing.assert_allclose(kernel, 1.5 * own[0], rtol=1e-6)
    np.testing.assert_allclose(bias, own[1], rtol=1e-6)


@pytest.mark.parametrize(
    ("swap", "became"),
    [
        ({relu: linear}, "nodes without nonlinearity"),
        ({relu: _tf.keras.activations.softplus}, "TensorNodes"),
        ({relu: _tf.keras.activations.tanh}, "Tanh"),
        ({relu: nengo.Sigmoid()}, "Sigmoid"),
        ({}, "rectified-linear rate neurons"),
    ],
)
def test_what_relu_became_is_said_as_it_is(swap, became):
    net = ncam.from_converter(convert_by_hand(plain(), swap_activations=swap))
    assert (net.neurons is None) == (became not in ("Sigmoid", "Tanh"))
    assert net.report.warnings[0] == (
        f"Nothing was asked to spike: ReLU became {became}. Pass swap_activations with spiking neurons to "
        "nengo_dl.Converter."
    )


def test_a_swap_that_matches_nothing_is_named():
    # Keras's relu is another function than TensorFlow's, which the layers do not have.
    swap = {_tf.nn.relu6: nengo.SpikingRectifiedLinear()}
    net = ncam.from_converter(convert_by_hand(plain(), swap_activations=swap))
    (sentence,) = net.report.warnings
    assert sentence.startswith("Nothing spikes: swap_activations puts spiking neurons in the place of relu6, which no")
    assert "ReLU became rectified-linear rate neurons. Put them in the place of nengo.RectifiedLinear()" in sentence
    remedy = {nengo.RectifiedLinear(): nengo.SpikingRectifiedLinear()}
    assert ncam.from_converter(convert_by_hand(plain(), swap_activations=remedy, scale_firing_rates=200)).spiking


@pytest.mark.filterwarnings("default:converter. .* rectifies its input")
def test_rectified_input_is_warned_of_as_convert_does():
    options = {"swap_activations": SPIKING, "scale_firing_rates": 200}
    message = r"converter: SpikingRectifiedLinear rectifies its input .* Pass synapse=0\.005 to nengo_dl\.Converter"
    with pytest.warns(RectifiedInputWarning, match=message):
        ncam.from_converter(convert_by_hand(plain(), **options))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RectifiedInputWarning)
        ncam.from_converter(convert_by_hand(plain(), synapse=0.005, **options))
