"""recipes/finetune.py: micro-batches change nothing, and data that cannot train is
refused before step 1. RELIABILITY 19 and 24.
"""

import pytest
import torch
from test_recipes import FINETUNE, LABELS, TEXTS, module  # beside this file

from ftlib.data import tokenization
from ftlib.models import transformer
from ftlib.objectives import classify
from ftlib.training import train


def test_finetuning_in_pieces_is_the_same_training(monkeypatch, counted):
    recipe, plain = module(FINETUNE), classify.Classifier
    monkeypatch.setattr(
        classify,
        "Classifier",
        lambda encoder, classes: plain(encoder, classes, dropout=0.0),
    )
    config = dict(width=16, layers=1, heads=2, ffn_dim=32, max_tokens=12, dropout=0.0)

    def tuned(pieces):
        tokenizer = tokenization.train_wordpiece(TEXTS * 3, 60)
        torch.manual_seed(0)
        encoder = transformer.Transformer(
            transformer.Config(tokenizer.get_vocab_size(), **config)
        )
        return recipe.finetune(
            encoder,
            tokenizer,
            TEXTS,
            LABELS,
            epochs=3,
            size=3,
            lr=1e-3,
            tokens=12,
            accumulate=pieces,
        )[1]

    def apart(a, b):
        assert [step.targets for step in a] == [step.targets for step in b]
        return max(abs(one.loss - other.loss) for one, other in zip(a, b))

    wanted = tuned(1)
    # four parts of three rows: one asks nothing
    assert apart(tuned(2), wanted) < 1e-5 and apart(tuned(4), wanted) < 1e-5
    # control: parts that repeat a row instead of asking nothing
    monkeypatch.setattr(
        train,
        "split_micro_batches",
        lambda batch, parts: (
            {k: v[i % len(v)][None] for k, v in batch.items()} for i in range(parts)
        ),
    )
    with pytest.raises(AssertionError):
        apart(tuned(4), wanted)
    counted("fault")


@pytest.mark.parametrize(
    "labels, ids, words",
    [([1] * 7, 60, "train has labels \\[1\\]"), (None, 9, "the vocabulary has 0 to 8")],
)
def test_the_recipe_refuses_what_cannot_train_before_step_1(
    labels, ids, words, monkeypatch, counted
):
    recipe, taken = module(FINETUNE), []
    tokenizer = tokenization.train_wordpiece(TEXTS * 3, 60)

    def start():
        encoder = transformer.Transformer(
            transformer.Config(
                ids, width=16, layers=1, heads=2, ffn_dim=32, max_tokens=12
            )
        )
        recipe.finetune(
            encoder,
            tokenizer,
            TEXTS,
            labels or LABELS,
            tokens=12,
            epochs=1,
            size=3,
        )

    real = train.steps
    monkeypatch.setattr(
        recipe.train,
        "steps",
        lambda *a, **k: (taken.append(step) or step for step in real(*a, **k)),
    )
    with pytest.raises(ValueError, match=words):
        start()
    assert taken == []
    # control: without the question it trains on one class, or dies with an index error
    # in the middle
    monkeypatch.setattr(recipe.tables, "check_trainable", lambda *a, **k: None)
    if labels:
        start()
        assert len(taken) == 3
    else:
        with pytest.raises(IndexError):
            start()
    counted("fault")


def small(recipe, texts=TEXTS, labels=LABELS, **more):
    tokenizer = tokenization.train_wordpiece(TEXTS * 3, 60)
    size = tokenizer.get_vocab_size()
    encoder = transformer.Transformer(
        transformer.Config(size, width=16, layers=1, heads=2, ffn_dim=32, max_tokens=12)
    )
    settings = dict(tokens=12, epochs=1, size=3) | more
    return recipe.finetune(encoder, tokenizer, texts, labels, **settings), tokenizer


@pytest.mark.parametrize(
    "more, words",
    [
        (dict(epochs=0), "epochs is 0 and size 3; train for 1 or more"),
        (dict(size=0), "epochs is 1 and size 0"),
        (dict(size=-2), "size -2"),
        (dict(lr=0.0), "lr is 0; take a learning rate above 0"),
        (dict(lr=-1e-3), "lr is -0.001; take"),
        (dict(lr=float("nan")), "lr is nan; take"),
        (
            dict(tokens=64, texts=["good film " * 40, *TEXTS[1:]]),
            "the longest text has",
        ),
        (dict(head=12), "head is 12 of 12 tokens; take 1 to 11"),
        (dict(head=0), "head is 0 of 12 tokens"),
        (
            dict(labels=[1 + label for label in LABELS]),
            "train row . has label 2, a cla",
        ),
        (dict(labels=[-1, *LABELS[1:]]), "train row 0 has label -1, a class id is"),
        (dict(labels=["1", *LABELS[1:]]), "train row 0 has label '1', a class id is"),
        (dict(labels=[None, *LABELS[1:]]), "train row 0 has label None, a class id is"),
        (dict(labels=LABELS[:-1]), "columns of unequal length"),
        (dict(texts=[None, *TEXTS[1:]]), "text 0 is None .NoneType., not a string"),
        (dict(texts=[*TEXTS[:2], float("nan"), *TEXTS[3:]]), "text 2 is nan"),
        (dict(texts="a good film"), "this is one string"),
        (dict(texts=[], labels=[]), "train has 0 rows"),
    ],
)
def test_settings_that_cannot_train_are_refused_before_step_1(
    more, words, monkeypatch, counted
):
    recipe = module(FINETUNE)
    monkeypatch.setattr(recipe.train, "steps", lambda *a, **k: pytest.fail("it began"))
    with pytest.raises((ValueError, TypeError), match=words):
        small(recipe, **more)
    counted("fault")


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_a_run_of_one_or_two_steps_works(rows):
    recipe = module(FINETUNE)
    labels = [0, 1, 0, 1][:rows]
    (net, steps), tokenizer = small(recipe, TEXTS[:rows], labels)
    assert [step.number for step in steps] == list(range(-(-rows // 3)))
    assert not any(step.skipped for step in steps) and steps[-1].lr > 0
    _, correct = recipe.score(net, tokenizer, TEXTS[:rows], labels, tokens=12)
    assert correct.shape == (rows,)


def test_labels_as_pandas_gives_them_train_and_score_alike():
    recipe = module(FINETUNE)
    (net, steps), tokenizer = small(recipe, labels=[float(label) for label in LABELS])
    (_, wanted), _ = small(recipe)
    assert [step.loss for step in steps] != [] and len(steps) == len(wanted)
    scores = [
        recipe.score(net, tokenizer, TEXTS, kind, tokens=12)[1].tolist()
        for kind in (LABELS, torch.tensor(LABELS), [bool(label) for label in LABELS])
    ]
    assert scores[0] == scores[1] == scores[2]
    with pytest.raises(ValueError, match="7 texts and 6 labels; each text needs one"):
        recipe.score(net, tokenizer, TEXTS, LABELS[:-1], tokens=12)


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--epochs", "0"], "epochs is 0 and size 16"),
        (["--size", "0"], "epochs is 3 and size 0"),
        (["--lr", "-1"], "lr is -1; take a learning rate above 0"),
        (["--labels", "0"], "train has 0 rows, a batch needs 16"),
        (["--labels", "-3"], "-3 rows asked for"),
    ],
)
def test_the_command_line_refuses_in_one_sentence(words, sentence, monkeypatch):
    recipe = module(FINETUNE)
    monkeypatch.setattr("sys.argv", ["finetune.py", *words])
    monkeypatch.setattr(recipe, "encoder_of", lambda *a: pytest.fail("it began"))
    with pytest.raises(ValueError, match=sentence):
        recipe.main()


def test_sixteen_labels_for_one_epoch_train(monkeypatch, capsys):
    recipe = module(FINETUNE)
    words = ["--labels", "16", "--epochs", "1", "--tokens", "16"]
    monkeypatch.setattr("sys.argv", ["finetune.py", *words])
    load = recipe.sources.load

    def few(name):
        splits = load(name)
        return {part: recipe.tables.subset(splits[part], 60) for part in splits}

    monkeypatch.setattr(recipe.sources, "load", few)
    recipe.main()
    assert "test accuracy 0." in capsys.readouterr().out
