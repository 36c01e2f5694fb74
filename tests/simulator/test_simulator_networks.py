"""Converted networks: the same spikes as the two other simulators, and the same for any split of the work."""

import nengo
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nengo_cam as ncam

N_STEPS = 20


def chain(tf, shape, *layers):
    tf.keras.utils.set_random_seed(1)
    x = inputs = tf.keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return tf.keras.Model(inputs, x)


def randomize(model):
    rng = np.random.default_rng(2)
    for layer in model.layers:
        layer.set_weights([w if w.ndim > 1 else rng.uniform(0.05, 0.3, w.shape) for w in layer.get_weights()])
    return model


def residual(tf):
    layers = tf.keras.layers
    inputs = tf.keras.Input((6, 6, 2))
    a = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    b = layers.Conv2D(4, 3, padding="same", activation="relu")(a)
    c = layers.Conv2D(5, 3, activation="relu")(layers.Add()([a, b]))
    d = layers.Concatenate()([layers.Flatten()(c), layers.Flatten()(a)])
    return tf.keras.Model(inputs, layers.Dense(3)(d))


def models(tf):
    """One model for each kind of layer that NengoDL converts natively, and one that it does not."""
    layers = tf.keras.layers
    conv = {"activation": "relu", "padding": "same"}
    return {
        "plain": lambda: chain(
            tf, (8, 6, 2), layers.Conv2D(4, 3, **conv), layers.Conv2D(5, 3, strides=2, activation="relu"),
            layers.GlobalAveragePooling2D(), layers.Dense(3),
        ),
        "batch normalization": lambda: chain(
            tf, (6, 6, 2), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(), layers.Conv2D(3, 3, **conv),
            layers.Flatten(), layers.Dense(3),
        ),
        "residual and concatenated": lambda: residual(tf),
        "pooled, padded, upsampled": lambda: chain(
            tf, (8, 8, 2), layers.Conv2D(4, 3, **conv), layers.AveragePooling2D(2), layers.ZeroPadding2D(1),
            layers.Conv2D(4, 3, **conv), layers.UpSampling2D(2), layers.Conv2D(3, 3, **conv),
            layers.AveragePooling2D(3, strides=2), layers.GlobalAveragePooling2D(), layers.Dense(3),
        ),
        "one dimension": lambda: chain(
            tf, (12, 2), layers.Conv1D(4, 3, **conv), layers.AveragePooling1D(2), layers.Conv1D(5, 3, **conv),
            layers.GlobalAveragePooling1D(), layers.Dense(3),
        ),
        "dense": lambda: chain(tf, (9,), layers.Dense(12, activation="relu"), layers.Dense(7, "relu"), layers.Dense(3)),
        "leaky": lambda: chain(
            tf, (6, 6, 2), layers.Conv2D(4, 3), layers.LeakyReLU(0.1), layers.Conv2D(3, 3, **conv), layers.Flatten(),
            layers.Dense(3),
        ),
        "three dimensions": lambda: chain(
            tf, (4, 5, 4, 2), layers.Conv3D(4, 3, **conv), layers.AveragePooling3D(2), layers.Conv3D(3, 2, **conv),
            layers.GlobalAveragePooling3D(), layers.Dense(3),
        ),
        "max pooling": lambda: chain(
            tf, (8, 8, 2), layers.Conv2D(4, 3, **conv), layers.MaxPool2D(2), layers.Conv2D(4, 3, **conv),
            layers.GlobalAveragePooling2D(), layers.Dense(3),
        ),
    }  # fmt: skip


KINDS = (
    "plain",
    "batch normalization",
    "residual and concatenated",
    "pooled, padded, upsampled",
    "one dimension",
    "dense",
    "leaky",
    "three dimensions",
    "max pooling",
)

#: What the reference simulator cannot run: convolutions in three dimensions, and TensorNodes.
ONLY_NENGO_DL = ("three dimensions", "max pooling")


def converted(nengo_dl, model, neurons, synapse):
    """Convert to double precision, with a probe on every layer of neurons."""
    swap = {nengo.RectifiedLinear(): neurons} if neurons is not None else {}
    scale = 300 if neurons is not None and neurons.spiking else None
    converter = nengo_dl.Converter(
        model, swap_activations=swap, scale_firing_rates=scale, synapse=synapse, inference_only=True
    )
    converter.net.seed = 3
    with converter.net:
        nengo_dl.configure_settings(dtype="float64")
        layers = [nengo.Probe(e.neurons) for e in converter.net.all_ensembles]
    (node,), (output,) = converter.inputs.values(), converter.outputs.values()
    return converter.net, node, output, layers


def run_ours(simulator_class, net, node, images, dtype="float64", **kwargs):
    with simulator_class(net, minibatch_size=len(images), dtype=dtype, progress_bar=False, **kwargs) as sim:
        sim.run_steps(N_STEPS, data={node: images[:, None]})
        return {probe: sim.data[probe] for probe in net.all_probes}


def run_nengo_dl(nengo_dl, net, node, images):
    with nengo_dl.Simulator(net, minibatch_size=len(images), progress_bar=False) as sim:
        sim.run_steps(N_STEPS, data={node: np.repeat(images[:, None], N_STEPS, axis=1)})
        return {probe: sim.data[probe] for probe in net.all_probes}


def run_nengo(net, node, images):
    items = []
    for image in images:
        node.output = image.astype(float)
        with nengo.Simulator(net, progress_bar=False) as sim:
            sim.run_steps(N_STEPS)
        items.append({probe: sim.data[probe] for probe in net.all_probes})
    return {probe: np.stack([item[probe] for item in items]) for probe in net.all_probes}


def assert_same(ours, theirs, spiking_layers):
    for probe, expected in theirs.items():
        if probe in spiking_layers and expected.any():
            height = np.abs(expected[expected != 0]).min()
            np.testing.assert_array_equal(np.round(ours[probe] / height), np.round(expected / height))
        np.testing.assert_allclose(ours[probe], expected, rtol=1e-9, atol=1e-9 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("neurons", "synapse"),
    [
        (ncam.IntegrateAndFire(), None),
        (nengo.SpikingRectifiedLinear(), nengo.Lowpass(0.005)),
        (nengo.LIF(), nengo.Alpha(0.003)),
        (None, None),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore:(divide by zero|overflow):RuntimeWarning")
def test_spikes_are_those_of_the_other_simulators(kind, neurons, synapse, tf, nengo_dl, simulator_class):
    model = randomize(models(tf)[kind]())
    net, node, output, layers = converted(nengo_dl, model, neurons, synapse)
    images = np.random.default_rng(0).random((2, node.size_out))
    ours = run_ours(simulator_class, net, node, images)
    assert ours[output].std() > 0
    spiking = layers if neurons is not None and synapse is None else []
    assert_same(ours, run_nengo_dl(nengo_dl, net, node, images), spiking)
    if kind not in ONLY_NENGO_DL:
        assert_same(ours, run_nengo(net, node, images), spiking)


def test_poisson_spikes_are_those_of_the_reference(tf, nengo_dl, simulator_class):
    model = randomize(models(tf)["plain"]())
    net, node, _, layers = converted(nengo_dl, model, nengo.PoissonSpiking(nengo.RectifiedLinear()), None)
    images = np.random.default_rng(0).random((3, node.size_out))
    assert_same(run_ours(simulator_class, net, node, images), run_nengo(net, node, images), layers)


def test_single_precision_changes_next_to_no_spike(digits_model, digits, nengo_dl, simulator_class):
    """A voltage next to threshold is rounded over it; in the layers behind, a spike at another time makes others."""
    (train, _), (images, _) = digits
    net = ncam.convert(digits_model, calibrate_on=train[:20])
    with net.net:
        layers = [nengo.Probe(e.neurons) for e in net.net.all_ensembles]
    flat = images[:16].reshape(16, -1)
    exact = run_ours(simulator_class, net.net, net.input, flat)
    fast = run_ours(simulator_class, net.net, net.input, flat, dtype="float32")
    with net.net:
        nengo_dl.configure_settings(dtype="float32")
    theirs = run_nengo_dl(nengo_dl, net.net, net.input, flat)
    changed, size = 0, 0
    # One spike that moves is followed by none or hundreds in the layers behind: what is to be compared is images.
    hit, hit_theirs = np.zeros((2, len(flat)), bool)
    for probe in layers:
        height = exact[probe][exact[probe] > 0].min()
        ours_moved = np.abs(fast[probe] - exact[probe]) > height / 2
        changed += ours_moved.sum()
        hit |= ours_moved.any(axis=(1, 2))
        hit_theirs |= (np.abs(theirs[probe] - exact[probe]) > height / 2).any(axis=(1, 2))
        size += exact[probe].size
    assert changed / size <= 1e-5
    assert hit.sum() <= 2 * hit_theirs.sum() + 2


@pytest.fixture(scope="module")
def small(tf, nengo_dl):
    model = randomize(models(tf)["pooled, padded, upsampled"]())
    return converted(nengo_dl, model, ncam.IntegrateAndFire(), nengo.Lowpass(0.004))


@pytest.fixture(scope="module")
def moving_images(small):
    return np.random.default_rng(5).random((6, N_STEPS, small[1].size_out))


@pytest.fixture(scope="module")
def whole(small, moving_images, simulator_class):
    net, node = small[:2]
    with simulator_class(net, minibatch_size=6, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(N_STEPS, data={node: moving_images})
        return {probe: sim.data[probe] for probe in net.all_probes}


@given(chunk_steps=st.integers(1, N_STEPS + 2))
@settings(max_examples=8, deadline=None)
def test_length_of_chunks_changes_nothing(small, moving_images, whole, simulator_class, chunk_steps):
    net, node = small[:2]
    with simulator_class(net, minibatch_size=6, dtype="float64", progress_bar=False) as sim:
        chunks = list(sim.iter_steps(N_STEPS, {node: moving_images}, chunk_steps=chunk_steps))
    for probe, expected in whole.items():
        np.testing.assert_array_equal(np.concatenate([chunk[probe] for chunk in chunks], axis=1), expected)


@given(splits=st.lists(st.integers(1, N_STEPS - 1), unique=True, max_size=4), budget=st.integers(1, 2**20))
@settings(max_examples=6, deadline=None)
def test_split_into_calls_and_budget_change_nothing(small, moving_images, whole, simulator_class, splits, budget):
    net, node = small[:2]
    edges = [0, *sorted(splits), N_STEPS]
    with simulator_class(net, minibatch_size=6, dtype="float64", progress_bar=False, memory_budget=budget) as sim:
        for start, stop in zip(edges[:-1], edges[1:]):
            sim.run_steps(stop - start, data={node: moving_images[:, start:stop]})
        for probe, expected in whole.items():
            np.testing.assert_array_equal(sim.data[probe], expected)


@given(order=st.permutations(range(6)), size=st.sampled_from([1, 2, 3]))
@settings(max_examples=6, deadline=None)
def test_minibatches_and_order_change_nothing(small, moving_images, whole, simulator_class, order, size):
    net, node = small[:2]
    with simulator_class(net, minibatch_size=size, dtype="float64", progress_bar=False) as sim:
        for start in range(0, 6, size):
            items = list(order[start : start + size])
            sim.reset()
            sim.run_steps(N_STEPS, data={node: moving_images[items]})
            for probe, expected in whole.items():
                np.testing.assert_array_equal(sim.data[probe], expected[items])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_still_image_is_a_film_of_equal_frames(small, moving_images, simulator_class, dtype):
    net, node, output, _ = small
    still = moving_images[:2, :1]
    results = []
    for data in (still, np.repeat(still, N_STEPS, axis=1)):
        with simulator_class(net, minibatch_size=2, dtype=dtype, progress_bar=False) as sim:
            sim.run_steps(N_STEPS, data={node: data})
            results.append(sim.data[output])
    if dtype == "float64":
        np.testing.assert_array_equal(*results)
    else:
        np.testing.assert_allclose(*results, atol=1e-3)
