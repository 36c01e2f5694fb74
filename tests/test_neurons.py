import math
import os
import pickle
import subprocess
import sys

import nengo
import nengo_dl
import numpy as np
import pytest

from nengo_cam import (
    ClippedIntegrateAndFire,
    ClippedRectifiedLinear,
    IntegrateAndFire,
    SigmaDelta,
    SignedClippedIntegrateAndFire,
    SignedIntegrateAndFire,
    compat,
)
from nengo_cam.neurons import clipped

NEURONS = [
    IntegrateAndFire(amplitude=0.5),
    SignedIntegrateAndFire(amplitude=0.5),
    SignedIntegrateAndFire(amplitude=0.5, negative_threshold=0),
    ClippedRectifiedLinear(60, amplitude=0.5),
    ClippedIntegrateAndFire(60, amplitude=0.5),
    ClippedIntegrateAndFire(np.linspace(20, 60, 20), amplitude=0.5),
    SignedClippedIntegrateAndFire(60, amplitude=0.5),
    SignedClippedIntegrateAndFire(np.linspace(20, 60, 20), amplitude=0.5, negative_threshold=0),
    IntegrateAndFire(amplitude=0.5, floor=-1),
    ClippedIntegrateAndFire(60, amplitude=0.5, floor=-0.5),
    SignedIntegrateAndFire(amplitude=0.5, negative_threshold=0.25, memory=2),
    SignedClippedIntegrateAndFire(60, amplitude=0.5, negative_threshold=0.25, memory=2),
    SigmaDelta(amplitude=0.5),
    SigmaDelta(bits=None, max_value=60, amplitude=0.5),
    SigmaDelta(bits=1, max_value=np.linspace(20, 60, 20), amplitude=0.5),
]


def name_of(neurons):
    return f"{type(neurons).__name__} {np.shape(getattr(neurons, 'max_value', 0))}"


def run_slowly(
    current,
    dt,
    amplitude,
    voltage,
    negative_threshold=math.inf,
    max_value=math.inf,
    memory=math.inf,
    floor=-math.inf,
):
    """The equations of the docstrings, one number at a time."""
    outputs, voltages, count, remembered = [], [], 0, 0
    for step, j in enumerate(current):
        voltage = voltage + j * dt
        n = 0
        while voltage - n >= 1 and count + n + 1 <= max_value / amplitude * dt * (step + 1) + 0.5:
            n += 1
        while voltage - n < -negative_threshold and remembered + n > 0:
            n -= 1
        voltage = voltage - n
        count += n
        remembered = min(remembered + n, memory)
        voltage = max(voltage, floor)
        if remembered == 0:
            voltage = max(voltage, -memory)
        outputs.append(n * amplitude / dt)
        voltages.append(voltage)
    return np.array(outputs), np.array(voltages)


@pytest.mark.parametrize("initial", [0.5, 0.0])
@pytest.mark.parametrize("negative_threshold", [math.inf, 1.0, 0.5, 0.0])
@pytest.mark.parametrize("max_value", [math.inf, 65.1, 20.3])
@pytest.mark.parametrize("bound", [None, 1, 2])
def test_step_against_a_slow_loop(initial, negative_threshold, max_value, bound):
    dt, n_neurons = 0.001, 7
    signed = math.isfinite(negative_threshold)
    bounds = {} if bound is None else {"memory": bound} if signed else {"floor": -bound / 4}
    current = np.random.default_rng(0).normal(300, 900, (200, n_neurons))
    options = {"amplitude": 0.25, "initial_state": {"voltage": nengo.dists.Choice([initial])}}
    if signed:
        neurons = SignedIntegrateAndFire(negative_threshold=negative_threshold, **options, **bounds)
    else:
        neurons = IntegrateAndFire(**options, **bounds)
    if math.isfinite(max_value):
        neurons = clipped(neurons, max_value / 0.25)
        assert neurons.max_value == max_value
    state = neurons.make_state(n_neurons)
    output, outputs, voltages = np.zeros(n_neurons), [], []
    for row in current:
        neurons.step(dt, row, output, **state)
        outputs.append(output.copy())
        voltages.append(state["voltage"].copy())
    assert (np.min(outputs) < 0) == signed
    for k in range(n_neurons):
        expected_outputs, expected_voltages = run_slowly(
            current[:, k], dt, 0.25, initial, negative_threshold, max_value, **bounds
        )
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


@pytest.mark.parametrize("kind", [IntegrateAndFire, lambda floor: ClippedIntegrateAndFire(6, floor=floor)])
@pytest.mark.parametrize("floor", [0.1, math.nan, -math.inf, "low"])
def test_a_floor_is_not_positive(kind, floor):
    with pytest.raises(nengo.exceptions.ValidationError, match=r"IntegrateAndFire\.floor: "):
        kind(floor=floor)


@pytest.mark.parametrize(
    "kind", [SignedIntegrateAndFire, lambda memory: SignedClippedIntegrateAndFire(6, memory=memory)]
)
@pytest.mark.parametrize("memory", [0, -1, 1.5, math.inf, "long"])
def test_a_memory_is_a_number_of_spikes(kind, memory):
    with pytest.raises(nengo.exceptions.ValidationError, match=r"IntegrateAndFire\.memory: "):
        kind(memory=memory)


@pytest.mark.parametrize(
    ("neurons", "bounded"),
    [
        (IntegrateAndFire(), IntegrateAndFire(floor=-1)),
        (SignedIntegrateAndFire(negative_threshold=0.25), SignedIntegrateAndFire(negative_threshold=0.25, memory=2)),
    ],
    ids=str,
)
def test_what_is_bounded_answers_a_change_sooner(neurons, bounded):
    """Ten spikes' worth of inhibition, then excitation of 100 Hz: a spike every ten steps."""
    current = np.repeat([-1000.0, 100.0], [10, 200])[:, None]
    first = []
    for neuron_type in (neurons, bounded):
        net = network(neuron_type, current)
        with nengo.Simulator(net, progress_bar=False) as sim:
            sim.run_steps(len(current))
        first.append(int(np.argmax(sim.data[net.probe][10:, 0] > 0)))
    # From half a threshold below -9 to one, or from the bound: steps of a tenth.
    remembered = 1 if bounded.floor else 2
    assert first == [pytest.approx(105, abs=1), pytest.approx(10 * (1 + remembered), abs=1)]


def network(neuron_type, current):
    with nengo.Network(seed=0) as net:
        node = nengo.Node(lambda t: current[round(t / 0.001) - 1])
        ensemble = nengo.Ensemble(
            current.shape[1], 1, neuron_type=neuron_type, gain=nengo.dists.Choice([1]), bias=nengo.dists.Choice([0])
        )
        nengo.Connection(node, ensemble.neurons, synapse=None)
        net.probe = nengo.Probe(ensemble.neurons)
    return net


@pytest.mark.parametrize("neurons", NEURONS, ids=name_of)
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


@pytest.mark.parametrize("neurons", NEURONS, ids=name_of)
def test_nengo_dl_runs_it_natively(neurons, recwarn):
    net = network(neurons, np.ones((5, 20)))
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(5)
    assert not [w for w in recwarn if "native TensorFlow implementation" in str(w.message)]


@pytest.mark.parametrize("max_rate", [100.25, np.linspace(90.3, 110.3, 20)], ids=["one", "each"])
def test_the_clipped_count_is_the_rounded_integral_between_bounds(max_rate):
    current = np.random.default_rng(1).integers(-9, 12, (300, 20)) * 62.5
    net = network(SignedClippedIntegrateAndFire(max_rate, negative_threshold=0), current)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(300)
    counts = np.cumsum(sim.data[net.probe] * 0.001, axis=0)
    integral, time = np.cumsum(current * 0.001, axis=0), sim.trange()[:, None]
    allowed = np.floor(time * max_rate + 0.5)
    assert (integral > allowed + 1).any() and (integral < -1).any()
    np.testing.assert_allclose(counts, np.clip(np.floor(integral + 0.5), 0, allowed), atol=1e-9)


def test_spikes_are_only_put_off_until_they_are_allowed():
    """Without taking back, the count is the largest so far of what the bounds leave."""
    current = np.random.default_rng(1).integers(-9, 12, (300, 20)) * 62.5
    net = network(ClippedIntegrateAndFire(100.25), current)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(300)
    integral, time = np.cumsum(current * 0.001, axis=0), sim.trange()[:, None]
    bounded = np.clip(np.floor(integral + 0.5), 0, np.floor(time * 100.25 + 0.5))
    expected = np.maximum.accumulate(bounded, axis=0)
    np.testing.assert_allclose(np.cumsum(sim.data[net.probe] * 0.001, axis=0), expected, atol=1e-9)


@pytest.mark.parametrize("kind", [ClippedRectifiedLinear, ClippedIntegrateAndFire, SignedClippedIntegrateAndFire])
@pytest.mark.parametrize("max_value", [0, -1, math.inf, math.nan, None, "six", [], [1, 0], np.ones((2, 2))], ids=str)
def test_a_largest_output_is_positive(kind, max_value):
    with pytest.raises(nengo.exceptions.ValidationError, match=r"max_value: expected a positive number|not optional"):
        kind(max_value)


def test_clipped_neurons_are_equal_by_value_and_can_be_pickled():
    for value in (6.0, [1.0, 2.0]):
        one, other = ClippedIntegrateAndFire(value), ClippedIntegrateAndFire(np.array(value))
        assert one == other and hash(one) == hash(other)
        assert pickle.loads(pickle.dumps(one)) == one
        assert one != ClippedIntegrateAndFire(np.add(value, 1))
    assert ClippedRectifiedLinear(6) != ClippedRectifiedLinear([6])
    assert str(ClippedIntegrateAndFire(6, amplitude=2)) == "ClippedIntegrateAndFire(max_value=6.0, amplitude=2)"


def test_twins_keep_the_other_parameters():
    start = {"voltage": nengo.dists.Choice([0.25])}
    twin = clipped(SignedIntegrateAndFire(2, negative_threshold=1.5, initial_state=start), 6)
    assert (twin.amplitude, twin.negative_threshold, twin.max_value) == (2, 1.5, 12)
    assert twin.make_state(3)["voltage"].tolist() == [0.25] * 3
    assert type(clipped(IntegrateAndFire(), 6)) is ClippedIntegrateAndFire
    assert type(clipped(nengo.RectifiedLinear(), 6)) is ClippedRectifiedLinear
    for neurons in (nengo.LIF(), nengo.SpikingRectifiedLinear(), nengo.Sigmoid(), ClippedIntegrateAndFire(6)):
        assert clipped(neurons, 6) is None


@pytest.mark.parametrize("kind", [IntegrateAndFire, SignedIntegrateAndFire])
@pytest.mark.parametrize("max_rate", [None, 400.3, np.linspace(50.1, 550.1, 11)], ids=["no clip", "one", "each"])
def test_mean_output_tends_to_the_rate_form(kind, max_rate):
    rates = np.linspace(-300, 700, 11)
    current = np.repeat(rates[None], 1000, axis=0)
    neurons = kind(amplitude=2) if max_rate is None else clipped(kind(amplitude=2), max_rate)
    expected = 2 * np.clip(rates, 0, max_rate)
    net = network(neurons, current)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(1000)
    np.testing.assert_allclose(sim.data[net.probe].mean(0), expected, atol=2 * 0.5 + 1e-6)
    currents = np.stack([rates, rates[::-1]])
    result = neurons.rates(currents, np.ones(11), np.zeros(11))
    np.testing.assert_allclose(result, 2 * np.clip(currents, 0, max_rate))


@pytest.mark.parametrize("max_value", [3.0, np.linspace(1, 9, 11)], ids=["one", "each"])
def test_the_clipped_rate_neuron_is_keras_relu(max_value):
    import tensorflow as tf

    current = np.random.default_rng(0).normal(0, 4, (50, 11))
    neurons = ClippedRectifiedLinear(max_value)
    for simulator in (nengo.Simulator, nengo_dl.Simulator):
        net = network(neurons, current)
        with compat.without_gpu_advice(), simulator(net, progress_bar=False) as sim:
            sim.run_steps(50)
        if np.ndim(max_value) == 0:
            expected = tf.keras.layers.ReLU(max_value)(current)
        else:
            expected = [tf.keras.layers.ReLU(m)(column) for m, column in zip(max_value, current.T)]
            expected = np.transpose(expected)
        np.testing.assert_allclose(sim.data[net.probe], expected, atol=1e-6)
    np.testing.assert_allclose(neurons.rates(current, np.ones(11), np.zeros(11)), expected, atol=1e-6)


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


@pytest.mark.parametrize("mean", [0.5, 0.9, 1.0, 1.1, 3.0])
def test_fluctuating_input_is_clipped_in_the_mean(mean):
    """What clips the current before it integrates fires next to nothing; see `ClippedIntegrateAndFire`."""
    clip, spread = 200.25, 600
    current = np.random.default_rng(4).normal(mean * clip, spread, (4000, 50))
    # Two bounds, each kept at a distance that grows with the root of time.
    slack = 2 * spread / np.sqrt(4000)
    for neurons in (ClippedIntegrateAndFire(clip), SignedClippedIntegrateAndFire(clip)):
        net = network(neurons, current)
        with nengo.Simulator(net, progress_bar=False) as sim:
            sim.run_steps(4000)
        means = sim.data[net.probe].mean(0)
        np.testing.assert_allclose(means, np.clip(current.mean(0), 0, clip), atol=slack)
        assert means.max() <= clip + 0.5
    net = network(IntegrateAndFire(), np.minimum(current, clip))
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(4000)
    if mean <= 1.1:
        assert sim.data[net.probe].mean() < 0.02 * clip


def train(neurons, weight, target):
    """Take one step down the squared error of a neuron whose input is the weight."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node([1.0])
        ensemble = nengo.Ensemble(1, 1, neuron_type=neurons, gain=nengo.dists.Choice([1]), bias=nengo.dists.Choice([0]))
        connection = nengo.Connection(node, ensemble.neurons, transform=[[weight]], synapse=None)
        probe = nengo.Probe(ensemble.neurons)
    import tensorflow as tf

    with compat.without_gpu_advice(), nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.compile(tf.keras.optimizers.SGD(0.1), loss={probe: "mse"})
        sim.fit(n_steps=1, y={probe: np.full((1, 1, 1), target)}, epochs=1, verbose=0)
        return float(sim.data[connection].weights.squeeze())


@pytest.mark.parametrize("neurons", [n for n in NEURONS if not np.ndim(getattr(n, "max_value", 0))], ids=name_of)
def test_trains_through_its_rate_form(neurons):
    # The rate form is a relu(w), so one step goes from 3 by 0.1 * 2 a (5 - a 3).
    assert train(neurons, 3.0, 5.0) == pytest.approx(3 + 0.1 * 2 * 0.5 * (5 - 0.5 * 3), rel=1e-4)


@pytest.mark.parametrize("kind", [ClippedRectifiedLinear, ClippedIntegrateAndFire, SignedClippedIntegrateAndFire])
def test_beyond_the_clip_the_rate_form_is_flat(kind):
    assert train(kind(2.9), 3.0, 5.0) == 3.0
    assert train(kind(3.1), 3.0, 5.0) > 3.3


def run_in_a_fresh_interpreter(code):
    """Run code in another process and return the lines that it prints."""
    env = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("simulator", ["nengo.Simulator", "ncam.Simulator"])
def test_neurons_run_without_tensorflow(simulator):
    code = f"""
import sys, nengo, nengo_cam as ncam
for neurons in (ncam.SignedIntegrateAndFire(), ncam.ClippedIntegrateAndFire(500), ncam.SigmaDelta()):
    with nengo.Network() as net:
        probe = nengo.Probe(nengo.Ensemble(5, 1, neuron_type=neurons, gain=[1] * 5, bias=[600] * 5).neurons)
    with {simulator}(net, progress_bar=False) as sim:
        sim.run_steps(10)
    print(bool(sim.data[probe].any()))
print({{"tensorflow", "nengo_dl"}} & set(sys.modules))
"""
    assert run_in_a_fresh_interpreter(code) == ["True", "True", "True", "set()"]


@pytest.mark.parametrize("imports", [("nengo_dl", "nengo_cam.simulator"), ("nengo_cam.simulator", "nengo_dl")], ids=str)
def test_nengo_dl_knows_the_neurons_whatever_is_imported_first(imports):
    # What NengoDL itself needs is there from `import nengo_cam` on, which imports none of the others.
    code = (
        "".join(f"import {name}\n" for name in ("sys", "nengo_cam", *imports))
        + """
print("nengo_dl" in sys.modules)
print(nengo_dl.neuron_builders.SimNeuronsBuilder.TF_NEURON_IMPL[nengo_cam.IntegrateAndFire].__name__)
print(nengo_cam.simulator.neurons.find_neurons(nengo_dl.SoftLIFRate).__name__)
"""
    )
    assert run_in_a_fresh_interpreter(code) == ["True", "IntegrateAndFireBuilder", "own_step"]


def test_pickles_of_before_can_be_loaded():
    """They name the place where the types were, and lack the parameters that came later."""
    for neurons in (*NEURONS, IntegrateAndFire(), SignedIntegrateAndFire(2, 0.25)):
        name = type(neurons).__name__
        stored = pickle.dumps(neurons, protocol=0).replace(type(neurons).__module__.encode(), b"nengo_cam.neurons")
        assert f"cnengo_cam.neurons\n{name}\n".encode() in stored
        assert pickle.loads(stored) == neurons
    for neurons in (IntegrateAndFire(2), ClippedIntegrateAndFire(6), SignedIntegrateAndFire(2, 0.25)):
        state = neurons.__getstate__()
        for later in {"floor", "memory"} & set(state):
            del state[later]
        restored = type(neurons).__new__(type(neurons))
        restored.__setstate__(state)
        assert restored == neurons
