import nengo
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.neurons import SpikeCode, clipped, spike_code, spike_height


@pytest.mark.parametrize(
    ("neurons", "readout", "kind", "height"),
    [
        (ncam.IntegrateAndFire(0.25), "mean", "unit", 125),
        (nengo.SpikingRectifiedLinear(0.25), "mean", "unit", 125),
        (nengo.LIF(amplitude=0.5), "mean", "unit", 250),
        (nengo.PoissonSpiking(nengo.RectifiedLinear()), "mean", "unit", 500),
        (nengo.RegularSpiking(nengo.Tanh()), "mean", "signed unit", 500),
        (ncam.SignedIntegrateAndFire(0.25), "mean", "signed unit", 125),
        (clipped(ncam.SignedIntegrateAndFire(0.25), 6), "mean", "signed unit", 125),
        (ncam.SigmaDelta(bits=1, quantum=3, amplitude=0.25), "level", "power of two", 0.75),
        (ncam.SigmaDelta(bits=2, quantum=3, amplitude=0.25), "level", "graded", 0.75),
        (clipped(ncam.SigmaDelta(bits=None, quantum=3), 6), "level", "graded", 3),
    ],
    ids=str,
)
def test_each_type_says_what_its_spikes_are(neurons, readout, kind, height):
    code = spike_code(neurons, 0.002)
    assert code == SpikeCode(readout, kind, height)
    assert code.held == (readout == "level")
    assert spike_height(neurons, 0.002) == height


@pytest.mark.parametrize("neurons", [nengo.RectifiedLinear(), ncam.ClippedRectifiedLinear(6), nengo.LIFRate()], ids=str)
def test_rate_neurons_have_no_spikes(neurons):
    assert spike_code(neurons, 0.001) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "neurons",
    [ncam.SigmaDelta(bits, amplitude=0.3) for bits in (None, 1, 2)]
    + [ncam.IntegrateAndFire(0.3), ncam.SignedIntegrateAndFire(0.3, 0)],
    ids=str,
)
def test_what_was_sent_is_read_off_the_output(neurons, dtype):
    """Against what the neurons themselves keep: their level, or what left their voltage."""
    dt, n_steps = 0.001, 50
    currents = np.random.default_rng(0).normal(900, 2000, (2, n_steps, 5)).astype(dtype)
    outputs, sent = np.zeros_like(currents), np.zeros(currents.shape)
    for item, current in enumerate(currents):
        state = neurons.make_state(5, dtype=dtype)
        for step, row in enumerate(current):
            before = {name: value.copy() for name, value in state.items()}
            neurons.step(dt, row, outputs[item, step], **state)
            if "level" in state:
                sent[item, step] = state["level"] - before["level"]
            else:
                sent[item, step] = np.rint(before["voltage"] + row * dt - state["voltage"])
    code = spike_code(neurons, dt)
    sizes = code.sizes(outputs)
    np.testing.assert_array_equal(sizes, sent)
    events = code.count_events(sizes)
    np.testing.assert_array_equal(events, (sent != 0) if code.held else np.abs(sent))
    assert (events.max() > 1) != code.held

    pieces, before = [], None
    for part in np.split(outputs, [7, 8, 30], axis=1):
        pieces.append(code.sizes(part, before))
        before = part[:, -1]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), sizes)
