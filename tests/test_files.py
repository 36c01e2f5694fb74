import os
import pathlib

import pytest

from nengo_cam.exceptions import OutputPathError
from nengo_cam.files import atomic_path, check_writable


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
    target = tmp_path / "locked.gif"
    target.write_text("x")
    # Root may write everywhere, so the refusal is made up.
    monkeypatch.setattr(os, "access", lambda path, mode: pathlib.Path(path) != target)
    with pytest.raises(OutputPathError, match="read-only"):
        check_writable(target)


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
