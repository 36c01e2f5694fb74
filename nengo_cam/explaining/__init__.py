"""From a model and images to an answer in one call.

`explain` converts, verifies, runs and compares; `recommend` says which neurons carry a model, by trying them.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, submodules=["explain", "recommend"])
