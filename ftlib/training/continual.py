"""Learning tasks one after another: the task x time matrix and its numbers, replay,
EWC, classes as means of vectors.

Use it:

    >>> # row: after which task; column: tested on which task
    >>> scores = torch.tensor([[0.90, 0.50], [0.70, 0.80]])
    >>> (
    ...     round(backward_transfer(scores), 2),
    ...     round(forgetting(scores), 2),
    ...     round(learning_accuracy(scores), 2),
    ... )
    (-0.2, 0.2, 0.85)
    >>> # an old row in each batch
    >>> [
    ...     (len(new), len(old))
    ...     for new, old in replay_batches(new=6, old=100, replay_ratio=0.25, size=4)
    ... ]
    [(3, 1), (3, 1)]
    >>> net, batch = torch.nn.Linear(2, 2), {"input_ids": torch.tensor([[1.0, 2.0]])}
    >>> weights = fisher(
    ...     net, [batch], logits_of=lambda net, batch: net(batch["input_ids"])
    ... )
    >>> # at the old weights nothing has been lost
    >>> penalty(net, copy_weights(net), weights).item()
    0.0
    >>> means = prototypes(
    ...     torch.tensor([[1.0, 0.0], [0.8, 0.2], [0.0, 1.0]]), torch.tensor([0, 0, 1])
    ... )
    >>> nearest(torch.tensor([[0.9, 0.3]]), means).argmax(-1).tolist()
    [0]

What it is not: a loop (train.py) or a benchmark. What a task is, and whether the model
is told which one a text belongs to, you decide. Needs: torch only.

Shapes: K tasks, N texts, D width, C classes.
"""

import functools

import torch
import torch.nn.functional as F


def _square(scores):
    scores = torch.as_tensor(scores, dtype=torch.float64)
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1] or len(scores) < 2:
        raise ValueError(
            f"the matrix has shape {tuple(scores.shape)}; give K rows "
            "(after each task) of K scores, K at least 2"
        )
    return scores


def backward_transfer(scores):
    """How much the old tasks gained from the later ones: mean of (at the end - right
    after it was learned).

    scores (K, K): [t, k] is the score on task k after training on task t. Negative is
        forgetting, positive means that
    later tasks helped (Lopez-Paz & Ranzato 2017). The last task is left out: nothing
    came after it.
    """
    scores = _square(scores)
    return float((scores[-1] - scores.diagonal())[:-1].mean())


def forgetting(scores):
    """How much the old tasks lost: mean of (the best score so far - the score at the
    end), Chaudhry et al. 2018.

    Unlike minus the backward transfer, it also counts what a middle task gave and a
    later one took away again.
    """
    scores = _square(scores)
    # the last row is not among the "so far": with it, the loss would never be negative
    return float((scores[:-1].max(dim=0).values - scores[-1])[:-1].mean())


def learning_accuracy(scores):
    """How well a task was learned when its turn came: the mean of the diagonal."""
    return float(_square(scores).diagonal().mean())


def final(scores):
    """The mean over all tasks at the end: what the user of the last model gets."""
    return float(_square(scores)[-1].mean())


def reservoir(rows, capacity, seed=0):
    """A fair sample of a stream: `capacity` of `rows`, each row with the same chance,
    in one pass (Vitter 1985, algorithm R).

    The stream may be endless and its length unknown: row i enters with chance capacity
    / (i + 1) and throws out a random one.
    """
    generator, kept = torch.Generator().manual_seed(seed), []
    for i, row in enumerate(rows):
        slot = i if i < capacity else int(torch.randint(i + 1, (), generator=generator))
        if slot < capacity:
            # appends while there is capacity, replaces afterwards
            kept[slot : slot + 1] = [row]
    return kept


def replay_batches(new, old, replay_ratio, size, seed=0, epoch=0):
    """Batches of new rows with old ones among them: a list of (new row numbers, old row
    numbers).

    new, old: how many rows there are of each. Each batch has `size` rows,
    round(replay_ratio x size) of them old. Every new row comes once an epoch; the old
    ones are dealt from a shuffled pile that is shuffled again when it is used up.
    Everything is a function of (seed, epoch). Raises ValueError if a batch would have
    no new row.
    """
    past = round(replay_ratio * size) if old else 0
    if not 0 <= past < size:
        raise ValueError(
            f"replay_ratio {replay_ratio} of {size} rows leaves "
            f"{size - past} for the new task; ask for 0 to below 1"
        )
    # + 2**31: the order of the old ones must not follow the order of the new ones
    first, second = (
        torch.Generator().manual_seed(seed * 1_000_003 + epoch + shift)
        for shift in (0, 2**31)
    )
    order, pile, batches = torch.randperm(new, generator=first).tolist(), [], []
    for start in range(0, new, size - past):
        if len(pile) < past:
            # a memory smaller than a batch's share repeats itself inside the batch
            pile += [
                row
                for _ in range(-(-past // old))
                for row in torch.randperm(old, generator=second).tolist()
            ]
        batches.append((order[start : start + size - past], pile[:past]))
        pile = pile[past:]
    return batches


def copy_weights(model):
    """Copies of all weights that train, {name: tensor}: where an old task left them."""
    return {
        name: p.detach().clone()
        for name, p in model.named_parameters()
        if p.requires_grad
    }


def in_eval_mode(function):
    """`function(model, ...)` with dropout and the like switched off; afterwards every
    module has the mode that it had, also after an error or Ctrl-C.
    """

    @functools.wraps(function)
    def switched(model, *arguments, **keywords):
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            return function(model, *arguments, **keywords)
        finally:
            for module, training in modes.items():
                module.training = training

    return switched


@in_eval_mode  # dropout would measure a different network for every text
def fisher(model, batches, logits_of):
    """The diagonal of the Fisher information: how much the answers would change if one
    weight moved, {name: tensor}.

    batches: each of ONE text. logits_of(model, batch) -> (1, C). For each text the
        squared gradients of log p(class) are averaged with the model's own
        probabilities, then over texts. That is exact, and costs C backward passes a
        text. Squaring the gradient of a whole batch would let the texts cancel each
        other; using the true labels instead gives the "empirical Fisher", which is near
        zero wherever the model is right (Kunstner et al. 2019).
    """
    total = {name: torch.zeros_like(p) for name, p in copy_weights(model).items()}
    texts = 0
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for batch in batches:
        logits = logits_of(model, batch)
        if logits.shape[0] != 1:
            raise ValueError(
                f"a batch has {logits.shape[0]} texts, and squared "
                "gradients must be taken text by text; give batches of 1"
            )
        log_p = logits[0].float().log_softmax(dim=-1)  # (C,)
        for c, p in enumerate(log_p.detach().exp()):
            # allow_unused: the head of another task is not used here, and so it may
            # move freely
            gradients = torch.autograd.grad(
                log_p[c],
                list(weights.values()),
                retain_graph=c + 1 < len(log_p),
                allow_unused=True,
            )
            for name, gradient in zip(weights, gradients):
                if gradient is not None:
                    total[name] += p * gradient.square()
        texts += 1
    if texts == 0:
        raise ValueError(
            "0 batches were given; the Fisher information is a mean over "
            "at least 1 text"
        )
    return {name: values / texts for name, values in total.items()}


def penalty(model, anchor, weights):
    """Elastic weight consolidation (Kirkpatrick et al. 2017): half the sum of weights x
    (now - anchor) squared.

    anchor: a `copy_weights` after the old task; weights: its `fisher`, times the
        strength you choose. What the old task did not use may move freely. Multiply by
        the number of targets before you add it to a summed loss, see `with_penalty`.
    """
    now = dict(model.named_parameters())
    return sum(
        0.5 * (weights[name] * (now[name] - anchor[name]).square()).sum()
        for name in weights
    )


def with_penalty(loss_fn, anchors, strength):
    """`loss_fn` of the loop plus EWC towards each old task: a new loss function of
    (model, batch).

    anchors: list of (copy_weights, fisher), one for each old task. The loop divides the
        summed loss by the number of targets, so the penalty is multiplied by it here;
        otherwise a larger batch would hold the old weights less.
    """

    def loss(model, batch):
        penalties = sum(penalty(model, anchor, weights) for anchor, weights in anchors)
        return (
            loss_fn(model, batch)
            + strength * penalties * (batch["labels"] != -100).sum()
        )

    return loss


def prototypes(vectors, labels, classes=None):
    """One mean vector for each class, (N, D) and (N,) -> (C, D): all that has to be
    stored of a class.

    The vectors are scaled to length 1 first and so are the means. A new class is a new
    row; no old row changes (nearest class mean, as in iCaRL, Rebuffi et al. 2017, and
    in prototypical networks, Snell et al. 2017).
    """
    vectors, labels = F.normalize(vectors.float(), dim=-1), torch.as_tensor(labels)
    classes = int(labels.max()) + 1 if classes is None else classes
    counts = torch.bincount(labels, minlength=classes)
    if (counts == 0).any():
        raise ValueError(
            f"class {int((counts == 0).nonzero()[0])} of {classes} has no "
            "vector; give at least one of each class"
        )
    sums = torch.zeros(classes, vectors.shape[1]).index_add(0, labels, vectors)
    return F.normalize(sums / counts[:, None], dim=-1)


def nearest(vectors, means):
    """Cosine similarity to each class mean, (N, D) and (C, D) -> (N, C); argmax is the
    class, max says how sure.
    """
    return F.normalize(vectors.float(), dim=-1) @ means.T


def neighbours(vectors, known, labels, k=5, classes=None):
    """Votes of the k nearest stored texts, each weighing its cosine similarity: (N, D),
    (M, D), (M,) -> (N, C).

    Unlike `prototypes` it must store every vector, and in exchange a class may consist
    of several clusters.
    """
    labels = torch.as_tensor(labels)
    if k > len(known):
        raise ValueError(
            f"k is {k} and {len(known)} texts are stored; ask for at most "
            "as many neighbours"
        )
    classes = int(labels.max()) + 1 if classes is None else classes
    # (N, k)
    near = (
        F.normalize(vectors.float(), dim=-1) @ F.normalize(known.float(), dim=-1).T
    ).topk(k, dim=-1)
    return torch.zeros(len(vectors), classes).scatter_add(
        1, labels[near.indices], near.values
    )
