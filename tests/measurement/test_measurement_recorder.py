"""Several measurements on one run: each gives what it gives alone, and the network runs once."""

import collections
import linecache
import types
import warnings

import nengo
import nengo_dl
import numpy as np
import pytest
import xarray as xr

import nengo_cam as ncam
from nengo_cam.exceptions import (
    ImageError,
    InputRangeWarning,
    LabelError,
    ModelTypeError,
    ParameterError,
    ResultSizeError,
    SilentFeaturesWarning,
    SimulatorError,
    UnsupportedModelError,
)
from nengo_cam.measurement import (
    ActivityRecorder,
    AnswersRecorder,
    CamRecorder,
    CostRecorder,
    LogitsRecorder,
    Recorder,
    record,
)
from nengo_cam.measurement.backends import Backend
from nengo_cam.measurement.run import Run

N_STEPS = 14
SIMULATORS = {"nengo_cam": ncam.Simulator, "nengo_dl": nengo_dl.Simulator, "nengo": nengo.Simulator}
OPTIONS = {"n_steps": N_STEPS, "seed": 4, "progress_bar": False}


@pytest.fixture(scope="module")
def net(small_model, images):
    return ncam.convert(small_model, calibrate_on=images)


@pytest.fixture
def runs(monkeypatch):
    """Count the minibatches that simulators are given."""
    seen = []
    original = Backend.run_rows

    def spy(self, rows, *args):
        seen.append((rows.start, rows.stop))
        return original(self, rows, *args)

    monkeypatch.setattr(Backend, "run_rows", spy)
    return seen


@pytest.mark.parametrize("options", [{}, {"minibatch_size": 2}, {"minibatch_size": 3, "chunk_steps": 4}])
@pytest.mark.parametrize("simulator", ["nengo_cam", "nengo_dl"])
def test_maps_and_activity_of_one_pass_are_those_of_two(net, images, runs, simulator, options):
    given = {**OPTIONS, **options, "simulator": SIMULATORS[simulator]}
    recorders = [CamRecorder(count_spikes=True), ActivityRecorder(), CostRecorder(), LogitsRecorder()]
    maps, report, cost, logits = record(net, images, recorders, **given)
    size = options.get("minibatch_size", 5)
    assert runs == [(start, min(start + size, 5)) for start in range(0, 5, size)]
    xr.testing.assert_identical(maps, ncam.spiking_cam(net, images, count_spikes=True, **given))
    if "chunk_steps" in options:
        alone = [record(net, images, [recorder], **given)[0] for recorder in (ActivityRecorder(), CostRecorder())]
    else:
        alone = [measure(net, images, **given) for measure in (ncam.measure_activity, ncam.measure_cost)]
    xr.testing.assert_identical(report.dataset, alone[0].dataset)
    xr.testing.assert_identical(cost, alone[1])
    np.testing.assert_array_equal(logits.astype("float32"), maps.logits)
    assert maps.spike_count.any()


def test_a_recorder_that_is_used_again_has_forgotten(net, images):
    for recorder in (CamRecorder(count_spikes=True, times=[0.003, 0.014]), CostRecorder()):
        (first,) = record(net, images, [recorder], **OPTIONS)
        (other,) = record(net, images[3:], [recorder], **OPTIONS)
        (again,) = record(net, images, [recorder], **OPTIONS)
        assert other.sizes["image"] == 2
        xr.testing.assert_identical(again, first)
    (first,) = record(net, images, [activity := ActivityRecorder()], **OPTIONS)
    (again,) = record(net, images, [activity], **OPTIONS)
    xr.testing.assert_identical(again.dataset, first.dataset)


def test_the_answers_of_the_cnn_do_not_depend_on_how_images_come(net, images, monkeypatch):
    """Which images run together decides the last bits: always the same ones, 32 at a time."""
    many = np.concatenate([images] * 14)
    expected, together = net.cnn_logits(many), []
    original = ncam.CAMNetwork.cnn_logits

    def spy(self, frames, **options):
        together.append(frames)
        return original(self, frames, **options)

    monkeypatch.setattr(ncam.CAMNetwork, "cnn_logits", spy)
    for minibatch_size in (1, 16, 70):
        (answers,) = record(net, many, [AnswersRecorder()], minibatch_size=minibatch_size, **OPTIONS)
        np.testing.assert_array_equal(answers.cnn_logits, expected)
        assert [len(frames) for frames in together] == [32, 32, 6]
        np.testing.assert_array_equal(np.concatenate(together), many)
        together.clear()


# One's own recorder, and layers by name


class Peak:
    """The largest output of each neuron of some layers; derives from nothing."""

    step_size = 0

    def __init__(self, *layers):
        self.layers = layers

    def observes(self, net):
        return self.layers

    def begin(self, run):
        self.peaks = {}
        self.n_images = len(run.images)

    def add(self, rows, chunk):
        for name, output in chunk.observed.items():
            peaks = self.peaks.setdefault(name, np.full((self.n_images, output.shape[-1]), -np.inf))
            peaks[rows] = np.maximum(peaks[rows], output.max(axis=1))

    def result(self):
        return self.peaks


@pytest.mark.parametrize("simulator", SIMULATORS.values(), ids=SIMULATORS)
@pytest.mark.parametrize("neurons", [None, ncam.IntegrateAndFire()], ids=["rates", "spikes"])
def test_layers_are_observed_by_name(tf, small_model, images, neurons, simulator):
    net = ncam.convert(small_model, neurons=neurons, calibrate_on=images)
    probes = list(net.net.probes)
    # In any order, and once.
    (peaks,) = record(
        net, images, [Peak("conv1", "conv0", "conv1")], simulator=simulator, minibatch_size=2, chunk_steps=5, **OPTIONS
    )
    assert list(peaks) == ["conv0", "conv1"]
    assert net.net.probes == probes
    with net.net:
        own = {name: nengo.Probe(ensemble.neurons) for name, ensemble in zip(peaks, net.net.all_ensembles)}
    net.net.seed, expected = 4, collections.defaultdict(list)
    for image in images:
        net.input.output = image.ravel()
        with nengo.Simulator(net.net, progress_bar=False) as sim:
            sim.run_steps(N_STEPS)
        for name, probe in own.items():
            expected[name].append(sim.data[probe].max(axis=0))
    for name in peaks:
        np.testing.assert_allclose(peaks[name], expected[name], rtol=1e-4, atol=1e-4)
        assert np.ptp(peaks[name]) > 0


def test_chunks_hold_what_anybody_asked_for(net, images):
    seen = {}

    class Keys(Recorder):
        def add(self, rows, chunk):
            seen["keys"] = list(chunk.observed)

        def result(self):
            return "done"

    assert record(net, images, [Keys()], **OPTIONS) == ["done"]
    assert seen["keys"] == []
    record(net, images, [Keys(), Peak("conv1")], **OPTIONS)
    assert seen["keys"] == ["conv1"]


def test_unknown_layers_are_refused_by_those_that_are_there(net, images):
    message = (
        r"observe: 'pool' is not a layer of neurons of the network of 'small'; expected some of \['conv0', 'conv1'\]"
    )
    with pytest.raises(ParameterError, match=message):
        record(net, images, [Peak("conv0", "pool")], **OPTIONS)
    with (
        ncam.Simulator(net.net, minibatch_size=5, progress_bar=False) as sim,
        pytest.raises(SimulatorError, match="records only what it was built to record"),
    ):
        record(net, images, [Peak("conv0")], simulator=sim, n_steps=3)


# What is refused, and when


@pytest.mark.parametrize(
    ("recorders", "message"),
    [
        ([], "recorders: expected at least one"),
        ([CamRecorder], r"recorders: expected objects with observes, begin.*got <class .*Pass instances"),
        (["maps"], "recorders: expected objects with .* got 'maps'"),
        ([types.SimpleNamespace(add=1, begin=1, result=1)], "recorders: expected objects with"),
        ([twice := LogitsRecorder(), twice], "recorders: expected at least one, each once"),
    ],
)
def test_what_is_no_recorder(net, images, recorders, message):
    with pytest.raises(ParameterError, match=message):
        record(net, images, recorders, **OPTIONS)


@pytest.fixture
def no_simulator(monkeypatch):
    def never(*_, **__):
        raise AssertionError("a simulator was made")

    monkeypatch.setattr("nengo_cam.measurement.run.open_backend", never)


@pytest.mark.usefixtures("no_simulator")
def test_recorders_refuse_before_a_simulator_is_made(tf, net, make_model, images, monkeypatch):
    for recorder, error, message in (
        (CamRecorder(labels=7), LabelError, "7 does not exist"),
        (CamRecorder(times=1.0), ParameterError, "times: not in the run"),
        (CamRecorder(label_names=["a"]), LabelError, "expected 3 names"),
    ):
        # Beside another one that would be content.
        with pytest.raises(error, match=message):
            record(net, images, [LogitsRecorder(), recorder], **OPTIONS)
    with pytest.raises(AssertionError, match="a simulator was made"):
        record(net, images, [LogitsRecorder(), CamRecorder()], **OPTIONS)
    monkeypatch.setattr("nengo_cam.checks.memory.free_memory", lambda: 10_000)
    with pytest.raises(ResultSizeError, match="Map fewer labels"):
        record(net, images, [LogitsRecorder(), CamRecorder()], **OPTIONS)
    layers = tf.keras.layers
    model = make_model(
        layers.Lambda(lambda x: x * x), layers.Conv2D(2, 3, activation="relu"), layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    )  # fmt: skip
    with pytest.warns(ncam.exceptions.NonSpikingWarning):
        squared = ncam.convert(model)
    with pytest.raises(UnsupportedModelError, match="computes a function"):
        record(squared, images, [CostRecorder()], **OPTIONS)


def test_no_network(small_model, images):
    with pytest.raises(ModelTypeError, match="^net: expected a CAMNetwork, got (tf_)?keras"):
        record(small_model, images, [CamRecorder()], **OPTIONS)


def test_chunks_are_shorter_if_recorders_make_more_of_them(net, images, monkeypatch):
    asked = []
    original = ncam.backends.NengoBackend.run

    def spy(self, frames, n_steps, chunk_steps):
        asked.append(chunk_steps)
        return original(self, frames, n_steps, chunk_steps)

    monkeypatch.setattr(ncam.backends.NengoBackend, "run", spy)
    # Seven steps of the image, the features and the maps of three labels, in single precision.
    monkeypatch.setattr("nengo_cam.measurement.backends._CHUNK_BYTES", 7 * 4 * 8 * 6 * (2 + 5 + 3))
    for recorders in ([CamRecorder()], [CamRecorder(), CamRecorder()], [LogitsRecorder()]):
        record(net, images[:1], recorders, simulator=nengo.Simulator, **{**OPTIONS, "n_steps": 20})
    # Twice the maps leave room for 5.4 steps, no maps for 10.
    assert asked == [7, 5, 10]


# Images that come block by block


class Blocks:
    """Gives rows of an array, and never more than a minibatch."""

    def __init__(self, array, at_most):
        self.array, self.at_most, self.asked = array, at_most, []
        self.shape = array.shape

    def read_rows(self, start, stop):
        assert 0 < stop - start <= self.at_most
        self.asked.append((start, stop))
        return self.array[start:stop]


@pytest.mark.parametrize("kind", ["still", "moving"])
@pytest.mark.parametrize("simulator", SIMULATORS.values(), ids=SIMULATORS)
def test_a_source_gives_what_an_array_gives(net, images, simulator, kind):
    size = 1 if simulator is nengo.Simulator else 2
    array = images
    if kind == "moving":
        array = np.stack([np.resize(images[i:], (N_STEPS, *images.shape[1:])) for i in range(3)])
    source = Blocks(array, size)
    given = {**OPTIONS, "simulator": simulator, "minibatch_size": size}
    found, expected = (
        record(net, some, [CamRecorder(count_spikes=True), ActivityRecorder(), CostRecorder()], **given)
        for some in (source, array)
    )
    # Read once, in order, though the CNN is run on them twice beside the network.
    assert source.asked == [(start, min(start + size, len(array))) for start in range(0, len(array), size)]
    xr.testing.assert_identical(found[0], expected[0])
    xr.testing.assert_identical(found[1].dataset, expected[1].dataset)
    xr.testing.assert_identical(found[2], expected[2])


def test_the_functions_take_sources_too(net, small_model, images):
    given = {**OPTIONS, "minibatch_size": 2}
    results = []
    for some in (Blocks(images, 2), images):
        results.append(
            [
                ncam.spiking_cam(net, some, **given),
                ncam.rate_cam(small_model, some, minibatch_size=2),
                ncam.measure_activity(net, some, **given).dataset,
                ncam.measure_cost(net, some, **given),
                xr.DataArray(ncam.spiking_predict(net, n_steps=N_STEPS, seed=4, minibatch_size=2)(some)),
                xr.DataArray(ncam.rate_predict(net, minibatch_size=2)(some)),
            ]
        )
    for found, expected in zip(*results):
        xr.testing.assert_identical(found, expected)


def test_a_bad_block_in_the_middle_is_named(net, images):
    bad = images.copy()
    bad[3] = np.nan
    source = Blocks(bad, 2)
    message = "images, rows 2 to 3 of the source: expected finite values, got NaN or infinity in image 3. Remove"
    probes = list(net.net.probes)
    with pytest.raises(ImageError, match=message):
        record(net, source, [LogitsRecorder(), CostRecorder()], minibatch_size=2, **OPTIONS)
    assert source.asked == [(0, 2), (2, 4)]
    assert net.net.probes == probes


@pytest.mark.usefixtures("no_simulator")
def test_a_source_of_another_shape_is_refused_before_a_simulator_is_made(net, images):
    source = Blocks(images[:, :7], 2)
    with pytest.raises(ImageError, match=r"images: wrong shape; expected \(N, 8, 6, 2\)"):
        record(net, source, [LogitsRecorder()], **OPTIONS)
    with pytest.raises(ImageError, match=f"expected {N_STEPS} frames, got 3"):
        record(net, Blocks(images[:, None].repeat(3, axis=1), 2), [LogitsRecorder()], **OPTIONS)
    assert source.asked == []


def test_the_range_of_a_source_is_warned_of_for_its_first_block_or_at_the_end(net, images):
    for factors, n_warnings in (([255] * 5, 1), ([1, 1, 1, 255, 1], 1), ([1] * 5, 0)):
        source = Blocks(images * np.reshape(factors, (5, 1, 1, 1)).astype("float32"), 2)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            record(net, source, [LogitsRecorder()], minibatch_size=2, **OPTIONS)
        found = [warning for warning in caught if warning.category is InputRangeWarning]
        assert [warning.filename for warning in found] == [__file__] * n_warnings


# Warnings are for the user's line


def test_warnings_are_for_the_line_of_the_user(net, small_model, images):
    loud = images * 255
    silent = ncam.convert(small_model, scale_firing_rates=1e-3)
    predict = ncam.spiking_predict(net, n_steps=2, seed=0)
    for call, category, line in (
        (lambda: record(net, loud, [LogitsRecorder()], **OPTIONS), InputRangeWarning, "record(net, loud"),
        (lambda: ncam.spiking_cam(net, loud, **OPTIONS), InputRangeWarning, "spiking_cam(net, loud"),
        (lambda: ncam.measure_cost(net, loud, **OPTIONS), InputRangeWarning, "measure_cost(net, loud"),
        (lambda: ncam.measure_activity(net, loud, **OPTIONS), InputRangeWarning, "measure_activity(net, loud"),
        (lambda: predict(loud), InputRangeWarning, "predict(loud)"),
        (lambda: ncam.spiking_cam(silent, images, **OPTIONS), SilentFeaturesWarning, "spiking_cam(silent"),
        (lambda: record(silent, images, [CamRecorder()], **OPTIONS), SilentFeaturesWarning, "record(silent"),
    ):
        with pytest.warns(category, match=".") as caught:
            call()
        (warning,) = (entry for entry in caught if entry.category is category)
        assert warning.filename == __file__
        assert line in linecache.getline(__file__, warning.lineno)


def test_a_run_has_no_use_for_a_source_twice(net, images):
    """Frames of the images that run are in memory; others are read."""
    source = Blocks(images, 2)
    options = {"n_steps": 3, "simulator": ncam.Simulator, "minibatch_size": 2, "dt": 0.001, "seed": 0}
    with Run(net, source, progress_bar=False, **options) as run:
        for rows, _ in run.chunks():
            np.testing.assert_array_equal(run.frames(rows)[:, 0], images[rows])
    assert source.asked == [(0, 2), (2, 4), (4, 5)]
    np.testing.assert_array_equal(run.frames(slice(1, 3))[:, 0], images[1:3])
    assert source.asked[-1] == (1, 3)
