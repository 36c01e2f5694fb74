import pickle
import warnings

import nengo
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.conversion.choosing import choose_neurons, count_rectified, rounded_agreement, why_not_carried
from nengo_cam.exceptions import DepthWarning, NonSpikingWarning, ParameterError
from nengo_cam.models.simplify import reduce_model
from nengo_cam.models.source import read_model


def reduced(model):
    return reduce_model(read_model(model))


def with_layers(tf, *middle):
    """A small model with layers between two convolutions."""
    layers = tf.keras.layers
    x = inputs = tf.keras.Input((8, 6, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    for layer in middle:
        x = layer(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, activation="relu")(x))
    return tf.keras.Model(inputs, layers.Dense(3, activation="softmax")(x), name="middle")


@pytest.mark.parametrize(("n_layers", "kind"), [(1, "Signed"), (5, "Signed"), (6, "SigmaDelta"), (9, "SigmaDelta")])
def test_depth_decides(make_model, n_layers, kind):
    choice = choose_neurons(reduced(make_model(channels=(3,) * n_layers)))
    assert f"{n_layers} rectified layer{'s' if n_layers > 1 else ''}" in choice.sentence
    if kind == "Signed":
        assert type(choice.neurons) is ncam.SignedIntegrateAndFire
        assert choice.neurons.negative_threshold == 0.25
        assert choice.sentence.startswith("chosen: SignedIntegrateAndFire(negative_threshold=0.25), as ")
    else:
        assert (type(choice.neurons), choice.neurons.bits) == (ncam.SigmaDelta, 2)
        assert choice.sentence.startswith("chosen: SigmaDelta(bits=2, quantum=0.1), as ")


def test_weights_do_not_matter(make_model):
    sentences = {choose_neurons(reduced(make_model(seed=seed))).sentence for seed in range(3)}
    assert len(sentences) == 1


@pytest.mark.parametrize("how", ["max pooling", "sigmoid", "leaky", "Lambda", "a layer of one's own"])
def test_what_would_see_single_spikes_takes_held_levels(tf, how):
    layers = tf.keras.layers
    middle = {
        "max pooling": layers.MaxPooling2D(2, name="found"),
        "sigmoid": layers.Conv2D(4, 1, activation="sigmoid", name="found"),
        "leaky": layers.LeakyReLU(0.1, name="found"),
        "Lambda": layers.Lambda(lambda x: x * x, name="found"),
        "a layer of one's own": type("Square", (layers.Layer,), {"call": lambda self, x: x * x})(name="found"),
    }[how]
    choice = choose_neurons(reduced(with_layers(tf, middle)))
    assert type(choice.neurons) is ncam.SigmaDelta
    assert "'found' would see single spikes" in choice.sentence


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_what_stands_in_front_of_all_spikes_does_not_matter(tf, activation):
    layers = tf.keras.layers
    x = inputs = tf.keras.Input((8, 6, 2))
    x = layers.Lambda(lambda pixels: pixels / 127.5 - 1)(x)
    x = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, activation="tanh")(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1, activation=activation)(x))
    choice = choose_neurons(reduced(tf.keras.Model(inputs, layers.Dense(3)(x))))
    assert type(choice.neurons) is ncam.SignedIntegrateAndFire


def test_what_is_linear_or_clipped_takes_unit_spikes(tf):
    layers = tf.keras.layers
    model = with_layers(tf, layers.AveragePooling2D(2), layers.BatchNormalization(), layers.Dropout(0.5))
    assert type(choose_neurons(reduced(model)).neurons) is ncam.SignedIntegrateAndFire
    clipped = reduced(with_layers(tf, layers.Conv2D(4, 1), layers.ReLU(6)))
    assert count_rectified(clipped) == 3
    assert type(choose_neurons(clipped).neurons) is ncam.SignedIntegrateAndFire


def test_a_layer_that_is_called_again_counts_again(tf):
    layers = tf.keras.layers
    shared = layers.Conv2D(4, 3, padding="same", activation="relu")
    assert count_rectified(reduced(with_layers(tf, shared, shared, shared))) == 5


@pytest.fixture
def undecided(make_model):
    """Make a model whose answers to images of noise differ, by little, and such images."""

    def make(n_labels, activation):
        model = make_model(n_labels=n_labels, activation=activation)
        images = np.random.default_rng(5).random((40, 8, 6, 2), dtype=np.float32)
        kernel, bias = model.get_layer("readout").get_weights()
        logits = reduced(model).model(images).numpy()
        model.get_layer("readout").set_weights([kernel, bias - np.median(logits, axis=0)])
        return model, images

    return make


def test_answers_that_hang_on_many_levels_take_held_ones(undecided):
    """What is rounded is computed here layer by layer, by Keras's layers and NumPy's rounding."""
    model, images = undecided(3, "softmax")
    known = reduced(model)
    exact = model(images).numpy().argmax(axis=1)
    kept = {}
    for rate in (20, 100, 500, 1e6):
        scales = {"conv0": rate, "conv1": 2 * rate}
        by_time = {}
        for seconds in (0.05, 0.1):
            x = images
            for name, scale in scales.items():
                x = model.get_layer(name)(x).numpy()
                # Whole spikes of that time.
                x = np.round(x * scale * seconds) / (scale * seconds)
            probabilities = model.get_layer("readout")(x.mean(axis=(1, 2))).numpy()
            by_time[seconds] = (probabilities.argmax(axis=1) == exact).mean()
            assert rounded_agreement(known, scales, images, seconds) == pytest.approx(by_time[seconds])
        kept[rate], told = min(by_time.values()), min(by_time, key=by_time.get)
        choice = choose_neurons(known, scales=scales, images=images)
        assert (type(choice.neurons) is ncam.SignedIntegrateAndFire) == (kept[rate] >= 0.98)
        if kept[rate] < 0.98:
            assert (type(choice.neurons), choice.neurons.quantum) == (ncam.SigmaDelta, 0.1)
            said = f"tell in {1000 * told:g} ms, the CNN answers {kept[rate]:.2f} of the sample images as before"
            assert said in choice.sentence
    assert kept[20] < 0.9 < kept[1e6] == 1


def test_convert_tries_the_images_that_it_calibrates_on(undecided):
    model, images = undecided(3, "softmax")
    coarse, fine = (ncam.convert(model, calibrate_on=images, target_rate=rate) for rate in (20, 1e6))
    assert type(coarse.neurons) is ncam.SigmaDelta
    assert type(fine.neurons) is ncam.SignedIntegrateAndFire
    curve = ncam.calibration_curve(
        model, images[:2], calibrate_on=images, target_rates=[20, 500], n_steps=2, progress_bar=False
    )
    assert curve.neurons.values.tolist() == ["SigmaDelta"]


def test_images_that_move_take_levels_that_forget(small_model, images):
    still = ncam.convert(small_model, calibrate_on=images)
    moving = ncam.convert(small_model, calibrate_on=np.stack([images, images[::-1]], axis=1))
    assert type(still.neurons) is ncam.SignedIntegrateAndFire
    assert type(moving.neurons) is ncam.SigmaDelta
    assert "as the images move" in moving.choice


def test_max_pooling_that_becomes_an_average_sees_no_spikes(tf, images):
    model = with_layers(tf, tf.keras.layers.MaxPooling2D(2, name="found"))
    averaged = ncam.convert(model, max_to_avg_pool=True)
    assert type(averaged.neurons) is ncam.SignedIntegrateAndFire
    assert "found" not in averaged.choice
    assert "'found' would see single spikes" in choose_neurons(reduced(model)).sentence


def test_a_single_logit_answers_by_its_sign(undecided):
    model, images = undecided(1, "sigmoid")
    assert 0.1 < rounded_agreement(reduced(model), {"conv0": 20, "conv1": 20}, images, 0.05) < 1


def test_auto_converts_as_the_chosen_type_does(make_model, images):
    model = make_model(channels=(3,) * 6)
    auto = ncam.convert(model, neurons="auto", calibrate_on=images)
    given = ncam.convert(model, neurons=ncam.SigmaDelta(bits=2, quantum=0.1), calibrate_on=images)
    assert (type(auto.neurons), auto.neurons.bits) == (ncam.SigmaDelta, 2)
    run = {"n_steps": 8, "seed": 0, "progress_bar": False}
    found, expected = (ncam.spiking_cam(net, images, **run) for net in (auto, given))
    np.testing.assert_array_equal(found.cam, expected.cam)
    assert (given.choice, "chosen" in expected.attrs, given.report.chosen) == ("", False, "")
    assert found.attrs["chosen"] == auto.choice == auto.report.dataset.attrs["chosen"]
    assert auto.choice in repr(auto)
    # The line may be broken.
    assert f"Neurons {auto.choice}" in " ".join(str(auto.report).split())
    assert f"<p>Neurons {auto.choice}</p>" in auto.report._repr_html_()
    assert "chosen" not in str(given.report)
    assert "chosen" not in repr(given)


def test_a_choice_that_nothing_follows_is_not_told(tf, make_model, images):
    relu, kind = tf.keras.activations.relu, nengo.SpikingRectifiedLinear()
    net = ncam.convert(make_model(), calibrate_on=images, swap_activations={relu: kind}, synapse=0.005)
    assert {type(ensemble.neuron_type) for ensemble in net.neuron_layers.values()} == {nengo.SpikingRectifiedLinear}
    assert (net.choice, "chosen" in repr(net), "chosen" in str(net.report)) == ("", False, False)


def test_the_choice_survives_pickling(small_model):
    net = ncam.convert(small_model, neurons="auto")
    assert pickle.loads(pickle.dumps(net)).choice == net.choice


def test_max_pooling_answers_as_the_cnn(tf, images):
    """What is chosen for it needs no synapse, in contrast to unit spikes."""
    model = with_layers(tf, tf.keras.layers.MaxPooling2D(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonSpikingWarning)
        nets = [
            ncam.convert(model, neurons=neurons, calibrate_on=images)
            for neurons in ("auto", ncam.SignedIntegrateAndFire(negative_threshold=0.25))
        ]
    held, unit = (ncam.spiking_cam(net, images, n_steps=60, seed=0, progress_bar=False).logits for net in nets)
    expected = nets[0].cnn_logits(images)
    scale = np.abs(expected).max()
    assert np.abs(held.isel(time=-1) - expected).max() < 0.02 * scale
    assert np.abs(unit.mean("time") - expected).max() > 0.1 * scale


@pytest.mark.parametrize(
    ("neurons", "n_layers", "rate", "carried"),
    [
        (ncam.IntegrateAndFire(), 5, 200, True),
        (ncam.IntegrateAndFire(), 6, 200, False),
        (ncam.IntegrateAndFire(), 6, 5000, False),
        (ncam.ClippedIntegrateAndFire(6), 6, 200, False),
        (ncam.SignedIntegrateAndFire(), 15, 200, True),
        (ncam.SignedIntegrateAndFire(), 16, 200, False),
        (ncam.SignedIntegrateAndFire(), 27, 2000, True),
        (ncam.SigmaDelta(bits=1), 100, 1, True),
        (nengo.RectifiedLinear(), 100, 200, True),
    ],
)
def test_what_carries(neurons, n_layers, rate, carried):
    sentence = why_not_carried(neurons, n_layers, rate)
    assert (sentence is None) == carried
    if not carried:
        assert f"this network has {n_layers}, at {rate:g} Hz" in sentence
        assert type(neurons).__name__ in sentence


def test_who_asks_for_spikes_that_do_not_carry_is_warned(make_model, images):
    deep = make_model(channels=(3,) * 6)
    with pytest.warns(DepthWarning, match="'small': IntegrateAndFire sends .* has 6, at 200 Hz") as found:
        net = ncam.convert(deep, neurons=ncam.IntegrateAndFire(), calibrate_on=images)
    assert [w.filename for w in found if w.category is DepthWarning] == [__file__]
    assert type(net.neurons) is ncam.IntegrateAndFire
    assert any("carry up to 5 rectified layers" in sentence for sentence in net.report.warnings)


def test_others_are_not_warned(make_model, images):
    deep = make_model(channels=(3,) * 6)
    # Warnings of ours are errors here.
    ncam.convert(deep, calibrate_on=images)
    ncam.convert(deep, neurons="auto", calibrate_on=images)
    ncam.convert(deep, neurons=None, calibrate_on=images)
    ncam.convert(deep, neurons=ncam.SignedIntegrateAndFire(), calibrate_on=images)
    # Nobody knows at which rates this one fires.
    ncam.convert(deep, neurons=ncam.IntegrateAndFire(), scale_firing_rates=100)
    ncam.convert(make_model(channels=(3,) * 5), neurons=ncam.IntegrateAndFire(), calibrate_on=images)


def test_another_word_is_refused(small_model):
    with pytest.raises(ParameterError, match="expected a Nengo neuron type, 'auto' or None, got 'best'"):
        ncam.convert(small_model, neurons="best")
