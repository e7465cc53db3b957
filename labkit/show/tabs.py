"""Tabs on a page without scripts: the recorded runs first, the run just executed beside them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

# The rules travel with the output, so that tabs work on the site, in JupyterLab and in Colab alike.
_STYLE = (
    ".lk-tabs{margin:.5em 0}.lk-tabs>input{position:absolute;opacity:0}"
    ".lk-tabs>label{display:inline-block;padding:.25em .9em;cursor:pointer}"
    ".lk-tabs>label{border-bottom:3px solid transparent}"
    ".lk-tabs>input:checked+label{border-bottom-color:#2a7ab9;font-weight:600}"
    ".lk-tabs>input:focus-visible+label{outline:2px solid #2a7ab9}"
    ".lk-tabs>div{display:none;overflow-x:auto}.lk-one>div{display:block}"
    ".lk-tabs svg,.lk-tabs img{max-width:100%;height:auto}"
    ".lk-control{border:0;margin:.3em 0;padding:0;min-width:0}"
    ".lk-control>legend{float:left;width:auto;margin:0 .6em 0 0;padding:.25em 0;font-size:1em}"
    ".lk-control>label{border:1px solid currentColor;border-radius:4px;margin:0 .15em .3em}"
    ".lk-control>label{padding:.15em .6em}"
    ".lk-control>input:checked+label{background:#2a7ab9;border-color:#2a7ab9;color:#fff}"
    ".lk-control>div{clear:left}"
)


class Panels:
    """HTML panels with labels, shown as tabs; a PNG stands in where HTML cannot be shown.

    With a `legend` they are a control: the labels are the values of what the legend names.
    """

    def __init__(self, name: str, panels: Sequence[tuple[str, str]], png: bytes, *, legend: str = "") -> None:
        self.name, self.panels, self.png, self.legend = name, panels, png, legend

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": self.html(), "image/png": self.png}

    def html(self) -> str:
        """Return the tabs as HTML; radio buttons make them work by keyboard. A single one needs no tab."""
        if len(self.panels) == 1 and not self.legend:
            return f'<style>{_STYLE}</style><div class="lk-tabs lk-one"><div>{self.panels[0][1]}</div></div>'
        group = f"lk-{self.name}"
        shown, parts = [], []
        for k, (label, _) in enumerate(self.panels):
            checked = " checked" if k == 0 else ""
            # In JupyterLab the arrow keys are the notebook's, except on what keeps them for itself.
            keys = 'data-lm-suppress-shortcuts="true"'
            parts.append(f'<input type="radio" name="{group}" id="{group}-{k}" {keys}{checked}>')
            parts.append(f'<label for="{group}-{k}">{escape(label)}</label>')
            shown.append(f"#{group}-{k}:checked~#{group}-panel-{k}{{display:block}}")
        for k, (_, body) in enumerate(self.panels):
            parts.append(f'<div id="{group}-panel-{k}">{body}</div>')
        style = f"<style>{_STYLE}{''.join(shown)}</style>"
        if self.legend:
            parts.insert(0, f"<legend>{escape(self.legend)}</legend>")
            return f'{style}<fieldset class="lk-tabs lk-control">{"".join(parts)}</fieldset>'
        return f'{style}<div class="lk-tabs">{"".join(parts)}</div>'
