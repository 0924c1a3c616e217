"""What chapter 22 shows and cannot compute while you wait: answers for slices, names
exchanged in reviews, the leak of a fine-tuned model, DP-SGD over epsilon, explanations
ranked by deletion, and every attention head of MiniLM ablated.

    python recipes/trust.py                      # half an hour on a busy core
    python recipes/trust.py --kinds dp --seeds 0 --out runs/try.json
    python recipes/trust.py --choose             # settings, on rows that no cell tests

A cell is one kind of measurement with one seed. A seed draws the labelled sentences or
people, the new weights, the order and the noise. Done cells are skipped, so the run may
be interrupted at any moment.
"""

import argparse
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from finetune import encoder_of
from grid import about, add, done, read, same_settings
from sklearn.ensemble import HistGradientBoostingClassifier as boosted_trees
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from torch import nn

from ftlib.course import people, sources
from ftlib.data import tables, tokenization
from ftlib.evaluation import explain, privacy, trust
from ftlib.models import attention
from ftlib.objectives import classify
from ftlib.training import distributed, optim, train

TOKENS, MASK = 64, 103  # the id of [MASK]
OUT = Path("data/results/trust.json")
FRACTIONS, SHUFFLES = (0.1, 0.2, 0.3, 0.5), 5
# explanations that say for or against
SIGNED = ("integrated gradients", "input x gradient", "occlusion", "counted words")
EPSILONS = (0.5, 1.0, 2.0, 4.0, 8.0, float("inf"))
# chosen by --choose, on people whom no cell trains on or tests
PRIVATE = {
    1000: dict(batch=100, steps=300, lr=1.0, max_norm=0.5),
    26000: dict(batch=520, steps=500, lr=2.0, max_norm=1.0),
}
OVERFITTED = dict(batch=100, steps=2000, lr=1e-2)
LEAK = dict(rows=300, epochs=8, lr=3e-4)
SETTINGS = {"private": {str(n): s for n, s in PRIVATE.items()}, "leak": LEAK}
SETTINGS |= {"overfitted": OVERFITTED, "delta": 1e-5}


# --- sentences


def ids_of(encoder_name, texts):
    encoder, tokenizer = encoder_of(encoder_name)
    return encoder, tokenization.encode(tokenizer, texts, TOKENS)


def head_cell(seed):
    """A logistic regression on MiniLM's vectors of all training sentences: the head of
    the classifier that the other cells, and the chapter, look at.
    """
    encoder, tokenizer = encoder_of("all-MiniLM-L6-v2")
    columns = sources.load("rotten_tomatoes")["train"]
    rows = tokenization.encode(tokenizer, columns["text"], TOKENS)
    net = classify.Classifier(encoder, 2)
    vectors = classify.features(net.encoder, classify.batches_of(rows)).numpy()
    scores = {}
    for C in (0.03, 0.1, 0.3, 1.0):
        model = LogisticRegression(C=C, max_iter=3000)
        scores[C] = cross_val_score(model, vectors, columns["label"], cv=5).mean()
    C = max(scores, key=scores.get)
    model = LogisticRegression(C=C, max_iter=3000).fit(vectors, columns["label"])
    return {
        "C": C,
        "cross_validation": {str(k): round(float(v), 4) for k, v in scores.items()},
        "weight": rounded(model.coef_[0], 5),
        "bias": round(float(model.intercept_[0]), 5),
    }


def minilm_classifier():
    """MiniLM frozen with the stored head, in eval mode, and its tokenizer."""
    (head,) = (cell for cell in read(OUT)["cells"] if cell["kind"] == "head")
    encoder, tokenizer = encoder_of("all-MiniLM-L6-v2")
    net = classify.Classifier(encoder, 2)
    people.set_head(net, head["weight"], head["bias"])
    return net.eval(), tokenizer


def odds(net, rows):
    """log-odds of class 1 of each row, (N,)."""
    return explain.log_odds(classify.predict(net, classify.batches_of(rows)))


def answers_cell(seed):
    """The probability of "good" for all validation and test sentences."""
    net, tokenizer = minilm_classifier()
    critics, cell = sources.load("rotten_tomatoes"), {}
    for part in ("validation", "test"):
        rows = tokenization.encode(tokenizer, critics[part]["text"], TOKENS)
        cell[part] = rounded(odds(net, rows))
    return cell


def names_cell(seed):
    """log-odds of sentences whose name or noun is exchanged, by kind of exchange."""
    net, tokenizer = minilm_classifier()
    cell = {}
    for kind, sentences in people.exchanged(200).items():
        columns = {}
        for name, texts in sentences.items():
            rows = tokenization.encode(tokenizer, texts, TOKENS)
            columns[name] = rounded(odds(net, rows))
        cell[kind] = columns
    return {"exchanged": cell}


def rounded(values, digits=3):
    return [round(float(v), digits) for v in values]


# --- a fine-tuned model and its training rows


def leak_cell(seed):
    """After each epoch: accuracy, loss and attack, members against validation."""
    torch.manual_seed(seed)
    critics, n = sources.load("rotten_tomatoes"), LEAK["rows"]
    parts = [
        tables.subset(critics["train"], n, seed),
        tables.subset(critics["validation"], n, seed),
    ]
    encoder, tokenizer = encoder_of("reviews-bert-mini")
    net = classify.Classifier(encoder, 2)
    rows = [tokenization.encode(tokenizer, part["text"], TOKENS) for part in parts]
    labels = [torch.tensor(part["label"]) for part in parts]
    steps, epochs = -(-n // 16), []
    run = train.steps(
        net,
        (
            batch
            for epoch in range(LEAK["epochs"])
            for batch in classify.batches_of(
                rows[0],
                parts[0]["label"],
                order=classify.length_grouped(list(map(len, rows[0])), 16, seed, epoch),
            )
        ),
        classify.classification_loss,
        optim.adamw(optim.parameter_groups(net, LEAK["lr"])),
        schedule=lambda step: optim.warmup_linear(step, 10, steps * LEAK["epochs"]),
    )
    epochs.append(attack(net, rows, labels))
    for step in run:
        if (step.number + 1) % steps == 0:
            epochs.append(attack(net, rows, labels))
    return {"epochs": epochs, "words": words_attack(parts)}


def attack(net, rows, labels):
    """Members and others: accuracy, mean loss, calibration, and the loss attack."""
    logits = [classify.predict(net, classify.batches_of(r)) for r in rows]
    return report(logits, labels)


def report(logits, labels):
    losses = [F.cross_entropy(z, y, reduction="none") for z, y in zip(logits, labels)]
    # the order of the losses, without their rounding
    members, others = map(privacy.logit_of_probability, logits, labels)
    return {
        "auroc": round(privacy.auroc(members, others), 4),
        "tpr": round(privacy.tpr_at_fpr(members, others), 4),
        "loss": rounded([loss.mean() for loss in losses], 4),
        "accuracy": rounded(
            [(z.argmax(1) == y).double().mean() for z, y in zip(logits, labels)], 4
        ),
    }


def words_attack(parts):
    """The same attack on counted words and a logistic regression."""
    counts = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    inside = counts.fit_transform(parts[0]["text"])
    model = LogisticRegression(C=10).fit(inside, parts[0]["label"])
    logits = [
        torch.tensor(model.predict_log_proba(x))
        for x in (inside, counts.transform(parts[1]["text"]))
    ]
    labels = [torch.tensor(part["label"]) for part in parts]
    return report(logits, labels)


# --- people, with and without privacy


def network(width, hidden=32, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 2))


def dp_cell(n, epsilon, seed, choose=None):
    """Train on n people with DP-SGD; epsilon inf clips and adds no noise."""
    x, y, others = adult_rows(n, seed)
    settings = PRIVATE[n] | (choose or {})
    q, steps = settings["batch"] / n, settings["steps"]
    noise = privacy.noise_for(epsilon, q, steps, SETTINGS["delta"])
    net = network(x.shape[1], seed=seed)
    sgd = torch.optim.SGD(net.parameters(), settings["lr"])
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        rows = privacy.poisson_rows(n, q, seed, step)
        privacy.private_step(
            net, sgd, F.cross_entropy, x[rows], y[rows], batch=settings["batch"],
            max_norm=settings["max_norm"], noise=noise, generator=generator,
        )  # fmt: skip
    return {"noise": round(noise, 4)} | people_report(net, x, y, *others)


def overfitted_cell(n, seed, width=256, epsilon=None):
    """The positive control: the same people, a wide network, many epochs. With an
    epsilon the same training, with clipped gradients and noise; inf only clips.
    """
    x, y, others = adult_rows(n, seed)
    net = network(x.shape[1], width, seed)
    adam = torch.optim.Adam(net.parameters(), OVERFITTED["lr"])
    if epsilon is not None:
        q, steps = OVERFITTED["batch"] / n, OVERFITTED["steps"]
        noise = privacy.noise_for(epsilon, q, steps, SETTINGS["delta"])
        generator = torch.Generator().manual_seed(seed)
        for step in range(steps):
            rows = privacy.poisson_rows(n, q, seed, step)
            privacy.private_step(
                net, adam, F.cross_entropy, x[rows], y[rows], max_norm=0.5,
                batch=OVERFITTED["batch"], noise=noise, generator=generator,
            )  # fmt: skip
        return {"noise": round(noise, 4)} | people_report(net, x, y, *others)
    for step in range(OVERFITTED["steps"]):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        rows = torch.randint(n, (OVERFITTED["batch"],), generator=generator)
        adam.zero_grad()
        F.cross_entropy(net(x[rows]), y[rows]).backward()
        adam.step()
    return people_report(net, x, y, *others)


def lira_cell(seed, people_in_all=600, models=32):
    """Overfitted networks, each on a random half of the same people: every one of them
    is attacked once, by its loss and by the likelihood ratio of the others.
    """
    x, y, _ = adult_rows(people_in_all, seed)
    generator = torch.Generator().manual_seed(seed)
    was_in = torch.rand(models, people_in_all, generator=generator) < 0.5
    logits = []
    for number, member in enumerate(was_in):
        net = network(x.shape[1], 128, number)
        adam = torch.optim.Adam(net.parameters(), 1e-2)
        for _ in range(300):
            adam.zero_grad()
            F.cross_entropy(net(x[member]), y[member]).backward()
            adam.step()
        with torch.no_grad():
            logits.append(privacy.logit_of_probability(net(x), y))
    logits = torch.stack(logits)
    result = {"loss": [], "likelihood ratio": []}
    for target in range(models):
        others = torch.arange(models) != target
        ratio = privacy.likelihood_ratio(logits[target], logits[others], was_in[others])
        for name, score in (("loss", logits[target]), ("likelihood ratio", ratio)):
            member = was_in[target]
            pair = score[member], score[~member]
            values = privacy.auroc(*pair), privacy.tpr_at_fpr(*pair)
            result[name].append(rounded(values, 4))
    return result


def table_cell(model, n, seed):
    """A baseline of scikit-learn, without privacy."""
    x, y, others = adult_rows(n, seed)
    model.fit(x.numpy(), y)

    def logits(rows):
        return torch.tensor(model.predict_proba(rows.numpy())).log()

    return people_report(logits, x, y, *others)


def adult_rows(n, seed):
    """(x, y) of n people of UCI's training part, and (x, y) of the whole test part."""
    x, y, test_x, test_y = people.adult_matrices()
    # the last 4,000 are for --choose
    rows = torch.randperm(len(y) - 4000, generator=torch.Generator().manual_seed(seed))[
        :n
    ]
    return x[rows], y[rows], (test_x, test_y)


def people_report(net, x, y, test_x, test_y):
    with torch.no_grad():
        logits = [net(x), net(test_x)]
    labels = [y, test_y]
    return report(logits, labels)


# --- explanations


def relevances(net, ids, other, occluded):
    """{method: relevance of each token for class 1}."""
    encoder = net.encoder
    blank = torch.full_like(ids, MASK)
    blank[0, [0, -1]] = ids[0, [0, -1]]
    weights = attention.attention_maps(net, ids)
    full = odds(net, [ids[0].tolist()])
    inner = full - odds(net, occluded)
    return {
        "integrated gradients": explain.integrated_gradients(
            net, encoder.tokens, ids, blank, steps=16
        ),
        "input x gradient": explain.input_times_gradient(net, encoder.tokens, ids),
        "attention": explain.attention_received(weights)[0],
        "attention rollout": explain.attention_rollout(weights)[0],
        "occlusion": torch.cat([torch.zeros(1), inner, torch.zeros(1)]),
        "random": torch.rand(
            ids.shape[1], generator=torch.Generator().manual_seed(other)
        ),
    }


def explain_cell(seed, sentences=100):
    """How far the log-odds of the given answer fall as tokens are deleted, by method,
    with and without the signs of its numbers; and how alike explanations of shuffled
    models are, a list for each shuffle.
    """
    net, tokenizer = minilm_classifier()
    shuffled = [explain.randomised(net, ["encoder.blocks"], s) for s in range(SHUFFLES)]
    critics = sources.load("rotten_tomatoes")
    worth = people.word_weights(critics["train"]["text"], critics["train"]["label"])
    texts = tables.subset(critics["test"], sentences, seed)
    fallen, alike = {}, {}
    for number, text in enumerate(texts["text"]):
        row = tokenization.encode(tokenizer, [text], TOKENS)[0]
        if len(row) < 12:
            continue
        ids, fixed = torch.tensor([row]), {0, len(row) - 1}
        occluded = explain.without_each(row, fixed)
        ways = relevances(net, ids, number, occluded)
        tokens = [tokenizer.id_to_token(i) for i in row]
        ways["counted words"] = torch.tensor([worth.get(t, 0.0) for t in tokens])
        full = float(odds(net, [row]))
        counts = [max(1, round(f * (len(row) - 2))) for f in FRACTIONS]
        sign = 1 if full > 0 else -1
        # towards the answer given; attention has no direction
        orders = {n: sign * r if n in SIGNED else r for n, r in ways.items()}
        orders |= {f"{name}, no sign": ways[name].abs() for name in SIGNED}
        for name, order in orders.items():
            left = odds(net, explain.deletions(row, order, counts, fixed))
            fallen.setdefault(name, []).append(rounded(sign * (full - left), 2))
        for number_of, other in enumerate(shuffled):
            for name, theirs in relevances(other, ids, number, occluded).items():
                if name != "random":
                    found = explain.spearman(ways[name][1:-1], theirs[1:-1])
                    lists = alike.setdefault(name, [[] for _ in shuffled])
                    lists[number_of].append(round(found, 3))
    return {"fallen": fallen, "alike": alike}


def heads_cell(seed, sentences=150):
    """The loss that each head's absence adds, over the same sentences."""
    net, tokenizer = minilm_classifier()
    texts = tables.subset(sources.load("rotten_tomatoes")["test"], sentences, seed)
    rows = tokenization.encode(tokenizer, texts["text"], TOKENS)
    sign = 2 * torch.tensor(texts["label"]) - 1
    before, table = F.softplus(-sign * odds(net, rows)), []
    for layer in range(6):
        table.append([])
        for head in range(12):
            with explain.ablated_head(net, layer, head):
                added = F.softplus(-sign * odds(net, rows)) - before
            spread = added.std() / len(added) ** 0.5
            table[-1].append([round(float(added.mean()), 5), round(float(spread), 5)])
    return {"added": table, "loss": round(float(before.mean()), 4), "n": len(rows)}


# --- words that are spelled wrongly


def robust_cell(seed, sentences=80):
    """For MiniLM and for counted words: the correct answers (0 or 1 a sentence) as
    written, with random words misspelled, and with those that hurt most.
    """
    net, tokenizer = minilm_classifier()
    critics = sources.load("rotten_tomatoes")
    train_part = critics["train"]
    texts = tables.subset(critics["test"], sentences, seed)
    counts = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    model = LogisticRegression(C=10, max_iter=1000)
    model.fit(counts.fit_transform(train_part["text"]), train_part["label"])

    def odds_of_words(texts):
        return torch.tensor(model.decision_function(counts.transform(texts)))

    def odds_of_net(texts):
        return odds(net, tokenization.encode(tokenizer, texts, TOKENS))

    cell = {}
    for name, score in (("MiniLM", odds_of_net), ("counted words", odds_of_words)):
        cell[name] = {}
        for way, budget in (
            ("as written", 0), ("random", 1), ("random", 2), ("worst", 1), ("worst", 2)
        ):  # fmt: skip
            answers = []
            for number, text in enumerate(texts["text"]):
                sign = 2 * texts["label"][number] - 1
                if way == "worst":
                    text = trust.worst_misspelling(
                        text, lambda t, sign=sign, score=score: sign * score(t), budget
                    )
                elif budget:
                    text = misspelled(text, budget, seed * 1_000_003 + number)
                answers.append(int(sign * float(score([text])[0]) > 0))
            cell[name][f"{way} {budget}" if budget else way] = answers
    return cell


def misspelled(text, budget, seed):
    """The text with `budget` random words of four letters or more misspelled."""
    words = text.split()
    can = [i for i, word in enumerate(words) if trust.misspell(word) != word]
    for i in random.Random(seed).sample(can, min(budget, len(can))):
        words[i] = trust.misspell(words[i])
    return " ".join(words)


# --- the program

# {kind: (what makes a cell, how many seeds)}
KINDS = {
    "head": (head_cell, 1),
    "answers": (answers_cell, 1),
    "names": (names_cell, 1),
    "heads": (heads_cell, 1),
    "explain": (explain_cell, 1),
    "robust": (robust_cell, 1),
    "dp": (None, 5),
    "lira": (lira_cell, 1),
    "leak": (leak_cell, 5),
}


def plan(kinds, seeds):
    """(kind, name, seed, a function that makes the cell)."""
    for kind in (kind for kind in KINDS if kind in kinds):
        make, most = KINDS[kind]
        for seed in (seed for seed in seeds if seed < most):
            if kind == "dp":
                yield from private_plan(seed)
            else:
                yield kind, kind, seed, lambda make=make, s=seed: make(s)


def private_plan(seed):
    for n in PRIVATE:
        for epsilon in EPSILONS:
            name = f"{n} people, epsilon {epsilon:g}"
            yield "dp", name, seed, lambda n=n, e=epsilon: dp_cell(n, e, seed)
        for kind, model in (
            ("logistic regression", LogisticRegression(C=1, max_iter=1000)),
            # early stopping holds a tenth of these people out
            ("boosted trees", boosted_trees(early_stopping=True, random_state=seed)),
        ):
            name = f"{n} people, {kind}"
            yield "dp", name, seed, lambda n=n, m=model: table_cell(m, n, seed)
    name = "1000 people, overfitted"
    yield "dp", name, seed, lambda: overfitted_cell(1000, seed)
    for epsilon in (8.0, float("inf")):
        name = f"1000 people, overfitted, epsilon {epsilon:g}"
        yield "dp", name, seed, lambda e=epsilon: overfitted_cell(1000, seed, 256, e)


def choose():
    """Learning rate and clipping norm, on 4,000 people of the training part that no
    cell uses.
    """
    x, y, _, _ = people.adult_matrices()
    for n in PRIVATE:
        for lr in (0.5, 1.0, 2.0, 4.0):
            for max_norm in (0.2, 0.5, 1.0):
                real = people.adult_matrices
                people.adult_matrices = lambda: (x, y, x[-4000:], y[-4000:])
                try:
                    cell = dp_cell(n, 2.0, 100, dict(lr=lr, max_norm=max_norm))
                finally:
                    people.adult_matrices = real
                print(n, lr, max_norm, cell["accuracy"], flush=True)


def main(a):
    global OUT
    OUT = a.out
    torch.set_num_threads(1)
    if a.choose:
        return choose()
    facts = about(distributed.setup()) | {"settings": SETTINGS}
    same_settings(a.out, facts)
    for kind, name, seed, make in plan(a.kinds, a.seeds):
        if (kind, name, seed) in done(a.out, "kind", "name", "seed"):
            continue
        start = time.time()
        cell = {"kind": kind, "name": name, "seed": seed} | make()
        cell["seconds"] = round(time.time() - start)
        add(a.out, cell, facts, ["kind", "name", "seed"])
        print(kind, name, seed, cell["seconds"], "s", flush=True)


def arguments():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--choose", action="store_true", help="try settings, store nothing")
    a.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS])
    a.add_argument("--seeds", type=int, nargs="+", default=range(5))
    a.add_argument("--out", type=Path, default=OUT)
    return a.parse_args()


if __name__ == "__main__":
    main(arguments())
