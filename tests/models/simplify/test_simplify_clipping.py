import numpy as np
import pytest

from nengo_cam.models.simplify import clipped_relu, max_value_of


def test_each_channel_is_clipped_at_its_own_value(tf):
    values = np.random.default_rng(0).normal(0, 3, (4, 5, 6, 3)).astype("float32")
    layer = clipped_relu()([0.5, 2, 4])
    expected = [tf.keras.layers.ReLU(clip)(values[..., k]) for k, clip in enumerate((0.5, 2, 4))]
    np.testing.assert_array_equal(layer(values), np.stack(expected, axis=-1))


def test_it_can_be_made_again_from_its_configuration():
    layer = clipped_relu()(np.array([0.5, 2]), name="clip")
    again = clipped_relu().from_config(layer.get_config())
    assert (again.name, again.max_value) == ("clip", (0.5, 2.0))


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda layers, nn: layers.ReLU(), np.inf),
        (lambda layers, nn: layers.ReLU(2.5), 2.5),
        (lambda layers, nn: layers.ReLU(max_value=0.4), 0.4),
        (lambda layers, nn: layers.ReLU(0.0), None),
        (lambda layers, nn: layers.ReLU(2.5, threshold=0.1), None),
        (lambda layers, nn: layers.ReLU(2.5, negative_slope=0.1), None),
        (lambda layers, nn: layers.Activation("relu6"), 6),
        (lambda layers, nn: layers.Activation("relu"), np.inf),
        (lambda layers, nn: layers.Conv2D(2, 1, activation=nn.relu6), 6),
        (lambda layers, nn: layers.Conv2D(2, 1, activation="sigmoid"), None),
        (lambda layers, nn: layers.MaxPooling2D(), None),
    ],
)
def test_where_a_layer_is_clipped(tf, make, expected):
    assert max_value_of(make(tf.keras.layers, tf.nn)) == expected
