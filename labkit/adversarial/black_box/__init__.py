"""Attacks by whoever can only ask, and sees no more than the class that the network answers."""
