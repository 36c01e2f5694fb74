import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nengo_cam as ncam
from nengo_cam import find_head, inference_model
from nengo_cam.exceptions import ParameterError, VerificationError
from nengo_cam.models.simplify import balance_channels, clipped_relu, max_value_of, rectified_layers

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers
relu = {"padding": "same", "activation": "relu"}
same = {"padding": "same"}


class Conv2D(layers.Conv2D):
    """A layer of the user's own that looks like one of Keras's, but is not linear."""

    def call(self, inputs):
        return super().call(inputs) + 1


def uneven(x_of_input, seed=0, shape=(8, 6, 2)):
    """Build a model with a GAP head, whose channels differ in range by orders of magnitude."""
    rng = np.random.default_rng(seed)
    inputs = _tf.keras.Input(shape, name="image")
    x = layers.GlobalAveragePooling2D(name="gap")(x_of_input(inputs))
    model = _tf.keras.Model(inputs, layers.Dense(3, activation="softmax", name="readout")(x), name="net")
    for layer in model.layers:
        weights = []
        for variable in layer.weights:
            values = rng.normal(0, 0.4, variable.shape)
            if "variance" in variable.name:
                values = rng.uniform(0.05, 0.3, variable.shape)
            elif len(variable.shape) > 1 and layer.name != "readout":
                values *= 10 ** rng.uniform(-0.8, 0.8, variable.shape[-1])
            weights.append(values)
        layer.set_weights(weights)
    return inference_model(model)


def activity(model, name, images):
    """Return the output of all calls of a layer as (values, channels)."""
    layer = model.get_layer(name)
    outputs = [layer.get_output_at(i) for i in range(len(layer.inbound_nodes))]
    values = [_tf.keras.Model(model.input, output)(images).numpy() for output in outputs]
    return np.concatenate([v.reshape(-1, v.shape[-1]) for v in values]).astype(float)


def features(model, images):
    return _tf.keras.Model(model.input, model.get_layer(find_head(model).pooling).input)(images).numpy().astype(float)


def assert_same(got, expected, tolerance=1e-5):
    """Within a fraction of the range."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.ptp(expected))


def ratios(levels):
    """Return the largest over each, and 1 for a channel that says nothing."""
    return np.array([max(levels) / level if level > 0 else 1 for level in levels])


def assert_equivalent(source, result, images):
    """Logits, maps and restored features are those of the source."""
    assert_same(result.model(images).numpy(), source(images).numpy())
    balanced = features(result.model, images)
    assert_same(balanced / result.feature_factors, features(source, images))
    assert_same(balanced @ find_head(result.model).kernel, features(source, images) @ find_head(source).kernel)


def norm(**options):
    def build(x):
        # Neither can be folded: one has pooling before it, the other zeros behind it.
        x = layers.AveragePooling2D(2, 1)(layers.Conv2D(4, 3, use_bias=False)(x))
        x = layers.BatchNormalization(epsilon=0.05, **options)(x)
        x = layers.BatchNormalization(epsilon=0.05, **options)(layers.ReLU(name="free0")(x))
        return layers.Conv2D(5, 3, **relu, name="free1")(x)

    return build


def identity_residual(x):
    x = layers.Conv2D(4, 3, **relu, name="tied0")(x)
    y = layers.Conv2D(4, 3, **same)(layers.Conv2D(3, 3, **relu, name="free0")(x))
    x = layers.ReLU(name="tied1")(layers.Add()([x, y]))
    y = layers.Conv2D(4, 3, **same)(layers.Conv2D(3, 3, **relu, name="free1")(x))
    return layers.ReLU(name="tied2")(layers.Add()([x, y]))


def projection_residual(x):
    x = layers.Conv2D(3, 3, **relu, name="free0")(x)
    y = layers.BatchNormalization()(layers.Conv2D(4, 1, strides=2)(x))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, strides=2, **same)(x))
    return layers.Activation("relu", name="free1")(layers.Average()([x, y]))


def preactivated_residual(x):
    x = layers.Conv2D(4, 3, **same)(x)
    for i in range(2):
        y = layers.Activation("relu", name=f"free{i}")(layers.BatchNormalization()(x))
        x = layers.Add()([x, layers.Conv2D(4, 3, **same)(y)])
    return layers.ReLU(name="free2")(layers.BatchNormalization()(x))


def concatenated(x):
    x = layers.Conv2D(3, 3, **relu, name="free0")(x)
    y = layers.Conv2D(2, 3, **relu, name="free1")(x)
    x = layers.Conv2D(4, 1, **relu, name="free2")(layers.Concatenate()([x, y, x]))
    y = layers.Conv2D(4, 1, **relu, name="tied0")(x)
    return layers.Concatenate(axis=1)([layers.Conv2D(4, 1, **relu, name="tied1")(x), y])


def merged(x):
    x = layers.Conv2D(3, 3, **relu, name="tied0")(x)
    y = layers.Conv2D(3, 3, **relu, name="tied1")(x)
    x = layers.Subtract()([layers.Maximum()([x, y]), layers.Minimum()([x, y])])
    return layers.Conv2D(4, 1, **relu, name="free0")(x)


def broadcast(x):
    # All channels share one factor, so there is nothing to balance.
    x = layers.Conv2D(3, 3, **relu, name="fixed0")(x)
    one = layers.Conv2D(1, 3, **relu, name="fixed1")(x)
    x = layers.Conv2D(3, 3, **relu, name="free0")(layers.Add()([x, one]))
    return layers.Add()([x, layers.Reshape((1, 1, 3))(layers.GlobalMaxPooling2D()(x))])


def positions(x):
    x = layers.Conv2D(3, 3, **relu, name="free0")(x)
    x = layers.ZeroPadding2D(2)(layers.AveragePooling2D(2)(x))
    x = layers.Conv2D(4, 3, **relu, name="free1")(x)
    x = layers.Cropping2D(1)(layers.UpSampling2D(2, interpolation="bilinear")(layers.MaxPooling2D(2, 1, **same)(x)))
    return layers.UpSampling2D(2)(layers.Conv2D(4, 2, **relu, name="free2")(x))


def depthwise(x):
    x = layers.DepthwiseConv2D(3, depth_multiplier=3, **relu, name="free0")(layers.Conv2D(3, 1, **same)(x))
    x = layers.DepthwiseConv2D(3, use_bias=False, **relu, name="free1")(x)
    return layers.SeparableConv2D(4, 3, depth_multiplier=2, **relu, name="free2")(x)


def other_convolutions(x):
    x = layers.Conv2D(4, 3, dilation_rate=2, **relu, name="free0")(x)
    x = layers.Conv2D(6, 3, groups=2, **relu, name="free1")(x)
    return layers.Conv2DTranspose(5, 3, strides=2, **relu, name="free2")(x)


def one_dimensional(x):
    x = layers.Conv1D(4, 3, **relu, name="free0")(layers.Reshape((48, 2))(x))
    x = layers.ZeroPadding1D(1)(layers.AveragePooling1D(2)(layers.MaxPooling1D(2)(x)))
    x = layers.SeparableConv1D(5, 3, activation="relu", name="free1")(x)
    x = layers.Conv1DTranspose(4, 2, **relu, name="free2")(x)
    return layers.Reshape((3, 4, 4))(x)


def three_dimensional(x):
    x = layers.Conv3D(4, 3, **relu, name="free0")(layers.Reshape((8, 3, 2, 2))(x))
    x = layers.UpSampling3D((1, 2, 1))(layers.MaxPooling3D((1, 1, 2))(x))
    return layers.Reshape((8, 6, 3))(layers.Conv3D(3, 3, **relu, name="free1")(x))


def flattened(x):
    x = layers.Conv2D(3, 3, strides=4, **relu, name="free0")(x)
    x = layers.Dense(24, activation="relu", name="free1")(layers.Flatten()(x))
    x = layers.Dense(24, activation="relu", name="fixed0")(x)
    return layers.Dense(4, activation="relu", name="free2")(layers.Reshape((2, 2, 6))(x))


def shared(x):
    conv, scale = layers.Conv2D(3, 3, **relu, name="free0"), layers.BatchNormalization()
    x = layers.Conv2D(3, 3, **relu, name="tied0")(x)
    return layers.Conv2D(4, 3, **relu, name="free1")(scale(conv(scale(conv(x)))))


def shared_with_a_clipped_branch(x):
    conv = layers.Conv2D(3, 3, **relu, name="tied0")
    x = layers.Conv2D(3, 3, **relu, name="free0")(x)
    x = layers.Add()([conv(x), layers.ReLU(6.0, name="tied1")(conv(layers.Conv2D(3, 1)(x)))])
    return layers.Conv2D(4, 1, **relu, name="free1")(x)


def shared_with_a_branch_of_sigmoids(x):
    conv = layers.Conv2D(3, 3, **relu, name="fixed0")
    x = layers.Conv2D(3, 3, **relu, name="free0")(x)
    x = layers.Add()([conv(x), layers.Activation("sigmoid")(conv(layers.Conv2D(3, 1)(x)))])
    return layers.Conv2D(4, 1, **relu, name="free1")(x)


def clipped(x):
    """Clips by layers of all kinds, and again of what was clipped already."""
    x = layers.ReLU(4.0, name="free0")(layers.Conv2D(4, 3, **same)(x))
    x = layers.BatchNormalization()(layers.DepthwiseConv2D(3, **same)(x))
    x = layers.AveragePooling2D(2)(layers.ReLU(20.0, name="free1")(layers.Conv2D(5, 3, **same)(x)))
    x = layers.ReLU(15.0, name="free2")(layers.Conv2D(4, 3, **same)(x))
    return layers.Add()([x, layers.Activation(_tf.nn.relu6, name="tied0")(x)])


def leaky(x):
    x = layers.PReLU()(layers.Conv2D(4, 3, **relu, name="free0")(x))
    x = layers.LeakyReLU()(layers.Conv2D(4, 3)(x))
    x = layers.Conv2D(4, 3, activation=_tf.nn.leaky_relu, **same)(layers.ReLU(name="free1")(x))
    return layers.ReLU(negative_slope=0.2)(layers.ReLU(name="free2")(x))


def between(layer):
    """A layer that its neighbors must not be scaled for; those further away can be."""

    def build(x):
        x = layers.Conv2D(4, 3, **relu, name="free0")(x)
        x = layers.Conv2D(4, 3, **relu, name="fixed0")(x)
        return layers.Conv2D(5, 3, **relu, name="free1")(layer(x))

    return build


def gated(x):
    x = layers.Conv2D(4, 3, **relu, name="fixed0")(x)
    return layers.Multiply()([x, layers.Conv2D(4, 1, activation="sigmoid")(x)])


def multiplied(x):
    x = layers.Conv2D(4, 3, **relu, name="fixed0")(x)
    x = layers.Multiply()([x, layers.Conv2D(4, 1, **relu, name="fixed1")(x)])
    return layers.Conv2D(4, 3, **relu, name="free0")(x)


def activated(x):
    """Activations of the convolutions themselves; what goes in can be scaled, what comes out cannot."""
    x = layers.Conv2D(4, 3, **relu, name="free0")(x)
    x = layers.ReLU(name="fixed0")(layers.Conv2D(4, 3, activation=_tf.nn.relu6)(x))
    x = layers.ReLU(name="fixed1")(layers.Conv2D(4, 3, activation="tanh")(x))
    return layers.Conv2D(4, 1, **relu, name="free1")(x)


def partly_fixed(x):
    """Channels of one layer, some of which must not be scaled."""
    x = layers.ReLU(threshold=0.1)(layers.Conv2D(3, 3, **relu, name="fixed0")(x))
    x = layers.Concatenate()([layers.Conv2D(3, 3)(x), layers.Conv2D(2, 3, activation="sigmoid")(x)])
    return layers.Conv2D(4, 1, **relu, name="free1")(layers.ReLU(name="some")(x))


NETS = {
    "plain": lambda x: layers.Conv2D(4, 3, **relu, name="free1")(layers.Conv2D(4, 3, **relu, name="free0")(x)),
    "norm": norm(),
    "norm without scale": norm(scale=False),
    "norm without center": norm(center=False),
    "norm without both": norm(scale=False, center=False),
    "identity residual": identity_residual,
    "projection residual": projection_residual,
    "preactivated residual": preactivated_residual,
    "concatenated": concatenated,
    "merged": merged,
    "broadcast": broadcast,
    "positions": positions,
    "depthwise": depthwise,
    "other convolutions": other_convolutions,
    "1-D": one_dimensional,
    "3-D": three_dimensional,
    "flattened": flattened,
    "shared": shared,
    "shared with a clipped branch": shared_with_a_clipped_branch,
    "shared with a branch of sigmoids": shared_with_a_branch_of_sigmoids,
    "clipped": clipped,
    "leaky": leaky,
    "gated": gated,
    "multiplied": multiplied,
    "activated": activated,
    "partly fixed": partly_fixed,
    "leaky and clipped": between(layers.ReLU(6.0, negative_slope=0.1)),
    "threshold and clipped": between(layers.ReLU(6.0, threshold=0.1)),
    "threshold": between(layers.ReLU(threshold=0.1)),
    "sigmoid": between(layers.Activation("sigmoid")),
    "norm over rows": between(layers.BatchNormalization(axis=1)),
    "transposed": between(layers.Permute((3, 2, 1))),
    "pooled over channels": between(layers.AveragePooling2D((1, 2), data_format="channels_first")),
    "own layer": between(Conv2D(3, 1)),
    "operator": between(layers.Lambda(lambda x: x + 1.0)),
    "mixed channels": between(layers.Reshape((8, 8, 3))),
}


@pytest.mark.parametrize("name", NETS)
def test_only_ranges_change(images, name):
    source = uneven(NETS[name])
    result = balance_channels(source, images, percentile=99, max_factor=1e6)
    assert_equivalent(source, result, images)
    assert result.largest_difference < 1e-5
    names = [layer.name for layer in rectified_layers(source)]
    assert list(result.layer_factors) == names
    for name, factors in result.layer_factors.items():
        before, after = activity(source, name, images), activity(result.model, name, images)
        assert_same(after, before * factors)
        if name.startswith("free"):
            # All channels that are alive have the same percentile, and had not.
            levels = np.percentile(before, 99, axis=0)
            assert np.ptp(levels[levels > 0]) > 0
            np.testing.assert_allclose(np.percentile(after, 99, axis=0)[levels > 0], levels.max(), rtol=1e-4)
        if name.startswith("fixed"):
            assert (factors == 1).all()
        if name.startswith("tied"):
            assert factors.max() > 1


@pytest.fixture(scope="module")
def source():
    """Two convolutions, the second with a dead and a nearly silent channel."""

    def build(x):
        return layers.Conv2D(5, 3, **relu, name="conv1")(layers.Conv2D(4, 3, **relu, name="conv0")(x))

    source = uneven(build, seed=2)
    kernel, bias = source.get_layer("conv1").get_weights()
    kernel[..., 1], bias[1] = 0, -1
    kernel[..., 2], bias[2] = 1e-9, 0
    source.get_layer("conv1").set_weights([kernel, bias])
    return source


def test_the_factor_is_the_ratio_of_percentiles(source, images):
    factors = balance_channels(source, images, percentile=95).layer_factors["conv0"]
    levels = np.percentile(activity(source, "conv0", images), 95, axis=0)
    np.testing.assert_allclose(factors, ratios(levels), rtol=1e-5)
    assert 2 < factors.max() < 30


def test_dead_and_nearly_silent_channels_do_not_explode(source, images):
    result = balance_channels(source, images, percentile=95, max_factor=20)
    factors = result.layer_factors["conv1"]
    levels = np.percentile(activity(source, "conv1", images), 95, axis=0)
    assert levels[1] == 0 < levels[2] < 1e-6 * levels.max()
    assert (factors[1], factors[2]) == (1, 20)
    np.testing.assert_array_equal(factors, result.feature_factors)
    np.testing.assert_allclose(factors[[0, 3, 4]], np.minimum(ratios(levels), 20)[[0, 3, 4]], rtol=1e-5)
    # Divided by the factors of the layer before, which are 1 and more, and multiplied by its own.
    limit = 20 * np.abs(source.get_layer("conv1").kernel.numpy())
    assert (np.abs(result.model.get_layer("conv1").kernel.numpy()) <= limit * (1 + 1e-6)).all()
    assert_equivalent(source, result, images)


def test_dead_layers_are_left_alone(images):
    source = uneven(NETS["plain"])
    kernel, bias = source.get_layer("free0").get_weights()
    source.get_layer("free0").set_weights([kernel * 0, bias * 0 - 1])
    result = balance_channels(source, images)
    np.testing.assert_array_equal(result.layer_factors["free0"], 1)
    assert_equivalent(source, result, images)


def test_a_factor_of_at_most_1_changes_nothing(source, images):
    result = balance_channels(source, images, max_factor=1)
    for layer, copy in zip(source.layers, result.model.layers):
        for before, after in zip(layer.get_weights(), copy.get_weights()):
            np.testing.assert_array_equal(after, before)


def test_the_branches_of_a_sum_share_factors_by_their_strongest(images):
    source = uneven(identity_residual)
    result = balance_channels(source, images, percentile=99, max_factor=1e6)
    names = ["tied0", "tied1", "tied2"]
    levels = np.max([np.percentile(activity(source, name, images), 99, axis=0) for name in names], axis=0)
    for name in names:
        np.testing.assert_allclose(result.layer_factors[name], ratios(levels), rtol=1e-5)


def test_layers_that_share_channels_in_part_have_one_range(images):
    """The third layer sees the others' channels, all weaker; its channels can have one range only if theirs have."""

    def build(x):
        sides = [layers.Conv2D(3, 3, **relu, name=name)(x) for name in ("left", "right")]
        return layers.ReLU(name="both")(layers.AveragePooling2D(3)(layers.Concatenate()(sides)))

    source = uneven(build)
    result = balance_channels(source, images, percentile=99, max_factor=1e6)
    levels = np.concatenate([np.percentile(activity(source, name, images), 99, axis=0) for name in ("left", "right")])
    assert levels[:3].max() != levels[3:].max()
    np.testing.assert_allclose(result.layer_factors["both"], ratios(levels), rtol=1e-5)
    assert_equivalent(source, result, images)


def test_a_readout_that_is_used_elsewhere_keeps_its_output(images):
    inputs = _tf.keras.Input((8, 6, 2))
    readout = layers.Dense(3, name="readout", bias_initializer="ones")
    x = layers.ReLU(name="fixed0")(readout(layers.Conv2D(3, 3, **relu)(inputs)))
    model = _tf.keras.Model(inputs, readout(layers.GlobalAveragePooling2D()(x)))
    readout.set_weights([np.diag([1.0, 0.1, 0.01]), np.ones(3)])
    source = inference_model(model)
    result = balance_channels(source, images)
    assert (result.layer_factors["fixed0"] == 1).all()
    assert_equivalent(source, result, images)


def test_channels_beside_fixed_ones_get_the_range_of_their_layer(images):
    source = uneven(partly_fixed)
    # A layer with no free channel has a range of its own, which is nobody else's.
    source.get_layer("fixed0").set_weights([100 * weights for weights in source.get_layer("fixed0").get_weights()])
    kernel = source.get_layer("free1").kernel.numpy()
    result = balance_channels(source, images, percentile=99, max_factor=1e6)
    levels = np.percentile(activity(source, "some", images), 99, axis=0)
    expected = [*ratios(levels)[:3], 1, 1]
    np.testing.assert_allclose(result.layer_factors["some"], expected, rtol=1e-5)
    np.testing.assert_allclose(
        result.model.get_layer("free1").kernel,
        kernel / np.reshape(expected, (-1, 1)) * result.layer_factors["free1"],
        rtol=1e-5,
    )


def test_the_source_is_not_changed_and_names_and_kinds_stay(images):
    source = uneven(norm(scale=False))
    before = source.get_weights()
    result = balance_channels(source, images, percentile=99)
    for old, new in zip(before, source.get_weights()):
        np.testing.assert_array_equal(new, old)
    result.model.set_weights([w * 0 for w in result.model.get_weights()])
    for old, new in zip(before, source.get_weights()):
        np.testing.assert_array_equal(new, old)
    for layer, copy in zip(source.layers, result.model.layers):
        assert (copy.name, type(copy)) == (layer.name, type(layer))
        assert copy.trainable == layer.trainable
    assert not source.get_layer(index=3).scale


def test_batch_size_does_not_matter(source, images):
    results = [balance_channels(source, images, percentile=90, batch_size=n) for n in (2, 5)]
    for name, factors in results[0].layer_factors.items():
        np.testing.assert_allclose(factors, results[1].layer_factors[name], rtol=1e-5)


def test_a_constant_in_a_sum_fixes_the_channels(images):
    constant = _tf.constant([[[[1.0, 2.0, 3.0, 4.0]]]])
    source = uneven(between(lambda x: layers.Add()([x, constant])))
    result = balance_channels(source, images)
    assert_equivalent(source, result, images)
    assert (result.layer_factors["fixed0"] == 1).all()


def test_without_rectified_layers(images):
    source = uneven(lambda x: layers.Conv2D(4, 3, activation="tanh", name="features")(x))
    result = balance_channels(source, images)
    assert result.layer_factors == {}
    np.testing.assert_array_equal(result.feature_factors, np.ones(4))
    assert_equivalent(source, result, images)


KINDS = {
    "conv": lambda x, n: layers.Conv2D(n, 3, **same)(x),
    "conv relu": lambda x, n: layers.Conv2D(n, 3, **relu)(x),
    "conv relu6": lambda x, n: layers.Conv2D(n, 1, activation=_tf.nn.relu6)(x),
    "depthwise": lambda x, n: layers.DepthwiseConv2D(3, depth_multiplier=1 + n % 2, **same)(x),
    "separable": lambda x, n: layers.SeparableConv2D(n, 3, depth_multiplier=2, **relu)(x),
    "grouped": lambda x, n: layers.Conv2D(2 * x.shape[-1], 3, groups=x.shape[-1], **relu)(x),
    "norm": lambda x, n: layers.BatchNormalization(scale=n % 2 == 0, center=n % 3 == 0)(x),
    "relu": lambda x, n: layers.ReLU()(x),
    "relu6": lambda x, n: layers.ReLU(6.0)(x),
    "leaky": lambda x, n: layers.LeakyReLU()(x),
    "sigmoid": lambda x, n: layers.Activation("sigmoid")(x),
    "average": lambda x, n: layers.AveragePooling2D(2, 1, **same)(x),
    "max": lambda x, n: layers.MaxPooling2D(2, 1, **same)(x),
    "pad and crop": lambda x, n: layers.Cropping2D((1, 0))(layers.ZeroPadding2D((1, 0))(x)),
    "reshape": lambda x, n: layers.Reshape((6, 8, x.shape[-1]))(layers.Reshape((-1, x.shape[-1]))(x)),
    "lambda": lambda x, n: layers.Lambda(lambda y: y * y)(x),
    "add": lambda x, n: layers.Add()([x, layers.Conv2D(x.shape[-1], 3, **relu)(x)]),
    "maximum": lambda x, n: layers.Maximum()([x, layers.DepthwiseConv2D(3, **relu)(x)]),
    "concatenate": lambda x, n: layers.Concatenate()([x, layers.Conv2D(n, 1)(x)]),
    "twice": lambda x, n: (lambda layer: layer(layer(x)))(layers.Conv2D(x.shape[-1], 3, **relu)),
}


@settings(deadline=None, max_examples=25)
@given(
    kinds=st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, 4)), min_size=1, max_size=7),
    seed=st.integers(0, 999),
)
def test_random_nets(kinds, seed):
    def build(x):
        for kind, n in kinds:
            x = KINDS[kind](x, n)
        return x

    source = uneven(build, seed)
    images = np.random.default_rng(seed).random((4, 8, 6, 2), dtype=np.float32)
    result = balance_channels(source, images, percentile=95)
    scale = np.abs(source(images)).max()
    np.testing.assert_allclose(result.model(images) / scale, source(images) / scale, rtol=0, atol=1e-5)
    balanced, expected = features(result.model, images), features(source, images)
    scale = np.abs(expected).max() or 1
    np.testing.assert_allclose(balanced / result.feature_factors / scale, expected / scale, rtol=0, atol=1e-5)
    for factors in result.layer_factors.values():
        assert (factors >= 1).all() and (factors <= 30).all()


def test_wrong_logits_are_noticed(lying, source, images):
    wrong = lying(source, "readout", lambda output: 1.1 * output)
    with pytest.raises(VerificationError, match="model 'net': balancing its channels changed it; expected") as caught:
        balance_channels(wrong, images)
    assert caught.value.largest_difference > 1e-2


def test_wrong_features_are_noticed_though_the_logits_are_right(lying, source, images):
    """Turned upside down: their mean over positions stays."""
    logits = source(images).numpy()
    wrong = lying(source, "conv1", lambda output: output[:, ::-1])
    np.testing.assert_allclose(wrong(images), logits, rtol=1e-5)
    with pytest.raises(VerificationError, match="balancing its channels changed it"):
        balance_channels(wrong, images)


def test_not_a_number_is_noticed(lying, source, images):
    with pytest.raises(VerificationError, match="got nan"):
        balance_channels(lying(source, "readout", lambda output: np.nan * output), images)


@pytest.mark.parametrize("percentile", [0, 101, np.nan, None, True])
def test_wrong_percentiles(source, images, percentile):
    with pytest.raises(ParameterError, match="percentile: expected a number above 0 and at most 100"):
        balance_channels(source, images, percentile=percentile)


@pytest.mark.parametrize("max_factor", [0.5, -1, np.inf, np.nan, None, "ten", True])
def test_wrong_limits(source, images, max_factor):
    with pytest.raises(ParameterError, match="max_factor: expected a finite number of at least 1, got"):
        balance_channels(source, images, max_factor=max_factor)


def test_clips_are_multiplied_by_the_factors_again_and_again(images):
    source = uneven(clipped)
    first = balance_channels(source, images, percentile=99, max_factor=3)
    second = balance_channels(first.model, images, percentile=99, max_factor=1e6)
    for name, clip in (("free0", 4), ("free1", 20), ("free2", 15), ("tied0", 6)):
        factors = first.layer_factors[name] * second.layer_factors[name]
        assert type(source.get_layer(name)) is not clipped_relu() is type(second.model.get_layer(name))
        np.testing.assert_allclose(max_value_of(second.model.get_layer(name)), clip * factors)
        assert_same(activity(second.model, name, images), activity(source, name, images) * factors)
        assert np.isclose(activity(source, name, images), clip).any()
    assert_same(second.model(images).numpy(), source(images).numpy())
    # Where nothing is scaled, Keras's own layers stay.
    left = balance_channels(source, images, max_factor=1).model
    assert [type(layer) for layer in left.layers] == [type(layer) for layer in source.layers]


@pytest.mark.parametrize(
    "name", ["norm without scale", "identity residual", "preactivated residual", "concatenated", "clipped"]
)
def test_a_balanced_model_converts(images, name):
    source = uneven(NETS[name])
    result = balance_channels(source, images, percentile=99)
    network = ncam.convert(result.model, calibrate_on=images, inference_only=False)
    assert network.verify(images).logit_difference < 1e-4


def test_weak_channels_spike(digits_model, digits):
    """What it is for: after the same number of steps, at the same rate of the strongest, spikes say more."""
    (samples, _), (images, _) = digits
    source = inference_model(digits_model)
    result = balance_channels(source, samples[:50])
    expected = source(images[:40]).numpy().argmax(-1)

    def agreement(model):
        network = ncam.convert(
            model, calibrate_on=samples[:50], neurons=ncam.IntegrateAndFire(), target_rate=200, balance=False
        )
        logits = ncam.spiking_cam(network, images[:40], n_steps=25, progress_bar=False).logits
        return (logits.mean("time").transpose("image", ...).values.argmax(-1) == expected).mean()

    assert agreement(result.model) > agreement(source) + 0.2


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_rounds_more(policy):
    inputs = _tf.keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, activation="relu", dtype=_tf.keras.mixed_precision.Policy(policy))(inputs)
    model = inference_model(_tf.keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=weights.shape) for weights in model.get_weights()])
    images = rng.random((4, 8, 8, 3), dtype=np.float32)
    assert 1e-4 < balance_channels(model, images).largest_difference < 5e-2
