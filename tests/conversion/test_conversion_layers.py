import sys
import warnings

import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.compat import without_gpu_advice
from nengo_cam.conversion import layers as layer_converters
from nengo_cam.conversion.layers import base
from nengo_cam.exceptions import NonSpikingWarning, UnsupportedModelError
from nengo_cam.models.graph import flatten

needs_groups = pytest.mark.skipif(
    not hasattr(nengo.Convolution, "groups"), reason="Nengo 3.2 has no groups, whose place zeros in the kernel take"
)
SIMULATORS = [ncam.Simulator, nengo_dl.Simulator, nengo.Simulator]
RELU = {"activation": "relu"}
SAME = {"activation": "relu", "padding": "same"}


def randomized(model):
    """Move biases and slopes away from zero."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([w if w.ndim > 1 else rng.uniform(0.05, 0.3, w.shape) for w in layer.get_weights()])
    return model


def chain(tf, shape, *tail):
    tf.keras.utils.set_random_seed(0)
    x = inputs = tf.keras.Input(shape)
    for layer in tail:
        x = layer(x)
    return randomized(tf.keras.Model(inputs, x, name="chain"))


def converted(model, **options):
    """Convert any model, whether it has a head or not."""
    with layer_converters.registered(), warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*TensorNode")
        return nengo_dl.Converter(model, **options)


def run(simulator, converter, data, n_steps=1):
    """Run a network; data and result of shape (N, ...) and (N, steps, size) by probe."""
    net, (node,) = converter.net, converter.inputs.values()
    flat = data.reshape(len(data), -1).astype(float)
    if simulator is nengo.Simulator:
        items = []
        for image in flat:
            node.output = image
            with nengo.Simulator(net, progress_bar=False) as sim:
                sim.run_steps(n_steps)
            items.append([sim.data[probe] for probe in net.all_probes])
        return {probe: np.stack(item) for probe, item in zip(net.all_probes, zip(*items))}
    options = {"dtype": "float64"} if simulator is ncam.Simulator else {}
    with without_gpu_advice(), simulator(net, minibatch_size=len(data), progress_bar=False, **options) as sim:
        sim.run_steps(n_steps, data={node: np.repeat(flat[:, None], n_steps, axis=1)})
        return {probe: sim.data[probe] for probe in net.all_probes}


def layers_2d(tf):
    layers = tf.keras.layers
    conv = layers.Conv2D(5, 3, **RELU)
    return {
        "depthwise": [layers.DepthwiseConv2D(3, **SAME)],
        "depthwise, two filters per channel": [layers.DepthwiseConv2D((2, 3), depth_multiplier=2, strides=2, **RELU)],
        "depthwise, linear": [layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False), layers.ReLU()],
        "grouped": [layers.Conv2D(6, 3, groups=2, strides=(1, 2), **SAME)],
        "transposed": [layers.Conv2DTranspose(5, 3, strides=2, **SAME)],
        "transposed, valid": [layers.Conv2DTranspose(5, (1, 2), strides=(2, 3), **RELU)],
        "dense at each position": [layers.Dense(5, **RELU)],
        "pooled": [layers.AveragePooling2D(3, strides=2), layers.Conv2D(5, 1, **RELU)],
        "pooled, same": [layers.AveragePooling2D(3, strides=1, padding="same"), conv],
        "pooled, same, strides": [layers.AveragePooling2D((3, 4), strides=(2, 3), padding="same")],
        "pooled, same, nothing padded": [layers.AveragePooling2D(2, padding="same"), layers.Conv2D(5, 1, **RELU)],
        "permuted": [layers.Permute((2, 3, 1)), conv],
        "cropped": [layers.Cropping2D(((1, 2), (0, 1))), conv],
        "padded": [layers.ZeroPadding2D(((0, 1), (2, 0))), conv],
        "repeated": [layers.UpSampling2D((2, 3)), conv],
        "interpolated": [layers.UpSampling2D((2, 3), interpolation="bilinear"), conv],
        "rescaled": [layers.Rescaling([1.0, 2.0, 3.0, 4.0], offset=-0.1), conv],
    }


KINDS_2D = (
    "depthwise", "depthwise, two filters per channel", "depthwise, linear", "grouped", "transposed",
    "transposed, valid", "dense at each position", "pooled", "pooled, same", "pooled, same, strides",
    "pooled, same, nothing padded", "permuted", "cropped", "padded", "repeated", "interpolated", "rescaled",
)  # fmt: skip


def model_2d(tf, kind):
    layers = tf.keras.layers
    return chain(
        tf, (8, 6, 2), layers.Conv2D(4, 3, name="first", **SAME), *layers_2d(tf)[kind],
        layers.GlobalAveragePooling2D(), layers.Dense(3),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS_2D)
def test_maps_and_logits_equal_kerass_on_every_simulator(kind, tf, images):
    model = model_2d(tf, kind)
    net = ncam.convert(model, neurons=None)
    assert net.tensor_nodes == ()
    rate = ncam.rate_cam(model, images)
    for simulator in SIMULATORS:
        result = ncam.spiking_cam(net, images, n_steps=1, simulator=simulator, progress_bar=False).isel(time=0)
        for name in ("cam", "logits"):
            largest = float(abs(rate[name]).max())
            np.testing.assert_allclose(result[name], rate[name], rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize(
    "kind", ["depthwise, two filters per channel", "grouped", "transposed", "dense at each position", "pooled, same"]
)
def test_networks_hold_what_they_promise_in_spikes(kind, tf, images):
    """The layers spike, balanced and calibrated, and the map is complete."""
    net = ncam.convert(model_2d(tf, kind), calibrate_on=images, synapse=0.005)
    rectified = [layer.name for layer in ncam.models.simplify.rectified_layers(net.converter.model)]
    assert sorted(net.spiking_layers) == sorted(rectified)
    result = net.verify(images)
    assert max(result.cam_difference, result.logit_difference, result.completeness_error) < 1e-5


@pytest.mark.parametrize("kind", ["depthwise", "depthwise, two filters per channel", "grouped", "pooled, same"])
def test_spikes_are_the_same_on_every_simulator(kind, tf, images):
    swap = {nengo.RectifiedLinear(): ncam.IntegrateAndFire()}
    converter = converted(model_2d(tf, kind), swap_activations=swap, scale_firing_rates=300)
    with converter.net:
        nengo_dl.configure_settings(dtype="float64")
        spikes = [nengo.Probe(ensemble.neurons) for ensemble in converter.net.all_ensembles]
    ours, *theirs = (run(simulator, converter, images[:2], n_steps=20) for simulator in SIMULATORS)
    assert len(spikes) == 2
    for probe, values in ours.items():
        for other in theirs:
            np.testing.assert_allclose(values, other[probe], rtol=1e-9, atol=1e-9 * np.abs(values).max())
    for probe in spikes:
        counts = ours[probe] * 0.001 * 300
        np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
        assert counts.any()


def test_counts_follow_the_activity_of_the_cnn(tf, images):
    """Firing rates are scaled, and the activity keeps its units."""
    model = model_2d(tf, "depthwise")
    net = ncam.convert(model, scale_firing_rates={"first": 20000, model.layers[2].name: 500})
    spiking = ncam.spiking_cam(net, images, n_steps=100, keep_features=True, progress_bar=False)
    ensemble = net.spiking_layers[model.layers[2].name]
    assert ensemble.neuron_type.amplitude == 1 / 500
    expected = tf.keras.Model(model.input, model.layers[2].output).predict(images, verbose=0)
    mean = np.moveaxis(spiking.features.mean("time").values, 1, -1)
    # Half a spike of rounding in 100 ms is 5 Hz, and the layer in front rounds too.
    np.testing.assert_allclose(mean, expected, atol=6 / 500)


def models_of_other_dimensions(tf):
    layers = tf.keras.layers
    one, three = (8, 3), (4, 5, 4, 2)
    return {
        "depthwise 1-D": lambda: chain(tf, one, layers.DepthwiseConv1D(3, strides=2, depth_multiplier=2, **SAME)),
        "grouped 1-D": lambda: chain(tf, one, layers.Conv1D(4, 3, **SAME), layers.Conv1D(6, 3, groups=2, **RELU)),
        "grouped 3-D": lambda: chain(tf, three, layers.Conv3D(4, 2, groups=2, **SAME)),
        "transposed 1-D": lambda: chain(tf, one, layers.Conv1DTranspose(4, 3, strides=2, **SAME)),
        "pooled 1-D": lambda: chain(tf, one, layers.AveragePooling1D(2)),
        "pooled 1-D, same": lambda: chain(tf, one, layers.AveragePooling1D(3, strides=2, padding="same")),
        "pooled 3-D": lambda: chain(tf, three, layers.AveragePooling3D(2)),
        "pooled 3-D, same": lambda: chain(tf, three, layers.AveragePooling3D((2, 3, 2), padding="same")),
        "global 1-D": lambda: chain(tf, one, layers.GlobalAveragePooling1D()),
        "global 1-D, kept": lambda: chain(tf, one, layers.GlobalAveragePooling1D(keepdims=True)),
        "global 2-D, kept": lambda: chain(tf, (5, 4, 3), layers.GlobalAveragePooling2D(keepdims=True)),
        "global 3-D": lambda: chain(tf, three, layers.GlobalAveragePooling3D()),
        "global 3-D, kept": lambda: chain(tf, three, layers.GlobalAveragePooling3D(keepdims=True), layers.Dense(3)),
        "one channel": lambda: chain(tf, (5, 4, 1), layers.AveragePooling2D(2, padding="same")),
        "cropped 1-D": lambda: chain(tf, one, layers.Cropping1D((1, 2))),
        "cropped 3-D": lambda: chain(tf, three, layers.Cropping3D(((1, 0), (0, 2), (1, 1)))),
        "permuted 1-D": lambda: chain(tf, one, layers.Permute((2, 1))),
        "permuted 3-D": lambda: chain(tf, three, layers.Permute((3, 1, 4, 2))),
        "repeated 1-D": lambda: chain(tf, one, layers.UpSampling1D(3)),
        "repeated 3-D": lambda: chain(tf, three, layers.UpSampling3D((2, 1, 3))),
        "interpolated from one row": lambda: chain(tf, (1, 4, 2), layers.UpSampling2D(2, interpolation="bilinear")),
        "dense 1-D": lambda: chain(tf, one, layers.Dense(4, **RELU)),
        "dense 3-D": lambda: chain(tf, three, layers.Dense(4, use_bias=False)),
        "rescaled": lambda: chain(tf, one, layers.Rescaling(1 / 255)),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "depthwise 1-D", "grouped 1-D", "grouped 3-D", "transposed 1-D", "pooled 1-D", "pooled 1-D, same", "pooled 3-D",
        "pooled 3-D, same", "global 1-D", "global 1-D, kept", "global 2-D, kept", "global 3-D", "global 3-D, kept",
        "one channel", "cropped 1-D", "cropped 3-D", "permuted 1-D", "permuted 3-D", "repeated 1-D", "repeated 3-D",
        "interpolated from one row", "dense 1-D", "dense 3-D", "rescaled",
    ],
)  # fmt: skip
def test_layers_in_other_dimensions_equal_kerass(kind, tf):
    model = models_of_other_dimensions(tf)[kind]()
    data = np.random.default_rng(0).standard_normal((3, *model.input_shape[1:])).astype(np.float32)
    expected = model.predict(data, verbose=0).reshape(3, -1)
    converter = converted(model)
    convolutions = [c.transform for c in converter.net.all_connections if isinstance(c.transform, nengo.Convolution)]
    # Nengo has no convolutions in three dimensions.
    n_simulators = 2 if any(c.dimensions == 3 for c in convolutions) else 3
    for simulator in SIMULATORS[:n_simulators]:
        (output,) = run(simulator, converter, data).values()
        np.testing.assert_allclose(output[:, 0], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["depthwise, two filters per channel", "grouped", "pooled, same"])
def test_a_nengo_without_groups_gets_the_same_by_zeros(kind, tf, images, monkeypatch):
    monkeypatch.setattr(base, "HAS_GROUPS", False)
    converter = converted(model_2d(tf, kind))
    kernels = [c.transform for c in converter.net.all_connections if isinstance(c.transform, nengo.Convolution)]
    assert all(getattr(transform, "groups", 1) == 1 for transform in kernels)
    # The identities of pooling take no room.
    pooling = [c.init for c in kernels if c.init.shape[-1] == c.init.shape[-2] and not any(c.init.strides[:-2])]
    assert pooling and not any(kernel.flags.writeable for kernel in pooling)
    expected = model_2d(tf, kind).predict(images, verbose=0)
    for simulator in SIMULATORS:
        (output,) = run(simulator, converter, images).values()
        np.testing.assert_allclose(output[:, 0], expected, atol=1e-5)


def test_two_grouped_layers_may_read_one_input(tf, images):
    """NengoDL would join them to one convolution, and fail."""
    layers = tf.keras.layers
    x = inputs = tf.keras.Input((8, 6, 2))
    x = layers.Conv2D(4, 3, **SAME)(x)
    branches = [layers.DepthwiseConv2D(3, **SAME)(x), layers.DepthwiseConv2D(3, **SAME)(x)]
    branches.append(layers.AveragePooling2D(3, strides=1, padding="same")(x))
    branches.append(layers.Subtract()([branches[0], x]))
    x = layers.GlobalAveragePooling2D()(layers.Concatenate()(branches))
    model = randomized(tf.keras.Model(inputs, layers.Dense(3)(x)))
    expected = model.predict(images, verbose=0)
    converter = converted(model)
    for simulator in SIMULATORS:
        (output,) = run(simulator, converter, images).values()
        np.testing.assert_allclose(output[:, 0], expected, atol=1e-5)
    assert ncam.convert(model, calibrate_on=images, synapse=0.01).verify(images).completeness_error < 1e-5


@needs_groups
@pytest.mark.filterwarnings("ignore:No GPU support detected:UserWarning")
def test_nengo_dl_trains_depthwise_kernels_as_keras_does(tf, images):
    assert converted(model_2d(tf, "depthwise")).verify(training=True, inputs=[images], atol=1e-5, rtol=1e-3)


def pooling_of(net, size):
    (connection,) = [
        c for c in net.all_connections if isinstance(c.transform, nengo.Convolution) and c.size_out == size
    ]
    return connection.transform


def test_pooling_equals_nengo_dls_own(small_model, images):
    reduced = ncam.inference_model(small_model)
    own, ours = nengo_dl.Converter(reduced), converted(reduced)
    (expected,), (output,) = (run(nengo_dl.Simulator, converter, images).values() for converter in (own, ours))
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)


@needs_groups
def test_pooling_takes_one_number_per_position_and_channel(tf, small_model):
    layers = tf.keras.layers
    assert pooling_of(ncam.convert(small_model).net, 5).init.shape == (8, 6, 1, 5)
    wide = converted(chain(tf, (4, 4, 1000), layers.AveragePooling2D(2), layers.AveragePooling2D(2, padding="same")))
    assert [c.transform.init.size for c in wide.net.all_connections] == [4000, 4000]


@pytest.mark.parametrize("max_to_avg_pool", [False, True])
def test_max_pooling_of_same_padding(max_to_avg_pool, tf, images):
    layers = tf.keras.layers
    pools = [kind(3, strides=2, padding="same", name="pool") for kind in (layers.MaxPooling2D, layers.AveragePooling2D)]
    model, averaged = (
        chain(tf, (8, 6, 2), layers.Conv2D(4, 3, **SAME), pool, layers.GlobalAveragePooling2D(), layers.Dense(3))
        for pool in pools
    )
    if max_to_avg_pool:
        result = ncam.convert(model, neurons=None, max_to_avg_pool=True)
        np.testing.assert_allclose(
            ncam.spiking_cam(result, images, n_steps=1, progress_bar=False).logits[:, 0],
            averaged.predict(images, verbose=0),
            atol=1e-5,
        )
        return
    with pytest.warns(UserWarning, match="Falling back to TensorNode"):
        assert ncam.convert(model, neurons=None).tensor_nodes == ("pool",)


def test_tensor_nodes_see_what_the_synapse_lets_through(tf, images):
    """The maximum is taken of filtered activity, as a slow loop takes it."""
    layers = tf.keras.layers
    model = chain(
        tf, (8, 6, 2), layers.Conv2D(4, 3, name="first", **SAME), layers.MaxPooling2D(2, name="pool"),
        layers.GlobalAveragePooling2D(), layers.Dense(3),
    )  # fmt: skip
    with pytest.warns(NonSpikingWarning, match=r"\['pool'\]") as caught:
        net = ncam.convert(model, calibrate_on=images, synapse=0.005)
    assert not any("single spikes" in str(warning.message) for warning in caught)
    with net.net:
        probe = nengo.Probe(net.spiking_layers["first"].neurons, synapse=net.synapse)
    n_steps = 30
    with ncam.Simulator(net.net, minibatch_size=5, progress_bar=False) as sim:
        sim.run_steps(n_steps, data={net.input: images.reshape(5, 1, -1)})
        filtered, features = sim.data[probe], sim.data[net.features]
    windows = filtered.reshape(5, n_steps, 4, 2, 3, 2, 4)
    np.testing.assert_allclose(features.reshape(5, n_steps, 4, 3, 4), windows.max(axis=(3, 5)), atol=1e-5)
    assert features.any()
    with pytest.warns(UserWarning, match="Falling back to TensorNode"):
        assert net.verify(images).completeness_error < 1e-5


def test_tensor_nodes_that_see_single_spikes_are_warned_of(tf):
    layers = tf.keras.layers
    model = chain(
        tf, (8, 6, 2), layers.Conv2D(4, 3, **SAME), layers.MaxPooling2D(2, name="pool"),
        layers.GlobalAveragePooling2D(), layers.Dense(3),
    )  # fmt: skip
    with pytest.warns(NonSpikingWarning, match=r"\['pool'\] see single spikes.*synapse=0.005.*max_to_avg_pool=True"):
        net = ncam.convert(model, neurons=ncam.SignedIntegrateAndFire())
    assert any("'pool'. They see single spikes: pass synapse=0.005." in line for line in net.report.warnings)
    # Of levels that are held they see activity; a synapse would only delay it.
    with pytest.warns(NonSpikingWarning, match=r"\['pool'\]") as caught:
        held = ncam.convert(model)
    assert type(held.neurons) is ncam.SigmaDelta
    said = [*(str(warning.message) for warning in caught), *held.report.warnings]
    assert not any("single spikes" in sentence for sentence in said)


@pytest.mark.parametrize(
    "make",
    [
        lambda layers: layers.ELU(name="curved"),
        lambda layers: layers.PReLU(name="curved"),
        lambda layers: layers.Softmax(name="curved"),
        lambda layers: layers.Activation("swish", name="curved"),
        lambda layers: layers.Activation("softmax", name="curved"),
        lambda layers: layers.ThresholdedReLU(0.1, name="curved"),
        lambda layers: layers.MaxPooling2D(2, name="curved"),
        lambda layers: layers.Conv2D(4, 1, activation="elu", name="curved"),
        lambda layers: layers.DepthwiseConv2D(3, activation="swish", name="curved"),
    ],
)
def test_other_nonlinear_layers_stay_in_tensorflow_and_are_named(make, tf, images):
    layers = tf.keras.layers
    model = chain(
        tf, (8, 6, 2), layers.Conv2D(4, 3, **SAME), make(layers), layers.GlobalAveragePooling2D(), layers.Dense(3)
    )
    with pytest.warns(NonSpikingWarning, match=r"do not spike: \['curved'\]"):
        net = ncam.convert(model, synapse=0.005)
    assert net.tensor_nodes == ("curved",)
    with pytest.warns(UserWarning, match=r"[Ff]alling back to (a )?TensorNode"):
        assert net.verify(images).cam_difference < 1e-5


def gate(layers, x):
    return layers.Multiply(name="culprit")([x, layers.Dense(4, activation="sigmoid")(x)])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (gate, "Multiply 'culprit' .*multiplies activities.*without squeeze-and-excitation"),
        (lambda layers, x: layers.Maximum(name="culprit")([x, x]), "Maximum 'culprit' .*Use Add or Average"),
        (lambda layers, x: layers.Minimum(name="culprit")([x, x]), "Minimum 'culprit' .*Use Add or Average"),
        (lambda layers, x: layers.Dot(3, name="culprit")([x, x]), "Dot 'culprit' .*multiplies activities"),
        (lambda layers, x: layers.LayerNormalization(name="culprit")(x), "LayerNormalization 'culprit' .*BatchNorm"),
        (lambda layers, x: layers.UnitNormalization(name="culprit")(x), "UnitNormalization 'culprit' .*BatchNorm"),
        (
            lambda layers, x: layers.MultiHeadAttention(1, 2, name="culprit")(x, x),
            "MultiHeadAttention 'culprit' .*without attention",
        ),
        (lambda layers, x: layers.Attention(name="culprit")([x, x]), "Attention 'culprit' .*without attention"),
        (
            lambda layers, x: layers.LSTM(2, name="culprit")(layers.Reshape((8, 24))(x)),
            "LSTM 'culprit' .*moving images",
        ),
        (lambda layers, x: layers.Embedding(3, 1, name="culprit")(x), "Embedding 'culprit' .*Begin the model behind"),
        (
            lambda layers, x: layers.TimeDistributed(layers.Conv1D(4, 1), name="culprit")(x),
            "TimeDistributed 'culprit' .*moving images",
        ),
        (
            lambda layers, x: type("Blend", (layers.Layer,), {"call": lambda self, both: both[0]})(name="culprit")(
                [x, x]
            ),
            r"Blend 'culprit' .*it has 2 inputs; .*Use one of \['Add', 'Average', 'Concatenate', 'Subtract'\]",
        ),
    ],
)
def test_layers_without_a_spiking_form_are_refused_by_name(call, message, tf):
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 6, 2))
    x = call(layers, layers.Conv2D(4, 3, **SAME)(inputs))
    with pytest.raises(UnsupportedModelError, match=message):
        layer_converters.check_layers(flatten(tf.keras.Model(inputs, x)))


def test_they_are_refused_before_the_model_runs(tf, images, monkeypatch):
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 6, 2))
    x = layers.GlobalAveragePooling2D()(gate(layers, layers.Conv2D(4, 3, **SAME)(inputs)))
    model = tf.keras.Model(inputs, layers.Dense(3)(x))
    module = sys.modules[ncam.convert.__module__]
    monkeypatch.setattr(module, "scale_rates", lambda *args, **kwargs: pytest.fail("calibrated"))
    with pytest.raises(UnsupportedModelError, match="Multiply 'culprit'"):
        ncam.convert(model, calibrate_on=images)


def test_group_normalization_is_refused_where_keras_has_it(tf):
    layers = tf.keras.layers
    if not hasattr(layers, "GroupNormalization"):
        pytest.skip("Keras has it from 2.11 on")
    model = chain(
        tf, (8, 6, 2), layers.Conv2D(4, 3, **SAME), layers.GroupNormalization(2, name="culprit"),
        layers.GlobalAveragePooling2D(), layers.Dense(3),
    )  # fmt: skip
    with pytest.raises(UnsupportedModelError, match="GroupNormalization 'culprit' .*BatchNormalization"):
        ncam.convert(model)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda layers: layers.Conv2D(4, 3, dilation_rate=2), "dilation_rate has value"),
        (lambda layers: layers.DepthwiseConv2D(3, dilation_rate=2), "dilation_rate has value"),
        (lambda layers: layers.Conv2DTranspose(4, 3, strides=2, output_padding=1), "output_padding has value"),
        (lambda layers: layers.UpSampling2D(2, interpolation="bicubic"), "interpolation has value 'bicubic'"),
    ],
)
def test_what_a_converter_lacks_falls_back(make, message, tf):
    model = chain(tf, (8, 6, 2), make(tf.keras.layers))
    with layer_converters.registered(), pytest.warns(UserWarning, match=f"{message}.*Falling back to TensorNode"):
        nengo_dl.Converter(model)


def test_nengo_dls_registry_is_put_back(tf):
    layer = tf.keras.layers.GlobalAveragePooling2D
    before = nengo_dl.Converter.converters[layer]
    with layer_converters.registered():
        assert nengo_dl.Converter.converters[layer] is not before
    assert nengo_dl.Converter.converters[layer] is before
    assert tf.keras.layers.DepthwiseConv2D not in nengo_dl.Converter.converters
