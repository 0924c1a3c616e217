"""Vocabularies that do not depend on the process, folders that transformers opens,
packing and padding without loss.
"""

import hashlib
import json
import random
import re
import subprocess
import sys
from collections import Counter

import hypothesis
import numpy
import pytest
import tokenizers
import torch

from ftlib.course import sources
from ftlib.data import tokenization
from ftlib.objectives import classify

TEXTS = [
    "A good film, a good story!",
    "a BAD film",
    "Déjà vu: the café film",
    "good good stories",
    "好看的电影",
    "unfilmable",
] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return tokenization.train_wordpiece(TEXTS, 120)


def test_special_ids_come_first(tokenizer):
    for trained in (tokenizer, tokenization.train_bpe(TEXTS, 300)):
        assert [trained.token_to_id(name) for name in tokenization.SPECIAL] == [
            0,
            1,
            2,
            3,
            4,
        ]
        assert trained.get_vocab_size() <= 300
        ids = sorted(trained.get_vocab().values())
        # no id is missing: the embedding has a row for each and no more
        assert ids == list(range(len(ids)))


def test_encode_and_decode(tokenizer):
    (row,) = tokenization.encode(tokenizer, ["Good FILM, café"])
    assert row[0] == 2 and row[-1] == 3
    # lower-cased, accents stripped, as BERT does
    assert tokenization.decode(tokenizer, row) == "good film, cafe"
    assert 1 in tokenization.encode(tokenizer, ["good \N{SNOWMAN}"])[0]
    bpe = tokenization.train_bpe(TEXTS, 300)
    text = "Déjà vu \N{SNOWMAN} 好"
    # bytes: nothing is ever unknown
    assert tokenization.decode(bpe, tokenization.encode(bpe, [text])[0]) == text
    assert 1 not in tokenization.encode(bpe, [text])[0]


def test_chinese_becomes_characters(tokenizer):
    pieces = [
        tokenizer.id_to_token(i)
        for i in tokenization.encode(tokenizer, ["好电影"])[0][1:-1]
    ]
    assert pieces == ["好", "电", "影"]


# like Chinese
MANY = [
    "".join(chr(0x4E00 + (7 * i + j * j) % (150 + i)) for j in range(9)) + " ok"
    for i in range(200)
]


@pytest.mark.parametrize("size", [7, 8, 30, 100, 250, 1000])
def test_a_wordpiece_vocabulary_is_never_larger_than_asked(size, counted):
    """The library keeps every character it has met: thousands in Chinese, however few
    pieces it is asked for.
    """
    trained = tokenization.train_wordpiece(MANY, size)
    vocab = trained.get_vocab()
    assert len(vocab) <= size and sorted(vocab.values()) == list(range(len(vocab)))
    assert [vocab[name] for name in tokenization.SPECIAL] == [0, 1, 2, 3, 4]
    counts = Counter("".join(MANY).replace(" ", ""))
    known, lost = (
        {char for char in counts if (char in vocab) == kept} for kept in (True, False)
    )
    # the commonest stay
    assert known and all(counts[a] >= counts[b] for a in known for b in lost)
    if lost:
        rare, common = min(lost), max(known, key=counts.get)
        assert trained.encode(rare, add_special_tokens=False).tokens == ["[UNK]"]
        assert trained.encode(common, add_special_tokens=False).tokens == [common]
        assert tokenization.train_wordpiece(MANY, size).to_str() == trained.to_str()
        counted("fault")


def test_a_limit_that_is_not_reached_changes_nothing():
    """With room for all characters the vocabulary is the one that was shipped with
    checkpoints.
    """
    texts = sources.load("rotten_tomatoes")["train"]["text"][:800]
    trained = tokenization.train_wordpiece(texts, 1200)
    inner = sorted(
        piece
        for piece in trained.get_vocab()
        if piece.startswith("##") and len(piece) == 3
    )
    assert [trained.id_to_token(5 + i) for i in range(len(inner))] == inner
    vocab = tokenization._wordpiece()
    from tokenizers import trainers

    vocab.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(
            vocab_size=1200,
            min_frequency=2,
            special_tokens=tokenization.SPECIAL + inner,
            show_progress=False,
        ),
    )
    assert vocab.get_vocab() == trained.get_vocab()


def test_special_text_in_a_sentence_is_one_token(tokenizer):
    assert tokenizer.encode("good [MASK]").ids.count(4) == 1


FINGERPRINT = """
import hashlib, sys
from ftlib.course import sources
from ftlib.data import tokenization
texts = sources.load("rotten_tomatoes")["train"]["text"][:800]
trained = getattr(tokenization, sys.argv[1])(texts, 1200)
print(hashlib.sha256(trained.to_str().encode()).hexdigest())
"""


@pytest.mark.parametrize("kind", ["train_wordpiece", "train_bpe"])
def test_every_process_learns_the_same_vocabulary(kind, counted):
    """Otherwise a resumed run reads its embeddings with other ids, and the processes of
    one run disagree.
    """
    texts = sources.load("rotten_tomatoes")["train"]["text"][:800]

    def fingerprint(tokenizer):
        return hashlib.sha256(tokenizer.to_str().encode()).hexdigest()

    here = {fingerprint(getattr(tokenization, kind)(texts, 1200)) for _ in range(2)}
    there = subprocess.run(
        [sys.executable, "-c", FINGERPRINT, kind],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert here == {there.stdout.strip()}, there.stderr
    # control: the library's own numbering differs from training to training
    if kind == "train_wordpiece":
        from tokenizers import trainers

        def plain():
            tokenizer = tokenization._wordpiece()
            tokenizer.train_from_iterator(
                texts,
                trainers.WordPieceTrainer(
                    vocab_size=1200,
                    special_tokens=tokenization.SPECIAL,
                    show_progress=False,
                ),
            )
            return fingerprint(tokenizer)

        assert len({plain() for _ in range(4)}) > 1
        counted("fault")


def test_wordpiece_is_the_longest_match(tokenizer):
    """The pieces of a word are those that the definition gives: the longest known
    beginning, again and again.
    """
    vocab = tokenizer.get_vocab()

    def slowly(word):
        pieces, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in vocab:
                    break
            else:
                return ["[UNK]"]
            pieces.append(piece)
            start = end
        return pieces

    for word in ("good", "films", "unfilmable", "stories", "goodfilm", "xyz", "moods"):
        assert tokenizer.encode(word, add_special_tokens=False).tokens == slowly(word)


def test_saved_folder_opens_in_transformers(tokenizer, tmp_path):
    from transformers import AutoTokenizer

    folder = tmp_path / "runs" / "mine"  # made, with what is above it
    for max_tokens in (32, 64):  # and over itself
        tokenization.save(tokenizer, folder, max_tokens=max_tokens)
    theirs, again = AutoTokenizer.from_pretrained(folder), tokenization.load(folder)
    for text in ("A good film", "Déjà [MASK] 好", ""):
        assert (
            theirs(text)["input_ids"]
            == tokenization.encode(again, [text])[0]
            == tokenization.encode(tokenizer, [text])[0]
        )
    assert (
        theirs.mask_token_id == 4
        and theirs.pad_token_id == 0
        and theirs.model_max_length == 64
    )
    assert theirs("good", "bad", return_token_type_ids=True)["token_type_ids"] == [
        0,
        0,
        0,
        1,
        1,
    ]
    with pytest.raises(FileNotFoundError, match="needs a tokenizer.json"):
        tokenization.load(tmp_path / "none")


def test_fixed_padding_and_truncation_of_published_files_are_taken_off(
    tokenizer, tmp_path
):
    tokenizer.enable_padding(length=20), tokenizer.enable_truncation(4)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokenizer.no_padding(), tokenizer.no_truncation()
    assert json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))[
        "padding"
    ]["strategy"] == {"Fixed": 20}
    text = ["good film a good film"]
    assert tokenization.encode(
        tokenization.load(tmp_path), text
    ) == tokenization.encode(tokenizer, text)


def test_encode_cuts_but_keeps_the_frame(tokenizer):
    long = "good film " * 20
    (row,), (whole,) = (
        tokenization.encode(tokenizer, [long], max_tokens=9),
        tokenization.encode(tokenizer, [long]),
    )
    assert len(row) == 9 and row[:8] == whole[:8] and row[-1] == 3
    assert tokenization.encode(tokenizer, [long], max_tokens=len(whole)) == [whole]
    with pytest.raises(TypeError, match="one string"):
        tokenization.encode(tokenizer, "good film")
    with pytest.raises(ValueError, match="max_tokens is 2"):
        tokenization.encode(tokenizer, [long], max_tokens=2)
    for size in (0, 5, 6):
        with pytest.raises(ValueError, match=f"vocab_size is {size}.*ask for 7"):
            tokenization.train_wordpiece(TEXTS, size)
    with pytest.raises(ValueError, match="vocab_size is 260"):
        tokenization.train_bpe(TEXTS, 260)


def test_cut_keeps_what_it_says():
    row = [2, *range(10, 30), 3]
    assert tokenization.truncate(row, 7) == [2, 10, 11, 12, 13, 14, 3]
    assert tokenization.truncate(row, 7, "tail") == [2, 25, 26, 27, 28, 29, 3]
    # an odd place goes to the front
    assert tokenization.truncate(row, 7, "both") == [2, 10, 11, 12, 28, 29, 3]
    for keep in ("head", "tail", "both"):
        for size in range(3, 25):
            got = tokenization.truncate(row, size, keep)
            assert len(got) == min(size, 22) and got[0] == 2 and got[-1] == 3
            # in order, nothing twice
            assert got[1:-1] == sorted(set(got[1:-1])) and set(got) <= set(row)
        assert tokenization.truncate([2, 3], 3, keep) == [2, 3]
    with pytest.raises(ValueError, match="keep is 'middle'"):
        tokenization.truncate(row, 7, "middle")
    with pytest.raises(ValueError, match="max_tokens is 2"):
        tokenization.truncate(row, 2)


def test_encode_passes_keep_on(tokenizer):
    long = "bad film " + "good " * 30 + "bad story"
    (whole,) = tokenization.encode(tokenizer, [long])
    for keep in ("head", "tail", "both"):
        assert tokenization.encode(tokenizer, [long], 9, keep) == [
            tokenization.truncate(whole, 9, keep)
        ]


def random_unicode(rng):
    """Random code points of all of Unicode; surrogates are no characters."""
    points = (
        rng.choice((rng.randrange(0x80), rng.randrange(0x10F800)))
        for _ in range(rng.randrange(30))
    )
    return "".join(chr(c if c < 0xD800 else c + 0x800) for c in points)


def returns(bpe, text):
    (row,) = tokenization.encode(bpe, [text])
    return tokenization.decode(bpe, row) == text and 1 not in row


def test_bytes_give_back_random_unicode():
    bpe, rng = tokenization.train_bpe(TEXTS, 300), random.Random(0)
    bpe.encode_special_tokens = True
    assert all(returns(bpe, random_unicode(rng)) for _ in range(2000))


def test_bytes_give_back_what_hypothesis_invents():
    bpe = tokenization.train_bpe(TEXTS, 300)
    bpe.encode_special_tokens = True  # hypothesis would find "[PAD]" sooner or later

    @hypothesis.settings(
        max_examples=500, derandomize=True, database=None, deadline=None
    )
    @hypothesis.given(hypothesis.strategies.text())
    def round_trip(text):
        assert returns(bpe, text)

    round_trip()


def test_pack_loses_only_the_rest():
    rows = [[2, *range(10, 10 + n), 3] for n in (3, 8, 1, 20)]
    packed = tokenization.pack(rows, 7)
    flat = [i for row in rows for i in row]
    assert packed.dtype == torch.long and packed.shape == (len(flat) // 7, 7)
    assert packed.flatten().tolist() == flat[: packed.numel()]
    with pytest.raises(ValueError, match="one row needs 99"):
        tokenization.pack(rows, 99)


def test_pad_to_the_longest_row_and_no_further():
    batch = tokenization.pad([[2, 7, 3], [2, 3], [2, 5, 6, 3]], pad_id=9)
    assert batch["input_ids"].tolist() == [[2, 7, 3, 9], [2, 3, 9, 9], [2, 5, 6, 3]]
    assert batch["attention_mask"].tolist() == [
        [1, 1, 1, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 1],
    ]
    with pytest.raises(ValueError, match="no rows"):
        tokenization.pad([])


# ---- what is no row of ids: torch would cut 1.7 to 1 and take True for 1 ----

BIG = 2**63 - 1
NO_ROWS = {
    "a fraction": ([[5], [5, 1.7]], ValueError, "row 1 has 1.7, token ids"),
    "a whole float": ([[5], [2.0]], ValueError, "row 1 has 2.0, token ids"),
    "a bool": ([[5, True]], ValueError, "row 0 has True, token ids"),
    "a negative": ([[5], [-1]], ValueError, "row 1 has -1, token ids"),
    "a label": ([[5, -100]], ValueError, "row 0 has -100, .* not labels"),
    "beyond int64": ([[BIG + 1]], ValueError, f"row 0 has {BIG + 1}, token ids"),
    "a string": ([[5], ["7"]], ValueError, "row 1 has '7', token ids"),
    "nothing": ([[None]], ValueError, "row 0 has None, token ids"),
    "not a number": ([[float("nan")]], ValueError, "row 0 has nan, token ids"),
    "a list in a row": ([[[5]]], ValueError, r"row 0 has \[5\], token ids"),
    "a float tensor": (torch.rand(2, 3), ValueError, r"row 0 has 0\.\d+, token ids"),
    "a bool tensor": ([torch.tensor([True])], ValueError, "row 0 has True, token"),
    "a float of torch": ([[torch.tensor(1.7)]], ValueError, "row 0 has 1.7"),
    "a bool of NumPy": ([[numpy.True_]], ValueError, "row 0 has True, token ids"),
    "floats of NumPy": ([numpy.ones(2)], ValueError, "row 0 has 1.0, token ids"),
    "a text": (["a film"], TypeError, "row 0 is 'a film', not a list .* encode"),
    "one row": ([2, 7, 3], TypeError, r"row 0 is 2, .* write \[row\] for a single"),
    "no row": ([[5], None], TypeError, "row 1 is None, not a list of token ids"),
    "a dict": ([{5: 1}], TypeError, r"row 0 is \{5: 1\}, not a list"),
    "a set, which has no order": ([{5, 6}], TypeError, r"row 0 is \{5, 6\}, not a"),
}
USES = {
    "pad": tokenization.pad,
    "pack": lambda rows: tokenization.pack(rows, 1),
    "classify": classify.pad,  # its twin
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", NO_ROWS)
def test_what_is_no_id_is_refused(name, use, counted):
    rows, error, words = NO_ROWS[name]
    with pytest.raises(error, match=words) as caught:
        USES[use](rows)
    assert "\n" not in str(caught.value)
    counted("fault")


@pytest.mark.parametrize("pad_id", [1.7, True, -1, BIG + 1, "[PAD]", None])
def test_a_pad_id_is_an_id_too(pad_id, counted):
    with pytest.raises(ValueError, match=f"pad_id has {re.escape(repr(pad_id))}, "):
        tokenization.pad([[5, 6], [7]], pad_id)
    counted("fault")


@pytest.mark.parametrize("ids", [[1.7], [True], [-1], ["a"], torch.rand(2)])
def test_decode_takes_ids_alone(tokenizer, ids, counted):
    with pytest.raises(ValueError, match="row 0 has .*, token ids are whole numbers"):
        tokenization.decode(tokenizer, ids)
    counted("fault")


@pytest.mark.parametrize(
    "rows",
    [
        [[0, BIG], [7]],
        ((0, BIG), (7,)),
        [numpy.array([0, BIG]), numpy.array([7], dtype=numpy.uint8)],
        [torch.tensor([0, BIG]), torch.tensor([7], dtype=torch.int32)],
        [[numpy.int64(0), torch.tensor(BIG)], [7]],
        (iter(row) for row in ([0, BIG], [7])),
    ],
    ids=["lists", "tuples", "arrays", "tensors", "numbers of both", "iterators"],
)
def test_ids_of_any_kind_come_through_whole(rows):
    rows = tokenization.check_rows(rows)
    assert rows == [[0, BIG], [7]]
    assert {type(i) for row in rows for i in row} == {int}
    batch = tokenization.pad(rows)["input_ids"]
    assert batch.dtype == torch.long and batch.tolist() == [[0, BIG], [7, 0]]
    packed = tokenization.pack(rows, 3)
    assert packed.dtype == torch.long and packed.tolist() == [[0, BIG, 7]]


# ---- what is no list of texts ----


def doors(tokenizer):
    """Everything that takes a list of texts."""
    return {
        "train_wordpiece": lambda texts: tokenization.train_wordpiece(texts, 60),
        "train_bpe": lambda texts: tokenization.train_bpe(texts, 300),
        "encode": lambda texts: tokenization.encode(tokenizer, texts),
    }


def frame():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"text": ["a film"], "label": [1]})


def missing():
    pandas = pytest.importorskip("pandas")
    return pandas.Series(["a", "b", pandas.NA], index=[9, 4, 2], dtype="string")


NO_TEXTS = {  # name: (what, words of the sentence)
    "one string": (lambda: "a good film", "this is one string, 'a good film'"),
    "NumPy's string": (lambda: numpy.str_("a film"), "this is one string"),
    "bytes": (lambda: b"a film", "this is one string, b'a film'"),
    "a dict": (
        lambda: {"text": ["a film"], "label": [1]},
        r"a dict with the columns \['text', 'label'\]; give one of them",
    ),
    "a data frame": (frame, r"a DataFrame with the columns \['text', 'label'\]"),
    "None": (lambda: ["a", None], r"text 1 is None \(NoneType\), not a string"),
    "NaN": (lambda: ["a", float("nan")], r"text 1 is nan \(float\)"),
    "pandas.NA": (missing, r"text 2 is .*not a string; remove the row"),
    "a number": (lambda: ["a", 7], r"text 1 is 7 \(int\)"),
    "bytes in a list": (lambda: ["a", b"b"], r"text 1 is b'b' \(bytes\)"),
    "a list in a list": (lambda: [["a", "b"]], r"text 0 is \['a', 'b'\] \(list\)"),
    "from a generator": (lambda: iter(["a", "b", None]), "text 2 is None"),
    "half a character": (
        lambda: ["a", "b \ud83d"],
        "text 1 has half a character at 2 .*remove it",
    ),
}


@pytest.mark.parametrize("door", ["train_wordpiece", "train_bpe", "encode"])
@pytest.mark.parametrize("name", NO_TEXTS)
def test_what_is_no_list_of_texts_is_refused(tokenizer, door, name, counted):
    """One string would teach letters, and a table the names of its columns."""
    make, words = NO_TEXTS[name]
    with pytest.raises((TypeError, ValueError), match=words):
        doors(tokenizer)[door](make())
    counted("fault")


@pytest.mark.parametrize("door", ["train_wordpiece", "train_bpe"])
@pytest.mark.parametrize(
    "texts",
    [[], iter(()), [""], [" ", "\n"]],
    ids=["no text", "an empty iterator", "an empty text", "white space"],
)
def test_no_text_teaches_nothing(tokenizer, door, texts, counted):
    if door == "train_bpe" and texts and isinstance(texts, list):
        # the 256 bytes are a vocabulary without any text
        assert tokenization.train_bpe(texts, 300).get_vocab_size() >= 261
        return
    with pytest.raises(ValueError, match="0 texts, 1 at least|no character to learn"):
        doors(tokenizer)[door](texts)
    counted("fault")


def test_any_holder_of_texts_is_read(tokenizer):
    pandas = pytest.importorskip("pandas")
    wanted = tokenization.encode(tokenizer, TEXTS)
    vocab = tokenization.train_bpe(TEXTS, 300).get_vocab()
    for hold in (
        tuple,
        iter,
        numpy.array,
        lambda texts: pandas.Series(texts, index=range(len(texts), 0, -1)),
        lambda texts: dict.fromkeys(texts).keys() and (text for text in texts),
    ):
        assert tokenization.encode(tokenizer, hold(TEXTS)) == wanted
        assert tokenization.train_bpe(hold(TEXTS), 300).get_vocab() == vocab
    assert tokenization.encode(tokenizer, []) == []


# ---- truncation keeps what the tokenizer puts around a text, and no more ----

FRAMES = {  # (before, behind)
    (1, 1): "[CLS] $A [SEP]",
    (1, 0): "[CLS] $A",
    (0, 1): "$A [SEP]",
    (2, 1): "[CLS] [MASK] $A [SEP]",
    (0, 0): None,
}


@pytest.mark.parametrize("kind", ["transformers", "swapped", "a folder"])
def test_what_is_no_tokenizer_is_refused(tokenizer, tmp_path, kind, counted):
    from transformers import AutoTokenizer

    tokenization.save(tokenizer, tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    given = {"transformers": theirs, "swapped": ["a film"], "a folder": tmp_path}[kind]
    with pytest.raises(TypeError, match="not one of the tokenizers library; give the"):
        tokenization.encode(given, ["a film"])
    # the remedy
    ours = tokenization.encode(tokenizer, ["a film"])
    assert tokenization.encode(theirs.backend_tokenizer, ["a film"]) == ours
    counted("fault")


@pytest.mark.parametrize("keep", ["head", "tail", "both"])
@pytest.mark.parametrize("around", FRAMES)
def test_truncation_knows_the_special_tokens(around, keep, counted):
    bpe, (front, back) = tokenization.train_bpe(TEXTS, 300), around
    bpe.post_processor = tokenizers.processors.Sequence([])
    if FRAMES[around]:
        bpe.post_processor = tokenizers.processors.TemplateProcessing(
            single=FRAMES[around],
            special_tokens=[("[CLS]", 2), ("[SEP]", 3), ("[MASK]", 4)],
        )
    text = "[MASK] a good film, and a bad one [MASK]"
    plain = bpe.encode(text, add_special_tokens=False).ids
    (whole,) = tokenization.encode(bpe, [text])
    assert len(whole) == len(plain) + front + back
    for size in range(front + back + 1, len(whole) + 2):
        (row,) = tokenization.encode(bpe, [text], size, keep)
        assert len(row) == min(size, len(whole))
        assert row[:front] == whole[:front] and row[len(row) - back :] == (
            whole[len(whole) - back :] if back else []
        )
        left, n = row[front : len(row) - back], min(size, len(whole)) - front - back
        first = {"head": n, "tail": 0, "both": (n + 1) // 2}[keep]
        assert left == plain[:first] + plain[len(plain) - (n - first) :]
    (empty,) = tokenization.encode(bpe, [""], front + back + 1, keep)
    assert empty == whole[:front] + whole[len(whole) - back :] * (back > 0)
    with pytest.raises(ValueError, match=f"already take {front + back}; allow"):
        tokenization.encode(bpe, [""], front + back, keep)
    with pytest.raises(ValueError, match=f"already take {front + back}; allow"):
        tokenization.encode(bpe, [text], front + back, keep)
    # what stood there before: the last token of a row was taken for [SEP]
    old = tokenization.truncate(whole, 7, keep)
    new = tokenization.encode(bpe, [text], 7, keep)[0]
    assert old == new if around == (1, 1) else keep != "head" or back or old != new
    counted("fault", old != new)


def test_a_tokenizer_that_pads_or_cuts_is_refused(tokenizer, counted):
    for switch in ("enable_padding", "enable_truncation"):
        other = tokenizers.Tokenizer.from_str(tokenizer.to_str())
        getattr(other, switch)(**({"max_length": 4} if "trunc" in switch else {}))
        with pytest.raises(ValueError, match="pads or cuts texts by itself; call its"):
            tokenization.encode(other, ["a good film"])
        counted("fault")


# ---- where words begin ----


def test_starts_word(tokenizer):
    starts = tokenization.starts_word(tokenizer)
    assert starts.shape == (tokenizer.get_vocab_size(),) and starts[:5].all()
    ids = torch.tensor(tokenizer.encode("moodst good", add_special_tokens=False).ids)
    assert starts[ids].sum() == 2 and starts[ids][0] and len(ids) > 2


def sentencepiece(kind):
    """A tokenizer as XLM-R or Llama have it: spaces become ▁."""
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    if kind == "unigram":
        made = tokenizers.Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=90,
            special_tokens=["<unk>", "<s>"],
            unk_token="<unk>",
            show_progress=False,
        )
        made.train_from_iterator(TEXTS + ["好 的 film"], trainer)
        return made
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abefgiloru"]
    model = models.BPE(
        {token: i for i, token in enumerate([*tokens, "▁f", "il"])},
        [("▁", "f"), ("i", "l")],
        unk_token="<unk>",
        byte_fallback=True,
    )
    made = tokenizers.Tokenizer(model)
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    made.add_special_tokens(["<unk>"])
    return made


def words_of(tokenizer, text, starts=None):
    """The words that `starts_word` finds in a text -> [text of each]."""
    starts = tokenization.starts_word(tokenizer) if starts is None else starts
    words = []
    for i in tokenizer.encode(text, add_special_tokens=False).ids:
        if starts[i] or not words:
            words.append([])
        words[-1].append(i)
    return [tokenizer.decode(word).strip() for word in words]


SPLIT = {  # name: (how it is made, text, words)
    "wordpiece": (
        lambda: tokenization.train_wordpiece(TEXTS, 120),
        "good unfilmable stories 好看film",
        ["good", "unfilmable", "stories", "好", "看", "film"],
    ),
    "bytes": (
        lambda: tokenization.train_bpe(TEXTS, 262),
        "unfilmable films, goodness\nme",
        ["unfilmable", "films,", "goodness", "me"],
    ),
    "bytes, Chinese": (
        lambda: tokenization.train_bpe(TEXTS, 262),
        "一好电影，看film déjà です",
        ["一", "好", "电", "影，", "看film", "déjà", "です"],
    ),
    "bytes, Chinese words": (
        lambda: tokenization.train_bpe(["电影", "好看"] * 9, 400),
        "电影好看电影",
        ["电影", "好看", "电影"],
    ),
    "sentencepiece": (
        lambda: sentencepiece("unigram"),
        "goodness unfilmable film",
        ["goodness", "unfilmable", "film"],
    ),
    "sentencepiece, Chinese": (
        lambda: sentencepiece("unigram"),
        "goodness 好看的 film",
        ["goodness", "好", "看", "的", "film"],
    ),
    "byte fallback": (
        lambda: sentencepiece("bytes"),
        "failure of 好的 film",
        ["failure", "of", "", "好", "的", "film"],
    ),
}


@pytest.mark.parametrize("name", SPLIT)
def test_words_begin_where_the_vocabulary_says(name, counted):
    make, text, wanted = SPLIT[name]
    made = make()
    found = words_of(made, text)
    assert found == wanted
    ids = made.encode(text, add_special_tokens=False).ids
    # control: everything without ## begins a word, as it was
    naive = torch.tensor(
        [
            not (made.id_to_token(i) or "").startswith("##")
            for i in range(made.get_vocab_size())
        ]
    )
    assert name == "wordpiece" or naive[ids].all()
    counted("fault", name != "wordpiece")


@pytest.mark.parametrize(
    "text, begins",
    [
        (" a", True),
        ("\n", True),
        ("\u00a0a", True),
        ("\u3000", True),
        ("a", False),
        ("é", False),
        ("。", False),
        ("で", False),
        ("한", False),
        ("一", True),
        ("\u9fff", True),
        ("\u3400a", True),
        ("\u4dbf", True),
        ("\uf900", True),
        ("\U00020000", True),
        ("😀", False),
    ],
)
def test_which_characters_begin_a_word(text, begins):
    raw = text.encode("utf-8")
    assert tokenization._begins_word(raw) == begins
    # the bytes that go on with a character begin nothing
    assert not any(tokenization._begins_word(raw[i:]) for i in range(1, len(raw))) or (
        text[0].isspace() or text.endswith("a")
    )


def test_the_bytes_of_a_token_are_the_librarys():
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    assert tokenization._BYTE_OF.keys() == set(alphabet)
    assert sorted(tokenization._BYTE_OF.values()) == list(range(256))
    byte_level = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=False, use_regex=False
    )
    for text in ("a é\n好\x00\x7f\xa0\xad😀", "".join(map(chr, range(400)))):
        ((visible, _),) = byte_level.pre_tokenize_str(text)
        assert tokenization._raw(visible, "Ġ") == text.encode("utf-8")
    assert tokenization._raw("▁好", "▁") == " 好".encode()
    assert tokenization._raw("<0xE5>", "▁") == b"\xe5"


def test_special_tokens_begin_a_word():
    for made in (tokenization.train_bpe(TEXTS, 300), sentencepiece("unigram")):
        added = list(made.get_added_tokens_decoder())
        assert len(added) > 1 and tokenization.starts_word(made)[added].all()


def test_ids_with_holes_have_their_place():
    model = tokenizers.models.WordPiece({"a": 0, "##b": 7, "[UNK]": 3})
    starts = tokenization.starts_word(tokenizers.Tokenizer(model))
    assert starts.tolist() == [True] * 7 + [False]


@pytest.mark.parametrize("suffix", ["", "</w>"])
def test_a_vocabulary_without_marks_is_refused(suffix, counted):
    from tokenizers import models, pre_tokenizers, trainers

    made = tokenizers.Tokenizer(models.BPE(end_of_word_suffix=suffix))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(TEXTS, trainers.BpeTrainer(show_progress=False))
    with pytest.raises(ValueError, match="do not tell where a word begins .*mask tok"):
        tokenization.starts_word(made)
    counted("fault")


def test_a_vocabulary_of_words_needs_no_marks():
    model = tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="a")
    assert tokenization.starts_word(tokenizers.Tokenizer(model)).tolist() == [True] * 2
