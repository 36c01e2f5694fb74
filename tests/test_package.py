import importlib
import pkgutil
import re
import subprocess
import sys
import types

import nengo_cam


def test_every_public_name_is_there():
    for name in nengo_cam.__all__:
        assert getattr(nengo_cam, name) is not None
    assert dir(nengo_cam) == sorted(nengo_cam.__all__)


def test_a_submodule_does_not_hide_the_function_of_its_name():
    code = "import nengo_cam, nengo_cam.conversion.convert; print(type(nengo_cam.convert).__name__)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "function\n"
    )
    from nengo_cam.conversion.convert import CAMNetwork

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
