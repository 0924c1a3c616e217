"""The translator at toy size: it learns, goes on where it was, refuses other settings;
its outputs are scored and stored.
"""

import json

import pytest
import torch
import translate
import translation_adapt
import translation_scores
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from ftlib.course import translations
from ftlib.data import tokenization
from ftlib.evaluation import translation
from ftlib.models import pegasus_format, seq2seq

TOY = (
    "--steps 4 --every 2 --batch 8 --vocab 400 --width 16 --ffn 16 --heads 2 "
    "--layers 1 --decoder-layers 1 --warmup 1 --lexical 3 --average 2 --length 40"
).split()
PAIRS = {
    "en": ["Open the door", "Close the door", "Open the window", "Close the window"]
    * 8,
    "zh": ["打开门", "关闭门", "打开窗户", "关闭窗户"] * 8,
}


def columns(start, stop):
    part = {name: values[start:stop] for name, values in PAIRS.items()}
    return part | {"file": [f"toy/{i % 3}" for i in range(start, stop)]}


class Forbidden(dict):
    def __getitem__(self, key):
        raise AssertionError(f"training read the test set's column {key!r}")

    get = items = values = __iter__ = __getitem__


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """`toy(*words)` trains on four pairs and returns run.json."""
    hidden = dict.fromkeys(("test", "neighbour", "everyday"), Forbidden())
    splits = {"train": columns(0, 24), "validation": columns(24, 32)} | hidden
    monkeypatch.setattr(translations, "load", lambda packages=None: splits)
    monkeypatch.setenv("FTLIB_BF16", "0")

    def run(*words):
        translate.main(translate.arguments([*TOY, "--out", str(tmp_path), *words]))
        return json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))

    return run


def test_a_run_leaves_a_folder_that_transformers_opens(toy, tmp_path):
    run = toy()
    assert [row[0] for row in run["curve"]] == [2, 4] and run["train_pairs"] == 24
    assert run["unigram"] > 0 and run["validation_loss"].keys() == {"last", "averaged"}
    ours = seq2seq.from_folder(*pegasus_format.load(tmp_path))
    theirs = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    ids = torch.tensor(tokenization.encode(tokenization.load(tmp_path), ["Open it"]))
    batch = AutoTokenizer.from_pretrained(tmp_path)(["Open it"], return_tensors="pt")
    assert torch.equal(batch["input_ids"], ids)
    assert theirs.generate(**batch, max_new_tokens=3).shape[1] <= 4
    with torch.no_grad():
        found = ours(ids, torch.ones_like(ids), ids)
        expected = theirs(input_ids=ids, decoder_input_ids=ids).logits
    torch.testing.assert_close(found, expected)


def test_it_goes_on_to_the_same_numbers(toy, tmp_path, monkeypatch):
    whole = toy()
    (tmp_path / "state" / "step-4.safetensors").unlink()
    again = toy()
    kept = ("curve", "tokens", "validation_loss")
    drop = [[row[:3] for row in run["curve"]] for run in (whole, again)]
    assert drop[0] == drop[1]
    assert all(whole[key] == again[key] for key in kept[1:])
    # a run may be ended early: the schedule stays that of all its steps
    (tmp_path / "state" / "step-4.safetensors").unlink()
    early = toy("--stop", "2")
    assert early["stopped"] == 2 and early["curve"][0][:3] == whole["curve"][0][:3]
    with pytest.raises(ValueError, match="lr is"):
        toy("--lr", "0.5")


def test_the_rate_falls_before_an_early_end():
    a = translate.arguments("--steps 100 --warmup 10 --stop 60 --decay 20".split())
    full = translate.arguments("--steps 100 --warmup 10".split())
    early, whole = (
        [translate.rate_factor(step, x, end) for step in range(60)]
        for x, end in ((a, 60), (full, 100))
    )
    assert early[:40] == whole[:40]
    assert early[50] == pytest.approx(whole[50] / 2)
    assert early[59] == pytest.approx(whole[59] / 20)


def test_the_toy_is_learnt(toy, tmp_path):
    toy("--steps", "150", "--lexical", "60", "--every", "150", "--lr", "0.01")
    model = seq2seq.from_folder(*pegasus_format.load(tmp_path))
    tokenizer = tokenization.load(tmp_path)
    texts, scores, lengths = translation_scores.translate(
        model, tokenizer, PAIRS["en"][:4], width=2
    )
    assert texts == PAIRS["zh"][:4]
    assert all(score < 0 for score in scores) and all(n >= 2 for n in lengths)
    # shuffled sources give their own translations back, in their order
    turned, _, _ = translation_scores.translate(model, tokenizer, PAIRS["en"][3::-1])
    assert turned == texts[::-1]


def test_the_word_table_finds_translations():
    torch.manual_seed(0)
    config = seq2seq.Config(vocab_size=20, dim=16, heads=2, ffn_dim=16)
    net, words = seq2seq.Seq2Seq(config), torch.arange(5, 10)
    ctx = translate.distributed.setup(0, device="cpu", bf16=False)

    def batches():
        # token 5 + i means 12 + i, in any order, three in a text
        draw = torch.Generator().manual_seed(0)
        while True:
            ids = torch.stack(
                [words[torch.randperm(5, generator=draw)[:3]] for _ in range(16)]
            )
            labels = (ids + 7).flip(1)
            yield {
                "input_ids": ids,
                "attention_mask": torch.ones_like(ids),
                "labels": labels,
            }

    a = translate.arguments([])
    translate.lexical_start(net, batches(), 150, a, ctx)
    cross = net.decoder[-1].cross
    x = net.norm_encoder(net.tokens(words)) @ cross.kv.weight[16:].T
    assert net.head(x).argmax(-1).tolist() == (words + 7).tolist()
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(cross.out.weight, torch.eye(16))


def test_scores_are_stored_with_what_was_written(toy, tmp_path, monkeypatch):
    toy()
    sets = ("test", "neighbour", "everyday")
    splits = translations.load() | {name: columns(0, 12) for name in sets}
    monkeypatch.setattr(translations, "load", lambda packages=None: splits)
    out = tmp_path / "scores.json"
    line = f"--model {tmp_path} --state {tmp_path}/state --out {out} --tests 11"
    line += " --points 3 --widths 1 2 --penalties 0 1"
    translation_scores.main(translation_scores.arguments(line.split()))
    result = json.loads(out.read_text(encoding="utf-8"))
    assert [c["width"] for c in result["validation"]] == [1, 2, 2]
    best = max(result["validation"], key=lambda c: c["bleu"])
    assert result["chosen"]["width"] == best["width"]
    assert [point["step"] for point in result["curve"]] == [2, 4]
    for name in sets:
        stored = result["sets"][name]
        assert len(stored["rows"]) == 11 == len(stored["greedy"]["hypotheses"])
        wanted = [splits[name]["zh"][i] for i in stored["rows"]]
        greedy = next(w for w in stored["widths"] if w["width"] == 1)
        again = translation.bleu(stored["greedy"]["hypotheses"], wanted)
        assert greedy["bleu"] == round(again, 2)
        assert stored["baselines"].keys() == {
            "nearest",
            "word_table",
            "nearest_or_table",
        }
        # every test sentence of the toy is a training sentence
        assert stored["baselines"]["nearest"]["chrf"] == 100
        assert stored["baselines"]["nearest"]["gain"] < 0
        assert len(stored["beam"]["log_prob"]) == len(stored["beam"]["length"]) == 11


def test_another_program_is_taught_and_the_best_weights_are_kept(
    toy, tmp_path, monkeypatch
):
    toy()
    own = {name: values[:4] for name, values in columns(0, 4).items()}
    en = [f"{text} {i}" for i, text in enumerate(PAIRS["en"])]
    files = ["toy/large"] * 20 + ["toy/a"] * 7 + ["toy/b"] * 5
    neighbour = {"en": en, "zh": PAIRS["zh"], "file": files}
    splits = {"train": own, "neighbour": neighbour}
    monkeypatch.setattr(translations, "load", lambda packages=None: splits)
    out = tmp_path / "adapt.json"
    line = f"--model {tmp_path} --out {out} --teach 10 --choose 4 --tests 5 --steps 4"
    line += " --every 2 --batch 4 --rates 1e-4 1e-2"
    translation_adapt.main(translation_adapt.arguments(line.split()))
    found = json.loads(out.read_text(encoding="utf-8"))
    rows = found["rows"]
    inside = [i for name in ("teach", "choose", "same file") for i in rows[name]]
    assert len(inside) == len(set(inside)) == 19 and max(inside) < 20
    assert min(rows["other files"]) >= 20 and len(rows["other files"]) == 5
    tried = [(cell["rate"], cell["steps"]) for cell in found["tried"]]
    assert tried == [(1e-4, 2), (1e-4, 4), (1e-2, 2), (1e-2, 4)]
    best = max(found["tried"], key=lambda cell: cell["bleu"])
    assert found["chosen"] == {key: best[key] for key in ("rate", "steps")}
    assert {len(t) for side in found["hypotheses"].values() for t in side.values()} == {
        5
    }
