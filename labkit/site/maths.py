"""Formulas as MathML, written while the book is built: browsers draw them without a script or network.

Docutils translates the usual LaTeX mathematics. A formula it cannot translate is a warning that names the
command, and so stops the build; `\\ldots` for `\\dots` and `aligned` for `align` are the common remedies.
"""

from __future__ import annotations

from xml.etree import ElementTree

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

MATHML = "http://www.w3.org/1998/Math/MathML"
ElementTree.register_namespace("", MATHML)


def setup_maths(app: Sphinx) -> None:
    """Add the renderer `mathml`, for `html_math_renderer` in the configuration."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))


def _inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(_mathml(node, as_block=False))
    raise nodes.SkipNode


def _display(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append(_mathml(node, as_block=True))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def _mathml(node: nodes.math | nodes.math_block, *, as_block: bool) -> str:
    try:
        # The name of this sign is known to HTML, and not to XML.
        written = tex2mathml(node.astext(), as_block).replace("&ApplyFunction;", "\u2061")
        formula = ElementTree.fromstring(written)
    except MathError as error:
        logger.warning("the formula %r: %s", node.astext(), error, location=node)
        return ""
    for element in formula.iter(f"{{{MATHML}}}munderover"):
        _set_index_beside(element)
    return ElementTree.tostring(formula, encoding="unicode")


def _set_index_beside(element: ElementTree.Element) -> None:
    """Move the index of a letter with an accent, which Docutils puts below it, to its side."""
    letter, index, above = element
    if above.get("stretchy") == "false":  # an accent; above a sum stands a limit
        accented = ElementTree.Element(f"{{{MATHML}}}mover", accent="true")
        accented.extend([letter, above])
        element.tag = f"{{{MATHML}}}msub"
        element[:] = [accented, index]
