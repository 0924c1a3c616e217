"""Chapter 20: varied texts, with and without a leash."""

from experiment_answers import GUESS, RIGHT, SEEDS, WRONG, another

__all__ = ["RIGHT", "WRONG", "another"]

EQUIVALENT = {
    "`0.1` -> `0.2`": GUESS,
    "`12` -> `13`": SEEDS,
    "`12` -> `11`": SEEDS,
}
