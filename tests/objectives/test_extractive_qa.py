"""Windows against tokenizers, spans against a brute force, the loss against
transformers, and the numbers against SQuAD's official script.
"""

import collections
import random
import re
import string

import pytest
import torch

from ftlib.data import tokenization
from ftlib.models import transformer
from ftlib.objectives import extractive_qa as qa
from ftlib.training import train

CONTEXT = "the film was made in Taipei by a young crew and won a prize in Cannes"
QUESTION = "where was it made"


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.train_wordpiece([CONTEXT, QUESTION] * 9, 60)


def ids_and_offsets(tokenizer, text):
    made = tokenizer.encode(text, add_special_tokens=False)
    return made.ids, made.offsets


def windows_of(tokenizer, max_tokens=18, stride=3):
    question, _ = ids_and_offsets(tokenizer, QUESTION)
    context, offsets = ids_and_offsets(tokenizer, CONTEXT)
    cls_id, sep_id = (tokenizer.token_to_id(t) for t in ("[CLS]", "[SEP]"))
    return qa.answer_windows(
        question, context, offsets, max_tokens, cls_id, sep_id, stride
    )


@pytest.mark.parametrize("max_tokens, stride", [(18, 3), (15, 0), (20, 6), (200, 8)])
def test_windows_are_those_of_tokenizers(tokenizer, max_tokens, stride):
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast(tokenizer_object=tokenizer)(
        QUESTION,
        CONTEXT,
        max_length=max_tokens,
        stride=stride,
        truncation="only_second",
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    ours = windows_of(tokenizer, max_tokens, stride)
    assert [window["input_ids"] for window in ours] == theirs["input_ids"]
    assert [window["token_type_ids"] for window in ours] == theirs["token_type_ids"]
    for i, window in enumerate(ours):
        of_context = [side == 1 for side in theirs.sequence_ids(i)]
        assert [span is not None for span in window["offsets"]] == of_context
        wanted = [span for span, c in zip(theirs["offset_mapping"][i], of_context) if c]
        assert [span for span in window["offsets"] if span is not None] == wanted
    assert (len(ours) > 1) == (max_tokens < 200)


def test_an_answer_is_labelled_where_a_window_holds_all_of_it(tokenizer):
    """Every span of words of the context, in every window."""
    windows = windows_of(tokenizer, 18, 4)
    words = [match.span() for match in re.finditer(r"\S+", CONTEXT)]
    inside = outside = 0
    for i, (start, _) in enumerate(words):
        for _, end in words[i : i + 3]:
            for window in windows:
                spans = [span for span in window["offsets"] if span is not None]
                first, last = qa.answer_positions(window, start, end)
                if spans[0][0] <= start and end <= spans[-1][1]:
                    offsets = window["offsets"]
                    assert (offsets[first][0], offsets[last][1]) == (start, end)
                    inside += 1
                else:
                    assert (first, last) == (0, 0)
                    outside += 1
    assert inside > 20 and outside > 20


def test_a_short_answer_is_complete_in_some_window():
    """Up to stride + 1 tokens; one more and it can fall between two."""
    context, stride = list(range(10, 40)), 3
    offsets = [(i, i + 1) for i in range(len(context))]
    windows = qa.answer_windows([5, 6], context, offsets, 15, 2, 3, stride)

    def held(length):
        return [
            any(qa.answer_positions(w, i, i + length) != (0, 0) for w in windows)
            for i in range(len(context) - length + 1)
        ]

    assert all(held(stride + 1)) and not all(held(stride + 2))


# --- the loss


def bert():
    from transformers import BertConfig, BertForQuestionAnswering

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=90,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    return BertForQuestionAnswering(config).eval()


def test_the_loss_is_that_of_transformers(tokenizer):
    windows = windows_of(tokenizer)
    start = CONTEXT.index("Taipei")
    labels = [qa.answer_positions(w, start, start + 6) for w in windows]
    assert len({*labels}) > 1 and (0, 0) in labels
    batch = qa.window_batch(windows, labels)
    model = bert()
    inputs = {k: batch[k] for k in ("input_ids", "attention_mask", "token_type_ids")}
    theirs = model(
        **inputs,
        start_positions=batch["labels"][:, 0],
        end_positions=batch["labels"].T[1],
    )
    ours = qa.answer_loss(model, batch)
    torch.testing.assert_close(
        ours / batch["labels"].numel(), theirs.loss, rtol=1e-6, atol=1e-6
    )
    # our head with their weights
    head = qa.QuestionAnswering(model.bert).eval()
    head.head.load_state_dict(model.qa_outputs.state_dict())
    torch.testing.assert_close(qa.answer_loss(head, batch), ours)
    torch.testing.assert_close(head(**inputs).end_logits, theirs.end_logits)
    # a window that is left out counts nothing
    batch["labels"][0] = -100
    fewer = {k: v[1:] for k, v in batch.items()}
    torch.testing.assert_close(
        qa.answer_loss(model, batch), qa.answer_loss(model, fewer)
    )


def test_a_batch_is_padded_to_its_longest_window(tokenizer):
    windows = windows_of(tokenizer)
    lengths = [len(window["input_ids"]) for window in windows]
    assert len({*lengths}) == 2
    batch = qa.window_batch(windows, pad_id=7)
    assert "labels" not in batch
    assert batch["attention_mask"].sum(1).tolist() == lengths
    for row, window, n in zip(batch["input_ids"].tolist(), windows, lengths):
        assert row == window["input_ids"] + [7] * (max(lengths) - n)
    types = batch["token_type_ids"].tolist()
    assert types[-1][lengths[-1] :] == [0] * (max(lengths) - lengths[-1])


def test_it_learns_in_the_loop():
    """The answer stands between two marks; without marks there is none."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(1)
    ids = torch.randint(10, 60, (64, 12), generator=g)
    ids[:, 0] = 2
    first = torch.randint(2, 8, (64,), generator=g)
    last = first + torch.randint(3, (64,), generator=g)
    rows, has = torch.arange(64), torch.arange(64) % 4 > 0
    ids[rows[has], first[has] - 1] = 5
    ids[rows[has], last[has] + 1] = 6
    labels = torch.stack([first, last], 1) * has[:, None]
    model = qa.QuestionAnswering(
        transformer.Transformer(
            transformer.Config(60, width=32, layers=2, heads=2, ffn_dim=64)
        )
    )
    batch = {"input_ids": ids, "labels": labels}
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    steps = [*train.steps(model, [batch] * 80, qa.answer_loss, optimizer)]
    assert steps[0].targets == 128 and steps[-1].loss < 0.2 * steps[0].loss
    output = model.eval()(ids)
    spans = [
        qa.best_span(s, e, [False] + [True] * 11)
        for s, e in zip(output.start_logits.detach(), output.end_logits.detach())
    ]
    correct = [
        span.null_score > span.score
        if not answer
        else (span.start, span.end) == (int(a), int(b))
        for span, answer, a, b in zip(spans, has, first, last)
    ]
    assert sum(correct) > 58


# --- the best span


@pytest.mark.parametrize("longest", [1, 3, 30])
def test_the_best_span_is_that_of_a_brute_force(longest, mutated, counted):
    careless = mutated(qa, "valid = valid.triu() &", "valid = valid &")
    g, otherwise = torch.Generator().manual_seed(longest), 0
    for _ in range(60):
        start, end = torch.randn(2, 11, generator=g)
        allowed = torch.rand(11, generator=g) < 0.7
        allowed[0], allowed[5] = False, True
        best = max(
            (float(start[i] + end[j]), i, j)
            for i in range(11)
            for j in range(i, min(i + longest, 11))
            if allowed[i] and allowed[j]
        )
        span = qa.best_span(start, end, allowed, longest)
        assert (span.score, span.start, span.end) == pytest.approx(best)
        assert span.null_score == float(start[0] + end[0])
        otherwise += careless.best_span(start, end, allowed, longest) != span
    # the planted fault: ends before starts
    assert otherwise > 10
    counted("fault")


def test_scores_lead_back_to_the_text(tokenizer):
    windows = windows_of(tokenizer)
    T = max(len(window["input_ids"]) for window in windows)
    start = CONTEXT.index("young crew")
    labels = [qa.answer_positions(w, start, start + 10) for w in windows]
    logits = torch.zeros(2, len(windows), T)
    for side in range(2):
        for row, pair in enumerate(labels):
            logits[side, row, pair[side]] = 5.0
    # what stands in the padding must not win
    logits[:, -1, len(windows[-1]["input_ids"]) :] = 99.0
    answer = qa.best_answer(CONTEXT, windows, *logits)
    assert answer[:3] == ("young crew", start, start + 10) and answer.score == 10.0
    # some window is sure that it has an answer: [CLS] got no point there
    assert answer.null_score == 0.0
    logits[:, :, 0] = 6.0
    assert qa.best_answer(CONTEXT, windows, *logits)[:3] == ("", 0, 0)
    forced = qa.best_answer(CONTEXT, windows, *logits, null_threshold=float("inf"))
    assert forced.text == "young crew" and forced.null_score == 12.0
    # 12 is above 10 by 2, and not by more
    for threshold, text in [(1.9, ""), (2.0, "young crew")]:
        answer = qa.best_answer(CONTEXT, windows, *logits, null_threshold=threshold)
        assert answer.text == text


# --- exact match and F1: the functions of the official script for SQuAD 2.0, written
# down here as its authors published them


def normalize(s):
    def remove_articles(text):
        return re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text)

    def remove_punc(text):
        return "".join(ch for ch in text if ch not in set(string.punctuation))

    return " ".join(remove_articles(remove_punc(s.lower())).split())


def official_f1(gold, predicted):
    gold, predicted = normalize(gold).split(), normalize(predicted).split()
    same = sum((collections.Counter(gold) & collections.Counter(predicted)).values())
    if len(gold) == 0 or len(predicted) == 0:
        return float(gold == predicted)
    if same == 0:
        return 0.0
    precision, recall = same / len(predicted), same / len(gold)
    return 2 * precision * recall / (precision + recall)


def test_the_numbers_are_those_of_the_official_script():
    draw = random.Random(0)
    parts = (
        "The a an Lee lee's Ang, film! (1994) “quoted” U.S. re-made $5 ’s an.".split()
    )
    nonzero = exact = 0
    for _ in range(500):
        predicted, *answers = (
            " ".join(draw.choices(parts, k=draw.randint(0, 4))) for _ in range(3)
        )
        gold = [text for text in answers if normalize(text)] or [""]
        wanted = max(official_f1(text, predicted) for text in gold)
        assert qa.answer_f1(predicted, answers) == pytest.approx(wanted)
        same = max(float(normalize(text) == normalize(predicted)) for text in gold)
        assert qa.exact_match(predicted, answers) == same
        nonzero, exact = nonzero + (0 < wanted < 1), exact + int(same)
    assert nonzero > 100 and exact > 10


def test_chinese_is_compared_by_character():
    assert qa.normalize_answer("《臥虎藏龍》，2000年。") == "臥 虎 藏 龍 2000 年"
    assert qa.exact_match("“李安”", ["李安"]) == 1.0
    assert qa.answer_f1("导演李安", ["李安"]) == pytest.approx(2 * 2 / (4 + 2))
    # a word of Latin letters is one token, also between characters
    assert qa.answer_f1("DVD版", ["dvd"]) == pytest.approx(2 / 3)
    # as one word of four characters nothing would be shared
    assert len(qa.normalize_answer("导演李安").split()) == 4


def test_no_answer_equals_no_answer_alone():
    for answers in ([], [""], ["the"]):
        assert qa.exact_match("", answers) == qa.answer_f1("", answers) == 1.0
        assert qa.exact_match("Lee", answers) == qa.answer_f1("Lee", answers) == 0.0
    assert qa.answer_f1("", ["Lee"]) == 0.0
    with pytest.raises(TypeError, match="answers is the text 'Lee'; give a list"):
        qa.exact_match("Lee", "Lee")


ROW = torch.randn(6, generator=torch.Generator().manual_seed(0))
YES = [False] + [True] * 5
WINDOW = {"offsets": [None, None, (2, 4), (5, 8), None]}
REFUSED = {
    "no context": (
        lambda: qa.answer_windows([5], [], [], 20, 2, 3),
        "context has 0 tokens and 0 offsets",
    ),
    "offsets of another text": (
        lambda: qa.answer_windows([5], [6, 7], [(0, 1)], 20, 2, 3),
        "context has 2 tokens and 1 offsets",
    ),
    "a long question": (
        lambda: qa.answer_windows([5] * 18, [6], [(0, 1)], 20, 2, 3, 0),
        "max_tokens is 20, the question has 18 tokens, so -1 are left",
    ),
    "a long stride": (
        lambda: qa.answer_windows([5], [6], [(0, 1)], 20, 2, 3, 16),
        "so 16 are left for the context and the stride is 16",
    ),
    "a negative stride": (
        lambda: qa.answer_windows([5], [6], [(0, 1)], 20, 2, 3, -1),
        "the stride is -1",
    ),
    "an empty answer": (
        lambda: qa.answer_positions(WINDOW, 3, 3),
        "the answer reaches from 3 to 3",
    ),
    "a space as an answer": (
        lambda: qa.answer_positions(WINDOW, 4, 5),
        "characters 4 to 5 hold no token",
    ),
    "no window": (lambda: qa.window_batch([]), "there are 0 windows"),
    "labels of other windows": (
        lambda: qa.window_batch([WINDOW], []),
        "there are 1 windows and 0 labels",
    ),
    "a batch of scores": (
        lambda: qa.best_span(ROW[None], ROW[None], YES),
        r"start_logits are \(1, 6\)",
    ),
    "scores of other rows": (
        lambda: qa.best_span(ROW, ROW[:5], YES),
        r"end_logits \(5,\)",
    ),
    "nothing allowed": (
        lambda: qa.best_span(ROW, ROW, [False] * 6),
        "0 positions are allowed",
    ),
    "[CLS] allowed": (
        lambda: qa.best_span(ROW, ROW, [True] * 6),
        "6 positions are allowed",
    ),
    "answers of no token": (
        lambda: qa.best_span(ROW, ROW, YES, 0),
        "max_answer_tokens is 0",
    ),
    "NaN": (lambda: qa.best_span(ROW * torch.nan, ROW, YES), "a score is NaN"),
    "scores of other windows": (
        lambda: qa.best_answer("", [WINDOW], ROW[None].repeat(2, 1), ROW[None]),
        "there are 1 windows, 2 rows of start and 1 of end scores",
    ),
    "no scores": (lambda: qa.best_answer("", [], [], []), "there are 0 windows"),
    "no width": (
        lambda: qa.QuestionAnswering(torch.nn.Identity()),
        "width is None",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_answer_in_it_is_refused(name):
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        call()


def test_labels_that_do_not_fit_are_refused(tokenizer):
    batch, model = qa.window_batch(windows_of(tokenizer)), bert()
    B, T = batch["input_ids"].shape
    for labels, words in [
        (
            torch.zeros(B).long(),
            rf"labels are torch.int64 \({B},\), there are {B} rows",
        ),
        (torch.zeros(B, 2), "labels are torch.float32"),
        (
            torch.full((B, 2), T),
            f"row 0 has the position {T}, the row has 0 to {T - 1}",
        ),
        (torch.full((B, 2), -1), "has the position -1"),
    ]:
        with pytest.raises(ValueError, match=words):
            qa.answer_loss(model, dict(batch, labels=labels))
