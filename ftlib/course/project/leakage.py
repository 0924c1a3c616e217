"""Does one column, or one word, give the label away? Such a thing is often written down
after the answer is known, and is missing where the model is used.

    >>> labels = [0, 1] * 30
    >>> rows = {"code": ["no", "yes"] * 30, "noise": ["1", "2", "3"] * 20}
    >>> [(name, label) for name, _, label, _ in of_columns(rows, labels)]
    [('code', '')]

Each finding is [name, "column" or "word", the class or "", a score of the training
rows]. It is a suspicion and no proof: an honest column may be as good.
"""

import hashlib

import numpy
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import cross_val_predict
from sklearn.tree import DecisionTreeClassifier

from ftlib.course.project.columns import Columns
from ftlib.course.project.folds import folds_of

NEARLY = 0.97  # balanced accuracy of a column or a word alone
PURE, OFTEN, LEAST = 0.99, 0.5, 20  # a word of one class, in how many of its texts
ROWS = 5000  # of the training part that are looked at
SHOWN = 5


def of_columns(columns, labels, groups=None):
    """The columns from each of which a small tree predicts the labels (N class ids)
    with a balanced accuracy of 97 % or more, by cross-validation.
    """
    kept = some_rows(len(labels))
    labels = numpy.array(labels)[kept]
    groups = groups and [groups[row] for row in kept]
    shape, result = Columns().fit(columns), []
    for name in [*shape.scales, *shape.kinds]:
        own = Columns(
            {k: v for k, v in shape.scales.items() if k == name},
            {k: v for k, v in shape.kinds.items() if k == name},
            shape.commas,
        )
        x = own.matrix({name: [columns[name][row] for row in kept]}).numpy()
        tree = DecisionTreeClassifier(max_leaf_nodes=64, random_state=0)
        answers = cross_val_predict(tree, x, labels, cv=folds_of(labels, groups))
        score = float(balanced_accuracy_score(labels, answers))
        if score >= NEARLY:
            result.append([name, "column", "", score])
    return sorted(result, key=lambda row: -row[3])[:SHOWN]


def of_texts(texts, labels, names, language="en"):
    """The words (pairs of characters in Chinese) that tell a class from the others
    nearly perfectly, or that stand in half of its texts and in hardly any other.
    """
    kept = some_rows(len(labels))
    chinese = {"analyzer": "char", "ngram_range": (2, 2)}
    how = chinese if language == "zh" else {"token_pattern": r"\w+"}
    counts = CountVectorizer(binary=True, min_df=2, **how)
    try:
        has = counts.fit_transform([texts[row] for row in kept])
    except ValueError:  # no word stands in two texts
        return []
    labels, terms = numpy.array(labels)[kept], counts.get_feature_names_out()
    total, result = numpy.asarray(has.sum(0))[0], []
    for number, name in enumerate(names):
        n = int((labels == number).sum())
        inside = numpy.asarray(has[labels == number].sum(0))[0]
        hit, false = inside / max(1, n), (total - inside) / max(1, len(labels) - n)
        balanced, purity = (hit + 1 - false) / 2, inside / total
        pure = (purity >= PURE) & (hit >= OFTEN) & (inside >= LEAST)
        for term in ((balanced >= NEARLY) | pure).nonzero()[0]:
            score = float(balanced[term] if balanced[term] >= NEARLY else purity[term])
            result.append([str(terms[term]), "word", name, score])
    return sorted(result, key=lambda row: -row[3])[:SHOWN]


def some_rows(n):
    """At most 5,000 of n rows, drawn by a hash."""
    order = sorted(range(n), key=lambda row: hashlib.sha256(str(row).encode()).digest())
    return sorted(order[:ROWS])
