import pathlib

import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.attribution.gradients import explain_gradient, upsample
from nengo_cam.exceptions import AttributionWarning, ParameterError, UnsupportedModelError
from nengo_cam.models.replay import Replay
from nengo_cam.models.simplify import reduce_model

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers

CAPTUM = pathlib.Path(__file__).parents[1] / "data" / "attribution" / "captum.npz"
SAME = {"padding": "same", "activation": "relu"}


@pytest.fixture(scope="module")
def captum():
    with np.load(CAPTUM) as file:
        return dict(file)


@pytest.fixture(scope="module")
def captum_model(captum):
    x = inputs = _tf.keras.Input((12, 8, 2))
    for i, channels in enumerate((4, 6, 5)):
        x = layers.Conv2D(channels, 3, name=f"conv{i}", **SAME)(x)
        x = layers.MaxPooling2D(2)(x) if i == 1 else x
    x = layers.Dense(3, name="readout")(layers.GlobalAveragePooling2D()(x))
    model = _tf.keras.Model(inputs, x)
    for name in ("conv0", "conv1", "conv2", "readout"):
        model.get_layer(name).set_weights([captum[f"kernel_{name}"], captum[f"bias_{name}"]])
    return model


def assert_close(got, expected, tolerance=1e-5):
    got, expected = np.asarray(got), np.asarray(expected)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def one_hot(labels, n_labels=3):
    return np.eye(n_labels, dtype=np.float32)[labels]


@pytest.mark.parametrize("method", ["saliency", "input_times_gradient", "guided_backprop", "deconvnet"])
def test_methods_of_the_input_are_captums(captum, captum_model, method):
    replay = Replay(reduce_model(captum_model))
    assert_close(replay(captum["images"]).logits, captum["logits"])
    got = explain_gradient(replay, captum["images"], {}, one_hot(captum["labels"]), method)
    assert_close(got, captum[method])
    per_image = ncam.attribution.PerImage(captum["labels"].tolist())
    kept = ncam.rate_attribute(captum_model, captum["images"], method, labels=per_image, channels="keep")
    assert_close(kept.attribution, captum[method])
    summed = ncam.rate_attribute(captum_model, captum["images"], method, labels=per_image)
    assert_close(summed.attribution, captum[method].sum(axis=-1))


@pytest.mark.parametrize("layer", ["conv0", "conv1", "conv2"])
def test_grad_cam_of_every_layer_is_captums(captum, captum_model, layer):
    per_image = ncam.attribution.PerImage(captum["labels"].tolist())
    maps = ncam.rate_attribute(captum_model, captum["images"], "grad_cam", layer=layer, labels=per_image)
    assert_close(maps.attribution, captum[f"grad_cam_{layer}"][..., 0])
    assert maps.attrs["layer"] == layer
    # Both signs, so that a ReLU at the end would be seen.
    assert maps.attribution.min() < 0 < maps.attribution.max()


def test_guided_grad_cam_is_captums(captum, captum_model):
    per_image = ncam.attribution.PerImage(captum["labels"].tolist())
    options = {"layer": "conv1", "labels": per_image, "channels": "keep"}
    maps = ncam.rate_attribute(captum_model, captum["images"], "guided_grad_cam", **options)
    assert_close(maps.attribution, captum["guided_grad_cam_conv1"])


@pytest.mark.parametrize(
    ("method", "weigh"),
    [("layer_cam", lambda gradient: np.maximum(gradient, 0)), ("hires_cam", lambda gradient: gradient)],
)
def test_other_cams_against_a_tape_of_keras(captum, captum_model, method, weigh):
    outputs = [captum_model.get_layer("conv1").output, captum_model.output]
    model = _tf.keras.Model(captum_model.inputs, outputs)
    with _tf.GradientTape() as tape:
        activity, logits = model(captum["images"])
        chosen = _tf.reduce_sum(logits * one_hot(captum["labels"]))
    expected = (weigh(tape.gradient(chosen, activity).numpy()) * activity.numpy()).sum(axis=-1)
    per_image = ncam.attribution.PerImage(captum["labels"].tolist())
    maps = ncam.rate_attribute(captum_model, captum["images"], method, layer="conv1", labels=per_image)
    assert_close(maps.attribution, expected)


def slow_gradient(kernels, told, target, rule):
    """Back through 3 x 3 convolutions with zeros around them and a GAP head, one weight after the other."""
    *hidden, readout = kernels
    n_rows, n_columns = told[-1].shape[:2]
    gradient = np.broadcast_to(readout[0] @ target / (n_rows * n_columns), told[-1].shape).astype(float)
    for (kernel, bias), received, output in zip(hidden[::-1], told[-2::-1], told[:0:-1]):
        padded = np.pad(received.astype(float), ((1, 1), (1, 1), (0, 0)))
        back = np.zeros_like(padded)
        for y in range(n_rows):
            for x in range(n_columns):
                current = np.tensordot(padded[y : y + 3, x : x + 3], kernel, axes=3) + bias
                passed = rule(gradient[y, x], current, output[y, x])
                back[y : y + 3, x : x + 3] += np.tensordot(kernel, passed, axes=(3, 0))
        gradient = back[1:-1, 1:-1]
    return gradient


RULES = {
    ("saliency", "current"): lambda gradient, current, output: gradient * (current > 0),
    ("saliency", "activity"): lambda gradient, current, output: gradient * (output > 0),
    ("guided_backprop", "current"): lambda gradient, current, output: np.maximum(gradient, 0) * (current > 0),
    ("guided_backprop", "activity"): lambda gradient, current, output: np.maximum(gradient, 0) * (output > 0),
}


@pytest.mark.parametrize(("method", "gate"), list(RULES))
def test_told_activity_is_explained_as_a_slow_loop_does(small_model, images, method, gate):
    """Activity that no ReLU would give: negative currents under activity, and the other way round."""
    rng = np.random.default_rng(0)
    told = {
        name: rng.normal(0.2, 1, (2, 8, 6, n)).clip(0).astype(np.float32) for name, n in (("conv0", 4), ("conv1", 5))
    }
    replay = Replay(reduce_model(small_model))
    target = np.array([[1, 0, 0], [0.5, -1, 0.5]], np.float32)
    got = explain_gradient(replay, images[:2], told, target, method, gate=gate)
    kernels = [small_model.get_layer(name).get_weights() for name in ("conv0", "conv1", "readout")]
    for i in range(2):
        activity = [images[i], told["conv0"][i], told["conv1"][i]]
        assert_close(got[i], slow_gradient(kernels, activity, target[i], RULES[method, gate]))


def test_maps_are_interpolated_between_the_centers_of_cells(make_model):
    """Against a loop over pixels; strides of 2 and 3."""
    x = inputs = _tf.keras.Input((12, 9, 1))
    x = layers.Conv2D(2, 3, strides=(2, 3), name="conv", **SAME)(x)
    reduced = reduce_model(_tf.keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x))))
    maps = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    # 'same' padding: with 12 rows the first window begins at row 0, with 9 columns too.
    rows, columns = 1 + 2 * np.arange(6), 1 + 3 * np.arange(3)
    got = upsample(reduced, "conv", maps)
    assert got.shape == (2, 12, 9)
    for y in range(12):
        for x in range(9):
            y_cell = min(max((y - rows[0]) / 2, 0), 5)
            x_cell = min(max((x - columns[0]) / 3, 0), 2)
            expected = np.zeros(2)
            for i in range(6):
                for j in range(3):
                    expected += maps[:, i, j] * max(0, 1 - abs(i - y_cell)) * max(0, 1 - abs(j - x_cell))
            np.testing.assert_allclose(got[:, y, x], expected, atol=1e-6)


def test_what_is_silent_has_no_part_and_is_no_nan(small_model, images):
    replay = Replay(reduce_model(small_model))
    # No current reaches the first layer, and nothing was put out.
    replay.linear_layers["conv0"].set_weights([np.zeros((3, 3, 2, 4)), np.full(4, -1.0)])
    told = {"conv0": np.zeros((5, 8, 6, 4)), "conv1": np.zeros((5, 8, 6, 5))}
    for method in ("saliency", "input_times_gradient", "guided_backprop", "guided_grad_cam", "layer_cam"):
        np.testing.assert_array_equal(explain_gradient(replay, images, told, np.ones((5, 3)), method), 0)


def test_a_deconvnet_says_that_it_sees_no_image(small_model, captum_model, images):
    with pytest.warns(
        AttributionWarning, match="'small' has no max pooling, so the map of a label is the same for all"
    ):
        maps = ncam.rate_attribute(small_model, images, "deconvnet", labels=[1])
    assert_close(maps.attribution, np.broadcast_to(maps.attribution[:1], maps.attribution.shape))
    # With max pooling there is no warning, which would be an error here, and images differ.
    other = ncam.rate_attribute(captum_model, np.random.default_rng(0).random((2, 12, 8, 2)), "deconvnet", labels=[1])
    assert np.abs(np.diff(other.attribution, axis=0)).max() > 0.1 * np.abs(other.attribution).max()


@pytest.mark.parametrize("layer", [layers.LeakyReLU(name="odd"), layers.Activation("tanh", name="odd")])
def test_other_nonlinearities_have_gradients_and_no_guided_ones(make_model, images, layer):
    x = inputs = _tf.keras.Input((8, 6, 2))
    x = layer(layers.Conv2D(3, 3)(layers.Conv2D(4, 3, **SAME)(x)))
    model = _tf.keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    maps = ncam.rate_attribute(model, images, "saliency", labels=[0], channels="keep")
    x = _tf.constant(images)
    with _tf.GradientTape() as tape:
        tape.watch(x)
        chosen = model(x)[:, 0]
    assert_close(maps.attribution[:, 0], tape.gradient(chosen, x))
    for method in ("guided_backprop", "deconvnet", "guided_grad_cam"):
        with pytest.raises(UnsupportedModelError, match=f"{method}: it is defined for ReLU only; .* got .* 'odd'"):
            ncam.rate_attribute(model, images, method)


def test_wrong_arguments(small_model, images):
    replay = Replay(reduce_model(small_model))
    target = np.ones((5, 3))
    with pytest.raises(ParameterError, match=r"method: expected one of \['saliency', .*got 'salience'"):
        explain_gradient(replay, images, {}, target, "salience")
    with pytest.raises(ParameterError, match=r"layer: expected one of \['conv0', 'conv1'\], .*got 'gap'"):
        explain_gradient(replay, images, {}, target, "grad_cam", layer="gap")
    with pytest.raises(ParameterError, match=r"gate: expected one of \['current', 'activity'\], got 'open'"):
        explain_gradient(replay, images, {}, target, "saliency", gate="open")
    with pytest.raises(ParameterError, match=r"layer: 'saliency' has no such choice; .*'grad_cam'.* got 'conv0'"):
        explain_gradient(replay, images, {}, target, "saliency", layer="conv0")
    with pytest.raises(ParameterError, match=r"gate: 'deconvnet' has no such choice"):
        ncam.rate_attribute(small_model, images, "deconvnet", gate="activity")
