"""Arguments in, files out.

`parameters` and `images` check what users give, `memory` whether there is room for what they ask for; `percentiles` of
more values than fit in memory; `output` writes files whole or not at all.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__, submodules=["images", "memory", "output", "parameters", "percentiles"]
)
