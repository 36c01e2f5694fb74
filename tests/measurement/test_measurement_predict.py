import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.exceptions import HeadError, ImageError, ModelTypeError, ParameterError, SimulatorError
from nengo_cam.measurement.predict import rate_predict, spiking_predict


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
def test_rates_are_kerass(make_model, images, activation):
    model = make_model(activation=activation)
    expected = model.predict(images, verbose=0)
    for source in (model, ncam.convert(model, calibrate_on=images)):
        np.testing.assert_allclose(rate_predict(source, minibatch_size=2)(images), expected, atol=1e-6)
        logits = rate_predict(source, probabilities=False)(images)
        np.testing.assert_allclose(logits, ncam.rate_cam(source, images).logits, atol=1e-6)


@pytest.mark.parametrize("simulator", [ncam.Simulator, nengo_dl.Simulator, nengo.Simulator])
def test_spikes_are_those_of_spiking_cam(small_model, images, simulator):
    network = ncam.convert(small_model, calibrate_on=images)
    logits = ncam.spiking_cam(network, images, n_steps=12, seed=4, simulator=simulator, progress_bar=False).logits
    options = {"n_steps": 12, "seed": 4, "simulator": simulator, "minibatch_size": 2}
    expected = logits.values.astype(float).mean(axis=1)
    np.testing.assert_allclose(
        spiking_predict(network, probabilities=False, **options)(images), expected, rtol=1e-4, atol=1e-5
    )
    powers = np.exp(expected)
    np.testing.assert_allclose(
        spiking_predict(network, **options)(images), powers / powers.sum(axis=1, keepdims=True), atol=1e-5
    )


@pytest.mark.parametrize("neurons", [ncam.SigmaDelta(1), None], ids=str)
def test_of_levels_the_last_step_decides(small_model, images, neurons):
    network = ncam.convert(small_model, neurons=neurons, calibrate_on=images)
    # It moves, so that no other step is like the last one.
    moving = images[None, [0, 1, 2, 3, 4, 0, 1]]
    logits = ncam.spiking_cam(network, moving, n_steps=7, seed=4, progress_bar=False).logits.values
    found = spiking_predict(network, n_steps=7, seed=4, probabilities=False)(moving)
    np.testing.assert_allclose(found, logits[:, -1], rtol=1e-5)
    assert abs(logits.mean(axis=1) - logits[:, -1]).max() > 1e-3
    filtered = spiking_predict(network, n_steps=7, synapse=0.01, seed=4, probabilities=False)(moving)
    np.testing.assert_allclose(filtered, nengo.Lowpass(0.01).filt(logits, dt=0.001, axis=1, y0=0)[:, -1], rtol=1e-4)


@pytest.mark.parametrize("synapse", [0.01, nengo.Lowpass(0.01)], ids=str)
def test_filtered_decisions(small_model, images, synapse):
    network = ncam.convert(small_model, calibrate_on=images)
    logits = ncam.spiking_cam(network, images, n_steps=12, seed=4, progress_bar=False).logits.values
    decay, expected = np.exp(-0.001 / 0.01), 0
    for t in range(12):
        expected = decay * expected + (1 - decay) * logits[:, t]
    predict = spiking_predict(network, n_steps=12, synapse=synapse, seed=4, probabilities=False)
    np.testing.assert_allclose(predict(images), expected, rtol=1e-4, atol=1e-6)


def test_errors(small_model, images):
    network = ncam.convert(small_model)
    with pytest.raises(ModelTypeError, match="net: expected a CAMNetwork, got (tf_)?keras"):
        spiking_predict(small_model, n_steps=10)
    with pytest.raises(ModelTypeError, match="Keras model"):
        rate_predict("model")
    for options, message in (
        ({"n_steps": 0}, "n_steps: expected a whole number"),
        ({"n_steps": 1, "dt": -1}, "dt: expected a positive number"),
        (
            {"n_steps": 1, "synapse": -1.0},
            "synapse: expected a nengo synapse, a positive time .*, got -1.0",
        ),
        ({"n_steps": 1, "synapse": "slow"}, "synapse: expected a nengo synapse"),
        ({"n_steps": 1, "minibatch_size": 0}, "minibatch_size"),
        ({"n_steps": 1, "seed": -1}, "seed: expected"),
    ):
        with pytest.raises(ParameterError, match=message):
            spiking_predict(network, **options)
    with pytest.raises(ParameterError, match="minibatch_size"):
        rate_predict(small_model, minibatch_size=0)
    with pytest.raises(ImageError, match="Add the batch axis"):
        rate_predict(small_model)(images[0])
    with pytest.raises(SimulatorError, match="expected a simulator class"):
        spiking_predict(network, n_steps=1, simulator=int)(images)


def test_models_without_a_head(tf, make_model):
    model = make_model(tf.keras.layers.Flatten(), tf.keras.layers.Dense(3))
    with pytest.raises(HeadError, match="expected"):
        rate_predict(model)
