"""Inputs made to be misread."""
