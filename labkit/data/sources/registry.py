"""All real data sets that can be fetched.

A file is trusted for its checksum alone, never for the server it came from: the mirrors named here were each
reported to hold the same bytes, and `fetch` checks that again.
"""

from __future__ import annotations

from collections.abc import Mapping

from labkit.data.sources import cifar, mnist, outliers
from labkit.data.sources.source import Source

SOURCES: Mapping[str, Source] = cifar.SETS | mnist.SETS | outliers.SETS
