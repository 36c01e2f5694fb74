"""Write equations as MathML, which browsers draw by themselves: no script, and no network to fetch one from."""

from docutils.nodes import SkipNode
from latex2mathml.converter import convert


def _inline(self, node):
    self.body.append(convert(node.astext()))
    raise SkipNode


def _block(self, node):
    source = node.astext()
    if "&" in source.split(r"\begin")[0]:
        # As Sphinx does: several lines, aligned at the first sign of each.
        source = rf"\begin{{split}}{source}\end{{split}}"
    self.body.append(f'<div class="equation">{convert(source, display="block")}</div>')
    raise SkipNode


def setup(app):
    """Register with Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
