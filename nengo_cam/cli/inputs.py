"""From files to a network and the images that it runs."""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import click

from ..checks.images import check_images
from ..checks.parameters import check_positive, check_seed, number_twins
from ..exceptions import InputFileError, LabelError, ParameterError
from .options import RANGES, convert_options

__all__ = ["Job", "check_run_options", "prepare"]

_BRIGHTEST = 255


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """A model and what is to be done with it, read and checked, but nothing run yet.

    Attributes
    ----------
    source : nengo_cam.models.source.SourceModel
        The model, as it was read.
    head : CAMHead
        Its head.
    images : ndarray of shape (N, ...), or None
        Images in the range of the model.
    sources : list of str
        Name of the file of each image.
    names : list of str or None
        Names of all labels.
    calibration : dict
        Options of `nengo_cam.convert` that say how firing rates are chosen.
    run : dict
        Options of the command line.
    """

    source: Any
    head: Any
    images: Any
    sources: list[str]
    names: list[str] | None
    calibration: dict
    run: dict

    def convert(self) -> Any:
        """Convert the model."""
        import nengo_cam

        net = nengo_cam.convert(self.source, **convert_options(self.run), **self.calibration)
        if self.calibration.get("calibrate_on") is self.images is not None:
            given = f"{len(self.images)} image{'s' if len(self.images) > 1 else ''} given"
            click.echo(f"Firing rates are calibrated on the {given}; --calibrate-on takes others.", err=True)
        return net

    def find_label(self, text: str | None) -> int | None:
        """Turn a label as it was typed into its index; None stays None."""
        if text is None:
            return None
        names = self.names or []
        if text in names:
            return names.index(text)
        n_labels = self.head.n_labels
        if text.isascii() and text.isdigit() and int(text) < n_labels:
            return int(text)
        close = difflib.get_close_matches(text, names, n=3, cutoff=0.5)
        remedy = "Choose one of these"
        if not self.names:
            remedy = "Give --label-names to use names"
        elif close:
            remedy = f"Did you mean {' or '.join(map(repr, close))}? Choose one"
        raise LabelError(
            f"--label: {text!r} does not exist; expected an index from 0 to {n_labels - 1}"
            f"{' or a name of --label-names' if self.names else ''}, got {text!r}. {remedy}."
        )

    def find_labels(self, texts: Sequence[str]) -> int | list[int] | str | None:
        """Turn labels as they were typed into an index, several, or "top3"; none stays None."""
        top = re.fullmatch(r"top([1-9]\d*)", texts[0]) if len(texts) == 1 else None
        # A label may be called so.
        if top and texts[0] not in (self.names or []):
            if int(top[1]) > self.head.n_labels:
                raise LabelError(
                    f"--label: {texts[0]!r} are more than there are; expected at most 'top{self.head.n_labels}', got "
                    f"{texts[0]!r}. Choose fewer."
                )
            return texts[0]
        found = [self.find_label(text) for text in texts]
        indices = [index for index in found if index is not None]
        if len(set(indices)) < len(indices):
            raise LabelError(f"--label: expected different ones, got {list(texts)}. Name each once.")
        return indices if len(indices) > 1 else indices[0] if indices else None

    def check_positions(self, positions: Sequence[int]) -> None:
        """Check that there are images of these numbers, each asked for once."""
        for position in positions:
            self.check_position(position)
        if len(set(positions)) < len(positions):
            raise ParameterError(f"--image: expected different ones, got {list(positions)}. Name each once.")

    def check_position(self, position: int) -> None:
        """Check that there is an image of this number."""
        if not 0 <= position < len(self.images):
            raise ParameterError(
                f"--image: expected a number from 0 to {len(self.images) - 1}, got {position}. Choose one of these."
            )


def check_run_options(run: dict[str, Any]) -> None:
    """Check what needs no file to be read."""
    check_positive("dt", run["dt"], unit="seconds")
    check_seed(run["seed"])


def prepare(model: pathlib.Path, images: Sequence[pathlib.Path], options: dict[str, Any]) -> Job:
    """Read a model and images.

    Parameters
    ----------
    model : pathlib.Path
        File of the model.
    images : sequence of pathlib.Path
        Files of images to run.
    options : dict
        All options of `nengo_cam.cli.options`: how files are read, how firing rates are chosen, and how to run.

    Returns
    -------
    Job
        What was read.
    """
    check_run_options(options)
    scale = options.get("scale_firing_rates")
    if scale is not None and options["calibrate_on"]:
        raise ParameterError(
            "--calibrate-on: nothing is calibrated with one scale for all layers; expected it without "
            "--scale-firing-rates, got both. Leave one out."
        )
    from ..models import files

    label_names = options.get("label_names")
    names = None if label_names is None else _number(files.read_names(label_names))
    from ..models.source import read_model

    source = read_model(files.load_keras_model(model, unsafe=options["unsafe"], max_bytes=options["max_bytes"]))
    head = source.head
    if names is not None and len(names) != head.n_labels:
        raise InputFileError(
            f"--label-names {str(label_names)!r}: expected {head.n_labels} names, one a line for each label of "
            f"{head.readout!r}, got {len(names)}. Give the names that the model was trained with."
        )
    array, sources = _read_images(images, head.input_shape, options)
    samples, _ = _read_images(options["calibrate_on"], head.input_shape, options)
    calibration = {"calibrate_on": array if samples is None else samples}
    if scale is not None:
        calibration = {"scale_firing_rates": scale}
    return Job(source, head, array, sources, names, calibration, options)


def _number(names):
    """Leave empty lines at the end out, and give names that come twice a number."""
    while names and not names[-1].strip():
        names.pop()
    return number_twins(names)


def _read_images(paths, input_shape, options):
    """Read files into one array in the range that the model expects, and name the file of each image."""
    if not paths:
        return None, []
    import numpy as np

    from ..models import files

    size, fit, arrays, sources = input_shape[:-1], options["fit"], [], []
    how = {"fit": fit, "unsafe": options["unsafe"], "max_bytes": options["max_bytes"]}
    for path in paths:
        array = files.load_images(path, size=size, channels=input_shape[-1], **how)
        if path.suffix.lower() in files.PICTURE_SUFFIXES:
            _say_fit(path, files.picture_size(path), size, fit)
        arrays.append(_in_range(path, array, options["rescale"]))
        sources += [path.name] * len(array)
    shapes = sorted({array.shape[1:] for array in arrays})
    if len(shapes) > 1:
        raise InputFileError(f"images: expected one shape in all files, got {shapes}. Resize them.")
    return check_images(np.concatenate(arrays), input_shape), sources


def _say_fit(path, given, wanted, fit):
    """Say what was done to a picture whose sides have another ratio than the model takes."""
    (height, width), (rows, columns) = given, wanted
    # To a pixel of what it became: nobody sees less.
    if abs(height * columns - width * rows) <= max(height * 1.0, width * 1.0):
        return
    done = {
        "crop": "its middle was cut out",
        "pad": "gray bars were put beside it",
        "stretch": "it was squashed",
    }
    others = " and ".join(f"--fit {other}" for other in done if other != fit)
    click.echo(
        f"{path.name}: {width} x {height} pixels, for a model that takes {columns} x {rows}: {done[fit]} ({others} do "
        "otherwise).",
        err=True,
    )


def _in_range(path, array, rescale):
    """Rescale pixels from 0 to 255, and make sure that they are such."""
    if rescale is None and array.dtype.kind in "iu":
        raise ParameterError(
            f"images {str(path)!r}: whole numbers are pixels from 0 to 255, and nothing says which range the model was "
            f"trained on; expected --rescale, one of {list(RANGES)}, got none. Add it."
        )
    if rescale in (None, "none") or array.dtype.kind not in "iuf":
        return array
    if array.dtype.kind == "f" and array.size and array.max() <= 1:
        raise ParameterError(
            f"images {str(path)!r}: --rescale is for pixels from 0 to 255; expected such, got numbers up to "
            f"{array.max():g}. Leave it out or give 'none'."
        )
    if array.size and (array.min() < 0 or array.max() > _BRIGHTEST):
        raise ParameterError(
            f"images {str(path)!r}: --rescale is for pixels from 0 to {_BRIGHTEST}; expected such, got numbers from "
            f"{array.min():g} to {array.max():g}. Save them in this range, or in the model's own and give 'none'."
        )
    low, high = map(float, rescale.split(","))
    return array.astype("float32") / _BRIGHTEST * (high - low) + low
