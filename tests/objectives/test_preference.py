"""Reward model, DPO, REINFORCE and GRPO against trl's trainers, on one batch each; the
estimates of the KL divergence against the exact one; the loop against single batches.
"""

import copy
import functools
import math

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from ftlib.models import transformer
from ftlib.objectives import preference
from ftlib.training import optim, train

V = 40
PROMPTS = [[2, 7, 9], [2, 5], [2, 11, 12, 13], [2, 6]]
CHOSEN = [[5, 6, 3], [8, 9, 10, 3], [14, 3], [21, 22, 3]]
REJECTED = [[8, 3], [30, 3], [31, 32, 33, 34, 3], [7, 3]]


def gpt2(kind=GPT2LMHeadModel, seed=0, **more):
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=V,
        n_positions=64,
        n_embd=16,
        n_layer=2,
        n_head=2,
        initializer_range=0.3,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **more,
    )
    return kind(config).eval()


def ours(seed=0):
    torch.manual_seed(seed)
    config = transformer.Config(V, 16, 2, 2, 32, 64, causal=True, init_std=0.3)
    return transformer.LanguageModel(config).eval()


@pytest.fixture(scope="module")
def tokenizer():
    words = {f"w{i}": i for i in range(4, V)}
    vocab = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, **words}
    fast = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token="[PAD]",
        eos_token="[SEP]",
        bos_token="[CLS]",
        unk_token="[UNK]",
    )


def settings(config, folder, **more):
    return config(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        report_to="none",
        use_cpu=True,
        bf16=False,
        **more,
    )


@pytest.fixture
def pairs():
    return preference.preference_batch(PROMPTS, CHOSEN, REJECTED)


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


# --- log-probabilities


def test_logps_are_those_of_reading_each_text_alone(pairs, mutated, counted):
    model = ours()
    logps = preference.sequence_logps(model, *preference.completion_rows(pairs)).view(
        -1, 2
    )
    for row, prompt in enumerate(PROMPTS):
        for side, answer in enumerate((CHOSEN[row], REJECTED[row])):
            ids = torch.tensor([prompt + answer])
            all_of_it = model(ids).logits.log_softmax(-1)[0, :-1]
            each = all_of_it.gather(1, ids[0, 1:, None])[:, 0]
            close(logps[row, side], each[len(prompt) - 1 :].sum())
    # planted faults: the prompt counts too; the logits are one position late
    for old, new in (
        (
            "before_target = F.pad(mask[:, 1:], (0, 1), value=False)\n    if",
            "before_target = mask\n    if",
        ),
        ("(at >= starts) & (at < ends)", "(at > 0) & (at < ends)"),
    ):
        broken = mutated(preference, old, new)
        batch = broken.preference_batch(PROMPTS, CHOSEN, REJECTED)
        wrong = broken.sequence_logps(model, *broken.completion_rows(batch)).view(-1, 2)
        assert (wrong - logps).abs().max() > 1e-3
        counted("fault")


def test_a_model_of_transformers_is_read_in_the_same_way(pairs):
    model = gpt2()
    rows = preference.completion_rows(pairs)
    logits = model(rows[0]).logits.log_softmax(-1)[:, :-1]
    each = logits.gather(2, rows[0][:, 1:, None])[..., 0] * rows[1][:, 1:]
    close(preference.token_logps(model, *rows)[:, 1:], each)


def test_masks_that_nothing_predicts_are_refused():
    ids = torch.ones(2, 3, dtype=torch.long)
    for mask in (torch.ones(2, 3), torch.zeros(2, 2), torch.tensor([[1, 0, 0]] * 2)):
        with pytest.raises(ValueError, match="a prompt of at least one token"):
            preference.token_logps(ours(), ids, mask)


def test_pairs_are_checked():
    for bad in (([], [], []), ([[1]], [[2]], []), ([[1]], [[]], [[2]])):
        with pytest.raises(ValueError, match="none empty"):
            preference.preference_batch(*bad)
    with pytest.raises(ValueError, match="make them with reference_columns"):
        preference.dpo_loss(
            ours(), preference.preference_batch(PROMPTS, CHOSEN, REJECTED)
        )


# --- reward model


def test_the_reward_models_loss_is_that_of_trl(tokenizer, pairs, tmp_path):
    from trl import RewardConfig, RewardTrainer

    model = gpt2(GPT2ForSequenceClassification, num_labels=1)
    rows = [
        {"chosen_ids": p + c, "rejected_ids": p + r}
        for p, c, r in zip(PROMPTS, CHOSEN, REJECTED)
    ]
    trainer = RewardTrainer(
        model,
        settings(RewardConfig, tmp_path),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    inputs = trainer.data_collator(rows)
    model.eval()
    theirs = trainer.compute_loss(model, dict(inputs))
    close(preference.reward_loss(model, pairs) / 4, theirs)


def test_a_pair_without_a_label_does_not_count(pairs):
    model = gpt2(GPT2ForSequenceClassification, num_labels=1)
    all_four = preference.reward_loss(model, pairs)
    parts = [{k: v[i : i + 1] for k, v in pairs.items()} for i in range(4)]
    each = [preference.reward_loss(model, part) for part in parts]
    close(all_four, sum(each))
    pairs["labels"] = torch.tensor([0, -100, 1, 0])
    scores = torch.tensor([[2.0, 1.0], [9.0, -9.0], [1.0, 4.0], [0.0, 0.0]])
    wanted = math.log1p(math.exp(-1)) + math.log1p(math.exp(-3)) + math.log(2)
    got = preference.bradley_terry_loss(scores, pairs["labels"])
    assert got.item() == pytest.approx(wanted, abs=1e-5)


# --- DPO


@pytest.mark.parametrize("beta", [0.05, 0.5])
def test_dpo_is_that_of_trl(beta, tokenizer, pairs, tmp_path):
    from trl import DPOConfig, DPOTrainer

    model, reference = gpt2(), gpt2(seed=1)
    rows = [
        {"prompt_ids": p, "chosen_ids": c, "rejected_ids": r}
        for p, c, r in zip(PROMPTS, CHOSEN, REJECTED)
    ]
    name = "".join(f" w{i}" for i in (5, 6))
    texts = [{"prompt": "w7", "chosen": name, "rejected": " w8"}] * 4
    trainer = DPOTrainer(
        model,
        ref_model=copy.deepcopy(reference),
        args=settings(DPOConfig, tmp_path, beta=beta),
        train_dataset=Dataset.from_list(texts),
        processing_class=tokenizer,
    )
    inputs = trainer.data_collator(rows)
    trainer.model.eval()
    theirs = trainer.compute_loss(trainer.model, dict(inputs))
    batch = preference.reference_columns(reference, pairs)
    mine = preference.dpo_loss(model, batch, beta)
    close(mine / 4, theirs)
    close(gradients(model, mine) / 4, gradients(model, theirs))


def test_dpo_starts_at_ln_2_and_pulls_the_right_way(pairs):
    model = ours()
    batch = preference.reference_columns(model, pairs)
    loss = preference.dpo_loss(model, batch)
    assert loss.item() / 4 == pytest.approx(math.log(2), abs=1e-6)
    before = preference.implicit_rewards(model, batch).detach()
    loss.backward()
    with torch.no_grad():
        for p in model.parameters():
            p -= 0.02 * (p.grad if p.grad is not None else 0)
    after = preference.implicit_rewards(model, batch)
    assert ((after - before)[:, 0] > (after - before)[:, 1]).all()


# --- REINFORCE and GRPO


@pytest.fixture
def texts():
    """Six texts of two prompts, (input_ids, mask): ends of different lengths."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(4, V, (6, 9), generator=generator)
    ids[:3, :4], ids[3:, :4] = ids[0, :4].clone(), ids[3, :4].clone()
    length = torch.tensor([5, 3, 4, 5, 1, 2])[:, None] + 4
    at = torch.arange(9)
    ids = ids.masked_fill(at >= length, 0)
    return ids, (at >= 4) & (at < length)


def policy_trainer(kind, config, tokenizer, folder, model, **more):
    # from a folder, where the trainer looks for the reference
    model.save_pretrained(folder / "model")
    return kind(
        GPT2LMHeadModel.from_pretrained(folder / "model"),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=settings(config, folder, num_generations=2, **more),
        train_dataset=Dataset.from_list([{"prompt": "w7 w8"}] * 4),
        processing_class=tokenizer,
    )


def their_inputs(ids, mask, **more):
    return {
        "prompt_ids": ids[:, :4],
        "prompt_mask": torch.ones_like(ids[:, :4]),
        "completion_ids": ids[:, 4:],
        "completion_mask": mask[:, 4:].long(),
        "num_items_in_batch": mask.sum(),
        **more,
    }


@pytest.mark.parametrize(
    "beta, loss_type, old, unbiased",
    [
        (0.0, "dapo", True, True),
        (0.3, "dapo", True, True),
        (0.3, "bnpo", True, False),
        (0.3, "bnpo", False, True),
        (0.3, "dapo", False, False),
    ],
)
def test_grpo_is_that_of_trl(
    beta, loss_type, old, unbiased, tokenizer, texts, tmp_path
):
    from trl import GRPOConfig, GRPOTrainer

    model, reference = gpt2(), gpt2(seed=1)
    more = {"beta": beta, "loss_type": loss_type}
    more["use_bias_correction_kl"] = unbiased
    trainer = policy_trainer(
        GRPOTrainer, GRPOConfig, tokenizer, tmp_path, model, **more
    )
    rewards = torch.tensor([1.0, 3.0, 2.5, 0.0, 4.0, -1.0])
    advantages = preference.group_advantages(rewards, 3)
    batch = preference.policy_batch(*texts, advantages)
    batch = preference.reference_columns(reference, batch)
    extra = {"advantages": advantages, "ref_per_token_logps": None}
    extra["ref_per_token_logps"] = batch["reference_logps"][:, 4:]
    if old:
        # far enough away that some ratios are clipped
        with torch.no_grad():
            before = preference.token_logps(gpt2(seed=2), *texts)
        batch["old_logps"] = before
        extra["old_per_token_logps"] = before[:, 4:]
    net = trainer.model.eval()
    theirs = trainer._compute_loss(net, their_inputs(*texts, **extra))
    mine = preference.grpo_loss(model, batch, beta, unbiased_kl=unbiased)
    mine = mine / texts[1].sum()
    close(mine, theirs)
    close(gradients(model, mine), gradients(net, theirs))


def test_reinforce_is_that_of_trl(tokenizer, texts, tmp_path):
    from trl import RLOOConfig, RLOOTrainer

    model = gpt2()
    trainer = policy_trainer(RLOOTrainer, RLOOConfig, tokenizer, tmp_path, model)
    rewards = torch.tensor([1.0, 3.0, 2.5, 0.0, 4.0, -1.0])
    advantages = preference.leave_one_out_advantages(rewards, 3)
    batch = preference.policy_batch(*texts, advantages)
    net = trainer.model.eval()
    with torch.no_grad():
        logps = preference.sequence_logps(model, *texts)
    extra = {"advantages": advantages, "old_logps": logps}
    theirs = trainer._compute_loss(net, their_inputs(*texts, **extra))
    mine = preference.reinforce_loss(model, batch) / 6
    # its value is another one: trl's is that of the ratio, which is 1 before the update
    close(theirs.detach(), -advantages.mean())
    close(gradients(model, mine), gradients(net, theirs))


@pytest.mark.parametrize("kind", ["GRPO", "RLOO"])
def test_advantages_and_leash_are_those_of_trl(kind, tokenizer, tmp_path):
    import trl

    given, model = [], gpt2()

    def reward(completions, **_):
        scores = [len(set(text)) + 0.1 * i for i, text in enumerate(completions)]
        given.extend(scores)
        return scores

    model.save_pretrained(tmp_path / "model")
    trainer = getattr(trl, kind + "Trainer")(
        GPT2LMHeadModel.from_pretrained(tmp_path / "model"),
        reward_funcs=reward,
        args=settings(
            getattr(trl, kind + "Config"),
            tmp_path,
            num_generations=4,
            max_completion_length=6,
            beta=0.2,
        ),
        train_dataset=Dataset.from_list([{"prompt": "w7 w8"}, {"prompt": "w9 w4"}] * 4),
        processing_class=tokenizer,
    )
    # another reference, so that there is a divergence to pay for
    trainer.ref_model.load_state_dict(gpt2(seed=1).state_dict())
    rows = [{"prompt": "w7 w8"}] * 4 + [{"prompt": "w9 w4"}] * 4
    theirs = trainer._generate_and_score_completions(rows)
    rewards = torch.tensor(given)
    ids = torch.cat([theirs["prompt_ids"], theirs["completion_ids"]], 1)
    real = torch.cat([theirs["prompt_mask"], theirs["completion_mask"]], 1).bool()
    done = torch.cat(
        [torch.zeros_like(theirs["prompt_mask"]), theirs["completion_mask"]], 1
    )
    # their prompts are padded on the left, ours have no padding there
    order = (~real).int().argsort(dim=1, stable=True)
    ids, mask = ids.gather(1, order), done.gather(1, order)
    if kind == "GRPO":
        close(preference.group_advantages(rewards, 4), theirs["advantages"])
        return
    with torch.no_grad():
        own = preference.token_logps(model, ids, mask)
        far = preference.token_logps(gpt2(seed=1), ids, mask)
    close(own.sum(1), theirs["old_logps"])
    left = preference.penalised_rewards(rewards, own, far, 0.2)
    close(preference.leave_one_out_advantages(left, 4), theirs["advantages"])


def test_advantages_sum_to_zero_and_need_a_group():
    rewards = torch.randn(24, generator=torch.Generator().manual_seed(0)) * 5 + 3
    for advantages in (
        preference.group_advantages(rewards, 6),
        preference.leave_one_out_advantages(rewards, 6),
    ):
        close(advantages.view(-1, 6).sum(1), torch.zeros(4))
        assert (advantages.view(-1, 6).argmax(1) == rewards.view(-1, 6).argmax(1)).all()
    for group in (1, 5):
        with pytest.raises(ValueError, match="2 or more, for each prompt"):
            preference.group_advantages(rewards, group)
    with pytest.raises(ValueError, match="give one number a text"):
        preference.policy_batch(torch.ones(2, 3), torch.ones(2, 3), torch.ones(3))


def test_one_step_raises_what_was_better(texts):
    for loss in (preference.reinforce_loss, preference.grpo_loss):
        model = ours()
        advantages = torch.tensor([1.0, 0, 0, 0, 0, -1.0])
        batch = preference.policy_batch(*texts, advantages)
        batch = preference.reference_columns(model, batch)
        before = preference.sequence_logps(model, *texts).detach()
        loss(model, batch).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.01 * p.grad
        change = preference.sequence_logps(model, *texts) - before
        assert change[0] > 0 > change[5]


def test_bad_leashes_are_refused(texts):
    batch = preference.policy_batch(*texts, torch.zeros(6))
    for bad in ({"beta": -1}, {"clip": 1.5}, {"beta": math.nan}):
        with pytest.raises(ValueError, match="take beta >= 0"):
            preference.grpo_loss(ours(), batch, **bad)


# --- KL divergence


def test_the_estimate_has_the_exact_mean():
    model, reference = ours(), ours(seed=1)
    torch.manual_seed(0)
    prompt = torch.tensor([[2, 7]])
    with torch.no_grad():
        p = model(prompt).logits[0, -1].softmax(-1)
        draws = torch.multinomial(p, 4000, replacement=True)
        ids = torch.cat([prompt.expand(4000, 2), draws[:, None]], 1)
        mask = torch.tensor([[0, 0, 1]]).expand(4000, 3)
        own = preference.token_logps(model, ids, mask)
        far = preference.token_logps(reference, ids, mask)
    exact = preference.exact_kl(model, reference, ids[:1], mask[:1])
    q = reference(prompt).logits[0, -1].log_softmax(-1)
    torch.testing.assert_close(
        exact[0],
        torch.nn.functional.kl_div(q, p.log(), reduction="sum", log_target=True),
    )
    estimates = preference.kl_per_token(own, far).sum(1)
    assert (estimates >= 0).all()
    error = estimates.std() / 4000**0.5
    assert abs(estimates.mean() - exact[0]) < 4 * error
    assert abs((own - far).sum(1).mean() - exact[0]) < 0.2


# --- the loop


def losses(loss, parts, accumulate, batch_of):
    net = ours()
    run = train.steps(
        net,
        [batch_of(part) for part in parts] * 8,
        loss,
        optim.adamw(optim.parameter_groups(net, 1e-2)),
        accumulate=accumulate,
    )
    return [(step.loss, step.targets) for step in run]


@pytest.mark.parametrize("name", ["dpo", "grpo", "reinforce"])
def test_they_are_losses_of_train_steps(name, pairs, texts):
    loss = getattr(preference, name + "_loss")
    if name == "grpo":
        loss = functools.partial(loss, beta=0.1)
    whole = pairs
    if name != "dpo":
        advantages = torch.tensor([1.0, -1.0, 0.5, 1.0, -2.0, 0.5])
        whole = preference.policy_batch(*texts, advantages)
    whole = preference.reference_columns(ours(), whole)
    rows = len(whole["labels"])
    parts = list(train.split_micro_batches(whole, 2))
    one = losses(loss, [whole], 1, dict)
    two = losses(loss, parts, 2, dict)
    torch.testing.assert_close(one[:3], two[:3], rtol=1e-4, atol=1e-4)
    # the value of GRPO's loss says nothing about progress: at the ratio 1 it is the
    # mean advantage, whatever was learned
    assert one[-1][0] < one[0][0] or name == "grpo"
    assert one[0][1] == (rows if name == "dpo" else int(texts[1].sum()))
    # a micro-batch for which no row was left has no target, and no say
    empty = list(train.split_micro_batches(whole, rows + 1))
    close(loss(ours(), empty[-1]), torch.tensor(0.0))


def test_the_reference_is_left_as_it_was(pairs):
    model = ours().train()
    modes = [module.training for module in model.modules()]
    batch = preference.reference_columns(model, pairs)
    assert [module.training for module in model.modules()] == modes
    assert not batch["reference_logps"].requires_grad
    assert batch["reference_logps"].shape == (4, 2)


# --- what to watch


def test_best_and_worst():
    scores = torch.tensor([[0.0, 3.0, -1.0], [5.0, 4.0, 6.0]])
    assert preference.best_and_worst(scores).tolist() == [[1, 2], [2, 1]]


def test_best_of_n():
    assert preference.best_of_n_kl(1) == 0
    # the best of n draws from a continuous distribution: density n F^(n-1) over 1
    u = (torch.arange(100_000) + 0.5) / 100_000
    density = 4 * u**3
    exact = (density * density.log()).mean()
    assert preference.best_of_n_kl(4) == pytest.approx(exact.item(), abs=1e-3)
    with pytest.raises(ValueError, match="at least 1 sample"):
        preference.best_of_n_kl(0)


def test_repetition_is_seen():
    assert preference.distinct_ngrams([[1, 2, 3], [1, 2, 3]]) == 1
    assert preference.distinct_ngrams([[1, 2, 1, 2, 1]]) == 0.5
    with pytest.raises(ValueError, match="no text has 3 tokens"):
        preference.distinct_ngrams([[1, 2]], n=3)


def test_the_exact_divergence_switches_dropout_off_in_both():
    torch.manual_seed(0)
    config = transformer.Config(30, 16, 1, 2, 32, 16, causal=True, dropout=0.5)
    net = transformer.LanguageModel(config).train()
    other = transformer.LanguageModel(config).train()
    other.load_state_dict(net.state_dict())
    ids = torch.randint(5, 30, (2, 8))
    mask = (torch.arange(8) > 2).expand(2, 8)
    assert preference.exact_kl(net, other, ids, mask).abs().max() < 1e-5
    assert net.training and other.training
