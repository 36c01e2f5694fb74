import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.compat import without_gpu_advice
from nengo_cam.models.replay import Replay

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers


def varied(x):
    """Every kind of layer that keeps its weights in a connection, and one that keeps its bias in the neurons."""
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="plain")(x)
    x = layers.Conv2D(4, 3, padding="same", groups=2, activation="relu", name="grouped")(x)
    x = layers.ReLU(6, name="clipped")(layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x))
    x = layers.Conv2DTranspose(4, 3, use_bias=False, activation="relu", name="transposed")(x)
    x = layers.Add(name="sum")([x, layers.BatchNormalization(name="norm", trainable=False)(x)])
    return layers.Dense(5, activation="relu", name="by_position")(x)


@pytest.fixture(scope="module")
def model():
    _tf.keras.utils.set_random_seed(0)
    inputs = _tf.keras.Input((6, 5, 2), name="image")
    x = layers.GlobalAveragePooling2D(name="gap")(varied(inputs))
    model = _tf.keras.Model(inputs, layers.Dense(3, name="readout")(x))
    rng = np.random.default_rng(1)
    for layer in model.layers:
        layer.set_weights([rng.uniform(0.05, 0.5, w.shape) if w.ndim == 1 else w for w in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(2).random((4, 6, 5, 2), dtype=np.float32)


def open_simulator(cls, net):
    with without_gpu_advice():
        return cls(net.net, progress_bar=False)


@pytest.mark.parametrize("cls", [ncam.Simulator, nengo.Simulator, nengo_dl.Simulator])
@pytest.mark.parametrize("scaled", [False, True])
def test_before_training_they_are_those_of_keras(model, frames, cls, scaled):
    net = ncam.convert(model, calibrate_on=frames if scaled else None)
    with open_simulator(cls, net) as sim:
        weights = net.layer_weights(sim)
    calls = dict(zip(net.reduced.flat.call_names, net.reduced.flat.calls))
    assert list(weights) == [name for name, call in calls.items() if call.layer.weights]
    assert {"plain", "grouped", "depthwise", "transposed", "by_position", "readout"} < set(weights)
    for name, arrays in weights.items():
        for got, expected in zip(arrays, calls[name].layer.get_weights()):
            np.testing.assert_array_equal(np.float32(got), expected, err_msg=name)


def test_a_hidden_dense_layer_keeps_its_bias_in_the_neurons(tf):
    """Positions of one cell, so that NengoDL's own converter makes the layer; its rates are scaled."""
    tf.keras.utils.set_random_seed(0)
    inputs = tf.keras.Input((1, 1, 3))
    hidden = layers.Dense(4, activation="relu", name="hidden", bias_initializer="random_normal")
    x = layers.GlobalAveragePooling2D()(hidden(inputs))
    model = tf.keras.Model(inputs, layers.Dense(2, name="readout")(x))
    net = ncam.convert(model, scale_firing_rates={"hidden": 200})
    with open_simulator(ncam.Simulator, net) as sim:
        kernel, bias = net.layer_weights(sim)["hidden"]
    expected = model.get_layer("hidden").get_weights()
    np.testing.assert_array_equal(kernel, expected[0])
    np.testing.assert_allclose(bias, expected[1], rtol=1e-6)
    assert np.abs(expected[1]).max() > 0


@pytest.mark.slow
def test_after_training_a_replay_with_them_is_the_trained_network(model, frames):
    """The rate network, trained by NengoDL, answers what the replayed layers answer with its weights."""
    net = ncam.convert(model, neurons=None, scale_firing_rates=50)
    targets = np.random.default_rng(3).normal(size=(4, 1, 3)).astype(np.float32)
    data = frames.reshape(4, 1, -1)
    with without_gpu_advice(), nengo_dl.Simulator(net.net, minibatch_size=4, progress_bar=False, seed=0) as sim:
        sim.compile(_tf.optimizers.legacy.Adam(0.01) if hasattr(_tf.optimizers, "legacy") else "adam", loss="mse")
        sim.fit({net.input: data}, {net.logits: targets}, epochs=3, verbose=0)
        logits = sim.predict_on_batch({net.input: data})[net.logits][:, 0]
        weights = net.layer_weights(sim)
    untrained = net.cnn_logits(frames)
    assert np.abs(logits - untrained).max() > 0.01 * np.abs(untrained).max()
    replayed = Replay(net.reduced, weights)(frames)
    np.testing.assert_allclose(replayed.logits, logits, rtol=0, atol=1e-5 * np.abs(logits).max())
