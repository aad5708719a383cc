"""The pass over a test set: what a codec costs, and what the task networks still detect."""
