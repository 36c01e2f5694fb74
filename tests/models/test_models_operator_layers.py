import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.models.graph import flatten

_tf = ncam.compat.import_tensorflow()
_ones = np.ones(3, np.float32)

# What is called on x, of shape (8, 6, 3), and the class of layer that does the same.
UNARY = {
    "number added": (lambda x: x + 2.0, "Rescaling"),
    "added to a number": (lambda x: 2.0 + x, "Rescaling"),
    "number subtracted": (lambda x: x - 3.0, "Rescaling"),
    "subtracted from a number": (lambda x: 1.0 - x, "Rescaling"),
    "multiplied": (lambda x: x * 2.0, "Rescaling"),
    "multiple": (lambda x: 0.5 * x, "Rescaling"),
    "divided": (lambda x: x / 127.5, "Rescaling"),
    "negative": (lambda x: -x, "Rescaling"),
    "channels added": (lambda x: x + np.array([1, 2, 3], np.float32), "Rescaling"),
    "channels subtracted": (lambda x: _tf.subtract(x, _tf.constant([1.0, 2, 3])), "Rescaling"),
    "channels divided": (lambda x: x / np.array([[[[1, 2, 4]]]], np.float32), "Rescaling"),
    "bias": (lambda x: _tf.nn.bias_add(x, np.array([1, 2, 3], np.float32)), "Rescaling"),
    "relu": (_tf.nn.relu, "ReLU"),
    "keras relu": (_tf.keras.activations.relu, "ReLU"),
    "relu6": (_tf.nn.relu6, "ReLU"),
    "clipped": (lambda x: _tf.clip_by_value(x, 0, 0.7), "ReLU"),
    "maximum with 0": (lambda x: _tf.maximum(x, 0.0), "ReLU"),
    "leaky relu": (lambda x: _tf.nn.leaky_relu(x, 0.1), "LeakyReLU"),
    "swish": (_tf.nn.swish, "Activation"),
    "sigmoid": (_tf.sigmoid, "Activation"),
    "tanh": (_tf.tanh, "Activation"),
    "softmax": (_tf.nn.softmax, "Softmax"),
    "softmax over rows": (lambda x: _tf.nn.softmax(x, axis=1), "Softmax"),
    "identity": (_tf.identity, "Activation"),
    "cast": (lambda x: _tf.cast(x, "float32"), "Activation"),
    "reshape": (lambda x: _tf.reshape(x, (-1, 6, 24)), "Reshape"),
    "squeeze": (lambda x: _tf.squeeze(_tf.reshape(x, (-1, 1, 48, 3)), 1), "Reshape"),
    "expand_dims": (lambda x: _tf.expand_dims(x, -2), "Reshape"),
    "transpose": (lambda x: _tf.transpose(x, (0, 2, 1, 3)), "Permute"),
    "mean": (lambda x: _tf.reduce_mean(x, (1, 2)), "GlobalAveragePooling2D"),
    "mean that keeps axes": (lambda x: _tf.reduce_mean(x, [-2, -3], keepdims=True), "GlobalAveragePooling2D"),
    "mean by Keras": (lambda x: _tf.keras.backend.mean(x, (1, 2)), "GlobalAveragePooling2D"),
    "pad": (lambda x: _tf.pad(x, [[0, 0], [1, 2], [0, 3], [0, 0]]), "ZeroPadding2D"),
    "cropped": (lambda x: x[:, 1:-1, -4:], "Cropping2D"),
    "cropped along one axis": (lambda x: _tf.reshape(x, (-1, 48, 3))[:, 2:], "Cropping1D"),
    "reversed channels": (lambda x: x[..., ::-1], "Conv2D"),
    "reversed channels, spelt out": (lambda x: x[:, :, :, ::-1], "Conv2D"),
}
BINARY = {
    "sum": (lambda x, y: x + y, "Add"),
    "sum by function": (_tf.add, "Add"),
    "sum of several": (lambda x, y: _tf.add_n([x, y, y]), "Add"),
    "difference": (lambda x, y: x - y, "Subtract"),
    "product": (lambda x, y: x * y, "Multiply"),
    "maximum": (_tf.maximum, "Maximum"),
    "joined": (lambda x, y: _tf.concat([x, y], -1), "Concatenate"),
    "joined by rows": (lambda x, y: _tf.concat([x, y], axis=1), "Concatenate"),
}
# No layer does the same, or none that is native.
OTHERS = {
    "reflected": lambda x: _tf.pad(x, [[0, 0], [1, 1], [0, 0], [0, 0]], "REFLECT"),
    "padded with 1": lambda x: _tf.pad(x, [[0, 0], [1, 1], [0, 0], [0, 0]], constant_values=1.0),
    "padded channels": lambda x: _tf.pad(x, [[0, 0], [0, 0], [0, 0], [1, 1]]),
    "mean over rows": lambda x: _tf.reduce_mean(x, 1),
    "mean over everything": _tf.reduce_mean,
    "reciprocal": lambda x: 1.0 / (x + 2.0),
    "by position": lambda x: x * np.ones((6, 1), np.float32),
    "broadcast": lambda x: _tf.reshape(x, (-1, 48, 3, 1)) * _ones,
    "absolute": _tf.abs,
    "clipped below": lambda x: _tf.clip_by_value(x, 0.1, 6),
    "maximum with 1": lambda x: _tf.maximum(x, 1.0),
    "batch reshaped": lambda x: _tf.reshape(x, (-1, 6, 3)),
    "batch transposed": lambda x: _tf.transpose(x, (1, 0, 2, 3)),
    "joined by images": lambda x: _tf.concat([x, x], 0),
    "every other row": lambda x: x[:, ::2],
    "one row": lambda x: x[:, 1],
    "first channels": lambda x: x[..., :2],
    "first images": lambda x: x[:2],
    "new axis": lambda x: x[..., None],
    "every other channel": lambda x: x[..., ::2],
    "sum with broadcasting": lambda x: x + _tf.reduce_mean(x, (1, 2), keepdims=True),
}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(0, 1, (4, 8, 6, 3)).astype(np.float32)


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_tensor(name, images):
    function, kind = UNARY[name]
    inputs = _tf.keras.Input((8, 6, 3))
    model = _tf.keras.Model(inputs, function(inputs))
    values = images
    for call in flatten(model).calls:
        assert len(call.inputs) == 1
        values = call.layer(values)
    assert call.kind == kind
    np.testing.assert_allclose(values, model(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_tensors(name, images):
    function, kind = BINARY[name]
    x, y = _tf.keras.Input((8, 6, 3)), _tf.keras.Input((8, 6, 3))
    model = _tf.keras.Model([x, y], function(x, y))
    (call,) = flatten(model).calls
    assert call.kind == kind
    by_key = dict(zip(flatten(model).input_shapes, (images, images[::-1])))
    given = [by_key[key] for key in call.inputs]
    np.testing.assert_allclose(call.layer(given), model([images, images[::-1]]), rtol=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_what_no_layer_does_is_left_alone(name):
    inputs = _tf.keras.Input((8, 6, 3))
    last = flatten(_tf.keras.Model(inputs, OTHERS[name](inputs))).calls[-1]
    assert last.kind in ("TFOpLambda", "SlicingOpLambda")


def test_the_batch_size_may_be_asked_for(images):
    inputs = _tf.keras.Input((8, 6, 3))
    model = _tf.keras.Model(inputs, _tf.reshape(inputs, (_tf.shape(inputs)[0], 48, 3)))
    last = flatten(model).calls[-1]
    assert last.kind == "Reshape"
    np.testing.assert_array_equal(last.layer(images), model(images))


def test_calls_keep_names_and_tensors():
    inputs = _tf.keras.Input((8, 6, 3), name="image")
    model = _tf.keras.Model(inputs, _tf.nn.relu(inputs) + inputs)
    flat = flatten(model)
    assert [call.name for call in flat.calls] == [layer.name for layer in model.layers[1:]]
    assert [call.kind for call in flat.calls] == ["ReLU", "Add"]
    assert flat.calls[1].inputs == (flat.calls[0].outputs[0], *flat.input_shapes)
    assert flat.calls[1].output_shapes == ((None, 8, 6, 3),)


def test_whole_numbers_are_not_rescaled():
    """Rescaling gives floating-point numbers."""
    inputs = _tf.keras.Input((8, 6, 3), dtype="int32")
    (call,) = flatten(_tf.keras.Model(inputs, inputs * 2)).calls
    assert call.kind == "TFOpLambda"


def test_heads_may_pool_by_functions():
    inputs = _tf.keras.Input((8, 6, 3))
    x = _tf.nn.relu(_tf.keras.layers.Conv2D(4, 3, name="conv")(inputs))
    model = _tf.keras.Model(inputs, _tf.keras.layers.Dense(2)(_tf.reduce_mean(x, [1, 2])))
    head = ncam.find_head(model)
    assert head.map_shape == (6, 4)
    assert head.kernel.shape == (4, 2)
