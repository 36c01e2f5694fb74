"""Arrays that users probed themselves, made into the Dataset that everything reads."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import nengo
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from .. import compat
from ..checks.callers import user_stacklevel
from ..checks.memory import check_room
from ..checks.parameters import check_positive, is_whole
from ..conversion.convert import as_synapse
from ..exceptions import LayoutError, ParameterError, SilentFeaturesWarning
from ..models.coordinates import name_places
from ..models.geometry import even_centers
from ..models.head import CAMHead
from .cam import class_activation_map
from .labels import choose_labels, name_labels
from .layouts import check_logits_shape, layout_of_head, layout_of_kernel
from .maps_dataset import EveryLabel, label_maps, maps_dataset, part_labels
from .provenance import time_axis
from .readings import Evidence, check_logits

__all__ = ["cam_dataset"]

_SPIKE_KINDS = ("unit", "signed unit", "power of two", "graded", "none")


def cam_dataset(
    features: ArrayLike,
    head_or_kernel: CAMHead | ArrayLike,
    *,
    logits: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    dt: float | None = 0.001,
    synapse: nengo.synapses.Synapse | float | None = None,
    map_shape: Sequence[int] | None = None,
    input_shape: Sequence[int] | None = None,
    labels: int | str | Sequence[int | str] | None = None,
    label_names: Sequence[str] | None = None,
    coords: Mapping[str, Any] | None = None,
    readout: Literal["mean", "level"] = "mean",
    spike_kind: str | None = None,
    keep_features: bool = False,
) -> xr.Dataset:
    """Make the Dataset that everything reads from arrays that you probed yourself.

    The map is ``kernel`` times features, as in `nengo_cam.class_activation_map`; nothing runs. Logits that were probed
    in the same run tell whether the arrays are read as they are meant: mean of the map + bias = logit. If they are not,
    the other reading that fits is named. Completeness cannot see what leaves the mean over positions alone: rows taken
    for columns, or another ``map_shape`` with as many positions.

    Parameters
    ----------
    features : array_like of shape (N, T, Y*X*K), (N, T, Y, X, K), (T, Y*X*K) or (T, Y, X, K)
        Activity that is pooled, at every step, channels last [the layer's activation]: ``sim.data[probe]`` as it comes,
        of N images or of one. Models of one dimension drop Y, those of three add Z in front.
    head_or_kernel : CAMHead or array_like of shape (K, L) or (L, K)
        What `nengo_cam.find_head` gives, which knows the model, the map and its place in the image. Or the readout's
        weights [logit per unit of activity]: (K, L) as Keras has them, or (L, K) as ``sim.data[connection].weights``.
        The features tell which; a square matrix is taken for (K, L). For a model that was trained further, put the
        simulator's weights into the head: ``dataclasses.replace(head, kernel=weights.T, bias=bias)``.
    logits : array_like of shape (N, T, L) or (T, L), optional
        Logits of the same run, before any softmax. Default: mean of the map + bias.
    bias : array_like of shape (L,) or float, optional
        Readout bias [logit]. Default: that of the head; with a kernel 0, as of a readout without bias.
    dt : float or None
        Time from one step of the arrays to the next [s]. None for arrays without an axis of time, (N, Y*X*K) or
        (N, Y, X, K), as those of a network without spikes; the result is then as from `nengo_cam.rate_cam`.
    synapse : nengo.synapses.Synapse, float or None
        Synapse that features were probed through, which should be that of their connection into the pooling, or the
        time constant of a lowpass filter [s]. It is written down, and not applied.
    map_shape : sequence of int, optional
        Shape (Y, X) of the map; (X,) or (Z, Y, X). A head knows it. With a kernel it is needed for flat features, and
        for those of one image or of maps of one dimension, unless logits tell which axes are which.
    input_shape : sequence of int, optional
        Shape (Y, X, channels) of an image, so that maps lie on images; the cells divide it evenly. A head knows it.
        Without it a cell counts as a pixel.
    labels : int, str or sequence of them, optional
        Labels to map, by index or name. Default: all.
    label_names : sequence of str, optional
        Names of all L labels.
    coords : mapping of {str: sequence}, optional
        What rows and columns of the input are called, as for `nengo_cam.convert`; with a head or ``input_shape``.
    readout : {"mean", "level"}
        "mean" if maps are to be averaged over time, as those of spikes; "level" if a step is an estimate by itself, as
        with `nengo_cam.SigmaDelta` or neurons that do not spike.
    spike_kind : str, optional
        What the neurons send: "unit", "signed unit", "power of two", "graded", several of them joined by commas, or
        "none". Default: not said.
    keep_features : bool
        Whether the result has the features too, a view of the array where it can be.

    Returns
    -------
    xarray.Dataset
        As from `nengo_cam.spiking_cam`: ``cam`` (image, time, label, y, x), ``logits`` (image, time, label), ``bias``
        (label) and perhaps ``features`` (image, time, channel, y, x), in single precision unless an array has more.
        ``attrs["logits_from"]`` is "probe" if logits were given, and so checked, and "maps" if they follow from the
        maps. What is not known, such as the seed or the CNN's answers, is not there.

    Raises
    ------
    LayoutError
        If features, kernel, map and logits do not fit each other, by their shapes or by completeness.
    ParameterError
        If an array is empty, masked, not of real numbers, or holds NaN or infinity; if maps are beyond the range of
        numbers; if another argument is not what it should be.
    LabelError
        If a label does not exist, or ``label_names`` does not name all labels.
    ResultSizeError
        If the result would be larger than the memory that is free.

    Warns
    -----
    SilentFeaturesWarning
        If all features are zero.

    See Also
    --------
    nengo_cam.spiking_cam : The same for a network that `nengo_cam.convert` made, without the arrays.

    Examples
    --------
    >>> with ncam.Simulator(net.net, minibatch_size=4, progress_bar=False) as sim:
    ...     sim.run_steps(30, data={net.input: np.tile(images.reshape(4, 1, -1), (1, 30, 1))})
    ...     features, logits = sim.data[net.features], sim.data[net.logits]
    ...     weights, bias = sim.data[net.readout].weights, net.readout_parameters(sim)[1]
    >>> features.shape, weights.shape
    ((4, 30, 50176), (10, 64))
    >>> where = {"map_shape": (28, 28), "input_shape": (28, 28, 1)}
    >>> mine = ncam.cam_dataset(features, weights, logits=logits, bias=bias, **where)
    >>> mine.cam.dims, mine.cam.shape
    (('image', 'time', 'label', 'y', 'x'), (4, 30, 10, 28, 28))
    """
    _check_options(dt, synapse, readout, spike_kind)
    through = as_synapse(synapse)
    given = _read(features, head_or_kernel, logits, bias, map_shape, input_shape, timed=dt is not None)
    head = _with_coordinates(given.head, coords)
    names = name_labels(head, label_names)
    chosen = choose_labels(head, labels, names, named=label_names is not None)
    if given.logits is not None:
        check_logits(Evidence(given.features, head.kernel, given.bias, given.logits, dt or 1.0, through, given.leading))
    arrays, every = part_labels(_map(given, chosen, keep_features), chosen, names, given.bias)
    how: dict[str, Any] = {"logits_from": "maps" if given.logits is None else "probe"}
    axes: dict[str, Any] = {}
    if dt is None:
        arrays = {name: values[:, 0] for name, values in arrays.items()}
        every = every and EveryLabel(every.names, every.bias, every.logits[:, 0])
    else:
        n_steps = arrays["cam"].shape[1]
        axes["time"] = time_axis(n_steps, dt)
        how.update(dt=float(dt), readout=readout, n_steps=n_steps, synapse=str(through))
        if spike_kind is not None:
            how["spike_kind"] = spike_kind
    about = (arrays, given.bias[chosen], names[chosen], axes)
    if isinstance(head_or_kernel, CAMHead):
        return maps_dataset(head, *about, how, every=every)
    # What a kernel does not know is left out, not made up: readers take it as unknown.
    place = {"input_shape": list(head.input_shape), "cell_centers": "image divided evenly"} if head.input_shape else {}
    dataset = label_maps(head, *about, place="pixel" if place else "cell", every=every)
    return dataset.assign_attrs(place, n_labels=int(head.n_labels), **how, **compat.package_versions())


class _Given(NamedTuple):
    """What a user gave, with an axis for images and one for time, of length 1 where the user's arrays have none.

    Attributes
    ----------
    head : CAMHead
        The user's, or what a kernel tells of one.
    features : ndarray of shape (N, T, [[Z,] Y,] X, K)
    logits : ndarray of shape (N, T, L) or None
    bias : ndarray of shape (L,)
    leading : tuple of int
        Of (N, T), the axes that the user's arrays have.
    """

    head: CAMHead
    features: NDArray[Any]
    logits: NDArray[Any] | None
    bias: NDArray[Any]
    leading: tuple[int, ...]


def _read(features, head_or_kernel, logits, bias, map_shape, input_shape, *, timed):
    """Check all arrays by themselves and by their shapes, and bring them into one form."""
    array = _numbers("features", features)
    outputs = None if logits is None else _numbers("logits", logits)
    offsets = None if bias is None else _numbers("bias", bias)
    if isinstance(head_or_kernel, CAMHead):
        head = head_or_kernel
        _check_known("map_shape", map_shape, head.map_shape)
        _check_known("input_shape", input_shape, head.input_shape)
        leading = layout_of_head(array.shape, head.kernel, head.map_shape, timed=timed).leading
    else:
        layout = layout_of_kernel(
            array.shape,
            _matrix(head_or_kernel),
            None if map_shape is None else _shape("map_shape", map_shape, (1, 2, 3)),
            n_labels=_n_labels(outputs, offsets),
            n_leading=None if outputs is None else _n_leading(array.shape, outputs.shape[:-1], timed),
            timed=timed,
        )
        leading, head = layout.leading, _head_of_kernel(layout, input_shape)
    rows = (leading[0], 1) if not timed else leading if len(leading) == 2 else (1, *leading)
    if outputs is not None:
        check_logits_shape(outputs.shape, rows if timed else leading, head.n_labels)
        outputs = outputs.reshape((*rows, head.n_labels))
    array = array.reshape((*rows, *head.map_shape, head.n_channels))
    return _Given(head, array, outputs, _bias(head.bias if offsets is None else offsets, head.n_labels), leading)


def _map(given, chosen, keep_features):
    """Make maps of the labels that were chosen, and logits of all."""
    maps = _project(given.features, given.head.kernel[:, chosen])
    if given.logits is None:
        # Of the pooled features, as there may be labels without maps.
        pooled = given.features.mean(axis=tuple(range(2, given.features.ndim - 1)), dtype=float)
        arrays = {"cam": maps, "logits": (pooled @ given.head.kernel + given.bias).astype(maps.dtype)}
    else:
        arrays = {"cam": maps, "logits": given.logits.astype(_floating(given.logits), copy=False)}
    if keep_features:
        arrays["features"] = np.moveaxis(given.features.astype(maps.dtype, copy=False), -1, 2)
    return arrays


def _with_coordinates(head, coords):
    if coords is not None and not head.input_shape:
        raise ParameterError(
            f"coords: they are of the pixels of the input, whose number a kernel does not know; expected input_shape, "
            f"got None beside {sorted(map(str, coords))}. Pass it."
        )
    return name_places(head, coords)


def _check_options(dt, synapse, readout, spike_kind):
    if dt is not None:
        check_positive("dt", dt, unit="seconds")
    elif synapse is not None:
        raise ParameterError(
            f"synapse: arrays without time passed none; expected None where dt is None, got {synapse!r}. Leave it out."
        )
    if not isinstance(readout, str) or readout not in ("mean", "level"):
        raise ParameterError(
            f"readout: expected 'mean' or 'level', got {readout!r}. Take 'mean' for spikes of one size, and 'level' "
            "for levels that are held and for neurons that do not spike."
        )
    kinds = spike_kind.split(", ") if isinstance(spike_kind, str) else [spike_kind]
    if spike_kind is not None and not set(kinds) <= set(_SPIKE_KINDS):
        raise ParameterError(
            f"spike_kind: expected one of {list(_SPIKE_KINDS)}, several joined by ', ', or None, got {spike_kind!r}. "
            "Leave it out if it is not known."
        )


def _numbers(name: str, values: Any) -> NDArray[Any]:
    """Make an array of what a user gave, which is copied only if it is no array."""
    # NumPy forgets masks on the way, and shows what was hidden.
    if np.ma.is_masked(values):
        raise ParameterError(
            f"{name}: some values are masked; expected numbers, got {np.ma.count_masked(values)} masked values. Fill "
            "them, e.g. with .filled(0)."
        )
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as err:
        raise ParameterError(
            f"{name}: not an array; expected numbers, got {type(values).__name__}: {err}. Give all parts one shape."
        ) from err
    if array.dtype.kind not in "buif":
        raise ParameterError(
            f"{name}: not real numbers; expected an array of them, got {type(values).__name__} with dtype "
            f"{array.dtype}. Pass sim.data[...] as it comes, dense."
        )
    if array.size == 0:
        raise ParameterError(f"{name}: empty; expected at least one value, got shape {array.shape}. Run some steps.")
    # Image by image: what tells finite numbers takes a byte for each.
    for index, part in enumerate(np.atleast_1d(array)):
        if not np.isfinite(part).all():
            raise ParameterError(
                f"{name}: not finite; expected numbers, got NaN or infinity in {name}[{index}]. Find the step where it "
                "begins: a run that diverged has no maps."
            )
    return array


def _matrix(weights):
    matrix = _numbers("head_or_kernel", weights)
    if matrix.ndim != 2:
        remedy = "Pass sim.data[connection].weights of the readout, or find_head(model)"
        if matrix.ndim > 2 and math.prod(matrix.shape[:-2]) == 1:
            remedy = f"Drop the axes of a 1 x 1 convolution: kernel.reshape{matrix.shape[-2:]}"
        raise LayoutError(
            f"head_or_kernel: not a matrix; expected a CAMHead or weights of shape (K, L) or (L, K), got shape "
            f"{matrix.shape}. {remedy}.",
            layout="kernel",
        )
    return matrix


def _shape(name, value, n_axes):
    """Check a shape that a user gave; ``n_axes`` says how many axes it may have."""
    shape = tuple(value) if np.iterable(value) and not isinstance(value, str) else ()
    if len(shape) not in n_axes or not all(is_whole(n) and n > 0 for n in shape):
        raise ParameterError(
            f"{name}: expected {' or '.join(map(str, n_axes))} whole numbers of at least 1, got {value!r}. Count the "
            f"cells along each axis{', and the channels' if name == 'input_shape' else ''}."
        )
    return tuple(int(n) for n in shape)


def _check_known(name, given, known):
    """Refuse what a user says otherwise than the head."""
    if given is not None and _shape(name, given, (len(known),)) != tuple(known):
        raise LayoutError(
            f"{name}: the head knows another; expected {tuple(known)} or None, got {given!r}. Leave it out.",
            layout=f"another {name}",
        )


def _n_labels(outputs, offsets):
    """How many labels there are, as far as other arrays than the kernel tell."""
    if outputs is not None and outputs.ndim:
        return outputs.shape[-1]
    return None if offsets is None or offsets.ndim != 1 else len(offsets)


def _n_leading(shape, rows, timed):
    """How many axes of features stand before those of the map, as images and steps of logits tell; None if not."""
    if not timed:
        # Logits of an image without an axis for it tell nothing.
        return 1 if len(rows) == 1 and shape[:1] == rows else None
    if len(rows) == 1 and shape[:2] == (1, *rows):
        # Of one image, either of the two may lack the axis of images.
        return 2
    if len(rows) == 2 and rows[0] == 1 and shape[0] == rows[1] > 1:
        return 1
    return len(rows) if len(rows) in (1, 2) else None


def _bias(values, n_labels):
    if values.shape not in ((), (n_labels,)):
        raise LayoutError(
            f"bias: not of the labels of the kernel; expected shape ({n_labels},), got {values.shape}. Pass that of "
            "the same readout.",
            layout="bias",
        )
    return np.broadcast_to(values, (n_labels,)).astype(_floating(values))


def _floating(array):
    """Single precision, or what an array needs."""
    return np.result_type(array.dtype, np.float32)


def _head_of_kernel(layout, input_shape):
    """Describe what is known of a model if a kernel is all there is."""
    sizes, n_labels = layout.map_shape, layout.kernel.shape[1]
    shape = () if input_shape is None else _shape("input_shape", input_shape, (len(sizes) + 1,))
    # Without the size of the image a cell is a pixel.
    return CAMHead(
        model="",
        features="the features",
        pooling="global average pooling",
        readout="head_or_kernel",
        activation="linear",
        kernel=layout.kernel,
        bias=np.zeros(n_labels, np.float32),
        input_shape=shape,
        map_shape=sizes,
        centers=even_centers(shape or sizes, sizes),
        exact_centers=False,
    )


def _project(features, kernel):
    """Project features (N, T, ..., K) onto labels, image by image: nothing of their size is made a second time."""
    dtype = _floating(features)
    leading, cells, n_labels = features.shape[:2], features.shape[2:-1], kernel.shape[1]
    shape = (*leading, n_labels, *cells)
    size = "x".join(map(str, cells))
    check_room(
        math.prod(shape) * dtype.itemsize,
        what=f"result: maps of {leading[0]:,} images x {leading[1]:,} steps x {n_labels:,} labels x {size} cells",
        remedy="Map fewer labels (labels=), or a part of the images at a time.",
    )
    maps, kernel = np.empty(shape, dtype), kernel.astype(dtype)
    # What overflows is refused below, without a warning before it.
    with np.errstate(over="ignore", invalid="ignore"):
        for image, projected in zip(features, maps):
            projected[...] = np.moveaxis(class_activation_map(image.astype(dtype, copy=False), kernel), -1, 1)
    if not np.isfinite(maps).all():
        raise ParameterError(
            f"features: the maps are beyond the range of numbers; expected finite maps in {dtype}, got infinity. Scale "
            "the features, or pass them in double precision."
        )
    if not any(image.any() for image in features):
        warnings.warn(
            f"features: all {features.size:,} values are zero, so the maps are zero. Probe neurons that spike, at "
            "every step of the run.",
            SilentFeaturesWarning,
            stacklevel=user_stacklevel(),
        )
    return maps
