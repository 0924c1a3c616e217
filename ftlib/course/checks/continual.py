"""Checks of chapter 17: backward transfer, replay batches, a Fisher diagonal, class
means, and the clinic.

>>> from ftlib.course.checks.continual import check_back_transfer
>>> check_back_transfer(lambda scores: float((scores[-1] - scores.diagonal()).mean()))
hint: the last task is in the mean; nothing came after it, so it adds a zero and makes
the forgetting look smaller

What it is not: a benchmark; the checks use small numbers that they make themselves.
Needs: torch, ftlib.

Shapes: K tasks, N texts, D width, C classes.
"""

from collections import Counter

import torch
import torch.nn.functional as F

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.numeric import close, is_rounded, rounded_tensor
from ftlib.training import continual

SCORES = torch.tensor(
    [
        [0.80, 0.50, 0.40, 0.55],
        [0.84, 0.90, 0.52, 0.50],
        [0.74, 0.70, 0.95, 0.45],
        [0.703, 0.785, 0.852, 0.88],
    ]
)


@exercise
def check_back_transfer(answer):
    """answer(scores (K, K)) -> the backward transfer; scores[t, k]: on task k, after
    training on task t.
    """
    value, expected = float(answer(SCORES.clone())), continual.backward_transfer(SCORES)
    change = SCORES[-1] - SCORES.diagonal()
    expect(
        not close(value, change.mean()),
        "the last task is in the mean; nothing came after it, so it adds a zero, or "
        "divides by K, and makes the forgetting look smaller",
    )
    expect(
        not close(value, -expected),
        "the result has the wrong sign; take the final score minus the score right "
        "after learning, so that forgetting is negative",
    )
    expect(
        not close(value, -continual.forgetting(SCORES))
        and not close(value, continual.forgetting(SCORES)),
        "this compares with the best score so far, which is forgetting; backward "
        "transfer compares with the diagonal",
    )
    soon = torch.stack([SCORES[k + 1, k] - SCORES[k, k] for k in range(3)]).mean()
    expect(
        not close(value, soon),
        "you take the score of each task after the very next task; use the last row, "
        "scores[-1], for all of them",
    )
    turned = SCORES.T
    expect(
        not close(value, (turned[-1] - turned.diagonal())[:-1].mean()),
        "rows and columns are exchanged; a row is a time, and the final scores are "
        "the last row, scores[-1]",
    )
    expect(
        not close(value, change[:-1].sum()),
        "this is a sum over the old tasks; divide by K - 1, or more tasks always "
        "look worse",
    )
    first = (SCORES[-1] - SCORES[0])[:-1].mean()
    expect(
        not close(value, first),
        "every task is compared with the first row, when "
        "most had not been learned; use the diagonal",
    )
    expect(
        not close(value, (SCORES[-1] - SCORES[-2])[:-1].mean()),
        "only the last step is counted, without the forgetting before it; compare "
        "with the diagonal",
    )
    expect(
        not is_rounded(value, expected),
        f"the value is {value:.6g}, which is {expected:.6f} rounded; return the mean "
        "as it is",
    )
    expect(
        close(value, expected),
        f"the value is {value:.6f}, expected {expected:.6f}; take the mean over k < K "
        "- 1 of scores[K-1, k] - scores[k, k]",
    )
    two = torch.tensor([[0.6, 0.5], [0.7, 0.9]])
    expect(
        not close(answer(two), 0),
        "the second of two tasks helped the first by 0.1, and the value is 0; a gain "
        "counts too, so do not clamp it",
    )
    expect(
        not close(answer(two), -0.1),
        "the second of two tasks helped the first by 0.1, and the value is -0.1; keep "
        "the sign of a gain",
    )
    expect(
        close(answer(two), 0.1),
        "two tasks of which the second helped the first by 0.1 must give 0.1; is a "
        "size written into your function?",
    )
    for K in (3, 6, 9):
        scores = torch.rand(K, K, generator=torch.Generator().manual_seed(K))
        value, expected = float(answer(scores)), continual.backward_transfer(scores)
        losses = (scores[-1] - scores.diagonal())[:-1].clamp(max=0).mean()
        expect(
            not close(value, losses),
            f"{K} tasks, some of which gained: the value is {value:.6f}, in which the "
            f"gains count as 0; expected {expected:.6f}, so do not clamp them",
        )
        expect(
            close(value, expected),
            f"with {K} tasks the value is {value:.6f}, expected {expected:.6f}; take "
            "the mean over all tasks but the last, gains and losses",
        )
    return correct(
        "final scores minus the diagonal, over the tasks that had time to be forgotten"
    )


def rounding_and_rest(answer):
    """Raise the hint for batches that are correct only where everything divides: 6 new
    rows a batch, a memory larger than a batch's old rows.
    """

    def dealt(new, memory, fraction, seed=0, size=8):
        batches = [
            list(b)
            for b in answer(
                [f"new {i}" for i in range(new)],
                [f"old {i}" for i in range(memory)],
                fraction,
                size,
                seed,
            )
        ]
        return (
            batches,
            [sum(r.startswith("old") for r in b) for b in batches],
            [r for b in batches for r in b],
        )

    batches, counts, rows = dealt(32, 7, 0.25)
    expect(
        len(batches) == 6 and sum(r.startswith("new") for r in rows) == 32,
        "with 32 new rows, which 6 does not divide, a batch is lost or added; the "
        "last of 6 batches holds the remaining 2 and old rows",
    )
    expect(
        counts == [2] * 6,
        f"with 32 new rows the batches have {counts} old ones; "
        "the last one holds 2 new rows and still 2 old ones",
    )
    counts = dealt(30, 7, 0.3)[1]
    expect(
        set(counts) == {2},
        f"0.3 of 8 is 2.4, which rounds to 2 old rows a batch; yours have {counts[0]}",
    )
    counts = dealt(30, 7, 0.35)[1]
    expect(
        set(counts) == {3},
        f"0.35 of 8 is 2.8, which rounds to 3 old rows a batch; yours have {counts[0]}",
    )
    counts = dealt(32, 1, 0.3)[1]
    expect(
        set(counts) == {2},
        f"with a memory of one row the batches have {counts} old ones; refill the "
        "queue until it is long enough: `while`, not `if`",
    )
    for seed in range(6):  # 18 rows of a memory of 5: four each, or three
        rows = dealt(30, 5, 0.35, seed)[2]
        often = [rows.count(f"old {i}") for i in range(5)]
        expect(
            max(often) - min(often) <= 1,
            f"with a memory of 5 and 3 old rows a batch, the old rows come {often} "
            "times: what is left in the queue is thrown away; append new rows after "
            "it",
        )
    counts = dealt(30, 7, 0.3125)[1]
    expect(
        set(counts) == {2},
        "0.3125 of 8 is 2.5, and round(2.5) is 2 in Python, which rounds a half to the "
        f"even number; yours have {counts[0]}",
    )
    batches, counts, rows = dealt(20, 7, 0.05)
    expect(
        not any(counts) and sorted(map(len, batches)) == [4, 8, 8],
        "0.05 of 8 rounds to 0 old rows; yours have "
        f"{counts}, in batches of {[len(b) for b in batches]}",
    )
    batches, counts, _ = dealt(11, 4, 0.4, size=5)
    expect(
        counts == [2] * 4 and [len(b) for b in batches] == [5, 5, 5, 4],
        f"11 new rows in batches of 5 with a share of 0.4: yours hold {counts} old "
        f"rows of {[len(b) for b in batches]}, expected 2 each of 5, 5, 5 and 4; use "
        "`size`",
    )
    rows = dealt(3, 100, 0.5)[2]
    expect(
        sum(r.startswith("new") for r in rows) == 3 and len(rows) == 7,
        f"with 3 new rows and a share of 0.5, {len(rows)} rows came back, expected 7: "
        "one batch of the 3 and of 4 old ones",
    )


def order_and_rows(answer):
    """Raise the hint for new rows that are not shuffled as a whole, that are taken for
    one where they are equal, or for a memory of which some rows are preferred.
    """
    new = [f"new {i}" for i in range(60)]
    memory = [f"old {i}" for i in range(50)]

    def dealt(seed):
        return [list(b) for b in answer(list(new), list(memory), 0.25, 8, seed)]

    orders = []
    for seed in range(4):
        batches = dealt(seed)
        fresh = [[int(r[4:]) for r in b if r.startswith("new")] for b in batches]
        orders.append([r for rows in fresh for r in rows])
        runs = sum(max(rows) - min(rows) < len(rows) for rows in fresh if len(rows) > 3)
        expect(
            runs < 5,
            f"{runs} of 10 batches hold new rows that are neighbours in the file, "
            "which is sorted by class; shuffle all rows before you cut them into "
            "batches",
        )
        steps = [b - a for a, b in zip(orders[-1], orders[-1][1:])]
        expect(
            max(map(steps.count, steps)) < 30,
            "the new rows come in a regular order, not a shuffled one",
        )
        often = Counter(r for b in batches for r in b if r.startswith("old"))
        expect(
            max(often.values()) == 1,
            "20 old rows are drawn from a memory of 50, and one comes "
            f"{max(often.values())} times while others never come; use the whole "
            "memory, in one queue for all batches",
        )
    expect(
        orders[0] != orders[1],
        "another seed gives the new rows in the same order; use the seed for them too",
    )
    new = ["new text"] * 5 + ["new title"] * 4
    rows = [r for b in dealt(0) for r in b if r.startswith("new")]
    expect(
        Counter(rows) == Counter(new),
        f"of 9 new rows, some of them equal, {len(rows)} came back; equal rows are "
        "rows as well, so count positions, and keep them in a list",
    )


@exercise
def check_mixed_batches(answer):
    """answer(new: N rows, memory: M rows, share, size, seed) -> list of lists; of each,
    round(share x size) from the memory.
    """
    new, memory = [f"new {i}" for i in range(30)], [f"old {i}" for i in range(7)]
    batches = [list(b) for b in answer(list(new), list(memory), 0.25, 8, 0)]
    fresh = [r for b in batches for r in b if r.startswith("new")]
    old = [r for b in batches for r in b if r.startswith("old")]
    expect(
        old, "no row of the memory comes back; without replay this is naive training"
    )
    expect(
        len(fresh) == len(set(fresh)),
        "a new row comes twice in one epoch; draw without replacement",
    )
    expect(
        set(fresh) == set(new),
        f"{len(set(fresh))} of 30 new rows are used; replay "
        "must not cost the new task its texts",
    )
    expect(
        all(len(b) <= 8 for b in batches),
        f"a batch has {max(map(len, batches))} rows, expected 8; the old rows take "
        "the place of new ones and are not put on top",
    )
    complete = [b for b in batches if len(b) == 8]
    counts = [sum(r.startswith("old") for r in b) for b in batches]
    expect(
        max(counts) < 8,
        "some batches hold old rows alone, and the model jumps to and fro; put some "
        "old rows into every batch",
    )
    expect(
        0 not in counts,
        "some batches have no old row; every gradient step must include the old task",
    )
    expect(
        all(sum(r.startswith("old") for r in b) == 2 for b in complete),
        "the number of old rows differs, expected 2 in each batch, a quarter of 8; "
        "count them and do not leave it to chance",
    )
    expect(
        fresh != sorted(fresh, key=lambda r: int(r.split()[1])),
        "the new rows keep the order of the file, which is sorted by class; shuffle "
        "them with the seed",
    )
    expect(
        max(map(old.count, memory)) - min(map(old.count, memory)) <= 1,
        "some old rows come much more often than others; draw from a shuffled queue "
        "and shuffle again when it is used up",
    )
    again = [list(b) for b in answer(list(new), list(memory), 0.25, 8, 0)]
    expect(
        again == batches,
        "the same seed gives other batches at a second call; make "
        "the generator from the seed, inside the function",
    )
    expect(
        [list(b) for b in answer(list(new), list(memory), 0.25, 8, 1)] != batches,
        "another seed gives the same batches; use it for the shuffle",
    )
    expect(
        counts[-1] == 2,
        f"the last batch has {counts[-1]} old rows; it may have fewer new rows, but 2 "
        "old ones like every other batch",
    )
    expect(
        all(len(b) == 8 for b in batches[:-1]),
        "a batch before the last has fewer than 8 rows; only the last may have fewer "
        "new ones",
    )
    rounding_and_rest(answer)
    order_and_rows(answer)
    return correct("every new row once, the old ones in every batch")


def other_probes(answer):
    """Raise the hint for a Fisher diagonal of one size, or of mild logits alone."""
    g = torch.Generator().manual_seed(4)
    for N, D, C, scale in ((1, 4, 2, 1), (12, 3, 6, 1), (9, 1, 3, 1), (15, 4, 4, 4)):
        x, W = torch.randn(N, D, generator=g) - 0.3, torch.randn(C, D, generator=g)
        W *= scale
        got = torch.as_tensor(answer(x, W)).detach().double()
        p = (x.double() @ W.double().T).softmax(-1)
        expected = ((p * (1 - p))[:, :, None] * x[:, None, :].square()).mean(0)
        expect(
            got.shape == (C, D),
            f"for {N} texts of width {D} and {C} classes the shape is "
            f"{tuple(got.shape)}, expected {(C, D)}",
        )
        expect(
            torch.allclose(got, expected, atol=1e-6, rtol=1e-3),
            f"for {N} text{'s' * (N > 1)} of width {D} and {C} classes"
            + (", with confident predictions," if scale > 1 else "")
            + " the values are off by up to "
            f"{float((got - expected).abs().max()):.3g}; is a size or a smallest "
            "probability written into your function?",
        )
    x, W = torch.randn(6, 3, generator=g), 300 * torch.randn(4, 3, generator=g)
    got = torch.as_tensor(answer(x, W)).detach()
    expect(
        bool(torch.isfinite(got).all()),
        "logits of some hundreds give NaN or infinity; softmax() subtracts the "
        "largest logit first, exp() of the logits themselves overflows",
    )


@exercise
def check_fisher_of_probe(answer):
    """answer(x (N, D), W (C, D)) -> (C, D): the diagonal of the Fisher information of
    softmax(x W^T), exact, mean over texts.
    """
    g = torch.Generator().manual_seed(3)
    x, W = torch.randn(40, 5, generator=g) + 0.5, torch.randn(3, 5, generator=g)
    got = torch.as_tensor(answer(x.clone(), W.clone())).detach().float()
    p = (x @ W.T).softmax(-1)
    expect(
        tuple(got.shape) == (3, 5),
        f"the shape is {tuple(got.shape)}, expected (3, 5): a number for each weight",
    )
    each = (p * (1 - p))[:, :, None] * x[:, None, :].square()  # (N, C, D)

    def same(other):
        return torch.allclose(got, other, atol=1e-5, rtol=1e-3)

    expect(
        not same(each.sum(0)),
        "this is a sum over the texts; take the mean, or more texts make the penalty "
        "stronger",
    )
    # gradient of log p of the most likely class, by the logits
    likely = F.one_hot(p.argmax(-1), 3) - p
    expect(
        not same((likely[:, :, None] * x[:, None, :]).square().mean(0)),
        "only the most likely class is used; average over all classes, each with its "
        "probability p",
    )
    # (C, N, C, D)
    every = torch.stack(
        [
            (F.one_hot(torch.tensor(c), 3) - p)[:, :, None] * x[:, None, :]
            for c in range(3)
        ]
    )
    expect(
        not same(every.square().mean((0, 1))),
        "every class counts the same; weight each by the model's own probability p",
    )
    expect(
        not same((p.T[:, :, None, None] * every).sum(0).mean(0).square()),
        "the gradients are averaged before they are squared, so they cancel; square "
        "first",
    )
    middle = (p * (1 - p)).mean(0)[:, None] * x.mean(0).square()
    expect(
        not same(middle),
        "the texts are averaged before the square; square the "
        "numbers of each text, then take the mean",
    )
    expect(
        not same(p.mean(0)[:, None] * x.square().mean(0)),
        "p (1 - p) is the variance of a prediction; with p alone, confident "
        "predictions count most",
    )
    p = (x @ W.T).softmax(0)
    expect(
        not same(((p * (1 - p))[:, :, None] * x[:, None, :].square()).mean(0)),
        "the softmax goes over the texts; the probabilities of one text add up to 1, "
        "so take softmax(-1)",
    )
    expect(
        not rounded_tensor(got, each.mean(0)),
        "the values are rounded, and small ones become 0; return them as they are",
    )
    expect(
        same(each.mean(0)),
        "the values are not the mean over texts of p (1 - p) x squared; which factor "
        "differs?",
    )
    other_probes(answer)
    return correct("squared text by text, weighted by the model's own probabilities")


def other_classes(answer):
    """Raise the hint for class means that fit one number of classes, or labels in one
    order.
    """
    g = torch.Generator().manual_seed(2)
    labels, vectors = torch.arange(20) % 5, torch.randn(20, 4, generator=g)
    got = torch.as_tensor(answer(vectors.clone(), labels, vectors[:3].clone()))
    unit = F.normalize(vectors, dim=-1)
    expect(
        tuple(got.shape) == (6, 4),
        f"with five old classes the shape is {tuple(got.shape)}, expected (6, 4); "
        "take C from the labels",
    )
    sums = torch.stack([unit[labels == c].sum(0) for c in range(5)] + [unit[:3].sum(0)])
    expected = F.normalize(sums, dim=-1)
    blocks = [block.sum(0) for block in unit.split(4)]
    expect(
        not torch.allclose(
            got[:5], F.normalize(torch.stack(blocks), dim=-1), atol=1e-4
        ),
        "the texts of a class are taken for neighbours, but labels come in any order; "
        "take vectors[labels == c]",
    )
    expect(
        torch.allclose(got, expected, atol=1e-4),
        "with five old classes the means are wrong; is a number of classes written "
        "into your function?",
    )
    for M, labels in ((1, [1, 0, 0, 1, 1, 2]), (4, [0]), (3, [1, 0])):
        labels = torch.tensor(labels)
        vectors = torch.randn(len(labels), 3, generator=g)
        new, C = torch.randn(M, 3, generator=g), int(labels.max()) + 1
        got = torch.as_tensor(answer(vectors, labels, new)).float()
        groups = [vectors[labels == c] for c in range(C)] + [new]
        expected = torch.stack([F.normalize(group, dim=-1).sum(0) for group in groups])
        expect(
            got.shape == (C + 1, 3),
            f"with old texts of the classes {labels.tolist()} the shape is "
            f"{tuple(got.shape)}, expected {(C + 1, 3)}",
        )
        expect(
            torch.allclose(got, F.normalize(expected, dim=-1), atol=1e-4),
            f"with {M} new text{'s' * (M > 1)} and old ones of the classes "
            f"{labels.tolist()} the means are wrong; labels come in any order, and one "
            "text is enough for a class",
        )


@exercise
def check_class_means(answer):
    """answer(vectors (N, D), labels (N,), new (M, D)) -> (C + 1, D): unit means of the
    C classes, and of the new one as last row.
    """
    g = torch.Generator().manual_seed(1)
    labels = torch.tensor([0] * 6 + [1] * 9 + [2] * 4)
    vectors = (torch.randn(3, 6, generator=g) * 2)[labels] + torch.randn(
        19, 6, generator=g
    )
    vectors *= torch.linspace(0.3, 4, 19)[:, None]  # long vectors must not decide
    new = torch.randn(10, 6, generator=g) + 1
    new *= torch.linspace(4, 0.3, 10)[:, None]
    got = torch.as_tensor(answer(vectors.clone(), labels.clone(), new.clone())).float()
    expect(
        tuple(got.shape) == (4, 6),
        f"the shape is {tuple(got.shape)}, expected (4, 6): three old classes and a "
        "new one, of width 6",
    )
    unit = F.normalize(vectors, dim=-1)
    unit_new = F.normalize(new, dim=-1)
    sums = torch.stack(
        [unit[labels == c].mean(0) for c in range(3)] + [unit_new.mean(0)]
    )
    expected = F.normalize(sums, dim=-1)
    raw = torch.stack([vectors[labels == c].mean(0) for c in range(3)] + [new.mean(0)])

    def same(other):
        return torch.allclose(got, other, atol=1e-4)

    expect(
        not same(raw),
        "these are plain means, so a class of long vectors would win every "
        "comparison; scale them to length 1",
    )
    expect(
        not same(F.normalize(raw, dim=-1)),
        "the means have length 1, but the vectors did not, so a few long ones decide "
        "where a mean points; scale each text first",
    )
    expect(
        not same(sums),
        "the texts have length 1, but their means do not: a wide class gets a short "
        "mean and loses; scale the means too",
    )
    expect(
        not rounded_tensor(got, expected),
        "the means are rounded, so their lengths are no longer 1; return them as they "
        "are",
    )
    lengths = got.norm(dim=-1)
    expect(
        torch.allclose(lengths, torch.ones(4), atol=1e-4),
        f"the means have lengths {[float(f'{v:.4g}') for v in lengths]}, expected 1",
    )
    groups = [vectors[labels == c] for c in range(3)] + [new]
    columns = torch.stack([F.normalize(group, dim=0).mean(0) for group in groups])
    expect(
        not same(F.normalize(columns, dim=-1)),
        "each column was scaled to length 1, over the texts; scale each text, along "
        "its last dimension",
    )
    expect(
        not torch.allclose(got[0], expected[3], atol=1e-4),
        "the new class is the first row and shifts all class ids; append it as the "
        "last row",
    )
    expect(
        torch.allclose(got[:3], expected[:3], atol=1e-4),
        "the means of the old classes are not the unit means of their own texts; the "
        "new texts must not enter them, and each text counts once",
    )
    expect(
        same(expected),
        "the new class is not the unit mean of its ten unit vectors; "
        "treat it like the old ones",
    )
    other_classes(answer)
    return correct("one new row, and no old row changed")


# test texts correct, after which task and on which: the first task is best after the
# second, the second at the very end
HITS = [[16, 6, 5, 4], [19, 17, 6, 5], [12, 15, 18, 7], [10, 18, 14, 17]]
TESTED = (21, 19, 23, 18)  # test texts of each task


def learner(K):
    """A model that plays HITS: after the n-th fit it predicts so many of a task's test
    texts (number 20 and up) correctly.
    """
    fits = []

    def predict(texts):
        known = HITS[min(len(fits), K) - 1] if fits else [0] * 4
        numbers = [(int(text.split()[1]), int(text.split()[3])) for text in texts]
        return [i % 2 if i - 20 < known[k] else 1 - i % 2 for k, i in numbers]

    return fits.append, predict


def forgetting_faults(value, matrix):
    """Raise the hint for another number than the forgetting of `matrix`."""
    lost = continual.forgetting(matrix)
    if close(value, lost):
        return
    expect(
        not close(value, -lost),
        "forgetting has the wrong sign; here forgetting is positive",
    )
    expect(
        not close(value, (matrix.max(0).values - matrix[-1]).mean()),
        "the last task is in the mean of forgetting; it had no time to forget",
    )
    expect(
        not close(value, -continual.backward_transfer(matrix)),
        "this is minus the backward transfer, which starts from the diagonal; "
        "forgetting starts from the best score so far, after any task",
    )
    expect(
        not close(value, (matrix.max(0).values - matrix[-1])[:-1].mean()),
        "the final score is among the scores `so far`, or a gain is clamped at 0, so a "
        "task that gained at the end counts as 0; leave the last row out of the "
        "maximum, and let a gain be negative",
    )
    expect(
        not is_rounded(value, lost),
        f"forgetting is {value:.6g}, which is {lost:.6f} rounded; return it as it is",
    )
    expect(
        close(value, lost),
        f"forgetting is {value:.6f}, expected {lost:.6f}; take the best score so far "
        "minus the final score, over the old tasks",
    )


def report_faults(answer, K):
    """Raise the hint for a report on K tasks in a row that is not complete."""
    rows = [
        [(f"task {k} text {i}", i % 2) for i in range(20 + TESTED[k])] for k in range(K)
    ]
    tasks = [(r[:20], r[20:]) for r in rows]
    log, fitted, (fit, predict) = [], [], learner(K)

    def spied_fit(rows):
        log.append("fit")
        fitted.append(list(rows))
        return fit(fitted[-1])

    def spied_predict(texts):
        log.append(tuple(texts))
        return predict(list(texts))

    got = answer([(list(a), list(b)) for a, b in tasks], spied_fit, spied_predict)
    hits = torch.tensor(HITS)[:K, :K]
    expected = hits / torch.tensor(TESTED[:K])
    expect(isinstance(got, dict), "return a dictionary with matrix, new and forgetting")
    missing = {"matrix", "new", "forgetting"} - set(got)
    expect(
        not missing,
        f"the report lacks {', '.join(sorted(missing))}; the new "
        "task's score alone says nothing about the old ones",
    )
    expect(
        log.count("fit") == K,
        f"fit was called {log.count('fit')} times for {K} "
        "tasks; train once on each, in their order",
    )
    expect(
        fitted == [train for train, _ in tasks],
        "fit got other rows than the training texts of each task, one task after "
        "another",
    )
    matrix = torch.as_tensor(got["matrix"]).float()
    expect(
        tuple(matrix.shape) == (K, K),
        f"the matrix has the shape {tuple(matrix.shape)}, expected ({K}, {K}) for {K} "
        "tasks: every task after every task",
    )
    trained = {text for rows, _ in tasks for text, _ in rows}
    expect(
        not any(trained & set(queries) for queries in log if queries != "fit"),
        "the model is evaluated on its training texts; use each task's own test texts",
    )
    blocks = " ".join("f" if entry == "fit" else "p" for entry in log)
    expect(
        not blocks.startswith("f f"),
        "all tasks are trained before the first evaluation; evaluate every task "
        "after each one, or the history is lost",
    )
    queries = {
        (log[:i].count("fit"), text.split()[1])
        for i, texts in enumerate(log)
        if texts != "fit"
        for text in texts
    }
    expect(
        len(queries) != K * (K + 1) // 2 or len(queries) == K * K,
        "only the tasks that were trained so far are evaluated; the matrix also has "
        "the scores on tasks that are still to come",
    )
    expect(
        len(queries) >= K * K,
        "only the task that was trained last is evaluated: the diagonal is filled "
        "and the old tasks are not measured again",
    )
    expect(
        not torch.allclose(matrix, expected.T, atol=1e-5),
        "rows and columns are exchanged; a row is a time, a column a task",
    )
    expect(
        not torch.allclose(matrix, hits.float(), atol=1e-5),
        "the matrix counts the correct answers; divide by the number of test texts of "
        "that task",
    )
    i = int((matrix - expected).abs().argmax())
    expect(
        not is_rounded(matrix.flatten()[i], expected.flatten()[i]),
        f"the matrix is rounded: {float(matrix.flatten()[i]):.6g} instead of "
        f"{float(expected.flatten()[i]):.6f}",
    )
    expect(
        torch.allclose(matrix, expected, atol=1e-5),
        f"a score in the matrix is {float(matrix.flatten()[i]):.6f}, expected "
        f"{float(expected.flatten()[i]):.6f}, the accuracy on that task's test texts",
    )
    expect(
        close(got["new"], expected[-1, -1]),
        "new is the score on the last task after the last training: the last entry "
        "of the diagonal",
    )
    forgetting_faults(float(got["forgetting"]), expected)


@exercise
def check_report_all(answer):
    """answer(tasks, fit, predict) -> {"matrix" (K, K), "new", "forgetting"}; tasks:
    [(train, test)] of (text, label) pairs.
    """
    for K in (4, 2):
        report_faults(answer, K)
    return correct("every task is evaluated after every task")
