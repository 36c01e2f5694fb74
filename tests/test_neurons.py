import math

import nengo
import nengo_dl
import numpy as np
import pytest

from nengo_cam import IntegrateAndFire, compat


def run_slowly(current, dt, amplitude, voltage):
    """The equations of the docstring, one number at a time."""
    outputs, voltages = [], []
    for j in current:
        voltage = voltage + j * dt
        n = max(0, int(np.floor(voltage)))
        voltage = voltage - n
        outputs.append(n * amplitude / dt)
        voltages.append(voltage)
    return np.array(outputs), np.array(voltages)


@pytest.mark.parametrize("initial", [0.5, 0.0])
def test_step_against_a_slow_loop(initial):
    dt, n_neurons = 0.001, 7
    current = np.random.default_rng(0).normal(300, 900, (200, n_neurons))
    neurons = IntegrateAndFire(amplitude=0.25, initial_state={"voltage": nengo.dists.Choice([initial])})
    state = neurons.make_state(n_neurons)
    output, outputs, voltages = np.zeros(n_neurons), [], []
    for row in current:
        neurons.step(dt, row, output, **state)
        outputs.append(output.copy())
        voltages.append(state["voltage"].copy())
    for k in range(n_neurons):
        expected_outputs, expected_voltages = run_slowly(current[:, k], dt, 0.25, initial)
        np.testing.assert_allclose(np.array(outputs)[:, k], expected_outputs)
        np.testing.assert_allclose(np.array(voltages)[:, k], expected_voltages, atol=1e-9)


def network(neuron_type, current):
    with nengo.Network(seed=0) as net:
        node = nengo.Node(lambda t: current[round(t / 0.001) - 1])
        ensemble = nengo.Ensemble(
            current.shape[1], 1, neuron_type=neuron_type, gain=nengo.dists.Choice([1]), bias=nengo.dists.Choice([0])
        )
        nengo.Connection(node, ensemble.neurons, synapse=None)
        net.probe = nengo.Probe(ensemble.neurons)
    return net


def test_same_spikes_in_nengo_and_nengo_dl():
    # Eighths of a threshold per step are exact in float32, so not one spike may differ.
    current = np.random.default_rng(2).integers(-8, 12, (300, 20)) * 125.0
    net = network(IntegrateAndFire(amplitude=0.5), current)
    with net:
        nengo_dl.configure_settings(dtype="float64")
    with nengo.Simulator(net, progress_bar=False) as reference:
        reference.run_steps(300)
    with compat.without_gpu_advice(), nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(300)
    np.testing.assert_array_equal(sim.data[net.probe], reference.data[net.probe])
    assert reference.data[net.probe].any()


def test_nengo_dl_runs_it_natively(recwarn):
    net = network(IntegrateAndFire(), np.ones((5, 2)))
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(5)
    assert not [w for w in recwarn if "native TensorFlow implementation" in str(w.message)]


def test_mean_output_tends_to_the_rate_form():
    rates = np.linspace(-300, 700, 11)
    current = np.repeat(rates[None], 1000, axis=0)
    net = network(IntegrateAndFire(amplitude=2), current)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(1000)
    mean = sim.data[net.probe].mean(0)
    np.testing.assert_allclose(mean, 2 * np.maximum(rates, 0), atol=2 * 0.5 + 1e-6)
    np.testing.assert_allclose(
        IntegrateAndFire(amplitude=2).rates(rates[:, None], [1.0], [0.0]), 2 * np.maximum(rates, 0)[:, None]
    )


def test_fluctuating_input_of_negative_mean_stays_silent_in_the_mean():
    """The bias of Nengo's own spiking ReLU, and that it is gone."""
    rng = np.random.default_rng(3)
    current = rng.normal(-50, 500, (2000, 50))
    means = {}
    for neurons in (IntegrateAndFire(), nengo.SpikingRectifiedLinear()):
        net = network(neurons, current)
        with nengo.Simulator(net, progress_bar=False) as sim:
            sim.run_steps(2000)
        means[type(neurons).__name__] = sim.data[net.probe].mean()
    # E[relu(J)] for a normal J, in closed form, is what the stock neuron fires at.
    z = -50 / 500
    density, below = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), 0.5 * (1 + math.erf(z / np.sqrt(2)))
    assert means["SpikingRectifiedLinear"] == pytest.approx(500 * density - 50 * below, rel=0.05)
    assert means["IntegrateAndFire"] < 0.1 * means["SpikingRectifiedLinear"]


def test_trains_through_its_rate_form():
    with nengo.Network(seed=0) as net:
        node = nengo.Node([1.0])
        ensemble = nengo.Ensemble(
            1, 1, neuron_type=IntegrateAndFire(), gain=nengo.dists.Choice([1]), bias=nengo.dists.Choice([0])
        )
        connection = nengo.Connection(node, ensemble.neurons, transform=[[3.0]], synapse=None)
        probe = nengo.Probe(ensemble.neurons)
    import tensorflow as tf

    with compat.without_gpu_advice(), nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.compile(tf.keras.optimizers.SGD(0.1), loss={probe: "mse"})
        sim.fit(n_steps=1, y={probe: np.full((1, 1, 1), 5.0)}, epochs=1, verbose=0)
        trained = float(sim.data[connection].weights.squeeze())
    # The rate form is relu(w), so one step goes from 3 by 0.1 * 2 * (5 - 3).
    assert trained == pytest.approx(3.4, rel=1e-4)
