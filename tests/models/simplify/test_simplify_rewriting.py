import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nengo_cam as ncam
from nengo_cam.models.graph import flatten
from nengo_cam.models.head import locate_head
from nengo_cam.models.simplify import reduce_model, rewrite

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers


def varied(x):
    """Every fate that a layer can have."""
    x = layers.Rescaling(2.0, 1.0, name="scaled")(x)
    x = layers.Conv2D(4, 3, padding="same", name="conv")(x)
    x = layers.BatchNormalization(name="norm")(layers.Dropout(0.5, name="drop")(x))
    x = layers.SeparableConv2D(4, 3, name="split")(layers.ReLU(name="relu")(x))
    x = layers.Activation("linear", name="nothing")(x)
    return layers.Concatenate(name="join")([x, layers.ReLU(name="other")(x)])


def test_every_call_and_what_became_of_it(reduced):
    fates = dict(zip(NAMES, reduced(varied).fates))
    assert {name: (fate.layers, fate.words) for name, fate in fates.items()} == {
        "scaled": (("scaled",), "written as BatchNormalization"),
        "conv": (("conv",), ""),
        "drop": ((), "left out: for training"),
        "norm": ((), "folded into 'conv'"),
        "relu": (("relu",), ""),
        "split": (("split_depthwise", "split"), "split into 'split_depthwise' and 'split'"),
        "nothing": ((), "left out: no effect"),
        "other": (("other",), ""),
        "join": (("join",), ""),
        "gap": (("gap",), ""),
        "readout": (("readout",), ""),
    }


NAMES = ["scaled", "conv", "drop", "norm", "relu", "split", "nothing", "other", "join", "gap", "readout"]


def test_names_by_call(with_head):
    flat = flatten(with_head(varied))
    fates = rewrite(flat, locate_head(flat)).fates
    made = {call.name: fate.layers for call, fate in zip(flat.calls, fates)}
    assert made["split"][-1] == "split"
    assert [name for name in NAMES if not made[name]] == ["drop", "norm", "nothing"]


def test_what_is_behind_the_logits_or_not_needed(tf):
    inputs, part_in = tf.keras.Input((8, 6, 2)), tf.keras.Input((8, 6, 2))
    conv = layers.Conv2D(2, 1, name="conv")(part_in)
    part = tf.keras.Model(part_in, [conv, layers.ReLU(name="unused")(part_in)])
    x = layers.Dense(2, name="readout")(layers.GlobalAveragePooling2D(name="gap")(part(inputs)[0]))
    model = tf.keras.Model(inputs, layers.Softmax(name="softmax")(x))
    fates = dict(zip((call.name for call in flatten(model).calls), reduce_model(model).fates))
    assert fates["unused"].words == "left out: not needed"
    assert fates["softmax"].words == "left out: after logits"


def test_outputs_of_calls_are_located_in_any_copy(tf, with_head, assert_close):
    """Also where one layer is called twice."""

    def build(x):
        shared = layers.SeparableConv2D(3, 3, padding="same", activation="relu", name="shared")
        x = shared(layers.BatchNormalization(name="norm")(layers.Conv2D(3, 3, name="conv")(x)))
        return layers.Add(name="sum")([shared(x), x])

    model = with_head(build)
    copy = pickle.loads(pickle.dumps(reduce_model(model)))
    located = {number: copy.output(name) for number, name in copy.successors.items()}
    flat, images = flatten(model), np.random.default_rng(0).normal(0, 1, (2, 9, 8, 3)).astype(np.float32)
    assert [flat.calls[number].name for number in sorted(located)] == [
        "conv",
        "shared",
        "shared",
        "sum",
        "gap",
        "readout",
    ]
    shared = model.get_layer("shared")
    expected = [model.get_layer("norm").output, shared.get_output_at(0), shared.get_output_at(1)]
    expected += [model.get_layer("sum").output]
    for tensor, got in zip(expected, (located[number] for number in sorted(located))):
        values = tf.keras.Model(copy.model.input, got)(images).numpy()
        assert_close(values, tf.keras.Model(model.input, tensor)(images).numpy())


BLOCKS = {
    "convolution": lambda x, n: layers.Conv2D(n, 3, padding="same")(x),
    "valid": lambda x, n: layers.Conv2D(n, 2, use_bias=False)(x),
    "dilated": lambda x, n: layers.Conv2D(n, 2, padding="same", dilation_rate=2)(x),
    "pointwise": lambda x, n: layers.Conv2D(n, 1, activation="relu")(x),
    "depthwise": lambda x, n: layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x),
    "separable": lambda x, n: layers.SeparableConv2D(n, 3, padding="same")(x),
    "dense": lambda x, n: layers.Dense(n)(x),
    "norm": lambda x, n: layers.BatchNormalization()(x),
    "rescaling": lambda x, n: layers.Rescaling(1.5, 0.2)(x),
    "operator": lambda x, n: (1.0 - x) / 2.0,
    "relu": lambda x, n: _tf.nn.relu(x),
    "padding": lambda x, n: _tf.pad(x, [[0, 0], [1, 0], [0, 1], [0, 0]]),
    "average": lambda x, n: layers.AveragePooling2D(2, strides=1)(x),
    "identity": lambda x, n: layers.Activation("linear")(layers.Dropout(0.5)(x)),
    "residual": lambda x, n: x + layers.BatchNormalization()(layers.Conv2D(x.shape[-1], 3, padding="same")(x)),
    "difference": lambda x, n: x - layers.ReLU()(layers.BatchNormalization()(x)),
    "dense block": lambda x, n: _tf.concat([x, layers.Conv2D(n, 1)(layers.BatchNormalization()(x))], -1),
}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    blocks=st.lists(st.tuples(st.sampled_from(sorted(BLOCKS)), st.integers(1, 4)), min_size=2, max_size=7),
    seed=st.integers(0, 99),
)
def test_random_nets(reduced, kinds, blocks, seed):
    def build(x):
        for name, n_channels in blocks:
            x = BLOCKS[name](x, n_channels)
        return layers.LeakyReLU()(layers.Conv2D(3, 1)(x))

    native = {"Activation", "Add", "AveragePooling2D", "BatchNormalization", "Concatenate", "Conv2D", "Dense"}
    native |= {"DepthwiseConv2D", "LeakyReLU", "ReLU", "ZeroPadding2D"}
    assert set(kinds(reduced(build, shape=(12, 11, 3), seed=seed))) <= native


APPLICATIONS = {"MobileNetV2": (32, 0), "ResNet50V2": (32, 17), "DenseNet121": (32, 62), "Xception": (71, 0)}


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_networks_that_people_use(tf, name, randomized, assert_close):
    size, n_left = APPLICATIONS[name]
    model = getattr(tf.keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10)
    randomized(model)
    result = reduce_model(model).model
    kinds = [type(layer).__name__ for layer in result.layers]
    assert kinds.count("BatchNormalization") == n_left
    assert not {"SeparableConv2D", "Dropout"} & set(kinds)
    images = np.random.default_rng(0).random((2, size, size, 3), dtype=np.float32)
    expected, got = (tf.keras.Model(net.input, net.layers[-2].input)(images).numpy() for net in (model, result))
    assert np.ptp(expected) > 0
    assert_close(got, expected)
    logits = result(images).numpy()
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), model(images), rtol=1e-3, atol=1e-5)
