"""A real CNN on a photograph: class, maps and spikes at several firing rates, and the picture.

Takes a saved Keras model with a GAP head, such as MobileNet, a photograph with a mask of its object, and pictures to
calibrate on, which have to be others. Pixel values go from 0..255 to the range that the model takes.

    python benchmarks/photograph.py mobilenet.h5 bird.png --mask bird_mask.png --calibrate cat.png coffee.png
"""

import argparse
import time

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import nengo_cam as ncam
from nengo_cam.models.files import load_keras_model

ncam.compat.quiet_tensorflow()

NEURONS = {
    "IntegrateAndFire": ncam.IntegrateAndFire(),
    "SignedIntegrateAndFire": ncam.SignedIntegrateAndFire(),
}


def read(path, size, value_range, mode="RGB"):
    """Read a picture, cut to a square and scaled."""
    picture = Image.open(path).convert(mode)
    side = min(picture.size)
    left, top = ((n - side) // 2 for n in picture.size)
    picture = picture.crop((left, top, left + side, top + side)).resize(size, Image.Resampling.BILINEAR)
    low, high = value_range
    return np.asarray(picture, np.float32) / 255 * (high - low) + low


def describe(cam, mask):
    """Say where a map peaks, and whether that is on the object."""
    peak = cam.argmax(("y", "x"))
    y, x = float(cam.y[peak["y"]]), float(cam.x[peak["x"]])
    inside = "" if mask is None else (" on the object" if mask[round(y), round(x)] else " beside the object")
    return f"peak at ({y:.0f}, {x:.0f}){inside}"


def main():
    """Run all rates and kinds of neurons, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("image")
    parser.add_argument("--mask", help="picture that is not black where the object is")
    parser.add_argument("--calibrate", nargs="+", required=True, help="other pictures")
    parser.add_argument("--range", nargs=2, type=float, default=(-1, 1), help="what black and white are to the model")
    parser.add_argument("--rates", nargs="+", type=float, default=[200, 500, 1000], help="[Hz]")
    parser.add_argument("--steps", type=int, default=200, help="time steps of 1 ms")
    parser.add_argument("--picture", help="where to save the maps of the last rate")
    args = parser.parse_args()

    model = load_keras_model(args.model)
    rows, columns = ncam.find_head(model).input_shape[:2]
    image = read(args.image, (columns, rows), args.range)[None]
    mask = None if args.mask is None else read(args.mask, (columns, rows), (0, 1), "L") > 0
    calibration = np.stack([read(path, (columns, rows), args.range) for path in args.calibrate])
    calibration = np.concatenate([calibration, calibration[:, :, ::-1]])
    rate = ncam.rate_cam(model, image).isel(image=0)
    label = int(rate.logits.values.argmax())
    rate_map = rate.cam.isel(label=label)
    print(f"CNN: label {label}, {describe(rate_map, mask)}")
    maps = {}
    for name, neurons in NEURONS.items():
        for target_rate in args.rates:
            net = ncam.convert(model, neurons=neurons, calibrate_on=calibration, target_rate=target_rate)
            start = time.perf_counter()
            result = ncam.spiking_cam(
                net, image, n_steps=args.steps, count_spikes=True, seed=0, progress_bar=False
            ).isel(image=0)
            seconds = time.perf_counter() - start
            settled = result.isel(time=slice(args.steps // 2, None)).mean("time")
            found = int(settled.logits.values.argmax())
            settled = settled.cam.isel(label=label)
            correlation = float(ncam.correlation(settled, rate_map))
            print(
                f"{name}, {target_rate:g} Hz, second half of {args.steps} steps: label {found} "
                f"({'the same' if found == label else 'another'}), correlation {correlation:.4f}, "
                f"{describe(settled, mask)}, {int(result.spike_count.sum()) / 1e6:.1f} million spikes, {seconds:.1f} s",
                flush=True,
            )
            maps[f"{name}, {target_rate:g} Hz"] = (settled, correlation)
    if args.picture:
        save(args.picture, image[0], args.range, rate_map, maps)


def save(path, image, value_range, rate_map, maps):
    """Draw the CNN's map and those of the highest rate side by side."""
    highest = list(maps)[len(maps) // 2 - 1 :: len(maps) // 2]
    low, high = value_range
    picture = (image - low) / (high - low)
    figure = Figure(figsize=(3 * (1 + len(highest)) + 0.5, 3.8), layout="constrained")
    axes = figure.subplots(1, 1 + len(highest), sharey=True)
    limit = float(abs(rate_map).max())
    titled = [("CNN", rate_map), *((name, maps[name][0]) for name in highest)]
    for ax, (title, cam) in zip(axes, titled):
        ncam.overlay(cam, picture, ax=ax, scale=(-limit, limit), colorbar=False, title=title.replace(", ", "\n"))
        ax.set_xlabel("x [pixel]")
    axes[0].set_ylabel("y [pixel]")
    shown = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(-limit, limit), "RdBu_r")
    figure.colorbar(shown, ax=axes, shrink=0.8, label="CAM [logit]", extend="max")
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
