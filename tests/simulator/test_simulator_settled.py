"""Steps that are copied because nothing would change: bit for bit what they would be if they were computed."""

import contextlib

import nengo
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nengo.builder.operator import Copy

import nengo_cam as ncam

N_STEPS = 30


def layered(seed, bits, sizes=(6, 5, 4), *, branch=False, last=None):
    """A network of layers of sigma-delta neurons with biases, a second input, perhaps a branch, and probes on all."""
    rng = np.random.default_rng(seed)
    with nengo.Network(seed=seed) as net:
        net.image = nengo.Node(np.zeros(3), label="image")
        net.other = nengo.Node(rng.uniform(0, 20, sizes[0]), label="other")
        before = net.image
        net.layers = []
        for number, size in enumerate(sizes):
            neurons = ncam.SigmaDelta(bits, quantum=rng.choice([1, 0.3]), threshold=rng.choice([0.6, 2]))
            if last is not None and number == len(sizes) - 1:
                neurons = last
            layer = nengo.Ensemble(
                size, 1, neuron_type=neurons, gain=np.ones(size), bias=rng.uniform(-5, 30, size), label=f"layer{number}"
            )
            weights = rng.normal(size=(size, before.size_out)) / (1 if number else 0.1)
            nengo.Connection(before, layer.neurons, transform=weights, synapse=None)
            if number == 0:
                nengo.Connection(net.other, layer.neurons, synapse=None)
            if branch and number == 2:
                weights = rng.normal(size=(size, sizes[0]))
                nengo.Connection(net.layers[0].neurons, layer.neurons, transform=weights, synapse=None)
            net.layers.append(layer)
            before = layer.neurons
            nengo.Probe(before)
        net.out = nengo.Node(size_in=2)
        nengo.Connection(before, net.out, transform=rng.normal(size=(2, sizes[-1])), synapse=None)
        nengo.Connection(nengo.Node([0.5, -0.25]), net.out, synapse=None)
        net.logits = nengo.Probe(net.out)
    return net


def run(net, data, *, skips, n_steps=N_STEPS, chunk_steps=None, repeats=1, **options):
    """What all probes saw, and the lengths of the chunks that were computed."""
    options = {"dtype": "float64", "minibatch_size": 2, "progress_bar": False, **options}
    with ncam.Simulator(net, **options) as sim:
        assert sim.skips_settled_steps
        sim.skips_settled_steps = skips
        lengths, advance = [], sim._engine.advance

        def spy(chunk, *args):
            lengths.append(chunk.n_steps)
            return advance(chunk, *args)

        sim._engine.advance = spy
        pieces = []
        for number in range(repeats):
            given = {node: values[number] if repeats > 1 else values for node, values in data.items()}
            if chunk_steps is None:
                sim.run_steps(n_steps, data=given)
            else:
                pieces += list(sim.iter_steps(n_steps, given, chunk_steps=chunk_steps))
        if chunk_steps is None:
            pieces = [{probe: sim.data[probe] for probe in net.all_probes}]
        assert sim.n_steps == repeats * n_steps
    return {probe: np.concatenate([piece[probe] for piece in pieces], axis=1) for probe in net.all_probes}, lengths


def assert_same(found, expected):
    for probe, values in expected.items():
        np.testing.assert_array_equal(found[probe], values)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    bits=st.sampled_from([None, 1, 2, 3]),
    branch=st.booleans(),
    repeats=st.integers(1, 3),
    chunk_steps=st.sampled_from([None, 1, 4, 7, 50]),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_copies_are_what_would_be_computed(seed, bits, branch, repeats, chunk_steps, dtype):
    net = layered(seed, bits, branch=branch)
    # Other images after the first ones have settled.
    images = np.random.default_rng(seed + 1).uniform(-1, 3, size=(repeats, 2, 1, 3))
    data = {net.image: images if repeats > 1 else images[0]}
    options = {"repeats": repeats, "chunk_steps": chunk_steps, "dtype": dtype}
    found, lengths = run(net, data, skips=True, **options)
    expected, all_lengths = run(net, data, skips=False, **options)
    assert_same(found, expected)
    assert sum(all_lengths) == repeats * N_STEPS
    # Each layer settles within a few steps after the one before it.
    assert (sum(lengths) < repeats * N_STEPS) == (chunk_steps != 50)
    assert np.ptp(found[net.logits], axis=1).any() or bits != 1


@pytest.mark.parametrize("bits", [None, 1, 2])
def test_no_more_is_computed_than_it_takes_to_settle(bits):
    net = layered(3, bits, sizes=(40, 30, 20, 10))
    data = {net.image: np.random.default_rng(0).uniform(-1, 3, size=(2, 1, 3))}
    found, lengths = run(net, data, skips=True, n_steps=100)
    changes = [np.diff(values, axis=1, prepend=0).any(axis=(0, 2)) for values in found.values()]
    settled = 1 + np.flatnonzero(np.any(changes, axis=0))[-1]
    assert settled <= sum(lengths) <= 1.25 * settled
    assert (settled == 1) == (bits is None)
    reference = layered(3, bits, sizes=(40, 30, 20, 10))
    reference.image.output = data[net.image][1, 0]
    with nengo.Simulator(reference, progress_bar=False) as sim:
        sim.run_steps(100)
    for probe, other in zip(net.all_probes, reference.all_probes):
        np.testing.assert_allclose(found[probe][1], sim.data[other], rtol=1e-12, atol=1e-12)


def test_steps_that_are_copied_take_no_memory():
    net = layered(3, 2)
    with ncam.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        *_, last = sim.iter_steps(1000, {net.image: np.ones((2, 1, 3))}, chunk_steps=100)
    for values in last.values():
        assert values.shape[1] == 100
        assert values.strides[1] == 0


def never(net, kind):
    """Add something to a network that may move at any time."""
    first = net.layers[0].neurons
    with net:
        if kind == "synapse":
            nengo.Connection(net.image, first, transform=np.ones((6, 3)), synapse=0.005)
        elif kind == "filtered probe":
            nengo.Probe(first, synapse=0.01)
        elif kind == "process":
            process = nengo.processes.WhiteSignal(period=1, high=100, rms=5, seed=1)
            nengo.Connection(nengo.Node(process, size_out=1), first, transform=np.ones((6, 1)), synapse=None)
        elif kind == "clock":
            # Zero for most of the time.
            nengo.Connection(nengo.Node(lambda t: 50.0 * (t > 0.02)), first, transform=np.ones((6, 1)), synapse=None)
        elif kind == "function":
            calls = []
            node = nengo.Node(lambda t, x: calls.append(t), size_in=2)
            nengo.Connection(net.out, node, synapse=None)
        elif kind == "levels that are recorded":
            nengo.Probe(first, "level")


KINDS = ["moving input", "synapse", "filtered probe", "process", "clock", "function", "levels that are recorded"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_move_is_computed(kind):
    net = layered(5, 2)
    never(net, kind)
    # The same in every step: nobody has looked whether it moves.
    data = {net.image: np.full((2, N_STEPS if kind == "moving input" else 1, 3), 2.0)}
    found, lengths = run(net, data, skips=True)
    expected, _ = run(net, data, skips=False)
    assert_same(found, expected)
    # In few chunks, as ever.
    assert lengths == [N_STEPS]


def test_a_clock_that_anything_reads_is_computed():
    """Through an operator that has no state of its own."""
    net = layered(5, 2)
    model = nengo.builder.Model(dt=0.001)
    model.build(net)
    model.add_op(Copy(model.time, model.sig[net.out]["in"], dst_slice=slice(0, 1), inc=True))
    with ncam.Simulator(None, model=model, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(N_STEPS, data={net.image: np.full((1, 3), 2.0)})
    np.testing.assert_allclose(np.diff(sim.data[net.logits][-10:, 0]), 0.001)


@pytest.mark.parametrize(
    "last", [ncam.IntegrateAndFire(), ncam.SignedIntegrateAndFire(), nengo.LIF(), nengo.PoissonSpiking(nengo.LIFRate())]
)
def test_neurons_that_integrate_never_settle(last):
    net = layered(5, 2, last=last)
    data = {net.image: np.full((2, 1, 3), 2.0)}
    found, lengths = run(net, data, skips=True)
    assert lengths == [N_STEPS]
    assert_same(found, run(net, data, skips=False)[0])


def test_neurons_without_a_state_follow():
    net = layered(5, 2, last=nengo.RectifiedLinear())
    data = {net.image: np.full((2, 1, 3), 2.0)}
    found, lengths = run(net, data, skips=True)
    assert sum(lengths) < 10
    assert_same(found, run(net, data, skips=False)[0])


def test_moving_input_after_still_input_and_back():
    net = layered(7, 2)
    rng = np.random.default_rng(0)
    parts = [rng.uniform(0, 3, size=(2, n, 3)) for n in (1, N_STEPS, 1)]
    results = []
    for skips in (True, False):
        with ncam.Simulator(net, minibatch_size=2, dtype="float64", progress_bar=False) as sim:
            sim.skips_settled_steps = skips
            for part in parts:
                sim.run_steps(N_STEPS, data={net.image: part})
            results.append({probe: sim.data[probe] for probe in net.all_probes})
    assert_same(*results)


def test_a_reset_between_chunks_starts_anew():
    net = layered(7, 1)
    data = {net.image: np.full((2, 1, 3), 2.0)}
    with ncam.Simulator(net, minibatch_size=2, dtype="float64", progress_bar=False) as sim:
        chunks = sim.iter_steps(80, data, chunk_steps=20)
        first, settled = next(chunks), next(chunks)
        assert np.ptp(settled[net.all_probes[0]], axis=1).max() == 0 < np.ptp(first[net.all_probes[0]], axis=1).max()
        sim.reset()
        again = next(chunks)
    assert_same(again, first)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_thinned_and_single_items(dtype):
    net = layered(9, 2)
    with net:
        thin = nengo.Probe(net.out, sample_every=0.003)
    data = {net.image: np.full((1, 3), 2.0)}
    results = []
    for skips in (True, False):
        with ncam.Simulator(net, dtype=dtype, progress_bar=False) as sim:
            sim.skips_settled_steps = skips
            sim.run_steps(N_STEPS, data=data)
            sim.step(data=data)
            results.append({probe: sim.data[probe] for probe in net.all_probes})
    assert_same(*results)
    assert results[0][thin].shape == (10, 2)


@pytest.mark.parametrize("pooling", ["average", "max"])
@pytest.mark.parametrize("bits", [None, 2])
def test_converted_networks(tf, make_model, images, bits, pooling):
    layers = tf.keras.layers
    pool = layers.AveragePooling2D() if pooling == "average" else layers.MaxPooling2D()
    model = make_model(
        pool, layers.Conv2D(5, 3, padding="same", activation="relu"), layers.GlobalAveragePooling2D(), layers.Dense(3)
    )
    with pytest.warns(ncam.exceptions.NonSpikingWarning) if pooling == "max" else contextlib.nullcontext():
        net = ncam.convert(model, neurons=ncam.SigmaDelta(bits), calibrate_on=images)
    data = {net.input: images.reshape(5, 1, -1)}
    for dtype in ("float64", "float32"):
        found, lengths = run(net.net, data, skips=True, minibatch_size=5, dtype=dtype)
        expected, _ = run(net.net, data, skips=False, minibatch_size=5, dtype=dtype)
        assert_same(found, expected)
        assert sum(lengths) <= 12


@pytest.mark.parametrize("n_copied", [1, N_STEPS])
def test_a_simulator_says_that_it_has_settled(n_copied):
    net = layered(7, 2)
    still, moving = np.full((2, 1, 3), 2.0), np.random.default_rng(0).uniform(0, 3, size=(2, N_STEPS, 3))
    with ncam.Simulator(net, minibatch_size=2, dtype="float64", progress_bar=False) as sim:
        assert not sim.has_settled
        said = []
        for chunk in sim.iter_steps(N_STEPS + n_copied, {net.image: still}, chunk_steps=N_STEPS):
            said.append((sim.has_settled, np.ptp(chunk[net.all_probes[1]], axis=1).any()))
        assert said == [(False, True), (True, False)]
        sim.run_steps(N_STEPS, data={net.image: moving})
        assert not sim.has_settled
        sim.run_steps(N_STEPS, data={net.image: still})
        assert sim.has_settled
        sim.reset()
        assert not sim.has_settled
        sim.skips_settled_steps = False
        sim.run_steps(N_STEPS, data={net.image: still})
        assert not sim.has_settled


@pytest.mark.parametrize("look", ["never", "between", "after each"])
def test_copies_are_written_whenever_somebody_looks(look):
    net = layered(11, 2)
    with net:
        thin = nengo.Probe(net.out, sample_every=0.004)
    images = np.random.default_rng(1).uniform(0, 3, size=(3, 2, 1, 3))
    results = []
    for skips in (True, False):
        with ncam.Simulator(net, minibatch_size=2, dtype="float64", progress_bar=False) as sim:
            sim.skips_settled_steps = skips
            kept = []
            for number, image in enumerate(images):
                sim.run_steps(N_STEPS + 1, data={net.image: image})
                if look == "after each" or (look == "between" and number == 1):
                    kept.append({probe: sim.data[probe] for probe in net.all_probes})
            kept.append({probe: sim.data[probe] for probe in net.all_probes})
            sim.clear_probes()
            sim.run_steps(N_STEPS, data={net.image: images[0]})
        # A simulator that is closed is still looked at.
        kept.append({probe: sim.data[probe] for probe in net.all_probes})
        results.append(kept)
    for found, expected in zip(*results):
        assert_same(found, expected)
    assert results[0][-2][thin].shape == (2, 3 * (N_STEPS + 1) // 4, 2)
    assert not any(array.flags.writeable for array in results[0][-1].values())


def test_chunks_of_copies_cannot_be_written_to():
    net = layered(7, 2)
    with ncam.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        chunks = [chunk[net.logits] for chunk in sim.iter_steps(N_STEPS, {net.image: np.full((2, 1, 3), 2.0)}, 1)]
        assert sim.has_settled
    # They share their memory.
    with pytest.raises(ValueError, match="read-only"):
        chunks[-2][...] = 0
    assert_same({0: chunks[-1]}, {0: chunks[-2]})
