"""Peak memory of spiking_cam over the number of time steps, the result itself aside.

Each run is a process of its own; its peak is that of the operating system's books.

    python benchmarks/streaming_memory.py
"""

import argparse
import itertools
import json
import subprocess
import sys

RUN = """
import json, resource, sys
import nengo_cam as ncam
ncam.compat.quiet_tensorflow()
simulator, network, n_steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
import importlib
import numpy as np
if network == "digits":
    (train, _), (images, _) = ncam.datasets.digits()
    net = ncam.convert(ncam.datasets.digits_model(), calibrate_on=train[:50])
else:
    # A large image and a coarse map: what is repeated for every step is the image.
    layers = ncam.compat.import_tensorflow().keras.layers
    conv = lambda n: layers.Conv2D(n, 5, strides=4, padding="same", activation="relu", bias_initializer="ones")
    model = ncam.compat.import_tensorflow().keras.Sequential(
        [layers.Input((160, 160, 3)), conv(4), conv(4), layers.GlobalAveragePooling2D(), layers.Dense(2)]
    )
    images = np.random.default_rng(0).random((4, 160, 160, 3))
    net = ncam.convert(model, calibrate_on=images)
cls = importlib.import_module(simulator).Simulator
result = ncam.spiking_cam(net, images[:2], n_steps=n_steps, simulator=cls, labels=[0, 1], seed=0, progress_bar=False)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peak": peak, "result": result.nbytes}))
"""


def peak_without_result(simulator, network, n_steps):
    """Run in a fresh process and return its peak memory less the size of the result [bytes]."""
    command = [sys.executable, "-c", RUN, simulator, network, str(n_steps)]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return measured["peak"] - measured["result"]


def main():
    """Print a line for each simulator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--many", type=int, default=1000)
    args = parser.parse_args()
    for simulator, network in itertools.product(("nengo_dl", "nengo"), ("digits", "large image")):
        few, many = (peak_without_result(simulator, network, n) for n in (args.few, args.many))
        print(
            f"{simulator}.Simulator, {network}: peak {few / 2**20:.0f} MiB for {args.few} steps, "
            f"{many / 2**20:.0f} MiB for {args.many}: ratio {many / few:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
