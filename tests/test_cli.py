import ast
import csv
import errno
import inspect
import io
import pathlib
import re
import subprocess
import sys

import nengo
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from PIL import Image

import nengo_cam as ncam
from nengo_cam.cli import main
from nengo_cam.cli.options import NEURONS


@pytest.fixture
def run(monkeypatch):
    # Click 8.2 keeps the two streams apart, and knows no option for it.
    apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    runner = CliRunner(**apart)
    # The command shows warnings in its own way; the tests' way has to come back.
    monkeypatch.setattr("warnings.showwarning", __import__("warnings").showwarning)

    def call(*args, code=0, stream="stdout"):
        result = runner.invoke(main, [str(arg) for arg in args])
        assert result.exit_code == code, result.output
        return getattr(result, "stderr" if code else stream)

    return call


def test_demo_writes_its_files_and_says_what_it_found(run, tmp_path, digits):
    text = run(
        "demo", "--network", "digits", "--out", tmp_path / "demo", "--images", 4, "--steps", 40, "--quiet", "--seed", 3
    )
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == ["cam.gif", "cam.nc", "timeline.png"]
    with Image.open(tmp_path / "demo" / "cam.gif") as film:
        assert film.n_frames == 40
    with xr.open_dataset(tmp_path / "demo" / "cam.nc") as saved:
        assert dict(saved.cam.sizes) == {"image": 4, "time": 40, "label": 10, "y": 28, "x": 28}
        assert saved.attrs["seed"] == 3
        images, classes = (part[:4] for part in digits[1])
        accuracy = float((saved.logits.mean("time").argmax("label") == classes).mean())
        rate = ncam.rate_cam(ncam.datasets.digits_model(), images)
        predicted = saved.logits.mean("time").argmax("label")
        mean = saved.cam.mean("time").isel(label=predicted)
        closeness = ncam.correlation(mean, rate.cam.isel(label=predicted)).median()
    assert f"accuracy of the spiking network               {accuracy:.3f}" in text
    assert f"{float(closeness):.3f} (median)" in text
    assert float(re.search(r"completeness error +(\S+)", text)[1]) < 1e-5
    assert str(tmp_path / "demo" / "timeline.png") in text


@pytest.mark.slow
def test_the_demo_shows_photographs(run, tmp_path):
    text = run("demo", "--out", tmp_path / "demo", "--quiet")
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == ["cam.gif", "cam.nc", "timeline.png"]
    saved = xr.load_dataset(tmp_path / "demo" / "cam.nc", engine="h5netcdf")
    assert {name: saved.sizes[name] for name in ("image", "time", "y", "x")} == {"image": 2, "time": 20, "y": 6, "x": 9}
    assert saved.attrs["readout"] == "level"
    # What Keras itself answers.
    (_, _), (images, names) = ncam.datasets.photographs()
    labels = ncam.datasets.imagenet_labels()
    keras = ncam.datasets.mobilenet().predict(images, verbose=0)
    for name, answer in zip(names, keras.argmax(axis=1)):
        assert re.search(rf"^  {name} +both networks answer {labels[answer]}$", text, flags=re.MULTILINE)
    assert {labels[label] for row in np.argsort(keras)[:, -5:] for label in row} == set(saved.label.values)
    # When the last answer changed, in a loop.
    answers = saved.logits.argmax("label").values
    last = max(max((t for t in range(20) if row[t] != row[-1]), default=-1) for row in answers)
    assert f"answers stay the same                         from {last + 2} ms on\n" in text
    assert "settled answers that are the CNN's            1.000\n" in text
    own = saved.cam.isel(time=-1).sel(label=xr.DataArray([labels[i] for i in keras.argmax(axis=1)], dims="image"))
    rate = ncam.rate_cam(ncam.datasets.mobilenet(), images, label_names=labels).cam.sel(label=own.label)
    expected = np.median([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(own.values, rate.values)])
    assert f"correlation of last spiking map and rate map  {expected:.3f} (median)" in text
    moving = 1 + max(t for t in range(1, 20) if (saved.cam[:, t] != saved.cam[:, t - 1]).any())
    with Image.open(tmp_path / "demo" / "cam.gif") as film:
        assert film.n_frames == moving + 4 < 20


def test_the_demo_says_where_answers_differ(run, tmp_path, monkeypatch):
    """Of neurons that do not carry the network, and before all is settled."""
    original = ncam.spiking_cam

    def other(*args, **options):
        result = original(*args, **options)
        return result.assign(answer=("image", ["tabby", "espresso"]))

    monkeypatch.setattr(ncam, "spiking_cam", other)
    text = run("demo", "--out", tmp_path / "demo", "--steps", 2, "--quiet")
    assert (
        "  cat                                           the spiking network answers tabby, but the CNN Egyptian cat\n"
        in text
    )
    assert "settled answers that are the CNN's            0.500\n" in text
    assert "answers stay the same                         " in text


def test_the_demo_has_two_photographs(run, tmp_path):
    text = run("demo", "--out", tmp_path / "demo", "--images", 3, code=1)
    assert "Error: --images: there are two photographs" in text
    assert "Add --network digits" in text


def test_demo_finds_an_unwritable_folder_first(run, tmp_path):
    (tmp_path / "file").write_text("x")
    text = run("demo", "--out", tmp_path / "file", code=1)
    assert "Error: output" in text
    assert "the folder cannot be made (File exists)" in text


@pytest.fixture(scope="module")
def saved_model(small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.keras"
    small_model.save(path)
    return path


def test_animate_a_saved_model(run, tmp_path, saved_model, images):
    np.save(tmp_path / "images.npy", images)
    out = tmp_path / "film.gif"
    text = run(
        "animate", saved_model, tmp_path / "images.npy", "--label", 1, "--image", 2, "--out", out, "--steps", 12,
        "--synapse", 0.005, "--simulator", "nengo", "--scale-firing-rates", 200, "--quiet",
    )  # fmt: skip
    assert text.strip() == str(out)
    with Image.open(out) as film:
        assert film.n_frames == 12


def test_animate_pictures_in_the_range_of_the_model(run, tmp_path, make_model, monkeypatch):
    model = make_model(shape=(8, 6, 3))
    model.save(tmp_path / "rgb.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[::-1]).save(tmp_path / "b.png")
    (tmp_path / "names.txt").write_text("cat\ndog\nbird\n")
    seen = {}
    original = ncam.spiking_cam

    def spy(net, images, **options):
        seen.update(images=images, **options)
        return original(net, images, **options)

    monkeypatch.setattr(ncam, "spiking_cam", spy)
    run(
        "animate", tmp_path / "rgb.keras", tmp_path / "a.png", tmp_path / "b.png", "--rescale", "-1,1",
        "--label", "dog", "--label-names", tmp_path / "names.txt", "--image", 1,
        "--out", tmp_path / "a.gif", "--steps", 5, "--quiet",
    )  # fmt: skip
    np.testing.assert_allclose(seen["images"][0], pixels[::-1] / 127.5 - 1, atol=1e-6)
    assert seen["labels"] == 1
    assert seen["label_names"] == ["cat", "dog", "bird"]


def test_pixels_of_unknown_range_are_asked_about(run, tmp_path, saved_model):
    np.save(tmp_path / "float.npy", np.ones((1, 8, 6, 2)))
    out = ("--out", tmp_path / "a.gif", "--quiet")
    for dtype in (np.uint8, np.int64):
        np.save(tmp_path / "whole.npy", np.ones((1, 8, 6, 2), dtype))
        # Beside floats too, with which they would turn into floats.
        text = run("animate", saved_model, tmp_path / "float.npy", tmp_path / "whole.npy", *out, code=1)
        assert "expected --rescale" in text
        assert "whole.npy" in text
    text = run("animate", saved_model, tmp_path / "float.npy", "--rescale", "0,1", *out, code=1)
    assert "got numbers up to 1" in text


@pytest.mark.parametrize(
    ("pixels", "got"),
    [
        (np.full((1, 8, 6, 2), 65535, np.uint16), "from 65535 to 65535"),
        (np.linspace(-3.0, 200, 96).reshape(1, 8, 6, 2), "from -3 to 200"),
        (np.linspace(0, 2550, 96).reshape(1, 8, 6, 2), "from 0 to 2550"),
    ],
)
def test_pixels_of_another_range_are_refused(run, tmp_path, saved_model, pixels, got):
    np.save(tmp_path / "a.npy", pixels)
    text = run("inspect", saved_model, "--images", tmp_path / "a.npy", "--rescale", "0,1", code=1)
    assert f"pixels from 0 to 255; expected such, got numbers {got}" in text


def test_results_that_are_too_large_are_said_in_words_of_the_command(run, tmp_path, saved_model, images):
    np.save(tmp_path / "images.npy", images)
    text = run("animate", saved_model, tmp_path / "images.npy", "--steps", 10**12, "--out", tmp_path / "a.gif", code=1)
    assert re.search(r"result: maps of .* take [\d,]+ (TB|PB)", text)
    assert "got more. Run fewer --steps or fewer images, or film one --label." in text
    assert "labels=" not in text
    assert not (tmp_path / "a.gif").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "{tmp}/no/cam.gif"], "does not exist. Create it first"),
        (["--out", "{tmp}/cam.txt"], "not a film format"),
        (["--image", "9"], "expected a number from 0 to 4, got 9"),
        (["--label", "9"], "--label: '9' does not exist; expected an index from 0 to 2, got '9'. Give --label-names"),
        (["--label", "cat"], "'cat' does not exist"),
        (["--label", "--5"], "'--5' does not exist"),
        (["--seed", "-1"], "seed: expected a whole number"),
        (["--scale-firing-rates", "0"], "scale_firing_rates: expected a positive number"),
        (["--dt", "0"], "dt: expected a positive number"),
        (["--scale-firing-rates", "9", "--calibrate-on", "{tmp}/images.npy"], "--calibrate-on: nothing is calibrated"),
        (["--synapse", "-1"], "synapse: expected"),
        (["--target-rate", "-3"], "target_rate: expected a positive number"),
        (["--image", "0,9"], "expected a number from 0 to 4, got 9"),
        (["--image", "1,2", "--image", "1"], "--image: expected different ones, got [1, 2, 1]"),
        (["--label", "1", "--label", "1"], "--label: expected different ones, got ['1', '1']"),
        (["--label", "1", "--label", "7"], "--label: '7' does not exist"),
        (["--label", "top4"], "--label: 'top4' are more than there are; expected at most 'top3'"),
        (["--label", "top2", "--label", "1"], "--label: 'top2' does not exist"),
        (["--fps", "0"], "fps: not a frame rate"),
        (["--fps", "inf"], "fps: not a frame rate"),
        (["--interpolation", "soft"], "interpolation: unknown to matplotlib"),
        (["--out", "{tmp}/cam.png"], "a PNG holds one frame"),
        (["--out", "{tmp}/cam.html", "--html", "{tmp}/cam.html"], "named twice"),
        (["--html", "{tmp}/cam.gif"], "not a page"),
        (["--html", "{tmp}/no/cam.html"], "does not exist. Create it first"),
        (["--nc", "{tmp}/cam.csv"], "not a format of tables; expected one of ['.nc'], got '.csv'"),
        (["--csv", "{tmp}/images.npy"], "the same file as the input"),
        (["--csv", "{tmp}/cam.nc"], "not a format of tables; expected one of ['.csv'], got '.nc'"),
    ],
)
def test_wrong_options_leave_nothing_behind(run, tmp_path, saved_model, images, options, message):
    np.save(tmp_path / "images.npy", images)
    options = [option.format(tmp=tmp_path) for option in options]
    out = [] if "--out" in options else ["--out", tmp_path / "cam.gif"]
    text = run("animate", saved_model, tmp_path / "images.npy", *options, *out, "--steps", 3, "--quiet", code=1)
    assert text.startswith("Error: ")
    assert message in text.replace("\n", " ")
    assert [p.name for p in tmp_path.iterdir()] == ["images.npy"]


def test_zero_steps_are_refused(run, saved_model):
    assert "0 is not in the range" in run("animate", saved_model, "x.npy", "--steps", 0, code=2)


def test_missing_files_are_said(run, tmp_path, saved_model):
    out = ["--out", tmp_path / "cam.gif"]
    assert "there is no such file" in run("animate", tmp_path / "no.h5", "x.npy", *out, code=1)
    assert "there is no such file" in run("animate", saved_model, tmp_path / "x.npy", *out, code=1)


def test_ctrl_c_leaves_no_half_file(run, tmp_path, saved_model, images, monkeypatch):
    np.save(tmp_path / "images.npy", images)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("nengo_cam.measurement.backends.AllStepsBackend.run", interrupted)
    out = tmp_path / "cam.gif"
    text = run("animate", saved_model, tmp_path / "images.npy", "--out", out, "--quiet", code=130)
    assert "interrupted; nothing half-written was left behind" in text
    assert [p.name for p in tmp_path.iterdir()] == ["images.npy"]


def test_ctrl_c_in_the_demo_leaves_no_half_file(run, tmp_path, monkeypatch):
    def interrupted(self, path, **_):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(xr.Dataset, "to_netcdf", interrupted)
    options = ("--network", "digits", "--images", 3, "--steps", 8, "--quiet")
    text = run("demo", "--out", tmp_path / "demo", *options, code=130)
    assert "nothing half-written was left behind" in text
    assert list((tmp_path / "demo").iterdir()) == []


def test_label_names_have_to_be_text(run, tmp_path, saved_model, images):
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "names.txt").write_bytes("Käse\n".encode("latin-1"))
    options = ("--label-names", tmp_path / "names.txt", "--out", tmp_path / "a.gif", "--quiet")
    assert re.search(
        r"names\.txt': expected names, one a line in UTF-8",
        run("animate", saved_model, tmp_path / "images.npy", *options, code=1),
    )


def test_help_and_version_need_no_tensorflow():
    for option in ("--help", "--version"):
        code = f"import sys; from nengo_cam.cli import main; main([{option!r}], standalone_mode=False); "
        code += "assert 'tensorflow' not in sys.modules"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr


def test_inspect_a_saved_model(run, tmp_path, saved_model, small_model):
    text = run("inspect", saved_model)
    assert text == f"{ncam.convert(small_model).report}\n"
    assert "[Hz/unit]" in text
    scaled = run("inspect", saved_model, "--scale-firing-rates", 300)
    assert scaled == f"{ncam.convert(small_model, scale_firing_rates=300).report}\n"
    assert list(tmp_path.iterdir()) == []


def test_inspect_measures_images(run, tmp_path, saved_model, small_model, images):
    for i, part in enumerate((images[:1], images[1:3], images[3:])):
        np.save(tmp_path / f"{i}.npy", part)
    out = tmp_path / "report.nc"
    paths = [tmp_path / f"{i}.npy" for i in range(3)]
    run_options = ("--steps", 30, "--seed", 4, "--dt", 0.002, "--target-rate", 150, "--simulator", "nengo", "--quiet")
    text = run("inspect", saved_model, "--images", paths[0], "--images", paths[1], *run_options, "--out", out)
    expected = ncam.measure_activity(
        ncam.convert(small_model, calibrate_on=images[:3], target_rate=150),
        images[:3], n_steps=30, seed=4, dt=0.002, simulator=nengo.Simulator, progress_bar=False,
    )  # fmt: skip
    assert text == f"{expected}\n{out}\n"
    with xr.open_dataset(out, engine="h5netcdf") as saved:
        assert str(ncam.Report(saved)) == str(expected)
    # Calibrated on other images than those that run.
    text = run("inspect", saved_model, "--images", paths[0], "--calibrate-on", paths[2], *run_options)
    net = ncam.convert(small_model, calibrate_on=images[3:], target_rate=150)
    for scale in net.firing_rate_scales.values():
        assert f" {scale:.4g} " in text
    assert "1 image, 30 steps of 0.002 s on nengo.Simulator" in text


def test_inspect_says_once_what_does_not_spike(run, tmp_path, tf, make_model):
    layers = tf.keras.layers
    curved = layers.Conv2D(3, 1, activation="tanh", name="curved")
    make_model(curved, layers.GlobalAveragePooling2D(), layers.Dense(2)).save(tmp_path / "curved.h5")
    text = run("inspect", tmp_path / "curved.h5")
    assert text.count("Nonlinear, but without spikes: 'curved'.") == 1
    assert "Warning: " not in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "{tmp}/no/report.nc"], "does not exist. Create it first"),
        (["--images", "{tmp}/no.npy"], "there is no such file"),
        (["--calibrate-on", "{tmp}/no.npy"], "there is no such file"),
        (["--dt", "0"], "dt: expected a positive number"),
        (["--seed", "-1"], "seed: expected a whole number"),
        (["--scale-firing-rates", "0"], "scale_firing_rates: expected a positive number"),
    ],
)
def test_inspect_refuses_wrong_options(run, tmp_path, saved_model, options, message):
    options = [option.format(tmp=tmp_path) for option in options]
    text = run("inspect", saved_model, *options, code=1)
    assert text.startswith("Error: ")
    assert message in text.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


COMPARED = ["agreement.png", "comparison.png", "latency.png", "raster.png", "report.html", "scores.nc"]


def test_compare_a_saved_model(run, tmp_path, saved_model, small_model, images):
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "samples.npy", images[3:])
    out = tmp_path / "new" / "out"
    text = run(
        "compare", saved_model, tmp_path / "images.npy", "--calibrate-on", tmp_path / "samples.npy", "--out", out,
        "--metric", "spearman", "--threshold", 0.7, "--image", 2, "--image", 0, "--steps", 30, "--seed", 4, "--quiet",
    )  # fmt: skip
    assert sorted(path.name for path in out.iterdir()) == COMPARED
    assert sorted(text.split()) == sorted(str(out / name) for name in COMPARED)
    net = ncam.convert(small_model, calibrate_on=images[3:])
    spiking = ncam.cumulative(ncam.spiking_cam(net, images, n_steps=30, seed=4, progress_bar=False))
    scores = ncam.compare(spiking, ncam.rate_cam(small_model, images))
    with xr.open_dataset(out / "scores.nc", engine="h5netcdf") as saved:
        np.testing.assert_allclose(saved.ssim, scores.ssim.sel(label=saved.label), atol=1e-6)
        expected = ncam.explanation_latency(scores, "spearman", 0.7).latency
        np.testing.assert_array_equal(saved.explanation_latency, expected)
        assert saved.attrs["time_reduction"] == "running mean"
        assert saved.attrs["seed"] == 4


def test_compare_other_options(run, tmp_path, make_model):
    make_model(shape=(8, 6, 3)).save(tmp_path / "rgb.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "names.txt").write_text("cat\ndog\nbird\n")
    run(
        "compare", tmp_path / "rgb.keras", tmp_path / "a.png", "--rescale", "0,1", "--label", "dog", "--label-names",
        tmp_path / "names.txt", "--out", tmp_path, "--steps", 8, "--synapse", 0.002, "--raw", "--quiet",
        "--scale-firing-rates", 300, "--dt", 0.002, "--simulator", "nengo",
    )  # fmt: skip
    # Filtered features are no spikes, so there is no raster.
    written = set(COMPARED) - {"raster.png"}
    assert {path.name for path in tmp_path.iterdir()} == {*written, "a.png", "names.txt", "rgb.keras"}
    with xr.open_dataset(tmp_path / "scores.nc", engine="h5netcdf") as saved:
        assert set(saved.compared_label.values) == {"dog"}
        assert saved.attrs["time_reduction"] == ""
        assert saved.attrs["simulator"] == "nengo.Simulator"
        np.testing.assert_allclose(saved.time, 0.002 * np.arange(1, 9))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "{tmp}/images.npy"], "is a file; expected a folder"),
        (["--image", "9"], "--image: expected a number from 0 to 4, got 9"),
        (["--label", "9"], "--label: '9' does not exist; expected an index from 0 to 2, got '9'. Give --label-names"),
        (["--label", "cat"], "'cat' does not exist"),
        (["--threshold", "2"], "threshold: expected a number from -1 to 1"),
        (["--threshold", "nan"], "threshold: expected a number from -1 to 1"),
        (["--calibrate-on", "{tmp}/no.npy"], "there is no such file"),
        (["--rescale", "0,1"], "expected such, got numbers up to"),
        (["--seed", "-1"], "seed: expected a whole number"),
        (["--dt", "0"], "dt: expected a positive number"),
        (["--synapse", "-1"], "synapse: expected"),
        (["--target-rate", "-3"], "target_rate: expected a positive number"),
        (["--scale-firing-rates", "0"], "scale_firing_rates: expected a positive number"),
    ],
)
def test_compare_refuses_wrong_options_before_it_runs(
    run, tmp_path, saved_model, images, monkeypatch, options, message
):
    monkeypatch.setattr(ncam, "spiking_cam", None)
    np.save(tmp_path / "images.npy", images)
    options = [option.format(tmp=tmp_path) for option in options]
    out = [] if "--out" in options else ["--out", tmp_path / "out"]
    text = run("compare", saved_model, tmp_path / "images.npy", *options, *out, "--quiet", code=1)
    assert text.startswith("Error: ")
    assert message in text.replace("\n", " ")
    assert [p.name for p in tmp_path.iterdir()] == ["images.npy"]


def test_compare_refuses_moving_images(run, tmp_path, saved_model, monkeypatch):
    monkeypatch.setattr(ncam, "spiking_cam", None)
    np.save(tmp_path / "films.npy", np.zeros((2, 5, 8, 6, 2), np.float32))
    text = run("compare", saved_model, tmp_path / "films.npy", "--out", tmp_path / "out", code=1)
    assert "rate: has a dim 'time'; expected maps without time" in text.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_ctrl_c_leaves_no_half_comparison(run, tmp_path, saved_model, images, monkeypatch):
    np.save(tmp_path / "images.npy", images)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(xr.Dataset, "to_netcdf", interrupted)
    out = ("--out", tmp_path / "out", "--steps", 5, "--quiet")
    text = run("compare", saved_model, tmp_path / "images.npy", *out, code=130)
    assert "nothing half-written was left behind" in text
    assert [p.name for p in tmp_path.iterdir()] == ["images.npy"]


def test_ctrl_c_leaves_no_half_report(run, tmp_path, saved_model, monkeypatch):
    def interrupted(self, path, **_):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(xr.Dataset, "to_netcdf", interrupted)
    text = run("inspect", saved_model, "--out", tmp_path / "report.nc", code=130)
    assert "nothing half-written was left behind" in text
    assert list(tmp_path.iterdir()) == []


def test_a_film_bears_the_number_of_its_image(run, tmp_path, saved_model, images, monkeypatch):
    np.save(tmp_path / "images.npy", images)
    drawn = {}
    original = ncam.plotting.animate

    def spy(spiking, rate, shown, **options):
        drawn["film"] = original(spiking, rate, shown, **options)
        return drawn["film"]

    monkeypatch.setattr("nengo_cam.plotting.animate", spy)
    out = ("--out", tmp_path / "a.gif", "--steps", 4, "--quiet")
    run("animate", saved_model, tmp_path / "images.npy", "--image", 3, *out)
    (panel,) = drawn["film"].panels
    # Beside the input, which comes first.
    assert panel.input.axes.get_ylabel() == "image 3"
    expected = ncam.plotting.displayed.displayed(ncam.plotting.displayed.as_images(images[3:4])[0])
    np.testing.assert_allclose(panel.scene.film, expected)


def test_a_film_is_of_the_answer_that_is_said(run, tmp_path, saved_model, images, monkeypatch):
    np.save(tmp_path / "images.npy", images)
    drawn = {}
    original = ncam.plotting.animate

    def spy(spiking, rate, shown, **options):
        # At the last step, another label takes over.
        spiking["logits"][0, -1, (int(spiking["answer"][0]) + 1) % 3] = 1e6
        drawn["film"] = original(spiking, rate, shown, **options)
        return drawn["film"]

    monkeypatch.setattr("nengo_cam.plotting.animate", spy)
    out = ("--out", tmp_path / "a.gif", "--steps", 4, "--quiet", "--raw")
    text = run("animate", saved_model, tmp_path / "images.npy", *out, stream="stderr")
    said = re.search(r"(?:both networks answer|the spiking network answers) (\d)", text)[1]
    assert drawn["film"].panels[0].scene.label == int(said)


@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.SilentFeaturesWarning")
def test_answers_of_both_networks_are_said(run, tmp_path, make_model, images):
    """A network whose silent neurons answer the same for all images, and one that answers as its CNN."""
    model = make_model()
    kernel, bias = model.get_layer("readout").get_weights()
    bias[:] = -1
    winners = model.predict(images, verbose=0).argmax(axis=1)
    bias[(winners[0] + 1) % 3] = 0
    model.get_layer("readout").set_weights([100 * kernel, bias])
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "five.npy", images)
    (tmp_path / "names.txt").write_text("cat\ndog\nbird\n\n")
    options = ("--label-names", tmp_path / "names.txt", "--quiet", "--steps", 30)
    files = (tmp_path / "m.keras", tmp_path / "five.npy")
    rates = ("--scale-firing-rates", 0.001)
    out = ("--out", tmp_path / "out")
    text = run("compare", *files, *options, *rates, *out, stream="stderr")
    cnn = [["cat", "dog", "bird"][i] for i in model.predict(images, verbose=0).argmax(axis=1)]
    silent = ["cat", "dog", "bird"][(winners[0] + 1) % 3]
    differing = [i for i, name in enumerate(cnn) if name != silent]
    assert differing
    for i, name in enumerate(cnn):
        said = f"but the CNN {name}" if i in differing else f"both networks answer {name}"
        assert re.search(rf"image {i} \(five.npy\): .*{said}\n", text)
    assert f"Warning: {len(differing)} of 5 answers are not the CNN's (mean of the last half of 30 steps)" in text
    assert "Likely, its firing rates were not calibrated. Try leaving --scale-firing-rates out." in text
    # Once: the line says it, and not the library's warning too.
    assert text.count("Likely, ") == 1
    text = run("compare", *files, *options, *out, stream="stderr")
    assert "Likely" not in text
    assert "Firing rates are calibrated on the 5 images given; --calibrate-on takes others." in text
    assert f"Replaced {tmp_path / 'out' / 'scores.nc'}, which was there before." in text
    np.save(tmp_path / "one.npy", images[:1])
    text = run("compare", *files, *options, *out, "--calibrate-on", tmp_path / "one.npy", stream="stderr")
    assert "are calibrated on" not in text


@pytest.mark.parametrize("neurons", sorted(NEURONS))
def test_every_kind_of_neurons_can_be_chosen(run, tmp_path, saved_model, neurons):
    text = run("inspect", saved_model, "--neurons", neurons, "--synapse", 0.01)
    assert re.search(rf"conv0 .* {neurons} +yes", text)


def test_neurons_can_be_chosen_by_the_number_of_layers(run, saved_model):
    text = run("inspect", saved_model, "--neurons", "auto")
    assert re.search(r"conv0 .* SignedIntegrateAndFire +yes", text)
    assert "Neurons chosen: SignedIntegrateAndFire(negative_threshold=0.25), as" in text


def test_recommend_prints_and_writes_the_table(run, tmp_path, saved_model, small_model, images):
    np.save(tmp_path / "images.npy", images)
    arguments = ["recommend", saved_model, tmp_path / "images.npy", "--steps", 15, "--seed", 0]
    text = run(*arguments, "--out", tmp_path / "table.nc")
    expected = ncam.recommend(small_model, images, n_steps=15, seed=0, progress_bar=False)
    assert text == f"{expected}\n{tmp_path / 'table.nc'}\n"
    with xr.open_dataset(tmp_path / "table.nc") as saved:
        np.testing.assert_array_equal(saved.events, expected.dataset.events)
    run(*arguments, "--out", tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as table:
        assert [row["neurons"] for row in csv.DictReader(table)] == expected.dataset.neurons.values.tolist()
    assert "not a format of tables" in run(*arguments, "--out", tmp_path / "table.txt", code=1)
    assert "No such option" in run(*arguments, "--neurons", "LIF", code=2)


def test_neurons_that_reports_and_warnings_recommend_can_be_chosen():
    room = pathlib.Path(ncam.__file__).with_name("measurement")
    sources = [(room / name).read_text() for name in ("answers.py", "activity.py")]
    # What is said, and not what code looks for.
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    said = " ".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    named = set(re.findall(r"\b[A-Z]\w*(?:Fire|Linear|LIF|Delta)\b", said))
    assert named
    assert named <= set(NEURONS)


@pytest.mark.parametrize(("n_axes", "channels"), [(1, 1), (1, 3), (3, 1), (3, 2)])
def test_images_of_one_and_three_axes(run, tmp_path, tf, n_axes, channels):
    layers = tf.keras.layers
    shape = (6, 7, 8)[:n_axes]
    image = tf.keras.Input((*shape, channels))
    x = getattr(layers, f"Conv{n_axes}D")(3, 3, activation="relu", name="conv")(image)
    x = getattr(layers, f"GlobalAveragePooling{n_axes}D")()(x)
    tf.keras.Model(image, layers.Dense(2)(x)).save(tmp_path / "m.keras")
    images = np.random.default_rng(0).random((2, *shape, channels))
    np.save(tmp_path / "a.npy", images[..., 0] if channels == 1 else images)
    text = run("inspect", tmp_path / "m.keras", "--images", tmp_path / "a.npy", "--steps", 5)
    assert "conv" in text


def test_a_full_disk_is_said(run, tmp_path, saved_model, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    text = run("inspect", saved_model, "--out", tmp_path / "a.nc", code=1)
    assert "Error: [Errno 28] No space left on device. Nothing half-written was left behind." in text
    assert not list(tmp_path.iterdir())


def test_names_are_no_commands_to_the_terminal(run, tmp_path, saved_model, images):
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "names.txt").write_text("".join(f"\x1b[31m{i}\x07{500 * 'x'}\n" for i in "abc"))
    names = ("--label-names", tmp_path / "names.txt")
    out = ("--out", tmp_path / "a.gif", "--quiet", "--steps", 3)
    text = run("animate", saved_model, tmp_path / "images.npy", *names, *out, stream="stderr")
    (line,) = re.findall(r"image 0 \(images.npy\): .*", text)
    assert re.search("answers? �\\[31m[abc]�xx+…", line)
    assert len(line) < 300
    assert "\x1b" not in text
    assert "\x07" not in text


def test_labels_are_named_in_words_of_the_command(run, tmp_path, saved_model, images):
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "names.txt").write_text("tabby cat\ndog\nbird\n")
    out = ("--out", tmp_path / "a.gif", "--quiet", "--steps", 3)
    command = ("animate", saved_model, tmp_path / "images.npy", *out)
    names = ("--label-names", tmp_path / "names.txt")
    text = run(*command, *names, "--label", "taby cat", code=1).replace("\n", " ")
    assert "--label: 'taby cat' does not exist" in text
    assert "Did you mean 'tabby cat'?" in text
    assert "label_names" not in text
    (tmp_path / "names.txt").write_text("tabby cat\ndog\n")
    text = run(*command, *names, code=1).replace("\n", " ")
    assert re.search(r"--label-names '.*': expected 3 names, one a line for each label of 'readout', got 2", text)


def test_names_that_come_twice_are_numbered(run, tmp_path, saved_model, images, monkeypatch):
    np.save(tmp_path / "images.npy", images[:1])
    (tmp_path / "names.txt").write_text("crane\ndog\ncrane\n")
    out = ("--out", tmp_path / "out", "--quiet", "--steps", 5)
    options = ("--label-names", tmp_path / "names.txt", "--label", "crane (2)")
    run("compare", saved_model, tmp_path / "images.npy", *out, *options)
    with xr.open_dataset(tmp_path / "out" / "scores.nc", engine="h5netcdf") as saved:
        assert saved.compared_label.values.tolist() == ["crane (2)"]


def test_tables_are_written_in_the_format_of_their_name(run, tmp_path, saved_model, small_model):
    run("inspect", saved_model, "--out", tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    report = ncam.convert(small_model).report.dataset
    assert [row["layer"] for row in rows] == report.layer.values.tolist()
    assert [row["became"] for row in rows] == report.became.values.tolist()
    text = run("inspect", saved_model, "--out", tmp_path / "table.xlsx", code=1).replace("\n", " ")
    assert "not a format of tables; expected one of ['.nc', '.csv'], got '.xlsx'" in text


def test_progress_bars_are_for_terminals(run, tmp_path, saved_model, images, monkeypatch):
    np.save(tmp_path / "images.npy", images[:1])
    command = ("animate", saved_model, tmp_path / "images.npy", "--out", tmp_path / "a.gif", "--steps", 3)
    assert "3/3" not in run(*command, stream="stderr")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for options, shown in (((), True), (("--quiet",), False)):
        # Click's runner has a stream of its own, which is no terminal.
        terminal = Terminal()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", terminal)
            main([str(word) for word in (*command, *options)], standalone_mode=False)
        assert ("3/3" in terminal.getvalue()) is shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "its middle was cut out (--fit pad and --fit stretch do otherwise)"),
        (["--fit", "pad"], "gray bars were put beside it (--fit crop"),
        (["--fit", "stretch"], "it was squashed (--fit crop"),
    ],
)
def test_what_was_done_to_a_picture_is_said(run, tmp_path, make_model, options, said):
    make_model(shape=(8, 8, 3)).save(tmp_path / "rgb.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (8, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    Image.fromarray(pixels[:, :8]).save(tmp_path / "square.png")
    command = (
        "animate",
        tmp_path / "rgb.keras",
        "--rescale",
        "0,1",
        "--out",
        tmp_path / "a.gif",
        "--steps",
        3,
        *options,
    )
    assert f"wide.png: 24 x 8 pixels, for a model that takes 8 x 8: {said}" in run(
        *command, tmp_path / "wide.png", stream="stderr"
    )
    assert "for a model that takes" not in run(*command, tmp_path / "square.png", stream="stderr")


@pytest.fixture
def attributed(monkeypatch):
    """Let results say how they are read; the results, one after the other."""

    def attribute(**attrs):
        original, results = ncam.spiking_cam, []

        def run(*args, **options):
            results.append(original(*args, **options).assign_attrs(attrs))
            return results[-1]

        monkeypatch.setattr("nengo_cam.spiking_cam", run)
        return results

    return attribute


@pytest.mark.parametrize(
    ("attrs", "said"),
    [
        ({"readout": "level", "spike_kind": "graded"}, "graded, read at each step"),
        ({"readout": "mean", "spike_kind": "unit"}, "unit, read by their mean over time"),
    ],
)
def test_a_film_goes_by_the_readout(run, tmp_path, saved_model, images, monkeypatch, attributed, attrs, said):
    np.save(tmp_path / "images.npy", images)
    results = attributed(**attrs)
    drawn = {}
    original = ncam.plotting.animate

    def spy(spiking, rate, shown, **options):
        drawn["film"] = original(spiking, rate, shown, **options)
        return drawn["film"]

    monkeypatch.setattr("nengo_cam.plotting.animate", spy)
    out = ("--out", tmp_path / "a.gif", "--steps", 6, "--seed", 2, "--quiet")
    text = run("animate", saved_model, tmp_path / "images.npy", "--label", 1, *out, stream="stderr")
    assert f"Spikes: {said}.\n" in text
    expected = results[0].cam.values[0, :, 0].astype(float)
    if attrs["readout"] == "mean":
        expected = np.cumsum(expected, axis=0) / np.arange(1, 7)[:, None, None]
    np.testing.assert_allclose(drawn["film"].panels[0].scene.spiking, expected, rtol=1e-5, atol=1e-6)


def test_a_film_of_many_labels_and_held_levels_shows_what_matters(run, tmp_path, make_model, images, monkeypatch):
    make_model(channels=(3,) * 6, n_labels=30).save(tmp_path / "deep.keras")
    np.save(tmp_path / "images.npy", images)
    drawn = {}
    original = ncam.plotting.animate

    def spy(spiking, rate, shown, **options):
        drawn.update(spiking=spiking, rate=rate, fps=options.get("fps"))
        return original(spiking, rate, shown, **options)

    monkeypatch.setattr("nengo_cam.plotting.animate", spy)
    out = ("--out", tmp_path / "a.gif", "--steps", 40, "--quiet")
    run("animate", tmp_path / "deep.keras", tmp_path / "images.npy", *out)
    net = ncam.convert(ncam.models.files.load_keras_model(tmp_path / "deep.keras"), calibrate_on=images)
    logits = net.cnn_logits(images[:1])[0]
    best = set(np.argsort(logits)[-5:].tolist())
    # The CNN's best, and what the spiking network answers, which may be another.
    assert best <= set(drawn["spiking"].label.values.tolist()) <= best | {int(drawn["spiking"].answer[0])}
    assert drawn["rate"].label.values.tolist() == drawn["spiking"].label.values.tolist()
    # It ends four steps after the last change, and is slow enough to see each step.
    maps = drawn["spiking"].cam.values[0]
    changes = np.flatnonzero((maps[1:] != maps[:-1]).any(axis=(1, 2, 3)))
    assert len(maps) == changes[-1] + 2 + 4 < 40
    assert drawn["fps"] == 5


def test_a_film_of_moving_images_ends_with_the_maps_of_the_cnn(run, tmp_path, make_model, images, monkeypatch):
    make_model(channels=(3,) * 6).save(tmp_path / "deep.keras")
    np.save(tmp_path / "images.npy", images)
    # Another image for three steps, then one that stays, so that levels settle long before the end.
    np.save(tmp_path / "moving.npy", np.stack([*[images[0]] * 3, *[images[1]] * 37])[None])
    drawn = {}
    original = ncam.plotting.animate

    def spy(spiking, rate, shown, **options):
        drawn.update(spiking=spiking, rate=rate)
        return original(spiking, rate, shown, **options)

    monkeypatch.setattr("nengo_cam.plotting.animate", spy)
    options = ("--calibrate-on", tmp_path / "images.npy", "--out", tmp_path / "a.gif", "--steps", 40, "--quiet")
    run("animate", tmp_path / "deep.keras", tmp_path / "moving.npy", *options)
    times = drawn["spiking"].time.values
    assert len(times) < 40
    np.testing.assert_array_equal(drawn["rate"].time.values, times)
    # The maps of the CNN are those of the frames shown.
    maps = drawn["rate"].cam.values[0]
    assert (maps[2] != maps[3]).any()
    np.testing.assert_allclose(maps[3:], np.broadcast_to(maps[-1], maps[3:].shape), atol=1e-6)


def test_a_comparison_of_a_level_averages_nothing(run, tmp_path, saved_model, images, attributed):
    np.save(tmp_path / "images.npy", images)
    files, options = (saved_model, tmp_path / "images.npy"), ("--steps", 12, "--seed", 3, "--quiet")
    run("compare", *files, *options, "--raw", "--out", tmp_path / "raw")
    attributed(readout="level", spike_kind="power of two")
    text = run("compare", *files, *options, "--out", tmp_path / "level", stream="stderr")
    assert "Spikes: power of two, read at each step.\n" in text
    raw, level = (xr.load_dataset(tmp_path / name / "scores.nc", engine="h5netcdf") for name in ("raw", "level"))
    np.testing.assert_array_equal(level.pearson, raw.pearson)
    assert (level.attrs["readout"], level.attrs["time_reduction"]) == ("level", "level at each step")
    assert "What is sent: power of two." in (tmp_path / "level" / "report.html").read_text(encoding="utf-8")


def test_the_demo_says_how_spikes_are_read(run, tmp_path, attributed):
    attributed(readout="level", spike_kind="graded")
    options = ("--network", "digits", "--images", 3, "--steps", 8, "--seed", 3, "--quiet")
    text = run("demo", "--out", tmp_path / "demo", *options)
    with xr.open_dataset(tmp_path / "demo" / "cam.nc", engine="h5netcdf") as saved:
        (_, _), (images, classes) = ncam.datasets.digits()
        last = saved.logits.isel(time=-1).argmax("label")
        accuracy = float((last == classes[:3]).mean())
        rate = ncam.rate_cam(ncam.datasets.digits_model(), images[:3])
        maps = saved.cam.isel(time=-1).isel(label=last), rate.cam.isel(label=last)
        closeness = float(ncam.correlation(*maps).median())
    assert re.search(rf"accuracy of the spiking network +{accuracy:.3f}\n", text)
    assert re.search(rf"correlation of last spiking map and rate map +{closeness:.3f} \(median\)\n", text)
    assert re.search(r"spikes +graded, read at each step\n", text)


def test_a_warning_of_answers_names_the_steps_that_answer(run, tmp_path, saved_model, images, monkeypatch):
    np.save(tmp_path / "images.npy", images)
    original = ncam.spiking_cam

    def other(*args, **options):
        result = original(*args, **options)
        return result.assign(answer=(result.cnn_answer + 1) % 3).assign_attrs(readout="level")

    monkeypatch.setattr("nengo_cam.spiking_cam", other)
    out = ("--out", tmp_path / "a.gif", "--steps", 4, "--quiet")
    text = run("animate", saved_model, tmp_path / "images.npy", *out, stream="stderr")
    assert "Warning: 1 of 1 answers are not the CNN's (the last of 4 steps), and" in text


def test_a_film_comes_with_page_maps_and_table(run, tmp_path, make_model, images):
    """Beside the same made by hand, and the table row by row."""
    make_model(channels=(3,) * 3).save(tmp_path / "m.keras")
    np.save(tmp_path / "images.npy", images)
    (tmp_path / "names.txt").write_text("cat\ndog\nbird\n")
    names = {kind: tmp_path / f"cam.{kind}" for kind in ("html", "nc", "csv")}
    files = [word for kind, path in names.items() for word in (f"--{kind}", path)]
    text = run(
        "animate", tmp_path / "m.keras", tmp_path / "images.npy", "--out", tmp_path / "frames" / "%02d.png", *files,
        "--image", "3,0", "--image", 1, "--label", "top2", "--label-names", tmp_path / "names.txt", "--stride", 5,
        "--steps", 12, "--neurons", "IntegrateAndFire", "--quiet",
    )  # fmt: skip
    assert text.split() == [str(tmp_path / "frames" / "%02d.png"), *(str(path) for path in names.values())]
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["00.png", "01.png", "02.png"]
    spiking = xr.load_dataset(names["nc"], engine="h5netcdf")
    rate = xr.load_dataset(names["nc"], engine="h5netcdf", group="rate")
    for result in (spiking, rate):
        assert result.image.values.tolist() == [3, 0, 1] and result.label.values.tolist() == ["cat", "dog", "bird"]
    net = ncam.convert(
        ncam.models.files.load_keras_model(tmp_path / "m.keras"), calibrate_on=images, neurons=ncam.IntegrateAndFire()
    )
    expected = ncam.spiking_cam(net, images[[3, 0, 1]], n_steps=12, seed=0)
    np.testing.assert_allclose(spiking.cam, expected.cam, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(rate.cam, ncam.rate_cam(net, images[[3, 0, 1]]).cam, rtol=1e-4, atol=1e-5)

    with names["csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 12 * 3
    logits = np.cumsum(spiking.logits.values.astype(float), axis=1) / np.arange(1, 13)[:, None]
    maps = np.cumsum(spiking.cam.values.astype(float), axis=1) / np.arange(1, 13)[:, None, None, None]
    for row, (i, t, k) in zip(rows, np.ndindex(3, 12, 3)):
        assert (row["image"], row["label"]) == (str([3, 0, 1][i]), ["cat", "dog", "bird"][k])
        np.testing.assert_allclose(float(row["time"]), 0.001 * (t + 1))
        np.testing.assert_allclose(float(row["logit"]), logits[i, t, k], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(float(row["rate_logit"]), rate.logits.values[i, k], rtol=1e-5)
        assert row["leads"] == str(logits[i, t].argmax() == k)
        # Of a map without contrast there is none.
        if row["pearson"]:
            pearson = np.corrcoef(maps[i, t, k].ravel(), rate.cam.values[i, k].ravel())[0, 1]
            np.testing.assert_allclose(float(row["pearson"]), pearson, atol=1e-4)
        answers = logits[i].argmax(axis=1)
        changed = max((step for step in range(12) if answers[step] != answers[-1]), default=-1)
        if row["decision_latency"]:
            # Later where nothing had come to the readout yet.
            assert float(row["decision_latency"]) >= 0.001 * (changed + 2) - 1e-9
    assert {"spearman", "cosine", "rmse", "ssim", "topk_iou", "explanation_latency"} <= set(rows[0])
    page = names["html"].read_text(encoding="utf-8")
    assert '"images": ["3", "0", "1"]' in page and '{"text": "top 2", "top": 2}' in page
    # Frames of another film would stay.
    text = run(
        "animate", tmp_path / "m.keras", tmp_path / "images.npy", "--out", tmp_path / "frames" / "%02d.png", code=1
    )
    assert "frames of another film would stay" in text.replace("\n", " ")


def test_labels_and_images_stand_side_by_side(run, tmp_path, saved_model, images, monkeypatch):
    np.save(tmp_path / "images.npy", images)
    drawn = {}
    original = ncam.plotting.animate

    def spy(*results, **options):
        drawn["film"], drawn["options"] = original(*results, **options), options
        return drawn["film"]

    monkeypatch.setattr("nengo_cam.plotting.animate", spy)
    run(
        "animate", saved_model, tmp_path / "images.npy", "--out", tmp_path / "a.webp", "--steps", 4, "--quiet",
        "--label", 2, "--label", 0, "--image", 1, "--image", 4, "--fps", 8, "--style", "heatmap",
        "--interpolation", "bicubic", "--csv", tmp_path / "a.csv",
    )  # fmt: skip
    panels = drawn["film"].panels
    assert [[(scene.image, scene.label) for scene in panel.scenes] for panel in panels] == [
        [(1, 2), (1, 0)], [(4, 2), (4, 0)],
    ]  # fmt: skip
    assert (drawn["options"]["style"], drawn["options"]["interpolation"]) == ("heatmap", "bicubic")
    with Image.open(tmp_path / "a.webp") as film:
        film.load()
        assert (film.n_frames, film.info["duration"]) == (4, 125)
    # Maps are of two labels, decisions are among all three.
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["label"] for row in rows} == {"0", "2"} and {row["leads"] for row in rows} <= {"True", "False"}
    assert all(float(row["decision_latency"]) > 0 for row in rows if row["decision_latency"])


def test_numbers_of_images_are_whole(run, saved_model):
    assert "'1;2' is not a number, or several with commas" in run(
        "animate", saved_model, "x.npy", "--image", "1;2", code=2
    )


def test_of_many_labels_the_strongest_of_a_table_are_counted_among_all(run, tmp_path, make_model, images):
    make_model(channels=(3,) * 3, n_labels=30).save(tmp_path / "many.keras")
    np.save(tmp_path / "images.npy", images)
    run(
        "animate", tmp_path / "many.keras", tmp_path / "images.npy", "--out", tmp_path / "a.gif", "--steps", 12,
        "--csv", tmp_path / "a.csv", "--label", "top7", "--stride", 11, "--quiet",
    )  # fmt: skip
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    net = ncam.convert(ncam.models.files.load_keras_model(tmp_path / "many.keras"), calibrate_on=images)
    spiking = ncam.spiking_cam(net, images[:1], n_steps=12, seed=0)
    best = set(np.argsort(net.cnn_logits(images[:1])[0])[-5:].tolist()) | {int(spiking.answer[0])}
    best |= set(np.argsort(ncam.cumulative(spiking).logits.values[0, -1])[-7:].tolist())
    assert {row["label"] for row in rows} == {str(label) for label in best}
    expected = float(ncam.decision_latency(ncam.cumulative(spiking)).latency)
    np.testing.assert_allclose({float(row["decision_latency"] or "nan") for row in rows}.pop(), expected)
    # Among all thirty, of which the table has some.
    leaders = ncam.cumulative(spiking).logits.values[0].argmax(axis=1)
    for row in rows:
        assert row["leads"] == str(leaders[round(1000 * float(row["time"])) - 1] == int(row["label"]))
