"""The operator by itself, in networks by hand: weights that learn, weights of every form."""

import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.compat import without_decoder_cache, without_gpu_advice
from nengo_cam.exceptions import SimulatorError
from nengo_cam.measurement.map_operator import FeaturesToMaps, oriented

SIMULATORS = {"nengo_cam": ncam.Simulator, "nengo_dl": nengo_dl.Simulator, "nengo": nengo.Simulator}
CELLS, CHANNELS, LABELS = 4, 6, 3


def network(labels=(0, 1, 2), learning=None, transform=None):
    """Make features that move, their mean in rate neurons, and a readout of these; give the maps' parts too."""
    rng = np.random.default_rng(0)
    features = rng.uniform(0.5, 1, (9, CELLS * CHANNELS))
    weights = rng.normal(size=(LABELS, CHANNELS))
    with nengo.Network(seed=0) as net:
        source = nengo.Node(nengo.processes.PresentInput(features, 0.001))
        pooled = nengo.Ensemble(
            CHANNELS, 1, neuron_type=nengo.RectifiedLinear(), gain=np.ones(CHANNELS), bias=np.zeros(CHANNELS)
        )
        mean = np.kron(np.ones((1, CELLS)) / CELLS, np.eye(CHANNELS))
        nengo.Connection(source, pooled.neurons, transform=mean, synapse=None)
        logits = nengo.Node(size_in=LABELS)
        readout = nengo.Connection(
            pooled.neurons, logits, synapse=None, learning_rule_type=learning,
            transform=weights if transform is None else transform(weights),
        )  # fmt: skip
        if learning is not None:
            nengo.Connection(nengo.Node([3.0, -2.0, 1.0]), readout.learning_rule, synapse=None)
        # As `cam_node` does it: built before the readout.
        with nengo.Network():
            maps = FeaturesToMaps(readout, np.array(labels), n_labels=LABELS, map_shape=(2, 2), n_channels=CHANNELS)
            nengo.Connection(source, maps, synapse=None)
        probes = [nengo.Probe(obj) for obj in (maps, logits)]
        if learning is not None:
            probes.append(nengo.Probe(readout, "weights"))
    return net, features.reshape(9, CELLS, CHANNELS), weights, probes


def run(net, simulator):
    with without_gpu_advice(), without_decoder_cache(), SIMULATORS[simulator](net, progress_bar=False) as sim:
        sim.run_steps(9)
        return sim.data


FORMS = {
    "matrix": None,
    "convolution": lambda weights: nengo.Convolution(
        LABELS, (1, 1, CHANNELS), kernel_size=(1, 1), init=weights.T[None, None]
    ),
}


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("form", FORMS)
def test_maps_against_a_slow_loop(form, simulator):
    net, features, weights, (maps, logits) = network(labels=(2, 0), transform=FORMS[form])
    data = run(net, simulator)
    found = data[maps].reshape(9, 2, CELLS)
    for step, row, cell in np.ndindex(found.shape):
        label = (2, 0)[row]
        expected = sum(weights[label, k] * features[step, cell, k] for k in range(CHANNELS))
        assert found[step, row, cell] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(found.mean(axis=2), data[logits][:, [2, 0]], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("simulator", ["nengo", "nengo_dl"])
def test_map_of_a_step_has_the_weights_of_that_step(simulator):
    net, features, start, (maps, logits, weights) = network(learning=nengo.PES(300, pre_synapse=None))
    data = run(net, simulator)
    found = data[maps].reshape(9, LABELS, CELLS)
    used = data[weights]
    # What the rule finds in a step changes the weights of the next one.
    np.testing.assert_allclose(used[0], start, rtol=1e-6)
    assert np.abs(np.diff(used, axis=0))[1:].max(axis=(1, 2)).min() > 0.05
    np.testing.assert_allclose(found, np.einsum("tlk,tck->tlc", used, features), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.mean(axis=2), data[logits], rtol=1e-4, atol=1e-5)
    with pytest.raises(SimulatorError, match="weights that change while it runs"):
        ncam.Simulator(net)


@pytest.mark.parametrize("items", [1, 2])
def test_each_item_learns_for_itself(items):
    """NengoDL gives each item of a minibatch weights of its own, where a rule changes them."""
    net, features, _, (maps, _, weights) = network(learning=nengo.PES(300, pre_synapse=None))
    source = net.nodes[0]
    fed = np.stack([features.reshape(9, -1), features[::-1].reshape(9, -1)])[:items]
    with without_gpu_advice(), nengo_dl.Simulator(net, minibatch_size=items, progress_bar=False) as sim:
        sim.run_steps(9, data={source: fed})
        assert items == 1 or np.abs(sim.data[weights][0, -1] - sim.data[weights][1, -1]).max() > 0.01
        expected = np.einsum("ntlk,ntck->ntlc", sim.data[weights], fed.reshape(items, 9, CELLS, CHANNELS))
        np.testing.assert_allclose(sim.data[maps].reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


def test_nengo_may_try_operators_when_they_are_added(monkeypatch):
    net, features, weights, (maps, _) = network()
    monkeypatch.setitem(nengo.rc["nengo.Simulator"], "fail_fast", "True")
    data = run(net, "nengo")
    np.testing.assert_allclose(
        data[maps].reshape(9, LABELS, CELLS), np.einsum("lk,tck->tlc", weights, features), rtol=1e-6
    )


def test_weights_that_are_no_kernel_are_refused():
    net, *_ = network()
    net.networks[0].nodes[0].n_channels = 5
    with pytest.raises(SimulatorError, match=r"are no kernel; expected 3 x 5 numbers, got \(3, 6\)"):
        nengo.Simulator(net, progress_bar=False)


def test_operator_runs_only_if_somebody_looks():
    net, *_ = network()
    with ncam.Simulator(net, progress_bar=False) as sim:
        assert _levels(sim) == {"runs"}
    net.probes[:] = net.probes[1:]
    with net.networks[0]:
        # A state that moves, and a part of the map, for nobody.
        nengo.Connection(net.networks[0].nodes[0][:2], nengo.Node(size_in=2), synapse=0.1)
    with ncam.Simulator(net, progress_bar=False) as sim:
        assert _levels(sim) == {"idle"}
    seen = []
    with net.networks[0]:
        nengo.Connection(net.networks[0].nodes[1], nengo.Node(lambda t, x: seen.append(t), size_in=2, size_out=0))
    with ncam.Simulator(net, progress_bar=False) as sim:
        assert _levels(sim) == {"runs"}
        sim.run_steps(4)
    assert len(seen) == 4


def _levels(sim):
    """Tell whether the operator, and what follows from it alone, runs."""
    plan = sim._engine.plan
    numbers = [n for n, task in enumerate(plan.tasks) if task.rule.optional]
    assert numbers
    return {"idle" if number in plan.idle else "runs" for number in numbers}


def test_kernels_with_labels_first():
    weights = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(oriented(weights, 2), weights)
    np.testing.assert_array_equal(oriented(weights.T.reshape(1, 1, 3, 2), 2), weights)
