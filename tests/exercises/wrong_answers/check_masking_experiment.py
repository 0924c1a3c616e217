"""Chapter 21: accuracy on the neural voice, with and without SpecAugment."""

from experiment_answers import GUESS, RIGHT, SEEDS, WRONG, another

__all__ = ["RIGHT", "WRONG", "another"]

EQUIVALENT = {
    "`0.02` -> `0.04`": GUESS,
    "`12` -> `13`": SEEDS,
    "`12` -> `11`": SEEDS,
}
