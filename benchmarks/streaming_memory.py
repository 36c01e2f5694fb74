"""Peak memory of spiking_cam over the number of time steps, the result itself aside.

Each run is a process of its own; its peak is that of the operating system's books.

    python benchmarks/streaming_memory.py
"""

import argparse
import json
import subprocess
import sys

RUN = """
import json, resource, sys
import nengo_cam as ncam
ncam.compat.quiet_tensorflow()
simulator, n_steps = sys.argv[1], int(sys.argv[2])
(train, _), (images, _) = ncam.datasets.digits()
net = ncam.convert(ncam.datasets.digits_model(), calibrate_on=train[:50])
import importlib
cls = importlib.import_module(simulator).Simulator
result = ncam.spiking_cam(net, images[:2], n_steps=n_steps, simulator=cls, labels=[0, 1], seed=0, progress_bar=False)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peak": peak, "result": result.nbytes}))
"""


def peak_without_result(simulator, n_steps):
    """Run in a fresh process and return its peak memory less the size of the result [bytes]."""
    command = [sys.executable, "-c", RUN, simulator, str(n_steps)]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return measured["peak"] - measured["result"]


def main():
    """Print a line for each simulator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--many", type=int, default=1000)
    args = parser.parse_args()
    for simulator in ("nengo_dl", "nengo"):
        few, many = (peak_without_result(simulator, n) for n in (args.few, args.many))
        print(
            f"{simulator}.Simulator: peak {few / 2**20:.0f} MiB for {args.few} steps, {many / 2**20:.0f} MiB for "
            f"{args.many}: ratio {many / few:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
