"""From text, tables, images and sound to batches."""
