"""How soon a spiking network answers what its CNN answers, and with which map: every kind of neurons over time.

A line for each kind: after 5, 10, 25, 50 and 100 steps the fraction of images answered as by the CNN, the correlation
of the map of the CNN's answer with the CNN's map (median and 5th percentile over images) and the spikes of an image so
far. Maps are read as results say: the mean of all steps so far, or the step itself where levels are held.

    python benchmarks/agreement.py trained five --images 500
    python benchmarks/agreement.py trained resnet20 --file cifar_resnet20.h5 --images 200
    python benchmarks/agreement.py photographs mobilenet.h5 photographs/*.jpg --calibrate others/*.jpg --crops 4

trained
    A network of networks.py, trained once and kept in a file: test images, calibrated on training images.
photographs
    A saved network with a GAP head, here one that sees images from -1 to 1. Of each photograph, square crops: the
    largest in the middle, then smaller ones in corners, some mirrored.
"""

import argparse
import itertools
import pathlib

import nengo
import numpy as np
from networks import NETWORKS, trained_model
from PIL import Image

import nengo_cam as ncam
from nengo_cam.models.files import load_keras_model

ncam.compat.quiet_tensorflow()

KINDS = {
    "SpikingRectifiedLinear": nengo.SpikingRectifiedLinear(),
    "IntegrateAndFire": ncam.IntegrateAndFire(),
    "IntegrateAndFire, floor -1": ncam.IntegrateAndFire(floor=-1),
    "SignedIntegrateAndFire .5": ncam.SignedIntegrateAndFire(negative_threshold=0.5),
    "SignedIntegrateAndFire .25": ncam.SignedIntegrateAndFire(negative_threshold=0.25),
    "SignedIntegrateAndFire .25, memory 2": ncam.SignedIntegrateAndFire(negative_threshold=0.25, memory=2),
    "SigmaDelta(bits=1)": ncam.SigmaDelta(bits=1),
    "SigmaDelta(bits=2)": ncam.SigmaDelta(bits=2),
    "SigmaDelta(bits=1, quantum=0.1)": ncam.SigmaDelta(bits=1, quantum=0.1),
    "SigmaDelta(bits=2, quantum=0.1)": ncam.SigmaDelta(bits=2, quantum=0.1),
    "SigmaDelta(bits=3, quantum=0.1)": ncam.SigmaDelta(bits=3, quantum=0.1),
    "SigmaDelta(bits=None)": ncam.SigmaDelta(bits=None),
    "SigmaDelta(bits=None, quantum=0.2, threshold=5)": ncam.SigmaDelta(bits=None, quantum=0.2, threshold=5),
}


def crops(picture, size, number):
    """Cut squares: the largest, then from 9/10 down to 7/10 of its side in the corners, every other one mirrored."""
    side, cut = min(picture.size), []
    for k in range(number):
        part = side if k == 0 else round(side * (0.9, 0.8, 0.7)[(k - 1) % 3])
        corners = [(picture.width - part) // 2, 0, picture.width - part, 0, picture.width - part]
        left = corners[k % 5]
        top = (picture.height - part) // 2 if k == 0 else (0 if k % 5 < 3 else picture.height - part)
        square = picture.crop((left, top, left + part, top + part)).resize(size, Image.Resampling.BILINEAR)
        pixels = np.asarray(square, np.float32) / 127.5 - 1
        cut.append(pixels[:, ::-1] if k % 2 else pixels)
    return cut


def read_crops(paths, size, number):
    """Read photographs and cut them."""
    return np.stack(list(itertools.chain(*(crops(Image.open(path).convert("RGB"), size, number) for path in paths))))


def prepare_trained(args):
    """Load or train a network, and take test images."""
    build, load = NETWORKS[args.network]
    train, (images, classes) = load()
    model = trained_model(build, args.file or pathlib.Path(f"{build.__name__}.h5"), train, args.epochs)
    right = model.predict(images, verbose=0).argmax(1) == classes
    print(f"{model.name}: accuracy {right.mean():.4f} on {len(right)} test images")
    return model, images[: args.images], train[0][: args.calibration]


def prepare_photographs(args):
    """Load a network, and cut photographs."""
    model = load_keras_model(args.model)
    rows, columns = ncam.find_head(model).input_shape[:2]
    images, others = (read_crops(paths, (columns, rows), args.crops) for paths in (args.paths, args.calibrate))
    print(
        f"{args.model.name}: {len(images)} crops of {len(args.paths)} photographs, calibrated on {len(others)} others"
    )
    return model, images, others


def show(found, steps):
    """Print a line for each kind, as Markdown."""
    curve = found.curve.isel(time=np.array(steps) - 1)
    print("| neurons | " + " | ".join(f"{step} steps" for step in steps) + " |")
    print("|---" * (1 + len(steps)) + "|")
    for name in curve.neurons.values:
        row = curve.sel(neurons=name)
        maps = (row.cam_correlation.sel(quantile=q).values for q in (0.5, 0.05))
        cells = (
            f"{agreement:.3f}, {median:.3f}/{low:.3f}, {spikes / 1e6:.3f} M"
            for agreement, median, low, spikes in zip(row.agreement.values, *maps, row.spikes_per_image.values)
        )
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main():
    """Run all kinds on one network, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    networks = parser.add_subparsers(required=True)
    trained = networks.add_parser("trained", help="a network of networks.py")
    trained.add_argument("network", choices=NETWORKS)
    trained.add_argument("--file", type=pathlib.Path, help="where the CNN is kept")
    trained.add_argument("--epochs", type=int, default=8)
    trained.add_argument("--images", type=int, default=200, help="test images")
    trained.add_argument("--calibration", type=int, default=200, help="training images to calibrate on")
    trained.set_defaults(prepare=prepare_trained)
    photographs = networks.add_parser("photographs", help="a saved network on photographs")
    photographs.add_argument("model", type=pathlib.Path)
    photographs.add_argument("paths", nargs="+", type=pathlib.Path, help="photographs to look at")
    photographs.add_argument("--calibrate", nargs="+", type=pathlib.Path, required=True, help="other photographs")
    photographs.add_argument("--crops", type=int, default=4, help="of each photograph")
    photographs.set_defaults(prepare=prepare_photographs)
    for each in (trained, photographs):
        each.add_argument("--steps", type=int, default=100, help="time steps of 1 ms")
        each.add_argument("--target-rate", type=float, default=200, help="rate of strong activity [Hz]")
        each.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
        each.add_argument("--minibatch", type=int, default=20)
    args = parser.parse_args()

    model, images, others = args.prepare(args)
    print(ncam.convert(model, calibrate_on=others).choice)
    found = ncam.recommend(
        model,
        images,
        calibrate_on=others,
        n_steps=args.steps,
        kinds={name: KINDS[name] for name in args.kinds},
        target_rate=args.target_rate,
        minibatch_size=args.minibatch,
        seed=0,
    )
    show(found, [step for step in (5, 10, 25, 50, 100) if step <= args.steps])


if __name__ == "__main__":
    main()
