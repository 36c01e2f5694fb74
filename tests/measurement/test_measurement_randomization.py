import numpy as np
import pytest
import scipy.stats
import xarray as xr

import nengo_cam as ncam
from nengo_cam.exceptions import LabelError, ModelTypeError, ParameterError
from nengo_cam.measurement.randomization import cascading_randomization, randomize


def weights_of(model):
    return {layer.name: [w.copy() for w in layer.get_weights()] for layer in model.layers}


def check(model, images, **options):
    return cascading_randomization(model, images, **{"progress_bar": False, **options})


def test_weights_keep_their_values_but_not_their_places(small_model):
    before = weights_of(small_model)
    changed = weights_of(randomize(small_model, layers=["conv1", "readout"]))
    for name, arrays in before.items():
        for old, new, still in zip(arrays, changed[name], small_model.get_layer(name).get_weights()):
            np.testing.assert_array_equal(np.sort(old, axis=None), np.sort(new, axis=None))
            np.testing.assert_array_equal(old, still)
            assert (old == new).all() == (name == "conv0")


def test_a_layer_is_shuffled_alike_whichever_others_are(small_model):
    alone = weights_of(randomize(small_model, layers="conv1", seed=3))["conv1"]
    for other, same in ((randomize(small_model, seed=3), True), (randomize(small_model, seed=4), False)):
        assert (weights_of(other)["conv1"][0] == alone[0]).all() == same


def test_correlations_are_scipys(small_model, images):
    result = check(small_model, images, seed=2)
    assert result.layer.values.tolist() == ["readout", "conv1", "conv0"]
    before = ncam.rate_cam(small_model, images)
    labels = before.logits.values.argmax(axis=1)
    np.testing.assert_array_equal(result.label, labels)
    for i, layer in enumerate(result.layer.values):
        after = ncam.rate_cam(randomize(small_model, layers=list(result.layer.values[: i + 1]), seed=2), images)
        for j, label in enumerate(labels):
            pair = before.cam.values[j, label].ravel(), after.cam.values[j, label].ravel()
            values = result.sel(layer=layer).isel(image=j)
            np.testing.assert_allclose(values.pearson, scipy.stats.pearsonr(*pair)[0], atol=1e-5)
            np.testing.assert_allclose(values.spearman, scipy.stats.spearmanr(*pair)[0], atol=1e-5)


def test_maps_that_show_the_image_and_not_the_model(small_model, images):
    def edges(model, images):
        maps = np.repeat(images.sum(axis=-1)[:, None], 3, axis=1)
        coords = {"label": range(3), "y": range(8), "x": range(6)}
        return xr.DataArray(maps, coords, ("image", "label", "y", "x")).assign_coords(image=range(5))

    result = check(small_model, images, maps=edges, labels=1)
    np.testing.assert_allclose(result.to_array(), 1)
    np.testing.assert_array_equal(result.label, 1)


def test_maps_of_a_network_that_learned(digits_model, digits):
    result = check(digits_model, digits[1][0][:10])
    assert result.layer.values[0] == "readout"
    assert (abs(result.mean("image")).to_array() < 0.3).all()


def test_maps_of_spikes(small_model, images):
    def spiking(model, images):
        network = ncam.convert(model, calibrate_on=images, target_rate=500)
        return ncam.spiking_cam(network, images, n_steps=30, seed=0, progress_bar=False).cam.mean("time")

    result = check(small_model, images, maps=spiking, layers=["readout"])
    rate = check(small_model, images, layers=["readout"])
    np.testing.assert_allclose(result.pearson, rate.pearson, atol=0.2)


def test_errors(small_model, images):
    with pytest.raises(ParameterError, match=r"layers: 'gap' cannot be randomized; expected .*'conv0', 'conv1', 'read"):
        randomize(small_model, layers=["conv0", "gap"])
    with pytest.raises(ParameterError, match="'none' cannot be randomized"):
        check(small_model, images, layers=["none"])
    with pytest.raises(ModelTypeError, match="expected a Keras model, got nengo_cam"):
        randomize(ncam.convert(small_model))
    with pytest.raises(ParameterError, match="seed: expected"):
        randomize(small_model, seed=-1)
    with pytest.raises(ParameterError, match="seed: expected"):
        check(small_model, images, seed=-1)
    with pytest.raises(LabelError, match="from 0 to 2"):
        check(small_model, images, labels=3)
