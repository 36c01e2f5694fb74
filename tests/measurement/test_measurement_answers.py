import linecache
import types
import warnings

import nengo
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.checks.sources import CheckedImages
from nengo_cam.exceptions import AnswerWarning
from nengo_cam.measurement import answers
from nengo_cam.measurement.backends import Chunk

SIMULATORS = [ncam.Simulator, ncam.compat.import_nengo_dl().Simulator, nengo.Simulator]


def run(net, images, **options):
    return ncam.spiking_cam(net, images, **{"n_steps": 20, "seed": 0, "progress_bar": False, **options})


@pytest.fixture(scope="module")
def net(small_model, images):
    return ncam.convert(small_model, calibrate_on=images)


@pytest.fixture(scope="module")
def otherwise(make_model, images):
    """A network whose rate neurons saturate, so that it answers otherwise than its CNN, for some images or all."""
    model = make_model()
    # The smallest bias decides what a network without activity answers.
    kernel, bias = model.get_layer("readout").get_weights()
    scores = model.predict(images, verbose=0).argmax(axis=1)
    bias[:] = -1
    bias[(scores[0] + 1) % 3] = 0
    model.get_layer("readout").set_weights([100 * kernel, bias])
    return ncam.convert(model, scale_firing_rates=1e-3)


def settled(logits):
    return logits[:, logits.shape[1] // 2 :].mean(axis=1).argmax(axis=1)


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("options", [{}, {"chunk_steps": 3, "minibatch_size": 2}, {"n_steps": 7}])
def test_both_answers_are_in_the_result(net, small_model, images, simulator, options):
    result = run(net, images, simulator=simulator, **options)
    assert result.answer.values.tolist() == settled(result.logits.values).tolist()
    # Through Keras itself, whose probabilities are the softmax of the logits.
    probabilities = small_model.predict(images, verbose=0)
    exponentials = np.exp(result.cnn_logits.values.astype(float))
    np.testing.assert_allclose(exponentials / exponentials.sum(axis=1, keepdims=True), probabilities, rtol=1e-4)
    np.testing.assert_allclose(result.cnn_logits, ncam.rate_cam(small_model, images).logits, rtol=1e-4, atol=1e-5)
    assert result.cnn_answer.values.tolist() == probabilities.argmax(axis=1).tolist()


def test_answers_are_those_of_all_labels_by_name(net, images):
    names = ["cat", "dog", "bird"]
    everything = run(net, images)
    some = run(net, images, labels="dog", label_names=names)
    assert some.cnn_logits.sizes == {"image": 5, "label": 1}
    np.testing.assert_array_equal(some.cnn_logits[:, 0], everything.cnn_logits[:, 1])
    for variable in ("answer", "cnn_answer"):
        assert some[variable].values.tolist() == [names[i] for i in everything[variable].values]


@pytest.mark.parametrize("neurons", [ncam.IntegrateAndFire(), ncam.SigmaDelta(), None], ids=str)
@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.AnswerWarning")
@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.MovingInputWarning")
def test_input_that_moves_has_an_answer_of_the_cnn_at_each_step(small_model, images, neurons):
    net = ncam.convert(small_model, neurons=neurons, scale_firing_rates=None if neurons is None else 500)
    level = not isinstance(neurons, ncam.IntegrateAndFire)
    result = run(net, images[None], n_steps=5)
    assert result.attrs["readout"] == ("level" if level else "mean")
    frames = ncam.rate_cam(small_model, images[None]).logits.values
    np.testing.assert_allclose(result.cnn_logits, frames, rtol=1e-4, atol=1e-5)
    assert result.cnn_answer.values.tolist() == (frames[:, -1].argmax(axis=1) if level else settled(frames)).tolist()
    kept = run(net, images[None], n_steps=5, times=[0.002, 0.005])
    means = np.stack([frames[:, :2].mean(axis=1), frames.mean(axis=1)], axis=1)
    expected = frames[:, [1, 4]] if level else means
    np.testing.assert_allclose(kept.cnn_logits, expected, rtol=1e-4, atol=1e-5)
    assert abs(means - frames[:, [1, 4]]).max() > 1e-3
    if neurons is not None:
        return
    # Filtered as the network's own: the bias is there from the start.
    smoothed = ncam.smooth(result, 0.002)
    caused = nengo.Lowpass(0.002).filt(frames - result.bias.values, dt=0.001, axis=1, y0=0)
    np.testing.assert_allclose(smoothed.cnn_logits, caused + result.bias.values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("activation", "answered"), [("sigmoid", True), ("linear", False)])
def test_a_single_label_is_answered_by_yes_and_no(make_model, images, activation, answered):
    model = make_model(n_labels=1, activation=activation)
    net = ncam.convert(model, neurons=None)
    kernel, bias = model.get_layer("readout").get_weights()
    logits = ncam.rate_cam(model, images).logits.values
    # Half of the images on either side.
    model.get_layer("readout").set_weights([kernel, bias - np.median(logits)])
    net = ncam.convert(model, neurons=None)
    result = run(net, images, n_steps=2)
    assert ("answer" in result) is answered
    if answered:
        probabilities = model.predict(images, verbose=0)[:, 0]
        assert result.cnn_answer.values.tolist() == (probabilities > 0.5).astype(int).tolist()
        assert set(result.answer.values.tolist()) == {0, 1}


def test_another_answer_is_warned_of_at_the_line_of_the_user(otherwise, images):
    names = ["cat", "dog", "bird"]
    with pytest.warns() as caught:
        result = run(otherwise, images, label_names=names)
    (warning,) = (entry for entry in caught if entry.category is AnswerWarning)
    assert warning.filename == __file__
    assert "return ncam.spiking_cam(" in linecache.getline(__file__, warning.lineno)
    message = str(warning.message)
    differing = np.flatnonzero(result.answer.values != result.cnn_answer.values)
    assert len(differing) > 0
    assert f"for {len(differing)} of 5 images (mean of the last half of 20 steps" in message
    first = differing[0]
    assert f"image {first}: {result.answer.values[first]} instead of {result.cnn_answer.values[first]}" in message
    assert "Likely, its firing rates were not calibrated. Convert with calibrate_on=images" in message


def test_of_levels_a_warning_says_by_which_step(otherwise, make_model, images):
    net = ncam.convert(otherwise.source, neurons=ncam.SigmaDelta(), scale_firing_rates=1e-3)
    with pytest.warns(AnswerWarning, match=r"\(the last of 20 steps; image"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ncam.exceptions.SilentFeaturesWarning)
        run(net, images)


def test_no_warning_if_it_is_not_asked_for_or_a_few_differ(net, otherwise, images, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("error", AnswerWarning)
        warnings.simplefilter("ignore", ncam.exceptions.SilentFeaturesWarning)
        quiet = run(otherwise, images, check_answers=False)
        assert not {"answer", "cnn_answer", "cnn_logits"} & set(quiet)
        # A share that is just reached.
        monkeypatch.setattr(answers, "DIFFERING_SHARE", 1.0)
        run(otherwise, images)


def test_the_cnn_is_not_run_if_nobody_asks(net, images, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the CNN was run")

    monkeypatch.setattr(ncam.CAMNetwork, "cnn_logits", never)
    run(net, images, check_answers=False)
    with pytest.raises(AssertionError, match="the CNN was run"):
        run(net, images)


CAUSES = [
    ({"neurons": None}, "nothing in it spikes", "Convert the model again"),
    ({"neurons": nengo.SpikingRectifiedLinear()}, "rectifies its input at every step", "neurons='auto'"),
    ({"scale_firing_rates": 200}, "not calibrated", "calibrate_on=images"),
    ({"neurons": nengo.LIF(), "calibrate": True}, "the rates of LIF are not those of a ReLU", "neurons='auto'"),
    ({"calibrate": True, "target_rate": 100}, "strong activity makes 5 spikes in 50 steps", "target_rate=1000"),
    ({"calibrate": True, "target_rate": 800}, "strong activity makes 40 spikes in 50 steps", "target_rate=1600"),
    ({"neurons": ncam.SigmaDelta(), "scale_firing_rates": 9}, "strong activity is in quanta was not", "calibrate_on="),
    (
        {"neurons": ncam.SigmaDelta(quantum=4), "calibrate": True, "target_rate": 200},
        "strong activity is 50 quanta", "target_rate=800",
    ),
    (
        {"neurons": ncam.SigmaDelta(None, 0.2, 5), "calibrate": True, "target_rate": 200},
        "activity is told to 1 Hz (threshold times quantum), and strong activity is 200 Hz", "target_rate=400",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("options", "cause", "remedy"), CAUSES)
def test_the_cause_follows_from_how_the_network_was_converted(small_model, images, options, cause, remedy):
    options = dict(options)
    if options.pop("calibrate", False):
        options["calibrate_on"] = images
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ncam.exceptions.CAMWarning)
        net = ncam.convert(small_model, **options)
    found = answers.likely_cause(net, n_steps=50, dt=0.001)
    assert cause in found.clause
    assert remedy in found.remedy


@pytest.mark.parametrize(("bits", "n_steps"), [(1, 12), (2, 6), (3, 4), (None, 1)])
def test_levels_take_steps_to_be_told(small_model, images, bits, n_steps):
    net = ncam.convert(small_model, calibrate_on=images, neurons=ncam.SigmaDelta(bits))
    assert "settle" not in answers.likely_cause(net, n_steps=n_steps, dt=0.001).clause
    if bits is not None:
        early = answers.likely_cause(net, n_steps=n_steps - 1, dt=0.001)
        assert f"of {bits} significant bits do not settle in {n_steps - 1} steps" in early.clause
        assert early.remedy == "Raise n_steps, or convert with neurons=nengo_cam.SigmaDelta(bits=None)"


@pytest.mark.parametrize(
    ("neurons", "cause", "remedy"),
    [
        (ncam.IntegrateAndFire(), "remember what was shown before", "Convert with neurons=nengo_cam.SigmaDelta()"),
        (
            ncam.SigmaDelta(2),
            "levels told in spikes of 2 significant bits are some steps late",
            "with neurons=nengo_cam.SigmaDelta(bits=None)",
        ),
        # No memory, so that what helps for still images helps.
        (ncam.SigmaDelta(None), "activity is told to 0.6 Hz", "target_rate=400"),
    ],
)
def test_of_moving_input_the_cause_is_what_neurons_remember(small_model, images, neurons, cause, remedy):
    net = ncam.convert(small_model, calibrate_on=images, neurons=neurons)
    found = answers.likely_cause(net, n_steps=100, dt=0.001, moving=True)
    assert cause in found.clause
    assert remedy in found.remedy
    still = answers.likely_cause(net, n_steps=100, dt=0.001)
    assert "moves" not in still.clause


@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.MovingInputWarning")
def test_a_run_of_moving_input_says_so(digits_model, digits):
    """Half a run of one digit, half of another: unit spikes are late, and more of them would not help."""
    (train, _), (test, _) = digits
    net = ncam.convert(digits_model, calibrate_on=train[:100], neurons=ncam.IntegrateAndFire())
    film = test[:2][None].repeat(20, axis=1)
    with pytest.warns(AnswerWarning, match=r"its input moves, and .* Convert with neurons=nengo_cam\.SigmaDelta\(\)"):
        ncam.spiking_cam(net, film, n_steps=40, seed=0, progress_bar=False)


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("chunk_steps", [None, 2])
def test_of_levels_the_last_step_answers(make_model, images, simulator, chunk_steps):
    """Seen while images change: the mean of the last half says something else."""
    model = make_model()
    kernel, bias = model.get_layer("readout").get_weights()
    # Not the same label for all images.
    model.get_layer("readout").set_weights([kernel, bias - ncam.rate_cam(model, images).logits.values.mean(axis=0)])
    net = ncam.convert(model, neurons=ncam.SigmaDelta(None, quantum=0.05), calibrate_on=images)
    winners = ncam.rate_cam(model, images).logits.values.argmax(axis=1)
    first, last = next((i, j) for i in range(5) for j in range(5) if winners[i] != winners[j])
    moving = images[[first] * 5 + [last]][None]
    result = run(net, moving, n_steps=6, simulator=simulator, chunk_steps=chunk_steps)
    assert settled(result.logits.values).tolist() == [winners[first]]
    assert result.answer.values.tolist() == result.cnn_answer.values.tolist() == [winners[last]]
    assert result.answer.attrs["long_name"] == "answer of the spiking network, last step"


@pytest.mark.parametrize("neurons", [ncam.IntegrateAndFire(), ncam.SignedIntegrateAndFire()], ids=str)
def test_deep_networks_of_spikes_of_one_size_are_told_to_leave_the_choice(make_model, images, neurons):
    deep, kind = make_model(channels=(3,) * 6), type(neurons).__name__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ncam.exceptions.DepthWarning)
        net = ncam.convert(deep, calibrate_on=images, neurons=neurons)
    cause = answers.likely_cause(net, n_steps=100, dt=0.001)
    assert cause.clause.startswith(f"6 layers of {kind} are too many to settle in time, and strong activity")
    assert "makes 20 spikes" in cause.clause
    assert cause.remedy == "Convert with neurons='auto'"
    cause = answers.likely_cause(net, n_steps=1000, dt=0.001)
    assert cause.clause == f"6 layers of {kind} are too many to settle in time"
    shallow = ncam.convert(make_model(channels=(3,) * 5), calibrate_on=images, neurons=neurons)
    assert "too many" not in answers.likely_cause(shallow, n_steps=100, dt=0.001).clause
    # The remedy is not what was done already.
    chosen = answers.likely_cause(ncam.convert(deep, calibrate_on=images), n_steps=100, dt=0.001)
    assert "auto" not in chosen.remedy


def test_tensor_nodes_without_a_synapse_are_named(tf, make_model, images):
    layers = tf.keras.layers
    model = make_model(layers.MaxPooling2D(name="pool"), layers.GlobalAveragePooling2D(), layers.Dense(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ncam.exceptions.NonSpikingWarning)
        net = ncam.convert(model, calibrate_on=images, neurons=ncam.IntegrateAndFire())
    cause = answers.likely_cause(net, n_steps=9, dt=0.001)
    assert "the TensorNodes ['pool'] see single spikes" in cause.clause
    assert cause.remedy == "Convert with neurons='auto'"


def test_a_network_that_was_trained_further_is_told_from_one_that_is_inaccurate(tf, small_model, images):
    net = ncam.convert(small_model, calibrate_on=images)
    with ncam.compat.import_nengo_dl().Simulator(net.net, minibatch_size=5, seed=0, progress_bar=False) as sim:
        other = (ncam.rate_cam(net, images).logits.values.argmax(axis=1) + 1) % 3
        sim.compile(tf.keras.optimizers.SGD(5.0), loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        sim.fit(images.reshape(5, 1, -1), other.reshape(5, 1, 1), epochs=30, verbose=0)
        with pytest.warns(AnswerWarning, match="it was trained after conversion, .*Pass check_answers=False if"):
            run(net, images, simulator=sim)
        sim.freeze_params(net.net)
    with pytest.warns(AnswerWarning, match="it was trained after conversion"):
        run(net, images)


@pytest.mark.parametrize("chunk_steps", [1, 2, 5])
@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("readout", ["mean", "level"])
def test_the_last_half_answers(chunk_steps, moving, readout):
    """Of five steps the last three: the first two are strong, and for another label. Of levels the last one."""
    logits = np.array([[[9.0, 0], [9, 0], [0, 1], [0, 1], [0, 1]], [[0, 9], [0, 9], [1, 0], [1, 0], [1, 0]]])
    if readout == "level":
        logits[:, -2] *= 9
        logits[:, -1] = logits[:, -1, ::-1]
    head = types.SimpleNamespace(n_labels=2, activation="softmax")
    cnn = logits[::-1] if moving else logits[::-1, -1]
    # A CNN whose logits are the values of its images.
    frames = cnn if moving else cnn[:, None]
    run = types.SimpleNamespace(
        net=types.SimpleNamespace(head=head, cnn_logits=lambda images: images, require_cnn=lambda what: None),
        images=CheckedImages(cnn, (2,)),
        frames=lambda rows: frames[rows],
        n_steps=5,
        readout=readout,
    )
    recorder = answers.AnswersRecorder()
    recorder.begin(run)
    for row in range(2):
        for start in range(0, 5, chunk_steps):
            part = logits[row : row + 1, start : start + chunk_steps]
            recorder.add(slice(row, row + 1), Chunk(start, None, part, {}))
    found = recorder.result()
    assert found.spiking.tolist() == ([1, 0] if readout == "mean" else [0, 1])
    assert found.cnn.tolist() == ([0, 1] if readout == "mean" else [1, 0])
    assert found.differing.tolist() == [0, 1]
