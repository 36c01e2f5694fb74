import numpy as np
import pytest

import nengo_cam as ncam
from nengo_cam.exceptions import ImageError, ParameterError
from nengo_cam.verify import Verification


def test_failures_name_what_is_too_large():
    result = Verification(1e-6, 2e-3, float("nan"), 3e-6, n_images=1, n_steps=1)
    clauses = result.failures(atol=1e-4, completeness_tol=1e-5)
    assert [clause.split(" differ")[0] for clause in clauses] == [
        "the logits of its rate form",
        "the maps of its rate form",
    ]
    assert "got 2.0e-03" in clauses[0]
    assert "got nan" in clauses[1]
    assert result.failures(atol=1e-7, completeness_tol=1e-6)[-1].startswith("mean of the map + bias")


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
def test_output_is_compared_through_the_activation(make_model, images, activation):
    result = ncam.convert(make_model(activation=activation), neurons=None).verify(images)
    assert result.output_difference < 1e-5


def test_logit_difference_against_a_plain_calculation(make_model, images):
    """The reduced model is not what the model was: the rate form, which is made of it, is off by the change."""
    model = make_model()
    net = ncam.convert(model, neurons=None)
    readout = net.converter.model.get_layer("readout")
    logits = net.converter.model.predict(images, verbose=0)
    kernel, bias = readout.get_weights()
    readout.set_weights([kernel, bias + 0.5])
    with pytest.raises(ncam.CAMError) as caught:
        net.verify(images)
    expected = 0.5 / np.abs(logits).max()
    assert caught.value.verification.logit_difference == pytest.approx(expected, rel=1e-4)
    assert caught.value.verification.cam_difference < 1e-5


def test_wrong_arguments(small_model, images):
    net = ncam.convert(small_model)
    with pytest.raises(ParameterError, match="n_steps"):
        net.verify(images, n_steps=0)
    with pytest.raises(ImageError, match="Add the batch axis"):
        net.verify(images[0])
