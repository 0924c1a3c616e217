"""Tags and entities against the rules of CoNLL, a brute force and a tokenizer; the loss
against transformers.
"""

import random

import pytest
import torch
import torch.nn.functional as F

from ftlib.data import tokenization
from ftlib.models import transformer
from ftlib.objectives import tagging
from ftlib.training import train

CLASSES = tagging.bio_classes(["PER", "LOC"])


def test_classes_stand_in_the_order_of_their_ids():
    assert CLASSES == ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    tags = ["I-LOC", None, "O", "B-PER"]
    assert tagging.tag_ids(tags, CLASSES) == [4, -100, 0, 1]
    with pytest.raises(ValueError, match="tag 'B-ORG' is none of the 5 classes"):
        tagging.tag_ids(["O", "B-ORG"], CLASSES)
    for types in ("PER", [], ["PER", "PER"]):
        with pytest.raises(ValueError, match="give a list of different names"):
            tagging.bio_classes(types)


# --- alignment

TEXT = "Ang Lee left Taipei for New York"
WORDS, TAGS = TEXT.split(), "B-PER I-PER O B-LOC O B-LOC I-LOC".split()
SPANS = [(0, 7, "PER"), (13, 19, "LOC"), (24, 32, "LOC")]


@pytest.fixture(scope="module")
def encoding():
    """The sentence in subwords, with special tokens."""
    tokenizer = tokenization.train_wordpiece([TEXT] * 9, 40)
    return tokenizer.encode(WORDS, is_pretokenized=True)


def test_words_and_tokens_of_a_tokenizer(encoding):
    ids = encoding.word_ids
    # there is something to align: words of several tokens, special tokens
    assert len(ids) > len(WORDS) + 2 and ids[0] is None and ids[-1] is None
    tags = tagging.align_tags(ids, TAGS)
    for token, word in enumerate(ids):
        if word is None or word == ids[token - 1]:
            assert tags[token] is None
        else:
            assert tags[token] == TAGS[word]
    assert tagging.word_tags(ids, tags, len(WORDS)) == TAGS


def test_every_token_of_a_word_is_one_entity_with_it(encoding, mutated, counted):
    ids = encoding.word_ids
    tags = tagging.align_tags(ids, TAGS, every_token=True)
    assert [tag is None for tag in tags] == [word is None for word in ids]
    real = [tag for tag in tags if tag is not None]
    assert [kind for *_, kind in tagging.entity_spans(real)] == ["PER", "LOC", "LOC"]
    assert tagging.word_tags(ids, tags, len(WORDS)) == TAGS
    # the planted fault: the tag of the word at every token
    changed = mutated(
        tagging, '"O" if kinds[word] is None else f"I-{kinds[word]}"', "tags[word]"
    )
    tags = changed.align_tags(ids, TAGS, every_token=True)
    assert len(tagging.entity_spans([tag for tag in tags if tag is not None])) > 3
    counted("fault")


def test_words_that_were_cut_off_are_outside():
    ids = [None, 0, 1, 1, None]
    assert tagging.align_tags(ids, TAGS) == [None, "B-PER", "I-PER", None, None]
    predicted = ["O", "B-PER", "I-PER", "O", "O"]
    assert tagging.word_tags(ids, predicted, 4) == ["B-PER", "I-PER", "O", "O"]


def test_character_spans_become_tags_and_come_back():
    tokenizer = tokenization.train_wordpiece([TEXT] * 9, 40)
    made = tokenizer.encode(TEXT)
    assert len(made.ids) > len(WORDS) + 2
    tags = tagging.tags_of_offsets(made.offsets, SPANS)
    assert tags[0] is None and tags[-1] is None and tags.count("B-LOC") == 2
    assert tagging.character_spans(tags, made.offsets) == SPANS
    # the same entities as from the tags of the words
    by_word = tagging.align_tags(made.word_ids, TAGS, every_token=True)
    assert tags == by_word


def test_an_end_inside_of_a_token_moves_to_its_end():
    offsets = [(0, 0), (0, 8), (9, 12), (0, 0)]
    tags = tagging.tags_of_offsets(offsets, [(0, 5, "PER")])
    assert tags == [None, "B-PER", "O", None]
    assert tagging.character_spans(tags, offsets) == [(0, 8, "PER")]
    # the space before a token is its own in some tokenizers
    assert tagging.tags_of_offsets([(0, 3), (3, 8)], [(4, 8, "PER")]) == ["O", "B-PER"]
    # one character in several byte-level tokens; what truncation cut off
    assert tagging.tags_of_offsets([(0, 1), (0, 1)], [(0, 1, "X"), (5, 9, "Y")]) == [
        "B-X",
        "I-X",
    ]


# --- entities


def by_definition(tags, strict):
    """Every (start, end, type) that is an entity, tried one by one."""
    n = len(tags)
    kinds = [tag[2:] if tag != "O" else None for tag in tags]
    entities = []
    for start in range(n):
        for end in range(start + 1, n + 1):
            kind = kinds[start]
            begins = tags[start][0] == "B" or (
                not strict
                and tags[start][0] == "I"
                and (start == 0 or kinds[start - 1] != kind)
            )
            inside = all(tags[i] == f"I-{kind}" for i in range(start + 1, end))
            ends = end == n or tags[end] != f"I-{kind}"
            if begins and inside and ends:
                entities.append((start, end, kind))
    return entities


def random_sentences(seed, count=300):
    draw = random.Random(seed)
    tags = [*tagging.bio_classes(["A", "B-x"]), "O"]
    return [
        [draw.choice(tags) for _ in range(draw.randint(0, 8))] for _ in range(count)
    ]


@pytest.mark.parametrize("strict", [False, True])
def test_entities_are_those_of_the_definition(strict):
    sentences = random_sentences(0)
    for tags in sentences:
        assert tagging.entity_spans(tags, strict) == by_definition(tags, strict)
    loose = [tagging.entity_spans(tags) for tags in sentences]
    assert loose != [tagging.entity_spans(tags, True) for tags in sentences]


def test_repaired_tags_are_valid_and_have_the_same_entities():
    for tags in random_sentences(1):
        repaired = tagging.repair_bio(tags)
        assert tagging.entity_spans(repaired, strict=True) == tagging.entity_spans(tags)
        assert tagging.repair_bio(repaired) == repaired
    assert tagging.repair_bio(["I-A", "I-A", "O", "I-A", "I-B", "B-B"]) == [
        "B-A",
        "I-A",
        "O",
        "B-A",
        "B-B",
        "B-B",
    ]


def test_counts_by_hand():
    """What conlleval counts in two sentences."""
    actual = ["B-PER I-PER O B-LOC O".split(), "B-ORG O B-LOC I-LOC".split()]
    predicted = [
        # one correct; one with a wrong end
        "B-PER I-PER O B-LOC I-LOC".split(),
        # another type; correct although it begins with I-
        "B-LOC O I-LOC I-LOC".split(),
    ]
    scores = tagging.span_scores(actual, predicted)
    assert scores[3:] == (2, 4, 4) and scores[:3] == (0.5, 0.5, 0.5)
    # strictly read, what begins with I- is no entity
    strict = tagging.span_scores(actual, predicted, strict=True)
    assert strict[3:] == (1, 3, 4)
    assert strict[:3] == (1 / 3, 1 / 4, 2 / 7)
    kinds = tagging.span_scores_by_type(actual, predicted)
    assert {kind: row[3:] for kind, row in kinds.items()} == {
        "LOC": (1, 3, 2),
        "ORG": (0, 0, 1),
        "PER": (1, 1, 1),
    }
    assert kinds["ORG"][:3] == (0.0, 0.0, 0.0) and kinds["PER"].f1 == 1.0
    assert tagging.span_scores([["O"]], [["O"]]) == (0.0, 0.0, 0.0, 0, 0, 0)


def test_scores_equal_a_brute_force():
    actual, other = random_sentences(2), random_sentences(3)
    draw = random.Random(4)
    predicted = []
    for a, b in zip(actual, other):
        b = (b * 9 + ["O"] * 9)[: len(a)]
        predicted.append([x if draw.random() < 0.7 else y for x, y in zip(a, b)])
    known, said = (
        {(row, *e) for row, tags in enumerate(rows) for e in by_definition(tags, False)}
        for rows in (actual, predicted)
    )
    scores = tagging.span_scores(actual, predicted)
    assert scores[3:] == (len(known & said), len(said), len(known)) and min(scores) > 0
    p, r = len(known & said) / len(said), len(known & said) / len(known)
    assert scores[:3] == pytest.approx((p, r, 2 * p * r / (p + r)))


def test_accuracy_of_tags_is_another_number(counted):
    """The planted fault: a model that finds nothing is 90 % right by tags."""
    actual = [["O"] * 9 + ["B-PER"]] * 5
    predicted = [["O"] * 10] * 5
    same = [a == p for x, y in zip(actual, predicted) for a, p in zip(x, y)]
    assert sum(same) / len(same) == 0.9
    assert tagging.span_scores(actual, predicted).f1 == 0.0
    counted("fault")


REFUSED = {
    "BIOES": (lambda: tagging.entity_spans(["O", "S-PER"]), "tag 1 is 'S-PER'"),
    "no type": (lambda: tagging.repair_bio(["B-"]), "tag 0 is 'B-'"),
    "a class id": (lambda: tagging.entity_spans([0, 1]), "tag 0 is 0, BIO has"),
    "no tag": (lambda: tagging.entity_spans(["O", None]), "tag 1 is None"),
    "a word without a tag": (
        lambda: tagging.align_tags([None, 0, 1], ["O"]),
        "token 2 belongs to word 1, there are 1 tags",
    ),
    "tags of words for tokens": (
        lambda: tagging.word_tags([0, 0, 1], ["O", "O"], 2),
        "there are 3 word_ids and 2 tags",
    ),
    "an empty span": (
        lambda: tagging.tags_of_offsets([(0, 4)], [(2, 2, "X")]),
        r"span \(2, 2, 'X'\) holds no character",
    ),
    "a span between tokens": (
        lambda: tagging.tags_of_offsets([(0, 3), (5, 8)], [(3, 5, "X")]),
        r"span \(3, 5, 'X'\) holds no token",
    ),
    "nested entities": (
        lambda: tagging.tags_of_offsets([(0, 3), (4, 8)], [(0, 8, "X"), (4, 8, "Y")]),
        r"span \(4, 8, 'Y'\) shares token 1 with another",
    ),
    "offsets of another text": (
        lambda: tagging.character_spans(["O"], [(0, 3), (4, 8)]),
        "there are 1 tags and 2 offsets",
    ),
    "other sentences": (
        lambda: tagging.span_scores([["O"]], []),
        "there are 1 actual and 0 predicted sentences",
    ),
    "a sentence of another length": (
        lambda: tagging.span_scores([["O"], ["O"]], [["O"], ["O", "O"]]),
        "sentence 1 has 1 actual and 2 predicted tags",
    ),
    "one sentence alone": (
        lambda: tagging.span_scores(["O", "O"], ["O", "O"]),
        "give a list of tags a sentence",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_tagged_sentence_is_refused(name):
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        call()


# --- the head and its loss


def batch(seed=0, rows=4, tokens=9, classes=5):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows, tokens), generator=g)
    labels[torch.rand(rows, tokens, generator=g) < 0.4] = -100
    mask = (torch.arange(tokens) < torch.tensor([[9], [4], [7], [5]])[:rows]).long()
    return {
        "input_ids": torch.randint(5, 60, (rows, tokens), generator=g) * mask,
        "attention_mask": mask,
        "labels": labels.masked_fill(mask == 0, -100),
    }


def bert():
    from transformers import BertConfig, BertForTokenClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=5,
    )
    return BertForTokenClassification(config).eval()


def test_the_loss_is_that_of_transformers(counted):
    model, given = bert(), batch()
    targets = int((given["labels"] != -100).sum())
    theirs = model(**given).loss
    ours = tagging.token_classification_loss(model, given)
    torch.testing.assert_close(ours / targets, theirs, rtol=1e-6, atol=1e-6)
    # our head with their weights
    head = tagging.TokenClassifier(model.bert, 5).eval()
    head.head.load_state_dict(model.classifier.state_dict())
    torch.testing.assert_close(tagging.token_classification_loss(head, given), ours)
    torch.testing.assert_close(
        head(given["input_ids"], given["attention_mask"]).logits, model(**given).logits
    )
    # the planted fault: -100 forgotten on the tokens that continue a word
    everywhere = dict(given, labels=given["labels"].clamp(min=0))
    wrong = tagging.token_classification_loss(model, everywhere)
    assert abs(wrong / everywhere["labels"].numel() - theirs) > 1e-3
    counted("fault")


def test_no_target_gives_0_with_a_gradient_of_0():
    model, given = bert(), batch()
    loss = tagging.token_classification_loss(
        model, dict(given, labels=torch.full_like(given["labels"], -100))
    )
    loss.backward()
    assert loss == 0 and not any(p.grad.any() for p in model.classifier.parameters())


def test_it_learns_in_the_loop_with_either_encoder():
    """The tag of a token is written in its id."""
    for encoder in (
        bert().bert,
        transformer.Transformer(
            transformer.Config(60, width=16, layers=1, heads=2, ffn_dim=32)
        ),
    ):
        torch.manual_seed(0)
        model = tagging.TokenClassifier(encoder, 5, dropout=0.0)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        given = batch()
        kept = given["labels"] != -100
        given["labels"] = torch.where(kept, given["input_ids"] % 5, -100)
        steps = [
            *train.steps(
                model, [given] * 60, tagging.token_classification_loss, optimizer
            )
        ]
        logits = model(given["input_ids"], given["attention_mask"]).logits[kept]
        wanted = F.cross_entropy(logits, given["labels"][kept])
        assert steps[-1].targets == int(kept.sum())
        assert steps[-1].loss == pytest.approx(wanted.item(), rel=0.5)
        assert steps[-1].loss < 0.2 * steps[0].loss


def test_labels_that_do_not_fit_are_refused():
    model, given = bert(), batch()
    for labels, words in [
        (
            given["labels"][:, :5],
            r"labels are torch.int64 \(4, 5\), there are \(4, 9\)",
        ),
        (given["labels"][:, 0], r"\(4,\), there are"),
        (given["labels"].float(), "labels are torch.float32"),
        (given["labels"].masked_fill(given["labels"] == 3, 7), "has label 7, the head"),
        (given["labels"].masked_fill(given["labels"] == 3, -1), "has label -1"),
    ]:
        with pytest.raises(ValueError, match=words):
            tagging.token_classification_loss(model, dict(given, labels=labels))
    with pytest.raises(ValueError, match="width is None"):
        tagging.TokenClassifier(torch.nn.Identity(), 3)
