"""Write the models of Keras 3 that ``tests/models/test_models_keras3.py`` reads where Keras 3 is not installed.

Run it in an environment with Keras 3, from the top of the repository: ``python tests/data/make_keras3.py``. It writes

* ``keras3_layers.keras``: one model with a 1-D, a 2-D and a 3-D input and most kinds of layers;
* ``keras3_named.keras`` and ``keras3_named.h5.gz``: a model whose inputs and outputs are in dicts, in no order, with a
  nested model that has several of each;
* ``keras3_gap.keras`` and ``keras3_gap.h5.gz``: a small CNN with a GAP head, in both formats;
* ``keras3.npz`` and ``keras3_named.npz``: images and what Keras 3 makes of them.

The archives are packed again, since Keras does not compress them.
"""

import gzip
import os
import pathlib
import tempfile
import zipfile

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import layers, ops

HERE = pathlib.Path(__file__).parent


def randomise(model, rng):
    """Give all weights, BatchNorm statistics among them, values that a test can see."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            randomise(layer, rng)
        elif layer.get_weights():
            layer.set_weights(
                [rng.uniform(0.1, 0.9, w.shape) * rng.choice([1, -1], w.shape) for w in layer.get_weights()]
            )
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([np.abs(w) for w in layer.get_weights()])


def all_layers():
    """Build a model of most kinds of layers."""
    wide, deep, long = keras.Input((6, 5, 3), name="wide"), keras.Input((3, 4, 3, 2)), keras.Input((8, 2))
    x = layers.Rescaling(1 / 2, offset=[0.1, 0.2, 0.3])(wide)
    x = layers.Normalization(mean=[0.1, 0.2, 0.4], variance=[1.0, 2.0, 0.5])(x)
    x = layers.Conv2D(4, 3, padding="same", activation="relu6", use_bias=False)(x)
    x = y = layers.BatchNormalization()(x)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1)(layers.ReLU(max_value=3.0)(x))
    x = layers.Add()([x, y]) * 2.0 + y
    x = layers.LeakyReLU(negative_slope=0.1)(layers.ZeroPadding2D(((1, 0), (0, 1)))(x))
    inner = keras.Sequential([keras.Input((7, 6, 4)), layers.SeparableConv2D(4, 3, activation="silu")], name="inner")
    middle = keras.Input((7, 6, 4))
    nested = keras.Model(middle, layers.Conv2D(4, 1)(inner(middle)), name="nested")
    # A nested model that is called twice.
    x = layers.Concatenate()([nested(x), ops.relu(nested(layers.Dropout(0.5)(x)))])
    x = layers.AveragePooling2D(2, padding="same")(layers.Conv2D(4, 2, dilation_rate=2, groups=4)(x))
    x = ops.mean(layers.RandomFlip()(x), axis=(1, 2))
    z = layers.MaxPooling3D((1, 2, 1))(layers.Conv3D(3, 2, activation="elu", padding="same")(deep))
    z = layers.GlobalAveragePooling3D()(layers.PReLU(shared_axes=[1, 2, 3])(z))
    w = layers.Conv1D(3, 3, padding="causal", strides=2, activation="tanh")(long)
    w = layers.SeparableConv1D(3, 2)(layers.UpSampling1D()(w))
    w = layers.GlobalMaxPooling1D()(layers.Cropping1D(1)(w))
    x = layers.Dense(3, name="logits")(layers.Multiply()([layers.Concatenate()([x, z]), layers.Dense(7)(w)]))
    return keras.Model([wide, deep, long], [layers.Softmax()(x), layers.Subtract()([w, z])], name="all_layers")


def named():
    """Build a model with inputs and outputs in dicts, whose names are in another order than their layers."""
    image, weights = keras.Input((6, 5, 3), name="image"), keras.Input((4,), name="a_weight")
    left, right = keras.Input((6, 5, 3), name="left"), keras.Input((6, 5, 3), name="right")
    # What it takes and gives is not symmetric: whoever mixes them up gets other numbers.
    ends = [layers.Subtract()([left, right]), layers.Conv2D(2, 1)(left)]
    pair = keras.Model([left, right], ends, name="pair")
    x = layers.Conv2D(3, 3, padding="same")(image)
    difference, two = pair([layers.BatchNormalization()(x), layers.Dropout(0.5)(image)])
    x = layers.GlobalAveragePooling2D()(layers.Concatenate()([difference, two]))
    ends = {
        "score": layers.Dense(2, name="score")(x),
        "again": layers.Dense(3, name="again")(layers.Concatenate()([x, weights])),
        "middle": layers.Dense(4, name="middle")(weights),
    }
    return keras.Model({"image": image, "a_weight": weights}, ends, name="named")


def gap():
    """Build a small CNN with a GAP head."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(6, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.3),
            layers.Dense(3, activation="softmax"),
        ],
        name="gap",
    )


def save(model, name):
    """Write a model in the format that its name ends in, compressed."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        model.save(path)
        if path.suffix == ".h5":
            (HERE / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
            return
        with zipfile.ZipFile(path) as loose, zipfile.ZipFile(HERE / name, "w", zipfile.ZIP_DEFLATED) as packed:
            for member in loose.namelist():
                packed.writestr(member, loose.read(member))


def write_named(rng):
    """Write the model with named ends, and what it makes of images."""
    model = named()
    randomise(model, rng)
    save(model, "keras3_named.keras")
    save(model, "keras3_named.h5")
    inputs = {
        "image": rng.random((2, 6, 5, 3), dtype=np.float32),
        "a_weight": rng.random((2, 4), dtype=np.float32),
    }
    outputs = model.predict(inputs, verbose=0)
    values = {f"input_{name}": value for name, value in inputs.items()}
    values.update({f"output_{name}": value for name, value in outputs.items()})
    np.savez_compressed(HERE / "keras3_named.npz", **values)


def main():
    """Write the files."""
    write_named(np.random.default_rng(1))
    rng = np.random.default_rng(0)
    model, small = all_layers(), gap()
    for each in (model, small):
        randomise(each, rng)
    inputs = [rng.random((2, *tensor.shape[1:]), dtype=np.float32) for tensor in model.inputs]
    images = (255 * rng.random((3, 8, 8, 1))).astype(np.float32)
    save(model, "keras3_layers.keras")
    save(small, "keras3_gap.keras")
    save(small, "keras3_gap.h5")
    outputs = {f"output{i}": values for i, values in enumerate(model.predict(inputs, verbose=0))}
    named = {f"input{i}": values for i, values in enumerate(inputs)}
    scores = small.predict(images, verbose=0)
    np.savez_compressed(HERE / "keras3.npz", **named, **outputs, gap_images=images, gap_scores=scores)


if __name__ == "__main__":
    main()
