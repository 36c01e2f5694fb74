"""Whether a map shows what a network goes by: mask the image in the map's order, and ask the network again.

Everything here takes ``predict``, any callable from images to scores of shape (N, L); `nengo_cam.measurement.predict`
makes them, so that rate and spiking networks are judged by the same rule.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter
from tqdm.auto import tqdm

from ..checks.parameters import check_count, check_seed, is_whole
from ..exceptions import ParameterError, ResultError
from .pixels import check_interpolation, check_pairs, choose_labels, on_pixels, one_per_image, score

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import ArrayLike

__all__ = ["average_drop", "faithfulness"]

#: Width of the Gaussian of baseline="blur", as a fraction of the image's longest side.
_BLUR = 0.1


def faithfulness(
    predict: Callable[[np.ndarray], ArrayLike],
    images: ArrayLike,
    maps: xr.DataArray,
    *,
    labels: int | ArrayLike | None = None,
    fractions: int | Sequence[float] = 21,
    baseline: Literal["mean", "blur"] | ArrayLike = "mean",
    interpolation: Literal["linear", "nearest"] = "linear",
    seed: int = 0,
    minibatch_size: int = 16,
    progress_bar: bool = True,
) -> xr.Dataset:
    r"""Measure deletion and insertion curves of maps, beside those of random maps.

    Pixels are ranked by the map, strongest first. *Deletion* replaces the first fraction of them by the baseline;
    *insertion* starts from the baseline and puts the first fraction back. The score :math:`s(f)` of the label is read
    after each, and the area under it is :math:`\int_0^1 s(f)\,df` by the trapezoidal rule [1]_. A map that shows what
    the network goes by has a small deletion area and a large insertion area. The random maps have a value drawn from
    a uniform distribution in each cell, and are brought to pixels in the same way.

    Parameters
    ----------
    predict : callable
        From images (N, Y, X, channels) to scores (N, L), probabilities or logits.
    images : array_like of shape (N, Y, X, channels)
        Images that the maps belong to.
    maps : xarray.DataArray with dims (image, label, y, x) or (image, y, x)
        Maps at one time, such as ``rate_cam(...).cam`` or ``cumulative(spiking).cam.isel(time=-1)``, which is the last
        level where levels are held, with the pixel coordinates ``y`` and ``x``. 1-D models drop ``y``, 3-D models add
        ``z``.
    labels : int or array_like of shape (N,), optional
        Label whose map and score are taken, for each image, as a column of the scores. Default: that with the highest
        score for the whole image.
    fractions : int or sequence of float
        Number of fractions, evenly spaced, or the fractions themselves, rising from 0 to 1.
    baseline : float, {"mean", "blur"} or array_like
        What masked pixels become: a value; the mean of each image and channel; the image blurred by a Gaussian whose
        standard deviation is a tenth of its longest side; or an array that broadcasts to ``images``.
    interpolation : {"linear", "nearest"}
        How pixels get their value from the cells of the map; see `on_pixels`.
    seed : int
        Seed of the random maps.
    minibatch_size : int
        Images that are masked at a time; ``predict`` is called with that many times the number of fractions.
    progress_bar : bool
        Whether to show the progress.

    Returns
    -------
    xarray.Dataset
        ``deletion`` and ``insertion`` (order, image, fraction), ``deletion_area`` and ``insertion_area`` (order,
        image), in the unit of the scores, and ``label`` (image). ``order`` is ``"map"`` or ``"random"``. Pixels of the
        same value go in the order in which they lie in the image.

    Raises
    ------
    ImageError
        If images and maps do not belong together.
    ResultError
        If ``maps`` is not an array of such dims, or ``predict`` gives something else than (N, L) finite scores.
    LabelError
        If a label has no map or no score.
    ParameterError
        If another argument is out of its range.

    References
    ----------
    .. [1] Petsiuk, Das and Saenko (2018). RISE: Randomized Input Sampling for Explanation of Black-box Models. BMVC.
       arXiv:1806.07421, the metrics "deletion" and "insertion".

    Examples
    --------
    >>> found = ncam.faithfulness(ncam.rate_predict(model), images, rate.cam, fractions=6, progress_bar=False)
    >>> found.deletion.dims
    ('order', 'image', 'fraction')
    """
    parts = _check_fractions(fractions)
    check_count("minibatch_size", minibatch_size)
    check_seed(seed)
    images, maps = check_pairs(images, maps)
    fill = _baseline(baseline, images)
    check_interpolation(interpolation)
    labels, _ = choose_labels(predict, images, maps, labels)
    chosen = one_per_image(maps, labels)
    # As many cells as the maps have: their pixels go together, and only the order is another.
    noise = chosen.copy(data=np.random.default_rng(seed).random(chosen.shape))
    scores = {name: np.empty((2, len(images), len(parts))) for name in ("deletion", "insertion")}
    with tqdm(total=4 * len(images), unit="curve", disable=not progress_bar) as progress:
        for i, order in enumerate((chosen, noise)):
            ranks = _ranks(on_pixels(order, images.shape[1:-1], interpolation=interpolation))
            for start in range(0, len(images), minibatch_size):
                rows = slice(start, start + minibatch_size)
                # For each fraction, the pixels that go first.
                first = ranks[rows, None] < np.rint(parts * ranks[0].size).reshape(-1, *[1] * (ranks.ndim - 1))
                for name, keep in (("deletion", ~first), ("insertion", first)):
                    masked = np.where(keep[..., None], images[rows, None], fill[rows, None])
                    values = score(predict, masked.reshape(-1, *images.shape[1:]))
                    values = values.reshape(*masked.shape[:2], -1)
                    scores[name][i, rows] = np.take_along_axis(values, labels[rows, None, None], axis=-1)[..., 0]
                    progress.update(len(masked))
    curve = ("order", "image", "fraction")
    variables: dict[str, Any] = {}
    for name, values in scores.items():
        # By trapezoids; NumPy's own function has another name in NumPy 2.
        area = (np.diff(parts) * (values[..., 1:] + values[..., :-1]) / 2).sum(axis=-1)
        variables[name] = (curve, values, {"long_name": f"score after {name}"})
        variables[f"{name}_area"] = (curve[:2], area, {"long_name": f"area under the {name} curve"})
    coords = {
        "order": ["map", "random"],
        "image": chosen.image.values,
        "fraction": ("fraction", parts, {"units": "1", "long_name": "pixels, of all"}),
        "label": ("image", labels),
    }
    attrs = {
        "baseline": baseline if isinstance(baseline, (str, numbers.Real)) else "array",
        "interpolation": interpolation,
        "seed": seed,
    }
    return xr.Dataset(variables, coords, attrs)


def average_drop(
    predict: Callable[[np.ndarray], ArrayLike],
    images: ArrayLike,
    maps: xr.DataArray,
    *,
    labels: int | ArrayLike | None = None,
    baseline: Literal["mean", "blur"] | ArrayLike = 0.0,
    interpolation: Literal["linear", "nearest"] = "linear",
    minibatch_size: int = 64,
) -> xr.Dataset:
    r"""Measure how much of a score is lost, or gained, if only what the map shows is left of the image.

    The map is rectified and divided by its maximum; a pixel keeps that part of itself, the rest is the baseline. With
    the score :math:`Y_i` of the whole image and :math:`O_i` of what is left, the drop is
    :math:`100 \max(0, Y_i - O_i) / Y_i`, the increase :math:`100\,[Y_i < O_i]` [1]_. Low drops and many increases are
    good. A map without positive values leaves the baseline.

    Parameters
    ----------
    predict, images, maps, labels, interpolation
        As for `faithfulness`; scores have to be positive for whole images: probabilities, not logits.
    baseline : float, {"mean", "blur"} or array_like
        As for `faithfulness`; zero is what the paper has.
    minibatch_size : int
        Images that ``predict`` is called with.

    Returns
    -------
    xarray.Dataset
        ``drop`` and ``increase`` (image) [%], their means ``average_drop`` and ``average_increase`` [%], ``score`` and
        ``score_left`` (image), and ``label`` (image).

    Raises
    ------
    ImageError, ResultError, LabelError, ParameterError
        As for `faithfulness`; `ResultError` also if a score is not positive.

    References
    ----------
    .. [1] Chattopadhay et al. (2018). Grad-CAM++: Generalized Gradient-based Visual Explanations for Deep Convolutional
       Networks. WACV. arXiv:1710.11063, "Average Drop %" and "% Increase in Confidence".
    """
    check_count("minibatch_size", minibatch_size)
    images, maps = check_pairs(images, maps)
    fill = _baseline(baseline, images)
    check_interpolation(interpolation)
    labels, scores = choose_labels(predict, images, maps, labels)
    rows = np.arange(len(images))
    whole = scores[rows, labels]
    if not (whole > 0).all():
        raise ResultError(
            f"predict: a drop is a part of the score; expected positive scores, got {whole.min():g} for image "
            f"{whole.argmin()}. Give probabilities."
        )
    strength = np.maximum(on_pixels(one_per_image(maps, labels), images.shape[1:-1], interpolation=interpolation), 0)
    largest = strength.reshape(len(images), -1).max(axis=1).reshape(-1, *[1] * (strength.ndim - 1))
    strength = np.divide(strength, largest, out=np.zeros_like(strength), where=largest > 0)[..., None]
    shown = (strength * images + (1 - strength) * fill).astype(np.float32)
    parts = range(0, len(images), minibatch_size)
    left = np.concatenate([score(predict, shown[i : i + minibatch_size]) for i in parts])[rows, labels]
    drop, increase = 100 * np.maximum(whole - left, 0) / whole, 100.0 * (left > whole)
    percent = {"units": "%"}
    variables = {
        "drop": ("image", drop, {**percent, "long_name": "drop of the score"}),
        "increase": ("image", increase, {**percent, "long_name": "whether the score rises"}),
        "average_drop": ((), drop.mean(), {**percent, "long_name": "mean drop"}),
        "average_increase": ((), increase.mean(), {**percent, "long_name": "images whose score rises"}),
        "score": ("image", whole, {"long_name": "score of the image"}),
        "score_left": ("image", left, {"long_name": "score of what the map leaves"}),
    }
    return xr.Dataset(variables, {"image": maps.image.values, "label": ("image", labels)})


def _ranks(values):
    """Rank the pixels of each image, the strongest 0."""
    flat = values.reshape(len(values), -1)
    # Stable, so that equally strong pixels go in the same order everywhere.
    order = np.argsort(-flat, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], axis=1)
    return ranks.reshape(values.shape)


def _check_fractions(fractions):
    """Spell out the fractions."""
    if is_whole(fractions) and fractions >= 2:
        return np.linspace(0, 1, fractions)
    values = np.asarray(fractions, dtype=float) if np.iterable(fractions) else np.zeros(0)
    if values.ndim != 1 or len(values) < 2 or values[0] != 0 or values[-1] != 1 or not (np.diff(values) > 0).all():
        raise ParameterError(
            f"fractions: expected a number of at least 2, or fractions that rise from 0 to 1, got {fractions!r}. Try "
            "fractions=21."
        )
    return values


def _baseline(baseline, images):
    """Return what masked pixels become, in the shape of the images."""
    if isinstance(baseline, str) and baseline in ("mean", "blur"):
        axes = tuple(range(1, images.ndim - 1))
        if baseline == "mean":
            return np.broadcast_to(images.mean(axis=axes, keepdims=True), images.shape)
        sigma = _BLUR * max(images.shape[1:-1])
        return gaussian_filter(images, (0, *[sigma] * len(axes), 0), mode="nearest")
    try:
        fill = np.broadcast_to(np.asarray(baseline, dtype=np.float32), images.shape)
    except ValueError as err:
        raise ParameterError(
            f"baseline: expected a number, 'mean', 'blur' or an array that broadcasts to {images.shape}, got "
            f"{baseline if isinstance(baseline, str) else np.shape(baseline)!r}. Try 'mean'."
        ) from err
    if not np.isfinite(fill).all():
        raise ParameterError("baseline: expected finite values, got NaN or infinity. Try 'mean'.")
    return fill
