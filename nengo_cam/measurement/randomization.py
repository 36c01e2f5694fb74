"""Whether maps depend on what a model has learned: shuffle its weights, and see the maps change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from tqdm.auto import tqdm

from .. import compat
from ..checks.images import check_images
from ..checks.parameters import check_seed
from ..exceptions import ModelTypeError, ParameterError
from ..models.keras3 import as_keras2
from ..models.source import read_model
from ..scoring.agreement import correlation
from ..scoring.pixels import check_pairs, choose_labels, one_per_image
from .cam import rate_cam
from .predict import rate_predict

__all__ = ["cascading_randomization", "randomize"]


def randomize(model: Any, *, layers: str | Sequence[str] | None = None, seed: int = 0) -> Any:
    """Copy a model, and shuffle the weights of some layers.

    Each array of weights keeps its values, so activity stays of the same order, but nothing of what was learned is
    left in their places.

    Parameters
    ----------
    model : tf.keras.Model
        Functional or Sequential model. It is not changed.
    layers : str or sequence of str, optional
        Names of the layers. Default: all that have weights.
    seed : int
        Seed. A layer is shuffled in the same way whichever others are.

    Returns
    -------
    tf.keras.Model
        The copy.

    Raises
    ------
    ModelTypeError
        If it is not a Keras model.
    UnsupportedModelError
        If it is a model of Keras 3 that cannot be rebuilt.
    ParameterError
        If a layer is not there or has no weights, or ``seed`` is not a seed.

    Examples
    --------
    >>> shuffled = ncam.randomize(model, layers="readout")
    >>> before, after = model.get_layer("readout").get_weights()[0], shuffled.get_layer("readout").get_weights()[0]
    >>> np.array_equal(before, after), np.array_equal(np.sort(before, axis=None), np.sort(after, axis=None))
    (False, True)
    """
    tf = compat.import_tensorflow()
    model = as_keras2(model)
    if not isinstance(model, tf.keras.Model):
        raise ModelTypeError(
            f"model: expected a Keras model, got {type(model).__module__}.{type(model).__name__}. Pass the model, not "
            "the converted network."
        )
    check_seed(seed)
    weighted = _weighted_layers(model)
    layers = weighted if layers is None else [layers] if isinstance(layers, str) else list(layers)
    unknown = [name for name in layers if name not in weighted]
    if unknown:
        raise ParameterError(
            f"layers: {unknown[0]!r} cannot be randomized; expected layers of {model.name!r} with weights, "
            f"{weighted}, got {unknown[0]!r}. Choose some of these."
        )
    # Keras draws new weights for a clone.
    copy = tf.keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for name in layers:
        # A generator for each layer: its shuffle does not depend on which others are shuffled.
        rng = np.random.default_rng([seed or 0, weighted.index(name)])
        layer = copy.get_layer(name)
        layer.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in layer.get_weights()])
    return copy


def cascading_randomization(
    model: Any,
    images: ArrayLike,
    *,
    maps: Callable[[Any, Any], xr.DataArray] | None = None,
    labels: int | ArrayLike | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 0,
    progress_bar: bool = True,
) -> xr.Dataset:
    """Check that maps depend on what the model has learned: randomize it from the top, and see the maps change.

    Layers are randomized one after the other, from the readout down, each on top of those before it [1]_. Maps that
    stay alike show the image, not the model.

    Parameters
    ----------
    model : tf.keras.Model
        Functional or Sequential model with a GAP head.
    images : array_like of shape (N, Y, X, channels)
        Images.
    maps : callable, optional
        From a model and images to a DataArray (image, label, y, x). Default: ``rate_cam(model, images).cam``. For
        spikes, convert the model in it, and return the maps at one time.
    labels : int or array_like of shape (N,), optional
        Label whose map is compared, for each image. Default: that with the highest logit in the intact model.
    layers : sequence of str, optional
        Layers to randomize, in that order. Default: all with weights, the last first.
    seed : int
        Seed; see `randomize`.
    progress_bar : bool
        Whether to show the progress.

    Returns
    -------
    xarray.Dataset
        ``pearson`` and ``spearman`` (layer, image): correlation over positions with the map of the intact model, when
        this layer and those before it are randomized. NaN where a map is constant.

    Raises
    ------
    ModelTypeError, HeadError
        If it is not a Keras model with a GAP head.
    UnsupportedModelError
        If it holds something that cannot be rewritten.
    ImageError, LabelError, ParameterError, ResultError
        If an argument is out of its range.

    References
    ----------
    .. [1] Adebayo et al. (2018). Sanity Checks for Saliency Maps. NeurIPS. arXiv:1810.03292, "Cascading
       Randomization".
    """
    check_seed(seed)
    source = read_model(model)
    model = source.model
    intact = rate_predict(source, probabilities=False)
    images = check_images(images, source.head.input_shape)
    layers = _weighted_layers(model)[::-1] if layers is None else list(layers)
    maps = maps or (lambda changed, images: rate_cam(changed, images).cam)
    # So that a wrong name is found before anything runs.
    changed_models = [randomize(model, layers=layers[: i + 1], seed=seed) for i in range(len(layers))]
    images, before = check_pairs(images, maps(model, images))
    labels, _ = choose_labels(intact, images, before, labels)
    before = one_per_image(before, labels)
    pearson, spearman = [], []
    for changed in tqdm(changed_models, unit="layer", disable=not progress_bar):
        _, after = check_pairs(images, maps(changed, images))
        after = one_per_image(after, labels)
        pearson.append(correlation(before, after).values)
        spearman.append(correlation(_map_ranks(before), _map_ranks(after)).values)
    variables = {
        name: (("layer", "image"), np.reshape(values, (len(layers), len(images))), {"units": "1", "long_name": text})
        for name, values, text in (
            ("pearson", pearson, "correlation with the map of the intact model"),
            ("spearman", spearman, "rank correlation with the map of the intact model"),
        )
    }
    coords = {"layer": layers, "image": before.image.values, "label": ("image", labels)}
    return xr.Dataset(variables, coords, {"seed": seed})


def _weighted_layers(model: Any) -> list[str]:
    return [layer.name for layer in model.layers if layer.weights]


def _map_ranks(maps: xr.DataArray) -> xr.DataArray:
    """Replace values by their ranks within the map; ties get the mean of theirs."""
    flat = maps.values.reshape(len(maps), -1)
    return maps.copy(data=rankdata(flat, axis=1).reshape(maps.shape))
