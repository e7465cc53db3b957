"""Training on several machines: what they tell each other, and what that costs."""
