"""The scripts of ``examples/`` do what they say, and the notebooks are as they should be; the docs build runs these."""

import ast
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import nengo_cam as ncam

ROOT = pathlib.Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = [
    "01_where_does_my_network_look",
    "02_why_do_my_maps_miss_the_object",
    "03_spiking_against_non_spiking",
    "04_your_own_network",
    "05_input_that_moves",
    "06_a_real_imagenet_cnn",
    "07_inside_the_simulator",
    "08_signals_and_your_own_axes",
]
SCRIPTS = ["animate_cam", "compare_simulators", "dataset_to_netcdf", "saccade"]


def run(script, *arguments, cwd):
    """Run a script in a process of its own, as a user does."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, str(EXAMPLES / f"{script}.py"), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
    )


def load(script):
    """Load a script as a module, so that it runs in this process."""
    spec = importlib.util.spec_from_file_location(script, EXAMPLES / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def own_files(tmp_path, small_model, images):
    """A model with its images in files."""
    small_model.save(tmp_path / "model.h5", include_optimizer=False)
    np.save(tmp_path / "images.npy", images)
    np.savez(tmp_path / "calibration.npz", images=images[:2])
    return tmp_path


# animate_cam


@pytest.mark.slow
def test_animate_films_digits_without_arguments(tmp_path, digits, digits_model):
    done = run("animate_cam", "--steps", 20, "--stride", 4, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = digits_model.predict(digits[1][0][:3], verbose=0).argmax(axis=1).tolist()
    assert f"labels: {answers} by the CNN" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["cam.gif"]
    with Image.open(tmp_path / "cam.gif") as film:
        assert film.n_frames == 5
        first = np.asarray(film.convert("RGB")).astype(int)
        film.seek(4)
        last = np.asarray(film.convert("RGB")).astype(int)
    # Three digits side by side; the maps grow from nothing, the rate maps stay.
    assert first.shape[1] > 2 * first.shape[0]
    assert (abs(last - first).max(axis=-1) > 30).mean() > 0.01


def test_animate_takes_a_model_and_pictures(own_files, small_model, capsys):
    shape = small_model.input_shape[1:]
    np.save(own_files / "one.npy", np.full((1, *shape), 0.5, np.float32))
    output = own_files / "own.gif"
    arguments = [own_files / "model.h5", own_files / "one.npy", "--calibrate", own_files / "calibration.npz"]
    arguments += ["--output", output, "--steps", 30, "--stride", 10, "--neurons", "signed"]
    load("animate_cam").main(list(map(str, arguments)))
    expected = small_model.predict(np.full((1, *shape), 0.5), verbose=0).argmax(axis=1).tolist()
    assert f"labels: {expected} by the CNN" in capsys.readouterr().out
    with Image.open(output) as film:
        assert film.n_frames == 3


def test_animate_scales_pictures_to_the_range(tmp_path):
    Image.fromarray(np.array([[0, 255], [51, 102]], np.uint8)).save(tmp_path / "gray.png")
    array = load("animate_cam").read([tmp_path / "gray.png"], (2, 2, 1), -1, 1)
    np.testing.assert_allclose(array[0, :, :, 0], [[-1, 1], [-0.6, -0.2]], atol=1e-6)


def test_animate_says_what_is_wrong(own_files, capsys):
    main = load("animate_cam").main
    with pytest.raises(SystemExit, match="there is no such file"):
        main(["nowhere.h5", "nothing.npy", "--output", str(own_files / "cam.gif")])
    with pytest.raises(SystemExit, match="not a film format"):
        main(["--output", str(own_files / "cam.txt")])
    np.save(own_files / "wrong.npy", np.zeros((1, 3, 3, 2), np.float32))
    with pytest.raises(SystemExit, match=r"expected .*8.*6.*got"):
        main([str(own_files / "model.h5"), str(own_files / "wrong.npy"), "--output", str(own_files / "cam.gif")])
    with pytest.raises(SystemExit, match="2"):
        main([str(own_files / "model.h5")])
    assert "Name one behind the model" in capsys.readouterr().err
    assert not list(own_files.glob("*.gif"))


# compare_simulators


@pytest.mark.slow
def test_simulators_agree(tmp_path, digits, digits_model):
    done = run("compare_simulators", "--images", 1, "--steps", 20, "--output", "table.nc", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with xr.open_dataset(tmp_path / "table.nc", engine="h5netcdf") as table:
        table.load()
    assert table.simulator.values.tolist() == ["nengo_cam.Simulator", "nengo_dl.Simulator", "nengo.Simulator"]
    for name in table.simulator.values:
        assert re.search(rf"^{re.escape(name)} ", done.stdout, flags=re.MULTILINE)
    # Spikes that come a step early or late, in single precision.
    assert float(table.maps.max()) < 0.02
    assert float(table.correlation.min()) > 0.999
    np.testing.assert_array_equal(table.sel(simulator="nengo.Simulator")[["maps", "logits"]].to_array(), 0)
    net = ncam.convert(digits_model, calibrate_on=digits[0][0][:100], target_rate=200)
    ours = ncam.spiking_cam(
        net, digits[1][0][:1], n_steps=20, seed=0, count_spikes=True, progress_bar=False
    ).spike_count.sum()
    np.testing.assert_allclose(table.spikes, float(ours), rtol=1e-3)
    assert float(table.time.sel(simulator="nengo_cam.Simulator")) == 1
    assert (table.time > 0).all()


def test_compare_sees_a_difference(digits_model, digits, monkeypatch):
    """The figures are measured: a simulator that is off is seen to be off, by as much."""
    script = load("compare_simulators")

    def measured(net, images, n_steps, simulator):
        cam = xr.DataArray(np.arange(8.0).reshape(1, 1, 2, 2, 2), dims=("image", "time", "label", "y", "x"))
        result = xr.Dataset(
            {"cam": cam, "logits": cam.mean(("y", "x")), "spike_count": (("layer",), [10])}, {"label": [0, 1]}
        )
        if simulator is ncam.Simulator:
            result["cam"] = result.cam + xr.DataArray([[0.0, 0.7], [0.0, 0.0]], dims=("y", "x"))
        return result, {True: 0.5, False: 2.0}[simulator is ncam.Simulator]

    monkeypatch.setattr(script, "run", measured)
    table = script.compare(None, None, 1, 1)
    np.testing.assert_allclose(table.maps, [0.1, 0, 0])
    np.testing.assert_allclose(table.time, [1, 4, 4])
    expected = np.corrcoef([4, 5.7, 6, 7], [4, 5, 6, 7])[0, 1]
    np.testing.assert_allclose(table.correlation, [expected, 1, 1])


def test_compare_says_what_is_wrong(tmp_path, capsys):
    main = load("compare_simulators").main
    with pytest.raises(SystemExit, match="2"):
        main(["--steps", "0"])
    assert "--steps: expected at least 1, got 0" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="does not exist"):
        main(["--output", str(tmp_path / "nowhere" / "table.nc")])


# dataset_to_netcdf


@pytest.mark.slow
def test_batches_become_one_file(tmp_path, digits, digits_model):
    done = run(
        "dataset_to_netcdf", "cam.nc", "--most", 5, "--batch", 2, "--steps", 20, "--every", 5, cwd=tmp_path
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cam.nc"]
    net = ncam.convert(digits_model, calibrate_on=digits[0][0][:200], target_rate=200)
    spiking = ncam.spiking_cam(net, digits[1][0][:5], n_steps=20, seed=0, progress_bar=False)
    with xr.open_dataset(tmp_path / "cam.nc", engine="h5netcdf") as saved:
        assert dict(saved.cam.sizes) == {"image": 5, "time": 4, "label": 10, "y": 28, "x": 28}
        np.testing.assert_allclose(saved.time, [0.005, 0.01, 0.015, 0.02])
        np.testing.assert_array_equal(saved.image, range(5))
        means = np.stack([spiking.cam.values[:, :stop].mean(axis=1) for stop in (5, 10, 15, 20)], axis=1)
        np.testing.assert_allclose(saved.cam, means, atol=1e-3 * abs(means).max())
        # The identity holds in what was saved, too.
        gap = saved.cam.mean(("y", "x")) + saved.bias - saved.logits
        assert float(abs(gap).max()) < 1e-5 * float(abs(saved.logits).max())
        assert saved.cam.attrs["units"] == "logit"
        assert saved.attrs["seed"] == 0
        assert saved.attrs["simulator"] == "nengo_cam.Simulator"


def test_own_model_and_images(own_files, images, capsys):
    script = load("dataset_to_netcdf")
    output = own_files / "cam.nc"
    own = {"--model": "model.h5", "--images": "images.npy", "--calibrate": "calibration.npz"}
    arguments = [str(output), "--steps", "30", "--every", "30", "--batch", "3"]
    for option, name in own.items():
        arguments += [option, str(own_files / name)]
    script.main(arguments)
    assert "5 images" in capsys.readouterr().out
    model = ncam.compat.import_tensorflow().keras.models.load_model(own_files / "model.h5", compile=False)
    net = ncam.convert(model, calibrate_on=images[:2], target_rate=200)
    expected = ncam.spiking_cam(net, images, n_steps=30, seed=0, progress_bar=False).mean("time")
    with xr.open_dataset(output, engine="h5netcdf") as saved:
        found = saved.isel(time=0)
        np.testing.assert_allclose(found.cam, expected.cam, atol=1e-5 * float(abs(expected.cam).max()))
        np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-5)


def test_what_is_stopped_leaves_nothing(tmp_path, monkeypatch):
    script = load("dataset_to_netcdf")
    (tmp_path / "cam.nc").write_text("what was there before")
    measure, batches = script.measure, []

    def stopped_in_the_second_batch(net, images, options):
        batches.append(len(images))
        if len(batches) == 2:
            raise KeyboardInterrupt
        return measure(net, images, options)

    monkeypatch.setattr(script, "measure", stopped_in_the_second_batch)
    with pytest.raises(KeyboardInterrupt, match="^$"):
        script.main([str(tmp_path / "cam.nc"), "--most", "4", "--batch", "2", "--steps", "20"])
    assert batches == [2, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["cam.nc"]
    assert (tmp_path / "cam.nc").read_text() == "what was there before"


def test_dataset_says_what_is_wrong(own_files, capsys):
    main = load("dataset_to_netcdf").main
    output = str(own_files / "cam.nc")
    for arguments, message in (
        (["--model", "model.h5"], "they belong together"),
        (["--batch", "0"], "--batch: expected at least 1, got 0"),
        (["--steps", "5", "--every", "6"], "--every: expected at most 5, got 6"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main([output, *arguments])
        assert message in capsys.readouterr().err
    np.save(own_files / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("calibration.npz", "objects.npy", "model.h5", "nowhere.npy"):
        paths = ("--model", "model.h5", "--images", name, "--calibrate", "images.npy")
        arguments = [str(own_files / word) if i % 2 else word for i, word in enumerate(paths)]
        with pytest.raises(SystemExit, match=f"{name}.*cannot be read piece by piece"):
            main([output, *arguments])
    assert not (own_files / "cam.nc").exists()


# saccade


@pytest.mark.slow
def test_saccade_finds_digits(tmp_path):
    arguments = ("--scenes", 8, "--steps", 150, "--film", "gaze.gif", "--figure", "paths.png")
    done = run("saccade", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found, others, began = map(int, re.findall(r"(\d+) (?:of 8|on another|began)", done.stdout))
    # Whoever stays where it began, or goes to whatever digit there is, does not find so many.
    assert found >= 6 and others <= 1 and began <= 2
    with Image.open(tmp_path / "gaze.gif") as film:
        assert film.n_frames == 150 // 4
    with Image.open(tmp_path / "paths.png") as picture:
        assert picture.width > 3 * picture.height


def test_saccade_sees_and_turns(monkeypatch):
    script = load("saccade")
    eye = script.Eye(70)
    scene = np.random.default_rng(0).random((70, 70))
    for gaze in ((0, 0), (3, -2), (-35, 20), (400, 0)):
        seen = eye.look(scene.ravel(), np.array(gaze))
        for row, column in ((0, 0), (10, 63), (32, 31)):
            # In the scene, of which nothing beyond the border can be looked at.
            y, x = row + min(3 + gaze[0], 38), column + 3 + gaze[1]
            assert seen[row, column] == (scene[y, x] if 0 <= y < 70 and 0 <= x < 70 else 0)
    maps = np.zeros((10, 16, 16))
    maps[4, 2:5, 10:13] = 1
    maps[4, 10, 3] = 5
    maps[5, 12, 2] = 9
    wanted = np.eye(10)
    # To the block of label 4, not to a single cell that is stronger, and not to label 5.
    np.testing.assert_allclose(eye.way(maps.ravel(), wanted[4]), [3 * 4 + 3 - 31.5, 11 * 4 + 3 - 31.5])
    # Half as far as a cell is wide if two blocks are side by side.
    maps[4, 2:5, 13] = 1
    np.testing.assert_allclose(eye.way(maps.ravel(), wanted[4])[0], 3 * 4 + 3 - 31.5)
    assert 11 * 4 + 3 - 31.5 < eye.way(maps.ravel(), wanted[4])[1] <= 11 * 4 + 5 - 31.5
    assert eye.way(-maps.ravel(), wanted[5]) == [0, 0]


def test_saccade_counts_gazes_that_stay():
    script = load("saccade")
    boxes = np.array([[2, 3, 5, 8]])
    gazes = np.array([[[0, 0], [3, 4], [3, 4], [9, 9], [2, 3], [4.4, 7.4]]], float)
    assert script.inside(gazes, boxes).tolist() == [[False, True, True, False, True, True]]
    assert script.rests(gazes, boxes).tolist() == [True]
    for outside in ([4, 7.6], [1.4, 4]):
        gazes[0, 4] = outside
        assert script.rests(gazes, boxes).tolist() == [False]


def test_saccade_says_what_is_wrong():
    with pytest.raises(SystemExit, match="saccade: digits_per_image: .*expected at most 10, got 11"):
        load("saccade").main(["--digits", "11"])


# All scripts


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_shows_the_examples(script, capsys):
    module = load(script)
    with pytest.raises(SystemExit, match="0"):
        module.main(["--help"])
    text = capsys.readouterr().out
    assert f"python examples/{script}.py" in text
    # Every option that the examples use is there.
    usage = text.split("\n\n")[0]
    assert set(re.findall(r"--[\w-]+", module.__doc__)) <= set(re.findall(r"--[\w-]+", usage))


# Notebooks


def cells(name, kind):
    notebook = json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_all_notebooks_are_named():
    assert sorted(path.stem for path in EXAMPLES.glob("*.ipynb")) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_hold_no_outputs(name):
    notebook = json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
    identifiers = [cell["id"] for cell in notebook["cells"]]
    assert len(set(identifiers)) == len(identifiers)
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert not cell["metadata"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_short_and_lead_on(name):
    first, *_, last = cells(name, "markdown")
    assert first.startswith("# ")
    assert len(cells(name, "code")) <= 14
    links = re.findall(r"\]\(([^)]+)\)", "\n".join(cells(name, "markdown")))
    for target in links:
        assert (EXAMPLES / target).exists(), target
    assert {target for target in re.findall(r"\]\(([^)]+)\)", last) if target.endswith(".ipynb")}
    for page in re.findall(r"`((?:docs|benchmarks)/\w+\.\w+)`", "\n".join(cells(name, "markdown"))):
        assert (ROOT / page).exists(), page


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_code_of_notebooks_is_python_of_all_versions(name):
    code = "\n".join(re.sub(r"^%.*", "", source, flags=re.MULTILINE) for source in cells(name, "code"))
    tree = ast.parse(code, feature_version=(3, 9))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ncam"
    }
    assert used
    for attribute in used:
        assert attribute in ncam.__all__, attribute
