"""What a model is trained to do: batches and losses of each task."""
