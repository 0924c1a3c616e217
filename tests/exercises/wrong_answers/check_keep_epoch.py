"""Wrong forms of early stopping, and another right one."""


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
]
