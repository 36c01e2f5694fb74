"""From files to a network and the images that it runs."""

import dataclasses
import difflib
from typing import Any, Optional

import click

from ..exceptions import InputFileError, LabelError, ParameterError
from ..images import check_images
from ..parameters import check_positive, check_seed, number_twins
from .options import RANGES, convert_options

__all__ = ["Job", "check_run_options", "prepare"]


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """A model and what is to be done with it, read and checked, but nothing run yet.

    Attributes
    ----------
    model : tf.keras.Model
        The model.
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

    model: Any
    head: Any
    images: Any
    sources: list
    names: Optional[list]
    calibration: dict
    run: dict

    def convert(self):
        """Convert the model."""
        import nengo_cam

        net = nengo_cam.convert(self.model, **convert_options(self.run), **self.calibration)
        if self.calibration.get("calibrate_on") is self.images is not None:
            given = f"{len(self.images)} image{'s' if len(self.images) > 1 else ''} given"
            click.echo(f"Firing rates are calibrated on the {given}; --calibrate-on takes others.", err=True)
        return net

    def find_label(self, text):
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

    def check_position(self, position):
        """Check that there is an image of this number."""
        if not 0 <= position < len(self.images):
            raise ParameterError(
                f"--image: expected a number from 0 to {len(self.images) - 1}, got {position}. Choose one of these."
            )


def check_run_options(run):
    """Check what needs no file to be read."""
    check_positive("dt", run["dt"], unit="seconds")
    check_seed(run["seed"])


def prepare(
    model, images, run, *, calibrate_on=(), scale_firing_rates=None, label_names=None, rescale=None, unsafe=False
):
    """Read a model and images.

    Parameters
    ----------
    model : pathlib.Path
        File of the model.
    images, calibrate_on : sequence of pathlib.Path
        Files of images to run, and of those that firing rates are calibrated on; without these, on those that run.
    run : dict
        Options of the command line that say how the network runs.
    scale_firing_rates : float or None
        One scale for all layers instead [Hz per unit].
    label_names : pathlib.Path or None
        File of names, one a line.
    rescale : str or None
        Range that the model expects.
    unsafe : bool
        Whether code from files may run.

    Returns
    -------
    Job
        What was read.
    """
    check_run_options(run)
    names = None if label_names is None else _read_names(label_names)
    from .. import model_files

    keras_model = model_files.load_keras_model(model, unsafe=unsafe)
    import nengo_cam

    head = nengo_cam.find_head(keras_model)
    if names is not None and len(names) != head.n_labels:
        raise InputFileError(
            f"--label-names {str(label_names)!r}: expected {head.n_labels} names, one a line for each label of "
            f"{head.readout!r}, got {len(names)}. Give the names that the model was trained with."
        )
    array, sources = _read_images(images, head.input_shape, rescale, unsafe)
    samples, _ = _read_images(calibrate_on, head.input_shape, rescale, unsafe)
    calibration = {"calibrate_on": array if samples is None else samples}
    if scale_firing_rates is not None:
        calibration = {"scale_firing_rates": scale_firing_rates}
    return Job(keras_model, head, array, sources, names, calibration, run)


def _read_names(path):
    try:
        names = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as err:
        raise InputFileError(
            f"label names {str(path)!r}: expected UTF-8, got something else ({err}). Save it so."
        ) from err
    while names and not names[-1].strip():
        names.pop()
    return number_twins(names)


def _read_images(paths, input_shape, rescale, unsafe):
    """Read files into one array in the range that the model expects, and name the file of each image."""
    if not paths:
        return None, []
    import numpy as np

    from .. import model_files

    arrays, sources = [], []
    for path in paths:
        array = model_files.load_images(path, size=input_shape[:2], channels=input_shape[-1], unsafe=unsafe)
        arrays.append(_in_range(path, array, rescale))
        sources += [path.name] * len(array)
    shapes = sorted({array.shape[1:] for array in arrays})
    if len(shapes) > 1:
        raise InputFileError(f"images: expected one shape in all files, got {shapes}. Resize them.")
    return check_images(np.concatenate(arrays), input_shape), sources


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
    low, high = map(float, rescale.split(","))
    return array.astype("float32") / 255 * (high - low) + low
