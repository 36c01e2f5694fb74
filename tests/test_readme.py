"""What the README shows works as it stands there."""

import pathlib
import re

import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.slow
def test_the_session_runs(tmp_path, monkeypatch, capsys):
    (session,) = blocks("python")
    monkeypatch.chdir(tmp_path)
    found = {}
    exec(session, found)
    text = capsys.readouterr().out
    assert "Rate form against Keras" in text
    for number, answer in enumerate(("Egyptian cat", "espresso")):
        assert f"image {number}: both networks answer {answer}\n" in text
    assert found["result"].spiking.cam.dims == ("image", "time", "label", "y", "x")
    assert found["result"].rate.cam.dims == ("image", "label", "y", "x")
    assert (tmp_path / "cam.gif").stat().st_size > 10_000


def test_the_named_files_are_there():
    text = README.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
        assert (README.parent / target).exists(), target


def test_the_named_functions_are_there():
    import nengo_cam

    for row in re.findall(r"^\| (`.+?) \|", README.read_text(encoding="utf-8"), flags=re.MULTILINE):
        for name in re.findall(r"`([\w.]+)", row):
            first, *rest = name.split(".")
            value = getattr(nengo_cam, first)
            for part in rest:
                value = getattr(value, part)
            assert value is not None


def test_commands_are_real():
    import click
    from click.testing import CliRunner

    from nengo_cam.cli import main

    assert isinstance(main, click.Group)
    lines = [line.split() for block in blocks("bash") for line in block.splitlines() if line.startswith("nengo-cam ")]
    assert {line[1] for line in lines} >= {"animate", "inspect"}
    for _, command, *words in lines:
        text = CliRunner().invoke(main, [command, "--help"]).output
        assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[\w-]+", text))
