"""Time and peak memory of a whole MobileNet on nengo_cam.Simulator and nengo_dl.Simulator.

The network is what the converter makes of the model, its fallback layers included; ReLU6 is among them, so nothing
spikes. An image that stands still goes through such a network once on nengo_cam.Simulator: give --moving to see what a
step costs. Each run is a process of its own, building included.

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
converter = nengo_dl.Converter(
    model, inference_only=True, swap_activations={nengo.RectifiedLinear(): ncam.IntegrateAndFire()}
)
(node,) = converter.inputs.values()
(probe,) = converter.outputs.values()
frames = n_steps if moving else 1
images = np.random.default_rng(0).uniform(-1, 1, (n_images, frames, node.size_out)).astype("float32")
cls = ncam.Simulator if simulator == "nengo_cam" else nengo_dl.Simulator
began = time.perf_counter()
with cls(converter.net, minibatch_size=n_images, seed=0, progress_bar=False) as sim:
    if not moving and simulator == "nengo_dl":
        images = np.repeat(images, n_steps, axis=1)
    sim.run_steps(n_steps, data={node: images})
    output = sim.data[probe]
seconds = time.perf_counter() - began
expected = model(images[:, -1].reshape((n_images, *model.input_shape[1:])), training=False).numpy()
print(json.dumps({
    "seconds": seconds,
    "GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    "keras": float(abs(output[:, -1] - expected).max()),
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
            f"{simulator}.Simulator: {found['seconds']:.1f} s, peak {found['GB']:.2f} GB, last step within "
            f"{found['keras']:.1e} of Keras's output",
            flush=True,
        )
    print(f"nengo_dl / nengo_cam: {seconds['nengo_dl'] / seconds['nengo_cam']:.1f}")


if __name__ == "__main__":
    main()
