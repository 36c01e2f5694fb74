import math
import pickle

import nengo
import nengo_dl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nengo_cam as ncam
from nengo_cam import ClippedIntegrateAndFire, IntegrateAndFire, SigmaDelta, SignedIntegrateAndFire
from nengo_cam.neurons import clipped

N = 24
#: Every kind of neurons that there is, clipped at one number, at one for each, and not.
KINDS = [
    twin
    for neurons in (
        SigmaDelta(amplitude=0.3),
        SigmaDelta(bits=None, amplitude=0.3),
        SigmaDelta(bits=None, quantum=0.2, threshold=5),
        SigmaDelta(bits=1),
        SigmaDelta(bits=3, quantum=2.5),
        SignedIntegrateAndFire(0.3),
        SignedIntegrateAndFire(0.3, negative_threshold=0.25, memory=2),
        IntegrateAndFire(0.3),
        IntegrateAndFire(0.3, floor=-1),
    )
    for twin in (neurons, clipped(neurons, 151.3), clipped(neurons, np.linspace(1.1, 251.7, N)))
]


def send_slowly(current, *, bits, quantum=1.0, threshold=0.6, max_value=math.inf, amplitude=1.0, level=0):
    """The equations of the docstring, one number at a time; the exponent is counted in whole numbers."""
    sent, outputs = [], []
    for j in current:
        error = min(max(j, 0.0), max_value / amplitude) / quantum - level
        unit = 1
        if bits is not None:
            unit = 2 ** max(int(max(abs(error), 1)).bit_length() - bits, 0)
        n = 0
        if abs(error) >= threshold:
            n = int(math.copysign(unit * math.floor(abs(error) / unit + 0.5), error))
        level += n
        sent.append(n)
        outputs.append(amplitude * quantum * level)
    return np.array(sent), np.array(outputs)


def step_through(neurons, current, dt=0.001):
    """Take the neurons' own steps; return the output and the level of each."""
    state, output, rows = neurons.make_state(current.shape[1]), np.zeros(current.shape[1]), []
    for row in current:
        neurons.step(dt, row, output, **state)
        rows.append((output.copy(), state["level"].copy()))
    return tuple(np.array(rows).transpose(1, 0, 2))


@pytest.mark.parametrize("bits", [None, 1, 2, 3, 8])
@pytest.mark.parametrize(("quantum", "threshold"), [(1, 0.6), (0.2, 5), (2.5, 0.51)])
@pytest.mark.parametrize("max_value", [None, 12.3])
def test_step_against_a_slow_loop(bits, quantum, threshold, max_value):
    current = np.random.default_rng(0).normal(40, 90, (80, 7))
    current[20:40] = current[20]
    neurons = SigmaDelta(bits, quantum, threshold, max_value, amplitude=0.25)
    outputs, levels = step_through(neurons, current)
    sent = np.diff(levels, axis=0, prepend=0)
    for k in range(7):
        expected, expected_outputs = send_slowly(
            current[:, k],
            bits=bits,
            quantum=quantum,
            threshold=threshold,
            max_value=max_value or math.inf,
            amplitude=0.25,
        )
        np.testing.assert_array_equal(sent[:, k], expected)
        np.testing.assert_array_equal(outputs[:, k], expected_outputs)


def networks(dt, frames, batch_size=None):
    """Give all kinds the same input, each its own gains and biases."""
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(dtype="float64")
        net.node = nengo.Node(lambda t: frames[min(round(t / dt), len(frames)) - 1], size_out=N)
        for neurons in KINDS:
            ensemble = nengo.Ensemble(
                N, 1, neuron_type=neurons, gain=np.linspace(0.9, 2.3, N), bias=np.linspace(-30.7, 41.9, N)
            )
            nengo.Connection(net.node, ensemble.neurons, synapse=None)
            nengo.Probe(ensemble.neurons)
    return net


@pytest.mark.parametrize("dt", [0.001, 0.002])
@pytest.mark.parametrize("moving", [False, True], ids=["still", "moving"])
def test_same_events_on_three_simulators(dt, moving):
    n_items, n_steps = 3, 60
    rng = np.random.default_rng(1)
    frames = rng.normal(60, 150, (n_items, n_steps if moving else 1, N))
    if moving:
        # Jumps, and stretches in which nothing moves.
        frames[:, 20:40] = frames[:, 20:21]
    frames = np.broadcast_to(frames, (n_items, n_steps, N)).copy()
    references = []
    for item in frames:
        net = networks(dt, item)
        with nengo.Simulator(net, dt=dt, progress_bar=False) as sim:
            sim.run_steps(n_steps)
        references.append([sim.data[probe] for probe in net.all_probes])
    references = [np.stack(outputs) for outputs in zip(*references)]
    assert all(outputs.any() for outputs in references)

    net = networks(dt, frames[0])
    with nengo_dl.Simulator(net, dt=dt, minibatch_size=n_items, progress_bar=False) as sim:
        sim.run_steps(n_steps, data={net.node: frames})
    for probe, neurons, expected in zip(net.all_probes, KINDS, references):
        np.testing.assert_array_equal(sim.data[probe], expected, err_msg=f"NengoDL, {neurons}")

    for chunk_steps in (n_steps, 7, 1):
        with ncam.Simulator(net, dt=dt, minibatch_size=n_items, dtype="float64", progress_bar=False) as sim:
            chunks = list(sim.iter_steps(n_steps, {net.node: frames}, chunk_steps=chunk_steps))
        for probe, neurons, expected in zip(net.all_probes, KINDS, references):
            outputs = np.concatenate([chunk[probe] for chunk in chunks], axis=1)
            np.testing.assert_array_equal(outputs, expected, err_msg=f"chunks of {chunk_steps}, {neurons}")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_at_powers_of_two_and_at_ties_all_simulators_do_as_the_slow_loop(dtype):
    """Halves of small whole numbers are exact in either precision, so not one spike may differ."""
    powers = 2.0 ** np.arange(10)
    current = np.concatenate([powers, powers - 0.5, 1.5 * powers, np.zeros(5), np.arange(40) / 2])
    current = np.stack([current, np.random.default_rng(0).permutation(current)], axis=1)
    kinds = [SigmaDelta(bits, threshold=threshold) for bits in (None, 1, 2, 3) for threshold in (0.75, 1, 4)]
    with nengo.Network() as net:
        nengo_dl.configure_settings(dtype=dtype)
        node = nengo.Node(np.zeros(2))
        for neurons in kinds:
            ensemble = nengo.Ensemble(2, 1, neuron_type=neurons, gain=np.ones(2), bias=np.zeros(2))
            nengo.Connection(node, ensemble.neurons, synapse=None)
            nengo.Probe(ensemble.neurons)
    results = {}
    with ncam.Simulator(net, dtype=dtype, progress_bar=False) as sim:
        sim.run_steps(len(current), data={node: current})
        results["ours"] = [sim.data[probe] for probe in net.all_probes]
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(len(current), data={node: current[None]})
        results["NengoDL"] = [sim.data[probe].reshape(current.shape) for probe in net.all_probes]
    for name, outputs in results.items():
        for neurons, output in zip(kinds, outputs):
            for column, actual in zip(current.T, output.T):
                _, expected = send_slowly(column, bits=neurons.bits, threshold=neurons.threshold)
                np.testing.assert_array_equal(actual, expected, err_msg=f"{name}, {neurons}")


bits_of_spikes = st.sampled_from([None, 1, 2, 3, 4])
currents = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=6)


@given(currents, bits_of_spikes, st.floats(0.51, 8), st.sampled_from([0.1, 1, 3.7]), st.sampled_from([None, 55.5]))
@settings(max_examples=60, deadline=None)
def test_the_level_settles_beside_the_activity_and_silence_follows(values, bits, threshold, quantum, max_value):
    neurons = SigmaDelta(bits, quantum, threshold, max_value)
    # Each spike takes away at least half of the bits that are missing.
    current = np.repeat(np.array([values]), 40, axis=0)
    outputs, levels = step_through(neurons, current)
    goal = np.clip(values, 0, max_value)
    assert (np.abs(goal / quantum - levels[-1]) < threshold).all()
    np.testing.assert_allclose(outputs[-1], goal, atol=threshold * quantum * (1 + 1e-9))
    np.testing.assert_array_equal(levels[20:], np.broadcast_to(levels[-1], (20, len(values))))


@given(currents, bits_of_spikes, st.floats(0.51, 8))
@settings(max_examples=60, deadline=None)
def test_spikes_are_sent_where_the_activity_has_moved_and_have_few_bits(values, bits, threshold):
    neurons = SigmaDelta(bits, threshold=threshold)
    _, levels = step_through(neurons, np.array(values)[:, None])
    before = np.concatenate([[0], levels[:-1, 0]])
    errors = np.maximum(values, 0) - before
    sent = levels[:, 0] - before
    np.testing.assert_array_equal(sent != 0, np.abs(errors) >= threshold)
    assert (np.sign(sent) == np.sign(errors))[sent != 0].all()
    assert sent.sum() == levels[-1, 0]
    for n, error in zip(np.abs(sent).astype(int).tolist(), np.abs(errors).tolist()):
        if n and bits is not None:
            # Without the zeros at the end of its binary form.
            assert (n // (n & -n)).bit_length() <= bits
            assert abs(n - error) <= max(0.5, error / 2**bits)
        elif n:
            assert abs(n - error) <= 0.5


@given(st.lists(st.floats(0, 300), min_size=1, max_size=20), st.sampled_from([0.25, 1]))
@settings(max_examples=40, deadline=None)
def test_graded_the_first_step_is_the_activity_rounded(values, quantum):
    outputs, _ = step_through(SigmaDelta(bits=None, quantum=quantum), np.array([values]))
    scaled = np.array(values) / quantum
    nearest = np.array([math.floor(x + 0.5) if x >= 0.6 else 0 for x in scaled]) * quantum
    np.testing.assert_array_equal(outputs[0], nearest)


def test_halfway_between_two_levels_it_is_silent():
    """At a threshold of .5 it would send a spike for ever, in turn of either sign."""
    _, levels = step_through(SigmaDelta(), np.full((50, 3), [0.5, 7.5, 100.5]))
    assert (np.diff(levels[5:], axis=0) == 0).all()


def test_the_time_step_does_not_enter():
    current = np.random.default_rng(0).normal(40, 90, (30, 5))
    one, other = (step_through(SigmaDelta(), current, dt)[0] for dt in (0.001, 0.01))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("max_value", [None, 8.0, np.linspace(1, 90, 5)], ids=["no clip", "one", "each"])
def test_the_rate_form_is_a_relu(max_value):
    current = np.random.default_rng(0).normal(0, 90, (30, 5))
    rates = SigmaDelta(max_value=max_value, amplitude=0.5).rates(current, np.ones(5), np.zeros(5))
    np.testing.assert_allclose(rates, np.clip(0.5 * current, 0, max_value), rtol=1e-15)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("bits", (0, -1, 1.5, "two")),
        ("quantum", (0, -1, math.nan, math.inf, "much", None)),
        ("threshold", (0.5, 0, -1, math.nan, math.inf, None)),
        ("max_value", (0, -1, math.nan, math.inf, "six", [], [1, 0])),
        ("amplitude", (0, -1)),
    ],
)
def test_parameters_out_of_range_are_errors(name, values):
    for value in values:
        with pytest.raises(nengo.exceptions.ValidationError, match=f"SigmaDelta.{name}: "):
            SigmaDelta(**{name: value})


def test_an_unknown_state_is_an_error():
    with pytest.raises(nengo.exceptions.ValidationError, match="'voltage' not recognized; should be one of 'level'"):
        SigmaDelta(initial_state={"voltage": nengo.dists.Choice([0.5])})


def test_it_starts_where_it_is_told():
    start = {"level": nengo.dists.Choice([90])}
    _, levels = step_through(SigmaDelta(bits=None, initial_state=start), np.full((2, 4), 100.0))
    assert levels[0].tolist() == [100] * 4
    sent, _ = send_slowly([100.0] * 2, bits=1, level=90)
    _, levels = step_through(SigmaDelta(bits=1, initial_state=start), np.full((2, 4), 100.0))
    np.testing.assert_array_equal(levels[:, 0], 90 + np.cumsum(sent))


def test_equal_by_value_with_a_short_name_and_pickled():
    for max_value in (None, 6.0, [1.0, 2.0]):
        one, other = SigmaDelta(1, max_value=max_value), SigmaDelta(1, max_value=max_value)
        assert one == other and hash(one) == hash(other)
        assert pickle.loads(pickle.dumps(one)) == one
        assert one != SigmaDelta(2, max_value=max_value)
    assert SigmaDelta(max_value=6) != SigmaDelta() != SigmaDelta(max_value=[6])
    assert str(SigmaDelta()) == "SigmaDelta()"
    assert str(SigmaDelta(None, 0.2, 5)) == "SigmaDelta(bits=None, quantum=0.2, threshold=5)"


def test_clipped_twins_keep_the_other_parameters():
    start = {"level": nengo.dists.Choice([3])}
    twin = clipped(SigmaDelta(3, 0.5, 2, amplitude=4, initial_state=start), 6)
    assert twin == SigmaDelta(3, 0.5, 2, max_value=24, amplitude=4, initial_state=start)
    assert clipped(SigmaDelta(max_value=3), 6).max_value == 3
    assert clipped(SigmaDelta(max_value=9), [6, 12]).max_value.tolist() == [6, 9]
    signed = clipped(SignedIntegrateAndFire(negative_threshold=0.25, memory=2), 6)
    assert (signed.negative_threshold, signed.memory) == (0.25, 2)
    assert clipped(IntegrateAndFire(floor=-1), 6) == ClippedIntegrateAndFire(6, floor=-1)


@pytest.mark.parametrize(
    "neurons",
    [SigmaDelta(), SignedIntegrateAndFire(negative_threshold=0.25, memory=2), IntegrateAndFire(floor=-1)],
    ids=str,
)
def test_a_clipped_relu_spikes(neurons, tf):
    """ReLU6, as in MobileNet; what has no twin would become rate neurons."""
    tf.keras.utils.set_random_seed(0)
    inputs = tf.keras.Input((6, 6, 2))
    x = tf.keras.layers.Conv2D(4, 3, bias_initializer="random_normal")(inputs)
    x = tf.keras.layers.ReLU(0.4)(x)
    x = tf.keras.layers.ReLU()(tf.keras.layers.Conv2D(5, 3)(x))
    outputs = tf.keras.layers.Dense(3)(tf.keras.layers.GlobalAveragePooling2D()(x))
    model = tf.keras.Model(inputs, outputs)
    images = np.random.default_rng(0).random((4, 6, 6, 2)).astype(np.float32)
    net = ncam.convert(model, neurons=neurons, calibrate_on=images)
    types = [ensemble.neuron_type for ensemble in net.net.all_ensembles]
    assert [neuron_type.spiking for neuron_type in types] == [True, True]
    assert types[0].max_value is not None and getattr(types[1], "max_value", None) is None
    assert net.verify(images)
    if isinstance(neurons, SigmaDelta):
        spiking = ncam.spiking_cam(net, images, n_steps=12, progress_bar=False)
        np.testing.assert_allclose(spiking.logits.isel(time=-1), model(images), atol=0.02)
