"""Federated learning: clients, a server, those who poison it, and rules that should withstand them."""
