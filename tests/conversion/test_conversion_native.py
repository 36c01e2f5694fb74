"""`from_network`: maps of networks built by hand, against einsums of their owners' probes and weights."""

import pickle

import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.compat import without_gpu_advice
from nengo_cam.exceptions import (
    ImageError,
    MissingCNNError,
    ModelTypeError,
    ParameterError,
    SilentFeaturesWarning,
    SimulatorError,
    UnsupportedModelError,
)
from nengo_cam.measurement import AnswersRecorder, CamRecorder, record

_tf = ncam.compat.import_tensorflow()

SHAPE, CELLS, K, L = (8, 6, 2), (4, 3), 5, 3
SIMULATORS = {"nengo_cam": ncam.Simulator, "nengo_dl": nengo_dl.Simulator, "nengo": nengo.Simulator}
SPIKING = nengo.SpikingRectifiedLinear(amplitude=0.01)
N_STEPS = 15
#: The mean over positions of maps whose channels vary fastest.
MEAN = np.tile(np.eye(K), 12) / 12


def weights(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=shape)


KERNEL, BIAS = weights(K, L, seed=3), weights(L, seed=4)
EACH = weights(L, 12 * K, seed=5, scale=0.1)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).random((3, *SHAPE), dtype=np.float32)


def layer(n, neuron_type=SPIKING, label=None):
    return nengo.Ensemble(n, 1, neuron_type=neuron_type, gain=np.full(n, 100.0), bias=np.full(n, 5.0), label=label)


class Hand:
    """A CNN in Nengo's own objects up to its features; further parts are added in its context."""

    def __init__(self, neuron_type=SPIKING):
        with nengo.Network(seed=2, label="hand") as self.net:
            self.image = nengo.Node(np.zeros(96), label="image")
            first, self.layer = layer(8 * 6 * 3, neuron_type, "first"), layer(12 * K, neuron_type, "second")
            conv = nengo.Convolution(3, SHAPE, padding="same", init=weights(3, 3, 2, 3, seed=1))
            nengo.Connection(self.image, first.neurons, transform=conv, synapse=None)
            conv = nengo.Convolution(K, (8, 6, 3), strides=(2, 2), padding="same", init=weights(3, 3, 3, K, seed=2))
            nengo.Connection(first.neurons, self.layer.neurons, transform=conv, synapse=0.002)
            self.logits = nengo.Node(size_in=L, label="logits")
        self.features = self.layer.neurons
        self.connection = None

    def pooled(self, synapse=None):
        """Add the usual head: a mean, weights and a bias."""
        with self.net:
            pooling, one = nengo.Node(size_in=K, label="pooling"), nengo.Node(np.ones(1), label="one")
            nengo.Connection(self.features, pooling, transform=MEAN, synapse=synapse)
            self.connection = nengo.Connection(pooling, self.logits, transform=KERNEL.T, synapse=None)
            nengo.Connection(one, self.logits, transform=BIAS[:, None], synapse=None)
        return self

    def adopt(self, **options):
        given = {"map_shape": CELLS, "input_shape": SHAPE, "features": self.features, **options}
        return ncam.from_network(self.net, input=self.image, readout=self.connection, **given)

    def probe(self, target=None, **options):
        with self.net:
            return nengo.Probe(self.features if target is None else target, **options)


def maps(net, frames, simulator=nengo.Simulator, n_steps=N_STEPS, **options):
    options = {"seed": 0, "progress_bar": False, **options}
    return ncam.spiking_cam(net, frames, n_steps=n_steps, simulator=simulator, **options)


def run_by_hand(hand, probes, frames, simulator=nengo.Simulator, n_steps=N_STEPS):
    """Return what probes see of each image, as a user would run them, with the seed that `maps` runs with."""
    before, blank, hand.net.seed = hand.net.seed, hand.image.output, 0
    found = []
    try:
        for frame in frames.reshape(len(frames), -1):
            hand.image.output = frame.astype(float)
            with without_gpu_advice(), simulator(hand.net, seed=0, progress_bar=False) as sim:
                sim.run_steps(n_steps)
                # Without a minibatch all simulators record one item alike.
                found.append([np.array(sim.data[probe], float) for probe in probes])
    finally:
        hand.net.seed, hand.image.output = before, blank
    return [np.stack(each) for each in zip(*found)]


def by_cells(features):
    return features.reshape(*features.shape[:-1], *CELLS, -1)


def each_position(matrix):
    """Write weights (..., L, Y*X*K) of a readout from the features as those of a map, position by position."""
    return 12 * matrix.reshape(*matrix.shape[:-1], *CELLS, -1)


def relative(values, reference):
    return float(np.abs(np.asarray(values) - reference).max() / np.abs(reference).max())


def assert_complete(result, logits=None):
    completed = result.cam.mean(("y", "x")) + result.bias
    assert relative(completed, result.logits.values) < 1e-6
    if logits is not None:
        assert relative(result.logits, logits) < 1e-6


# -- Convolutions, pooling and readout in Nengo's own objects


@pytest.mark.parametrize("synapse", [None, 0.004])
@pytest.mark.parametrize("simulator", list(SIMULATORS))
def test_a_cnn_of_connections_has_the_maps_of_its_probe(simulator, synapse, frames):
    hand = Hand().pooled(synapse)
    mine, logits = hand.probe(synapse=synapse), hand.probe(hand.logits)
    net = hand.adopt()
    assert (net.features, net.logits) == (mine, logits)
    result = maps(net, frames, SIMULATORS[simulator], minibatch_size=2)
    features, answers = run_by_hand(hand, [mine, logits], frames)
    expected = np.einsum("ntyxk,kl->ntlyx", by_cells(features), KERNEL)
    assert np.abs(expected).max() > 1
    assert relative(result.cam, expected) < 1e-6
    assert relative(result.bias, BIAS) < 1e-6
    assert_complete(result, answers)
    assert result.attrs["readout"] == "mean"
    assert "weights" not in result.attrs


def several_connections(hand, pooling):
    for i in range(12):
        part = slice(i * K, (i + 1) * K)
        nengo.Connection(hand.features[part], pooling, transform=1 / 12, synapse=None)
    return MEAN


def sparse(hand, pooling):
    rows, columns = np.nonzero(MEAN)
    matrix = nengo.Sparse(MEAN.shape, indices=np.stack([rows, columns], axis=1), init=MEAN[rows, columns])
    nengo.Connection(hand.features, pooling, transform=matrix, synapse=None)
    return MEAN


def in_two_steps(hand, pooling):
    windows = np.zeros((2, 3, K, K))
    windows[...] = np.eye(K) / 6
    halves = nengo.Node(size_in=2 * K, label="halves")
    conv = nengo.Convolution(K, (*CELLS, K), kernel_size=(2, 3), strides=(2, 3), init=windows)
    nengo.Connection(hand.features, halves, transform=conv, synapse=None)
    nengo.Connection(halves, pooling, transform=np.tile(np.eye(K), 2) / 2, synapse=None)
    return MEAN


def sums_of_swapped_channels(hand, pooling):
    matrix = np.tile(np.eye(K)[::-1], 12)
    nengo.Connection(hand.features, pooling, transform=matrix, synapse=None)
    return matrix


def where_it_looks(hand, pooling):
    places = np.random.default_rng(9).random(12)
    matrix = np.concatenate([place * np.eye(K) for place in places], axis=1)
    nengo.Connection(hand.features, pooling, transform=matrix, synapse=None)
    return matrix


def a_part_twice(hand, pooling):
    # An element that is named twice counts twice.
    nengo.Connection(hand.features[[0, 0, 7]], pooling[[1, 2, 2]], synapse=None)
    matrix = np.zeros((K, 12 * K))
    matrix[1, 0] = matrix[2, 0] = matrix[2, 7] = 1
    return matrix


POOLINGS = [several_connections, sparse, in_two_steps, sums_of_swapped_channels, where_it_looks, a_part_twice]


@pytest.mark.parametrize("pool", POOLINGS, ids=[pool.__name__ for pool in POOLINGS])
@pytest.mark.parametrize("simulator", ["nengo_cam", "nengo"])
def test_pooling_may_be_written_in_any_connections(pool, simulator, frames):
    hand = Hand()
    with hand.net:
        pooling = nengo.Node(size_in=K)
        matrix = pool(hand, pooling)
        hand.connection = nengo.Connection(pooling, hand.logits, transform=KERNEL.T, synapse=None)
    mine, net = hand.probe(), hand.adopt()
    result = maps(net, frames, SIMULATORS[simulator])
    (features,) = run_by_hand(hand, [mine], frames)
    expected = np.einsum("ntyxk,lyxk->ntlyx", by_cells(features), each_position(KERNEL.T @ matrix))
    assert relative(result.cam, expected) < 1e-6
    assert_complete(result)
    with nengo.Simulator(hand.net, progress_bar=False) as sim:
        kernel, bias = net.readout_parameters(sim)
    # One kernel where all positions count alike.
    assert kernel.shape == ((*CELLS, K, L) if pool in (where_it_looks, a_part_twice) else (K, L))
    assert not bias.any()


@pytest.mark.parametrize("synapse", [None, 0.003])
@pytest.mark.parametrize("simulator", list(SIMULATORS))
def test_a_readout_may_have_weights_for_each_position(simulator, synapse, frames):
    hand = Hand()
    with hand.net:
        hand.connection = nengo.Connection(hand.features, hand.logits, transform=EACH, synapse=synapse)
    # Weights that stand still may as well come behind the filter.
    mine, net = hand.probe(synapse=synapse), hand.adopt()
    assert net.features is mine
    result = maps(net, frames, SIMULATORS[simulator], labels=[2, 0])
    (features,) = run_by_hand(hand, [mine], frames)
    expected = np.einsum("ntyxk,lyxk->ntlyx", by_cells(features), each_position(EACH))[:, :, [2, 0]]
    assert relative(result.cam, expected) < 1e-6
    assert_complete(result)
    assert result.attrs["head"] == "second (4x3x5) -> no pooling -> logits (3 labels, linear)"


def test_logits_may_be_what_arrives_at_neurons(frames):
    """Nengo multiplies it by their gain, and their bias is added."""
    hand = Hand()
    with hand.net:
        output = nengo.Ensemble(L, 1, neuron_type=SPIKING, gain=[2.0, 3.0, 0.5], bias=[1.0, -2.0, 4.0])
        one = nengo.Node(np.ones(1))
        hand.connection = nengo.Connection(hand.features, output.neurons, transform=EACH, synapse=None)
        nengo.Connection(one, output.neurons, transform=BIAS[:, None], synapse=None)
    mine, arriving = hand.probe(), hand.probe(output.neurons, attr="input")
    net = hand.adopt()
    assert net.logits is arriving
    for simulator in SIMULATORS.values():
        result = maps(net, frames, simulator)
        features, logits = run_by_hand(hand, [mine, arriving], frames)
        gain = np.array([2.0, 3.0, 0.5])[:, None, None]
        expected = gain * np.einsum("ntyxk,lyxk->ntlyx", by_cells(features), each_position(EACH))
        assert relative(result.cam, expected) < 1e-6
        assert relative(result.bias, gain.ravel() * BIAS + [1.0, -2.0, 4.0]) < 1e-6
        assert_complete(result, logits)


def test_logits_may_be_what_an_ensemble_is_given(frames):
    hand = Hand()
    with hand.net:
        output = nengo.Ensemble(50, L, radius=3)
        hand.connection = nengo.Connection(hand.features, output, transform=EACH, synapse=None)
    mine, net = hand.probe(), hand.adopt()
    result = maps(net, frames)
    (features,) = run_by_hand(hand, [mine], frames)
    expected = np.einsum("ntyxk,lyxk->ntlyx", by_cells(features), each_position(EACH))
    assert relative(result.cam, expected) < 1e-6
    assert_complete(result)


# -- Ensembles with decoders, feedback, TensorNodes


@pytest.mark.parametrize("simulator", list(SIMULATORS))
def test_decoders_are_weights_of_the_neurons(simulator, frames):
    hand = Hand()
    with hand.net:
        hand.connection = nengo.Connection(
            hand.layer, hand.logits, function=lambda x: [x, x**2], transform=weights(L, 2), synapse=None
        )
    mine, net = hand.probe(), hand.adopt()
    result = maps(net, frames, SIMULATORS[simulator])
    (features,) = run_by_hand(hand, [mine], frames)
    before, hand.net.seed = hand.net.seed, 0
    with nengo.Simulator(hand.net, seed=0, progress_bar=False) as sim:
        decoders = np.array(sim.data[hand.connection].weights)
    hand.net.seed = before
    assert decoders.shape == (L, 12 * K)
    expected = np.einsum("ntyxk,lyxk->ntlyx", by_cells(features), each_position(decoders))
    assert relative(result.cam, expected) < 1e-6
    assert_complete(result)


def represented(neuron_type=None, feedback=False):
    """A network whose features are what an ensemble represents: 2 x 2 cells of two channels."""
    hand = Hand()
    with nengo.Network(seed=5, label="represented") as hand.net:
        hand.image = nengo.Node(np.zeros(8), label="image")
        hand.layer = nengo.Ensemble(200, 8, radius=3, label="cells", neuron_type=neuron_type or nengo.LIF())
        nengo.Connection(hand.image, hand.layer, transform=weights(8, 8), synapse=0.002)
        if feedback:
            nengo.Connection(hand.layer, hand.layer, transform=0.5, synapse=0.01)
        pooling, hand.logits = nengo.Node(size_in=2), nengo.Node(size_in=L)
        solver = nengo.solvers.LstsqL2(reg=0.03)
        mean = np.tile(np.eye(2), 4) / 4
        nengo.Connection(hand.layer, pooling, transform=mean, synapse=0.005, solver=solver)
        hand.connection = nengo.Connection(pooling, hand.logits, transform=KERNEL[:2].T, synapse=None)
        hand.features = hand.layer
        mine = nengo.Probe(hand.layer, synapse=0.005, solver=solver)
    return hand, mine


@pytest.mark.parametrize("feedback", [False, True])
@pytest.mark.parametrize("simulator", list(SIMULATORS))
def test_features_may_be_what_an_ensemble_represents(simulator, feedback, frames):
    hand, mine = represented(feedback=feedback)
    net = hand.adopt(map_shape=(2, 2), input_shape=None)
    # Decoded with the solver of the connection, not with that of probes.
    assert net.features is mine
    vectors = frames.reshape(3, -1)[:, :8]
    if feedback and simulator == "nengo_cam":
        with pytest.raises(SimulatorError, match=r"signals run in a circle.*cells.*Use nengo_dl\.Simulator"):
            maps(net, vectors, ncam.Simulator)
        return
    result = maps(net, vectors, SIMULATORS[simulator], n_steps=40)
    features, logits = run_by_hand(hand, [mine, net.logits], vectors, SIMULATORS[simulator], n_steps=40)
    expected = np.einsum("ntyxk,kl->ntlyx", features.reshape(3, 40, 2, 2, 2), KERNEL[:2])
    assert np.abs(expected).max() > 0.1
    assert relative(result.cam, expected) < 1e-6
    assert_complete(result, logits)
    assert result.attrs["readout"] == "mean"


def test_parts_that_are_decoded_may_have_a_number_as_transform(frames):
    hand, mine = represented()
    with hand.net:
        # The pooling once more, in four parts instead of one matrix.
        node = nengo.Node(size_in=2)
        for cell in range(4):
            part = hand.layer[2 * cell : 2 * cell + 2]
            nengo.Connection(part, node, transform=0.25, synapse=0.005, solver=mine.solver)
        logits = nengo.Node(size_in=L)
        in_parts = nengo.Connection(node, logits, transform=KERNEL[:2].T, synapse=None)
    vectors = frames.reshape(3, -1)[:, :8]
    expected = maps(hand.adopt(map_shape=(2, 2), input_shape=None), vectors)
    hand.connection = in_parts
    result = maps(hand.adopt(map_shape=(2, 2), input_shape=None), vectors)
    assert relative(result.logits, expected.logits.values) < 1e-6
    assert relative(result.cam, expected.cam.values) < 1e-6
    assert_complete(result)


def test_rates_that_are_decoded_are_levels(frames):
    hand, _ = represented(neuron_type=nengo.LIFRate())
    net = hand.adopt(map_shape=(2, 2), input_shape=None)
    result = maps(net, frames.reshape(3, -1)[:, :8], ncam.Simulator)
    assert (result.attrs["readout"], result.attrs["spike_kind"]) == ("level", "none")
    assert_complete(result)


def test_tensor_nodes_run_on_nengo_dl(frames):
    layers = _tf.keras.layers
    _tf.keras.utils.set_random_seed(0)
    hand = Hand()
    with nengo.Network(seed=0) as hand.net:
        hand.image = nengo.Node(np.zeros(96))
        x = nengo_dl.Layer(layers.Conv2D(4, 3, padding="same", activation="relu"))(hand.image, shape_in=SHAPE)
        conv = layers.Conv2D(K, 3, strides=2, padding="same", activation="relu")
        hand.features = nengo_dl.Layer(conv)(x, shape_in=(8, 6, 4))
        pooling, hand.logits = nengo.Node(size_in=K), nengo.Node(size_in=L, label="logits")
        nengo.Connection(hand.features, pooling, transform=MEAN, synapse=None)
        hand.connection = nengo.Connection(pooling, hand.logits, transform=KERNEL.T, synapse=None)
    mine, net = hand.probe(), hand.adopt(name="of tensors")
    result = maps(net, frames, nengo_dl.Simulator, n_steps=3)
    features, logits = run_by_hand(hand, [mine, hand.probe(hand.logits)], frames, nengo_dl.Simulator, n_steps=3)
    expected = np.einsum("ntyxk,kl->ntlyx", by_cells(features), KERNEL)
    assert np.abs(expected).max() > 0.1
    assert relative(result.cam, expected) < 1e-6
    assert_complete(result, logits)
    assert len(net.tensor_nodes) == 2
    assert net.report.dataset.kind.values.tolist() == ["Node", "Conv2D", "Conv2D", "Node"]
    assert net.report.warnings[0].startswith("TensorNodes, which run in TensorFlow")
    with pytest.raises(SimulatorError, match="it cannot run TensorFlow layers"):
        maps(net, frames, nengo.Simulator)
    with pytest.raises(UnsupportedModelError, match="'of tensors': TensorNodes cannot be pickled"):
        pickle.dumps(net)
    with pytest.raises(ParameterError, match=r"gives another shape; expected \(4, 3\), got \(2, 6\)"):
        hand.adopt(map_shape=(2, 6))


# -- Weights that learn


class Learner(Hand):
    """Weights of each position that learn online, towards a target that moves."""

    def __init__(self, synapse=None, decoded=False, rule=None):
        super().__init__()
        with self.net:
            rule = rule or nengo.PES(20.0)
            if decoded:
                self.connection = nengo.Connection(
                    self.layer, self.logits, function=lambda x: np.zeros(L), synapse=synapse, learning_rule_type=rule
                )
            else:
                self.connection = nengo.Connection(
                    self.features, self.logits, transform=EACH, synapse=synapse, learning_rule_type=rule
                )
            self.one = nengo.Node(np.ones(1))
            nengo.Connection(self.one, self.logits, transform=BIAS[:, None], synapse=None)
            if isinstance(rule, nengo.PES):
                target, error = nengo.Node(lambda t: [1, np.sin(300 * t), -2], label="target"), nengo.Node(size_in=L)
                nengo.Connection(self.logits, error, synapse=None)
                nengo.Connection(target, error, transform=-1, synapse=None)
                nengo.Connection(error, self.connection.learning_rule, synapse=0.002)


def assert_maps_of_each_step(hand, net, frames, simulator, **options):
    mine, learned = hand.probe(), hand.probe(hand.connection, attr="weights")
    answers = hand.probe(hand.logits)
    features, matrix, logits = run_by_hand(hand, [mine, learned, answers], frames, simulator)
    result = maps(net, frames, simulator, **options)
    assert matrix.shape == (len(frames), N_STEPS, L, 12 * K)
    expected = np.einsum("ntyxk,ntlyxk->ntlyx", by_cells(features), each_position(matrix))
    assert relative(result.cam, expected) < 1e-6
    assert_complete(result, logits)
    # The weights of the first step make other maps.
    still = np.einsum("ntyxk,lyxk->ntlyx", by_cells(features), each_position(matrix[0, 0]))
    assert relative(still, expected) > 0.1
    assert result.attrs["weights"] == "learned online, those of each step"
    return result


@pytest.mark.parametrize("decoded", [False, True], ids=["weights", "decoders"])
@pytest.mark.parametrize("simulator", ["nengo", "nengo_dl"])
def test_weights_that_learn_are_those_of_each_step(simulator, decoded, frames):
    hand = Learner(decoded=decoded)
    net = hand.adopt()
    assert net.learns
    probes = list(hand.net.all_probes)
    maps(net, frames[:1], SIMULATORS[simulator], n_steps=2)
    # The probe of the weights was there for the run only.
    assert hand.net.all_probes == probes
    # Two minibatches: the second begins with the weights of the start, too.
    assert_maps_of_each_step(hand, net, frames, SIMULATORS[simulator], minibatch_size=2, chunk_steps=4)


def test_a_rule_of_ones_own_runs_on_nengo(frames, drift):
    hand = Hand()
    with hand.net:
        hand.logits = layer(L, label="output").neurons
        hand.connection = nengo.Connection(
            hand.features, hand.logits, transform=EACH, synapse=None, learning_rule_type=drift()
        )
    mine, net = hand.probe(), hand.adopt()
    result = maps(net, frames)
    (features,) = run_by_hand(hand, [mine], frames)
    grown = 1.1 ** np.arange(N_STEPS)[None, :, None, None, None]
    # 100 is the gain of the neurons that the logits drive.
    expected = 100 * grown * np.einsum("ntyxk,lyxk->ntlyx", by_cells(features), each_position(EACH))
    assert relative(result.cam, expected) < 1e-6
    assert_complete(result)


@pytest.mark.parametrize("simulator", ["nengo", "nengo_dl"])
@pytest.mark.parametrize("synapse", [0.005, nengo.Alpha(0.003)], ids=str)
def test_maps_pass_the_filter_behind_weights_that_learn(simulator, synapse, frames):
    hand = Learner(synapse=synapse)
    net = hand.adopt()
    assert net.features.synapse is None
    mine, learned = hand.probe(), hand.probe(hand.connection, attr="weights")
    result = maps(net, frames, SIMULATORS[simulator], minibatch_size=2, chunk_steps=6)
    features, matrix = run_by_hand(hand, [mine, learned], frames, SIMULATORS[simulator])
    raw = np.einsum("ntyxk,ntlyxk->ntlyx", by_cells(features), each_position(matrix))
    through = nengo.Lowpass(synapse) if isinstance(synapse, float) else synapse
    # What a connection brings arrives a step later.
    expected = np.zeros_like(raw)
    for image, unfiltered in zip(expected, raw):
        image[1:] = through.filt(unfiltered.reshape(N_STEPS, -1), dt=0.001, y0=0).reshape(unfiltered.shape)[:-1]
    assert relative(result.cam, expected) < 2e-6
    assert_complete(result)


def test_an_open_simulator_starts_from_what_it_has_learned(frames):
    hand = Learner()
    learned, net = hand.probe(hand.connection, attr="weights"), hand.adopt()
    moving = np.repeat(frames[:2].reshape(2, 1, -1), 20, axis=1)
    hand.net.seed = 0
    with without_gpu_advice(), nengo_dl.Simulator(hand.net, minibatch_size=2, seed=0, progress_bar=False) as sim:
        sim.run_steps(20, data={hand.image: moving})
        last = np.array(sim.data[net.readout].weights)
        result = maps(net, frames[:2], sim, seed=None)
        again = maps(net, frames[:2], sim, seed=None)
        # And it is left with them.
        np.testing.assert_array_equal(sim.data[net.readout].weights, last)
        kernel, _ = net.readout_parameters(sim)
    fresh = maps(net, frames[:2], nengo_dl.Simulator)
    assert learned in net.net.all_probes
    np.testing.assert_array_equal(result.cam, again.cam)
    assert relative(fresh.cam, result.cam.values) > 0.05
    assert kernel.shape == (2, *CELLS, K, L)
    np.testing.assert_allclose(kernel, np.moveaxis(each_position(last), 1, -1), rtol=1e-6)
    assert_complete(result)


def test_an_open_simulator_without_a_probe_of_the_weights_is_refused(frames):
    net = Learner().adopt()
    message = "records only what it was built to record.*Pass the simulator's class"
    with (
        without_gpu_advice(),
        nengo_dl.Simulator(net.net, minibatch_size=2, seed=0, progress_bar=False) as sim,
        pytest.raises(ParameterError, match=message),
    ):
        maps(net, frames[:2], sim, seed=None)


def test_frames_teach_one_after_the_other(frames):
    """A stream of images is one moving image, whose weights go on from frame to frame."""
    hand = Learner()
    net = hand.adopt()
    stream = np.repeat(frames, 5, axis=0)[None]
    whole = maps(net, stream)
    parts = maps(net, stream[:, :5], n_steps=5)
    np.testing.assert_allclose(whole.cam[:, :5], parts.cam, rtol=1e-12)
    assert relative(maps(net, frames[-1:]).cam[:, :5], whole.cam.values[:, 10:]) > 0.1
    assert_complete(whole)


def test_our_simulator_says_that_it_does_not_learn(frames):
    with pytest.raises(SimulatorError, match=r"weights that change while it runs.*Use nengo_dl\.Simulator"):
        maps(Learner().adopt(), frames, ncam.Simulator)


# -- What is given, and what is found


def test_the_network_gets_two_probes_and_nothing_else():
    hand = Hand().pooled(0.004)
    net = hand.net

    def seen():
        kinds = ("all_ensembles", "all_nodes", "all_connections", "all_networks")
        return [list(getattr(net, kind)) for kind in kinds], [(c.synapse, c.transform) for c in net.all_connections]

    before = seen()
    found = hand.adopt()
    assert found.net is net
    assert seen() == before
    assert net.all_probes == [found.features, found.logits]
    assert (found.features.synapse, found.logits.synapse) == (nengo.Lowpass(0.004), None)
    again = hand.adopt()
    assert (again.features, again.logits) == (found.features, found.logits)


def test_images_may_be_vectors(frames):
    hand = Hand().pooled()
    net, plain = hand.adopt(), hand.adopt(input_shape=None)
    expected = maps(net, frames)
    flat = frames.reshape(3, -1)
    for each, given in ((net, flat), (plain, flat), (net, flat.tolist())):
        np.testing.assert_array_equal(maps(each, given).cam, expected.cam)
    moving = np.repeat(flat[:, None], N_STEPS, axis=1)
    np.testing.assert_array_equal(maps(plain, moving).cam, expected.cam)
    np.testing.assert_array_equal(maps(net, moving).cam, expected.cam)
    np.testing.assert_array_equal(expected.y, [0.5, 2.5, 4.5, 6.5])
    assert (expected.y.attrs["units"], expected.attrs["input_shape"]) == ("pixel", [8, 6, 2])
    unplaced = maps(plain, flat)
    np.testing.assert_array_equal(unplaced.y, range(4))
    assert (unplaced.y.attrs["units"], unplaced.attrs.get("input_shape")) == ("cell", None)
    with pytest.raises(ImageError, match=r"wrong shape; expected \(N, 96\) or \(N, T, 96\), got \(3, 95\)"):
        maps(plain, flat[:, 1:])
    placed = maps(hand.adopt(centers=[[1, 2, 3, 4], [0, 1, 5]]), frames)
    np.testing.assert_array_equal(placed.x, [0, 1, 5])
    assert placed.attrs["cell_centers"] == "receptive fields"


def test_rows_and_columns_have_names(frames):
    names = {"y": [100.0, 120, 150, 190, 240, 300, 370, 450], "x": list("abcdef")}
    hand = Hand().pooled()
    net, plain = hand.adopt(coords=names), hand.adopt()
    found, expected = maps(net, frames, ncam.Simulator), maps(plain, frames, ncam.Simulator)
    np.testing.assert_array_equal(found.cam, expected.cam)
    # Cells are two pixels wide: halfway between the numbers of two, and the nearer name.
    assert found.y.values.tolist() == [110, 170, 270, 410]
    assert found.x.values.tolist() == ["a", "c", "e"]
    assert found.y_pixel.values.tolist() == expected.y.values.tolist() == [0.5, 2.5, 4.5, 6.5]
    assert "y_pixel" not in expected.coords and "coords" not in expected.attrs
    at = hand.adopt(coords={"y": names["y"]}, centers=[[0, 1, 2, 7], [0, 1, 5]])
    placed = maps(at, frames, ncam.Simulator)
    assert placed.y.values.tolist() == [100, 120, 150, 450]
    assert placed.x.values.tolist() == [0, 1, 5] and "x_pixel" not in placed.coords
    # Figures write them.
    axes = ncam.timeline(found, images=frames[..., :1], image=0, label=1).axes
    ticks = {tick.get_text() for axis in axes for tick in axis.get_xticklabels()}
    assert ticks & set("abcdef")


def test_names_need_a_shape(frames):
    hand = Hand().pooled()
    with pytest.raises(
        ParameterError, match=r"coords: .* its node takes a vector; expected input_shape, got None\. Pass"
    ):
        hand.adopt(input_shape=None, coords={"x": list("abc")})
    with pytest.raises(ParameterError, match=r"coords: expected a dict of \['y', 'x'\], the axes of the input"):
        hand.adopt(coords={"z": [1]})
    with pytest.raises(ParameterError, match=r"coords\['x'\]: expected 6 finite numbers, or 6 names, .* shape \(3,\)"):
        hand.adopt(coords={"x": list("abc")})
    # Refused before anything was added.
    assert hand.net.all_probes == []


def test_a_signal_of_one_axis_is_an_image():
    signals = np.random.default_rng(0).random((2, 12, 1), dtype=np.float32)
    hand = Hand()
    with nengo.Network(seed=0) as hand.net:
        hand.image, hand.layer = nengo.Node(np.zeros(12)), layer(6 * 2)
        conv = nengo.Convolution(2, (12, 1), kernel_size=(3,), strides=(2,), padding="same", init=weights(3, 1, 2))
        nengo.Connection(hand.image, hand.layer.neurons, transform=conv, synapse=None)
        hand.logits = nengo.Node(size_in=L)
        hand.connection = nengo.Connection(hand.layer.neurons, hand.logits, transform=weights(L, 12), synapse=None)
    net = hand.adopt(features=hand.layer.neurons, map_shape=[6], input_shape=[12, 1])
    result = maps(net, signals)
    assert result.cam.dims == ("image", "time", "label", "x")
    assert relative(result.cam.mean("x") + result.bias, result.logits.values) < 1e-6


def test_other_inputs_keep_their_output(frames):
    """Chunk by chunk, also what moves: on NengoDL a second input is asked for its output anew."""
    hand = Hand().pooled()
    with hand.net:
        context = nengo.Node(lambda t: np.sin(200 * t) * np.ones(12 * K))
        nengo.Connection(context, hand.features, synapse=None)
    mine, net = hand.probe(), hand.adopt()
    (features,) = run_by_hand(hand, [mine], frames)
    expected = np.einsum("ntyxk,kl->ntlyx", by_cells(features), KERNEL)
    for simulator in SIMULATORS.values():
        result = maps(net, frames, simulator, chunk_steps=4, minibatch_size=2)
        assert relative(result.cam, expected) < 1e-6


@pytest.mark.parametrize("simulator", list(SIMULATORS))
def test_the_input_may_have_an_output_of_any_kind(simulator, frames):
    expected = maps(Hand().pooled().adopt(), frames)
    for output in (lambda t: np.ones(96), nengo.processes.PresentInput(np.ones((2, 96)), 0.01)):
        hand = Hand()
        hand.image.output = output
        result = maps(hand.pooled().adopt(), frames, SIMULATORS[simulator])
        assert relative(result.cam, expected.cam.values) < 1e-6
        assert hand.image.output is output


# -- Refusals


def refusals():
    """Yield cases: a name, what changes a network and its arguments, the error and its message."""

    def given(**options):
        return lambda hand: options

    def late(synapse):
        return lambda hand: setattr(hand.connection, "synapse", synapse) or {}

    def onto_logits(hand):
        nengo.Connection(hand.layer, hand.logits[:1], synapse=None)
        return {}

    def slow_bias(hand):
        nengo.Connection(nengo.Node(np.ones(L), label="late"), hand.logits, synapse=0.01)
        return {}

    def past_the_features(hand):
        nengo.Connection(hand.image, hand.logits, transform=weights(L, 96), synapse=None)
        return {}

    def by_encoders(hand):
        target = nengo.Ensemble(L, 1, neuron_type=SPIKING, label="answers")
        hand.connection = nengo.Connection(hand.features, target.neurons, transform=EACH, synapse=None)
        nengo.Connection(nengo.Node(np.ones(1)), target, synapse=None)
        return {}

    def decoded(**of_second):
        def change(hand):
            # Two halves of what an ensemble represents, the second decoded in another way.
            cells, node = nengo.Ensemble(50, 4, label="cells"), nengo.Node(size_in=2)
            nengo.Connection(cells, node, transform=[[1, 0, 0, 0], [0, 1, 0, 0]])
            nengo.Connection(cells, node, transform=[[0, 0, 1, 0], [0, 0, 0, 1]], **of_second)
            hand.connection = nengo.Connection(node, hand.logits, transform=weights(L, 2), synapse=None)
            return {"features": cells, "map_shape": (2, 1)}

        return change

    def neurons_between(hand):
        hand.connection = nengo.Connection(layer(4, label="hidden").neurons, hand.logits, transform=weights(L, 4))
        return {}

    def function_between(hand):
        node = nengo.Node(lambda t, x: x, size_in=K, label="squash")
        nengo.Connection(hand.features, node, transform=MEAN, synapse=None)
        hand.connection = nengo.Connection(node, hand.logits, transform=KERNEL.T, synapse=None)
        return {}

    def readout_of_a_function(hand):
        hand.connection = nengo.Connection(hand.layer, hand.logits, function=lambda x: [x, x, x], synapse=None)
        return {"features": hand.layer, "map_shape": (1, 1)}

    def neuron_to_neuron(hand):
        target = nengo.Ensemble(20, L)
        hand.connection = nengo.Connection(
            hand.layer, target, function=lambda x: [x, x, x], solver=nengo.solvers.LstsqL2(weights=True)
        )
        return {}

    def unconnected(hand):
        node = nengo.Node(size_in=K, label="alone")
        hand.connection = nengo.Connection(node, hand.logits, transform=KERNEL.T, synapse=None)
        return {}

    def circle(hand):
        node, other = nengo.Node(size_in=K, label="ring"), nengo.Node(size_in=K)
        nengo.Connection(hand.features, node, transform=MEAN, synapse=None)
        nengo.Connection(node, other, synapse=None)
        nengo.Connection(other, node, synapse=0.01)
        hand.connection = nengo.Connection(node, hand.logits, transform=KERNEL.T, synapse=None)
        return {}

    def two_ways(hand):
        node = nengo.Node(size_in=K, label="joined")
        nengo.Connection(hand.features, node, transform=MEAN, synapse=None)
        nengo.Connection(hand.features, node, transform=MEAN, synapse=0.005)
        hand.connection = nengo.Connection(node, hand.logits, transform=KERNEL.T, synapse=None)
        return {}

    def to_a_function(hand):
        node = nengo.Node(lambda t, x: x.argmax(), size_in=L, label="winner")
        hand.connection = nengo.Connection(hand.features, node, transform=EACH, synapse=None)
        return {}

    def to_a_part(hand):
        node = nengo.Node(size_in=L + 1, label="wide")
        hand.connection = nengo.Connection(hand.features, node[:L], transform=EACH, synapse=None)
        return {}

    def learning_pooling(hand):
        node = nengo.Node(size_in=K)
        pool = nengo.Connection(hand.features, node, transform=MEAN, synapse=None, learning_rule_type=nengo.PES())
        nengo.Connection(nengo.Node(np.zeros(K)), pool.learning_rule, synapse=None)
        hand.connection = nengo.Connection(node, hand.logits, transform=KERNEL.T, synapse=None)
        return {}

    def learning_decoders(hand):
        hand.connection = nengo.Connection(
            hand.layer, hand.logits, function=lambda x: np.zeros(L), learning_rule_type=nengo.PES()
        )
        return {"features": hand.layer, "map_shape": (1, 1)}

    def learning_part(hand):
        hand.connection = nengo.Connection(
            hand.features[:10], hand.logits, transform=EACH[:, :10], learning_rule_type=nengo.PES()
        )
        return {}

    def learning_elsewhere(hand):
        hand.connection = nengo.Connection(
            hand.net.ensembles[0].neurons, hand.logits, transform=weights(L, 144), learning_rule_type=nengo.PES()
        )
        return {}

    def channels_first(hand):
        block = layer(12 * K, label="first")
        conv = nengo.Convolution(K, (2, 8, 6), strides=(2, 2), padding="same", channels_last=False)
        nengo.Connection(hand.image, block.neurons, transform=conv, synapse=None)
        return {"features": block.neurons}

    def drawn(hand):
        node = nengo.Node(size_in=1)
        transform = nengo.Dense((1, 1), init=nengo.dists.Uniform(0, 1))
        nengo.Connection(hand.layer, node, transform=transform, synapse=None)
        hand.connection = nengo.Connection(node, hand.logits, transform=np.ones((L, 1)), synapse=None)
        return {"features": hand.layer, "map_shape": (1, 1), "input_shape": None}

    def other(hand):
        return {"input": nengo.Node(np.zeros(96), add_to_container=False)}

    def passing_on(hand):
        return {"input": nengo.Node(size_in=96, label="relay")}

    wrong, unsupported = ParameterError, UnsupportedModelError
    yield (
        "input of another network",
        other,
        wrong,
        "input: .* is not in the network; expected an object of .*`with net:`",
    )
    yield (
        "input that is no node",
        given(input="image"),
        wrong,
        "input: expected a nengo.Node, got 'image'. Pass the node",
    )
    yield (
        "input that passes on",
        passing_on,
        wrong,
        "input: 'relay' passes on what arrives; expected a node with an out",
    )
    yield "readout that is none", given(readout="out"), wrong, "readout: expected a nengo.Connection, got 'out'. Write"
    yield (
        "features that are none",
        given(features=3),
        wrong,
        r"features: expected neurons of an ensemble.*, got 3\. Pass",
    )
    yield (
        "features of a part",
        lambda hand: {"features": hand.features[:10]},
        wrong,
        "features: expected a whole object",
    )
    yield (
        "map that does not divide",
        given(map_shape=(7, 3)),
        wrong,
        r"21 cells do not divide 'second'.*60, got \(7, 3\)",
    )
    yield "map of another shape", given(map_shape=(3, 4)), wrong, r"expected \(4, 3\), got \(3, 4\)\. Pass map_shape="
    yield "map of no numbers", given(map_shape="4x3"), wrong, "map_shape: expected 1 or 2 or 3 whole numbers"
    yield "image of another size", given(input_shape=(8, 6, 1)), wrong, "input_shape: .* expected 96, got 48. Count"
    yield "image of other axes", given(input_shape=(8, 12)), wrong, "input_shape: expected 3 whole numbers"
    yield (
        "centers of other axes",
        given(centers=[[1, 2]]),
        wrong,
        r"centers: expected for each axis of the map \(4, 3\)",
    )
    yield "centers nowhere", given(centers=[[1], [2]], input_shape=None), wrong, "centers: without input_shape nobody"
    yield "two filters", late(0.01), unsupported, r"several filters on their way.*\['Lowpass\(tau=0\.004\)', 'Lowpass"
    yield "more logits", onto_logits, unsupported, "leads to the logits too; expected the readout, and biases"
    yield "slow bias", slow_bias, unsupported, r"one from 'late' with synapse Lowpass\(tau=0\.01\)"
    yield "past the features", past_the_features, unsupported, "leads to the logits too; .* got one from 'image' with"
    yield "by encoders", by_encoders, unsupported, "neurons of the logits too, by their encoders.*leads to 'answers'"
    another = decoded(solver=nengo.solvers.LstsqL2(reg=0.5))
    yield "two solvers", another, unsupported, r"connections decode 'cells' in several ways.*LstsqL2\(reg=0\.5\)"
    points = decoded(eval_points=weights(30, 4))
    yield "points of its own", points, unsupported, "decodes 'cells' by points of its own.*Give them to the ensemble"
    yield "neurons between", neurons_between, unsupported, "'hidden' stands between features and readout.*got neurons"
    yield "function between", function_between, unsupported, "'squash' stands between features and .*got a function"
    yield "readout of a function", readout_of_a_function, unsupported, "computes a function; expected weights"
    yield "neuron to neuron", neuron_to_neuron, unsupported, r"weights from neuron to neuron.*Pass weights=False to the"
    yield "nothing between", unconnected, unsupported, "nothing leads from the features 'second' to 'alone'"
    yield "circle", circle, unsupported, "run in a circle through 'ring'"
    yield "two ways", two_ways, unsupported, r"features reach 'joined' through several filters; expected the same"
    yield "to a function", to_a_function, unsupported, "'winner', which gives out something else than the logits"
    yield "to a part", to_a_part, unsupported, r"leads to a part of 'wide'.*got \[slice\(None, 3, None\)\] of 4"
    yield "learning pooling", learning_pooling, unsupported, "between features and readout learns"
    yield "learning decoders", learning_decoders, unsupported, r"learns decoders.*expected features=ensemble\.neurons"
    yield "learning part", learning_part, unsupported, "learns, and comes from a part of 'second'"
    yield "learning elsewhere", learning_elsewhere, unsupported, "learns, and comes from 'first'; expected the neurons"
    yield "channels first", channels_first, wrong, r"its channels first; expected channels last, got \(5, 4, 3\)"
    yield "drawn", drawn, unsupported, r"the transform of .* is drawn; expected an array, got Uniform"


CASES = {case[0]: case[1:] for case in refusals()}


@pytest.mark.parametrize("name", list(CASES))
def test_what_cannot_be_read_is_refused(name):
    change, error, message = CASES[name]
    hand = Hand().pooled(0.004)
    with hand.net:
        options = change(hand)
    given = {"input": hand.image, "features": hand.features, "readout": hand.connection, "map_shape": CELLS}
    with pytest.raises(error, match=message):
        ncam.from_network(hand.net, **{**given, "input_shape": SHAPE, **options})
    # Refused before anything was added.
    assert hand.net.all_probes == []


def test_what_is_no_network_is_told_the_way(frames):
    with pytest.raises(ModelTypeError, match=r"net: expected a nengo\.Network, got builtins\.str.*from_converter"):
        ncam.from_network("net", input=None, features=None, readout=None, map_shape=(1, 1))
    with pytest.raises(ModelTypeError, match=r"Pass nengo_cam\.from_network\(net, \.\.\.\)"):
        maps(Hand().net, frames)


# -- Without a CNN


def test_what_compares_with_a_cnn_says_that_there_is_none(frames):
    net = Hand().pooled().adopt()
    calls = {
        "rate_cam": lambda: ncam.rate_cam(net, frames),
        "rate_predict": lambda: ncam.rate_predict(net),
        "verify": lambda: net.verify(frames),
        "replay": lambda: net.replay(),
        "layer_weights": lambda: net.layer_weights(None),
        "cnn_logits": lambda: net.cnn_logits(frames),
        "AnswersRecorder": lambda: record(net, frames, [AnswersRecorder()], n_steps=1, progress_bar=False),
    }
    for what, call in calls.items():
        with pytest.raises(MissingCNNError, match=f"built by hand, and there is no CNN behind it for {what}; expected"):
            call()


def test_what_measures_takes_it(frames):
    hand = Hand().pooled(0.004)
    net = hand.adopt()
    probes = [hand.probe(ensemble.neurons) for ensemble in hand.net.all_ensembles]
    result = maps(net, frames, ncam.Simulator, keep_features=True, count_spikes=True)
    seen = run_by_hand(hand, probes, frames)
    counts = [np.rint(np.abs(output).sum(axis=-1) / (0.01 / 0.001)) for output in seen]
    assert result["layer"].values.tolist() == ["first", "second"]
    np.testing.assert_array_equal(result.spike_count, np.stack(counts, axis=-1))
    assert result.features.shape == (3, N_STEPS, K, *CELLS)
    assert not {"cnn_logits", "answer", "cnn_answer"} & set(result.data_vars)
    report = ncam.measure_activity(net, frames, n_steps=N_STEPS, seed=0, progress_bar=False)
    spikes = report.dataset.spikes_per_image.dropna("layer")
    np.testing.assert_allclose(spikes, [count.sum(axis=1).mean() for count in counts], rtol=1e-6)
    assert report.dataset.correlation.isnull().all()
    assert report.dataset.silent_fraction_cnn.isnull().all()
    assert "n_differing" not in report.dataset.attrs
    # Neither the CNN's answers nor its activity is spoken of.
    (sentence,) = report.warnings
    assert sentence.startswith("Neurons fire several spikes in one step: 'second'")
    assert sentence.endswith("Lower the gain of the neurons or dt.")
    assert "Network of model 'hand': 2 of 4 layers spike" in str(report)
    cost = ncam.measure_cost(net, frames, n_steps=N_STEPS, seed=0, progress_bar=False)
    np.testing.assert_array_equal(cost.spikes.sum("time"), np.stack(counts, axis=-1).sum(axis=1))
    # A neuron of the last layer is read by all labels, by way of its channel.
    assert cost.synapses.sel(layer="second") == 12 * K * L
    joules = ncam.energy(cost, per_operation=1.0, per_mac=1.0)
    np.testing.assert_array_equal(joules.energy, cost.synaptic_operations)
    assert "cnn_energy" not in joules
    predicted = ncam.spiking_predict(net, n_steps=N_STEPS, seed=0)(frames)
    np.testing.assert_allclose(predicted, result.logits.mean("time"), rtol=1e-5)
    assert "147" not in repr(net)
    assert "built by hand" in repr(net)
    assert "204 SpikingRectifiedLinear, features through synapse Lowpass(tau=0.004)" in repr(net)


def test_synapses_are_counted_or_it_is_said_why_not(frames):
    hand = Hand()
    rows, columns = np.nonzero(MEAN)
    with hand.net:
        pooling = nengo.Node(size_in=K)
        matrix = nengo.Sparse(MEAN.shape, indices=np.stack([rows, columns], axis=1), init=MEAN[rows, columns])
        nengo.Connection(hand.features, pooling, transform=matrix, synapse=None)
        hand.connection = nengo.Connection(pooling, hand.logits, transform=KERNEL.T, synapse=None)
    cost = ncam.measure_cost(hand.adopt(), frames, n_steps=2, seed=0, progress_bar=False)
    assert cost.synapses.sel(layer="second") == 12 * K * L
    with hand.net:
        relay = nengo.Node(size_in=L)
        nengo.Connection(hand.logits, relay, synapse=None)
        nengo.Connection(relay, relay, synapse=0.01)
    with pytest.raises(UnsupportedModelError, match="leads back to itself by nodes only, so that synapses cannot be"):
        ncam.measure_cost(hand.adopt(), frames, n_steps=2, simulator=nengo.Simulator, progress_bar=False)


def test_what_reads_results_takes_them(frames, tmp_path):
    result = maps(Hand().pooled().adopt(), frames, ncam.Simulator, keep_features=True)
    assert ncam.completeness_error(result) < 1e-5
    running = ncam.cumulative(result)
    assert ncam.decision_latency(running).latency.dims == ("image",)
    images = frames[..., :1]
    film = ncam.animate(result, images=images, image=0, label=1)
    film.save(tmp_path / "film.gif")
    assert (tmp_path / "film.gif").stat().st_size > 1000
    ncam.timeline(result, images=images, image=0, label=1)
    ncam.overlay(running.cam.isel(image=0, time=-1, label=1), images[0])
    ncam.raster(result, images, image=0, label=1)
    result.to_netcdf(tmp_path / "maps.nc")


def test_chosen_labels_keep_the_logits_of_all(frames):
    net = Learner().adopt()
    whole, part = maps(net, frames), maps(net, frames, labels=[2])
    np.testing.assert_array_equal(part.cam, whole.cam.sel(label=[2]))
    np.testing.assert_array_equal(part.all_logits, whole.logits.values)
    np.testing.assert_array_equal(part.all_bias, whole.bias.values)
    assert "all_logits" not in whole
    # Whose logit is largest is a matter of all labels, whatever maps are kept.
    for found, every in ((f(part), f(whole)) for f in (lambda r: r, ncam.cumulative)):
        ours, theirs = ncam.decision_latency(found), ncam.decision_latency(every)
        np.testing.assert_array_equal(ours.latency, theirs.latency)
        np.testing.assert_array_equal(ours.answer, every.logits.isel(time=-1).values.argmax(axis=-1))


def test_films_and_players_of_weights_that_learn(frames, tmp_path):
    """What is drawn at a step are the maps of that step: with other weights the same features look otherwise."""
    hand = Learner()
    learning = maps(hand.adopt(), frames)
    fixed = Hand()
    with fixed.net:
        fixed.connection = nengo.Connection(fixed.features, fixed.logits, transform=EACH, synapse=None)
    still = maps(fixed.adopt(), frames)
    images = frames[..., :1]
    film = ncam.animate(learning, images=images, image=0, label=[2, 0])
    film.save(tmp_path / "film.gif")
    assert (tmp_path / "film.gif").stat().st_size > 1000
    line = ncam.timeline(learning, images=images, image=0, label=2, times=[0.001, 0.015], interpolation="nearest")
    drawn = [np.asarray(image.get_array()) for axis in line.axes for image in axis.get_images()]
    for step in (0, -1):
        wanted = learning.cam.sel(label=2).values[0, step]
        assert any(array.shape == wanted.shape and np.allclose(array, wanted) for array in drawn)
    shown = ncam.player(learning, images=images)._repr_mimebundle_()["text/html"]
    assert shown != ncam.player(still, images=images)._repr_mimebundle_()["text/html"]
    # Two networks of one's own compare as a network and its CNN do, where the second has settled.
    end = ncam.cumulative(still).isel(time=-1, drop=True)
    scores = ncam.compare(ncam.cumulative(learning), end, metrics=["pearson"])
    ours, theirs = (data.cam.values.reshape(*data.cam.shape[:-2], -1) for data in (ncam.cumulative(learning), end))
    for image, step, label in [(0, 14, 1), (2, 7, 0)]:
        expected = np.corrcoef(ours[image, step, label], theirs[image, label])[0, 1]
        assert float(scores.pearson[image, step, label]) == pytest.approx(expected, abs=1e-6)


def test_input_that_moves_is_shown_frame_by_frame(frames):
    hand = Hand().pooled()
    mine, net = hand.probe(), hand.adopt()
    film = np.random.default_rng(3).random((1, N_STEPS, *SHAPE), dtype=np.float32)
    found = maps(net, film)
    before, hand.net.seed = hand.net.seed, 0
    hand.image.output = nengo.processes.PresentInput(film.reshape(N_STEPS, -1).astype(float), 0.001)
    with nengo.Simulator(hand.net, seed=0, progress_bar=False) as sim:
        sim.run_steps(N_STEPS)
        features = np.array(sim.data[mine])
    hand.net.seed = before
    expected = np.einsum("tyxk,kl->tlyx", by_cells(features), KERNEL)
    assert relative(found.cam[0], expected) < 1e-6
    assert_complete(found)
    # The report knows of no CNN, and says nothing of the time that it would take to follow.
    report = ncam.measure_activity(net, film, n_steps=N_STEPS, seed=0, progress_bar=False)
    assert "CNN" not in " ".join(report.warnings)


def test_it_travels_to_another_process(frames):
    net = Hand().pooled().adopt()
    loaded = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(maps(loaded, frames).cam, maps(net, frames).cam)


def test_silence_has_a_remedy_of_its_own(frames):
    hand = Hand().pooled()
    hand.layer.bias = np.full(12 * K, -1e6)
    with pytest.warns(SilentFeaturesWarning, match="'second' was silent .* Raise the gain or bias of its neurons"):
        maps(hand.adopt(), frames, ncam.Simulator)


def test_one_recorder_serves_networks_with_a_cnn_and_without(frames, make_model):
    recorder = CamRecorder()
    (by_hand,) = record(Hand().pooled().adopt(), frames, [recorder], n_steps=2, seed=0, progress_bar=False)
    converted = ncam.convert(make_model(shape=SHAPE), neurons=None)
    (of_model,) = record(converted, frames, [recorder], n_steps=2, seed=0, progress_bar=False)
    assert "cnn_logits" not in by_hand
    assert "cnn_logits" in of_model
