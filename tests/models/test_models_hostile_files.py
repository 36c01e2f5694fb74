"""Files made to harm whoever opens them: one for each way in, on each format.

Each is opened where a canary could be deleted or a file made, and has to end in an error of this package, soon, and
without much memory.
"""

import copy
import io
import json
import os
import pathlib
import pickle
import struct
import time
import warnings
import zipfile
import zlib

import h5py
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import nengo_cam as ncam
from nengo_cam.exceptions import InputFileError, UnsafeFileError
from nengo_cam.models.files import load_images, load_keras_model, read_names

SECONDS, MEBIBYTES = 2.0, 300
PATIENCE = 30.0  # of a clock on the wall, which also counts what other processes of a busy machine take
STATUS = pathlib.Path("/proc/self/status")


class Watch:
    """Time and memory that a block takes above what was there before, in ``seconds`` and ``mebibytes``.

    ``seconds`` is the lesser of the processor's and the wall's: the first also counts threads beside each other.
    """

    def __enter__(self):
        self._measures = self._reset()
        self._before = self._read("VmRSS")
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_):
        wall, processor = self._began
        self.wall_seconds = time.perf_counter() - wall
        self.seconds = min(self.wall_seconds, time.process_time() - processor)
        self.mebibytes = (self._read("VmHWM") - self._before) / 1024 if self._measures else 0.0

    @staticmethod
    def _reset():
        try:
            pathlib.Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return False  # No such file elsewhere than on Linux; time is measured all the same.
        return True

    @staticmethod
    def _read(name):
        if not STATUS.exists():
            return 0
        return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith(name))


@pytest.fixture
def canary(tmp_path):
    """A folder with a file that no opened file may touch; nothing may be made beside it."""
    folder = tmp_path / "canary"
    folder.mkdir()
    (folder / "alive").write_text("yes")
    return folder


def refuse(load, path, error, message, canary):
    """Open a file; check error, side effects, time and memory."""
    beside = sorted(p.name for p in canary.parent.iterdir())
    with Watch() as watch, pytest.raises(error, match=message) as caught:
        load(path)
    assert (canary / "alive").read_text() == "yes"
    assert sorted(p.name for p in canary.parent.iterdir()) == beside
    assert isinstance(caught.value, ncam.CAMError)
    assert len(str(caught.value)) < 3000
    assert watch.seconds < SECONDS
    assert watch.wall_seconds < PATIENCE
    assert watch.mebibytes < MEBIBYTES


# A small model in both formats, from which hostile ones are made


@pytest.fixture(scope="module")
def model():
    tf = ncam.compat.import_tensorflow()
    layers = tf.keras.layers
    image = tf.keras.Input((8, 6, 2), name="image")
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    return tf.keras.Model(image, layers.Dense(3, name="readout")(layers.GlobalAveragePooling2D(name="gap")(x)))


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """The model's file, its description, and an HDF5 file of weights."""
    path = tmp_path_factory.mktemp("saved") / "model.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    # What is loaded for the first time takes memory and time that are not the file's.
    load_keras_model(path)
    with h5py.File(path) as file:
        return path.read_bytes(), json.loads(file.attrs["model_config"])


def write(path, saved, text, change_weights=None):
    """Write a model file with a description, or any text in its place, of one's own."""
    whole, _ = saved
    content = io.BytesIO(whole)
    with h5py.File(content, "r+") as file:
        if path.suffix == ".h5":
            file.attrs["model_config"] = json.dumps(text) if isinstance(text, dict) else text
        if change_weights is not None:
            change_weights(file)
    if path.suffix == ".h5":
        path.write_bytes(content.getvalue())
        return
    if isinstance(text, dict):
        text = json.dumps(with_modules(text))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", text)
        archive.writestr("metadata.json", '{"keras_version": "2.15.0"}')
        archive.writestr("model.weights.h5", content.getvalue())


def with_modules(description):
    """Add what archives say of each layer and HDF5 files do not: the module of its class."""
    if not isinstance(description, dict):
        return description
    kind, config = description.get("class_name"), description.get("config")
    home = ncam.compat.import_tensorflow().keras.Model.__module__.replace(".training", ".functional")
    module = home if kind == "Functional" else "keras.layers"
    if isinstance(config, dict) and isinstance(config.get("layers"), list):
        config = {**config, "layers": [with_modules(layer) for layer in config["layers"]]}
    return {"module": module, "registered_name": None, **description, **({} if config is None else {"config": config})}


def layer_of(config, name):
    return next(layer for layer in config["config"]["layers"] if layer["name"] == name)


def options(name):
    """Choose a change of options of a layer."""

    def make(**changes):
        return lambda config, canary: layer_of(config, name)["config"].update(changes)

    return make


conv, readout = options("conv"), options("readout")


def replaced(kind, module=None, **config):
    """Put another layer in the place of the pooling."""

    def change(description, canary):
        layer = layer_of(description, "gap")
        given = {key: value.format(canary=canary) if isinstance(value, str) else value for key, value in config.items()}
        layer.update(class_name=kind, config={"name": "gap", **given}, **({"module": module} if module else {}))

    return change


def called(symbol, *args, kind="TFOpLambda", constants_only=False):
    """Put a function of TensorFlow, called with constants, in the place of the pooling."""

    def change(description, canary):
        layer = layer_of(description, "gap")
        given = [arg.format(canary=canary) if isinstance(arg, str) else arg for arg in args]
        names = {"io.write_file": ["filename", "contents"], "io.gfile.rmtree": ["path"]}.get(
            str(symbol), ["x", "y", "name"]
        )
        kwargs = dict(zip(names[1:], given[1:]))
        first = ["_CONSTANT_VALUE", -1, given[0], kwargs] if constants_only else ["conv", 0, 0, dict(zip(names, given))]
        layer.update(class_name=kind, config={"name": "gap", "function": symbol}, inbound_nodes=[first])

    return change


def nested(change):
    """Make the change in a model that is a layer of the model."""

    def change_inner(description, canary):
        inner = copy.deepcopy(description)
        change(inner, canary)
        inner["config"]["name"] = "inner"
        layer_of(description, "conv").update(class_name="Functional", config=inner["config"], name="conv")

    return change_inner


def wrapped(kind, key="layer", **inner):
    layer = {"class_name": "Lambda", "config": {"name": "inner", "function": ["4wEAAA==", None, None]}, **inner}
    harmless = {"class_name": "LSTM", "config": {"name": "rnn", "units": 1}}
    return replaced(kind, **{"layer": harmless, key: layer})


def in_the_call(value):
    """Pass something as an argument of a layer."""

    def change(description, canary):
        layer_of(description, "gap").update(inbound_nodes=[[["conv", 0, 0, {"mask": value}]]])

    return change


def unfolding(description, canary):
    """Describe a model in a model in a model, each of which calls the inner one twice."""
    config = description["config"]
    for depth in range(30):
        inner = {"class_name": "Functional", "name": "inner", "config": config}
        image = copy.deepcopy(layer_of(description, "image"))
        inner["inbound_nodes"] = [[["image", 0, 0, {}]], [["image", 0, 0, {}]]]
        ends = {"input_layers": [["image", 0, 0]], "output_layers": [["inner", 1, 0]]}
        config = {"name": f"model{depth}", "layers": [image, inner], **ends}
    description["config"] = config


def deep(description, canary):
    value = []
    for _ in range(300):
        value = [value]
    layer_of(description, "conv")["config"]["strides"] = value


POPEN = {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", "made"]}, "registered_name": None}
NODE_DEF = 'name: "w" op: "WriteFile"'
#: What is refused by name: how the description is changed, and what the error has to name.
NOT_ALLOWED = {
    "a function that writes": (called("io.write_file", "{canary}/made", "x"), "the function 'io.write_file'"),
    "a function that deletes": (called("io.gfile.rmtree", "{canary}"), "the function 'io.gfile.rmtree'"),
    "a function of constants": (
        called("io.write_file", "{canary}/made", "x", constants_only=True),
        "the function 'io.write_file'",
    ),
    "a function in a nested model": (nested(called("io.gfile.rmtree", "{canary}")), "the function 'io.gfile.rmtree'"),
    "a slice that is another function": (
        called("io.write_file", "{canary}/made", "x", kind="SlicingOpLambda"),
        "the function 'io.write_file'",
    ),
    "a function by no name": (called(["io.write_file"]), "the function"),
    "a Lambda layer": (replaced("Lambda", function=["4wEAAA==", None, None]), "a Lambda layer"),
    "a Lambda layer in a nested model": (nested(replaced("Lambda", function=["4wEAAA=="])), "a Lambda layer"),
    "a Lambda layer in TimeDistributed": (wrapped("TimeDistributed"), "a Lambda layer"),
    "a Lambda layer in Bidirectional": (wrapped("Bidirectional", key="backward_layer"), "a Lambda layer"),
    "a Lambda layer in a list of cells": (
        replaced("StackedRNNCells", cells=[{"class_name": "Lambda", "config": {}}]),
        "a Lambda layer",
    ),
    "a Lambda layer as activation": (conv(activation={"class_name": "Lambda", "config": {}}), "a Lambda layer"),
    "a Lambda layer as a number": (conv(filters={"class_name": "Lambda", "config": {}}), "an object Lambda"),
    "a method of a class": (replaced("ClassMethod", cls_symbol="io.gfile.GFile", method_name="x"), "a ClassMethod"),
    "a method of a tensor": (replaced("InstanceMethod", attr_name="numpy"), "a InstanceMethod"),
    "a node of a graph": (replaced("TensorFlowOpLayer", node_def=NODE_DEF, constants={}), "a TensorFlowOpLayer"),
    "a SavedModel as a layer": (replaced("TFSMLayer", filepath="{canary}"), "a TFSMLayer"),
    "a vocabulary in a file": (replaced("StringLookup", vocabulary="{canary}/alive"), "a StringLookup"),
    "a text layer": (replaced("TextVectorization", vocabulary="{canary}/alive"), "a TextVectorization"),
    "a class of another module": (replaced("Popen", module="subprocess", args=["id"]), "an object of 'subprocess'"),
    "a layer's name in another module": (replaced("Dense", module="os.path", units=1), "an object of 'os.path'"),
    "a function of keras.utils": (replaced("get_file", module="keras.utils", origin="http://x"), "'keras.utils'"),
    "a layer's name in keras.utils": (replaced("Dense", module="keras.utils", units=1), "'keras.utils'"),
    "a module that is no text": (replaced("Dense", module=["keras.layers"], units=1), r"'keras.layers'"),
    "a registered class": (
        lambda config, canary: layer_of(config, "conv").update(registered_name="mine>Conv2D"),
        "registered as 'mine>Conv2D'",
    ),
    "a class by its registered name": (replaced("mine>Own"), "a 'mine>Own' layer"),
    "an activation of another module": (
        conv(activation={"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}),
        "an object of os and the activation system",
    ),
    "another name behind an activation": (
        conv(activation={"module": "x", "class_name": "function", "config": "relu", "registered_name": "get"}),
        "registered as get",
    ),
    "an activation that finds objects": (conv(activation="deserialize"), "the activation deserialize"),
    "an activation by no name": (conv(activation=["relu"]), "the activation"),
    "an initializer": (conv(kernel_initializer=POPEN), "an object of subprocess"),
    "an initializer that finds objects": (conv(bias_initializer="deserialize"), "the initializer deserialize"),
    "a regularizer": (conv(kernel_regularizer=POPEN), "an object of subprocess"),
    "a constraint": (readout(bias_constraint=POPEN), "an object of subprocess"),
    "a dtype policy": (conv(dtype=POPEN), "an object of subprocess"),
    "a dtype of objects": (conv(dtype="object"), "the dtype policy object"),
    "an object in a call": (in_the_call(POPEN), "an object Popen of subprocess"),
    "code in a call": (in_the_call({"class_name": "__lambda__", "config": {"value": "4wEAAA=="}}), "__lambda__"),
    "a type in a call": (
        in_the_call({"class_name": "__typespec__", "spec_name": "Popen", "module": "subprocess", "config": [["id"]]}),
        "__typespec__",
    ),
    "a composite in a call": (in_the_call({"class_name": "CompositeTensor", "spec": {}, "tensors": []}), "Composite"),
    "a description in text": (in_the_call(["_COMPOSITE_TYPE", '{"class_name": "TypeSpec"}']), "a composite tensor"),
    "what Keras deserializes at once": (
        in_the_call({"__passive_serialization__": True, "config": {}}),
        "an object None",
    ),
    "an unrolled loop": (replaced("LSTM", units=1, unroll=True), "an unrolled LSTM layer"),
    "another class as the model": (
        lambda config, canary: config.update(class_name="Lambda"),
        "a Lambda in the place of a model",
    ),
    "another module for the model": (lambda config, canary: config.update(module="pickle"), "an object of pickle"),
}
#: What is broken, or larger than it may be.
BROKEN = {
    "layers that unfold": (unfolding, "calls .* layers; expected at most 10000"),
    "a circle": (
        lambda config, canary: layer_of(config, "conv").update(inbound_nodes=[[["gap", 0, 0, {}]]]),
        "'conv' waits for a tensor that no layer makes",
    ),
    "a call that is never made": (
        lambda config, canary: layer_of(config, "gap").update(inbound_nodes=[[["conv", 7, 0, {}]]]),
        "'gap' waits for a tensor that no layer makes",
    ),
    "a call by no number": (
        lambda config, canary: layer_of(config, "gap").update(inbound_nodes=[[["conv", "0", 0, {}]]]),
        "'gap' waits for a tensor that no layer makes",
    ),
    "an output that is never made": (
        called("math.add", ["conv", 0, 5]),
        "takes output 5 of 'conv', which has 1",
    ),
    "a circle behind a layer of the same name": (
        lambda config, canary: config["config"]["layers"].insert(
            1, {**copy.deepcopy(layer_of(config, "conv")), "inbound_nodes": [[["gap", 0, 0, {}]]]}
        ),
        "expected one name for each layer, got 5 layers of 4 names",
    ),
    "two names of a layer": (conv(name="gap"), "one also named 'gap'"),
    "thousands of layers in a row": (
        lambda config, canary: layer_of(config, "conv").update(
            class_name="Sequential",
            config={
                "name": "conv",
                "layers": [{"class_name": "ReLU", "config": {"name": f"relu{i}"}} for i in range(1000)],
            },
        ),
        "calls .* layers; expected at most 10000",
    ),
    "thousands of tensors": (
        lambda config, canary: layer_of(config, "gap").update(
            class_name="Concatenate", inbound_nodes=[20_000 * [["conv", 0, 0, {}]]]
        ),
        "calls .* layers; expected at most 10000",
    ),
    "a million numbers": (conv(weights=[10**6 * [0]]), "expected at most 200000 numbers and texts"),
    "deep nesting": (deep, "is nested too deeply"),
    "no class": (lambda config, canary: config.pop("class_name"), "expected the name of a class, got None"),
    "a class that is a number": (replaced(3), "expected the name of a class, got 3"),
    "no options": (lambda config, canary: config.pop("config"), "expected the options of the layer Functional"),
    "options in a list": (lambda config, canary: config.update(config=[]), "expected the options of the layer"),
    "layers that are none": (lambda config, canary: config["config"].update(layers=3), "expected the layers of"),
    "a layer that is text": (lambda config, canary: config["config"]["layers"].append("x"), "describes a layer, got x"),
    "no names": (
        lambda config, canary: layer_of(config, "conv").pop("name"),
        "Keras cannot load it|incomplete|names no",
    ),
    "no ends": (lambda config, canary: config["config"].pop("output_layers"), "Keras cannot load it|incomplete"),
    "a name that is a number": (conv(name=3), "also named '3'"),
    "an array of texts": (
        conv(scale={"class_name": "__numpy__", "config": {"value": ["a"], "dtype": "S1000000000"}}),
        "expected an array of numbers",
    ),
    "a huge layer": (readout(units=10**9), "as many as there are in the file"),
    "a huge convolution": (
        conv(filters=10**8),
        "as there are in the file|cannot be rebuilt",
    ),
    "a huge embedding": (replaced("Embedding", input_dim=10**12, output_dim=4), "as there are in the file|known to"),
    "a huge input": (
        lambda config, canary: layer_of(config, "image")["config"].update(batch_input_shape=[None, 10**6, 10**6, 2]),
        "the tensor of one image .* max_bytes=",
    ),
    "a huge repetition": (
        nested_repeat := replaced("ZeroPadding2D", padding=10**6),
        "tensor of one image .* max_bytes=",
    ),
    "huge pixels": (replaced("UpSampling2D", size=[10**6, 10**6]), "tensor of one image .* max_bytes="),
    "many small pieces": (
        lambda config, canary: (
            layer_of(config, "image")["config"].update(batch_input_shape=[None, 8, 2]),
            layer_of(config, "conv").update(class_name="UpSampling1D", config={"name": "conv", "size": 10**7}),
        ),
        "expected axes of at most 16384 positions",
    ),
    "statistics of every pixel": (
        lambda config, canary: (
            layer_of(config, "image")["config"].update(batch_input_shape=[None, 4000, 4000, 2]),
            layer_of(config, "conv").update(
                class_name="Normalization",
                config={"name": "conv", "axis": [1, 2, 3], "mean": 0.5, "variance": 1.0},
            ),
        ),
        "expected images of at most 4194304 values",
    ),
}


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", [*NOT_ALLOWED, *BROKEN])
def test_descriptions(name, suffix, saved, canary, tmp_path):
    version = tuple(int(part) for part in ncam.compat.import_tensorflow().__version__.split(".")[:2])
    if (name, suffix) == ("no names", ".keras") and version < (2, 13):
        pytest.skip("archives of this Keras are rebuilt, with the names of their configurations")
    change, message = NOT_ALLOWED.get(name) or BROKEN[name]
    description = copy.deepcopy(saved[1])
    change(description, canary)
    path = tmp_path / f"model{suffix}"
    write(path, saved, description)
    error = UnsafeFileError if name in NOT_ALLOWED else (InputFileError, ncam.exceptions.UnsupportedModelError)
    refuse(load_keras_model, path, error, message.replace("'", "'?"), canary)


def nothing(file):
    """Leave a file as it is."""


#: Text in the place of a description.
TEXTS = {
    "a list": ("[1, 2]", "expected a JSON object, got list"),
    "a number": ("3", "expected a JSON object, got int"),
    "no number": ("NaN", "expected a JSON object, got float"),
    "no JSON": ("{'a': 1}", "its configuration cannot be read .*expected JSON"),
    "nothing": ("", "expected JSON"),
    "deeply nested": ('{"a":' + 100_000 * "[", "nested too deeply"),
    "a number of millions of digits": ('{"a": ' + 2_000_000 * "9" + "}", "a number of 2000000 digits"),
    "too long": ('{"a": "' + (2**24 + 1) * "x" + '"}', "would take 16.0 MiB; expected at most 16.0 MiB"),
    "an escaped Lambda": (r'{"class_name":"L\u0061mbda", "config": {"layers": []}}', "a Lambda in the place"),
}


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", TEXTS)
def test_texts_in_the_place_of_a_description(name, suffix, saved, canary, tmp_path):
    text, message = TEXTS[name]
    path = tmp_path / f"model{suffix}"
    write(path, saved, text)
    refuse(load_keras_model, path, InputFileError, message, canary)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_keys_that_stand_twice_hide_nothing(suffix, saved, canary, tmp_path):
    write(tmp_path / f"a{suffix}", saved, with_modules(saved[1]))
    text = json.dumps(with_modules(saved[1]))
    hidden = text.replace('"class_name": "Dense"', '"class_name": "Dense", "class_name": "Lambda"')
    shown = text.replace('"class_name": "Dense"', '"class_name": "Lambda", "class_name": "Dense"')
    path = tmp_path / f"model{suffix}"
    write(path, saved, hidden)
    refuse(load_keras_model, path, UnsafeFileError, "a Lambda layer", canary)
    if suffix == ".h5":
        write(path, saved, shown)
        assert load_keras_model(path).count_params() > 0


def sparse(file):
    file.create_dataset("model_weights/x", (2**20, 2**20), "f4", chunks=(64, 64))


def zeros(file):
    file.create_dataset("model_weights/x", (2**13, 2**13), "f4", chunks=(2**11, 2**13), compression="gzip")


def filtered(file):
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((4,))
    plan.set_filter(40000, h5py.h5z.FLAG_OPTIONAL)
    h5py.h5d.create(file["model_weights"].id, b"x", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((4,)), plan)


def with_soft_link(file):
    file["model_weights/x"] = h5py.SoftLink("/model_weights/conv")


def many_texts(file):
    file["model_weights"].attrs["layer_names"] = np.array(4_000 * ["x"], dtype=h5py.string_dtype())
    file.attrs["long"] = 700_000 * "x"


def elsewhere(kind):
    """Point to a file beside the canary."""

    def change(file, other):
        if kind == "link":
            file["model_weights/x"] = h5py.ExternalLink(other, "x")
        elif kind == "group":
            del file["model_weights"]
            file["model_weights"] = h5py.ExternalLink(other, "/")
        elif kind == "storage":
            file.create_dataset("model_weights/x", (4,), "u1", external=[(other, 0, 4)])
        elif kind == "chunk":
            layout = h5py.VirtualLayout((4,), "u1")
            layout[:] = h5py.VirtualSource(other, "x", (4,))
            file["model_weights"].create_virtual_dataset("x", layout)
        elif kind == "reference":
            hidden = file.create_dataset(None, (4,), "u1", external=[(other, 0, 4)])
            file["model_weights"].attrs["layer_names"] = np.array([hidden.ref], dtype=h5py.ref_dtype)

    return change


#: HDF5 files, of models and in archives: what is in them, and what the error says of it.
HDF5 = {
    "a link to another file": (elsewhere("link"), UnsafeFileError, "'model_weights/x' is a link to another place"),
    "all weights in another file": (elsewhere("group"), UnsafeFileError, "'model_weights' is a link to another"),
    "values in another file": (elsewhere("storage"), UnsafeFileError, "a dataset whose values are in another file"),
    "a view of another file": (elsewhere("chunk"), UnsafeFileError, "a virtual dataset"),
    "a reference to what no link leads to": (elsewhere("reference"), InputFileError, "expected numbers and text as"),
    "a link in the file": (lambda file, _: with_soft_link(file), UnsafeFileError, "is a link to another place"),
    "a library": (lambda file, _: filtered(file), UnsafeFileError, "the library of the HDF5 filter 40000 unpacks"),
    "terabytes of nothing": (lambda file, _: sparse(file), InputFileError, "its arrays would take 4.0 TiB.*max_bytes="),
    "zeros": (lambda file, _: zeros(file), InputFileError, "its arrays would take 256.0 MiB; .*at most 128.0 MiB"),
    "objects": (
        lambda file, _: file.create_dataset("model_weights/x", (4,), h5py.vlen_dtype("f4")),
        InputFileError,
        "expected an array of numbers, as",
    ),
    "texts": (
        lambda file, _: file.create_dataset("model_weights/x", (4,), h5py.string_dtype()),
        InputFileError,
        "expected an array of numbers, as",
    ),
    "records": (
        lambda file, _: file.create_dataset("model_weights/x", (4,), [("a", "f4"), ("b", "f4")]),
        InputFileError,
        "expected an array of numbers, as",
    ),
    "arrays of arrays": (
        lambda file, _: file.create_dataset("model_weights/x", (4,), np.dtype(("f4", (10**6,)))),
        InputFileError,
        "expected an array of numbers, as|its arrays would take",
    ),
    "one text for thousands": (
        lambda file, _: many_texts(file),
        InputFileError,
        "its longest list of names would take",
    ),
}


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", HDF5)
def test_hdf5(name, suffix, saved, canary, tmp_path):
    change, error, message = HDF5[name]
    with h5py.File(canary / "other.h5", "w") as other:
        other["x"] = np.zeros(4, np.uint8)
    path = tmp_path / f"model{suffix}"
    write(path, saved, saved[1], lambda file: change(file, str(canary / "other.h5")))
    refuse(load_keras_model, path, error, message, canary)


def test_circles_of_links_end(saved, model, tmp_path):
    def change(file):
        file["model_weights/again"] = file["/"]

    write(tmp_path / "model.h5", saved, saved[1], change)
    assert load_keras_model(tmp_path / "model.h5").count_params() == model.count_params()


def test_trusted_files_may_point_to_others(saved, model, tmp_path):
    # As the error that refuses them says.
    path = tmp_path / "model.h5"
    write(path, saved, saved[1], with_soft_link)
    with pytest.raises(UnsafeFileError, match="a link to another place, .* or pass --unsafe"):
        load_keras_model(path)
    assert load_keras_model(path, unsafe=True).count_params() == model.count_params()


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("half", ["\\ud800", "\\uDFFF"])
def test_halves_of_characters(half, suffix, saved, canary, tmp_path):
    # They could stand in any message of Keras, which then could not be printed.
    for key in ("name", "padding"):
        description = copy.deepcopy(saved[1])
        layer_of(description, "conv")["config"][key] = "HALF"
        write(tmp_path / f"model{suffix}", saved, json.dumps(description).replace("HALF", half))
        refuse(load_keras_model, tmp_path / f"model{suffix}", InputFileError, "surrogates not allowed", canary)


@pytest.mark.parametrize("name", ["model_config", "keras_version"])
def test_attributes_that_are_no_text(name, saved, canary, tmp_path):
    write(tmp_path / "model.h5", saved, saved[1], lambda file: file.attrs.__setitem__(name, np.bytes_(b"\xff{}")))
    refuse(load_keras_model, tmp_path / "model.h5", InputFileError, "UnicodeDecodeError", canary)


def test_whole_characters_are_text(saved, tmp_path):
    # Outside of the basic plane JSON writes two halves.
    description = copy.deepcopy(saved[1])
    description["config"]["name"] = "\N{CAT FACE}"
    text = json.dumps(description)
    assert "\\ud83d" in text
    write(tmp_path / "model.h5", saved, text)
    assert load_keras_model(tmp_path / "model.h5").name == "\N{CAT FACE}"


# SavedModels


class Writing:
    """Makes SavedModels that write a file when they are restored."""

    @staticmethod
    def save(folder, target):
        tf = ncam.compat.import_tensorflow()

        class Resource(tf.saved_model.experimental.TrackableResource):
            def _create_resource(self):
                return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.string)

            def _initialize(self):
                tf.io.write_file(str(target), "x")

        module = tf.Module()
        module.resource = Resource()
        module.run = tf.function(lambda: (module.resource.resource_handle, tf.constant(0))[1], input_signature=[])
        tf.saved_model.save(module, str(folder))
        target.unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ["program", "Keras", "files of no model"])
@pytest.mark.parametrize("suffix", ["", ".h5", ".keras"])
def test_saved_models(kind, suffix, model, canary, tmp_path):
    path = tmp_path / f"model{suffix}"
    if kind == "program":
        Writing.save(path, canary / "made")
        assert not (canary / "made").exists()
    elif kind == "Keras":
        ncam.compat.import_tensorflow().saved_model.save(model, str(path))
    else:
        path.mkdir()
        (path / "keras_metadata.pb").write_bytes(b'{"class_name": "Lambda"}')
    refuse(load_keras_model, path, UnsafeFileError, r"is a SavedModel, .*model.save\('model.keras'\).*--unsafe", canary)
    assert not (canary / "made").exists()


# Archives


def members(*pairs, method=zipfile.ZIP_DEFLATED):
    """Write an archive of members."""

    def make(path, saved):
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
            warnings.simplefilter("ignore", UserWarning)  # a name that stands twice
            for name, content in pairs:
                archive.writestr(name, content if content is not None else json.dumps(with_modules(saved[1])))

    return make


def flagged(offset, value, make):
    """Change two bytes in both headers of the first member."""

    def change(path, saved):
        make(path, saved)
        content = bytearray(path.read_bytes())
        for mark, at in ((b"PK\x03\x04", offset), (b"PK\x01\x02", offset + 2)):
            start = content.find(mark) + at
            content[start : start + 2] = struct.pack("<H", value)
        path.write_bytes(content)

    return change


def lying(name, size):
    """Say that a member is short, and unpack to much more."""

    def make(path, saved):
        members(("config.json", None), (name, bytes(size)))(path, saved)
        content = path.read_bytes()
        for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
            start = content.rfind(mark) + at
            content = content[:start] + struct.pack("<I", 10) + content[start + 4 :]
        path.write_bytes(content)

    return make


def cut(make):
    def change(path, saved):
        make(path, saved)
        content = bytearray(path.read_bytes())
        content[60:90] = bytes(30)
        path.write_bytes(content)

    return change


WEIGHTS = "model.weights.h5"
ARCHIVES = {
    "no description": (members(("x", "y")), r"expected a member 'config.json', got \['x'\]"),
    "no weights": (members(("config.json", None)), "expected a member 'model.weights.h5'"),
    "gigabytes of description": (members(("config.json", bytes(2**28))), "'config.json' would take 256.0 MiB"),
    "gigabytes of metadata": (
        members(("config.json", None), ("metadata.json", bytes(2**28))),
        "'metadata.json' would take 256.0 MiB",
    ),
    "gigabytes of weights": (
        members(("config.json", None), (WEIGHTS, bytes(2**28))),
        "'model.weights.h5' would take 256.0 MiB.*max_bytes=268435456",
    ),
    "a wrong length": (lying(WEIGHTS, 2**28), "cannot be unpacked|expected a Keras model"),
    "two of a name": (members(("config.json", None), ("config.json", "{}")), "two members of one name"),
    "thousands of members": (members(*((f"{i}", "") for i in range(10_001))), "got 10001 members"),
    "another method": (members(("config.json", None), method=zipfile.ZIP_LZMA), "another method than Keras"),
    "a password": (flagged(6, 1, members(("config.json", None))), "is encrypted"),
    "text that is none": (members(("config.json", b"\xff\xfe")), "expected JSON in UTF-8"),
    "metadata in a list": (members(("config.json", None), ("metadata.json", "[]")), "expected a JSON object, got list"),
    "a broken member": (cut(members(("config.json", None))), "it cannot be unpacked|expected a Keras model"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(name, saved, canary, tmp_path):
    make, message = ARCHIVES[name]
    make(tmp_path / "model.keras", saved)
    refuse(load_keras_model, tmp_path / "model.keras", InputFileError, message, canary)


# What is no file


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "a.npy", "a.npz", "a.png", "names.txt"])
def test_what_is_no_file(name, canary, tmp_path):
    load = read_names if name.endswith(".txt") else load_keras_model if name.startswith("model") else load_images
    path = tmp_path / name
    refuse(load, path, InputFileError, "there is no such file", canary)
    refuse(load, tmp_path / ("x" * 300 + name), InputFileError, "cannot be found", canary)
    path.write_bytes(b"")
    refuse(load, path, InputFileError, "got an empty one", canary)
    path.unlink()
    path.mkdir()
    refuse(load, path, InputFileError, "got a folder", canary)
    path.rmdir()
    os.mkfifo(path)
    refuse(load, path, InputFileError, "got a device or a pipe", canary)
    path.unlink()
    path.symlink_to("/dev/zero")
    refuse(load, path, InputFileError, "got a device or a pipe", canary)


# Arrays


def header(shape, dtype="<f4", version=1):
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}".ljust(118) + "\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text.encode()


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self._path,)


ARRAYS = {
    "petabytes": (lambda path: header((10**15,)), InputFileError, "truncated: 4000000000000000 bytes by its header"),
    "more than the machine has, in no axis": (lambda path: header((2**40, 2**40)), InputFileError, "truncated"),
    "a negative size": (lambda path: header((-4,)), InputFileError, "got something else"),
    "a size that is text": (lambda path: header(("4",)), InputFileError, "got something else"),
    "arrays of arrays": (lambda path: header((1,), ("<f4", (10**12,))), InputFileError, "got something else|truncated"),
    "texts": (
        lambda path: header((1,), "<U1000000000"),
        InputFileError,
        "array of numbers|truncated|no valid|not a valid",
    ),
    "records": (lambda path: header((1,), [("a", "<f4")]) + bytes(4), InputFileError, "expected an array of numbers"),
    "code in the header": (lambda path: header((1,), "__import__('os')"), InputFileError, "got something else"),
    "a deep header": (
        lambda path: b"\x93NUMPY\x02\x00" + struct.pack("<I", 9000) + 9000 * b"(",
        InputFileError,
        "got something else",
    ),
    "an endless header": (
        lambda path: b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + 10**6 * b" ",
        InputFileError,
        "got something else",
    ),
    "an unknown version": (lambda path: header((1,), version=9), InputFileError, "format 9.0"),
    "objects": (
        lambda path: header((1,), "|O") + pickle.dumps([Canary(path)]),
        UnsafeFileError,
        "pickled Python objects.*--unsafe",
    ),
    "a pickle": (lambda path: pickle.dumps(Canary(path)), UnsafeFileError, "pickled Python objects.*--unsafe"),
}


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name, suffix, canary, tmp_path):
    make, error, message = ARRAYS[name]
    content, path = make(canary / "made"), tmp_path / f"a{suffix}"
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images.npy", content)
        message += "|would take"
    else:
        path.write_bytes(content)
    refuse(load_images, path, error, message, canary)
    assert not (canary / "made").exists()


IMAGE_ARCHIVES = {
    "no array": (members(("images", b"hello")), r"expected one array, or one named 'images', got \['images'\]"),
    "none": (members(), "got \\[\\]"),
    "several": (members(("a.npy", b""), ("b.npy", b"")), r"got \['a', 'b'\]"),
    "two of a name": (members(("images.npy", b""), ("images.npy", b"")), "two members of one name"),
    "gigabytes": (members(("images.npy", header((2**28,), "|u1") + bytes(2**28))), "would take 256.0 MiB.*max_bytes="),
    "another method": (members(("images.npy", header((1,))), method=zipfile.ZIP_BZIP2), "another method"),
    "half an array": (members(("images.npy", header((4,)) + bytes(8))), "16 bytes by its header, 8 in the file"),
    "a broken archive": (lambda path, saved: path.write_bytes(b"PK\x05\x06 hello"), "cannot be unpacked"),
}


@pytest.mark.parametrize("name", IMAGE_ARCHIVES)
def test_archives_of_arrays(name, canary, tmp_path):
    make, message = IMAGE_ARCHIVES[name]
    make(tmp_path / "a.npz", None)
    refuse(load_images, tmp_path / "a.npz", InputFileError, message, canary)


# Pictures


def png(width, height, *chunks, data=b""):
    """Write the chunks of a gray picture."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), *chunks, (b"IDAT", zlib.compress(data))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts) + chunk(b"IEND", b"")


def film(path):
    frames = [Image.new("L", (4, 4), value) for value in (0, 255)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def other_format(kind):
    return lambda path: Image.new("RGB", (4, 4)).save(path, format=kind)


def long_text(path):
    info = PngImagePlugin.PngInfo()
    info.add_text("a", 2**26 * "x", zip=True)
    Image.new("L", (4, 4)).save(path, pnginfo=info)


PICTURES = {
    "more pixels than memory": (
        png(10**5, 10**5, data=bytes(100)),
        "100000 x 100000 pixels would take 37.3 GiB.*max_byt",
    ),
    "a gigabyte of one color": (png(2**14, 2**14, data=bytes(2**10)), "would take 1.0 GiB; expected at most 128.0 MiB"),
    "no pixels": (png(0, 0), "cannot be read as a picture|got an empty"),
    "half a picture": (png(100, 100, data=bytes(100))[:-30], "cannot be read as a picture"),
    "too few pixels": (png(1000, 1000, data=bytes(10)), "cannot be read as a picture"),
    "text": (b"hello", "cannot be read as a picture"),
    "a broken chunk": (png(4, 4, (b"iCCP", b"x"), (b"tRNS", b""), data=b"x"), "cannot be read as a picture"),
    "a film": (film, "got a film of 2 frames"),
    "PostScript": (other_format("EPS"), "cannot be read as a picture"),
    "GIF": (other_format("GIF"), "cannot be read as a picture"),
    "TIFF": (other_format("TIFF"), "cannot be read as a picture"),
    "gigabytes of text": (long_text, "cannot be read as a picture"),
}


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name, suffix, canary, tmp_path):
    content, message = PICTURES[name]
    if callable(content):
        content(tmp_path / "made.png")
        content = (tmp_path / "made.png").read_bytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    refuse(load_images, path, InputFileError, message, canary)


def test_names(canary, tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes("\ufeffcat\r\ndög\n".encode())
    assert read_names(path) == ["cat", "dög"]
    path.write_bytes(b"\xff\xfe")
    refuse(read_names, path, InputFileError, "expected names, one a line in UTF-8", canary)
    path.write_bytes(b"a\0b")
    refuse(read_names, path, InputFileError, "bytes that are no text", canary)
    with path.open("wb") as file:
        file.truncate(2**34)
    refuse(read_names, path, InputFileError, "would take 16.0 GiB; expected at most 16.0 MiB.*max_bytes=", canary)


# Limits can be lifted


def test_limits_can_be_lifted(saved, canary, tmp_path):
    write(tmp_path / "model.h5", saved, saved[1], zeros)
    refuse(load_keras_model, tmp_path / "model.h5", InputFileError, "--max-bytes 2684", canary)
    assert load_keras_model(tmp_path / "model.h5", max_bytes=2**29).count_params() > 0
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4, 1)))
    refuse(lambda path: load_images(path, max_bytes=100), tmp_path / "a.npy", InputFileError, "192 bytes", canary)
    assert load_images(tmp_path / "a.npy", max_bytes=192).shape == (2, 3, 4, 1)
    Image.new("L", (6000, 6000)).save(tmp_path / "a.png")
    refuse(load_images, tmp_path / "a.png", InputFileError, "6000 x 6000 pixels would take 137.3 MiB", canary)
    assert load_images(tmp_path / "a.png", size=(3, 3), max_bytes=2**28).shape == (1, 3, 3, 3)
