"""The whole way in a few seconds: what CI runs on the oldest and the newest versions besides the main ones."""

import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam


@pytest.fixture(scope="module")
def net(digits_model, digits):
    (train, _), _ = digits
    return ncam.convert(digits_model, calibrate_on=train[:20])


@pytest.mark.parametrize("simulator", [ncam.Simulator, nengo_dl.Simulator])
def test_maps_on_both_simulators(net, digits, simulator):
    _, (images, _) = digits
    spiking = ncam.spiking_cam(net, images[:2], n_steps=10, simulator=simulator, progress_bar=False)
    assert spiking.cam.sizes["time"] == 10
    assert ncam.completeness_error(spiking) < 1e-5
    assert float(spiking.logits.std("time").max()) > 0


def test_maps_of_the_cnn(net, digits_model, digits):
    _, (images, classes) = digits
    rate = ncam.rate_cam(net, images[:20])
    assert ncam.completeness_error(rate) < 1e-5
    assert (rate.logits.argmax("label") == classes[:20]).mean() > 0.9
    keras = digits_model.predict(images[:20], verbose=0)
    odds = np.exp(rate.logits - rate.logits.max("label"))
    np.testing.assert_allclose(odds / odds.sum("label"), keras, atol=1e-5)
