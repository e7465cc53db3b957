"""What a network does not know: scores for inputs of another kind, and training with outliers."""
