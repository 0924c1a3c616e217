"""Text to token ids and back to tensors: train a vocabulary, encode, pack rows, pad
batches.

Use it:

    >>> tokenizer = train_wordpiece(
    ...     ["a good film", "a bad film", "a good good film"], vocab_size=40
    ... )
    >>> rows = encode(tokenizer, ["a good film"], max_tokens=8)
    >>> decode(tokenizer, rows[0])
    'a good film'
    >>> pad([[2, 7, 3], [2, 3]])["attention_mask"].tolist()
    [[1, 1, 1], [1, 1, 0]]
    >>> pack([[2, 7, 3], [2, 8, 3]], length=3).shape
    torch.Size([2, 3])

What it is not: a tokenizer. The merging and matching is done by the Rust library
`tokenizers`, which transformers uses too, so a vocabulary saved here opens with
`AutoTokenizer.from_pretrained(folder)`. Chapter 05 builds both algorithms by hand and
shows that they agree with this library.

Needs: torch, tokenizers (comes with transformers).

Shapes: N rows, T tokens in a row, B rows in a batch.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

# the order fixes their ids: 0, 1, 2, 3, 4
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


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


def _frame(tokenizer):
    """Put [CLS] in front and [SEP] behind every text, as Devlin et al. (2019) do."""
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )
    return tokenizer


def _wordpiece(vocab=None):
    """A WordPiece tokenizer with BERT's rules and a vocabulary {piece: id}, or none."""
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _commonest(texts, letters, capacity):
    """The commonest characters of the texts that fit into `capacity` pieces, one for
    `e` and, if it is a letter, `##e`.
    """
    normalizer = _wordpiece().normalizer
    counts = Counter(
        char
        for text in texts
        for char in normalizer.normalize_str(text)
        if char in letters
    )
    kept = []
    # a tie must not depend on the process
    for char in sorted(counts, key=lambda char: (-counts[char], char)):
        capacity -= 1 + (f"##{char}" in letters)
        if capacity < 0:
            break
        kept.append(char)
    return kept


def train_wordpiece(texts, vocab_size, min_frequency=2):
    """Learn a lower-cased WordPiece vocabulary (Schuster & Nakajima 2012) from an
    iterable of strings.

    The normaliser is BERT's: it strips accents and puts spaces around Chinese
    characters, so the same call on Chinese text gives a vocabulary of characters. The
    same texts give the same pieces and ids in every process.

    Returns a `tokenizers.Tokenizer` with at most `vocab_size` pieces, the first five
    being `SPECIAL`. If the texts have more characters than fit, as Chinese has, the
    commonest are kept and a word with any other becomes [UNK]. Raises ValueError if
    `vocab_size` leaves no room for one character beside the special tokens, or if there
    is no character in the texts, and what `check_texts` raises.
    """
    # a character takes two places, once as `e` and once as `##e`
    if vocab_size < len(SPECIAL) + 2:
        raise ValueError(
            f"vocab_size is {vocab_size}, but the special tokens take {len(SPECIAL)} "
            f"and each character up to 2; ask for {len(SPECIAL) + 2} or more"
        )

    def learn(texts, size, first, **limits):
        tokenizer = _wordpiece()
        tokenizer.train_from_iterator(
            texts,
            trainers.WordPieceTrainer(
                vocab_size=size,
                min_frequency=min_frequency,
                special_tokens=first,
                show_progress=False,
                **limits,
            ),
        )
        return tokenizer.get_vocab()

    # The library numbers inner letters (##e) in the order of a hash table, which
    # differs from process to process, and breaks ties by number. A resumed run would
    # read its embeddings with other ids. So the letters are found first, from the
    # distinct words, and numbered in their own order.
    texts = list(check_texts(texts, least=1))
    letters = learn({word for text in texts for word in text.split()}, 1, SPECIAL)
    if len(letters) == len(SPECIAL):
        raise ValueError(
            f"the {len(texts)} texts have no character to learn; give texts with words"
        )
    limits = {}
    # the library would keep every character and return more tokens than it was told
    if len(letters) > vocab_size:
        kept = _commonest(texts, letters, vocab_size - len(SPECIAL))
        letters = {f"##{char}" for char in kept} & letters.keys()
        limits = {"initial_alphabet": kept, "limit_alphabet": len(kept)}
    continuations = sorted(token for token in letters if token.startswith("##"))
    vocab = learn(texts, vocab_size, SPECIAL + continuations, **limits)
    tokenizer = _wordpiece(vocab)
    tokenizer.add_special_tokens(SPECIAL)
    return _frame(tokenizer)


def train_bpe(texts, vocab_size, min_frequency=2):
    """Learn a byte-level BPE vocabulary (Sennrich et al. 2016; bytes as in GPT-2): no
    text is ever unknown.

    Returns a `tokenizers.Tokenizer`. Raises ValueError if `vocab_size` does not hold
    the 256 bytes or if there is no text, and what `check_texts` raises.
    """
    if vocab_size < 256 + len(SPECIAL):
        raise ValueError(
            f"vocab_size is {vocab_size}, 256 bytes and {len(SPECIAL)} special tokens "
            "need more; ask for 300+"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=SPECIAL,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(check_texts(texts, least=1), trainer)
    return _frame(tokenizer)


def save(tokenizer, folder, max_tokens=512):
    """Write `tokenizer.json` and the small file that lets
    `AutoTokenizer.from_pretrained(folder)` open it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {f"{token[1:-1].lower()}_token": token for token in SPECIAL}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    settings |= {"model_max_length": max_tokens} | names
    text = json.dumps(settings, indent=1) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def load(folder):
    """The `tokenizers.Tokenizer` of a model folder. Raises FileNotFoundError if there
    is no tokenizer.json.
    """
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; a model folder needs a tokenizer.json (see "
            "tokenization.save)"
        )
    tokenizer = Tokenizer.from_file(str(path))
    # published files often hold a padding and a truncation; here encode and pad decide
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def truncate(row, max_tokens, keep="head", frame=(1, 1)):
    """At most `max_tokens` ids of a row [CLS] ... [SEP]: its beginning, its end
    ("tail"), or half of each ("both").

    frame: how many special tokens stand before and behind the text, which always stay;
        (0, 0) for rows without any, whose last id is a token like the others.
    Sun et al. (2019) compare the three ways for reviews. Raises ValueError.
    """
    if keep not in ("head", "tail", "both"):
        raise ValueError(f'keep is {keep!r}; it must be "head", "tail" or "both"')
    front, back = frame
    if max_tokens <= front + back:
        raise ValueError(
            f"max_tokens is {max_tokens}, but the special tokens already take "
            f"{front + back}; allow at least {front + back + 1}"
        )
    if len(row) <= max_tokens:
        return list(row)
    end, capacity = len(row) - back, max_tokens - front - back
    first = {"head": capacity, "tail": 0, "both": (capacity + 1) // 2}[keep]
    # end - ..., because row[-0:] would be the whole row
    return [*row[: front + first], *row[end - (capacity - first) : end], *row[end:]]


def _frame_of(encoding):
    """(before, behind): special tokens around a text; BERT has (1, 1), T5 (0, 1)."""
    # tells what the tokenizer added; a [MASK] that the reader wrote is 0 here
    mask = encoding.special_tokens_mask
    if 0 not in mask:
        return len(mask), 0
    return mask.index(0), mask[::-1].index(0)


def encode(tokenizer, texts, max_tokens=None, keep="head"):
    """Token ids of each text, framed by the tokenizer's special tokens ([CLS] and [SEP]
    in those of this file) and cut to `max_tokens` ids (None: not cut).

    Returns a list of N lists of ints. `keep` says which part of a long text stays, see
    `truncate`; the special tokens always stay. Raises what `check_texts` raises, and
    ValueError for a tokenizer that pads or cuts by itself.
    """
    if not isinstance(tokenizer, Tokenizer):
        raise TypeError(
            f"tokenizer is {type(tokenizer).__name__}, not one of the tokenizers "
            "library; give the backend_tokenizer of one of transformers"
        )
    if tokenizer.padding or tokenizer.truncation:
        raise ValueError(
            "the tokenizer pads or cuts texts by itself; call its no_padding() and "
            "no_truncation() first, as tokenization.load does"
        )
    encodings = tokenizer.encode_batch_fast(list(check_texts(texts)))
    if max_tokens is None:
        return [e.ids for e in encodings]
    return [truncate(e.ids, max_tokens, keep, _frame_of(e)) for e in encodings]


def decode(tokenizer, ids):
    """The text of one list of ids, special tokens left out."""
    return tokenizer.decode(check_rows([ids])[0], skip_special_tokens=True)


def _byte_of():
    """{character: byte} of byte-level vocabularies (GPT-2): printable bytes stand for
    themselves, the others for the characters from 256 on, so that a space is Ġ.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + i): byte for i, byte in enumerate(hidden)
    }


_BYTE_OF = _byte_of()


def _raw(token, mark):
    """The bytes of a token of a byte-level (Ġ) or SentencePiece (▁) vocabulary."""
    if mark == "Ġ":
        return bytes(_BYTE_OF.get(char, ord("?")) for char in token)
    if byte := re.fullmatch("<0x([0-9A-Fa-f]{2})>", token):
        return bytes.fromhex(byte[1])
    return token.replace("▁", " ").encode("utf-8")


def _begins_word(raw):
    """Whether bytes begin with white space or with an ideograph, which is a word of its
    own here as in BERT's rules.
    """
    # the first byte of an ideograph alone; a byte from 0x80 to 0xbf goes on with one
    if 0xE4 <= raw[0] <= 0xE9:
        return True
    first = "" if 0x80 <= raw[0] < 0xC0 else raw[:4].decode("utf-8", "ignore")[:1]
    return first.isspace() or unicodedata.name(first or "a", "").startswith("CJK ")


def _word_mark(tokenizer):
    """What the tokenizer makes of a space: Ġ, ▁ or None."""
    text = "a b"
    if tokenizer.normalizer:
        text = tokenizer.normalizer.normalize_str(text)
    if tokenizer.pre_tokenizer:
        words = tokenizer.pre_tokenizer.pre_tokenize_str(text)
        text = "".join(word for word, _ in words)
    return next((mark for mark in "Ġ▁" if mark in text), None)


def starts_word(tokenizer):
    """Bool tensor (V,): which tokens begin a word. For whole-word masks.

    WordPiece: those without ##. Byte-level BPE: those that begin with a space (Ġ),
    SentencePiece: with ▁; in both also those that begin with a Chinese character, which
    is a word of its own. What stands between two spaces is one word there, punctuation
    included, as in fairseq's whole-word masks. Special tokens begin a word. Raises
    ValueError for a vocabulary that does not mark where words begin.
    """
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None)
    word_level = type(tokenizer.model).__name__ == "WordLevel"
    mark = None if prefix or word_level else _word_mark(tokenizer)
    if not (prefix or word_level or mark):
        raise ValueError(
            f"the tokens of this {type(tokenizer.model).__name__} tokenizer do not "
            "tell where a word begins (by ##, Ġ or ▁); mask tokens instead, with "
            "starts_word=None"
        )

    def begins(token):
        if word_level or not token:
            return True
        if prefix:
            return not token.startswith(prefix)
        return _begins_word(_raw(token, mark))

    added, vocab = tokenizer.get_added_tokens_decoder(), tokenizer.get_vocab()
    starts = [True] * (max(vocab.values()) + 1)  # ids may have holes
    for token, i in vocab.items():
        starts[i] = i in added or begins(token)
    return torch.tensor(starts)


def check_rows(rows, pad_id=0):
    """The rows as lists of ints, each an id: a whole number from 0 on.

    rows: lists, arrays or tensors. Raises TypeError for a row that is none; ValueError
        for an id, or a `pad_id`, below 0 or beyond int64, and for 1.7 or True, as torch
        would make 1 of them.
    """
    lists = {"pad_id": [pad_id]} | {f"row {n}": row for n, row in enumerate(rows)}
    for name, row in lists.items():
        row = row.tolist() if hasattr(row, "tolist") else row
        if isinstance(row, (str, Mapping, set)) or not isinstance(row, Iterable):
            raise TypeError(
                f"{name} is {repr(row)[:40]}, not a list of token ids; encode the "
                "texts first, and write [row] for a single one"
            )
        # numbers of NumPy and torch become Python's
        ids = [i if type(i) is int else getattr(i, "tolist", lambda: i)() for i in row]
        wrong = [i for i in ids if type(i) is not int or not 0 <= i < 2**63]
        if wrong:
            raise ValueError(
                f"{name} has {repr(wrong[0])[:40]}, token ids are whole numbers from 0 "
                "to 2**63 - 1; encode texts first, and give ids, not labels with -100"
            )
        lists[name] = ids
    return list(lists.values())[1:]


def pack(rows, length):
    """Lay the rows end to end and cut the stream into rows of exactly `length` tokens:
    no padding, nothing wasted.

    rows: N lists of ids, see `check_rows`. Returns LongTensor (M, T) with T = length;
        the rest that fills no row is dropped.
    A row can hold the end of one text and the beginning of the next; their [SEP] and
    [CLS] mark the border.
    """
    stream = [i for row in check_rows(rows) for i in row]
    if len(stream) < length:
        raise ValueError(
            f"the texts have {len(stream)} tokens together, one row needs {length}; "
            "give more text"
        )
    count = len(stream) // length
    return torch.tensor(stream[: count * length]).view(count, length)


def pad(rows, pad_id=0):
    """Make one batch of rows of different lengths, padded to the longest of them and no
    further.

    rows: B lists of ids, see `check_rows`. Returns {"input_ids": (B, T),
        "attention_mask": (B, T)} as LongTensors; 1 marks real tokens.
    """
    rows = check_rows(rows, pad_id)
    if not rows:
        raise ValueError("pad got no rows; a batch needs at least one")
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}
