import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.exceptions import HeadError, ModelTypeError, ParameterError, UnsupportedModelError
from nengo_cam.models import graph, head, keras3, source
from nengo_cam.models.simplify import equivalence, inference, read_reduced, reduce_model, rewriting
from nengo_cam.models.source import SourceModel, read_model

#: What reading and rewriting a model consists of. Each looks at every layer.
READING_STEPS = (
    keras3.as_keras2,
    source.select_output,
    graph.flatten,
    head.locate_head,
    rewriting.rewrite,
    inference.reduce_model,
    equivalence.check_equivalence,
)


def count_calls(run, functions):
    """Count how often functions are called while something runs, whoever calls them."""
    counts = {function.__code__: 0 for function in functions}

    def seen(frame, event, arg):
        if event == "call" and frame.f_code in counts:
            counts[frame.f_code] += 1

    sys.setprofile(seen)
    try:
        run()
    finally:
        sys.setprofile(None)
    return {function.__name__: counts[function.__code__] for function in functions}


@pytest.mark.parametrize("options", [{}, {"calibrated": True}, {"by_channel": True}])
def test_a_conversion_reads_the_model_once(digits_model, digits, options):
    given = {"calibrate_on": digits[0][0][:20]} if options.get("calibrated") else {}
    if options.get("by_channel"):
        given["scale_firing_rates"] = {"conv0": np.linspace(100, 200, digits_model.get_layer("conv0").filters)}
    counts = count_calls(lambda: ncam.convert(digits_model, **given), READING_STEPS)
    assert counts == dict.fromkeys(counts, 1)


def test_a_report_reads_nothing(digits_model):
    net = ncam.convert(digits_model)
    counts = count_calls(lambda: (net.report, repr(net)), READING_STEPS)
    assert counts == dict.fromkeys(counts, 0)


def test_maps_of_a_model_read_it_once(digits_model, digits):
    counts = count_calls(lambda: ncam.rate_cam(digits_model, digits[1][0][:2]), READING_STEPS)
    assert counts == dict.fromkeys(counts, 1)


def test_what_was_read_is_passed_through(small_model):
    read = read_model(small_model)
    assert read_model(read) is read
    assert read.model is small_model
    assert read.head == ncam.find_head(small_model)
    assert [call.name for call in read.calls.calls] == [read.head.pooling, read.head.readout]


def test_a_reduced_model_is_described_as_if_it_were_read_from_its_graph(digits_model, digits):
    reduced = reduce_model(digits_model)
    read = read_reduced(reduced.model)
    assert [call.name for call in reduced.flat.calls] == [call.name for call in read.flat.calls]
    assert [call.layer for call in reduced.flat.calls] == [call.layer for call in read.flat.calls]
    assert [call.output_shapes for call in reduced.flat.calls] == [call.output_shapes for call in read.flat.calls]
    assert (reduced.head.features, reduced.head.pooling, reduced.head.readout) == (
        read.head.features,
        read.head.pooling,
        read.head.readout,
    )
    np.testing.assert_array_equal(reduced.head.kernel, read.head.kernel)
    np.testing.assert_array_equal(reduced.head.bias, read.head.bias)
    for ours, theirs in zip(reduced.head.centers, read.head.centers):
        np.testing.assert_array_equal(ours, theirs)


def test_what_cannot_be_read(tf):
    with pytest.raises(ModelTypeError, match="model: expected a tf.keras.Model, got builtins.str"):
        read_model("model.h5")
    inputs = tf.keras.Input((4, 4, 1))
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2)(tf.keras.layers.Flatten()(inputs)))
    with pytest.raises(HeadError, match="expected a global average pooling layer"):
        read_model(model)


def test_what_was_read_has_one_output(tf):
    inputs = tf.keras.Input((4, 4, 1))
    pooled = tf.keras.layers.GlobalAveragePooling2D()(tf.keras.layers.Conv2D(3, 3, activation="relu")(inputs))
    outputs = [tf.keras.layers.Dense(n, name=name)(pooled) for name, n in (("first", 2), ("second", 5))]
    model = tf.keras.Model(inputs, outputs)
    read = read_model(model, output="second")
    assert ncam.convert(read).head.n_labels == 5
    with pytest.raises(HeadError, match="it was read already.*expected output=None, got 'first'"):
        ncam.convert(read, output="first")
    with pytest.raises(ParameterError, match="output: a converted network has one; expected None, got 'first'"):
        ncam.rate_cam(ncam.convert(read), np.zeros((1, 4, 4, 1)), output="first")


def test_names_of_calls_are_unique(tf, images):
    """A layer whose name is what the second call of another one is called."""
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(0)
    inputs = tf.keras.Input((8, 6, 2))
    twice = layers.Conv2D(2, 3, padding="same", activation="relu", name="c")
    x = layers.Conv2D(2, 3, padding="same", activation="relu", name="c.1")(twice(twice(inputs)))
    model = tf.keras.Model(inputs, layers.Dense(3, name="readout")(layers.GlobalAveragePooling2D(name="gap")(x)))
    net = ncam.convert(model, split_shared_weights=True)
    assert list(net.spiking_layers) == ["c", "c.1", "c_1"] == [*net.reduced.flat.call_names[:3]]
    assert [net.objects[name].ensemble.label for name in net.spiking_layers] == ["c.0", "c.1", "c_1.0"]
    assert len(set(net.report.dataset.layer.values)) == net.report.dataset.sizes["layer"]
    with ncam.Simulator(net.net, progress_bar=False) as sim:
        replayed = net.replay(sim)(images)
    np.testing.assert_allclose(replayed.logits, model(images), rtol=0, atol=1e-6)


def test_layers_whose_configuration_has_no_name(tf, images):
    class Doubled(tf.keras.layers.Layer):
        def call(self, inputs):
            return 2 * inputs

        def get_config(self):
            return {}

        @classmethod
        def from_config(cls, config):
            return cls()

    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 6, 2))
    x = Doubled(name="attention_gate")(layers.Conv2D(3, 3, activation="relu", name="conv")(inputs))
    model = tf.keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    net = ncam.convert(model, neurons=None)
    assert "attention_gate" in net.objects
    np.testing.assert_allclose(net.cnn_logits(images), model(images), rtol=0, atol=1e-6)


def test_what_was_read_survives_a_pickle(small_model, images):
    reduced = reduce_model(small_model)
    again = pickle.loads(pickle.dumps(reduced))
    assert isinstance(again.source, SourceModel)
    assert again.head == reduced.head
    assert again.largest_difference == reduced.largest_difference
    assert (again.fates, again.successors) == (reduced.fates, reduced.successors)
    np.testing.assert_array_equal(again.model(images), reduced.model(images))


@pytest.fixture(scope="module")
def pickled_networks(tf, digits, tmp_path_factory):
    """Pickles of networks with plain and clipped neurons in branches, and what they were asked for before."""
    layers, folder = tf.keras.layers, tmp_path_factory.mktemp("pickles")
    tf.keras.utils.set_random_seed(0)
    x = inputs = tf.keras.Input((28, 28, 1))
    x = layers.ReLU(6)(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", name="first")(x)))
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.AveragePooling2D(2)(layers.Add()([x, y]))
    branched = tf.keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
    (train, _), (images, _) = digits
    models = {"digits": ncam.datasets.digits_model(), "branched": branched}
    networks = {name: ncam.convert(model, calibrate_on=train[:20]) for name, model in models.items()}
    expected = {}
    for name, net in networks.items():
        (folder / f"{name}.pickle").write_bytes(pickle.dumps(net))
        maps = ncam.spiking_cam(net, images[:2], n_steps=20, seed=0, progress_bar=False)
        activity = ncam.measure_activity(net, images[:2], n_steps=20, seed=0, progress_bar=False)
        expected[name] = maps, str(activity)
    return folder, images[:2], expected


@pytest.mark.parametrize("name", ["digits", "branched"])
def test_a_network_loads_in_another_process(pickled_networks, name):
    folder, images, expected = pickled_networks
    np.save(folder / "images.npy", images)
    # Only unpickling imports the package: nothing else prepares Keras for the layers in it.
    script = f"""
        import pathlib, pickle
        net = pickle.loads(pathlib.Path("{name}.pickle").read_bytes())
        import numpy as np
        import nengo_cam as ncam
        images = np.load("images.npy")
        maps = ncam.spiking_cam(net, images, n_steps=20, seed=0, progress_bar=False)
        maps.to_netcdf("{name}.nc", engine="h5netcdf", invalid_netcdf=True)
        activity = ncam.measure_activity(net, images, n_steps=20, seed=0, progress_bar=False)
        pathlib.Path("{name}.txt").write_text(str(activity))
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=folder, check=True, capture_output=True)
    maps, activity = expected[name]
    with xr.open_dataset(folder / f"{name}.nc", engine="h5netcdf") as again:
        for variable in ("cam", "logits", "cnn_logits"):
            np.testing.assert_array_equal(again[variable], maps[variable])
    assert (folder / f"{name}.txt").read_text() == activity


def test_networks_with_tensor_nodes_say_that_they_cannot_be_pickled(tf):
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 8, 1))
    x = layers.MaxPooling2D(name="largest")(layers.Conv2D(2, 3, activation="relu")(inputs))
    model = tf.keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    net = ncam.convert(model, neurons=None)
    with pytest.raises(UnsupportedModelError, match=r"TensorNodes cannot be pickled.*got \['largest'\]\. Pickle the"):
        pickle.dumps(net)


def test_networks_of_half_precision_say_that_they_cannot_be_pickled(tf):
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, activation="relu", dtype="mixed_bfloat16")(inputs)
    model = tf.keras.Model(inputs, layers.Dense(3, dtype="float32")(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(UnsupportedModelError, match=r"half precision cannot be pickled; .* Pickle the Keras model"):
        pickle.dumps(ncam.convert(model))
