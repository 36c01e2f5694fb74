"""Make the pictures that the README and docs/comparing.md show.

python docs/make_images.py
"""

import pathlib

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import nengo_cam as ncam

IMAGES = pathlib.Path(__file__).parent / "images"


def film_photographs():
    """Film two photographs, calibrated on others: what `nengo-cam demo` does."""
    (samples, _), (images, _) = ncam.datasets.photographs()
    options = {"label_names": ncam.datasets.imagenet_labels(), "n_steps": 20, "seed": 0}
    result = ncam.explain(ncam.datasets.mobilenet(), images, calibrate_on=samples, **options)
    # Few steps decide: slow enough to see each, and maps through which the photograph is seen.
    result.film(image=[0, 1], fps=3, alpha=0.5).save(IMAGES / "demo.gif", dpi=80)


def film_digits():
    """Film three digits, none of them trained on."""
    (train, _), (images, _) = ncam.datasets.digits()
    images = images[:3]
    net = ncam.convert(ncam.datasets.digits_model(), calibrate_on=train[:200])
    spiking = ncam.cumulative(ncam.spiking_cam(net, images, n_steps=100, seed=0))
    rate = ncam.rate_cam(net, images)
    ncam.animate(spiking, rate, images, image=range(3), stride=4, fps=8).save(IMAGES / "digits.gif", dpi=64)
    ncam.timeline(spiking, rate, images, image=1).figure.savefig(IMAGES / "timeline.png", dpi=100)


def compare_scenes():
    """Compare networks on scenes of two digits, none of them trained on: the setting of docs/comparing.md."""
    scenes, labels, boxes = ncam.datasets.scattered_digits(200)
    samples = ncam.datasets.scattered_digits(200, split="train", seed=9)[0]
    # Of spikes of one size, which take their time.
    net = ncam.convert(ncam.datasets.scattered_digits_model(), calibrate_on=samples, neurons=ncam.IntegrateAndFire())
    averaged = ncam.cumulative(ncam.spiking_cam(net, scenes, n_steps=100, seed=0))
    rate = ncam.rate_cam(net, scenes)
    scores = ncam.compare(averaged, rate)

    # Each of the two digits of two scenes.
    rows = ncam.comparison(averaged, rate, scenes, image=[0, 0, 1, 1], label=labels[:2].ravel().tolist())
    rows.figure.savefig(IMAGES / "comparison.png", dpi=250)
    fig = Figure(figsize=(7, 2.2), layout="constrained")
    FigureCanvasAgg(fig)
    left, middle, right = fig.subplots(1, 3)
    ncam.plotting.agreement(scores, threshold=0.9, ax=left)
    pointing, expected = (ncam.localization_scores(maps, boxes=boxes, box_labels=labels) for maps in (averaged, rate))
    for score, ax in (("pointing", middle), ("energy", right)):
        ncam.plotting.localization(pointing, score=score, rate=expected, ax=ax)
    fig.savefig(IMAGES / "over_time.png", dpi=160)
    settled = ncam.decision_latency(averaged), ncam.explanation_latency(scores, threshold=0.9)
    ncam.plotting.latency(*settled).axes.figure.savefig(IMAGES / "latency.png", dpi=200)

    features = ncam.spiking_cam(net, scenes[1:2], n_steps=100, seed=0, keep_features=True).assign_coords(image=[1])
    spikes = ncam.raster(features, scenes[1:2], label=int(labels[1, 0]))
    spikes.figure.savefig(IMAGES / "raster.png", dpi=250)


if __name__ == "__main__":
    ncam.compat.quiet_tensorflow()
    film_photographs()
    film_digits()
    compare_scenes()
