"""Text fit to be trained on: cleaned, without near-duplicates, without the texts that
you will be tested on.

Use it:

    >>> clean("A&nbsp;<b>fine</b> film\\x97\\n it&#39;s  short.")
    "A fine film— it's short."
    >>> a = "the film is long and slow and I loved every minute of it"
    >>> b = "The film is long, and slow, and I loved every minute of it!"
    >>> (
    ...     jaccard(ngrams(a), ngrams(b)),
    ...     round(jaccard(ngrams(a), ngrams(a + " all the same")), 2),
    ... )
    (1.0, 0.75)
    >>> pairs = exact_pairs([a, "another film", b], threshold=0.5)
    >>> pairs, keep_first(3, pairs)  # row 2 repeats row 0
    ([(0, 2, 1.0)], [0, 1])
    >>> contamination(
    ...     ["I quote: " + a, "nothing here"],
    ...     ["a text of its own, seen by nobody else at all", b],
    ...     n=8,
    ... )
    [0.0, 1.0]

`near_duplicates` finds the pairs of a large collection by MinHash (Broder 1997), as Lee
et al. (2022) did for corpora of
pretraining: 25,000 reviews in seconds, where comparing each with each would take 300
million comparisons.

What it is not: a judge of quality, of language or of licences; and equal n-grams are
not all that copying is, for a translation or a paraphrase shares none. Words are what
stands between spaces and punctuation, so Chinese needs to be cut into words (or
characters, joined by spaces) first. Needs: the standard library; datasketch for
`near_duplicates`.
"""

import collections
import html
import re
import unicodedata
import zlib
from collections.abc import Mapping

_TAG = re.compile(r"<[a-zA-Z/!][^<>]*>")
_WORD = re.compile(r"\w+")
# \x80 to \x9f are control characters that no text needs; in text from the web they were
# written in Windows' own code page
_WINDOWS = {
    i: bytes([i]).decode("cp1252", errors="replace").replace("\ufffd", " ")
    for i in range(0x80, 0xA0)
}


def clean(text):
    """Plain text: HTML tags and entities resolved, wrong decoding repaired, white space
    single; otherwise as written.

    Case, spelling and punctuation stay: a model that reads real text must have seen
    real text.
    """
    # tags first: &lt;3 is text and must not become one
    text = html.unescape(_TAG.sub(" ", text))
    # one code for é, however it was typed
    text = unicodedata.normalize("NFC", text.translate(_WINDOWS))
    return " ".join(
        "".join(
            " " if unicodedata.category(c) in ("Cc", "Zs") else c for c in text
        ).split()
    )


def check_texts(texts, least=0):
    """The texts one after the other, each of them checked: an iterator of strings.

    texts: a list, a generator, a NumPy array, a pandas column ... of strings. Raises
        TypeError for one string (it would be read letter by letter) and for a dict or a
        table (they would give the names of their columns); while it is read, TypeError
        for a text that is no string (None, NaN, bytes), ValueError for one that has no
        UTF-8, or for fewer than `least` texts.
    """
    if isinstance(texts, (str, bytes)):
        raise TypeError(
            f"a list of texts is needed, this is one string, {texts[:40]!r}; write "
            "[text]"
        )
    if isinstance(texts, Mapping) or hasattr(texts, "columns"):
        raise TypeError(
            f"a list of texts is needed, this is a {type(texts).__name__} with the "
            f"columns {list(texts)[:4]}; give one of them, such as columns['text']"
        )
    return _each_text(texts, least)


def _each_text(texts, least):
    count = 0
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"text {row} is {repr(text)[:40]} ({type(text).__name__}), not a "
                "string; remove the row or make it a string"
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"text {row} has half a character at {error.start} (a lone surrogate, "
                f"{text[error.start]!r}); remove it, or read the file as UTF-8 again"
            ) from None
        count = row + 1
        yield text
    if count < least:
        raise ValueError(f"there are {count} texts, {least} at least are needed")


def ngrams(text, n=5):
    """The set of runs of n words, lower-cased and without punctuation; a text of fewer
    words is one run of them all.
    """
    words = _WORD.findall(text.lower())
    return {" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def jaccard(a, b):
    """Shared elements over all elements of two sets, 0 to 1."""
    return len(a & b) / max(1, len(a | b))


def exact_pairs(texts, threshold=0.5, n=5):
    """[(i, j, Jaccard)] for all pairs i < j at or above `threshold`, sorted: through a
    list of texts for each n-gram.

    Exact, and it keeps every n-gram in memory: for samples, and to test
    `near_duplicates` with. Raises what `check_texts` raises.
    """
    sets = [ngrams(text, n) for text in check_texts(texts)]
    rows_with = collections.defaultdict(list)
    shared = collections.Counter()
    for row, grams in enumerate(sets):
        for gram in grams:
            # only texts with something in common ever meet
            shared.update((other, row) for other in rows_with[gram])
            rows_with[gram].append(row)
    # |a or b| = |a| + |b| - |a and b|
    scored = (
        (i, j, k / (len(sets[i]) + len(sets[j]) - k)) for (i, j), k in shared.items()
    )
    return sorted((i, j, score) for i, j, score in scored if score >= threshold)


def signature(text, n=5, hashes=128, seed=1):
    """A MinHash of the text's n-grams: `hashes` numbers; the share in which two texts
    agree estimates their Jaccard.
    """
    from datasketch import MinHash  # only here: the rest of the file needs nothing

    # datasketch asks SHA-1 for a 32-bit number of each n-gram; a CRC is as good here,
    # for nobody attacks, and faster
    made = MinHash(num_perm=hashes, seed=seed, hashfunc=zlib.crc32)
    made.update_batch([gram.encode() for gram in ngrams(text, n)])
    return made


def near_duplicates(texts, threshold=0.5, n=5, hashes=128, seed=1):
    """[(i, j, Jaccard)] for pairs i < j at or above `threshold`, sorted; a few near the
    threshold may be missed.

    Signatures are cut into bands, and texts that agree in one whole band become
    candidates (locality-sensitive hashing); the Jaccard of each candidate is then
    computed exactly, so that no pair below the threshold is returned. Raises what
    `check_texts` raises.
    """
    from datasketch import MinHashLSH

    texts = list(check_texts(texts))  # they are looked up by position
    index, candidates = MinHashLSH(threshold=threshold, num_perm=hashes), []
    for row, text in enumerate(texts):
        made = signature(text, n, hashes, seed)
        candidates += [(other, row) for other in index.query(made)]
        index.insert(row, made)
    scored = (
        (i, j, jaccard(ngrams(texts[i], n), ngrams(texts[j], n))) for i, j in candidates
    )
    return sorted((i, j, score) for i, j, score in scored if score >= threshold)


def keep_first(rows, pairs):
    """Row numbers to keep: of texts connected by pairs, directly or over others, the
    first.
    """
    first = list(range(rows))

    def root(i):
        while first[i] != i:
            i = first[i]
        return i

    for i, j, *_ in pairs:
        a, b = sorted((root(i), root(j)))
        first[b] = a
    return [i for i in range(rows) if first[i] == i]


def contamination(corpus, tests, n=8):
    """For each test text, the share of its n-grams that stand somewhere in the corpus:
    a list of floats, 0 to 1.

    corpus: any iterable of texts, read once; only the tests' n-grams are kept. GPT-3's
        authors took n from 8 to 13
    (Brown et al. 2020): shorter runs are common phrases, longer ones miss a copy with a
    word changed here and there. Raises ValueError without tests, and what `check_texts`
    raises.
    """
    test_grams = [ngrams(text, n) for text in check_texts(tests)]
    if not test_grams:
        raise ValueError(
            "0 test texts, contamination needs at least 1; give the texts "
            "that you will measure on"
        )
    wanted, seen = set().union(*test_grams), set()
    for text in check_texts(corpus):
        seen |= ngrams(text, n) & wanted
    return [len(grams & seen) / len(grams) for grams in test_grams]


def decontaminate(corpus, tests, n=8):
    """The corpus without the documents that share a run of n words with a test text;
    the tests themselves stay as they are.

    Test texts of fewer than n words are looked for whole, at any place in a document.
    Raises what `check_texts` raises.
    """
    banned = set().union(*(ngrams(text, n) for text in check_texts(tests)))
    short = {gram for gram in banned if gram.count(" ") < n - 1}
    kept = []
    for text in check_texts(corpus):
        words = f" {' '.join(_WORD.findall(text.lower()))} "
        if not (
            ngrams(text, n) & banned or any(f" {gram} " in words for gram in short)
        ):
            kept.append(text)
    return kept
