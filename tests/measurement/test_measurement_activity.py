import tracemalloc

import nengo
import nengo_dl
import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.exceptions import ImageError, InputRangeWarning, ModelTypeError, ParameterError, SimulatorError
from nengo_cam.measurement import activity

SIMULATORS = {"nengo_cam": ncam.Simulator, "nengo_dl": nengo_dl.Simulator, "nengo": nengo.Simulator}
MEASURED = (
    "mean_rate", "rate_99", "max_rate", "silent_fraction", "silent_fraction_cnn", "saturated_fraction",
    "spikes_per_image", "correlation",
)  # fmt: skip


def measure(network, images, **options):
    return ncam.measure_activity(network, images, **{"n_steps": 40, "seed": 3, "progress_bar": False, **options})


def probed(network, images, *, n_steps=40, dt=0.001, seed=3):
    """Outputs (images, steps, neurons) of all ensembles by name, by Nengo's own simulator and plain probes."""
    with network.net:
        probes = {ensemble.label[:-2]: nengo.Probe(ensemble.neurons) for ensemble in network.net.all_ensembles}
    before, network.net.seed, blank = network.net.seed, seed, network.input.output
    outputs = {name: [] for name in probes}
    for image in images:
        network.input.output = image.ravel()
        with nengo.Simulator(network.net, dt=dt, progress_bar=False) as sim:
            sim.run_steps(n_steps)
        for name, probe in probes.items():
            outputs[name].append(sim.data[probe])
            assert sim.data[probe].shape[0] == n_steps
    network.net.seed, network.input.output = before, blank
    for probe in probes.values():
        network.net.probes.remove(probe)
    return {name: np.array(output) for name, output in outputs.items()}


def counted(outputs, amplitude, expected, factors, *, dt=0.001):
    """The report's numbers for a layer by loops over images, steps and neurons."""
    n_images, n_steps, n_neurons = outputs.shape
    counts = np.zeros((n_images, n_neurons))
    mean = np.zeros((n_images, n_neurons))
    several = spiking = 0
    for i, t, j in np.ndindex(outputs.shape):
        n_spikes = round(abs(outputs[i, t, j]) * dt / amplitude)
        counts[i, j] += n_spikes
        mean[i, j] += outputs[i, t, j] / n_steps
        spiking += n_spikes > 0
        several += n_spikes > 1
    rates = counts / (n_steps * dt)
    channel_factors = np.array([factors[j % len(factors)] for j in range(n_neurons)])
    expected = expected.reshape(n_images, n_neurons)
    return {
        "mean_rate": rates.mean(),
        "rate_99": np.percentile(rates, 99),
        "max_rate": rates.max(),
        "silent_fraction": np.mean([not counts[:, j].any() for j in range(n_neurons)]),
        "silent_fraction_cnn": np.mean([not expected[:, j].any() for j in range(n_neurons)]),
        "saturated_fraction": several / spiking,
        "spikes_per_image": counts.sum() / n_images,
        "correlation": np.median([np.corrcoef(a / channel_factors, b)[0, 1] for a, b in zip(mean, expected)]),
    }


def cnn_activity(tf, model, name, images):
    """Keras's own activity, of the model as the user has it."""
    return tf.keras.Model(model.input, model.get_layer(name).output).predict(images, verbose=0)


@pytest.mark.parametrize("simulator", SIMULATORS.values(), ids=SIMULATORS)
@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("neurons", [ncam.IntegrateAndFire(), ncam.SignedIntegrateAndFire(), nengo.LIF()], ids=str)
def test_the_report_equals_counts_from_probes(tf, small_model, images, simulator, balance, neurons):
    # Fast, so that there are neurons with several spikes in a step.
    network = ncam.convert(small_model, neurons=neurons, calibrate_on=images, target_rate=1500, balance=balance)
    assert bool(network.channel_factors) == balance
    result = measure(network, images, simulator=simulator, minibatch_size=2).dataset
    outputs = probed(network, images)
    for name in ("conv0", "conv1"):
        row = result.sel(layer=name)
        amplitude = network.spiking_layers[name].neuron_type.amplitude
        # The factors of the channels are undone, so that both are in the units of the user's model.
        factors = network.channel_factors.get(name, [1.0])
        expected = counted(outputs[name], amplitude, cnn_activity(tf, small_model, name, images), factors)
        assert {key: row[key].item() for key in MEASURED} == pytest.approx(expected, rel=1e-6)
        # A neuron of the last type rests after a spike.
        assert (expected["saturated_fraction"] > 0) == (not isinstance(neurons, nengo.LIF))
        assert expected["silent_fraction"] < 1
    # A negative spike is a spike, and takes one from the activity.
    assert (outputs["conv1"] < 0).any() == isinstance(neurons, ncam.SignedIntegrateAndFire)
    for name in ("image", "gap", "readout"):
        assert all(np.isnan(result[key].sel(layer=name)) for key in MEASURED)
    assert result.rate_99.attrs["units"] == "Hz"


def counted_levels(outputs, quantum, expected, factors, *, dt=0.001):
    """The same numbers for levels that are held, by loops."""
    n_images, n_steps, n_neurons = outputs.shape
    counts = np.zeros((n_images, n_neurons))
    for i, j in np.ndindex(n_images, n_neurons):
        before = 0
        for t in range(n_steps):
            now = round(outputs[i, t, j] / quantum)
            counts[i, j] += now != before
            before = now
    rates = counts / (n_steps * dt)
    channel_factors = np.array([factors[j % len(factors)] for j in range(n_neurons)])
    expected = expected.reshape(n_images, n_neurons)
    return {
        "mean_rate": rates.mean(),
        "rate_99": np.percentile(rates, 99),
        "max_rate": rates.max(),
        "silent_fraction": np.mean([not counts[:, j].any() for j in range(n_neurons)]),
        "silent_fraction_cnn": np.mean([not expected[:, j].any() for j in range(n_neurons)]),
        "saturated_fraction": np.nan,
        "spikes_per_image": counts.sum() / n_images,
        "correlation": np.median([np.corrcoef(a / channel_factors, b)[0, 1] for a, b in zip(outputs[:, -1], expected)]),
    }


@pytest.mark.parametrize("simulator", SIMULATORS.values(), ids=SIMULATORS)
@pytest.mark.parametrize("bits", [None, 1])
# Of two steps levels with one bit are far from settled, and their mean is farther.
@pytest.mark.parametrize("n_steps", [2, 15])
def test_the_report_of_levels_equals_changes_from_probes(tf, small_model, images, simulator, bits, n_steps):
    network = ncam.convert(small_model, neurons=ncam.SigmaDelta(bits, quantum=0.5), calibrate_on=images)
    result = measure(network, images, n_steps=n_steps, simulator=simulator, minibatch_size=2).dataset
    outputs = probed(network, images, n_steps=n_steps)
    for name in ("conv0", "conv1"):
        row = result.sel(layer=name)
        quantum = 0.5 * network.spiking_layers[name].neuron_type.amplitude
        cnn, factors = cnn_activity(tf, small_model, name, images), network.channel_factors[name]
        expected = counted_levels(outputs[name], quantum, cnn, factors)
        assert {key: row[key].item() for key in MEASURED} == pytest.approx(expected, rel=1e-6, nan_ok=True)
        if bits is None:
            assert row.correlation > 0.9999
    assert result.attrs["readout"] == "level"


def test_levels_of_moving_images_are_compared_with_the_last_frame(tf, small_model, images):
    network = ncam.convert(small_model, neurons=ncam.SigmaDelta(None, quantum=0.1), calibrate_on=images)
    moving = np.stack([np.resize(images, (8, 8, 6, 2)), np.resize(images[::-1], (8, 8, 6, 2))])
    report = measure(network, moving, n_steps=8)
    assert (report.dataset.correlation.dropna("layer") > 0.9999).all()
    # Of the mean over frames it would not be so.
    frames = cnn_activity(tf, small_model, "conv1", moving.reshape(-1, 8, 6, 2)).reshape(2, 8, -1)
    assert max(np.corrcoef(a, b)[0, 1] for a, b in zip(frames.mean(axis=1), frames[:, -1])) < 0.999


def test_warnings_fit_levels(make_model, images):
    model = make_model()
    coarse = ncam.convert(model, neurons=ncam.SigmaDelta(1), calibrate_on=images, target_rate=3)
    text = "\n".join(measure(coarse, images, n_steps=30).warnings)
    assert "Raise n_steps until no more spikes come, or target_rate, which is the number of levels." in text
    silent = ncam.convert(model, neurons=ncam.SigmaDelta(), scale_firing_rates=1e-3)
    report = measure(silent, images)
    assert "No neuron spiked for any of 5 images in 40 steps: 'conv0', 'conv1'. Raise target_rate." in report.warnings
    # Spikes of a size are no saturation.
    fine = ncam.convert(model, neurons=ncam.SigmaDelta(), calibrate_on=images, target_rate=5000)
    assert measure(fine, images).warnings == ()


def test_the_spike_counts_of_spiking_cam(small_model, images):
    network = ncam.convert(small_model, calibrate_on=images)
    counts = ncam.spiking_cam(network, images, n_steps=40, seed=3, count_spikes=True, progress_bar=False).spike_count
    result = measure(network, images).dataset.sel(layer=counts.layer)
    np.testing.assert_allclose(result.spikes_per_image, counts.sum("time").mean("image"), rtol=1e-12)
    np.testing.assert_allclose(
        result.mean_rate, counts.sum("time").mean("image") / result.neurons / (40 * 0.001), rtol=1e-12
    )


def test_factors_of_channels_make_a_difference(small_model, images):
    """Otherwise the test above could not see them."""
    network = ncam.convert(small_model, calibrate_on=images)
    right = measure(network, images).dataset.correlation
    for name, factors in network.channel_factors.items():
        assert np.ptp(factors) > 0.1
        network.channel_factors[name] = factors[::-1]
    assert float(abs(measure(network, images).dataset.correlation - right).max()) > 1e-4


def same(result, other, **options):
    for name in MEASURED:
        np.testing.assert_allclose(result.dataset[name], other.dataset[name], err_msg=name, **options)


def test_minibatches_chunks_and_order_change_nothing(small_model, images, monkeypatch):
    network = ncam.convert(small_model, calibrate_on=images)
    reference = measure(network, images, simulator=nengo.Simulator)
    # Rounding may flip a spike in single precision; of 200 neuron-images of a layer none does here.
    for options in ({"minibatch_size": 1}, {"minibatch_size": 2}, {"minibatch_size": 4}, {}):
        for simulator in (ncam.Simulator, nengo_dl.Simulator):
            same(measure(network, images, simulator=simulator, **options), reference, rtol=1e-5)
    same(measure(network, images[::-1], simulator=nengo.Simulator), reference, rtol=1e-9)
    asked = []
    run, choose = ncam.backends.NengoBackend.run, ncam.backends.NengoBackend.choose_chunk_steps

    def spy(self, frames, n_steps, chunk_steps):
        asked.append(chunk_steps)
        return run(self, frames, n_steps, chunk_steps)

    def larger(self, n_steps, n_bytes):
        """As if a step of this network took a seventh of the budget of 16 MiB."""
        # The image, the features, and the neurons of both layers, in single precision.
        assert n_bytes == 4 * 8 * 6 * (2 + 5 + 4 + 5)
        return choose(self, n_steps, 16 * 2**20 // 7)

    monkeypatch.setattr(ncam.backends.NengoBackend, "run", spy)
    monkeypatch.setattr(ncam.backends.NengoBackend, "choose_chunk_steps", larger)
    same(measure(network, images, simulator=nengo.Simulator), reference, rtol=1e-9)
    assert asked == [7] * len(images)


def test_memory_does_not_grow_with_images_and_steps(make_model, images):
    """Neither what the neurons of a layer did at each step is kept, nor what they did for each image."""
    network = ncam.convert(make_model(channels=(64, 64)), calibrate_on=images)
    few, many = (np.tile(images[:4], (n, 1, 1, 1)) for n in (2, 30))
    measure(network, few, minibatch_size=4)
    peaks = []
    for shown in (few, many):
        tracemalloc.start()
        measure(network, shown, minibatch_size=4)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A byte for each neuron of one layer and each image would be more.
    assert peaks[1] - peaks[0] < (len(many) - len(few)) * 8 * 6 * 64


def test_moving_images(tf, small_model, images):
    network = ncam.convert(small_model, calibrate_on=images)
    moving = np.stack([np.resize(images, (40, 8, 6, 2)), np.resize(images[::-1], (40, 8, 6, 2))])
    result = measure(network, moving).dataset
    mean = cnn_activity(tf, small_model, "conv1", moving.reshape(-1, 8, 6, 2)).reshape(2, 40, -1).mean(axis=1)
    with network.probed_neurons() as probes, ncam.Simulator(network.net, minibatch_size=2, progress_bar=False) as sim:
        sim.run_steps(40, data={network.input: moving.reshape(2, 40, -1)})
        output = sim.data[probes["conv1"]].mean(axis=1).reshape(2, -1, 5) / network.channel_factors["conv1"]
    expected = [np.corrcoef(a.ravel(), b)[0, 1] for a, b in zip(output, mean)]
    assert result.correlation.sel(layer="conv1").item() == pytest.approx(np.median(expected), rel=1e-5)


def test_layers_that_are_called_again(tf, images):
    layers = tf.keras.layers
    inputs = tf.keras.Input((8, 6, 2), name="image")
    conv = layers.Conv2D(2, 3, padding="same", activation="relu", name="conv")
    x = layers.GlobalAveragePooling2D(name="gap")(conv(conv(inputs)))
    model = tf.keras.Model(inputs, layers.Dense(2, name="readout")(x))
    network = ncam.convert(model, calibrate_on=images, neurons=ncam.IntegrateAndFire(), split_shared_weights=True)
    result = measure(network, images).dataset
    with network.net:
        probes = {ensemble.label: nengo.Probe(ensemble.neurons) for ensemble in network.net.all_ensembles}
    with ncam.Simulator(network.net, minibatch_size=5, seed=3, progress_bar=False) as sim:
        sim.run_steps(40, data={network.input: images.reshape(5, 1, -1)})
    for name, label, call in (("conv", "conv.0", 0), ("conv.1", "conv.1", 1)):
        outputs = sim.data[probes[label]]
        keras = tf.keras.Model(inputs, conv.get_output_at(call)).predict(images, verbose=0).reshape(5, -1)
        amplitude = next(e for e in network.net.all_ensembles if e.label == label).neuron_type.amplitude
        row = result.sel(layer=name)
        assert row.spikes_per_image.item() == pytest.approx(outputs.sum() * 0.001 / amplitude / 5)
        values = [np.corrcoef(a, b)[0, 1] for a, b in zip(outputs.mean(axis=1), keras)]
        assert row.correlation.item() == pytest.approx(np.nanmedian(values), rel=1e-5)


# Correlation


def test_correlation_of_rows():
    rng = np.random.default_rng(0)
    values, others = rng.normal(size=(2, 4, 50))
    values[1] = 0.1
    others[2] = 0
    result = activity._correlate(values, others)
    assert np.isnan(result).tolist() == [False, True, True, False]
    for i in (0, 3):
        assert result[i] == pytest.approx(np.corrcoef(values[i], others[i])[0, 1])


def test_images_without_a_correlation_are_left_out(make_model, images):
    model = make_model(use_bias=False)
    network = ncam.convert(model, scale_firing_rates=400)
    # Without biases, a black image leaves the CNN and the network at zero.
    black = np.concatenate([np.zeros_like(images[:2]), images[:1]])
    alone, among = (measure(network, some).dataset.correlation for some in (images[:1], black))
    np.testing.assert_allclose(among, alone, rtol=1e-5)
    assert np.isfinite(alone.sel(layer="conv1"))
    report = measure(network, black[:2])
    assert np.isnan(report.dataset.correlation).all()
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith("Zero for all images in the CNN itself: 'conv0', 'conv1'.")


# Warnings in words


def test_nothing_to_warn_of(digits_model, digits):
    (train, _), (test, _) = digits
    network = ncam.convert(digits_model, calibrate_on=train[:50])
    report = measure(network, test[:3], n_steps=100)
    assert report.warnings == ()
    assert float(report.dataset.correlation.min()) > 0.95
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 120
    assert "Activity of the layers that spike: 3 images, 100 steps of 0.001 s on nengo_cam.Simulator" in lines
    row = next(line for line in reversed(lines) if line.startswith("  conv4"))
    values = report.dataset.sel(layer="conv4")
    assert row.split() == [
        "conv4", f"{values.mean_rate:.1f}", f"{values.rate_99:.1f}", f"{values.max_rate:.1f}",
        f"{100 * values.silent_fraction:.1f}", f"{100 * values.silent_fraction_cnn:.1f}",
        f"{100 * values.saturated_fraction:.2f}", f"{values.spikes_per_image:,.0f}", f"{values.correlation:.3f}",
    ]  # fmt: skip
    for cell in row.split():
        assert f">{cell}</td>" in report._repr_html_()


def test_silent_layers(small_model, images):
    network = ncam.convert(small_model, scale_firing_rates={"conv0": 400, "conv1": 0.01})
    report = measure(network, images)
    assert report.dataset.silent_fraction.sel(layer="conv1") == 1
    for name in ("saturated_fraction", "correlation"):
        assert np.isnan(report.dataset[name].sel(layer="conv1"))
    for name in ("mean_rate", "rate_99", "max_rate", "spikes_per_image"):
        assert report.dataset[name].sel(layer="conv1") == 0
    assert report.warnings == (
        "No neuron spiked for any of 5 images in 40 steps: 'conv1'. Raise target_rate or n_steps.",
    )


def test_nearly_silent_layers(small_model, images):
    # Fast enough for a few of the neurons only.
    network = ncam.convert(small_model, calibrate_on=images, target_rate=14, balance=False)
    report = measure(network, images)
    data = report.dataset
    # Of the two layers, the first is beyond the threshold.
    first, second = (data.sel(layer=name) for name in ("conv0", "conv1"))
    assert first.silent_fraction > activity.SILENT_FRACTION > second.silent_fraction > 0
    (sentence,) = [text for text in report.warnings if text.startswith("Most neurons")]
    silent, zero = float(first.silent_fraction), float(first.silent_fraction_cnn)
    assert sentence == (
        f"Most neurons never spiked for any of 5 images in 40 steps: 'conv0' ({silent:.1%}; in the CNN {zero:.1%} are "
        "zero). Raise target_rate or n_steps."
    )
    assert any("Convert with balance=True, or raise n_steps" in text for text in report.warnings)


def test_a_layer_that_the_cnn_does_not_use_either(make_model, images):
    model = make_model(seed=4)
    kernel, bias = model.get_layer("conv1").get_weights()
    model.get_layer("conv1").set_weights([kernel, bias - 1000])
    report = measure(ncam.convert(model, scale_firing_rates=300), images)
    (sentence,) = [text for text in report.warnings if "Zero for all images" in text]
    assert sentence.startswith("Zero for all images in the CNN itself: 'conv1'. Check that the images")
    assert not any("target_rate" in text and "'conv1'" in text for text in report.warnings)


def test_saturated_layers(small_model, images):
    fast = ncam.convert(small_model, calibrate_on=images, neurons=ncam.IntegrateAndFire(), target_rate=3000)
    report = measure(fast, images)
    (sentence,) = report.warnings
    values = report.dataset.saturated_fraction
    assert float(values.min()) > activity.SATURATED_FRACTION
    first, second = (f"{float(values.sel(layer=name)):.1%}" for name in ("conv0", "conv1"))
    assert sentence == (
        f"Neurons fire several spikes in one step: 'conv0' ({first}), 'conv1' ({second}) of the steps in which they "
        "spike. Lower target_rate or dt."
    )
    # A shorter step helps, as it says.
    finer = measure(fast, images, dt=5e-5, n_steps=800)
    assert finer.warnings == ()
    np.testing.assert_allclose(finer.dataset.mean_rate, report.dataset.mean_rate, rtol=0.1)


def test_where_the_correlation_drops(small_model, images):
    network = ncam.convert(small_model, calibrate_on=images, neurons=ncam.IntegrateAndFire(), target_rate=40)
    report = measure(network, images, n_steps=40)
    first, second = (float(report.dataset.correlation.sel(layer=name)) for name in ("conv0", "conv1"))
    levels = {"conv0": (1, first), "conv1": (first, second)}
    dropped = [f"{name!r} (from {high:.3f} to {low:.3f})" for name, (high, low) in levels.items() if high - low > 0.05]
    assert dropped
    assert second < activity.LOW_CORRELATION
    assert report.warnings == (
        f"The correlation with the CNN drops at {', '.join(dropped)}, and is {second:.3f} at the last layer that "
        "spikes, 'conv1'. Convert with neurons='auto', or raise n_steps or target_rate.",
    )
    unbalanced = measure(ncam.convert(small_model, scale_firing_rates=30), images)
    assert any("Convert with calibrate_on=images" in text for text in unbalanced.warnings)


@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.NonSpikingWarning", "ignore::UserWarning")
def test_warnings_of_the_structure_stay(tf, make_model, images):
    layers = tf.keras.layers
    model = make_model(
        layers.Conv2D(3, 1, activation="tanh", name="curved"),
        layers.MaxPooling2D(2, name="maximum"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    )
    network = ncam.convert(model, calibrate_on=images)
    report = measure(network, images, n_steps=200)
    assert report.warnings[: len(network.report.warnings)] == network.report.warnings
    assert "'curved', 'maximum'" in report.warnings[0]
    assert np.isnan(report.dataset.mean_rate.sel(layer="curved"))


def test_a_network_that_does_not_spike(small_model, images):
    report = measure(ncam.convert(small_model, neurons=None), images)
    assert all(np.isnan(report.dataset[name]).all() for name in MEASURED)
    (sentence,) = report.warnings
    assert sentence.startswith("Nothing was asked to spike")


# Form


def test_provenance_and_a_network_left_as_it_was(small_model, images, tmp_path):
    network = ncam.convert(small_model, calibrate_on=images)
    probes, seed, output = list(network.net.probes), network.net.seed, network.input.output
    report = measure(network, images, n_steps=7, dt=0.002, seed=11)
    assert (network.net.probes, network.net.seed) == (probes, seed)
    assert network.input.output is output
    attrs = report.dataset.attrs
    assert {key: attrs[key] for key in ("simulator", "dt", "seed", "n_steps", "n_images", "model")} == {
        "simulator": "nengo_cam.Simulator", "dt": 0.002, "seed": 11, "n_steps": 7, "n_images": 5, "model": "small",
    }  # fmt: skip
    assert attrs["nengo_dl"] == nengo_dl.__version__
    report.dataset.to_netcdf(tmp_path / "report.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "report.nc", engine="h5netcdf") as loaded:
        assert str(ncam.Report(loaded)) == str(report)
    drawn = measure(network, images, seed=None).dataset.attrs["seed"]
    assert measure(network, images, seed=drawn).dataset.attrs["seed"] == drawn


def test_progress_is_shown_unless_switched_off(small_model, images, capsys):
    network = ncam.convert(small_model, calibrate_on=images)
    measure(network, images, progress_bar=True)
    assert "200/200" in capsys.readouterr().err
    measure(network, images)
    assert "step" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_steps": 0}, ParameterError, "n_steps: expected a whole number of at least 1, got 0"),
        ({"minibatch_size": 0}, ParameterError, "minibatch_size"),
        ({"dt": 0}, ParameterError, "dt: expected a positive number of seconds"),
        ({"seed": -1}, ParameterError, "seed: expected a whole number from 0"),
        (
            {"simulator": "nengo"},
            SimulatorError,
            "simulator: an open one records only .* expected a class, got 'nengo'",
        ),
        ({"simulator": int}, SimulatorError, "expected a simulator class"),
    ],
)
def test_wrong_options(small_model, images, options, error, message):
    with pytest.raises(error, match=message):
        measure(ncam.convert(small_model), images, **options)


def test_wrong_networks_and_images(small_model, images):
    network = ncam.convert(small_model, calibrate_on=images)
    with pytest.raises(ModelTypeError, match="net: expected a CAMNetwork, got (tf_)?keras"):
        measure(small_model, images)
    with pytest.raises(ImageError, match="Add the batch axis"):
        measure(network, images[0])
    with pytest.raises(ImageError, match="expected 40 frames, got 5"):
        measure(network, images[None])
    with pytest.warns(InputRangeWarning, match="values from"):
        measure(network, images * 255)


def test_answers_that_differ_from_the_cnns_are_counted(make_model, images):
    model = make_model()
    kernel, bias = model.get_layer("readout").get_weights()
    bias[:] = -1
    winners = model.predict(images, verbose=0).argmax(axis=1)
    bias[(winners[0] + 1) % 3] = 0
    model.get_layer("readout").set_weights([100 * kernel, bias])
    answers = model.predict(images, verbose=0).argmax(axis=1)
    # No neuron fires, so the bias answers.
    silent = measure(ncam.convert(model, scale_firing_rates=1e-3), images, n_steps=20)
    expected = int((answers != bias.argmax()).sum())
    assert 0 < silent.dataset.attrs["n_differing"] == expected
    assert any(
        text.startswith(
            f"Another answer than the CNN's for {expected} of 5 images (mean of the last half of 20 steps)."
        )
        for text in silent.warnings
    )
    spiking = measure(ncam.convert(model, calibrate_on=images, target_rate=1000), images, n_steps=100)
    assert spiking.dataset.attrs["n_differing"] == 0
    assert not any("Another answer" in text for text in spiking.warnings)
