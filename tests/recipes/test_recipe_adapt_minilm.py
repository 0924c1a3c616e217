"""MiniLM with an adapter reads reviews: the head learns alone at first, what is frozen
stays, a run that was cut off ends as one that was not, and the folder opens again.
"""

import json
import sys

import adapt_minilm as recipe
import pytest
import torch
from finetune import encoder_of

from ftlib.course import hub
from ftlib.models import lora
from ftlib.training import train

TOY = "--steps 6 --head_steps 3 --warmup 1 --batch 2 --length 16 --tests 4 --rank 4"


def settings(folder, monkeypatch, *more):
    words = [*TOY.split(), "--work", str(folder / "work"), "--out", str(folder / "out")]
    monkeypatch.setattr(sys, "argv", ["recipes/adapt_minilm.py", *words, *more])
    return recipe.parse()


def test_the_adapter_waits_for_the_head(tmp_path, monkeypatch):
    a = settings(tmp_path, monkeypatch)
    net, _ = recipe.model_of(a)
    for step, learns in ((0, False), (2, False), (3, True), (5, True)):
        recipe.let_learn(net, step, a)
        assert {tensor.requires_grad for tensor in recipe.adapter(net)} == {learns}
    # A and B of four matrices in each of six layers
    assert len(recipe.adapter(net)) == 2 * 4 * 6
    others = set(net.encoder.parameters()) - set(recipe.adapter(net))
    assert not any(tensor.requires_grad for tensor in others)


@pytest.mark.parametrize(
    "more, rates", [((), (1e-3, 1e-3)), (("--encoder_lr", "2e-4"), (1e-3, 2e-4))]
)
def test_head_and_adapter_have_rates_of_their_own(tmp_path, monkeypatch, more, rates):
    a = settings(tmp_path, monkeypatch, *more)
    net, _ = recipe.model_of(a)
    head, inside = recipe.groups(net, a)
    assert (head["lr"], inside["lr"]) == rates == (head["initial_lr"], a.encoder_lr)
    assert set(inside["params"]) == set(recipe.adapter(net))
    trained = {p for p in net.parameters() if p.requires_grad}
    assert {*head["params"], *inside["params"]} == trained


def test_too_many_steps_of_the_head_are_refused(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="head_steps is 6 of 6 steps"):
        settings(tmp_path, monkeypatch, "--head_steps", "6")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that was cut off after the fourth step, and one that was not."""
    made, threads = tmp_path_factory.mktemp("adapt"), torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLIB_BF16", "0")
        few = [f"a film with {word} in it is a film" for word in "abcdefghij"] * 20
        patch.setattr(recipe, "texts", lambda split: few)
        settings(made / "whole", patch)
        recipe.main()
        settings(made / "cut", patch, "--minutes_between_saves", "0")
        plain = train.steps

        def cut(*args, **how):
            for step in plain(*args, **how):
                yield step
                if step.number == 3:
                    raise KeyboardInterrupt

        patch.setattr(recipe.train, "steps", cut)
        with pytest.raises(KeyboardInterrupt):
            recipe.main()
        patch.setattr(recipe.train, "steps", plain)
        recipe.main()
    torch.set_num_threads(threads)
    return made


def adapter_of(folder):
    encoder, _ = encoder_of(recipe.NAME)
    lora.load(encoder, folder / "out")
    return encoder


def test_a_run_that_was_cut_off_ends_as_the_other(folder):
    one, other = (
        lora.adapter_state_dict(adapter_of(folder / name)) for name in ("whole", "cut")
    )
    assert one.keys() == other.keys() and len(one) == 48
    for name in one:
        assert torch.equal(one[name], other[name]), name
    # B begins at zero, and has learned
    assert any(t.abs().max() > 0 for n, t in one.items() if "lora_B" in n)


def test_the_folder_changes_minilm_a_little(folder):
    ids = torch.tensor([[101, 2023, 2003, 1037, 2143, 102]])
    plain, _ = encoder_of(recipe.NAME)
    adapted = adapter_of(folder / "whole")
    before, after = (net(ids).last_hidden_state for net in (plain.eval(), adapted))
    lora.merge(adapted)
    merged = adapted(ids).last_hidden_state
    assert 0 < (before - after).abs().max() < 1
    torch.testing.assert_close(merged, after, atol=1e-4, rtol=1e-4)


def test_the_record_says_both_losses(folder):
    text = (folder / "whole" / "out" / "run.json").read_text(encoding="utf-8")
    record = json.loads(text)
    assert set(record["loss_apart"]) == {"hidden", "unigram", "visible", "copy"}
    assert record["tokens"] == 6 * 2 * 16 and record["base"] == recipe.NAME
    assert record["curve"][-1][0] == 6


def test_the_stored_runs_differ_in_the_adapters_rate_alone():
    """And the run whose adapter learns at the rate of the head ends lower."""
    stored = hub.checkpoints().parent / "results" / "adapter_rates.json"
    same, lower = json.loads(stored.read_text(encoding="utf-8"))
    apart = {k for k, v in same["options"].items() if v != lower["options"][k]}
    assert apart == {"encoder_lr", "work", "out"}
    assert float(lower["options"]["encoder_lr"]) == 3e-4
    assert same["options"]["encoder_lr"] == same["options"]["lr"] == "0.001"
    for run in (same, lower):
        assert [step for step, *_ in run["curve"]] == [100, 200, 300, 360]
    assert same["curve"][-1][2] < lower["curve"][-1][2]
