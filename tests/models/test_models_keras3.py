"""Models of Keras 3 against Keras 3 where it is installed, otherwise against what it has written to ``tests/data``."""

import gzip
import json
import pathlib
import tempfile
import zipfile

import h5py
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam import compat
from nengo_cam.exceptions import InputFileError, ModelTypeError, UnsupportedModelError
from nengo_cam.models import keras3
from nengo_cam.models.files import load_keras_model

DATA = pathlib.Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def keras():
    """Keras 3, on the rows of versions that have it."""
    found = compat.import_keras3()
    if found is None:
        pytest.skip("Keras 3 is not installed")
    return found


@pytest.fixture(scope="module")
def stored():
    """Images and what Keras 3 made of them, by ``tests/data/make_keras3.py``."""
    with np.load(DATA / "keras3.npz") as data:
        return dict(data)


def randomize(model, seed=0):
    """Give all weights values that a test can see; variances have to be positive."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "layers"):
            randomize(layer, seed + 1)
        elif layer.get_weights() and type(layer).__name__ != "Normalization":
            size = 1 if "Normalization" in type(layer).__name__ else rng.choice([1, -1])
            layer.set_weights([(size * rng.uniform(0.1, 0.6, w.shape)).astype(w.dtype) for w in layer.get_weights()])
    return model


def chain(keras, shape, *layers):
    return randomize(keras.Sequential([keras.Input(shape, name="image"), *layers], name="chain"))


def residual(keras):
    layers = keras.layers
    image = keras.Input((6, 5, 3))
    x = y = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    for kind in (layers.Add, layers.Average, layers.Maximum, layers.Minimum, layers.Multiply, layers.Subtract):
        x = kind()([x, layers.Conv2D(4, 1)(y)])
    x = layers.Concatenate(axis=-1)([x, y])
    return randomize(keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)), name="residual"))


def nested(keras):
    """A model in a model in a model, one of them called twice, and a layer that is called twice."""
    layers = keras.layers
    inner = keras.Sequential([keras.Input((6, 5, 3)), layers.Conv2D(3, 1, name="same"), layers.ReLU()], name="inner")
    image = keras.Input((6, 5, 3), name="middle_image")
    middle = keras.Model(image, layers.Conv2D(3, 3, padding="same", name="same")(inner(image)), name="middle")
    image, shared = keras.Input((6, 5, 3)), layers.Conv2D(3, 1, name="shared")
    x = shared(middle(shared(image)))
    x = layers.Add()([middle(layers.BatchNormalization()(x)), x])
    return randomize(keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)), name="nested"))


def two_ends(keras):
    layers = keras.layers
    left, right = keras.Input((6, 5, 3), name="left"), keras.Input((6, 5, 1), name="right")
    x = layers.Conv2D(3, 1)(layers.Concatenate()([left, right]))
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    ends = [layers.Dense(2, name="first")(layers.Flatten()(x)), layers.Conv2D(4, 1, name="second")(x)]
    return randomize(keras.Model([left, right], ends, name="two_ends"))


def named_ends(keras):
    """Inputs and outputs in dicts, in another order than that of their names."""
    layers = keras.layers
    right, left = keras.Input((6, 5, 3), name="right"), keras.Input((6, 5, 1), name="left")
    x = layers.Conv2D(3, 1)(layers.Concatenate()([left, right]))
    x = layers.GlobalAveragePooling2D()(x)
    ends = {"second": layers.Dense(2, name="second")(x), "first": layers.Dense(4, name="first")(x)}
    return randomize(keras.Model({"right": right, "left": left}, ends, name="named_ends"))


def adapted(keras):
    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.default_rng(1).normal(3, 2, (20, 6, 5, 3)).astype(np.float32))
    return chain(keras, (6, 5, 3), normalization, keras.layers.Normalization(mean=[1, 2, 3], variance=[4, 5, 6]))


MODELS = {
    "convolutions": lambda keras: chain(
        keras,
        (9, 8, 4),
        keras.layers.Conv2D(6, 3, strides=2, padding="same", groups=2, activation="relu"),
        keras.layers.Conv2D(4, 2, dilation_rate=2, use_bias=False),
        keras.layers.Conv2DTranspose(3, 3, strides=2, activation="sigmoid"),
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
        keras.layers.SeparableConv2D(5, 2, depth_multiplier=2, activation="softplus"),
    ),
    "one axis": lambda keras: chain(
        keras,
        (12, 2),
        keras.layers.Conv1D(3, 3, padding="causal", dilation_rate=2),
        keras.layers.DepthwiseConv1D(3),
        keras.layers.SeparableConv1D(4, 2),
        keras.layers.AveragePooling1D(2, padding="same"),
        keras.layers.ZeroPadding1D(2),
        keras.layers.Cropping1D((1, 0)),
        keras.layers.UpSampling1D(2),
        keras.layers.MaxPooling1D(3),
        keras.layers.SpatialDropout1D(0.5),
        keras.layers.GlobalAveragePooling1D(),
    ),
    "three axes": lambda keras: chain(
        keras,
        (6, 5, 4, 2),
        keras.layers.Conv3D(3, 2, padding="same", activation="elu"),
        keras.layers.Conv3DTranspose(2, 2),
        keras.layers.ZeroPadding3D(1),
        keras.layers.Cropping3D(1),
        keras.layers.UpSampling3D(2),
        keras.layers.AveragePooling3D(2),
        keras.layers.MaxPooling3D((1, 2, 1)),
        keras.layers.GlobalAveragePooling3D(),
    ),
    "normalization": lambda keras: chain(
        keras,
        (6, 5, 3),
        keras.layers.Rescaling(0.5, offset=[0.1, 0.2, 0.3]),
        keras.layers.BatchNormalization(epsilon=0.01, scale=False),
        keras.layers.Conv2D(4, 1),
        keras.layers.BatchNormalization(center=False, trainable=False),
        keras.layers.LayerNormalization(),
    ),
    "activations": lambda keras: chain(
        keras,
        (6, 5, 3),
        *(keras.layers.Conv2D(3, 1, activation=name) for name in ("tanh", "selu", "swish", "exponential", "softsign")),
        keras.layers.ReLU(max_value=3.0, negative_slope=0.1, threshold=0.2),
        keras.layers.ELU(alpha=0.5),
        keras.layers.PReLU(shared_axes=[1, 2]),
        keras.layers.Activation("gelu"),
        keras.layers.Softmax(),
    ),
    "positions": lambda keras: chain(
        keras,
        (6, 5, 3),
        keras.layers.ZeroPadding2D(((1, 2), (0, 1))),
        keras.layers.Cropping2D(((0, 1), (1, 0))),
        keras.layers.UpSampling2D(2, interpolation="bilinear"),
        keras.layers.Permute((2, 1, 3)),
        keras.layers.AveragePooling2D(2, padding="same"),
        keras.layers.MaxPooling2D(2, strides=1),
        keras.layers.Reshape((-1, 3)),
        keras.layers.GlobalMaxPooling1D(),
        keras.layers.RepeatVector(2),
        keras.layers.Flatten(),
    ),
    "nothing at inference": lambda keras: chain(
        keras,
        (6, 5, 3),
        keras.layers.GaussianNoise(0.5),
        keras.layers.GaussianDropout(0.5),
        keras.layers.AlphaDropout(0.5),
        keras.layers.SpatialDropout2D(0.5),
        keras.layers.Dropout(0.5, seed=1),
        keras.layers.RandomFlip(),
        keras.layers.RandomRotation(0.2),
        keras.layers.GlobalMaxPooling2D(),
        keras.layers.Dense(2, activation="softmax"),
    ),
    "adapted": adapted,
    "named ends": named_ends,
    "nested": nested,
    "residual": residual,
    "two ends": two_ends,
}


def run(model, seed=0):
    """Run a model of either Keras on random images; list its outputs."""
    rng = np.random.default_rng(seed)
    images = [rng.random((3, *tensor.shape[1:]), dtype=np.float32) for tensor in model.inputs]
    if isinstance(getattr(model, "_inputs_struct", None), dict):
        images = {tensor.name: values for tensor, values in zip(model.inputs, images)}
    outputs = model(images, training=False)
    if isinstance(outputs, dict):
        outputs = [outputs[name] for name in sorted(outputs)]
    return [np.asarray(values) for values in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


def assert_same(model, source):
    assert isinstance(model, compat.import_tensorflow().keras.Model)
    for values, expected in zip(run(model), run(source)):
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(values, expected, atol=1e-5 * np.abs(expected).max())


def rebuild_archive(path, description=None):
    """Rebuild the model in an archive, perhaps from another description."""
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        weights = archive.extract("model.weights.h5", folder)
        if description is None:
            description = json.loads(archive.read("config.json"))
        with h5py.File(weights, "r") as file:
            return keras3.rebuild_file(f"model {str(path)!r}", description, file)


# What Keras 3 has written, on every row


def test_the_stored_model_of_most_layers(stored):
    model = load_keras_model(DATA / "keras3_layers.keras")
    outputs = model([stored[f"input{i}"] for i in range(3)], training=False)
    assert model.name == "all_layers"
    for i, values in enumerate(outputs):
        np.testing.assert_allclose(values, stored[f"output{i}"], atol=1e-5)
    # Operators have become layers of their names, and no layer runs Python of the file.
    assert {"add_1", "multiply", "relu", "mean", "nested"} <= {layer.name for layer in model.layers}


@pytest.fixture(params=["keras3_gap.keras", "keras3_gap.h5"])
def gap_file(request, tmp_path):
    if request.param.endswith(".keras"):
        return DATA / request.param
    (tmp_path / "gap.h5").write_bytes(gzip.decompress((DATA / f"{request.param}.gz").read_bytes()))
    return tmp_path / "gap.h5"


def test_the_stored_models_convert(gap_file, stored):
    model = load_keras_model(gap_file)
    images, scores = stored["gap_images"], stored["gap_scores"]
    rate = ncam.rate_cam(model, images)
    powers = np.exp(rate.logits.values)
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), scores, atol=1e-5)
    assert ncam.completeness_error(rate) < 1e-5
    net = ncam.convert(model, calibrate_on=images)
    net.verify(images)
    assert net.spiking


@pytest.mark.parametrize("name", ["keras3_named.keras", "keras3_named.h5"])
def test_the_stored_model_with_inputs_and_outputs_in_dicts(name, tmp_path):
    path = DATA / name
    if name.endswith(".h5"):
        path = tmp_path / name
        path.write_bytes(gzip.decompress((DATA / f"{name}.gz").read_bytes()))
    with np.load(DATA / "keras3_named.npz") as data:
        values = dict(data)
    model = load_keras_model(path)
    # In the order of their names, as Keras lists them, not in that of the file.
    assert model.input_names == ["a_weight", "image"]
    assert model.output_names == ["again", "middle", "score"]
    outputs = model([values[f"input_{name}"] for name in model.input_names], training=False)
    for name, got in zip(model.output_names, outputs):
        np.testing.assert_allclose(got, values[f"output_{name}"], atol=1e-6, err_msg=name)


def test_without_keras_3_it_is_said_that_nothing_was_compared(gap_file, monkeypatch, caplog):
    monkeypatch.setattr(compat, "import_keras3", lambda: None)
    load_keras_model(gap_file)
    assert "not compared with its source: Keras 3 is not installed" in caplog.text


# Archives of Keras 2, which this reader reads where the Keras 2 of that TensorFlow does not


@pytest.mark.parametrize("name", MODELS)
def test_archives_of_keras_2(tf, name, tmp_path):
    source = MODELS[name](tf.keras)
    # Keras 2.12 has to be asked for an archive, and Keras before it has none.
    version = tuple(int(part) for part in tf.__version__.split(".")[:2])
    if version < (2, 12):
        pytest.skip("this Keras writes .keras files as HDF5")
    source.save(tmp_path / "model.keras", **({"save_format": "keras_v3"} if version == (2, 12) else {}))
    assert_same(rebuild_archive(tmp_path / "model.keras").model, source)


# Keras 3 itself, where it is installed


def operators(keras):
    layers, ops = keras.layers, keras.ops
    image = keras.Input((8, 6, 2))
    x = y = layers.Conv2D(4, 3, padding="same")(image)
    y = 2.0 - ops.relu6(ops.relu(x)) * 3.0
    y = ops.clip(ops.maximum(-(ops.subtract(x, y) / 3.0), 0.0), 0, 6)
    y = ops.concatenate([y[:, 1:-1], ops.reshape(x, (-1, 8, 6, 4))[:, 1:-1, ...]], axis=-1)
    y = ops.leaky_relu(ops.pad(y, ((0, 0), (1, 1), (2, 1), (0, 0)))) + np.full(8, 0.1, np.float32)
    y = ops.silu(y) + ops.elu(y) + ops.selu(y) + ops.softplus(y) + ops.softsign(y) + ops.gelu(y)
    y = ops.minimum(y, ops.relu(y))
    y = ops.squeeze(ops.expand_dims(ops.transpose(ops.tanh(y), (0, 2, 1, 3)), 1), 1)
    y = ops.mean(ops.sigmoid(y), axis=(1, 2))
    return randomize(keras.Model(image, ops.softmax(layers.Dense(3)(y)), name="operators"))


def channels_and_types(keras):
    layers = keras.layers
    return chain(
        keras,
        (9, 8, 4),
        layers.Identity(),
        layers.CenterCrop(7, 6),
        layers.Resizing(6, 8),
        layers.Conv2D(4, 1, activation="relu6", dtype="mixed_float16"),
        layers.Conv2D(4, 1, activation="leaky_relu"),
        layers.Conv2D(4, 1, activation=keras.activations.silu),
        layers.LeakyReLU(negative_slope=0.1),
        layers.BatchNormalization(trainable=False),
    )


MODELS_3 = {**MODELS, "operators": operators, "options of Keras 3": channels_and_types}


@pytest.mark.parametrize("name", MODELS_3)
def test_models_in_memory(keras, name):
    source = MODELS_3[name](keras)
    rebuilt = keras3.rebuild_live(source)
    assert rebuilt.largest_difference < (1e-3 if name == "options of Keras 3" else 1e-5)
    assert {layer.name for layer in source.layers} <= {layer.name for layer in rebuilt.model.layers}
    if name != "options of Keras 3":
        assert_same(rebuilt.model, source)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", MODELS)
def test_files(keras, name, suffix, tmp_path, caplog):
    source = MODELS[name](keras)
    source.save(tmp_path / f"model{suffix}")
    assert_same(load_keras_model(tmp_path / f"model{suffix}"), source)
    assert "not compared" not in caplog.text


def test_users_pass_the_model(keras):
    layers = keras.layers
    model = chain(
        keras,
        (8, 8, 1),
        layers.Conv2D(4, 3, activation="relu", name="conv"),
        layers.BatchNormalization(),
        layers.Conv2D(5, 3, activation="relu", name="features"),
        layers.GlobalAveragePooling2D(name="gap"),
        layers.Dense(3, activation="softmax", name="readout"),
    )
    images = np.random.default_rng(0).random((4, 8, 8, 1), dtype=np.float32)
    scores = np.asarray(model(images))
    head = ncam.find_head(model)
    assert (head.features, head.pooling, head.readout) == ("features", "gap", "readout")
    kernel, bias = model.get_layer("readout").get_weights()
    np.testing.assert_array_equal(head.kernel, kernel)
    logits = np.asarray(ncam.inference_model(model)(images))
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), scores, atol=1e-5)
    # The map by its definition, from features that Keras 3 computes.
    features = np.asarray(keras.Model(model.inputs, model.get_layer("features").output)(images))
    rate = ncam.rate_cam(model, images)
    np.testing.assert_allclose(rate.cam, np.einsum("nyxk,kl->nlyx", features, kernel), atol=1e-5)
    np.testing.assert_allclose(rate.cam.mean(("y", "x")) + bias, rate.logits, atol=1e-5)
    net = ncam.convert(model, calibrate_on=images)
    net.verify(images)
    assert net.net.n_neurons == 6 * 6 * 4 + 4 * 4 * 5
    curve = ncam.calibration_curve(
        model, images, calibrate_on=images, target_rates=[100], n_steps=3, progress_bar=False
    )
    assert curve.sizes["target_rate"] == 1
    shuffled = ncam.randomize(model, layers="readout")
    assert sorted(shuffled.get_layer("readout").get_weights()[0].ravel()) == sorted(kernel.ravel())
    # What the user gave is as it was.
    np.testing.assert_array_equal(np.asarray(model(images)), scores)


def test_layers_that_do_nothing_at_inference(keras):
    from nengo_cam.models.keras3 import layers as described

    kinds = [kind for kind in dir(keras.layers) if described._IDENTITIES.fullmatch(kind)]
    assert {"RandomFlip", "RandomZoom", "Identity"} <= set(kinds)
    options = {
        "RandomBrightness": {"factor": 0.2},
        "RandomColorDegeneration": {"factor": 0.2},
        "RandomColorJitter": {"brightness_factor": 0.2},
        "RandomContrast": {"factor": 0.2},
        "RandomHue": {"factor": 0.2},
        "RandomPosterization": {"factor": 4},
        "RandomRotation": {"factor": 0.2},
        "RandomSaturation": {"factor": 0.2},
        "RandomSharpness": {"factor": 0.2},
        "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
        "RandomZoom": {"height_factor": 0.2},
    }
    images = np.random.default_rng(0).random((2, 8, 8, 3), dtype=np.float32)
    for kind in kinds:
        layer = getattr(keras.layers, kind)(**options.get(kind, {}))
        np.testing.assert_array_equal(np.asarray(layer(images, training=False)), images, err_msg=kind)


def test_a_difference_from_keras_3_is_found_and_named(keras, lying):
    source = MODELS["convolutions"](keras)
    (name,) = [layer.name for layer in source.layers if layer.name.startswith("separable_conv2d")]
    with pytest.raises(
        UnsupportedModelError, match=r"from the layer 'separable_conv2d.*' on.*differs from that of Keras 3"
    ):
        keras3.rebuild_live(lying(source, name, lambda output: 1.01 * output))


def normalized_and_dropped(keras):
    """A model that gives something else when it is trained, and whose statistics are not those of random images."""
    layers = keras.layers
    model = chain(
        keras,
        (6, 5, 3),
        layers.BatchNormalization(name="first"),
        layers.Dropout(0.9),
        layers.Conv2D(4, 3),
        layers.BatchNormalization(name="second"),
        layers.SpatialDropout2D(0.9),
        layers.GaussianNoise(0.9),
        layers.GlobalAveragePooling2D(),
        layers.Dropout(0.9, name="last"),
        layers.Dense(2, name="readout"),
    )
    for name, mean in (("first", 3.0), ("second", -2.0)):
        gamma, beta, moving_mean, moving_variance = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([gamma, beta, moving_mean + mean, moving_variance + 5.0])
    return model


@pytest.mark.parametrize("suffix", [None, ".keras", ".h5"])
def test_dropout_and_normalization_are_compared_as_at_inference(keras, suffix, tmp_path, caplog):
    source = normalized_and_dropped(keras)
    before = [weight.copy() for weight in source.get_weights()]
    images = np.random.default_rng(0).random((4, 6, 5, 3), dtype=np.float32)
    trained = np.asarray(source(images, training=True))
    source.set_weights(before)
    expected = np.asarray(source(images, training=False))
    assert np.abs(trained - expected).max() > 0.1 * np.abs(expected).max()
    if suffix is None:
        rebuilt = keras3.rebuild_live(source)
        assert rebuilt.largest_difference < 1e-5
        model = rebuilt.model
    else:
        source.save(tmp_path / f"model{suffix}")
        model = load_keras_model(tmp_path / f"model{suffix}")
        assert "not compared" not in caplog.text
    np.testing.assert_allclose(model(images, training=False), expected, atol=1e-5 * np.abs(expected).max())
    # Nobody has trained it while it was compared.
    for weight, own in zip(source.get_weights(), before):
        np.testing.assert_array_equal(weight, own)


def test_wrong_statistics_are_found_and_named(keras, lying):
    source = lying(normalized_and_dropped(keras), "second", lambda output: output + 0.1)
    with pytest.raises(UnsupportedModelError, match="from the layer 'second' on.*differs from that of Keras 3"):
        keras3.rebuild_live(source)


def test_models_in_memory_that_cannot_be_read(keras):
    class Own(keras.Model):
        pass

    with pytest.raises(ModelTypeError, match="Functional or Sequential model, got the subclassed model Own"):
        ncam.find_head(Own(name="mine"))
    with pytest.raises(ModelTypeError, match=r"does not know its input shape.*keras.Input\(shape\)"):
        ncam.find_head(keras.Sequential([keras.layers.Dense(2)]))

    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    for layer, kind in ((Twice(name="odd"), "Twice"), (keras.layers.Lambda(lambda x: 2 * x, name="odd"), "Lambda")):
        model = chain(keras, (4, 4, 1), keras.layers.Conv2D(2, 1), layer, keras.layers.GlobalAveragePooling2D())
        with pytest.raises(UnsupportedModelError, match=rf"the layer 'odd' \(.*{kind}\) cannot be rebuilt"):
            ncam.convert(model)


# What cannot be rebuilt


def gap_description():
    with zipfile.ZipFile(DATA / "keras3_gap.keras") as archive:
        return json.loads(archive.read("config.json"))


def rebuild(description):
    return rebuild_archive(DATA / "keras3_gap.keras", description)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_name": "Lambda"}, r"\(Lambda\) cannot be rebuilt .* got Python code"),
        ({"class_name": "MultiHeadAttention"}, r"\(MultiHeadAttention\) .* got one that is not known to"),
        ({"module": "mine.layers", "registered_name": "mine>X"}, r"\(mine.layers.Conv2D\) .* got another class"),
        ({"registered_name": "mine>Conv2D"}, "expected a layer of Keras's own"),
        ({"config": {"activation": "mine"}}, r"expected an activation that is the same .* got 'mine'"),
        ({"config": {"activation": "hard_sigmoid"}}, "got 'hard_sigmoid'"),
        (
            {"config": {"activation": {"module": "mine", "class_name": "function", "config": "relu"}}},
            "got 'function'",
        ),
        ({"config": {"dtype": "int8_from_float32"}}, "got the dtype policy 'int8_from_float32'"),
        ({"config": {"lora_rank": 4}}, "expected lora_rank=None, got 4"),
        ({"config": {"filters": -1}}, r"Keras 2 does not take its options \("),
        ({"config": {"a_new_option": 1}}, r"Keras 2 does not take its options \(.*a_new_option"),
        ({"config": {"strides": {"class_name": "X"}}}, "expected numbers and text as options, got 'X'"),
        ({"config": {"filters": 5}}, r"its weights do not fit; expected arrays of shapes .*, got .*Save it again"),
    ],
)
def test_layers_that_cannot_be_rebuilt_are_named(change, message):
    description = gap_description()
    layer = next(layer for layer in description["config"]["layers"] if layer["class_name"] == "Conv2D")
    name = layer["config"]["name"]
    layer.update({**change, "config": {**layer["config"], **change.get("config", {})}})
    with pytest.raises(UnsupportedModelError, match=message) as caught:
        rebuild(description)
    assert str(caught.value).startswith(f"model 'gap': the layer '{name}' (")
    assert str(caught.value).count("cannot be rebuilt") == 1
    assert caught.value.layer == name


def layers_description():
    with zipfile.ZipFile(DATA / "keras3_layers.keras") as archive:
        return json.loads(archive.read("config.json"))


def test_calls_that_cannot_be_rebuilt_are_named():
    def rebuild_changed(name, change):
        description = layers_description()
        change(next(layer for layer in description["config"]["layers"] if layer["name"] == name))
        return rebuild_archive(DATA / "keras3_layers.keras", description)

    with pytest.raises(UnsupportedModelError, match=r"'mean' \(Cumsum\) .*expected one of the operations .*'Add'"):
        rebuild_changed("mean", lambda layer: layer.update(class_name="Cumsum"))
    with pytest.raises(UnsupportedModelError, match=r"'mean' \(Mean\) .*does not take its options"):
        rebuild_changed("mean", lambda layer: layer["config"].update(initial=1))
    with pytest.raises(UnsupportedModelError, match=r"'re_lu'.*expected a call without options, got \['mask'\]"):
        rebuild_changed("re_lu", lambda layer: layer["inbound_nodes"][0]["kwargs"].update(mask=1))
    with pytest.raises(UnsupportedModelError, match=r"'re_lu'.*expected tensors and numbers as arguments, got 'X'"):
        rebuild_changed("re_lu", lambda layer: layer["inbound_nodes"][0]["args"].append({"class_name": "X"}))

    def point_elsewhere(layer):
        layer["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "nowhere"

    with pytest.raises(UnsupportedModelError, match="it takes a tensor that no other layer makes"):
        rebuild_changed("re_lu", point_elsewhere)
    description = layers_description()
    description["config"]["output_layers"][0][0] = "nowhere"
    with pytest.raises(UnsupportedModelError, match="output_layers name a tensor that is not there"):
        rebuild_archive(DATA / "keras3_layers.keras", description)


def test_models_that_cannot_be_rebuilt():
    description = gap_description()
    with pytest.raises(UnsupportedModelError, match="expected a Functional or Sequential model, got another class"):
        rebuild({**description, "class_name": "Transformer"})
    with pytest.raises(UnsupportedModelError, match="its description names no model"):
        rebuild({"class_name": "Sequential"})
    config = description["config"]
    without = {**config, "layers": config["layers"][1:], "build_input_shape": None}
    with pytest.raises(UnsupportedModelError, match="does not know its input shape"):
        rebuild({**description, "config": without, "build_config": {}})
    # Without an Input, but called once before it was saved.
    built = {**config, "layers": config["layers"][1:], "build_input_shape": [None, 8, 8, 1]}
    assert rebuild({**description, "config": built}).model.input_shape == (None, 8, 8, 1)


def test_broken_files(tmp_path):
    with zipfile.ZipFile(DATA / "keras3_gap.keras") as whole, zipfile.ZipFile(tmp_path / "a.keras", "w") as part:
        for name in ("config.json", "metadata.json"):
            part.writestr(name, whole.read(name))
    with pytest.raises(InputFileError, match=r"expected a member 'model.weights.h5', got \['config.json'"):
        load_keras_model(tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras", "a") as part:
        part.writestr("model.weights.h5", b"no weights")
    with pytest.raises(InputFileError, match="'model.weights.h5': expected a Keras model"):
        load_keras_model(tmp_path / "a.keras")
    description = gap_description()
    description["config"]["layers"][2]["config"].pop("dtype")
    del description["config"]["layers"][1]["config"]["name"]
    with pytest.raises(InputFileError, match="its description or its weights are incomplete"):
        rebuild(description)
