"""What is measured on a trained network, and intervals over seeds."""
