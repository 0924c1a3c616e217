"""Checks of chapter 20: which step to keep and what to report, the loss of pairs, the
log-probability of a completion, rewards relative to their group, and an experiment on
the leash.

>>> from ftlib.course.checks.preference import check_pair_loss
>>> check_pair_loss(lambda chosen, rejected: (rejected - chosen).exp().log1p().sum())
hint: scores of 0 and 1000 give inf; take the log of the sigmoid in one step

What it is not: the losses (preference.py holds them). Needs: torch, ftlib.
"""

import random

import torch

from ftlib.course.checks import correct, exercise, expect
from ftlib.course.checks.classification import experiment
from ftlib.objectives import preference


def number_of(got, what):
    """A tensor or number as a float; a hint for anything else."""
    expect(
        isinstance(got, (int, float)) or getattr(got, "numel", lambda: 0)() == 1,
        f"return {what}, one number",
    )
    return float(got)


@exercise
def check_keep_and_report(answer):
    """answer(curve, limit) -> (step, score of the second judge), or (0, None)."""
    rng = random.Random(0)
    for round_number in range(30):
        curve = [
            {
                "step": 8 * (i + 1),
                "trained": round(rng.uniform(0, 4), 3),
                "second": round(rng.uniform(-1, 2), 3),
                "nats": round(4 + 0.3 * i + rng.uniform(0, 1), 3),
            }
            for i in range(rng.randint(2, 8))
        ]
        limit = rng.uniform(4.2, 6) if round_number % 5 < 4 else 3.0
        if round_number % 7 == 1:
            limit = rng.choice(curve)["nats"]  # at the limit is within it
        got = answer([dict(row) for row in curve], limit)
        fluent = [row for row in curve if row["nats"] <= limit]
        expect(
            isinstance(got, (tuple, list)) and len(got) == 2,
            "return a pair, (step, score)",
        )
        if not fluent:
            expect(
                tuple(got) == (0, None),
                f"every step is above the limit of {limit:.2f} nats; then keep the "
                "writer as it was, (0, None)",
            )
            continue
        best = max(fluent, key=lambda row: row["trained"])
        expect(
            got[0] == best["step"] or best["nats"] < limit,
            f"step {best['step']} is exactly at the limit, and at most means that it "
            "may be kept",
        )
        row = next((row for row in curve if row["step"] == got[0]), None)
        expect(row is not None, f"{got[0]!r} is no step of the curve")
        expect(
            row["nats"] <= limit,
            f"step {got[0]} has {row['nats']} nats per token and the limit is "
            f"{limit:.2f}; drop what is too odd before you choose",
        )
        expect(
            row is best or row is not fluent[-1],
            f"step {got[0]} is the last one within the limit; among them, step "
            f"{best['step']} has the highest score of the judge that trains",
        )
        highest = max(fluent, key=lambda row: row["second"])
        expect(
            row is best or row is not highest,
            f"step {got[0]} is the best for the second judge; if it chooses, it has "
            "had a part, and its score is no test any more",
        )
        expect(
            row is best,
            f"among the steps within the limit, step {best['step']} has the highest "
            f"score of the judge that trains, not step {got[0]}",
        )
        expect(
            got[1] == best["second"],
            f"you report {got[1]!r} for step {got[0]}; report the score that had no "
            "part in the choice, that of the second judge",
        )
    return correct("one judge chooses, the other is read once")


@exercise
def check_pair_loss(answer):
    """answer(chosen, rejected) -> the summed -log sigmoid of the differences."""
    generator = torch.Generator().manual_seed(0)
    for size in (1, 3, 8):
        chosen, rejected = torch.randn(2, size, generator=generator) * 2
        got = number_of(answer(chosen, rejected), "the sum over the pairs")
        wanted = float(
            preference.bradley_terry_loss(
                torch.stack([chosen, rejected], 1), torch.zeros(size, dtype=torch.long)
            )
        )
        close = 1e-4 * (1 + abs(wanted))
        flipped = wanted + float((chosen - rejected).sum())
        expect(
            abs(got - flipped) > close or abs(flipped - wanted) <= close,
            "the chosen one should win: a higher score for it makes the loss smaller",
        )
        expect(
            size == 1 or abs(got - wanted / size) > close,
            "that is the mean; return the sum, the loop divides",
        )
        expect(abs(got + wanted) > close, "the loss is minus the log, so it is above 0")
        expect(
            abs(got - wanted) <= close,
            f"the loss of {size} pairs is {got:.4f} and should be {wanted:.4f}; it is "
            "-log sigmoid(chosen - rejected), natural logarithm, summed",
        )
    for high, low, wanted in ((0.0, 1000.0, 1000.0), (1000.0, 0.0, 0.0)):
        leaf = torch.tensor([high], requires_grad=True)
        loss = answer(leaf, torch.tensor([low]))
        got = number_of(loss, "the sum over the pairs")
        expect(
            abs(got - wanted) < 1e-3,
            f"scores of {high:.0f} and {low:.0f} give {got}; take the log of the "
            "sigmoid in one step",
        )
        expect(
            getattr(loss, "requires_grad", False),
            "the loss has no gradient; return a tensor, without item() or detach()",
        )
        (slope,) = torch.autograd.grad(loss, leaf)
        expect(
            bool(torch.isfinite(slope).all()),
            f"scores of {high:.0f} and {low:.0f} have the gradient {float(slope)}; "
            "take the log of the sigmoid in one step",
        )
    return correct("pairs become a loss, and 1,000 is no trouble")


@exercise
def check_completion_logp(answer):
    """answer(logits, ids, prompt_tokens) -> log-probability of the completion."""
    generator = torch.Generator().manual_seed(1)
    for length, prompt in ((6, 2), (5, 1), (9, 6), (4, 3)):
        logits = torch.randn(length, 11, generator=generator) * 2
        ids = torch.randint(0, 11, (length,), generator=generator)
        got = number_of(answer(logits, ids, prompt), "the sum over the completion")
        each = logits[:-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        own = each[prompt - 1 :]
        late = logits.log_softmax(-1).gather(1, ids[:, None])[:, 0]
        wanted = float(own.sum())
        hints = (
            (late.sum(), "the prompt counts, and each row is read for its own token"),
            (
                late[prompt:].sum(),
                "the logits at position t predict the token at t + 1; shift by one",
            ),
            (each.sum(), "the prompt counts as well; only the completion was written"),
            (
                own[1:].sum(),
                "the first token of the completion is missing; the last row of the "
                "prompt predicts it",
            ),
            (
                logits[prompt - 1 : -1].gather(1, ids[prompt:, None]).sum(),
                "those are logits; log_softmax makes log-probabilities of them",
            ),
            (own[:-1].sum(), "the last token of the completion is missing"),
            (
                own.mean(),
                "that is the mean of a token; a text's log-probability is the sum",
            ),
            (-own.sum(), "log-probabilities are below 0; the sign is turned"),
            (own.exp().sum(), "take the logarithm of each probability before you add"),
        )
        for value, hint in hints:
            same = abs(float(value) - wanted) < 1e-4
            expect(same or abs(got - float(value)) > 1e-4, hint)
        expect(
            abs(got - wanted) < 1e-4,
            f"with {prompt} of {length} tokens in the prompt you get {got:.4f}, and it "
            f"should be {wanted:.4f}; is log_softmax taken over the vocabulary?",
        )
    return correct("the completion counts, given its prompt")


@exercise
def check_relative_rewards(answer):
    """answer(rewards (P, G)) -> advantages (P, G)."""
    generator = torch.Generator().manual_seed(2)
    for prompts, group in ((1, 3), (4, 6), (3, 2)):
        rewards = torch.randn(prompts, group, generator=generator) * 3 + 5
        rewards[0] = rewards[0] * 0.1
        got = answer(rewards.clone())
        expect(
            isinstance(got, torch.Tensor) and got.shape == rewards.shape,
            f"return a tensor of the shape {tuple(rewards.shape)}",
        )
        wanted = preference.group_advantages(rewards.flatten(), group)
        wanted = wanted.view_as(rewards)
        centred = rewards - rewards.mean(1, keepdim=True)
        expect(
            bool(got.sum(1).abs().max() < 1e-3),
            f"a row adds up to {float(got.sum(1).abs().max()):.2f}; take the mean of "
            "its own row away",
        )
        expect(
            not torch.allclose(got, centred, atol=1e-4),
            "the spread is missing: divide by the standard deviation of the row",
        )
        biased = centred / (rewards.std(1, keepdim=True, correction=0) + 1e-4)
        expect(
            not torch.allclose(got, biased, atol=1e-4),
            "the standard deviation divides by G; torch.std divides by G - 1",
        )
        together = centred / (rewards.std() + 1e-4)
        expect(
            len(rewards) == 1 or not torch.allclose(got, together, atol=1e-4),
            "the standard deviation is that of all rows together; each row has its own",
        )
        exact = centred / rewards.std(1, keepdim=True)
        expect(
            not torch.equal(got, exact),
            "1e-4 is missing: a row of equal rewards would be divided by 0",
        )
        expect(
            torch.allclose(got, wanted, rtol=1e-5, atol=1e-5),
            "the rows add up to 0 and the sizes differ; divide by the standard "
            "deviation of the row, plus 1e-4",
        )
    flat = answer(torch.full((2, 4), 3.0))
    expect(
        bool((flat == 0).all()),
        "a row of equal rewards should give zeros; what is added to the standard "
        "deviation keeps it from being 0",
    )
    return correct("each text is compared with its group")


@exercise
def check_leash_experiment(answer):
    """answer(run) -> {"predicted", "measured", "interval", "conclusion"}, where
    run(leash, seed) is a share of distinct pairs of tokens.
    """
    return experiment(answer, "with the leash minus without")
