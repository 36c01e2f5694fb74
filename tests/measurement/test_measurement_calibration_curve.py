import json
import warnings

import nengo
import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.exceptions import (
    HeadError,
    ImageError,
    InputRangeWarning,
    LabelError,
    ModelTypeError,
    NonSpikingWarning,
    ParameterError,
    RectifiedInputWarning,
    SimulatorError,
    UnsupportedModelError,
)

OVER_TIME = ("accuracy", "agreement", "cam_correlation")


@pytest.fixture(scope="module")
def calibration_images():
    return np.random.default_rng(7).random((6, 8, 6, 2), dtype=np.float32)


@pytest.fixture(scope="module")
def classes():
    return np.array([0, 1, 2, 2, 1])


@pytest.fixture(scope="module")
def curve_of(small_model, images, calibration_images, classes):
    def measure(**options):
        given = {"target_rates": [300, 80], "n_steps": 12, "classes": classes, "seed": 3, "progress_bar": False}
        given = {"images": images, "calibrate_on": calibration_images, **given, **options}
        return ncam.calibration_curve(small_model, given.pop("images"), **given)

    return measure


@pytest.fixture(scope="module")
def curve(curve_of):
    return curve_of()


def slow_curve(model, images, calibrate_on, classes, neurons, target_rate, n_steps, burn_in, seed):
    """All images at once, then loops over images and steps."""
    net = ncam.convert(model, neurons=neurons, calibrate_on=calibrate_on, target_rate=target_rate)
    run = ncam.spiking_cam(
        net, images, n_steps=n_steps, seed=seed, minibatch_size=len(images), count_spikes=True, progress_bar=False
    )
    rate = ncam.rate_cam(model, images)
    accuracy, agreement, spikes = (np.full(n_steps, np.nan) for _ in range(3))
    quantiles = np.full((n_steps, 4), np.nan)
    for t in range(n_steps):
        spikes[t] = run.spike_count.values[:, : t + 1].sum() / len(images)
        if t < burn_in:
            continue
        right, same, correlations = [], [], []
        for i in range(len(images)):
            # A level at a step is an estimate by itself.
            first = t if isinstance(neurons, ncam.SigmaDelta) else burn_in
            answer = run.logits.values[i, first : t + 1].mean(0).argmax()
            rate_answer = rate.logits.values[i].argmax()
            right.append(answer == classes[i])
            same.append(answer == rate_answer)
            ours = run.cam.values[i, first : t + 1, rate_answer].astype(float).mean(0)
            theirs = rate.cam.values[i, rate_answer]
            correlations.append(np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] if np.ptp(ours) else 0.0)
        accuracy[t], agreement[t] = np.mean(right), np.mean(same)
        quantiles[t] = np.quantile(correlations, [0.05, 0.25, 0.5, 0.75])
    return {"accuracy": accuracy, "agreement": agreement, "cam_correlation": quantiles, "spikes_per_image": spikes}


@pytest.mark.parametrize(
    ("types", "rates", "burn_in"),
    [
        ([ncam.IntegrateAndFire()], [300, 80], 0),
        ([nengo.SpikingRectifiedLinear(), ncam.IntegrateAndFire()], [200], 4),
        ([ncam.SigmaDelta(1), ncam.IntegrateAndFire()], [300, 80], 2),
    ],
    ids=["rates", "neurons and burn-in", "levels"],
)
def test_against_a_slow_loop(curve_of, small_model, images, calibration_images, classes, types, rates, burn_in):
    curve = curve_of(neurons=types, target_rates=rates, burn_in=burn_in, minibatch_size=2)
    assert dict(curve.sizes) == {"neurons": len(types), "target_rate": len(rates), "time": 12, "quantile": 4}
    for neurons in types:
        for rate in rates:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RectifiedInputWarning)
                expected = slow_curve(
                    small_model, images, calibration_images, classes, neurons, rate, n_steps=12, burn_in=burn_in, seed=3
                )
            found = curve.sel(neurons=type(neurons).__name__, target_rate=rate)
            for name, values in expected.items():
                np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4, err_msg=name)
    # There is something to compare.
    assert (curve.spikes_per_image.isel(time=-1) > 10).all()
    assert curve.cam_correlation.max() > 0.5
    logits = ncam.inference_model(small_model).predict(images, verbose=0)
    assert float(curve.rate_accuracy) == (logits.argmax(1) == classes).mean()


def test_how_each_type_is_read_is_said(curve, curve_of, tmp_path):
    types = {
        "pulses": ncam.SignedIntegrateAndFire(),
        "shifts": ncam.SigmaDelta(1, quantum=0.5),
        "any": ncam.SigmaDelta(),
    }
    mixed = curve_of(neurons=types, target_rates=[100])
    assert mixed.readout.values.tolist() == ["mean", "level", "level"]
    assert mixed.spike_kind.values.tolist() == ["signed unit", "power of two", "graded"]
    np.testing.assert_array_equal(mixed["quantum"], [np.nan, 0.5, 1])
    assert mixed.target_rate.attrs["units"] == mixed["quantum"].attrs["units"] == "Hz"
    assert mixed.target_rate.attrs["long_name"].endswith("levels = target_rate / quantum")
    assert not {"readout", "spike_kind"} & set(mixed.attrs)
    mixed.to_netcdf(tmp_path / "curve.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "curve.nc", engine="h5netcdf") as loaded:
        xr.testing.assert_equal(loaded, mixed)
    assert curve.readout.values.tolist() == ["mean"]
    assert "quantum" not in curve.coords
    assert curve.target_rate.attrs["long_name"] == "firing rate of strong activity"


def test_minibatches_change_nothing(curve, curve_of):
    for minibatch_size in (1, 3):
        other = curve_of(minibatch_size=minibatch_size)
        assert other.attrs == curve.attrs
        for name in curve.data_vars:
            np.testing.assert_allclose(other[name], curve[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_other_simulators_measure_the_same(curve, curve_of):
    other = curve_of(simulator=nengo.Simulator)
    assert other.attrs["simulator"] == "nengo.Simulator"
    for name in curve.data_vars:
        np.testing.assert_allclose(other[name], curve[name], rtol=1e-3, atol=1e-3, err_msg=name)


def test_no_more_images_than_a_minibatch_run_together(curve_of, monkeypatch):
    sizes = []
    original = ncam.spiking_cam

    def spy(net, images, **options):
        sizes.append(len(images))
        return original(net, images, **options)

    monkeypatch.setitem(ncam.calibration_curve.__globals__, "spiking_cam", spy)
    curve_of(minibatch_size=2, target_rates=100)
    assert sizes == [2, 2, 1]


def test_units_and_provenance(curve, small_model):
    assert curve.attrs["model"] == small_model.name
    assert curve.attrs["simulator"] == "nengo_cam.Simulator"
    assert json.loads(curve.attrs["neurons"]) == {
        # What `convert` chooses for two layers.
        "SignedIntegrateAndFire": "SignedIntegrateAndFire(negative_threshold=0.25)"
    }
    expected = {"seed": 3, "dt": 0.001, "burn_in": 0, "n_images": 5, "n_calibration_images": 6, "percentile": 99.9}
    assert {name: curve.attrs[name] for name in expected} == expected
    assert "firing_rate_scales" not in curve.attrs
    assert curve.target_rate.values.tolist() == [300, 80]
    np.testing.assert_allclose(curve.time, 0.001 * np.arange(1, 13))
    units = {name: curve[name].attrs["units"] for name in ("time", "target_rate", "spikes_per_image", *OVER_TIME)}
    assert units == {"time": "s", "target_rate": "Hz", "spikes_per_image": "spikes", **dict.fromkeys(OVER_TIME, "1")}
    assert all("long_name" in curve[name].attrs for name in curve.data_vars)


def test_a_round_trip_through_netcdf_keeps_everything(curve, tmp_path):
    curve.to_netcdf(tmp_path / "curve.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "curve.nc", engine="h5netcdf") as loaded:
        xr.testing.assert_equal(loaded, curve)
        for name, value in curve.attrs.items():
            np.testing.assert_array_equal(loaded.attrs[name], value)


def test_without_classes_there_is_no_accuracy(curve, curve_of):
    unknown = curve_of(classes=None)
    assert set(curve.data_vars) - set(unknown.data_vars) == {"accuracy", "rate_accuracy"}
    xr.testing.assert_equal(unknown, curve[list(unknown.data_vars)])


def test_burn_in_leaves_out_the_answer_and_counts_the_spikes(curve, curve_of):
    late = curve_of(burn_in=5)
    assert late.attrs["burn_in"] == 5
    for name in OVER_TIME:
        assert late[name].isel(time=slice(5)).isnull().all()
        assert late[name].isel(time=slice(5, None)).notnull().all()
    xr.testing.assert_equal(late.spikes_per_image, curve.spikes_per_image)


def test_a_seed_that_was_not_given_is_recorded_and_repeats(curve_of):
    options = {"neurons": {"mine": nengo.SpikingRectifiedLinear()}, "target_rates": [100]}
    first = curve_of(seed=None, **options)
    again = curve_of(seed=first.attrs["seed"], **options)
    xr.testing.assert_identical(first, again)
    assert first.neurons.values.tolist() == ["mine"]


def test_blank_maps_count_as_uncorrelated(curve_of):
    """At 1 Hz nothing spikes in 12 steps, and no warning says so: the curve does."""
    silent = curve_of(target_rates=[1])
    assert (silent.spikes_per_image == 0).all()
    assert (silent.cam_correlation == 0).all()


def test_constant_rate_maps_are_left_out(make_model, images, calibration_images):
    pooled = ncam.compat.import_tensorflow().keras.layers
    tail = (pooled.AveragePooling2D((8, 6)), pooled.GlobalAveragePooling2D(), pooled.Dense(3))
    curve = ncam.calibration_curve(
        make_model(*tail), images, calibrate_on=calibration_images, target_rates=[200], n_steps=3, progress_bar=False
    )
    assert curve.cam_correlation.isnull().all()
    assert curve.agreement.notnull().all()


def test_options_of_the_conversion_arrive(curve, curve_of):
    plain, filtered = curve_of(balance=False), curve_of(synapse=0.005)
    assert plain.attrs["channels"] == "as in the model"
    assert curve.attrs["channels"] == "balanced"
    assert "Lowpass" in filtered.attrs["synapse"]
    by_hand = curve_of(scale_firing_rates={"conv0": 100, "conv1": 100})
    xr.testing.assert_equal(by_hand.isel(target_rate=0, drop=True), by_hand.isel(target_rate=1, drop=True))


def test_progress_is_one_bar_unless_switched_off(curve_of, capsys):
    curve_of(progress_bar=True)
    shown = capsys.readouterr().err
    assert "10/10" in shown
    assert "300 Hz" in shown
    assert "step" not in shown
    curve_of()
    assert capsys.readouterr().err == ""


def test_images_out_of_range_are_warned_of_once(curve_of, images):
    with pytest.warns(InputRangeWarning, match="values from") as caught:
        curve_of(images=255 * images, minibatch_size=2)
    (ours,) = [warning for warning in caught if warning.category is InputRangeWarning]
    assert ours.filename == __file__


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"images": np.zeros((2, 8, 5, 2))}, ImageError, "images: wrong shape"),
        ({"images": np.zeros((2, 3, 8, 6, 2))}, ImageError, r"images: expected still images, \(N, 8, 6, 2\)"),
        ({"calibrate_on": np.full((2, 8, 6, 2), np.nan)}, ImageError, "calibrate_on: expected finite values"),
        ({"classes": [0, 1]}, LabelError, "classes: expected one whole number for each of 5 images"),
        ({"classes": np.eye(5, 3)}, LabelError, r"got float64 of shape \(5, 3\)"),
        ({"classes": [0.0] * 5}, LabelError, "got float64"),
        ({"classes": [0, 1, 2, 3, 0]}, LabelError, "classes: 3 does not exist; expected indices from 0 to 2"),
        ({"classes": [0, 1, 2, -1, 0]}, LabelError, "classes: -1 does not exist"),
        ({"target_rates": []}, ParameterError, "target_rates: expected at least one rate"),
        ({"target_rates": [100, 100.0]}, ParameterError, r"each once, got \[100.0, 100.0\]"),
        ({"target_rates": [100, 0]}, ParameterError, "target_rates: expected a positive number of Hz, got 0"),
        ({"target_rates": "fast"}, ParameterError, "target_rates: expected a positive number of Hz, got 'f'"),
        ({"target_rate": 100}, ParameterError, "target_rate: expected target_rates"),
        ({"n_steps": 0}, ParameterError, "n_steps: expected a whole number of at least 1"),
        ({"burn_in": 12}, ParameterError, "burn_in: expected a whole number of steps from 0 to 11"),
        ({"burn_in": -1}, ParameterError, "burn_in: .* got -1"),
        ({"burn_in": 0.002}, ParameterError, "burn_in: .* got 0.002"),
        ({"percentile": 0}, ParameterError, "percentile: expected a number above 0"),
        ({"minibatch_size": None}, ParameterError, "minibatch_size: expected a whole number"),
        ({"dt": 0}, ParameterError, "dt: expected a positive number of seconds"),
        ({"seed": -1}, ParameterError, "seed: expected a whole number"),
        ({"simulator": None}, SimulatorError, "simulator: .* expected a simulator class, got"),
        ({"neurons": []}, ParameterError, "neurons: expected at least one neuron type"),
        ({"neurons": {}}, ParameterError, "neurons: expected at least one neuron type"),
        ({"neurons": "LIF"}, ParameterError, "neurons: expected Nengo neuron types, got 'LIF'"),
        ({"neurons": nengo.LIF}, ParameterError, "neurons: expected instances of neuron types, got the class LIF"),
        ({"neurons": None}, ParameterError, "neurons: .* expected spiking neuron types, got None"),
        ({"neurons": [nengo.LIF(), nengo.LIFRate()]}, ParameterError, r"got LIFRate\(\), which does not spike"),
        ({"neurons": [nengo.LIF(), nengo.LIF()]}, ParameterError, "neurons: some have the same class"),
        ({"neurons": {1: nengo.LIF()}}, ParameterError, "neurons: expected names that are strings"),
    ],
)
def test_errors_come_before_the_conversion(curve_of, monkeypatch, options, error, message):
    monkeypatch.setitem(ncam.calibration_curve.__globals__, "convert", None)
    with pytest.raises(error, match=message):
        curve_of(**options)


def test_an_open_simulator_has_only_one_network(curve_of, small_model, images):
    net = ncam.convert(small_model, calibrate_on=images)
    with (
        ncam.Simulator(net.net, progress_bar=False) as sim,
        pytest.raises(SimulatorError, match="each firing rate is a network of its own"),
    ):
        curve_of(simulator=sim)


def test_models_that_do_not_fit(make_model, images):
    with pytest.raises(ModelTypeError, match="expected"):
        ncam.calibration_curve("model.h5", images, calibrate_on=images)
    layers = ncam.compat.import_tensorflow().keras.layers
    with pytest.raises(HeadError, match="small"):
        ncam.calibration_curve(make_model(layers.Flatten(), layers.Dense(3)), images, calibrate_on=images)
    linear = make_model(channels=())
    with (
        pytest.warns(NonSpikingWarning, match="do not spike"),
        pytest.raises(UnsupportedModelError, match="none of its layers spikes"),
    ):
        ncam.calibration_curve(linear, images, calibrate_on=images, progress_bar=False)


def test_the_cnn_is_not_asked_again_for_each_rate(curve, curve_of, monkeypatch):
    """What it answers is known from its maps; agreement with it is measured, and not warned of."""

    def never(*_, **__):
        raise AssertionError("the CNN was run again")

    monkeypatch.setattr(ncam.CAMNetwork, "cnn_logits", never)
    xr.testing.assert_equal(curve_of(), curve)
