"""Running chapters in batch, and the command line."""
