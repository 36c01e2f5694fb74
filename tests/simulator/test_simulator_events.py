"""Convolutions of spikes against a slow loop over windows."""

import nengo
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nengo_cam.simulator import compiled
from nengo_cam.simulator.events import EventConvolution


def slow_convolution(frame, kernel, strides, padding):
    """Sum over each window, as the definition says; TensorFlow's rule for padding."""
    n_out = [
        -(-n // s) if padding == "same" else -(-(n - k + 1) // s) for n, s, k in zip(frame.shape, strides, kernel.shape)
    ]
    total = [max((o - 1) * s + k - n, 0) for o, s, k, n in zip(n_out, strides, kernel.shape, frame.shape)]
    before = [t // 2 if padding == "same" else 0 for t in total]
    out = np.zeros((*n_out, kernel.shape[-1]))
    for *position, f in np.ndindex(*out.shape):
        for *offset, c in np.ndindex(*kernel.shape[:-1]):
            where = tuple(p * s + o - b for p, s, o, b in zip(position, strides, offset, before))
            if all(0 <= w < n for w, n in zip(where, frame.shape)):
                out[(*position, f)] += frame[(*where, c)] * kernel[(*offset, c, f)]
    return out


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_events_give_the_convolution(data):
    dimensions = data.draw(st.sampled_from([1, 2]))
    draw = lambda low, high: [data.draw(st.integers(low, high)) for _ in range(dimensions)]  # noqa: E731
    window, strides = draw(1, 4), draw(1, 3)
    spatial = [k + extra for k, extra in zip(window, draw(0, 4))]
    depth, width = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    padding = data.draw(st.sampled_from(["same", "valid"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    frames = (rng.random((2, 3, *spatial, depth)) < 0.2) * rng.integers(1, 4, (2, 3, *spatial, depth))
    kernel, bias = rng.standard_normal((*window, depth, width)), rng.standard_normal(width)
    expected = np.array([[slow_convolution(frame, kernel, strides, padding) for frame in item] for item in frames])
    convolve = EventConvolution(kernel.astype(np.float32), frames.shape[2:], expected.shape[2:], strides, padding)
    out = convolve(frames.astype(np.float32), bias)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected + bias, rtol=1e-5, atol=1e-5)


def test_threads_and_number_of_frames_change_nothing():
    rng = np.random.default_rng(0)
    frames = (rng.random((40, 12, 12, 4)) * (rng.random((40, 12, 12, 4)) < 0.1)).astype(np.float32)
    convolve = EventConvolution(
        rng.standard_normal((3, 3, 4, 64)).astype(np.float32), (12, 12, 4), (12, 12, 64), (1, 1), "same"
    )
    together = convolve(frames)
    assert together.size > 2**18
    np.testing.assert_array_equal(together, np.concatenate([convolve(frame[None]) for frame in frames]))


@pytest.mark.parametrize("share, suits", [(0, True), (0.04, True), (0.3, False), (1, False)])
def test_share_of_events(share, suits):
    frames = np.zeros(1000, np.float32)
    frames[: int(1000 * share)] = -2
    convolve = EventConvolution(np.zeros((3, 3, 10, 8)), (10, 10, 10), (10, 10, 8), (1, 1), "same")
    assert convolve.suits(frames.reshape(1, 10, 10, 10)) is suits


@pytest.mark.parametrize("strides, padding", [((1, 1), "same"), ((2, 1), "valid"), ((2, 2), "same")])
def test_a_network_gives_the_same_either_way(strides, padding, simulator_class, monkeypatch):
    with nengo.Network(seed=3) as net:
        stimulus = nengo.Node(np.zeros(9 * 8 * 4))
        transform = nengo.Convolution(8, (9, 8, 4), kernel_size=(3, 3), strides=strides, padding=padding)
        output = nengo.Node(size_in=transform.size_out)
        nengo.Connection(stimulus, output, transform=transform, synapse=None)
        probe = nengo.Probe(output)
    rng = np.random.default_rng(0)
    spikes = (rng.random((2, 20, 288)) < 0.05).astype(np.float32)
    # No element is zero, so that these are multiplied as matrices; a convolution is linear, so that they may be taken
    # away again.
    offset = rng.uniform(0.1, 0.2, 288).astype(np.float32)
    calls = []
    by_events = EventConvolution.__call__
    monkeypatch.setattr(EventConvolution, "__call__", lambda *args: calls.append(args) or by_events(*args))
    results, by = {}, {}
    for name, data in {
        "spikes": spikes,
        "both": spikes + offset,
        "offset": np.broadcast_to(offset, spikes.shape),
    }.items():
        calls.clear()
        with simulator_class(net, minibatch_size=2, progress_bar=False) as sim:
            sim.run_steps(20, data={stimulus: data})
        results[name], by[name] = sim.data[probe], bool(calls)
    assert by == {"spikes": True, "both": False, "offset": False}
    assert results["spikes"].any()
    np.testing.assert_allclose(results["both"] - results["offset"], results["spikes"], rtol=1e-5, atol=1e-6)


def test_without_a_folder_for_machine_code_it_compiles_all_the_same(monkeypatch, tmp_path):
    import numba

    def njit(function, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'double': no locator available")
        return numba.jit(function, **options)

    monkeypatch.setattr(compiled.numba, "njit", njit)
    assert compiled.compiled(lambda x: 2 * x)(4) == 8
