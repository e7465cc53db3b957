"""Smaller networks: pruning masks, lottery tickets, sparsification."""
