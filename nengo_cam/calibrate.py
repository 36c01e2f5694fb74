"""Firing-rate scales from sample images: how fast a neuron fires for the activity that it stands for."""

import numbers

import numpy as np

from . import compat
from .exceptions import ParameterError
from .parameters import check_positive
from .simplify import rectified_layers

__all__ = ["TopValues", "calibrate_layers"]


def calibrate_layers(model, images, *, target_rate=200, percentile=99.9, batch_size=32):
    r"""Find one firing-rate scale per rectified layer, such that its strong activity fires at a given rate.

    The scale of a layer is :math:`r / P_p(a)`, the target rate over the percentile of the layer's activity over
    neurons and images: data-based normalisation [1]_ with a robust maximum ([2]_, sec. 2.2.2).

    Parameters
    ----------
    model : tf.keras.Model
        A model made by `nengo_cam.inference_model`.
    images : ndarray of shape (N, Y, X, channels)
        Sample images, checked by the caller.
    target_rate : float
        Rate of a neuron at the percentile [Hz]; positive.
    percentile : float
        Percentile of the activity that fires at ``target_rate``; above 0, at most 100.
    batch_size : int
        Images that go through the model at a time. Does not change the result.

    Returns
    -------
    dict of {str: float}
        Scale [Hz per unit of activity] by layer name. A layer that is silent for all images has scale 1.

    Raises
    ------
    ParameterError
        If ``target_rate`` or ``percentile`` is out of range.

    References
    ----------
    .. [1] Diehl et al. (2015). Fast-classifying, high-accuracy spiking deep networks through weight and threshold
       balancing. IJCNN.
    .. [2] Rueckauer et al. (2017). Conversion of Continuous-Valued Deep Networks to Efficient Event-Driven Networks
       for Image Classification. Frontiers in Neuroscience 11:682.
    """
    check_positive("target_rate", target_rate, unit="Hz")
    if not isinstance(percentile, numbers.Real) or not 0 < percentile <= 100:
        raise ParameterError(f"percentile: expected a number above 0 and at most 100, got {percentile!r}. Try 99.9.")
    tf = compat.import_tensorflow()
    layers = rectified_layers(model)
    if not layers:
        return {}
    # A layer that is called several times has one scale for all its calls.
    outputs = [[layer.get_output_at(i) for i in range(len(layer.inbound_nodes))] for layer in layers]
    probe = tf.keras.Model(model.inputs, outputs)
    sizes = [sum(int(np.prod(output.shape[1:])) for output in calls) for calls in outputs]
    tops = [TopValues(len(images) * size, percentile) for size in sizes]
    for start in range(0, len(images), batch_size):
        for top, activities in zip(tops, probe(images[start : start + batch_size], training=False)):
            for activity in tf.nest.flatten(activities):
                top.add(activity.numpy())
    levels = (top.percentile() for top in tops)
    return {layer.name: float(target_rate / level) if level > 0 else 1.0 for layer, level in zip(layers, levels)}


class TopValues:
    """A high percentile of more values than fit in memory: keeps only those at and above it.

    Parameters
    ----------
    n_values : int
        How many values there will be.
    percentile : float
        Percentile wanted, from 0 to 100.
    """

    def __init__(self, n_values, percentile):
        # NumPy's 'linear' rule interpolates between two neighbours in the sorted values; the lower one is the
        # smallest that is needed.
        self._rank = (n_values - 1) * percentile / 100
        self._n_kept = n_values - int(np.floor(self._rank))
        self._n_values = n_values
        self._kept = np.empty(0)

    def add(self, values):
        """Take values of any shape into account."""
        values = np.concatenate([self._kept, np.ravel(values)])
        if len(values) > self._n_kept:
            values = np.partition(values, len(values) - self._n_kept)[-self._n_kept :]
        self._kept = values

    def percentile(self):
        """Return the percentile of all values, equal to `numpy.percentile` of them."""
        kept = np.sort(self._kept)
        lower, upper = kept[0], kept[min(1, len(kept) - 1)]
        return lower + (upper - lower) * (self._rank - np.floor(self._rank))
