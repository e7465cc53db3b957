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
    """A table of all of them: name and architecture, accuracies in %, source, what to cite, licence."""

    def run(self) -> list[nodes.Node]:
        """Return the table; a page with it is read again when the registry has changed."""
        for made_by in (__file__, str(weights.__file__)):
            self.env.note_dependency(made_by)
        rows = [self._row(name, known) for name, known in weights.WEIGHTS.items()]
        return [table(["Network", "Measured", "Published", "Source and licence"], rows)]

    def _row(self, name: str, known: weights.Weights) -> list[Cell]:
        publisher, keys = known.publisher, ",".join(work.key for work in known.works)
        network = nodes.inline("", "", nodes.literal(text=name), nodes.Text(f" {known.description}"))
        commit = f"https://github.com/{publisher.repository}/tree/{publisher.commit}"
        cited, _ = self.state.inline_text(f"{{cite}}`{keys}`", self.lineno)
        owner = publisher.repository.split("/")[0]  # the whole name would be wider than the column
        link = nodes.reference("", owner, refuri=commit)
        source = nodes.inline(
            "", "", link, nodes.Text(" "), *cited, nodes.Text(f", licence: {known.licence}")
        )
        return [network, f"{known.measured:.2f}", known.published or "–", source]


def setup_pretrained(app: Sphinx) -> None:
    """Add the directive `pretrained-networks`."""
    app.add_directive("pretrained-networks", PretrainedNetworks)
