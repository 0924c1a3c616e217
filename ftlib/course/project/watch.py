"""What a project's model read when it was tested, and whether new rows are still like
it.

    >>> import torch
    >>> generator = torch.manual_seed(0)
    >>> def texts(n, longer=1):
    ...     lengths = torch.randint(20, 90, (n,)).tolist()
    ...     return [("a fine film " * 9)[: k * longer] for k in lengths]
    >>> log_p = torch.log_softmax(torch.randn(300, 2), dim=1)
    >>> reference = Reference.of(texts(300), log_p, ["bad", "good"], ["a fine film"])
    >>> sentence(reference.compare(texts(100), log_p[:100]))
    'drift: none of 4 numbers has moved in 100 rows'
    >>> result = reference.compare(texts(100, 2), log_p[:100])
    >>> [row.name for row in result["moved"]]
    ['characters']

The numbers need no label: of a text its characters and the share of its words that
training never saw; of a table every column; of both the confidence and the chance of
each class. Numbers are compared by Kolmogorov and Smirnov's test, categories by the
chi-squared test, and all p-values are corrected together (Holm). They say that
something is different, and nothing about what, or whether it does harm (chapter 24).
`alarm_rates` says what the rule can see.
"""

import json
import warnings
import zlib
from pathlib import Path

import numpy
from scipy import stats

from ftlib.course.project import candidates
from ftlib.course.project.columns import Columns
from ftlib.evaluation import drift

FILE = "drift.json"
LEAST = 50  # rows below which nothing is said
P, SIZE = 0.01, 0.1  # both must hold: sure after the correction, and large enough
EMPTY = -1e300  # an empty cell is a value below all others
MOST_CLASSES = 8
EXPECTED = 5  # rows of a category in the smaller sample; rarer ones are joined


def word_hashes(texts, language="en") -> set:
    """A number for each word that the texts have; of pairs of characters in Chinese."""
    words = candidates.single_terms(language).build_analyzer()
    return {zlib.crc32(word.encode()) for text in texts for word in words(text)}


class Reference:
    """`numbers`: {name: values of N rows}; how new rows become such numbers."""

    def __init__(self, numbers, names, known=(), language="en", shape=None):
        self.numbers, self.names, self.shape = numbers, names, shape
        self.known, self.language = frozenset(known), language

    @classmethod
    def of(cls, inputs, log_p, names, train_texts=(), language="en", shape=None):
        """From rows as they are when nothing is wrong, such as the validation part."""
        known = word_hashes(train_texts, language)
        reference = cls({}, names, known, language, shape)
        reference.numbers = reference.numbers_of(inputs, log_p)
        return reference

    def numbers_of(self, inputs, log_p):
        """{name: N values}. inputs: texts, or the columns of a table."""
        p = log_p.exp()
        result = {"confidence": p.max(dim=1).values.tolist()}
        # of two classes one says all; rare ones of many would only cost p-values
        first = 1 if len(self.names) == 2 else 0
        for i, name in enumerate(self.names[:MOST_CLASSES]):
            if i >= first:
                result[f"chance of {name}"] = p[:, i].tolist()
        inside = self._text if self.shape is None else self._table
        return result | inside(inputs)

    def _text(self, texts):
        words = candidates.single_terms(self.language).build_analyzer()
        shares = []
        for text in texts:
            own = [zlib.crc32(word.encode()) not in self.known for word in words(text)]
            shares.append(sum(own) / max(1, len(own)))
        return {"characters": [len(text) for text in texts], "unknown words": shares}

    def _table(self, columns):
        result = {}
        for name in self.shape.scales:
            values = self.shape.numbers_of(name, columns[name])
            # what is not a number here is as good as empty
            result[name] = [EMPTY if v != v else v for v in values]
        for name, kinds in self.shape.kinds.items():
            index = {kind: i for i, kind in enumerate(kinds)}
            result[name] = [index.get(cell, -1) for cell in columns[name]]
        return result

    @property
    def kinds(self):
        """The names of the columns that are categories."""
        return set(self.shape.kinds) if self.shape else set()

    def compare(self, inputs, log_p):
        """{"n", "rows": [drift.Row], "moved": those that moved, "kinds"} of new rows;
        no rows where there are fewer than 50. Of a category `ks` is the total variation
        distance: the largest difference of the chance of any set of categories.
        """
        n = len(log_p)
        rows = self.report(self.numbers_of(inputs, log_p)) if n >= LEAST else []
        return {"n": n, "rows": rows, "moved": moved(rows), "kinds": self.kinds}

    def report(self, current):
        """[drift.Row], the smallest p first, of {name: values of new rows}."""
        tests = {}
        for name, before in self.numbers.items():
            test = categories_test if name in self.kinds else _ks
            tests[name] = test(before, current[name])
        fixed = drift.holm([p for _, p in tests.values()])
        rows = [
            drift.Row(k, drift.psi(self.numbers[k], current[k]), distance, p, corrected)
            for (k, (distance, p)), corrected in zip(tests.items(), fixed)
        ]
        return sorted(rows, key=lambda row: row.p)

    def save(self, folder):
        facts = {"names": self.names, "language": self.language}
        facts["shape"] = self.shape and self.shape.facts()
        rounded = {
            name: [float(f"{value:.6g}") for value in values]
            for name, values in self.numbers.items()
        }
        facts |= {"known": sorted(self.known), "numbers": rounded}
        text = json.dumps(facts, ensure_ascii=False) + "\n"
        (Path(folder) / FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder):
        facts = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
        shape = facts.pop("shape")
        return cls(**facts, shape=shape and Columns(**shape))


def _ks(before, after):
    with warnings.catch_warnings():
        # scipy says that it counts another way where values are equal
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ks_2samp(before, after)
    return float(test.statistic), float(test.pvalue)


def categories_test(before, after):
    """(total variation distance, p of the chi-squared test) of two columns of
    categories; rare ones are joined.
    """
    values = {value: i for i, value in enumerate(sorted(set(before) | set(after)))}
    table = numpy.array(
        [
            numpy.bincount([values[v] for v in rows], minlength=len(values))
            for rows in (before, after)
        ]
    )
    total = table.sum(0)
    rare = total * min(len(before), len(after)) < EXPECTED * total.sum()
    table = numpy.column_stack([table[:, ~rare], table[:, rare].sum(1)])
    table = table[:, table.sum(0) > 0]
    p, q = table / table.sum(1, keepdims=True)
    distance = float(abs(p - q).sum() / 2)
    if table.shape[1] < 2:
        return distance, 1.0
    return distance, float(stats.chi2_contingency(table, correction=False).pvalue)


def moved(rows):
    """The rule: what has moved is sure after the correction, and large enough."""
    return [row for row in rows if row.p_corrected < P and row.ks >= SIZE]


def alarm_rates(reference, own, foreign, sizes, fractions, times=100, seed=0):
    """{(fraction, n): how often the rule calls} for n new rows of which a fraction is
    foreign: what it can see, and at 0 how often it calls for nothing.

    own, foreign: `reference.numbers_of` rows of either kind, which are drawn from.
    """
    rng = numpy.random.default_rng(seed)
    pools = [{k: numpy.array(v) for k, v in rows.items()} for rows in (own, foreign)]
    many = [len(next(iter(pool.values()))) for pool in pools]
    rates = {}
    for fraction in fractions:
        for n in sizes:
            alarms = 0
            for _ in range(times):
                parts = rng.multinomial(n, [1 - fraction, fraction])
                rows = [rng.integers(m, size=k) for m, k in zip(many, parts)]
                drawn = {
                    name: numpy.concatenate([p[name][r] for p, r in zip(pools, rows)])
                    for name in reference.numbers
                }
                alarms += bool(moved(reference.report(drawn)))
            rates[fraction, n] = alarms / times
    return rates


def sentence(result) -> str:
    """What `compare` has found, for a person."""
    n = result["n"]
    if not result["rows"]:
        return f"drift: {n} rows are too few to say; give {LEAST} or more at a time"
    if not result["moved"]:
        return f"drift: none of {len(result['rows'])} numbers has moved in {n} rows"
    words = ", ".join(
        f"{row.name} ({'TV' if row.name in result['kinds'] else 'KS'} {row.ks:.2f})"
        for row in result["moved"]
    )
    return f"drift: in {n} rows these moved: {words}; look at the rows, label some"


def as_facts(result) -> dict:
    """The same for record.json."""
    rows = [[row.name, row.psi, row.ks, row.p_corrected] for row in result["rows"]]
    return {"n": result["n"], "rows": rows, "moved": [r.name for r in result["moved"]]}
