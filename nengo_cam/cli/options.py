"""Options that several commands have."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Callable
from typing import Any

import click

from .. import compat
from ..models.files.pictures import FITS
from ..plotting.scale import STYLES

__all__ = [
    "NEURONS",
    "Numbers",
    "convert_options",
    "label_options",
    "labels_options",
    "look_options",
    "model_options",
    "neurons_option",
    "progress_bar",
    "run_options",
    "scale_option",
    "simulation",
    "simulation_options",
]

_SIMULATORS = ("nengo_cam", "nengo_dl", "nengo")
RANGES = ("none", "0,1", "-1,1")
#: Lets `nengo_cam.convert` choose what ReLU becomes.
AUTO = "auto"
#: What else ReLU can become: the types that reports and warnings name, and where they are.
NEURONS = {
    "IntegrateAndFire": "nengo_cam",
    "SignedIntegrateAndFire": "nengo_cam",
    "SigmaDelta": "nengo_cam",
    "SpikingRectifiedLinear": "nengo",
    "LIF": "nengo",
}


def neurons_option(command: Callable) -> Callable:
    """Add the option that says what ReLU becomes."""
    return click.option(
        "--neurons",
        type=click.Choice([AUTO, *NEURONS]),
        default=AUTO,
        show_default=True,
        help="What ReLU becomes; auto chooses by the number of layers.",
    )(command)


def run_options(command: Callable) -> Callable:
    """Add the options that every run has."""
    return simulation_options(
        click.option("--steps", "n_steps", default=100, show_default=True, type=click.IntRange(1), help="Time steps.")(
            command
        )
    )


def simulation_options(command: Callable) -> Callable:
    """Add the options that every run has, but for the number of steps."""
    for option in (
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
        click.option("--quiet", is_flag=True, help="Show no progress bars. There are none without a terminal."),
    ):
        command = option(command)
    return command


def model_options(command: Callable) -> Callable:
    """Add the options that every command has that takes a model and images."""
    for option in (
        click.option(
            "--rescale",
            type=click.Choice(RANGES),
            help="Range that the model expects, for pixels from 0 to 255: '0,1', '-1,1', or 'none' to leave them as "
            "they are.",
        ),
        click.option(
            "--calibrate-on",
            multiple=True,
            type=click.Path(path_type=pathlib.Path),
            help="Images to calibrate firing rates on; give it again for more files. Default: those that are run.",
        ),
        click.option(
            "--fit",
            type=click.Choice(FITS),
            default="crop",
            show_default=True,
            help="What becomes of a picture of another shape than the model takes: cut out its middle, put gray bars "
            "beside it, or squash it.",
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


def scale_option(command: Callable) -> Callable:
    """Add the option that sets firing rates without calibration."""
    return click.option(
        "--scale-firing-rates", type=float, help="One scale for all layers [Hz per unit], instead of --target-rate."
    )(command)


def label_options(command: Callable) -> Callable:
    """Add the options that say which label is mapped."""
    return _label_names(
        click.option("--label", help="Label to map, by index or name. Default: the one that wins.")(command)
    )


def labels_options(command: Callable) -> Callable:
    """Add the options that say which labels are mapped, side by side."""
    return _label_names(
        click.option(
            "--label",
            "labels",
            multiple=True,
            help="Label to map, by index or name; give it again for more, or top3 for the three strongest. Default: "
            "the one that wins.",
        )(command)
    )


def _label_names(command):
    return click.option(
        "--label-names",
        type=click.Path(path_type=pathlib.Path, exists=True, dir_okay=False),
        help="File of names, one a line.",
    )(command)


class Numbers(click.ParamType):
    """Whole numbers, with commas between them."""

    name = "number[,number...]"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Read them."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(number) for number in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number, or several with commas between them.", param, ctx)


def look_options(command: Callable) -> Callable:
    """Add the options that say how maps look."""
    for option in (
        click.option(
            "--style",
            type=click.Choice(STYLES),
            default=STYLES[0],
            show_default=True,
            help="Maps with both signs, or their positive part as a heat map.",
        ),
        click.option(
            "--interpolation",
            help="nearest for cells as they are, bilinear for smooth ones, or another name of Matplotlib's. Default: "
            "smooth where a cell is larger than a tenth of the image.",
        ),
    ):
        command = option(command)
    return command


def progress_bar(run: dict[str, Any]) -> bool:
    """Whether to show progress: not if it is unwanted, and not where no terminal shows it."""
    return not run["quiet"] and sys.stderr.isatty()


def convert_options(run: dict[str, Any]) -> dict[str, Any]:
    """Choose the options of `nengo_cam.convert` from those of the command line."""
    import nengo

    import nengo_cam

    neurons = run["neurons"]
    if neurons != AUTO:
        home = {"nengo": nengo, "nengo_cam": nengo_cam}[NEURONS[neurons]]
        neurons = getattr(home, neurons)()
    return {
        "neurons": neurons,
        "synapse": run["synapse"],
        "target_rate": run["target_rate"],
    }


def simulation(run: dict[str, Any]) -> dict[str, Any]:
    """Choose the options of a run from those of the command line."""
    import nengo

    import nengo_cam

    simulators = {
        "nengo_cam": lambda: nengo_cam.Simulator,
        "nengo_dl": lambda: compat.import_nengo_dl().Simulator,
        "nengo": lambda: nengo.Simulator,
    }
    options = {name: run[name] for name in ("n_steps", "dt", "seed")}
    return {**options, "simulator": simulators[run["simulator"]](), "progress_bar": progress_bar(run)}
