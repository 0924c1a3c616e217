"""Steer the review writer towards praise: DPO, REINFORCE and GRPO against two judges,
one that trains and one that never does. Chapter 20's curves.

    python recipes/preferences.py               # about 40 minutes on one core
    python recipes/preferences.py --methods dpo --betas 0.1 --seeds 0 --at 4 \
        --out runs/try.json

The judge that trains counts words (logistic regression). The other is a probe on
MiniLM's vectors. They learn from different training reviews, and from passages as long
as the texts that they will judge. The prompts are
the beginnings of validation reviews; what is measured are continuations of test
reviews. The baselines are the writer as it is, the best of n samples by the judge that
trains, the writer behind a beginning that praises, and "chosen", which imitates the
chosen texts of DPO's pairs.

A seed draws prompts, samples and their order. beta: in DPO that of the implicit reward,
elsewhere the price of a nat of KL in units of the reward. Done cells are skipped, so
the run may be interrupted at any moment.
"""

import argparse
import copy
import functools
import time
from itertools import islice
from pathlib import Path

import torch
from grid import about, add, done, read, same_settings, write
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.pipeline import make_pipeline

from ftlib.course import hub, sources
from ftlib.data import tokenization
from ftlib.models import hf_format, transformer
from ftlib.objectives import classify, clm, preference
from ftlib.training import distributed, optim, train

METHODS = ("dpo", "chosen", "grpo", "reinforce")
# None of them was compared with another on the test prompts.
SETTINGS = {
    "prompt": 8,  # tokens, [CLS] among them
    "new": 24,  # tokens that the writer adds
    "group": 6,  # texts of each prompt
    "prompts": 4,  # of each step of GRPO and REINFORCE
    "pairs": 16,  # of each step of DPO
    "pool": 96,  # prompts whose texts become pairs
    "lr": 3e-4,
    "reviews": (4000, 1500),  # that the first and the second judge learn from
}
BETAS = {
    "dpo": (0.05, 0.2, 1.0),
    "chosen": (0.0,),
    "grpo": (0.0, 0.1, 0.5),
    "reinforce": (0.1,),
}
AT = (8, 16, 32, 48)  # the steps after which the texts are judged
PRAISE = "I loved this wonderful film. "
BEST_OF = (1, 2, 4, 8)


# --- the writer and its texts


def load_writer():
    """(model, tokenizer) of reviews-gpt-mini."""
    folder = hub.resolve("reviews-gpt-mini")
    model = transformer.from_state(*hf_format.load(folder, dropout=0.0))
    return model.eval(), tokenization.load(folder)


def beginnings(tokenizer, texts, length) -> torch.Tensor:
    """The first `length` ids of each text, [CLS] first, (P, length); shorter texts are
    left out.
    """
    rows = [tokenizer.encode(text[:400]).ids[:length] for text in texts]
    return torch.tensor([ids for ids in rows if len(ids) == length])


def sample(model, prompts, new, seed) -> torch.Tensor:
    """One continuation of each prompt, drawn as the model believes: (P, L + new)."""
    # [SEP] and [PAD] end nothing here: the writer was trained on passages
    return clm.generate(model, prompts, new, seed=seed)


def written(tokenizer, ids, length) -> list[str]:
    """What the writer added, as texts."""
    return [tokenizer.decode(row) for row in ids[:, length:].tolist()]


def completion_mask(ids, length) -> torch.Tensor:
    return (torch.arange(ids.shape[1]) >= length).expand(ids.shape)


# --- two judges


def passages(tokenizer, texts, labels, length, each=4):
    """(passages of `length` tokens, label of their review): up to `each` of a review,
    evenly spread.
    """
    found, classes = [], []
    for text, label in zip(texts, labels):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        last = len(ids) - length
        if last < 0:
            continue
        for start in sorted({round(last * k / max(each - 1, 1)) for k in range(each)}):
            found.append(tokenizer.decode(ids[start : start + length]))
            classes.append(label)
    return found, classes


class WordJudge:
    """Counted words and pairs of words, and a logistic regression: texts -> log-odds
    of praise, (N,).
    """

    def __init__(self, texts, labels):
        counts = CountVectorizer(ngram_range=(1, 2), min_df=5)
        fit = LogisticRegression(C=0.1, max_iter=300)
        self.model = make_pipeline(counts, fit).fit(texts, labels)

    def __call__(self, texts) -> torch.Tensor:
        return torch.tensor(self.model.decision_function(texts), dtype=torch.float32)


class ProbeJudge:
    """A logistic regression on MiniLM's vectors: texts -> log-odds of praise, (N,).

    weights, bias: of a fitted one, (384,) and a number.
    """

    def __init__(self, weights=None, bias=0.0):
        folder = hub.resolve("all-MiniLM-L6-v2")
        self.encoder = transformer.from_state(*hf_format.load(folder, dropout=0.0))
        self.encoder.eval()
        self.tokenizer = tokenization.load(folder)
        self.weights = None if weights is None else torch.tensor(weights)
        self.bias = bias

    def vectors(self, texts) -> torch.Tensor:
        rows = tokenization.encode(self.tokenizer, texts, 48)
        return classify.features(self.encoder, classify.batches_of(rows, size=64))

    def fit(self, texts, labels):
        fitted = LogisticRegression(max_iter=500).fit(self.vectors(texts), labels)
        self.weights = torch.tensor(fitted.coef_[0], dtype=torch.float32)
        self.bias = float(fitted.intercept_[0])
        return self

    def __call__(self, texts) -> torch.Tensor:
        return self.vectors(texts) @ self.weights + self.bias


def word_judge(tokenizer, reviews, settings):
    """The judge that trains."""
    return WordJudge(*own_passages(tokenizer, reviews, settings)[0])


def probe_judge(tokenizer, reviews, settings):
    """The judge that never does."""
    return ProbeJudge().fit(*own_passages(tokenizer, reviews, settings)[1])


def own_passages(tokenizer, reviews, settings):
    """The passages and labels that each of the two judges learns from; no review serves
    both.
    """
    texts, labels = reviews["text"], reviews["label"]
    first, second = settings["reviews"]
    # dealt out in a drawn order: the file is sorted by class
    order = train.order(len(texts), 20, 0).tolist()
    parts = order[:first], order[first : first + second]
    return [
        passages(
            tokenizer,
            [texts[i] for i in part],
            [labels[i] for i in part],
            settings["new"],
            each,
        )
        for part, each in zip(parts, (4, 2))
    ]


def judged(judge, tokenizer, data, new) -> dict:
    """Accuracy of a judge on passages of test reviews, as long as what it will read,
    and on short reviews of another site.
    """
    order = train.order(len(data["imdb"]["text"]), 20, 0)[:500].tolist()
    own = [[data["imdb"][name][i] for i in order] for name in ("text", "label")]
    texts, labels = passages(tokenizer, *own, new, each=2)
    short = data["rotten_tomatoes"]
    return {
        "passages": round(accuracy_score(labels, judge(texts) > 0), 4),
        "rotten_tomatoes": round(
            accuracy_score(short["label"], judge(short["text"]) > 0), 4
        ),
        "tests": [len(labels), len(short["label"])],
    }


# --- training


def groups_of(model, prompts, settings, seed):
    """The texts of one step's prompts, a group of each, (N, T)."""
    repeated = prompts.repeat_interleave(settings["group"], 0)
    return sample(model, repeated, settings["new"], seed)


def make_pairs(model, tokenizer, judge, prompts, settings, seed):
    """A batch of pairs for DPO, with the reference's log-probabilities: for each prompt
    the text of its group that the judge likes most, and the one it likes least.
    """
    length, parts = settings["prompt"], []
    for first in range(0, len(prompts), 16):
        own = prompts[first : first + 16]
        ids = groups_of(model, own, settings, seed + first)
        scores = judge(written(tokenizer, ids, length)).view(len(own), -1)
        picked = preference.best_and_worst(scores)  # (P, 2)
        ids = ids.view(*scores.shape, -1)[torch.arange(len(own))[:, None], picked]
        parts.append(ids)
    ids = torch.cat(parts)  # (P, 2, T)
    mask = (torch.arange(ids.shape[-1]) >= length).expand(ids.shape)
    labels = torch.zeros(len(ids), dtype=torch.long)
    batch = {"input_ids": ids, "completion_mask": mask, "labels": labels}
    made = [
        preference.reference_columns(
            model, {k: v[i : i + 32] for k, v in batch.items()}
        )
        for i in range(0, len(ids), 32)
    ]
    return {name: torch.cat([part[name] for part in made]) for name in made[0]}


def optimizer_of(model, settings):
    return optim.adamw(optim.parameter_groups(model, settings["lr"]))


def dpo_run(model, pairs, beta, steps, settings, seed, dtype=None):
    """Yield the steps of DPO on stored pairs."""
    batches = (
        {name: column[rows] for name, column in pairs.items()}
        for _, rows in islice(
            train.sample_rows(len(pairs["labels"]), settings["pairs"], seed), steps
        )
    )
    loss = functools.partial(preference.dpo_loss, beta=beta)
    return train.steps(model, batches, loss, optimizer_of(model, settings), dtype=dtype)


def chosen_run(model, pairs, steps, settings, seed):
    """Yield the steps of the rival of DPO: the chosen texts of its pairs, in its order,
    are imitated, and the rejected ones are thrown away.
    """
    ids, mask = pairs["input_ids"][:, 0], pairs["completion_mask"][:, 0]
    columns = {"input_ids": ids, "completion_mask": mask}
    columns["labels"] = ids.masked_fill(~mask, -100)
    batches = (
        {name: column[rows] for name, column in columns.items()}
        for _, rows in islice(
            train.sample_rows(len(ids), settings["pairs"], seed), steps
        )
    )

    def loss(model, batch):
        ids, mask = batch["input_ids"], batch["completion_mask"]
        return -preference.token_logps(model, ids, mask).sum()

    return train.steps(model, batches, loss, optimizer_of(model, settings))


def rollouts(
    model, reference, tokenizer, judge, prompts, method, beta, steps, settings
):
    """Yield the batch of each step: texts that the model writes now, judged and
    compared within their groups. prompts: a function, number of the step -> ids.
    """
    length, group = settings["prompt"], settings["group"]
    for number in range(steps):
        own, seed = prompts(number)
        ids = groups_of(model, own, settings, seed)
        mask = completion_mask(ids, length)
        rewards = judge(written(tokenizer, ids, length))
        empty = preference.policy_batch(ids, mask, rewards)
        columns = preference.reference_columns(reference, empty)
        if method == "grpo":
            advantages = preference.group_advantages(rewards, group)
        else:
            with torch.no_grad():
                logps = preference.token_logps(model, ids, mask)
            left = preference.penalised_rewards(
                rewards, logps, columns["reference_logps"], beta
            )
            advantages = preference.leave_one_out_advantages(left, group)
        yield columns | {"advantages": advantages}


def policy_run(
    model, reference, tokenizer, judge, prompts, method, beta, steps, s, seed
):
    """Yield the steps of GRPO or REINFORCE: sample, judge, update, again."""

    def own(number):
        picked = train.order(len(prompts), seed, number)[: s["prompts"]]
        return prompts[picked], seed * 100_003 + number

    loss = preference.reinforce_loss
    if method == "grpo":
        loss = functools.partial(preference.grpo_loss, beta=beta)
    batches = rollouts(model, reference, tokenizer, judge, own, method, beta, steps, s)
    return train.steps(model, batches, loss, optimizer_of(model, s))


# --- what is measured


def measured(reference, tokenizer, judges, ids, length, logps=None) -> dict:
    """Both judges, KL and fluency of sampled texts (N, T). logps: (N,), what their own
    model gave them; None where nothing is known about it.

    "words", "probe": mean log-odds of praise; "... share": of texts above 0. "kl": nats
    a text. "nats": a token's, under the writer as it was. "distinct": bigrams.
    """
    texts, mask = written(tokenizer, ids, length), completion_mask(ids, length)
    cell = {}
    for name, judge in zip(("words", "probe"), judges):
        scores = judge(texts)
        cell[name] = round(float(scores.mean()), 4)
        cell[name + " share"] = round(float((scores > 0).float().mean()), 4)
    with torch.no_grad():
        before = preference.sequence_logps(reference, ids, mask)
    if logps is not None:
        cell["kl"] = round(float((logps - before).mean()), 4)
    cell["nats"] = round(-float(before.mean()) / (ids.shape[1] - length), 4)
    new = ids[:, length:].tolist()
    cell["distinct"] = round(preference.distinct_ngrams(new), 4)
    # a writer that says one thing only repeats nothing within a text
    cell["distinct in all"] = round(
        len({pair for row in new for pair in zip(row, row[1:])})
        / sum(len(row) - 1 for row in new),
        4,
    )
    return cell


def tested(model, reference, tokenizer, judges, prompts, settings, seed):
    """(what is measured, texts) of the continuations of the test prompts."""
    length = settings["prompt"]
    ids = sample(model, prompts, settings["new"], 900 + seed)
    with torch.no_grad():
        logps = preference.sequence_logps(model, ids, completion_mask(ids, length))
    cell = measured(reference, tokenizer, judges, ids, length, logps)
    return cell, [tokenizer.decode(row) for row in ids[:16].tolist()]


def best_of(reference, tokenizer, judges, prompts, settings, seed) -> list[dict]:
    """The writer as it is (n = 1), and the best of n samples by the first judge."""
    length, most = settings["prompt"], max(BEST_OF)
    ids = sample(
        reference, prompts.repeat_interleave(most, 0), settings["new"], 900 + seed
    )
    scores = judges[0](written(tokenizer, ids, length)).view(-1, most)
    ids, rows, found = ids.view(*scores.shape, -1), torch.arange(len(prompts)), []
    for n in BEST_OF:
        own = ids[rows, scores[:, :n].argmax(1)]
        cell = measured(reference, tokenizer, judges, own, length)
        texts = [tokenizer.decode(row) for row in own[:16].tolist()]
        kl = round(preference.best_of_n_kl(n), 4)
        found.append({"n": n, **cell, "kl": kl, "texts": texts})
    return found


def praised(reference, tokenizer, judges, prompts, settings, seed) -> dict:
    """The writer behind a beginning that praises. Its KL is against the writer that
    does not read that beginning.
    """
    length = settings["prompt"]
    praise = torch.tensor(tokenizer.encode(PRAISE, add_special_tokens=False).ids)
    with_it = torch.cat(
        [prompts[:, :1], praise.expand(len(prompts), -1), prompts[:, 1:]], 1
    )
    ids = sample(reference, with_it, settings["new"], 900 + seed)
    with torch.no_grad():
        mask = completion_mask(ids, with_it.shape[1])
        logps = preference.sequence_logps(reference, ids, mask)
    bare = torch.cat([prompts, ids[:, with_it.shape[1] :]], 1)
    cell = measured(reference, tokenizer, judges, bare, length, logps)
    return cell | {"texts": [tokenizer.decode(row) for row in ids[:16].tolist()]}


# --- the grid


def cell_of(method, beta, seed, world, a) -> dict:
    """One run: what is measured after each number of steps of `a.at`, and the
    processor's seconds up to there, judging of the test texts left out.
    """
    reference, tokenizer, judges, pool, tests = world
    torch.manual_seed(seed)
    start, model, curve = time.process_time(), copy.deepcopy(reference), []
    run_seed, steps = seed, max(a.at)
    if method in ("dpo", "chosen"):
        picked = train.order(len(pool), seed, 0)[: SETTINGS["pool"]]
        pairs = make_pairs(model, tokenizer, judges[0], pool[picked], SETTINGS, seed)
        run = dpo_run(model, pairs, beta, steps, SETTINGS, run_seed)
        if method == "chosen":
            run = chosen_run(model, pairs, steps, SETTINGS, run_seed)
    else:
        run = policy_run(
            model,
            reference,
            tokenizer,
            judges[0],
            pool,
            method,
            beta,
            steps,
            SETTINGS,
            run_seed,
        )
    made = time.process_time() - start
    for step in run:
        if step.number + 1 in a.at:
            stopped = time.process_time()
            cell, texts = tested(
                model, reference, tokenizer, judges, tests, SETTINGS, seed
            )
            if method == "dpo":
                cell |= margins(model, pairs, beta)
            seconds = round(stopped - start, 2)
            curve.append({"steps": step.number + 1, "seconds": seconds, **cell})
            start += time.process_time() - stopped
    return {"sampling": round(made, 2), "curve": curve, "texts": texts}


@torch.no_grad()
def margins(model, pairs, beta) -> dict:
    """The mean margin of implicit rewards on the pairs, and the share above 0."""
    margin = preference.implicit_rewards(model, pairs, beta).diff(dim=1)[:, 0].neg()
    above = (margin > 0).float().mean()
    return {"margin": round(float(margin.mean()), 4), "ordered": round(float(above), 4)}


def cells(a):
    """(method, beta, seed), one seed after another."""
    for seed in a.seeds:
        yield "baselines", 0.0, seed
        for method in a.methods:
            for beta in a.betas or BETAS[method]:
                yield method, beta, seed


def main(a):
    torch.set_num_threads(1)
    distributed.setup()
    facts = about() | {"tests": a.tests, "settings": SETTINGS, "at": list(a.at)}
    same_settings(a.out, facts, ["tests", "at"])
    reference, tokenizer = load_writer()
    data = {name: sources.load(name) for name in ("imdb", "rotten_tomatoes")}
    texts = {name: parts["test"] for name, parts in data.items()}
    first = word_judge(tokenizer, data["imdb"]["train"], SETTINGS)
    old = read(a.out)
    if "probe" in old:
        second = ProbeJudge(**old["probe"])
    else:
        second = probe_judge(tokenizer, data["imdb"]["train"], SETTINGS)
        weights = [round(w, 5) for w in second.weights.tolist()]
        facts |= {
            "probe": {"weights": weights, "bias": round(second.bias, 5)},
            "accuracy": {
                "words": judged(first, tokenizer, texts, SETTINGS["new"]),
                "probe": judged(second, tokenizer, texts, SETTINGS["new"]),
            },
        }
        second = ProbeJudge(**facts["probe"])
        write(a.out, {**old, **facts})
    judges, length = (first, second), SETTINGS["prompt"]
    pool = beginnings(tokenizer, data["imdb"]["validation"]["text"], length)
    tests = beginnings(tokenizer, texts["imdb"]["text"], length)
    tests = tests[train.order(len(tests), 20, 0)[: a.tests]]
    world = reference, tokenizer, judges, pool, tests
    for method, beta, seed in cells(a):
        if (method, beta, seed) in done(a.out, "method", "beta", "seed"):
            continue
        start = time.process_time()
        cell = {"method": method, "beta": beta, "seed": seed}
        if method == "baselines":
            given = reference, tokenizer, judges, tests, SETTINGS, seed
            cell |= {"best of": best_of(*given), "praise": praised(*given)}
        else:
            cell |= cell_of(method, beta, seed, world, a)
        cell["cpu seconds"] = round(time.process_time() - start)
        add(a.out, cell, facts, ["seed", "method", "beta"])
        print(method, beta, seed, cell["cpu seconds"], "s", flush=True)


def arguments():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    a.add_argument("--betas", type=float, nargs="+", help="for every method")
    a.add_argument("--seeds", type=int, nargs="+", default=range(3))
    a.add_argument("--at", type=int, nargs="+", default=AT)
    a.add_argument("--tests", type=int, default=64)
    a.add_argument("--out", type=Path, default=Path("data/results/preferences.json"))
    return a.parse_args()


if __name__ == "__main__":
    main(arguments())
