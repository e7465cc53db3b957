"""Data-parallel training: workers that exchange gradients, in full, in few bits or in part."""
