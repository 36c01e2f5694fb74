import contextlib
import os
import pathlib
import signal
import stat
import subprocess
import sys
import threading

import pytest

from nengo_cam.checks.output import atomic_folder, atomic_path, check_folder, check_writable, make_folder
from nengo_cam.exceptions import OutputPathError

posix = pytest.mark.skipif(os.name != "posix", reason="permissions, links and signals of POSIX")


def test_the_file_is_there_when_the_block_ends(tmp_path):
    with atomic_path(tmp_path / "a.txt") as path:
        path.write_text("whole")
        assert path.suffix == ".txt"
        assert not (tmp_path / "a.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "whole"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_of_a_half(tmp_path, error):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(error), atomic_path(tmp_path / "a.txt") as path:
        path.write_text("ha")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_wrong_paths(tmp_path, monkeypatch):
    with pytest.raises(OutputPathError, match="does not exist"):
        check_writable(tmp_path / "no" / "a.gif")
    with pytest.raises(OutputPathError, match="expected a file name, got a folder"):
        check_writable(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputPathError, match="the folder .*file' does not exist"):
        check_writable(tmp_path / "file" / "a.gif")
    target = tmp_path / "locked.gif"
    target.write_text("x")
    # Root may write everywhere, so the refusal is made up.
    monkeypatch.setattr(os, "access", lambda path, mode: pathlib.Path(path) != target)
    with pytest.raises(OutputPathError, match="read-only"):
        check_writable(target)
    if os.name == "posix":
        (tmp_path / "link.gif").symlink_to("locked.gif")
        with pytest.raises(OutputPathError, match="link.gif.*read-only"):
            check_writable(tmp_path / "link.gif")


def test_a_folder_that_refuses(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(OutputPathError, match="nothing can be written.*Permission denied"):
        check_writable(tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_checking_leaves_nothing_behind(tmp_path):
    assert check_writable(tmp_path / "a.gif") == tmp_path / "a.gif"
    assert list(tmp_path.iterdir()) == []


# -- Names


@posix
@pytest.mark.parametrize(
    "name", [251 * "x" + ".txt", 125 * "é" + "x.txt", 62 * "\N{FOX FACE}" + "xx.txt", "x." + 253 * "y"]
)
def test_a_long_but_legal_name_is_written(tmp_path, name):
    assert 250 <= len(os.fsencode(name)) <= 255
    with atomic_path(tmp_path / name) as path:
        path.write_text("whole")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "whole")]


@posix
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (252 * "x" + ".txt", r"no file of this name \(File name too long\); .* got 256 bytes"),
        (130 * "é", r"no file of this name \(File name too long\); .* got 260 bytes"),
        (256 * "x" + "/a.txt", r"no file of this name \(File name too long\)"),
        ("a\0b.txt", r"no file of this name \(.*embedded null"),
        ("a\ud800.txt", r"no file of this name \(.*surrogates not allowed"),
    ],
)
def test_names_that_cannot_be_are_found_before_the_work(tmp_path, name, message):
    with pytest.raises(OutputPathError, match=message):
        check_writable(tmp_path / name)
    if "/" not in name:
        with pytest.raises(OutputPathError, match=message):
            check_folder(tmp_path / name)
    assert not list(tmp_path.iterdir())


@posix
def test_devices_and_pipes_are_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", pathlib.Path(os.devnull)):
        with pytest.raises(OutputPathError, match="expected a file, got a device or a pipe"):
            check_writable(path)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_an_input_is_not_overwritten(tmp_path, monkeypatch):
    (tmp_path / "cat.gif").write_text("in")
    monkeypatch.chdir(tmp_path)
    for other in ("cat.gif", tmp_path / "cat.gif"):
        with pytest.raises(OutputPathError, match=r"the same file as the input .*cat.gif'; expected another"):
            check_writable(tmp_path / "." / "cat.gif", inputs=["none.png", other])
    check_writable(tmp_path / "dog.gif", inputs=["cat.gif"])


# -- Files that are replaced


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_a_replaced_file_hands_on_its_mode(tmp_path, mode):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(mode)
    with atomic_path(path) as partial:
        partial.write_text("new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", mode)


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_has_the_mode_of_all_new_files(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "a.txt") as partial:
            partial.write_text("new")
        with atomic_folder(tmp_path / "out") as partial:
            (partial / "b.txt").write_text("new")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "out", "out/b.txt")]
    assert modes == [0o666 & ~umask, 0o777 & ~umask, 0o666 & ~umask]


@posix
@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_written_through(tmp_path, there):
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    place.mkdir()
    elsewhere.mkdir()
    if there:
        (elsewhere / "real.txt").write_text("old")
        (elsewhere / "real.txt").chmod(0o640)
    (place / "second.txt").symlink_to("../elsewhere/real.txt")
    (place / "first.txt").symlink_to("second.txt")
    with atomic_path(place / "first.txt") as partial:
        # Beside the target: the link may lead to another file system.
        assert partial.parent == elsewhere
        partial.write_text("new")
    assert (place / "first.txt").is_symlink() and (place / "second.txt").is_symlink()
    assert [(p.name, p.read_text()) for p in elsewhere.iterdir()] == [("real.txt", "new")]
    if there:
        assert stat.S_IMODE((elsewhere / "real.txt").stat().st_mode) == 0o640


@posix
def test_links_that_lead_nowhere(tmp_path):
    (tmp_path / "a.txt").symlink_to("b.txt")
    (tmp_path / "b.txt").symlink_to("a.txt")
    with pytest.raises(OutputPathError, match="a symbolic link in a circle"):
        check_writable(tmp_path / "a.txt")
    (tmp_path / "c.txt").symlink_to("none/c.txt")
    with pytest.raises(OutputPathError, match="the folder .*none' does not exist"):
        check_writable(tmp_path / "c.txt")


@posix
def test_other_names_of_a_file_keep_the_old_content(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    os.link(tmp_path / "a.txt", tmp_path / "b.txt")
    with atomic_path(tmp_path / "a.txt") as partial:
        partial.write_text("new")
    assert ((tmp_path / "a.txt").read_text(), (tmp_path / "b.txt").read_text()) == ("new", "old")


@posix
def test_a_file_that_is_writable_in_a_folder_that_is_not(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("old")

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    # Root may write everywhere, so the refusal is made up.
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(OutputPathError, match="Permission denied.* replaced by a new one from its folder"):
        check_writable(tmp_path / "a.txt")


# -- Folders


def test_files_of_a_folder_are_replaced_together(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "c.txt").write_text("mine")
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path) as partial:
        (partial / "a.txt").write_text("new")
        raise KeyboardInterrupt
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "old", "c.txt": "mine"}
    with atomic_folder(tmp_path) as partial:
        (partial / "a.txt").write_text("new")
        (partial / "b.txt").write_text("new")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "new", "b.txt": "new", "c.txt": "mine"}


@posix
def test_in_a_folder_too_links_and_modes_stay(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "real.txt").write_text("old")
    (out / "a.txt").symlink_to("../real.txt")
    (out / "b.txt").write_text("old")
    (out / "b.txt").chmod(0o600)
    with atomic_folder(out) as partial:
        for name in ("a.txt", "b.txt"):
            (partial / name).write_text("new")
    assert (out / "a.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "new"
    assert stat.S_IMODE((out / "b.txt").stat().st_mode) == 0o600


@posix
def test_a_folder_of_a_long_name_and_behind_a_link(tmp_path):
    (tmp_path / "link").symlink_to("real")
    for name in (255 * "x", "link"):
        check_folder(tmp_path / name)
        with atomic_folder(tmp_path / name) as partial:
            (partial / "a.txt").write_text("new")
        assert (tmp_path / name / "a.txt").read_text() == "new"
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").is_dir()
    with pytest.raises(OutputPathError, match="the folder cannot be made"):
        make_folder(tmp_path / (256 * "x"))


# -- Signals

SENDER = """
import os, signal, sys, threading
from nengo_cam.checks.output import atomic_folder, atomic_path
kind, path, name = sys.argv[1:]
number = getattr(signal, name)
# Whoever runs the tests may ignore it, as nohup does, and hands that on.
signal.signal(number, signal.SIG_DFL)
if kind == "ignored":
    signal.signal(number, signal.SIG_IGN)
if kind == "handled":
    signal.signal(number, lambda *_: sys.exit(7))
with {"folder": atomic_folder}.get(kind, atomic_path)(path) as partial:
    (partial / "a.txt" if kind == "folder" else partial).write_text("ha")
    try:
        signal.raise_signal(number)
        if kind == "twice":
            signal.raise_signal(number)
    finally:
        if kind == "twice":
            signal.raise_signal(number)
        if kind == "hidden":
            # As matplotlib does when its writer is closed half-way.
            raise ValueError
print("went on", flush=True)
"""


def send(kind, path, name="SIGTERM"):
    code = [sys.executable, "-c", SENDER, kind, str(path), name]
    return subprocess.run(code, capture_output=True, text=True, check=False, timeout=60)


@posix
@pytest.mark.parametrize(
    ("kind", "name"),
    [("plain", "SIGTERM"), ("plain", "SIGHUP"), ("twice", "SIGTERM"), ("hidden", "SIGTERM"), ("folder", "SIGTERM")],
)
def test_a_signal_leaves_nothing_and_ends_the_process(tmp_path, kind, name):
    if kind != "folder":
        (tmp_path / "a.txt").write_text("old")
    run = send(kind, tmp_path / ("out" if kind == "folder" else "a.txt"), name)
    assert (run.returncode, run.stdout) == (-getattr(signal, name), "")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == ({} if kind == "folder" else {"a.txt": "old"})


@posix
@pytest.mark.parametrize(("kind", "status", "files"), [("ignored", 0, {"a.txt": "ha"}), ("handled", 7, {})])
def test_what_a_program_does_with_signals_is_left_to_it(tmp_path, kind, status, files):
    assert send(kind, tmp_path / "a.txt").returncode == status
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == files


@posix
def test_handlers_are_there_only_while_something_is_written(tmp_path):
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    if before != [signal.SIG_DFL] * 2:
        pytest.skip("the runner of the tests has handlers of its own")
    with atomic_path(tmp_path / "a.txt") as first:
        ours = [signal.getsignal(number) for number in numbers]
        assert all(map(callable, ours))
        with atomic_path(tmp_path / "b.txt") as second:
            assert [signal.getsignal(number) for number in numbers] == ours
            second.write_text("b")
        assert [signal.getsignal(number) for number in numbers] == ours
        first.write_text("a")
    assert [signal.getsignal(number) for number in numbers] == before
    with contextlib.suppress(ValueError), atomic_path(tmp_path / "c.txt"):
        raise ValueError
    assert [signal.getsignal(number) for number in numbers] == before


def test_other_threads_write_without_handlers(tmp_path):
    found = []

    def write():
        with atomic_path(tmp_path / "a.txt") as path:
            found.append(signal.getsignal(signal.SIGTERM))
            path.write_text("whole")

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert found == [before]
    assert (tmp_path / "a.txt").read_text() == "whole"
