"""What code means and which definitions it reaches, here or at a commit."""
