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

import torch

from ftlib.course.checks import correct, exercise, expect
from ftlib.training import continual


def near(a, b, tolerance=1e-4):
    return abs(float(a) - float(b)) < tolerance


SCORES = torch.tensor(
    [
        [0.80, 0.50, 0.40, 0.55],
        [0.84, 0.90, 0.52, 0.50],
        [0.74, 0.70, 0.95, 0.45],
        [0.70, 0.78, 0.85, 0.88],
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
        not near(value, change.mean()),
        "the last task is in the mean; nothing came after it, so it adds a zero and "
        "makes the forgetting look smaller",
    )
    expect(
        not near(value, -expected),
        "the result has the wrong sign; take the final score minus the score right "
        "after learning, so that forgetting is negative",
    )
    expect(
        not near(value, -continual.forgetting(SCORES))
        and not near(value, continual.forgetting(SCORES)),
        "this compares with the best score so far, which is forgetting; backward "
        "transfer compares with the diagonal",
    )
    soon = torch.stack([SCORES[k + 1, k] - SCORES[k, k] for k in range(3)]).mean()
    expect(
        not near(value, soon),
        "you take the score of each task after the very next task; use the last row, "
        "scores[-1], for all of them",
    )
    turned = SCORES.T
    expect(
        not near(value, (turned[-1] - turned.diagonal())[:-1].mean()),
        "rows and columns are exchanged; a row is a time, and the final scores are "
        "the last row, scores[-1]",
    )
    expect(
        not near(value, change[:-1].sum()),
        "this is a sum over the old tasks; divide by K - 1, or more tasks always "
        "look worse",
    )
    first = (SCORES[-1] - SCORES[0])[:-1].mean()
    expect(
        not near(value, first),
        "every task is compared with the first row, when "
        "most had not been learned; use the diagonal",
    )
    expect(
        not near(value, (SCORES[-1] - SCORES[-2])[:-1].mean()),
        "only the last step is counted, without the forgetting before it; compare "
        "with the diagonal",
    )
    expect(
        near(value, expected, 1e-5),
        f"the value is {value:.4f}, expected {expected:.4f}; take the mean over k < K "
        "- 1 of scores[K-1, k] - scores[k, k]",
    )
    two = torch.tensor([[0.6, 0.5], [0.7, 0.9]])
    expect(
        near(answer(two), 0.1, 1e-5),
        "two tasks of which the second helped the first by 0.1 must give 0.1; is a "
        "size written into your function?",
    )
    return correct(
        "final scores minus the diagonal, over the tasks that had time to be forgotten"
    )


def rounding_and_rest(answer):
    """Raise the hint for batches that are correct only where everything divides: 6 new
    rows a batch, a memory larger than a batch's old rows.
    """

    def dealt(new, memory, fraction, seed=0):
        batches = [
            list(b)
            for b in answer(
                [f"new {i}" for i in range(new)],
                [f"old {i}" for i in range(memory)],
                fraction,
                8,
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
    return correct("every new row once, the old ones in every batch")


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
    likely = torch.nn.functional.one_hot(p.argmax(-1), 3) - p
    expect(
        not same((likely[:, :, None] * x[:, None, :]).square().mean(0)),
        "only the most likely class is used; average over all classes, each with its "
        "probability p",
    )
    # (C, N, C, D)
    every = torch.stack(
        [
            (torch.nn.functional.one_hot(torch.tensor(c), 3) - p)[:, :, None]
            * x[:, None, :]
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
    expect(
        same(each.mean(0)),
        "the values are not the mean over texts of p (1 - p) x squared; which factor "
        "differs?",
    )
    return correct("squared text by text, weighted by the model's own probabilities")


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
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    unit_new = torch.nn.functional.normalize(new, dim=-1)
    sums = torch.stack(
        [unit[labels == c].mean(0) for c in range(3)] + [unit_new.mean(0)]
    )
    expected = torch.nn.functional.normalize(sums, dim=-1)
    raw = torch.stack([vectors[labels == c].mean(0) for c in range(3)] + [new.mean(0)])

    def same(other):
        return torch.allclose(got, other, atol=1e-4)

    expect(
        not same(raw),
        "these are plain means, so a class of long vectors would win every "
        "comparison; scale them to length 1",
    )
    expect(
        not same(torch.nn.functional.normalize(raw, dim=-1)),
        "the means have length 1, but the vectors did not, so a few long ones decide "
        "where a mean points; scale each text first",
    )
    expect(
        not same(sums),
        "the texts have length 1, but their means do not: a wide class gets a short "
        "mean and loses; scale the means too",
    )
    expect(
        not torch.allclose(got[0], expected[3], atol=1e-4),
        "the new class is the first row and shifts all class ids; append it as the "
        "last row",
    )
    expect(
        torch.allclose(got[:3], expected[:3], atol=1e-4),
        "the means of the old classes are not those of their own texts; the new "
        "texts must not enter them",
    )
    expect(
        same(expected),
        "the new class is not the unit mean of its ten unit vectors; "
        "treat it like the old ones",
    )
    labels, vectors = torch.arange(20) % 5, torch.randn(20, 4, generator=g)
    got = torch.as_tensor(answer(vectors.clone(), labels, vectors[:3].clone()))
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    expect(
        tuple(got.shape) == (6, 4),
        f"with five old classes the shape is {tuple(got.shape)}, expected (6, 4); "
        "take C from the labels",
    )
    sums = torch.stack([unit[labels == c].sum(0) for c in range(5)] + [unit[:3].sum(0)])
    expected = torch.nn.functional.normalize(sums, dim=-1)
    expect(
        same(expected),
        "with five old classes the means are wrong; is a number of classes written "
        "into your function?",
    )
    return correct("one new row, and no old row changed")


# of 20 texts correct, after which task and on which: the first task is best after the
# second, the second at the very end
TWENTIETHS = [[16, 6, 5, 4], [19, 17, 6, 5], [12, 15, 18, 7], [10, 18, 14, 17]]


def learner():
    """A model that plays TWENTIETHS: after the n-th fit it predicts so many of a task's
    test texts (number 20 to 39) correctly, one by one.
    """
    fits = []

    def predict(texts):
        known = TWENTIETHS[min(len(fits), 4) - 1] if fits else [0] * 4
        numbers = [(int(text.split()[1]), int(text.split()[3])) for text in texts]
        return [i % 2 if i - 20 < known[k] else 1 - i % 2 for k, i in numbers]

    return fits.append, predict


@exercise
def check_report_all(answer):
    """answer(tasks, fit, predict) -> {"matrix" (K, K), "new", "forgetting"}; tasks:
    [(train, test)] of (text, label) pairs.
    """
    rows = [[(f"task {k} text {i}", i % 2) for i in range(40)] for k in range(4)]
    tasks, K = [(r[:20], r[20:]) for r in rows], 4
    log, fitted, (fit, predict) = [], [], learner()

    def spied_fit(rows):
        log.append("fit")
        fitted.append(list(rows))
        return fit(fitted[-1])

    def spied_predict(texts):
        log.append(tuple(texts))
        return predict(list(texts))

    got = answer([(list(a), list(b)) for a, b in tasks], spied_fit, spied_predict)
    expected = torch.tensor(TWENTIETHS) / 20
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
        len(queries) >= K * K,
        "only the task that was trained last is evaluated: the diagonal is filled "
        "and the old tasks are not measured again",
    )
    expect(
        not torch.allclose(matrix, expected.T, atol=1e-5),
        "rows and columns are exchanged; a row is a time, a column a task",
    )
    expect(
        torch.allclose(matrix, expected, atol=1e-5),
        "a score in the matrix is not the accuracy on that task's test texts",
    )
    expect(
        near(got["new"], expected[-1, -1]),
        "new is the score on the last task after the last training: the last entry "
        "of the diagonal",
    )
    lost = continual.forgetting(expected)
    expect(
        not near(got["forgetting"], -lost),
        "forgetting has the wrong sign; here forgetting is positive",
    )
    expect(
        not near(got["forgetting"], (expected.max(0).values - expected[-1]).mean()),
        "the last task is in the mean of forgetting; it had no time to forget",
    )
    expect(
        not near(got["forgetting"], -continual.backward_transfer(expected)),
        "this is minus the backward transfer, which starts from the diagonal; "
        "forgetting starts from the best score so far, after any task",
    )
    expect(
        not near(
            got["forgetting"], (expected.max(0).values - expected[-1])[:-1].mean()
        ),
        "the final score is among the scores `so far`, so a task that gained at the "
        "end counts as 0; leave the last row out of the maximum",
    )
    expect(
        near(got["forgetting"], lost),
        f"forgetting is {float(got['forgetting']):.3f}, expected {lost:.3f}; take the "
        "best score so far minus the final score, over the old tasks",
    )
    return correct("every task is evaluated after every task")
