"""Chapter 25: what choosing on the test set does to the number that is reported."""

from experiment_answers import GUESS, RIGHT, SEEDS, WRONG, another

__all__ = ["RIGHT", "WRONG", "another"]

EQUIVALENT = {
    "`0.05` -> `0.1`": GUESS,
    "`10` -> `11`": SEEDS,
}
