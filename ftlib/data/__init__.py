"""From text, tables and images to batches."""
