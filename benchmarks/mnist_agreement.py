"""Accuracy of a converted MNIST network, and how its maps agree with those of the CNN.

Trains a CNN of networks.py once, keeps it in a file, converts it with each kind of neuron and runs test images, by
windows of time and, if asked for, layer by layer. Calibration images are training images. agreement.py compares more
kinds over time.

    python benchmarks/mnist_agreement.py
    python benchmarks/mnist_agreement.py --network residual --epochs 2 --model mnist_residual.h5 --by-layer
"""

import argparse
import pathlib
import warnings

import nengo
import numpy as np
from networks import five, residual, trained_model

import nengo_cam as ncam

ncam.compat.quiet_tensorflow()

NETWORKS = {"five": five, "residual": residual}

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
