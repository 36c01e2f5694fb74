import numpy as np
import pytest
import scipy.integrate
import scipy.interpolate
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import nengo_cam as ncam
from nengo_cam.exceptions import ImageError, LabelError, ParameterError, ResultError
from nengo_cam.measurement.predict import rate_predict, spiking_predict
from nengo_cam.scoring.faithfulness import average_drop, faithfulness
from nengo_cam.scoring.pixels import on_pixels


def maps_of(values, *, y=None, x=None, label=None):
    """A DataArray (image, [label], y, x) whose cells are the pixels, or lie at y and x."""
    values = np.asarray(values, float)
    dims = ("image", "label", "y", "x")[-4:] if values.ndim == 4 else ("image", "y", "x")
    coords = {
        "y": np.arange(values.shape[-2]) if y is None else y,
        "x": np.arange(values.shape[-1]) if x is None else x,
    }
    if values.ndim == 4:
        coords["label"] = np.arange(values.shape[1]) if label is None else label
    return xr.DataArray(values, {"image": np.arange(len(values)), **coords}, dims)


def curves(predict, images, maps, **options):
    return faithfulness(predict, images, maps, **{"progress_bar": False, **options})


@pytest.fixture
def pictures():
    return np.random.default_rng(0).random((4, 3, 4, 2)).astype(np.float32)


@pytest.fixture
def linear():
    """Scores that are sums over pixels of weight x value."""
    weights = np.random.default_rng(1).normal(size=(3, 4, 2, 3))

    def predict(images):
        return np.einsum("nyxc,yxcl->nl", images, weights)

    return predict, weights


# Deletion and insertion


def test_curves_of_a_linear_model_are_sums_of_sorted_terms(pictures, linear):
    predict, weights = linear
    terms = np.einsum("nyxc,yxc->nyx", pictures, weights[..., 1])
    result = curves(predict, pictures, maps_of(terms), labels=1, fractions=13, baseline=0).sel(order="map")
    inserted = np.cumsum(-np.sort(-terms.reshape(4, 12), axis=1), axis=1)
    inserted = np.concatenate([np.zeros((4, 1)), inserted], axis=1)
    np.testing.assert_allclose(result.insertion, inserted, atol=1e-5)
    np.testing.assert_allclose(result.deletion, inserted[:, -1:] - inserted, atol=1e-5)
    # The trapezoid of a curve with 12 steps: its mean, the ends counting half.
    np.testing.assert_allclose(result.insertion_area, (inserted.sum(axis=1) - inserted[:, -1] / 2) / 12, atol=1e-5)
    # Nothing beats the order of the terms themselves.
    random = curves(predict, pictures, maps_of(terms), labels=1, fractions=13, baseline=0).sel(order="random")
    assert (result.deletion_area < random.deletion_area).all()
    assert (result.insertion_area > random.insertion_area).all()


@pytest.mark.parametrize("baseline", [0.25, "mean", "array"])
@pytest.mark.parametrize("fractions", [(0, 0.3, 0.55, 1), 4])
def test_curves_equal_a_loop_over_pixels(pictures, baseline, fractions):
    rng = np.random.default_rng(5)
    maps = maps_of(rng.integers(0, 4, (4, 3, 3, 4)))
    fill = rng.random((3, 4, 2)) if baseline == "array" else baseline

    def predict(images):
        flat = images.reshape(len(images), -1).astype(float)
        return np.stack([flat[:, 3] * flat[:, 7], flat.max(axis=1), flat.std(axis=1)], axis=1)

    result = curves(predict, pictures, maps, baseline=fill, fractions=fractions, minibatch_size=3)
    labels = predict(pictures).argmax(axis=1)
    np.testing.assert_array_equal(result.label, labels)
    for i, image in enumerate(pictures):
        values = maps.values[i, labels[i]].ravel()
        order = sorted(range(12), key=lambda p: (-values[p], p))
        base = np.empty_like(image)
        for y, x, c in np.ndindex(3, 4, 2):
            base[y, x, c] = image[..., c].mean() if baseline == "mean" else np.broadcast_to(fill, image.shape)[y, x, c]
        for j, fraction in enumerate((0, 0.3, 0.55, 1) if fractions != 4 else (0, 1 / 3, 2 / 3, 1)):
            deleted, inserted = image.copy(), base.copy()
            for pixel in order[: round(fraction * 12)]:
                y, x = divmod(pixel, 4)
                deleted[y, x], inserted[y, x] = base[y, x], image[y, x]
            for name, masked in (("deletion", deleted), ("insertion", inserted)):
                expected = predict(masked[None])[0, labels[i]]
                assert result[name].sel(order="map").values[i, j] == pytest.approx(expected, rel=1e-6)
    areas = scipy.integrate.trapezoid(result.deletion, result.fraction, axis=-1)
    np.testing.assert_allclose(result.deletion_area, areas)


def test_a_blurred_baseline_is_smooth_and_keeps_the_mean_level(pictures):
    flat = np.full((1, 6, 5, 1), 0.3, np.float32)
    predict = lambda images: images.reshape(len(images), -1)[:, :3]  # noqa: E731
    np.testing.assert_allclose(curves(predict, flat, maps_of(np.ones((1, 6, 5))), baseline="blur").deletion, 0.3)

    def spread(images):
        return np.stack([images.std(axis=(1, 2, 3)), np.zeros(len(images))], axis=1)

    result = curves(spread, pictures, maps_of(np.ones((4, 3, 4))), baseline="blur", labels=0)
    assert (result.deletion[..., -1] < result.deletion[..., 0]).all()


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 10), st.floats(-5, 5), st.integers(1, 5))
def test_only_the_order_of_a_map_counts(scale, offset, minibatch_size):
    rng = np.random.default_rng(0)
    pictures, maps = rng.random((4, 3, 4, 1)), maps_of(rng.integers(-3, 4, (4, 3, 4)))
    predict = lambda images: np.stack([images[:, 1, 1, 0], images.mean(axis=(1, 2, 3))], axis=1)  # noqa: E731
    reference = curves(predict, pictures, maps)
    other = curves(predict, pictures, scale * maps + offset, minibatch_size=minibatch_size)
    xr.testing.assert_allclose(reference, other)


def test_the_map_of_each_images_label(pictures, linear):
    predict, _ = linear
    maps = maps_of(np.random.default_rng(3).random((4, 3, 3, 4)))
    labels = [2, 0, 1, 2]
    expected = curves(
        predict, pictures, maps_of([maps.values[i, label] for i, label in enumerate(labels)]), labels=labels
    )
    xr.testing.assert_equal(curves(predict, pictures, maps, labels=labels), expected)
    named = maps.assign_coords(label=["a", "b", "c"])
    xr.testing.assert_equal(curves(predict, pictures, named, labels=labels), expected)
    xr.testing.assert_equal(curves(predict, pictures, maps.sel(label=[2, 1, 0]), labels=labels), expected)
    xr.testing.assert_equal(
        curves(predict, pictures, maps.transpose("y", "label", "image", "x"), labels=labels), expected
    )


def test_random_maps_come_from_the_seed(pictures, linear):
    predict, _ = linear
    maps = maps_of(np.random.default_rng(3).random((4, 3, 4)))
    first, again, other = (curves(predict, pictures, maps, seed=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(first, again)
    assert (first.deletion.sel(order="map") == other.deletion.sel(order="map")).all()
    assert (first.deletion.sel(order="random") != other.deletion.sel(order="random")).any()


# Only what the map shows


def test_drop_and_increase_in_closed_form():
    pictures = np.ones((3, 2, 2, 1), np.float32)
    maps = maps_of([[[4, 2], [-1, 0]], [[1, 1], [1, 1]], [[-1, -2], [-3, 0]]])
    predict = lambda images: np.stack([images.mean(axis=(1, 2, 3)), np.zeros(len(images))], axis=1)  # noqa: E731
    result = average_drop(predict, pictures, maps)
    # Of the first image 1 and 1/2 of two pixels are left, of the second all, of the third nothing.
    np.testing.assert_allclose(result.score_left, [1.5 / 4, 1, 0])
    np.testing.assert_allclose(result["drop"], [62.5, 0, 100])
    np.testing.assert_allclose(result.average_drop, 162.5 / 3)
    assert result.average_increase == 0
    darker = lambda images: 2 - predict(images)  # noqa: E731
    result = average_drop(darker, pictures, maps, labels=0, minibatch_size=2)
    np.testing.assert_allclose(result.increase, [100, 0, 100])
    np.testing.assert_allclose(result["drop"], 0)
    np.testing.assert_allclose(average_drop(predict, pictures, maps, baseline="mean")["drop"], 0)


# From cells to pixels


def test_linear_interpolation_is_scipys():
    rng = np.random.default_rng(0)
    y, x = np.array([0.5, 3.0, 5.5]), np.array([1.0, 5.0])
    maps = maps_of(rng.random((2, 3, 2)), y=y, x=x)
    result = on_pixels(maps, (7, 8))
    pixels = np.stack(np.meshgrid(np.clip(range(7), 0.5, 5.5), np.clip(range(8), 1, 5), indexing="ij"), axis=-1)
    for values, expected in zip(result, maps.values):
        np.testing.assert_allclose(values, scipy.interpolate.RegularGridInterpolator((y, x), expected)(pixels))


def test_the_nearest_cell():
    rng = np.random.default_rng(0)
    y, x = [0.5, 2.5, 4.5], [-1.0, 2.0, 9.0]
    maps = maps_of(rng.random((2, 3, 3)), y=y, x=x)
    result = on_pixels(maps, (6, 5), interpolation="nearest")
    for i, row, column in np.ndindex(2, 6, 5):
        cell = [min(range(3), key=lambda c: abs(centers[c] - at)) for centers, at in ((y, row), (x, column))]
        assert result[i, row, column] == maps.values[i, cell[0], cell[1]]


def test_maps_with_one_axis_or_three():
    line = xr.DataArray([[1.0, 3.0]], {"x": [0, 2]}, ("image", "x"))
    np.testing.assert_allclose(on_pixels(line, (4,)), [[1, 2, 3, 3]])
    predict = lambda images: np.stack([images.sum(axis=(1, 2)), -images[:, 0, 0]], axis=1)  # noqa: E731
    result = curves(predict, np.array([[[1.0], [2], [3], [4]]]), line, fractions=5, baseline=0)
    # Pixel 2, then 3 of the same value, then 1, then 0.
    np.testing.assert_allclose(result.deletion.sel(order="map"), [[10, 7, 3, 1, 0]])
    space = xr.DataArray(np.ones((1, 1, 1, 2)), {"z": [0], "y": [0], "x": [0, 1]}, ("image", "z", "y", "x"))
    np.testing.assert_array_equal(on_pixels(space, (2, 3, 4)), np.ones((1, 2, 3, 4)))
    assert on_pixels(maps_of(np.ones((2, 1, 1))), (3, 2)).shape == (2, 3, 2)


# Networks


@pytest.fixture(scope="module")
def scattered():
    ncam.compat.quiet_tensorflow()
    return ncam.datasets.scattered_digits_model(), ncam.datasets.scattered_digits(30)[0]


def test_the_cnn_goes_by_its_maps(scattered):
    model, scenes = scattered
    maps = ncam.rate_cam(model, scenes).cam
    result = curves(rate_predict(model), scenes, maps, fractions=11, baseline=0)
    assert (result.deletion_area.sel(order="map") < result.deletion_area.sel(order="random")).mean() >= 0.9
    assert (result.insertion_area.sel(order="map") > result.insertion_area.sel(order="random")).mean() >= 0.9


@pytest.mark.slow
def test_the_spiking_network_goes_by_its_maps(scattered):
    model, scenes = scattered
    network = ncam.convert(model, calibrate_on=ncam.datasets.scattered_digits(100, split="train")[0])
    maps = ncam.spiking_cam(network, scenes, n_steps=100, seed=0, progress_bar=False).cam.mean("time")
    result = curves(spiking_predict(network, n_steps=100, seed=0), scenes, maps, fractions=6, baseline=0)
    assert (result.deletion_area.sel(order="map") < result.deletion_area.sel(order="random")).mean() >= 0.9
    assert (result.insertion_area.sel(order="map") > result.insertion_area.sel(order="random")).mean() >= 0.9


# Errors


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fractions": 1}, ParameterError, "fractions: expected a number of at least 2"),
        ({"fractions": [0, 0.5]}, ParameterError, "rise from 0 to 1"),
        ({"fractions": [0, 0.5, 0.5, 1]}, ParameterError, "rise from 0 to 1"),
        ({"baseline": "gray"}, ParameterError, "baseline: expected a number, 'mean', 'blur' or an array.* got 'gray'"),
        ({"baseline": np.zeros(3)}, ParameterError, r"broadcasts to \(4, 3, 4, 2\), got \(3,\)"),
        ({"baseline": np.nan}, ParameterError, "baseline: expected finite values"),
        (
            {"interpolation": "cubic"},
            ParameterError,
            r"interpolation: expected one of \['linear', 'nearest'\], got 'cub",
        ),
        ({"labels": 3}, LabelError, "whole numbers from 0 to 2, got 3"),
        ({"labels": [0, 1]}, LabelError, "one for all images or 4"),
        ({"labels": "a"}, LabelError, "got 'a'"),
        ({"seed": -1}, ParameterError, "seed: expected"),
        ({"minibatch_size": 0}, ParameterError, "minibatch_size"),
    ],
)
def test_wrong_options(pictures, linear, options, error, message):
    with pytest.raises(error, match=message):
        curves(linear[0], pictures, maps_of(np.ones((4, 3, 4))), **options)


def test_maps_and_images_that_do_not_belong_together(pictures, linear):
    predict, maps = linear[0], maps_of(np.ones((4, 3, 3, 4)))
    for function in (curves, average_drop):
        with pytest.raises(ImageError, match="expected as many as there are maps, 4, got 3"):
            function(predict, pictures[:3], maps)
        with pytest.raises(ImageError, match="expected still images, 4 axes"):
            function(predict, pictures[None], maps)
        with pytest.raises(ImageError, match="NaN or infinity in image 0"):
            function(predict, np.where(np.arange(4).reshape(4, 1, 1, 1) == 0, np.nan, pictures), maps)
        with pytest.raises(ResultError, match="expected a DataArray with dims .*got ndarray"):
            function(predict, pictures, maps.values)
        with pytest.raises(ResultError, match="Choose one time"):
            function(predict, pictures, maps.expand_dims(time=2))
        with pytest.raises(ResultError, match="maps: expected finite values"):
            function(predict, pictures, maps.where(maps.y > 0))
        with pytest.raises(LabelError, match=r"no map for \[0\]; expected some of \[1, 2\]"):
            function(predict, pictures, maps.sel(label=[1, 2]), labels=0)
        with pytest.raises(LabelError, match="2 named labels do not tell which of 3 scores"):
            function(predict, pictures, maps.sel(label=[1, 2]).assign_coords(label=["b", "c"]), labels=1)
        with pytest.raises(ResultError, match=r"predict: expected finite scores of shape \(4, L\), got shape \(4,\)"):
            function(lambda images: images.sum(axis=(1, 2, 3)), pictures, maps)
        with pytest.raises(ResultError, match="with NaN or infinity"):
            function(lambda images: np.full((len(images), 3), np.nan), pictures, maps)
    with pytest.raises(ResultError, match="expected positive scores, got -1 for image 0"):
        average_drop(lambda images: -np.ones((len(images), 3)), pictures, maps)
    with pytest.raises(ResultError, match=r"one dim for each axis of an image of shape \(3,\)"):
        on_pixels(maps, (3,))
