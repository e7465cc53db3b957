"""Attacks by whoever knows the network and its gradients."""
