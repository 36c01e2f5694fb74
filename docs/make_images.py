"""Make the pictures that the README shows.

python docs/make_images.py
"""

import pathlib

import nengo_cam as ncam

IMAGES = pathlib.Path(__file__).parent / "images"


def main():
    """Film three digits, none of them trained on."""
    ncam.compat.quiet_tensorflow()
    (train, _), (images, _) = ncam.datasets.digits()
    images = images[:3]
    net = ncam.convert(ncam.datasets.digits_model(), calibrate_on=train[:200])
    spiking = ncam.cumulative(ncam.spiking_cam(net, images, n_steps=100, seed=0))
    rate = ncam.rate_cam(net, images)
    ncam.animate(spiking, rate, images, image=range(3), stride=2, fps=12).save(IMAGES / "demo.gif", dpi=64)
    ncam.timeline(spiking, rate, images, image=1).figure.savefig(IMAGES / "timeline.png", dpi=100)


if __name__ == "__main__":
    main()
