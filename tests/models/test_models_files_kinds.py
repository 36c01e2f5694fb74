"""Models of every kind that Keras saves come back as they were: what is refused is what could do harm."""

import warnings
import zipfile

import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.models.files import allowed, load_keras_model

tf = ncam.compat.import_tensorflow()
layers = tf.keras.layers


def chain(shape, *parts):
    return tf.keras.Sequential([tf.keras.Input(shape), *parts], name="chain")


def two_axes():
    return chain(
        (9, 8, 4),
        layers.Rescaling(0.5, offset=[0.1, 0.2, 0.3, 0.4]),
        layers.Conv2D(6, 3, strides=2, padding="same", groups=2, activation="relu"),
        layers.BatchNormalization(),
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
        layers.SeparableConv2D(5, 2, activation="softplus"),
        layers.Conv2DTranspose(3, 3, strides=2, dilation_rate=1),
        layers.ZeroPadding2D(((1, 2), (0, 1))),
        layers.Cropping2D(((0, 1), (1, 0))),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.AveragePooling2D(2, padding="same"),
        layers.MaxPooling2D(2, strides=1),
        layers.Permute((2, 1, 3)),
        layers.ReLU(max_value=6.0),
        layers.Dropout(0.5),
        layers.GaussianNoise(0.1),
        layers.SpatialDropout2D(0.1),
        layers.RandomFlip(),
        layers.RandomRotation(0.1),
        layers.LayerNormalization(),
        layers.PReLU(shared_axes=[1, 2]),
        layers.GlobalAveragePooling2D(keepdims=True),
        layers.Conv2D(4, 1),
        layers.Flatten(),
        layers.RepeatVector(2),
        layers.Reshape((8,)),
        layers.Dense(3, activation="softmax"),
    )


def one_axis():
    return chain(
        (12, 2),
        layers.Conv1D(3, 3, padding="causal", dilation_rate=2, activation="tanh"),
        layers.SeparableConv1D(4, 2),
        layers.AveragePooling1D(2, padding="same"),
        layers.ZeroPadding1D(2),
        layers.Cropping1D((1, 0)),
        layers.UpSampling1D(2),
        layers.MaxPooling1D(3),
        layers.SpatialDropout1D(0.5),
        layers.GlobalMaxPooling1D(),
    )


def three_axes():
    return chain(
        (6, 5, 4, 2),
        layers.Conv3D(3, 2, padding="same", activation="elu"),
        layers.Conv3DTranspose(2, 2),
        layers.ZeroPadding3D(1),
        layers.Cropping3D(1),
        layers.UpSampling3D(2),
        layers.AveragePooling3D(2),
        layers.MaxPooling3D((1, 2, 1)),
        layers.GlobalAveragePooling3D(),
    )


def options():
    """Options that are objects, and activations that are layers."""
    keras = tf.keras
    return chain(
        (6, 5, 3),
        layers.Conv2D(
            4,
            3,
            activation=tf.nn.relu,
            kernel_initializer=keras.initializers.HeNormal(seed=1),
            bias_initializer=keras.initializers.Constant(0.3),
            kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2),
            bias_regularizer="l2",
            activity_regularizer=keras.regularizers.L2(0.1),
            kernel_constraint=keras.constraints.MaxNorm(2),
            bias_constraint="non_neg",
        ),
        layers.Dense(4, activation=layers.LeakyReLU(0.2), kernel_initializer="orthogonal"),
        layers.Conv2D(3, 1, dtype="mixed_float16", kernel_initializer=keras.initializers.VarianceScaling(2.0)),
        layers.Activation("gelu", dtype="float32"),
        layers.ActivityRegularization(0.1),
        layers.Dense(2, activation="hard_sigmoid", kernel_constraint=keras.constraints.UnitNorm()),
    )


def operators():
    """Functions of TensorFlow, each a layer that carries its name."""
    image = tf.keras.Input((8, 6, 2))
    x = layers.Conv2D(3, 3, padding="same")(image)
    y = tf.nn.relu(x) * 2.0 + x
    y = 1.0 - tf.nn.relu6(y) / np.array([1, 2, 4], np.float32)
    y = tf.concat([y[:, 1:-1], tf.nn.swish(x)[:, 1:-1]], axis=-1)
    y = tf.pad(tf.transpose(y, (0, 2, 1, 3)), [[0, 0], [1, 2], [0, 1], [0, 0]])
    y = tf.reshape(y, (tf.shape(y)[0], 9 * 7, 6))
    y = tf.maximum(tf.clip_by_value(tf.square(y), 0, 0.7), 0.1)
    return tf.keras.Model(image, [tf.reduce_mean(y, 1), tf.math.add_n([y, y])])


def nested_and_shared():
    inner = chain((6, 5, 3), layers.Conv2D(3, 1), layers.BatchNormalization(), layers.ReLU())
    inner.compile("adam", "mse")
    image, shared = tf.keras.Input((6, 5, 3)), layers.Conv2D(3, 1)
    x = shared(inner(shared(image)))
    x = layers.Add()([inner(x), x, layers.Subtract()([x, layers.Multiply()([x, image])])])
    x = layers.Concatenate()([x, layers.Average()([x, image]), layers.Maximum()([x, image])])
    model = tf.keras.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(x)))
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    return model


def nested_in_rows():
    """Models that know their input shape in each of the ways that there are, and one that does not, called twice."""
    parts = [
        tf.keras.Sequential([tf.keras.Input((6, 5, 3)), layers.Conv2D(3, 1)]),
        tf.keras.Sequential([layers.Conv2D(3, 1, input_shape=(6, 5, 3)), layers.ReLU()]),
        tf.keras.Sequential([layers.Conv2D(3, 1), layers.ReLU()]),
    ]
    built = tf.keras.Sequential([layers.Conv2D(3, 1), layers.ReLU()])
    built.build((None, 6, 5, 3))
    image = x = tf.keras.Input((6, 5, 3))
    for part in (*parts, built):
        x = layers.Add()([part(part(x)), x]) * 0.5
    ends = [layers.Subtract()([x, image]), layers.Conv2D(2, 1)(x)]
    pair = tf.keras.Model(image, ends)
    other = tf.keras.Input((6, 5, 3))
    first, second = pair(other)
    return tf.keras.Model(other, layers.Dense(2)(second) + tf.reduce_mean(first, -1, keepdims=True))


def named_ends():
    left, right = tf.keras.Input((6, 5, 3), name="left"), tf.keras.Input((6, 5, 1), name="right")
    x = layers.Conv2D(3, 1)(layers.Concatenate()([left, right]))
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model({"left": left, "right": right}, {"b": layers.Dense(2)(x), "a": layers.Dense(4)(x)})


def adapted():
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(1).normal(3, 2, (20, 6, 5, 3)).astype(np.float32))
    return chain((6, 5, 3), normalization, layers.Normalization(mean=[1, 2, 3], variance=[4, 5, 6]), layers.Dense(2))


def sequences():
    return chain(
        (4, 6, 5, 2),
        layers.TimeDistributed(layers.Conv2D(2, 3, kernel_initializer="he_uniform")),
        layers.TimeDistributed(layers.GlobalAveragePooling2D()),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        layers.GRU(2, return_sequences=True),
        layers.RNN([layers.LSTMCell(2), layers.SimpleRNNCell(3)]),
    )


def attention():
    words = tf.keras.Input((7,), dtype="int32")
    x = layers.Embedding(11, 4)(words)
    x = layers.Attention()([x, layers.MultiHeadAttention(2, 3)(x, x)])
    return tf.keras.Model(words, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


def without_input():
    model = tf.keras.Sequential([layers.Conv2D(3, 2), layers.GlobalAveragePooling2D(), layers.Dense(2)])
    model.build((None, 6, 5, 3))
    return model


def of_zeros():
    return chain((6, 5, 3), layers.Flatten(), layers.Dense(3000, kernel_initializer="zeros"))


KINDS = [
    *(
        two_axes,
        one_axis,
        three_axes,
        options,
        operators,
        nested_and_shared,
        nested_in_rows,
        named_ends,
        adapted,
        sequences,
    ),
    *(attention, without_input, of_zeros),
]


def run(model):
    rng = np.random.default_rng(0)
    shapes = [(2, *model.input_shape[1:])] if not model.inputs else [(2, *tensor.shape[1:]) for tensor in model.inputs]
    images = [rng.random(shape, dtype=np.float32) * 4 for shape in shapes]
    inputs = dict(zip(model.input_names, images)) if isinstance(model.input, dict) else images
    outputs = model(inputs if len(images) > 1 else images[0], training=False)
    return tf.nest.map_structure(np.asarray, outputs)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_models_come_back_as_they_were(kind, suffix, tmp_path):
    tf.keras.utils.set_random_seed(0)
    source = kind()
    expected = run(source)
    path = tmp_path / f"model{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source.save(path)
    version = tuple(int(part) for part in tf.__version__.split(".")[:2])
    if version < (2, 13) and zipfile.is_zipfile(path):
        pytest.skip("archives of this Keras are rebuilt, which tests/models/test_models_keras3.py tests")
    model = load_keras_model(path)
    got = run(model)
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, expected)
    assert [type(layer) for layer in model.layers] == [type(layer) for layer in source.layers]
    for layer, own in zip(model.layers, source.layers):
        assert "layers" in own.get_config() or layer.get_config() == own.get_config()
    assert not getattr(model, "optimizer", None)


def test_every_activation_of_keras_is_allowed():
    functions = {name for name in dir(tf.keras.activations) if name[0] != "_"} - {"deserialize", "get", "serialize"}
    assert functions <= allowed.ACTIVATIONS


@pytest.mark.parametrize("kind", ["initializers", "regularizers", "constraints"])
def test_every_named_object_of_keras_is_allowed(kind):
    module = getattr(tf.keras, kind)
    names = {name for name, value in vars(module).items() if isinstance(value, type)}
    names -= {"Initializer", "Regularizer", "Constraint"}
    missing = {name for name in names if name.replace("_", "").lower() not in getattr(allowed, kind.upper())}
    assert len(names) > 3
    assert not missing


def test_layers_that_are_not_allowed_are_known():
    """A layer that a new Keras brings is looked at before it is allowed."""
    names = {name for name, value in vars(layers).items() if isinstance(value, type)}
    assert names - allowed.LAYERS <= {
        # They run code, or open what they name.
        *("Lambda", "TFSMLayer", "IntegerLookup", "StringLookup", "TextVectorization", "Hashing", "HashedCrossing"),
        # Bases, and layers that need classes of one's own.
        *(
            "AbstractRNNCell",
            "Layer",
            "Wrapper",
            "InputSpec",
            "DenseFeatures",
            "ConvLSTM1D",
            "ConvLSTM2D",
            "ConvLSTM3D",
        ),
        # They allocate when they are built.
        *("LocallyConnected1D", "LocallyConnected2D", "Discretization", "SpectralNormalization"),
        # Other names of layers that Keras saves under their first.
        *("SeparableConvolution1D", "SeparableConvolution2D"),
    }


def test_functions_that_no_layer_stands_for_open_too(tmp_path):
    image = tf.keras.Input((6, 5, 3))
    x = tf.nn.local_response_normalization(tf.sqrt(tf.abs(layers.Conv2D(4, 3)(image))))
    x = tf.image.resize(tf.tile(tf.nn.max_pool2d(x, 2, 2, "SAME"), [1, 2, 1, 1]), (3, 3))
    source = tf.keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source.save(tmp_path / "model.h5")
    np.testing.assert_allclose(run(load_keras_model(tmp_path / "model.h5")), run(source), rtol=1e-5)


def test_functions_of_files_are_functions_of_tensorflow():
    """No name is allowed that means nothing, and so could come to mean something else."""
    for symbol in allowed.FUNCTIONS:
        value = tf
        for part in symbol.split("."):
            value = getattr(value, part, None)
        assert callable(value), symbol
