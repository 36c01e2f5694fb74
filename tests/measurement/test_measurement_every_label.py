"""Maps of a few labels, and what is known of all others."""

import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.exceptions import LabelError, ResultError
from nengo_cam.measurement.labels import keep_labels
from nengo_cam.scoring.readout import every_label

NAMES = ["cat", "dog", "emu"]


@pytest.fixture(scope="module", params=[ncam.IntegrateAndFire(), ncam.SigmaDelta(bits=2)], ids=["spikes", "levels"])
def net(request, small_model, images):
    return ncam.convert(small_model, neurons=request.param, calibrate_on=images)


def run(net, images, **options):
    options = {"n_steps": 12, "label_names": NAMES, "seed": 0, "progress_bar": False, **options}
    return ncam.spiking_cam(net, images, **options)


def as_whole(few, name):
    """What is kept of every label, under the name that it has where all labels are mapped."""
    return few[f"all_{name}"].rename(all_label="label").rename(name)


@pytest.mark.parametrize("labels", [["emu"], ["dog", "cat"], ["emu", "dog", "cat"]])
@pytest.mark.parametrize("times", [None, [0.004, 0.012]])
@pytest.mark.parametrize("moving", [False, True])
def test_logits_of_all_labels_are_kept_whatever_is_mapped(net, images, labels, times, moving):
    shown = np.repeat(images[:, None], 12, axis=1) if moving else images
    few, whole = (run(net, shown, labels=chosen, times=times) for chosen in (labels, None))
    for name in ("logits", "cnn_logits", "bias"):
        xr.testing.assert_equal(as_whole(few, name).variable, whole[name].variable)
        assert few[f"all_{name}"].all_label.values.tolist() == NAMES
        xr.testing.assert_equal(few[name], whole[name].sel(label=labels))
    # A matrix of one column is multiplied in another order.
    xr.testing.assert_allclose(few.cam, whole.cam.sel(label=labels), rtol=1e-5, atol=1e-6)
    assert not [name for name in whole.variables if name.startswith("all_")]


@pytest.mark.parametrize("moving", [False, True])
def test_rate_maps_keep_them_too(net, images, moving):
    shown = np.repeat(images[:, None], 3, axis=1) if moving else images
    few, whole = (ncam.rate_cam(net, shown, labels=chosen, label_names=NAMES) for chosen in (["dog"], None))
    for name in ("logits", "bias"):
        xr.testing.assert_equal(as_whole(few, name).variable, whole[name].variable)
    assert few.all_logits.attrs["units"] == "logit"


def test_answers_and_latencies_are_those_of_all_labels(net, images):
    # A label that hardly ever wins: among the mapped ones alone it always would.
    whole = run(net, images)
    rarest = int(np.bincount(whole.logits[:, -1].argmax("label"), minlength=3).argmin())
    few, rate = run(net, images, labels=[rarest]), ncam.rate_cam(net, images, labels=[rarest], label_names=NAMES)
    for reduce in (ncam.cumulative, lambda spiking: ncam.smooth(spiking, 0.004)):
        ours, theirs = ncam.decision_latency(reduce(few)), ncam.decision_latency(reduce(whole))
        xr.testing.assert_allclose(ours, theirs)
    scores = ncam.compare(ncam.cumulative(few), rate)
    expected = ncam.compare(ncam.cumulative(whole), ncam.rate_cam(net, images, label_names=NAMES))
    for name in ("spiking_answer", "rate_answer"):
        assert scores[name].values.tolist() == expected[name].values.tolist()
    assert set(scores.rate_answer.values.tolist()) != {NAMES[rarest]}
    with pytest.raises(LabelError, match="measure maps of the labels that are answered"):
        ncam.explanation_latency(scores)


def test_smoothing_leaves_every_bias_alone(net, images):
    smoothed = ncam.smooth(run(net, images, labels=["emu"]), 0.004)
    whole = ncam.smooth(run(net, images), 0.004)
    np.testing.assert_allclose(smoothed.all_logits, whole.logits, rtol=1e-6, atol=1e-7)
    with pytest.raises(ResultError, match="expected the variable 'all_bias'"):
        ncam.smooth(run(net, images, labels=["emu"]).drop_vars("all_bias"), 0.004)


def test_labels_that_are_kept_later_are_as_if_chosen(net, images):
    chosen, whole = run(net, images, labels=["cat", "emu"]), run(net, images)
    kept = keep_labels(whole, [0, 2])
    assert set(kept.variables) == set(chosen.variables)
    for name in chosen.variables:
        xr.testing.assert_equal(kept[name].variable, chosen[name].variable)
    # And again: of the labels that were there, not of those that are left.
    again = keep_labels(kept, [1])
    assert again.label.values.tolist() == ["emu"]
    xr.testing.assert_equal(every_label(again).variable, whole.logits.variable)


@pytest.mark.parametrize("probed_logits", [True, False])
@pytest.mark.parametrize("timed", [True, False])
def test_arrays_of_a_users_own(probed_logits, timed):
    rng = np.random.default_rng(4)
    leading = (2, 5) if timed else (2,)
    features, kernel, bias = rng.random((*leading, 3, 4, 6)), rng.normal(size=(6, 7)), rng.normal(size=7)
    logits = features.mean(axis=(-3, -2)) @ kernel + bias
    options = {"logits": logits} if probed_logits else {}
    few = ncam.cam_dataset(features, kernel, bias=bias, dt=0.001 if timed else None, labels=[5, 1], **options)
    np.testing.assert_allclose(few.all_logits, logits, rtol=1e-12)
    np.testing.assert_allclose(few.logits, logits[..., [5, 1]], rtol=1e-12)
    np.testing.assert_array_equal(few.all_bias, bias)
    assert few.all_logits.dims == (("image", "time", "all_label") if timed else ("image", "all_label"))


def test_they_survive_a_file(net, images, tmp_path):
    few = run(net, images, labels=["emu"])
    few.to_netcdf(tmp_path / "few.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "few.nc", engine="h5netcdf") as found:
        xr.testing.assert_identical(found.all_logits.load(), few.all_logits)
