"""Random models of every kind of layer that docs/models.md lists, against Keras and against Nengo's own simulator.

Each model is built together with what it has to give: the tensor that is pooled, and what is linear behind it, tried
out on unit vectors. Nothing of that comes from the package. A fixed subset runs by default; for more of them::

    NENGO_CAM_RANDOM_MODELS=300 NENGO_CAM_RANDOM_SEED=1000 python -m pytest -s tests/test_random_models.py -k all

"""

import collections
import os
import sys
import warnings

import nengo
import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.exceptions import CAMError, CAMWarning

tf, nengo_dl = ncam.compat.import_tensorflow(), ncam.compat.import_nengo_dl()
layers = tf.keras.layers

N_MODELS = int(os.environ.get("NENGO_CAM_RANDOM_MODELS", "24"))
FIRST_SEED = int(os.environ.get("NENGO_CAM_RANDOM_SEED", "0"))
N_PARTS = 4
N_IMAGES, N_STEPS, N_LABELS = 2, 25, 3
#: Of the largest value; single precision.
TOLERANCE = 1e-4
#: What docs/models.md says is refused.
REFUSED = {"multiply", "maximum", "layer normalization"}


class Double(ncam.Simulator):
    """In double precision, as the reference."""

    def __init__(self, *args, **options):
        super().__init__(*args, dtype="float64", **options)


class RandomModel:
    """A model, and what its maps are to be made of.

    Attributes
    ----------
    model : tf.keras.Model
        The model.
    pooled : tf.keras.Model
        From images to the tensor that is pooled.
    logits : tf.keras.Model
        From images to the logits.
    behind : tf.keras.Model
        From the means over positions to the logits, which is linear.
    kinds : list of str
        What it is made of.
    """

    def __init__(self, seed, *, large=False):
        self.rng = np.random.default_rng(seed)
        tf.keras.utils.set_random_seed(seed)
        self.kinds = []
        self.n_dims = 2 if large else int(self.rng.choice([1, 2, 2, 3]))
        size = (96,) * 2 if large else {1: (20,), 2: (9, 8), 3: (6, 5, 6)}[self.n_dims]
        self.n_channels = 3 if self.rng.random() < 0.5 else 2
        inputs = tf.keras.Input((*size, self.n_channels), name="image")
        x = inputs
        if self.rng.random() < 0.3:
            x = self.affine(x)
        x = self.conv(x)
        for _ in range(2 if large else int(self.rng.integers(1, 6))):
            x = self.block(x)
        as_classes = self.rng.random() < 0.15
        if as_classes:
            x = self.of_dim("Conv")(N_LABELS, 1, name="classes")(x)
            self.kinds.append("maps as classes")
        else:
            x = (
                self.rectified(self.plain_conv(x, filters=int(self.rng.integers(2, 6))))
                if self.rng.random() < 0.7
                else x
            )
            for _ in range(int(self.rng.choice([0, 0, 1, 2]))):
                x = self.affine(x, place="right before the pooling: ") if self.rng.random() < 0.7 else self.identity(x)
        pooled = x
        means = self.pool(pooled)
        logits, output, start = self.head(means, as_classes)
        self.model = tf.keras.Model(inputs, output, name=f"random{seed}")
        self.pooled, self.logits = tf.keras.Model(inputs, pooled), tf.keras.Model(inputs, logits)
        self.behind = tf.keras.Model(start, logits)
        self.randomize(self.model)
        if self.inline is not None:
            self.inline[1].set_weights(self.inline[0].get_weights())
        self.images = self.rng.random((N_IMAGES, *size, self.n_channels), dtype=np.float32)

    # Building blocks

    def of_dim(self, kind):
        return getattr(layers, f"{kind}{self.n_dims}D")

    def choose(self, options):
        name = str(self.rng.choice(list(options)))
        self.kinds.append(name)
        return options[name]

    def block(self, x):
        options = {
            "conv": self.conv, "conv ": self.conv, "depthwise": self.depthwise, "separable": self.separable,
            "transposed": self.transposed, "activation": self.activation, "activation ": self.activation,
            "affine": self.affine, "affine ": self.affine, "pad": self.pad, "crop": self.crop,
            "upsample": self.upsample,
            "average": self.average, "average ": self.average, "max": self.maximal, "rearrange": self.rearrange,
            "residual": self.residual, "residual ": self.residual, "concatenate": self.concatenate,
            "nested": self.nested, "shared": self.shared, "identity": self.identity, "dense": self.dense,
            "rare": self.rare,
        }  # fmt: skip
        before = x.shape
        y = self.choose(options)(x)
        if any(n < 1 for n in y.shape[1:]) or np.prod(y.shape[1:]) > 2**18:
            raise AssertionError(f"a block made {y.shape} of {before}")
        return y

    def options(self):
        return {
            "use_bias": bool(self.rng.random() < 0.7),
            "activation": self.choose({"linear": "linear", "relu": "relu", "relu ": "relu", "relu6": tf.nn.relu6}),
        }

    def plain_conv(self, x, **options):
        return self.of_dim("Conv")(**{"filters": 4, "kernel_size": 3, "padding": "same", **options})(x)

    def conv(self, x):
        options = {"filters": int(self.rng.integers(2, 7)), "padding": "same", **self.options()}
        size = int(self.rng.integers(1, 4))
        spatial = min(x.shape[1:-1])
        variant = self.rng.random()
        if variant < 0.2 and spatial > 4:
            options["strides"] = 2
            self.kinds.append("strided")
        elif variant < 0.4:
            options["dilation_rate"] = 2
            self.kinds.append("dilated")
        elif variant < 0.55 and x.shape[-1] % 2 == 0 and self.n_dims < 3:
            options |= {"groups": 2, "filters": 4}
            self.kinds.append("grouped")
        elif variant < 0.65 and self.n_dims == 1:
            options["padding"] = "causal"
            self.kinds.append("causal")
        elif variant < 0.8 and spatial > 4:
            options["padding"] = "valid"
        return self.of_dim("Conv")(kernel_size=size, **options)(x)

    def depthwise(self, x):
        if self.n_dims == 3:
            return self.conv(x)
        return self.of_dim("DepthwiseConv")(
            int(self.rng.integers(1, 4)),
            padding="same",
            depth_multiplier=int(self.rng.integers(1, 3)),
            **self.options(),
        )(x)

    def separable(self, x):
        if self.n_dims == 3:
            return self.conv(x)
        return self.of_dim("SeparableConv")(
            4, 3, padding="same", depth_multiplier=int(self.rng.integers(1, 3)), **self.options()
        )(x)

    def transposed(self, x):
        strides = int(self.rng.integers(1, 3)) if max(x.shape[1:-1]) < 12 else 1
        padding = str(self.rng.choice(["same", "valid"])) if max(x.shape[1:-1]) < 12 else "same"
        transpose = getattr(layers, f"Conv{self.n_dims}DTranspose")
        return transpose(3, int(self.rng.integers(1, 4)), strides=strides, padding=padding, **self.options())(x)

    def activation(self, x):
        return self.choose(
            {
                "relu layer": layers.ReLU(),
                "relu activation": layers.Activation("relu"),
                "relu function": tf.nn.relu,
                "relu6 layer": layers.ReLU(6.0),
                "clipped": layers.ReLU(max_value=0.5),
                "clip by value": lambda y: tf.clip_by_value(y, 0.0, 0.7),
                "maximum with 0": lambda y: tf.maximum(y, 0.0),
                "leaky": layers.LeakyReLU(0.2),
                "prelu": layers.PReLU(shared_axes=list(range(1, self.n_dims + 1))),
                "tanh": layers.Activation("tanh"),
                "elu": layers.ELU(),
                "swish": layers.Activation("swish"),
                "sigmoid": layers.Activation("sigmoid"),
            }
        )(x)

    def rectified(self, x):
        return self.choose({"relu layer": layers.ReLU(), "relu function": tf.nn.relu, "relu6": layers.ReLU(6.0)})(x)

    def affine(self, x, place="", channels=None):
        n = x.shape[-1] if channels is None else channels
        numbers = self.rng.uniform(0.3, 1.5, n) * self.rng.choice([-1, 1], n, p=[0.2, 0.8])
        name = str(
            self.rng.choice(
                ["batch norm", "rescaling", "rescaling by channel", "normalization", "times", "plus", "minus"]
            )
        )
        self.kinds.append(place + name)
        if name == "batch norm":
            return layers.BatchNormalization(scale=bool(self.rng.random() < 0.8), center=bool(self.rng.random() < 0.8))(
                x
            )
        if name == "normalization":
            return layers.Normalization(mean=numbers, variance=numbers**2)(x)
        if name == "rescaling":
            return layers.Rescaling(float(numbers[0]), float(self.rng.choice([0.0, 0.3])))(x)
        if name == "rescaling by channel":
            return layers.Rescaling(numbers.tolist(), (0.2 * numbers).tolist())(x)
        return {"times": lambda y: y * 2.0, "plus": lambda y: y + 0.25, "minus": lambda y: 0.5 - y}[name](x)

    def identity(self, x):
        return self.choose(
            {
                "dropout": layers.Dropout(0.5),
                "noise": layers.GaussianNoise(0.1),
                "linear": layers.Activation("linear"),
                "pool of 1": self.of_dim("AveragePooling")(1),
                "pad of 0": self.of_dim("ZeroPadding")(0),
                "spatial dropout": self.of_dim("SpatialDropout")(0.3),
                "identity function": tf.identity,
            }
        )(x)

    def pad(self, x):
        amount = int(self.rng.integers(0, 3))
        return self.of_dim("ZeroPadding")(((1, amount),) * self.n_dims if self.n_dims > 1 else (1, amount))(x)

    def crop(self, x):
        if min(x.shape[1:-1]) < 4:
            return x
        if self.rng.random() < 0.3:
            self.kinds.append("slice")
            return x[:, 1:-1]
        return self.of_dim("Cropping")(((1, 0),) * self.n_dims if self.n_dims > 1 else (1, 1))(x)

    def upsample(self, x):
        if max(x.shape[1:-1]) > 12:
            return x
        if self.n_dims == 2 and self.rng.random() < 0.3:
            self.kinds.append("bilinear")
            return layers.UpSampling2D(2, interpolation="bilinear")(x)
        return self.of_dim("UpSampling")(2)(x)

    def average(self, x):
        if min(x.shape[1:-1]) < 4:
            return x
        padding = str(self.rng.choice(["same", "valid"]))
        return self.of_dim("AveragePooling")(int(self.rng.integers(2, 4)), int(self.rng.integers(1, 3)), padding)(x)

    def maximal(self, x):
        return x if min(x.shape[1:-1]) < 4 or self.rng.random() < 0.5 else self.of_dim("MaxPooling")(2)(x)

    def rearrange(self, x):
        *sizes, n = x.shape[1:]
        if self.n_dims > 1:
            order = [int(axis) + 1 for axis in self.rng.permutation(self.n_dims)] + [self.n_dims + 1]
            y = layers.Permute(order)(x)
            return layers.Reshape((*x.shape[1:],))(layers.Flatten()(y)) if self.rng.random() < 0.3 else y
        return layers.Reshape((sizes[0] * n // 2, 2))(x) if sizes[0] * n % 2 == 0 else layers.Flatten()(x)[:, :, None]

    def branch(self, x):
        return self.rectified(self.plain_conv(x, filters=x.shape[-1])) if self.rng.random() < 0.7 else self.affine(x)

    def residual(self, x):
        y = self.branch(x)
        return self.choose(
            {
                "add": lambda: layers.Add()([x, y]),
                "add of three": lambda: layers.Add()([x, y, self.branch(x)]),
                "x + y": lambda: x + y,
                "x - y": lambda: x - y,
                "subtract": lambda: layers.Subtract()([x, y]),
                "average of two": lambda: layers.Average()([x, y]),
            }
        )()

    def concatenate(self, x):
        axis = -1 if self.rng.random() < 0.7 else 1
        if self.rng.random() < 0.3:
            self.kinds.append("tf.concat")
            return tf.concat([x, self.branch(x)], axis)
        return layers.Concatenate(axis=axis)([x, self.branch(x)])

    def nested(self, x):
        inner = tf.keras.Input(x.shape[1:])
        y = self.rectified(self.plain_conv(inner, filters=x.shape[-1]))
        y = self.affine(y) if self.rng.random() < 0.5 else y
        y = layers.Add()([inner, y]) if self.rng.random() < 0.5 else y
        model = tf.keras.Model(inner, y)
        if self.rng.random() < 0.3:
            self.kinds.append("nested twice")
            return model(model(x))
        return model(x)

    def shared(self, x):
        conv = self.of_dim("Conv")(x.shape[-1], 3, padding="same", activation="relu")
        norm = layers.BatchNormalization() if self.rng.random() < 0.5 else layers.ReLU()
        return norm(conv(norm(conv(x))))

    def dense(self, x):
        return layers.Dense(4, **self.options())(x) if self.rng.random() < 0.3 else x

    def rare(self, x):
        if self.rng.random() < 0.7:
            return x
        return self.choose(
            {
                "multiply": lambda y: layers.Multiply()([y, self.branch(y)]),
                "maximum": lambda y: layers.Maximum()([y, self.branch(y)]),
                "layer normalization": layers.LayerNormalization(),
                "batch norm of rows": layers.BatchNormalization(axis=1),
            }
        )(x)

    # The head

    def pool(self, x):
        axes, self.keepdims = list(range(1, self.n_dims + 1)), False
        if self.n_dims != len(x.shape) - 2:
            raise AssertionError(f"maps of shape {x.shape}")
        name = str(self.rng.choice(["gap", "gap with dims", "average of all", "reduce_mean"]))
        self.kinds.append(name)
        self.keepdims = name in ("gap with dims", "average of all")
        if name == "gap":
            return self.of_dim("GlobalAveragePooling")()(x)
        if name == "gap with dims":
            return self.of_dim("GlobalAveragePooling")(keepdims=True)(x)
        if name == "average of all":
            size = x.shape[1:-1]
            return self.of_dim("AveragePooling")(size if self.n_dims > 1 else size[0])(x)
        return tf.reduce_mean(x, axis=axes)

    def head(self, x, as_classes):
        """Return logits, output and the tensor behind the pooling."""
        start, self.inline = x, None
        activation = str(self.rng.choice(["linear", "softmax", "sigmoid"]))
        if as_classes:
            x = layers.Flatten()(x) if self.keepdims and self.rng.random() < 0.5 else x
            activation = "softmax" if activation == "linear" else activation
            x = layers.Dropout(0.1)(x)
            return x, layers.Activation(activation)(x), start
        for _ in range(int(self.rng.choice([0, 0, 1, 2]))):
            x = self.affine(x, place="behind the pooling: ") if self.rng.random() < 0.6 else layers.Dropout(0.4)(x)
        options = {"activation": activation, "use_bias": bool(self.rng.random() < 0.8)}
        if self.keepdims and self.rng.random() < 0.5:
            self.kinds.append("1x1 readout")
            kind, options = self.of_dim("Conv"), {"filters": N_LABELS, "kernel_size": 1, **options}
        else:
            x = layers.Flatten()(x) if self.keepdims else x
            kind, options = layers.Dense, {"units": N_LABELS, **options}
        linear = kind(**{**options, "activation": "linear"})
        logits = linear(x)
        if self.rng.random() < 0.3:
            logits = self.affine(logits, place="behind the readout: ")
        elif activation != "linear" and self.rng.random() < 0.5:
            self.kinds.append("activation in the readout")
            readout = kind(**options)
            output, self.inline = readout(x), (linear, readout)
            return logits, output, start
        return logits, logits if activation == "linear" else layers.Activation(activation)(logits), start

    def randomize(self, model):
        """Give all weights values that a test can see."""
        for layer in model.layers:
            if isinstance(layer, tf.keras.Model):
                self.randomize(layer)
                continue
            if isinstance(layer, layers.Normalization):
                continue
            for weight in layer.weights:
                if weight.shape.rank == 1:
                    low = 0.5 if "variance" in weight.name or "gamma" in weight.name else -0.2
                    weight.assign(self.rng.uniform(low, low + 0.8, weight.shape))

    # What it has to give

    def expected(self):
        """Maps (image, label, positions), the constant part of the logits added, and logits (image, label)."""
        features = np.asarray(self.pooled(self.images, training=False), float)
        n_features = features.shape[-1]
        shape = (n_features, *self.behind.input_shape[1:])
        unit = np.eye(n_features, dtype=np.float32).reshape(shape)
        constant = np.asarray(self.behind(0 * unit, training=False), float).reshape(n_features, -1)
        kernel = np.asarray(self.behind(unit, training=False), float).reshape(n_features, -1) - constant
        maps = np.einsum("npk,kl->nlp", features.reshape(len(features), -1, n_features), kernel)
        return maps + constant[0][None, :, None], np.asarray(self.logits(self.images, training=False)).reshape(
            len(features), -1
        )


def distance(values, expected):
    """Largest difference as a fraction of the largest value."""
    values = np.asarray(values, float).reshape(expected.shape)
    return np.abs(values - expected).max() / max(np.abs(expected).max(), 1e-6)


def maps_of(dataset):
    """Maps and bias of a Dataset with dims (image, label, ...)."""
    return dataset.cam.values.reshape(*dataset.cam.shape[:2], -1) + dataset.bias.values[:, None]


def reference_for(net, n_dims):
    """Choose a simulator in double precision; Nengo's own has no convolutions in three dimensions."""
    if n_dims < 3:
        return nengo.Simulator
    with net.net:
        nengo_dl.configure_settings(dtype="float64")
    return nengo_dl.Simulator


def check(seed, *, large=False):
    """Build a model and compare everything; return what it was made of, and how it went."""
    random = RandomModel(seed, large=large)
    maps, logits = random.expected()
    images = random.images
    sharing = {"split_shared_weights": True} if {"shared", "nested twice"}.intersection(random.kinds) else {}
    try:
        rate = ncam.rate_cam(random.model, images)
        analog = ncam.convert(random.model, neurons=None, **sharing)
        neurons = [ncam.IntegrateAndFire(), ncam.SignedIntegrateAndFire(), nengo.SpikingRectifiedLinear()][seed % 3]
        synapse = [None, 0.003, nengo.Alpha(0.002)][seed // 3 % 3]
        net = ncam.convert(
            random.model, neurons=neurons, synapse=synapse, calibrate_on=images, target_rate=300, **sharing
        )
    except CAMError as err:
        return random.kinds, f"refused: {type(err).__name__}", str(err)
    for name, dataset in {
        "the model": rate,
        "the rate form": ncam.rate_cam(analog, images),
        "the balanced model": ncam.rate_cam(net, images),
    }.items():
        for what, got, wanted in (("maps", maps_of(dataset), maps), ("logits", dataset.logits, logits)):
            if not distance(got, wanted) < TOLERANCE:
                return random.kinds, "mismatch", f"{what} of {name}: {distance(got, wanted):.1e}"
    options = {"seed": 1, "progress_bar": False}
    if not analog.spiking:
        one = ncam.spiking_cam(analog, images, n_steps=1, **options).isel(time=0)
        if not distance(maps_of(one), maps) < TOLERANCE or not distance(one.logits, logits) < TOLERANCE:
            return random.kinds, "mismatch", f"maps of the network of rate neurons: {distance(maps_of(one), maps):.1e}"
    if net.tensor_nodes:
        return random.kinds, "the same maps; not native", str(net.tensor_nodes)
    options |= {"n_steps": N_STEPS, "count_spikes": net.spiking, "minibatch_size": 2}
    ours = ncam.spiking_cam(net, images, simulator=Double, **options)
    theirs = ncam.spiking_cam(net, images, simulator=reference_for(net, random.n_dims), **options)
    if net.spiking and not np.array_equal(ours.spike_count, theirs.spike_count):
        return random.kinds, "mismatch", f"spikes: {int((ours.spike_count != theirs.spike_count).sum())} counts"
    for what in ("cam", "logits"):
        # Filters of NengoDL agree with those of Nengo to single precision only, in double precision too.
        if not distance(ours[what], theirs[what].values) < (1e-8 if random.n_dims < 3 else 1e-6):
            return random.kinds, "mismatch", f"{what} over time: {distance(ours[what], theirs[what].values):.1e}"
    if not net.spiking:
        return random.kinds, "the same maps; nothing spikes", ""
    return random.kinds, "the same maps and spikes" if ours.spike_count.any() else "the same maps; silent", ""


def say(line):
    """Tell at once, for those who run many models and wait."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def check_all(seeds, **options):
    """Check many models, print how they went, and return those that went wrong."""
    outcomes, reasons, wrong, kinds = collections.Counter(), collections.Counter(), [], collections.Counter()
    for seed in seeds:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CAMWarning)
            made_of, outcome, detail = check(seed, **options)
        outcomes[outcome] += 1
        kinds.update({kind.strip() for kind in made_of})
        if outcome.startswith("refused"):
            reasons[detail.split("; expected")[0].split(": ", 1)[-1][:110]] += 1
            if not REFUSED.intersection(made_of):
                say(f"seed {seed}: {outcome}: {detail[:300]}")
        if outcome == "mismatch":
            wrong.append(f"seed {seed}: {detail}, made of {made_of}")
            say(wrong[-1])
        tf.keras.backend.clear_session()
    say("\n".join(f"{count:4d} {outcome}" for outcome, count in outcomes.most_common()))
    say("\n".join(f"     {count:4d} {reason}" for reason, count in reasons.most_common()))
    say(f"made of {dict(kinds.most_common())}")
    return wrong


# In parts, so that two processes share them.
@pytest.mark.slow
@pytest.mark.parametrize("part", range(N_PARTS))
def test_all_models_give_what_keras_and_nengo_give(part):
    assert check_all(range(FIRST_SEED, FIRST_SEED + N_MODELS)[part::N_PARTS]) == []


def test_models_above_the_size_at_which_threads_start():
    assert check_all(range(FIRST_SEED, FIRST_SEED + max(2, N_MODELS // 100)), large=True) == []
