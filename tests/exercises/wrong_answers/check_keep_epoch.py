"""Wrong forms of early stopping, and another right one."""

import numpy as np
import torch


def another(losses, patience):
    best, kept, waited = float("inf"), 0, 0
    for epoch, loss in enumerate(losses):
        best, kept, waited = (
            (loss, epoch, 0) if loss < best else (best, kept, waited + 1)
        )
        if waited == patience:
            break
    return kept, epoch


def whole_list(losses, patience):
    return losses.index(min(losses)), len(losses) - 1


def last_weights(losses, patience):
    _, stopped = another(losses, patience)
    return stopped, stopped


def turned_round(losses, patience):
    return another(losses, patience)[::-1]


def too_late(losses, patience):
    return another(losses, patience + 1)


def too_early(losses, patience):
    return another(losses, patience - 1) if patience > 1 else another(losses, patience)


def from_one(losses, patience):
    kept, stopped = another(losses, patience)
    return kept + 1, stopped + 1


def looked_ahead(losses, patience):
    return losses.index(min(losses)), another(losses, patience)[1]


def against_the_last(losses, patience):
    waited = 0
    for epoch, loss in enumerate(losses):
        waited = (
            waited + 1
            if epoch and loss >= losses[epoch - 1]
            else 0
            if epoch and loss < min(losses[:epoch])
            else waited - (epoch > 1)
        )
        if waited >= patience:
            break
    seen = losses[: epoch + 1]
    return seen.index(min(seen)), epoch


def no_restart(losses, patience):
    best, kept, waited = float("inf"), 0, 0
    for epoch, loss in enumerate(losses):
        if loss < best:
            best, kept = loss, epoch
        else:
            waited += 1
        if waited == patience:
            break
    return kept, epoch


def equal_is_lower(losses, patience):
    best, kept, waited = float("inf"), 0, 0
    for epoch, loss in enumerate(losses):
        best, kept, waited = (
            (loss, epoch, 0) if loss <= best else (best, kept, waited + 1)
        )
        if waited == patience:
            break
    return kept, epoch


def never_ran_out(losses, patience):
    kept, stopped = another(losses, patience)
    return (
        (kept, stopped)
        if stopped - kept >= patience
        else (kept, min(kept + patience, kept + 9))
    )


def by_a_thousandth(losses, patience):
    best, kept, waited = float("inf"), 0, 0
    for epoch, loss in enumerate(losses):
        if loss < best - 1e-3:
            best, kept, waited = loss, epoch, 0
        else:
            waited += 1
        if waited == patience:
            break
    return kept, epoch


def from_one_down(losses, patience):
    best, kept, waited = 1.0, 0, 0
    for epoch, loss in enumerate(losses):
        if loss < best:
            best, kept, waited = loss, epoch, 0
        else:
            waited += 1
        if waited == patience:
            break
    return kept, epoch


def last_of_equal(losses, patience):
    _, stopped = another(losses, patience)
    seen = losses[: stopped + 1]
    return max(i for i, loss in enumerate(seen) if loss == min(seen)), stopped


def without_sign(losses, patience):
    return another([abs(loss) for loss in losses], patience)


def emptied(losses, patience):
    found = another(losses, patience)
    losses.clear()
    return found


def at_most_three(losses, patience):
    return another(losses, min(patience, 3))


def by_numpy(losses, patience):
    losses = np.array(losses)
    for epoch in range(len(losses)):
        kept = np.argmin(losses[: epoch + 1])
        if epoch - kept >= patience:
            break
    return [kept, np.int64(epoch)]


class ByTensor:
    """An object that can be called."""

    __name__ = "ByTensor"

    def __call__(self, losses, patience):
        for epoch in range(len(losses)):
            kept = int(torch.tensor(losses[: epoch + 1]).argmin())
            if epoch - kept == patience:
                break
        return torch.tensor([kept, epoch]).tolist()


WRONG = [
    (whole_list, "patience is not used"),
    (last_weights, "weights of the last epoch"),
    (turned_round, "(kept, stopped)"),
    (too_late, "one epoch too many"),
    (too_early, "one epoch too few"),
    (from_one, "from 1"),
    (looked_ahead, "from the whole list"),
    (no_restart, "in a row"),
    (equal_is_lower, "not lower"),
    (never_ran_out, "never runs out"),
    (by_a_thousandth, "lower by a little"),
    (from_one_down, "larger than 1"),
    (last_of_equal, "(2, 2)"),
    (without_sign, "may be negative"),
    (emptied, "changes losses"),
    (at_most_three, "patience 4"),
]

RIGHT = [by_numpy, ByTensor()]
