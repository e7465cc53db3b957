"""Checks on the built website."""
