"""How long a spiking network goes on answering for what it saw before, by kind of neuron.

A still image is followed by another one. Counted are the steps of the new image until the answer, and then the map of
that answer, are the CNN's for good; 1 is the step that shows it first, "never" means not within the steps shown. Unit
spikes are read by the mean of the last 25 steps, held levels at each step. The CNN answers both images rightly, and the
network too answers as the CNN before the change; the share of the pairs that this leaves stands in the table. The
network is that of the digits that ships with the package, or one that networks.py trains. Images are test images; those
to calibrate on are training images.

    python benchmarks/moving_input.py
    python benchmarks/moving_input.py --network residual --trained mnist_residual.h5 --pairs 30

With a saved model and photographs one photograph is followed by another, and then a camera pans over each: at each step
the frame has moved on by some part of a pixel. Counted are the frames that are answered as the CNN answers them.
Photographs to calibrate on have to be others.

    python benchmarks/moving_input.py --model mobilenet.h5 --images owl.jpg parrot.jpg --calibrate cat.png coffee.png
"""

import argparse
import pathlib
import warnings

import numpy as np
from PIL import Image

import nengo_cam as ncam
from nengo_cam.models.files import load_keras_model
from nengo_cam.scoring.agreement.metrics import pearson
from nengo_cam.scoring.latency import settling_time

ncam.compat.quiet_tensorflow()

KINDS = {
    "IntegrateAndFire()": ncam.IntegrateAndFire(),
    "IntegrateAndFire(floor=-1)": ncam.IntegrateAndFire(floor=-1),
    "SignedIntegrateAndFire(negative_threshold=0.25)": ncam.SignedIntegrateAndFire(negative_threshold=0.25),
    "the same, memory=2": ncam.SignedIntegrateAndFire(negative_threshold=0.25, memory=2),
    "SigmaDelta(bits=1)": ncam.SigmaDelta(bits=1),
    "SigmaDelta()": ncam.SigmaDelta(),
    "SigmaDelta(bits=None)": ncam.SigmaDelta(bits=None),
    "SigmaDelta(bits=None, quantum=0.2, threshold=5)": ncam.SigmaDelta(bits=None, quantum=0.2, threshold=5),
}

#: Steps that unit spikes are averaged over. Fewer hold too few spikes, more remember for longer.
WINDOW = 25
#: Correlation with the CNN's map from which on a map is that of the new image.
SAME_MAP = 0.95
#: Images that run at a time, as the maps of all steps and labels are kept.
PORTION = 10


def as_read(spiking):
    """Return logits (N, T, L) and maps (N, T, L, Y, X) as they are read at each step."""
    logits, maps = spiking.logits.values, spiking.cam.values
    if spiking.attrs["readout"] == "level":
        return logits, maps
    return mean_of_last(logits), mean_of_last(maps)


def mean_of_last(values):
    """Average over the last steps up to each, along the second axis; at first over as many as there are."""
    n_steps = values.shape[1]
    first = np.maximum(np.arange(n_steps) + 1 - WINDOW, 0)
    summed = np.zeros((len(values), n_steps + 1, *values.shape[2:]))
    np.cumsum(values, axis=1, dtype=float, out=summed[:, 1:])
    counts = (np.arange(n_steps) + 1 - first).reshape(-1, *[1] * (values.ndim - 2))
    return ((summed[:, 1:] - summed[:, first]) / counts).astype(values.dtype)


def follow_changes(net, before, after, n_steps):
    """Show one image, then another, each for some steps.

    Returns whether the network was right before the change, the steps until its answer and its map are those of the new
    image for good (infinite if never), and events per step from the change on.
    """
    right, answered, mapped, events = [], [], [], []
    steps = np.arange(1, n_steps + 1)
    for start in range(0, len(before), PORTION):
        part = slice(start, start + PORTION)
        films = np.stack([before[part], after[part]], axis=1).repeat(n_steps, axis=1)
        spiking = ncam.spiking_cam(
            net, films, n_steps=2 * n_steps, seed=0, count_spikes=True, check_answers=False, progress_bar=False
        )
        logits, maps = as_read(spiking)
        rate = [ncam.rate_cam(net, images[part]) for images in (before, after)]
        old, new = (cnn.logits.values.argmax(axis=-1) for cnn in rate)
        found = logits.argmax(axis=-1)
        right.append(found[:, n_steps - 1] == old)
        answered.append(settling_time(found[:, n_steps:] == new[:, None], steps))
        rows = np.arange(len(new))
        correlation = pearson(maps[rows, n_steps:, new], rate[1].cam.values[rows, None, new], n_axes=2)
        mapped.append(settling_time(correlation > SAME_MAP, steps))
        events.append(spiking.spike_count.sum("layer").values[:, n_steps:])
    found = [np.concatenate(values) for values in (right, answered, mapped, events)]
    # Those that never settle are later than all others.
    return found[0], *(np.where(np.isnan(late), np.inf, late) for late in found[1:3]), found[3]


def quantile(steps, q):
    """Write a quantile of numbers of steps, which may be infinite: one of the numbers, as there is none between."""
    value = np.sort(steps)[int(np.ceil(q * len(steps))) - 1]
    return "never" if np.isinf(value) else f"{value:.0f}"


def measure_changes(args):
    """Print a line for each kind of neuron: an image changes to another."""
    if args.network == "digits":
        (train, _), (images, classes) = ncam.datasets.digits()
        model = ncam.datasets.digits_model()
    else:
        # Only here, as it imports all of TensorFlow.
        from networks import NETWORKS, trained_model

        build, load = NETWORKS[args.network]
        (train, train_classes), (images, classes) = load()
        model = trained_model(build, args.trained, (train, train_classes), args.epochs)
    right = np.flatnonzero(
        model.predict(images[: 4 * args.pairs], verbose=0).argmax(axis=1) == classes[: 4 * args.pairs]
    )
    pairs = [(a, b) for a, b in zip(right, right[1:]) if classes[a] != classes[b]][: args.pairs]
    before, after = (images[list(side)] for side in zip(*pairs))
    print_changes(model, before, after, train[:200], args)


def print_changes(model, before, after, calibration, args):
    """Print the table of changes from some images to others."""
    print(f"{len(before)} pairs of images, {args.steps} steps each, {args.target_rate:g} Hz\n")
    print("| Neurons | right before | answer: median, 90th percentile | map | events from the change on |")
    print("|" + "---|" * 5)
    for name, neurons in KINDS.items():
        net = convert(model, neurons, calibration, args.target_rate)
        kept, answered, mapped, events = follow_changes(net, before, after, args.steps)
        # None may be left of a network that never answers as the CNN does.
        told = (
            ["none"] * 2
            if not kept.any()
            else [", ".join(quantile(late[kept], q) for q in (0.5, 0.9)) for late in (answered, mapped)]
        )
        print(
            f"| `{name}` | {kept.mean():.2f} | {told[0]} | {told[1]} | {events.sum(axis=1).mean():,.0f} |",
            flush=True,
        )


def convert(model, neurons, calibration, target_rate):
    """Convert, without the warning that spikes of one size will not carry many layers: that is measured here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ncam.exceptions.DepthWarning)
        return ncam.convert(model, neurons=neurons, calibrate_on=calibration, target_rate=target_rate)


def pan(path, shape, n_frames, pixels_per_step, value_range, start=0.0):
    """Let a camera pan over a photograph, from left to right: frames of shape (T, Y, X, 3).

    The photograph is scaled so that its lower side is the frame and the way fits into it; what lies between pixels is
    interpolated.
    """
    rows, columns = shape
    way = start + pixels_per_step * (n_frames - 1)
    picture = Image.open(path).convert("RGB")
    factor = max(rows / picture.height, (columns + way + 1) / picture.width)
    picture = picture.resize([int(np.ceil(factor * n)) for n in picture.size], Image.Resampling.BILINEAR)
    top = (picture.height - rows) // 2
    low, high = value_range
    strip = np.asarray(picture, np.float32)[top : top + rows] / 255 * (high - low) + low
    frames = np.empty((n_frames, rows, columns, 3), np.float32)
    for step, frame in enumerate(frames):
        whole, part = divmod(start + step * pixels_per_step, 1)
        left = int(whole)
        frame[:] = (1 - part) * strip[:, left : left + columns] + part * strip[:, left + 1 : left + 1 + columns]
    return frames


def measure_pans(args):
    """Print a line for each speed and kind of neuron: a camera pans over photographs."""
    model = load_keras_model(args.model)
    shape = ncam.find_head(model).input_shape[:2]
    # Two crops of each, and their mirror images.
    calibration = np.concatenate([pan(path, shape, 2, 20, args.range) for path in args.calibrate])
    calibration = np.concatenate([calibration, calibration[:, :, ::-1]])
    crops = np.concatenate([pan(path, shape, 2, 20, args.range) for path in args.images])
    answers = ncam.rate_cam(model, crops).logits.values.argmax(axis=-1)
    # A crop is followed by one of the next photograph.
    pairs = [(i, i + 2) for i in range(len(crops) - 2) if answers[i] != answers[i + 2]]
    before, after = (crops[list(side)] for side in zip(*pairs))
    print_changes(model, before, after, calibration, args)
    late = slice(args.skip, None)
    print(f"\n{len(args.images)} photographs, {args.frames} frames each, without the first {args.skip}\n")
    print("| Pixels per step | Neurons | frames answered as the CNN | map: median, 5th percentile | events per step |")
    print("|" + "---|" * 5)
    for speed in args.speeds:
        films = [pan(path, shape, args.frames, speed, args.range) for path in args.images]
        for name, neurons in KINDS.items():
            net = convert(model, neurons, calibration, args.target_rate)
            same, correlations, events = [], [], []
            for film in films:
                rate = ncam.rate_cam(net, film)
                spiking = ncam.spiking_cam(
                    net,
                    film[None],
                    n_steps=len(film),
                    seed=0,
                    count_spikes=True,
                    check_answers=False,
                    progress_bar=False,
                )
                logits, maps = as_read(spiking)
                expected, steps = rate.logits.values.argmax(axis=-1), np.arange(len(film))
                same.append((logits[0].argmax(axis=-1) == expected)[late])
                correlations.append(pearson(maps[0, steps, expected], rate.cam.values[steps, expected], n_axes=2)[late])
                events.append(spiking.spike_count.sum("layer").values[0, late])
            same, correlations, events = (np.concatenate(values) for values in (same, correlations, events))
            print(
                f"| {speed:g} | `{name}` | {same.mean():.3f} | {np.nanmedian(correlations):.3f}, "
                f"{np.nanpercentile(correlations, 5):.3f} | {events.mean():,.0f} |",
                flush=True,
            )


def main():
    """Measure changes of an image, or with photographs those of a camera that pans over them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target-rate", type=float, default=200, help="rate of strong activity [Hz]")
    changes = parser.add_argument_group("an image changes to another")
    changes.add_argument("--network", choices=("digits", "five", "residual", "resnet8", "resnet20"), default="digits")
    changes.add_argument("--trained", type=pathlib.Path, default=pathlib.Path("mnist.h5"), help="where it is kept")
    changes.add_argument("--epochs", type=int, default=8, help="to train it, if it is not there")
    changes.add_argument("--pairs", type=int, default=100, help="pairs of test images")
    changes.add_argument("--steps", type=int, default=100, help="time steps of 1 ms for each of the two")
    camera = parser.add_argument_group("a camera pans over photographs")
    camera.add_argument("--model", help="saved Keras model with a GAP head")
    camera.add_argument("--images", nargs="+", help="photographs")
    camera.add_argument("--calibrate", nargs="+", help="other photographs")
    camera.add_argument("--range", nargs=2, type=float, default=(-1, 1), help="what black and white are to the model")
    camera.add_argument("--frames", type=int, default=60, help="frames of 1 ms for each photograph")
    camera.add_argument("--skip", type=int, default=10, help="frames left out, as the network starts empty")
    camera.add_argument("--speeds", nargs="+", type=float, default=[0.25, 1], help="[pixel per step]")
    args = parser.parse_args()
    if args.model is None:
        measure_changes(args)
    elif args.images and args.calibrate:
        measure_pans(args)
    else:
        parser.error("--model needs --images and --calibrate")


if __name__ == "__main__":
    main()
