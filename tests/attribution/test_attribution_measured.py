import tracemalloc

import nengo
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.attribution.measured import MeasuredRecorder, Window, default_steps
from nengo_cam.exceptions import MissingCNNError, ParameterError, UnsupportedModelError
from nengo_cam.measurement import record

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers

SIMULATORS = ["nengo_cam", "nengo_dl", "nengo"]


def simulator_of(name):
    if name == "nengo":
        return nengo.Simulator
    return ncam.Simulator if name == "nengo_cam" else ncam.compat.import_nengo_dl().Simulator


@pytest.fixture(scope="module")
def net(small_model, images):
    return ncam.convert(small_model, neurons=ncam.SignedIntegrateAndFire(), calibrate_on=images)


def measure(net, images, *, n_steps=12, times=None, average=None, **options):
    recorder = MeasuredRecorder(times=times, average=average)
    (measured,) = record(net, images, [recorder], n_steps=n_steps, seed=3, progress_bar=False, **options)
    return measured, recorder


def probed(net, image, n_steps, synapse=None):
    """What `nengo.Simulator` shows of one image at each step, through a filter: a run of its own."""
    frames = np.broadcast_to(image, (n_steps, *net.head.input_shape)).reshape(n_steps, -1)
    seed_before, input_before = net.net.seed, net.input.output
    n_probes = len(net.net.probes)
    with net.net:
        probes = {name: nengo.Probe(ensemble.neurons, synapse=synapse) for name, ensemble in net.neuron_layers.items()}
    net.net.seed, net.input.output = 3, lambda t: frames[round(t / 0.001) - 1]
    try:
        with nengo.Simulator(net.net, progress_bar=False, seed=3) as sim:
            sim.run_steps(n_steps)
            return {name: sim.data[probe].copy() for name, probe in probes.items()}, sim.data[net.logits].copy()
    finally:
        net.net.seed, net.input.output = seed_before, input_before
        del net.net.probes[n_probes:]


def slow_average(values, average, step):
    """The average up to a step, one step after the other."""
    if average == "step":
        return values[step]
    if average == "cumulative":
        weights = np.ones(step + 1)
    elif isinstance(average, Window):
        weights = np.array([float(step - i < average.n_steps) for i in range(step + 1)])
    else:
        weights = np.array([np.exp(-0.001 * (step - i) / average) for i in range(step + 1)])
    total = sum(weight * values[i] for i, weight in enumerate(weights))
    return total / weights.sum()


AVERAGES = ["cumulative", "step", 0.004, Window(5), Window(1), Window(100)]


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("synapse", [None, 0.003])
def test_what_the_next_layer_received_on_all_simulators(small_model, images, simulator, synapse):
    options = {"neurons": ncam.SignedIntegrateAndFire(), "synapse": synapse, "calibrate_on": images}
    net = ncam.convert(small_model, **options)
    steps = [0, 3, 4, 11]
    times = (np.array(steps) + 1) * 0.001
    measured, _ = measure(net, images[:2], times=times, simulator=simulator_of(simulator), minibatch_size=2)
    assert measured.steps.tolist() == steps
    spikes, logits = probed(net, images[1], 12, synapse)
    for name, values in spikes.items():
        assert np.abs(values).max() > 0
        for i, step in enumerate(steps):
            expected = slow_average(values, "cumulative", step).reshape(measured.layers[name].shape[2:])
            np.testing.assert_allclose(measured.layers[name][1, i], expected, atol=2e-5 * np.abs(values).max())
    for i, step in enumerate(steps):
        expected = slow_average(logits, "cumulative", step)
        np.testing.assert_allclose(measured.logits[1, i], expected, atol=2e-5 * np.abs(logits).max())


@pytest.mark.parametrize("average", AVERAGES, ids=repr)
@pytest.mark.parametrize("chunk_steps", [None, 1, 5])
def test_averages_against_a_slow_loop(net, images, average, chunk_steps):
    steps = [0, 1, 4, 5, 9]
    times = (np.array(steps) + 1) * 0.001
    measured, _ = measure(net, images[:1], times=times, average=average, chunk_steps=chunk_steps)
    spikes, _ = probed(net, images[0], 12)
    for name, values in spikes.items():
        for i, step in enumerate(steps):
            expected = slow_average(values, average, step).reshape(measured.layers[name].shape[2:])
            np.testing.assert_allclose(measured.layers[name][0, i], expected, atol=1e-5 * np.abs(values).max())


def test_chunks_and_minibatches_do_not_matter(net, images):
    whole, _ = measure(net, images)
    for options in ({"chunk_steps": 1}, {"chunk_steps": 5}, {"minibatch_size": 2}):
        parts, _ = measure(net, images, **options)
        for name, values in whole.layers.items():
            np.testing.assert_allclose(parts.layers[name], values, rtol=0, atol=1e-6 * np.abs(values).max())
        np.testing.assert_allclose(parts.logits, whole.logits, rtol=0, atol=1e-6 * np.abs(whole.logits).max())


NEURONS = {
    "signed": ncam.SignedIntegrateAndFire(),
    "integrate": ncam.IntegrateAndFire(),
    "levels": ncam.SigmaDelta(bits=2),
    "graded": ncam.SigmaDelta(bits=None),
    "rate": None,
}


def assert_logits_follow(net, images, recorder, measured):
    n_images, n_times = measured.logits.shape[:2]
    told = {name: values.reshape((-1, *values.shape[2:])) for name, values in measured.layers.items()}
    logits = np.asarray(recorder.replay(np.repeat(images, n_times, axis=0), told=told).logits)
    largest = np.abs(measured.logits).max()
    np.testing.assert_allclose(logits.reshape((n_images, n_times, -1)), measured.logits, rtol=0, atol=2e-6 * largest)


@pytest.mark.parametrize("neurons", NEURONS, ids=str)
@pytest.mark.parametrize("synapse", [None, 0.005])
def test_logits_of_the_replay_are_the_networks(small_model, images, neurons, synapse):
    """At all times, whatever the activity: everything behind a measured layer is linear in it, or measured again."""
    net = ncam.convert(small_model, neurons=NEURONS[neurons], synapse=synapse, calibrate_on=images)
    measured, recorder = measure(net, images, n_steps=30)
    held = neurons in ("levels", "graded", "rate")
    assert recorder.average == ("step" if held else "cumulative")
    assert_logits_follow(net, images, recorder, measured)
    # Once more with the average that is not the default.
    measured, recorder = measure(net, images, n_steps=30, average="cumulative" if held else Window(7))
    assert_logits_follow(net, images, recorder, measured)


def test_logits_of_a_user_s_own_converter(small_model, images):
    nengo_dl = ncam.compat.import_nengo_dl()
    swap = {_tf.keras.activations.relu: ncam.SignedIntegrateAndFire()}
    converter = nengo_dl.Converter(
        ncam.inference_model(small_model), swap_activations=swap, scale_firing_rates=200, synapse=0.002
    )
    net = ncam.from_converter(converter)
    measured, recorder = measure(net, images, n_steps=20)
    assert_logits_follow(net, images, recorder, measured)


def test_weights_are_those_of_a_trained_simulator(small_model, images):
    nengo_dl = ncam.compat.import_nengo_dl()
    net = ncam.convert(small_model, neurons=ncam.SignedIntegrateAndFire(), calibrate_on=images)
    with nengo_dl.Simulator(net.net, minibatch_size=5, progress_bar=False, seed=0) as sim:
        sim.compile(_tf.optimizers.legacy.SGD(0.05), loss={net.logits: "mse"})
        sim.fit(
            {net.input: images.reshape(5, 1, -1)},
            {net.logits: np.full((5, 1, 3), 2.0, np.float32)},
            epochs=3,
            verbose=0,
        )
        sim.freeze_params(net.net)
    measured, recorder = measure(net, images, n_steps=20)
    changed = recorder.replay.linear_layers["conv1"].get_weights()[0]
    assert np.abs(changed - net.reduced.layer("conv1").get_weights()[0]).max() > 1e-3
    assert_logits_follow(net, images, recorder, measured)


def test_blocks_hold_the_mean_of_what_was_shown(small_model, images):
    """Moving input: the current into the first layer is that of the mean frame, with the weights of the average."""
    net = ncam.convert(small_model, neurons=ncam.SigmaDelta(), calibrate_on=images)
    frames = np.random.default_rng(0).random((2, 10, 8, 6, 2), dtype=np.float32)
    for average in ("step", "cumulative", Window(3), 0.002):
        blocks = []

        class Keeping(MeasuredRecorder):
            def receive(self, block, blocks=blocks):
                blocks.append(block)

            def result(self):
                return None

        recorder = Keeping(times=[0.004, 0.010], average=average)
        record(net, frames, [recorder], n_steps=10, chunk_steps=3, seed=0, progress_bar=False)
        (block,) = blocks
        for i, step in enumerate((3, 9)):
            for row in range(2):
                expected = slow_average(frames[row].astype(float), average, step)
                np.testing.assert_allclose(block.images[2 * i + row], expected, atol=1e-6)


def test_memory_does_not_grow_with_the_steps(net, images):
    def peak(n_steps):
        class Dropping(MeasuredRecorder):
            def receive(self, block):
                pass

            def result(self):
                return None

        tracemalloc.start()
        try:
            options = {"n_steps": n_steps, "chunk_steps": 10, "seed": 0, "progress_bar": False}
            record(net, np.repeat(images, 3, axis=0), [Dropping(average=Window(8))], **options)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    few, many = peak(40), peak(400)
    assert many < 1.3 * few


def test_default_times_are_dense_at_the_start():
    assert default_steps(1).tolist() == [0]
    assert default_steps(3).tolist() == [0, 1, 2]
    steps = default_steps(1000) + 1
    assert steps[0] == 1
    assert steps[-1] == 1000
    assert len(steps) <= 20
    # Each about 1.44 times the one before, but for whole numbers.
    assert np.all(np.diff(np.log(steps[steps > 10])) < 0.45)


def test_what_cannot_be_measured_is_refused(net, small_model, images, make_model):
    for average in (0, -1.0, "mean", Window(0), Window(2.5), True, None.__class__):
        with pytest.raises(ParameterError, match="average: expected 'cumulative', 'step', a time constant"):
            measure(net, images, average=average)
    with pytest.raises(ParameterError, match="times: not in the run; expected at least one time from 0.001 to 0.012"):
        measure(net, images, times=[0.02])
    model = make_model(layers.MaxPooling2D(2), layers.GlobalAveragePooling2D(), layers.Dense(3))
    swapped = ncam.convert(model, max_to_avg_pool=True)
    with pytest.raises(UnsupportedModelError, match="max_to_avg_pool made another network"):
        measure(swapped, images)


def test_networks_built_by_hand_have_no_model_to_go_back_through():
    with nengo.Network() as network:
        pixels = nengo.Node(np.zeros(4))
        cells = nengo.Ensemble(4, 1, neuron_type=nengo.RectifiedLinear(), gain=np.ones(4), bias=np.zeros(4))
        labels = nengo.Node(size_in=2)
        nengo.Connection(pixels, cells.neurons, synapse=None)
        readout = nengo.Connection(cells.neurons, labels, transform=np.full((2, 4), 0.25), synapse=None)
    net = ncam.from_network(network, input=pixels, features=cells.neurons, readout=readout, map_shape=(2, 2))
    with pytest.raises(MissingCNNError, match="attribute"):
        measure(net, np.ones((1, 4)))


def residual(images):
    x = inputs = _tf.keras.Input((8, 6, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D()(layers.Add()([x, y]))
    model = _tf.keras.Model(inputs, layers.Dense(3)(x))
    return ncam.convert(model, neurons=ncam.SignedIntegrateAndFire(), calibrate_on=images, synapse=0.005)


def test_what_a_user_looks_through_is_no_filter_of_the_model(images):
    net = residual(images)
    before, _ = measure(net, images)
    with net.net:
        looking = nengo.Node(size_in=net.neuron_layers["first"].n_neurons)
        nengo.Connection(net.neuron_layers["first"].neurons, looking, synapse=0.1)
    after, recorder = measure(net, images)
    np.testing.assert_array_equal(after.layers["first"], before.layers["first"])
    assert_logits_follow(net, images, recorder, after)


def test_a_layer_that_is_received_through_several_filters_is_refused(images):
    net = residual(images)
    first = net.neuron_layers["first"].neurons
    connections = [c for c in net.net.all_connections if c.pre_obj == first]
    assert len(connections) == 2
    connections[0].synapse = nengo.Lowpass(0.1)
    with pytest.raises(UnsupportedModelError, match=r"layer 'first': it is received through several filters; .* got"):
        measure(net, images)
