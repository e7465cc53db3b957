"""Networks made to withstand attacks."""
