import re
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.conversion.report import layer_parts
from nengo_cam.exceptions import NonSpikingWarning


def convert(model, **options):
    """Convert without the warnings that the report gives in its own words, and NengoDL's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonSpikingWarning)
        warnings.simplefilter("ignore", UserWarning)
        return ncam.convert(model, **options)


@pytest.fixture(scope="module")
def varied_model(tf):
    """Every fate that a layer can have, in a model with a nested one."""
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 6, 2), name="image")
    part_in = tf.keras.Input((8, 6, 4))
    part = tf.keras.Model(part_in, layers.Conv2D(4, 1, activation="tanh", name="curved")(part_in), name="part")
    x = layers.Conv2D(4, 3, activation="relu", padding="same", name="first")(inputs)
    x = layers.Dropout(0.5, name="drop")(x)
    x = layers.BatchNormalization(name="norm")(part(x))
    x = layers.Add(name="sum")([x, layers.ReLU(name="relu")(layers.Conv2D(4, 1, name="short")(x))])
    x = layers.MaxPooling2D(2, name="maximum")(x)
    x = layers.Conv2D(5, 1, activation="elu", name="elu")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    x = layers.Dense(3, name="readout")(layers.Activation("linear", name="nothing")(x))
    return tf.keras.Model(inputs, layers.Softmax(name="softmax")(x), name="varied")


def test_every_layer_and_what_it_became(varied_model):
    net = convert(varied_model, scale_firing_rates={"first": 50})
    data = net.report.dataset
    expected = {
        "image": ("InputLayer", "", "input", "", False, 0, None),
        # Max pooling would see single spikes of one size, so levels are held.
        "first": ("Conv2D", "relu", "native neurons", "SigmaDelta", True, 8 * 6 * 4, 50),
        "drop": ("Dropout", "", "left out: for training", "", False, 0, None),
        "curved": ("Conv2D", "tanh", "native neurons", "Tanh", False, 8 * 6 * 4, None),
        "norm": ("BatchNormalization", "", "native node", "", False, 0, None),
        "short": ("Conv2D", "", "native node", "", False, 0, None),
        "relu": ("ReLU", "", "native neurons", "SigmaDelta", True, 8 * 6 * 4, 1),
        "sum": ("Add", "", "native node", "", False, 0, None),
        "maximum": ("MaxPooling2D", "", "TensorNode", "", False, 0, None),
        "elu": ("Conv2D", "elu", "TensorNode", "", False, 0, None),
        "gap": ("GlobalAveragePooling2D", "", "native node", "", False, 0, None),
        "nothing": ("Activation", "", "left out: no effect", "", False, 0, None),
        "readout": ("Dense", "", "native node", "", False, 0, None),
        "softmax": ("Softmax", "", "left out: after logits", "", False, 0, None),
    }
    assert sorted(data.layer.values) == sorted(expected)
    names = ("kind", "activation", "became", "neuron_type", "spiking", "neurons", "scale")
    for layer, values in expected.items():
        row = {name: data[name].sel(layer=layer).item() for name in names}
        assert row == pytest.approx(dict(zip(names, (*values[:-1], np.nan if values[-1] is None else values[-1]))),
                                    nan_ok=True), layer  # fmt: skip
    assert int(data.neurons.sum()) == net.n_neurons
    assert net.tensor_nodes == ("maximum", "elu")
    # In the order in which they run.
    order = data.layer.values.tolist()
    assert order[:4] == ["image", "first", "drop", "curved"]
    assert order[-3:] == ["nothing", "readout", "softmax"]
    assert data.scale.attrs["units"] == "Hz per unit of activity"
    assert data.attrs["model"] == "varied"


def test_an_activation_of_the_readout_is_said_to_be_left_out(small_model):
    became = ncam.convert(small_model).report.dataset.became
    assert became.sel(layer="readout").item() == "native node, no softmax"


def test_layers_that_are_called_again(tf, images):
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 6, 2), name="image")
    relu, conv = layers.ReLU(name="relu"), layers.Conv2D(2, 1, activation="relu", name="conv")
    drop = layers.Dropout(0.1, name="drop")
    x = drop(relu(conv(drop(relu(conv(inputs))))))
    model = tf.keras.Model(inputs, layers.Dense(2, name="readout")(layers.GlobalAveragePooling2D(name="gap")(x)))
    net = convert(model, calibrate_on=images, split_shared_weights=True)
    assert net.report.dataset.layer.values.tolist() == [
        "image", "conv", "relu", "drop", "conv.1", "relu_1", "drop.1", "gap", "readout",
    ]  # fmt: skip
    spiking = net.report.dataset.spiking
    assert spiking.layer[spiking].values.tolist() == list(net.spiking_layers) == ["conv", "relu", "conv.1", "relu_1"]
    for part in layer_parts(net):
        if part.spiking:
            assert part.ensemble is net.spiking_layers[part.name]
    assert {"conv", "relu", "relu_1"} == set(net.firing_rate_scales)
    scales = net.report.dataset.scale
    assert scales.sel(layer="conv.1").item() == net.firing_rate_scales["conv"]
    assert scales.sel(layer="relu_1").item() == net.firing_rate_scales["relu_1"]


def test_a_branch_that_the_logits_do_not_need(tf):
    layers = tf.keras.layers
    inputs, part_in = tf.keras.Input((8, 6, 2), name="image"), tf.keras.Input((8, 6, 2))
    shared = layers.Conv2D(2, 1, activation="relu", name="shared")
    other = shared(layers.Conv2D(2, 1, name="unused")(part_in))
    part = tf.keras.Model(part_in, [other, shared(part_in)], name="part")
    x = layers.GlobalAveragePooling2D(name="gap")(part(inputs)[1])
    model = tf.keras.Model(inputs, layers.Dense(2, name="readout")(x))
    net = ncam.convert(model)
    data = net.report.dataset
    assert data.became.sel(layer="unused").item() == "left out: not needed"
    # Which of its two calls is needed follows from what goes in.
    ((name, ensemble),) = net.spiking_layers.items()
    (part,) = [part for part in layer_parts(net) if part.spiking]
    assert (part.name, part.ensemble) == (name, ensemble)
    assert data.neurons.sel(layer=name) == data.neurons.sum() == 8 * 6 * 2
    assert sorted(data.layer.values) == ["gap", "image", "readout", "shared", "shared.1", "unused"]


def test_scales_and_balanced_channels(small_model, images):
    balanced = ncam.convert(small_model, calibrate_on=images)
    data = balanced.report.dataset
    for name in ("conv0", "conv1"):
        assert data.scale.sel(layer=name).item() == balanced.firing_rate_scales[name]
    assert data.balanced.values.tolist() == [False, True, True, False, False]
    assert not ncam.convert(small_model, calibrate_on=images, balance=False).report.dataset.balanced.any()
    assert "balanced" in str(balanced.report)


def test_what_rewriting_changed_is_measured(tf, small_model, images):
    """A BatchNorm folded into a convolution rounds; the report has the figure, and a wrong fold would be refused."""
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 6, 2))
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(layers.Conv2D(3, 3, name="conv")(inputs)))
    model = tf.keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    rng = np.random.default_rng(0)
    model.get_layer("norm").set_weights(rng.uniform(0.5, 2, (4, 3)))
    net = ncam.convert(model, calibrate_on=images)
    attrs = net.report.dataset.attrs
    assert 0 < attrs["largest_difference_simplified"] == net.largest_differences["simplified"] < 1e-5
    assert attrs["largest_difference_scaled"] == net.largest_differences["scaled"] < 1e-5
    line = net.report.exactness
    assert line in str(net.report) and line in net.report._repr_html_()
    for how in ("simplified", "scaled"):
        assert f"{attrs[f'largest_difference_{how}']:.1e} when {how}" in line
    # Together they bound what the converted model's logits differ by.
    expected, got = model(images).numpy(), net.converter.model(images).numpy()
    assert np.abs(got - expected).max() / np.abs(expected).max() <= 10 * sum(net.largest_differences.values())
    assert "scaled" not in ncam.convert(small_model).largest_differences


def test_warnings_of_the_structure(varied_model, small_model, tf, make_model):
    first, second = convert(varied_model).report.warnings
    assert re.match(r"Nonlinear, but without spikes: 'curved', 'maximum', 'elu'\. Only ReLU, plain or clipped", first)
    assert "TensorNodes, which run in TensorFlow: 'maximum', 'elu'." in second
    assert ncam.convert(small_model).report.warnings == ()
    (nothing,) = ncam.convert(small_model, neurons=None).report.warnings
    assert nothing.startswith("Nothing was asked to spike: ReLU became rectified-linear rate neurons.")
    layers = tf.keras.layers
    # Linear in TensorFlow: no spikes are missing.
    wide = make_model(
        layers.UpSampling2D(2, interpolation="bicubic", name="wide"), layers.GlobalAveragePooling2D(), layers.Dense(2)
    )
    (tensor_node,) = convert(wide).report.warnings
    assert "TensorFlow: 'wide'." in tensor_node


def test_a_model_without_any_relu(tf):
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 6, 2))
    model = tf.keras.Model(
        inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1, name="straight")(inputs)))
    )
    report = convert(model).report
    assert report.warnings == ("No layer spikes, as none has a ReLU. Train the model with ReLU.",)
    assert "0 of 4 layers spike, with 0 of 0 neurons" in str(report)


def test_the_text_is_a_table(varied_model, digits_model, digits):
    text = str(ncam.convert(digits_model, calibrate_on=digits[0][0][:20]).report)
    lines = text.splitlines()
    assert lines[0] == "Network of model 'digits_gap': 5 of 8 layers spike, with 125,440 of 125,440 neurons"
    assert max(map(len, lines)) <= 120
    row = next(line for line in lines if line.startswith("  conv4"))
    became = r"native neurons +SignedIntegrateAndFire +yes"
    assert re.fullmatch(rf"  conv4 +Conv2D, relu +{became} +50,176 +[\d.]+  balanced", row)
    # Numbers end where their heading ends.
    end = lines[2].index("neurons") + len("neurons")
    assert row[:end].endswith("50,176")
    assert "[Hz/unit]" in lines[3]
    assert lines[-1] == "No warnings"
    warned = convert(varied_model).report
    assert repr(warned) == str(warned)
    assert max(map(len, str(warned).splitlines())) <= 120
    told = " ".join(str(warned).split("Warnings")[1].split())
    for sentence in warned.warnings:
        assert sentence in told


class Cells(HTMLParser):
    """Reads the text of cells and list items, unescaped."""

    def __init__(self):
        super().__init__()
        self.texts, self._tag = [], None

    def handle_starttag(self, tag, attrs):
        self._tag = tag
        if tag in ("td", "th", "li"):
            self.texts.append("")

    def handle_endtag(self, tag):
        self._tag = None

    def handle_data(self, data):
        if self._tag in ("td", "th", "li"):
            self.texts[-1] += data


def test_html_says_the_same_and_escapes(tf):
    report = convert(
        tf.keras.Sequential(
            [
                tf.keras.Input((8, 6, 2)),
                tf.keras.layers.Conv2D(3, 1, activation="tanh", name="conv"),
                tf.keras.layers.GlobalAveragePooling2D(),
                tf.keras.layers.Dense(2),
            ],
            name="a",
        )
    ).report
    data = report.dataset.assign_coords(layer=[f"<i>{name}&" for name in report.dataset.layer.values])
    nasty = ncam.Report(data.assign_attrs(model="<b>", warnings="x < y & z"))
    page = nasty._repr_html_()
    assert "<i>" not in page
    assert "&lt;b&gt;" in page
    parser = Cells()
    parser.feed(page)
    ((_, cells, _),) = nasty.tables()
    assert parser.texts == [cell for row in cells for cell in row] + ["x < y & z"]
    assert "<i>conv&" in parser.texts


def test_a_saved_dataset_makes_the_same_report(varied_model, small_model, tmp_path):
    for network in (convert(varied_model), ncam.convert(small_model)):
        report = network.report
        report.dataset.to_netcdf(tmp_path / "report.nc", engine="h5netcdf")
        with xr.open_dataset(tmp_path / "report.nc", engine="h5netcdf") as loaded:
            assert str(ncam.Report(loaded)) == str(report)
            assert ncam.Report(loaded).warnings == report.warnings
