"""What each firing rate is worth on MNIST, by neuron type: the figure and the table of docs/calibration.md.

Calibration images are training images. The CNN is `five` of networks.py, trained once and kept in a file. The
curve is kept in a file too; if that exists, it is drawn as it is, whatever the options say. Takes about ten minutes on
two cores.

    python benchmarks/mnist_tradeoff.py --model mnist_gap.h5 --figure docs/images/tradeoff.png
"""

import argparse
import pathlib

import nengo
import numpy as np
import xarray as xr
from networks import five, trained_model

import nengo_cam as ncam

NEURONS = [ncam.IntegrateAndFire(), ncam.SignedIntegrateAndFire(), nengo.SpikingRectifiedLinear()]
TARGET_RATES = (50, 100, 200, 500, 1000)


def measure(args):
    """Load or train the CNN, and sweep."""
    train, (images, classes) = ncam.datasets.mnist()
    return ncam.calibration_curve(
        trained_model(five, args.model, train, args.epochs),
        images[: args.images],
        calibrate_on=train[0][:100],
        target_rates=TARGET_RATES,
        n_steps=args.steps,
        neurons=NEURONS,
        classes=classes[: args.images],
        seed=0,
    )


def print_table(curve):
    """Print a line of Markdown for each neuron type and rate."""
    steps = [step for step in (10, 25, 50, 100) if step <= curve.sizes["time"]]
    last = curve.isel(time=-1)
    times = " | ".join(f"{1000 * float(curve.time[step - 1]):.0f} ms" for step in steps)
    print(f"CNN: accuracy {float(curve.rate_accuracy):.3f}, {curve.attrs['n_images']} images\n")
    print(f"| neurons | target rate [Hz] | accuracy after {times} | CAM correlation, median | 5 % | spikes per image |")
    print("|" + "---|" * (5 + len(steps)))
    for name in curve.neurons.values:
        for rate in curve.target_rate.values:
            here = last.sel(neurons=name, target_rate=rate)
            accuracy = curve.accuracy.sel(neurons=name, target_rate=rate).values[np.array(steps) - 1]
            low, median = (float(here.cam_correlation.sel(quantile=q)) for q in (0.05, 0.5))
            print(
                f"| {name} | {rate:.0f} | {' | '.join(f'{a:.3f}' for a in accuracy)} | {median:.3f} | {low:.3f} "
                f"| {float(here.spikes_per_image):,.0f} |"
            )


def main():
    """Sweep, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200, help="test images")
    parser.add_argument("--steps", type=int, default=100, help="time steps of 1 ms")
    parser.add_argument("--epochs", type=int, default=8, help="to train the CNN, if it is not there")
    parser.add_argument(
        "--model", type=pathlib.Path, default=pathlib.Path("mnist_gap.h5"), help="where the CNN is kept"
    )
    parser.add_argument("--figure", type=pathlib.Path, default=pathlib.Path("tradeoff.png"))
    parser.add_argument("--curve", type=pathlib.Path, default=pathlib.Path("tradeoff.nc"), help="where it is kept")
    args = parser.parse_args()

    if not args.curve.exists():
        measure(args).to_netcdf(args.curve, engine="h5netcdf")
    with xr.open_dataset(args.curve, engine="h5netcdf") as curve:
        print_table(curve)
        ncam.tradeoff(curve).figure.savefig(args.figure, dpi=150)


if __name__ == "__main__":
    main()
