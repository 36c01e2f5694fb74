"""Time and peak memory of a whole spiking MobileNet on nengo_cam.Simulator and nengo_dl.Simulator.

The network is what nengo_cam.convert makes of the model, calibrated on the images. An image that stands still goes
through its first layers once on nengo_cam.Simulator: give --moving to see what a step of changing input costs. Each run
is a process of its own, building included.

    python benchmarks/simulator_mobilenet.py --model mobilenet.h5
"""

import argparse
import json
import subprocess
import sys

RUN = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
import nengo_cam as ncam
ncam.compat.quiet_tensorflow()
tf = ncam.compat.import_tensorflow()
import nengo, nengo_dl, numpy as np
path, simulator, n_images, n_steps, moving = *sys.argv[1:3], *map(int, sys.argv[3:])
if path == "random":
    model = tf.keras.applications.MobileNet((128, 128, 3), alpha=0.25, classes=1001, weights=None)
else:
    model = tf.keras.models.load_model(path, compile=False)
frames = n_steps if moving else 1
images = np.random.default_rng(0).uniform(-1, 1, (n_images, frames, *model.input_shape[1:])).astype("float32")
net = ncam.convert(model, calibrate_on=images[:, 0])
images = images.reshape(n_images, frames, -1)
cls = ncam.Simulator if simulator == "nengo_cam" else nengo_dl.Simulator
began = time.perf_counter()
with cls(net.net, minibatch_size=n_images, seed=0, progress_bar=False) as sim:
    if not moving and simulator == "nengo_dl":
        images = np.repeat(images, n_steps, axis=1)
    sim.run_steps(n_steps, data={net.input: images})
    spikes = np.count_nonzero(sim.data[net.features]) / n_images
seconds = time.perf_counter() - began
print(json.dumps({
    "seconds": seconds,
    "GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    "spikes": float(spikes),
}))
"""


def main():
    """Print a line for each simulator, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="random", help="saved Keras model, or 'random' for random weights")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--moving", action="store_true", help="another image at every step")
    args = parser.parse_args()
    seconds = {}
    for simulator in ("nengo_cam", "nengo_dl"):
        command = [sys.executable, "-c", RUN, args.model, simulator, str(args.images), str(args.steps)]
        command.append(str(int(args.moving)))
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found = json.loads(printed.splitlines()[-1])
        seconds[simulator] = found["seconds"]
        print(
            f"{simulator}.Simulator: {found['seconds']:.1f} s, peak {found['GB']:.2f} GB, "
            f"{found['spikes']:,.0f} spikes of the pooled neurons per image",
            flush=True,
        )
    print(f"nengo_dl / nengo_cam: {seconds['nengo_dl'] / seconds['nengo_cam']:.1f}")


if __name__ == "__main__":
    main()
