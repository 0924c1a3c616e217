"""Numbers you can defend, their intervals, and what a run will cost."""
