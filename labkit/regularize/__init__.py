"""Training that is meant to generalise: sharpness, noise, mixing, a second task."""
