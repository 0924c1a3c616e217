"""Chapter 24: how large a canary should be."""

from experiment_answers import GUESS, RIGHT, SEEDS, WRONG, another

__all__ = ["RIGHT", "WRONG", "another"]

EQUIVALENT = {
    "`-0.02` -> `0.02`": GUESS,
    "`0.02` -> `0.04`": GUESS,
    "`10` -> `11`": SEEDS,
}
