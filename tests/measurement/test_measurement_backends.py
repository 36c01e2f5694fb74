import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.compat import without_gpu_advice
from nengo_cam.exceptions import ParameterError, SimulatorError
from nengo_cam.measurement.backends import open_backend

SIMULATORS = [ncam.Simulator, nengo_dl.Simulator, nengo.Simulator]


@pytest.fixture(scope="module")
def net(small_model, images):
    return ncam.convert(small_model, calibrate_on=images, synapse=0.003)


def run(net, images, simulator, n_steps=12, chunk_steps=5, **options):
    options = {"minibatch_size": 1, "dt": 0.001, "seed": 3, **options}
    with open_backend(net, simulator, **options) as backend:
        return list(backend.run(images.reshape(len(images), -1, 96), n_steps, chunk_steps))


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_chunks_join_up_to_one_run(net, images, simulator):
    chunks = run(net, images[:1], simulator)
    assert [chunk.steps for chunk in chunks] == [slice(0, 5), slice(5, 10), slice(10, 12)]
    (whole,) = run(net, images[:1], simulator, chunk_steps=12)
    np.testing.assert_allclose(
        np.concatenate([c.features for c in chunks], axis=1), whole.features, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(np.concatenate([c.logits for c in chunks], axis=1), whole.logits, rtol=1e-5, atol=1e-6)
    assert whole.features.any()


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_each_run_begins_at_the_start(net, images, simulator):
    with open_backend(net, simulator, minibatch_size=1, dt=0.001, seed=3) as backend:
        frames = images[:1].reshape(1, 1, -1)
        (first,) = backend.run(frames, 10, 10)
        (second,) = backend.run(frames, 10, 10)
    np.testing.assert_array_equal(first.features, second.features)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_the_network_is_left_as_it_was(small_model, images, simulator):
    # A network of its own: a seed that another test left behind would hide one that this run leaves behind.
    net = ncam.convert(small_model, calibrate_on=images)
    assert net.net.seed is None
    output = net.input.output
    run(net, images[:1], simulator)
    assert net.net.seed is None
    np.testing.assert_array_equal(net.input.output, output)
    assert isinstance(net.input.output, np.ndarray)


def test_frames_arrive_in_time(small_model, images):
    """Without synapses and with rate neurons, the logits of a step are those of its frame."""
    net = ncam.convert(small_model, neurons=None)
    expected = net.converter.model.predict(images, verbose=0)
    for simulator in SIMULATORS:
        chunks = run(net, images[None], simulator, n_steps=5, chunk_steps=2)
        np.testing.assert_allclose(
            np.concatenate([c.logits for c in chunks], axis=1)[0], expected, rtol=1e-4, atol=1e-5
        )


def test_seed_decides_random_voltages(small_model, images):
    neurons = ncam.IntegrateAndFire(initial_state={"voltage": nengo.dists.Uniform(0, 1)})
    net = ncam.convert(small_model, calibrate_on=images, neurons=neurons)
    for simulator in SIMULATORS:
        one, same, other = (
            run(net, images[:1], simulator, seed=seed, chunk_steps=12)[0].features for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(one, same)
        assert (one != other).any()


@pytest.mark.parametrize("simulator", [ncam.Simulator, nengo_dl.Simulator])
def test_an_open_simulator_stays_open_and_keeps_its_data(net, images, simulator):
    with without_gpu_advice(), simulator(net.net, minibatch_size=2, seed=1, progress_bar=False) as sim:
        sim.run_steps(4)
        before = sim.data[net.logits].copy()
        with open_backend(net, sim, minibatch_size=7, dt=0.001, seed=None) as backend:
            assert backend.minibatch_size == 2
            assert backend.seed == 1
            list(backend.run(images[:2].reshape(2, 1, -1), 6, 3))
        assert sim.n_steps == 0
        np.testing.assert_array_equal(sim.data[net.logits], before)
        sim.run_steps(2)


def test_wrong_simulators(net, small_model):
    options = {"minibatch_size": 1, "dt": 0.001, "seed": None}
    with pytest.raises(SimulatorError, match=r"\['nengo.Simulator', 'nengo_cam.Simulator', 'nengo_dl.Simulator'\]"):
        open_backend(net, dict, **options)
    with pytest.raises(SimulatorError, match="got 'nengo_dl'"):
        open_backend(net, "nengo_dl", **options)
    other = ncam.convert(small_model)
    with without_gpu_advice(), nengo_dl.Simulator(other.net, progress_bar=False) as sim:
        with pytest.raises(SimulatorError, match="expected the network of this CAMNetwork"):
            open_backend(net, sim, **options)
        with pytest.raises(ParameterError, match="dt: an open simulator keeps its own"):
            open_backend(other, sim, minibatch_size=1, dt=0.002, seed=None)
    with pytest.raises(SimulatorError, match="got a closed one"):
        open_backend(other, sim, **options)
    with nengo.Simulator(other.net, progress_bar=False) as sim, pytest.raises(SimulatorError, match="got an instance"):
        open_backend(other, sim, **options)


def test_the_reference_refuses_tensor_nodes(tf, make_model):
    layers = tf.keras.layers
    model = make_model(layers.MaxPooling2D(2, name="pool"), layers.GlobalAveragePooling2D(), layers.Dense(2))
    with pytest.warns(UserWarning, match="Falling back"):
        net = ncam.convert(model, neurons=None)
    with pytest.raises(SimulatorError, match=r"TensorNodes \['pool'\]. Use nengo_dl.Simulator"):
        open_backend(net, nengo.Simulator, minibatch_size=1, dt=0.001, seed=0)


def test_subclasses_are_recognized(net, images):
    class Mine(nengo.Simulator):
        pass

    assert run(net, images[:1], Mine)[0].logits.shape == (1, 5, 3)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"keep_history": False}, "the probes kept 1 of 5 steps"),
        ({"stateful": False}, "every chunk of time would begin"),
    ],
)
def test_settings_that_would_lose_time_are_refused(small_model, images, setting, message):
    net = ncam.convert(small_model, calibrate_on=images)
    with net.net:
        nengo_dl.configure_settings(**setting)
    with pytest.raises(SimulatorError, match=message):
        run(net, images[:1], nengo_dl.Simulator)


def test_unrolled_simulators_run_whole_rolls(net, images):
    with without_gpu_advice(), nengo_dl.Simulator(net.net, unroll_simulation=4, progress_bar=False) as sim:
        with pytest.raises(SimulatorError, match="it runs 4 steps at a time"):
            run(net, images[:1], sim, n_steps=10, chunk_steps=10, seed=None)
        with pytest.raises(SimulatorError, match="got 12 and 5"):
            run(net, images[:1], sim, n_steps=12, chunk_steps=5, seed=None)
        assert len(run(net, images[:1], sim, n_steps=12, chunk_steps=4, seed=None)) == 3


def test_chunks_say_what_is_a_copy(small_model, images):
    net = ncam.convert(small_model, neurons=ncam.SigmaDelta(2), calibrate_on=images)
    chunks = run(net, images, ncam.Simulator, n_steps=40, chunk_steps=3, minibatch_size=len(images))
    levels = np.concatenate([chunk.features for chunk in chunks], axis=1)
    moves = np.diff(levels, axis=1, prepend=0).any(axis=(0, 2))
    settled = [chunk.settled for chunk in chunks]
    assert settled == sorted(settled)
    assert {False, True} == set(settled)
    for chunk in chunks:
        assert not (chunk.settled and moves[chunk.steps].any())
        assert chunk.of_images(2).settled == chunk.settled
    frames = np.random.default_rng(0).uniform(size=(1, 40, 96)).astype(np.float32)
    with open_backend(net, ncam.Simulator, minibatch_size=1, dt=0.001, seed=3) as backend:
        assert not any(chunk.settled for chunk in backend.run(frames, 40, 3))
