"""Whether maps point at the right digit and when, are what the networks go by, and what a decision costs.

Scenes of test digits with two digits each, the CNN that ships, 100 steps of 1 ms, maps and logits averaged over them.

    python benchmarks/scattered_digits.py
    python benchmarks/scattered_digits.py --target-rate 500 --baseline mean
"""

import argparse

import numpy as np

import nengo_cam as ncam
from nengo_cam.scoring.latency import settling_time

ncam.compat.quiet_tensorflow()


def pointing_accuracy(values, maps, labels, boxes):
    """Count how often the strongest cell of each label's map lies in the label's own box, of all digits."""
    hits = []
    for cams, its_labels, its_boxes in zip(values, labels, boxes):
        for label, (y0, x0, y1, x1) in zip(its_labels, its_boxes):
            row, column = np.unravel_index(cams[label].argmax(), cams[label].shape)
            hits.append(y0 <= maps.y.values[row] < y1 and x0 <= maps.x.values[column] < x1)
    return np.mean(hits)


def point(rate, spiking, labels, boxes):
    """Print the pointing accuracy of the maps and of maps that do not look at the image."""
    rng = np.random.default_rng(0)
    center = -np.hypot(rate.y - rate.y.mean(), rate.x - rate.x.mean()).values
    random = [pointing_accuracy(rng.random(rate.cam.shape), rate, labels, boxes) for _ in range(20)]
    print(f"pointing: rate {pointing_accuracy(rate.cam.values, rate, labels, boxes):.3f}", end=", ")
    print(f"spiking {pointing_accuracy(spiking.cam.values, rate, labels, boxes):.3f}", end=", ")
    print(f"at the other digit {pointing_accuracy(rate.cam.values, rate, labels, boxes[:, ::-1]):.3f}", end=", ")
    print(f"center {pointing_accuracy(np.broadcast_to(center, rate.cam.shape), rate, labels, boxes):.3f}", end=", ")
    print(f"random {np.mean(random):.3f}")
    for name, logits in (("rate", rate.logits), ("spiking", spiking.logits)):
        named = np.sort(np.argsort(logits.values, axis=1)[:, -2:])
        print(f"digits named among the two strongest labels: {name} {np.mean(named == np.sort(labels)):.3f}")


def settle(rate, averaged, labels):
    """Print when answers and maps settle, those of running means."""
    scores = ncam.compare(averaged, rate, metrics="pearson")
    decision = ncam.decision_latency(averaged)
    # With two digits in an image the strongest label may go on changing between the two.
    strongest = np.sort(np.argsort(averaged.logits.values, axis=2)[..., -2:])
    both = settling_time((strongest == strongest[:, -1:]).all(axis=2), averaged.time.values)
    for threshold in (0.8, 0.9, 0.95):
        explanation = ncam.explanation_latency(scores, threshold=threshold)
        each = ncam.explanation_latency(scores, threshold=threshold, label=scores.label)
        digits = np.take_along_axis(each.latency.values, labels, axis=1)
        print(f"map, correlation from {threshold} on: of the answer {quartiles(explanation.latency.values)}", end=", ")
        print(f"of the digits {quartiles(digits)}")
        order = ncam.latency_summary(decision, explanation).order
        first = [f"{name} {float(order.sel(first=name)):.2f}" for name in ("explanation", "same", "decision")]
        print(f"  which settles first: {', '.join(first)}")
    print(f"decision: strongest label {quartiles(decision.latency.values)}, two strongest {quartiles(both)}")


def quartiles(latencies):
    """Write quartiles [ms], where never is later than all, and how often that is."""
    late = np.where(np.isnan(latencies), np.inf, latencies)
    low, median, high = 1000 * np.quantile(late, (0.25, 0.5, 0.75), method="nearest")
    return f"median {median:.0f} ms ({low:.0f} to {high:.0f}; never {np.isnan(latencies).mean():.1%})"


def mask(name, predict, scenes, maps, baseline):
    """Print how often a map beats a random one."""
    result = ncam.faithfulness(predict, scenes, maps, fractions=11, baseline=baseline)
    deletion, insertion = (
        (result[f"{kind}_area"].sel(order="map"), result[f"{kind}_area"].sel(order="random"))
        for kind in ("deletion", "insertion")
    )
    print(
        f"{name}: deletion area {deletion[0].mean():.3f}, random {deletion[1].mean():.3f}, below for "
        f"{(deletion[0] < deletion[1]).mean():.0%}; insertion area {insertion[0].mean():.3f}, random "
        f"{insertion[1].mean():.3f}, above for {(insertion[0] > insertion[1]).mean():.0%}"
    )
    drop = ncam.average_drop(predict, scenes, maps)
    print(f"{name}: average drop {drop.average_drop:.1f} %, average increase {drop.average_increase:.1f} %")


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target-rate", type=float, default=200, help="in Hz")
    parser.add_argument("--baseline", choices=("0", "mean", "blur"), default="0", help="what masked pixels become")
    options = parser.parse_args()
    baseline = 0.0 if options.baseline == "0" else options.baseline
    scenes, labels, boxes = ncam.datasets.scattered_digits(200)
    calibration = ncam.datasets.scattered_digits(200, split="train", seed=9)[0]
    model = ncam.datasets.scattered_digits_model()
    network = ncam.convert(
        model, calibrate_on=calibration, neurons=ncam.IntegrateAndFire(), target_rate=options.target_rate
    )
    rate = ncam.rate_cam(model, scenes)
    averaged = ncam.cumulative(ncam.spiking_cam(network, scenes, n_steps=100, seed=0))
    spiking = averaged.isel(time=-1)
    point(rate, spiking, labels, boxes)
    settle(rate, averaged, labels)
    mask("rate", ncam.rate_predict(model), scenes[:100], rate.cam[:100], baseline)
    mask("spiking", ncam.spiking_predict(network, n_steps=100, seed=0), scenes[:100], spiking.cam[:100], baseline)
    cost = ncam.measure_cost(network, scenes[:50], n_steps=100, seed=0)
    totals = cost[["spikes", "synaptic_operations"]].sum(("time", "layer")).mean("image")
    print(
        f"per image: {totals.spikes:,.0f} spikes, {totals.synaptic_operations:,.0f} synaptic operations; the CNN "
        f"multiplies {cost.macs.sum():,.0f} times"
    )


if __name__ == "__main__":
    main()
