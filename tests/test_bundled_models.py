"""The models this project trained: complete, small, opened by transformers with equal
logits, and trained on no test text.
"""

import hashlib
import importlib.util
import json
import pathlib
import re

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
)

from ftlib.course import sources, translations
from ftlib.data import tokenization
from ftlib.models import hf_format, pegasus_format, seq2seq, transformer

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = sorted(
    path for path in (ROOT / "data" / "checkpoints").glob("*") if path.is_dir()
)


TRANSLATORS = [folder for folder in FOLDERS if folder.name == "en-zh-mini"]
LANGUAGE_MODELS = [folder for folder in FOLDERS if folder not in TRANSLATORS]


def from_file(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_a_checkpoint():
    assert "reviews-bert-mini" in {folder.name for folder in FOLDERS}


@pytest.mark.parametrize("folder", LANGUAGE_MODELS, ids=lambda folder: folder.name)
def test_a_checkpoint_is_small_and_opens_in_transformers_with_equal_logits(folder):
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 12e6
    ours = transformer.from_state(*hf_format.load(folder)).eval()
    auto = AutoModelForCausalLM if ours.config.causal else AutoModelForMaskedLM
    theirs = auto.from_pretrained(folder, use_safetensors=True).eval()
    text = (
        "这家酒店的[MASK]间很大。"
        if folder.name.startswith("zh")
        else "this film was [MASK], and the acting [MASK]."
    )
    ids = torch.tensor(tokenization.encode(tokenization.load(folder), [text]))
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] == ids[0].tolist()
    with torch.no_grad():
        gap = (ours(ids).logits - theirs(input_ids=ids).logits).abs().max()
    assert gap < 1e-4
    assert ours.config.max_tokens >= 64


@pytest.mark.parametrize("folder", TRANSLATORS, ids=lambda folder: folder.name)
def test_a_translator_is_small_and_writes_what_transformers_writes(folder):
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 12e6
    ours = seq2seq.from_folder(*pegasus_format.load(folder))
    theirs = AutoModelForSeq2SeqLM.from_pretrained(folder, use_safetensors=True).eval()
    texts = ["Turn on the light", "The password is wrong.", "Delete {name}?"]
    batch = tokenization.pad(tokenization.encode(tokenization.load(folder), texts))
    read = AutoTokenizer.from_pretrained(folder)(texts)["input_ids"]
    assert [row[row > 0].tolist() for row in batch["input_ids"]] == read
    reads = torch.tensor([[2, 9, 17]] * 3)
    with torch.no_grad():
        logits = theirs(**batch, decoder_input_ids=reads).logits
        torch.testing.assert_close(
            ours(**batch, decoder_input_ids=reads), logits, atol=1e-4, rtol=1e-4
        )
    more = dict(num_beams=4, length_penalty=1.0, early_stopping=True)
    written = theirs.generate(**batch, max_new_tokens=32, **more)
    lists, _ = seq2seq.beam_search(ours, **batch, width=4, max_new=32)
    ends = [[i for i in row if i not in (0, 2, 3)] for row in written.tolist()]
    assert lists == ends and all(lists)


@pytest.mark.parametrize("folder", TRANSLATORS, ids=lambda folder: folder.name)
def test_a_translator_was_trained_on_no_test_file(folder):
    """The pairs of the run are those of today's split, which shares no file and no
    sentence with a test set.
    """
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    splits = translations.load()
    train = splits["train"]
    text = json.dumps([train["en"], train["zh"]], ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == run["pairs"]
    for name in ("validation", "test", "neighbour", "everyday"):
        assert not set(train["file"]) & set(splits[name]["file"])
        for side in ("en", "zh"):
            seen = {translations.normal(text) for text in train[side]}
            assert not seen & {translations.normal(t) for t in splits[name][side]}


# assistant-mini is no pretraining run: its card is checked below
PRETRAINED = [folder for folder in FOLDERS if folder.name != "assistant-mini"]


@pytest.mark.parametrize("folder", PRETRAINED, ids=lambda folder: folder.name)
def test_the_card_is_made_from_the_run_record(folder):
    maker, written = (
        from_file(ROOT / "tools" / "model_card.py"),
        (folder / "README.md").read_text(encoding="utf-8"),
    )
    assert maker.card(folder) == written
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert {
        "command",
        "commit",
        "machine",
        "seconds",
        "tokens",
        "curve",
        "unigram",
        "seed",
    } <= run.keys()
    assert (
        run["curve"][-1][0] == run.get("stopped", run["steps"])
        and run["curve"][-1][2] < run["unigram"] - 1
    )
    assert (
        "documents" not in run
        or run["documents"]["nats"] < run["bigram"] < run["unigram"] < run["uniform"]
    )
    # the control: another number in the record gives another card
    run["unigram"] += 1
    assert f"{run['unigram']:.2f}" not in written


def test_the_card_of_the_assistant_has_the_numbers_of_its_run():
    folder = ROOT / "data" / "checkpoints" / "assistant-mini"
    card = (folder / "README.md").read_text(encoding="utf-8")
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert run["commit"] and run["command"] in card
    stored = ROOT / "data" / "results" / "assistant.json"
    cells = json.loads(stored.read_text(encoding="utf-8"))["cells"]
    key = {"method": "pretrained", "share": 1.0, "seed": 0}
    (cell,) = (c for c in cells if key.items() <= c.items())
    for language in ("en", "zh"):
        digits = cell[language]["test"]
        share = digits.count("1") / len(digits)
        assert run["exact"][language] == round(share, 4)
        assert f"{100 * share:.1f} %" in card


class Forbidden(dict):
    """Columns that must not be looked at."""

    def __getitem__(self, key):
        raise AssertionError(f"pretraining read the test split's column {key!r}")

    get = items = values = __iter__ = __getitem__


@pytest.mark.parametrize("name, more", [("mlm_rows", [32]), ("pretrain_clm", [])])
def test_pretraining_never_reads_a_test_text(name, more, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "recipes")
    recipe = from_file(ROOT / "recipes" / f"{name}.py")
    few = sources.load("rotten_tomatoes")
    small = {
        part: {"text": columns["text"][:300]}
        for part, columns in few.items()
        if part != "test"
    }
    monkeypatch.setattr(sources, "load", lambda name: {**small, "test": Forbidden()})
    tokenizer, rows, held_out, *_ = recipe.corpus(["rotten_tomatoes"], 500, 64, *more)
    assert (
        rows.shape[1] == 64 and len(held_out) > 0 and tokenizer.get_vocab_size() <= 500
    )
    with pytest.raises(AssertionError, match="test split"):  # the trap works
        monkeypatch.setattr(
            sources, "load", lambda name: {**small, "train": Forbidden()}
        )
        recipe.corpus(["rotten_tomatoes"], 500, 64, *more)


def test_the_chinese_model_recites_no_number():
    """Some shop reviews carry the telephone number of their writer: with its digits
    hidden, no number comes back whole.
    """
    folder = ROOT / "data" / "checkpoints" / "zh-bert-mini"
    net, tokenizer = (
        transformer.from_state(*hf_format.load(folder)).eval(),
        tokenization.load(folder),
    )
    mask, hidden, restored, copied = tokenizer.token_to_id("[MASK]"), 0, 0, 0
    for text in sources.load("zh_shop_reviews")["train"]["text"]:
        for found in re.finditer(r"[0-9]{7,}", text):
            # what the model can read at once
            around = text[max(0, found.start() - 60) : found.end() + 60]
            encoding = tokenizer.encode(around)
            start = found.start() - max(0, found.start() - 60)
            places = [
                i
                for i, (a, b) in enumerate(encoding.offsets)
                if b > a and a >= start and b <= start + len(found.group())
            ]
            ids = torch.tensor([encoding.ids])
            wanted = ids[0, places].clone()
            with torch.no_grad():
                shown = net(ids).logits[0, places].argmax(-1)
                ids[0, places] = mask
                guessed = net(ids).logits[0, places].argmax(-1)
            hidden, restored, copied = (
                hidden + 1,
                restored + torch.equal(guessed, wanted),
                copied + torch.equal(shown, wanted),
            )
    assert hidden >= 10 and restored == 0
    # the control: of the numbers that are not hidden some come back, so the comparison
    # can be met
    assert copied > 0
