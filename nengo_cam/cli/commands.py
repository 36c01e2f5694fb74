"""What the command can be asked for."""

from __future__ import annotations

import errno
import logging
import pathlib
import time
import warnings
from typing import Any

import click

from .. import compat, plotting
from ..checks.output import atomic_path, check_writable, make_folder
from ..exceptions import AnswerWarning, CAMError, CAMWarning, NonSpikingWarning, ResultSizeError
from ..plotting.results import check_rate
from ..reports import comparison_report
from ..scoring import agreement
from ..scoring.readout import holds_level, moving_part
from ..version import __version__
from .demonstrations import NETWORKS, STEPS, load_demonstration
from .filming import animate
from .inputs import check_run_options, prepare
from .options import (
    convert_options,
    label_options,
    model_options,
    neurons_option,
    progress_bar,
    run_options,
    scale_option,
    simulation,
    simulation_options,
)
from .tables import check_table, write_table
from .terminal import (
    describe_answers,
    describe_latency,
    describe_readout,
    say_answers,
    say_readout,
    say_replaced,
    table,
)

__all__ = ["main"]


class _Interrupted(click.ClickException):
    """Ctrl-C, with the exit status that shells expect of it."""

    exit_code = 130


class _Commands(click.Group):
    """Shows errors that we raise on purpose as one line, and nothing of TensorFlow's chatter."""

    def invoke(self, ctx):
        compat.quiet_tensorflow()
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        warnings.showwarning = _show_warning
        try:
            return super().invoke(ctx)
        except ResultSizeError as err:
            # It speaks of the arguments of a function.
            problem = str(err).partition(", got more.")[0]
            remedy = "Run fewer --steps or fewer images, or film one --label."
            raise click.ClickException(f"{problem}, got more. {remedy}") from err
        except CAMError as err:
            raise click.ClickException(str(err)) from err
        except OSError as err:
            if err.errno == errno.EPIPE:
                # Nobody listens any more; Click ends in silence.
                raise
            raise click.ClickException(f"{err}. Nothing half-written was left behind.") from err
        except KeyboardInterrupt as err:
            raise _Interrupted("interrupted; nothing half-written was left behind") from err


def _show_warning(message, category, *_):
    # Other packages' warnings are about their internals; on a terminal only ours mean something to the user. Answers
    # have lines of their own.
    if issubclass(category, CAMWarning) and not issubclass(category, AnswerWarning):
        click.echo(f"Warning: {message}", err=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nengo-cam")
def main() -> None:
    """Show where a spiking network is looking, and when it decides."""


@main.command()
@click.option(
    "--out", type=click.Path(path_type=pathlib.Path), default="nengo_cam_demo", show_default=True, help="Output folder."
)
@click.option(
    "--network",
    type=click.Choice(NETWORKS),
    default=NETWORKS[0],
    show_default=True,
    help="A MobileNet on photographs, or a small CNN on handwritten digits.",
)
@click.option(
    "--images", "n_images", type=click.IntRange(3, 360), show_default="20", help="Digits to run, with --network digits."
)
@click.option(
    "--steps",
    "n_steps",
    type=click.IntRange(1),
    show_default=", ".join(f"{steps} with {network}" for network, steps in STEPS.items()),
    help="Time steps.",
)
@neurons_option
@simulation_options
def demo(out: pathlib.Path, network: str, n_images: int | None, **run: Any) -> None:
    """Convert a CNN that ships with the package and film it deciding on images that ship, too."""
    run["n_steps"] = run["n_steps"] or STEPS[network]
    check_run_options(run)
    make_folder(out)
    paths = {name: check_writable(out / name) for name in ("cam.gif", "timeline.png", "cam.nc")}
    existed = {path for path in paths.values() if path.exists()}
    began = time.perf_counter()
    import nengo_cam as ncam

    shown = load_demonstration(network, n_images)
    images = shown.images
    net = ncam.convert(shown.model, calibrate_on=shown.samples, **convert_options(run))
    ran = time.perf_counter()
    spiking = ncam.spiking_cam(net, images, label_names=shown.label_names, **simulation(run))
    finished = time.perf_counter()
    rate = ncam.rate_cam(net, images, label_names=shown.label_names)
    if shown.best is not None:
        # With Nengo, which the command does without until it has something to run.
        from ..measurement.labels import important_labels, keep_labels

        kept = important_labels(spiking, rate, shown.best)
        spiking, rate = keep_labels(spiking, kept), keep_labels(rate, kept)
    averaged = ncam.cumulative(spiking)
    settled = averaged.isel(time=-1)
    predicted = settled.logits.argmax("label")
    closeness = agreement.correlation(settled.cam.isel(label=predicted), rate.cam.isel(label=predicted))

    with atomic_path(paths["cam.nc"]) as path:
        spiking.to_netcdf(path, engine="h5netcdf", encoding={"cam": {"zlib": True, "complevel": 1}})
    with atomic_path(paths["timeline.png"]) as path:
        figure: Any = plotting.timeline(averaged, rate, images, image=0).figure
        figure.savefig(path, dpi=150)
    # A level that is held stays as it is once all have settled.
    moving = moving_part(averaged, spiking)
    film = plotting.animate(moving, rate, images, image=shown.filmed, fps=shown.fps, progress_bar=progress_bar(run))
    film.save(paths["cam.gif"])

    which = "last" if holds_level(spiking) else "mean"
    if shown.classes is None:
        # Nobody wrote down the one right label of a photograph.
        own = [*zip(shown.names, describe_answers(spiking)), ("answers stay the same", describe_latency(averaged))]
    else:
        own = [
            ("accuracy of the CNN", f"{float((rate.logits.argmax('label') == shown.classes).mean()):.3f}"),
            ("accuracy of the spiking network", f"{float((predicted == shown.classes).mean()):.3f}"),
        ]
    table(
        (shown.title, f"{len(images)}"),
        *own,
        ("settled answers that are the CNN's", f"{float((spiking.answer == spiking.cnn_answer).mean()):.3f}"),
        (f"correlation of {which} spiking map and rate map", f"{float(closeness.median()):.3f} (median)"),
        ("largest completeness error", f"{agreement.completeness_error(spiking):.1e} of the largest logit"),
        ("loading and conversion", f"{ran - began:.1f} s"),
        ("spikes", describe_readout(spiking)),
        (f"{run['n_steps']} steps on {spiking.attrs['simulator']}", f"{finished - ran:.1f} s"),
        ("pictures and film", f"{time.perf_counter() - finished:.1f} s"),
    )
    click.echo("\n".join(f"{path}" for path in paths.values()))
    say_replaced(paths.values(), existed)


main.add_command(animate)


@main.command()
@click.argument("model", type=click.Path(path_type=pathlib.Path))
@click.option(
    "--images",
    multiple=True,
    type=click.Path(path_type=pathlib.Path),
    help="Images to run and measure (.npy, .npz, PNG or JPEG); give it again for more files.",
)
@click.option("--out", type=click.Path(path_type=pathlib.Path), help="Write the table to this file too, .nc or .csv.")
@model_options
@scale_option
@neurons_option
@run_options
def inspect(model: pathlib.Path, images: tuple[pathlib.Path, ...], out: pathlib.Path | None, **options: Any) -> None:
    """Report what became of each layer of a saved Keras MODEL, and what it does when it runs."""
    existed: set[pathlib.Path] = set()
    if out is not None:
        check_table(out, [model, *images])
        existed = {out} if out.exists() else existed
    job = prepare(model, images, options)
    import nengo_cam as ncam

    with warnings.catch_warnings():
        # The report says it too.
        warnings.simplefilter("ignore", NonSpikingWarning)
        net = job.convert()
    report = net.report if job.images is None else ncam.measure_activity(net, job.images, **simulation(options))
    click.echo(report)
    if out is not None:
        with atomic_path(out) as path:
            write_table(report.dataset, path)
        click.echo(out)
        say_replaced([out], existed)


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
@click.option("--raw", is_flag=True, help="Compare each step of unit spikes by itself instead of the running mean.")
@label_options
@model_options
@scale_option
@neurons_option
@run_options
def compare(
    model: pathlib.Path,
    images: tuple[pathlib.Path, ...],
    out: pathlib.Path,
    shown: tuple[int, ...],
    metric: str,
    threshold: float,
    raw: bool,
    label: str | None,
    **options: Any,
) -> None:
    """Compare spikes with the CNN: how close the maps of a saved Keras MODEL are on IMAGES, and from when on.

    IMAGES are .npy, .npz, PNG or JPEG. Writes figures (PNG), all scores (scores.nc) and one page with figures and
    tables (report.html) into a folder.
    """
    comparison_report.check_request(out, metric=metric, threshold=threshold)
    existed = set(out.iterdir()) if out.is_dir() else set()
    job = prepare(model, images, options)
    for position in shown:
        job.check_position(position)
    chosen = job.find_label(label)
    import nengo_cam as ncam

    # Before the run, which takes longest: maps are checked here.
    rate = ncam.rate_cam(job.source, job.images, label_names=job.names)
    check_rate(rate)
    net = job.convert()
    run = {**simulation(options), "label_names": job.names}
    spiking = ncam.spiking_cam(net, job.images, **run)
    say_readout(spiking)
    say_answers(job, net, spiking, range(len(job.images)))
    drawn = list(shown) or list(range(min(6, len(job.images))))
    features = None
    if options["synapse"] is None:
        # Again, for one image alone: the features of all would be large.
        once = {**run, "progress_bar": False, "check_answers": False, "keep_features": True}
        features = ncam.spiking_cam(net, job.images[drawn[0]][None], **once)
    report = comparison_report.report_comparison(
        spiking if raw else agreement.cumulative(spiking),
        rate,
        job.images,
        features=features,
        shown=drawn,
        label=None if chosen is None else rate["label"].values.tolist()[chosen],
        metric=metric,
        threshold=threshold,
    )
    paths = report.save(out)
    click.echo("\n".join(f"{path}" for path in paths))
    say_replaced(paths, existed)


@main.command()
@click.argument("model", type=click.Path(path_type=pathlib.Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=pathlib.Path))
@click.option("--out", type=click.Path(path_type=pathlib.Path), help="Write the table to this file too, .nc or .csv.")
@model_options
@run_options
def recommend(model: pathlib.Path, images: tuple[pathlib.Path, ...], out: pathlib.Path | None, **options: Any) -> None:
    """Try kinds of neurons on a saved Keras MODEL and IMAGES, and say which carries it.

    IMAGES are .npy, .npz, PNG or JPEG. Prints for each kind how often the spiking network answers as the CNN does, how
    close its maps are, what it sends, and after how many steps it has settled.
    """
    existed: set[pathlib.Path] = set()
    if out is not None:
        check_table(out, [model, *images])
        existed = {out} if out.exists() else existed
    job = prepare(model, images, options)
    import nengo_cam as ncam

    run = {**simulation(options), "synapse": options["synapse"], "target_rate": options["target_rate"]}
    found = ncam.recommend(job.source, job.images, **job.calibration, **run)
    click.echo(found)
    if out is not None:
        with atomic_path(out) as path:
            write_table(found.dataset, path)
        click.echo(out)
        say_replaced([out], existed)
