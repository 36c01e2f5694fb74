import json

import nengo
import nengo_dl
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nengo_cam as ncam
from nengo_cam.compat import without_gpu_advice
from nengo_cam.exceptions import (
    ChannelMismatchError,
    ImageError,
    LabelError,
    ModelTypeError,
    ParameterError,
    ResultError,
    ResultSizeError,
    SilentFeaturesWarning,
    SimulatorError,
)

SIMULATORS = {"nengo_cam": ncam.Simulator, "nengo_dl": nengo_dl.Simulator, "nengo": nengo.Simulator}


def spiking_cam(net, images, **options):
    return ncam.spiking_cam(net, images, **{"n_steps": 20, "seed": 0, "progress_bar": False, **options})


@pytest.fixture(scope="module")
def net(small_model, images):
    return ncam.convert(small_model, calibrate_on=images)


def keras_cam(tf, model, images, features="conv1", readout="readout"):
    """Keras's own map by another path: a model of the features and a sum over channels."""
    activity = tf.keras.Model(model.input, model.get_layer(features).output).predict(images, verbose=0)
    return np.einsum("nyxk,kl->nlyx", activity, model.get_layer(readout).get_weights()[0])


# The NumPy core


def test_map_against_a_slow_loop():
    rng = np.random.default_rng(0)
    activity, kernel = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(5, 6))
    maps = ncam.class_activation_map(activity, kernel)
    for n, y, x, label in np.ndindex(maps.shape):
        expected = sum(kernel[k, label] * activity[n, y, x, k] for k in range(5))
        assert maps[n, y, x, label] == pytest.approx(expected)


finite = st.floats(-10, 10, width=32)


@settings(deadline=None, max_examples=50)
@given(
    activity=hnp.arrays(float, (3, 2, 4), elements=finite),
    other=hnp.arrays(float, (3, 2, 4), elements=finite),
    kernel=hnp.arrays(float, (4, 3), elements=finite),
    order=st.permutations(range(4)),
    factor=finite,
)
def test_map_is_linear_complete_and_blind_to_the_order_of_channels(activity, other, kernel, order, factor):
    maps = ncam.class_activation_map(activity, kernel)
    np.testing.assert_allclose(maps.mean((0, 1)), activity.mean((0, 1)) @ kernel, atol=1e-9)
    np.testing.assert_allclose(
        ncam.class_activation_map(factor * activity + other, kernel),
        factor * maps + ncam.class_activation_map(other, kernel),
        atol=1e-8,
    )
    np.testing.assert_allclose(ncam.class_activation_map(activity[..., order], kernel[order]), maps, atol=1e-9)


@pytest.mark.parametrize(
    ("activity", "kernel"), [((2, 3, 4), (5, 6)), ((2, 3, 4), (4,)), ((), (1, 1)), ((4, 3, 2), (4, 6))]
)
def test_channels_have_to_match(activity, kernel):
    with pytest.raises(ChannelMismatchError, match="its last axis has to match the rows of the kernel"):
        ncam.class_activation_map(np.zeros(activity), np.zeros(kernel))


# The identity and the rate limit


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("synapse", [None, 0.005, nengo.Alpha(0.005)], ids=["none", "lowpass", "alpha"])
@pytest.mark.parametrize(
    "neurons",
    [ncam.IntegrateAndFire(), ncam.SignedIntegrateAndFire(), nengo.SpikingRectifiedLinear(), nengo.LIF(), None],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.RectifiedInputWarning")
def test_mean_of_the_map_plus_bias_is_the_logit_at_every_step(make_model, images, neurons, synapse, use_bias):
    model = make_model(use_bias=use_bias)
    network = ncam.convert(model, neurons=neurons, synapse=synapse, scale_firing_rates=400)
    for simulator in SIMULATORS.values():
        result = spiking_cam(network, images[:2], simulator=simulator, chunk_steps=7)
        error = abs(result.cam.mean(("y", "x")) + result.bias - result.logits).max() / abs(result.logits).max()
        assert float(error) <= 1e-5
        assert abs(result.cam).max() > 0
        assert bool(result.bias.any()) == use_bias


@pytest.mark.parametrize("simulator", sorted(SIMULATORS))
def test_rate_neurons_give_keras_own_map(tf, small_model, images, simulator):
    network = ncam.convert(small_model, neurons=None)
    result = spiking_cam(network, images, n_steps=3, simulator=SIMULATORS[simulator])
    expected = keras_cam(tf, small_model, images)
    np.testing.assert_allclose(result.cam.isel(time=-1), expected, atol=1e-4 * np.ptp(expected))


def test_rate_cam_is_keras_own_map(tf, small_model, images, net):
    expected = keras_cam(tf, small_model, images)
    logits = ncam.inference_model(small_model).predict(images, verbose=0)
    for source in (net, small_model):
        result = ncam.rate_cam(source, images, minibatch_size=2)
        np.testing.assert_allclose(result.cam, expected, atol=1e-5 * np.ptp(expected))
        np.testing.assert_allclose(result.logits, logits, rtol=1e-4, atol=1e-6)
        assert result.cam.dims == ("image", "label", "y", "x")
        assert result.attrs["model"] == "small"


@pytest.mark.slow
def test_the_mean_map_tends_to_the_rate_map_as_one_over_time(digits_model, digits):
    (train, _), (test, _) = digits
    network = ncam.convert(digits_model, calibrate_on=train[:200])
    rate = ncam.rate_cam(network, test[:4])
    mean = ncam.cumulative(spiking_cam(network, test[:4], n_steps=400))
    steps = np.array([50, 100, 200, 400])
    errors = np.sqrt(((mean.cam.isel(time=steps - 1) - rate.cam) ** 2).mean(("image", "label", "y", "x"))).values
    ratios = errors[:-1] / errors[1:]
    assert (ratios > 1.6).all(), ratios
    assert (ratios < 2.6).all(), ratios
    # Over the whole range: a slope of -1 on log-log axes.
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1, abs=0.15)


# Weights come from the simulator


@pytest.mark.parametrize("neurons", [None, ncam.IntegrateAndFire()], ids=str)
def test_weights_after_fit_are_used(tf, small_model, images, neurons):
    network = ncam.convert(small_model, neurons=neurons, scale_firing_rates=500)
    before = spiking_cam(network, images, n_steps=8)
    with without_gpu_advice(), nengo_dl.Simulator(network.net, minibatch_size=5, progress_bar=False) as sim:
        sim.compile(tf.keras.optimizers.SGD(0.5), loss={network.logits: "mse"})
        frames = images.reshape(5, 1, -1)
        sim.fit({network.input: frames}, {network.logits: np.full((5, 1, 3), 3.0)}, epochs=3, verbose=0)
        live = spiking_cam(network, images, n_steps=8, seed=None, simulator=sim)
        tuned_kernel = sim.data[network.readout].weights.T
        sim.freeze_params(network.net)
    frozen = spiking_cam(network, images, n_steps=8)
    assert np.abs(tuned_kernel - network.head.kernel).max() > 0.01
    for result in (live, frozen):
        error = abs(result.cam.mean(("y", "x")) + result.bias - result.logits).max() / abs(result.logits).max()
        assert float(error) <= 1e-5
        assert float(abs(result.cam - before.cam).max()) > 1e-3
        assert float(abs(result.bias - before.bias).max()) > 1e-3
    np.testing.assert_allclose(frozen.cam, live.cam, rtol=1e-3, atol=1e-5)
    # What Keras's kernel would give, on the features of the tuned network, is another map.
    kept = spiking_cam(network, images, n_steps=8, keep_features=True)
    with_keras_kernel = np.einsum("ntkyx,kl->ntlyx", kept.features, network.head.kernel)
    assert np.abs(with_keras_kernel - kept.cam).max() > 1e-3
    with_tuned_kernel = np.einsum("ntkyx,kl->ntlyx", kept.features, tuned_kernel)
    np.testing.assert_allclose(kept.cam, with_tuned_kernel, rtol=1e-3, atol=1e-5)


# Form of the result


def test_dims_coordinates_and_provenance(net, images):
    result = spiking_cam(net, images, n_steps=7, dt=0.002, seed=11, keep_features=True)
    assert result.cam.dims == ("image", "time", "label", "y", "x")
    assert result.logits.dims == ("image", "time", "label")
    assert result.features.dims == ("image", "time", "channel", "y", "x")
    np.testing.assert_allclose(result.time, 0.002 * np.arange(1, 8))
    np.testing.assert_array_equal(result.y, np.arange(8))
    np.testing.assert_array_equal(result.x, np.arange(6))
    assert result.label.values.tolist() == [0, 1, 2]
    assert {v: result[v].attrs["units"] for v in ("cam", "logits", "bias", "time", "y", "x")} == {
        **dict.fromkeys(("cam", "logits", "bias"), "logit"),
        "time": "s",
        **dict.fromkeys("yx", "pixel"),
    }
    attrs = result.attrs
    assert (attrs["seed"], attrs["dt"], attrs["simulator"]) == (11, 0.002, "nengo_cam.Simulator")
    assert "IntegrateAndFire" in attrs["neurons"]
    assert json.loads(attrs["firing_rate_scales"]) == pytest.approx(net.firing_rate_scales)
    assert attrs["nengo_dl"] == nengo_dl.__version__
    # Features are in the units of the model, whatever channels were multiplied by to spike alike.
    kernel = net.model.layers[-1].get_weights()[0]
    np.testing.assert_allclose(np.einsum("ntkyx,kl->ntlyx", result.features, kernel), result.cam, rtol=1e-4, atol=1e-5)


def test_cells_of_a_coarse_map_divide_the_image_evenly(tf, make_model, images):
    layers = tf.keras.layers
    model = make_model(layers.AveragePooling2D(2), layers.GlobalAveragePooling2D(), layers.Dense(2))
    result = ncam.rate_cam(model, images)
    assert result.y.values.tolist() == [0.5, 2.5, 4.5, 6.5]
    assert result.x.values.tolist() == [0.5, 2.5, 4.5]


@pytest.mark.parametrize("names", [None, ["cat", "dog", "bird"]])
def test_a_round_trip_through_netcdf_keeps_everything(net, images, tmp_path, names):
    result = spiking_cam(net, images[:2], n_steps=3, label_names=names)
    result.to_netcdf(tmp_path / "cam.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "cam.nc", engine="h5netcdf") as loaded:
        xr.testing.assert_equal(loaded, result)
        for name, value in result.attrs.items():
            np.testing.assert_array_equal(loaded.attrs[name], value)


def test_minibatches_chunks_and_order_change_nothing(net, images):
    whole = spiking_cam(net, images, simulator=nengo.Simulator)
    # Double precision, where no spike flips at the threshold.
    np.testing.assert_allclose(spiking_cam(net, images, simulator=nengo.Simulator, chunk_steps=3).cam, whole.cam)
    # Single precision: a flipped spike would show as a jump of 1 / (scale * dt), which none of the tolerances hides.
    reference = spiking_cam(net, images, minibatch_size=5)
    for options in ({"minibatch_size": 2}, {"minibatch_size": 3, "chunk_steps": 4}, {"minibatch_size": 1}):
        np.testing.assert_allclose(spiking_cam(net, images, **options).cam, reference.cam, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(spiking_cam(net, images[::-1]).cam[::-1], reference.cam, rtol=1e-4, atol=1e-4)


def test_labels_by_index_and_name(net, images):
    names = ["cat", "dog", "bird"]
    everything = spiking_cam(net, images[:1], n_steps=5)
    some = spiking_cam(net, images[:1], n_steps=5, labels=["bird", 0], label_names=names)
    assert some.label.values.tolist() == ["bird", "cat"]
    np.testing.assert_array_equal(some.cam, everything.cam[:, :, [2, 0]])
    np.testing.assert_array_equal(some.logits, everything.logits[:, :, [2, 0]])
    np.testing.assert_array_equal(some.bias, everything.bias[[2, 0]])
    for one in (1, np.int64(1), np.array(1)):
        assert spiking_cam(net, images[:1], n_steps=5, labels=one).label.values.tolist() == [1]
    rate = ncam.rate_cam(net, images[:1], labels="dog", label_names=names)
    np.testing.assert_allclose(rate.cam[:, 0], ncam.rate_cam(net, images[:1]).cam[:, 1], rtol=1e-5, atol=1e-7)


def test_a_name_that_comes_twice_gets_a_number(net, images):
    twice = spiking_cam(net, images[:1], n_steps=3, label_names=["crane", "crane", "crane (2)"])
    assert twice.label.values.tolist() == ["crane", "crane (3)", "crane (2)"]
    one = ncam.rate_cam(net, images[:1], labels="crane (2)", label_names=["crane", "dog", "crane"])
    np.testing.assert_array_equal(one.cam, ncam.rate_cam(net, images[:1], labels=2).cam)


@pytest.mark.parametrize("simulator", sorted(SIMULATORS))
@pytest.mark.parametrize("options", [{}, {"chunk_steps": 4, "minibatch_size": 2}])
def test_chosen_times_keep_the_running_mean(net, images, simulator, options):
    run = {"n_steps": 20, "simulator": SIMULATORS[simulator], "count_spikes": True, "keep_features": True}
    full = spiking_cam(net, images[:3], **run)
    # The nearest steps, in order and once.
    kept = spiking_cam(net, images[:3], times=[0.02, 0.0014, 0.004, 0.0011, 0.013], **run, **options)
    expected = full.isel(time=[0, 3, 12, 19])
    assert kept.time.values.tolist() == expected.time.values.tolist()
    for name in ("cam", "logits", "spike_count", "features"):
        for position, step in enumerate((0, 3, 12, 19)):
            # A spike that flips in single precision would show as 1 / (scale * dt).
            mean = full[name].values[:, : step + 1].mean(axis=1)
            np.testing.assert_allclose(kept[name].values[:, position], mean, rtol=1e-4, atol=2e-4)
    assert kept.attrs["time_reduction"] == "running mean"
    assert kept.answer.values.tolist() == full.answer.values.tolist()
    with pytest.raises(ResultError, match="averaged over time already"):
        ncam.cumulative(kept)


def test_chosen_times_need_no_memory_for_the_others(net, images, monkeypatch):
    monkeypatch.setattr("nengo_cam.checks.memory.free_memory", lambda: 10_000)
    with pytest.raises(ResultSizeError, match="keep chosen times") as caught:
        spiking_cam(net, images[:1], n_steps=20)
    # Three labels on 8 x 6 cells, and as many logits.
    assert caught.value.n_bytes == 4 * 20 * 3 * (8 * 6 + 1)
    assert spiking_cam(net, images[:1], n_steps=20, times=[0.02]).cam.shape == (1, 1, 3, 8, 6)
    assert spiking_cam(net, images[:1], n_steps=20, labels=0).cam.shape == (1, 20, 1, 8, 6)


def test_moving_images(small_model, images):
    network = ncam.convert(small_model, neurons=None)
    moving = spiking_cam(network, images[None], n_steps=5)
    frames = ncam.rate_cam(network, images[None])
    assert frames.cam.dims == ("image", "time", "label", "y", "x")
    np.testing.assert_allclose(moving.cam, frames.cam, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(frames.cam[0], ncam.rate_cam(network, images).cam, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(moving.time, frames.time)


def test_a_seed_that_was_not_given_is_recorded_and_repeats(small_model, images):
    neurons = ncam.IntegrateAndFire(initial_state={"voltage": nengo.dists.Uniform(0, 1)})
    network = ncam.convert(small_model, calibrate_on=images, neurons=neurons)
    first = spiking_cam(network, images[:1], seed=None)
    again = spiking_cam(network, images[:1], seed=first.attrs["seed"])
    np.testing.assert_array_equal(first.cam, again.cam)
    network.net.seed = 5
    assert spiking_cam(network, images[:1], seed=None).attrs["seed"] == 5


def test_chunks_keep_to_the_memory_budget(net, images, monkeypatch):
    """However many steps there are, no more features are asked for at a time than the budget allows."""
    from nengo_cam.measurement.backends import NengoBackend

    asked, budget = [], 16 * 2**20
    # The image, the features and the maps of three labels, in single precision.
    step_bytes = 4 * (8 * 6 * 2 + 8 * 6 * 5 + 8 * 6 * 3)
    run, choose = NengoBackend.run, NengoBackend.choose_chunk_steps

    def spy(self, frames, n_steps, chunk_steps):
        asked.append(chunk_steps)
        return run(self, frames, n_steps, chunk_steps)

    def larger(self, n_steps, n_bytes):
        """As if a step of this network were as large as that."""
        assert n_bytes == step_bytes
        return choose(self, n_steps, size)

    monkeypatch.setattr(NengoBackend, "run", spy)
    monkeypatch.setattr(NengoBackend, "choose_chunk_steps", larger)
    size = budget // 10
    for n_steps in (8, 20, 21, 95):
        spiking_cam(net, images[:1], n_steps=n_steps, simulator=nengo.Simulator)
    # As equal as can be, at most ten.
    assert asked == [8, 10, 7, 10]
    size = budget // 10 + 1
    spiking_cam(net, images[:1], n_steps=90, simulator=nengo.Simulator)
    assert asked[-1] == 9
    size = 2 * budget
    spiking_cam(net, images[:1], n_steps=3, simulator=nengo.Simulator)
    assert asked[-1] == 1


# Wrong input


def test_silence_is_said(small_model, images):
    network = ncam.convert(small_model, scale_firing_rates=1e-3)
    with pytest.warns(SilentFeaturesWarning, match="'conv1' was silent for all images in 20 steps"):
        result = spiking_cam(network, images)
    assert not result.cam.any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_steps": 0}, ParameterError, "n_steps: expected a whole number of at least 1, got 0"),
        ({"n_steps": 2.5}, ParameterError, "n_steps"),
        ({"n_steps": True}, ParameterError, "n_steps"),
        ({"dt": 0}, ParameterError, "dt: expected a positive number of seconds"),
        ({"dt": -0.001}, ParameterError, "dt"),
        ({"dt": float("nan")}, ParameterError, "dt"),
        ({"minibatch_size": 0}, ParameterError, "minibatch_size"),
        ({"chunk_steps": -1}, ParameterError, "chunk_steps"),
        ({"labels": 3}, LabelError, "3 does not exist; expected an index from 0 to 2"),
        ({"labels": -1}, LabelError, "-1 does not exist"),
        ({"labels": "cat"}, LabelError, "Pass label_names"),
        ({"labels": "eel", "label_names": ["cat", "dog", "bird"]}, LabelError, r"one of \['cat', 'dog', 'bird'\]"),
        ({"labels": [1, 1]}, LabelError, "each once"),
        ({"labels": []}, LabelError, "at least one label"),
        ({"labels": 1.5}, LabelError, "1.5 does not exist"),
        ({"label_names": ["a", "b"]}, LabelError, "expected 3 names, one for each label"),
        ({"label_names": [1, 2, 3]}, LabelError, "expected strings, got"),
        ({"label_names": 5}, LabelError, "expected strings, got"),
        ({"seed": -1}, ParameterError, "seed: expected a whole number from 0"),
        ({"seed": 1.5}, ParameterError, "seed"),
        ({"times": []}, ParameterError, "expected at least one time from 0.001 to 0.02 s"),
        ({"times": 0.2}, ParameterError, r"times: not in the run; .*, got 0.2"),
        ({"times": [0.01, 0]}, ParameterError, "times: not in the run"),
        ({"times": "late"}, ParameterError, "times: not in the run"),
        ({"n_steps": 10**9}, ResultSizeError, r"5 images x 1,000,000,000 times x 3 labels .* Map fewer labels"),
    ],
)
def test_wrong_options_are_found_before_any_simulation(net, images, options, error, message, monkeypatch):
    def never(*_, **__):
        raise AssertionError("a simulator was made")

    monkeypatch.setattr("nengo_cam.measurement.run.open_backend", never)
    with pytest.raises(error, match=message):
        spiking_cam(net, images, **options)


def test_wrong_networks_and_images(net, small_model, images):
    with pytest.raises(ModelTypeError, match="expected a CAMNetwork, got (tf_)?keras"):
        spiking_cam(small_model, images)
    with pytest.raises(ImageError, match="Add the batch axis"):
        spiking_cam(net, images[0])
    with pytest.raises(ImageError, match="expected 20 frames, got 5"):
        spiking_cam(net, images[None])
    with pytest.raises(ModelTypeError):
        ncam.rate_cam("model", images)
    with pytest.raises(ImageError):
        ncam.rate_cam(net, images[0])


def test_progress_is_shown_unless_switched_off(net, images, capsys):
    spiking_cam(net, images, progress_bar=True)
    assert "100/100" in capsys.readouterr().err
    spiking_cam(net, images, progress_bar=False)
    assert "step" not in capsys.readouterr().err


@pytest.mark.parametrize("simulator", SIMULATORS.values(), ids=SIMULATORS)
@pytest.mark.parametrize("neurons", [ncam.IntegrateAndFire(), ncam.SignedIntegrateAndFire(), nengo.LIF()], ids=str)
def test_spike_counts_against_probes(make_model, images, simulator, neurons):
    """Counted by hand, neuron by neuron, on the reference."""
    net = ncam.convert(make_model(), neurons=neurons, scale_firing_rates=300)
    n_probes = len(net.net.all_probes)
    result = ncam.spiking_cam(
        net,
        images[:2],
        n_steps=30,
        simulator=simulator,
        seed=3,
        count_spikes=True,
        minibatch_size=2,
        chunk_steps=10,
        progress_bar=False,
    )
    assert len(net.net.all_probes) == n_probes
    assert list(result.layer.values) == ["conv0", "conv1"]
    with net.net:
        probes = [nengo.Probe(ensemble.neurons) for ensemble in net.net.all_ensembles]
    net.net.seed = 3
    for i, image in enumerate(images[:2]):
        net.input.output = image.ravel()
        with nengo.Simulator(net.net, progress_bar=False) as sim:
            sim.run_steps(30)
        for probe, name in zip(probes, ("conv0", "conv1")):
            height = net.spiking_layers[name].neuron_type.amplitude / 0.001
            spikes = np.abs(sim.data[probe] / height).sum(axis=1)
            np.testing.assert_allclose(result.spike_count.sel(layer=name)[i], spikes, rtol=1e-9)
            assert spikes.any()


@pytest.mark.parametrize("simulator", SIMULATORS.values(), ids=SIMULATORS)
@pytest.mark.parametrize("bits", [None, 1, 2])
@pytest.mark.parametrize("moving", [False, True], ids=["still", "moving"])
def test_changes_of_levels_against_probes(small_model, images, simulator, bits, moving):
    """Counted by hand, neuron by neuron, on the reference: one spike for each change, and how large it is."""
    net = ncam.convert(small_model, neurons=ncam.SigmaDelta(bits, quantum=2), calibrate_on=images)
    shown = np.repeat(images[:4].reshape(2, 2, 8, 6, 2), 6, axis=1) if moving else images[:2]
    result = spiking_cam(
        net, shown, n_steps=12, simulator=simulator, count_spikes=True, minibatch_size=2, chunk_steps=5
    )
    assert result.attrs["readout"] == "level"
    assert result.attrs["spike_kind"] == ("power of two" if bits == 1 else "graded")
    with net.probed_neurons() as probes:
        for i, image in enumerate(shown):
            frames = image.reshape(-1, 96)
            net.input.output = lambda t, frames=frames: frames[min(round(t / 0.001) - 1, len(frames) - 1)]
            with nengo.Simulator(net.net, progress_bar=False) as sim:
                sim.run_steps(12)
            for name, probe in probes.items():
                quantum = 2 * net.spiking_layers[name].neuron_type.amplitude
                before = [0] * probe.size_in
                for t, outputs in enumerate(sim.data[probe]):
                    now = [round(output / quantum) for output in outputs]
                    changes = [abs(a - b) for a, b in zip(now, before)]
                    where = {"image": i, "time": t}
                    assert result.spike_count.sel(layer=name).isel(where) == sum(change != 0 for change in changes)
                    assert result.spike_size.sel(layer=name).isel(where) == sum(changes)
                    before = now
    assert (result.spike_size > result.spike_count).any()
    # The frame changes after six steps, if it does.
    assert (result.spike_count.isel(time=6).sum() > 100) == moving
    assert moving or result.spike_count.isel(time=slice(8, None)).sum() == 0
    assert result.spike_size.attrs["units"] == "quanta per step"


def test_sizes_of_spikes_of_one_size_are_their_number(small_model, images):
    net = ncam.convert(small_model, calibrate_on=images, neurons=ncam.IntegrateAndFire())
    assert "spike_size" not in spiking_cam(net, images, count_spikes=True)
    # Levels behind spikes: they move with them.
    net.spiking_layers["conv1"].neuron_type = ncam.SigmaDelta(
        amplitude=net.spiking_layers["conv1"].neuron_type.amplitude
    )
    mixed = spiking_cam(net, images, count_spikes=True)
    assert (mixed.attrs["readout"], mixed.attrs["spike_kind"]) == ("level", "unit, graded")
    counts, sizes = (mixed[name].sel(layer="conv0") for name in ("spike_count", "spike_size"))
    np.testing.assert_array_equal(counts, sizes)
    assert counts.any()
    # One spike for each neuron in a step at most, of several quanta.
    assert mixed.spike_size.sel(layer="conv1").max() > 5 * 48


@pytest.mark.parametrize("simulator", sorted(SIMULATORS))
@pytest.mark.parametrize("options", [{}, {"chunk_steps": 4, "minibatch_size": 2}])
@pytest.mark.parametrize("neurons", [ncam.SigmaDelta(1), None], ids=str)
def test_chosen_times_of_levels_are_these_steps(small_model, images, simulator, options, neurons):
    net = ncam.convert(small_model, neurons=neurons, calibrate_on=images)
    run = {"simulator": SIMULATORS[simulator], "keep_features": True, "count_spikes": True, **options}
    everything = spiking_cam(net, images, **run)
    result = spiking_cam(net, images, times=[0.003, 0.0121, 0.02], **run)
    assert result.attrs["time_reduction"] == "none, each step by itself"
    chosen = everything.isel(time=[2, 11, 19])
    for name in everything.data_vars:
        np.testing.assert_allclose(result[name], chosen[name], rtol=1e-5, atol=1e-5, err_msg=name)
        assert result[name].dtype == everything[name].dtype
    assert neurons is None or abs(everything.cam.isel(time=2) - everything.cam.isel(time=19)).max() > 1e-3


class Plain(ncam.Simulator):
    """Computes all steps."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.skips_settled_steps = False


@pytest.mark.parametrize("bits", [None, 2])
@pytest.mark.parametrize("chunk_steps", [None, 3])
def test_steps_that_are_copied_give_the_same_result(small_model, images, bits, chunk_steps):
    net = ncam.convert(small_model, neurons=ncam.SigmaDelta(bits), calibrate_on=images)
    options = {"count_spikes": True, "keep_features": True, "minibatch_size": 2, "chunk_steps": chunk_steps}
    copied, computed = (
        spiking_cam(net, images, simulator=simulator, **options) for simulator in (ncam.Simulator, Plain)
    )
    xr.testing.assert_identical(copied, computed)
    # Some of the times are those of copies.
    options["times"] = [0.001, 0.004, 0.012, 0.02]
    copied, computed = (
        spiking_cam(net, images, simulator=simulator, **options) for simulator in (ncam.Simulator, Plain)
    )
    xr.testing.assert_identical(copied, computed)
    assert (copied.spike_count.sum(("image", "layer")) == 0).any()
    recorders = [ncam.measurement.cost.CostRecorder(), ncam.measurement.activity.ActivityRecorder()]
    (cost, report), (other_cost, other_report) = (
        ncam.measurement.record(net, images, recorders, n_steps=20, simulator=simulator, seed=0, progress_bar=False)
        for simulator in (ncam.Simulator, Plain)
    )
    xr.testing.assert_identical(cost, other_cost)
    xr.testing.assert_identical(report.dataset, other_report.dataset)


def test_spikes_are_not_counted_on_an_open_simulator(net, images):
    with (
        ncam.Simulator(net.net, minibatch_size=2, progress_bar=False) as sim,
        pytest.raises(SimulatorError, match="simulator: an open one records only what it was built to record"),
    ):
        spiking_cam(net, images[:2], simulator=sim, seed=None, count_spikes=True)
