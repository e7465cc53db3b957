"""Smaller networks: pruning masks, lottery tickets, quantisers, distillation."""
