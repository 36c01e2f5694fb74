"""The versions that the package is tested on, a session for each row.

``pipx run nox`` runs the tests on all rows whose Python is there, ``pipx run nox -s "tests(newest)"`` on one row;
``nox -s smoke`` takes some seconds a row once it is installed. What follows ``--`` goes to pytest.
"""

import pathlib
import shlex

import nox

nox.needs_version = ">=2024.3"
nox.options.sessions = ["tests"]
nox.options.error_on_missing_interpreters = False

ROWS = [
    nox.param("3.9", "2.10.1", "3.2.0", id="oldest"),
    nox.param("3.11", "2.12.1", "4.0.0", id="tf2.12"),
    nox.param("3.11", "2.15.1", "4.1.0", id="main"),
    nox.param("3.12", "2.19.1", "4.1.0", id="tf2.19"),
    nox.param("3.13", "2.21.0", "4.1.0", id="newest"),
]
# What the README tells users to type, from where CI reads it too.
README = dict(
    word.split("=", maxsplit=1)
    for word in shlex.split(pathlib.Path(".ci/commands").read_text(encoding="utf-8"), comments=True)
)
PACKAGES = ("tensorflow", "keras", "tf-keras", "numpy", "nengo", "nengo-dl", "numba")


def install(session, tensorflow, nengo):
    """Install the package with the versions of a row, and print what was chosen for the rest."""
    options = []
    if session.python in ("3.12", "3.13"):
        # NengoDL asks for a setuptools to build it that does not run there.
        session.install(*shlex.split(README["newest_setuptools"])[2:])
        options = ["--no-build-isolation"]
    # TensorFlow 2.12 holds typing_extensions at a version that later IPython is too new for, without saying so.
    held = ["ipython<8.19"] if tensorflow.startswith("2.12.") else []
    session.install(*options, ".[tests]", f"tensorflow=={tensorflow}", f"nengo=={nengo}", *held)
    session.run("python", "-c", _SHOW_VERSIONS, *PACKAGES)


_SHOW_VERSIONS = """
import importlib.metadata, platform, sys
installed = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
print("Python", platform.python_version(), *(f"| {name} {installed.get(name)}" for name in sys.argv[1:]))
"""


@nox.session
@nox.parametrize("python,tensorflow,nengo", ROWS)
def tests(session, tensorflow, nengo):
    """Run all tests."""
    install(session, tensorflow, nengo)
    session.run("pytest", *session.posargs, env={"MPLBACKEND": "Agg"})


@nox.session
@nox.parametrize("python,tensorflow,nengo", ROWS)
def smoke(session, tensorflow, nengo):
    """Convert the model that ships, run it on two simulators and check the maps."""
    install(session, tensorflow, nengo)
    session.run("pytest", "tests/test_smoke.py", *session.posargs, env={"MPLBACKEND": "Agg"})
