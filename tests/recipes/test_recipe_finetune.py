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
