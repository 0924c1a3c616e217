"""Checks of chapter 17: backward transfer, a batch that rehearses, a Fisher diagonal, class means, and the clinic.

>>> from ftlib.checks.continual import check_back_transfer
>>> check_back_transfer(lambda scores: float((scores[-1] - scores.diagonal()).mean()))
hint: the last task is in the mean; nothing came after it, so it adds a zero and makes the loss look smaller

What it is not: a benchmark; the checks use small numbers that they make themselves. Needs: torch, ftlib.

Shapes: K tasks, N texts, D width, C classes.
"""
import torch

from ftlib import continual
from ftlib.checks import correct, exercise, expect


def near(a, b, tolerance=1e-4):
    return abs(float(a) - float(b)) < tolerance


SCORES = torch.tensor([[0.80, 0.50, 0.40, 0.55], [0.86, 0.90, 0.52, 0.50], [0.74, 0.70, 0.95, 0.45], [0.70, 0.78, 0.85, 0.88]])


@exercise
def check_back_transfer(answer):
    """answer(scores (K, K)) -> the backward transfer; scores[t, k]: on task k, after training on task t."""
    value, right = float(answer(SCORES.clone())), continual.backward_transfer(SCORES)
    change = SCORES[-1] - SCORES.diagonal()
    expect(not near(value, change.mean()),
           "the last task is in the mean; nothing came after it, so it adds a zero and makes the loss look smaller")
    expect(not near(value, -right), "the sign is turned: it is the end minus the moment of learning, so that forgetting is negative")
    expect(not near(value, -continual.forgetting(SCORES)) and not near(value, continual.forgetting(SCORES)),
           "this compares with the best score so far, which is forgetting; backward transfer compares with the diagonal")
    turned = SCORES.T
    expect(not near(value, (turned[-1] - turned.diagonal())[:-1].mean()),
           "rows and columns are exchanged: a row is a time, the end is the last row, scores[-1]")
    expect(not near(value, change[:-1].sum()), "this is a sum over the old tasks; divide by K - 1, or more tasks always look worse")
    first = (SCORES[-1] - SCORES[0])[:-1].mean()
    expect(not near(value, first), "every task is compared with the first row, when most had not been learned; use the diagonal")
    expect(not near(value, (SCORES[-1] - SCORES[-2])[:-1].mean()),
           "only the last step is counted; what was lost before it is missing, so compare with the diagonal")
    expect(near(value, right, 1e-5), f"the value is {value:.4f} where {right:.4f} is right; mean over k < K - 1 of scores[K-1, k] - scores[k, k]")
    two = torch.tensor([[0.6, 0.5], [0.7, 0.9]])
    expect(near(answer(two), 0.1, 1e-5), "two tasks of which the second helped the first by 0.1 must give 0.1; is a size written into it?")
    return correct("the end minus the diagonal, over the tasks that had time to forget")


@exercise
def check_mixed_batches(answer):
    """answer(new: N rows, memory: M rows, share, size, seed) -> list of lists; of each, round(share x size) from the memory."""
    new, memory = [f"new {i}" for i in range(30)], [f"old {i}" for i in range(7)]
    batches = [list(b) for b in answer(list(new), list(memory), 0.25, 8, 0)]
    fresh = [r for b in batches for r in b if r.startswith("new")]
    old = [r for b in batches for r in b if r.startswith("old")]
    expect(old, "no row of the memory comes back; without it this is naive training")
    expect(len(fresh) == len(set(fresh)), "a new row comes twice in one epoch; deal them out without putting back")
    expect(set(fresh) == set(new), f"{len(set(fresh))} of 30 new rows are used; replay must not cost the new task its texts")
    expect(all(len(b) <= 8 for b in batches),
           f"a batch has {max(map(len, batches))} rows and 8 were asked for: the old rows take places, they are not put on top")
    whole = [b for b in batches if len(b) == 8]
    counts = [sum(r.startswith("old") for r in b) for b in batches]
    expect(max(counts) < 8, "some batches hold old rows alone: the model then jumps to and fro; put some into every batch")
    expect(0 not in counts, "some batches have no old row; every step has to feel the old task")
    expect(all(sum(r.startswith("old") for r in b) == 2 for b in whole),
           "a quarter of 8 is 2 old rows in each batch; the number in yours differs, so count them and do not leave it to chance")
    expect(fresh != sorted(fresh, key=lambda r: int(r.split()[1])), "the new rows keep the order of the file, which is sorted by class; shuffle them with the seed")
    expect(max(map(old.count, memory)) - min(map(old.count, memory)) <= 1,
           "some old rows come much more often than others; deal from a shuffled pile and shuffle again when it is used up")
    again = [list(b) for b in answer(list(new), list(memory), 0.25, 8, 0)]
    expect(again == batches, "the same seed gives other batches at a second call; make the generator from the seed, inside the function")
    expect([list(b) for b in answer(list(new), list(memory), 0.25, 8, 1)] != batches, "another seed gives the same batches; use it for the shuffle")
    return correct("every new row once, the old ones in every batch")


@exercise
def check_fisher_of_probe(answer):
    """answer(x (N, D), W (C, D)) -> (C, D): the diagonal of the Fisher information of softmax(x W^T), exact, mean over texts."""
    g = torch.Generator().manual_seed(3)
    x, W = torch.randn(40, 5, generator=g) + 0.5, torch.randn(3, 5, generator=g)
    got, p = torch.as_tensor(answer(x.clone(), W.clone())).detach().float(), (x @ W.T).softmax(-1)
    expect(tuple(got.shape) == (3, 5), f"the shape is {tuple(got.shape)}, (3, 5) is asked for: a number for each weight")
    each = (p * (1 - p))[:, :, None] * x[:, None, :].square()  # (N, C, D)

    def same(other):
        return torch.allclose(got, other, atol=1e-5, rtol=1e-3)

    expect(not same(each.sum(0)), "this is a sum over the texts; take the mean, or more texts hold the weights harder")
    likely = torch.nn.functional.one_hot(p.argmax(-1), 3) - p  # gradient of log p of the likeliest class, by the logits
    expect(not same((likely[:, :, None] * x[:, None, :]).square().mean(0)),
           "only the likeliest class is asked; average over all classes, each with its probability p")
    every = torch.stack([(torch.nn.functional.one_hot(torch.tensor(c), 3) - p)[:, :, None] * x[:, None, :] for c in range(3)])  # (C, N, C, D)
    expect(not same(every.square().mean((0, 1))), "every class weighs the same; the model's own probability p is the weight")
    expect(not same((p.T[:, :, None, None] * every).sum(0).mean(0).square()), "the gradients are averaged first and squared afterwards: "
           "they cancel, and nothing is left; square first")
    middle = (p * (1 - p)).mean(0)[:, None] * x.mean(0).square()
    expect(not same(middle), "the texts are averaged before the square; square the numbers of each text, then take the mean")
    expect(not same(p.mean(0)[:, None] * x.square().mean(0)), "p (1 - p) is the spread of an answer; with p alone, certain answers count most")
    expect(same(each.mean(0)), "the values are not the mean over texts of p (1 - p) x squared; which part differs?")
    return correct("square text by text, weigh by the model's own probabilities")


@exercise
def check_class_means(answer):
    """answer(vectors (N, D), labels (N,), new (M, D)) -> (C + 1, D): unit means of the C classes, and of the new one as last row."""
    g = torch.Generator().manual_seed(1)
    labels = torch.tensor([0] * 6 + [1] * 9 + [2] * 4)
    vectors = (torch.randn(3, 6, generator=g) * 2)[labels] + torch.randn(19, 6, generator=g)
    vectors *= torch.linspace(0.3, 4, 19)[:, None]  # long vectors must not decide
    new = torch.randn(10, 6, generator=g) + 1
    new *= torch.linspace(4, 0.3, 10)[:, None]
    got = torch.as_tensor(answer(vectors.clone(), labels.clone(), new.clone())).float()
    expect(tuple(got.shape) == (4, 6), f"the shape is {tuple(got.shape)}; three old classes and a new one of width 6 are (4, 6)")
    unit, unit_new = torch.nn.functional.normalize(vectors, dim=-1), torch.nn.functional.normalize(new, dim=-1)
    sums = torch.stack([unit[labels == c].mean(0) for c in range(3)] + [unit_new.mean(0)])
    right = torch.nn.functional.normalize(sums, dim=-1)
    raw = torch.stack([vectors[labels == c].mean(0) for c in range(3)] + [new.mean(0)])

    def same(other):
        return torch.allclose(got, other, atol=1e-4)

    expect(not same(raw), "these are plain means: a class of long vectors would win every comparison; scale to length 1")
    expect(not same(torch.nn.functional.normalize(raw, dim=-1)),
           "the means have length 1, the vectors had not: a few long ones decide where a mean points; scale each text first")
    expect(not same(sums), "the texts have length 1, their means have not: a wide class gets a short mean and loses; scale the means too")
    expect(not torch.allclose(got[0], right[3], atol=1e-4), "the new class stands first and moves all numbers; append it as the last row")
    expect(torch.allclose(got[:3], right[:3], atol=1e-4), "the old classes' means are not those of their own texts; the new texts must not enter them")
    expect(same(right), "the new class is not the unit mean of its ten unit vectors; treat it like the old ones")
    return correct("one new row, and no old row moved")


def learner():
    """A model that knows its last training texts by heart, and of what it knew before every second text."""
    known = {}

    def fit(rows):
        kept = sorted(known)[::2]
        known.clear()
        known.update(dict.fromkeys(kept, 1))
        known.update(rows)

    return fit, lambda texts: [known.get(text, 0) for text in texts]


@exercise
def check_report_all(answer):
    """answer(tasks, fit, predict) -> {"matrix" (K, K), "new", "forgetting"}; tasks: [(train, test)] of (text, label) pairs."""
    tasks = []
    for k in range(3):
        rows = [(f"task {k} text {i}", 1) for i in range(40)]
        tasks.append((rows[:20], rows[10:30] if k else rows[5:25]))  # some tests overlap: a score between 0 and 1
    log, (fit, predict) = [], learner()

    def spied_fit(rows):
        log.append("fit")
        return fit(list(rows))

    def spied_predict(texts):
        log.append(tuple(texts))
        return predict(list(texts))

    got = answer([(list(a), list(b)) for a, b in tasks], spied_fit, spied_predict)
    fit2, predict2 = learner()
    right = torch.zeros(3, 3)
    for t, (rows, _) in enumerate(tasks):
        fit2(rows)
        for k, (_, test) in enumerate(tasks):
            right[t, k] = sum(a == y for a, (_, y) in zip(predict2([x for x, _ in test]), test)) / len(test)
    expect(isinstance(got, dict), "a dictionary is asked for: matrix, new and forgetting")
    missing = {"matrix", "new", "forgetting"} - set(got)
    expect(not missing, f"the report lacks {', '.join(sorted(missing))}; the new task's score alone says nothing about the old ones")
    expect(log.count("fit") == 3, f"fit was called {log.count('fit')} times for 3 tasks; train once on each, in their order")
    matrix = torch.as_tensor(got["matrix"]).float()
    expect(tuple(matrix.shape) == (3, 3), f"the matrix has the shape {tuple(matrix.shape)}, 3 tasks need (3, 3): every task after every task")
    trained = {text for rows, _ in tasks for text, _ in rows}
    expect(not any(set(asked) <= trained for asked in log if asked != "fit"), "the model is asked about its training texts; each task has its own test texts")
    blocks = " ".join("f" if entry == "fit" else "p" for entry in log)
    expect(not blocks.startswith("f f f"), "all tasks are trained before the first question; ask about every task after each one, or the times are lost")
    expect(blocks.count("p") >= 9, "only the task that was trained last is asked: the diagonal is filled and the old tasks are not measured again")
    expect(not torch.allclose(matrix, right.T, atol=1e-5) or torch.allclose(right, right.T), "rows and columns are exchanged: a row is a time, a column a task")
    expect(torch.allclose(matrix, right, atol=1e-5), "a score in the matrix is not the share of right answers on that task's test texts")
    expect(near(got["new"], right[2, 2]), "new is the score on the last task after the last training: the last entry of the diagonal")
    lost = continual.forgetting(right)
    expect(not near(got["forgetting"], -lost), "forgetting has the wrong sign: a loss is positive here")
    expect(not near(got["forgetting"], (right.max(0).values - right[-1]).mean()), "the last task is in the mean of forgetting; it had no time to forget")
    expect(near(got["forgetting"], lost), f"forgetting is {float(got['forgetting']):.3f} where {lost:.3f} is right: best score so far minus the score at the end, over the old tasks")
    return correct("every task is asked after every task")
