"""Data sets as tensors with a name and a fingerprint, embedded generators, augmentation on whole batches."""
