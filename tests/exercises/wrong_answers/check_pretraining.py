"""Chapter 15: a tagger with and without pretraining, as an experiment."""

from experiment_answers import GUESS, RIGHT, SEEDS, WRONG, another

__all__ = ["RIGHT", "WRONG", "another"]

EQUIVALENT = {
    "`0.1` -> `0.2`": GUESS,
    "`10` -> `11`": SEEDS,
}
