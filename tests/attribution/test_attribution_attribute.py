import json

import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.attribution import Contrast, PerImage, Window
from nengo_cam.attribution.gradients import METHODS
from nengo_cam.attribution.methods import Explained, Method, register_method
from nengo_cam.exceptions import (
    LabelError,
    ModelTypeError,
    ParameterError,
    ResultSizeError,
    SimulatorError,
)

_tf = ncam.compat.import_tensorflow()
layers = _tf.keras.layers

GRADIENTS = (
    "saliency", "input_times_gradient", "guided_backprop", "grad_cam", "layer_cam", "hires_cam", "guided_grad_cam",
    "deconvnet",
)  # fmt: skip


@pytest.fixture(scope="module")
def net(small_model, images):
    return ncam.convert(small_model, neurons=ncam.SignedIntegrateAndFire(), calibrate_on=images)


@pytest.fixture(scope="module")
def strided():
    """Layers of three resolutions, a branch, a clip and a max pooling."""
    _tf.keras.utils.set_random_seed(0)
    inputs = _tf.keras.Input((16, 12, 1))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="fine")(inputs)
    x = layers.ReLU(6, name="clipped")(layers.Conv2D(6, 3, padding="same")(layers.MaxPooling2D(2)(x)))
    y = layers.Conv2D(6, 3, padding="same")(x)
    x = layers.ReLU(name="sum")(layers.Add()([x, y]))
    x = layers.Conv2D(5, 3, strides=2, padding="same", activation="relu", name="coarse")(x)
    return _tf.keras.Model(inputs, layers.Dense(4, name="readout")(layers.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(5).random((3, 16, 12, 1), dtype=np.float32)


def attribute(net, images, method, *, n_steps=10, seed=0, **options):
    options = {"check_answers": False, **options}
    return ncam.attribute(net, images, method, n_steps=n_steps, seed=seed, progress_bar=False, **options)


def assert_close(got, expected, tolerance=1e-5):
    got, expected = np.asarray(got), np.asarray(expected)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("simulator", ["nengo_cam", "nengo_dl", "nengo"])
@pytest.mark.parametrize("synapse", [None, 0.005])
def test_grad_cam_of_what_is_pooled_is_the_class_activation_map(small_model, images, simulator, synapse):
    """At every time: the gradient of the mean over positions is the kernel of the readout, divided by their number."""
    import nengo

    classes = {"nengo_cam": ncam.Simulator, "nengo": nengo.Simulator}
    chosen = classes[simulator] if simulator in classes else ncam.compat.import_nengo_dl().Simulator
    options = {"neurons": ncam.SignedIntegrateAndFire(), "synapse": synapse, "calibrate_on": images}
    net = ncam.convert(small_model, **options)
    times = (np.arange(12) + 1) * 0.001
    run = {"n_steps": 12, "times": times, "labels": [2, 0], "seed": 4, "simulator": chosen, "progress_bar": False}
    cam = ncam.spiking_cam(net, images[:2], check_answers=False, **run)
    maps = ncam.attribute(net, images[:2], "grad_cam", layer="conv1", check_answers=False, **run)
    assert maps.attribution.dims == cam.cam.dims
    np.testing.assert_array_equal(maps.label, cam.label)
    np.testing.assert_allclose(maps.time, cam.time)
    np.testing.assert_array_equal(maps.y, cam.y)
    assert_close(maps.attribution * 48, cam.cam, tolerance=1e-6)
    assert_close(maps.logits, cam.logits, tolerance=1e-6)
    assert_close(maps.all_logits, cam.all_logits, tolerance=1e-6)
    assert maps.attrs["replay_error"] < 2e-6


@pytest.mark.parametrize("method", GRADIENTS)
@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.NonSpikingWarning")
def test_without_spikes_it_is_the_cnn_at_every_time(strided, pictures, method):
    model = strided
    net = ncam.convert(model, neurons=None, calibrate_on=pictures)
    options = {"labels": [1, 3]}
    if "layer" in METHODS[method].options:
        options["layer"] = "clipped"
    nengo_dl = ncam.compat.import_nengo_dl()
    recorded = attribute(net, pictures, method, n_steps=3, simulator=nengo_dl.Simulator, **options)
    expected = ncam.rate_attribute(model, pictures, method, **options)
    assert recorded.sizes["time"] == 3
    for step in range(3):
        assert_close(recorded.attribution.isel(time=step), expected.attribution)
    assert_close(recorded.cnn_logits, expected.cnn_logits)
    xr.testing.assert_allclose(recorded.drop_vars("time").coords["y"], expected.coords["y"])
    of_net = ncam.rate_attribute(net, pictures, method, **options)
    assert_close(of_net.attribution, expected.attribution)


def test_maps_of_layers_stand_where_their_cells_look(strided, pictures):
    for layer, n_rows, first, distance in (("fine", 16, 0, 1), ("sum", 8, 0.5, 2), ("coarse", 4, 2.5, 4)):
        maps = ncam.rate_attribute(strided, pictures, "grad_cam", layer=layer, labels=0)
        # An even number of cells and a stride of 2: padding is behind, so windows of 3 begin at cells 0, 2, ...
        np.testing.assert_array_equal(maps.y, first + distance * np.arange(n_rows))
        assert maps.attribution.shape == (3, 1, n_rows, n_rows * 3 // 4)
        assert maps.y.attrs["units"] == "pixel"
    assert ncam.rate_attribute(strided, pictures, "grad_cam").attrs["layer"] == "coarse"
    pixels = ncam.rate_attribute(strided, pictures, "guided_grad_cam", layer="coarse")
    np.testing.assert_array_equal(pixels.x, np.arange(12))


def test_coordinates_of_the_user_s(small_model, images):
    coords = {"y": np.linspace(0, 70, 8), "x": list("abcdef")}
    net = ncam.convert(small_model, neurons=ncam.SignedIntegrateAndFire(), calibrate_on=images, coords=coords)
    for maps in (
        attribute(net, images, "saliency"),
        ncam.rate_attribute(small_model, images, "saliency", coords=coords),
        attribute(net, images, "grad_cam"),
    ):
        np.testing.assert_allclose(maps.y, coords["y"])
        assert maps.x.values.tolist() == coords["x"]
        np.testing.assert_array_equal(maps.y_pixel, np.arange(8))
        assert json.loads(maps.attrs["coords"])["x"] == coords["x"]


def test_what_may_be_explained(net, small_model, images):
    """One run with all labels; everything else follows from it, as gradients are linear in what is explained."""
    every = attribute(net, images, "input_times_gradient", labels=[0, 1, 2])
    assert every.attribution.dims == ("image", "time", "label", "y", "x")
    by_label = every.attribution.transpose("label", ...).values
    logits = every.cnn_logits.values
    np.testing.assert_allclose(logits, net.cnn_logits(images), atol=1e-5)
    rows = np.arange(5)

    def explained(labels, **options):
        return attribute(net, images, "input_times_gradient", labels=labels, **options)

    best, second = np.argsort(-logits, axis=1)[:, :2].T
    predicted = explained("predicted")
    assert predicted.attribution.dims == ("image", "time", "y", "x")
    np.testing.assert_array_equal(predicted.target, best)
    assert_close(predicted.attribution, by_label[best, rows])
    top2 = explained("top2")
    assert top2.attribution.dims == ("image", "time", "rank", "y", "x")
    np.testing.assert_array_equal(top2.target, np.stack([best, second], axis=1))
    assert_close(top2.attribution.sel(rank=2), by_label[second, rows])
    chosen = explained(PerImage([0, 2, 1, 1, 0]))
    np.testing.assert_array_equal(chosen.target, [0, 2, 1, 1, 0])
    assert_close(chosen.attribution, by_label[[0, 2, 1, 1, 0], rows])
    contrast = explained(Contrast("predicted"))
    assert_close(contrast.attribution, by_label[best, rows] - by_label[second, rows])
    assert contrast.attrs["target"] == "predicted minus the strongest other label"
    other = np.where(best == 1, second, best)
    assert_close(explained(Contrast(1)).attribution[:, :, 0], by_label[1] - by_label[other, rows])
    mean = explained(Contrast([2, 0], "mean"))
    assert mean.label.values.tolist() == [2, 0]
    assert_close(mean.attribution.transpose("label", ...), by_label[[2, 0]] - by_label.mean(axis=0))
    linear = explained(lambda logits: 2 * logits[:, 0] - logits[:, 2])
    assert linear.attribution.dims == ("image", "time", "y", "x")
    assert "target" not in linear.coords
    assert_close(linear.attribution, 2 * by_label[0] - by_label[2])
    # Of a function that is not linear the slopes are those at the logits of the moment.
    probability = explained(lambda logits: _tf.nn.softmax(logits)[:, 1])
    odds = np.exp(every.logits.values)
    p = odds / odds.sum(axis=-1, keepdims=True)
    slopes = p[..., 1:2] * (np.eye(3)[1] - p)
    assert_close(probability.attribution, np.einsum("ntl,lntyx->ntyx", slopes, by_label))
    rate = ncam.rate_attribute(small_model, images, "input_times_gradient", labels=Contrast("predicted"))
    of_all = ncam.rate_attribute(small_model, images, "input_times_gradient", labels=[0, 1, 2]).attribution.values
    assert_close(rate.attribution, of_all[rows, best] - of_all[rows, second])


def test_names_of_labels(net, images):
    names = ["bird", "cat", "dog"]
    maps = attribute(net, images, "saliency", labels=["dog"], label_names=names)
    assert maps.label.values.tolist() == ["dog"]
    assert maps.all_label.values.tolist() == names
    maps = attribute(net, images, "saliency", label_names=names)
    assert maps.target.values.tolist() == [names[i] for i in net.cnn_logits(images).argmax(axis=1)]


def test_channels_add_up(net, images):
    for method, n_channels in (("saliency", 2), ("grad_cam", 5), ("guided_grad_cam", 2)):
        kept = attribute(net, images, method, channels="keep")
        assert kept.attribution.dims == ("image", "time", "y", "x", "channel")
        assert kept.sizes["channel"] == n_channels
        assert_close(kept.attribution.sum("channel"), attribute(net, images, method).attribution, tolerance=1e-6)


@pytest.mark.parametrize("method", ["saliency", "grad_cam", "guided_grad_cam"])
def test_balanced_channels_do_not_matter(strided, pictures, method):
    """Gradient times activity is without units of the channels, which are others after balancing."""
    net = ncam.convert(strided, neurons=None, calibrate_on=pictures)
    plain = ncam.convert(strided, neurons=None, calibrate_on=pictures, balance=False)
    assert net.channel_factors
    assert not plain.channel_factors
    maps = ncam.rate_attribute(net, pictures, method, labels=[0])
    assert_close(maps.attribution, ncam.rate_attribute(plain, pictures, method, labels=[0]).attribution)


def test_minibatches_and_chunks_do_not_matter(net, images):
    whole = attribute(net, images, "input_times_gradient", n_steps=40)
    for options in ({"minibatch_size": 2}, {"chunk_steps": 7}):
        assert_close(
            attribute(net, images, "input_times_gradient", n_steps=40, **options).attribution, whole.attribution
        )


def test_moving_input(small_model, images):
    net = ncam.convert(small_model, neurons=ncam.SigmaDelta(bits=None), calibrate_on=images)
    frames = np.random.default_rng(0).random((2, 12, 8, 6, 2), dtype=np.float32)
    spiking = attribute(net, frames, "input_times_gradient", n_steps=12, times=[0.004, 0.012], labels=[0])
    rate = ncam.rate_attribute(net, frames, "input_times_gradient", labels=[0])
    assert rate.attribution.dims == ("image", "time", "label", "y", "x")
    assert rate.sizes["time"] == 12
    single = ncam.rate_attribute(net, frames[:, 3], "input_times_gradient", labels=[0])
    assert_close(rate.attribution.isel(time=3), single.attribution)
    # Levels of a step are close to the CNN's of its frame, and not to those of another.
    for i, step in enumerate((3, 11)):
        assert xr.corr(spiking.attribution[:, i], rate.attribution[:, step]) > 0.9
        assert xr.corr(spiking.attribution[:, i], rate.attribution[:, step - 2]) < 0.9
    predicted = ncam.rate_attribute(net, frames, "input_times_gradient")
    np.testing.assert_array_equal(predicted.target, net.cnn_logits(frames).mean(axis=1).argmax(axis=1))


def test_one_and_three_axes(images):
    for n_axes, convolution, pooling in (
        (1, layers.Conv1D, layers.GlobalAveragePooling1D),
        (3, layers.Conv3D, layers.GlobalAveragePooling3D),
    ):
        _tf.keras.utils.set_random_seed(1)
        inputs = _tf.keras.Input((*(6, 5, 4)[:n_axes], 2))
        x = convolution(4, 3, strides=2, padding="same", activation="relu")(inputs)
        x = convolution(3, 3, padding="same", activation="relu")(x)
        model = _tf.keras.Model(inputs, layers.Dense(3)(pooling()(x)))
        frames = np.random.default_rng(0).random((2, *inputs.shape[1:]), dtype=np.float32)
        x = _tf.constant(frames)
        with _tf.GradientTape() as tape:
            tape.watch(x)
            chosen = model(x)[:, 1]
        maps = ncam.rate_attribute(model, frames, "saliency", labels=1)
        assert maps.attribution.dims == ("image", "label", *("z", "y", "x")[-n_axes:])
        assert_close(maps.attribution[:, 0], tape.gradient(chosen, x).numpy().sum(axis=-1))
        assert ncam.rate_attribute(model, frames, "guided_grad_cam").attribution.shape == (2, *frames.shape[1:-1])


def test_attributes_say_how_it_was_made_and_survive_a_file(net, images, tmp_path):
    maps = attribute(net, images, "grad_cam", average=Window(4), gate="activity", layer="conv0", check_answers=True)
    expected = {
        "method": "grad_cam", "gate": "activity", "layer": "conv0", "average": "Window(n_steps=4)", "channels": "sum",
        "target": "predicted", "simulator": "nengo_cam.Simulator", "seed": 0, "n_steps": 10, "readout": "mean",
        "spike_kind": "signed unit",
    }  # fmt: skip
    assert {name: maps.attrs[name] for name in expected} == expected
    assert maps.attribution.attrs == {"units": "logit", "long_name": "Grad-CAM"}
    assert {"answer", "cnn_answer"} <= set(maps)
    maps.to_netcdf(tmp_path / "maps.nc")
    xr.testing.assert_identical(xr.load_dataset(tmp_path / "maps.nc"), maps)


@pytest.fixture
def accounting():
    """A method that keeps an account: half of what is explained to each of two layers, and its place to the image."""

    class Accounting(Method):
        name, long_name, units, options = "accounting", "account", "logit", ("composite", "transport")

        def explain(self, replay, images, told, target, *, composite=None, transport=None):
            assert (composite, transport) == ("a", None)
            logits = np.asarray(replay(images, told=told).logits)
            half = 0.5 * (logits * target).sum(axis=1)
            shares = {"bias_share": {"conv0": half}, "charge_share": {"conv1": half, "conv0": 0 * half}}
            return Explained(np.ones_like(images) * images.mean(axis=(1, 2, 3), keepdims=True), logits, shares)

    yield register_method(Accounting())
    del METHODS["accounting"]


def test_methods_with_an_account_plug_in(net, images, accounting):
    for labels, dims in ((["label"], ("label",)), (["rank"], ("rank",)), ([], ())):
        given = {"label": [0, 2], "rank": "top2"}.get(labels[0] if labels else None, "predicted")
        maps = attribute(net, images, "accounting", labels=given, composite="a", times=[0.003, 0.01])
        assert maps.bias_share.dims == ("image", "time", *dims, "layer")
        assert maps.layer.values.tolist() == ["conv0", "conv1"]
        total = maps.bias_share + maps.charge_share
        if dims == ("label",):
            assert_close(total.sum("layer"), maps.logits.transpose(*total.sum("layer").dims))
            assert not maps.charge_share.sel(layer="conv0").any()
    rate = ncam.rate_attribute(net, images, "accounting", labels=[1], composite="a")
    assert_close(rate.bias_share.sel(layer="conv0"), rate.logits / 2)
    assert_close(rate.attribution[:, 0, 0, 0], 2 * images.mean(axis=(1, 2, 3)))
    frames = np.random.default_rng(0).random((2, 3, 8, 6, 2), dtype=np.float32)
    moving = ncam.rate_attribute(net, frames, "accounting", labels=[1], composite="a")
    assert_close(moving.bias_share.sel(layer="conv0"), moving.logits / 2)


@pytest.mark.parametrize("name", sorted(set(GRADIENTS)))
@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.AttributionWarning")
def test_each_method_has_a_function(net, images, name):
    function = getattr(ncam.attribution, name)
    options = {"n_steps": 5, "seed": 0, "labels": [1], "check_answers": False, "progress_bar": False}
    xr.testing.assert_identical(function(net, images, **options), ncam.attribute(net, images, name, **options))


def test_wrong_arguments(net, small_model, images, monkeypatch):
    with pytest.raises(ParameterError, match=r"method: expected one of \['saliency', .*got 'cam'. Choose one of these"):
        attribute(net, images, "cam")
    with pytest.raises(ParameterError, match=r"layer: 'saliency' has no such choice; .* got 'conv0'. Leave it out"):
        attribute(net, images, "saliency", layer="conv0")
    with pytest.raises(ParameterError, match=r"channels: expected one of \['sum', 'keep'\], got 'both'"):
        attribute(net, images, "saliency", channels="both")
    with pytest.raises(ParameterError, match=r"against: expected one of \['strongest', 'mean'\], got 'all'"):
        attribute(net, images, "saliency", labels=Contrast(0, "all"))
    with pytest.raises(LabelError, match="labels: 7 does not exist; expected an index from 0 to 2, got 7"):
        attribute(net, images, "saliency", labels=[7])
    with pytest.raises(LabelError, match="labels: expected one for each of 5 images, got 2"):
        ncam.rate_attribute(net, images, "saliency", labels=PerImage([0, 1]))
    with pytest.raises(ParameterError, match=r"labels: a function of logits .* expected shape \(5,\), got shape \(\)"):
        ncam.rate_attribute(net, images, "saliency", labels=_tf.reduce_sum)
    with pytest.raises(ParameterError, match=r"expected shape \(5,\), got ndarray"):
        ncam.rate_attribute(net, images, "saliency", labels=lambda logits: logits.numpy()[:, 0])
    with pytest.raises(ParameterError, match="labels: the function does not depend on the logits"):
        ncam.rate_attribute(net, images, "saliency", labels=lambda logits: _tf.ones(len(logits)))
    with pytest.raises(ModelTypeError, match="net: expected a CAMNetwork"):
        attribute(small_model, images, "saliency")
    with pytest.raises(ParameterError, match="output: a converted network has it already"):
        ncam.rate_attribute(net, images, "saliency", output=0)
    with ncam.Simulator(net.net, progress_bar=False) as sim, pytest.raises(SimulatorError, match="expected a class"):
        attribute(net, images, "saliency", simulator=sim)
    monkeypatch.setattr("nengo_cam.checks.memory.free_memory", lambda: 1000)
    with pytest.raises(ResultSizeError, match="attributions of 5 images x 10 times x 1 targets x 8x6"):
        attribute(net, images, "saliency")


def test_a_single_label(make_model, images):
    model = make_model(n_labels=1, activation="sigmoid")
    maps = ncam.rate_attribute(model, images, "saliency")
    assert not maps.target.any()
    for labels in ("top2", Contrast(0)):
        with pytest.raises(LabelError, match="takes 2 labels; expected a model with as many, got 1"):
            ncam.rate_attribute(model, images, "saliency", labels=labels)


# The digits


@pytest.fixture(scope="module")
def digit_run(digits_model, digits):
    """Eight digits, a run of each kind of neurons, measured once and explained in any way."""
    (train, _), (test, _) = digits
    kinds = {"signed": ncam.SignedIntegrateAndFire(), "integrate": ncam.IntegrateAndFire()}
    nets = {name: ncam.convert(digits_model, neurons=kind, calibrate_on=train[:100]) for name, kind in kinds.items()}
    found = {}

    def maps(kind, method, n_steps, **options):
        key = (kind, method, n_steps, *options.items())
        if key not in found:
            run = {} if kind == "rate" else {"n_steps": n_steps, "times": [0.02, n_steps * 0.001]}
            explain = ncam.rate_attribute if kind == "rate" else attribute
            found[key] = explain(nets.get(kind, digits_model), test[:8], method, **run, **options).attribution
        return found[key]

    return maps


# Correlations that a prototype reached on a few images and one seed, with some slack.
AT_100 = {
    "saliency": 0.97, "input_times_gradient": 0.99, "guided_backprop": 0.99, "deconvnet": 1 - 1e-6, "grad_cam": 0.99,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.AttributionWarning")
@pytest.mark.parametrize("method", AT_100)
def test_digits_after_100_steps_are_explained_as_by_the_cnn(digit_run, method):
    spiking = digit_run("signed", method, 100).isel(time=-1)
    correlations = xr.corr(spiking, digit_run("rate", method, None), ("y", "x"))
    assert correlations.median() >= AT_100[method]


@pytest.mark.slow
def test_early_layers_follow_too(digit_run):
    spiking = digit_run("signed", "grad_cam", 100, layer="conv1").isel(time=-1)
    assert xr.corr(spiking, digit_run("rate", "grad_cam", None, layer="conv1"), ("y", "x")).median() >= 0.98


def relative_error(spiking, rate):
    return float((abs(spiking - rate).sum(("y", "x")) / abs(rate).sum(("y", "x"))).median())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["signed", "integrate"])
def test_explanations_converge_by_current_and_less_by_activity(digit_run, kind):
    """Between 20 and 200 steps the error falls like a power of time; a gate that opened once by mistake stays open."""
    method = "input_times_gradient"
    rate = digit_run("rate", method, None)
    errors, orders = {}, {}
    for gate in ("current", "activity"):
        spiking = digit_run(kind, method, 200, gate=gate)
        errors[gate] = np.array([relative_error(spiking.isel(time=i), rate) for i in (0, 1)])
        orders[gate] = np.log10(errors[gate][0] / errors[gate][1])
    assert orders["current"] >= 0.55
    assert np.all(errors["current"] < 0.65 * errors["activity"])
    # Neurons that take spikes back do settle by activity too.
    assert kind == "signed" or orders["activity"] < orders["current"] - 0.3
