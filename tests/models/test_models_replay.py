import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.exceptions import ParameterError, UnsupportedModelError
from nengo_cam.models.replay import Replay, gate
from nengo_cam.models.simplify import balance_channels, reduce_model

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers

SAME = {"padding": "same"}
RELU = {"padding": "same", "activation": "relu"}


def chain(x):
    return layers.Conv2D(5, 3, **RELU)(layers.Conv2D(4, 3, **RELU)(x))


def residual(x):
    x = layers.Conv2D(4, 3, **RELU)(x)
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, **SAME)(layers.Conv2D(4, 3, **RELU)(x)))
    return layers.ReLU(name="sum")(layers.Add()([x, y]))


def concatenated(x):
    x = layers.Conv2D(4, 3, **RELU)(x)
    parts = [layers.Conv2D(2, 1, **RELU)(x), layers.Conv2D(3, 3, **RELU)(x), layers.AveragePooling2D(3, 1, **SAME)(x)]
    return layers.Conv2D(4, 1, activation="relu")(layers.Concatenate()(parts))


def depthwise(x):
    x = layers.ReLU(6)(layers.DepthwiseConv2D(3, depth_multiplier=2, **SAME)(layers.Conv2D(3, 1, **RELU)(x)))
    return layers.Conv2D(4, 1, activation="relu")(layers.MaxPooling2D(2)(x))


def separable(x):
    return layers.SeparableConv2D(4, 3, **RELU)(layers.BatchNormalization()(layers.Conv2D(3, 3, **RELU)(x)))


def grouped(x):
    return layers.Conv2D(6, 3, groups=3, **RELU)(layers.Conv2D(6, 3, groups=2, **RELU)(x))


def transposed(x):
    return layers.Conv2DTranspose(4, 3, strides=2, **RELU)(layers.Conv2D(3, 3, strides=2, **RELU)(x))


def shared(x):
    both = layers.Conv2D(4, 3, name="both", **RELU)
    return both(layers.Add()([both(layers.Conv2D(4, 1)(x)), layers.Conv2D(4, 1, **RELU)(x)]))


def by_position(x):
    return layers.Dense(4, activation="relu")(layers.Dense(5, activation="relu")(layers.Conv2D(4, 3)(x)))


def other_nonlinearities(x):
    return layers.Conv2D(4, 3, activation="sigmoid")(layers.LeakyReLU()(layers.Conv2D(4, 3, **RELU)(x)))


BODIES = (
    chain, residual, concatenated, depthwise, separable, grouped, transposed, shared, by_position, other_nonlinearities,
)  # fmt: skip


@pytest.fixture(params=BODIES, ids=lambda body: body.__name__)
def model(request):
    """A model with random weights, biases and statistics, whose ReLUs and clips all matter."""
    _tf.keras.utils.set_random_seed(0)
    inputs = _tf.keras.Input((8, 6, 2), name="image")
    x = layers.GlobalAveragePooling2D(name="gap")(request.param(inputs))
    model = _tf.keras.Model(inputs, layers.Dense(3, name="readout")(x))
    rng = np.random.default_rng(1)
    for variable in model.weights:
        scale, shift = (0.5, 1.0) if "variance" in variable.name or "gamma" in variable.name else (0.4, 0.05)
        value = rng.normal(shift, scale, variable.shape)
        variable.assign(np.abs(value) + 0.3 if shift == 1.0 else value)
    return model


@pytest.fixture
def frames():
    return np.random.default_rng(2).normal(0.3, 1, (3, 8, 6, 2)).astype(np.float32)


def gradients(function, frames, label=1):
    """Logits of a function of images, and the gradient of one of them, by TensorFlow's own tape."""
    x = _tf.constant(frames)
    with _tf.GradientTape() as tape:
        tape.watch(x)
        logits = function(x)
        chosen = logits[:, label]
    return logits, tape.gradient(chosen, x)


def assert_close(got, expected, tolerance=1e-6):
    got, expected = np.asarray(got), np.asarray(expected)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("balanced", [False, True])
def test_it_computes_what_the_model_computes_and_its_gradient(model, frames, balanced):
    reduced = reduce_model(model)
    if balanced:
        reduced = balance_channels(reduced, frames).reduced
    replay = Replay(reduced)
    logits, gradient = gradients(lambda x: replay(x).logits, frames)
    expected_logits, expected_gradient = gradients(reduced.model, frames)
    assert_close(logits, expected_logits)
    assert_close(gradient, expected_gradient)
    # The source does not know of any of this.
    assert_close(logits, model(frames), tolerance=1e-5)
    assert_close(gradient, gradients(model, frames)[1], tolerance=1e-5)


def test_pre_activations_and_outputs_are_shown(model, frames):
    reduced = reduce_model(model)
    replay = Replay(reduced)
    replayed = replay(frames)
    assert list(replayed.pre) == list(replayed.outputs) == list(replay.max_values)
    for name, output in replayed.outputs.items():
        expected = _tf.keras.Model(reduced.model.inputs, reduced.output(name))(frames)
        assert_close(output, expected)
        clipped = np.clip(replayed.pre[name], 0, replay.max_values[name])
        np.testing.assert_array_equal(output, clipped)
        assert np.min(replayed.pre[name]) < 0
    features = _tf.keras.Model(reduced.model.inputs, reduced.model.get_layer("gap").input)(frames)
    assert_close(replayed.features, features)


def test_what_is_told_is_handed_on_and_the_gate_stays_that_of_the_pre_activation(model, frames):
    """Against the same model by hand: a tape cut at each rectified layer, the told output put in."""
    reduced = reduce_model(model)
    replay = Replay(reduced)
    plain = replay(frames)
    rng = np.random.default_rng(3)
    told = {name: rng.uniform(0, 1, value.shape).astype(np.float32) for name, value in plain.outputs.items()}
    replayed = replay(frames, told=told)
    for name, value in told.items():
        np.testing.assert_array_equal(replayed.outputs[name], value)
    _, gradient = gradients(lambda x: replay(x, told=told).logits, frames)
    # Each layer by itself is linear in what it is told: a gated chain of Jacobians, summed over paths in reverse.
    slopes = dict(zip(reduced.flat.call_names, reduced.flat.calls))
    upstream = {}
    x = _tf.constant(frames)
    values = {next(iter(reduced.flat.input_shapes)): x}
    names = list(slopes)
    tapes = []
    for name in names:
        call = slopes[name]
        inputs = [values[key] for key in call.inputs]
        with _tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            (given,) = call.args
            arguments = inputs if isinstance(given, (list, tuple)) else inputs[0]
            layer = replay.linear_layers[name]
            result = arguments if layer is None else layer(arguments)
        tapes.append((name, call, inputs, tape, result))
        values[call.outputs[0]] = _tf.constant(told[name]) if name in told else result
    assert_close(replayed.logits, np.reshape(values[reduced.flat.outputs[0]], (3, -1)))
    one = np.zeros((3, 3), np.float32)
    one[:, 1] = 1
    upstream[reduced.flat.outputs[0]] = _tf.constant(one)
    for name, call, inputs, tape, result in reversed(tapes):
        arriving = upstream.get(call.outputs[0])
        if arriving is None:
            continue
        if name in told:
            arriving = arriving * np.float32((result > 0) & (result < replay.max_values[name]))
        for key, part in zip(call.inputs, tape.gradient(result, inputs, arriving)):
            if part is not None:
                upstream[key] = upstream.get(key, 0) + part
    assert_close(gradient, upstream[next(iter(reduced.flat.input_shapes))], tolerance=1e-5)


def test_backward_rules_by_name(small_model, images):
    """Guided backpropagation [Springenberg et al. 2014, eq. 1] of one layer, by hand in NumPy for a linear readout."""
    replay = Replay(reduce_model(small_model))

    def guided(upstream, pre, output, max_value):
        return gate(_tf.nn.relu(upstream), pre, output, max_value)

    # A label against which some channels speak.
    label = int(replay.reduced.head.kernel.min(axis=0).argmin())
    seen = {}

    def spy(upstream, pre, output, max_value):
        seen.update(upstream=upstream, output=output, max_value=max_value)
        return upstream

    x = _tf.constant(images)
    with _tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        plain = replay(x)
        ruled = replay(x, rules={"conv1": guided})
        passed = replay(x, rules={"conv1": spy, "conv0": spy})
        chosen = ruled.logits[:, label], passed.logits[:, label]
    np.testing.assert_array_equal(plain.logits, ruled.logits)
    upstream = np.broadcast_to(replay.reduced.head.kernel[:, label] / 48, plain.pre["conv1"].shape)
    expected = np.where(plain.pre["conv1"] > 0, np.maximum(upstream, 0), 0)
    assert_close(tape.gradient(chosen[0], ruled.pre["conv1"]), expected)
    assert (upstream < 0).any()
    # A rule that passes everything makes a linear network of it: the kernels alone.
    got = tape.gradient(chosen[1], x)
    _, for_all = gradients(lambda x: replay(x, rules=lambda upstream, *_: upstream).logits, images, label=label)
    np.testing.assert_array_equal(got, for_all)
    back = _tf.constant(np.ascontiguousarray(upstream))
    for name in ("conv1", "conv0"):
        kernel = small_model.get_layer(name).kernel
        shape = (*back.shape[:-1], kernel.shape[2])
        back = _tf.nn.conv2d_transpose(back, kernel, shape, strides=1, padding="SAME")
    assert_close(got, back)
    assert np.isinf(seen["max_value"])
    np.testing.assert_array_equal(seen["output"], passed.outputs["conv0"])


def test_each_call_is_shown_to_whoever_watches(model, frames):
    replay, seen = Replay(reduce_model(model)), []
    replayed = replay(frames, watch=lambda *shown: seen.append(shown))
    flat = replay.reduced.flat
    assert tuple(name for name, *_ in seen) == flat.call_names
    values = {next(iter(flat.input_shapes)): frames}
    for call, (name, inputs, pre, output) in zip(flat.calls, seen):
        assert len(inputs) == len(call.inputs)
        for key, value in zip(call.inputs, inputs):
            np.testing.assert_array_equal(value, values[key])
        np.testing.assert_array_equal(pre, replayed.pre.get(name, output))
        np.testing.assert_array_equal(output, replayed.outputs.get(name, output))
        values[call.outputs[0]] = output
    np.testing.assert_array_equal(np.reshape(seen[-1][3], (3, -1)), replayed.logits)


def test_given_weights_take_the_place_of_the_models(small_model, images):
    reduced = reduce_model(small_model)
    kernel, bias = reduced.layer("conv1").get_weights()
    changed = Replay(reduced, {"conv1": [2 * kernel, 2 * bias], "readout": reduced.layer("readout").get_weights()})
    plain = Replay(reduced)(images)
    np.testing.assert_allclose(changed(images).features, 2 * np.asarray(plain.features), rtol=1e-5, atol=1e-6)
    # The model keeps its own.
    np.testing.assert_array_equal(reduced.layer("conv1").get_weights()[0], kernel)


class Amplified(layers.Layer):
    """Does more than its option `activation` says, and does not say that it is built."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.activation = _tf.nn.relu

    def build(self, shape):
        self.factor = self.add_weight("factor", (shape[-1],), initializer=_tf.keras.initializers.RandomUniform(1, 3))

    def call(self, inputs):
        return self.activation(self.factor * inputs) + 0.5 * inputs


@pytest.mark.parametrize("with_weights", [False, True])
def test_layers_of_ones_own_compute_what_they_compute(frames, with_weights):
    inputs = _tf.keras.Input((8, 6, 2))
    x = Amplified(name="own")(layers.Conv2D(4, 3, **RELU)(inputs))
    model = _tf.keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    with pytest.warns(ncam.exceptions.NonSpikingWarning, match="do not spike"):
        net = ncam.convert(model, calibrate_on=frames)
    assert "own" not in net.firing_rate_scales
    # As a TensorNode, with its own weights and not with others that were drawn when it was built again.
    assert net.verify(frames).logit_difference < 1e-6
    with ncam.Simulator(net.net, progress_bar=False) as sim:
        replayed = net.replay(sim if with_weights else None)(frames)
    assert len(replayed.pre) == 1
    assert_close(replayed.logits, model(frames), tolerance=1e-5)


def test_networks_of_other_layers_than_the_models_are_refused(frames):
    inputs = _tf.keras.Input((8, 6, 2))
    x = layers.MaxPooling2D()(layers.Conv2D(4, 3, **RELU)(inputs))
    model = _tf.keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    net = ncam.convert(model, max_to_avg_pool=True)
    with pytest.raises(UnsupportedModelError, match="max_to_avg_pool made another network of it than its layers say"):
        net.replay()


def test_half_precision_is_that_of_the_layer():
    inputs = _tf.keras.Input((8, 6, 2))
    x = layers.ReLU(name="full", dtype="float32")(layers.Conv2D(4, 3, dtype="mixed_float16")(inputs))
    x = layers.GlobalAveragePooling2D(dtype="float32")(x)
    replay = Replay(reduce_model(_tf.keras.Model(inputs, layers.Dense(3, dtype="float32")(x))))
    frames = np.random.default_rng(0).random((1, 8, 6, 2), dtype=np.float32)
    large = np.full(replay(frames).outputs["full"].shape, 1e5, np.float32)
    assert np.isfinite(replay(frames, told={"full": large}).logits).all()


def test_it_runs_in_a_function_of_any_number_of_images(small_model, images):
    replay = Replay(reduce_model(small_model))
    told = np.random.default_rng(0).random((5, 8, 6, 5), dtype=np.float32)
    specs = [_tf.TensorSpec((None, *array.shape[1:]), _tf.float32) for array in (images, told)]
    function = _tf.function(lambda x, y: replay(x, told={"conv1": y}).logits, input_signature=specs)
    assert_close(function(images, told), replay(images, told={"conv1": told}).logits)


def test_wrong_arguments(small_model, images):
    reduced = reduce_model(small_model)
    with pytest.raises(ParameterError, match=r"weights: 'conv7' is not .*expected one of \['conv0', .*got 'conv7'"):
        Replay(reduced, {"conv7": []})
    with pytest.raises(ParameterError, match=r"weights: 'conv0' has arrays of other shapes; expected \[\(3, 3, 2, 4\)"):
        Replay(reduced, {"conv0": [np.zeros((3, 3, 2, 5)), np.zeros(5)]})
    replay = Replay(reduced)
    with pytest.raises(ParameterError, match=r"told: 'gap' is not .*expected one of \['conv0', 'conv1'\], got 'gap'"):
        replay(images, told={"gap": np.zeros((5, 5))})
    with pytest.raises(ParameterError, match=r"rules: 'readout' is not one of the layer calls"):
        replay(images, rules={"readout": gate})
    with pytest.raises(ParameterError, match=r"told: 'conv1' puts out \(5, 8, 6, 5\); expected that shape, got \(5, 3"):
        replay(images, told={"conv1": np.zeros((5, 3))})
    with pytest.raises(ParameterError, match="told: 'conv1' is told what is no array of numbers"):
        replay(images, told={"conv1": [[1, 2], [3]]})
    with pytest.raises(ParameterError, match="rules: expected callables, got 3"):
        replay(images, rules={"conv1": 3})
    with pytest.raises(ParameterError, match=r"images: the model takes \(None, 8, 6, 2\); .*got \(5, 6, 8, 2\)"):
        replay(np.swapaxes(images, 1, 2))
