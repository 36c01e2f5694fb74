import math

import nengo
import nengo_dl
import numpy as np
import pytest

from nengo_cam import IntegrateAndFire, SignedIntegrateAndFire, compat

NEURONS = [
    IntegrateAndFire(amplitude=0.5),
    SignedIntegrateAndFire(amplitude=0.5),
    SignedIntegrateAndFire(amplitude=0.5, negative_threshold=0),
]


def run_slowly(current, dt, amplitude, voltage, negative_threshold=math.inf):
    """The equations of the docstrings, one number at a time."""
    outputs, voltages, count = [], [], 0
    for j in current:
        voltage = voltage + j * dt
        n = 0
        while voltage - n >= 1:
            n += 1
        while voltage - n < -negative_threshold and count + n > 0:
            n -= 1
        voltage = voltage - n
        count += n
        outputs.append(n * amplitude / dt)
        voltages.append(voltage)
    return np.array(outputs), np.array(voltages)


@pytest.mark.parametrize("initial", [0.5, 0.0])
@pytest.mark.parametrize("negative_threshold", [math.inf, 1.0, 0.5, 0.0])
def test_step_against_a_slow_loop(initial, negative_threshold):
    dt, n_neurons = 0.001, 7
    current = np.random.default_rng(0).normal(300, 900, (200, n_neurons))
    options = {"amplitude": 0.25, "initial_state": {"voltage": nengo.dists.Choice([initial])}}
    neurons = IntegrateAndFire(**options)
    if math.isfinite(negative_threshold):
        neurons = SignedIntegrateAndFire(negative_threshold=negative_threshold, **options)
    state = neurons.make_state(n_neurons)
    output, outputs, voltages = np.zeros(n_neurons), [], []
    for row in current:
        neurons.step(dt, row, output, **state)
        outputs.append(output.copy())
        voltages.append(state["voltage"].copy())
    assert (np.min(outputs) < 0) == math.isfinite(negative_threshold)
    for k in range(n_neurons):
        expected_outputs, expected_voltages = run_slowly(current[:, k], dt, 0.25, initial, negative_threshold)
        np.testing.assert_allclose(np.array(outputs)[:, k], expected_outputs)
        np.testing.assert_allclose(np.array(voltages)[:, k], expected_voltages, atol=1e-9)


def test_without_a_negative_threshold_the_count_is_the_rounded_integral():
    current = np.random.default_rng(1).integers(-9, 10, (300, 20)) * 62.5
    net = network(SignedIntegrateAndFire(negative_threshold=0), current)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(300)
    counts = np.cumsum(sim.data[net.probe] * 0.001, axis=0)
    integral = np.cumsum(current * 0.001, axis=0)
    np.testing.assert_allclose(counts, np.maximum(np.floor(integral + 0.5), 0), atol=1e-9)


@pytest.mark.parametrize("threshold", [-0.1, "much"])
def test_a_negative_threshold_is_a_distance(threshold):
    with pytest.raises(nengo.exceptions.ValidationError, match="negative_threshold"):
        SignedIntegrateAndFire(negative_threshold=threshold)


def network(neuron_type, current):
    with nengo.Network(seed=0) as net:
        node = nengo.Node(lambda t: current[round(t / 0.001) - 1])
        ensemble = nengo.Ensemble(
            current.shape[1], 1, neuron_type=neuron_type, gain=nengo.dists.Choice([1]), bias=nengo.dists.Choice([0])
        )
        nengo.Connection(node, ensemble.neurons, synapse=None)
        net.probe = nengo.Probe(ensemble.neurons)
    return net


@pytest.mark.parametrize("neurons", NEURONS, ids=str)
def test_same_spikes_in_nengo_and_nengo_dl(neurons):
    # Eighths of a threshold per step are exact in float32, so not one spike may differ.
    current = np.random.default_rng(2).integers(-8, 12, (300, 20)) * 125.0
    net = network(neurons, current)
    with net:
        nengo_dl.configure_settings(dtype="float64")
    with nengo.Simulator(net, progress_bar=False) as reference:
        reference.run_steps(300)
    with compat.without_gpu_advice(), nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(300)
    np.testing.assert_array_equal(sim.data[net.probe], reference.data[net.probe])
    assert reference.data[net.probe].any()


@pytest.mark.parametrize("neurons", NEURONS, ids=str)
def test_nengo_dl_runs_it_natively(neurons, recwarn):
    net = network(neurons, np.ones((5, 2)))
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(5)
    assert not [w for w in recwarn if "native TensorFlow implementation" in str(w.message)]


@pytest.mark.parametrize("kind", [IntegrateAndFire, SignedIntegrateAndFire])
def test_mean_output_tends_to_the_rate_form(kind):
    rates = np.linspace(-300, 700, 11)
    current = np.repeat(rates[None], 1000, axis=0)
    net = network(kind(amplitude=2), current)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(1000)
    mean = sim.data[net.probe].mean(0)
    np.testing.assert_allclose(mean, 2 * np.maximum(rates, 0), atol=2 * 0.5 + 1e-6)
    np.testing.assert_allclose(kind(amplitude=2).rates(rates[:, None], [1.0], [0.0]), 2 * np.maximum(rates, 0)[:, None])


def test_fluctuating_input_of_negative_mean_stays_silent_in_the_mean():
    """The bias of Nengo's own spiking ReLU, and that it is gone."""
    rng = np.random.default_rng(3)
    current = rng.normal(-50, 500, (2000, 50))
    means = {}
    for neurons in (IntegrateAndFire(), SignedIntegrateAndFire(), nengo.SpikingRectifiedLinear()):
        net = network(neurons, current)
        with nengo.Simulator(net, progress_bar=False) as sim:
            sim.run_steps(2000)
        means[type(neurons).__name__] = sim.data[net.probe].mean()
    # E[relu(J)] for a normal J, in closed form, is what the stock neuron fires at.
    z = -50 / 500
    density, below = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), 0.5 * (1 + math.erf(z / np.sqrt(2)))
    assert means["SpikingRectifiedLinear"] == pytest.approx(500 * density - 50 * below, rel=0.05)
    assert means["IntegrateAndFire"] < 0.1 * means["SpikingRectifiedLinear"]
    assert means["SignedIntegrateAndFire"] < means["IntegrateAndFire"]


@pytest.mark.parametrize("neurons", NEURONS, ids=str)
def test_trains_through_its_rate_form(neurons):
    with nengo.Network(seed=0) as net:
        node = nengo.Node([1.0])
        ensemble = nengo.Ensemble(1, 1, neuron_type=neurons, gain=nengo.dists.Choice([1]), bias=nengo.dists.Choice([0]))
        connection = nengo.Connection(node, ensemble.neurons, transform=[[3.0]], synapse=None)
        probe = nengo.Probe(ensemble.neurons)
    import tensorflow as tf

    with compat.without_gpu_advice(), nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.compile(tf.keras.optimizers.SGD(0.1), loss={probe: "mse"})
        sim.fit(n_steps=1, y={probe: np.full((1, 1, 1), 5.0)}, epochs=1, verbose=0)
        trained = float(sim.data[connection].weights.squeeze())
    # The rate form is a relu(w), so one step goes from 3 by 0.1 * 2 a (5 - a 3).
    assert trained == pytest.approx(3 + 0.1 * 2 * 0.5 * (5 - 0.5 * 3), rel=1e-4)
