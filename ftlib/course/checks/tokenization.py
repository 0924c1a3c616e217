"""Checks of chapter 05: BPE merges, WordPiece's longest match, text from byte pieces,
cutting rows, a batch of reviews.

>>> from ftlib.course.checks.tokenization import check_cut_both
>>> check_cut_both(lambda row, max_tokens: row[:max_tokens])
hint: the row has lost its closing [SEP]; cut between the frame, then put [CLS] and
[SEP] back

What it is not: a test of speed; small inputs are enough to tell the misunderstandings
apart. The merges are compared with the library `tokenizers`, trained inside the check
on the same words. Needs: torch, tokenizers, ftlib.
"""

import json
import random
from collections import Counter

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

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
    ]
    return {
        "".join(rng.choices(syllables, k=rng.randint(1, 4))): rng.randint(1, 40)
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
        "these are the commonest pairs of the characters, counted once at the "
        "start; after each merge the words "
        "have new symbols, so count again",
    )
    expect(
        got != _mistaken(WORDS, 6, score=True),
        "this is WordPiece's score, count(ab) / (count(a) count(b)); BPE takes the "
        "pair with the highest count",
    )
    expect(
        len(got) == len(expected), f"6 merges are asked for and {len(got)} came back"
    )
    expect(
        got == expected,
        f"on {len(WORDS)} words the library's merges are {expected}, "
        f"yours {got}; if a tie was decided "
        "otherwise: the pair whose symbols have the smaller numbers wins",
    )
    expect(
        [tuple(p) for p in answer({"aaa": 5, "ab": 4}, 9)]
        == library_merges({"aaa": 5, "ab": 4}, 9),
        "on {'aaa': 5, 'ab': 4} your merges are not the library's; look at aaa, "
        "where two pairs overlap, and at when to stop",
    )
    lonely = [tuple(pair) for pair in answer({"abc": 1, "de": 3}, 9)]
    expect(
        lonely == [("d", "e")],
        f"{lonely} from abc once and de three times; a pair "
        "that occurs once is not joined",
    )
    words = made_up_words()
    got = [tuple(pair) for pair in answer(dict(words), 150)]
    expected = library_merges(words, 150)
    wrong = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), None)
    if wrong is not None:
        expect(
            False,
            f"merge {wrong + 1} of 150 is {got[wrong]} and the library's is "
            f"{expected[wrong]}; new symbols get the next "
            "number, and a join must not cross the border of a symbol (x|ab is not "
            "xa|b)",
        )
    expect(
        len(got) == len(expected),
        f"{len(expected)} merges are possible here and {len(got)} came back",
    )
    return correct(f"{len(expected)} merges, equal to the library's, in order")


@exercise
def check_longest_pieces(answer):
    """answer(word, vocab) -> WordPiece's pieces of the word; ["[UNK]"] if some part has
    none.
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
        "f is the shortest piece that fits; take the longest: try the whole word "
        "first and shorten it from the right",
    )
    expect(
        got != ["film"],
        "the rest of the word is lost; go on behind the piece until the word ends",
    )
    expect(
        "s" not in got,
        "the second piece lacks its mark; inside a word look for ## + letters",
    )
    expect(got == ["film", "##s"], f"films is cut into {got}; film ##s is right")
    got = list(answer("unwatchable", vocab))
    expect(
        got != ["un", "##watch", "##able"],
        "unwatchable begins with the longer piece unw; the longest match is decided "
        "from the left, not from the right",
    )
    expect(
        got == ["unw", "##atch", "##able"],
        f"unwatchable is cut into {got}; unw ##atch ##able is right",
    )
    got = list(answer("watchable", vocab))
    expect(
        got == ["watchab", "##l", "##e"],
        f"watchable is cut into {got}; the longest beginning, watchab, is kept even "
        "where another cut has fewer pieces",
    )
    got = list(answer("filmz", vocab))
    expect(
        got != ["film", "[UNK]"] and got != ["film"],
        "only the rest became unknown; in WordPiece the whole word is [UNK] as soon "
        "as one part has no piece",
    )
    expect(
        got == ["[UNK]"],
        f"filmz gives {got}; z has no piece, so the answer is ['[UNK]']",
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
            f"{word} is cut into {got}, and the library cuts it into {expected}",
        )
    return correct(f"{len(texts)} words are cut as the library cuts them")


def any_text(seed, length=12):
    """Random code points of all of Unicode, without surrogates."""
    rng = random.Random(seed)
    return "".join(
        chr(c if c < 0xD800 else c + 0x800)
        for c in (rng.randrange(0x110000 - 0x800) for _ in range(length))
    )


@exercise
def check_text_of_pieces(answer):
    """answer(pieces) -> the text; pieces are byte-level pieces in GPT-2's visible
    characters.
    """
    tokenizer = tokenization.train_bpe(["a good film, a good café"] * 3, 300)

    def tokens_of(text):
        return tokenizer.encode(text, add_special_tokens=False).tokens

    got = answer(tokens_of("a good film"))
    expect(
        isinstance(got, str),
        f"the result is a {type(got).__name__}; a text is "
        "asked for (bytes have .decode)",
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
        "the stand-ins are read as letters; turn each back into its byte and decode "
        "the bytes as UTF-8",
    )
    expect(
        "\ufffd" not in got and len(got) == 3,
        "a character of several bytes is spread over several pieces; join the bytes "
        "of all pieces first, then decode once",
    )
    expect(got == "好é🎬", f"'好é🎬' comes back as {got!r}")
    broken = answer(tokens_of("a好")[:-1])
    expect(
        broken != "a",
        "the bytes of half a character are dropped without a sign; "
        "errors='replace' shows \ufffd there",
    )
    expect(
        broken == "a\ufffd",
        f"a row cut inside a character gives {broken!r}; "
        "'a\ufffd' is right: errors='replace'",
    )
    for seed in range(300):
        expect(
            answer(tokens_of(any_text(seed))) == any_text(seed),
            f"{any_text(seed)!a} does not come back exactly",
        )
    return correct("300 random Unicode strings come back exactly")


@exercise
def check_cut_both(answer):
    """answer(row, max_tokens) -> at most max_tokens ids: [CLS], the first and the last
    ids of the text, [SEP].
    """
    row = [2, *range(10, 30), 3]
    kept = list(row)
    got = list(answer(row, 9))
    expect(row == kept, "your function changes the row it was given; build a new list")
    expect(
        got[-1:] == [3],
        "the row has lost its closing [SEP]; cut between the "
        "frame, then put [CLS] and [SEP] back",
    )
    expect(got[:1] == [2], "the row has lost its [CLS] in front")
    expect(
        len(got) <= 9,
        f"{len(got)} ids came back and 9 are allowed; [CLS] and [SEP] count too",
    )
    expect(
        len(got) == 9,
        f"{len(got)} ids came back where 9 fit; an odd place goes to the front",
    )
    expect(
        got != [2, *range(10, 17), 3],
        "this keeps the head only; the last ids of the text are lost",
    )
    expect(
        got != [2, *range(23, 30), 3],
        "this keeps the tail only; the first ids of the text are lost",
    )
    expect(
        got != [2, 10, 11, 12, 26, 27, 28, 29, 3],
        "the odd place went to the end; here it goes to the front",
    )
    expect(
        got == [2, 10, 11, 12, 13, 27, 28, 29, 3],
        f"9 of {row} gives {got}; four from the front and three from the end are right",
    )
    short = [2, 10, 11, 12, 3]
    for limit in (5, 6, 9):
        got = list(answer(list(short), limit))
        expect(
            got == short,
            f"a row of 5 ids with max_tokens={limit} became {got}; "
            "what fits stays as it is",
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
    return correct("both ends and the frame stay, at every length")


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
        "the long review has lost its closing [SEP]: ids[:max_tokens] cuts off the "
        "end of the frame as well",
    )
    expect(
        not bool(mask.all()),
        "the mask is 1 everywhere, so padding is read as "
        "text; 1 for tokens, 0 for [PAD]",
    )
    padding = ids == tokenizer.token_to_id("[PAD]")
    expect(
        bool((mask.bool() != padding).all()),
        "the mask does not fit the ids: 0 exactly where [PAD] stands",
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
        f"tokens is {ids.numel()}, the number of places; padding counts as text, so "
        "ask the mask",
    )
    real = int((~padding).sum())
    expect(
        int(batch["tokens"]) == real,
        f"tokens is {int(batch['tokens'])}, and {real} places hold a token",
    )
    longer = answer(tokenizer, texts[1:], 12)["input_ids"]
    expect(
        tuple(torch.as_tensor(longer).shape) == (2, 4),
        "two short reviews need 4 places: pad to the longest row, no further",
    )
    return correct(
        f"{real} tokens in {ids.numel()} places, padding masked, both ends kept"
    )
