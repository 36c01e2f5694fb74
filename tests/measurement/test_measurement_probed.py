"""Arrays that users probed themselves: the Dataset of them, and what is said where they are laid out otherwise."""

import dataclasses
import pathlib
import re

import nengo
import nengo_dl
import numpy as np
import pytest
import xarray as xr
from scipy import special

import nengo_cam as ncam
from nengo_cam.exceptions import (
    LabelError,
    LayoutError,
    ParameterError,
    ResultError,
    ResultSizeError,
    SilentFeaturesWarning,
)

DT, N_STEPS = 0.001, 20
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "arrays.md"
#: What `spiking_cam` knows of a run, and arrays do not tell.
UNTOLD = {"simulator", "seed", "neurons", "firing_rate_scales", "channels", "chosen"}


# -- The same as spiking_cam


@pytest.fixture(scope="module", params=[1, 2, 3], ids=["1-D", "2-D", "3-D"])
def model_and_images(request, tf, make_model):
    """A model whose map is smaller than its image, along each axis by another factor."""
    n = request.param
    shape = (*(9, 6, 4)[:n], 2)
    layers, by_axes = tf.keras.layers, f"{n}D"
    tf.keras.utils.set_random_seed(n)
    model = tf.keras.Sequential(
        [
            tf.keras.Input(shape),
            getattr(layers, f"Conv{by_axes}")(4, 3, padding="same", activation="relu", name="low"),
            getattr(layers, f"Conv{by_axes}")(5, 3, strides=(3, 2, 1)[:n], padding="same", activation="relu"),
            getattr(layers, f"GlobalAveragePooling{by_axes}")(),
            layers.Dense(3, bias_initializer="random_normal"),
        ]
    )
    return model, np.random.default_rng(n).random((3, *shape), dtype=np.float32)


def probe(net, images, simulator):
    """Run a network by hand, and return what its probes and its readout hold."""
    with simulator(net.net, minibatch_size=len(images), progress_bar=False, seed=0) as sim:
        flat = np.repeat(images.reshape(len(images), 1, -1), N_STEPS, axis=1)
        sim.run_steps(N_STEPS, data={net.input: flat})
        return (sim.data[net.features], sim.data[net.logits], *net.readout_parameters(sim))


@pytest.mark.parametrize("synapse", [None, 0.005])
@pytest.mark.parametrize("simulator", [ncam.Simulator, nengo_dl.Simulator])
def test_same_dataset_as_that_of_a_run(model_and_images, simulator, synapse):
    model, images = model_and_images
    net = ncam.convert(model, neurons=ncam.IntegrateAndFire(), calibrate_on=images, synapse=synapse)
    options = {"n_steps": N_STEPS, "seed": 0, "progress_bar": False, "check_answers": False, "keep_features": True}
    expected = ncam.spiking_cam(net, images, simulator=simulator, **options)
    features, logits, kernel, bias = probe(net, images, simulator)
    head = dataclasses.replace(net.head, kernel=kernel, bias=bias)
    found = ncam.cam_dataset(features, head, logits=logits, synapse=synapse, spike_kind="unit", keep_features=True)
    for name in ("cam", "logits", "bias"):
        assert found[name].dims == expected[name].dims
        assert found[name].dtype == expected[name].dtype
        assert found[name].attrs == expected[name].attrs
        assert np.abs(found[name] - expected[name]).max() <= 1e-6 * np.abs(expected[name]).max()
    assert found.features.dims == expected.features.dims
    # Balanced channels: what is probed is in other units than what is told to users.
    shaped = features.reshape(*features.shape[:2], *head.map_shape, -1)
    assert np.array_equal(found.features.transpose("image", "time", ..., "channel"), shaped)
    assert found.coords.keys() == expected.coords.keys()
    for name, coordinate in expected.coords.items():
        assert coordinate.identical(found.coords[name])
    assert found.attrs == {
        "logits_from": "probe", **{name: value for name, value in expected.attrs.items() if name not in UNTOLD}
    }  # fmt: skip

    # Without the model: the weights as the simulator has them.
    size = {"map_shape": head.map_shape, "input_shape": head.input_shape}
    bare = ncam.cam_dataset(features, kernel.T, logits=logits, bias=bias, synapse=synapse, spike_kind="unit", **size)
    assert bare.cam.equals(found.cam.assign_coords({dim: bare[dim] for dim in head.dims}))
    assert bare.attrs["input_shape"] == list(head.input_shape)
    assert found.attrs.keys() - bare.attrs.keys() == {"head", "model"}
    for pixels, dim in zip(head.input_shape, head.dims):
        step = pixels / bare.sizes[dim]
        assert bare[dim].values == pytest.approx([(i + 0.5) * step - 0.5 for i in range(bare.sizes[dim])])
        assert bare[dim].attrs == found[dim].attrs


def test_data_of_the_reference_simulator_as_it_comes(small_model, images):
    """One image, no axis for it, double precision."""
    net = ncam.convert(small_model, neurons=ncam.IntegrateAndFire(), calibrate_on=images)
    options = {"n_steps": N_STEPS, "seed": 0, "progress_bar": False, "check_answers": False}
    expected = ncam.spiking_cam(net, images[:1], simulator=nengo.Simulator, **options)
    net.input.output = images[0].ravel()
    with nengo.Simulator(net.net, seed=0, progress_bar=False) as sim:
        sim.run_steps(N_STEPS)
        kernel, bias = net.readout_parameters(sim)
        features, logits = sim.data[net.features], sim.data[net.logits]
    assert features.ndim == 2
    head = dataclasses.replace(net.head, kernel=kernel, bias=bias)
    found = ncam.cam_dataset(features, head, logits=logits)
    assert found.cam.dtype == expected.cam.dtype == np.float64
    xr.testing.assert_allclose(found.cam, expected.cam, rtol=1e-9)
    assert found.logits.equals(expected.logits)


@pytest.fixture(scope="module")
def forum(tf, make_model, images):
    """Data of probes in a converter of one's own: features with and without the synapse, logits, and their model."""
    model = make_model(activation=None)
    converter = nengo_dl.Converter(
        model, swap_activations={tf.keras.activations.relu: nengo.SpikingRectifiedLinear()},
        scale_firing_rates=200, synapse=0.005,
    )  # fmt: skip
    neurons = converter.layers[model.get_layer("conv1").output]
    with converter.net:
        through, raw = nengo.Probe(neurons, synapse=0.005), nengo.Probe(neurons)
    answer = converter.outputs[model.output]
    with nengo_dl.Simulator(converter.net, minibatch_size=5, progress_bar=False, seed=0) as sim:
        flat = np.repeat(images.reshape(5, 1, -1), 40, axis=1)
        sim.run_steps(40, data={converter.inputs[model.input]: flat})
        return model, {name: sim.data[p] for name, p in (("through", through), ("raw", raw), ("logits", answer))}


def test_converter_of_ones_own(forum):
    model, data = forum
    found = ncam.cam_dataset(data["through"], ncam.find_head(model), logits=data["logits"], synapse=0.005)
    shaped = data["through"].reshape(5, 40, 8, 6, 5).astype(float)
    expected = np.einsum("ntyxk,kl->ntlyx", shaped, model.get_layer("readout").get_weights()[0])
    assert np.abs(found.cam - expected).max() <= 1e-6 * np.abs(expected).max()


def test_probe_without_the_synapse_of_the_pooling_is_found(forum):
    model, data = forum
    with pytest.raises(LayoutError, match=r"the logits passed a synapse of 0\.005 s \(Lowpass\) and the features did"):
        ncam.cam_dataset(data["raw"], ncam.find_head(model), logits=data["logits"])


# -- Wrong layouts


@dataclasses.dataclass
class Arrays:
    """What a user has, right as it is; the numbers are those of a slow loop in NumPy."""

    features: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray
    logits: np.ndarray
    options: dict = dataclasses.field(default_factory=dict)

    def dataset(self, **options):
        given = {"logits": self.logits, "bias": self.bias, **self.options, **options}
        return ncam.cam_dataset(self.features, self.kernel, **given)


def arrays(n_images=3, n_steps=12, map_shape=(4, 6), n_channels=5, n_labels=3):
    rng = np.random.default_rng(n_channels)
    features = rng.poisson(0.7, (n_images, n_steps, *map_shape, n_channels)) * 0.25
    kernel, bias = rng.normal(size=(n_channels, n_labels)), rng.uniform(0.5, 1.5, n_labels)
    logits = np.empty((n_images, n_steps, n_labels))
    for i, step, label in np.ndindex(*logits.shape):
        logits[i, step, label] = (features[i, step] * kernel[:, label]).sum() / np.prod(map_shape) + bias[label]
    return Arrays(features, kernel, bias, logits, {"map_shape": map_shape})


def lowpass(values, tau):
    return np.stack([nengo.Lowpass(tau).filt(image, dt=DT, axis=0, y0=0) for image in values])


# Each case makes a mistake. By completeness: shapes fit.


def channels_first(a):
    a.features = np.moveaxis(a.features, -1, 2).reshape(3, 12, -1)


def channels_in_the_middle(a):
    a.features = np.moveaxis(a.features, -1, 3).reshape(3, 12, -1)


def kernel_transposed(a):
    a.kernel = a.kernel.T


def time_first(a):
    a.features = a.features.swapaxes(0, 1)


def not_rectified(a):
    a.features = a.features - 3 * (a.features == 0)


def no_bias(a):
    a.bias = None


def other_bias(a):
    a.bias = a.bias + np.array([0, 1, 0])


def logits_without_bias(a):
    a.logits = a.logits - a.bias


def scaled(a):
    a.features = a.features / 200


def per_step(a):
    a.features = a.features * DT


def summed(a):
    a.logits = (a.logits - a.bias) * 24 + a.bias


def late_logits(a):
    a.features, a.logits = a.features[:, 1:], a.logits[:, :-1]


def late_features(a):
    a.features, a.logits = a.features[:, :-2], a.logits[:, 2:]


def no_synapse(a):
    a.logits = lowpass(a.logits - a.bias, 0.005) + a.bias


def no_synapse_a_step_later(a):
    a.logits = np.pad(lowpass(a.logits - a.bias, 0.005), ((0, 0), (1, 0), (0, 0)))[:, :-1] + a.bias


def synapse_of_the_logits(a):
    a.logits = lowpass(a.logits, 0.01)


def synapse_too_much(a):
    a.features = lowpass(a.features.reshape(3, 12, -1), 0.005)


def synapse_that_is_said(a):
    alpha = nengo.Alpha(0.003)
    a.logits = np.stack([alpha.filt(image, dt=DT, axis=0, y0=0) for image in a.logits - a.bias]) + a.bias
    a.options["synapse"] = alpha


def averaged_logits(a):
    a.logits = np.cumsum(a.logits, axis=1) / np.arange(1, 13)[:, None]


def averaged_features(a):
    a.features = np.cumsum(a.features, axis=1) / np.arange(1, 13)[:, None, None, None]


def behind_softmax(a):
    a.logits = special.softmax(a.logits, axis=-1)


def behind_sigmoid(a):
    a.logits = special.expit(a.logits)


def two_mistakes(a):
    channels_first(a)
    no_bias(a)


def other_run(a):
    a.logits = a.logits[:, ::-1] ** 2


# By shape, whether logits are given or not.


def spelled_out_channels_first(a):
    a.features = np.moveaxis(a.features, -1, 2)


def channels_first_without_a_map(a):
    a.features, a.options, a.logits = np.moveaxis(a.features, -1, 2), {}, None


def rows_for_columns(a):
    a.features = a.features.swapaxes(2, 3)


def spelled_out_in_the_middle(a):
    a.features = np.moveaxis(a.features, -1, 3)


def flat_without_a_map(a):
    a.features, a.options = a.features.reshape(3, 12, -1), {}


def flat_square_without_a_map(a):
    a.features, a.options = a.features[:, :, :, :4].reshape(3, 12, -1), {}


def pooled(a):
    a.features = a.features.mean(axis=(2, 3))


def pooled_without_a_map(a):
    a.features, a.options = a.features.mean(axis=(2, 3)), {}


def logits_as_features(a):
    a.features = a.logits


def smaller_map(a):
    a.features = a.features[:, :, :3].reshape(3, 12, -1)


def smaller_map_spelled_out(a):
    a.features = a.features[:, :, :3]


def other_layer(a):
    a.features = np.repeat(a.features, 2, axis=-1).reshape(3, 12, -1)


def other_layer_spelled_out(a):
    a.features = np.repeat(a.features, 2, axis=-1)


def other_layer_without_a_map(a):
    a.features, a.options = np.repeat(a.features, 2, axis=-1), {}


def some_neurons(a):
    a.features = a.features.reshape(3, 12, -1)[..., :-1]


def some_neurons_without_a_map(a):
    some_neurons(a)
    a.options = {}


def one_step(a):
    a.features = a.features[0, -1]


def too_many_axes(a):
    a.features = a.features[:, None]


def one_image_without_a_map(a):
    a.features, a.logits, a.options = a.features[0], None, {}


def one_still_image(a):
    a.features, a.logits = a.features[0, 0], None
    a.options["dt"] = None


def time_without_dt(a):
    a.options["dt"] = None


def logits_with_time_first(a):
    a.logits = a.logits.swapaxes(0, 1)


def logits_at_the_end(a):
    a.logits = a.logits[:, -1]


def logits_of_fewer_steps(a):
    a.logits = a.logits[:, ::2]


def logits_of_more_labels(a):
    a.logits = np.repeat(a.logits, 3, axis=-1)


def kernel_of_a_convolution(a):
    a.kernel = a.kernel[None, None]


def kernel_as_a_vector(a):
    a.kernel = a.kernel[:, 0]


def bias_of_more_labels(a):
    a.bias, a.logits = np.ones(7), None


SQUARE, AS_MANY_STEPS = {"n_labels": 5}, {"n_images": 12}
BY_COMPLETENESS = [
    (channels_first, {}, "channels first", r"are channels first, \(5, 4, 6\)\. Move the channels to the end: np\.moveax"
     r"is\(features\.reshape\(3, 12, 5, 4, 6\), 2, -1\)\."),
    (channels_in_the_middle, {}, "channels in the middle", r"are channels in the middle, \(4, 5, 6\)\. .*, 6\), 3,"),
    (kernel_transposed, SQUARE, "transposed kernel", r"the kernel is transposed\. Pass kernel\.T"),
    (time_first, AS_MANY_STEPS, "time first", r"time comes before the images\. Pass features\.swapaxes\(0, 1\)"),
    (not_rectified, {}, "not rectified", "those before the ReLU. Probe the output of the neurons"),
    (no_bias, {}, "no bias", r"a bias is added\. Pass that of the run, which is about bias=\[\d\.\d+, "),
    (other_bias, {}, "another bias", r"the bias is another one\. Pass that of the run"),
    (logits_without_bias, {}, "no bias in the logits", "without the bias. Probe behind the bias, or pass bias=0"),
    (scaled, {}, "another scale", r"all features are 200 times as large .*\. Multiply the features by 200"),
    (per_step, {}, "another scale", r"1000 times as large \(spikes are counted per step, and were expected in Hz\)"),
    (summed, {}, "sum instead of mean", r"added up over the 24 cells, not averaged\. Pass the kernel times 24"),
    (late_logits, {}, "shifted in time", r"the logits are 1 step late\. Leave out the first 1 step of the logits"),
    (late_features, {}, "shifted in time", "the features are 2 steps late. Leave out the first 2 steps of the feat"),
    (no_synapse, {}, "without the synapse", r"the logits passed a synapse of 0\.005 s \(Lowpass\) and the features"),
    (no_synapse_a_step_later, {}, "without the synapse", r"the logits passed a synapse of 0\.005 s"),
    (synapse_of_the_logits, {}, "without the synapse", r"the logits passed a synapse of 0\.01 s"),
    (synapse_that_is_said, {}, "without the synapse", r"passed the synapse Alpha\(tau=0\.003\) and the features did"),
    (synapse_too_much, {}, "synapse too much", r"the features passed a synapse of 0\.005 s .* and the logits did not"),
    (averaged_logits, {}, "averaged over time", "the logits are running means. Pass the logits of each step"),
    (averaged_features, {}, "averaged over time", "the features are running means. Pass the features of each step"),
    (behind_softmax, {}, "probabilities", r"behind a softmax\. Probe the readout before its softmax"),
    (behind_sigmoid, {}, "probabilities", r"behind a sigmoid\. Probe the readout before its sigmoid"),
    (two_mistakes, {}, "channels first, no bias", r"are channels first, .*, and a bias is added\. Move .* about bias="),
    (other_run, {}, "unknown", "No other reading fits either. Probe what is pooled, the logits and the weights"),
]  # fmt: skip
BY_SHAPE = [
    (spelled_out_channels_first, "channels first", r"channels come first; .*np\.moveaxis\(features, 2, -1\)"),
    (channels_first_without_a_map, "channels first", r"are not last; .* np\.moveaxis\(features, 2, -1\)"),
    (spelled_out_in_the_middle, "channels in the middle", r"another order; .*features\.transpose\(0, 1, 2, 4, 3\)"),
    (rows_for_columns, "rows and columns swapped", r"expected \(N, T, 120\) or \(N, T, 4, 6, 5\), which is Y, X and ch"
     r"annels, or without N, got \(3, 12, 6, 4, 5\)\. Swap them: features\.transpose\(0, 1, 3, 2, 4\)"),
    (flat_without_a_map, "flat", "120 values are 24 positions of 5 channels, got None. Pass map_shape of 24 positions"),
    (flat_square_without_a_map, "flat", r"16 positions of 5 channels, got None\. Pass map_shape such as \(4, 4\)"),
    (pooled, "pooled", "they are pooled already; .*Probe what goes into the pooling"),
    (pooled_without_a_map, "pooled", r"without axes of a map; expected \(N, T, Y, X, 5\), got \(3, 12, 5\)"),
    (logits_as_features, "logits", "they are 3 logits, by their number; .*Probe what goes into the pooling"),
    (smaller_map, "another map_shape", "90 values are 18 positions of 5 channels, and the map has 24;"),
    (smaller_map_spelled_out, "another map_shape", r"the map is \(3, 6\); .* of a map of 18 positions"),
    (other_layer, "another map_shape", "240 values are 48 positions of 5 channels, and the map has 24"),
    (other_layer_spelled_out, "another number of channels", "there are 10 channels, and the readout takes 5;"),
    (other_layer_without_a_map, "another number of channels", "no axis of 5 channels; .*Pass the kernel of the"),
    (some_neurons, "number of elements", "119 values are not positions of 5 channels"),
    (some_neurons_without_a_map, "number of elements", "119 values are not positions of 5 channels"),
    (one_step, "no time", "no axis of time; .*Probe every step, or pass dt=None"),
    (too_many_axes, "number of axes", r"the axes do not fit; .*got \(3, 1, 12, 4, 6, 5\)\. Pass sim\.data\[probe\]"),
    (one_image_without_a_map, "ambiguous", r"is not known; expected \(N, T, Y, X, 5\), got \(12, 4, 6, 5\)\. Pass map"),
    (one_still_image, "no images", r"there is no axis of images; .*Pass features\[None\]"),
    (time_without_dt, "time", "there is an axis of time, and dt is None; .*Pass dt"),
    (logits_with_time_first, "time first", r"the other way round .*expected shape \(3, 12, 3\), got \(12, 3, 3\)"),
    (logits_at_the_end, "logits", r"no axis of time; expected shape \(3, 12, 3\), got \(3, 3\)\. Probe the logits at"),
    (logits_of_fewer_steps, "logits", "more or fewer steps .* with the same sample_every"),
    (logits_of_more_labels, "logits", r"the readout has 3 labels; expected shape \(3, 12, 3\), got \(3, 12, 9\)"),
    (kernel_of_a_convolution, "kernel", r"got shape \(1, 1, 5, 3\)\. Drop the axes .*kernel\.reshape\(5, 3\)"),
    (kernel_as_a_vector, "kernel", r"not a matrix; .* got shape \(5,\)\. Pass sim\.data\[connection\]\.weights"),
    (bias_of_more_labels, "bias", r"expected shape \(3,\), got \(7,\)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mistake", "options", "layout", "message"), [pytest.param(*case, id=case[0].__name__) for case in BY_COMPLETENESS]
)
def test_completeness_names_the_mistake(mistake, options, layout, message):
    given = arrays(**options)
    given.dataset()
    mistake(given)
    with pytest.raises(LayoutError, match=f"do not give these logits; .*{message}") as caught:
        given.dataset()
    assert caught.value.layout == layout


@pytest.mark.parametrize(
    ("mistake", "layout", "message"), [pytest.param(*case, id=case[0].__name__) for case in BY_SHAPE]
)
def test_shapes_name_the_mistake(mistake, layout, message):
    given = arrays()
    given.dataset()
    mistake(given)
    with pytest.raises(LayoutError, match=message) as caught:
        given.dataset()
    assert caught.value.layout == layout


def test_the_page_has_every_case():
    cases = {case[2] for case in BY_COMPLETENESS} | {case[1] for case in BY_SHAPE} | {"another input_shape"}
    table = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(table) == sorted({part for case in cases for part in case.split(", ")})


def test_the_bias_that_is_missing_is_named():
    given = arrays()
    with pytest.raises(LayoutError, match="about bias=") as caught:
        given.dataset(bias=None)
    found = re.search(r"bias=\[(.*)\]", str(caught.value))[1]
    assert [float(number) for number in found.split(", ")] == pytest.approx(given.bias, abs=1e-4)


@pytest.mark.parametrize("map_shape", [(6, 4), (24,), (2, 3, 4)])
def test_another_map_of_as_many_cells_cannot_be_seen(map_shape):
    """As the page says: the mean over positions is the same, and only the eye finds it."""
    given = arrays()
    right, wrong = given.dataset(), None
    given.features = given.features.reshape(3, 12, -1)
    wrong = given.dataset(map_shape=map_shape)
    assert wrong.cam.shape[3:] == map_shape
    assert np.array_equal(wrong.cam.values.ravel(), right.cam.values.ravel())


@pytest.mark.parametrize("still", ["steps", "images"])
def test_what_stands_still_proves_no_constant(still):
    """Where features are the same at all times, or there is one, any logits lie a constant above."""
    given = arrays()
    if still == "steps":
        given.features, given.logits = given.features[:1, [0] * 12], given.logits[:1, [0] * 12]
    else:
        given.features, given.logits = given.features[:1, :1], given.logits[:1, :1]
    given.dataset()
    with pytest.raises(LayoutError, match="No other reading fits either"):
        given.dataset(bias=given.bias + np.array([1, 0, -1]))


# -- Arrays and options


def test_dataset_against_a_slow_loop():
    given = arrays()
    found = given.dataset(keep_features=True, dt=0.002, labels=[2, 0])
    for i, step, label, y, x in np.ndindex(3, 12, 2, 4, 6):
        expected = sum(given.kernel[k, (2, 0)[label]] * given.features[i, step, y, x, k] for k in range(5))
        assert found.cam.values[i, step, label, y, x] == pytest.approx(expected)
    assert np.array_equal(found.features, np.moveaxis(given.features, -1, 2))
    assert np.array_equal(found.logits, given.logits[..., [2, 0]])
    assert found.bias.values == pytest.approx(given.bias[[2, 0]])
    assert found.label.values.tolist() == [2, 0]
    assert found.time.values == pytest.approx(0.002 * np.arange(1, 13))
    assert ncam.completeness_error(found) < 1e-12
    told = {"n_labels": 3, "logits_from": "probe", "dt": 0.002, "readout": "mean", "n_steps": 12, "synapse": "None"}
    assert told.items() <= found.attrs.items()
    assert found.attrs.keys() - told.keys() == set(ncam.compat.package_versions())
    # No image is known, so a cell is a unit of its own.
    assert found.y.attrs["units"] == "cell"
    assert found.y.values.tolist() == [0, 1, 2, 3]


def test_logits_follow_from_the_maps_if_none_are_given():
    given = arrays()
    found = given.dataset(logits=None)
    assert found.logits.values == pytest.approx(given.logits)
    assert found.attrs["logits_from"] == "maps"
    assert given.dataset(logits=None, bias=2.0).logits.values == pytest.approx(given.logits - given.bias + 2)
    assert given.dataset(logits=None, bias=None).bias.values.tolist() == [0, 0, 0]


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_layout_that_is_allowed(flat, one, transposed):
    given = arrays()
    expected = given.dataset()
    if flat:
        given.features = given.features.reshape(3, 12, -1)
    if one:
        expected, given.features, given.logits = expected.isel(image=[0]), given.features[0], given.logits[0]
    if transposed:
        given.kernel = given.kernel.T
    assert given.dataset().identical(expected)
    if not flat:
        # Logits tell how many axes stand before those of the map.
        assert given.dataset(map_shape=None).identical(expected)


def test_images_need_no_map_shape():
    given = arrays()
    assert given.dataset(map_shape=None, logits=None, bias=None).cam.shape == (3, 12, 3, 4, 6)


def test_logits_tell_which_axis_of_the_kernel_has_the_labels():
    """Features of 3 x 3 channels and 3 labels: their last axis fits either way."""
    given = arrays(map_shape=(3,), n_channels=9, n_labels=3)
    expected = given.dataset()
    given.features, given.kernel = given.features.reshape(3, 12, 27), given.kernel.T
    assert given.dataset().identical(expected)


def test_features_without_time_are_as_those_of_rate_cam(tf, small_model, images):
    expected = ncam.rate_cam(small_model, images)
    outputs = tf.keras.Model(small_model.input, small_model.get_layer("conv1").output)
    features = outputs.predict(images, verbose=0)
    head = ncam.find_head(small_model)
    found = ncam.cam_dataset(features, head, logits=expected.logits, dt=None)
    assert found.cam.dims == expected.cam.dims
    assert np.abs(found.cam - expected.cam).max() <= 1e-6 * np.abs(expected.cam).max()
    assert found.logits.identical(expected.logits)
    assert {**found.attrs, "simulator": "none, the Keras model"} == {**expected.attrs, "logits_from": "probe"}
    flat = ncam.cam_dataset(features.reshape(5, -1), head, dt=None)
    assert flat.cam.identical(found.cam)
    with pytest.raises(LayoutError, match="are channels first"):
        ncam.cam_dataset(np.moveaxis(features, -1, 1).reshape(5, -1), head, logits=expected.logits, dt=None)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "float64"])
def test_numbers_of_every_kind(dtype):
    given = arrays()
    given.features = (given.features * 4).astype(dtype)
    as_floats = given.features.astype(float)
    given.logits = np.einsum("ntyxk,kl->ntl", as_floats, given.kernel) / 24 + given.bias
    expected = np.einsum("ntyxk,kl->ntlyx", as_floats, given.kernel)
    found = given.dataset()
    assert found.cam.dtype == ("float64" if dtype in ("int64", "float64") else "float32")
    assert np.abs(found.cam - expected).max() <= 1e-6 * np.abs(expected).max()


def test_logits_in_half_precision_are_rounded_and_no_other():
    given = arrays()
    given.logits = given.logits.astype(np.float16)
    assert given.dataset().logits.dtype == np.float32
    given.logits = given.logits.astype(np.float32)
    with pytest.raises(LayoutError, match="No other reading fits either"):
        given.dataset()


def test_masked_arrays_without_a_mask_are_arrays():
    given = arrays()
    expected = given.dataset()
    given.features = np.ma.array(given.features)
    assert given.dataset().identical(expected)


@pytest.mark.parametrize("name", ["features", "logits", "bias", "kernel"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: np.where(np.arange(a.size).reshape(a.shape) == a.size - 1, np.nan, a), "not finite; .* infinity in"),
        (lambda a: a[:0], r"empty; expected at least one value, got shape \(0"),
        (lambda a: a.astype(object), "not real numbers; .*ndarray with dtype object"),
        (lambda a: a + 1j, "not real numbers; .* with dtype complex128"),
        (lambda a: np.ma.masked_greater(a, a.min()), r"some values are masked; .* \d+ masked values\. Fill"),
        (lambda a: [[1.0], [2.0, 3.0]], "not an array; expected numbers, got list"),
    ],
    ids=["NaN", "empty", "object", "complex", "masked", "ragged"],
)  # fmt: skip
def test_arrays_that_are_none(name, spoil, message):
    given = arrays()
    setattr(given, name, spoil(getattr(given, name)))
    said = "head_or_kernel" if name == "kernel" else name
    with pytest.raises(ParameterError, match=f"^{said}: {message}"):
        given.dataset()


def test_step_of_the_first_nan_is_named():
    given = arrays()
    given.features[2, 4] = np.nan
    with pytest.raises(ParameterError, match=r"got NaN or infinity in features\[2\]\. Find the step"):
        given.dataset()


def test_maps_beyond_the_range_of_numbers():
    given = arrays()
    given.features, given.kernel = np.full(given.features.shape, 1e38, np.float32), given.kernel * 1e6
    with pytest.raises(ParameterError, match="beyond the range of numbers; expected finite maps in float32"):
        given.dataset(logits=None)


def test_result_that_does_not_fit_into_memory(monkeypatch):
    monkeypatch.setattr("nengo_cam.checks.memory.free_memory", lambda: 10_000)
    with pytest.raises(
        ResultSizeError, match=r"maps of 3 images x 12 steps x 3 labels x 4x6 cells .*labels="
    ) as caught:
        arrays().dataset()
    assert caught.value.n_bytes == 8 * 3 * 12 * 3 * 24
    assert arrays(n_images=1).dataset(labels=1).cam.nbytes < 10_000


def test_nothing_of_the_size_of_the_features_is_copied():
    given = arrays()
    kept = given.dataset(keep_features=True).features
    assert np.shares_memory(kept.values, given.features)


def test_silence_is_told():
    given = arrays()
    given.features[:] = 0
    with pytest.warns(SilentFeaturesWarning, match="all 4,320 values are zero, so the maps are zero") as caught:
        given.dataset(logits=None)
    # At the line of the user, which is that of the helper above.
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dt": 0}, ParameterError, "dt: expected a positive number of seconds, got 0"),
        ({"dt": None, "synapse": 0.01}, ParameterError, "synapse: arrays without time passed none; .*got 0.01"),
        ({"synapse": -1}, ParameterError, "synapse: expected a nengo synapse"),
        ({"readout": "sum"}, ParameterError, "readout: expected 'mean' or 'level', got 'sum'"),
        ({"readout": None}, ParameterError, "readout: expected 'mean' or 'level', got None"),
        ({"spike_kind": "Unit"}, ParameterError, "spike_kind: expected one of .*got 'Unit'"),
        ({"spike_kind": 1}, ParameterError, "spike_kind: expected one of .*got 1"),
        ({"map_shape": 24}, ParameterError, "map_shape: expected 1 or 2 or 3 whole numbers .*got 24"),
        ({"map_shape": (4, 6.0)}, ParameterError, r"map_shape: expected .*got \(4, 6.0\)"),
        ({"input_shape": (8, 12)}, ParameterError, r"input_shape: expected 3 whole numbers .*and the channels"),
        ({"labels": 3}, LabelError, "labels: 3 does not exist"),
        ({"label_names": ["a", "b"]}, LabelError, "label_names: expected 3 names"),
        ({"logits": 1.0, "map_shape": None}, LayoutError, r"logits: the shape does not fit .*got \(\)"),
        ({"logits": 1.0}, LayoutError, r"logits: the shape does not fit .*got \(\)"),
    ],
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        arrays().dataset(**options)


@pytest.mark.parametrize(("name", "given"), [("map_shape", (6, 8)), ("input_shape", (6, 8, 2))])
def test_a_head_knows_better(small_model, name, given):
    head = ncam.find_head(small_model)
    features = np.ones((1, 2, 240))
    expected = ncam.cam_dataset(features, head)
    assert ncam.cam_dataset(features, head, **{name: getattr(head, name)}).identical(expected)
    with pytest.raises(LayoutError, match=f"{name}: the head knows another; expected .* or None, got") as caught:
        ncam.cam_dataset(features, head, **{name: given})
    assert caught.value.layout == f"another {name}"


def test_weights_of_nengo_in_a_head_are_transposed(small_model):
    head = ncam.find_head(small_model)
    head = dataclasses.replace(head, kernel=head.kernel.T)
    with pytest.raises(LayoutError, match=r"expected \(5, 3\) as \(K, L\), got \(3, 5\)\. Put it in as .*weights\.T"):
        ncam.cam_dataset(np.ones((1, 2, 240)), head)


def test_names_readout_and_kind_are_written_down():
    named = arrays().dataset(label_names=["cat", "dog", "cat"], readout="level", spike_kind="power of two, none")
    assert named.label.values.tolist() == ["cat", "dog", "cat (2)"]
    assert (named.attrs["readout"], named.attrs["spike_kind"]) == ("level", "power of two, none")
    assert ncam.cumulative(named).cam.equals(named.cam)


# -- Readers


def test_everything_reads_it(tmp_path):
    given = arrays(n_images=2)
    result = given.dataset(input_shape=(8, 12, 1), keep_features=True, spike_kind="unit")
    images = np.random.default_rng(0).random((2, 8, 12, 1))
    rate = ncam.cam_dataset(
        given.features.mean(axis=1), given.kernel, bias=given.bias, dt=None, map_shape=(4, 6), input_shape=(8, 12, 1)
    )
    averaged = ncam.cumulative(result)

    film = ncam.animate(averaged, rate=rate, images=images, label=1)
    shown = [artist.get_array() for axes in film.figure.axes for artist in axes.images]
    assert any(np.allclose(array, averaged.cam.sel(label=1)[0, -1]) for array in shown if array.shape == (4, 6))
    assert np.array_equal(ncam.overlay(result.cam[0, 3, 1], images[0]).map.get_array(), result.cam.values[0, 3, 1])
    assert ncam.timeline(averaged, images=images, label=1).figure is not None
    assert ncam.comparison(averaged, rate, images=images).figure is not None
    drawn = ncam.raster(result, images, label=1, neurons=[[2, 1, 3]])
    assert len(drawn.spikes[0].get_positions()) == round(given.features[0, :, 1, 3, 2].sum() / 0.25)
    ncam.player(averaged, rate, images).save(tmp_path / "player.html")
    assert (tmp_path / "player.html").stat().st_size > 1000

    scores = ncam.compare(averaged, rate, metrics=["pearson"])
    assert scores.pearson.isel(time=-1).values == pytest.approx(1)
    assert ncam.decision_latency(result).latency.dims == ("image",)
    masks = np.zeros((2, 3, 8, 12), bool)
    masks[..., :4, :6] = True
    assert ncam.localization_scores(averaged, masks=masks).sizes["image"] == 2
    smoothed = ncam.smooth(result, 0.005)
    assert ncam.completeness_error(smoothed) < 1e-12
    result.to_netcdf(tmp_path / "maps.nc", engine="h5netcdf")
    again = xr.load_dataset(tmp_path / "maps.nc", engine="h5netcdf")
    assert again.cam.equals(result.cam)
    assert again.attrs["logits_from"] == "probe"


@pytest.mark.parametrize(
    "read",
    [
        ncam.overlay,
        ncam.cumulative,
        ncam.animate,
        ncam.timeline,
        ncam.player,
        lambda maps: ncam.smooth(maps, 0.01),
        lambda maps: ncam.compare(maps, maps),
        lambda maps: ncam.correlation(maps, maps),
    ],
    ids=["overlay", "cumulative", "animate", "timeline", "player", "smooth", "compare", "correlation"],
)
@pytest.mark.parametrize("bare", [np.ones((4, 6)), [[1.0, 2.0]]], ids=["array", "list"])
def test_readers_tell_whoever_brings_bare_arrays(read, bare):
    with pytest.raises(ResultError, match=r"Make a Dataset .*: nengo_cam\.cam_dataset\(features, head_or_kernel\)\."):
        read(bare)


# -- One image, whose axis one array has and the other lacks


@pytest.mark.parametrize(("bare", "whole"), [("features", "logits"), ("logits", "features")])
def test_either_array_may_lack_the_axis_of_one_image(bare, whole):
    rng = np.random.default_rng(0)
    given = {"features": rng.random((1, 7, 4, 5, 6)), "logits": None}
    kernel = rng.standard_normal((6, 3))
    given["logits"] = np.einsum("ntyxk,kl->ntl", given["features"], kernel) / 20
    expected = np.einsum("ntyxk,kl->ntlyx", given["features"], kernel)
    got = ncam.cam_dataset(head_or_kernel=kernel, **{bare: given[bare][0], whole: given[whole]})
    np.testing.assert_allclose(got.cam, expected, atol=1e-12)
    np.testing.assert_array_equal(got.logits, given["logits"])


def test_rows_of_one_image_without_time_are_not_taken_for_images():
    rng = np.random.default_rng(0)
    features, kernel = rng.random((4, 5, 6)), rng.standard_normal((6, 3))
    for logits in (None, features.mean((0, 1)) @ kernel):
        with pytest.raises(
            LayoutError, match=r"is not known; expected \(N, Y, X, 6\), got \(4, 5, 6\).*features\[None\]"
        ):
            ncam.cam_dataset(features, kernel, logits=logits, dt=None)
    # Of models of one dimension, logits or map_shape tell.
    expected = np.einsum("nxk,kl->nlx", features, kernel)
    for told in ({"logits": features.mean(1) @ kernel}, {"map_shape": (5,)}):
        got = ncam.cam_dataset(features, kernel, dt=None, **told)
        assert got.cam.dims == ("image", "label", "x")
        np.testing.assert_allclose(got.cam, expected, atol=1e-12)


def test_logits_over_time_are_named_where_dt_is_none():
    rng = np.random.default_rng(0)
    features, kernel = rng.random((2, 7, 4, 5, 6)), rng.standard_normal((6, 3))
    with pytest.raises(LayoutError, match=r"axis of time, and dt is None; expected shape \(2, 3\), got \(2, 7, 3\)"):
        ncam.cam_dataset(features, kernel, logits=features.mean((2, 3)) @ kernel, dt=None)
