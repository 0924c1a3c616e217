"""Numbers you can defend: losses over all targets, accuracy, F1, calibration, and the
baselines to beat.

Use it:

    >>> prediction, label = torch.tensor([1, 0, 1, 1]), torch.tensor([1, 0, 0, 1])
    >>> accuracy(prediction, label)
    0.75
    >>> # row: the label, column: the prediction
    >>> confusion(prediction, label, classes=2).tolist()
    [[1, 1], [0, 2]]
    >>> round(macro_f1(prediction, label, classes=2), 3)
    0.733

What it is not: a collection of every metric; scikit-learn has those, and the tests
compare with it. Needs: torch only.

Shapes: N texts, C classes, V vocabulary. `logits` (N, C) may be given wherever
predictions (N,) are.
"""

import functools
import math

import torch
import torch.distributed as dist
import torch.nn.functional as F


def scored(predicted, labels):
    """Predictions, (M,) classes or (M, C) logits, and labels (M,), without the ignored
    ones (label -100). ValueError where their shapes do not belong together, or a class
    is no whole number.
    """
    predicted, labels = torch.as_tensor(predicted), torch.as_tensor(labels)
    n = len(labels) if labels.ndim else 0
    if labels.shape != (n,) or predicted.shape[:1] != (n,) or predicted.ndim > 2:
        raise ValueError(
            f"predictions {tuple(predicted.shape)} and labels {tuple(labels.shape)} do "
            "not belong together; give (N,) classes or (N, C) logits, and (N,) labels"
        )
    for name, values in (("prediction", predicted), ("label", labels)):
        wrong = values[values != values.round()] if values.is_floating_point() else ()
        if values.ndim == 1 and len(wrong):
            raise ValueError(
                f"{name} {float(wrong[0])} is no class; give whole numbers from 0 (for "
                "scores, (N, C)), and the label -100 for what is not scored"
            )
    kept = labels != -100
    return predicted[kept], labels[kept].long()


def _classes_of(predicted):
    return predicted.argmax(dim=-1) if predicted.ndim == 2 else predicted


def accuracy(predicted, labels):
    """The fraction of correct predictions. predicted: (N,) classes or (N, C) logits;
    labels (N,), -100 is ignored.
    """
    predicted, labels = scored(predicted, labels)
    if len(labels) == 0:
        raise ValueError("accuracy of 0 texts is not a number; give at least 1")
    return float((_classes_of(predicted) == labels).double().mean())


def confusion(predicted, labels, classes):
    """Counts (C, C): row = the true class, column = the predicted one; a label -100 is
    ignored. Raises ValueError for a class beyond 0 .. classes - 1.
    """
    predicted, labels = scored(predicted, labels)
    predicted = _classes_of(predicted)
    for name, values in (("prediction", predicted), ("label", labels)):
        wrong = values[(values < 0) | (values >= classes)]
        if len(wrong):
            raise ValueError(
                f"{name} {wrong[0]:g} is no class of {classes}, which are 0 to "
                f"{classes - 1}; correct it, or the number of classes"
            )
    cells = labels * classes + predicted.long()
    return torch.bincount(cells, minlength=classes * classes).view(classes, classes)


def f1_per_class(predicted, labels, classes):
    """F1 = 2 TP / (2 TP + FP + FN) of each class: (C,) float64. A class neither present
    nor predicted gets 0, as in scikit-learn.
    """
    table = confusion(predicted, labels, classes).double()
    hits, wrong = table.diag(), table.sum(0) + table.sum(1) - 2 * table.diag()
    return 2 * hits / (2 * hits + wrong).clamp(min=1)


def macro_f1(predicted, labels, classes):
    """The plain mean over classes of `f1_per_class`: a rare class counts as much as a
    common one.
    """
    return float(f1_per_class(predicted, labels, classes).mean())


def f1_interval(predicted, labels, classes, level=0.95, samples=2000, seed=0):
    """F1 of each class with a bootstrap interval -> (F1, low, high), each (C,).

    predicted: (N,) classes, or (R, N): the answers of R runs (seeds) to the same N
        texts. F1 is no mean over texts, so each sample draws N texts anew, and R runs
        anew, and computes F1 again; the F1 of several runs is the mean of theirs.
    """
    runs = torch.atleast_2d(torch.as_tensor(predicted))
    pairs = [scored(run, labels) for run in runs]
    runs, labels = torch.stack([run for run, _ in pairs]), pairs[0][1]
    # (R, N, C), (N, C)
    is_predicted = F.one_hot(runs, classes).double()
    is_true = F.one_hot(labels, classes).double()
    # per text; 2 TP + FP + FN is how often the class is said or true
    hits, total = is_predicted * is_true, is_predicted + is_true
    generator, drawn = torch.Generator().manual_seed(seed), []
    for _ in range(samples):
        text = torch.bincount(
            torch.randint(len(labels), (len(labels),), generator=generator),
            minlength=len(labels),
        ).double()
        run = torch.randint(len(runs), (len(runs),), generator=generator)
        top, bottom = (
            torch.einsum("n,rnc->rc", text, counts) for counts in (hits, total)
        )
        drawn.append((2 * top / bottom.clamp(min=1))[run].mean(0))
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = torch.quantile(torch.stack(drawn), edges, dim=0)
    return (
        torch.stack([f1_per_class(run, labels, classes) for run in runs]).mean(0),
        low,
        high,
    )


def precision_recall(predicted, labels, positive=1):
    """(precision, recall, F1) of one class: of those called positive, how many are; of
    those that are, how many are called.

    predicted: (N,) classes or (N, C) logits; labels (N,). A ratio 0 / 0 counts as 0, as
        in scikit-learn.
    """
    predicted, labels = scored(predicted, labels)
    is_predicted = _classes_of(predicted) == positive
    is_true = labels == positive
    hits = int((is_predicted & is_true).sum())
    precision = hits / max(1, int(is_predicted.sum()))
    recall = hits / max(1, int(is_true.sum()))
    return precision, recall, 2 * hits / max(1, int(is_predicted.sum() + is_true.sum()))


def calibration_error(logits, labels, bins=10):
    """Expected calibration error (Guo et al. 2017): |confidence - accuracy| averaged
    over equal-width confidence bins.

    0 means: of the answers given with 80 % confidence, 80 % are right. logits (N, C),
    labels (N,).
    """
    logits, labels = scored(logits, labels)
    confidence, predicted = torch.softmax(logits.double(), dim=-1).max(dim=-1)
    correct = (predicted == labels).double()
    bucket = (confidence * bins).ceil().long().clamp(1, bins) - 1  # (0, 0.1] is bin 0
    gap = torch.zeros(bins, dtype=torch.float64).index_add(
        0, bucket, confidence - correct
    )
    return float(gap.abs().sum() / len(correct))


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


@in_eval_mode
def mean_loss(model, batches, loss_fn, dtype=None):
    """Loss per target, in nats, over all batches and all processes, dropout off.

    loss_fn(model, batch) returns the sum over batch["labels"] != -100; the sums are
    added up first and divided once.
    """
    device = next(model.parameters()).device
    total, targets = 0.0, 0
    with (
        torch.no_grad(),
        torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None),
    ):
        for batch in batches:
            total += float(loss_fn(model, {k: v.to(device) for k, v in batch.items()}))
            targets += int((batch["labels"] != -100).sum())
    if dist.is_initialized():
        both = torch.tensor([total, targets], dtype=torch.float64, device=device)
        dist.all_reduce(both)
        total, targets = both.tolist()
    if targets == 0:
        raise ValueError(
            "there are 0 targets in these batches, a mean needs at least 1; "
            "check the labels for -100"
        )
    return total / targets


def unigram_loss(train, held_out, vocab_size):
    """Nats per token of the best guess that ignores the context: -log of each token's
    share in `train` (add-one).

    train, held_out: LongTensors of ids of any shape. A model above this line has not
    read its input yet.
    """
    counts = torch.bincount(train.flatten(), minlength=vocab_size).double() + 1
    logp = (counts / counts.sum()).log()
    return float(-logp[held_out.flatten()].mean())


def bigram_loss(train, held_out, vocab_size, strength=100.0, target_mask=None):
    """Nats per token of a guess from the token before: counts of pairs, smoothed
    towards the unigram.

    train, held_out: (N, T) rows of ids. p(b | a) = (count(a b) + strength p(b)) /
    (count(a) + strength), the Dirichlet prior of MacKay & Peto 1995. target_mask: bool
    (N, T), score only these (the first column has no neighbour and is skipped).
    """
    single = torch.bincount(train.flatten(), minlength=vocab_size).double() + 1
    p = single / single.sum()
    before = torch.bincount(train[:, :-1].flatten(), minlength=vocab_size).double()
    pairs, counts = (
        (train[:, :-1] * vocab_size + train[:, 1:]).flatten().unique(return_counts=True)
    )
    kept = (
        torch.ones_like(held_out[:, 1:], dtype=torch.bool)
        if target_mask is None
        else target_mask[:, 1:]
    )
    a, b = held_out[:, :-1][kept], held_out[:, 1:][kept]
    index = torch.searchsorted(pairs, a * vocab_size + b).clamp(max=len(pairs) - 1)
    seen = torch.where(pairs[index] == a * vocab_size + b, counts[index], 0).double()
    return float(-((seen + strength * p[b]) / (before[a] + strength)).log().mean())


def kneser_ney_loss(train, held_out, vocab_size):
    """Nats per token of a guess from the two tokens before it: counts of three, with
    the smoothing of Kneser & Ney 1995, interpolated (Chen & Goodman 1999).

    train, held_out: (N, T) rows of ids. As in `bigram_loss`, the first token of a row
    is not scored. From each count a discount is taken (Ney et al. 1994; 0.5 where no
    count is 1). What that leaves goes to the guess from one token less, in which a pair
    counts as often as it has *different* tokens before it.
    """
    V = vocab_size + 1  # one more id, as a mark before each row

    def triples_of(rows):
        a, b, c = (F.pad(rows, (2 - i, i), value=vocab_size) for i in range(3))
        return ((a * V + b) * V + c)[:, : rows.shape[1]]

    def lookup(keys, values, wanted):
        index = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        return torch.where(keys[index] == wanted, values[index], 0).double()

    levels = [triples_of(train).unique(return_counts=True)]
    for modulus in (V * V, V):  # without the first token, then without the second
        levels.append((levels[-1][0] % modulus).unique(return_counts=True))
    targets = triples_of(held_out)[:, 1:].flatten()
    p = torch.full(targets.shape, 1 / vocab_size, dtype=torch.double)
    for modulus, (keys, counts) in zip((V, V * V, V**3), reversed(levels)):
        contexts, index, kinds = (keys // V).unique(
            return_inverse=True, return_counts=True
        )
        totals = torch.zeros_like(kinds).index_add_(0, index, counts)
        ones, twos = (int((counts == n).sum()) for n in (1, 2))
        discount = ones / (ones + 2 * twos) if ones else 0.5
        after, before = targets % modulus, targets % modulus // V
        kept = (lookup(keys, counts, after) - discount).clamp(min=0)
        shared = discount * lookup(contexts, kinds, before) * p
        total = lookup(contexts, totals, before)
        p = torch.where(total > 0, (kept + shared) / total.clamp(min=1), p)
    return float(-p.log().mean())


def neighbours_loss(train, held_out, vocab_size, strength=100.0, target_mask=None):
    """Nats per token of a guess from the tokens before and after it: the counts of
    `bigram_loss`, used from both sides.

    train, held_out: (N, T) rows of ids. p(b | a, c) is proportional to p(b | a)
    p(c | b), as in a chain of first order; a token at the end of a row has one
    neighbour. target_mask: bool (N, T), score only these.
    Takes 4 bytes for each pair of tokens of the vocabulary.
    """
    p = torch.bincount(train.flatten(), minlength=vocab_size).float() + 1
    p = p / p.sum()
    pairs = (train[:, :-1] * vocab_size + train[:, 1:]).flatten()
    log_p = torch.zeros(vocab_size**2).index_add_(0, pairs, torch.ones(len(pairs)))
    log_p = log_p.view(vocab_size, vocab_size)
    log_p += strength * p  # then shares of each row, in place: the table is large
    log_p.div_(log_p.sum(1, keepdim=True)).log_()
    every = torch.ones_like(held_out, dtype=torch.bool)
    losses = []
    for row, kept in zip(held_out, every if target_mask is None else target_mask):
        scores = p.log().repeat(len(row), 1)  # (T, V)
        scores[1:] = log_p[row[:-1]]
        scores[:-1] += log_p.T[row[1:]]
        losses.append(F.cross_entropy(scores[kept], row[kept], reduction="none"))
    return float(torch.cat(losses).double().mean())


def perplexity(loss):
    """exp(loss): among how many equally likely tokens the model hesitates."""
    return math.exp(loss)
