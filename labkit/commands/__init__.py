"""The command `labkit`: one door to everything the book can be asked for."""
