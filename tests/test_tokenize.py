"""Vocabularies that do not depend on the process, folders that transformers opens, packing and padding without loss."""
import hashlib
import json
import subprocess
import sys

import pytest
import torch

from ftlib import data, tokenize

TEXTS = ["A good film, a good story!", "a BAD film", "Déjà vu: the café film", "good good stories", "好看的电影", "unfilmable"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return tokenize.train_wordpiece(TEXTS, 120)


def test_special_ids_come_first(tokenizer):
    for trained in (tokenizer, tokenize.train_bpe(TEXTS, 300)):
        assert [trained.token_to_id(name) for name in tokenize.SPECIAL] == [0, 1, 2, 3, 4]
        assert trained.get_vocab_size() <= 300
        ids = sorted(trained.get_vocab().values())
        assert ids == list(range(len(ids)))  # no id is missing: the embedding has a row for each and no more


def test_encode_and_decode(tokenizer):
    (row,) = tokenize.encode(tokenizer, ["Good FILM, café"])
    assert row[0] == 2 and row[-1] == 3
    assert tokenize.decode(tokenizer, row) == "good film, cafe"  # lower-cased, accents stripped, as BERT does
    assert 1 in tokenize.encode(tokenizer, ["good \N{SNOWMAN}"])[0]
    bpe = tokenize.train_bpe(TEXTS, 300)
    text = "Déjà vu \N{SNOWMAN} 好"
    assert tokenize.decode(bpe, tokenize.encode(bpe, [text])[0]) == text  # bytes: nothing is ever unknown
    assert 1 not in tokenize.encode(bpe, [text])[0]


def test_chinese_becomes_characters(tokenizer):
    pieces = [tokenizer.id_to_token(i) for i in tokenize.encode(tokenizer, ["好电影"])[0][1:-1]]
    assert pieces == ["好", "电", "影"]


def test_special_text_in_a_sentence_is_one_token(tokenizer):
    assert tokenizer.encode("good [MASK]").ids.count(4) == 1


FINGERPRINT = """
import hashlib, sys
from ftlib import data, tokenize
texts = data.load("rotten_tomatoes")["train"]["text"][:800]
print(hashlib.sha256(getattr(tokenize, sys.argv[1])(texts, 1200).to_str().encode()).hexdigest())
"""


@pytest.mark.parametrize("kind", ["train_wordpiece", "train_bpe"])
def test_every_process_learns_the_same_vocabulary(kind, counted):
    """Otherwise a resumed run reads its embeddings with other ids, and the processes of one run disagree."""
    texts = data.load("rotten_tomatoes")["train"]["text"][:800]

    def fingerprint(tokenizer):
        return hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
    here = {fingerprint(getattr(tokenize, kind)(texts, 1200)) for _ in range(2)}
    there = subprocess.run([sys.executable, "-c", FINGERPRINT, kind], capture_output=True, text=True, timeout=120)
    assert here == {there.stdout.strip()}, there.stderr
    if kind == "train_wordpiece":  # control: the library's own numbering differs from training to training
        from tokenizers import trainers

        def plain():
            tokenizer = tokenize._wordpiece()
            tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=1200, special_tokens=tokenize.SPECIAL, show_progress=False))
            return fingerprint(tokenizer)
        assert len({plain() for _ in range(4)}) > 1
        counted("fault")


def test_wordpiece_is_the_longest_match(tokenizer):
    """The pieces of a word are those that the definition gives: the longest known beginning, again and again."""
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
    tokenize.save(tokenizer, tmp_path, max_tokens=64)
    theirs, again = AutoTokenizer.from_pretrained(tmp_path), tokenize.load(tmp_path)
    for text in ("A good film", "Déjà [MASK] 好", ""):
        assert theirs(text)["input_ids"] == tokenize.encode(again, [text])[0] == tokenize.encode(tokenizer, [text])[0]
    assert theirs.mask_token_id == 4 and theirs.pad_token_id == 0 and theirs.model_max_length == 64
    assert theirs("good", "bad", return_token_type_ids=True)["token_type_ids"] == [0, 0, 0, 1, 1]
    with pytest.raises(FileNotFoundError, match="needs a tokenizer.json"):
        tokenize.load(tmp_path / "none")


def test_fixed_padding_and_truncation_of_published_files_are_taken_off(tokenizer, tmp_path):
    tokenizer.enable_padding(length=20), tokenizer.enable_truncation(4)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokenizer.no_padding(), tokenizer.no_truncation()
    assert json.loads((tmp_path / "tokenizer.json").read_text())["padding"]["strategy"] == {"Fixed": 20}
    text = ["good film a good film"]
    assert tokenize.encode(tokenize.load(tmp_path), text) == tokenize.encode(tokenizer, text)


def test_encode_cuts_but_keeps_the_frame(tokenizer):
    long = "good film " * 20
    (row,), (whole,) = tokenize.encode(tokenizer, [long], max_tokens=9), tokenize.encode(tokenizer, [long])
    assert len(row) == 9 and row[:8] == whole[:8] and row[-1] == 3
    assert tokenize.encode(tokenizer, [long], max_tokens=len(whole)) == [whole]
    with pytest.raises(TypeError, match="one string"):
        tokenize.encode(tokenizer, "good film")
    with pytest.raises(ValueError, match="max_tokens is 2"):
        tokenize.encode(tokenizer, [long], max_tokens=2)
    with pytest.raises(ValueError, match="vocab_size is 5"):
        tokenize.train_wordpiece(TEXTS, 5)
    with pytest.raises(ValueError, match="vocab_size is 260"):
        tokenize.train_bpe(TEXTS, 260)


def test_pack_loses_only_the_rest():
    rows = [[2, *range(10, 10 + n), 3] for n in (3, 8, 1, 20)]
    packed = tokenize.pack(rows, 7)
    flat = [i for row in rows for i in row]
    assert packed.dtype == torch.long and packed.shape == (len(flat) // 7, 7)
    assert packed.flatten().tolist() == flat[: packed.numel()]
    with pytest.raises(ValueError, match="one row needs 99"):
        tokenize.pack(rows, 99)


def test_pad_to_the_longest_row_and_no_further():
    batch = tokenize.pad([[2, 7, 3], [2, 3], [2, 5, 6, 3]], pad_id=9)
    assert batch["input_ids"].tolist() == [[2, 7, 3, 9], [2, 3, 9, 9], [2, 5, 6, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    with pytest.raises(ValueError, match="no rows"):
        tokenize.pad([])


def test_starts_word(tokenizer):
    starts = tokenize.starts_word(tokenizer)
    assert starts.shape == (tokenizer.get_vocab_size(),) and starts[:5].all()
    ids = torch.tensor(tokenizer.encode("moodst good", add_special_tokens=False).ids)
    assert starts[ids].sum() == 2 and starts[ids][0] and len(ids) > 2
