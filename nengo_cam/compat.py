"""The one place that knows versions of TensorFlow, Keras and NengoDL and touches their private parts.

NengoDL 3.6.0 imports two names from places where Keras no longer has them:

* ``keras.engine.functional``, which Keras 2.13 moved to ``keras.src.engine.functional``;
* ``keras.layers.BatchNormalizationV1`` and ``V2``, which left the public namespace with it.

From TensorFlow 2.16 on, ``keras`` is Keras 3 and the Keras that NengoDL needs is the package ``tf_keras``, which
TensorFlow uses only if ``TF_USE_LEGACY_KERAS=1`` is set before it is imported. `prepare` arranges both: it sets the
variable, and makes ``import nengo_dl`` find what it needs. The names exist only while NengoDL is being imported;
everybody else sees Keras unchanged.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import os
import re
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

from .exceptions import CompatibilityError
from .version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import h5py
    import nengo
    import numpy as np
    from nengo.builder import Signal

__all__ = [
    "expects_training",
    "import_keras3",
    "import_nengo_dl",
    "import_tensorflow",
    "is_called_once",
    "is_functional",
    "is_keras3_model",
    "is_keras_layer",
    "is_symbolic",
    "is_value",
    "load_hdf5_weights",
    "loaded_nengo_dl",
    "model_nodes",
    "name_layer",
    "name_operation",
    "package_version",
    "package_versions",
    "prepare",
    "quiet_tensorflow",
    "set_read_only",
    "snake_case",
    "state_space",
    "tensor_key",
    "tensor_origin",
    "view_signal",
    "watched_building",
    "when_nengo_dl_is_imported",
    "without_decoder_cache",
    "without_gpu_advice",
]

_LEGACY_SWITCH = "TF_USE_LEGACY_KERAS"
_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
#: Held while what belongs to the whole process is another for the building of one model.
_BUILDING = threading.RLock()
#: What is called when NengoDL has been imported.
_NENGO_DL_CALLBACKS: list[Callable[[], None]] = []
#: Held while somebody is added to those who wait, so that nobody is missed by an import in another thread.
_CALLBACKS_CHANGE = threading.Lock()


def package_version(name: str) -> str | None:
    """Return the version of an installed package without importing it, or None if it is not installed."""
    # TensorFlow is published under several names, one per kind of machine.
    names = (name, "tensorflow-cpu", "tensorflow-macos", "tf-nightly") if name == "tensorflow" else (name,)
    for candidate in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(candidate)
    return None


def package_versions() -> dict[str, str | None]:
    """List the versions of the packages that a result depends on, for its provenance.

    Returns
    -------
    dict of {str: str}
        Versions by the name of the module.
    """
    others = ("nengo", "nengo-dl", "tensorflow", "numpy")
    return {"nengo_cam": __version__, **{name.replace("-", "_"): package_version(name) for name in others}}


def _major_minor(version):
    return tuple(int(part) for part in version.split(".")[:2])


def prepare() -> None:
    """Make ``import nengo_dl`` work from now on; called once by ``import nengo_cam``.

    Loads neither TensorFlow nor NengoDL. Does nothing where nothing is needed.
    """
    version = package_version("tensorflow")
    if version is not None and _major_minor(version) >= (2, 16) and "tensorflow" not in sys.modules:
        os.environ.setdefault(_LEGACY_SWITCH, "1")
    if "nengo_dl" not in sys.modules and not any(isinstance(f, _NengoDLFinder) for f in sys.meta_path):
        sys.meta_path.insert(0, _NengoDLFinder())


class _NengoDLFinder(importlib.abc.MetaPathFinder):
    """Finds NengoDL where it is, and has it loaded with the names in place that it needs."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "nengo_dl":
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _NengoDLLoader(spec.loader)
        return spec


class _NengoDLLoader(importlib.abc.Loader):
    """A loader around NengoDL's own."""

    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        with _legacy_keras_names(), _quiet_import(), warnings.catch_warnings():
            # It says so of every Nengo later than itself; those that this package allows are tested.
            warnings.filterwarnings("ignore", message="This version of NengoDL has not been tested with your Nengo")
            self._loader.exec_module(module)
        with _CALLBACKS_CHANGE:
            callbacks = list(_NENGO_DL_CALLBACKS)
        for callback in callbacks:
            callback()

    def __getattr__(self, name):
        # get_data, get_resource_reader and the like are the original loader's.
        return getattr(self._loader, name)


@contextlib.contextmanager
def _quiet_import():
    """Keep the user's TF_CPP_MIN_LOG_LEVEL, which NengoDL overwrites, and the terminal clean.

    NengoDL looks for a GPU by importing TensorFlow in another process, whose start-up messages nobody asked for.
    """
    before, call = os.environ.get(_LOG_LEVEL), subprocess.call
    subprocess.call = functools.partial(call, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.call = call
        if before is not None:
            os.environ[_LOG_LEVEL] = before


@contextlib.contextmanager
def _legacy_keras_names():
    """Let the names that NengoDL imports from Keras resolve, inside the block only."""
    tf = import_tensorflow()
    keras_name = tf.keras.Model.__module__.split(".")[0]  # "keras" or "tf_keras"
    keras = importlib.import_module("keras")
    missing = object()
    saved_modules, saved_attributes = {}, []

    def put_module(name, module):
        saved_modules[name] = sys.modules.get(name, missing)
        sys.modules[name] = module

    def put_attribute(owner, name, value):
        saved_attributes.append((owner, name, getattr(owner, name, missing)))
        setattr(owner, name, value)

    with contextlib.suppress(ImportError):
        engine = importlib.import_module(f"{keras_name}.src.engine")
        put_module("keras.engine", engine)
        put_module("keras.engine.functional", importlib.import_module(f"{keras_name}.src.engine.functional"))
    if keras_name != "keras" or not hasattr(keras.layers, "BatchNormalizationV2"):
        home = importlib.import_module(f"{keras_name}.src.layers.normalization")
        v1 = importlib.import_module(f"{home.__name__}.batch_normalization_v1").BatchNormalization
        put_attribute(keras.layers, "BatchNormalizationV1", v1)
        put_attribute(keras.layers, "BatchNormalizationV2", tf.keras.layers.BatchNormalization)
    try:
        yield
    finally:
        for owner, name, value in reversed(saved_attributes):
            delattr(owner, name) if value is missing else setattr(owner, name, value)
        for name, module in saved_modules.items():
            if module is missing:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module


def import_tensorflow() -> Any:
    """Import TensorFlow and check that its Keras is the one that NengoDL needs.

    Returns
    -------
    module
        ``tensorflow``.

    Raises
    ------
    CompatibilityError
        If TensorFlow is missing, if ``tf_keras`` is missing beside TensorFlow 2.16 or later, or if Keras 3 is already
        active as ``tf.keras``.
    """
    prepare_needed = "tensorflow" not in sys.modules
    try:
        import tensorflow as tf
    except ImportError as err:
        raise CompatibilityError(
            "TensorFlow: cannot be imported; expected TensorFlow 2.10 or later. Install it with nengo-cam: "
            "pip install nengo-cam."
        ) from err
    if _major_minor(tf.__version__) < (2, 16):
        return tf
    if package_version("tf-keras") is None:
        raise CompatibilityError(
            f"TensorFlow {tf.__version__}: NengoDL needs Keras 2, which comes as the package 'tf-keras'; expected it "
            f"to be installed, got none. Run: pip install 'tf-keras~={tf.__version__.rsplit('.', 1)[0]}.0'."
        )
    if not _keras_of(tf).startswith("tf_keras"):
        how = "is set to another value" if prepare_needed else "was not set when TensorFlow was imported"
        raise CompatibilityError(
            f"TensorFlow {tf.__version__}: Keras 3 is active as tf.keras because {_LEGACY_SWITCH} {how}; expected "
            f"Keras 2. Set the environment variable {_LEGACY_SWITCH}=1, or import nengo_cam before tensorflow."
        )
    return tf


def _keras_of(tf):
    """Name the module that ``tf.keras`` comes from."""
    try:
        return tf.keras.Model.__module__
    except (AttributeError, ImportError, RecursionError):
        # TensorFlow 2.21 looks for Keras 3 without end where it finds Keras 3.15.
        return "no module"


def import_nengo_dl() -> Any:
    """Import NengoDL, whatever the version of TensorFlow.

    Returns
    -------
    module
        ``nengo_dl``.

    Raises
    ------
    CompatibilityError
        If TensorFlow or NengoDL cannot be used, see `import_tensorflow`.
    """
    import_tensorflow()
    prepare()
    try:
        import nengo_dl
    except ImportError as err:
        raise CompatibilityError(
            f"NengoDL: cannot be imported ({err}); expected nengo-dl 3.6 beside TensorFlow "
            f"{package_version('tensorflow')}. Install it with nengo-cam: pip install nengo-cam."
        ) from err
    return nengo_dl


def when_nengo_dl_is_imported(callback: Callable[[], None]) -> Callable[[], None]:
    """Have a function called when NengoDL has been imported, by whomever; at once if it has been.

    What teaches NengoDL something registers so, and does not load NengoDL, and TensorFlow with it, for those who never
    use it.

    Parameters
    ----------
    callback : callable
        Takes nothing. It may import NengoDL.

    Returns
    -------
    callable
        The same, so that this can be a decorator.
    """
    with _CALLBACKS_CHANGE:
        _NENGO_DL_CALLBACKS.append(callback)
        is_there = "nengo_dl" in sys.modules
    if is_there:
        # Another thread may be in the middle of it, and the import system waits for that.
        importlib.import_module("nengo_dl")
        callback()
    return callback


def import_keras3() -> Any:
    """Import Keras 3, if it is there.

    Returns
    -------
    module or None
        ``keras``; None if it is not installed, or if ``keras`` is Keras 2.
    """
    version = package_version("keras")
    if version is None or _major_minor(version) < (3, 0):
        return None
    import_tensorflow()
    return importlib.import_module("keras")


def is_keras3_model(value: object) -> bool:
    """Tell whether a value is a model of Keras 3, without importing that."""
    bases = [(base.__module__.split(".")[0], base.__name__) for base in type(value).__mro__]
    return ("keras", "Model") in bases and not isinstance(value, import_tensorflow().keras.Model)


def is_called_once(layer: Any) -> bool:
    """Tell whether a layer of Keras 3 has been called on symbolic tensors once, in whatever model."""
    return len(layer._inbound_nodes) == 1


def snake_case(name: str) -> str:
    """Write the name of a class as Keras does in the files of weights: ``"Conv2D"`` as ``"conv2d"``."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def name_operation(tensor: Any, name: str) -> None:
    """Give the layer that Keras 2 has made of an operation or function, such as ``x + y``, another name."""
    tensor._keras_history.layer._name = name


@contextlib.contextmanager
def watched_building(
    before_call: Callable[..., Any], after_call: Callable[..., Any], make_variable: Callable[..., Any]
) -> Iterator[None]:
    """Watch Keras 2 build a model in this thread.

    One model at a time: what is in the place of Keras's own for the time being is there for the whole process, and
    passes on what other threads do.

    Parameters
    ----------
    before_call : callable
        Gets each layer, and the list of all that it is called with, before it is called.
    after_call : callable
        Gets each layer and its outputs.
    make_variable : callable
        As in ``tf.variable_creator_scope``.
    """
    tf = import_tensorflow()
    layer_type, owner = tf.keras.layers.Layer, threading.get_ident()
    with _BUILDING:
        original = layer_type.__call__

        @functools.wraps(original)
        def call(self, *args, **kwargs):
            if threading.get_ident() != owner:
                return original(self, *args, **kwargs)
            before_call(self, tf.nest.flatten((args, kwargs)))
            outputs = original(self, *args, **kwargs)
            after_call(self, tf.nest.flatten(outputs))
            return outputs

        layer_type.__call__ = call
        try:
            with tf.variable_creator_scope(make_variable):
                yield
        finally:
            layer_type.__call__ = original


def load_hdf5_weights(model: Any, group: h5py.Group) -> None:
    """Give a model of Keras 2 the weights in an open HDF5 group, as ``load_model`` does.

    Parameters
    ----------
    model : tf.keras.Model
        The model.
    group : h5py.Group
        What Keras calls ``model_weights``.
    """
    keras_name = import_tensorflow().keras.Model.__module__.split(".")[0]
    for place in ("src.saving.legacy", "saving.legacy", "saving"):
        with contextlib.suppress(ImportError):
            loader = importlib.import_module(f"{keras_name}.{place}.hdf5_format")
            break
    loader.load_weights_from_hdf5_group(group, model)


def is_value(leaf: object) -> bool:
    """Tell whether this is a tensor that has a value already, unlike those of models that are being built."""
    return hasattr(leaf, "numpy") and hasattr(leaf, "dtype") and not is_symbolic(leaf)


def model_nodes(model: Any) -> list[Any]:
    """List the layer calls of a functional model in the order in which they run.

    Parameters
    ----------
    model : tf.keras.Model
        Functional or built Sequential model.

    Returns
    -------
    list of keras.engine.node.Node
        Each has ``layer``, ``is_input``, ``call_args``, ``call_kwargs`` and ``outputs``; tensors in them have
        ``_keras_history``.
    """
    nengo_dl = import_nengo_dl()
    nodes, _ = nengo_dl.compat._build_map(model.outputs)
    return nodes


def is_functional(layer: Any) -> bool:
    """Tell whether a layer is a functional model (a built Sequential model is one)."""
    return isinstance(layer, import_nengo_dl().compat.Functional) and bool(layer.inputs)


def tensor_key(tensor: Any) -> tuple[int, int, int]:
    """Identify a symbolic tensor by the layer call that made it; the same in every structure that holds it."""
    history = tensor._keras_history
    return id(history.layer), history.node_index, history.tensor_index


def tensor_origin(tensor: Any) -> tuple[Any, int]:
    """Return the layer that made a symbolic tensor, and the number of that call among all calls of the layer."""
    history = tensor._keras_history
    return history.layer, history.node_index


def is_symbolic(value: object) -> bool:
    """Tell whether a value is a symbolic Keras tensor."""
    return hasattr(value, "_keras_history")


def is_keras_layer(layer_type: type) -> bool:
    """Tell whether a class of layers is Keras's own; one that is derived from it may do anything."""
    return layer_type is getattr(import_tensorflow().keras.layers, layer_type.__name__, None)


def name_layer(layer: Any, name: str) -> None:
    """Give a layer of Keras 2 a name that its configuration does not hold."""
    layer._name = name


def set_read_only(obj: Any, name: str, value: np.ndarray) -> None:
    """Set a read-only parameter of a Nengo object as it is, without the copy that Nengo makes of arrays."""
    value.setflags(write=False)
    getattr(type(obj), name).data[obj] = value


def quiet_tensorflow() -> None:
    """Keep TensorFlow's start-up messages off the terminal; has an effect only before TensorFlow is imported."""
    os.environ.setdefault(_LOG_LEVEL, "3")


@contextlib.contextmanager
def without_decoder_cache() -> Iterator[None]:
    """Build without Nengo's decoder cache: converted networks have no decoders, and a first use logs an error."""
    import nengo

    before = nengo.rc.get("decoder_cache", "enabled")
    nengo.rc.set("decoder_cache", "enabled", "False")
    try:
        yield
    finally:
        nengo.rc.set("decoder_cache", "enabled", before)


@contextlib.contextmanager
def without_gpu_advice() -> Iterator[None]:
    """Hide NengoDL's advice on installing GPU support, which it repeats for every simulator."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No GPU support detected", category=UserWarning)
        yield


def loaded_nengo_dl() -> Any:
    """Return NengoDL if somebody has imported it, else None: without it there are no objects of its types."""
    return sys.modules.get("nengo_dl")


def expects_training(layer: Any) -> bool:
    """Tell whether a Keras layer's ``call`` takes ``training``."""
    return layer._expects_training_arg


def state_space(synapse: nengo.LinearFilter, dt: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Discretize a linear filter of Nengo's as its own step function does.

    Parameters
    ----------
    synapse : nengo.LinearFilter
        The filter.
    dt : float
        Time step [s].

    Returns
    -------
    A, B, C, D : ndarray of shape (n, n), (n, 1), (1, n), (1, 1)
        The filter of order n: ``x' = A x + B u``, output ``C x + D u``.
    """
    return synapse._get_ss(dt)


def view_signal(value: np.ndarray, name: str) -> Signal:
    """Make a read-only signal of Nengo's whose initial value is a view, which Nengo itself would copy.

    Parameters
    ----------
    value : ndarray
        Read-only array.
    name : str
        Name of the signal.

    Returns
    -------
    nengo.builder.Signal
        Its ``initial_value`` is ``value`` itself.
    """
    from nengo.builder import Signal

    signal = Signal(value.dtype.type(0), name=name, readonly=True)
    signal._initial_value = value
    return signal
