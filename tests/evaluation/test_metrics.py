"""Metrics against scikit-learn, slow loops and known coverage."""

import math
from collections import Counter

import pytest
import torch

from ftlib.evaluation import metrics


def some(n=300, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, classes, generator=generator) * 2, torch.randint(
        0, classes, (n,), generator=generator
    )


@pytest.mark.parametrize("classes", [2, 4])
def test_accuracy_f1_and_confusion_equal_scikit_learn(classes):
    from sklearn import metrics as theirs_of

    logits, labels = some(classes=classes)
    predicted = logits.argmax(1)
    for given in (logits, predicted):
        assert metrics.accuracy(given, labels) == theirs_of.accuracy_score(
            labels, predicted
        )
        assert (
            metrics.confusion(given, labels, classes).tolist()
            == theirs_of.confusion_matrix(labels, predicted).tolist()
        )
        assert (
            abs(
                metrics.macro_f1(given, labels, classes)
                - theirs_of.f1_score(labels, predicted, average="macro")
            )
            < 1e-12
        )


def test_f1_with_a_class_that_never_occurs():
    from sklearn import metrics as theirs_of

    predicted, labels = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 0, 1])
    theirs = theirs_of.f1_score(
        labels, predicted, average="macro", labels=[0, 1, 2], zero_division=0
    )
    assert abs(metrics.macro_f1(predicted, labels, 3) - theirs) < 1e-12
    assert metrics.confusion(predicted, labels, 3).tolist() == [
        [2, 1, 0],
        [0, 1, 0],
        [0, 0, 0],
    ]
    with pytest.raises(ValueError, match="accuracy of 0 texts"):
        metrics.accuracy([], [])


def test_f1_per_class_equals_scikit_learn():
    from sklearn import metrics as theirs_of

    logits, labels = some(classes=3)
    theirs = theirs_of.f1_score(labels, logits.argmax(1), average=None)
    assert torch.allclose(
        metrics.f1_per_class(logits, labels, 3), torch.tensor(theirs), atol=1e-12
    )
    assert metrics.f1_per_class([0, 0], [0, 0], 3).tolist() == [1, 0, 0]


def test_f1_interval_equals_a_slow_loop_and_covers():
    """The same draws through scikit-learn give the same interval; wider with few texts;
    runs that differ widen it.
    """
    from sklearn import metrics as theirs_of

    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(3, (60,), generator=generator)
    runs = torch.where(
        torch.rand(4, 60, generator=generator) < 0.7,
        labels,
        torch.randint(3, (4, 60), generator=generator),
    )
    mean, low, high = metrics.f1_interval(runs, labels, 3, samples=200, seed=5)
    generator, drawn = torch.Generator().manual_seed(5), []
    for _ in range(200):
        rows = torch.randint(60, (60,), generator=generator)
        picked = torch.randint(4, (4,), generator=generator)
        scores = [
            theirs_of.f1_score(
                labels[rows], runs[r][rows], average=None, labels=[0, 1, 2]
            )
            for r in picked
        ]
        drawn.append(torch.stack([torch.from_numpy(score) for score in scores]).mean(0))
    edges = torch.quantile(
        torch.stack(drawn), torch.tensor([0.025, 0.975], dtype=torch.float64), dim=0
    )
    assert (
        torch.allclose(low, edges[0])
        and torch.allclose(high, edges[1])
        and ((low < mean) & (mean < high)).all()
    )
    one, many = (
        metrics.f1_interval(runs[:1].repeat(1, k), labels.repeat(k), 3, samples=300)
        for k in (1, 10)
    )
    assert (
        torch.allclose(one[0], many[0])
        and ((many[2] - many[1]) < 0.5 * (one[2] - one[1])).all()
    )
    apart = metrics.f1_interval(
        torch.stack([labels, (labels + 1) % 3]).repeat(1, 20),
        labels.repeat(20),
        3,
        samples=300,
    )
    # two runs that differ in everything: the texts' share of the luck is not all
    assert apart[1].max() < 0.1 and apart[2].min() > 0.9


def test_f1_interval_holds_the_true_value():
    """150 test sets drawn from one population: about 95 of 100 intervals hold
    its F1.
    """
    generator, inside = torch.Generator().manual_seed(0), 0
    # right with 0.8, else the next class: with balanced classes F1 is 0.8 for each
    p = 0.8
    for number in range(150):
        labels = torch.randint(3, (150,), generator=generator)
        said = torch.where(
            torch.rand(150, generator=generator) < p, labels, (labels + 1) % 3
        )
        _, low, high = metrics.f1_interval(said, labels, 3, samples=200, seed=number)
        inside += int(low[0] <= p <= high[0])
    assert 0.88 < inside / 150 < 0.99


def test_calibration_error_equals_a_slow_loop():
    logits, labels = some(500, 3)
    total = 0.0
    for b in range(10):
        rows = []
        for z, y in zip(logits.double(), labels.tolist()):
            p = torch.softmax(z, 0)
            if b / 10 < p.max().item() <= (b + 1) / 10:
                rows.append((p.max().item(), p.argmax().item() == y))
        if rows:
            total += (
                len(rows)
                / 500
                * abs(
                    sum(c for c, _ in rows) / len(rows)
                    - sum(r for _, r in rows) / len(rows)
                )
            )
    assert abs(metrics.calibration_error(logits, labels) - total) < 1e-12


def test_a_class_of_one_text_has_an_interval_from_zero():
    """Samples without that text have 0 / 0 for it."""
    labels = torch.tensor([0] * 9 + [1])
    f1, low, high = metrics.f1_interval(labels, labels, classes=2, samples=200)
    assert f1.tolist() == [1.0, 1.0] and (low[1], high[1]) == (0.0, 1.0)


def test_whole_numbers_may_be_floats_and_results_are_plain_numbers():
    predicted, labels = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0])
    assert metrics.confusion(predicted, labels, 2).tolist() == [[1, 1], [0, 1]]
    found = metrics.precision_recall(predicted, labels)
    assert found == (0.5, 1.0, 2 / 3) and {type(x) for x in found} == {float}


def at_the_edges():
    """Logits of two classes whose confidence is exactly 1/2 and 1, or between, so that
    an answer in the neighbour's bin cancels another one, and the labels.
    """
    generator = torch.Generator().manual_seed(0)
    between = torch.rand(40, generator=generator) * 0.2 + 0.01
    parts = [torch.full((40,), x) for x in (0.0, 800.0, 1.7, 3.0)]
    margin = torch.cat([*parts, between]).double()
    # right at 1/2 and wrong beyond it; right at 0.85 and mixed above
    labels = torch.tensor([[0] * 40, [0, 1] * 20, [0] * 40, [0, 1] * 20, [1] * 40])
    return torch.stack([margin, torch.zeros(200).double()], 1), labels.flatten()


def calibration_off(bins, metrics=metrics):
    """How far the error is from that of scikit-learn's bins, which have their right
    edges.
    """
    from sklearn.calibration import calibration_curve

    logits, labels = at_the_edges()
    confidence, predicted = logits.softmax(-1).max(-1)
    correct = (predicted == labels).double()
    true, said = calibration_curve(correct.numpy(), confidence.numpy(), n_bins=bins)
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
    count = torch.bincount(torch.searchsorted(edges, confidence), minlength=bins)
    wanted = (abs(true - said) * (count[count > 0].double() / 200).numpy()).sum()
    return abs(metrics.calibration_error(logits, labels, bins) - wanted)


@pytest.mark.parametrize("bins", [1, 2, 4, 10])
def test_calibration_bins_have_their_right_edges(bins):
    assert calibration_off(bins) < 1e-12


@pytest.mark.parametrize(
    "old, new",
    [
        (".ceil().long().clamp(1, bins) - 1", ".floor().long().clamp(0, bins - 1)"),
        (".ceil().long().clamp(1, bins) - 1", ".round().long().clamp(1, bins) - 1"),
        ("clamp(1, bins) - 1", "clamp(1, bins - 1) - 1"),
        ("confidence - correct", "(confidence - correct).abs()"),
        ("gap.abs().sum()", "gap.sum().abs()"),
        ("/ len(correct)", "/ bins"),
    ],
    ids=["left edges", "rounded", "a bin less", "no bins", "one bin", "of bins"],
)
def test_other_calibration_bins_are_caught(old, new, mutated, counted):
    assert calibration_off(10, mutated(metrics, old, new)) > 0.005
    counted("fault")


def test_calibration_error_of_honest_and_boastful_answers():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(20_000, generator=generator)
    labels = (torch.rand(20_000, generator=generator) < p).long()
    honest = torch.stack([torch.zeros_like(p), (p / (1 - p)).log()], 1)
    assert (
        metrics.calibration_error(honest, labels)
        < 0.02
        < 0.1
        < metrics.calibration_error(5 * honest, labels)
    )


def test_precision_and_recall_equal_scikit_learn():
    from sklearn.metrics import precision_recall_fscore_support as theirs

    logits, labels = some(classes=3)
    for given in (logits, logits.argmax(1)):
        for positive in range(3):
            wanted = theirs(
                labels, logits.argmax(1), labels=[positive], average="macro"
            )[:3]
            assert metrics.precision_recall(given, labels, positive) == pytest.approx(
                wanted, abs=1e-12
            )
    # nothing called positive: 0 / 0 is 0
    assert metrics.precision_recall([0, 0], [0, 1]) == (0.0, 0.0, 0.0)
    assert metrics.precision_recall([1, 0], [0, 0]) == (0.0, 0.0, 0.0)
    # control: what is said and what is true differ
    swapped = metrics.precision_recall(labels, logits.argmax(1), 1)
    assert abs(swapped[0] - metrics.precision_recall(logits, labels, 1)[0]) > 1e-3


# ---- the lines to beat ----

ROWS = (
    torch.randint(0, 7, (40, 9), generator=torch.Generator().manual_seed(0)) ** 2 % 11
)
TEST = torch.randint(0, 11, (12, 9), generator=torch.Generator().manual_seed(1))


def test_unigram_equals_a_slow_loop():
    counts = Counter(ROWS.flatten().tolist())
    n = ROWS.numel() + 11
    wanted = (
        -sum(math.log((counts[i] + 1) / n) for i in TEST.flatten().tolist())
        / TEST.numel()
    )
    assert abs(metrics.unigram_loss(ROWS, TEST, 11) - wanted) < 1e-12


@pytest.mark.parametrize("some_places", [False, True])
def test_bigram_equals_a_slow_loop(some_places, counted):
    strength, single, n = 5.0, Counter(ROWS.flatten().tolist()), ROWS.numel() + 11
    pairs = Counter((a, b) for row in ROWS.tolist() for a, b in zip(row, row[1:]))
    before = Counter(a for row in ROWS.tolist() for a in row[:-1])
    places = (
        torch.rand(TEST.shape, generator=torch.Generator().manual_seed(2)) < 0.4
        if some_places
        else torch.ones_like(TEST, dtype=torch.bool)
    )
    losses = []
    for row, asked in zip(TEST.tolist(), places.tolist()):
        for a, b, ask in zip(row, row[1:], asked[1:]):
            p = (single[b] + 1) / n
            losses += [
                -math.log((pairs[a, b] + strength * p) / (before[a] + strength))
            ] * ask
    got = metrics.bigram_loss(ROWS, TEST, 11, strength, places if some_places else None)
    assert abs(got - sum(losses) / len(losses)) < 1e-12
    # control: the order of a pair matters
    assert abs(metrics.bigram_loss(ROWS.flip(1), TEST, 11, strength) - got) > 1e-3
    counted("fault")


def test_bigram_is_a_distribution_and_tends_to_the_unigram():
    """Over all possible next tokens the probabilities add up to 1."""
    for a in range(11):
        rows = torch.stack([torch.full((11,), a), torch.arange(11)], 1)
        p = [math.exp(-metrics.bigram_loss(ROWS, row[None], 11)) for row in rows]
        assert abs(sum(p) - 1) < 1e-9
    far = metrics.bigram_loss(ROWS, TEST, 11, strength=1e12)
    assert abs(far - metrics.unigram_loss(ROWS, TEST[:, 1:], 11)) < 1e-6
    chain = torch.arange(90).remainder(9).view(10, 9)
    assert (
        metrics.bigram_loss(chain, chain, 9, strength=0.01)
        < 0.01
        < metrics.unigram_loss(chain, chain, 9)
    )


def test_kneser_ney_equals_a_slow_loop():
    """By the formulas, with dictionaries: Chen & Goodman 1999, equations of section
    2.7, with a mark before each row.
    """
    sequences = [(11, 11, *row) for row in ROWS.tolist()]
    three = Counter(t for s in sequences for t in zip(s, s[1:], s[2:]))
    two = Counter((b, c) for _, b, c in three)
    one = Counter(c for _, c in two)

    def guess(counts, before, token, lower):
        own = {key: n for key, n in counts.items() if key[:-1] == before}
        if not own:
            return lower
        ones, twos = (list(counts.values()).count(n) for n in (1, 2))
        discount = ones / (ones + 2 * twos) if ones else 0.5
        kept = max(0, counts.get((*before, token), 0) - discount)
        return (kept + discount * len(own) * lower) / sum(own.values())

    def p(a, b, c):
        lower = guess({(key,): n for key, n in one.items()}, (), c, 1 / 11)
        return guess(three, (a, b), c, guess(two, (b,), c, lower))

    losses = [
        -math.log(p(*t)) for row in TEST.tolist() for t in zip((11, *row), row, row[1:])
    ]
    got = metrics.kneser_ney_loss(ROWS, TEST, 11)
    assert abs(got - sum(losses) / len(losses)) < 1e-9
    for a, b in ((0, 3), (11, 5), (10, 10)):  # seen or not, the shares add up to 1
        assert abs(sum(p(a, b, c) for c in range(11)) - 1) < 1e-9


def test_two_tokens_before_help_where_one_does_not():
    """0 1 2 and 3 1 4 in turn: after 1 only the token before it tells which follows."""
    rows = torch.tensor([0, 1, 2, 3, 1, 4] * 40).view(40, 6)
    again = metrics.kneser_ney_loss(rows, rows, 5)
    assert again < 0.1 < metrics.bigram_loss(rows, rows, 5, strength=0.01)


@pytest.mark.parametrize("some_places", [False, True])
def test_neighbours_equal_a_slow_loop(some_places, counted):
    strength, single, n = 5.0, Counter(ROWS.flatten().tolist()), ROWS.numel() + 11
    pairs = Counter((a, b) for row in ROWS.tolist() for a, b in zip(row, row[1:]))
    before = Counter(a for row in ROWS.tolist() for a in row[:-1])

    def after(a, b):
        p = (single[b] + 1) / n
        return (pairs[a, b] + strength * p) / (before[a] + strength)

    places = torch.rand(TEST.shape, generator=torch.Generator().manual_seed(2)) < 0.4
    places = places if some_places else torch.ones_like(places)
    losses = []
    for row, asked in zip(TEST.tolist(), places.tolist()):
        for t in (t for t in range(len(row)) if asked[t]):
            shares = [
                (after(row[t - 1], b) if t else (single[b] + 1) / n)
                * (after(b, row[t + 1]) if t + 1 < len(row) else 1)
                for b in range(11)
            ]
            losses.append(-math.log(shares[row[t]] / sum(shares)))
    asked = places if some_places else None
    got = metrics.neighbours_loss(ROWS, TEST, 11, strength, asked)
    assert abs(got - sum(losses) / len(losses)) < 1e-5
    # control: left and right are not the same
    assert abs(metrics.neighbours_loss(ROWS.flip(1), TEST, 11, strength) - got) > 1e-3
    counted("fault")


def test_a_second_neighbour_helps():
    """In a chain that jumps, the token before does not tell which branch it was."""
    g = torch.Generator().manual_seed(3)
    middle = torch.randint(1, 9, (4000, 1), generator=g)
    rows = torch.cat([torch.zeros_like(middle), middle, middle + 8], dim=1)
    asked = torch.zeros_like(rows, dtype=torch.bool)
    asked[:, 1] = True
    one = metrics.bigram_loss(rows, rows, 17, target_mask=asked)
    assert abs(one - math.log(8)) < 0.1
    assert metrics.neighbours_loss(rows, rows, 17, target_mask=asked) < 0.3


def test_mean_loss_divides_once():
    class Net(torch.nn.Linear):
        pass

    net = Net(3, 2).train()
    batches = [
        {"x": torch.randn(n, 3), "labels": torch.tensor(([0, 1, -100, 1] * n)[:n])}
        for n in (1, 4, 7)
    ]

    def loss_fn(model, batch):
        assert not model.training and not torch.is_grad_enabled()
        return torch.nn.functional.cross_entropy(
            model(batch["x"]), batch["labels"], reduction="sum"
        )

    x, labels = (
        torch.cat([b["x"] for b in batches]),
        torch.cat([b["labels"] for b in batches]),
    )
    wanted = torch.nn.functional.cross_entropy(net(x), labels).item()
    assert (
        abs(metrics.mean_loss(net, batches, loss_fn) - wanted) < 1e-6 and net.training
    )
    with pytest.raises(ValueError, match="there are 0 targets"):
        metrics.mean_loss(
            net, [{**batches[0], "labels": torch.tensor([-100])}], loss_fn
        )
    assert abs(metrics.perplexity(math.log(8000)) - 8000) < 1e-6


@pytest.mark.parametrize(
    "measure",
    [
        metrics.accuracy,
        metrics.precision_recall,
        lambda p, y: metrics.confusion(p, y, 2),
        lambda p, y: metrics.macro_f1(p, y, 2),
    ],
)
def test_a_probability_is_no_class(measure, counted):
    """0.7 was cut to class 0, or never equal to a label."""
    labels = [1, 0, 1]
    with pytest.raises(ValueError, match=r"prediction 0.75 is no class; give whole"):
        measure(torch.tensor([0.75, 0.0, 1.0]), labels)
    with pytest.raises(ValueError, match=r"label 0.5 is no class; give whole numbers"):
        measure([1, 0, 1], torch.tensor([1.0, 0.5, 1.0]))
    whole = measure(torch.tensor([1.0, 0.0, 0.0]), labels)  # pandas makes such
    assert str(whole) == str(measure([1, 0, 0], labels))
    # scores of all classes are no classes
    scores = torch.tensor([[0.2, 0.7], [0.6, 0.4], [0.9, 0.1]])
    assert str(measure(scores, labels)) == str(whole)
    counted("fault", 2)
