"""Numbers that are too large: right, or an error, on every simulator and with every kind of neuron."""

import nengo
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.exceptions import ImageError, SimulatorError
from nengo_cam.measurement.decoding import whole_counts

# Of neurons that rectify their input; here it is the same at every step.
pytestmark = pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.RectifiedInputWarning")

nengo_dl = ncam.compat.import_nengo_dl()

SIMULATORS = [ncam.Simulator, nengo_dl.Simulator, nengo.Simulator]
NEURONS = [
    ncam.IntegrateAndFire(),
    ncam.SignedIntegrateAndFire(),
    nengo.SpikingRectifiedLinear(),
    nengo.StochasticSpiking(nengo.RectifiedLinear()),
    nengo.RegularSpiking(nengo.RectifiedLinear()),
]
#: Spikes of a step as a 64-bit integer overflow beyond 9e18.
HUGE = 1e30


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).random((1, 4, 4, 1), dtype=np.float32)


@pytest.fixture(scope="module")
def model(tf):
    """Positive weights, so that activity grows with the input, layer after layer."""
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            tf.keras.Input((4, 4, 1)),
            layers.Conv2D(3, 2, activation="relu", name="first"),
            layers.Conv2D(2, 2, activation="relu", name="second"),
            layers.GlobalAveragePooling2D(name="gap"),
            layers.Dense(2, name="readout"),
        ]
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, weights.shape) for weights in model.get_weights()])
    return model


def by_hand(model, image):
    """Maps (label, y, x) in double precision, position after position."""
    x = image[0].astype(float)
    for layer in ("first", "second"):
        kernel, bias = (weights.astype(float) for weights in model.get_layer(layer).get_weights())
        n = len(x) - 1
        x = np.array([[np.tensordot(x[i : i + 2, j : j + 2], kernel, 3) + bias for j in range(n)] for i in range(n)])
    return np.moveaxis(np.maximum(x, 0) @ model.get_layer("readout").get_weights()[0], -1, 0)


@pytest.mark.parametrize("simulator", SIMULATORS, ids=lambda simulator: simulator.__module__.split(".")[0])
@pytest.mark.parametrize("neurons", NEURONS, ids=lambda neurons: type(neurons).__name__)
def test_maps_of_huge_images_are_those_of_the_cnn(model, image, neurons, simulator):
    net = ncam.convert(model, neurons=neurons)
    options = {"n_steps": 3, "simulator": simulator, "seed": 0, "progress_bar": False}
    spiking = ncam.spiking_cam(net, HUGE * image, **options)
    expected = np.broadcast_to(by_hand(model, HUGE * image), spiking.cam.shape[1:])
    np.testing.assert_allclose(spiking.cam[0], expected, rtol=1e-5)
    with pytest.raises(SimulatorError, match="too many to be counted; expected fewer than 9e"):
        ncam.spiking_cam(net, HUGE * image, count_spikes=True, **options)
    with pytest.raises(SimulatorError, match="too many to be counted"):
        ncam.measure_cost(net, HUGE * image, **options)


@pytest.mark.parametrize("simulator", SIMULATORS, ids=lambda simulator: simulator.__module__.split(".")[0])
@pytest.mark.parametrize("neurons", NEURONS[:3], ids=lambda neurons: type(neurons).__name__)
def test_counts_that_do_not_fit_into_32_bits(model, image, neurons, simulator):
    net, images = ncam.convert(model, neurons=neurons), np.float32(1e14) * image
    result = ncam.spiking_cam(
        net, images, n_steps=2, simulator=simulator, seed=0, progress_bar=False, count_spikes=True
    )
    kernel = model.get_layer("first").get_weights()[0].astype(float)
    x = images[0].astype(float)
    total = sum(np.tensordot(x[i : i + 2, j : j + 2], kernel, 3) for i in range(3) for j in range(3)).sum()
    # A spike of each neuron is a spike of each step, times 1 ms.
    np.testing.assert_allclose(result.spike_count.isel(layer=0), 0.001 * total, rtol=1e-6)
    assert int(result.spike_count.min()) > 2**31


@pytest.mark.parametrize("simulator", [ncam.Simulator, nengo.Simulator], ids=["nengo_cam", "nengo"])
def test_what_cannot_be_drawn_is_refused(model, image, simulator):
    net = ncam.convert(model, neurons=nengo.PoissonSpiking(nengo.RectifiedLinear()))
    with pytest.raises(SimulatorError, match="beyond the range of numbers"):
        ncam.spiking_cam(net, HUGE * image, n_steps=3, simulator=simulator, seed=0, progress_bar=False)


@pytest.mark.parametrize("simulator", SIMULATORS[:2], ids=["nengo_cam", "nengo_dl"])
@pytest.mark.parametrize("neurons", NEURONS[:3], ids=lambda neurons: type(neurons).__name__)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_activity_beyond_single_precision_is_refused(model, image, neurons, simulator):
    net = ncam.convert(model, neurons=neurons, scale_firing_rates=1000)
    with pytest.raises(SimulatorError, match=r"images 0 to 0 is beyond the range of numbers; .*Scale the images"):
        ncam.spiking_cam(net, 3e38 * image, n_steps=3, simulator=simulator, seed=0, progress_bar=False)


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_a_cnn_beyond_single_precision_is_refused(model, image):
    with pytest.raises(ImageError, match=r"the CNN's activity for them is beyond the range of numbers"):
        ncam.rate_cam(model, 3e38 * image)


def test_a_clipped_neuron_stays_at_its_clip(tf, image):
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            tf.keras.Input((4, 4, 1)),
            layers.Conv2D(2, 1),
            layers.ReLU(6.0),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, name="readout", kernel_initializer="ones"),
        ]
    )
    model.layers[0].set_weights([np.ones((1, 1, 1, 2)), np.zeros(2)])
    for neurons in (ncam.IntegrateAndFire(), ncam.SignedIntegrateAndFire()):
        net = ncam.convert(model, neurons=neurons, scale_firing_rates=100)
        for simulator in SIMULATORS:
            result = ncam.spiking_cam(net, HUGE * image, n_steps=50, simulator=simulator, seed=0, progress_bar=False)
            np.testing.assert_allclose(result.cam.mean("time"), 12, rtol=1e-4)


@pytest.mark.parametrize("values", [[2.0**53], [-1e19], [np.nan], [np.inf], [1.0, 1e300]])
def test_no_whole_number_of_what_is_none(values):
    with pytest.raises(SimulatorError, match="too many to be counted"):
        whole_counts(values)


def test_whole_numbers():
    np.testing.assert_array_equal(whole_counts([0.9999, 2.0001, 2.0**53 - 1]), [1, 2, 2**53 - 1])
