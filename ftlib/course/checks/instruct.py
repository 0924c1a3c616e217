"""Checks of chapter 18: a chat as text, labels of the answers, a split by template, the
tokens that keep a call valid, and an experiment on replay.

>>> from ftlib.course.checks.instruct import check_chat_text
>>> check_chat_text(lambda messages: "".join(m["content"] for m in messages))
hint: the roles are missing; each message begins with its role and a line break

What it is not: a chat library (instruct.py holds the functions). Needs: torch, ftlib.
"""

import random

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import experiment
from ftlib.objectives import instruct

WORDS = "turn on off the hall lamp please now 开 灯 厨房 twice".split()


def chat_of(rng, turns):
    """A random chat whose roles alternate."""
    return [
        {
            "role": ("user", "assistant")[turn % 2],
            "content": " ".join(rng.choices(WORDS, k=rng.randint(1, 4))),
        }
        for turn in range(turns)
    ]


@exercise
def check_chat_text(answer):
    """answer(messages) -> the text of a chat, without the generation prompt."""
    rng = random.Random(0)
    system = [{"role": "system", "content": "be brief"}]
    for turns in (2, 1, 3, 4, 2, 5):
        messages = system * (turns > 3) + chat_of(rng, turns)
        got, wanted = answer(messages), instruct.render(messages)[0]
        expect(isinstance(got, str), "return one text, not a list of parts")
        expect(
            all(m["role"] + "\n" in got for m in messages),
            "the roles are missing; each message begins with its role and a line break",
        )
        expect(got.startswith("[CLS]"), "the chat begins with [CLS], once")
        answers = sum(m["role"] == "assistant" for m in messages)
        expect(
            got.count("[SEP]") <= answers,
            f"there are {got.count('[SEP]')} ends and {answers} answers; [SEP] stands "
            "behind what the assistant says, and a user's message ends with a line "
            "break",
        )
        expect(
            got.count("[SEP]") == answers,
            "an answer has no [SEP] behind it; the model would never learn to stop",
        )
        expect(got == wanted, f"{messages} becomes {got!r}, not {wanted!r}")
    return correct("the text is the template's")


@exercise
def check_answer_labels(answer):
    """answer(ids, offsets, spans) -> labels: ids in the spans, -100 elsewhere."""
    rng = random.Random(1)
    for _ in range(40):
        lengths = [rng.randint(1, 4) for _ in range(rng.randint(4, 14))]
        edges = [sum(lengths[:i]) for i in range(len(lengths) + 1)]
        offsets = list(zip(edges, edges[1:]))
        ids = [rng.randint(0, 90) for _ in offsets]
        cuts = sorted(rng.sample(range(1, len(edges)), 3))
        spans = [(edges[cuts[0]], edges[cuts[1]])]
        if cuts[2] > cuts[1] + 1:
            spans.append((edges[cuts[1] + 1], edges[cuts[2]]))
        got = answer(ids, offsets, spans)
        wanted = instruct.response_labels(ids, offsets, spans)
        expect(
            isinstance(got, (list, tuple)) and len(got) == len(ids),
            f"return a list of one label a token, {len(ids)} here",
        )
        for i, (label, own) in enumerate(zip(got, wanted)):
            expect(
                own != -100 or label == -100,
                f"token {i} at {offsets[i]} lies outside of {spans} and has the label "
                f"{label}; the prompt is no target, so it gets -100",
            )
            expect(
                own == -100 or label != -100,
                f"token {i} at {offsets[i]} lies in one of {spans} and has -100; every "
                "answer counts, up to its last token",
            )
            expect(
                label == own,
                f"token {i} has the id {ids[i]} and the label {label}; a label is the "
                "token's own id, and the loss does the shifting",
            )
    return correct("the answers count, and nothing else")


@exercise
def check_split_by_template(answer):
    """answer(rows) -> (train, test): no template on both sides, every row once."""
    rng = random.Random(2)
    for size in (6, 30, 60):
        templates = [f"template {i}" for i in range(max(3, size // 3))]
        rows = [
            {"text": f"{t}, sentence {i}", "template": t}
            for i in range(3)
            for t in templates
        ]
        rng.shuffle(rows)
        train, test = answer([dict(row) for row in rows])
        expect(len(train) and len(test), "one of the two parts is empty")
        both = sorted(row["text"] for row in [*train, *test])
        expect(
            both == sorted(row["text"] for row in rows),
            "every sentence stands in exactly one part, and none is lost",
        )
        shared = {r["template"] for r in train} & {r["template"] for r in test}
        expect(
            not shared,
            f"{len(shared)} of {len(templates)} templates stand on both sides; their "
            "wordings are no longer unseen. Deal templates, then take their sentences",
        )
        expect(
            len(rows) / 10 <= len(test) <= len(rows) / 2,
            f"the test has {len(test)} of {len(rows)} sentences; give it a tenth at "
            "least, and leave most for training",
        )
        again = answer([dict(row) for row in rows])
        expect(
            [*again] == [train, test] or again == (train, test),
            "a second call deals differently; draw with a seed of your own",
        )
    return correct("no template is on both sides")


@exercise
def check_allowed_tokens(answer):
    """answer(written, calls, vocabulary) -> the tokens behind which `written` is
    still the beginning of one of the calls, as a set.
    """
    rng = random.Random(3)
    vocabulary = ["t", "turn", "tu", "rn", "on", "off", "o", "f", " ", " o", " on", "x"]
    calls = ["turn on", "turn off", "turn", "off on"]
    for _ in range(40):
        call = rng.choice(calls)
        written = call[: rng.randint(0, len(call))]
        got = answer(written, list(calls), list(vocabulary))
        wanted = {
            token
            for token in vocabulary
            if any(c.startswith(written + token) for c in calls)
        }
        expect(
            isinstance(got, (set, list, tuple, frozenset)),
            "return the allowed tokens, as a set",
        )
        got = set(got)
        wrong = sorted(got - wanted)
        expect(
            not wrong,
            f"after {written!r} you allow {wrong[:3]}, and no call begins with "
            f"{(written + wrong[0])!r}"
            if wrong
            else "",
        )
        missing = sorted(wanted - got)
        expect(
            not missing,
            f"after {written!r} {missing[:3]} may follow as well; a token may be any "
            "part of a call, not only a whole word"
            if missing
            else "",
        )
    return correct("every step stays the beginning of a call")


@exercise
def check_replay_experiment(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(replay, seed) is the accuracy on the old commands.
    """
    return experiment(answer, "with replay minus without")
