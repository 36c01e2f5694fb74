"""Relevance of spiking networks over time: nothing gets lost, and it becomes the CNN's."""

import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.attribution import lrp
from nengo_cam.attribution.composites import DeepTaylor, EpsilonPlus, PresetA
from nengo_cam.compat import import_nengo_dl
from nengo_cam.exceptions import ParameterError

SHARES = ("bias_share", "charge_share", "clip_share", "epsilon_share")


def ledger_error(found):
    """Largest difference between the logits that are explained and all that was booked of them."""
    total = found.attribution.sum(("y", "x"), dtype=float) + sum(
        found[name].sum("layer", dtype=float) for name in SHARES
    )
    logits = found.logits.sel(label=found.target) if "target" in found.coords else found.logits
    return float(abs(total - logits).max() / abs(found.logits).max())


@pytest.mark.parametrize(
    ("neurons", "simulator"),
    [
        (ncam.IntegrateAndFire(), ncam.Simulator),
        (ncam.SignedIntegrateAndFire(), import_nengo_dl().Simulator),
        (ncam.SigmaDelta(bits=2), ncam.Simulator),
        (None, ncam.Simulator),
    ],
    ids=["spikes", "signed", "levels", "rates"],
)
@pytest.mark.parametrize("composite", [EpsilonPlus(), PresetA(), DeepTaylor()], ids=str)
def test_nothing_gets_lost_at_any_time(small_model, images, neurons, simulator, composite):
    net = ncam.convert(small_model, neurons=neurons, calibrate_on=images)
    options = {"simulator": simulator, "seed": 0, "progress_bar": False, "check_answers": False}
    found = lrp(net, images, n_steps=30, composite=composite, **options)
    assert ledger_error(found) < 2e-5
    assert found.attribution.attrs["units"] == "logit" and found.attrs["method"] == "lrp"
    assert "conv0" in found.layer.values and np.isfinite(found.attribution).all()


def test_labels_of_all_and_the_ledger(small_model, images):
    net = ncam.convert(small_model, calibrate_on=images)
    found = lrp(net, images, n_steps=20, labels=[0, 1, 2], progress_bar=False)
    assert found.charge_share.dims == ("image", "time", "label", "layer")
    assert ledger_error(found) < 2e-5


def test_rates_of_the_network_are_the_cnns(small_model, images):
    net = ncam.convert(small_model, neurons=None)
    found = lrp(net, images, n_steps=3, progress_bar=False).isel(time=-1)
    rate = ncam.rate_attribute(small_model, images, "lrp")
    limit = 1e-5 * float(abs(rate.attribution).max())
    np.testing.assert_allclose(found.attribution, rate.attribution, atol=limit)
    assert not rate.charge_share.any()
    assert ledger_error(rate) < 2e-5


def test_what_is_in_membranes_falls_and_the_map_becomes_the_cnns(digits, digits_model):
    (train, _), (images, _) = digits
    net = ncam.convert(digits_model, calibrate_on=train[:100])
    found = lrp(net, images[:4], n_steps=100, times=[0.01, 0.1], seed=0, progress_bar=False)
    rate = ncam.rate_attribute(net, images[:4], "lrp")
    charge = abs(lrp(net, images[:4], n_steps=100, times=[0.01, 0.1], transport="coefficients", seed=0,
                     progress_bar=False).charge_share.sum("layer"))  # fmt: skip
    assert (charge.isel(time=1) < charge.isel(time=0)).all()
    correlation = ncam.correlation(found.attribution, rate.attribution)
    assert (correlation.isel(time=1) > 0.99).all()
    assert ledger_error(found) < 2e-5


def test_what_has_no_rule_is_refused_before_the_run(small_model, images, monkeypatch, tmp_path):
    net = ncam.convert(small_model, calibrate_on=images)
    found = lrp(net, images, n_steps=5, progress_bar=False)
    found.to_netcdf(tmp_path / "lrp.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "lrp.nc", engine="h5netcdf") as read:
        xr.testing.assert_identical(read.load(), found)
    monkeypatch.setattr("nengo_cam.measurement.run.open_backend", None)
    with pytest.raises(ParameterError, match="composite: it says which layer follows which rule"):
        lrp(net, images, n_steps=5, composite="EpsilonPlus")
    with pytest.raises(ParameterError, match="gate: 'lrp' has no such choice"):
        lrp(net, images, n_steps=5, gate="current")
