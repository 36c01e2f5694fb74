"""What the command says on the terminal: results on standard output, everything else on standard error."""

from __future__ import annotations

import pathlib
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ..scoring.latency import decision_latency
from ..scoring.readout import holds_level, spike_kind_of

if TYPE_CHECKING:
    import xarray as xr

    from ..conversion.network import CAMNetwork
    from .inputs import Job

__all__ = [
    "describe_answers",
    "describe_latency",
    "describe_readout",
    "say_answers",
    "say_readout",
    "say_replaced",
    "table",
]

# Letters of a name.
_LONGEST = 80


def say_answers(job: Job, net: CAMNetwork, spiking: xr.Dataset, positions: Iterable[int]) -> None:
    """Print a line for each image: what the spiking network answers, and the CNN; and what helps where they differ."""
    if "answer" not in spiking:
        return
    from ..plotting.text import plain

    answers = describe_answers(spiking)
    for position, answer in zip(positions, answers):
        click.echo(f"image {position} ({plain(job.sources[position])}): {answer}", err=True)
    n_differing = int(np.sum(spiking["answer"].values != spiking["cnn_answer"].values))
    if not n_differing:
        return
    # With Nengo, which the command does without until it has something to run.
    from ..measurement.answers import likely_cause

    cause = likely_cause(net, n_steps=job.run["n_steps"], dt=job.run["dt"])
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in cause.options.items())
    if "calibrate_on" in cause.options:
        options = "leaving --scale-firing-rates out"
    settled = "the last of" if holds_level(spiking) else "mean of the last half of"
    click.echo(
        f"Warning: {n_differing} of {len(answers)} answers are not the CNN's ({settled} "
        f"{job.run['n_steps']} steps), and the maps are those of another answer. Likely, {cause.clause}."
        f"{f' Try {options}.' if options else ''}",
        err=True,
    )


def describe_answers(spiking: xr.Dataset) -> list[str]:
    """Say for each image what the spiking network answers, and the CNN."""
    from ..plotting.text import plain

    sentences = []
    for own, cnn in zip(*(spiking[name].values.tolist() for name in ("answer", "cnn_answer"))):
        # Names come from files, and could otherwise be commands to the terminal.
        own, cnn = plain(own, _LONGEST), plain(cnn, _LONGEST)
        same = "both networks answer" if own == cnn else f"the spiking network answers {own}, but the CNN"
        sentences.append(f"{same} {cnn}")
    return sentences


def describe_latency(shown: xr.Dataset) -> str:
    """Say from when on no image is answered otherwise any more."""
    latency = float(decision_latency(shown).latency.max(skipna=False))
    return "not by the last step" if np.isnan(latency) else f"from {1000 * latency:g} ms on"


def describe_readout(spiking: xr.Dataset) -> str:
    """Say what a spike is, and how maps and logits are read."""
    how = "read at each step" if holds_level(spiking) else "read by their mean over time"
    return ", ".join(filter(None, (spike_kind_of(spiking), how)))


def say_readout(spiking: xr.Dataset) -> None:
    """Print what a spike is, and how maps and logits are read, if the result says so."""
    if "readout" in spiking.attrs:
        click.echo(f"Spikes: {describe_readout(spiking)}.", err=True)


def say_replaced(paths: Iterable[pathlib.Path], existed: Container[pathlib.Path]) -> None:
    """Say which files were there before and have been replaced."""
    for path in paths:
        if path in existed:
            click.echo(f"Replaced {path}, which was there before.", err=True)


def table(*rows: tuple[str, Any]) -> None:
    """Print rows of a name and a value."""
    width = max(len(name) for name, _ in rows)
    click.echo("\n".join(f"  {name:<{width}}  {value}" for name, value in rows))
