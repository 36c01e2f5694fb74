"""A Keras model: read, rewritten, described.

`files` reads models and images from files, `keras3` rebuilds models of Keras 3 and `spiking_keras` of KerasSpiking.
`source` reads a model once, for all who ask about it: `graph` sees it as a flat list of layer calls, `operator_layers`
the operators in it as layers, `affine` factors and offsets of channels; `head` finds features, pooling and readout,
`geometry` where in the image the cells of a map look, `coordinates` what users call its rows and columns. `simplify`
reduces a model to what inference needs and brings its channels to one range, `replay` runs the result with layers that
are told what they put out. `outputs` is what is applied to logits, `macs` counts multiplications.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=[
        "affine",
        "coordinates",
        "files",
        "geometry",
        "graph",
        "head",
        "keras3",
        "macs",
        "operator_layers",
        "outputs",
        "replay",
        "simplify",
        "source",
        "spiking_keras",
    ],
)
