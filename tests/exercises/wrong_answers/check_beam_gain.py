"""Chapter 16: beam search against greedy decoding, as an experiment."""

from experiment_answers import GUESS, RIGHT, SEEDS, WRONG, another

__all__ = ["RIGHT", "WRONG", "another"]

EQUIVALENT = {
    "`0.02` -> `0.04`": GUESS,
    "`20` -> `21`": SEEDS,
    "`20` -> `19`": SEEDS,
}
