"""Chapter 18: old commands after personalisation, with and without replay."""

from experiment_answers import GUESS, RIGHT, SEEDS, WRONG, another

__all__ = ["RIGHT", "WRONG", "another"]

EQUIVALENT = {
    "`0.2` -> `0.4`": GUESS,
    "`12` -> `13`": SEEDS,
    "`12` -> `11`": SEEDS,
}
