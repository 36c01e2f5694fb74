"""Maps of many images in one NetCDF file, written batch by batch.

    python examples/dataset_to_netcdf.py cam.nc                         # the test digits of scikit-learn
    python examples/dataset_to_netcdf.py cam.nc --model model.h5 --images images.npy --calibrate training.npy

A batch runs, its running mean is kept at each --every'th step and goes to the file; then the next. Memory holds one
batch, not the data set, and images are read from an .npy file as they are needed. The file appears under its name only
when it is complete; if the run is stopped, nothing is left behind. Read it with xarray, which loads what is asked for:

    xarray.open_dataset("cam.nc", engine="h5netcdf").cam.sel(label=3).sel(time=0.1, method="nearest")
"""

import argparse
import pathlib
import sys

import h5netcdf
import numpy as np
from tqdm.auto import tqdm

import nengo_cam as ncam
from nengo_cam.checks.output import atomic_path, check_writable
from nengo_cam.models.files import load_images, load_keras_model

ncam.compat.quiet_tensorflow()


def parse(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="NetCDF file to write")
    parser.add_argument("--model", help="saved Keras model; default: the digits' CNN that ships")
    parser.add_argument("--images", help=".npy of shape (N, Y, X, channels), as fed to the model; default: digits")
    parser.add_argument("--calibrate", help="images to find firing rates on, .npy or .npz; default: training digits")
    parser.add_argument("--most", type=int, help="take only so many images")
    parser.add_argument("--batch", type=int, default=32, help="images in memory at a time (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, help="time steps of 1 ms (default: %(default)s)")
    parser.add_argument("--every", type=int, default=10, help="steps from one kept to the next (default: %(default)s)")
    parser.add_argument("--target-rate", type=float, default=200, help="rate of strong activity [Hz] (%(default)s)")
    options = parser.parse_args(arguments)
    own = (options.model, options.images, options.calibrate)
    if any(own) and not all(own):
        parser.error("--model, --images and --calibrate: they belong together; expected all or none. Give all three.")
    for name in ("batch", "steps", "every", "most"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name}: expected at least 1, got {value}. Try --{name} 10.")
    if options.every > options.steps:
        parser.error(f"--every: expected at most {options.steps}, got {options.every}. Keep some steps.")
    return options


def load(options):
    """Return the model, the images, which may still be on disk, and images to calibrate on."""
    if options.model is None:
        (train, _), (images, _) = ncam.datasets.digits()
        return ncam.datasets.digits_model(), images[: options.most], train[:200]
    return load_keras_model(options.model), open_array(options.images)[: options.most], load_images(options.calibrate)


def open_array(path):
    """Open an array on disk, without reading it."""
    try:
        # Pickled objects, which could run code, cannot be read so.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive")
    except (OSError, ValueError) as err:
        raise ncam.exceptions.InputFileError(
            f"images {path!r}: they cannot be read piece by piece ({err}); expected an .npy file of numbers, got "
            "something else. Save the array with numpy.save."
        ) from err
    return array


def measure(net, images, options):
    """Run a batch, and return what the file keeps of it."""
    # Each run starts from the same seed, so the result does not depend on the size of the batches.
    spiking = ncam.spiking_cam(
        net, images, n_steps=options.steps, minibatch_size=min(len(images), 16), seed=0, progress_bar=False
    )
    return ncam.cumulative(spiking).isel(time=slice(options.every - 1, None, options.every))


def write(path, net, images, options):
    """Write batch after batch."""
    starts = range(0, len(images), options.batch)
    for start in tqdm(starts, desc="batches"):
        batch = measure(net, images[start : start + options.batch], options)
        rows = np.arange(start, start + batch.sizes["image"])
        batch = batch.assign_coords(image=rows)
        if start == 0:
            # xarray sets the file up: coordinates, units, provenance, and a dimension that can grow.
            chunks = tuple(1 if dim == "image" else size for dim, size in batch.cam.sizes.items())
            packed = {"cam": {"zlib": True, "complevel": 1, "shuffle": True, "chunksizes": chunks}}
            batch.to_netcdf(path, engine="h5netcdf", unlimited_dims=["image"], encoding=packed)
            continue
        with h5netcdf.File(path, "a") as file:
            file.resize_dimension("image", int(rows[-1]) + 1)
            for name in (name for name in batch.variables if "image" in batch[name].dims):
                file[name][rows[0] : rows[-1] + 1] = batch[name].transpose("image", ...).values


def main(arguments=None):
    """Convert, run all batches, and name the file."""
    options = parse(arguments)
    try:
        check_writable(options.output)  # before the work, not after it
        model, images, calibration = load(options)
        net = ncam.convert(model, calibrate_on=calibration, target_rate=options.target_rate)
        with atomic_path(options.output) as path:
            write(path, net, images, options)
    except ncam.CAMError as err:
        sys.exit(f"dataset_to_netcdf: {err}")
    size = pathlib.Path(options.output).stat().st_size
    print(f"{options.output}: {len(images)} images, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
