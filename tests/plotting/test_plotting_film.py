import base64
import gc
import io
import re
import shutil
import subprocess

import numpy as np
import pytest
import xarray as xr
from matplotlib import animation
from PIL import Image

from nengo_cam import cumulative
from nengo_cam.exceptions import MissingDependencyError, OutputPathError, ParameterError
from nengo_cam.plotting import animate, check_film
from nengo_cam.plotting.film.frames import durations
from nengo_cam.plotting.film.gif import GIFWriter


@pytest.fixture
def film(spiking, rate, images):
    return animate(spiking, rate, images, label="cat", stride=3, fps=10, progress_bar=False)


@pytest.fixture
def no_drawing(film, monkeypatch):
    def fail(step):
        raise AssertionError("a frame was drawn")

    monkeypatch.setattr(film.panels[0], "draw", fail)


def test_gif_holds_every_frame(spiking, rate, images, tmp_path):
    # Cells as they are: a smooth map has more colors than a GIF.
    film = animate(spiking, rate, images, label="cat", stride=3, fps=10, progress_bar=False, interpolation="nearest")
    film.save(tmp_path / "cam.gif", dpi=50)
    with Image.open(tmp_path / "cam.gif") as gif:
        assert gif.n_frames == len(film.steps) == 4
        assert gif.size == tuple((50 * film.figure.get_size_inches()).astype(int))
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            assert gif.info["duration"] == 100
            frames.append(np.asarray(gif.convert("RGB"), dtype=float))
    film.draw(film.steps[2])
    film.figure.savefig(tmp_path / "frame.png", dpi=50)
    expected = np.asarray(Image.open(tmp_path / "frame.png").convert("RGB"), dtype=float)
    distances = [np.abs(frame - expected).mean() for frame in frames]
    assert int(np.argmin(distances)) == 2
    # All colors of the color bar are there, though few pixels have them.
    assert np.abs(frames[2] - expected).max() <= 16


def test_frames_per_second(film, tmp_path):
    film.save(tmp_path / "cam.GIF", fps=5, dpi=30)
    with Image.open(tmp_path / "cam.GIF") as gif:
        assert gif.info["duration"] == 200
    with pytest.raises(ParameterError, match=r"fps: not a frame rate; .* got -1"):
        film.save(tmp_path / "other.gif", fps=-1)


@pytest.mark.parametrize(
    ("error", "after", "writer"),
    [
        (KeyboardInterrupt, 0, None),
        (KeyboardInterrupt, 3, None),
        (KeyboardInterrupt, 1, "pillow"),
        (RuntimeError, 1, None),
        (RuntimeError, 3, None),
    ],
)
def test_interrupted_save_leaves_nothing(film, tmp_path, monkeypatch, error, after, writer):
    draw, calls = film.panels[0].draw, []

    def interrupted(step):
        calls.append(step)
        if len(calls) > after:
            raise error("stop")
        return draw(step)

    monkeypatch.setattr(film.panels[0], "draw", interrupted)
    with pytest.raises(error, match="stop"):
        film.save(tmp_path / "cam.gif", dpi=30, writer=writer)
    assert not list(tmp_path.iterdir())


def test_interrupted_save_keeps_the_older_file(film, tmp_path, monkeypatch):
    path = tmp_path / "cam.gif"
    path.write_bytes(b"older")

    def interrupted(self, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(GIFWriter, "grab_frame", interrupted)
    with pytest.raises(KeyboardInterrupt):
        film.save(path, dpi=30)
    assert [file.name for file in tmp_path.iterdir()] == ["cam.gif"]
    assert path.read_bytes() == b"older"


def test_interrupted_save_can_be_repeated(film, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(film.panels[0], "draw", lambda step: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            film.save(tmp_path / "cam.gif", dpi=30)
    film.save(tmp_path / "cam.gif", dpi=30)
    with Image.open(tmp_path / "cam.gif") as gif:
        assert gif.n_frames == 4


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize("name", ["cam.mp4", "cam.M4V", "cam.mov"])
def test_missing_ffmpeg(film, tmp_path, monkeypatch, name):
    monkeypatch.setattr(animation.FFMpegWriter, "isAvailable", lambda: False)
    with pytest.raises(MissingDependencyError, match=r"ffmpeg was not found; .* save a GIF: 'cam.gif'"):
        film.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_video_goes_to_ffmpeg(film, tmp_path, monkeypatch):
    """A stand-in for the program: it takes the frames and writes their number of bytes."""
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nfor last; do :; done\nwc -c > "$last"\n')
    program.chmod(0o755)
    monkeypatch.setitem(animation.mpl.rcParams, "animation.ffmpeg_path", str(program))
    if subprocess.run([str(program), str(tmp_path / "try")], input=b"", check=False).returncode:
        pytest.skip("needs a POSIX shell")
    film.save(tmp_path / "cam.mp4", dpi=30)
    width, height = (int(30 * inches) // 2 * 2 for inches in film.figure.get_size_inches())
    assert int((tmp_path / "cam.mp4").read_text()) == 4 * 4 * width * height


@pytest.mark.usefixtures("no_drawing")
def test_paths_are_checked_before_drawing(film, tmp_path):
    with pytest.raises(OutputPathError, match=r"expected one of \['.gif', '.webp', '.apng', '.png', .* got '.avi'"):
        film.save(tmp_path / "cam.avi")
    with pytest.raises(OutputPathError, match=r"the folder .* does not exist"):
        film.save(tmp_path / "nowhere" / "cam.gif")
    with pytest.raises(OutputPathError, match=r"the writer 'pillow' cannot write it; expected '.gif', got '.mp4'"):
        film.save(tmp_path / "cam.mp4", writer="pillow")
    with pytest.raises(ParameterError, match=r"writer: not available; expected one of \[.*'pillow'.*\], got 'crayon'"):
        film.save(tmp_path / "cam.gif", writer="crayon")


def test_writer_object(film, tmp_path):
    film.save(tmp_path / "cam.gif", writer=animation.PillowWriter(fps=2), dpi=30)
    with Image.open(tmp_path / "cam.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (4, 500)


def test_progress_bar(film, tmp_path, capsys):
    film.save(tmp_path / "cam.gif", dpi=30)
    assert capsys.readouterr().err == ""
    film.save(tmp_path / "cam.gif", dpi=30, progress_bar=True)
    assert "4/4" in capsys.readouterr().err


def embedded(text, kind):
    """What a film holds in a notebook: bytes, and attributes of the element."""
    (element,) = re.findall(r"<(?:img|video) [^>]*>", text)
    data = re.search(rf'src="data:{kind};base64,([^"]*)"', element)[1]
    return base64.b64decode(data, validate=True), element


@pytest.fixture
def no_ffmpeg(monkeypatch):
    monkeypatch.setattr(animation.FFMpegWriter, "isAvailable", lambda: False)


@pytest.mark.usefixtures("no_ffmpeg")
def test_a_notebook_without_ffmpeg_shows_every_frame_as_it_is(film, monkeypatch):
    # Matplotlib would leave out what is beyond this many megabytes.
    monkeypatch.setitem(animation.mpl.rcParams, "animation.embed_limit", 1e-6)
    text = film._repr_html_()
    data, element = embedded(text, "image/webp")
    assert 'alt="Film of class-activation maps, 4 frames at 10 frames per second"' in element
    assert "http" not in text and "<script" not in text
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.n_frames, picture.info["loop"]) == (4, 0)
        assert f'width="{picture.width}" height="{picture.height}"' in element
        for i, step in enumerate(film.steps):
            picture.seek(i)
            film.draw(step)
            expected = io.BytesIO()
            film.figure.savefig(expected, format="png", dpi=100)
            np.testing.assert_array_equal(picture.convert("RGB"), Image.open(expected).convert("RGB"))
            picture.load()
            assert picture.info["duration"] == 100


@pytest.mark.usefixtures("no_ffmpeg")
def test_a_notebook_shows_a_gif_where_pillow_has_no_webp(film, monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.SAVE_ALL, "WEBP")
    data, _ = embedded(film._repr_html_(), "image/gif")
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.n_frames, picture.info["duration"]) == (4, 100)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Function that puts a shell script in the place of ffmpeg."""

    def make(script):
        program = tmp_path / "ffmpeg"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setitem(animation.mpl.rcParams, "animation.ffmpeg_path", str(program))
        if subprocess.run([str(program), str(tmp_path / "try")], input=b"", check=False).returncode > 1:
            pytest.skip("needs a POSIX shell")

    return make


def test_a_notebook_shows_a_video_where_ffmpeg_is(film, stand_in):
    stand_in('echo "$@" > "$0.args"; for last; do :; done; wc -c > "$last"')
    film.figure.set_size_inches(4.011, 3.011)
    data, element = embedded(film._repr_html_(), "video/mp4")
    assert element.startswith("<video controls ")
    # An even number of pixels, four bytes each; the film itself keeps its size.
    assert int(data) == 4 * 4 * 400 * 300
    assert film.figure.get_size_inches().tolist() == [4.011, 3.011]
    assert 'width="400" height="300"' in element


def test_a_failing_ffmpeg_is_no_obstacle(film, stand_in, caplog):
    stand_in("cat > /dev/null; exit 1")
    data, _ = embedded(film._repr_html_(), "image/webp")
    assert Image.open(io.BytesIO(data)).n_frames == 4
    assert "ffmpeg made no video" in caplog.text


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the program ffmpeg on PATH")
def test_a_real_video_has_all_frames(film, tmp_path):
    data, _ = embedded(film._repr_html_(), "video/mp4")
    (tmp_path / "film.mp4").write_bytes(data)
    out = ["-f", "rawvideo", "-pix_fmt", "gray", "-"]
    read = subprocess.run(["ffmpeg", "-v", "error", "-i", tmp_path / "film.mp4", *out], capture_output=True, check=True)
    film.draw(film.steps[-1])
    film.figure.savefig(tmp_path / "frame.png", dpi=100)
    expected = np.asarray(Image.open(tmp_path / "frame.png").convert("L"), dtype=float)
    height, width = (n // 2 * 2 for n in expected.shape)
    frames = np.frombuffer(read.stdout, np.uint8).reshape(4, height, width)
    assert np.abs(frames[-1] - expected[:height, :width]).mean() < 3


@pytest.mark.slow
@pytest.mark.usefixtures("no_ffmpeg")
def test_size_of_a_usual_film(rng):
    centers = np.arange(28.0)
    coords = {"image": [0, 1], "time": 0.001 * np.arange(1, 61), "label": range(10), "y": centers, "x": centers}
    cam = rng.normal(size=(2, 60, 10, 28, 28))
    spiking = xr.Dataset({"cam": (tuple(coords), cam), "logits": (tuple(coords)[:3], cam.mean((3, 4)))}, coords)
    film = animate(cumulative(spiking), spiking.isel(time=-1, drop=True), rng.random((2, 28, 28)), image=[0, 1])
    # Noise in image and maps is the worst case.
    assert len(film._repr_html_()) < 2e6


@pytest.mark.filterwarnings("error")
def test_a_film_that_is_never_shown_goes_silently(spiking, recwarn):
    film = animate(spiking, label="cat")
    del film
    gc.collect()
    assert not recwarn.list


def test_a_film_can_be_checked_before_the_run(tmp_path, monkeypatch):
    check_film(tmp_path / "a.gif")
    with pytest.raises(OutputPathError, match=r"expected one of \['.gif', '.webp'"):
        check_film(tmp_path / "a.txt")
    with pytest.raises(OutputPathError, match="does not exist"):
        check_film(tmp_path / "no" / "a.gif")
    (tmp_path / "in.gif").write_bytes(b"x")
    with pytest.raises(OutputPathError, match="the same file as the input"):
        check_film(tmp_path / "in.gif", inputs=[tmp_path / "in.gif"])
    (tmp_path / "in.gif").unlink()
    monkeypatch.setattr("nengo_cam.plotting.film.formats.writers.is_available", lambda name: False)
    with pytest.raises(MissingDependencyError, match="ffmpeg was not found"):
        check_film(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def seconds_of(path):
    """How long a film is, and how many frames it has, as another program reads it."""
    if path.suffix in (".mp4", ".mov", ".m4v"):
        entries = ["-count_frames", "-show_entries", "stream=nb_read_frames,duration", "-of", "csv=p=0"]
        read = subprocess.run(["ffprobe", "-v", "error", *entries, path], capture_output=True, check=True, text=True)
        seconds, n_frames = read.stdout.strip().split(",")
        return float(seconds), int(n_frames)
    total = 0.0
    with Image.open(path) as picture:
        for i in range(picture.n_frames):
            picture.seek(i)
            picture.load()
            total += picture.info["duration"]
        return total / 1000, picture.n_frames


@pytest.mark.parametrize("fps", [7, 24])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng", ".mp4"])
def test_a_film_takes_the_time_that_it_should(spiking, rate, tmp_path, suffix, fps):
    """Whatever a format counts time in: rounding each frame by itself would make a GIF 8 % too fast."""
    if suffix == ".mp4" and shutil.which("ffprobe") is None:
        pytest.skip("needs the programs ffmpeg and ffprobe on PATH")
    film = animate(spiking, rate, label="cat", fps=fps, progress_bar=False)
    path = tmp_path / f"cam{suffix}"
    film.save(path, dpi=40)
    seconds, n_frames = seconds_of(path)
    assert n_frames == 10
    assert seconds == pytest.approx(10 / fps, abs=0.006)


@pytest.mark.parametrize("suffix", [".webp", ".apng"])
def test_animated_pictures_have_all_colors(film, tmp_path, suffix):
    film.save(tmp_path / f"cam{suffix}", dpi=50)
    with Image.open(tmp_path / f"cam{suffix}") as picture:
        assert picture.info["loop"] == 0
        for i, step in enumerate(film.steps):
            picture.seek(i)
            film.draw(step)
            film.figure.savefig(tmp_path / "frame.png", dpi=50)
            with Image.open(tmp_path / "frame.png") as expected:
                np.testing.assert_array_equal(picture.convert("RGB"), expected.convert("RGB"))


def test_a_picture_for_each_frame(film, tmp_path, capsys):
    film.save(tmp_path / "100%" / "new" / "cam_%02d.png", dpi=50, progress_bar=True)
    folder = tmp_path / "100%" / "new"
    assert sorted(path.name for path in folder.iterdir()) == [f"cam_{i:02d}.png" for i in range(4)]
    assert "4/4" in capsys.readouterr().err
    for i, step in enumerate(film.steps):
        film.draw(step)
        film.figure.savefig(tmp_path / "frame.png", dpi=50)
        assert (folder / f"cam_{i:02d}.png").read_bytes() == (tmp_path / "frame.png").read_bytes()
    # Again, beside what is none of its frames.
    for other in ("cam_1.png", "cam_002.png", "cam_02.jpg", "xcam_04.png"):
        (folder / other).write_bytes(b"")
    film.save(folder / "cam_%02d.png", dpi=30)
    with Image.open(folder / "cam_00.png") as first, Image.open(tmp_path / "frame.png") as older:
        assert first.width < older.width


@pytest.mark.parametrize("after", [0, 2])
def test_interrupted_frames_leave_nothing(film, tmp_path, monkeypatch, after):
    draw, calls = film.panels[0].draw, []

    def interrupted(step):
        calls.append(step)
        if len(calls) > after + 1:
            raise KeyboardInterrupt("stop")
        return draw(step)

    monkeypatch.setattr(film.panels[0], "draw", interrupted)
    for folder in (tmp_path / "new", tmp_path / "there"):
        calls.clear()
        with pytest.raises(KeyboardInterrupt, match="stop"):
            film.save(folder / "%d.png", dpi=30)
        (tmp_path / "there").mkdir(exist_ok=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


@pytest.mark.usefixtures("no_drawing")
def test_frames_are_checked_before_drawing(film, tmp_path):
    for name in ("cam.png", "cam%.png", "%d_%d.png", "%s.png", "%03f.png"):
        with pytest.raises(OutputPathError, match=r"a PNG holds one frame; .* '.*_%03d\.png', got "):
            film.save(tmp_path / name)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputPathError, match="is a file; expected a folder"):
        film.save(tmp_path / "file" / "%03d.png")
    (tmp_path / "002.png").mkdir()
    with pytest.raises(OutputPathError, match="expected a file name, got a folder"):
        film.save(tmp_path / "%03d.png")
    (tmp_path / "002.png").rmdir()
    # The end of a longer film would stay behind this one.
    (tmp_path / "004.png").write_bytes(b"older")
    with pytest.raises(OutputPathError, match=r"frames of another film would stay .* got 1, the first '.*004\.png'"):
        film.save(tmp_path / "%03d.png")
    with pytest.raises(OutputPathError, match=r"the writer 'ffmpeg' cannot write it; expected one of .* got '\.webp'"):
        film.save(tmp_path / "cam.webp", writer="ffmpeg")
    with pytest.raises(ParameterError, match="fps: not a frame rate"):
        film.save(tmp_path / "%02d.png", fps=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["004.png", "file"]


@pytest.mark.usefixtures("no_drawing")
def test_pillow_without_webp(film, tmp_path, monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.SAVE_ALL, "WEBP")
    with pytest.raises(MissingDependencyError, match=r"Pillow was built without WebP; .* choose 'cam\.apng'"):
        film.save(tmp_path / "cam.webp")


def test_a_page_holds_the_film(film, tmp_path, no_ffmpeg):
    film.save(tmp_path / "cam.html", fps=5, dpi=40)
    text = (tmp_path / "cam.html").read_text(encoding="utf-8")
    data, element = embedded(text, "image/webp")
    assert "4 frames at 5 frames per second" in element
    assert "http" not in text.replace("http-equiv", "") and "<script" not in text
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.n_frames == 4
        assert picture.size == tuple((40 * film.figure.get_size_inches()).astype(int))
        picture.load()
        assert picture.info["duration"] == 200
    assert [path.name for path in tmp_path.iterdir()] == ["cam.html"]


def test_frames_that_are_there_are_found_before_the_run(tmp_path):
    check_film(tmp_path / "new" / "%03d.png")
    check_film(tmp_path / "%03d.png")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "000.png").write_bytes(b"")
    with pytest.raises(OutputPathError, match=r"frames of another film .* got 1, the first '.*000\.png'"):
        check_film(tmp_path / "%03d.png")


def test_rounding_of_durations_does_not_add_up():
    for fps, tick in ((30, 10), (60, 1), (7, 10), (24, 1)):
        found = durations(90, fps, tick)
        assert all(duration % tick == 0 for duration in found)
        ends = np.cumsum(found)
        assert np.abs(ends - 1000 * np.arange(1, 91) / fps).max() <= tick / 2
    assert durations(3, 1000, 10) == [10, 10, 10]
