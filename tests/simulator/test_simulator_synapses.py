"""Synapses and processes against the reference simulator."""

import nengo
import numpy as np
import pytest

SYNAPSES = [
    nengo.Lowpass(0.01),
    nengo.Lowpass(0),
    nengo.Alpha(0.005),
    nengo.LinearFilter([1, 2], [1e-4, 0.02, 1]),
    nengo.LinearFilter([1e-3, 1], [1e-3, 2]),
    nengo.LinearFilter([0.3, 0.2], [1, -0.5], analog=False),
    nengo.LinearFilter([2.0], [1.0], analog=False),
    nengo.LinearFilter([1], [1e-6, 3e-4, 0.03, 1]),
    nengo.Triangle(0.01),
]

PROCESSES = [
    nengo.processes.WhiteSignal(0.05, high=100, seed=1),
    nengo.processes.WhiteNoise(seed=2),
    nengo.processes.FilteredNoise(seed=3),
    nengo.processes.BrownNoise(seed=3),
    nengo.processes.PresentInput([[0.5, 1], [-1, 2], [3, 0]], presentation_time=0.007),
    nengo.processes.Piecewise({0: [0, 0], 0.01: [1, 2], 0.02: [-1, 0.5]}),
]


class Accumulate(nengo.Process):
    """A process with an input that draws random numbers."""

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {"total": np.zeros(shape_out)}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        total = state["total"]

        def step(t, x):
            assert x.shape == shape_in
            total[...] += dt * x + 0.01 * rng.uniform(size=total.shape)
            return total

        return step


@pytest.mark.parametrize("synapse", SYNAPSES, ids=str)
@pytest.mark.parametrize("size", [1, 3])
def test_synapses_equal_the_reference(synapse, size, same_as_nengo):
    with nengo.Network(seed=1) as net:
        stimulus = nengo.Node(lambda t: np.sin(300 * t + np.arange(size)), size_out=size)
        constant = nengo.Node(np.ones(size))
        node = nengo.Node(size_in=size)
        nengo.Connection(stimulus, node, synapse=synapse)
        nengo.Connection(constant, node, synapse=synapse)
        nengo.Probe(node)
        nengo.Probe(stimulus, synapse=synapse)
        nengo.Probe(nengo.Node(synapse, size_in=size, size_out=size))
    same_as_nengo(net)


@pytest.mark.parametrize("synapse", SYNAPSES, ids=str)
def test_items_are_filtered_by_themselves(synapse, simulator_class):
    with nengo.Network(seed=1) as net:
        stimulus = nengo.Node(np.zeros(2))
        probe = nengo.Probe(stimulus, synapse=synapse)
    signals = np.random.RandomState(0).normal(size=(4, 30, 2))
    with simulator_class(net, minibatch_size=4, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(12, data={stimulus: signals[:, :12]})
        sim.run_steps(18, data={stimulus: signals[:, 12:]})
    for item, signal in enumerate(signals):
        # A probe reads what was filtered up to the step before.
        expected = synapse.filt(signal, dt=0.001, y0=0)
        np.testing.assert_allclose(sim.data[probe][item, 1:], expected[:-1], rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(sim.data[probe][item, 0], 0)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_processes_equal_the_reference(process, same_as_nengo):
    with nengo.Network(seed=1) as net:
        node = nengo.Node(process, size_out=2)
        nengo.Probe(node), nengo.Probe(node, synapse=0.01)
    same_as_nengo(net)


def test_processes_without_a_seed_draw_what_the_reference_draws(same_as_nengo):
    with nengo.Network(seed=1) as net:
        for _ in range(3):
            nengo.Probe(nengo.Node(nengo.processes.WhiteNoise(), size_out=2), synapse=0.01)
        node = nengo.Node(Accumulate(), size_in=2, size_out=2)
        nengo.Connection(nengo.Node([1, -1]), node)
        ensemble = nengo.Ensemble(10, 1, noise=nengo.processes.WhiteNoise())
        nengo.Probe(node), nengo.Probe(ensemble.neurons)
    same_as_nengo(net)


def test_a_process_with_input_runs_for_each_item(simulator_class):
    with nengo.Network(seed=1) as net:
        stimulus = nengo.Node([0.0])
        node = nengo.Node(Accumulate(seed=3), size_in=1, size_out=1)
        nengo.Connection(stimulus, node, synapse=None)
        probe = nengo.Probe(node)
    signals = np.array([0.0, 1.0, 2.0]).reshape(3, 1, 1)
    with simulator_class(net, minibatch_size=3, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(10, data={stimulus: signals})
    drift = np.diff(sim.data[probe][:, :, 0], axis=0)
    np.testing.assert_allclose(drift, np.tile(0.001 * np.arange(1, 11), (2, 1)))
