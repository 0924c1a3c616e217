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

from ftlib.course.checks import correct, exercise, expect, forbid


def _numbers(*shape, seed):
    # float64 by name: a chapter may have set another default
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def _tensor(value):
    return torch.as_tensor(value, dtype=torch.float64).detach()


def apart(got, expected, signs=""):
    """ "1.235, expected 1.234": two numbers with enough digits to differ."""
    got, expected = float(got), float(expected)
    for digits in range(4, 18):
        a, b = f"{got:{signs}.{digits}g}", f"{expected:{signs}.{digits}g}"
        if a != b:
            break
    return f"{a}, expected {b}"


def is_rounded(got, expected):
    """Whether every number is the expected one, cut or rounded to a few digits after
    the point.
    """
    single = getattr(got, "dtype", None) == torch.float32
    got, expected = _tensor(got), _tensor(expected)
    if got.shape != expected.shape or torch.allclose(got, expected, 1e-9, 1e-9):
        return False
    size = (2e-7 if single else 1e-12) * (1 + float(got.abs().max()))
    for digits in range(1, 7):
        scaled, near = got * 10**digits, min(10**digits * size, 0.01)
        integer = bool((scaled - scaled.round()).abs().max() < near)
        if integer and bool(((got - expected).abs() < 10.0**-digits).all()):
            return True
    return False


def worst(got, expected):
    """The entry that is furthest away -> (its index, got there, expected there)."""
    got, expected = _tensor(got), _tensor(expected)
    flat = int((got - expected).abs().nan_to_num(math.inf).argmax())
    indices = [int(i) for i in torch.unravel_index(torch.tensor(flat), got.shape)]
    return indices, got.flatten()[flat], expected.flatten()[flat]


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
    got = float(answer(A))
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
    for factor in (0.01, 1000):
        scaled = float(answer(factor * A))
        expect(
            abs(scaled * factor / 0.25 - 1) <= 0.01,
            f"for eigenvalues of 0.4, 2, 4 and 8 times {factor:g} your learning rate "
            f"is {scaled:.4g}, expected {0.25 / factor:.4g}; do not limit or round it",
        )
    # the vector of ones is an eigenvector, of the smaller eigenvalue
    pair = torch.tensor([[2.0, -1.0], [-1.0, 2.0]], dtype=torch.float64)
    got = float(answer(pair))
    expect(
        abs(got * 3 / 2 - 1) <= 0.01,
        f"for the matrix 2, -1, -1, 2 your learning rate is {got:.4g}, expected 2/3: "
        "from the start (1, 1) larger ones are stable, but not from any start",
    )
    for size in (1, 6):
        values = [1.0 + 3 * i for i in range(size)]
        again = float(answer(_turned(values, seed=size)))
        expect(
            abs(again * values[-1] / 2 - 1) <= 0.01,
            f"for a bowl of {size} weights your learning rate is {again:.4g}, "
            f"expected {2 / values[-1]:.4g}; it must depend neither on the size nor on "
            "how close the eigenvalues are",
        )
    return correct("within 1 % of 2/lambda_max on seven bowls")


OWN_GRADIENT = "derive the gradient, and write it without autograd"


@exercise
def check_word_gradient(answer):
    """answer(X (N, V), y (N,), w (V,), b) -> gradient of the mean binary cross-entropy:
    (V,) and a scalar.
    """
    X = _numbers(30, 7, seed=2)
    w = _numbers(7, seed=3)
    b = torch.tensor(0.8, dtype=torch.float64)
    y = (_numbers(30, seed=4) > 0).double()
    dw, db = _two_gradients(answer, X, y, w, b)
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
        torch.allclose(dw, right_w, rtol=1e-6, atol=1e-7)
        or not is_rounded(dw, right_w),
        "the gradients are rounded; return all their digits, a small gradient is a "
        "direction too",
    )
    index, mine, wanted = worst(dw, right_w)
    expect(
        torch.allclose(dw, right_w, rtol=1e-6, atol=1e-7),
        f"the gradient of w[{index[0]}] is {apart(mine, wanted, '+')}, as a finite "
        "difference gives it; use X^T (p - y) / N",
    )
    expect(
        abs(float(db) - 30 * float(right_b)) > 1e-6,
        "the gradient of w is correct, but that of b is a sum; take the mean over "
        "reviews",
    )
    expect(
        abs(float(db) - float(right_b)) < 1e-7,
        f"the gradient of w is correct, but that of b is {apart(db, right_b, '+')}, "
        "the mean of p - y",
    )
    for N, V in ((9, 9), (1, 3), (40, 2)):
        X, w, y = _numbers(N, V, seed=N), _numbers(V, seed=5), torch.ones(N).double()
        y[::3] = 0
        b = _numbers(1, seed=N + 1)[0]
        dw, db = _two_gradients(answer, X, y, w, b)
        error = torch.sigmoid(X @ w + b) - y
        expect(
            torch.allclose(dw, X.T @ error / N, rtol=1e-6, atol=1e-7)
            and abs(float(db - error.mean())) < 1e-7,
            f"correct for 30 reviews and 7 words, and not for {N} and {V}; take both "
            "sizes from X, and p and y as they come",
        )
    return correct("both gradients agree with the formula in six digits")


def _two_gradients(answer, X, y, w, b):
    with forbid("torch.autograd.grad", "torch.autograd.backward", instead=OWN_GRADIENT):
        result = answer(X, y, w, b)
    expect(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "return two things, the gradient with respect to w and the one with respect "
        "to b: `return dw, db`",
    )
    dw, db = _tensor(result[0]), _tensor(result[1])
    V = len(w)
    expect(
        tuple(dw.shape) == (V,),
        f"the gradient of w has shape {tuple(dw.shape)}, expected ({V},): one number "
        "for each word",
    )
    expect(
        db.numel() == 1,
        f"the gradient of b has shape {tuple(db.shape)}; return one number, the mean "
        "of p - y",
    )
    return dw, db


FORBIDDEN = [
    "torch.nn.functional.cross_entropy",
    *(
        f"{home}.{name}"
        for home in ("torch", "torch.Tensor", "torch.special")
        for name in ("log_softmax", "logsumexp")
    ),
    "torch.nn.functional.log_softmax",
]


def _loss(answer, logits, labels):
    """(the loss as a float, its gradient with respect to the logits)."""
    logits = logits.clone().requires_grad_()
    with (
        torch.enable_grad(),
        forbid(*FORBIDDEN, instead="write the formula with exp, sum and log"),
    ):
        loss = answer(logits, labels)
    expect(
        isinstance(loss, torch.Tensor),
        f"the result is a {type(loss).__name__}; return a tensor, so that its "
        "gradient can be taken",
    )
    expect(
        loss.numel() == 1,
        f"the result has shape {tuple(loss.shape)}; return one number, the mean over "
        "the rows",
    )
    if not loss.requires_grad:
        return float(loss), None
    return float(loss.detach()), torch.autograd.grad(loss.sum(), logits)[0]


@exercise
def check_loss_from_logits(answer):
    """answer(logits (N, C), labels (N,)) -> mean cross-entropy in nats, finite for
    large logits too, and with its gradient.
    """
    logits = 2 * _numbers(12, 5, seed=6)
    labels = torch.arange(12) % 5
    expected = _check_value(answer, logits, labels)
    got, gradient = _loss(answer, logits, labels)
    expect(
        abs(got - expected) < 1e-6 or not is_rounded(got, expected),
        f"the loss is rounded to {got}, expected {expected:.8f}; return all its digits",
    )
    expect(
        abs(got - expected) < 1e-6,
        f"for small logits the loss is {apart(got, expected)}; take the mean of -z_y + "
        "ln sum exp z",
    )
    expect(
        gradient is not None,
        "the result is cut off from the logits (detach, item or no_grad), so nothing "
        "can be trained with this loss; compute it with tensors to the end",
    )
    for n, c, seed in ((1, 4, 12), (7, 3, 13), (4, 4, 14), (6, 2, 15)):
        logits = 2 * _numbers(n, c, seed=seed)
        labels = torch.randint(c, (n,), generator=torch.Generator().manual_seed(seed))
        got, gradient = _loss(answer, logits, labels)
        expected = float(_right_loss(logits, labels))
        expect(
            abs(got - expected) < 1e-6,
            f"correct for 12 rows of 5 classes, but for {n} of {c} the loss is "
            f"{apart(got, expected)}; take the sizes from logits",
        )
        _check_slope(gradient, logits, labels)
    _check_large(answer)
    return correct(
        "equal to the formula where the formula works, and finite where it does not"
    )


def _right_loss(logits, labels):
    return (
        logits.logsumexp(1, keepdim=True) - logits.gather(1, labels[:, None])
    ).mean()


def _check_value(answer, logits, labels):
    """Known mistakes of the value -> the expected value."""
    rows = torch.arange(len(labels))
    log_p = logits - logits.logsumexp(1, keepdim=True)
    picked = log_p[rows, labels]
    expected, (got, _) = float(-picked.mean()), _loss(answer, logits, labels)
    down = (logits.logsumexp(0) - logits)[rows, labels]
    mistakes = [
        (-expected, "the loss has the wrong sign; a cross-entropy is never below 0"),
        (
            len(labels) * expected,
            "this is the sum over the rows; take the mean",
        ),
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
        (
            float(down.mean()),
            "the sum of exp runs down the columns; the classes of one row compete, so "
            "sum over dim=1",
        ),
    ]
    for value, message in mistakes:
        expect(abs(got - value) > 1e-5, message)
    return expected


def _check_slope(gradient, logits, labels):
    one_hot = torch.nn.functional.one_hot(labels, logits.shape[1])
    wanted = (logits.softmax(1) - one_hot) / len(labels)
    index, mine, expected = worst(gradient, wanted)
    expect(
        torch.allclose(gradient, wanted, rtol=1e-5, atol=1e-6),
        "the value of the loss is correct, but not its gradient: for logit "
        f"{tuple(index)} it is {apart(mine, expected, '+')}; a part of the loss is cut "
        "off from the logits (detach, item, clamp)",
    )


def _check_large(answer):
    """Logits of 1000 and -1000: no overflow, no underflow, no limits."""

    def tried(rows, labels, dtype=torch.float64):
        logits, labels = torch.tensor(rows, dtype=dtype), torch.tensor(labels)
        got, gradient = _loss(answer, logits, labels)
        return got, lambda: _check_slope(gradient, logits, labels)

    sure, slope_sure = tried([[1000.0, 0.0]], [0])
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
    wrong, slope_wrong = tried([[1000.0, 0.0]], [1])
    expect(
        math.isfinite(wrong),
        "logits 1000 and 0, label 1: the probability has become 0 before you took "
        "its logarithm; compute the logarithm of the softmax by formula",
    )
    expect(
        abs(wrong - 1000) < 1e-6,
        f"logits 1000 and 0, label 1: the loss is {wrong:.1f}, expected 1000; a lower "
        "limit on p, or one on the logits, hides how wrong the model is",
    )
    wide, slope_wide = tried(
        [[1000.0, -1000.0, 0.0], [-1000.0, 0.0, 1000.0], [0.0, 1000.0, -1000.0]],
        [1, 0, 2],
    )
    expect(
        math.isfinite(wide),
        "logits 1000, -1000 and 0, in several orders, give infinity or NaN; what is "
        "subtracted has to be the row's largest logit, and neither its mean nor a "
        "certain column",
    )
    expect(
        abs(wide - 2000) < 1e-6,
        "logits 1000, -1000 and 0, and the label of the -1000: the loss is "
        f"{wide:.1f}, expected 2000",
    )
    low, slope_low = tried([[-1000.0, -1001.0]], [0])
    expect(
        abs(low - math.log1p(math.exp(-1))) < 1e-6,
        f"logits -1000 and -1001, label 0: the loss is {low:.4g}, expected 0.3133; "
        "every exp underflows unless the row's largest logit, with its sign, becomes 0",
    )
    both, slope_both = tried([[1000.0, 0.0], [-1000.0, -1001.0]], [0, 0])
    expect(
        abs(both - math.log1p(math.exp(-1)) / 2) < 1e-6,
        "one maximum for all rows makes exp underflow in the row with low logits; "
        "subtract each row's own (dim=1, keepdim=True)",
    )
    equal, slope_equal = tried([[1000.0] * 4, [-1000.0] * 4], [3, 0])
    expect(
        abs(equal - math.log(4)) < 1e-6,
        f"four equal logits have the loss {equal:.4g}, expected ln 4 = 1.386; the "
        "largest one may occur several times",
    )
    for slope in (slope_sure, slope_wrong, slope_wide, slope_low, slope_both):
        slope()
    slope_equal()
    single, _ = tried([[200.0, 0.0], [0.0, 0.0]], [1, 0], torch.float32)
    expect(
        abs(single - (200 + math.log(2)) / 2) < 1e-4,
        f"in float32 the loss of logits 200 and 0 is {single:.4g} for label 1, "
        "expected 200 for this row: exp overflows at 89 there",
    )


def _epoch(answer, rows, size, rate, seed, width=3):
    """One call of the answer -> (its result, the first w, [(w, batch, gradient)])."""
    first, centres = _numbers(width, seed=8), _numbers(rows, width, seed=9)
    calls = []

    def gradient(w, batch):
        batch = torch.as_tensor(batch).flatten()
        expect(
            len(batch) > 0,
            "gradient was called with an empty batch; stop when the rows are used up",
        )
        expect(
            0 <= int(batch.min()) and int(batch.max()) < rows,
            f"a batch has the row {int(batch.max())}; the rows are numbered from 0 to "
            "rows - 1",
        )
        slope = _tensor(w) - centres[batch].mean(0)
        calls.append((_tensor(w).clone(), batch.tolist(), slope))
        return slope.clone()

    end = _tensor(answer(first.clone(), rows, gradient, rate, size, seed))
    expect(calls, "gradient was never called; call gradient(w, batch) for each batch")
    return end, first, calls


@exercise
def check_one_epoch(answer):
    """answer(w, rows, gradient, rate, size, seed) -> w after one epoch; gradient(w,
    batch of row numbers) -> gradient.
    """
    rows, size, rate = 23, 5, 0.1
    end, first, calls = _epoch(answer, rows, size, rate, 0)
    _check_batches(calls, rows, size)
    _check_updates(end, first, calls, rate)

    def order(seed):
        return [
            row for _, batch, _ in _epoch(answer, 23, 5, 0.1, seed)[2] for row in batch
        ]

    orders = [order(seed) for seed in (0, 1, 2, 3, 12345)]
    expect(
        order(0) == orders[0] and order(12345) == orders[-1],
        "two calls with the same seed read in different orders; use "
        "torch.Generator().manual_seed(seed)",
    )
    expect(
        orders[0] != orders[1],
        "another seed gives the same order; the order must depend on seed",
    )
    expect(
        len(set(map(tuple, orders))) == len(orders),
        "the seeds 0, 1, 2, 3 and 12345 do not give five orders; use the seed as it is",
    )
    for rows, size, rate in ((8, 4, 0.3), (3, 10, 1.0), (1, 1, 0.5), (6, 1, 0.02)):
        end, first, calls = _epoch(answer, rows, size, rate, 7, width=2)
        read = sorted(row for _, batch, _ in calls for row in batch)
        expect(
            read == list(range(rows))
            and max(len(batch) for _, batch, _ in calls) <= size,
            f"correct for 23 rows in batches of 5, and not for {rows} in batches of "
            f"{size}: the batches are {[batch for _, batch, _ in calls]}",
        )
        _check_updates(end, first, calls, rate)
    return correct(
        "23 rows in 5 batches, each row once, in an order that the seed decides"
    )


def _check_batches(calls, rows, size):
    read = [row for _, batch, _ in calls for row in batch]
    expect(
        len(read) == len(set(read)) or len(set(read)) == rows,
        "some rows are read twice and others never; shuffle once (torch.randperm) "
        "and split the order into batches",
    )
    expect(
        len(read) == len(set(read)),
        f"gradient was asked for {len(read)} rows, and there are {rows}; call it once "
        "for each batch",
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
    sizes = [len(batch) for _, batch, _ in calls]
    expect(max(sizes) <= size, f"a batch has more than size = {size} rows")
    expect(
        len(calls) == 5,
        f"{len(calls)} batches for {rows} rows, expected 5 with size = {size}, the "
        f"last with {rows % size} rows",
    )
    expect(
        sizes == [5, 5, 5, 5, 3],
        f"the batches have {sizes} rows; only the last one may be shorter than {size}",
    )
    expect(
        read != list(range(rows)),
        "the rows are read in the order of the file, which may be sorted by class; "
        "shuffle them",
    )
    expect(
        not all(max(b) - min(b) + 1 == len(b) for _, b, _ in calls),
        "every batch holds neighbouring rows of the file, which may be sorted by "
        "class; shuffle the rows, not the batches",
    )
    steps = [(b - a) % rows for a, b in zip(read, read[1:])]
    expect(
        max(map(steps.count, steps)) < rows / 2,
        f"the order {read[:5]}... goes through the file in equal steps; a file that is "
        "sorted by class stays sorted, so shuffle the rows",
    )


def _check_updates(end, first, calls, rate):
    following = [w for w, _, _ in calls[1:]] + [end]
    expect(
        len(calls) == 1 or not all(torch.equal(w, first) for w, _, _ in calls),
        "every gradient is computed at the first weights; update w after each batch, "
        "before the next gradient",
    )
    (_, batch, slope), second = calls[0], following[0]
    expect(
        not torch.allclose(second, first + rate * slope),
        "the step goes uphill; the update is w - rate * gradient",
    )
    expect(
        rate == 1 or not torch.allclose(second, first - slope),
        "the learning rate is not used in the update; write w - rate * gradient",
    )
    expect(
        len(batch) == 1
        or not torch.allclose(second, first - rate * slope / len(batch)),
        "the gradient is a mean over the batch already; do not divide by the batch "
        "size again",
    )
    expect(
        rate == 0.1 or not torch.allclose(second, first - 0.1 * slope),
        f"with rate = {rate} the step is still 0.1 times the gradient; use `rate`",
    )
    expect(
        torch.allclose(second, first - rate * slope),
        "after the first batch w should be w - rate * gradient(w, batch)",
    )
    for number, ((w, _, slope), after) in enumerate(zip(calls[:-1], following), 1):
        expect(
            torch.allclose(after, w - rate * slope),
            f"batch {number} of {len(calls)} changes w by something else than - rate * "
            "gradient(w, batch); every batch has the same update, whatever its size "
            "and place",
        )
    w, batch, slope = calls[-1]
    expect(
        not torch.equal(end, w),
        "the last gradient is not used; return w after the update that it gives",
    )
    expect(
        torch.allclose(end, w - rate * slope),
        "the result is not w after the last update, w - rate * gradient(w, batch) with "
        f"the {len(batch)} rows of the last batch; return that",
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
    w = _run_steps(answer, X, y, rate, steps)

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
    for other in (steps - 1, steps + 1):
        expect(
            not near(_descend(X, y, rate, other)),
            f"these are the weights after {other} steps, and {steps} were asked for",
        )
    expect(
        not is_rounded(w.float(), expected) or float((w - expected).abs().max()) < 2e-6,
        "the weights are rounded; return all their digits",
    )
    index, mine, wanted = worst(w, expected)
    expect(
        torch.allclose(w, expected, rtol=1e-4, atol=1e-6),
        f"after {steps} steps w[{index[0]}] is {apart(mine, wanted)}",
    )
    for n, V, rate, steps in ((12, 2, 1.5, 9), (5, 1, 0.01, 1), (7, 3, 0.3, 0)):
        X = _numbers(n, V, seed=n)
        y = (torch.arange(n) % 3 == 0).double()
        w, expected = _run_steps(answer, X, y, rate, steps), _descend(X, y, rate, steps)
        index, mine, wanted = worst(w, expected)
        expect(
            torch.allclose(w, expected, rtol=1e-4, atol=1e-6),
            f"correct for 6 steps of rate 0.2, and with {steps} of rate {rate} "
            f"w[{index[0]}] is {apart(mine, wanted)}; use the arguments",
        )
    return correct("six steps downhill, each along its own gradient")


def _run_steps(answer, X, y, rate, steps):
    # the snippet makes its weights in the default type; then the data must have it too
    kind = torch.get_default_dtype()
    w = _tensor(answer(X.to(kind), y.to(kind), rate, steps))
    expect(
        tuple(w.shape) == (X.shape[1],),
        f"the result has shape {tuple(w.shape)}; return the weights, ({X.shape[1]},)",
    )
    return w
