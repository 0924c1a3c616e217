"""Checks of chapter 05: BPE merges, WordPiece's longest match, text from byte-level
tokens, truncating rows, a batch of reviews.

>>> from ftlib.course.checks.tokenization import check_cut_both
>>> check_cut_both(lambda row, max_tokens: row[:max_tokens])
hint: the row has lost its closing [SEP]; truncate the text between the special
tokens, then put [CLS] and [SEP] back

What it is not: a test of speed; small inputs are enough to tell the misunderstandings
apart. The merges are compared with the library `tokenizers`, trained inside the check
on the same words. Needs: torch, tokenizers, ftlib.
"""

import json
import random
from collections import Counter

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from ftlib.course.checks import correct, exercise, expect
from ftlib.data import tokenization

WORDS = {
    "film": 30,
    "films": 11,
    "filmed": 4,
    "fill": 7,
    "firm": 3,
    "best": 9,
    "rest": 6,
    "aaa": 2,
    "bestest": 2,
}


def library_merges(counts, count):
    """The merges of `tokenizers`' BPE on words {word: count}."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    size = len({char for word in counts for char in word}) + count
    tokenizer.train_from_iterator(
        (" ".join([word] * times) for word, times in counts.items()),
        trainers.BpeTrainer(vocab_size=size, min_frequency=2, show_progress=False),
    )
    return [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]][
        :count
    ]


def made_up_words(seed=1, distinct=300):
    """{word: count} from a few syllables, so that many pairs are frequent and many
    counts are tied.
    """
    rng = random.Random(seed)
    syllables = [
        "an",
        "be",
        "co",
        "de",
        "en",
        "in",
        "er",
        "ing",
        "re",
        "st",
        "tion",
        "ta",
        "é",
        "好",
        "oo",
        *(["An", "Z"] if seed > 1 else []),
    ]
    return {
        "".join(rng.choices(syllables, k=rng.randint(1, 4))): rng.randint(
            1, 40 if seed == 1 else 3
        )
        for _ in range(distinct)
    }


def _mistaken(counts, count, weigh=True, update=True, score=False, last_tie=False):
    """Merges with one misunderstanding built in, to recognise it in an answer."""
    words, merges = {word: list(word) for word in counts}, []
    ids = {
        char: i
        for i, char in enumerate(sorted({char for word in counts for char in word}))
    }
    for _ in range(count):
        pairs, single = Counter(), Counter()
        for word, symbols in words.items():
            times = counts[word] if weigh else 1
            for symbol in symbols:
                single[symbol] += times
            for pair in zip(symbols, symbols[1:]):
                pairs[pair] += times
        for pair in merges if not update else []:
            del pairs[pair]
        if not pairs:
            break
        worth = {
            p: n / (single[p[0]] * single[p[1]]) if score else n
            for p, n in pairs.items()
        }
        sign = -1 if last_tie else 1
        best = min(
            pairs,
            key=lambda p: (-worth[p], sign * ids.get(p[0], 0), sign * ids.get(p[1], 0)),
        )
        merges.append(best)
        ids.setdefault("".join(best), len(ids))
        for word, symbols in words.items() if update else []:
            out = []
            for symbol in symbols:
                if out and (out[-1], symbol) == best:
                    out[-1] += symbol
                else:
                    out.append(symbol)
            words[word] = out
    return merges


def pair_counts(counts, merges):
    """{pair: how often it occurs} in words {word: count} after these merges."""
    pairs = Counter()
    for word, times in counts.items():
        symbols = list(word)
        for left, reference in merges:
            out = []
            for symbol in symbols:
                if out and (out[-1], symbol) == (left, reference):
                    out[-1] += symbol
                else:
                    out.append(symbol)
            symbols = out
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += times
    return pairs


def _expect_merges(got, expected, counts):
    """Refuse the first merge that is not the expected one, with its counts."""
    at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), None)
    if at is not None:
        pairs = pair_counts(counts, expected[:at])
        yours, theirs = pairs[got[at]], pairs[expected[at]]
        advice = (
            "in a tie the smaller left number wins, then the smaller right one; "
            "characters are numbered as sorted, and every new symbol gets the next one"
            if yours == theirs
            else "a pair counts as often as its words occur, in the symbols that the "
            "merges before it have left, and a merge does not cross the border of a "
            "symbol (x|ab is not xa|b)"
        )
        expect(
            False,
            f"merge {at + 1} of {len(expected)} is {got[at]}, which occurs {yours} "
            f"times then, and that of `tokenizers` is {expected[at]}, which occurs "
            f"{theirs} times; {advice}",
        )
    expect(
        len(got) == len(expected),
        f"{len(got)} merges came back, expected {len(expected)}: stop after `number` "
        "merges, or where no pair occurs twice",
    )


def _expect_least(answer):
    """Refuse an answer that merges what occurs once, or leaves out what occurs twice,
    or fails where nothing can be merged.
    """
    for counts, number, expected, advice in (
        (
            {"abc": 1, "de": 3},
            9,
            [("d", "e")],
            "do not merge a pair that occurs once",
        ),
        ({"ab": 2, "cd": 1}, 9, [("a", "b")], "a pair that occurs twice is merged"),
        (
            {"xab": 1, "yab": 1},
            9,
            [("a", "b")],
            "a pair that occurs once in each of two words occurs twice",
        ),
        ({"ab": 2, "cd": 2}, 1, [("a", "b")], "one merge is asked for"),
        ({"ab": 2, "cd": 2}, 0, [], "no merge is asked for"),
        ({"a": 5, "b": 5}, 3, [], "words of one character have no pair"),
        ({}, 3, [], "without words there is no pair"),
    ):
        got = [tuple(pair) for pair in answer(dict(counts), number)]
        expect(
            got == expected,
            f"for {counts} and number={number} you return {got}, expected {expected}: "
            f"{advice}",
        )


def _expect_all_merges(answer):
    """Compare on words that were made up: 150 merges, and all that are possible."""
    for seed, distinct, number in ((1, 300, 150), (2, 40, 10_000), (3, 60, 75)):
        words = made_up_words(seed, distinct)
        got = [tuple(pair) for pair in answer(dict(words), number)]
        _expect_merges(got, library_merges(words, number), words)


@exercise
def check_bpe_merges(answer):
    """answer(counts {word: count}, number) -> the first `number` merges [(left,
    right)], as `tokenizers` learns them.
    """
    got, expected = answer(dict(WORDS), 6), library_merges(WORDS, 6)
    expect(
        isinstance(got, (list, tuple))
        and all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in got),
        "merges are pairs: return a list of (left, right), not the joined strings",
    )
    got = [tuple(pair) for pair in got]
    expect(
        got != _mistaken(WORDS, 6, weigh=False),
        "every word counts once in your pairs; a pair counts as often as its words "
        "occur: add counts[word]",
    )
    expect(
        got != _mistaken(WORDS, 6, update=False),
        "these are the most frequent pairs of the characters, counted once at the "
        "start; after each merge the words have new symbols, so count again",
    )
    expect(
        got != _mistaken(WORDS, 6, score=True),
        "this is WordPiece's score, count(ab) / (count(a) count(b)); BPE takes the "
        "pair with the highest count",
    )
    expect(len(got) == len(expected), f"{len(got)} merges came back, expected 6")
    _expect_merges(got, expected, WORDS)
    expect(
        [tuple(p) for p in answer({"aaa": 5, "ab": 4}, 9)]
        == library_merges({"aaa": 5, "ab": 4}, 9),
        "on {'aaa': 5, 'ab': 4} your merges are not those of `tokenizers`; look at "
        "aaa, where two pairs overlap, and at when to stop",
    )
    _expect_least(answer)
    _expect_all_merges(answer)
    return correct("every merge is the one of `tokenizers`, in order")


# word, vocabulary, tokens, hint
WORD_CASES = [
    (
        "filzm",
        {"fil", "##m"},
        ["[UNK]"],
        "a stretch in the middle has no token, so the whole word is [UNK]",
    ),
    (
        "zfilm",
        {"film", "##film", "fil"},
        ["[UNK]"],
        "the start of the word has no token, so the whole word is [UNK]",
    ),
    (
        "Film",
        {"Film", "film", "##s"},
        ["Film"],
        "capitals were changed; look the letters up as they are",
    ),
    (
        "Film",
        {"film", "##s"},
        ["[UNK]"],
        "F is another letter than f; look the letters up as they are",
    ),
    (
        "café",
        {"cafe", "ca", "##fé", "##f", "##e"},
        ["ca", "##fé"],
        "é is another letter than e; look the letters up as they are",
    ),
    (
        "abc",
        {"a", "ab", "##bc", "##b"},
        ["[UNK]"],
        "after the longest token `ab` the letter c has no token; WordPiece does not go "
        "back to a shorter one",
    ),
    (
        "films",
        {"film", "s"},
        ["[UNK]"],
        "the token s is one for the start of a word; inside a word only tokens with "
        "## count",
    ),
    (
        "able",
        {"##able", "##a", "a", "##b", "##l", "##e"},
        ["a", "##b", "##l", "##e"],
        "the first token has no ##, so `##able` does not fit at the start",
    ),
    (
        "aaaa",
        {"a", "aa", "##a", "##aa"},
        ["aa", "##aa"],
        "letters that repeat are cut at the longest token as well",
    ),
    (
        "电影院",
        {"电", "##影院", "##影", "##院", "电影院院"},
        ["电", "##影院"],
        "letters of any language count, and a token that is longer than the word does "
        "not fit",
    ),
    (
        "un" + "believ" * 6 + "able",
        {"un", "u", "##n", "##" + "believ" * 6, "##b", "##able"},
        ["un", "##" + "believ" * 6, "##able"],
        "the longest token may have any length; begin with the whole rest of the word",
    ),
]


@exercise
def check_longest_pieces(answer):
    """answer(word, vocab) -> WordPiece's tokens of the word; ["[UNK]"] if some of its
    characters match no token.
    """
    vocab = {
        "film",
        "fil",
        "f",
        "un",
        "watch",
        "##able",
        "##a",
        "##b",
        "##l",
        "##e",
        "##m",
        "##s",
        "##watch",
        "able",
        "unw",
        "i",
        "##i",
        "watchab",
        "##atch",
        "w",
    }
    got = list(answer("films", vocab))
    expect(
        got != ["f"] and got[:1] != ["f"],
        "f is the shortest token that fits; take the longest: try the whole word "
        "first and shorten it from the right",
    )
    expect(
        got != ["film"],
        "the rest of the word is lost; continue after the token until the word ends",
    )
    expect(
        "s" not in got,
        "the second token lacks its prefix ##; inside a word look up ## + letters",
    )
    expect(got == ["film", "##s"], f"films is split into {got}, expected film ##s")
    got = list(answer("unwatchable", vocab))
    expect(
        got != ["un", "##watch", "##able"],
        "unwatchable begins with the longer token unw; match the longest token from "
        "the left, not from the right",
    )
    expect(
        got == ["unw", "##atch", "##able"],
        f"unwatchable is split into {got}, expected unw ##atch ##able",
    )
    got = list(answer("watchable", vocab))
    expect(
        got == ["watchab", "##l", "##e"],
        f"watchable is split into {got}; keep the longest first token, watchab, even "
        "where another split has fewer tokens",
    )
    got = list(answer("filmz", vocab))
    expect(
        got != ["film", "[UNK]"] and got != ["film"],
        "only the rest became unknown; in WordPiece the whole word is [UNK] as soon "
        "as some of it matches no token",
    )
    expect(
        got == ["[UNK]"],
        f"filmz gives {got}, expected ['[UNK]']: z matches no token",
    )
    for word, vocab, expected, message in WORD_CASES:
        # a set and a dictionary of ids
        for given in (set(vocab), {token: i for i, token in enumerate(sorted(vocab))}):
            got = list(answer(word, given))
            expect(
                got == expected,
                f"{word} with the tokens {', '.join(sorted(vocab))} is split into "
                f"{got}, expected {expected}: {message}",
            )
    texts = [
        "".join(random.Random(i).choices("abest", k=random.Random(i).randint(1, 9)))
        for i in range(300)
    ]
    tokenizer = tokenization.train_wordpiece([" ".join(texts[:150])], 60)
    for word in texts:
        expected = tokenizer.encode(word, add_special_tokens=False).tokens
        got = list(answer(word, tokenizer.get_vocab()))
        expect(
            got == expected,
            f"{word} is split into {got}, and `tokenizers` splits it into {expected}",
        )
    return correct(f"{len(texts)} words are split as `tokenizers` splits them")


def any_text(seed, length=12):
    """Random code points of all of Unicode, without surrogates."""
    rng = random.Random(seed)
    return "".join(
        chr(c if c < 0xD800 else c + 0x800)
        for c in (rng.randrange(0x110000 - 0x800) for _ in range(length))
    )


@exercise
def check_text_of_pieces(answer):
    """answer(tokens) -> the text; tokens are byte-level tokens in GPT-2's visible
    characters.
    """
    tokenizer = tokenization.train_bpe(["a good film, a good café"] * 3, 300)

    def tokens_of(text):
        return tokenizer.encode(text, add_special_tokens=False).tokens

    got = answer(tokens_of("a good film"))
    expect(
        isinstance(got, str),
        f"the result is a {type(got).__name__}; return a str (bytes have .decode)",
    )
    expect(
        "Ġ" not in got,
        "Ġ is still there; it stands for byte 32, the space, as "
        "every visible character stands for a byte",
    )
    expect(got == "a good film", f"'a good film' comes back as {got!r}")
    got = answer(tokens_of(" good "))
    expect(
        got == " good ",
        f"' good ' comes back as {got!r}; the spaces at both ends belong to the text",
    )
    got = answer(tokens_of("好é🎬"))
    expect(
        "å" not in got and "Ã" not in got,
        "the visible characters are read as letters; map each back to its byte and "
        "decode the bytes as UTF-8",
    )
    expect(
        "\ufffd" not in got and len(got) == 3,
        "a character of several bytes is spread over several tokens; join the bytes "
        "of all tokens first, then decode once",
    )
    expect(got == "好é🎬", f"'好é🎬' comes back as {got!r}")
    broken = answer(tokens_of("a好")[:-1])
    expect(
        broken != "a",
        "the bytes of half a character are dropped silently; errors='replace' shows "
        "\ufffd there",
    )
    expect(
        broken == "a\ufffd",
        f"a row cut inside a character gives {broken!r}, expected 'a\ufffd': "
        "errors='replace'",
    )
    for text, message in (
        ("a\n\tb\r\n c  d", "tabs, line ends and runs of spaces belong to the text"),
        ("Ab ab", "capitals belong to the text"),
        (
            "Ġa Ċ Ã",
            "a text may hold the letter Ġ itself; only the visible characters of the "
            "tokens stand for bytes, and they go back to bytes before anything else",
        ),
        ("\ufffd?", "\ufffd may stand in the text itself"),
        (
            "e\u0301 é \u212b",
            "the code points change; do not normalize the text",
        ),
    ):
        got = answer(tokens_of(text))
        expect(got == text, f"{text!a} comes back as {got!a}; {message}")
    empty = answer([])
    expect(empty == "", f"no tokens give {empty!r}, expected the empty text ''")
    film = tokens_of("a🎬")
    for lost in (1, 2, 3):
        got = answer(film[:-lost])
        expect(
            got == "a\ufffd",
            f"where {lost} of the four bytes of a character are missing at the end, "
            f"the text is {got!r}, expected 'a\ufffd': errors='replace'",
        )
    for seed in range(300):
        expect(
            answer(tokens_of(any_text(seed))) == any_text(seed),
            f"{any_text(seed)!a} does not come back exactly",
        )
    return correct("300 random Unicode strings come back exactly")


def _expect_both_ends(answer):
    """Compare on drawn rows: other special ids, ids in any order and more than once,
    texts of any length.
    """
    rng = random.Random(0)
    for _ in range(200):
        first, last, *ids = (rng.randrange(12) for _ in range(rng.randint(2, 16)))
        limit = rng.randint(3, 18)
        capacity = limit - 2
        front, back = (capacity + 1) // 2, capacity // 2
        kept = ids if len(ids) <= capacity else ids[:front] + ids[len(ids) - back :]
        row, expected = [first, *ids, last], [first, *kept, last]
        got = list(answer(list(row), limit))
        expect(
            got == expected,
            f"{row} with max_tokens={limit} gives {got}, expected {expected}; ids come "
            "in any order, and the first and the last one are whatever they are",
        )


@exercise
def check_cut_both(answer):
    """answer(row, max_tokens) -> at most max_tokens ids: [CLS], the first and the last
    ids of the text, [SEP].
    """
    row = [2, *range(10, 30), 3]
    got = list(answer(list(row), 9))
    expect(
        got[-1:] == [3],
        "the row has lost its closing [SEP]; truncate the text between the special "
        "tokens, then put [CLS] and [SEP] back",
    )
    expect(got[:1] == [2], "the row has lost its [CLS] at the start; put it back")
    expect(
        len(got) <= 9,
        f"{len(got)} ids came back and at most 9 are allowed; [CLS] and [SEP] count "
        "too",
    )
    expect(
        len(got) == 9,
        f"{len(got)} ids came back where 9 fit; with an odd number the start gets one "
        "more",
    )
    expect(
        got != [2, *range(10, 17), 3],
        "only the start of the text is kept; keep the last ids of the text too",
    )
    expect(
        got != [2, *range(23, 30), 3],
        "only the end of the text is kept; keep the first ids of the text too",
    )
    expect(
        got != [2, 10, 11, 12, 26, 27, 28, 29, 3],
        "the odd position went to the end; with an odd number the start gets one more",
    )
    expect(
        got == [2, 10, 11, 12, 13, 27, 28, 29, 3],
        f"9 of {row} gives {got}; keep four ids from the start and three from the end",
    )
    short = [2, 10, 11, 12, 3]
    for limit in (5, 6, 9):
        got = list(answer(list(short), limit))
        expect(
            got == short,
            f"a row of 5 ids with max_tokens={limit} became {got}; leave a row that "
            "fits as it is",
        )
    got = list(answer(list(row), 3))
    expect(
        got == [2, 10, 3],
        f"max_tokens=3 leaves room for one id, and {len(got)} "
        "came back; text[-0:] is the whole text",
    )
    for limit in range(3, 30):
        capacity = limit - 2
        expected = (
            row
            if limit >= len(row)
            else [
                2,
                *row[1:-1][: (capacity + 1) // 2],
                *row[1:-1][20 - capacity // 2 :],
                3,
            ]
        )
        expect(
            list(answer(list(row), limit)) == expected,
            f"max_tokens={limit} should give {expected}",
        )
    _expect_both_ends(answer)
    return correct("both ends and the special tokens stay, at every length")


def _frame_tokenizer():
    """A WordPiece tokenizer in which id 0 is a word, and [PAD] is another id."""
    tokens = (
        "film the good [SEP] [UNK] bad long [PAD] dull plot and so on [CLS]".split()
    )
    tokenizer = Tokenizer(
        models.WordPiece({t: i for i, t in enumerate(tokens)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(t, tokens.index(t)) for t in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _whole_rows(make, texts):
    """The ids of each text, from a tokenizer that no answer has touched."""
    tokenizer = make()
    return [tokenizer.encode(text).ids for text in texts]


def _expect_rows(answer, make, texts, max_tokens):
    """Refuse a batch whose rows are not the texts in their order, whole or with both
    ends.
    """
    tokenizer, pad = make(), make().token_to_id("[PAD]")
    batch = answer(tokenizer, list(texts), max_tokens)
    ids = torch.as_tensor(batch["input_ids"])
    mask = torch.as_tensor(batch["attention_mask"])
    uncut = _whole_rows(make, texts)
    lengths = [min(len(row), max_tokens) for row in uncut]
    shape = (len(texts), max(lengths))
    expect(
        tuple(ids.shape) == shape == tuple(mask.shape),
        f"{len(texts)} reviews with max_tokens={max_tokens} become "
        f"{tuple(ids.shape)}, expected {shape}: a review that fits is not cut, one "
        "that does not fit keeps max_tokens ids, and the longest row decides",
    )
    expect(
        not ids.is_floating_point() and ids.dtype != torch.bool,
        f"input_ids have dtype {ids.dtype}; an embedding is indexed with integers",
    )
    for row, kept, seen, n in zip(uncut, ids.tolist(), mask.tolist(), lengths):
        expect(
            all(i == pad for i in kept[n:]),
            f"a row of {n} tokens is filled with {kept[n:]}; the id of [PAD] is "
            f"{pad} in this tokenizer, tokenizer.token_to_id('[PAD]')",
        )
        expect(
            [int(bool(m)) for m in seen] == [1] * n + [0] * (len(kept) - n),
            f"the mask of a row of {n} tokens is {seen}; it is 1 for its tokens and 0 "
            "behind them",
        )
        ends = [row[:front] + row[len(row) - (n - front) :] for front in range(1, n)]
        if n < len(row):
            ends = [row[:front] + row[front - n :] for front in range(2, n - 1)]
        expect(
            kept[:n] in ends,
            f"{row} with max_tokens={max_tokens} became {kept[:n]}; keep the reviews "
            "in their order, and of a long one its first and its last ids, the frame "
            "included",
        )
    expect(
        int(batch["tokens"]) == sum(lengths),
        f"tokens is {int(batch['tokens'])}, expected {sum(lengths)}, the number of "
        "positions that hold a token",
    )


@exercise
def check_review_batch(answer):
    """Clinic. answer(tokenizer, texts, max_tokens) -> {"input_ids", "attention_mask",
    "tokens"}.
    """
    tokenizer = tokenization.train_wordpiece(
        ["the film was good bad long dull plot and so on"] * 3, 120
    )
    texts = ["long " + "the plot and so on " * 8 + "bad", "good film", "dull"]
    batch = answer(tokenizer, list(texts), 12)
    expect(
        isinstance(batch, dict)
        and {"input_ids", "attention_mask", "tokens"} <= set(batch),
        "return a dict with input_ids, attention_mask and tokens",
    )
    ids = torch.as_tensor(batch["input_ids"])
    mask = torch.as_tensor(batch["attention_mask"])
    expect(
        tuple(ids.shape) == (3, 12) == tuple(mask.shape),
        f"shapes are {tuple(ids.shape)} and {tuple(mask.shape)}; three reviews of "
        "at most 12 tokens need (3, 12)",
    )
    expect(
        bool((ids[0] == tokenizer.token_to_id("[SEP]")).any()),
        "the long review has lost its closing [SEP]; ids[:max_tokens] cuts off the "
        "special token at the end as well",
    )
    expect(
        not bool(mask.all()),
        "the mask is 1 everywhere, so the model reads padding as text; set 1 for "
        "tokens, 0 for [PAD]",
    )
    padding = ids == tokenizer.token_to_id("[PAD]")
    expect(
        bool((mask.bool() != padding).all()),
        "the mask does not match the ids; it must be 0 exactly at [PAD]",
    )
    expect(
        bool((ids[0] == tokenizer.token_to_id("bad")).any()),
        "the verdict at the end of the long review is cut off; keep both ends "
        "(tokenization.encode has keep=)",
    )
    expect(
        bool((ids[0] == tokenizer.token_to_id("long")).any()),
        "the beginning of the long review is lost; keep both ends",
    )
    expect(
        int(batch["tokens"]) != ids.numel(),
        f"tokens is {ids.numel()}, the number of positions, so padding counts as "
        "text; count with the mask",
    )
    real = int((~padding).sum())
    expect(
        int(batch["tokens"]) == real,
        f"tokens is {int(batch['tokens'])}, expected {real}, the number of positions "
        "that hold a token",
    )
    longer = answer(tokenizer, texts[1:], 12)["input_ids"]
    expect(
        tuple(torch.as_tensor(longer).shape) == (2, 4),
        "two short reviews need 4 positions; pad to the longest row of the batch only",
    )
    words = "the film so good and bad long plot on dull".split()
    drawn = [" ".join(words[: n % 11] * 2) for n in (3, 0, 9, 10, 4, 5, 1, 10)]
    for max_tokens in (5, 8, 12, 50):
        _expect_rows(answer, _frame_tokenizer, drawn, max_tokens)
    _expect_rows(answer, _frame_tokenizer, ["film"], 12)
    return correct(
        f"{real} tokens in {ids.numel()} positions, padding masked, both ends kept"
    )
