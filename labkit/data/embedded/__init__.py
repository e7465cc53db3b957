"""Data sets that the package computes by itself, and that stand in for real ones at `smoke`."""
