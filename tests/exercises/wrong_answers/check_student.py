"""Chapter 23: what soft targets bring a small network."""

from experiment_answers import GUESS, RIGHT, SEEDS, WRONG, another

__all__ = ["RIGHT", "WRONG", "another"]

EQUIVALENT = {
    "`0.05` -> `0.1`": GUESS,
    "`10` -> `11`": SEEDS,
}
