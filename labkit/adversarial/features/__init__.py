"""Training sets that hold some features of the images and not others (Ilyas et al. 2019)."""
