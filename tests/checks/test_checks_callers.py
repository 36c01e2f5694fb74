import types
import warnings

import pytest

from nengo_cam.checks import callers


def inside(code, **names):
    """Run code as if it were a module of the package."""
    module = types.ModuleType("inside")
    vars(module).update(names)
    exec(compile(code, callers._PACKAGE + "inside.py", "exec"), vars(module))
    return module


WARNING = """
def warn():
    warnings.warn("far from home", UserWarning, stacklevel=user_stacklevel())

def by(n):
    return warn() if n == 0 else by(n - 1)
"""


@pytest.mark.parametrize("n", [0, 1, 7])
def test_a_warning_is_for_the_line_outside_the_package(n):
    module = inside(WARNING, warnings=warnings, user_stacklevel=callers.user_stacklevel)
    with pytest.warns(UserWarning, match="far from home") as caught:
        module.by(n)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_package_with_a_longer_name_is_another_one():
    code = compile("found = user_stacklevel()", callers._PACKAGE.rstrip("/") + "_tools/some.py", "exec")
    names = {"user_stacklevel": callers.user_stacklevel}
    exec(code, names)
    assert names["found"] == 1
