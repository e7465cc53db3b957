"""Checkers of the chapters' exercises: each takes an answer and says whether it is right, or what is not."""
