"""Chapter 22: what privacy costs with few people."""

from experiment_answers import GUESS, RIGHT, SEEDS, WRONG, another

__all__ = ["RIGHT", "WRONG", "another"]

EQUIVALENT = {
    "`-0.02` -> `0.02`": GUESS,
    "`0.02` -> `0.04`": GUESS,
    "`10` -> `11`": SEEDS,
}
