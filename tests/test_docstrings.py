"""The examples in docstrings run, and give what they say."""

import doctest
import importlib
import pathlib
import pkgutil
import re

import matplotlib
import pytest

import nengo_cam

START = pathlib.Path(__file__).parents[1] / "docs" / "api" / "index.md"
#: What users meet first; each has an example.
MAIN = {
    "nengo_cam.scoring.agreement.compare.compare",
    "nengo_cam.scoring.agreement.compare.correlation",
    "nengo_cam.scoring.agreement.completeness.completeness_error",
    "nengo_cam.scoring.agreement.reduction.cumulative",
    "nengo_cam.scoring.agreement.reduction.smooth",
    "nengo_cam.measurement.cam.class_activation_map",
    "nengo_cam.measurement.cam.rate_cam",
    "nengo_cam.measurement.cam.spiking_cam",
    "nengo_cam.conversion.network.CAMNetwork",
    "nengo_cam.conversion.convert.convert",
    "nengo_cam.measurement.cost.measure_cost",
    "nengo_cam.datasets.handwriting.digits",
    "nengo_cam.datasets.scenes.scattered_digits",
    "nengo_cam.models.source.find_head",
    "nengo_cam.scoring.latency.decision_latency",
    "nengo_cam.scoring.latency.explanation_latency",
    "nengo_cam.scoring.localization.localize.localization_scores",
    "nengo_cam.neurons.integrate_and_fire.IntegrateAndFire",
    "nengo_cam.plotting.film.animate.animate",
    "nengo_cam.plotting.overlay.overlay",
    "nengo_cam.plotting.timeline.timeline",
    "nengo_cam.models.simplify.balance.balance_channels",
    "nengo_cam.simulator.simulator.Simulator",
}


def modules():
    return sorted(info.name for info in pkgutil.walk_packages(nengo_cam.__path__, "nengo_cam."))


def examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for name in modules():
        for test in finder.find(importlib.import_module(name), name):
            if test.examples:
                found[test.name] = test
    return found


@pytest.fixture(scope="module")
def start():
    """Run what the reference says that examples start from."""
    (code,) = re.findall(r"```python\n(.*?)```", START.read_text(encoding="utf-8"), flags=re.DOTALL)
    names = {}
    exec(code, names)
    return names


@pytest.mark.parametrize("test", examples().values(), ids=lambda test: test.name.replace("nengo_cam.", ""))
def test_examples_in_docstrings(test, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test.globs = dict(start)
    output = []
    with matplotlib.rc_context({"backend": "agg"}):
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        result = runner.run(test, out=output.append)
    assert result.attempted
    assert not result.failed, "".join(output)


def test_what_users_meet_first_has_an_example():
    assert examples().keys() >= MAIN


def test_examples_may_not_turn_themselves_off():
    for name, test in examples().items():
        assert not any(doctest.SKIP in example.options for example in test.examples), f"{name} skips an example"
