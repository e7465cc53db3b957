"""The table of the pretrained networks.

```{pretrained-networks}
```

It is made from `labkit/data/weights.py`.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from labkit.data import weights
from labkit.site.directives.tables import Cell, table


class PretrainedNetworks(SphinxDirective):
    """A table of all of them: name and architecture, accuracies in %, licence, source and what to cite."""

    def run(self) -> list[nodes.Node]:
        """Return the table; a page with it is read again when the registry has changed."""
        for made_by in (__file__, str(weights.__file__)):
            self.env.note_dependency(made_by)
        rows = [_row(name, known) for name, known in weights.WEIGHTS.items()]
        return [table(["Network", "Measured", "Published", "Licence", "Source"], rows)]


def _row(name: str, known: weights.Weights) -> list[Cell]:
    publisher = known.publisher
    network = nodes.inline("", "", nodes.literal(text=name), nodes.Text(f" {known.description}"))
    commit = f"https://github.com/{publisher.repository}/tree/{publisher.commit}"
    source = nodes.inline("", "", nodes.reference("", publisher.repository, refuri=commit))
    source += nodes.Text(f". {known.citation}")
    return [network, f"{known.measured:.2f}", known.published or "–", known.licence, source]


def setup_pretrained(app: Sphinx) -> None:
    """Add the directive `pretrained-networks`."""
    app.add_directive("pretrained-networks", PretrainedNetworks)
