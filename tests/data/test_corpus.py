"""Cleaning, near-duplicates against the exact search, contamination; each with planted
faults.
"""

import random

import pytest

from ftlib.course import sources
from ftlib.data import corpus

pytest.importorskip("datasketch")
WORDS = [f"w{i}" for i in range(4000)]


def text(seed, words=120):
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def edited(original, changes, seed=0):
    """The text with some words exchanged."""
    words, draw = original.split(), random.Random(seed)
    for place in draw.sample(range(len(words)), changes):
        words[place] = "changed"
    return " ".join(words)


@pytest.mark.parametrize(
    "before, after",
    [
        ("one<br />two", "one two"),
        ("a &amp; b &lt;3 &#8217;", "a & b <3 ’"),
        ("fun\x97TOO much", "fun—TOO much"),
        ("caf\u0065\u0301", "café"),
        ("a\u00a0b\tc \n d\x00e", "a b c d e"),
        ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
        ("\x81x", "x"),
        ("", ""),
        ("Keeps CASE, spelling & 'marks'...", "Keeps CASE, spelling & 'marks'..."),
    ],
)
def test_clean(before, after):
    assert corpus.clean(before) == after
    # a second pass changes nothing
    assert corpus.clean(after) == after or "<3" in after


def test_ngrams_and_jaccard():
    assert corpus.ngrams("A b, c! d", 3) == {"a b c", "b c d"} and corpus.ngrams(
        "Hi there", 5
    ) == {"hi there"}
    a, b = set("abcd"), set("cdef")
    assert corpus.jaccard(a, b) == 2 / 6 and corpus.jaccard(set(), set()) == 0


def test_minhash_finds_what_the_exact_search_finds(counted):
    texts = [text(seed) for seed in range(60)]
    texts += [
        edited(texts[i], changes, i) for i, changes in enumerate((0, 1, 2, 3, 4, 5, 40))
    ]
    exact = corpus.exact_pairs(texts, 0.5)
    # 40 changes leave no copy
    assert [pair[:2] for pair in exact] == [(i, 60 + i) for i in range(6)]
    found = corpus.near_duplicates(texts, 0.5)
    assert set(found) <= set(exact) and len(found) >= 5
    assert corpus.near_duplicates(texts[:60], 0.5) == []
    counted("fault", len(found))


def test_signatures_estimate_the_jaccard():
    errors = []
    for seed in range(40):
        a = text(seed)
        b = edited(a, seed % 8, seed)
        errors.append(
            corpus.signature(a).jaccard(corpus.signature(b))
            - corpus.jaccard(corpus.ngrams(a), corpus.ngrams(b))
        )
    # a share of 128 agreements has a standard deviation of at most 0.045
    assert abs(sum(errors) / 40) < 0.03 and max(map(abs, errors)) < 0.18


def test_keep_first_follows_chains():
    assert corpus.keep_first(6, [(0, 2), (2, 4), (1, 5, 0.9)]) == [0, 1, 3]
    assert corpus.keep_first(3, []) == [0, 1, 2]
    assert corpus.keep_first(4, [(2, 3), (0, 3)]) == [0, 1]


def test_contamination_is_found_and_removed(counted):
    tests = [text(900), text(901), "a short one"]
    clean_docs = [text(seed) for seed in range(20)]
    planted = [
        text(50) + " " + tests[0].upper().replace(" ", ", ") + " " + text(51),
        edited(tests[1], 6),
        "he saw a short one today",
    ]
    shares = corpus.contamination(iter(clean_docs + planted[:2]), tests, n=8)
    assert shares[0] == 1.0 and 0.3 < shares[1] < 0.9 and shares[2] == 0.0
    assert corpus.decontaminate(clean_docs + planted, tests, n=8) == clean_docs
    assert corpus.decontaminate(clean_docs, []) == clean_docs
    # words, not letters
    assert corpus.decontaminate(["she saw ashort one"], tests) == ["she saw ashort one"]
    with pytest.raises(ValueError, match="0 test texts"):
        corpus.contamination(clean_docs, [])
    counted("fault", len(planted))


def test_the_reviews_hold_near_duplicates():
    """Equal texts were dropped by sources.load; these were not."""
    texts = sources.load("imdb")["train"]["text"][:6000]
    pairs = corpus.near_duplicates(texts)
    assert 1 <= len(pairs) < 20 and all(
        0.5 <= score < 1.01 and texts[i] != texts[j] for i, j, score in pairs
    )


# ---- what is no list of texts ----

DOORS = {
    "exact_pairs": corpus.exact_pairs,
    "near_duplicates": corpus.near_duplicates,
    "contamination": lambda texts: corpus.contamination(["a text"], texts),
    "contamination of": lambda texts: corpus.contamination(texts, ["a text"]),
    "decontaminate": lambda texts: corpus.decontaminate(["a text"], texts),
    "decontaminate what": lambda texts: corpus.decontaminate(texts, ["a text"]),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    "texts, words",
    [
        ("a good film", "this is one string, 'a good film'"),
        (b"a good film", "this is one string"),
        ({"text": ["a"], "label": [0]}, "a dict with the columns"),
        (["a film", None], "text 1 is None"),
        (["a film", float("nan")], r"text 1 is nan \(float\)"),
        (["a film", b"b"], r"text 1 is b'b' \(bytes\)"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(door, texts, words, counted):
    with pytest.raises(TypeError, match=words):
        DOORS[door](texts)
    counted("fault")


def test_a_data_frame_is_refused_and_its_column_read():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"text": ["a b", "c d", "a b"]}, index=[7, 5, 2])
    for door in DOORS.values():
        with pytest.raises(TypeError, match=r"a DataFrame with the columns \['text'\]"):
            door(table)
    assert corpus.exact_pairs(table["text"]) == [(0, 2, 1.0)]
    assert corpus.near_duplicates(iter(table["text"])) == [(0, 2, 1.0)]
    assert corpus.decontaminate(iter(["a b", "e"]), iter(["a b"])) == ["e"]
