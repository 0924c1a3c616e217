"""Checks of chapter 01: the largest stable learning rate, a gradient by hand, a loss
for large logits, an epoch, and the clinic.

>>> from ftlib.course.checks.gradient_descent import check_stable_rate
>>> check_stable_rate(lambda A: 2 / A.diagonal().max().item())
hint: you took the largest entry of the diagonal; the curvature is largest along an
eigenvector, which need not be an axis

What it is not: a test of speed or of a certain form; a learning rate found by trial
is as welcome as one by formula.
Needs: torch, ftlib.

Shapes: N rows, V words, C classes.
"""

import math

import torch

from ftlib.course.checks import correct, exercise, expect


def _numbers(*shape, seed):
    # float64 by name: a chapter may have set another default
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def _tensor(value):
    return torch.as_tensor(value).detach().double()


def _turned(eigenvalues, seed):
    """A symmetric matrix with these eigenvalues whose eigenvectors lie in no axis."""
    q, _ = torch.linalg.qr(_numbers(len(eigenvalues), len(eigenvalues), seed=seed))
    A = q @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ q.T
    return (A + A.T) / 2


@exercise
def check_stable_rate(answer):
    """answer(A (n, n) symmetric, eigenvalues above 0) -> the largest stable learning
    rate, within 1 %.
    """
    A = _turned([0.4, 2.0, 4.0, 8.0], seed=1)
    kept = A.clone()
    got = float(answer(A))
    expect(torch.equal(A, kept), "your function changes A; work on a copy: A.clone()")
    mistakes = [
        (
            2 / 0.4,
            "this is 2 divided by the smallest eigenvalue; along the steepest "
            "direction it diverges at once, so use the largest",
        ),
        (
            1 / 8,
            "this is half of the limit; 1/lambda_max removes the steepest component "
            "in one step, and up to twice that learning rate it still shrinks",
        ),
        (
            2 / 8.4,
            "this is the best learning rate, 2/(lambda_min + lambda_max); larger "
            "ones are slower and still stable",
        ),
        (
            2 / A.diagonal().max(),
            "you took the largest entry of the diagonal; the curvature is largest "
            "along an eigenvector, which need not be an axis",
        ),
        (
            2 / A.trace(),
            "you divided by the sum of the eigenvalues (the trace); the "
            "largest alone sets the limit",
        ),
        (
            2 / A.norm(),
            "A.norm() is the root of the sum of all squares, larger than lambda_max; "
            "take the largest eigenvalue",
        ),
        (
            2 / A.abs().sum(1).max(),
            "a row sum is only a bound on lambda_max; the limit "
            "needs the eigenvalue itself",
        ),
        (
            2 / 64,
            "you used the square of the curvature; |1 - rate * lambda| < 1 has "
            "lambda to the first power",
        ),
        (
            8,
            "this is lambda_max itself; the learning rate is 2 divided by it, so "
            "that steeper bowls get shorter steps",
        ),
        (
            4,
            "this is lambda_max / 2; invert the fraction, because steeper bowls need "
            "shorter steps",
        ),
    ]
    for value, message in mistakes:
        expect(abs(got / float(value) - 1) > 0.005, message)
    expect(
        got > 0,
        f"the learning rate is {got:.3g}; it must be above 0, or the step goes uphill",
    )
    expect(
        abs(got / 0.25 - 1) <= 0.01,
        f"for eigenvalues 0.4, 2, 4, 8 your learning rate is {got:.4g}, expected 2/8 "
        "= 0.25 (within 1 %)",
    )
    other = float(
        answer(torch.diag(torch.tensor([3.0, 40.0, 1.0], dtype=torch.float64)))
    )
    expect(
        abs(other / 0.05 - 1) <= 0.01,
        f"for a diagonal of 3, 40, 1 your learning rate is {other:.4g}, expected "
        "0.05; the largest eigenvalue may be at any position",
    )
    for size in (1, 6):
        values = [1.0 + 3 * i for i in range(size)]
        again = float(answer(_turned(values, seed=size)))
        expect(
            abs(again * values[-1] / 2 - 1) <= 0.01,
            f"for a bowl of {size} weights your learning rate is {again:.4g}, "
            f"expected {2 / values[-1]:.4g}; do not let it depend on the size",
        )
    return correct("within 1 % of 2/lambda_max on four bowls")


@exercise
def check_word_gradient(answer):
    """answer(X (N, V), y (N,), w (V,), b) -> gradient of the mean binary cross-entropy:
    (V,) and a scalar.
    """
    X = _numbers(30, 7, seed=2)
    w = _numbers(7, seed=3)
    b = torch.tensor(0.8, dtype=torch.float64)
    y = (_numbers(30, seed=4) > 0).double()
    result = answer(X, y, w, b)
    expect(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "return two things, the gradient with respect to w and the one with respect "
        "to b: `return dw, db`",
    )
    dw, db = _tensor(result[0]), _tensor(result[1])
    expect(
        tuple(dw.shape) == (7,),
        f"the gradient of w has shape {tuple(dw.shape)}, expected (7,): one number "
        "for each word",
    )
    z = X @ w + b
    p = torch.sigmoid(z)
    right_w, right_b = X.T @ (p - y) / 30, (p - y).mean()
    unbiased = X.T @ (torch.sigmoid(X @ w) - y) / 30
    mistakes = [
        (
            -right_w,
            "the gradient has the wrong sign; it is p - y, and the minus belongs to "
            "the update",
        ),
        (
            30 * right_w,
            "this is the sum over the reviews; divide by N, or the learning rate "
            "would depend on how many there are",
        ),
        (
            right_w * 30 / 7,
            "you divided by the number of words; the mean is taken over reviews",
        ),
        (
            X.T @ (z - y) / 30,
            "you use the logit where the probability belongs; compute p = sigmoid(X "
            "@ w + b) first",
        ),
        (
            X.T @ ((p - y) * p * (1 - p)) / 30,
            "there is a factor p (1 - p) too many: it cancels in the cross-entropy, "
            "and with it you have the gradient of a squared error",
        ),
        (unbiased, "b is left out of the logit; the probability depends on it"),
        (
            X.T @ ((p > 0.5).double() - y) / 30,
            "you took the predicted classes 0 and 1 instead of the probabilities; a "
            "review that is only just correct has a gradient too",
        ),
    ]
    for value, message in mistakes:
        expect(not torch.allclose(dw, value, atol=1e-6), message)
    expect(
        torch.allclose(dw, right_w, atol=1e-6),
        f"the first gradient is {dw[0]:+.4f}, and a finite difference gives "
        f"{right_w[0]:+.4f}; use X^T (p - y) / N",
    )
    expect(
        db.numel() == 1,
        f"the gradient of b has shape {tuple(db.shape)}; return one number, the mean "
        "of p - y",
    )
    expect(
        abs(float(db) - 30 * float(right_b)) > 1e-6,
        "the gradient of w is correct, but that of b is a sum; take the mean over "
        "reviews",
    )
    expect(
        abs(float(db) - float(right_b)) < 1e-6,
        f"the gradient of w is correct, but that of b is {float(db):+.4f}, expected "
        f"{float(right_b):+.4f}, the mean of p - y",
    )
    return correct("both gradients agree with the formula in six digits")


@exercise
def check_loss_from_logits(answer):
    """answer(logits (N, C), labels (N,)) -> mean cross-entropy in nats, finite for
    large logits too.
    """
    logits = 2 * _numbers(12, 5, seed=6)
    labels = torch.arange(12) % 5
    log_p = logits - logits.logsumexp(1, keepdim=True)
    picked = log_p[torch.arange(12), labels]
    expected, got = float(-picked.mean()), float(answer(logits.clone(), labels))
    mistakes = [
        (-expected, "the loss has the wrong sign; a cross-entropy is never below 0"),
        (12 * expected, "this is the sum over the rows; take the mean"),
        (
            expected / math.log(2),
            "this is in bits; use the natural logarithm, for nats",
        ),
        (
            -float(log_p.mean()),
            "every class of a row counts; use only the probability of the true class",
        ),
        (
            -math.log(float(picked.exp().mean())),
            "you take the mean first and then the logarithm; average the negative "
            "log-probabilities, not the probabilities",
        ),
        (
            float(1 - picked.exp().mean()),
            "there is no logarithm in it; the loss of a row is -ln p",
        ),
    ]
    for value, message in mistakes:
        expect(abs(got - value) > 1e-5, message)
    expect(
        abs(got - expected) < 1e-5,
        f"for small logits the loss is {got:.4f}, expected {expected:.4f}; take the "
        "mean of -z_y + ln sum exp z",
    )
    high = torch.tensor([[1000.0, 0.0]], dtype=torch.float64)
    sure = float(answer(high.clone(), torch.tensor([0])))
    expect(
        math.isfinite(sure),
        "exp(1000) is infinite, and infinity / infinity is NaN; subtract the row's "
        "largest logit first",
    )
    expect(
        abs(sure) < 1e-6,
        "a confident and correct prediction (logits 1000 and 0, label 0) has the "
        f"loss {sure:.4g}, expected 0",
    )
    wrong = float(answer(high.clone(), torch.tensor([1])))
    expect(
        math.isfinite(wrong),
        "logits 1000 and 0, label 1: the probability has become 0 before you took "
        "its logarithm; compute the logarithm of the softmax by formula",
    )
    expect(
        abs(wrong - 1000) < 1e-6,
        f"logits 1000 and 0, label 1: the loss is {wrong:.1f}, expected 1000; a lower "
        "limit on p hides how wrong the model is",
    )
    both = torch.tensor([[1000.0, 0.0], [-1000.0, -1001.0]], dtype=torch.float64)
    value = float(answer(both.clone(), torch.tensor([0, 0])))
    expect(
        abs(value - math.log1p(math.exp(-1)) / 2) < 1e-6,
        "one maximum for all rows makes exp underflow in the row with low logits; "
        "subtract each row's own (dim=1, keepdim=True)",
    )
    return correct(
        "equal to the formula where the formula works, and finite where it does not"
    )


@exercise
def check_one_epoch(answer):
    """answer(w, rows, gradient, rate, size, seed) -> w after one epoch; gradient(w,
    batch of row numbers) -> gradient.
    """
    rows, size, rate, first = 23, 5, 0.1, _numbers(3, seed=8)
    centres = _numbers(rows, 3, seed=9)

    def epoch(seed):
        calls = []

        def gradient(w, batch):
            batch = torch.as_tensor(batch).flatten()
            expect(
                len(batch) > 0,
                "gradient was called with an empty batch; stop when the rows are "
                "used up",
            )
            slope = _tensor(w) - centres[batch].mean(0)
            calls.append((_tensor(w).clone(), batch.tolist(), slope))
            return slope.clone()

        w = first.clone()
        end = _tensor(answer(w, rows, gradient, rate, size, seed))
        expect(
            torch.equal(w, first),
            "your function changes the weights it was given; "
            "write w = w - ..., not w -= ...",
        )
        return end, calls

    end, calls = epoch(0)
    expect(calls, "gradient was never called; call gradient(w, batch) for each batch")
    read = [row for _, batch, _ in calls for row in batch]
    expect(
        len(read) == len(set(read)),
        "some rows are read twice and others never; shuffle once (torch.randperm) "
        "and split the order into batches",
    )
    expect(
        len(read) != rows - rows % size,
        f"the last {rows % size} rows are lost; the last batch of an epoch may be "
        "shorter",
    )
    expect(
        len(read) == rows,
        f"{len(read)} of {rows} rows are read; an epoch reads every row once",
    )
    expect(
        max(len(batch) for _, batch, _ in calls) <= size,
        f"a batch has more than size = {size} rows",
    )
    expect(
        len(calls) == 5,
        f"{len(calls)} batches for {rows} rows, expected 5 with size = {size}, the "
        f"last with {rows % size} rows",
    )
    expect(
        read != list(range(rows)),
        "the rows are read in the order of the file, which may be sorted by class; "
        "shuffle them",
    )
    expect(
        not all(torch.equal(w, first) for w, _, _ in calls),
        "every gradient is computed at the first weights; update w after each batch, "
        "before the next gradient",
    )
    second, slope = calls[1][0], calls[0][2]
    expect(
        not torch.allclose(second, first + rate * slope),
        "the step goes uphill; the update is w - rate * gradient",
    )
    expect(
        not torch.allclose(second, first - slope),
        "the learning rate is not used in the update; write w - rate * gradient",
    )
    expect(
        not torch.allclose(second, first - rate * slope / size),
        "the gradient is a mean over the batch already; do not divide by the batch "
        "size again",
    )
    expect(
        torch.allclose(second, first - rate * slope),
        "after the first batch w should be w - rate * gradient(w, batch)",
    )
    expect(
        torch.allclose(end, calls[-1][0] - rate * calls[-1][2]),
        "the result is not w after the last update; return that",
    )
    again, other = epoch(0)[1], epoch(1)[1]
    expect(
        [b for _, b, _ in again] == [b for _, b, _ in calls],
        "two calls with the same seed read in different orders; use "
        "torch.Generator().manual_seed(seed)",
    )
    expect(
        [b for _, b, _ in other] != [b for _, b, _ in calls],
        "another seed gives the same order; the order must depend on seed",
    )
    return correct(
        f"{rows} rows in 5 batches, each row once, in an order that the seed decides"
    )


def _descend(X, y, rate, steps, sign=-1.0, empty=True):
    """The weights after `steps`, with the correct update or with the clinic's two
    faults.
    """
    w = stored = torch.zeros(X.shape[1], dtype=torch.float64)
    for _ in range(steps):
        slope = X.T @ (torch.sigmoid(X @ w) - y) / len(y)
        stored = slope if empty else stored + slope
        w = w + sign * rate * stored
    return w


@exercise
def check_zeroed_steps(answer):
    """Clinic. answer(X (N, V), y (N,), rate, steps) -> w (V,) after `steps` steps from
    0.
    """
    X, rate, steps = _numbers(40, 4, seed=10), 0.2, 6
    y = (X @ _numbers(4, seed=11) > 0).double()
    # the snippet makes its weights in the default type; then the data must have it too
    kind = torch.get_default_dtype()
    w = _tensor(answer(X.to(kind), y.to(kind), rate, steps))
    expect(
        tuple(w.shape) == (4,),
        f"the result has shape {tuple(w.shape)}; return the weights, (4,)",
    )

    def near(other):
        return torch.allclose(w, other, atol=1e-4)

    expected = _descend(X, y, rate, steps)
    expect(
        not near(torch.zeros(4, dtype=torch.float64)),
        "the weights are still 0: the gradient is set to zero between backward() and "
        "the update, so the update changes nothing",
    )
    expect(
        not near(_descend(X, y, rate, steps, +1.0, False)),
        "both faults are still there: the loss rises, and every step adds its "
        "gradient to those of all steps before",
    )
    expect(
        not near(_descend(X, y, rate, steps, -1.0, False)),
        "the direction is correct now, but w.grad is never set to zero: backward() "
        "adds, so step 6 uses the sum of six gradients",
    )
    expect(
        not near(_descend(X, y, rate, steps, +1.0, True)),
        "w.grad is set to zero now, but the loss rises: the gradient points uphill, "
        "so the step needs a minus",
    )
    expect(
        not near(_descend(X, y, rate * len(y), steps)),
        "the loss is a sum now; keep the mean, or the learning rate means something "
        "else",
    )
    expect(
        not near(_descend(X, y, rate, 1)),
        "this is the result of one step; repeat it `steps` times",
    )
    expect(
        near(expected),
        f"after {steps} steps the first weight is {w[0]:.3f}, expected "
        f"{expected[0]:.3f}",
    )
    return correct("six steps downhill, each along its own gradient")
