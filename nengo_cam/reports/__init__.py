"""Pages from results.

`comparison_report` scores and draws what ``nengo-cam compare`` writes, `comparison_page` puts it on one page.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, submodules=["comparison_page", "comparison_report"])
