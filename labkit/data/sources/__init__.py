"""Where real data sets come from: the registry, with one module a publisher.

A file is trusted for its checksum alone, never for the server it came from: the mirrors named here were each
reported to hold the same bytes, and `fetch` checks that again.
"""

from collections.abc import Mapping

from labkit.data.sources import cifar, mnist
from labkit.data.sources.source import Arrays, PublishedFile, Source, Stored

__all__ = ["SOURCES", "Arrays", "PublishedFile", "Source", "Stored"]

SOURCES: Mapping[str, Source] = cifar.SETS | mnist.SETS
