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
    ".lk-tabs>div{display:none;overflow-x:auto}.lk-tabs svg,.lk-tabs img{max-width:100%;height:auto}"
)


class Panels:
    """HTML panels with labels, shown as tabs; a PNG stands in where HTML cannot be shown, as in a PDF."""

    def __init__(self, name: str, panels: Sequence[tuple[str, str]], png: bytes) -> None:
        self.name, self.panels, self.png = name, panels, png

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/html": self.html(), "image/png": self.png}

    def html(self) -> str:
        """Return the tabs as HTML; radio buttons make them work by keyboard."""
        group = f"lk-{self.name}"
        shown, parts = [], []
        for k, (label, _) in enumerate(self.panels):
            checked = " checked" if k == 0 else ""
            parts.append(f'<input type="radio" name="{group}" id="{group}-{k}"{checked}>')
            parts.append(f'<label for="{group}-{k}">{escape(label)}</label>')
            shown.append(f"#{group}-{k}:checked~#{group}-panel-{k}{{display:block}}")
        for k, (_, body) in enumerate(self.panels):
            parts.append(f'<div id="{group}-panel-{k}">{body}</div>')
        return f'<style>{_STYLE}{"".join(shown)}</style><div class="lk-tabs">{"".join(parts)}</div>'
