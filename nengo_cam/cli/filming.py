"""The command that films, and writes what belongs to a film: a page, maps and a table."""

from __future__ import annotations

import pathlib
from typing import Any

import click

from .. import plotting
from ..checks.output import atomic_path
from ..plotting.drawing import check_look
from ..plotting.film.animation import check_fps
from ..plotting.selection import labels_shown
from ..scoring import agreement
from ..scoring.readout import moving_part
from ..widgets.player import check_page
from .inputs import prepare
from .options import (
    Numbers,
    labels_options,
    look_options,
    model_options,
    neurons_option,
    progress_bar,
    run_options,
    scale_option,
    simulation,
)
from .tables import (
    answers_over_time,
    check_different,
    check_table,
    decision_table,
    without_maps,
    write_results,
    write_table,
)
from .terminal import say_answers, say_readout, say_replaced

__all__ = ["animate"]

# Frames per second of a film that ends when nothing moves any more, as there are few then.
_SLOW = 5


@click.command()
@click.argument("model", type=click.Path(path_type=pathlib.Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=pathlib.Path))
@click.option(
    "--image",
    "shown",
    multiple=True,
    type=Numbers(),
    help="Which of the images to film, from 0; several side by side as 0,3, or by giving it again. Default: the first.",
)
@click.option(
    "--out",
    type=click.Path(path_type=pathlib.Path),
    default="cam.gif",
    show_default=True,
    help="Film to write: .gif, .webp, .apng, .mp4, .mov, .html, or one picture a frame as frames/%03d.png.",
)
@click.option("--html", type=click.Path(path_type=pathlib.Path), help="Write a page with a player too.")
@click.option("--nc", type=click.Path(path_type=pathlib.Path), help="Write the maps of both networks too, as netCDF.")
@click.option(
    "--csv",
    type=click.Path(path_type=pathlib.Path),
    help="Write logits, agreement and latencies too, a row for each image, step and label.",
)
@click.option("--fps", type=float, help=f"Frames per second. Default: 20, or {_SLOW} where little moves.")
@click.option(
    "--stride", type=click.IntRange(1), default=1, show_default=True, help="Steps from one frame to the next."
)
@click.option("--raw", is_flag=True, help="Show each step of unit spikes by itself instead of the running mean.")
@look_options
@labels_options
@model_options
@scale_option
@neurons_option
@run_options
def animate(
    model: pathlib.Path,
    images: tuple[pathlib.Path, ...],
    shown: tuple[tuple[int, ...], ...],
    out: pathlib.Path,
    html: pathlib.Path | None,
    nc: pathlib.Path | None,
    csv: pathlib.Path | None,
    fps: float | None,
    stride: int,
    raw: bool,
    style: str,
    interpolation: str | None,
    labels: tuple[str, ...],
    **options: Any,
) -> None:
    """Film the class-activation map of a saved Keras MODEL on IMAGES (.npy, .npz, PNG or JPEG)."""
    paths = _check_outputs(out, html, nc, csv, inputs=[model, *images])
    existed = {path for path in paths if path.exists()}
    look: dict[str, Any] = {"style": style, "interpolation": interpolation}
    check_look(**look)
    if fps is not None:
        check_fps(fps)
    job = prepare(model, images, options)
    filmed = [position for positions in shown for position in positions] or [0]
    job.check_positions(filmed)
    wanted = job.find_labels(labels)
    top = wanted if isinstance(wanted, str) else None
    mapped: dict[str, Any] = {"labels": None if top else wanted, "label_names": job.names}
    import nengo_cam as ncam

    net = job.convert()
    inputs = job.images[filmed]
    # Under their own numbers.
    spiking = ncam.spiking_cam(net, inputs, **simulation(options), **mapped).assign_coords(image=filmed)
    rate = ncam.rate_cam(net, inputs, **mapped).assign_coords(image=filmed)
    # Before maps of labels are left out.
    answers: Any = None if csv is None else answers_over_time(spiking, job.head.n_labels, raw=raw)
    if mapped["labels"] is None:
        kept = _labels_that_count(spiking, rate, top, raw=raw)
        # With Nengo, as above.
        from ..measurement.labels import keep_labels

        spiking, rate = keep_labels(spiking, kept), keep_labels(rate, kept)
    say_readout(spiking)
    say_answers(job, net, spiking, filmed)
    chosen = top or (spiking["label"].values.tolist() if wanted is not None else None)
    averaged = spiking if raw else agreement.cumulative(spiking)
    if nc is not None:
        with atomic_path(nc) as path:
            write_results(spiking, rate, path)
    if csv is not None:
        with atomic_path(csv) as path:
            write_table(decision_table(averaged, rate, answers), path)
    if html is not None:
        pace: dict[str, Any] = {} if fps is None else {"fps": fps}
        ncam.player(spiking, rate, inputs, label=chosen, **look, **pace).save(html)
    # A level that receivers hold is given back as it is.
    maps = moving_part(averaged, spiking)
    slow = _SLOW if maps.sizes["time"] < spiking.sizes["time"] else None
    pace = {} if (fps or slow) is None else {"fps": fps or slow}
    # The CNN of moving images has a map for each step, too.
    rate = rate.isel(time=slice(maps.sizes["time"]), missing_dims="ignore")
    film = plotting.animate(
        maps,
        rate,
        inputs,
        image=range(len(filmed)),
        label=chosen or _settled_answer(spiking),
        stride=stride,
        progress_bar=progress_bar(options),
        **look,
        **pace,
    )
    film.save(out)
    click.echo("\n".join(f"{path}" for path in paths))
    say_replaced(paths, existed)


def _check_outputs(out, html, nc, csv, *, inputs):
    """Check all files that a film comes with, before anything runs."""
    plotting.check_film(out, inputs=inputs)
    if html is not None:
        check_page(html, inputs=inputs)
    for path, suffix in ((nc, ".nc"), (csv, ".csv")):
        if path is not None:
            check_table(path, inputs, (suffix,))
    paths = [path for path in (out, html, nc, csv) if path is not None]
    check_different(paths)
    return paths


def _labels_that_count(spiking, rate, top, *, raw):
    """Find the labels that are kept where all were run: of many those that win, and the best few of the networks."""
    # With Nengo, which the command does without until it has something to run.
    from ..measurement.labels import ALL_LABELS, BEST_LABELS, important_labels

    if spiking.sizes["label"] <= ALL_LABELS:
        return list(range(spiking.sizes["label"]))
    kept = set(important_labels(spiking, rate, BEST_LABELS))
    if top is not None:
        shown = without_maps(spiking, raw=raw)
        kept.update(label for i in range(spiking.sizes["image"]) for label in labels_shown(shown, i, top))
    return sorted(kept)


def _settled_answer(spiking):
    """Find the answer that was said of all images alike; None where they differ, or only one label is there.

    A single step may have another answer, and a third would be in the title.
    """
    answers = set(spiking["answer"].values.tolist()) if len(spiking["label"]) > 1 else set()
    return answers.pop() if len(answers) == 1 else None
