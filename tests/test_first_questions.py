"""The three questions that first users ask, each answered by a measurement. docs/wrong_maps.md gives the figures."""

import numpy as np
import pytest
import xarray as xr
from nengo_dl import Simulator

import nengo_cam as ncam
from nengo_cam.compat import without_gpu_advice

N_IMAGES = 8


@pytest.fixture(scope="module")
def measured(digits_model, digits):
    """Run some digits, through a synapse, and keep everything a first user would look at."""
    (train, _), (test, _) = digits
    net = ncam.convert(digits_model, calibrate_on=train[:200], synapse=0.005)
    images = test[:N_IMAGES]
    spiking = ncam.spiking_cam(net, images, n_steps=60, seed=0, keep_features=True, progress_bar=False)
    return net, images, spiking, ncam.rate_cam(net, images)


def of_predicted(dataset, rate):
    return dataset.isel(label=rate.logits.argmax("label"))


def test_pooling_weights_are_no_class_weights(measured):
    """(a) The connection into the pooling averages positions; it has no label axis."""
    net, _, spiking, rate = measured
    (pooling,) = [c for c in net.net.all_connections if c.post_obj is net.readout.pre_obj]
    with without_gpu_advice(), Simulator(net.net, progress_bar=False) as sim:
        pooling_weights = sim.data[pooling].weights
        readout_weights = sim.data[net.readout].weights
    n_channels = net.head.n_channels
    # The same number at every position and for every channel, which is averaged by itself.
    if pooling_weights.shape[2] > 1:
        # Nengo 3.2 has no groups: there each channel has zeros for the others.
        np.testing.assert_array_equal(
            pooling_weights != 0, np.broadcast_to(np.eye(n_channels) > 0, pooling_weights.shape)
        )
        pooling_weights = pooling_weights.sum(axis=2, keepdims=True)
    assert pooling_weights.shape == (28, 28, 1, n_channels)
    np.testing.assert_allclose(pooling_weights, 1 / 28**2)
    assert readout_weights.shape == (10, n_channels)
    # Used as weights of a map, they give the mean over channels, whatever the class: one map for labels whose own maps
    # oppose each other.
    between_labels = ncam.correlation(rate.cam, rate.cam.rename(label="other"))
    assert float(between_labels.min()) < -0.5
    one_for_all = (spiking.features.mean("time") * xr.DataArray(pooling_weights[0, 0, 0], dims="channel")).sum(
        "channel"
    )
    assert "label" not in one_for_all.dims
    with_each = ncam.correlation(one_for_all, rate.cam)
    assert float(with_each.max()) > 0.3
    assert float(with_each.min()) < -0.3


def test_weights_stay_and_maps_change(measured):
    """(b) Nothing learns while the network runs; the maps change because the activity does."""
    net, images, spiking, _ = measured
    data = np.repeat(images[:1].reshape(1, 1, -1), 20, axis=1)
    with without_gpu_advice(), Simulator(net.net, minibatch_size=1, progress_bar=False) as sim:
        weights = [sim.data[net.readout].weights.copy()]
        for _ in range(3):
            sim.run_steps(20, data={net.input: data})
            weights.append(sim.data[net.readout].weights.copy())
    for later in weights[1:]:
        np.testing.assert_array_equal(later, weights[0])
    assert float(spiking.cam.std("time").max()) > 0.1 * float(abs(spiking.cam).max())


def test_wrong_reshape_and_missing_synapse_miss(measured):
    """(c) Two slips that give a map of the right shape in the wrong place."""
    net, images, spiking, rate = measured
    right = of_predicted(spiking.isel(time=slice(30, None)).mean("time"), rate)
    expected = of_predicted(rate, rate)
    assert ncam.correlation(right.cam, expected.cam).median() > 0.9

    # NengoDL's probe is flat, rows first and channels last.
    features = spiking.features.isel(time=slice(30, None)).mean("time").values
    flat = np.moveaxis(features, 1, -1).reshape(N_IMAGES, -1)
    as_channels_first = np.moveaxis(flat.reshape(N_IMAGES, net.head.n_channels, 28, 28), 1, -1)
    maps = np.moveaxis(ncam.class_activation_map(as_channels_first, net.head.kernel), -1, 1)
    wrong = of_predicted(rate.assign(cam=rate.cam.copy(data=maps)), rate)
    assert abs(ncam.correlation(wrong.cam, expected.cam).median()) < 0.3

    # A probe without the synapse sees spikes of this very millisecond, the logit those of some milliseconds.
    assert ncam.completeness_error(spiking) < 1e-5
    synapse, net.features.synapse = net.features.synapse, None
    try:
        unfiltered = ncam.spiking_cam(net, images, n_steps=60, seed=0, progress_bar=False)
    finally:
        net.features.synapse = synapse
    assert ncam.completeness_error(unfiltered) > 0.05
    at_the_end = ncam.correlation(
        of_predicted(unfiltered.isel(time=-1), rate).cam, of_predicted(spiking.isel(time=-1), rate).cam
    )
    assert at_the_end.median() < 0.8
