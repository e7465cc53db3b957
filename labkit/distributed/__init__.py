"""Training that is shared out among many machines."""
