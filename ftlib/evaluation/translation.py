"""BLEU and chrF of translations, intervals for their differences, and two baselines
without a network.

Use it:

    >>> round(bleu(["打开厨房的灯"], ["打开厨房里的灯"]), 1)
    51.2
    >>> round(chrf(["打开厨房的灯"], ["打开厨房里的灯"]), 1)
    37.5
    >>> english = ["open the door", "open the window", "close the door"]
    >>> table = WordTable(english, ["打开门", "打开窗户", "关闭门"])
    >>> table.best("open")
    ('打开', 1.0)

Both scores are those of sacrebleu 2.6 (one reference a sentence), and the tests compare
with it. Which one: BLEU to compare with papers, chrF where sentences are short.

What it is not: a judge of meaning. A correct translation in other words gets little,
and a wrong number costs no more than a wrong comma. What it needs: torch; scikit-learn
for `NearestSentence`.
"""

import math
import re
from collections import Counter, defaultdict

import torch

ORDER, CHAR_ORDER, BETA = 4, 6, 2
# sacrebleu's Chinese characters, with the signs that its table takes in by accident:
# its "\u20000" is U+2000 and a zero, so all from U+2001 to U+2A6D stand alone as well
CHINESE = re.compile(
    "([\u2001-\u2a6d\u2e80-\u2fdf\u2ff0-\u303f\u3100-\u312f\u31a0-\u31ef\u3200-\u4db5"
    "\u4e00-\u9fbb\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\ufe10-\ufe1f\ufe30-\ufe4f"
    "\uff00-\uffef])"
)
WESTERN = (
    (re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/])"), r" \1 "),
    # a point or comma inside a number is part of it
    (re.compile(r"([^0-9])([\.,])"), r"\1 \2 "),
    (re.compile(r"([\.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)
ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))


def scored_tokens(text, tokenize="zh") -> list[str]:
    """The tokens that BLEU counts. "13a": words and signs, for languages with spaces;
    "zh": each Chinese character is one, the rest as in 13a.
    """
    if tokenize == "zh":
        text = CHINESE.sub(r" \1 ", text.strip())
    elif tokenize == "13a":
        text = text.rstrip().replace("<skipped>", "").replace("-\n", "")
        text = text.replace("\n", " ")
        for entity, sign in ENTITIES:
            text = text.replace(entity, sign)
        text = f" {text} "
    else:
        raise ValueError(f'tokenize is {tokenize!r}; it must be "zh" or "13a"')
    for pattern, replacement in WESTERN:
        text = pattern.sub(replacement, text)
    return text.split()


def _ngrams(tokens, n) -> Counter:
    """How often each run of n tokens (of a list or a string) stands there."""
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def bleu_counts(hypothesis, reference, tokenize="zh") -> list[int]:
    """What BLEU adds up over sentences: length of the hypothesis, of the reference,
    then matches of 1 to 4 tokens, then how many there are in the hypothesis.

    Matches are clipped: an n-gram counts at most as often as the reference has it.
    """
    ours, theirs = (scored_tokens(text, tokenize) for text in (hypothesis, reference))
    matches, totals = [], []
    for n in range(1, ORDER + 1):
        counts = _ngrams(ours, n)
        matches.append((counts & _ngrams(theirs, n)).total())
        totals.append(counts.total())
    return [len(ours), len(theirs), *matches, *totals]


def bleu_of(counts) -> float:
    """BLEU (0 to 100) of summed `bleu_counts`: the geometric mean of four precisions,
    times the brevity penalty exp(1 - r / h) if the hypotheses are shorter (h < r).

    An n without a match counts as half a match, the next such n as a quarter.
    """
    ours, theirs = counts[:2]
    matches, totals = counts[2 : 2 + ORDER], counts[2 + ORDER :]
    if not any(matches) or not all(totals):
        return 0.0
    log_precision, halves = 0.0, 1
    for correct, total in zip(matches, totals):
        if not correct:
            halves *= 2
        log_precision += math.log((correct or 1 / halves) / total) / ORDER
    penalty = math.exp(min(0.0, 1 - theirs / ours))
    return 100 * penalty * math.exp(log_precision)


def _pairs(hypotheses, references):
    for name, texts in (("hypotheses", hypotheses), ("references", references)):
        if isinstance(texts, str):
            raise ValueError(f"{name} is one string; give a list of sentences")
    if len(hypotheses) != len(references) or not len(references):
        raise ValueError(
            f"{len(hypotheses)} hypotheses and {len(references)} references; give one "
            "reference for each hypothesis, and at least one"
        )
    return zip(hypotheses, references)


def _sums(rows):
    return [sum(column) for column in zip(*rows)]


def bleu(hypotheses, references, tokenize="zh") -> float:
    """BLEU (Papineni et al. 2002) of a whole test set, 0 to 100, as sacrebleu has it.

    hypotheses, references: lists of N sentences. It is no mean over sentences: counts
        are added up first, so that long sentences weigh more.
    """
    pairs = _pairs(hypotheses, references)
    return bleu_of(_sums(bleu_counts(h, r, tokenize) for h, r in pairs))


def chrf_counts(hypothesis, reference) -> list[int]:
    """What chrF adds up: for n = 1 to 6 characters how many n-grams the hypothesis has,
    how many the reference, and how many both. Spaces do not count.
    """
    ours, theirs = ("".join(text.split()) for text in (hypothesis, reference))
    counts = []
    for n in range(1, CHAR_ORDER + 1):
        have, want = _ngrams(ours, n), _ngrams(theirs, n)
        both = (have & want).total()
        counts += [have.total() if want else 0, want.total(), both]
    return counts


def chrf_of(counts) -> float:
    """chrF (0 to 100) of summed `chrf_counts`: F of the mean precision and the mean
    recall, where recall weighs twice as much. An n that one side has not is left out.
    """
    rows = [counts[i : i + 3] for i in range(0, len(counts), 3)]
    rows = [row for row in rows if row[0] and row[1]]
    if not any(both for _, _, both in rows):
        return 0.0
    precision = sum(both / ours for ours, _, both in rows) / len(rows)
    recall = sum(both / theirs for _, theirs, both in rows) / len(rows)
    top = (1 + BETA**2) * precision * recall
    return 100 * top / (BETA**2 * precision + recall)


def chrf(hypotheses, references) -> float:
    """chrF (Popović 2015) of a whole test set, 0 to 100, as sacrebleu has it.

    hypotheses, references: lists of N sentences. Counts are added up first.
    """
    return chrf_of(_sums(chrf_counts(h, r) for h, r in _pairs(hypotheses, references)))


def sentence_chrf(hypothesis, reference) -> float:
    """chrF of one sentence, 0 to 100; the score to sort sentences by, because BLEU of
    a short one is mostly smoothing.
    """
    return chrf_of(chrf_counts(hypothesis, reference))


# --- intervals: sentences are drawn anew, and the score is computed from their counts


def _drawn(n, groups, samples, seed):
    """(samples, n) float64: how often each sentence is drawn; with `groups`, whole
    groups are.
    """
    names = range(n) if groups is None else groups
    if len(names) != n:
        raise ValueError(f"{len(names)} groups for {n} sentences; give one for each")
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    if len(numbers) < 10:
        raise ValueError(
            f"{len(numbers)} units to draw from, at least 10 are needed: with fewer "
            "the bootstrap promises too much"
        )
    group = torch.tensor([numbers[name] for name in names])
    generator = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(numbers), (samples, len(numbers)), generator=generator)
    times = torch.zeros(samples, len(numbers), dtype=torch.float64)
    times.scatter_add_(1, picked, torch.ones_like(picked, dtype=torch.float64))
    return times[:, group]


def _resampled(rows, score_of, drawn):
    sums = drawn @ torch.tensor(rows, dtype=torch.float64)
    return torch.tensor([score_of(row) for row in sums.tolist()])


def _edges(values, level):
    edges = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=values.dtype)
    return torch.quantile(values, edges).tolist()


def bleu_interval(
    hypotheses, references, tokenize="zh", groups=None, level=0.95, samples=1000, seed=0
) -> tuple[float, float, float]:
    """(BLEU, low, high) with a bootstrap interval over sentences (Koehn 2004).

    groups: (N,) names, such as the file of each sentence; whole groups are drawn, since
        sentences of one file are written alike. Raises ValueError for fewer than ten
        sentences or groups.
    """
    rows = [bleu_counts(h, r, tokenize) for h, r in _pairs(hypotheses, references)]
    drawn = _drawn(len(rows), groups, samples, seed)
    low, high = _edges(_resampled(rows, bleu_of, drawn), level)
    return bleu_of(_sums(rows)), low, high


def bleu_difference(
    a, b, references, tokenize="zh", groups=None, level=0.95, samples=1000, seed=0
) -> tuple[float, float, float]:
    """Is b better than a? -> (BLEU of b - BLEU of a, low, high), a bootstrap interval
    in which both are scored on the same drawn sentences.

    a, b: (N,) hypotheses for the same references. groups: as in `bleu_interval`.
    """
    rows = [
        [bleu_counts(h, r, tokenize) for h, r in _pairs(system, references)]
        for system in (a, b)
    ]
    drawn = _drawn(len(rows[0]), groups, samples, seed)
    first, second = (_resampled(each, bleu_of, drawn) for each in rows)
    low, high = _edges(second - first, level)
    return bleu_of(_sums(rows[1])) - bleu_of(_sums(rows[0])), low, high


# --- baselines: no network, only the training pairs


class NearestSentence:
    """A translation memory: the answer is the human translation of the most similar
    training sentence (cosine of TF-IDF vectors of 2 to 4 characters).

        memory = NearestSentence(train["en"], train["zh"])
        memory.nearest(["Open the door"])   # [(translation, its English, similarity)]
    """

    def __init__(self, sources, targets, least=1):
        """sources, targets: lists of N sentences. least: n-grams of fewer training
        sentences are left out, which saves memory.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.sources, self.targets = list(sources), list(targets)
        self._vectors = TfidfVectorizer(
            analyzer="char", ngram_range=(2, 4), min_df=least, sublinear_tf=True
        )
        self._memory = self._vectors.fit_transform(self.sources).T.tocsr()

    def nearest(self, texts) -> list[tuple[str, str, float]]:
        """(translation, the training sentence, similarity 0 to 1) for each text."""
        rows = []
        for text in texts:
            scores = (self._vectors.transform([text]) @ self._memory).toarray()[0]
            best = int(scores.argmax())
            row = self.targets[best], self.sources[best], float(scores[best])
            rows.append(row)
        return rows


class WordTable:
    """A dictionary learned by counting: for an English word the run of Chinese
    characters that occurs in the same sentences.

        table = WordTable(train["en"], train["zh"])
        table.best("kitchen")     # ('厨房', 0.9)
        table.gloss("Turn on the kitchen light")

    The measure is Dice's coefficient, 2 n(e, z) / (n(e) + n(z)), where n counts
    training sentences. `gloss` keeps the order of the English words.
    """

    def __init__(self, sources, targets, characters=8, least=2, dice=0.2):
        """characters: the longest Chinese run. least: a word of fewer training
        sentences is unknown. dice: the least coefficient that is taken.
        """
        self.characters, self.least, self.dice = characters, least, dice
        self.targets = list(targets)
        self._holds = defaultdict(list)  # word -> the training sentences that have it
        self._count = Counter()  # Chinese run -> how many sentences have it
        self._best = {}
        for row, (source, target) in enumerate(zip(sources, self.targets, strict=True)):
            for word in {word.lower() for word in english_words(source)}:
                self._holds[word].append(row)
            self._count.update(self._runs(target))

    def _runs(self, target):
        """Every run of characters of a sentence without a space or sign inside."""
        return {
            part[i : i + n]
            for part in re.findall(r"[^\W_]+", target)
            for i in range(len(part))
            for n in range(1, min(self.characters, len(part) - i) + 1)
        }

    def best(self, word, most=100) -> tuple[str, float]:
        """(Chinese, Dice's coefficient) for a word in lower case; ("", 0.0) for an
        unknown one. Of a common word only `most` sentences are looked at.
        """
        if word not in self._best:
            self._best[word] = self._search(word, most)
        return self._best[word]

    def _search(self, word, most):
        rows = self._holds.get(word, [])
        if len(rows) < self.least:
            return "", 0.0
        looked = rows[:: max(1, len(rows) // most)]
        together = Counter(
            run for row in looked for run in self._runs(self.targets[row])
        )
        scale, best = len(rows) / len(looked), ("", 0.0)
        for run, n in together.items():
            dice = 2 * n * scale / (len(rows) + self._count[run])
            # of equal runs the longest: its parts stand in the same sentences
            if (dice, len(run), run) > (best[1], len(best[0]), best[0]):
                best = run, dice
        return best

    def gloss(self, text) -> str:
        """The text word by word. Numbers and placeholders stay. A word without a
        translation stays if it looks like a name (a capital inside the sentence), else
        it is left out.
        """
        words = []
        for at, word in enumerate(english_words(text)):
            chinese, dice = self.best(word.lower()) if word[0].isalpha() else ("", 0.0)
            if dice >= self.dice:
                words.append(chinese)
            elif not word[0].isalpha() or (at and word != word.lower()):
                words.append(word)
        return "".join(words)


def english_words(text) -> list[str]:
    """Words, numbers, {placeholders} and %s; other signs are left out."""
    return re.findall(r"\{\w*\}|%\(?\w*\)?[sd]|[A-Za-z]+(?:'[a-z]+)?|\d+", text)
