"""`cam_node`: the map as a part of the network, against `spiking_cam`, and against sums by hand."""

import pickle
import warnings

import nengo
import nengo_dl
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.compat import without_decoder_cache, without_gpu_advice
from nengo_cam.exceptions import LabelError, ModelTypeError, ParameterError, SimulatorError
from nengo_cam.measurement.synaptic_operations import fan_out

SIMULATORS = {"nengo_cam": ncam.Simulator, "nengo_dl": nengo_dl.Simulator, "nengo": nengo.Simulator}
STEPS = 12


def spiking_cam(net, images, **options):
    return ncam.spiking_cam(
        net, images, **{"n_steps": STEPS, "seed": 0, "check_answers": False, "progress_bar": False, **options}
    )


def run(net, images, probes, simulator=ncam.Simulator, n_steps=STEPS):
    """Run images and give what probes saw; `nengo.Simulator` one image after the other."""
    flat = images.reshape(len(images), 1, -1).repeat(n_steps, axis=1)
    if simulator is not nengo.Simulator:
        with without_gpu_advice(), seeded(net, simulator, minibatch_size=len(images)) as sim:
            sim.run_steps(n_steps, data={net.input: flat})
            return [sim.data[probe].copy() for probe in probes]
    rows = []
    for image in images:
        net.input.output = image.ravel()
        with without_decoder_cache(), seeded(net, simulator) as sim:
            sim.run_steps(n_steps)
            rows.append([sim.data[probe].copy() for probe in probes])
    net.input.output = np.zeros(net.input.size_out)
    return [np.stack(values) for values in zip(*rows)]


def seeded(net, simulator, **options):
    """Make a simulator of the network with the seed that `spiking_cam` has, as initial voltages are drawn from it."""
    net.net.seed = 0
    try:
        return simulator(net.net, progress_bar=False, seed=0, **options)
    finally:
        net.net.seed = None


def probed(net, obj):
    with net.net:
        return nengo.Probe(obj)


def assert_close(found, expected, tolerance=1e-6):
    assert np.shape(found) == np.shape(expected)
    assert np.abs(expected).max() > 0
    assert np.abs(np.asarray(found) - expected).max() <= tolerance * np.abs(expected).max()


# Random initial voltages, a filter, and levels that are held
KINDS = {
    "unit spikes": {"neurons": nengo.SpikingRectifiedLinear(), "synapse": 0.005},
    "signed": {"neurons": ncam.SignedIntegrateAndFire()},
    "levels": {"neurons": ncam.SigmaDelta()},
}


def convert(model, images, kind="levels"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ncam.convert(model, calibrate_on=images, **KINDS[kind])


# Equal to spiking_cam, at every step


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("kind", KINDS)
def test_node_gives_what_spiking_cam_gives(small_model, images, kind, simulator):
    net = convert(small_model, images, kind)
    before = spiking_cam(net, images[:3], simulator=SIMULATORS[simulator])
    cam = ncam.cam_node(net)
    (output,) = run(net, images[:3], [probed(net, cam)], SIMULATORS[simulator])
    assert cam.size_out == 3 * 8 * 6
    assert_close(cam.maps(output), before.cam.values)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_synapse_filters_the_map_and_delays_it_by_a_step(small_model, images, simulator):
    net = convert(small_model, images)
    maps = spiking_cam(net, images[:2], simulator=SIMULATORS[simulator]).cam.values
    cam = ncam.cam_node(net, labels=[2], synapse=0.004)
    (output,) = run(net, images[:2], [probed(net, cam)], SIMULATORS[simulator])
    # An exponential mean, written out.
    decay, expected = np.exp(-0.001 / 0.004), np.zeros((2, STEPS, 1, 8, 6))
    for step in range(1, STEPS):
        expected[:, step] = decay * expected[:, step - 1] + (1 - decay) * maps[:, step - 1, 2:]
    assert_close(cam.maps(output), expected)


def test_labels_come_in_the_order_asked_for_and_parts_by_label(small_model, images):
    net = convert(small_model, images)
    expected = spiking_cam(net, images).cam
    cam = ncam.cam_node(net, labels=["c", 0], label_names=["a", "b", "c"])
    assert cam.labels == ["c", "a"] and cam.shape == (2, 8, 6)
    whole, by_name, by_index = run(net, images, [probed(net, cam), probed(net, cam.of("a")), probed(net, cam.of(2))])
    assert_close(cam.maps(whole), expected.sel(label=[2, 0]).values)
    assert_close(by_name, expected.sel(label=0).values.reshape(5, STEPS, -1))
    assert_close(by_index, expected.sel(label=2).values.reshape(5, STEPS, -1))
    # The documented order: labels, rows, columns.
    assert_close(whole[0, -1, 8 * 6 + 6 * 3 + 4], expected.sel(label=0).values[0, -1, 3, 4])


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_signals_of_one_dimension(tf, simulator):
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(2)
    inputs = tf.keras.Input((20, 2))
    x = layers.Conv1D(6, 3, activation="relu")(inputs)
    model = tf.keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling1D()(x)))
    signals = np.random.default_rng(0).normal(size=(2, 20, 2)).astype(np.float32)
    net = convert(model, signals)
    expected = spiking_cam(net, signals, simulator=SIMULATORS[simulator]).cam.values
    cam = ncam.cam_node(net, labels=[1, 3])
    assert cam.shape == (2, 18) and cam.dims == ("x",)
    (output,) = run(net, signals, [probed(net, cam)], SIMULATORS[simulator])
    assert_close(cam.maps(output), expected[:, :, [1, 3]])


@pytest.mark.parametrize("simulator", ["nengo_cam", "nengo_dl"])
def test_volumes(tf, simulator):
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(2)
    inputs = tf.keras.Input((4, 5, 6, 1))
    x = layers.Conv3D(3, 3, activation="relu")(inputs)
    model = tf.keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling3D()(x)))
    volumes = np.random.default_rng(0).random((2, 4, 5, 6, 1), dtype=np.float32)
    net = convert(model, volumes)
    cam = ncam.cam_node(net)
    assert cam.shape == (2, 2, 3, 4)
    (output,) = run(net, volumes, [probed(net, cam)], SIMULATORS[simulator])
    assert_close(cam.maps(output), spiking_cam(net, volumes).cam.values)
    with net.net, pytest.raises(ParameterError, match=r"expected \(Y, X\) or \(X,\), got \(2, 3, 4\)"):
        cam.display()


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_adopted_networks_and_readouts_that_are_convolutions(tf, images, simulator):
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(3)
    x = inputs = tf.keras.Input((8, 6, 2))
    x = layers.Conv2D(5, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Flatten()(layers.Conv2D(3, 1)(x))
    swap = {tf.keras.activations.relu: nengo.SpikingRectifiedLinear()}
    model = tf.keras.Model(inputs, x)
    net = ncam.from_converter(nengo_dl.Converter(model, swap_activations=swap, scale_firing_rates=200, synapse=0.003))
    expected = spiking_cam(net, images[:2], simulator=SIMULATORS[simulator]).cam.values
    cam = ncam.cam_node(net)
    (output,) = run(net, images[:2], [probed(net, cam)], SIMULATORS[simulator])
    assert_close(cam.maps(output), expected)


def test_other_objects_react_to_it(small_model, images):
    net = convert(small_model, images)
    expected = spiking_cam(net, images[:1], simulator=nengo.Simulator).cam.values[0, :, 1]
    cam = ncam.cam_node(net)
    with net.net:
        strongest = nengo.Node(lambda t, x: [x.argmax(), x.max()], size_in=48)
        nengo.Connection(cam.of(1), strongest, synapse=None)
        probe = nengo.Probe(strongest)
    (output,) = run(net, images[:1], [probe], nengo.Simulator)
    flat = expected.reshape(STEPS, -1)
    np.testing.assert_allclose(output[0], np.stack([flat.argmax(axis=1), flat.max(axis=1)], axis=1))


# Weights that change


def train(net, images):
    """Train further, so that the readout has other weights; give the simulator."""
    sim = seeded(net, nengo_dl.Simulator, minibatch_size=5)
    tf = ncam.compat.import_tensorflow()
    sim.compile(optimizer=tf.keras.optimizers.SGD(0.5), loss={net.logits: "mse"})
    flat = images.reshape(5, 1, -1).repeat(3, axis=1)
    sim.fit({net.input: flat}, {net.logits: np.ones((5, 3, 3))}, epochs=2, verbose=0)
    return sim


def test_node_follows_training(small_model, images):
    net = convert(small_model, images)
    cam = ncam.cam_node(net)
    probe = probed(net, cam)
    before = spiking_cam(net, images).cam.values
    with without_gpu_advice(), train(net, images) as sim:
        sim.reset(include_trainable=False)
        sim.run_steps(STEPS, data={net.input: images.reshape(5, 1, -1).repeat(STEPS, axis=1)})
        live = cam.maps(sim.data[probe])
        trained = spiking_cam(net, images, simulator=sim).cam.values
        sim.freeze_params(net.net)
    assert np.abs(trained - before).max() > 0.1 * np.abs(before).max()
    assert_close(live, trained)
    for simulator in SIMULATORS.values():
        frozen = spiking_cam(net, images, simulator=simulator).cam.values
        assert_close(cam.maps(run(net, images, [probe], simulator)[0]), frozen)
        assert np.abs(frozen - before).max() > 0.1 * np.abs(before).max()


def test_a_loss_on_the_map_trains_what_makes_it(tf, small_model, images, tmp_path):
    net = convert(small_model, images)
    cam = ncam.cam_node(net, labels=[1])
    probe = probed(net, cam)
    flat = images.reshape(5, 1, -1)
    with without_gpu_advice(), seeded(net, nengo_dl.Simulator, minibatch_size=5) as sim:
        before = net.layer_weights(sim)
        sim.compile(optimizer=tf.keras.optimizers.SGD(0.1), loss={probe: "mse"})
        sim.fit({net.input: flat}, {probe: np.ones((5, 1, cam.size_out))}, epochs=2, verbose=0)
        after = net.layer_weights(sim)
        sim.save_params(tmp_path / "tuned")
    changes = {name: np.abs(after[name][0] - before[name][0]) for name in before}
    assert changes["conv0"].max() > 1e-5 and changes["conv1"].max() > 1e-5
    # The other labels' weights have no part in this map.
    assert (changes["readout"].max(axis=0) > 1e-5).tolist() == [False, True, False]
    with without_gpu_advice(), seeded(net, nengo_dl.Simulator, minibatch_size=5) as sim:
        sim.load_params(tmp_path / "tuned")
        sim.run_steps(3, data={net.input: flat.repeat(3, axis=1)})
        loaded = cam.maps(sim.data[probe])
        assert_close(loaded, spiking_cam(net, images, simulator=sim, n_steps=3, labels=[1]).cam.values)


# Everything else stays


@pytest.mark.parametrize("kind", KINDS)
def test_network_is_the_same_with_it(small_model, images, kind):
    net, other = convert(small_model, images, kind), convert(small_model, images, kind)
    for _ in range(2):
        cam = ncam.cam_node(net, synapse=0.01)
        # One more connection beside the others would change the seeds of ensembles, as ever in Nengo.
        with net.net, nengo.Network():
            nengo.Connection(cam.of(0), nengo.Node(size_in=1), transform=np.ones((1, 48)))
    for simulator in SIMULATORS.values():
        a, b = (spiking_cam(n, images, simulator=simulator, count_spikes=True) for n in (net, other))
        for name in ("cam", "logits", "spike_count"):
            np.testing.assert_array_equal(a[name], b[name])
        assert a.attrs == b.attrs
    assert str(net.report) == str(other.report) and repr(net) == repr(other)
    assert net.n_neurons == other.n_neurons and net.tensor_nodes == () and list(net.objects) == list(other.objects)
    options = {"n_steps": 5, "seed": 0, "progress_bar": False}
    for measure in (ncam.measure_activity, ncam.measure_cost):
        assert str(measure(net, images, **options)) == str(measure(other, images, **options))
    for name, counts in fan_out(other).items():
        np.testing.assert_array_equal(fan_out(net)[name], counts)
    assert net.verify(images, n_steps=4).completeness_error < 1e-6


def test_it_survives_pickles(small_model, images):
    net = convert(small_model, images)
    cam = ncam.cam_node(net, labels=[1])
    probe = probed(net, cam)
    (expected,) = run(net, images, [probe])
    again, same, its_probe = pickle.loads(pickle.dumps((net, cam, probe)))
    assert same.labels == [1] and same.shape == cam.shape
    (output,) = run(again, images, [its_probe])
    np.testing.assert_array_equal(output, expected)


# What cannot be


def test_refusals(small_model, images):
    net = convert(small_model, images)
    with pytest.raises(ModelTypeError, match="net: expected a CAMNetwork, got .*Functional"):
        ncam.cam_node(small_model)
    with pytest.raises(LabelError, match="labels: 7 does not exist; expected an index from 0 to 2, got 7"):
        ncam.cam_node(net, labels=[7])
    with pytest.raises(LabelError, match="label_names: expected 3 names, one for each label of 'readout', got 2"):
        ncam.cam_node(net, label_names=["a", "b"])
    with pytest.raises(ParameterError, match="synapse: .* got 'slow'"):
        ncam.cam_node(net, synapse="slow")
    assert not net.net.networks
    cam = ncam.cam_node(net, labels=[2])
    with pytest.raises(LabelError, match=r"the node has no map of 0; expected one of \[2\], got 0") as caught:
        cam.of(0)
    assert caught.value.label == 0
    with pytest.raises(ParameterError, match=r"expected \(\.\.\., 48\), got \(4, 47\)"):
        cam.maps(np.zeros((4, 47)))
    with pytest.raises(ParameterError, match="expected to be called within `with net.net:`, got no network"):
        cam.display()
    with nengo.Network(label="another"), pytest.raises(ParameterError, match='got <Network "another"'):
        cam.display()
    with net.net:
        with pytest.raises(LabelError, match="has no map of 1"):
            cam.display(1)
        with pytest.raises(LabelError, match="expected 1 to 20, got 0"):
            cam.display([])
        with pytest.raises(ParameterError, match="limit: .*got -1"):
            cam.display(limit=-1)


def test_all_labels_only_of_maps_that_are_small(tf):
    layers = tf.keras.layers
    inputs = tf.keras.Input((20, 20, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, padding="same", activation="relu")(inputs))
    net = ncam.convert(tf.keras.Model(inputs, layers.Dense(200)(x)), neurons=None)
    with pytest.raises(ParameterError, match="expected at most 65,536 unless labels are chosen, got 80,000"):
        ncam.cam_node(net)
    assert ncam.cam_node(net, labels=range(199)).size_out == 199 * 400


def test_part_of_the_network_cannot_run_alone(small_model, images):
    net = convert(small_model, images)
    ncam.cam_node(net)
    (part,) = net.net.networks
    with pytest.raises(SimulatorError, match="the readout is not in the network that is simulated"):
        model = nengo.builder.Model()
        for node in part.nodes:
            model.build(node)
        (op,) = (op for op in model.operators if type(op).__name__ == "MapOperator")
        op.weights  # noqa: B018 (a property that raises)


def test_simulators_that_know_no_operators_are_told(small_model, images):
    net = convert(small_model, images)
    ncam.cam_node(net)
    node = net.net.networks[-1].nodes[0]
    with pytest.raises(SimulatorError, match="the simulator does not know what computes the map"):
        node.output(0.0, np.zeros(node.size_in))


# The picture


def test_display_draws_every_step(small_model, images):
    net = convert(small_model, images)
    expected = spiking_cam(net, images[:1], simulator=nengo.Simulator, n_steps=4).cam.values[0]
    cam = ncam.cam_node(net)
    drawn = []
    with net.net:
        picture = cam.display([2, 0])
        # Built later, so that it runs after the picture.
        nengo.Node(lambda t: drawn.append(picture.output._nengo_html_), size_out=0)
        probe = nengo.Probe(cam)
    assert "2" in picture.label
    run(net, images[:1], [probe], nengo.Simulator, n_steps=4)
    again = type(picture.output)((8, 6), [2, 0])
    for step, maps in enumerate(expected):
        again((step + 1) / 1000, maps[[2, 0]].ravel())
        assert again._nengo_html_ in drawn or step == 3
    assert again._nengo_html_ == picture.output._nengo_html_
    assert len(set(drawn)) >= 3
