"""Tests that read every page of the built site in a browser; they build it first."""
