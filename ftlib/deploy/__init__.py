"""Models and adapters in use."""
