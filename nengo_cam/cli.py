"""The command ``nengo-cam``: parses, calls, prints."""

import logging
import pathlib
import time
import warnings

import click

from . import agreement, comparison_report, compat, plotting
from .exceptions import CAMError, CAMWarning, InputFileError, NonSpikingWarning, ParameterError
from .files import atomic_path, check_writable, make_folder
from .images import check_images
from .parameters import check_positive, check_seed
from .plotting.checks import check_rate
from .version import __version__

__all__ = ["main"]

_SIMULATORS = ("nengo_cam", "nengo_dl", "nengo")
_RANGES = ("none", "0,1", "-1,1")


class _Commands(click.Group):
    """Shows errors that we raise on purpose as one line, and nothing of TensorFlow's chatter."""

    def invoke(self, ctx):
        compat.quiet_tensorflow()
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        warnings.showwarning = _show_warning
        try:
            return super().invoke(ctx)
        except CAMError as err:
            raise click.ClickException(str(err)) from err
        except KeyboardInterrupt as err:
            raise click.ClickException("interrupted; nothing half-written was left behind") from err


def _show_warning(message, category, *_):
    # Other packages' warnings are about their internals; on a terminal only ours mean something to the user.
    if issubclass(category, CAMWarning):
        click.echo(f"Warning: {message}", err=True)


def _run_options(command):
    """Add the options that every run has."""
    for option in (
        click.option("--steps", "n_steps", default=100, show_default=True, type=click.IntRange(1), help="Time steps."),
        click.option("--dt", default=0.001, show_default=True, help="Time step [s]."),
        click.option(
            "--synapse", type=float, help="Time constant of a lowpass filter on all spikes [s]. Default: none."
        ),
        click.option(
            "--target-rate",
            default=200.0,
            show_default=True,
            help="Calibrate strong activity to this firing rate [Hz].",
        ),
        click.option("--simulator", type=click.Choice(_SIMULATORS), default=_SIMULATORS[0], show_default=True),
        click.option("--seed", default=0, show_default=True, help="Seed of initial voltages."),
        click.option("--quiet", is_flag=True, help="Show no progress bars."),
    ):
        command = option(command)
    return command


def _model_options(command):
    """Add the options that every command has that takes a model and images."""
    for option in (
        click.option(
            "--rescale",
            type=click.Choice(_RANGES),
            help="Range that the model expects, for pixels from 0 to 255: '0,1', '-1,1', or 'none' to leave them as "
            "they are.",
        ),
        click.option(
            "--scale-firing-rates", type=float, help="One scale for all layers [Hz per unit], instead of --target-rate."
        ),
        click.option(
            "--unsafe",
            is_flag=True,
            help="Load Lambda layers, SavedModels and pickled arrays, which run code of the files.",
        ),
        click.option(
            "--max-bytes",
            type=click.IntRange(1),
            help="Most memory that what is in a file may take, if it is much larger than the file.",
        ),
    ):
        command = option(command)
    return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nengo-cam")
def main():
    """Show where a spiking network is looking, and when it decides."""


@main.command()
@click.option(
    "--out", type=click.Path(path_type=pathlib.Path), default="nengo_cam_demo", show_default=True, help="Output folder."
)
@click.option("--images", "n_images", default=20, show_default=True, type=click.IntRange(3, 360), help="Digits to run.")
@_run_options
def demo(out, n_images, n_steps, dt, synapse, target_rate, simulator, seed, quiet):
    """Convert the CNN that ships with the package and film it deciding on handwritten digits."""
    make_folder(out)
    paths = {name: check_writable(out / name) for name in ("cam.gif", "timeline.png", "cam.nc")}
    check_positive("dt", dt, unit="seconds")
    check_seed(seed)
    began = time.perf_counter()
    import nengo_cam as ncam

    (train, _), (images, classes) = ncam.datasets.digits()
    images, classes = images[:n_images], classes[:n_images]
    net = ncam.convert(ncam.datasets.digits_model(), calibrate_on=train[:200], target_rate=target_rate, synapse=synapse)
    ran = time.perf_counter()
    spiking = ncam.spiking_cam(
        net, images, n_steps=n_steps, dt=dt, seed=seed, simulator=_simulator_class(simulator), progress_bar=not quiet
    )
    finished = time.perf_counter()
    rate = ncam.rate_cam(net, images)
    averaged = ncam.cumulative(spiking)
    settled = averaged.isel(time=-1)
    predicted = settled.logits.argmax("label")
    closeness = agreement.correlation(settled.cam.isel(label=predicted), rate.cam.isel(label=predicted))

    with atomic_path(paths["cam.nc"]) as path:
        spiking.to_netcdf(path, engine="h5netcdf", encoding={"cam": {"zlib": True, "complevel": 1}})
    with atomic_path(paths["timeline.png"]) as path:
        plotting.timeline(averaged, rate, images, image=0).figure.savefig(path, dpi=150)
    film = plotting.animate(averaged, rate, images, image=_three_kinds(classes), progress_bar=not quiet)
    film.save(paths["cam.gif"])

    _table(
        ("digits, none of them trained on", f"{n_images}"),
        ("accuracy of the CNN", f"{float((rate.logits.argmax('label') == classes).mean()):.3f}"),
        ("accuracy of the spiking network", f"{float((predicted == classes).mean()):.3f}"),
        ("correlation of mean spiking map and rate map", f"{float(closeness.median()):.3f} (median)"),
        ("largest completeness error", f"{agreement.completeness_error(spiking):.1e} of the largest logit"),
        ("loading and conversion", f"{ran - began:.1f} s"),
        (f"{n_steps} steps on {spiking.attrs['simulator']}", f"{finished - ran:.1f} s"),
        ("pictures and film", f"{time.perf_counter() - finished:.1f} s"),
    )
    click.echo("\n".join(f"{path}" for path in paths.values()))


@main.command()
@click.argument("model", type=click.Path(path_type=pathlib.Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=pathlib.Path))
@click.option("--label", help="Label to map, by index or name. Default: the one that wins.")
@click.option(
    "--label-names",
    type=click.Path(path_type=pathlib.Path, exists=True, dir_okay=False),
    help="File of names, one a line.",
)
@click.option("--image", default=0, show_default=True, help="Which of the images to film.")
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path),
    default="cam.gif",
    show_default=True,
    help="Film to write, .gif or .mp4.",
)
@click.option("--raw", is_flag=True, help="Show each step by itself instead of the running mean.")
@_model_options
@_run_options
def animate(model, images, label, label_names, image, out, rescale, scale_firing_rates, raw, unsafe, **run):
    """Film the class-activation map of a saved Keras MODEL on IMAGES (.npy, .npz, PNG or JPEG)."""
    plotting.check_film(out)
    check_positive("dt", run["dt"], unit="seconds")
    check_seed(run["seed"])
    from . import model_files

    keras_model = model_files.load_keras_model(model, unsafe=unsafe, max_bytes=run["max_bytes"])
    import nengo_cam as ncam

    input_shape = ncam.find_head(keras_model).input_shape
    array = _read_images(images, input_shape, rescale, unsafe, run["max_bytes"])
    _check_position(image, len(array))
    calibration = _calibration(scale_firing_rates, array)
    net = ncam.convert(keras_model, synapse=run["synapse"], target_rate=run["target_rate"], **calibration)
    options = {
        "labels": None if label is None else _as_label(label),
        "label_names": None if label_names is None else _read_names(label_names),
    }
    shown = array[image : image + 1]
    spiking = ncam.spiking_cam(
        net,
        shown,
        progress_bar=not run["quiet"],
        **_simulation(run),
        **options,
    )
    rate = ncam.rate_cam(net, shown, **options)
    film = plotting.animate(
        spiking if raw else agreement.cumulative(spiking), rate, shown, progress_bar=not run["quiet"]
    )
    film.save(out)
    click.echo(out)


@main.command()
@click.argument("model", type=click.Path(path_type=pathlib.Path))
@click.option(
    "--images",
    multiple=True,
    type=click.Path(path_type=pathlib.Path),
    help="Images to run and measure (.npy, .npz, PNG or JPEG); give it again for more files.",
)
@click.option(
    "--calibrate-on",
    multiple=True,
    type=click.Path(path_type=pathlib.Path),
    help="Images to calibrate firing rates on. Default: those of --images.",
)
@click.option("--out", type=click.Path(path_type=pathlib.Path), help="Write the table to this NetCDF file too.")
@_model_options
@_run_options
def inspect(model, images, calibrate_on, out, rescale, scale_firing_rates, unsafe, **run):
    """Report what became of each layer of a saved Keras MODEL, and what it does when it runs."""
    if out is not None:
        check_writable(out)
    check_positive("dt", run["dt"], unit="seconds")
    check_seed(run["seed"])
    from . import model_files

    keras_model = model_files.load_keras_model(model, unsafe=unsafe, max_bytes=run["max_bytes"])
    import nengo_cam as ncam

    input_shape = ncam.find_head(keras_model).input_shape
    shown, samples = (
        _read_images(paths, input_shape, rescale, unsafe, run["max_bytes"]) if paths else None
        for paths in (images, calibrate_on)
    )
    with warnings.catch_warnings():
        # The report says it too.
        warnings.simplefilter("ignore", NonSpikingWarning)
        net = ncam.convert(
            keras_model,
            synapse=run["synapse"],
            target_rate=run["target_rate"],
            **_calibration(scale_firing_rates, shown if samples is None else samples),
        )
    report = net.report
    if shown is not None:
        report = ncam.measure_activity(net, shown, progress_bar=not run["quiet"], **_simulation(run))
    click.echo(report)
    if out is not None:
        with atomic_path(out) as path:
            report.dataset.to_netcdf(path, engine="h5netcdf")
        click.echo(out)


@main.command()
@click.argument("model", type=click.Path(path_type=pathlib.Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=pathlib.Path))
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path),
    default="nengo_cam_compare",
    show_default=True,
    help="Output folder.",
)
@click.option("--label", help="Label whose maps to compare, by index or name. Default: the one that wins.")
@click.option(
    "--label-names",
    type=click.Path(path_type=pathlib.Path, exists=True, dir_okay=False),
    help="File of names, one a line.",
)
@click.option(
    "--image",
    "shown",
    multiple=True,
    type=int,
    help="Which of the images to draw, from 0; give it again for more. Default: the first six.",
)
@click.option(
    "--metric",
    type=click.Choice(agreement.metric_names()),
    default="pearson",
    show_default=True,
    help="Score that says when maps agree; all of them are written.",
)
@click.option("--threshold", default=0.9, show_default=True, help="From which score on maps agree.")
@click.option(
    "--calibrate-on",
    multiple=True,
    type=click.Path(path_type=pathlib.Path),
    help="Images to calibrate firing rates on. Default: those that are compared.",
)
@click.option("--raw", is_flag=True, help="Compare each step by itself instead of the running mean.")
@_model_options
@_run_options
def compare(
    model, images, out, label, label_names, shown, metric, threshold, calibrate_on, rescale, scale_firing_rates, raw,
    unsafe, **run,
):  # fmt: skip
    """Compare spikes with the CNN: how close the maps of a saved Keras MODEL are on IMAGES, and from when on.

    IMAGES are .npy, .npz, PNG or JPEG. Writes figures (PNG), all scores (scores.nc) and one page with figures and
    tables (report.html) into a folder.
    """
    comparison_report.check_request(out, metric=metric, threshold=threshold)
    check_positive("dt", run["dt"], unit="seconds")
    check_seed(run["seed"])
    names = None if label_names is None else _read_names(label_names)
    from . import model_files

    keras_model = model_files.load_keras_model(model, unsafe=unsafe, max_bytes=run["max_bytes"])
    import nengo_cam as ncam

    input_shape = ncam.find_head(keras_model).input_shape
    array, samples = (
        _read_images(paths, input_shape, rescale, unsafe, run["max_bytes"]) if paths else None
        for paths in (images, calibrate_on)
    )
    for position in shown:
        _check_position(position, len(array))
    # Before the run, which takes longest: labels and maps are checked here.
    rate = ncam.rate_cam(keras_model, array, label_names=names)
    check_rate(rate)
    label = comparison_report.find_label(rate, None if label is None else _as_label(label))
    net = ncam.convert(
        keras_model,
        synapse=run["synapse"],
        target_rate=run["target_rate"],
        **_calibration(scale_firing_rates, array if samples is None else samples),
    )
    options = {**_simulation(run), "label_names": names}
    spiking = ncam.spiking_cam(net, array, progress_bar=not run["quiet"], **options)
    shown = list(shown) or list(range(min(6, len(array))))
    features = None
    if run["synapse"] is None:
        # Again, for one image alone: the features of all would be large.
        features = ncam.spiking_cam(net, array[shown[0]][None], keep_features=True, progress_bar=False, **options)
    report = comparison_report.report_comparison(
        spiking if raw else agreement.cumulative(spiking),
        rate,
        array,
        features=features,
        shown=shown,
        label=label,
        metric=metric,
        threshold=threshold,
    )
    click.echo("\n".join(f"{path}" for path in report.save(out)))


def _check_position(position, n_images):
    if not 0 <= position < n_images:
        raise ParameterError(
            f"--image: expected a number from 0 to {n_images - 1}, got {position}. Choose one of these."
        )


def _calibration(scale_firing_rates, images):
    """Choose between one scale for all layers and calibration on images."""
    if scale_firing_rates is not None:
        return {"scale_firing_rates": scale_firing_rates}
    return {"calibrate_on": images}


def _simulation(run):
    """Choose the options of the command line that say how a network runs."""
    options = {name: run[name] for name in ("n_steps", "dt", "seed")}
    return {**options, "simulator": _simulator_class(run["simulator"])}


def _simulator_class(name):
    import nengo

    import nengo_cam as ncam

    return {
        "nengo_cam": ncam.Simulator,
        "nengo_dl": compat.import_nengo_dl().Simulator,
        "nengo": nengo.Simulator,
    }[name]


def _three_kinds(classes):
    """Positions of the first three digits that differ."""
    found = {}
    for position, value in enumerate(classes):
        found.setdefault(int(value), position)
    return list(found.values())[:3]


def _as_label(text):
    try:
        return int(text)
    except ValueError:
        return text


def _read_names(path):
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as err:
        raise InputFileError(
            f"label names {str(path)!r}: expected UTF-8, got something else ({err}). Save it so."
        ) from err


def _read_images(paths, input_shape, rescale, unsafe, max_bytes):
    """Read files into one array in the range that the model expects."""
    import numpy as np

    from . import model_files

    arrays = []
    for path in paths:
        array = model_files.load_images(
            path, size=input_shape[:2], channels=input_shape[-1], unsafe=unsafe, max_bytes=max_bytes
        )
        arrays.append(_in_range(path, array, rescale))
    shapes = sorted({array.shape[1:] for array in arrays})
    if len(shapes) > 1:
        raise InputFileError(f"images: expected one shape in all files, got {shapes}. Resize them.")
    return check_images(np.concatenate(arrays), input_shape)


def _in_range(path, array, rescale):
    """Rescale pixels from 0 to 255, and make sure that they are such."""
    if rescale is None and array.dtype.kind in "iu":
        raise ParameterError(
            f"images {str(path)!r}: whole numbers are pixels from 0 to 255, and nothing says which range the model was "
            f"trained on; expected --rescale, one of {list(_RANGES)}, got none. Add it."
        )
    if rescale in (None, "none") or array.dtype.kind not in "iuf":
        return array
    if array.dtype.kind == "f" and array.size and array.max() <= 1:
        raise ParameterError(
            f"images {str(path)!r}: --rescale is for pixels from 0 to 255; expected such, got numbers up to "
            f"{array.max():g}. Leave it out or give 'none'."
        )
    low, high = map(float, rescale.split(","))
    return array.astype("float32") / 255 * (high - low) + low


def _table(*rows):
    width = max(len(name) for name, _ in rows)
    click.echo("\n".join(f"  {name:<{width}}  {value}" for name, value in rows))
