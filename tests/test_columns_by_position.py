"""Texts and labels are taken by position, whatever holds them, and metrics refuse what
does not belong together.
"""

import numpy
import pytest
import torch

from ftlib.data import corpus, tables
from ftlib.evaluation import metrics
from ftlib.objectives import classify

TEXTS = [f"text {i}" for i in range(40)]
LABELS = [i % 3 for i in range(40)]
ORDER = torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist()


def series(values):
    """A pandas column whose index is not its position, as after df.sample(frac=1)."""
    return pytest.importorskip("pandas").Series(values, index=ORDER)


def column(values):
    """A column of the `datasets` library."""
    datasets = pytest.importorskip("datasets")
    return datasets.Dataset.from_dict({"values": list(values)})["values"]


HOLDERS = {
    "tensor": lambda values: (
        values if isinstance(values[0], str) else torch.tensor(values)
    ),
    "tuple": tuple,
    "NumPy array": numpy.array,
    "pandas column": series,
    "column of datasets": column,
}


def subset_is_right(hold):
    held = {"text": hold(TEXTS), "label": hold(LABELS)}
    expected = tables.subset({"text": TEXTS, "label": LABELS}, 12)
    got = tables.subset(held, 12)
    return [str(text) for text in got["text"]] == expected["text"] and [
        int(label) for label in got["label"]
    ] == expected["label"]


def batches_are_right(hold):
    """Does each row come with its own label? A row's first id is its number."""
    rows = [[5 + i] * (1 + i % 7) for i in range(40)]
    for batch in classify.batches_of(rows, hold(LABELS), size=8):
        first = batch["input_ids"][:, 0] - 5
        if not torch.equal(first, batch["index"]):
            return False
        if not torch.equal(batch["labels"], first % 3):
            return False
    return True


CHECKS = {"subset": (tables, subset_is_right), "batches": (classify, batches_are_right)}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", HOLDERS)
def test_rows_are_taken_by_position(name, check):
    assert CHECKS[check][1](HOLDERS[name])


@pytest.mark.parametrize(
    "name, check",
    [("pandas column", "subset"), ("pandas column", "batches"), ("tensor", "subset")],
)
def test_a_lookup_by_key_is_caught(name, check, monkeypatch, counted):
    """What stood there before: the column as it is. A tensor's numbers are keys that
    differ all, so the classes were not balanced.
    """
    module, is_right = CHECKS[check]
    monkeypatch.setattr(module, "by_position", lambda values: values)
    # it reads labels in their order, whatever holds them
    monkeypatch.setattr(module, "class_ids", lambda labels, classes=None: labels)
    assert not is_right(HOLDERS[name])
    counted("fault")


@pytest.mark.parametrize("name", HOLDERS)
def test_rows_and_lengths_are_taken_by_position(name):
    hold = HOLDERS[name]
    lengths = [1 + i % 7 for i in range(40)]
    expected = classify.length_grouped(lengths, 4)
    assert classify.length_grouped(hold(lengths), 4) == expected


def test_near_duplicates_are_looked_up_by_position():
    pytest.importorskip("datasketch")
    texts = [f"{i} is a number and this text is about it at length" for i in range(39)]
    texts.append(texts[3])
    pairs = corpus.near_duplicates(texts, threshold=0.95)
    assert (3, 39, 1.0) in pairs
    assert corpus.near_duplicates(series(texts), threshold=0.95) == pairs


@pytest.mark.parametrize("name", HOLDERS)
def test_metrics_read_labels_by_position(name):
    labels = HOLDERS[name](LABELS)
    predicted = torch.tensor(LABELS)
    assert metrics.accuracy(predicted, labels) == 1
    assert metrics.macro_f1(predicted, labels, 3) == 1


def test_finetuning_on_a_shuffled_table_learns_its_own_labels():
    """The label is the first word; with another row's label nothing is learnt."""
    import pandas
    from finetune import finetune, score

    from ftlib.data import tokenization
    from ftlib.models import transformer

    words = ["good", "bad"]
    table = pandas.DataFrame(
        {"text": [f"{words[i % 2]} film {i}" for i in range(64)], "label": [0, 1] * 32}
    ).sample(frac=1, random_state=0)
    tokenizer = tokenization.train_wordpiece(table["text"], 120)
    torch.manual_seed(0)
    config = transformer.Config(tokenizer.get_vocab_size(), 32, 1, 2, 64, init_std=0.1)
    encoder = transformer.Transformer(config)
    net, _ = finetune(
        encoder, tokenizer, table["text"], table["label"], epochs=12, lr=3e-3
    )
    _, correct = score(net, tokenizer, table["text"], table["label"].tolist())
    assert correct.mean() > 0.95


def test_labels_of_a_table_may_be_a_dict_of_numbers(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("text,label\na film,pos\nanother,neg\n", encoding="utf-8")
    assert tables.read_csv(path, labels={"pos": 1, "neg": 0})["label"] == [1, 0]
    assert tables.read_csv(path, labels=["pos", "neg"])["label"] == [0, 1]


# --- metrics

P, Y = torch.tensor([0, 1, 1, 0, 2]), torch.tensor([0, 1, 1, 0, 2])
CALLS = {
    "accuracy": metrics.accuracy,
    "confusion": lambda p, y: metrics.confusion(p, y, 3),
    "f1_per_class": lambda p, y: metrics.f1_per_class(p, y, 3),
    "macro_f1": lambda p, y: metrics.macro_f1(p, y, 3),
    "precision_recall": metrics.precision_recall,
    "calibration_error": lambda p, y: metrics.calibration_error(
        torch.eye(3)[p] if p.ndim == 1 and p.dtype == torch.long else p, y
    ),
    "f1_interval": lambda p, y: metrics.f1_interval(p, y, 3, samples=50),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "predicted, labels",
    [
        (P, Y[:, None]),
        (P, Y[:4]),
        (torch.zeros(5, 3, 2), Y),
        (torch.zeros(4, 3), Y),
        (P, torch.tensor([0.0, 0.5, 1, 0, 2])),
    ],
    ids=["a column", "too short", "three dimensions", "other logits", "half a label"],
)
def test_what_does_not_belong_together_is_refused(name, predicted, labels, counted):
    with pytest.raises(ValueError, match="do not belong together|is no class"):
        CALLS[name](predicted, labels)
    counted("fault")


@pytest.mark.parametrize("name", CALLS)
def test_an_ignored_label_does_not_count(name):
    predicted, labels = (
        torch.cat([P, torch.tensor([1, 2])]),
        torch.cat([Y, torch.tensor([-100, -100])]),
    )
    full, short = CALLS[name](predicted, labels), CALLS[name](P, Y)
    for a, b in zip(full, short) if isinstance(full, tuple) else [(full, short)]:
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["confusion", "f1_per_class", "macro_f1"])
@pytest.mark.parametrize("wrong", [3, -1])
def test_a_class_beyond_the_range_is_refused(name, wrong, counted):
    other = torch.tensor([0, 1, 1, 0, wrong])
    for predicted, labels in ((P, other), (other, Y)):
        with pytest.raises(ValueError, match="is no class of 3"):
            CALLS[name](predicted, labels)
    counted("fault", 2)
