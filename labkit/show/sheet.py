"""Contact sheets: small pictures side by side, kept beside the record."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

import torch
from torch import Tensor

from labkit.lab.session import Lab
from labkit.show.figure import Shown
from labkit.show.tabs import Panels

_IMAGE = (
    '<img src="data:image/png;base64,{}" alt="{}" style="width:min(100%,680px);image-rendering:pixelated">'
)


def grid(rows: Sequence[Tensor], gap: int = 2) -> Tensor:
    """Return rows of images, each (N, 3, H, W) with values 0..255, as one picture: uint8 (H', W', 3).

    The gaps of `gap` pixels between them are white.
    """
    lines = []
    for images in rows:
        n, channels, height, width = images.shape
        padded = torch.full((n, channels, height + gap, width + gap), 255, dtype=torch.uint8)
        padded[:, :, :height, :width] = images.cpu().round().clamp(0, 255).to(torch.uint8)
        lines.append(padded.permute(2, 0, 3, 1).flatten(1, 2))
    return torch.cat(lines)[:-gap, :-gap]


def sheet(lab: Lab, table: str, *, caption: str, alt: str) -> Shown:
    """Show the picture kept for `table`: that of recorded seed 0, and in a notebook this run's first."""
    panels, pictures = [], []
    for label, png in lab.pictures(table):
        described = escape(f"{alt} ({label})")
        panels.append((label, _IMAGE.format(base64.b64encode(png).decode(), described)))
        pictures.append(png)
    return Shown(lab, Panels(f"{lab.chapter.number}-{table}-sheet".lower(), panels, pictures[0]), caption)
