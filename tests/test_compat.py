import os
import re
import subprocess
import sys

import pytest

from nengo_cam import compat
from nengo_cam.exceptions import CompatibilityError


def run(code):
    """Run code in a fresh interpreter, without the variable that this one has set, and return what it prints."""
    env = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_the_package_loads_neither_tensorflow_nor_nengo():
    assert (
        run("import sys, nengo_cam; print([m for m in ('tensorflow', 'nengo', 'nengo_dl') if m in sys.modules])")
        == "[]"
    )


def test_readers_of_results_load_neither_tensorflow_nor_nengo():
    code = (
        "import sys, nengo_cam.plotting, nengo_cam.scoring.agreement; print({'tensorflow', 'nengo'} & set(sys.modules))"
    )
    assert run(code) == "set()"


def test_nengo_dl_imports_afterwards_and_keras_is_left_as_it_was():
    code = """
import nengo_cam
import keras, sys, tensorflow as tf
before = set(vars(keras.layers))
import nengo_dl
print(nengo_dl.Converter.converters[tf.keras.layers.BatchNormalization].__name__)
# A module under another name than its own would be one of ours, left behind.
names = {name: module.__name__ for name, module in list(sys.modules.items()) if name.startswith("keras.engine")}
print(before == set(vars(keras.layers)) and all(name == own for name, own in names.items()))
# The wrapped loader passes on what it does not know.
print(nengo_dl.__spec__.loader.get_filename("nengo_dl") == nengo_dl.__file__)
"""
    assert run(code).split() == ["ConvertBatchNormalization", "True", "True"]


def test_a_keras_that_is_not_found_is_said_with_the_remedy(monkeypatch, tf):
    class Endless:
        def __getattr__(self, name):
            return getattr(self, name)

    monkeypatch.setattr(tf, "__version__", "2.21.0")
    monkeypatch.setattr(compat, "package_version", lambda name: "2.21.0")
    monkeypatch.setattr(tf, "keras", Endless())
    with pytest.raises(CompatibilityError, match="Set the environment variable TF_USE_LEGACY_KERAS=1"):
        compat.import_tensorflow()


@pytest.mark.skipif(int(compat.package_version("tensorflow").split(".")[1]) < 16, reason="this TensorFlow has Keras 2")
def test_tensorflow_imported_first_is_said_with_the_remedy():
    said = run("""
import tensorflow as tf
import nengo_cam as ncam
try:
    ncam.compat.import_tensorflow()
except ncam.exceptions.CompatibilityError as err:
    print(err)
""")
    assert "TF_USE_LEGACY_KERAS was not set when TensorFlow was imported; expected Keras 2." in said


def test_keras_3_in_place_of_keras_2_is_said_with_the_remedy(monkeypatch, tf):
    monkeypatch.setattr(tf, "__version__", "2.19.0")
    monkeypatch.setattr(compat, "package_version", lambda name: "2.19.0")
    monkeypatch.setattr(tf.keras.Model, "__module__", "keras.src.models.model")
    with pytest.raises(CompatibilityError, match="Keras 3 is active as tf.keras.*TF_USE_LEGACY_KERAS=1"):
        compat.import_tensorflow()


def test_missing_tf_keras_is_said_with_the_remedy(monkeypatch, tf):
    monkeypatch.setattr(tf, "__version__", "2.19.0")
    monkeypatch.setattr(compat, "package_version", lambda name: None)
    with pytest.raises(CompatibilityError, match=r"needs Keras 2.*pip install 'tf-keras~=2.19.0'"):
        compat.import_tensorflow()


def test_legacy_switch_is_set_for_late_tensorflow_only():
    code = """
import os, sys, importlib.metadata as metadata
real = metadata.version
metadata.version = lambda name: {version!r} if name == "tensorflow" else real(name)
import nengo_cam
print(os.environ.get("TF_USE_LEGACY_KERAS"))
"""
    assert run(code.format(version="2.19.1")) == "1"
    assert run(code.format(version="2.15.1")) == "None"


def test_decoder_cache_setting_is_put_back():
    import nengo

    before = nengo.rc.get("decoder_cache", "enabled")
    with compat.without_decoder_cache():
        assert not nengo.rc.getboolean("decoder_cache", "enabled")
    assert nengo.rc.get("decoder_cache", "enabled") == before


def test_the_users_log_level_is_kept():
    code = "import os, nengo_cam; nengo_cam.compat.quiet_tensorflow(); import nengo_dl; print(os.environ['{}'])"
    assert run(code.format("TF_CPP_MIN_LOG_LEVEL")) == "3"


def test_package_version():
    import numpy

    assert compat.package_version("numpy") == numpy.__version__
    assert compat.package_version("no-such-package-here") is None


def test_keras_3_is_found_where_it_is_and_keras_2_is_not_taken_for_it(monkeypatch):
    import keras

    found = compat.import_keras3()
    assert found is (keras if int(keras.__version__.split(".")[0]) >= 3 else None)
    monkeypatch.setattr(compat, "package_version", lambda name: "2.15.0")
    assert compat.import_keras3() is None
    monkeypatch.setattr(compat, "package_version", lambda name: None)
    assert compat.import_keras3() is None


def test_models_of_keras_3_are_told_from_those_of_keras_2(small_model, tf):
    assert not compat.is_keras3_model(small_model)
    assert not compat.is_keras3_model(tf.keras.Sequential())
    assert not compat.is_keras3_model("model")
    keras = compat.import_keras3()
    if keras is not None:
        assert compat.is_keras3_model(keras.Sequential())
        assert compat.is_keras3_model(type("Own", (keras.Model,), {})())
        assert not compat.is_keras3_model(keras.layers.Dense(2))


@pytest.mark.parametrize("kind", ["Add", "Conv2D", "DepthwiseConv2D", "ELU", "GlobalAveragePooling1D", "PReLU", "ReLU"])
def test_names_of_classes_in_files(kind, tf):
    options = {"Conv2D": {"filters": 1, "kernel_size": 1}, "DepthwiseConv2D": {"kernel_size": 1}}
    layer = getattr(tf.keras.layers, kind)(**options.get(kind, {}))
    # Keras numbers the names that it makes of classes itself.
    assert compat.snake_case(kind) == re.sub(r"_\d+$", "", layer.name)


def test_filters_are_discretized_as_scipy_does_it():
    import nengo
    import numpy as np
    from scipy.signal import cont2discrete, tf2ss

    synapse, dt = nengo.LinearFilter([2.0], [0.01, 0.3, 1.0]), 0.002
    *expected, _ = cont2discrete(tf2ss(synapse.num, synapse.den), dt, method="zoh")
    found = compat.state_space(synapse, dt)
    # The same filter may be written in other states: what it answers to an impulse is the same.
    for n in range(5):
        ours, theirs = ((c @ np.linalg.matrix_power(a, n) @ b).item() for a, b, c, _ in (found, expected))
        assert ours == pytest.approx(theirs, rel=1e-9)


def test_signals_of_views_are_not_copied():
    import numpy as np

    kernel = np.broadcast_to(np.eye(3, dtype=np.float32), (500, 500, 3, 3))
    signal = compat.view_signal(kernel, "weights")
    assert signal.initial_value is kernel
    assert signal.shape == kernel.shape
    assert signal.name == "weights"
    assert signal.readonly


def test_layers_that_take_training_are_told_from_those_that_do_not(tf):
    assert compat.expects_training(tf.keras.layers.Dropout(0.5))
    assert not compat.expects_training(tf.keras.layers.Flatten())


def test_nengo_dl_is_not_loaded_by_asking_for_it():
    code = "import sys, nengo_cam; print(nengo_cam.compat.loaded_nengo_dl(), 'nengo_dl' in sys.modules)"
    assert run(code) == "None False"
    import nengo_dl

    assert compat.loaded_nengo_dl() is nengo_dl
