"""What a network's answer is made of: gradients of its logits, on the activity that was measured at each time.

`attribute` explains a spiking network over time and the CNN without it, by one of the registered `methods` and for one
of the `targets`. A run is `measured` layer by layer, and a replay of the model that is told so is differentiated
(`gradients`), through the `gates` of its rectified layers. The `result` is a Dataset. `gradient_methods` has a function
for each method, with its equation and its source.

`relevance` shares out logits among the inputs, layer by layer, and books where the rest stayed; by `rules`, which
`composites` assign to layers; `relevance_methods` has the function.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submodules=[
        "attribute",
        "composites",
        "gates",
        "gradient_methods",
        "gradients",
        "measured",
        "methods",
        "relevance",
        "relevance_methods",
        "result",
        "rules",
        "targets",
    ],
    submod_attrs={
        "gradient_methods": [
            "deconvnet",
            "grad_cam",
            "guided_backprop",
            "guided_grad_cam",
            "hires_cam",
            "input_times_gradient",
            "layer_cam",
            "saliency",
        ],
        "relevance_methods": ["lrp"],
        "measured": ["MeasuredRecorder", "Window"],
        "targets": ["Contrast", "PerImage"],
    },
)
