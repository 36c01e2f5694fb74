"""Time steps other than a millisecond: times, currents, spikes and filters of every simulator, beside a loop."""

import nengo
import numpy as np
import pytest

import nengo_cam as ncam

nengo_dl = ncam.compat.import_nengo_dl()

SIMULATORS = {"nengo_cam": ncam.Simulator, "nengo_dl": nengo_dl.Simulator, "nengo": nengo.Simulator}
N_STEPS, SCALE, CLIP = 24, 300.0, 0.8
#: In ms: the default would hide a number that is written into the code.
TIME_STEPS = [0.002, 0.0005]


@pytest.fixture(scope="module")
def frames():
    """Films that change at every step, so that a frame too early or too late is seen."""
    return np.random.default_rng(3).random((2, N_STEPS, 3, 2, 2)).astype(np.float32)


def make_model(tf, clip=None):
    """One layer of neurons, each of which sees one position."""
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            tf.keras.Input((3, 2, 2)),
            layers.Conv2D(4, 1, name="conv"),
            layers.ReLU(clip, name="relu"),
            layers.GlobalAveragePooling2D(name="gap"),
            layers.Dense(3, name="readout"),
        ]
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(-0.5, 1.2, weights.shape) for weights in model.get_weights()])
    return model


def by_hand(model, frames, dt, neurons, synapse, clip):
    """Maps (image, time, label, y, x) and spikes of a step (image, time): definitions, one step after another."""
    kernel, bias = (weights.astype(float) for weights in model.get_layer("conv").get_weights())
    current = SCALE * (frames.astype(float) @ kernel[0, 0] + bias)
    voltage = np.full(current[:, 0].shape, 0.5)
    allowed, sent = voltage.copy(), 0 * voltage
    outputs = np.zeros(current.shape)
    for step in range(current.shape[1]):
        voltage += current[:, step] * dt
        limit = voltage
        if clip is not None:
            allowed += clip * SCALE * dt
            limit = np.minimum(voltage, allowed)
        spikes = np.maximum(np.floor(limit), 0)
        if isinstance(neurons, ncam.SignedIntegrateAndFire):
            taken_back = np.maximum(np.minimum(np.floor(voltage + neurons.negative_threshold), 0), -sent)
            spikes = np.where(voltage < 0, taken_back, np.floor(limit))
        voltage, allowed, sent = voltage - spikes, allowed - spikes, sent + spikes
        outputs[:, step] = spikes
    activity = outputs / (SCALE * dt)
    if synapse is not None:
        # What is read at a step was filtered up to the one before.
        decay, filtered = np.exp(-dt / synapse), np.zeros(activity[:, 0].shape)
        for step in range(activity.shape[1]):
            activity[:, step], filtered = filtered, decay * filtered + (1 - decay) * activity[:, step]
    maps = activity @ model.get_layer("readout").get_weights()[0].astype(float)
    return np.moveaxis(maps, -1, 2), np.abs(outputs).sum(axis=(2, 3, 4))


@pytest.mark.parametrize("dt", TIME_STEPS)
@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize(
    ("neurons", "synapse", "clip"),
    [
        (ncam.IntegrateAndFire(), None, None),
        (ncam.IntegrateAndFire(), 0.004, None),
        (ncam.SignedIntegrateAndFire(), None, None),
        (ncam.IntegrateAndFire(), None, CLIP),
        (ncam.SignedIntegrateAndFire(), 0.004, CLIP),
    ],
    ids=["plain", "filtered", "signed", "clipped", "signed, clipped, filtered"],
)
def test_films_beside_a_loop(tf, frames, neurons, synapse, clip, simulator, dt):
    model = make_model(tf, clip)
    net = ncam.convert(model, neurons=neurons, scale_firing_rates=SCALE, synapse=synapse)
    result = ncam.spiking_cam(
        net, frames, n_steps=N_STEPS, dt=dt, seed=0, simulator=SIMULATORS[simulator], count_spikes=True,
        chunk_steps=7, progress_bar=False,
    )  # fmt: skip
    maps, spikes = by_hand(model, frames, dt, neurons, synapse, clip)
    np.testing.assert_allclose(result.time, np.arange(1, N_STEPS + 1) * dt, rtol=1e-12)
    assert result.attrs["dt"] == dt
    np.testing.assert_array_equal(result.spike_count.isel(layer=0), spikes)
    assert spikes.any(axis=1).all()
    np.testing.assert_allclose(result.cam, maps, rtol=1e-4, atol=1e-4 * np.abs(maps).max())
    bias = model.get_layer("readout").get_weights()[1]
    np.testing.assert_allclose(result.logits, maps.mean(axis=(-2, -1)) + bias, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dt", TIME_STEPS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_still_images_and_measures(tf, frames, simulator, dt):
    """Everything that runs a network counts the same spikes, and rates are per second."""
    model, images = make_model(tf), frames[:, 0]
    net = ncam.convert(model, scale_firing_rates=SCALE)
    _, spikes = by_hand(model, np.repeat(images[:, None], N_STEPS, axis=1), dt, ncam.IntegrateAndFire(), None, None)
    options = {"n_steps": N_STEPS, "dt": dt, "seed": 0, "simulator": SIMULATORS[simulator]}
    cost = ncam.measure_cost(net, images, progress_bar=False, **options)
    np.testing.assert_allclose(cost.time, np.arange(1, N_STEPS + 1) * dt, rtol=1e-12)
    np.testing.assert_array_equal(cost.spikes.isel(layer=0), spikes)
    np.testing.assert_array_equal(cost.synaptic_operations.isel(layer=0), spikes * cost.synapses.item() / (3 * 2 * 4))
    activity = ncam.measure_activity(net, images, progress_bar=False, **options).dataset
    rate = spikes.sum() / (2 * 3 * 2 * 4 * N_STEPS * dt)
    np.testing.assert_allclose(activity.mean_rate.sel(layer="relu"), rate, rtol=1e-6)
    maps, _ = by_hand(model, np.repeat(images[:, None], N_STEPS, 1), dt, ncam.IntegrateAndFire(), None, None)
    logits = maps.mean(axis=(-2, -1)) + model.get_layer("readout").get_weights()[1]
    decided = ncam.spiking_predict(net, synapse=0.01, probabilities=False, **options)(images)
    expected = nengo.Lowpass(0.01).filt(logits, dt=dt, axis=1, y0=0)[:, -1]
    np.testing.assert_allclose(decided, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dt", TIME_STEPS)
def test_an_open_simulator_keeps_its_time_step(tf, frames, dt):
    model = make_model(tf)
    net = ncam.convert(model, scale_firing_rates=SCALE)
    maps, _ = by_hand(model, frames, dt, ncam.IntegrateAndFire(), None, None)
    for make in (ncam.Simulator, nengo_dl.Simulator):
        with make(net.net, dt=dt, minibatch_size=2, seed=0, progress_bar=False) as sim:
            result = ncam.spiking_cam(net, frames, n_steps=N_STEPS, dt=dt, simulator=sim, progress_bar=False)
        np.testing.assert_allclose(result.cam, maps, rtol=1e-4, atol=1e-4 * np.abs(maps).max())
        np.testing.assert_allclose(result.time, np.arange(1, N_STEPS + 1) * dt, rtol=1e-12)


@pytest.mark.parametrize("dt", TIME_STEPS)
def test_films_of_the_cnn_have_times(tf, frames, dt):
    rate = ncam.rate_cam(make_model(tf), frames, dt=dt)
    np.testing.assert_allclose(rate.time, np.arange(1, N_STEPS + 1) * dt, rtol=1e-12)
