import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.exceptions import (
    HeadError,
    ImageError,
    InputRangeWarning,
    ModelTypeError,
    NonSpikingWarning,
    ParameterError,
    RectifiedInputWarning,
    UnsupportedModelError,
    VerificationError,
)


def test_parts(small_model, images):
    net = ncam.convert(small_model, scale_firing_rates=100, synapse=0.01)
    assert isinstance(net.net, nengo.Network)
    assert isinstance(net.converter, nengo_dl.Converter)
    assert net.model is small_model
    assert net.head.activation == "softmax"
    assert net.features.size_in == 8 * 6 * 5
    assert net.logits.size_in == 3
    assert net.readout.transform.init.shape == (3, 5)
    assert net.features.synapse == nengo.Lowpass(0.01)
    assert net.n_neurons == 8 * 6 * (4 + 5)
    assert net.spiking
    assert net.tensor_nodes == ()
    (into_pooling,) = [c for c in net.net.all_connections if c.post_obj is net.readout.pre_obj]
    assert into_pooling.synapse == net.features.synapse
    assert into_pooling.pre == net.features.target


def test_repr_is_readable(small_model):
    text = repr(ncam.convert(small_model, scale_firing_rates=100))
    for part in (
        "'small'",
        "8x6x2",
        "conv1 (8x6x5) -> gap -> readout (3 labels, softmax)",
        "IntegrateAndFire",
        "conv0 100",
    ):
        assert part in text


@pytest.mark.parametrize(
    "neurons", [ncam.IntegrateAndFire(), nengo.LIF(), nengo.LIFRate(), nengo.PoissonSpiking(nengo.LIFRate())], ids=str
)
def test_neurons_replace_relu(small_model, neurons):
    net = ncam.convert(small_model, neurons=neurons)
    assert {type(e.neuron_type) for e in net.net.all_ensembles} == {type(neurons)}


def test_no_neurons_keep_the_rate_network(small_model):
    net = ncam.convert(small_model, neurons=None)
    assert {type(e.neuron_type) for e in net.net.all_ensembles} == {nengo.RectifiedLinear}
    assert not net.spiking


def gains(net):
    return {e.label.split(".")[0]: (e.gain.options[0], e.neuron_type.amplitude) for e in net.net.all_ensembles}


def test_scales_by_number_name_layer_and_calibration(small_model, images):
    assert gains(ncam.convert(small_model, scale_firing_rates=50)) == {"conv0": (50, 1 / 50), "conv1": (50, 1 / 50)}
    assert gains(ncam.convert(small_model, scale_firing_rates={"conv1": 20})) == {
        "conv0": (1, 1),
        "conv1": (20, 1 / 20),
    }
    by_layer = ncam.convert(small_model, scale_firing_rates={small_model.get_layer("conv0"): 8})
    assert by_layer.firing_rate_scales == {"conv0": 8}
    calibrated = ncam.convert(
        small_model, calibrate_on=images, target_rate=300, scale_firing_rates={"conv1": 20}, balance=False
    )
    expected = ncam.calibrate.calibrate_layers(ncam.inference_model(small_model), images, target_rate=300)
    assert calibrated.firing_rate_scales == {"conv0": expected["conv0"], "conv1": 20}
    assert calibrated.channel_factors == {}


def test_calibration_gives_every_channel_the_target_rate(tf, small_model, images):
    net = ncam.convert(small_model, calibrate_on=images, target_rate=300, percentile=90)
    for name, scale in net.firing_rate_scales.items():
        activity = tf.keras.Model(small_model.input, small_model.get_layer(name).output).predict(images, verbose=0)
        rates = activity * scale * net.channel_factors[name]
        channels = np.percentile(rates.reshape(-1, rates.shape[-1]), 90, axis=0)
        # All channels have one range, and that of the layer is the target.
        np.testing.assert_allclose(channels, channels[0], rtol=1e-5)
        assert np.percentile(rates, 90) == pytest.approx(300, rel=1e-5)
    assert net.verify(images).cam_difference < 1e-5


def test_balancing_leaves_maps_and_features_in_their_units(tf, small_model, images):
    net = ncam.convert(small_model, neurons=None, calibrate_on=images)
    assert np.ptp(net.feature_factors) > 0.1
    spiking = ncam.spiking_cam(net, images, n_steps=1, keep_features=True, progress_bar=False).isel(time=0)
    rate = ncam.rate_cam(small_model, images)
    np.testing.assert_allclose(spiking.cam, rate.cam, atol=1e-5)
    np.testing.assert_allclose(ncam.rate_cam(net, images).cam, rate.cam, atol=1e-5)
    features = tf.keras.Model(small_model.input, small_model.get_layer("conv1").output).predict(images, verbose=0)
    np.testing.assert_allclose(spiking.features, np.moveaxis(features, -1, 1), atol=1e-5)
    assert spiking.attrs["channels"] == "balanced"


def test_scales_by_channel(tf, small_model, images):
    scales = np.array([50.0, 100.0, 200.0, 400.0])
    net = ncam.convert(small_model, scale_firing_rates={"conv0": scales})
    with net.net:
        probe = nengo.Probe(net.net.all_ensembles[0].neurons)
    with ncam.Simulator(net.net, minibatch_size=5, progress_bar=False) as sim:
        sim.run_steps(100, data={net.input: images.reshape(5, 1, -1)})
    # The image stands still, so the number of spikes is the rate to half a spike.
    counts = sim.data[probe].sum(axis=1) * sim.dt / net.net.all_ensembles[0].neuron_type.amplitude
    activity = tf.keras.Model(small_model.input, small_model.get_layer("conv0").output).predict(images, verbose=0)
    np.testing.assert_allclose(counts.reshape(activity.shape), activity * scales * 0.1, atol=0.501)
    assert net.verify(images).cam_difference < 1e-5


def test_scales_by_channel_stay_when_the_rest_is_calibrated(small_model, images):
    scales = [50.0, 100.0, 200.0, 400.0]
    net = ncam.convert(small_model, scale_firing_rates={"conv0": scales}, calibrate_on=images)
    np.testing.assert_allclose(net.firing_rate_scales["conv0"] * net.channel_factors["conv0"], scales)
    assert np.ptp(net.channel_factors["conv1"]) > 0.1
    assert net.verify(images).cam_difference < 1e-5


@pytest.mark.parametrize(
    "scales, message",
    [
        ({"conv0": [1, 2]}, "'conv0' has 4 channels; expected one number or one for each, got shape"),
        ({"conv0": [1, 2, 3, 0]}, "scale_firing_rates: expected a positive number"),
        ({"conv0": [1, 2, 3, 4], "conv1": [1, 1, 1, 1, 1]}, None),
    ],
)
def test_wrong_scales_by_channel(small_model, scales, message):
    if message is None:
        assert ncam.convert(small_model, scale_firing_rates=scales).firing_rate_scales == {"conv0": 4, "conv1": 1}
        return
    with pytest.raises(ParameterError, match=message):
        ncam.convert(small_model, scale_firing_rates=scales)


def test_channels_that_meet_need_the_same_scales(tf):
    inputs = tf.keras.Input((8, 6, 2))
    branches = [tf.keras.layers.Conv2D(2, 3, padding="same", activation="relu", name=name)(inputs) for name in "ab"]
    x = tf.keras.layers.GlobalAveragePooling2D()(tf.keras.layers.Add()(branches))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2)(x))
    ncam.convert(model, scale_firing_rates={"a": [10, 20], "b": [10, 20]})
    with pytest.raises(ParameterError, match="'b' cannot be scaled one by one because of 'a'; expected 0.5 times"):
        ncam.convert(model, scale_firing_rates={"a": [10, 20], "b": [20, 10]})


def test_only_rectified_neurons_are_scaled(tf, make_model, images):
    """Sigmoid neurons have no amplitude to scale back: scaling them would change the output."""
    layers = tf.keras.layers
    model = make_model(
        layers.Conv2D(3, 1, activation="sigmoid", name="curved"), layers.GlobalAveragePooling2D(), layers.Dense(2)
    )
    net = ncam.convert(model, neurons=None, scale_firing_rates=100)
    assert net.firing_rate_scales == {"conv0": 100, "conv1": 100}
    assert net.verify(images).logit_difference < 1e-5


def test_verify_states_small_differences(small_model, images):
    result = ncam.convert(small_model, calibrate_on=images, synapse=0.005).verify(images)
    for value in (result.output_difference, result.logit_difference, result.cam_difference, result.completeness_error):
        assert 0 <= value < 1e-5
    assert (result.n_images, result.n_steps) == (5, 10)
    assert f"{result.cam_difference:.1e}" in str(result)


def test_verify_finds_wrong_weights(small_model, images):
    net = ncam.convert(small_model, neurons=None)
    weights = small_model.get_layer("conv1").get_weights()
    try:
        # The reduced model has its own copy, so now the source model computes something else.
        small_model.get_layer("conv1").set_weights([w * 1.01 for w in weights])
        kernel = net.converter.model.get_layer("conv0")
        kernel.set_weights([w * 1.01 for w in kernel.get_weights()])
        with pytest.raises(VerificationError, match="differ from Keras's; expected at most 1.0e-04") as caught:
            net.verify(images)
    finally:
        small_model.get_layer("conv1").set_weights(weights)
    assert caught.value.verification.logit_difference > 1e-4


def test_verify_finds_a_probe_without_the_synapse(small_model, images):
    net = ncam.convert(small_model, calibrate_on=images, synapse=0.005)
    net.features.synapse = None
    with pytest.raises(VerificationError, match="mean of the map \\+ bias differs from the logits"):
        net.verify(images)


def test_batch_normalization_and_residuals(tf, make_model, images):
    base = make_model(tf.keras.layers.BatchNormalization(name="norm"))
    short = tf.keras.layers.Conv2D(5, 1, name="short")(base.get_layer("conv0").output)
    x = tf.keras.layers.Add(name="sum")([base.output, short])
    x = tf.keras.layers.AveragePooling2D(2)(tf.keras.layers.ReLU(name="relu")(x))
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    model = tf.keras.Model(base.input, tf.keras.layers.Dense(2, activation="sigmoid")(x))
    net = ncam.convert(model, calibrate_on=images, synapse=0.005)
    assert net.tensor_nodes == ()
    result = net.verify(images)
    assert max(result.output_difference, result.cam_difference, result.completeness_error) < 1e-5


def test_features_that_are_no_neurons(tf, make_model, images):
    """A window becomes a node; its connection into the pooling has no synapse, and neither has the probe."""
    layers = tf.keras.layers
    model = make_model(layers.AveragePooling2D(2), layers.GlobalAveragePooling2D(), layers.Dense(2))
    net = ncam.convert(model, calibrate_on=images, synapse=0.005)
    assert net.features.synapse is None
    assert net.verify(images).completeness_error < 1e-5


def test_layers_that_do_not_spike_are_named(tf, make_model):
    layers = tf.keras.layers
    model = make_model(
        layers.Conv2D(3, 1, activation="tanh", name="curved"), layers.GlobalAveragePooling2D(), layers.Dense(2)
    )
    with pytest.warns(NonSpikingWarning, match=r"\['curved'\]"):
        ncam.convert(model)


def test_one_of_several_outputs(tf, small_model, images):
    other = tf.keras.layers.Dense(4, activation="sigmoid", name="other")(small_model.get_layer("gap").output)
    model = tf.keras.Model(small_model.input, [small_model.output, other], name="two")
    net = ncam.convert(model, neurons=None, output="other")
    assert (net.head.readout, net.head.n_labels) == ("other", 4)
    assert net.verify(images).output_difference < 1e-5
    spiking = ncam.spiking_cam(net, images, n_steps=2, progress_bar=False)
    rate = ncam.rate_cam(model, images, output=1)
    np.testing.assert_allclose(spiking.cam.isel(time=-1), rate.cam, rtol=1e-4, atol=1e-6)
    with pytest.raises(HeadError, match="expected output="):
        ncam.rate_cam(model, images)


@pytest.mark.parametrize("n_axes", [1, 3])
def test_maps_with_one_or_three_axes(tf, images, n_axes):
    layers = tf.keras.layers
    shape = (9, 8, 7)[:n_axes]
    inputs = tf.keras.Input((*shape, 2))
    convolution = getattr(layers, f"Conv{n_axes}D")
    x = convolution(4, 3, padding="same", activation="relu", name="conv0")(inputs)
    x = getattr(layers, f"AveragePooling{n_axes}D")(2)(convolution(5, 3, activation="relu", name="conv1")(x))
    x = getattr(layers, f"GlobalAveragePooling{n_axes}D")()(x)
    model = tf.keras.Model(inputs, layers.Dense(3, activation="softmax", name="readout")(x))
    signals = np.random.default_rng(0).random((2, *shape, 2))
    dims = ("z", "y", "x")[-n_axes:]
    net = ncam.convert(model, calibrate_on=signals)
    assert net.verify(signals).cam_difference < 1e-5
    result = ncam.spiking_cam(net, signals, n_steps=400, keep_features=True, progress_bar=False)
    assert result.cam.dims == ("image", "time", "label", *dims)
    assert ncam.completeness_error(result) < 1e-5
    rate = ncam.rate_cam(net, signals)
    # The network that is converted to rates gives the CNN's maps; spikes tend to them.
    assert float(ncam.correlation(result.mean("time").cam, rate.cam).min()) > 0.9
    moving = np.repeat(signals[:, None], 3, axis=1)
    assert ncam.spiking_cam(net, moving, n_steps=3, progress_bar=False).sizes["time"] == 3


def test_channels_first(tf):
    """The same network as with channels last, which Keras runs too; images as the model takes them.

    Without pooling windows: TensorFlow 2.15 on a CPU mixes up their layouts once it has run both.
    """
    layers = tf.keras.layers

    def build(data_format, shape):
        axis = 1 if data_format == "channels_first" else -1
        options = {"data_format": data_format}
        inputs = tf.keras.Input(shape)
        x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv0", **options)(inputs)
        y = layers.DepthwiseConv2D(3, strides=2, name="conv1", **options)(layers.ZeroPadding2D(1, **options)(x))
        y = layers.ReLU()(layers.BatchNormalization(axis=axis, name="norm")(y))
        y = layers.Concatenate(axis=axis)([y, layers.Conv2D(3, 1, strides=2, activation="relu", **options)(x)])
        return tf.keras.Model(inputs, layers.Dense(3, name="readout")(layers.GlobalAveragePooling2D(**options)(y)))

    first, last = build("channels_first", (2, 8, 6)), build("channels_last", (8, 6, 2))
    rng = np.random.default_rng(0)
    for model in (first, last):
        for i, layer in enumerate(model.layers):
            rng = np.random.default_rng(i)
            layer.set_weights([rng.uniform(0.2, 1, w.shape) - (w.ndim > 1) * 0.5 for w in layer.get_weights()])
    images = np.random.default_rng(1).random((3, 8, 6, 2)).astype(np.float32)
    turned = np.moveaxis(images, -1, 1)
    net = ncam.convert(first, calibrate_on=turned)
    assert net.head.input_shape == (2, 8, 6)
    assert net.tensor_nodes == ()
    assert net.verify(turned).output_difference < 1e-5
    expected = ncam.rate_cam(last, images)
    for result in (ncam.rate_cam(first, turned), ncam.rate_cam(net, turned)):
        np.testing.assert_allclose(result.cam, expected.cam, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(result.y, expected.y)
        np.testing.assert_array_equal(result.x, expected.x)
    spiking = ncam.spiking_cam(net, turned, n_steps=10, progress_bar=False)
    same = ncam.spiking_cam(ncam.convert(last, calibrate_on=images), images, n_steps=10, progress_bar=False)
    np.testing.assert_allclose(spiking.cam, same.cam, rtol=1e-3, atol=1e-4)


RECTIFYING = [
    nengo.SpikingRectifiedLinear(),
    nengo.RegularSpiking(nengo.RectifiedLinear()),
    nengo.PoissonSpiking(nengo.RectifiedLinear()),
]


@pytest.mark.parametrize("neurons", RECTIFYING, ids=str)
def test_rectified_spiking_neurons_are_warned_of(make_model, neurons, recwarn):
    with pytest.warns(
        RectifiedInputWarning, match=f"{type(neurons).__name__} rectifies .* in 10 % .*Use neurons='auto'"
    ):
        ncam.convert(make_model(), neurons=neurons)
    # Not where it does no harm: behind a synapse, in one layer, as rates.
    recwarn.clear()
    ncam.convert(make_model(), neurons=neurons, synapse=0.01)
    ncam.convert(make_model(channels=(4,)), neurons=neurons)
    ncam.convert(make_model(), neurons=nengo.RectifiedLinear())
    ncam.convert(make_model(), neurons=ncam.SignedIntegrateAndFire())
    assert not [w for w in recwarn if issubclass(w.category, RectifiedInputWarning)]


def test_tensor_nodes_are_named(tf, make_model, images):
    layers = tf.keras.layers
    model = make_model(layers.MaxPooling2D(2, name="pool"), layers.GlobalAveragePooling2D(), layers.Dense(2))
    with pytest.warns(UserWarning, match="Falling back to TensorNode"):
        net = ncam.convert(model, neurons=None)
    assert net.tensor_nodes == ("pool",)
    with pytest.warns(UserWarning, match="Falling back to TensorNode"):
        assert net.verify(images).cam_difference < 1e-5


def test_converter_options_pass_through(tf, make_model):
    layers = tf.keras.layers
    model = make_model(layers.MaxPooling2D(2), layers.GlobalAveragePooling2D(), layers.Dense(2))
    assert ncam.convert(model, max_to_avg_pool=True).tensor_nodes == ()
    with pytest.raises(UnsupportedModelError, match="NengoDL cannot convert it.*max_to_avg_pool"):
        ncam.convert(model, allow_fallback=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neurons": nengo.LIF}, "expected a Nengo neuron type, .auto. or None.*make an instance"),
        ({"neurons": "LIF"}, "expected a Nengo neuron type"),
        ({"neurons": nengo.Direct()}, "nengo.Direct has no activity"),
        ({"synapse": -0.1}, "synapse: expected a nengo synapse"),
        ({"synapse": "fast"}, "synapse: expected a nengo synapse"),
        ({"scale_firing_rates": 0}, "expected a positive number"),
        ({"scale_firing_rates": float("nan")}, "expected a positive number"),
        ({"scale_firing_rates": {"conv9": 3}}, r"'conv9' is not a rectified layer.*\['conv0', 'conv1'\]"),
        ({"temporal_model": True}, "temporal_model"),
        ({"sinapse": 0.1}, "'sinapse' is not an option"),
        ({"swap_activations": 3}, "swap_activations: expected a dict"),
    ],
)
def test_wrong_options(small_model, options, message):
    with pytest.raises(ParameterError, match=message):
        ncam.convert(small_model, **options)


def test_wrong_models_and_images(small_model):
    with pytest.raises(ModelTypeError):
        ncam.convert("model.h5")
    with pytest.raises(ImageError, match="calibrate_on"):
        ncam.convert(small_model, calibrate_on=np.zeros((2, 5, 5, 2)))


def test_no_head(tf):
    inputs = tf.keras.Input((4, 4, 1))
    x = tf.keras.layers.Dense(2)(tf.keras.layers.Flatten()(inputs))
    with pytest.raises(HeadError, match="expected a global average pooling"):
        ncam.convert(tf.keras.Model(inputs, x))


def test_images_far_out_of_the_calibrated_range(small_model, images):
    net = ncam.convert(small_model, calibrate_on=images)
    with pytest.warns(InputRangeWarning, match="but the firing rates were calibrated on images from 0"):
        net.warn_of_range(images * 255)
    net.warn_of_range(images * 1.5)


def test_refusals_of_nengo_dl_come_with_the_remedy_that_fits(tf):
    layers = tf.keras.layers

    def model_of(call):
        inputs = tf.keras.Input((8, 6, 2))
        return tf.keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(call(inputs))))

    conv = layers.Conv2D(2, 1)
    with pytest.raises(UnsupportedModelError, match=r"Pass split_shared_weights=True\."):
        ncam.convert(model_of(lambda x: conv(conv(x))))
    ncam.convert(model_of(lambda x: conv(conv(x))), split_shared_weights=True, neurons=None)
    with pytest.warns(UserWarning), pytest.raises(UnsupportedModelError, match="a Lambda layer makes one of any"):
        ncam.convert(model_of(lambda x: conv(x) + tf.reduce_max(x, -1, keepdims=True)))
    ncam.convert(model_of(lambda x: conv(x) + x), neurons=None)


def test_verification_says_what_replaces_something(tf, make_model, images):
    layers = tf.keras.layers
    model = make_model(layers.MaxPooling2D(2), layers.GlobalAveragePooling2D(), layers.Dense(2))
    with pytest.raises(VerificationError, match="Leave max_to_avg_pool out"):
        ncam.convert(model, max_to_avg_pool=True).verify(images)
