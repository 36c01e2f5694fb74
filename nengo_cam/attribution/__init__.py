"""Methods that explain a network by all its layers, on the activity that was measured.

`relevance` shares out logits among the inputs, layer by layer, and books where the rest stayed; by `rules`, which
`composites` assign to layers.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, submodules=["composites", "relevance", "rules"])
