"""What the pages show works as it stands there, and the reference leaves nothing out."""

import functools
import importlib
import inspect
import pathlib
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
import types

import matplotlib
import numpy as np
import pytest
from click.testing import CliRunner

import nengo_cam
from nengo_cam.cli import main

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md")), DOCS / "api" / "index.md"]

#: Modules that nobody is meant to import; all others are public, and what is in their ``__all__`` with them.
INTERNAL = {
    "checks.callers",
    "checks.images",
    "checks.memory",
    "checks.output",
    "checks.parameters",
    "checks.percentiles",
    "checks.sources",
    "cli",
    "conversion.layers",
    "conversion.transforms",
    "measurement.arguments",
    "measurement.kept_steps",
    "measurement.labels",
    "measurement.layouts",
    "measurement.maps_dataset",
    "measurement.nengo_dl_map_operator",
    "measurement.projection",
    "measurement.provenance",
    "measurement.readings",
    "models.affine",
    "models.graph",
    "models.operator_layers",
    "reports.comparison_page",
    "reports.comparison_report",
    "scoring.pixels",
    "scoring.positions",
}
#: Rooms whose modules are the public ones; of other packages it is what they export.
ROOMS = ("checks", "conversion", "explaining", "measurement", "models", "reports", "scoring")


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


# -- The reference


def pages_of_the_reference():
    return [page.read_text(encoding="utf-8") for page in sorted((DOCS / "api").glob("*.md"))]


@functools.cache
def called():
    """Names that have a page of their own: what users call."""
    names = []
    for page in pages_of_the_reference():
        for block in re.findall(r"^\.\. autosummary::\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE):
            names += re.findall(r"^   ([\w.]+)$", block, flags=re.MULTILINE)
    return names


@functools.cache
def shown_whole():
    """Modules of which a page shows all that they offer, if it has no page of its own."""
    return re.findall(
        r"^\.\. automodule:: nengo_cam\.([\w.]+)$", "\n".join(pages_of_the_reference()), flags=re.MULTILINE
    )


@functools.cache
def listed():
    """All names of the reference."""
    own_pages = [find(name) for name in called()]
    names = list(called())
    for module in shown_whole():
        of_module = importlib.import_module(f"nengo_cam.{module}")
        exported = {name: getattr(of_module, name) for name in of_module.__all__}
        names += [f"{module}.{name}" for name, value in exported.items() if not any(value is one for one in own_pages)]
    return names


def find(name):
    return functools.reduce(getattr, name.split("."), nengo_cam)


def modules():
    """Names of all modules on the first floor of the package, and on the first of each room."""
    for info in pkgutil.iter_modules(nengo_cam.__path__):
        if info.name not in ROOMS:
            yield info.name
            continue
        room = importlib.import_module(f"nengo_cam.{info.name}")
        yield from (f"{info.name}.{inner.name}" for inner in pkgutil.iter_modules(room.__path__))


def public():
    """Public names, each as (module, name)."""
    names = [("nengo_cam", name) for name in nengo_cam.__all__ if name != "__version__"]
    for name in modules():
        if name not in INTERNAL:
            module = importlib.import_module(f"nengo_cam.{name}")
            names += [(module.__name__, exported) for exported in getattr(module, "__all__", ())]
    return names


def test_every_public_name_is_in_the_reference():
    documented = [find(name) for name in listed()]
    missing = {
        f"{module}.{name}"
        for module, name in public()
        for value in [getattr(importlib.import_module(module) if module != "nengo_cam" else nengo_cam, name)]
        if not isinstance(value, types.ModuleType) and not any(value is one for one in documented)
    }
    assert not missing, f"add them to a list in docs/api/, or their modules to developers.md: {sorted(missing)}"


def test_no_name_is_in_the_reference_twice():
    assert sorted(set(listed())) == sorted(listed())
    # Under another name neither; numbers and the like may be equal by chance.
    values = [find(name) for name in listed() if callable(find(name))]
    assert len({id(value) for value in values}) == len(values)


def test_names_of_the_package_have_pages_of_their_own():
    """Errors share one; what is no such name and listed all the same is the exception."""
    names = {name for name in nengo_cam.__all__ if not isinstance(getattr(nengo_cam, name), types.ModuleType)}
    assert names - set(called()) == {"CAMError", "__version__"}
    further = {name for name in called() if name not in names}
    assert {name.rpartition(".")[0] for name in further} == {"datasets", "plotting", "scoring.agreement", "widgets"}
    assert len(further) < len(names) / 2


def test_what_has_a_page_of_its_own_is_not_shown_a_second_time():
    """By the handler that the documentation is built with."""
    conf = (DOCS / "conf.py").read_text(encoding="utf-8")
    (handler,) = re.findall(r"^def _skip\(.*?(?=^def )", conf, flags=re.DOTALL | re.MULTILINE)
    found = {"_shown": [find(name) for name in called()]}
    exec(handler, found)
    skip = found["_skip"]
    assert skip(None, "module", "compare", nengo_cam.compare, False, None) is True
    assert skip(None, "module", "get_metric", nengo_cam.agreement.get_metric, False, None) is None
    assert skip(None, "class", "axes", nengo_cam.plotting.Timeline.axes, False, None) is True
    assert skip(None, "class", "save", nengo_cam.plotting.CAMAnimation.save, False, None) is None


def test_every_name_of_the_reference_is_reached_as_it_stands_there():
    """In a process that has imported nothing else, and each name as if it were the first."""
    code = f"""
import nengo_cam
for name in {listed()!r}:
    first, *rest = name.split(".")
    vars(nengo_cam).pop(first, None)
    value = nengo_cam
    for part in (first, *rest):
        value = getattr(value, part, None)
    if value is None or first not in dir(nengo_cam):
        print(name)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_internal_modules_exist():
    assert set(modules()) >= INTERNAL


@pytest.mark.parametrize("name", listed())
def test_everything_in_the_reference_has_a_docstring(name):
    value = find(name)
    if not callable(value):
        # A constant: Sphinx reads the comment `#:` before it.
        module, _, constant = name.rpartition(".")
        source = inspect.getsource(importlib.import_module(f"nengo_cam.{module}"))
        assert re.search(rf"^#: .+\n(#: .*\n)*{constant} = ", source, flags=re.MULTILINE)
        return
    assert inspect.getdoc(value)
    if not inspect.isclass(value):
        return
    for member, found in vars(value).items():
        if not member.startswith("_") and callable(getattr(found, "fget", found)):
            assert inspect.getdoc(getattr(value, member)), f"{name}.{member}"


# -- Building


def test_limits_of_time_belong_to_ci():
    """A reader's machine may be slower than that of CI, and the README's command has to work there."""
    conf = (DOCS / "conf.py").read_text(encoding="utf-8")
    assert re.findall(r"^(?:nb_execution_timeout|notebook_seconds) = (.*)$", conf, flags=re.MULTILINE) == ["-1", "0"]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert 'eval "$docs_run -D nb_execution_timeout=120 -D notebook_seconds=120"' in ci
    assert "-D" not in " ".join(command for _, command in commands("sphinx-build "))


@pytest.mark.parametrize(
    ("limit", "message"), [(0, None), (120, None), (30, r"expected at most 30 s each, got b \(99 s\)")]
)
def test_slow_notebooks_are_named(limit, message):
    errors = pytest.importorskip("sphinx.errors")
    namespace = runpy.run_path(str(DOCS / "_extensions" / "notebook_times.py"))
    times = {"a": {"exec_data": {"runtime": 20.0}}, "b": {"exec_data": {"runtime": 99.0}}, "c": {}}
    config = types.SimpleNamespace(notebook_seconds=limit)
    app = types.SimpleNamespace(config=config, env=types.SimpleNamespace(nb_metadata=times))
    if message is None:
        namespace["_check"](app, None)
    else:
        with pytest.raises(errors.SphinxError, match=message):
            namespace["_check"](app, None)


def test_figures_of_the_gallery_are_described():
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    cells = re.findall(r"^```\{code-cell\}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    figures = [cell for cell in cells if re.search(r"\bfigure$", cell)]
    assert len(figures) == 8
    for cell in figures:
        (alt,) = re.findall(r'^mystnb:\n  image:\n    alt: "(.+)"$', cell, flags=re.MULTILINE)
        assert len(alt) > 60
    assert all(re.findall(r"!\[(.*?)\]\(", text))


def test_readme_says_where_the_sources_come_from():
    before = (ROOT / "README.md").read_text(encoding="utf-8").partition("pip install")[0]
    assert "git clone" in before


# -- Code and commands


@pytest.fixture(scope="session")
def files(tmp_path_factory, make_model):
    """Files that the commands name."""
    import PIL.Image

    folder = tmp_path_factory.mktemp("files")
    make_model(shape=(24, 24, 3)).save(folder / "model.h5", include_optimizer=False)
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(folder / "cat.png")
    (folder / "names.txt").write_text("cat\ndog\nbird\n")
    return folder


@pytest.fixture
def workplace(files, tmp_path, monkeypatch):
    for path in files.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent != ROOT and blocks(page, "python")], ids=lambda page: page.stem
)
def test_the_code_of_a_page_runs(page, workplace):
    """Block after block in one namespace, as a reader would type it."""
    with matplotlib.rc_context({"backend": "agg"}):
        found = {}
        for block in blocks(page, "python"):
            exec(compile(block, str(page.name), "exec"), found)


def commands(kind):
    """Lines of the pages' shell blocks that begin so, joined with `&&` or not; each once, with the pages it is on."""
    found = {}
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.splitlines():
                for command in re.split(r"\s+&&\s+", re.sub(r"\s+#.*", "", line)):
                    if command.startswith(kind):
                        found.setdefault(command, set()).add(page.name)
    return [(", ".join(sorted(pages)), command) for command, pages in sorted(found.items())]


KINDS = (
    "pip install ",
    "uv pip install ",
    "nengo-cam ",
    "python3.11 -m venv ",
    ". .venv/",
    "bash ",
    "pytest",
    "python ",
    "sphinx-build ",
)


def test_every_command_is_of_a_kind_that_is_checked():
    known = {command for kind in KINDS for _, command in commands(kind)}
    assert {command for _, command in commands("")} <= known | {""}


@pytest.mark.parametrize(("page", "command"), [*commands("pip install "), *commands("uv pip install ")])
def test_installs_name_what_there_is(page, command):
    setup = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(re.findall(r"^([\w-]+) = \[", setup.split("[project.optional-dependencies]")[1], flags=re.MULTILINE))
    words = shlex.split(command)[2 if command.startswith("pip") else 3 :]
    options = {"--no-build-isolation", "--no-build-isolation-package", "nengo-dl", "-e"}
    for word in words:
        here = re.fullmatch(r"(?:\.|nengo-cam)(?:\[([\w,-]+)\])?", word)
        if here:
            assert set((here[1] or "demo").split(",")) <= extras, f"{page}: {command}"
        else:
            assert word in options or re.fullmatch(r"[\w-]+(?:[~=<>]=?[\d.]+)?", word), f"{page}: {command}"


def parts_of_ci():
    text = (ROOT / ".ci" / "commands").read_text(encoding="utf-8")
    return dict(word.split("=", maxsplit=1) for word in shlex.split(text, comments=True))


def test_ci_runs_the_commands_of_the_readme():
    """Word for word, from one place; what stands in both is joined by `&&` in the README."""
    parts = parts_of_ci()
    lines = [line for block in blocks(ROOT / "README.md", "bash") for line in block.splitlines()]
    joined = [
        f"{parts[f'{name}_{first}']} && {parts[f'{name}_{then}']}"
        for name, first, then in (
            ("demo", "install", "run"),
            ("tests", "install", "run"),
            ("newest", "setuptools", "install"),
            ("docs", "install", "run"),
        )
    ]
    assert [line for line in lines if line.startswith("pip ")] == joined
    # Each is used, and none is written a second time.
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert set(re.findall(r"\beval \"\$(\w+)", ci)) == parts.keys()
    assert not any(part in ci for part in parts.values())
    assert "README.md" not in ci


def of_ours():
    """Commands of the package that are run here: all but that of the README, which .ci/run runs as it is installed."""
    return [(pages, command) for pages, command in commands("nengo-cam ") if command != parts_of_ci()["demo_run"]]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command"), of_ours())
def test_commands_of_ours_run(page, command, workplace):
    before = set(workplace.iterdir())
    result = CliRunner().invoke(main, shlex.split(command)[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert result.output.strip()
    # These two print, and write nothing unless they are asked to.
    if not {"inspect", "recommend"} & set(command.split()):
        assert set(workplace.iterdir()) - before


@pytest.mark.parametrize(("page", "command"), [*commands("bash "), *commands("python "), *commands("pytest")])
def test_files_that_commands_name_are_there(page, command):
    for word in shlex.split(command)[1:]:
        if "/" in word and not word.startswith("-") and "_build" not in word:
            assert (ROOT / word).exists(), f"{page}: {command}"
