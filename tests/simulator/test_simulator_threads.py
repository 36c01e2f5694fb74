"""Everything that runs in several threads: twice the same to the last bit, and what one step after another gives."""

import concurrent.futures
import os

import nengo
import numpy as np
import pytest
from scipy.signal import correlate

import nengo_cam as ncam
from nengo_cam.simulator.events import EventConvolution

N_THREADS = 3
#: Elements of one signal that are split into as many blocks as there are threads, and steps that make them worth it.
SIZE, N_STEPS = N_THREADS * 2**14 + 5, 24

NEURONS = [
    nengo.SpikingRectifiedLinear(),
    ncam.IntegrateAndFire(),
    ncam.SignedIntegrateAndFire(),
    ncam.ClippedIntegrateAndFire(150.3),
    ncam.SignedClippedIntegrateAndFire(150.3),
    ncam.ClippedIntegrateAndFire(np.linspace(10.01, 200.01, SIZE)),
    nengo.LIF(),
    nengo.AdaptiveLIF(tau_n=0.02, inc_n=0.05),
    nengo.RegularSpiking(nengo.LIFRate()),
]
SYNAPSES = [nengo.Triangle(0.004), nengo.Lowpass(0.003), nengo.Alpha(0.003), nengo.LinearFilter([1], [0.005, 0])]


@pytest.fixture
def threads(monkeypatch):
    """Have several processors on any machine, and tell how many blocks went to their threads."""
    ran = []
    share = concurrent.futures.ThreadPoolExecutor.map

    def counted(self, function, parts):
        ran.append(len(parts))
        return share(self, function, parts)

    monkeypatch.setattr(os, "cpu_count", lambda: N_THREADS)
    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "map", counted)
    return ran


def run_twice(simulator_class, net, n_steps, data, **options):
    """Run twice in one piece, and once in odd pieces, and return what the last probe saw in float64."""
    (probe,) = net.all_probes
    results = []
    for _ in range(2):
        with simulator_class(net, dtype="float64", progress_bar=False, **options) as sim:
            sim.run_steps(n_steps, data=data)
            results.append(np.array(sim.data[probe]))
    pieces = []
    with simulator_class(net, dtype="float64", progress_bar=False, **options) as sim:
        batch = {node: array.reshape(-1, n_steps, array.shape[-1]) for node, array in data.items()}
        for chunk in sim.iter_steps(n_steps, batch, chunk_steps=n_steps - 3):
            pieces.append(chunk[probe])
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1).reshape(results[0].shape), results[0])
    return results[0]


def reference_of(net, node, frames):
    """Run on Nengo's own simulator, fed by a function of time."""
    output, node.output = node.output, lambda t: frames[round(t / 0.001) - 1]
    (probe,) = net.all_probes
    try:
        with nengo.Simulator(net, progress_bar=False) as sim:
            sim.run_steps(len(frames))
    finally:
        node.output = output
    return sim.data[probe]


@pytest.mark.parametrize("synapse", SYNAPSES, ids=str)
@pytest.mark.parametrize("n_items", [None, 2])
def test_synapses(synapse, n_items, simulator_class, threads):
    """With fewer items than threads an item is split into blocks; each has to find its own place in the past."""
    with nengo.Network(seed=0) as net:
        node, target = nengo.Node(np.zeros(SIZE)), nengo.Node(size_in=SIZE)
        nengo.Connection(node, target, synapse=synapse)
        nengo.Probe(target)
    shape = (N_STEPS, SIZE) if n_items is None else (n_items, N_STEPS, SIZE)
    frames = np.random.default_rng(0).standard_normal(shape)
    result = run_twice(simulator_class, net, N_STEPS, {node: frames}, minibatch_size=n_items)
    assert max(threads) > 1
    filtered = synapse.filt(frames, dt=0.001, axis=-2, y0=0)
    # A filter without a direct path reads what was there a step before, see `SynapseRule`.
    np.testing.assert_allclose(result[..., 1:, :], filtered[..., :-1, :], rtol=1e-9, atol=1e-12)
    if n_items is None:
        np.testing.assert_allclose(result, reference_of(net, node, frames), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("neurons", NEURONS, ids=lambda neurons: type(neurons).__name__)
def test_neurons(neurons, simulator_class, threads):
    linear = not isinstance(getattr(neurons, "base_type", neurons), (nengo.LIF, nengo.LIFRate))
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(SIZE))
        ensemble = nengo.Ensemble(
            SIZE, 1, neuron_type=neurons, gain=np.ones(SIZE), bias=np.linspace(1.1, 2, SIZE) * (50 if linear else 1)
        )
        nengo.Connection(node, ensemble.neurons, synapse=None)
        nengo.Probe(ensemble.neurons)
    frames = np.random.default_rng(0).standard_normal((N_STEPS, SIZE)) * (300 if linear else 5)
    result = run_twice(simulator_class, net, N_STEPS, {node: frames})
    assert max(threads) > 1
    assert result.any()
    np.testing.assert_allclose(result, reference_of(net, node, frames), rtol=1e-9, atol=1e-9)


def test_pooling_of_all_positions(simulator_class, threads):
    n_steps, shape = 40, (32, 32, 32)
    with nengo.Network(seed=0) as net:
        node, target = nengo.Node(np.zeros(np.prod(shape))), nengo.Node(size_in=shape[2])
        kernel = np.eye(shape[2])[None, None] / (shape[0] * shape[1]) * np.ones((*shape[:2], 1, 1))
        pooling = nengo.Convolution(
            shape[2], shape, init=kernel, kernel_size=shape[:2], strides=shape[:2], padding="valid"
        )
        nengo.Connection(node, target, transform=pooling, synapse=None)
        nengo.Probe(target)
    frames = np.random.default_rng(0).random((n_steps, np.prod(shape)))
    result = run_twice(simulator_class, net, n_steps, {node: frames})
    assert max(threads) > 1
    np.testing.assert_allclose(result, frames.reshape(n_steps, -1, shape[2]).mean(axis=1), rtol=1e-12)


@pytest.mark.parametrize("strides", [(1, 1), (2, 3)])
def test_convolution_of_spikes(strides, threads):
    rng = np.random.default_rng(0)
    shape, n_filters, n_frames = (24, 20, 3), 12, 80 * int(np.prod(strides))
    kernel = rng.standard_normal((3, 4, shape[2], n_filters)).astype(np.float32)
    rows, columns = -(-(shape[0] - 2) // strides[0]), -(-(shape[1] - 3) // strides[1])
    frames = ((rng.random((n_frames, *shape)) < 0.05) * rng.integers(1, 4, (n_frames, *shape))).astype(np.float32)
    convolve = EventConvolution(kernel, shape, (rows, columns, n_filters), strides, "valid")
    results = [convolve(frames) for _ in range(3)]
    assert max(threads) > 1
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    for frame in range(0, n_frames, 13):
        for k in range(n_filters):
            expected = correlate(frames[frame].astype(float), kernel[..., k].astype(float), mode="valid")[..., 0]
            expected = expected[:: strides[0], :: strides[1]]
            np.testing.assert_allclose(results[0][frame, ..., k], expected, rtol=1e-4, atol=1e-4)
