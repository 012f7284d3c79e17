"""Formulas as MathML, which browsers draw themselves: no script, no network."""

import re
from xml.etree import ElementTree

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

OPERATOR = re.compile(r"<mo>([a-z]{2,})</mo>")
FUNCTION = re.compile(r'<mi>([a-z]{2,})</mi>(?=<(?!mo stretchy="false">&#x00028;))')


def mathml(source, display):
    """A formula, with names of functions set upright and apart from what follows."""
    markup = OPERATOR.sub(r"<mi>\1</mi>", convert(source, display=display))
    markup = FUNCTION.sub(r'<mi>\1</mi><mspace width="0.17em" />', markup)
    ElementTree.fromstring(markup)  # an environment that is not known leaves a bare &
    return markup


def _inline(writer, node):
    writer.body.append(mathml(node.astext(), "inline"))
    raise SkipNode


def _block(writer, node):
    writer.body.append(writer.starttag(node, "div", CLASS="formula"))
    writer.body.append(mathml(node.astext(), "block"))
    writer.body.append("</div>\n")
    raise SkipNode


def setup(app):
    """Register the renderer; ``html_math_renderer`` chooses it."""
    app.add_html_math_renderer(
        "mathml", inline_renderers=(_inline, None), block_renderers=(_block, None)
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
