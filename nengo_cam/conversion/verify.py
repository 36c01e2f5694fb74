"""How far a converted network is from what it should compute."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from .. import compat
from ..checks.images import check_images
from ..checks.parameters import check_count
from ..exceptions import ParameterError
from ..models.outputs import apply_activation, relative_difference
from ..models.simplify import features_and_logits, reduce_model
from ..simulator import Simulator
from .layer_weights import further_connections, trained_layers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .network import CAMNetwork

__all__ = ["Verification", "check_simulator", "verify"]


@dataclasses.dataclass(frozen=True)
class Verification:
    """Differences found by `nengo_cam.CAMNetwork.verify`, each the largest over everything measured.

    Attributes
    ----------
    output_difference : float
        Between the output of the source model and that of the rate form, its activation applied; as a fraction of
        the largest output.
    logit_difference : float
        Between the logits of the reduced Keras model and the rate form, as a fraction of the largest logit.
    cam_difference : float
        The same for the maps of all labels.
    completeness_error : float
        Between mean of the map + bias and the logit, over all steps of the network as it is, as a fraction of the
        largest logit.
    rate_completeness_error : float
        Between mean of the map + bias and the logit of the CNN itself, the map made as `nengo_cam.rate_cam` makes it,
        the logit by Keras from the source model; as a fraction of the largest logit.
    n_images, n_steps : int
        What it was measured on.
    trained : tuple of str
        Layers whose weights in the network are not those of the model that it came from. The rate form has the
        model's, so of such a network only ``completeness_error`` speaks.
    further : tuple of str
        Layers of neurons into which connections lead that are not the model's; the rate form is without them.
    """

    output_difference: float
    logit_difference: float
    cam_difference: float
    completeness_error: float
    rate_completeness_error: float
    n_images: int
    n_steps: int
    trained: tuple[str, ...] = ()
    further: tuple[str, ...] = ()

    def failures(self, *, atol: float, completeness_tol: float) -> list[str]:
        """List the differences that are larger than allowed, as clauses of a sentence.

        Parameters
        ----------
        atol : float
            Largest difference allowed between rate form and Keras, and between the CNN's own maps and its logits.
        completeness_tol : float
            Largest completeness error allowed.

        Returns
        -------
        list of str
            Empty if all is well.
        """
        checks = (
            ("the output of its rate form differs from Keras's", self.output_difference, atol),
            ("the logits of its rate form differ from Keras's", self.logit_difference, atol),
            ("the maps of its rate form differ from Keras's", self.cam_difference, atol),
            ("mean of the map + bias differs from the logits", self.completeness_error, completeness_tol),
            ("mean of the CNN's own map + bias differs from Keras's logits", self.rate_completeness_error, atol),
        )
        return [
            f"{what}; expected at most {allowed:.1e} of the largest, got {value:.1e}"
            for what, value, allowed in checks
            # Not "value > allowed": NaN must fail.
            if not value <= allowed
        ]

    @property
    def _remarks(self):
        """Say what the rate form is without."""
        if self.trained:
            yield (
                f" The network has other weights than its model in {list(self.trained)}: the rate form is that of the "
                "model."
            )
        if self.further:
            yield f" Further connections lead into {list(self.further)}: the rate form is without them."

    def __str__(self):
        return (
            f"Rate form against Keras: output within {self.output_difference:.1e}, logits within "
            f"{self.logit_difference:.1e}, maps within {self.cam_difference:.1e} of the largest. Mean of the map + "
            f"bias against the logits over {self.n_steps} steps: within {self.completeness_error:.1e}; of the "
            f"CNN's own map: within {self.rate_completeness_error:.1e}. ({self.n_images} images)"
            f"{''.join(self._remarks)}"
        )


def verify(net: CAMNetwork, rate_form: CAMNetwork, images: ArrayLike, *, n_steps: int, simulator: type) -> Verification:
    """Measure the differences; the working part of `nengo_cam.CAMNetwork.verify`.

    Parameters
    ----------
    net : CAMNetwork
        The network as it is.
    rate_form : CAMNetwork
        The same Keras model converted with rate neurons and without synapses.
    images : array_like of shape (N, Y, X, channels)
        Images, as fed to the model.
    n_steps : int
        Time steps for the completeness check.
    simulator : type
        `nengo_cam.Simulator`, ``nengo_dl.Simulator`` or a subclass.

    Returns
    -------
    Verification
        The differences.

    Raises
    ------
    ImageError, ParameterError
        If an argument is out of its range.
    SimulatorError
        If `nengo_cam.Simulator` cannot run the network.
    """
    check_count("n_steps", n_steps)
    images = check_images(images, net.head.input_shape)
    images = images.reshape((-1, *net.head.input_shape))
    keras_features, keras_logits, keras_kernel = _run_keras(net, images)
    rate_features, rate_logits, kernel, _, _ = _run_nengo(rate_form, images, simulator, n_steps=1)
    rate_output = apply_activation(net.head.activation, rate_logits[:, 0])
    model_output = np.reshape(net.model(images, training=False), rate_output.shape)
    features, logits, own_kernel, bias, trained = _run_nengo(net, images, simulator, n_steps=n_steps)
    completed = features.mean(axis=2) @ own_kernel + bias
    cnn_maps, cnn_bias = _run_rate_cam(net, images)
    return Verification(
        output_difference=relative_difference(rate_output, model_output),
        logit_difference=relative_difference(rate_logits[:, 0], keras_logits),
        cam_difference=relative_difference(rate_features[:, 0] @ kernel, keras_features @ keras_kernel),
        completeness_error=relative_difference(completed, logits),
        rate_completeness_error=relative_difference(cnn_maps.mean(axis=1) + cnn_bias, keras_logits),
        n_images=len(images),
        n_steps=n_steps,
        trained=tuple(trained),
        further=tuple(further_connections(net)) if net.adopted else (),
    )


def _run_keras(net, images):
    """Return features (N, P, K), logits (N, L) and kernel (K, L) of the source, without what only training needs."""
    # Read and reduced again: the model may have been trained since it was converted, and that has to be found.
    reduced = reduce_model(net.model)
    outputs = features_and_logits(reduced.model, reduced.head.pooling)(images, training=False)
    features, logits = (output.numpy().astype(float) for output in outputs)
    kernel = reduced.head.kernel
    return features.reshape(len(images), -1, reduced.head.n_channels), logits, kernel.astype(float)


def _run_rate_cam(net, images):
    """Return the CNN's maps (N, P, L) and their bias (L,), from the model and the head that `rate_cam` takes."""
    head = net.head
    features = features_and_logits(net.reduced.model, head.pooling)(images, training=False)[0].numpy()
    maps = features.astype(float).reshape(len(images), -1, head.n_channels) @ head.kernel.astype(float)
    return maps, head.bias.astype(float)


def check_simulator(simulator: type) -> None:
    """Check the class that networks are to be verified with.

    Parameters
    ----------
    simulator : type
        What a user gave.

    Raises
    ------
    ParameterError
        If it is not one that takes several images at a time.
    """
    valid = (Simulator, compat.import_nengo_dl().Simulator)
    if not (isinstance(simulator, type) and issubclass(simulator, valid)):
        raise ParameterError(
            f"simulator: expected the class nengo_cam.Simulator or nengo_dl.Simulator, got {simulator!r}. Pass one of "
            "these, not an open simulator."
        )


def _run_nengo(net, images, simulator, *, n_steps):
    """Return features (N, T, P, K), logits (N, T, L), kernel and bias of a network that runs, and its trained layers.

    What does not fit into numbers is NaN, which no comparison lets pass.
    """
    # NengoDL takes a frame for every step. Here one frame says that it stands still.
    n_frames = 1 if issubclass(simulator, Simulator) else n_steps
    data = {net.input: np.repeat(images.reshape(len(images), 1, -1), n_frames, axis=1)}
    with (
        compat.without_gpu_advice(),
        simulator(net.net, minibatch_size=len(images), progress_bar=False) as sim,
    ):
        kernel, bias = net.readout_parameters(sim)
        trained = trained_layers(net, sim)
        try:
            sim.run_steps(n_steps, data=data)
            features, logits = sim.data[net.features], sim.data[net.logits]
        except FloatingPointError:
            features, logits = (
                np.full((len(images), n_steps, probe.size_in), np.nan) for probe in (net.features, net.logits)
            )
    features = features.reshape(len(images), n_steps, -1, net.head.n_channels)
    return features.astype(float), logits.astype(float), kernel.astype(float), bias.astype(float), trained
