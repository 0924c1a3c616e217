"""Checks of chapter 23: a fair latency, int8 by rows, files that are one file, soft
targets, an experiment with students, and which proposals of a draft are accepted.

>>> from ftlib.course.checks.smaller import check_soft_targets
>>> def sketch(student, teacher, temperature):
...     return None
>>> check_soft_targets(sketch)
not yet: your function returns None; fill it in and run the cell again

What it is not: a library (deploy/compress.py, objectives/distill.py and
objectives/speculative.py hold the functions). Needs: torch, ftlib.
"""

import pathlib
import random
import tempfile

import numpy as np
import torch

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import experiment
from ftlib.course.checks.numeric import close, expect_none_of
from ftlib.deploy import compress
from ftlib.objectives import distill

FIRST = (1.7, 0.6, 0.3)  # seconds that the first calls take


class SlowStart:
    """A model and a clock: the first calls take long, then text "12" takes 0.12 ms."""

    def __init__(self, wait=FIRST):
        self.now, self.calls, self.first = 100.0, [], list(wait)

    def clock(self):
        return self.now

    def predict(self, texts):
        expect(
            not isinstance(texts, str),
            "predict takes a list of texts; give it [text], not text",
        )
        self.calls.append(len(texts))
        self.now += self.first.pop(0) if self.first else 0.0
        self.now += sum(int(text) for text in texts) / 100_000
        return [[0.0, 1.0]] * len(texts)


def of_texts(answer, texts, warmup):
    """What the answer returns as (p50, p99), and the model that it called."""
    model = SlowStart()
    result = answer(model.predict, texts, warmup, model.clock)
    expect(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "return two numbers, (p50, p99)",
    )
    return [float(value) for value in result], model


@exercise
def check_fair_latency(answer):
    """answer(predict, texts, warmup, clock) -> (p50, p99) in milliseconds."""
    rng = random.Random(0)
    # the tail of one slow text in 400 lies among the others
    for count, warmup in ((400, 3), (41, 5), (260, 4)):
        texts = [str(rng.randint(500, 4000)) for _ in range(count - 1)] + ["9900"]
        rng.shuffle(texts)
        own = np.array([int(text) for text in texts]) / 100
        (p50, p99), model = of_texts(answer, texts, warmup)
        expect(
            set(model.calls) == {1},
            f"predict got {max(model.calls)} texts in one call; a user waits for one "
            "text, so measure one text a call",
        )
        expect(
            len(model.calls) == count + warmup,
            f"predict was called {len(model.calls)} times, expected {warmup} calls "
            f"that are not counted and one for each of the {count} texts",
        )
        cold = np.array([*FIRST, *np.zeros(count - 3)]) * 1000 + own
        wrong = [
            (own.mean(), "the first number is the mean; a few slow calls pull it up, "
             "so take the median"),
            (np.median(own) / 1000, "these are seconds; a millisecond is a thousandth"),
            (np.median(cold[:count]), "the first calls are counted; they load and "
             "allocate, so leave them out"),
        ]  # fmt: skip
        middle = float(np.median(own))
        if not close(middle, np.median(cold)):
            expect_none_of(p50, middle, wrong)
        else:
            expect_none_of(p50, middle, wrong[:2])
        expect(
            close(p50, middle),
            f"p50 is {p50:.3f} ms, expected {middle:.3f}; it is the median of the "
            "calls that count",
        )
        expect(
            p99 < 200,
            f"p99 is {p99:.0f} ms, longer than any call after the first; the first "
            "calls are counted, so leave them out",
        )
        low, high = (np.percentile(own, 99, method=m) for m in ("lower", "higher"))
        expect(
            count < 100 or not close(p99, own.max()),
            "the second number is the slowest call; p99 leaves the slowest 1 % out",
        )
        expect(
            low - 1e-6 <= p99 <= high + 1e-6,
            f"p99 is {p99:.2f} ms, expected {low:.2f} to {high:.2f}: the value that 99 "
            "% of the calls do not exceed",
        )
    return correct("the first calls are out, one text a call, median and tail")


@exercise
def check_int8_rows(answer):
    """answer(weight (O, I)) -> (values int8 (O, I), scale (O, 1))."""
    draw = torch.Generator().manual_seed(1)
    for rows, columns in ((5, 8), (3, 40), (8, 8), (1, 6)):
        weight = torch.randn(rows, columns, generator=draw)
        weight = weight * torch.logspace(-2, 1, rows)[:, None]
        weight[0, 0] = -5 * weight[0].abs().max()  # the largest may be negative
        if rows == 5:
            weight[2] = 0.0
        reference = compress.quantize_int8(weight, axis=0)
        result = answer(weight.clone())
        expect(
            isinstance(result, (tuple, list)) and len(result) == 2,
            "return two tensors, (values, scale)",
        )
        values, scale = result
        expect(
            values.shape == weight.shape,
            f"values have the shape {tuple(values.shape)}, expected "
            f"{tuple(weight.shape)}",
        )
        expect(
            scale.numel() != 1 or rows == 1,
            "there is one scale for the whole matrix; each row needs its own",
        )
        expect(
            tuple(scale.shape) == (rows, 1),
            f"scale has the shape {tuple(scale.shape)}, expected ({rows}, 1): one for "
            "each row, so that values * scale works",
        )
        expect(
            bool((scale > 0).all()),
            "a row of zeros makes 0 / 0; give it any scale above 0",
        )
        expect(
            values.dtype == torch.int8,
            f"values are {values.dtype}, expected torch.int8",
        )
        used = weight.abs().amax(1) > 0
        ours, theirs = scale[used].float(), reference.scale[used]
        expect(
            not torch.allclose(ours * 128, theirs * 127, rtol=1e-4),
            "the scale is the largest / 128, and the largest number then becomes 128, "
            "which int8 does not have; divide by 127",
        )
        expect(
            not torch.allclose(ours, weight[used].amax(1, keepdim=True) / 127),
            "the largest number is not the largest magnitude; -5 is larger than 3 here",
        )
        expect(
            torch.allclose(ours, theirs, rtol=1e-4, atol=0),
            "the scales differ from the largest magnitude of each row / 127",
        )
        truncated = (weight / reference.scale).trunc().to(torch.int8)
        expect(
            not torch.equal(values, truncated) or torch.equal(values, reference.values),
            "the numbers are cut off towards 0; round them to the nearest",
        )
        expect(
            torch.equal(values, reference.values),
            "the values are not weight / scale, rounded to the nearest whole number",
        )
    return correct("each row has its own step, and no number moves by more than half")


def shelf(folder, contents):
    """Write {name: (bytes, logits)} -> ({name: path}, load)."""
    paths, models = {}, {}
    for name, (data, logits) in contents.items():
        path = pathlib.Path(folder, name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        paths[name], models[data] = path, logits

    def load(path):
        logits = models[pathlib.Path(path).read_bytes()]
        return lambda texts: logits[: len(texts)]

    return paths, load


def refusal(answer, contents, labels):
    """What the answer says to these files: its result, or None where it refused."""
    texts = [f"text {n}" for n in range(len(labels))]
    with tempfile.TemporaryDirectory() as folder:
        paths, load = shelf(folder, contents)
        # what the function returns instead of an error, so that `exercise` sees a value
        try:
            return getattr(answer, "__wrapped__", answer)(paths, load, texts, labels)
        except ValueError:
            return None


@exercise
def check_compared_files(answer):
    """answer(paths, load, texts, labels) -> {name: accuracy}; ValueError for twins."""
    draw = torch.Generator().manual_seed(2)
    labels = torch.randint(2, (40,), generator=draw).tolist()
    a, b, c = torch.randn(3, 40, 2, generator=draw)
    answer(*_first_call(a, labels))
    different = {"fp32/m": (b"aaaa", a), "int8/m": (b"bbbb", b), "int4/m": (b"cc", c)}
    result = refusal(answer, different, labels)
    expect(
        result is not None,
        "three different files are refused; two of them have one length, and the "
        "content tells files apart",
    )
    expect(
        isinstance(result, dict) and set(result) == set(different),
        "return {name: accuracy}, with every name of paths",
    )
    for name, (_, logits) in different.items():
        accuracy = float((logits.argmax(1) == torch.tensor(labels)).double().mean())
        own = float(result[name])
        expect(not close(own, 100 * accuracy), "these are percent; return a share of 1")
        expect(
            close(own, accuracy),
            f"the accuracy of {name} is {own:.3f}, expected {accuracy:.3f}; load each "
            "file, predict with it, and count the argmax that is the label",
        )
    for names in (("fp32/m", "int8/m"), ("fp32/m", "int4/m"), ("int8/m", "int4/m")):
        twins = dict(different)
        twins[names[1]] = different[names[0]]
        expect(
            refusal(answer, twins, labels) is None,
            f"{names[0]} and {names[1]} are one file under two names, and you report "
            "both; raise a ValueError",
        )
    return correct("every number belongs to a file of its own")


def _first_call(logits, labels):
    """Arguments with one file, for the blank and for errors that are no refusal."""
    folder = pathlib.Path(tempfile.mkdtemp())
    paths, load = shelf(folder, {"one/m": (b"one", logits)})
    return paths, load, [f"text {n}" for n in range(len(labels))], labels


@exercise
def check_soft_targets(answer):
    """answer(student, teacher, temperature) -> T^2 KL, a sum over texts."""
    draw = torch.Generator().manual_seed(3)
    for rows, classes, t in ((5, 3, 2.0), (1, 2, 5.0), (7, 4, 0.5), (3, 3, 1.0)):
        student = 2 * torch.randn(rows, classes, generator=draw)
        teacher = 2 * torch.randn(rows, classes, generator=draw)
        if rows == 7:
            teacher[0, 0] = 200.0  # a certainty: 0 log 0 must not become NaN
        got = answer(student.clone(), teacher.clone(), t)
        got = float(got)
        expected = float(distill.soft_loss(student, teacher, t))
        expect(
            got == got,
            "the loss is NaN where the teacher is certain; take log_softmax, which "
            "never makes the logarithm of 0",
        )
        soft = (teacher / t).softmax(1)
        entropy = float(-(soft * (teacher / t).log_softmax(1)).sum())
        back = float(distill.soft_loss(teacher, student, t))
        one = float(distill.soft_loss(student, teacher, 1.0))
        wrong = [
            (expected / rows, "this is a mean over texts; return the sum"),
            (expected / t**2, "the factor temperature squared is missing; without it "
             "the soft targets fade as the temperature grows"),
            (expected / t, "the factor is the temperature; take its square"),
            (expected / rows / classes, "this is a mean over all numbers; return the "
             "sum over classes and texts"),
            (back, "student and teacher are exchanged: the teacher's probabilities "
             "weigh the logarithms"),
            (expected + t**2 * entropy, "this is the cross-entropy; take off the "
             "teacher's own entropy, so that equal models get 0"),
            (one, "the temperature has no effect on the probabilities; divide both "
             "logits by it"),
            (t**2 * one, "the temperature has no effect on the probabilities; divide "
             "both logits by it"),
            (-expected, "the sign is turned; a divergence is never below 0"),
        ]  # fmt: skip
        expect_none_of(got, expected, wrong)
        expect(
            close(got, expected, 1e-4),
            f"the loss is {got:.4f}, expected {expected:.4f} with {rows} texts and "
            f"temperature {t}",
        )
    return correct("0 for equal models, and its gradient keeps its size")


@exercise
def check_student(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(soft, seed) is an accuracy.
    """
    return experiment(answer, "soft minus hard")


def drafts(draw):
    """Pairs (p, q) of a target and a draft, the last two with zeros and equal."""
    for size, sharpness in ((5, 1.0), (9, 2.0), (2, 0.7)):
        p, q = (sharpness * torch.randn(2, size, generator=draw)).softmax(1)
        yield p, q
    yield torch.tensor([0.5, 0.0, 0.5, 0.0]), torch.tensor([0.25, 0.75, 0.0, 0.0])
    yield p, p.clone()


def expect_acceptance(accept, p, q):
    """A hint unless the proposals that q makes are accepted with min(1, p / q)."""
    proposed = q > 0
    ratio, own = p[proposed] / q[proposed], accept[proposed]
    for wrong, words in (
        (ratio, "some probabilities are above 1; where the target wants the token more "
         "than the draft, accept it always"),
        (torch.ones_like(ratio), "every proposal is accepted, and the text is the "
         "draft's; accept with min(1, p / q)"),
        ((1 / ratio).clamp(max=1), "p and q are exchanged: what the draft proposes too "
         "often has to be refused now and then"),
        ((ratio >= 1).float(), "what the draft proposes too often is refused always; "
         "accept it with probability p / q"),
        (p[proposed], "a proposal is accepted with the target's probability; it was "
         "drawn from q already, so divide by q"),
    ):  # fmt: skip
        matches = torch.allclose(own, ratio.clamp(max=1), atol=1e-5)
        expect(matches or not torch.allclose(own, wrong, atol=1e-5), words)
    expect(
        torch.allclose(own, ratio.clamp(max=1), atol=1e-5),
        "a proposal x is accepted with probability min(1, p(x) / q(x)), and yours is "
        "another",
    )


@exercise
def check_accept_and_rest(answer):
    """answer(p (V,), q (V,)) -> (accept (V,), rest (V,)), the rule of speculative
    decoding.
    """
    for p, q in drafts(torch.Generator().manual_seed(4)):
        result = answer(p.clone(), q.clone())
        expect(
            isinstance(result, (tuple, list)) and len(result) == 2,
            "return two tensors, (accept, rest)",
        )
        accept, rest = (torch.as_tensor(part).float() for part in result)
        expect(
            accept.shape == p.shape and rest.shape == p.shape,
            f"the shapes are {tuple(accept.shape)} and {tuple(rest.shape)}, expected "
            f"{tuple(p.shape)} twice: a number for each token",
        )
        expect(
            bool(torch.isfinite(accept).all()),
            "accept is not finite where q is 0; such a token is never proposed, so any "
            "number from 0 to 1 will do, and q.clamp(min=1e-12) makes one",
        )
        expect_acceptance(accept, p, q)
        expect(
            bool(((accept >= 0) & (accept <= 1)).all()),
            "accept has a number below 0 or above 1; they are probabilities",
        )
        expect(
            bool(torch.isfinite(rest).all()),
            "rest is 0 / 0 where p and q are equal; nothing is refused there, so any "
            "finite numbers will do",
        )
        missing = (p - q).clamp(min=0)
        if missing.sum() == 0:
            continue
        wanted = missing / missing.sum()
        away = (p - q).abs()
        for wrong, words in (
            (p, "a refused proposal is replaced by a draw from p; the accepted ones "
             "have taken their part of p already, so draw from what is missing"),
            (missing, "rest does not add up to 1; divide it by its sum"),
            (p - q, "rest has numbers below 0; where the draft proposes too often, "
             "nothing is missing"),
            ((q - p).clamp(min=0) / missing.sum(), "p and q are exchanged in rest: "
             "what is missing is where p is larger"),
            (away / away.sum(), "rest has the places where q is larger, too; there "
             "nothing is missing"),
        ):  # fmt: skip
            matches = torch.allclose(rest, wanted, atol=1e-5)
            expect(matches or not torch.allclose(rest, wrong, atol=1e-5), words)
        expect(
            torch.allclose(rest, wanted, atol=1e-5),
            "rest is not max(0, p - q), divided by its sum",
        )
    return correct("accepted and replaced together, the tokens have the target's p")
