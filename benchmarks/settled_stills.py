"""What steps cost in which nothing changes any more: 100 steps of still images beside the steps until levels settle.

Prints for each kind of `nengo_cam.SigmaDelta` the steps that it takes until no neuron sends anything, and how much
longer 100 steps take than these: medians of ratios of CPU seconds, both sides run in turn, in one process.

    python benchmarks/settled_stills.py                                               # the digits network
    python benchmarks/settled_stills.py --model mobilenet.h5 --images bird.png cat.png

maps
    nengo_cam.spiking_cam: simulator made, network run, maps and answers.
counts
    The same with the spikes of each layer counted.
activity, cost
    nengo_cam.measure_activity and nengo_cam.measure_cost, which see every layer too.
run_steps
    Simulator.run_steps alone, on an open simulator, the logits and all features probed.
and read
    The same, and the features of all steps are read, which are then written out as one array.
"""

import argparse
import functools
import statistics
import time
import warnings

import numpy as np

import nengo_cam as ncam
from nengo_cam.models.files import load_images, load_keras_model

ncam.compat.quiet_tensorflow()

KINDS = {"graded": None, "bits=2": 2, "bits=1": 1}
MOST_STEPS = 100


def read(args):
    """Return the model, images as it is fed with them, and images to calibrate on."""
    if args.model is None:
        (samples, _), (images, _) = ncam.datasets.digits()
        return ncam.datasets.digits_model(), images[: args.n], samples[:100]
    model = load_keras_model(args.model)
    shape = ncam.find_head(model).input_shape
    low, high = args.range
    arrays = [load_images(path, size=shape[:-1], channels=shape[-1], fit="crop") for path in args.images]
    images = np.concatenate(arrays).astype(np.float32) / 255 * (high - low) + low
    return model, images[np.arange(args.n) % len(images)], images


def steps_until_settled(net, images):
    """Count the steps up to the last one in which a neuron sends something."""
    result = ncam.spiking_cam(net, images, n_steps=MOST_STEPS, count_spikes=True, seed=0, progress_bar=False)
    return 1 + int(np.flatnonzero(result.spike_count.sum(("image", "layer")).values)[-1])


def measurements(net, images):
    """Return what is timed, by name: functions of the number of steps."""
    options = {"seed": 0, "progress_bar": False}
    found = {
        "maps": lambda n: ncam.spiking_cam(net, images, n_steps=n, **options),
        "counts": lambda n: ncam.spiking_cam(net, images, n_steps=n, count_spikes=True, **options),
        "activity": lambda n: ncam.measure_activity(net, images, n_steps=n, **options),
        "cost": lambda n: ncam.measure_cost(net, images, n_steps=n, **options),
    }
    sim = ncam.Simulator(net.net, minibatch_size=len(images), seed=0, progress_bar=False)
    data = {net.input: images.reshape(len(images), 1, -1)}

    def run(n):
        sim.reset()
        sim.run_steps(n, data=data)
        return sim.data

    return {**found, "run_steps": run, "and read": lambda n: run(n)[net.features]}, sim


def cpu_seconds(function):
    """Time a call, of all its threads."""
    began = time.process_time()
    function()
    return time.process_time() - began


def main():
    """Print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="saved Keras model with a GAP head; default: the digits network")
    parser.add_argument("--images", nargs="+", default=[], help="pictures for it")
    parser.add_argument("--range", nargs=2, type=float, default=(-1, 1), help="what black and white are to the model")
    parser.add_argument("--n", type=int, default=16, help="images that run")
    parser.add_argument("--runs", type=int, default=7, help="pairs of runs")
    parser.add_argument("--only", nargs="+", help="some of: maps, counts, activity, cost, run_steps, 'and read'")
    args = parser.parse_args()
    # Of a few steps the answer is not that of the CNN.
    warnings.simplefilter("ignore")
    model, images, samples = read(args)
    for kind, bits in KINDS.items():
        net = ncam.convert(model, calibrate_on=samples, neurons=ncam.SigmaDelta(bits))
        few = steps_until_settled(net, images)
        functions, sim = measurements(net, images)
        with sim:
            columns = []
            for name, function in functions.items():
                if args.only and name not in args.only:
                    continue
                for n in (few, MOST_STEPS):
                    function(n)
                pairs = [
                    [cpu_seconds(functools.partial(function, n)) for n in (few, MOST_STEPS)] for _ in range(args.runs)
                ]
                ratio = statistics.median(many / least for least, many in pairs)
                columns.append(f"{name} {ratio:.2f} ({statistics.median(least for least, _ in pairs):.3f} s)")
        print(f"{kind}: {few} steps until settled; {MOST_STEPS} steps / these: {', '.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
