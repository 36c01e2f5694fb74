"""Rows and columns that users name, from conversion to results, scores and files."""

import json

import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.exceptions import ParameterError
from nengo_cam.models.coordinates import at_centers
from nengo_cam.scoring.pixels import on_pixels
from nengo_cam.scoring.positions import input_coordinates, pixel_centers

#: Of images of 8 x 6 pixels: frequencies that are not even, and names.
COORDS = {"y": [100.0, 120, 150, 190, 240, 300, 370, 450], "x": list("abcdef")}


@pytest.fixture(scope="module")
def coarse(tf, make_model):
    """A model whose cells are two pixels wide."""
    layers = tf.keras.layers
    return make_model(
        layers.AveragePooling2D(2), layers.GlobalAveragePooling2D(), layers.Dense(3, name="readout"), channels=(4,)
    )


def test_between_pixels():
    values = np.array([1.0, 2.0, 4.0])
    assert at_centers(values, np.array([0, 1, 2])).tolist() == [1, 2, 4]
    # Beyond the ends as between the last two.
    assert at_centers(values, np.array([-0.5, 0.5, 1.25, 2.5])).tolist() == [0.5, 1.5, 2.5, 5]
    assert at_centers(np.arange(3), np.array([0.0, 2.0])).dtype.kind == "i"
    assert at_centers(np.array(list("abc")), np.array([-1.0, 0.4, 0.6, 9])).tolist() == list("aabc")
    assert at_centers(np.array([7.0]), np.array([0.3])).tolist() == [7]


def test_results_have_them_with_pixels_beside(coarse, images):
    net = ncam.convert(coarse, calibrate_on=images, coords=COORDS)
    plain = ncam.convert(coarse, calibrate_on=images)
    for ours, theirs in (
        (ncam.spiking_cam(net, images, n_steps=4, seed=0), ncam.spiking_cam(plain, images, n_steps=4, seed=0)),
        (ncam.rate_cam(net, images), ncam.rate_cam(plain, images)),
        (ncam.rate_cam(coarse, images, coords=COORDS), ncam.rate_cam(coarse, images)),
    ):
        np.testing.assert_array_equal(ours.cam, theirs.cam)
        # Halfway between two pixels.
        assert ours.y.values.tolist() == [110, 170, 270, 410]
        assert ours.y_pixel.values.tolist() == theirs.y.values.tolist() == [0.5, 2.5, 4.5, 6.5]
        assert ours.x.values.tolist() == ["a", "c", "e"]
        assert ours.y_pixel.attrs["units"] == "pixel" and "units" not in ours.y.attrs
        assert json.loads(ours.attrs["coords"]) == COORDS
        assert input_coordinates(ours.attrs, "x").tolist() == COORDS["x"]
        assert input_coordinates(theirs.attrs, "x") is None and "coords" not in theirs.attrs
        # By the user's values.
        chosen = ours.cam.sel(y=200, method="nearest").sel(x="c")
        np.testing.assert_array_equal(chosen, theirs.cam.isel(y=1, x=1))


def test_scores_are_as_without(coarse, images):
    net = ncam.convert(coarse, calibrate_on=images, coords=COORDS)
    spiking, rate = ncam.spiking_cam(net, images, n_steps=6), ncam.rate_cam(net, images)
    bare = ncam.rate_cam(coarse, images)
    reduced = ncam.cumulative(spiking)
    scores = ncam.compare(reduced, rate)
    # The maps of the model itself lie at the same pixels.
    xr.testing.assert_allclose(scores, ncam.compare(reduced, bare))
    np.testing.assert_allclose(on_pixels(rate.cam, (8, 6)), on_pixels(bare.cam, (8, 6)), atol=1e-5)
    boxes = np.tile([1, 1, 6, 5], (len(images), 3, 1))
    ours, theirs = (ncam.localization_scores(cams, boxes=boxes, image_shape=(8, 6)) for cams in (rate, bare))
    xr.testing.assert_allclose(ours.drop_vars("label"), theirs.drop_vars("label"))
    assert ncam.completeness_error(spiking) < 1e-5


def test_they_survive_a_file(coarse, images, tmp_path):
    result = ncam.rate_cam(coarse, images, coords=COORDS)
    result.to_netcdf(tmp_path / "maps.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "maps.nc", engine="h5netcdf") as found:
        assert found.x.values.tolist() == ["a", "c", "e"]
        assert pixel_centers(found, "x").tolist() == [0.5, 2.5, 4.5]
        assert input_coordinates(found.attrs, "y").tolist() == COORDS["y"]


def test_other_ways_in(coarse, images):
    import nengo_dl

    converter = nengo_dl.Converter(coarse)
    own = ncam.from_converter(converter, coords={"y": COORDS["y"]})
    found = ncam.rate_cam(own, images)
    assert found.y.values.tolist() == [110, 170, 270, 410] and "x_pixel" not in found.coords
    features = np.random.default_rng(0).random((5, 4, 3, 4))
    arrays = ncam.cam_dataset(features, own.head, dt=None, coords=COORDS)
    assert arrays.x.values.tolist() == ["a", "c", "e"]
    kernel = np.ones((4, 3))
    by_shape = ncam.cam_dataset(features, kernel, dt=None, input_shape=(8, 6, 2), coords=COORDS)
    assert by_shape.x.values.tolist() == ["a", "c", "e"]
    with pytest.raises(ParameterError, match="coords: .* expected input_shape, got None"):
        ncam.cam_dataset(features, kernel, dt=None, coords=COORDS)
    with pytest.raises(ParameterError, match="coords: a converted network has them already"):
        ncam.rate_cam(own, images, coords=COORDS)


@pytest.mark.parametrize(
    ("coords", "message"),
    [
        ({"z": range(8)}, r"expected a dict of \['y', 'x'\], the axes of the input, got \['z'\]"),
        ([1, 2], "expected a dict"),
        ({"y": range(7)}, r"coords\['y'\]: expected 8 finite numbers, or 8 names"),
        ({"y": np.full(8, np.nan)}, "finite numbers"),
        ({"y": np.ones((8, 1))}, r"got float64 of shape \(8, 1\)"),
        ({"x": [1, 2, 3, 4, 5, None]}, "got object"),
        ({"y": np.arange(8).astype("datetime64[s]")}, "Convert times to seconds"),
    ],
)
def test_wrong_coordinates_are_refused_at_once(coarse, coords, message, monkeypatch):
    monkeypatch.setattr("nengo_cam.conversion.convert.scale_rates", None)
    with pytest.raises(ParameterError, match=message):
        ncam.convert(coarse, coords=coords)
