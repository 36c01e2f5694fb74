"""The time axis and the attributes of results: the same names everywhere, in the same order."""

import nengo
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.measurement.provenance import provenance, time_axis

RUN = ["simulator", "dt", "seed", "readout", "spike_kind"]
VERSIONS = list(ncam.compat.package_versions())
MODEL = ["model", "head", "input_shape", "n_labels", "cell_centers"]
NETWORK = ["n_steps", "synapse", "neurons", "chosen", "firing_rate_scales", "channels"]


@pytest.mark.parametrize("dt", [0.001, 0.0005, 0.002])
def test_times_are_nengos(dt):
    with nengo.Network() as net:
        probe = nengo.Probe(nengo.Node(1.0))
    with nengo.Simulator(net, dt=dt, progress_bar=False) as sim:
        sim.run_steps(9)
    assert len(sim.data[probe]) == 9
    name, values, attrs = time_axis(9, dt)
    np.testing.assert_allclose(values, sim.trange(), rtol=1e-12)
    assert (name, attrs) == ("time", {"units": "s", "long_name": "time"})
    np.testing.assert_array_equal(time_axis([0, 3, 8], dt)[1], values[[0, 3, 8]])


def test_attributes_and_coordinates_of_all_results(small_model, images):
    net = ncam.convert(small_model, calibrate_on=images)
    run = {"n_steps": 4, "seed": 0, "progress_bar": False}
    maps = ncam.spiking_cam(net, images, count_spikes=True, keep_features=True, **run)
    assert list(maps.attrs) == [*MODEL, *RUN, *NETWORK, *VERSIONS]
    assert sorted(maps.coords) == ["image", "label", "layer", "time", "x", "y"]
    kept = ncam.spiking_cam(net, images, times=0.003, check_answers=False, **run)
    assert list(kept.attrs) == [*MODEL, *RUN, *NETWORK, "time_reduction", *VERSIONS]
    rate = ncam.rate_cam(net, images)
    assert list(rate.attrs) == [*MODEL, "simulator", *VERSIONS]
    assert sorted(rate.coords) == ["image", "label", "x", "y"]
    cost = ncam.measure_cost(net, images, **run)
    assert list(cost.attrs) == ["model", *RUN, "synapse", *VERSIONS]
    assert sorted(cost.coords) == ["cnn_layer", "image", "layer", "source", "time"]
    activity, report = ncam.measure_activity(net, images, **run).dataset, net.report.dataset
    assert list(activity.attrs) == [*report.attrs, *RUN, "n_steps", "n_images", "n_differing", "trained"]
    for one in (maps, cost, activity):
        assert {name: one.attrs[name] for name in RUN} == {
            "simulator": "nengo_cam.Simulator", "dt": 0.001, "seed": 0, "readout": "mean", "spike_kind": "signed unit",
        }  # fmt: skip
    np.testing.assert_array_equal(cost.time, maps.time)
    assert maps.attrs["chosen"] == net.choice
    # What was given was not chosen.
    given = ncam.spiking_cam(ncam.convert(small_model, calibrate_on=images, neurons=net.neurons), images, **run)
    assert list(given.attrs) == [*MODEL, *RUN, *(name for name in NETWORK if name != "chosen"), *VERSIONS]


def test_versions_come_last_and_the_model_first(small_model):
    attrs = provenance(ncam.find_head(small_model), {"b": 1, "a": 2})
    assert list(attrs) == ["model", "b", "a", *VERSIONS]
    assert attrs["model"] == "small"
