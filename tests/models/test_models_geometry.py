import numpy as np
import pytest

from nengo_cam import find_head, rate_cam
from nengo_cam.models.geometry import Grid, cell_centers
from nengo_cam.models.graph import flatten
from nengo_cam.models.head import locate_head


def model_of(tf, *layers, size=(28, 26)):
    x = inputs = tf.keras.Input((*size, 1))
    for layer in layers:
        x = layer(x)
    x = tf.keras.layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(inputs, tf.keras.layers.Dense(2)(x))


def measured_centers(tf, model, axis):
    """Centers by another way: all weights 1, mark one pixel after the other and see which cells answer."""
    features = tf.keras.Model(model.input, model.layers[-3].output)
    for layer in features.layers:
        layer.set_weights([np.ones_like(w) if w.ndim > 1 else w for w in layer.get_weights()])
    size = model.input_shape[1:3]
    pixels = np.zeros((size[axis], *size, 1), np.float32)
    for i in range(size[axis]):
        pixels[(i, i) if axis == 0 else (i, slice(None), i)] = 1
    seen = features.predict(pixels, verbose=0).sum(-1).sum(2 - axis) > 0
    # First and last pixel that a cell answers to; where the edge of the image cuts the window, it says nothing.
    first, last = seen.argmax(0), size[axis] - 1 - seen[::-1].argmax(0)
    whole = (first > 0) & (last < size[axis] - 1)
    return np.where(whole, (first + last) / 2, np.nan)


def stacks(tf):
    layers = tf.keras.layers
    conv = layers.Conv2D
    return {
        "valid": [conv(1, 3), conv(1, 3), conv(1, 3)],
        "same": [conv(1, 3, padding="same"), conv(1, 5, padding="same")],
        "stride 2 same": [conv(1, 3, strides=2, padding="same"), conv(1, 3, strides=2, padding="same")],
        "stride 2 valid": [conv(1, 3, strides=2), conv(1, 3)],
        "dilated": [conv(1, 3, dilation_rate=2), conv(1, (3, 1), padding="same")],
        "pooling": [conv(1, 3, padding="same"), layers.AveragePooling2D(2), layers.MaxPooling2D(3, strides=2)],
        "pooling same": [layers.AveragePooling2D(3, strides=2, padding="same")],
        "depthwise": [layers.ZeroPadding2D(((0, 1), (2, 1))), layers.DepthwiseConv2D(3, strides=2)],
        "cropping": [conv(1, 3), layers.Cropping2D(((2, 1), (0, 3))), layers.ReLU()],
        "separable": [layers.SeparableConv2D(2, 3, strides=2, padding="same"), layers.BatchNormalization()],
    }


NAMES = [
    "valid", "same", "stride 2 same", "stride 2 valid", "dilated", "pooling", "pooling same", "depthwise", "cropping",
    "separable",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_centers_are_those_of_the_pixels_that_cells_answer_to(tf, name):
    model = model_of(tf, *stacks(tf)[name])
    head = find_head(model)
    assert head.exact_centers
    assert tuple(map(len, head.centers)) == head.map_shape
    for axis, centers in enumerate(head.centers):
        measured = measured_centers(tf, model, axis)
        inside = ~np.isnan(measured)
        assert inside.sum() >= 3
        np.testing.assert_allclose(centers[inside], measured[inside])


def test_upsampling_splits_cells(tf):
    head = find_head(model_of(tf, tf.keras.layers.AveragePooling2D(2), tf.keras.layers.UpSampling2D(2), size=(8, 8)))
    np.testing.assert_allclose(head.centers[0], np.arange(8))
    assert Grid(0.5, 2).refined(2) == Grid(0.0, 1.0)


def test_maps_with_one_and_three_axes(tf):
    """Against the 2-D layers, whose centers are measured above."""
    layers = tf.keras.layers
    x = inputs = tf.keras.Input((28, 26, 1))
    for layer in (layers.Conv2D(1, 3), layers.ZeroPadding2D(((1, 0), (2, 1))), layers.AveragePooling2D(2)):
        x = layer(x)
    model = tf.keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.UpSampling2D(2)(x))))
    rows, columns = find_head(model).centers

    x = inputs = tf.keras.Input((26, 1))
    for layer in (layers.Conv1D(1, 3), layers.ZeroPadding1D((2, 1)), layers.AveragePooling1D(2)):
        x = layer(x)
    head = find_head(
        tf.keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.UpSampling1D(2)(x))))
    )
    assert head.exact_centers
    assert head.dims == ("x",)
    np.testing.assert_array_equal(head.centers[0], columns)

    x = inputs = tf.keras.Input((9, 28, 26, 1))
    padding = ((0, 1), (1, 0), (2, 1))
    for layer in (layers.Conv3D(1, 3), layers.ZeroPadding3D(padding), layers.AveragePooling3D(2)):
        x = layer(x)
    head = find_head(
        tf.keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling3D()(layers.UpSampling3D(2)(x))))
    )
    assert head.exact_centers
    assert head.dims == ("z", "y", "x")
    np.testing.assert_array_equal(head.centers[1], rows)
    np.testing.assert_array_equal(head.centers[2], columns)
    np.testing.assert_array_equal(head.centers[0], [1, 2, 3, 4, 5, 6, 7, 8])


def test_branches_that_agree_are_joined_and_others_fall_back(tf):
    layers = tf.keras.layers
    inputs = tf.keras.Input((9, 9, 1))

    def centers(*branches):
        x = layers.GlobalAveragePooling2D()(layers.Add()(list(branches)))
        flat = flatten(tf.keras.Model(inputs, layers.Dense(2)(x)))
        return cell_centers(flat, locate_head(flat).features)

    same = centers(layers.Conv2D(1, 3, padding="same")(inputs), layers.Conv2D(1, 1)(inputs))
    assert same[1]
    np.testing.assert_allclose(same[0][0], np.arange(9))
    cropped = [layers.Cropping2D(((0, 2), (1, 1)))(inputs), layers.Cropping2D(1)(inputs)]
    (rows, _), exact = centers(*cropped)
    assert not exact
    np.testing.assert_allclose(rows, (np.arange(7) + 0.5) * 9 / 7 - 0.5)


def test_unknown_layers_fall_back_to_cells_that_divide_the_image(tf):
    model = model_of(tf, tf.keras.layers.Reshape((14, 13, 4)))
    result = rate_cam(model, np.ones((1, 28, 26, 1)))
    assert result.attrs["cell_centers"] == "image divided evenly"
    np.testing.assert_allclose(result.y, np.arange(14) * 2 + 0.5)


def test_the_peak_of_a_map_lies_on_the_dot(tf):
    """Without padding, a map that is stretched over the image would miss it."""
    model = model_of(tf, *[tf.keras.layers.Conv2D(1, 3) for _ in range(5)])
    for layer in model.layers:
        layer.set_weights([np.ones_like(w) if w.ndim > 1 else w for w in layer.get_weights()])
    images = np.zeros((2, 28, 26, 1))
    images[0, 8, 10] = images[1, 19, 15] = 1
    result = rate_cam(model, images, labels=0).squeeze("label")
    assert result.attrs["cell_centers"] == "receptive fields"
    for i, (y, x) in enumerate([(8, 10), (19, 15)]):
        peak = result.cam.isel(image=i).argmax(("y", "x"))
        assert (float(result.y[peak["y"]]), float(result.x[peak["x"]])) == (y, x)
