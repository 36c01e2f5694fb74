"""Clipped ReLU, such as ReLU6, from Keras to spikes."""

import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam import ClippedIntegrateAndFire, ClippedRectifiedLinear, SignedClippedIntegrateAndFire
from nengo_cam.exceptions import NonSpikingWarning

CLIPS = {"layer": 6.0, "low": 0.4, "activation": 6.0, "inside": 6.0}


@pytest.fixture(scope="module")
def model(tf, images):
    """Clipped ReLU of all kinds and a plain one, with activity below and above each clip."""
    layers, rng = tf.keras.layers, np.random.default_rng(0)
    inputs = tf.keras.Input((8, 6, 2))
    x = layers.ReLU(6.0, name="layer")(layers.Conv2D(4, 3, padding="same")(inputs))
    x = layers.ReLU(0.4, name="low")(layers.Conv2D(4, 3, padding="same")(x))
    x = layers.Activation("relu6", name="activation")(layers.Conv2D(4, 3, padding="same")(x))
    x = layers.Conv2D(5, 3, activation=tf.nn.relu6, name="inside")(x)
    x = layers.Conv2D(5, 3, activation="relu", name="plain")(x)
    model = tf.keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    for layer, clip in zip(convolutions, (*CLIPS.values(), 1.0)):
        kernel = rng.normal(0, 1, layer.kernel.shape)
        layer.set_weights([kernel, rng.normal(0, 0.1 * clip, layer.filters)])
        drive = tf.nn.conv2d(tf.keras.Model(inputs, layer.input)(images), layer.kernel, 1, layer.padding.upper())
        layer.kernel.assign(kernel * clip / np.std(drive))
    return model


def activity(tf, model, name, images):
    return tf.keras.Model(model.input, model.get_layer(name).output)(images).numpy()


def test_the_example_clips(tf, model, images):
    for name, clip in CLIPS.items():
        values = activity(tf, model, name, images)
        assert np.isclose(values, clip).any() and ((values > 0) & (values < clip)).any()


def ensembles(net):
    return {ensemble.label.split(".")[0]: ensemble for ensemble in net.net.all_ensembles}


@pytest.mark.parametrize("options", [{}, {"scale_firing_rates": 50}, {"calibrate": True}], ids=str)
@pytest.mark.parametrize("simulator", [ncam.Simulator, nengo_dl.Simulator, nengo.Simulator], ids=lambda s: s.__module__)
def test_the_rate_form_is_the_cnn(model, images, options, simulator):
    options = {"calibrate_on": images} if "calibrate" in options else options
    net = ncam.convert(model, neurons=None, **options)
    assert net.tensor_nodes == ()
    assert net.verify(images).cam_difference < 1e-5
    got = ncam.spiking_cam(net, images, n_steps=1, simulator=simulator, progress_bar=False).isel(time=0)
    expected = ncam.rate_cam(model, images)
    for name in ("cam", "logits"):
        values = expected[name].values
        np.testing.assert_allclose(got[name].values, values, rtol=0, atol=1e-5 * np.abs(values).max())


@pytest.mark.parametrize(
    "neurons, twin",
    [
        (None, ClippedRectifiedLinear),
        (nengo.RectifiedLinear(), ClippedRectifiedLinear),
        (nengo.LIFRate(), ClippedRectifiedLinear),
        (ncam.IntegrateAndFire(), ClippedIntegrateAndFire),
        (ncam.SignedIntegrateAndFire(negative_threshold=0.25), SignedClippedIntegrateAndFire),
    ],
    ids=str,
)
def test_neurons_and_their_scales(model, neurons, twin):
    scales = {"layer": 10, "low": 20, "activation": 30, "inside": 40, "plain": 50}
    net = ncam.convert(model, neurons=neurons, scale_firing_rates=scales)
    plain = ensembles(net)
    for name, clip in CLIPS.items():
        kind = plain[name].neuron_type
        assert type(kind) is twin
        # The output keeps its unit, so the clip keeps its value.
        assert (kind.max_value, kind.amplitude) == (clip, 1 / scales[name])
        assert getattr(kind, "negative_threshold", 0.25) == 0.25
        assert plain[name].gain.options[0] == scales[name]
    assert type(plain["plain"].neuron_type) is (nengo.RectifiedLinear if neurons is None else type(neurons))


def test_amplitude_multiplies_what_was_clipped(model):
    net = ncam.convert(model, neurons=ncam.IntegrateAndFire(amplitude=2))
    kind = ensembles(net)["low"].neuron_type
    assert (kind.max_value, kind.amplitude) == (0.8, 2)


@pytest.mark.parametrize("neurons", [nengo.LIF(), nengo.SpikingRectifiedLinear()], ids=str)
def test_without_a_twin_they_do_not_spike(model, neurons):
    with pytest.warns(NonSpikingWarning, match=r"do not spike: \['layer', 'low', 'activation', 'inside'\]"):
        net = ncam.convert(model, neurons=neurons, synapse=0.01)
    assert list(net.spiking_layers) == ["plain"]


def test_what_replaces_them_can_be_chosen(tf, model):
    swap = {
        ClippedRectifiedLinear(0.4): nengo.LIF(),
        tf.nn.relu6: tf.nn.relu,
    }  # by neurons, or by TensorFlow's function
    net = ncam.convert(model, neurons=ncam.IntegrateAndFire(), swap_activations=swap)
    kinds = {name: type(e.neuron_type) for name, e in ensembles(net).items()}
    assert kinds == {
        "layer": ClippedIntegrateAndFire,
        "low": nengo.LIF,
        "activation": ncam.IntegrateAndFire,
        "inside": ncam.IntegrateAndFire,
        "plain": ncam.IntegrateAndFire,
    }


@pytest.mark.parametrize("neurons", [ncam.IntegrateAndFire(), ncam.SignedIntegrateAndFire()], ids=str)
@pytest.mark.parametrize("balance", [False, True])
def test_spikes_tend_to_the_activity_of_the_cnn(tf, model, images, neurons, balance):
    net = ncam.convert(model, neurons=neurons, calibrate_on=images, target_rate=400, balance=balance)
    n_steps, layers = 2000, ensembles(net)
    with net.probed_neurons() as probes, ncam.Simulator(net.net, minibatch_size=5, progress_bar=False) as sim:
        sim.run_steps(n_steps, data={net.input: images.reshape(5, 1, -1)})
        means = {name: sim.data[probe].mean(1) for name, probe in probes.items()}
    for name in (*CLIPS, "plain"):
        expected = activity(tf, model, name, images)
        factors = net.channel_factors.get(name, 1.0)
        got = means[name].reshape(expected.shape) / factors
        # To half a spike where the input stands still; after that, spikes of a few layers come in unevenly.
        half = 0.51 * layers[name].neuron_type.amplitude / (n_steps * 0.001) / factors
        far = np.abs(got - expected)
        if name == "layer":
            assert (far <= half).all()
        assert np.mean(far) < 0.02 * np.ptp(expected)
        if name in CLIPS:
            assert (got <= CLIPS[name] + half).all()


def test_same_spikes_in_all_simulators(model, images):
    net = ncam.convert(model, calibrate_on=images, target_rate=500)
    assert any(np.ndim(e.neuron_type.max_value) for name, e in ensembles(net).items() if name in CLIPS)
    image, n_steps = images[0].reshape(-1), 40
    net.input.output = image
    with net.net:
        nengo_dl.configure_settings(dtype="float64")
    results = []
    with net.probed_neurons() as probes:
        for simulator, options in (
            (nengo.Simulator, {}),
            (nengo_dl.Simulator, {}),
            (ncam.Simulator, {"dtype": "float64"}),
        ):
            with ncam.compat.without_gpu_advice(), simulator(net.net, progress_bar=False, **options) as sim:
                sim.run_steps(n_steps)
                results.append({name: np.reshape(sim.data[probe], (n_steps, -1)) for name, probe in probes.items()})
    for name, expected in results[0].items():
        assert expected.any()
        for other in results[1:]:
            np.testing.assert_allclose(other[name], expected, rtol=1e-9, err_msg=name)


def test_spikes_are_counted(model, images):
    net = ncam.convert(model, scale_firing_rates=100)
    result = ncam.spiking_cam(net, images, n_steps=50, count_spikes=True, progress_bar=False)
    assert list(result.layer.values) == [*CLIPS, "plain"]
    # 48 positions of 4 channels, at most .4 * 100 Hz * .05 s spikes of each.
    total = result.spike_count.sel(layer="low").sum("time")
    assert (total > 0).all() and (total <= 48 * 4 * 2).all()
    np.testing.assert_allclose(total, np.round(total))


def test_training_goes_through_the_clipped_rate_form(tf, model, images):
    net = ncam.convert(model, scale_firing_rates=100)
    with ncam.compat.without_gpu_advice(), nengo_dl.Simulator(net.net, minibatch_size=5, progress_bar=False) as sim:
        sim.compile(tf.keras.optimizers.SGD(0.0), loss={net.logits: "mse"})
        expected = ncam.rate_cam(model, images).logits.values
        history = sim.fit({net.input: images.reshape(5, 1, -1)}, {net.logits: expected[:, None]}, epochs=1, verbose=0)
    assert history.history["loss"][0] < 1e-8 * np.square(expected).max()


@pytest.mark.parametrize("options", [{"negative_slope": 0.1}, {"threshold": 0.1}])
def test_other_forms_stay_tensor_nodes(tf, make_model, images, options):
    layers = tf.keras.layers
    model = make_model(layers.ReLU(0.5, name="other", **options), layers.GlobalAveragePooling2D(), layers.Dense(2))
    with pytest.warns(UserWarning, match="which is not supported|do not spike"):
        net = ncam.convert(model)
    assert net.tensor_nodes == ("other",)
