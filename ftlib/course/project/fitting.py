"""The models of a project, each made within the minutes that are left.

    Project(options).frozen()  # (model, how many training texts it has read)

Where not all training texts can be read in time, a network learns from the first of
them in an order by hash, and counted words are fitted once more on as many, so that the
report can compare like with like.
"""

import hashlib
import time
from collections import Counter

from ftlib.course.project import candidates, numbers, served
from ftlib.course.project.steps import bar
from ftlib.evaluation import metrics
from ftlib.training import train

WORDS, FROZEN, TUNED = served.WORDS, "frozen encoder", "fine-tuned encoder"
TIME = 0.75  # of the minutes that are left, what is planned


class Fitting:
    """What `run.Project` does to make its models; `o`, `parts`, `labels`, `rows`,
    `names`, `data`, `facts`, `kept`, `ctx`, `out`, `started` and `pace` are its own.
    """

    def line(self):
        return self.fitted(numbers.Line())

    def small_network(self):
        return self.fitted(numbers.Small(self.o.seed))

    def trees(self):
        return self.fitted(numbers.Trees(self.o.seed))

    def fitted(self, model):
        labels = self.parts["train"]["label"]
        return model.fit(self.inputs("train"), labels, self.groups("train")), len(
            labels
        )

    def words(self):
        part = self.parts["train"]
        model = candidates.Words(self.data.facts["language"])
        model.fit(part["text"], part["label"], self.groups("train"))
        return model, len(part["text"])

    def encoder(self):
        name = self.o.encoder or candidates.ENCODERS[self.data.facts["language"]]
        return candidates.encoder_of(name)

    def minutes_left(self):
        return max(0, self.o.minutes - (time.time() - self.started) / 60)

    def plan(self):
        """What fits into the minutes that counting words has left."""
        others = len(self.labels["validation"]), len(self.labels["test"])

        def measured():
            left = TIME * self.minutes_left()
            encoder, texts = self.encoder(), self.parts["train"]["text"]
            return candidates.plan(*encoder, texts, others, left, self.ctx.dtype)

        return candidates.Plan(*self.kept("plan", measured))

    def first(self, n):
        """The first n training texts, labels and rows, in an order by hash."""
        part = self.parts["train"]
        order = in_hash_order(len(part["text"]), self.o.seed)
        # two rows of each class in front: none may be missing
        seen, later = Counter(), {}
        for row in order:
            seen[part["label"][row]] += 1
            later[row] = seen[part["label"][row]] > 2
        order = sorted(order, key=later.get)[:n]
        return [*([part[k][row] for row in order] for k in ("text", "label")), order]

    def frozen(self):
        """As many training texts as there is time for, in the order of `first`."""
        plan = self.plan()
        if not plan.frozen:
            return None, 0
        encoder, tokenizer = self.encoder()
        texts, labels, rows = self.first(plan.frozen)
        folder, start = self.out / "work" / "vectors", time.time()
        answered = plan.seconds * ((plan.validation or 0) + (plan.test or 0))
        budget = 60 * TIME * self.minutes_left() / 2 - answered
        inside = candidates.vectors(
            encoder, tokenizer, texts, plan.tokens, folder / "train",
            bar(-(-len(texts) // candidates.CHUNK), "chunks"), self.ctx.dtype,
            start + budget,
        )  # fmt: skip
        n = len(inside)
        self.pace = (time.time() - start) / n
        net = candidates.head_on(
            encoder, inside, labels[:n], len(self.names), self.groups("train", rows[:n])
        )
        return candidates.Frozen(
            net, tokenizer, plan.tokens, folder, self.ctx.dtype
        ), n  # fmt: skip

    def tuned(self):
        plan = self.plan()
        n = min(plan.tuned, self.fits(plan))
        if n < min(candidates.LEAST, plan.tuned) or not n:
            return None, 0
        (encoder, tokenizer), (texts, labels, _) = self.encoder(), self.first(n)
        net, steps, total = candidates.tuned(
            encoder, tokenizer, texts, labels, len(self.names), plan.tokens,
            self.o.seed, self.ctx.dtype,
        )  # fmt: skip
        for _ in train.progress(steps, total):
            pass
        return candidates.Network(net, tokenizer, plan.tokens, self.ctx.dtype), n

    def fits(self, plan):
        """How many texts there is time left to fine-tune on, at the pace at which the
        frozen encoder has read; the plan's where that is not known.
        """
        if not plan.seconds:
            return plan.tuned
        pace = max(plan.seconds, self.pace or 0)
        texts = 60 * TIME * self.minutes_left() / pace
        texts -= (plan.validation or 0) + 2 * (plan.test or 0)
        return int(texts / (candidates.BACKWARD * candidates.EPOCHS))

    def learning(self):
        """[[model, training texts, validation accuracy]] with the same texts for the
        counted words as for the frozen encoder, where that could not read all.
        """
        facts, total = self.facts.get(FROZEN), len(self.labels["train"])
        is_short = facts and "tokens" in facts and facts["texts"] < total
        if not is_short or self.minutes_left() < 0.5:
            return []
        counting = self.facts[WORDS]["seconds"] / self.facts[WORDS]["texts"]
        texts, labels, rows = self.first(facts["texts"])
        plan, folder = self.plan(), self.out / "work" / "vectors"
        encoder, tokenizer = self.encoder()
        inside = candidates.vectors(
            encoder, tokenizer, texts, plan.tokens, folder / "train"
        )
        answered = self.inputs("validation", self.rows["validation"])
        result = []
        for n in (len(texts) // 4, len(texts) // 2, len(texts)):
            own, groups = labels[:n], self.groups("train", rows[:n])
            if n < candidates.LEAST or min(Counter(own).values()) < 2:
                continue
            # two models, and half of what is left belongs to the steps behind this one
            if 2 * n * counting > 60 * self.minutes_left() / 2:
                break
            net = candidates.head_on(encoder, inside[:n], own, len(self.names), groups)
            words = candidates.Words(self.data.facts["language"])
            made = {
                WORDS: words.fit(texts[:n], own, groups),
                FROZEN: candidates.Frozen(
                    net, tokenizer, plan.tokens, folder, self.ctx.dtype
                ),
            }
            for name, model in made.items():
                result.append([name, n, self.score(model.predict(answered))])
        return result

    def score(self, z):
        labels = self.labels["validation"][self.rows["validation"]]
        return metrics.accuracy(z, labels)


def in_hash_order(n, seed):
    """The numbers 0 to n - 1 in an order that looks random and is always the same."""
    key = lambda row: hashlib.sha256(f"{seed} {row}".encode()).digest()  # noqa: E731
    return sorted(range(n), key=key)
