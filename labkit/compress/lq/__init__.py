"""LQ-Nets: quantisers whose levels are learned, so that weights and activations stay sums of bits."""
