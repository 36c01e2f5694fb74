"""Input that changes: networks of held levels answer what they are shown, and not what they were shown before."""

import numpy as np
import pytest

import nengo_cam as ncam

N_PAIRS, BEFORE, AFTER = 20, 6, 8


@pytest.fixture(scope="module")
def pairs(digits_model, digits):
    """Pairs of test digits of different classes, and what Keras answers to the second."""
    _, (images, _) = digits
    answers = digits_model.predict(images[:60], verbose=0).argmax(axis=1)
    chosen = [i for i in range(59) if answers[i] != answers[i + 1]][:N_PAIRS]
    assert len(chosen) == N_PAIRS
    first, second = images[chosen], images[np.add(chosen, 1)]
    return first, second, answers[np.add(chosen, 1)]


@pytest.fixture(scope="module")
def films(pairs):
    return np.stack(pairs[:2], axis=1).repeat([BEFORE, AFTER], axis=1)


def steps_until_answer(spiking, answers):
    """Count by hand how many steps of the second digit go by until its answer is given, and stays."""
    found = spiking.logits.transpose("image", "time", "label").values.argmax(axis=-1)
    counts = []
    for own, answer in zip(found, answers):
        wrong = [step for step in range(BEFORE, BEFORE + AFTER) if own[step] != answer]
        counts.append(wrong[-1] - BEFORE + 2 if wrong else 1)
    return np.array(counts)


@pytest.mark.parametrize(("bits", "most"), [(None, 1), (2, 5)])
def test_a_change_is_answered_at_once(digits_model, digits, pairs, films, bits, most):
    (train, _), _ = digits
    net = ncam.convert(digits_model, calibrate_on=train[:200], neurons=ncam.SigmaDelta(bits=bits))
    spiking = ncam.spiking_cam(net, films, n_steps=BEFORE + AFTER, count_spikes=True, seed=0, progress_bar=False)
    first, second, answers = pairs
    # What is to be answered anew was answered otherwise before, and rightly.
    before = spiking.logits.isel(time=BEFORE - 1).values.argmax(axis=-1)
    assert (before == ncam.rate_cam(digits_model, first).logits.values.argmax(axis=-1)).all()
    assert (before != answers).all()
    counts = steps_until_answer(spiking, answers)
    assert np.median(counts) <= most
    # Latency from the change says the same; of a network that is late by the whole run it would say nothing.
    decision = ncam.decision_latency(spiking, classes=answers, since=0.001 * BEFORE)
    np.testing.assert_allclose(
        decision.latency.where(decision.settled), np.where(counts <= AFTER, 0.001 * counts, np.nan)
    )
    # The map follows, too; then nothing is sent any more.
    rows = np.arange(N_PAIRS)
    maps = spiking.cam.values[rows, BEFORE + most - 1, answers]
    expected = ncam.rate_cam(digits_model, second).cam.values[rows, answers]
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(maps, expected)]
    assert np.median(correlations) > 0.99
    events = spiking.spike_count.sum("layer").mean("image").values
    assert events[BEFORE] > 10_000
    assert events[-1] < 10


@pytest.mark.filterwarnings("ignore::nengo_cam.exceptions.MovingInputWarning")
def test_unit_spikes_are_late(digits_model, digits, pairs, films):
    """The measure above can tell: the same count for a network that has yet to learn of the change."""
    (train, _), _ = digits
    net = ncam.convert(digits_model, calibrate_on=train[:200], neurons=ncam.IntegrateAndFire())
    spiking = ncam.spiking_cam(net, films, n_steps=BEFORE + AFTER, check_answers=False, seed=0, progress_bar=False)
    assert np.median(steps_until_answer(ncam.smooth(spiking, 0.005), pairs[2])) > 5
