"""The ``Raises`` section of every public function names all errors of this package that calling it can raise.

Calls are followed by name through the source, from one function of the package to the next, wherever it can be told
what is called: plain functions, functions of imported modules, methods of ``self``, and the making of objects.
"""

import ast
import collections
import functools
import importlib
import inspect
import pathlib
import re

import pytest

import nengo_cam
from nengo_cam import exceptions

REFERENCE = pathlib.Path(__file__).parents[1] / "docs" / "api"
PACKAGE = pathlib.Path(nengo_cam.__file__).parent
ERRORS = {name for name in exceptions.__all__ if issubclass(getattr(exceptions, name), exceptions.CAMError)}
#: Everything that loads TensorFlow raises it; the reference says so once.
EVERYWHERE = {"CompatibilityError"}
#: What the source seems to allow and what cannot be, by function: the reason.
IMPOSSIBLE = {
    **{
        ("conversion.verify.verify", error): "a network was converted"
        for error in ("HeadError", "ModelTypeError", "UnsupportedModelError")
    },
    ("measurement.calibration_curve.calibration_curve", "ResultError"): "it reduces its own result, once",
    ("measurement.calibration_curve.calibration_curve", "ChannelMismatchError"): "features and kernel fit",
    ("explaining.recommend.recommend", "ResultError"): "it reduces its own result, once",
    ("explaining.recommend.recommend", "ChannelMismatchError"): "features and kernel fit",
    ("explaining.recommend.recommend", "LabelError"): "no classes are given",
    ("explaining.explain.explain", "ChannelMismatchError"): "features and kernel fit",
    ("measurement.cost.CostRecorder.begin", "ModelTypeError"): "a run has a network",
    **{
        (f"measurement.cam.{name}", "ChannelMismatchError"): "features and kernel fit"
        for name in ("rate_cam", "spiking_cam", "CamRecorder", "CamRecorder.add")
    },
    ("measurement.probed.cam_dataset", "ChannelMismatchError"): "features and kernel fit",
    ("conversion.network.CAMNetwork.replay", "ParameterError"): "weights of a network fit it",
    ("conversion.network.CAMNetwork.verify", "HeadError"): "a network has a head",
    ("conversion.network.CAMNetwork.verify", "ModelTypeError"): "a network has a model",
    ("conversion.network.CAMNetwork.verify", "UnsupportedModelError"): "a network was converted",
    ("plotting.film.formats.check_film", "ParameterError"): "no writer is named",
    ("scoring.latency.latency_summary", "ParameterError"): "the metric is there",
    (
        "measurement.randomization.cascading_randomization",
        "ChannelMismatchError",
    ): "features and kernel are of one model",
}


class Source:
    """What each function of the package raises and calls."""

    def __init__(self):
        self.functions, self.imports, self.recorders = {}, {}, {}
        for path in PACKAGE.rglob("*.py"):
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            self._read(module, ast.parse(path.read_text(encoding="utf-8")), module if is_package else None)

    def _read(self, module, tree, package):
        parent = (module if package is not None else module.rpartition(".")[0]).split(".")
        parent = [part for part in parent if part]
        self.imports[module] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                home = parent[: len(parent) - node.level + 1] + (node.module.split(".") if node.module else [])
                for alias in node.names:
                    self.imports[module][alias.asname or alias.name] = (".".join(home), alias.name)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                self.functions[module, node.name] = node
            elif isinstance(node, ast.ClassDef):
                methods = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
                for name, method in methods.items():
                    self.functions[module, f"{node.name}.{name}"] = method
                if "Recorder" in {getattr(base, "id", "") for base in node.bases}:
                    # Whoever makes a recorder has it run: all of its methods are called.
                    self.recorders[module, node.name] = node
                if "__init__" in methods:
                    self.functions[module, node.name] = methods["__init__"]

    def resolve(self, module, name):
        """Find the function that a name means in a module; None if it is not one of the package."""
        if (module, name) in self.functions or (module, name) in self.recorders:
            return module, name
        if name in self.imports.get(module, ()):
            return self.resolve(*self.imports[module][name])
        return None

    def module_of(self, module, name):
        """Find the module of the package that a name means in a module."""
        home, imported = self.imports[module].get(name, (None, None))
        full = ".".join(filter(None, (home, imported))) if home is not None else None
        return full if full in self.imports else None

    def called(self, key, function):
        """Find what a call calls."""
        module, name = key
        if isinstance(function, ast.Name):
            return self.resolve(module, function.id)
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            if function.value.id == "self":
                method = (module, f"{name.split('.')[0]}.{function.attr}")
                return method if method in self.functions else None
            other = self.module_of(module, function.value.id)
            return None if other is None else self.resolve(other, function.attr)
        return None

    @functools.cache  # noqa: B019 (there is one, for the whole session)
    def direct(self, key):
        raised, calls = set(), set()
        for node in ast.walk(self.recorders.get(key) or self.functions[key]):
            if isinstance(node, ast.Raise) and node.exc is not None:
                error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
                raised |= {getattr(error, "id", "")} & ERRORS
            elif isinstance(node, ast.Call):
                calls.add(self.called(key, node.func))
        return raised, calls - {None}

    def raised(self, key):
        """Find all errors, each with the way from call to call that leads to it."""
        found, seen, to_do = {}, set(), collections.deque([(key, ())])
        while to_do:
            key, way = to_do.popleft()
            if key in seen:
                continue
            seen.add(key)
            raised, calls = self.direct(key)
            way = (*way, key[1])
            for error in raised:
                found.setdefault(error, way)
            to_do.extend((other, way) for other in sorted(calls))
        return found


SOURCE = Source()


def documented(docstring):
    section = re.search(r"^Raises\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", docstring, flags=re.DOTALL | re.MULTILINE)
    heads = re.sub(r"^ .*$", "", section[1], flags=re.MULTILINE) if section else ""
    return {name for name in re.findall(r"\w+", heads) if hasattr(exceptions, name)}


def public():
    """Functions, classes and methods of the reference that have a docstring of more than a line."""
    for page in sorted(REFERENCE.glob("*.md")):
        for block in re.findall(r"^\.\. autosummary::\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE):
            for full in re.findall(r"^   ([\w.]+)$", block, flags=re.MULTILINE):
                module, _, name = full.rpartition(".")
                home = importlib.import_module(f"nengo_cam.{module}") if module else nengo_cam
                yield from documented_in(getattr(home, name, None))


def documented_in(value):
    if not callable(value) or not value.__module__.startswith("nengo_cam."):
        return
    module = value.__module__[len("nengo_cam.") :]
    found = [(value.__qualname__, value)]
    if inspect.isclass(value):
        found += [
            (f"{value.__qualname__}.{n}", f) for n, f in vars(value).items() if inspect.isfunction(f) and n[0] != "_"
        ]
    for name, part in found:
        docstring = inspect.getdoc(part)
        if (module, name) in SOURCE.functions and docstring and "\n" in docstring:
            yield f"{module}.{name}", (module, name), docstring


def missing(name, key, docstring):
    said = [getattr(exceptions, error) for error in documented(docstring)]
    return {
        error: " > ".join(way)
        for error, way in SOURCE.raised(key).items()
        if not issubclass(getattr(exceptions, error), tuple(said))
        and error not in EVERYWHERE
        and (name, error) not in IMPOSSIBLE
    }


@pytest.mark.parametrize(("name", "key", "docstring"), [pytest.param(*case, id=case[0]) for case in public()])
def test_raises_sections_are_complete(name, key, docstring):
    assert not missing(name, key, docstring)


@pytest.mark.parametrize(("name", "key", "docstring"), [pytest.param(*case, id=case[0]) for case in public()])
def test_parameters_sections_are_complete(name, key, docstring):
    """Every parameter has an entry, and no entry has outlived its parameter."""
    arguments = SOURCE.functions[key].args
    names = [
        a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs) if a.arg not in ("self", "cls")
    ]
    names += [a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None]
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", docstring, flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^(\S.*?)(?: : .*)?$", section[1], flags=re.MULTILINE) if section else []
    said = [name.strip().lstrip("*") for head in heads for name in head.split(",")]
    assert sorted(said) == sorted(names)


def test_the_check_sees_what_is_missing():
    """Without its section a function is found out, through its calls."""
    key = ("measurement.cam", "spiking_cam")
    found = missing("measurement.cam.spiking_cam", key, "Run.")
    assert found.keys() >= {"ModelTypeError", "ImageError", "ParameterError", "LabelError", "SimulatorError"}
    assert found["ImageError"].endswith(" > check_images")


def test_nothing_is_excused_that_is_not_asked_for():
    keys = {".".join(key): key for key in SOURCE.functions}
    for name, error in IMPOSSIBLE:
        assert error in SOURCE.raised(keys[name]), f"{name} does not raise {error}: no excuse is needed"
