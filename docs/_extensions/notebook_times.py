"""Print how long each notebook took; fail the build if one took longer than ``notebook_seconds``, unless that is 0."""

from sphinx.errors import SphinxError
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _check(app, error):
    if error is not None:
        return
    limit, slow = app.config.notebook_seconds, []
    for name, facts in sorted(app.env.nb_metadata.items()):
        run = facts.get("exec_data")
        if run is None or run.get("runtime") is None:
            continue
        logger.info("notebook %s: %.1f s", name, run["runtime"])
        if 0 < limit < run["runtime"]:
            slow.append(f"{name} ({run['runtime']:.0f} s)")
    if slow:
        raise SphinxError(f"notebooks: expected at most {limit} s each, got {', '.join(slow)}. Make them shorter.")


def setup(app):
    """Register with Sphinx."""
    app.add_config_value("notebook_seconds", 0, "")
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
