"""Models of KerasSpiking against KerasSpiking itself, layer by layer and over time."""

import pickle
import warnings

import nengo
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.compat import import_nengo_dl
from nengo_cam.conversion.layers.spiking import ElementwiseFilter
from nengo_cam.exceptions import HeadError, ParameterError, TimeStepWarning, UnsupportedModelError

ks = pytest.importorskip("keras_spiking")
STEPS = 25
SIMULATORS = {"ours": ncam.Simulator, "nengo_dl": import_nengo_dl().Simulator, "nengo": nengo.Simulator}


def spread(layer, values, rng):
    """Give a filter a time constant or a first level for each element, as training does."""
    cell = layer.layer.cell
    for variable, (low, high) in zip((cell.tau, cell.initial_level), values):
        variable.assign(rng.uniform(low, high, variable.shape))


def build(tf, *, filters=("lowpass",), trained=False, tail="steps", shape=(8, 6, 2), flat=False, direct=False):
    """A model of three convolutions with spikes: rates are in Hz, so weights are large."""
    tf.keras.utils.set_random_seed(5)
    layers, rng = tf.keras.layers, np.random.default_rng(5)
    wrap = (lambda layer: layer) if direct else layers.TimeDistributed
    x = inputs = tf.keras.Input((None, int(np.prod(shape))) if flat else (None, *shape))
    if flat:
        x = layers.Reshape((-1, *shape))(x)
    features = None
    for number, width in enumerate((4, 5, 6)):
        kernel = tf.keras.initializers.HeNormal(seed=number)
        x = wrap(layers.Conv2D(width, 3, padding="same", kernel_initializer=kernel, name=f"conv{number}"))(x)
        # Some hundred Hz, and of the next layers again, as each passes on what it is given.
        x = wrap(layers.Rescaling(200.0 if number == 0 else 1.0, 5.0))(x)
        x = ks.SpikingActivation("relu", seed=7 + number, name=f"spikes{number}")(x)
        for kind in filters if number == 2 else filters[:1]:
            layer = (ks.Lowpass if kind == "lowpass" else ks.Alpha)(0.006, name=f"{kind}{number}")
            x = layer(x)
            if trained:
                spread(layer, ((0.002, 0.02), (0.0, 30.0)), rng)
    features = x
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D())(x)
    if tail == "mean before":
        x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dense(3, name="readout")(x)
    if tail == "mean behind":
        x = layers.GlobalAveragePooling1D()(x)
    if tail == "softmax":
        x = layers.Softmax()(layers.GlobalAveragePooling1D()(x))
    model = tf.keras.Model(inputs, x, name="spiking")
    return model, tf.keras.Model(inputs, features)


def expected_maps(tf, model, features, images, steps=STEPS):
    """Features of KerasSpiking at each step, image by image, and their product with the readout's kernel."""
    kernel, bias = model.get_layer("readout").get_weights()
    found = []
    for image in images:
        film = image if image.ndim == 4 else np.repeat(image[None], steps, axis=0)
        film = film.reshape((1, len(film), *features.input_shape[2:]))
        found.append(features(tf.constant(film, tf.float32), training=False).numpy()[0])
    found = np.array(found)
    return np.einsum("ntyxk,kl->ntlyx", found, kernel), found.mean(axis=(2, 3)) @ kernel + bias


def close(ours, theirs, tolerance=1e-5):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max())


CASES = {
    "lowpass": {},
    "alpha": {"filters": ("alpha",)},
    "both": {"filters": ("lowpass", "alpha")},
    "no filter": {"filters": ()},
    "trained": {"trained": True},
    "trained alpha": {"trained": True, "filters": ("alpha", "lowpass")},
    "mean before the readout": {"tail": "mean before"},
    "mean behind the readout": {"tail": "mean behind"},
    "softmax": {"tail": "softmax"},
    "flat frames": {"flat": True},
    "without TimeDistributed": {"direct": True},
}


@pytest.mark.parametrize("simulator", list(SIMULATORS))
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_maps_are_those_of_keras_spikings_features(tf, images, simulator, options):
    model, features = build(tf, **options)
    maps, logits = expected_maps(tf, model, features, images[:2])
    net = ncam.convert(model)
    shown = images[:2].reshape((2, *net.head.input_shape))
    found = ncam.spiking_cam(
        net, shown, n_steps=STEPS, simulator=SIMULATORS[simulator], progress_bar=False, check_answers=False
    )
    # Spikes have a size of a thousand: were one of them at another step, no tolerance would hide it.
    close(found.cam.values, maps, 2e-5)
    close(found.logits.values, logits, 2e-5)
    assert ncam.completeness_error(found) < 1e-5
    assert not net.tensor_nodes


def test_a_plain_relu_stays_plain_if_it_is_asked_for(tf, images):
    layers = tf.keras.layers
    inputs = tf.keras.Input((None, 8, 6, 2))
    x = layers.TimeDistributed(layers.Conv2D(4, 3, activation="relu"))(inputs)
    x = layers.TimeDistributed(layers.Rescaling(200.0, 5.0))(x)
    spikes = ks.SpikingActivation("relu", seed=3)(x)
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D())(spikes)
    model = tf.keras.Model(inputs, layers.Dense(3, name="readout")(x))
    maps, logits = expected_maps(tf, model, tf.keras.Model(inputs, spikes), images[:2])

    def found(**options):
        with warnings.catch_warnings():
            # It says that the plain layer does not spike.
            warnings.simplefilter("ignore", ncam.exceptions.NonSpikingWarning)
            net = ncam.convert(model, **options)
        return ncam.spiking_cam(net, images[:2], n_steps=STEPS, progress_bar=False, check_answers=False)

    kept = found(swap_activations={tf.keras.activations.relu: nengo.RectifiedLinear()})
    close(kept.cam.values, maps, 2e-5)
    close(kept.logits.values, logits, 2e-5)
    assert np.abs(found().cam.values - maps).max() > 0.01 * np.abs(maps).max()


def test_moving_input(tf, images):
    model, features = build(tf)
    films = np.stack([images[[0, 1, 2, 3, 4]].repeat(5, axis=0), images[[2, 1, 2, 1, 2]].repeat(5, axis=0)])
    maps, _ = expected_maps(tf, model, features, films)
    found = ncam.spiking_cam(ncam.convert(model), films, n_steps=STEPS, progress_bar=False, check_answers=False)
    close(found.cam.values, maps, 2e-5)


def test_rates_are_those_of_the_activations(tf, images):
    """`rate_cam`, verification and `neurons=None` are without spikes; the mean of spikes comes to them."""
    model, _ = build(tf)
    layers = tf.keras.layers
    x = inputs = tf.keras.Input((8, 6, 2))
    for number in range(3):
        x = layers.Conv2D(4 + number, 3, padding="same", name=f"conv{number}")(x)
        x = layers.ReLU()(layers.Rescaling(200.0 if number == 0 else 1.0, 5.0)(x))
    plain = tf.keras.Model(inputs, layers.Dense(3, name="readout")(layers.GlobalAveragePooling2D()(x)))
    for number in range(3):
        wrapper = next(layer for layer in model.layers if getattr(layer, "layer", layer).name == f"conv{number}")
        plain.get_layer(f"conv{number}").set_weights(wrapper.get_weights())
    plain.get_layer("readout").set_weights(model.get_layer("readout").get_weights())
    expected = ncam.rate_cam(plain, images)
    net = ncam.convert(model)
    for found in (ncam.rate_cam(model, images), ncam.rate_cam(net, images)):
        close(found.cam.values, expected.cam.values)
    assert net.verify(images).cam_difference < 1e-5
    still = ncam.spiking_cam(ncam.convert(model, neurons=None), images, n_steps=2, progress_bar=False)
    close(still.cam.values[:, -1], expected.cam.values)
    long = ncam.cumulative(ncam.spiking_cam(net, images, n_steps=400, progress_bar=False))
    # Neurons that rectify input which fluctuates fire more than their mean input asks for.
    close(long.logits.values[:, -1], expected.logits.values, 0.2)


def test_neurons_that_are_asked_for_take_their_place(tf, images):
    model, _ = build(tf)
    kept = ncam.convert(model)
    assert kept.choice.startswith("kept: RegularSpiking")
    assert {type(e.neuron_type) for e in kept.spiking_layers.values()} == {nengo.RegularSpiking}
    assert list(kept.spiking_layers) == ["spikes0", "spikes1", "spikes2"]
    asked = ncam.convert(model, neurons=ncam.SigmaDelta(), calibrate_on=images)
    assert {type(e.neuron_type) for e in asked.spiking_layers.values()} == {ncam.SigmaDelta}
    rate = ncam.rate_cam(asked, images)
    close(
        ncam.spiking_cam(asked, images, n_steps=30, progress_bar=False).logits.values[:, -1], rate.logits.values, 0.02
    )


def test_everything_else_takes_such_networks(tf, images):
    model, _ = build(tf)
    net = ncam.convert(model)
    report = ncam.measure_activity(net, images, n_steps=20, progress_bar=False)
    assert float(report.dataset.max_rate.sel(layer="spikes0")) > 10
    assert "RegularSpiking" in str(net.report)
    spiking = ncam.spiking_cam(net, images, n_steps=20, count_spikes=True, seed=0, progress_bar=False)
    again = pickle.loads(pickle.dumps(net))
    repeated = ncam.spiking_cam(again, images, n_steps=20, count_spikes=True, seed=0, progress_bar=False)
    np.testing.assert_array_equal(spiking.cam, repeated.cam)
    assert (spiking.spike_count.sum("time") > 0).all()


@pytest.mark.parametrize("simulator", list(SIMULATORS))
def test_the_live_map_is_that_of_keras_spiking(tf, images, simulator):
    """Frame by frame, in one network with what reacts to it."""
    model, features = build(tf, trained=True)
    maps, _ = expected_maps(tf, model, features, images[:1])
    net = ncam.convert(model)
    cam = ncam.cam_node(net, labels=[2, 0])
    with net.net:
        probe = nengo.Probe(cam)
    net.input.output = images[0].ravel()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No GPU", UserWarning)
        sim = SIMULATORS[simulator](net.net, progress_bar=False)
    with sim:
        sim.run_steps(STEPS)
        found = cam.maps(np.array(sim.data[probe]))
    close(found, maps[0][:, [2, 0]], 2e-5)


def test_explain_keeps_the_spikes_and_says_so(tf, images):
    model, features = build(tf)
    shown = images[:2]
    result = ncam.explain(model, shown, n_steps=STEPS, seed=0, progress_bar=False)
    maps, logits = expected_maps(tf, model, features, shown)
    # Nothing was scaled or replaced, although images to calibrate on were there.
    close(result.spiking.cam.values, maps, 2e-5)
    assert not result.net.firing_rate_scales and result.net.keeps_spikes
    answers = logits[:, -(STEPS + 1) // 2 :].mean(axis=1).argmax(axis=-1)
    assert result.spiking.answer.values.tolist() == answers.tolist()
    said = str(result).splitlines()
    cnn = ncam.rate_cam(model, shown).logits.values.argmax(axis=-1)
    for number, (own, other) in enumerate(zip(answers, cnn)):
        same = (
            f"both networks answer {own}" if own == other else f"the spiking network answers {own}, but the CNN {other}"
        )
        assert said[number] == f"image {number}: {same}"
    assert said[-2] == "neurons kept: RegularSpiking, the neurons of the model's SpikingActivation layers"
    assert said[-1].startswith("Rate form against Keras: output within ")
    assert "<p>neurons kept: RegularSpiking" in result._repr_html_()


@pytest.mark.parametrize("own", [True, False])
def test_remedies_of_answers_leave_rates_that_were_trained(tf, images, monkeypatch, own, small_model):
    """A share of the images that is small is told of by `explain` itself."""
    import nengo_cam.explaining.explain as explaining

    real = explaining.spiking_cam

    def otherwise(*args, **options):
        found = real(*args, **options)
        found["answer"][0] = (int(found["cnn_answer"][0]) + 1) % 3
        return found

    monkeypatch.setattr(explaining, "spiking_cam", otherwise)
    monkeypatch.setattr(explaining, "DIFFERING_SHARE", 1.0)
    model = build(tf)[0] if own else small_model
    remedy = r"another answer; run more steps\.$" if own else r"run more steps or raise target_rate\.$"
    with pytest.warns(ncam.exceptions.AnswerWarning, match=remedy):
        explaining.explain(model, images[:2], n_steps=STEPS, seed=0, progress_bar=False)


def test_converters_with_time_are_told_which_way_their_model_goes(tf):
    nengo_dl = import_nengo_dl()
    layers = tf.keras.layers
    inputs = tf.keras.Input((5, 4))
    own = ks.SpikingActivation("relu", spiking_aware_training=False)(layers.Dense(3)(inputs))
    converter = nengo_dl.Converter(tf.keras.Model(inputs, own), temporal_model=True)
    message = (
        r"expected temporal_model=False, got True\. Pass the model of KerasSpiking itself: nengo_cam\.convert\(model"
    )
    with pytest.raises(ParameterError, match=message):
        ncam.from_converter(converter)
    plain = nengo_dl.Converter(tf.keras.Model(inputs, layers.Dense(3)(inputs)), temporal_model=True)
    with pytest.raises(ParameterError, match=r"got True\. Convert the model of a single image, and pass moving images"):
        ncam.from_converter(plain)


def test_another_time_step_is_said(tf, images):
    layers = tf.keras.layers
    inputs = tf.keras.Input((None, 8, 6, 2))
    x = layers.TimeDistributed(layers.Conv2D(4, 3))(inputs)
    x = layers.TimeDistributed(layers.Rescaling(1.0, 900.0))(x)
    x = ks.SpikingActivation("relu", dt=0.002)(x)
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D())(x)
    net = ncam.convert(tf.keras.Model(inputs, layers.Dense(3)(x)))
    with pytest.warns(TimeStepWarning, match="made for steps of 0.002 s.*dt=0.002"):
        ncam.spiking_cam(net, images, n_steps=2, progress_bar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TimeStepWarning)
        ncam.spiking_cam(net, images, n_steps=2, dt=0.002, progress_bar=False)


def along_channels(tf, numbered=False):
    """A model of a batch of one: BatchNormalization and Concatenate see time, and its spikes are called twice."""
    layers, channels = tf.keras.layers, 4 if numbered else -1
    inputs = tf.keras.Input((None, 8, 6, 2), batch_size=1)
    spikes = ks.SpikingActivation("relu", seed=3)
    x = layers.Rescaling(200.0, 5.0)(layers.TimeDistributed(layers.Conv2D(4, 3, padding="same"))(inputs))
    normalization = layers.BatchNormalization(axis=channels)
    first = spikes(normalization(x))
    rng = np.random.default_rng(0)
    normalization.set_weights([rng.uniform(0.5, 2.0, w.shape) for w in normalization.get_weights()])
    second = spikes(layers.TimeDistributed(layers.Conv2D(4, 3, padding="same"))(first))
    features = layers.Concatenate(axis=channels)([first, second])
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D())(features)
    return tf.keras.Model(inputs, layers.Dense(3, name="readout")(x)), tf.keras.Model(inputs, features)


@pytest.mark.parametrize("numbered", [False, True])
def test_layers_that_work_along_channels_need_no_wrapping(tf, images, numbered):
    model, features = along_channels(tf, numbered)
    net = ncam.convert(model)
    shown = np.abs(images[:2])
    film = tf.constant(np.repeat(shown[:1, None], STEPS, axis=1))
    kernel, _ = model.get_layer("readout").get_weights()
    expected = np.einsum("ntyxk,kl->ntlyx", features(film, training=False).numpy(), kernel)
    found = ncam.spiking_cam(net, shown[:1], n_steps=STEPS, progress_bar=False, check_answers=False)
    close(found.cam.values, expected, 2e-5)


def wrong(tf, kind):
    layers = tf.keras.layers
    inputs = tf.keras.Input((5, 8, 6, 2))
    x = layers.TimeDistributed(layers.Conv2D(4, 3))(inputs)
    if kind == "activation":
        x = ks.SpikingActivation("elu")(x)
    else:
        x = ks.SpikingActivation("relu", time_major=kind == "time_major")(x)
    if kind == "mixes":
        x = layers.Conv3D(4, 3)(x)
    if kind == "rows":
        x = layers.Softmax(axis=2)(x)
    if kind == "time step":
        x = ks.Lowpass(0.01, dt=0.002)(x)
    if kind == "no frame":
        x = layers.Conv2D(4, (1, 3))(layers.TimeDistributed(layers.Reshape((24, 4)))(x))
        x = layers.TimeDistributed(layers.Reshape((22, 1, 4)))(x)
    x = layers.TimeDistributed(layers.GlobalAveragePooling2D())(x)
    if kind == "recurrent":
        x = layers.GRU(4, return_sequences=True)(x)
    if kind == "flatten":
        x = layers.Flatten()(x)
    return tf.keras.Model(inputs, layers.Dense(3)(x))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("mixes", "Conv3D .* may mix steps"),
        ("recurrent", "GRU .* may mix steps"),
        ("rows", r"Softmax .* works along axis 2, not along the channels"),
        ("time step", r"different time steps; expected one dt, got \[0\.001, 0\.002\] s\. .* the same dt"),
        ("no frame", "Conv2D .* takes no single frame"),
        ("flatten", "Flatten .* may mix steps"),
        ("time_major", "has time_major=True"),
        ("activation", "no neurons have the rates of 'elu'"),
    ],
)
def test_what_has_no_form_is_named(tf, kind, message):
    with pytest.raises(UnsupportedModelError, match=message):
        ncam.convert(wrong(tf, kind))


def test_a_model_without_a_head(tf):
    inputs = tf.keras.Input((None, 10))
    model = tf.keras.Model(inputs, ks.SpikingActivation("relu")(inputs))
    with pytest.raises(HeadError, match="no readout was found"):
        ncam.convert(model)


@pytest.mark.parametrize("order", [1, 2])
def test_a_filter_of_one_time_constant_is_nengos(order):
    """The process for trained filters against Nengo's own, where all elements are alike."""
    signal = np.random.default_rng(0).normal(size=(40, 3))
    ours = ElementwiseFilter(order, [0.004])
    state = ours.make_state((3,), (3,), 0.001, dtype=float)
    step = ours.make_step((3,), (3,), 0.001, None, state)
    found = np.array([np.array(step(0, u)) for u in signal])
    nengos = (nengo.Lowpass if order == 1 else nengo.Alpha)(0.004).filt(signal, dt=0.001, y0=0)
    np.testing.assert_allclose(found, nengos, atol=1e-12)
