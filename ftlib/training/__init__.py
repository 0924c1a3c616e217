"""The loop, its optimizers, and what keeps a run alive on one machine or many."""
