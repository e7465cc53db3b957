"""Networks that compute differently for every image: mixed kernels, gated channels."""
