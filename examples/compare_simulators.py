"""Run one network on three simulators, and see whether they agree and how long each takes.

    python examples/compare_simulators.py
    python examples/compare_simulators.py --images 4 --steps 100 --repeats 3

`nengo_cam.Simulator` and `nengo_dl.Simulator` compute in single precision, `nengo.Simulator`, the reference, in double.
Their sums differ in the last digit, so some spikes in a hundred thousand come one step early or late. Times include the
building of the simulator; they are multiples of that of `nengo_cam.Simulator`, the median over repeats.
"""

import argparse
import statistics
import sys
import time

import nengo
import xarray as xr

import nengo_cam as ncam
from nengo_cam.checks.output import atomic_path, check_writable

ncam.compat.quiet_tensorflow()

SIMULATORS = {
    "nengo_cam.Simulator": ncam.Simulator,
    "nengo_dl.Simulator": ncam.compat.import_nengo_dl().Simulator,
    "nengo.Simulator": nengo.Simulator,
}


def run(net, images, n_steps, simulator):
    """Run, and return the result and the time that it took [s]."""
    began = time.perf_counter()
    result = ncam.spiking_cam(
        net, images, n_steps=n_steps, simulator=simulator, seed=0, count_spikes=True, progress_bar=False
    )
    return result, time.perf_counter() - began


def compare(net, images, n_steps, repeats):
    """Run on all simulators in turn.

    Returns
    -------
    xarray.Dataset
        Over simulator: ``maps`` and ``logits``, the largest difference of the mean over time from the reference's, as
        a fraction of the largest value; ``correlation``, the lowest of the maps of the answers; ``spikes``, in all;
        and ``time``, over that of `nengo_cam.Simulator`.
    """
    results, times = {}, {name: [] for name in SIMULATORS}
    for _ in range(repeats):
        for name, simulator in SIMULATORS.items():
            results[name], seconds = run(net, images, n_steps, simulator)
            times[name].append(seconds)
    means = {name: result.mean("time") for name, result in results.items()}
    reference = means["nengo.Simulator"]
    answer = reference.logits.argmax("label")
    columns = {"maps": [], "logits": [], "correlation": [], "spikes": [], "time": []}
    for name, mean in means.items():
        for variable, column in (("cam", "maps"), ("logits", "logits")):
            gap = abs(mean[variable] - reference[variable]).max() / abs(reference[variable]).max()
            columns[column].append(float(gap))
        closeness = ncam.correlation(mean.cam.isel(label=answer), reference.cam.isel(label=answer))
        columns["correlation"].append(float(closeness.min()))
        columns["spikes"].append(int(results[name].spike_count.sum()))
        ratios = [other / ours for other, ours in zip(times[name], times["nengo_cam.Simulator"])]
        columns["time"].append(statistics.median(ratios))
    return xr.Dataset(
        {name: ("simulator", values) for name, values in columns.items()}, {"simulator": list(SIMULATORS)}
    )


def main(arguments=None):
    """Convert the digits' CNN, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2, help="digits to run (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=50, help="time steps of 1 ms (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--output", help="NetCDF file for the table")
    options = parser.parse_args(arguments)
    for name in ("images", "steps", "repeats"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: expected at least 1, got {getattr(options, name)}. Try --{name} 1.")
    try:
        if options.output:
            check_writable(options.output)
        (train, _), (images, _) = ncam.datasets.digits()
        net = ncam.convert(ncam.datasets.digits_model(), calibrate_on=train[:100], target_rate=200)
        table = compare(net, images[: options.images], options.steps, options.repeats)
    except ncam.CAMError as err:
        sys.exit(f"compare_simulators: {err}")
    print(
        f"{net.n_neurons:,} neurons, {options.steps} steps, {options.images} images; differences from nengo.Simulator"
    )
    print(f"{'':20} {'maps':>8} {'logits':>8} {'correlation':>12} {'spikes':>10} {'time':>6}")
    for name, row in zip(table.simulator.values, zip(*(table[column].values for column in table))):
        maps, logits, correlation, spikes, ratio = row
        print(f"{name:20} {maps:8.1e} {logits:8.1e} {correlation:12.6f} {spikes:10,} {ratio:6.1f}")
    if options.output:
        with atomic_path(options.output) as path:
            table.to_netcdf(path, engine="h5netcdf")
        print(options.output)


if __name__ == "__main__":
    main()
