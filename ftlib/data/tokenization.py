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
from collections import Counter
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


def _frame(tokenizer):
    """Put [CLS] in front and [SEP] behind every text, as BERT (Devlin et al. 2019)
    does.
    """
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )
    return tokenizer


def _wordpiece(vocab=None):
    """A WordPiece tokenizer with BERT's rules, empty or with a vocabulary
    {piece: id}.
    """
    tokenizer = Tokenizer(
        models.WordPiece(vocab, unk_token="[UNK]")
        if vocab
        else models.WordPiece(unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _commonest(texts, letters, capacity):
    """The commonest characters of the texts that fit into `room` pieces, one for `e`
    and, if it is a letter, `##e`.
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
    `vocab_size` leaves no room for one character beside the special tokens.
    """
    # a character takes two places, once as `e` and once as `##e`
    if vocab_size < len(SPECIAL) + 2:
        raise ValueError(
            f"vocab_size is {vocab_size}, but the special tokens take "
            f"{len(SPECIAL)} and each character up "
            f"to 2; ask for {len(SPECIAL) + 2} or more"
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
    texts = list(texts)
    letters = learn({word for text in texts for word in text.split()}, 1, SPECIAL)
    limits = {}
    # the library would keep every character and return more tokens than it was told
    # for
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
    the 256 bytes.
    """
    if vocab_size < 256 + len(SPECIAL):
        raise ValueError(
            f"vocab_size is {vocab_size}, 256 bytes and {len(SPECIAL)} "
            "special tokens need more; ask for 300+"
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
    tokenizer.train_from_iterator(texts, trainer)
    return _frame(tokenizer)


def save(tokenizer, folder, max_tokens=512):
    """Write `tokenizer.json` and the small file that lets
    `AutoTokenizer.from_pretrained(folder)` open it.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {
        f"{name}_token": f"[{name.upper()}]"
        for name in ("pad", "unk", "cls", "sep", "mask")
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_tokens,
        **names,
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings, indent=1) + "\n", encoding="utf-8"
    )


def load(folder):
    """The `tokenizers.Tokenizer` of a model folder. Raises FileNotFoundError if there
    is no tokenizer.json.
    """
    path = Path(folder) / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; a model folder needs a "
            "tokenizer.json (see tokenization.save)"
        )
    tokenizer = Tokenizer.from_file(str(path))
    # Published files often hold a fixed padding and truncation; encode() and pad()
    # decide those here.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def truncate(row, max_tokens, keep="head"):
    """At most `max_tokens` ids of a row [CLS] ... [SEP]: its beginning, its end
    ("tail"), or half of each ("both").

    [CLS] and [SEP] always stay. Sun et al. (2019) compare the three ways for reviews.
    Raises ValueError.
    """
    if keep not in ("head", "tail", "both"):
        raise ValueError(f'keep is {keep!r}; it must be "head", "tail" or "both"')
    if max_tokens < 3:
        raise ValueError(
            f"max_tokens is {max_tokens}, but [CLS] and [SEP] already "
            "take 2; allow at least 3"
        )
    if len(row) <= max_tokens:
        return list(row)
    text, capacity = row[1:-1], max_tokens - 2
    front = {"head": capacity, "tail": 0, "both": (capacity + 1) // 2}[keep]
    # len(text) - ..., because text[-0:] would be the whole text
    return [row[0], *text[:front], *text[len(text) - (capacity - front) :], row[-1]]


def encode(tokenizer, texts, max_tokens=None, keep="head"):
    """Token ids of each text, framed by [CLS] and [SEP] and cut to `max_tokens` ids
    (None: not cut).

    Returns a list of N lists of ints. `keep` says which part of a long text stays, see
    `truncate`.
    """
    if isinstance(texts, str):
        raise TypeError(
            "encode takes a list of texts and got one string; write "
            "encode(tokenizer, [text])"
        )
    rows = [e.ids for e in tokenizer.encode_batch_fast(list(texts))]
    return (
        rows
        if max_tokens is None
        else [truncate(row, max_tokens, keep) for row in rows]
    )


def decode(tokenizer, ids):
    """The text of one list of ids, special tokens left out."""
    return tokenizer.decode([int(i) for i in ids], skip_special_tokens=True)


def starts_word(tokenizer):
    """Bool tensor (V,): which pieces begin a word (everything that does not start with
    `##`). For whole-word masks.
    """
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    return torch.tensor([not token.startswith("##") for token in tokens])


def pack(rows, length):
    """Lay the rows end to end and cut the stream into rows of exactly `length` tokens:
    no padding, nothing wasted.

    rows: N lists of ints. Returns LongTensor (M, T) with T = length; the rest that
        fills no row is dropped.
    A row can hold the end of one text and the beginning of the next; their [SEP] and
    [CLS] mark the border.
    """
    stream = torch.tensor([i for row in rows for i in row], dtype=torch.long)
    if len(stream) < length:
        raise ValueError(
            f"the texts have {len(stream)} tokens together, one row needs "
            f"{length}; give more text"
        )
    count = len(stream) // length
    return stream[: count * length].view(count, length)


def pad(rows, pad_id=0):
    """Make one batch of rows of different lengths, padded to the longest of them and no
    further.

    rows: B lists of ints. Returns {"input_ids": (B, T), "attention_mask": (B, T)} as
        LongTensors; 1 marks real tokens.
    """
    if not rows:
        raise ValueError("pad got no rows; a batch needs at least one")
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[i, : len(row)] = 1
    return {"input_ids": ids, "attention_mask": mask}
