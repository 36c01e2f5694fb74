import html.parser
import re

import nengo
import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.exceptions import ParameterError
from nengo_cam.explaining.recommend import KINDS, Recommendation

STEPS = 30


@pytest.fixture(scope="module")
def found(small_model, images):
    return ncam.recommend(
        small_model, images, n_steps=STEPS, agreement=0.8, correlation=0.9, seed=0, progress_bar=False
    )


def test_numbers_are_those_of_runs_of_each_kind(found, small_model, images):
    """By Nengo's own simulator, image by image, for the unit spikes."""
    rate = ncam.rate_cam(small_model, images)
    expected = rate.logits.values.argmax(1)
    for name in list(KINDS)[:2]:
        net = ncam.convert(small_model, neurons=KINDS[name], calibrate_on=images)
        agreeing, correlations, events = [], [], []
        for image, label in zip(images, expected):
            with net.net:
                net.input.output = image.ravel()
            with net.probed_neurons() as probes, nengo.Simulator(net.net, progress_bar=False) as sim:
                sim.run_steps(STEPS)
                kernel, _ = net.readout_parameters(sim)
                activity = sim.data[net.features].mean(0).reshape(8, 6, -1)
                agreeing.append(sim.data[net.logits].mean(0).argmax() == label)
                spikes = [sim.data[probe] for probe in probes.values()]
                amplitudes = [e.neuron_type.amplitude for e in net.spiking_layers.values()]
                events.append(sum(np.abs(s).sum() * 0.001 / a for s, a in zip(spikes, amplitudes)))
            theirs = rate.cam.values[len(agreeing) - 1, label]
            correlations.append(np.corrcoef((activity @ kernel[:, label]).ravel(), theirs.ravel())[0, 1])
        row = found.dataset.sel(neurons=name)
        assert float(row.agreement) == np.mean(agreeing)
        np.testing.assert_allclose(row.map_correlation, np.median(correlations), atol=1e-3)
        np.testing.assert_allclose(row.events, np.mean(events), rtol=1e-3)


def test_what_is_settled_and_what_is_chosen(found):
    curve, data = found.curve, found.dataset
    assert list(data.neurons.values) == list(KINDS)
    first = None
    for name in KINDS:
        agreeing, maps = curve.agreement.sel(neurons=name).values, curve.cam_correlation.sel(neurons=name, quantile=0.5)
        good = [a >= 0.8 and m >= 0.9 for a, m in zip(agreeing, maps.values)]
        n_good = next((n for n, ok in enumerate(reversed(good)) if not ok), STEPS)
        row = data.sel(neurons=name)
        assert bool(row.carries) == good[-1]
        if good[-1]:
            first = first or name
            assert float(row.settled) == STEPS - n_good + 1
            assert float(row.events_until_settled) == curve.spikes_per_image.sel(neurons=name).values[STEPS - n_good]
        else:
            assert np.isnan(row.settled)
            assert np.isnan(row.events_until_settled)
    assert first == found.name
    assert found.choice is KINDS[first]
    assert data.sel(neurons="SigmaDelta(bits=None, quantum=0.2, threshold=5)").settled == 1
    assert data.spike_kind.values.tolist() == ["unit", "signed unit", "graded", "power of two", "graded"]


def test_the_order_of_kinds_is_the_order_of_preference(small_model, images):
    kinds = {"graded": ncam.SigmaDelta(bits=None), "shifted": ncam.SigmaDelta(bits=1)}
    run = {"n_steps": 20, "seed": 0, "progress_bar": False}
    assert ncam.recommend(small_model, images, kinds=kinds, **run).name == "graded"
    turned = dict(reversed(list(kinds.items())))
    assert ncam.recommend(small_model, images, kinds=turned, **run).choice is kinds["shifted"]
    named = ncam.recommend(small_model, images, kinds=[ncam.SigmaDelta(), ncam.IntegrateAndFire()], **run)
    assert named.dataset.neurons.values.tolist() == ["SigmaDelta", "IntegrateAndFire"]


def test_the_one_that_comes_closest_if_none_does(small_model, images):
    found = ncam.recommend(small_model, images, n_steps=2, seed=0, correlation=1, progress_bar=False)
    data = found.dataset
    assert not data.carries.any()
    ranks = sorted(zip(data.agreement.values, data.map_correlation.values, data.neurons.values), key=lambda r: r[:2])
    assert found.name == ranks[-1][2]
    assert "none carries the model" in found.sentence
    assert "Run more steps" in str(found)


class Cells(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.cells, self._inside = [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self._inside = tag in ("td", "th")

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.cells.append(data)


def test_it_prints_as_a_table(found):
    text = str(found)
    assert repr(found) == text
    assert text.splitlines()[0] == f"Neurons for model 'small': 5 images, {STEPS} steps, 200 Hz"
    for name, agreement in zip(KINDS, found.dataset.agreement.values):
        (line,) = [line for line in text.splitlines() if line.strip().startswith(name)]
        assert f"{agreement:.3f}" in line
        assert ("<-" in line) == (name == found.name)
    assert found.sentence in text
    cells = Cells(found._repr_html_()).cells
    assert {cell.removesuffix(" <-") for cell in cells} >= set(KINDS)


def test_a_saved_table_reads_as_before(found, tmp_path):
    found.dataset.to_netcdf(tmp_path / "table.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "table.nc") as saved:
        assert str(Recommendation(saved.load(), found.curve, found.choice)) == str(found)


def test_deep_networks_are_tried_without_warnings(make_model, images):
    """That unit spikes do not carry them is what the table says."""
    model = make_model(channels=(3,) * 6)
    found = ncam.recommend(model, images, n_steps=10, seed=0, progress_bar=False)
    assert found.name.startswith("SigmaDelta")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"agreement": 1.5}, "agreement: expected a number from 0 to 1, got 1.5"),
        ({"correlation": "high"}, "correlation: expected a number from -1 to 1, got 'high'"),
        ({"kinds": []}, "expected at least one neuron type"),
        ({"kinds": [None]}, "which does not spike"),
        ({"target_rate": 0}, "target_rate"),
        ({"n_steps": 0}, "n_steps"),
    ],
)
def test_wrong_arguments_are_refused(small_model, images, options, message):
    with pytest.raises(ParameterError, match=re.escape(message)):
        ncam.recommend(small_model, images, **{"progress_bar": False, **options})
