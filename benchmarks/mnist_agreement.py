"""Accuracy of a converted MNIST network, and how its maps agree with those of the CNN.

Trains a CNN once, keeps it in a file, converts it with each kind of neuron and runs test images. Calibration images are
training images.

    python benchmarks/mnist_agreement.py
    python benchmarks/mnist_agreement.py --network residual --epochs 2 --model mnist_residual.h5 --by-layer

five
    Five 3x3 convolutions of 16-16-16-16-256 channels, GAP, Dense.
residual
    A convolution, then six blocks of two convolutions beside a shortcut (16-16-32-32-64-64 channels, the third and the
    fifth with stride 2), BatchNorm after every convolution, GAP, Dense: fifteen convolutions, thirteen in a row.
"""

import argparse
import pathlib
import warnings

import nengo
import numpy as np

import nengo_cam as ncam

ncam.compat.quiet_tensorflow()
tf = ncam.compat.import_tensorflow()

NEURONS = {
    "IntegrateAndFire": ncam.IntegrateAndFire(),
    "SignedIntegrateAndFire": ncam.SignedIntegrateAndFire(),
    "SignedIntegrateAndFire, threshold 0": ncam.SignedIntegrateAndFire(negative_threshold=0),
    "SpikingRectifiedLinear": nengo.SpikingRectifiedLinear(),
}

#: Steps that logits are averaged over. The first ones hold what the first spikes do to all layers at once.
WINDOWS = [(0, 10), (0, 25), (8, 25), (0, 50), (0, 100), (25, 100)]

#: Step from which maps are averaged.
SETTLED = 25


def five():
    """Build the plain CNN, untrained."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            tf.keras.Input((28, 28, 1)),
            *(
                layers.Conv2D(
                    channels, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=f"conv{i}"
                )
                for i, channels in enumerate((16, 16, 16, 16, 256))
            ),
            layers.GlobalAveragePooling2D(name="gap"),
            layers.Dense(10, activation="softmax", name="readout"),
        ],
        name="mnist_gap",
    )


def residual():
    """Build the residual CNN, untrained."""
    layers = tf.keras.layers

    def convolution(x, channels, name, size=3, strides=1):
        x = layers.Conv2D(channels, size, strides, padding="same", use_bias=False, name=name)(x)
        return layers.BatchNormalization(name=f"{name}_norm")(x)

    inputs = tf.keras.Input((28, 28, 1))
    x = layers.ReLU(name="stem_relu")(convolution(inputs, 16, "stem"))
    for i, channels in enumerate((16, 16, 32, 32, 64, 64)):
        strides = 2 if channels != x.shape[-1] else 1
        short = x if strides == 1 else convolution(x, channels, f"block{i}_short", 1, strides)
        x = layers.ReLU(name=f"block{i}_relu0")(convolution(x, channels, f"block{i}_conv0", strides=strides))
        x = layers.Add(name=f"block{i}_add")([convolution(x, channels, f"block{i}_conv1"), short])
        x = layers.ReLU(name=f"block{i}_relu1")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return tf.keras.Model(inputs, layers.Dense(10, activation="softmax", name="readout")(x), name="mnist_residual")


NETWORKS = {"five": five, "residual": residual}


def trained_model(build, path, train, epochs):
    """Load the CNN, or train and save it."""
    if path.exists():
        return tf.keras.models.load_model(path)
    tf.keras.utils.set_random_seed(0)
    model = build()
    schedule = tf.keras.optimizers.schedules.CosineDecay(2e-3, epochs * len(train[0]) // 64)
    model.compile(tf.keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(*train, batch_size=64, epochs=epochs, verbose=2)
    model.save(path)
    return model


def measure(net, images, classes, n_steps):
    """Run images, and return whether they are right by window of time, correlations of maps, and spikes per image.

    Logits and maps are averaged over a window. The map is that of the label predicted from step 25 on.
    """
    windows = [(start, stop) for start, stop in WINDOWS if stop <= n_steps]
    hits, correlations, spikes = {window: [] for window in windows}, [], 0
    # All labels of all steps take 3 MB an image, so the images come in portions.
    for start in range(0, len(images), 50):
        part = slice(start, start + 50)
        spiking = ncam.spiking_cam(
            net, images[part], n_steps=n_steps, seed=0, minibatch_size=25, count_spikes=True, progress_bar=False
        )
        for window in windows:
            logits = spiking.logits.isel(time=slice(*window)).mean("time")
            hits[window].append(logits.argmax("label").values == classes[part])
        settled = spiking.isel(time=slice(SETTLED, None)).mean("time")
        predicted = settled.logits.argmax("label")
        rate = ncam.rate_cam(net, images[part])
        correlations.append(ncam.correlation(settled.cam.isel(label=predicted), rate.cam.isel(label=predicted)).values)
        spikes += int(spiking.spike_count.sum())
    accuracies = {window: np.concatenate(found).mean() for window, found in hits.items()}
    return accuracies, np.concatenate(correlations), spikes / len(images)


def main():
    """Run and print a line for each kind of neuron."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500, help="test images")
    parser.add_argument("--steps", type=int, default=100, help="time steps of 1 ms")
    parser.add_argument("--target-rate", type=float, default=200, help="rate of strong activity [Hz]")
    parser.add_argument("--network", choices=NETWORKS, default="five")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--no-balance", action="store_true", help="leave the channels as they are")
    parser.add_argument("--by-layer", action="store_true", help="print the report of all layers too, for 50 images")
    parser.add_argument(
        "--model", type=pathlib.Path, default=pathlib.Path("mnist_gap.h5"), help="where the CNN is kept"
    )
    args = parser.parse_args()

    train, (test_images, test_classes) = ncam.datasets.mnist()
    model = trained_model(NETWORKS[args.network], args.model, train, args.epochs)
    images, classes = test_images[: args.images], test_classes[: args.images]
    all_right = model.predict(test_images, verbose=0).argmax(1) == test_classes
    print(
        f"rate CNN: accuracy {all_right[: args.images].mean():.3f} on these, {all_right.mean():.4f} on all test images"
    )
    for name, neurons in NEURONS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ncam.exceptions.RectifiedInputWarning)
            net = ncam.convert(
                model,
                neurons=neurons,
                calibrate_on=train[0][:500],
                target_rate=args.target_rate,
                balance=not args.no_balance,
            )
        accuracies, found, spikes = measure(net, images, classes, args.steps)
        print(
            f"{name}\n  accuracy, mean of steps: "
            + ", ".join(f"{start + 1}-{stop} {accuracy:.3f}" for (start, stop), accuracy in accuracies.items())
            + f"\n  map from step {SETTLED + 1} on, correlation with the CNN's: median {np.nanmedian(found):.4f}, "
            f"5th percentile {np.nanpercentile(found, 5):.4f}, least {np.nanmin(found):.4f}, "
            f"undefined {np.isnan(found).sum()}\n  {spikes / 1e6:.3f} million spikes per image",
            flush=True,
        )
        if args.by_layer:
            print(ncam.measure_activity(net, images[:50], n_steps=args.steps, seed=0, progress_bar=False))


if __name__ == "__main__":
    main()
