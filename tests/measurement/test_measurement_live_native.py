"""`cam_node` in networks built by hand: weights of each position, weights that learn, and what it refuses."""

import warnings

import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.compat import without_decoder_cache, without_gpu_advice
from nengo_cam.exceptions import SimulatorError, UnsupportedModelError

SIMULATORS = {"nengo_cam": ncam.Simulator, "nengo_dl": nengo_dl.Simulator, "nengo": nengo.Simulator}
SHAPE, CELLS, K, L, N_STEPS = (6, 4, 2), (3, 2), 4, 3, 12
N_CELLS = 6
MEAN = np.tile(np.eye(K), N_CELLS) / N_CELLS


def drawn(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(scale=scale, size=shape)


KERNEL, EACH = drawn(L, K, seed=3), drawn(L, N_CELLS * K, seed=5, scale=0.1)
SPIKING = nengo.SpikingRectifiedLinear(amplitude=0.01)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).random((2, *SHAPE), dtype=np.float32)


def neurons(n, label=None, gain=100.0):
    return nengo.Ensemble(n, 1, neuron_type=SPIKING, gain=np.full(n, gain), bias=np.full(n, 5.0), label=label)


class Hand:
    """A convolution of spiking neurons, and logits; heads are added between the two."""

    def __init__(self):
        with nengo.Network(seed=2, label="hand") as self.net:
            self.image = nengo.Node(np.zeros(48), label="image")
            self.layer = neurons(N_CELLS * K, "layer")
            conv = nengo.Convolution(K, SHAPE, strides=(2, 2), padding="same", init=drawn(3, 3, 2, K, seed=1))
            nengo.Connection(self.image, self.layer.neurons, transform=conv, synapse=None)
            self.logits = nengo.Node(size_in=L, label="logits")
        self.features, self.readout = self.layer.neurons, None

    def pool(self, matrix=MEAN, synapse=None, transform=KERNEL, **options):
        with self.net:
            pooled = nengo.Node(size_in=np.shape(matrix)[0], label="pooled")
            nengo.Connection(self.features, pooled, transform=matrix, synapse=synapse, **options)
            self.readout = nengo.Connection(pooled, self.logits, transform=transform, synapse=None)
        return self

    def read(self, transform=EACH, target=None, synapse=None, **options):
        with self.net:
            target = self.logits if target is None else target
            self.readout = nengo.Connection(self.features, target, transform=transform, synapse=synapse, **options)
        return self

    def learn(self, synapse=None, decoded=False):
        rule = nengo.PES(20.0)
        with self.net:
            if decoded:
                self.readout = nengo.Connection(
                    self.layer, self.logits, function=lambda x: np.zeros(L), synapse=synapse, learning_rule_type=rule
                )
            else:
                self.read(synapse=synapse, learning_rule_type=rule)
            error, target = nengo.Node(size_in=L), nengo.Node(lambda t: [1, np.sin(300 * t), -2])
            nengo.Connection(self.logits, error, synapse=None)
            nengo.Connection(target, error, transform=-1, synapse=None)
            nengo.Connection(error, self.readout.learning_rule, synapse=0.002)
        return self

    def adopt(self, **options):
        given = {"features": self.features, "map_shape": CELLS, "input_shape": SHAPE, **options}
        return ncam.from_network(self.net, input=self.image, readout=self.readout, **given)


def spiking_cam(net, frames, simulator, **options):
    return ncam.spiking_cam(
        net, frames, **{"n_steps": N_STEPS, "seed": 0, "simulator": simulator, "progress_bar": False, **options}
    )


def run(net, frames, probes, simulator):
    """Run images as their owner would, with the seed that `spiking_cam` runs with; give what probes saw."""
    before, blank, net.net.seed = net.net.seed, net.input.output, 0
    flat = frames.reshape(len(frames), 1, -1).repeat(N_STEPS, axis=1)
    try:
        if simulator is not nengo.Simulator:
            with warnings.catch_warnings(), without_gpu_advice():
                sim = simulator(net.net, minibatch_size=len(frames), seed=0, progress_bar=False)
            with sim:
                sim.run_steps(N_STEPS, data={net.input: flat})
                return [np.array(sim.data[probe]) for probe in probes]
        rows = []
        for frame in frames:
            net.input.output = frame.ravel().astype(float)
            with without_decoder_cache(), nengo.Simulator(net.net, seed=0, progress_bar=False) as sim:
                sim.run_steps(N_STEPS)
                rows.append([np.array(sim.data[probe]) for probe in probes])
        return [np.stack(values) for values in zip(*rows)]
    finally:
        net.net.seed, net.input.output = before, blank


def assert_close(found, expected, tolerance=1e-6):
    assert np.shape(found) == np.shape(expected)
    assert np.abs(expected).max() > 0.01
    assert np.abs(np.asarray(found) - expected).max() <= tolerance * np.abs(expected).max()


def assert_like_spiking_cam(net, frames, simulator, labels=(2, 0), tolerance=1e-6):
    """The node's output is the map of a run without it, at every step, and what is probed is not disturbed by it."""
    alone = spiking_cam(net, frames, simulator)
    cam = ncam.cam_node(net, labels=list(labels))
    with net.net:
        probe = nengo.Probe(cam)
    output, logits = run(net, frames, [probe, net.logits], simulator)
    assert_close(logits, alone.logits.values, tolerance)
    assert_close(cam.maps(output), alone.cam.sel(label=list(labels)).values, tolerance)
    return cam.maps(output)


HEADS = {
    "mean": lambda hand: hand.pool(),
    "mean behind a filter": lambda hand: hand.pool(synapse=0.004),
    "convolution behind a mean": lambda hand: hand.pool(
        transform=nengo.Convolution(L, (1, 1, K), kernel_size=(1, 1), init=KERNEL.T[None, None])
    ),
    "positions": lambda hand: hand.read(),
    "convolution of all positions": lambda hand: hand.read(
        nengo.Convolution(L, (*CELLS, K), kernel_size=CELLS, init=EACH.T.reshape(*CELLS, K, L))
    ),
    "positions and a filter": lambda hand: hand.read(synapse=0.003),
    "neurons of gain 1": lambda hand: hand.read(target=_output(hand)),
}


def _output(hand, gain=1.0):
    with hand.net:
        return neurons(L, "output", gain).neurons


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_heads_of_every_form(simulator, head, frames):
    net = HEADS[head](Hand()).adopt()
    assert_like_spiking_cam(net, frames, SIMULATORS[simulator])


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_weights_of_each_position_against_a_slow_loop(simulator, frames):
    hand = Hand().read()
    net = hand.adopt()
    cam = ncam.cam_node(net, labels=[1])
    with hand.net:
        probes = [nengo.Probe(cam), nengo.Probe(hand.features)]
    output, features = run(net, frames, probes, SIMULATORS[simulator])
    expected = np.zeros((len(frames), N_STEPS, 1, *CELLS))
    for image, step, y, x in np.ndindex(len(frames), N_STEPS, *CELLS):
        first = (y * CELLS[1] + x) * K
        weighted = EACH[1, first : first + K] * features[image, step, first : first + K]
        expected[image, step, 0, y, x] = N_CELLS * weighted.sum()
    assert_close(cam.maps(output), expected)


@pytest.mark.parametrize("synapse", [None, 0.004])
@pytest.mark.parametrize("decoded", [False, True], ids=["weights", "decoders"])
@pytest.mark.parametrize("simulator", ["nengo", "nengo_dl"])
def test_the_map_of_a_step_has_the_weights_of_that_step(simulator, decoded, synapse, frames):
    hand = Hand().learn(synapse, decoded)
    net = hand.adopt()
    found = assert_like_spiking_cam(net, frames, SIMULATORS[simulator], tolerance=2e-6 if synapse else 1e-6)
    if synapse is not None:
        return
    with hand.net:
        probes = [nengo.Probe(hand.features), nengo.Probe(hand.readout, "weights")]
    features, learned = run(net, frames, probes, SIMULATORS[simulator])
    by_cell = features.reshape(*features.shape[:2], *CELLS, K)

    def maps(matrix):
        each = N_CELLS * matrix.reshape(*matrix.shape[:-1], *CELLS, K)[..., [2, 0], :, :, :]
        return np.einsum("ntyxk,ntlyxk->ntlyx", by_cell, each)

    assert_close(found, maps(learned))
    # Those of the last step, kept, make other maps.
    still = maps(np.repeat(learned[:, -1:], N_STEPS, axis=1))
    assert np.abs(found - still).max() > 0.1 * np.abs(still).max()


@pytest.mark.parametrize("simulator", ["nengo", "nengo_dl"])
def test_a_synapse_of_the_node_comes_behind_that_of_the_weights(simulator, frames):
    net = Hand().learn(synapse=0.004).adopt()
    alone = spiking_cam(net, frames, SIMULATORS[simulator]).cam.sel(label=[1]).values
    cam = ncam.cam_node(net, labels=[1], synapse=0.006)
    with net.net:
        probe = nengo.Probe(cam)
    (output,) = run(net, frames, [probe], SIMULATORS[simulator])
    decay, expected = np.exp(-0.001 / 0.006), np.zeros_like(alone, float)
    for step in range(1, N_STEPS):
        expected[:, step] = decay * expected[:, step - 1] + (1 - decay) * alone[:, step - 1]
    assert_close(cam.maps(output), expected, 2e-6)


def test_a_rule_of_ones_own(frames, drift):
    hand = Hand()
    hand.read(target=_output(hand), learning_rule_type=drift())
    net = hand.adopt()
    found = assert_like_spiking_cam(net, frames, nengo.Simulator)
    with hand.net:
        probe = nengo.Probe(hand.features)
    (features,) = run(net, frames, [probe], nengo.Simulator)
    each = N_CELLS * EACH.reshape(L, *CELLS, K)[[2, 0]]
    expected = np.einsum("ntyxk,lyxk->ntlyx", features.reshape(2, N_STEPS, *CELLS, K), each)
    assert_close(found, 1.1 ** np.arange(N_STEPS)[:, None, None, None] * expected)


def test_our_simulator_says_that_it_does_not_learn(frames):
    net = Hand().learn().adopt()
    ncam.cam_node(net)
    with pytest.raises(SimulatorError, match=r"weights that change while it runs.*Use nengo_dl\.Simulator"):
        ncam.Simulator(net.net)


def represented(solver=None):
    """A network whose features are what an ensemble represents, 2 x 2 cells of two channels."""
    hand = Hand()
    with nengo.Network(seed=5, label="hand") as hand.net:
        hand.image, hand.logits = nengo.Node(np.zeros(8), label="image"), nengo.Node(size_in=L, label="logits")
        hand.layer = hand.features = nengo.Ensemble(200, 8, radius=3, label="cells")
        nengo.Connection(hand.image, hand.layer, transform=drawn(8, 8), synapse=0.002)
    given = {} if solver is None else {"solver": solver}
    return hand.pool(np.tile(np.eye(2), 4) / 4, synapse=0.005, transform=KERNEL[:, :2], **given)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_features_that_are_decoded(simulator, frames):
    # As they are pooled: this solver gives other values than Nengo's default.
    net = represented(nengo.solvers.LstsqL2(reg=0.5)).adopt(map_shape=(2, 2), input_shape=None)
    assert_like_spiking_cam(net, frames.reshape(2, -1)[:, :8], SIMULATORS[simulator])


@pytest.mark.parametrize("head", ["mean", "positions"])
def test_tensor_nodes(tf, head, frames):
    tf.keras.utils.set_random_seed(0)
    hand = Hand()
    with nengo.Network(seed=0) as hand.net:
        hand.image, hand.logits = nengo.Node(np.zeros(48)), nengo.Node(size_in=L)
        conv = tf.keras.layers.Conv2D(K, 3, strides=2, padding="same", activation="relu")
        hand.features = nengo_dl.Layer(conv)(hand.image, shape_in=SHAPE)
    assert_like_spiking_cam(HEADS[head](hand).adopt(), frames, nengo_dl.Simulator)


def test_the_network_is_the_same_with_it(frames):
    plain, looked_at = Hand().pool().adopt(), Hand().pool().adopt()
    ncam.cam_node(looked_at)
    options = {"n_steps": 5, "seed": 0, "progress_bar": False}
    for measure in (ncam.measure_activity, ncam.measure_cost):
        assert str(measure(plain, frames, **options)) == str(measure(looked_at, frames, **options))
    assert repr(plain) == repr(looked_at)
    # And can be adopted, and looked at, again.
    again = ncam.from_network(
        looked_at.net, input=looked_at.input, features=looked_at.features.target, readout=looked_at.readout,
        map_shape=CELLS,
    )  # fmt: skip
    assert ncam.cam_node(again).shape == (L, *CELLS)


# What has other weights than the map's


def sparse(matrix):
    rows, columns = np.nonzero(matrix)
    return nengo.Sparse(matrix.shape, indices=np.stack([rows, columns], axis=1), init=matrix[rows, columns])


def places(hand):
    weights = np.random.default_rng(9).random(N_CELLS)
    return hand.pool(np.concatenate([weight * np.eye(K) for weight in weights], axis=1))


def part_of_the_pooled(hand):
    hand.pool()
    with hand.net:
        other = nengo.Node(size_in=L)
        hand.readout = nengo.Connection(hand.readout.pre_obj[[1, 0, 2, 3]], other, transform=KERNEL, synapse=None)
    return hand


def drawn_pooling(hand):
    with hand.net:
        pooled = nengo.Node(size_in=K)
        transform = nengo.Dense((K, N_CELLS * K), init=nengo.dists.Uniform(0, 1))
        nengo.Connection(hand.features, pooled, transform=transform, synapse=None)
        hand.readout = nengo.Connection(pooled, hand.logits, transform=KERNEL, synapse=None)
    return hand


def drawn_sparse_pooling(hand):
    with hand.net:
        pooled = nengo.Node(size_in=K)
        transform = nengo.Sparse(MEAN.shape, indices=np.argwhere(MEAN), init=nengo.dists.Uniform(0, 1))
        nengo.Connection(hand.features, pooled, transform=transform, synapse=None)
        hand.readout = nengo.Connection(pooled, hand.logits, transform=KERNEL, synapse=None)
    return hand


def gained(gain):
    def make(hand):
        output = _output(hand)
        output.ensemble.gain = gain
        return hand.read(target=output)

    return make


def decoded_readout(hand):
    """Of what an ensemble represents, without pooling: the weights that a simulator has are those of its neurons."""
    hand = represented()
    with hand.net:
        other = nengo.Node(size_in=L)
        hand.readout = nengo.Connection(hand.layer, other, transform=drawn(L, 8), synapse=None)
    return hand


def diagonal(hand):
    with hand.net:
        hand.logits = nengo.Node(size_in=K)
        hand.pool(transform=nengo.Dense((K, K), init=drawn(K)))
    return hand


def decoders_of_a_sparse_matrix(hand):
    with hand.net:
        hand.readout = nengo.Connection(
            hand.layer, hand.logits, function=lambda x: [x, x], transform=sparse(drawn(L, 2)), synapse=None
        )
    return hand


def padded(hand):
    """A convolution with one position that sees a part of the map."""
    kernel = drawn(2, 2, K, L)
    return hand.read(nengo.Convolution(L, (*CELLS, K), kernel_size=(2, 2), strides=(3, 2), init=kernel))


def channels_first(hand):
    """Weights of a convolution have channels last, whatever its input has."""
    kernel = EACH.reshape(L, K, *CELLS).transpose(2, 3, 1, 0)
    transform = nengo.Convolution(L, (K, *CELLS), kernel_size=CELLS, init=kernel, channels_last=False)
    return hand.read(transform)


SMALL = {"map_shape": (2, 2), "input_shape": None}
REFUSED = {
    "weights of places": (
        places,
        {},
        r"'pooled' takes something else than the mean of 'layer'; .* times 1/6, got other w",
    ),
    "sums": (lambda hand: hand.pool(6 * MEAN), {}, "something else than the mean of 'layer'"),
    "swapped channels": (lambda hand: hand.pool(MEAN[::-1]), {}, "something else than the mean of 'layer'"),
    "fewer channels": (
        lambda h: h.pool(MEAN[:3], transform=KERNEL[:, :3]),
        {},
        "something else than the mean of 'layer'",
    ),
    "drawn": (drawn_pooling, {}, "are drawn when it is built; expected an array, got Uniform"),
    "drawn sparsely": (drawn_sparse_pooling, {}, "are drawn when it is built; expected an array, got .*Sparse"),
    "part": (part_of_the_pooled, {}, r"comes from a part of 'pooled'; .* got \[\[1, 0, 2, 3\]\]"),
    "gain": (gained(np.array([2.0, 3.0, 0.5])), {}, r"'output' multiply .* gains of 1, got 0\.5 to 3\. Lead the read"),
    "drawn gain": (gained(nengo.dists.Choice([2.0])), {}, r"gains of 1, got Choice\(.*\. Lead the readout to nengo\.N"),
    "unknown gain": (gained(None), {}, "expected gains of 1, got those that Nengo finds"),
    "represented": (decoded_readout, SMALL, "the readout decodes 'cells', so that its weights are those of neurons"),
    "diagonal": (diagonal, {}, r"no matrix .* array of shape \(4, 4\), got Dense with weights of shape \(4,\)"),
    "sparse": (lambda hand: hand.read(sparse(EACH)), {}, r"are no matrix .* of shape \(3, 24\), got Sparse\. Write"),
    "sparse decoders": (decoders_of_a_sparse_matrix, {}, r"are no matrix .* of shape \(3, 24\), got Sparse\. Write"),
    "convolution of a part": (padded, {}, r"array of shape \(3, 24\), got Convolution\. Write its weights as"),
    "channels first": (channels_first, {}, r"array of shape \(3, 24\), got Convolution\. Write its weights as"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_weights_than_the_maps_are_refused(case):
    make, options, message = REFUSED[case]
    net = make(Hand()).adopt(**options)
    before = [len(net.net.networks), *(len(objects) for objects in net.net.objects.values())]
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        ncam.cam_node(net, labels=[1])
    assert str(caught.value).startswith("network 'hand': cam_node multiplies features by the weights of the readout")
    # Before anything was added.
    assert [len(net.net.networks), *(len(objects) for objects in net.net.objects.values())] == before


@pytest.mark.parametrize(
    "case", ["weights of places", "part", "gain", "represented", "convolution of a part", "channels first"]
)
def test_what_is_refused_would_be_another_map(case, monkeypatch, frames):
    """With the check taken out, the node gives something else than `spiking_cam`, or nothing."""
    make, options, _ = REFUSED[case]
    net = make(Hand()).adopt(**options)
    images = frames.reshape(2, -1)[:, : net.input.size_out]
    expected = spiking_cam(net, images, nengo.Simulator).cam.values
    monkeypatch.setattr(type(net), "weighs_positions", lambda self: self.path.is_direct)
    cam = ncam.cam_node(net)
    with net.net:
        probe = nengo.Probe(cam)
    try:
        (output,) = run(net, images, [probe], nengo.Simulator)
    except SimulatorError as err:
        assert "are no kernel" in str(err)
        return
    assert np.abs(cam.maps(output) - expected).max() > 0.05 * np.abs(expected).max()
