import inspect

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import nengo_cam as ncam
from nengo_cam import compare
from nengo_cam.exceptions import ParameterError, ResultError
from nengo_cam.scoring import agreement
from nengo_cam.scoring.agreement import alignment as checks


def make(n_images=3, n_steps=4, n_labels=2, cells=("y", "x"), seed=0):
    """A Dataset as spiking_cam gives it; without steps, as rate_cam does. Nothing has spiked at the first step."""
    rng = np.random.default_rng(seed)
    leading = ("image", "time", "label") if n_steps else ("image", "label")
    sizes = {"image": n_images, "time": n_steps, "label": n_labels, "z": 3, "y": 5, "x": 6}
    cam = xr.DataArray(
        rng.normal(size=[sizes[dim] for dim in (*leading, *cells)]).astype("f4"), dims=(*leading, *cells)
    )
    if n_steps:
        cam[:, 0] = 0
    coords = {
        "image": np.arange(n_images),
        "label": np.arange(n_labels),
        **{d: 2.0 * np.arange(sizes[d]) for d in cells},
    }
    if n_steps:
        coords["time"] = ("time", 1e-3 * np.arange(1, n_steps + 1), {"units": "s"})
    bias = xr.DataArray(np.arange(n_labels, dtype="f4"), dims="label")
    variables = {"cam": cam, "logits": cam.mean(cells) + bias, "bias": bias}
    return xr.Dataset(variables, coords, {"simulator": "a", "seed": 3})


@pytest.mark.parametrize("cells", [("y", "x"), ("x",), ("z", "y", "x")])
def test_every_score_is_its_metric_of_the_two_maps(cells):
    spiking, rate = make(cells=cells), make(n_steps=0, cells=cells, seed=1)
    scores = compare(spiking, rate)
    assert list(scores) == ["pearson", "spearman", "cosine", "rmse", "ssim", "topk_iou"]
    for name in scores:
        assert scores[name].dims == ("image", "time", "label")
        function = agreement.get_metric(name).function
        for i, t, k in np.ndindex(3, 4, 2):
            expected = function(spiking.cam.values[i, t, k], rate.cam.values[i, k], n_axes=len(cells))
            np.testing.assert_allclose(scores[name].values[i, t, k], expected, rtol=1e-12)
    assert scores.pearson.isel(time=0).isnull().all()
    assert scores.drop_isel(time=0).to_array().notnull().all()


def test_units_ranges_answers_and_provenance(tmp_path):
    spiking, rate = make(), make(n_steps=0, seed=1)
    scores = compare(spiking, rate, options={"topk_iou": {"fraction": 0.3}})
    xr.testing.assert_identical(scores.time, spiking.time)
    assert scores.rmse.attrs == {
        "units": "logit",
        "long_name": "RMS difference of maps",
        "range": [0, np.inf],
        "better": "lower",
    }
    assert scores.topk_iou.attrs["fraction"] == 0.3
    assert scores.spiking_answer.values.tolist() == spiking.logits.values[:, -1].argmax(1).tolist()
    assert scores.rate_answer.values.tolist() == rate.logits.values.argmax(1).tolist()
    assert scores.attrs == {"simulator": "a", "seed": 3, "references": "a"}
    assert "spiking_answer" not in compare(spiking[["cam"]], rate, metrics="rmse").coords
    scores.to_netcdf(tmp_path / "scores.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "scores.nc", engine="h5netcdf") as loaded:
        xr.testing.assert_identical(loaded.load(), scores)


def test_options_reach_the_metric():
    spiking, rate = make(), make(n_steps=0, seed=1)
    options = {"topk_iou": {"fraction": 0.3}, "ssim": {"data_range": 4.0, "window": 3}}
    scores = compare(spiking, rate, metrics=["ssim", "topk_iou"], options=options)
    references = rate.cam.values[:, None]
    np.testing.assert_array_equal(scores.topk_iou, agreement.topk_iou(spiking.cam.values, references, fraction=0.3))
    np.testing.assert_allclose(scores.ssim, agreement.ssim(spiking.cam.values, references, data_range=4, window=3))


@pytest.mark.parametrize("size", [1, 100, 300, 1000])
def test_blocks_change_nothing(monkeypatch, size):
    """A map has 30 values, a step of an image 60, an image 240."""
    spiking, rate, moving = make(), make(n_steps=0, seed=1), make(seed=2)
    whole = compare(spiking, rate), compare(spiking, moving), compare(rate, rate * 2)
    monkeypatch.setattr(checks, "BLOCK_SIZE", size)
    for found, expected in zip((compare(spiking, rate), compare(spiking, moving), compare(rate, rate * 2)), whole):
        xr.testing.assert_allclose(found, expected, rtol=1e-12)
    seen = np.zeros(spiking.cam.shape[:2], int)
    for block in checks.blocks(spiking.cam):
        part = seen[tuple(block.values())]
        assert part.size * 60 <= max(size, 60)
        part += 1
    assert (seen == 1).all()


def test_moving_images_are_scored_step_by_step():
    spiking, rate = make(), make(seed=1)
    expected = [compare(spiking.isel(time=[t]), rate.isel(time=t, drop=True), metrics="rmse") for t in range(4)]
    xr.testing.assert_allclose(compare(spiking, rate, metrics="rmse").rmse, xr.concat(expected, "time").rmse)


def test_images_and_labels_are_matched_by_name():
    spiking, rate = make(), make(n_steps=0, seed=1)
    names = {"label": ["cat", "dog"], "image": ["a", "b", "c"]}
    spiking, rate = spiking.assign_coords(names), rate.assign_coords(names)
    whole = compare(spiking, rate)
    some = compare(spiking.isel(image=[2, 0], label=[1]), rate.isel(image=[1, 2, 0], label=[1, 0]))
    np.testing.assert_array_equal(some.pearson, whole.pearson.isel(image=[2, 0], label=[1]))
    assert some.rate_answer.values.tolist() == whole.rate_answer.values[[2, 0]].tolist()
    dims = ("x", "label", "y", "time", "image")
    xr.testing.assert_equal(compare(spiking.transpose(*dims, ...), rate), whole)


def test_a_network_agrees_with_itself(small_model, images):
    net = ncam.convert(small_model, calibrate_on=images)
    spiking = ncam.spiking_cam(net, images, n_steps=40, seed=0, progress_bar=False)
    rate = ncam.rate_cam(net, images)
    scores = compare(ncam.cumulative(spiking), rate)
    last = scores.isel(time=-1)
    for i, k in np.ndindex(5, 3):
        mean = spiking.cam.values[i, :, k].mean(0, dtype=float)
        assert float(last.pearson[i, k]) == pytest.approx(
            stats.pearsonr(mean.ravel(), rate.cam.values[i, k].ravel())[0], abs=1e-5
        )
    itself = compare(rate, rate)
    for name in itself:
        assert itself[name].dims == ("image", "label")
        np.testing.assert_allclose(itself[name], float(name != "rmse"), atol=1e-9)


def test_dask_arrays_are_read_a_block_at_a_time(monkeypatch):
    pytest.importorskip("dask")
    spiking, rate = make(), make(n_steps=0, seed=1)
    monkeypatch.setattr(checks, "BLOCK_SIZE", 240)
    xr.testing.assert_allclose(compare(spiking.chunk(image=1), rate.chunk()), compare(spiking, rate))


def test_correlation_and_compare_are_one(monkeypatch):
    spiking, rate = make(), make(n_steps=0, seed=1)
    found = agreement.correlation(spiking.cam, rate.cam).transpose("image", "time", "label")
    np.testing.assert_array_equal(found, compare(spiking, rate).pearson)
    with pytest.raises(ResultError, match=r"others: its maps have other axes .* \['y', 'x'\], got \['x'\]"):
        agreement.correlation(spiking.cam, rate.cam.isel(y=0))


def test_the_default_names_all_metrics():
    default = inspect.signature(compare).parameters["metrics"].default
    assert sorted(default) == sorted(agreement.metric_names())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, r: (s.cam, r), "spiking: expected a Dataset with the variable 'cam', got dims"),
        (lambda s, r: (s, r.drop_vars("cam")), "rate: expected a Dataset with the variable 'cam'"),
        (lambda s, r: (s.isel(image=0), r), r"spiking: 'cam' has the wrong dims; .* Keep a dim"),
        (lambda s, r: (s.isel(image=[]), r), "spiking: 'cam' is empty"),
        (lambda s, r: (s, r.isel(x=0)), "rate: 'cam' has the wrong dims"),
        (lambda s, r: (s, r.isel(y=0, drop=True)), "rate: its 'y' differs from that of spiking; .* got none"),
        (lambda s, r: (s.isel(y=0, drop=True), r), r"rate: its maps have other axes; expected \['x'\]"),
        (lambda s, r: (s, r.assign_coords(y=r.y + 0.5)), r"rate: its 'y' differs .* \[0.0, 2.0, 4.0, 6.0, 8.0\], got"),
        (lambda s, r: (s, r.isel(image=[0])), r"rate: it lacks entries of 'image'; .* got no \[1, 2\]"),
        (lambda s, r: (s, r.isel(label=[1])), r"rate: it lacks entries of 'label'; .* got no \[0\]"),
        (lambda s, r: (s, s.assign_coords(time=s.time * 2)), "rate: its 'time' differs from that of spiking"),
        (lambda s, r: (r, s), "rate: its 'time' differs .* expected none"),
    ],
)
def test_datasets_that_do_not_fit(change, message):
    with pytest.raises(ResultError, match=message):
        compare(*change(make(), make(n_steps=0, seed=1)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": "pearsn"}, "metric 'pearsn': unknown"),
        ({"metrics": []}, "metrics: expected at least one, each once"),
        ({"metrics": ["rmse", "rmse"]}, "metrics: .* each once, got"),
        ({"metrics": None}, "metric None: unknown"),
        ({"metrics": "rmse", "options": {"ssim": {}}}, r"options: expected those of the metrics \['rmse'\], .* 'ssim'"),
        ({"options": {"topk_iou": {"k": 3}}}, r"options: 'topk_iou' has the options \['fraction'\]; got \{'k': 3\}"),
        ({"options": {"ssim": {"n_axes": 3}}}, r"options: 'ssim' has the options \['data_range', 'window'\]"),
        ({"options": {"ssim": {"data_range": np.ones(2)}}}, "options: expected one number for all images"),
        ({"options": {"topk_iou": {"fraction": 2}}}, "fraction: expected a number above 0 and below 1"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ParameterError, match=message):
        compare(make(), make(n_steps=0), **options)
