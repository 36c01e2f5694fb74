import ast
import importlib
import pathlib
import pkgutil
import re
import subprocess
import sys
import types

import pytest

import nengo_cam

PACKAGE = pathlib.Path(nengo_cam.__file__).parent
MODULES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
ROOMS = sorted({path.split("/")[0].removesuffix(".py") for path in MODULES})
#: Private attributes outside of `compat`: who asks for them by name.
PROTOCOLS = {
    ("widgets/player.py", "_repr_mimebundle_"): "IPython, of everything that a notebook shows",
    ("explaining/explain.py", "_repr_mimebundle_"): "IPython, of everything that a notebook shows",
}


def test_every_public_name_is_there():
    for name in nengo_cam.__all__:
        assert getattr(nengo_cam, name) is not None
    assert dir(nengo_cam) == sorted(nengo_cam.__all__)


def test_a_submodule_does_not_hide_the_function_of_its_name():
    code = "import nengo_cam, nengo_cam.conversion.convert; print(type(nengo_cam.convert).__name__)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "function\n"
    )
    from nengo_cam.conversion.network import CAMNetwork

    assert CAMNetwork is nengo_cam.CAMNetwork
    assert isinstance(nengo_cam.convert, types.FunctionType)


def test_unknown_names_are_an_attribute_error():
    assert not hasattr(nengo_cam, "no_such_name")


def test_each_room_says_what_its_modules_hold():
    rooms = [info.name for info in pkgutil.walk_packages(nengo_cam.__path__, "nengo_cam.") if info.ispkg]
    assert "nengo_cam.measurement" in rooms
    for name in rooms:
        room = importlib.import_module(name)
        unsaid = [i.name for i in pkgutil.iter_modules(room.__path__) if not re.search(rf"\b{i.name}\b", room.__doc__)]
        assert not unsaid, f"{name} does not say what these hold: {unsaid}"


def public_functions(tree):
    """Yield the functions that a module offers, and the methods of its classes, with their names."""
    exported = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__"
    ]
    for node in tree.body:
        if not exported or getattr(node, "name", None) not in exported[0]:
            continue
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and (
                    not method.name.startswith("_") or method.name in ("__init__", "__call__", "__getitem__")
                ):
                    yield f"{node.name}.{method.name}", method


def unannotated(function):
    """List the parameters of a function that have no type, and "return"."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    named += [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    missing = [a.arg for a in named if a.annotation is None and a.arg not in ("self", "cls")]
    # What `__init__` returns says itself.
    return missing + (["return"] if function.returns is None and function.name != "__init__" else [])


def test_annotations_that_are_missing_are_found():
    code = """
__all__ = ["Room", "walk"]
def walk(to, *, at: float, **where) -> None: ...
def _walk(to): ...
class Room:
    def __init__(self, size): ...
    def door(self, n: int): ...
    def _wall(self, n): ...
"""
    found = {name: unannotated(function) for name, function in public_functions(ast.parse(code))}
    assert found == {"walk": ["to", "where"], "Room.__init__": ["size"], "Room.door": ["return"]}


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_function_says_its_types(room):
    modules = {path: tree for path, tree in MODULES.items() if path.split("/")[0].removesuffix(".py") == room}
    found = {
        f"{path}: {name}": unannotated(function)
        for path, tree in modules.items()
        for name, function in public_functions(tree)
    }
    assert {name: missing for name, missing in found.items() if missing} == {}


def private_names(tree):
    """List what a module reads, by an attribute or an import, that begins with an underscore and is not its own."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) not in ("self", "cls"):
            found.add(node.attr)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) in ("getattr", "setattr", "hasattr"):
            found.update(a.value for a in node.args[1:2] if isinstance(a, ast.Constant))
        elif isinstance(node, ast.ImportFrom):
            found.update([*(node.module or "").split("."), *(alias.name for alias in node.names)])
        elif isinstance(node, ast.Import):
            found.update(part for alias in node.names for part in alias.name.split("."))
    return {name for name in found if name.startswith("_") and not name.endswith("__")}


def test_private_names_are_found():
    code = """
import keras._tf_keras
from nengo._vendor import x
self._own = tensor._keras_history.layer
setattr(layer, "_name", layer.__class__)
cls._known
"""
    assert private_names(ast.parse(code)) == {"_tf_keras", "_vendor", "_keras_history", "_name"}


def test_private_parts_of_others_are_touched_in_compat_only():
    found = {(path, name) for path, tree in MODULES.items() if path != "compat.py" for name in private_names(tree)}
    assert found == set(PROTOCOLS)


def test_cheap_import_of_the_readers():
    """Annotations load nothing: what only they name is imported by type checkers alone."""
    code = """
import sys
import nengo_cam.checks.images, nengo_cam.plotting, nengo_cam.reports.comparison_report, nengo_cam.scoring
import nengo_cam.scoring.faithfulness, nengo_cam.scoring.localization, nengo_cam.widgets.player
print(sorted({"tensorflow", "nengo", "nengo_dl", "numba", "matplotlib.pyplot"} & set(sys.modules)))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "[]\n"
