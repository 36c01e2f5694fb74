"""What is explained: a label, the CNN's answer, a difference of labels, or any function of the logits.

Whatever it is becomes weights of the logits, (N, L), and the gradient or relevance of that sum is what methods compute.
Maps of two labels share most of their shape; their difference is what separates them. Labels that are chosen by an
answer are the CNN's, one for each image: the spiking network's own answer of a moment would jump, and the map with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray

from .. import compat
from ..exceptions import LabelError, ParameterError
from ..measurement.labels import choose_labels
from ..models.head import CAMHead

__all__ = ["Contrast", "PerImage", "Targets"]

#: Names of labels that depend on the image.
_BY_ANSWER = {"predicted": 1, "top2": 2}
_AGAINST = ("strongest", "mean")


@dataclasses.dataclass(frozen=True)
class PerImage:
    """One label for each image.

    Attributes
    ----------
    labels : sequence of (int or str)
        As many as images, by index or name; the same label may come again.
    """

    labels: Sequence[Any]


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A label minus others: what speaks for it and not for them.

    Attributes
    ----------
    labels : int, str, sequence of them, or PerImage
        Which, as for `nengo_cam.attribute`.
    against : str
        "strongest": minus the strongest of the other labels, by the CNN's logits of the image. "mean": minus the mean
        of all labels, this one among them.

    Examples
    --------
    >>> from nengo_cam.attribution import Contrast
    >>> maps = ncam.rate_attribute(net, images, "input_times_gradient", labels=Contrast("predicted"))
    >>> maps.attribution.dims
    ('image', 'y', 'x')
    """

    labels: Any = "predicted"
    against: str = "strongest"


#: What may be explained.
Target = Union[int, str, Sequence[Any], PerImage, Contrast, Callable[[Any], Any]]


class Targets:
    """What is explained of each image, as weights of its logits.

    Parameters
    ----------
    labels : int, str, sequence of them, PerImage, Contrast or callable
        What the user gave; see `nengo_cam.attribute`.
    head : CAMHead
        Knows the labels.
    names : ndarray of shape (L,)
        Names of all labels.
    named : bool
        Whether the user gave names, for messages.
    n_images : int
        Images.

    Attributes
    ----------
    dim : str or None
        Axis of the result that targets are along: "label" for chosen labels, "rank" for "top2"; None for one target.
    n_targets : int
        Targets of an image.
    fixed : ndarray of int, or None
        Labels that were chosen for all images alike.
    description : str
        What is explained, for the attributes of results.

    Raises
    ------
    LabelError
        If a label does not exist, there is not one for each image, or there is none to compare with.
    ParameterError
        If a contrast is not known.
    """

    def __init__(self, labels: Target, head: CAMHead, names: NDArray[Any], *, named: bool, n_images: int) -> None:
        self._function = labels if callable(labels) else None
        self._against = labels.against if isinstance(labels, Contrast) else None
        inner: Any = labels.labels if isinstance(labels, Contrast) else labels
        self._n_labels = head.n_labels
        self._n_best = _BY_ANSWER.get(inner, 0) if isinstance(inner, str) else 0
        self._per_image: Any = None
        self.fixed: Any = None
        self.dim: str | None = None
        if self._against is not None and self._against not in _AGAINST:
            raise ParameterError(
                f"against: expected one of {list(_AGAINST)}, got {self._against!r}. Leave it out for 'strongest'."
            )
        needed = max(self._n_best, 1 if self._against is None else 2)
        if needed > head.n_labels:
            raise LabelError(
                f"labels: {labels!r} takes {needed} labels; expected a model with as many, got {head.n_labels}. Pass "
                "labels=0."
            )
        if self._function is not None:
            self.n_targets, self.description = 1, f"function {getattr(labels, '__name__', type(labels).__name__)}"
            return
        if isinstance(inner, PerImage):
            given = list(inner.labels)
            if len(given) != n_images:
                raise LabelError(
                    f"labels: expected one for each of {n_images} images, got {len(given)}. Pass a list without "
                    "PerImage for the same labels of all images."
                )
            chosen = [choose_labels(head, label, names, named=named)[0] for label in given]
            self._per_image = np.array(chosen)[:, None]
            self.n_targets = 1
        elif self._n_best:
            self.n_targets = self._n_best
            self.dim = "rank" if self._n_best > 1 else None
        else:
            self.fixed = choose_labels(head, inner, names, named=named)
            self.n_targets, self.dim = len(self.fixed), "label"
        what = "label of each image" if self._per_image is not None else inner if self._n_best else "label"
        minus = {"strongest": " minus the strongest other label", "mean": " minus the mean of all labels"}
        self.description = str(what) + minus.get(self._against or "", "")

    @property
    def by_image(self) -> bool:
        """Whether labels differ between images."""
        return self._function is None and self.fixed is None

    def choose(self, rows: slice, cnn_logits: NDArray[np.floating]) -> NDArray[np.int64]:
        """Choose the labels of some images.

        Parameters
        ----------
        rows : slice
            Which images.
        cnn_logits : ndarray of shape (rows, L)
            What the CNN answers.

        Returns
        -------
        ndarray of int of shape (rows, n_targets)
            Labels by index; -1 where a function is explained, and no label.
        """
        if self._function is not None:
            return np.full((len(cnn_logits), 1), -1)
        if self._per_image is not None:
            return self._per_image[rows]
        if self._n_best:
            # Of equal logits the first label, as argmax has it.
            return np.argsort(-cnn_logits, axis=1, kind="stable")[:, : self._n_best]
        return np.broadcast_to(self.fixed, (len(cnn_logits), self.n_targets))

    def weights(
        self, chosen: NDArray[np.int64], cnn_logits: NDArray[np.floating], logits: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Say with what weight each logit enters what is explained.

        Parameters
        ----------
        chosen : ndarray of int of shape (N, n_targets)
            Labels, of `choose`.
        cnn_logits : ndarray of shape (N, L)
            What the CNN answers.
        logits : ndarray of shape (N, L)
            Logits at which a function is differentiated.

        Returns
        -------
        ndarray of float32 of shape (N, n_targets, L)

        Raises
        ------
        ParameterError
            If a function does not give one number for each image, or does not depend on the logits.
        """
        if self._function is not None:
            return self._slopes(logits)[:, None]
        identity = np.eye(self._n_labels, dtype=np.float32)
        weights = identity[chosen]
        if self._against == "mean":
            return weights - np.float32(1 / self._n_labels)
        if self._against == "strongest":
            others = np.where(weights > 0, -np.inf, cnn_logits[:, None])
            return weights - identity[others.argmax(axis=-1)]
        return weights

    def _slopes(self, logits):
        """Differentiate the user's function of logits: where it is not linear, its weights are those of the moment."""
        tf = compat.import_tensorflow()
        values = tf.constant(logits, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(values)
            scores = self._function(values)
        if not tf.is_tensor(scores) or scores.shape != (len(logits),):
            got = f"shape {tuple(scores.shape)}" if tf.is_tensor(scores) else type(scores).__name__
            raise ParameterError(
                f"labels: a function of logits (N, L) gives a tensor of one number for each image; expected shape "
                f"{(len(logits),)}, got {got}. Compute it with TensorFlow, as in lambda logits: logits[:, 3]."
            )
        slopes = tape.gradient(scores, values)
        if slopes is None:
            raise ParameterError(
                "labels: the function does not depend on the logits by operations of TensorFlow; expected a gradient, "
                "got none. Compute it with TensorFlow, as in lambda logits: logits[:, 3]."
            )
        return slopes.numpy()
