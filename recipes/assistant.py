"""An assistant that turns a sentence into a call, in English and Chinese: exact calls
on unseen wordings, with and without pretraining, against the nearest training command.
Chapter 18's figure and its assistant.

    python recipes/assistant.py                 # about an hour on one core
    python recipes/assistant.py --save runs/assistant-mini --seeds 0
    python recipes/assistant.py --seeds 0 --tests 50 --out runs/try.json

The ways: reviews-gpt-mini fine-tuned on the commands of both languages at once; the
same network from scratch; the nearest training command by TF-IDF over characters and,
in English, by MiniLM, with the slots filled in from the sentence; a linear classifier
of the kinds of calls, filled in the same way, in English also with MiniLM's vectors.
reviews-gpt-mini has read no Chinese: its characters get new vectors. A seed draws the
templates, the new weights and the order; the baselines draw templates alone. `share` is
that of the training templates.

For each test sentence a cell keeps one digit: 1 an exact call, 0 another. Done cells
are skipped, so the run may be interrupted at any moment.
"""

import argparse
import random
import re
import time
from itertools import islice
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from grid import about, add, done, same_settings
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

from ftlib.course import commands, hub
from ftlib.data import tokenization
from ftlib.models import hf_format, transformer
from ftlib.objectives import classify, clm, instruct
from ftlib.training import distributed, optim, train

LANGUAGES = ("en", "zh")
METHODS = ("pretrained", "scratch", "tf-idf", "MiniLM", "linear", "linear + MiniLM")
# MiniLM has read English
READS = {"MiniLM": LANGUAGES[:1], "linear + MiniLM": LANGUAGES[:1]}
SHARES = (1.0, 0.25)
LENGTH = 128  # tokens of a packed row
PARTS = ("validation", "test", "new_values", "unrelated_validation", "unrelated_test")
# Chosen on the validation wordings, seed 0, both languages: of the rates 1e-3, 2e-3 and
# 4e-3 with 400 steps, then of 400 and 1,000 steps. The test was not read for it.
SETTINGS = {"lr": 2e-3, "steps": 1000, "size": 64}


def conversation(row):
    """A command as a chat."""
    return [
        {"role": "user", "content": row["text"]},
        {"role": "assistant", "content": row["call"]},
    ]


def drawn(rows, share, seed):
    """The commands of a share of the templates. At least one of each kind of call
    stays, as no call can be guessed that was never shown.
    """
    templates = sorted({row["template"] for row in rows})
    random.Random(seed).shuffle(templates)
    kept, forms = set(templates[: round(share * len(templates))]), set()
    place = {template: i for i, template in enumerate(templates)}
    for row in sorted(rows, key=lambda row: place[row["template"]]):
        call = instruct.parse_call(row["call"])
        fixed = [call["intent"], call.get("domain"), *call]
        if str(fixed) not in forms:
            forms.add(str(fixed))
            kept.add(row["template"])
    return [row for row in rows if row["template"] in kept]


# --- a language model


def base_model(rows, pretrained, seed):
    """(model, tokenizer), with tokens for what calls have in common and for each
    Chinese character of the commands.
    """
    torch.manual_seed(seed)
    folder = hub.resolve("reviews-gpt-mini")
    config, state = hf_format.load(folder, dropout=0.0)
    tokenizer = tokenization.load(folder)
    model = transformer.from_state(config, state)
    if not pretrained:
        # as reviews-gpt-mini began
        config = transformer.Config(**config | {"init_std": 0.06})
        model = transformer.LanguageModel(config)
    pieces = instruct.call_tokens([row["call"] for row in rows])
    text = "".join(row["text"] + row["call"] for row in rows)
    pieces += sorted(set(re.findall(r"[\u4e00-\u9fff]", text)))
    instruct.add_tokens(tokenizer, model, pieces)
    return model, tokenizer


def chat_batches(rows, steps, size=48, seed=0):
    """`steps` packed batches of `size` chats in a drawn order."""
    for _, picked in islice(train.sample_rows(len(rows), size, seed), steps):
        yield instruct.pack_chats([rows[i] for i in picked], LENGTH)


def tune(model, rows, lr, steps, seed=0, dtype=None, size=48):
    """Yield the steps of instruction tuning on encoded chats."""
    return train.steps(
        model,
        chat_batches(rows, steps, size, seed),
        instruct.instruct_loss,
        optim.adamw(optim.parameter_groups(model, lr)),
        dtype=dtype,
        schedule=lambda step: optim.warmup_linear(step, steps // 10, steps),
    )


class Assistant:
    """A tuned model with what its answers need."""

    def __init__(self, model, tokenizer, commands):
        self.model, self.tokenizer = model, tokenizer
        self.schema = instruct.call_schema([(r["text"], r["call"]) for r in commands])
        self.names = instruct.token_names(tokenizer)
        self.vocabulary = instruct.trie(self.names)
        self.end = tokenizer.token_to_id(instruct.END)

    def grammar(self, text):
        return instruct.CallGrammar(
            self.schema, self.names, self.vocabulary, self.end, text
        )

    def __call__(self, texts, constrained=True, size=64):
        """The answer to each text, greedy."""
        answers = []
        for first in range(0, len(texts), size):
            own = texts[first : first + size]
            prompts = [instruct.encode_prompt(self.tokenizer, text) for text in own]
            longest = max(map(len, prompts))
            room = min(60, self.model.config.max_tokens - longest)
            grammars = [self.grammar(text) for text in own]
            ids = clm.generate(
                self.model,
                torch.tensor([[0] * (longest - len(p)) + p for p in prompts]),
                room,
                attention_mask=torch.tensor(
                    [[0] * (longest - len(p)) + [1] * len(p) for p in prompts]
                ),
                temperature=0,
                stop=self.end,
                allowed=constrained
                and (lambda row, new: grammars[row].allowed(new))
                or None,
            )
            for row in ids[:, longest:].tolist():
                row = row[: row.index(self.end)] if self.end in row else row
                answers.append(self.tokenizer.decode(row))
        return answers

    def is_valid(self, text, answer):
        """Whether an answer is a call that the schema knows, with the text's values."""
        states = self.grammar(text).states(instruct.as_bytes(answer))
        return any(value is None and None in form for form, value in states)

    def doubt(self, texts, answers):
        """How little the model believes each of its answers, nats over the answer."""
        rows = [
            instruct.encode_chat(
                self.tokenizer, conversation({"text": text, "call": answer})
            )
            for text, answer in zip(texts, answers)
        ]
        return instruct.response_nll(self.model, rows).tolist()


# --- the nearest training command


class Nearest:
    """The call of the most similar training wording, its slots filled in from the
    sentence. Names are known from the training calls, and a name fills the slot of its
    kind; numbers are read from left to right.

    encode: texts -> unit rows, so that a product is a cosine; None for TF-IDF over
        runs of 1 to 4 characters.
    """

    def __init__(self, rows, encode=None):
        self.names = {}
        for row in rows:
            for slot, value in row["values"].items():
                if not value.lstrip("-").isdigit():
                    self.names[value] = slot
        self.longest = sorted(self.names, key=len, reverse=True)
        if encode is None:
            vectorizer = TfidfVectorizer(
                analyzer="char", ngram_range=(1, 4), sublinear_tf=True
            )
            vectorizer.fit([self.mask(row["text"])[0] for row in rows])
            encode = vectorizer.transform
        known = {}
        for row in rows:
            masked, found = self.mask(row["text"])
            known.setdefault((masked, row["intent"], tuple(row["values"])), row)
        self.encode, self.keys = encode, list(known)
        self.rows = [(known[key], self.mask(known[key]["text"])[1]) for key in known]
        self.index = encode([key[0] for key in self.keys])
        self.marks = np.array([marks_of(key[0]) for key in self.keys])

    def mask(self, text):
        """(text with @slot for each known name and # for each number, what stood
        there, in order).
        """
        found = []

        def mark(match):
            found.append(match.group())
            return "#" if match.group().isdigit() else "@" + self.names[match.group()]

        edge = "" if re.search(r"[\u4e00-\u9fff]", text) else r"\b"
        words = "|".join([r"\d+", *map(re.escape, self.longest)])
        return re.sub(f"{edge}(?:{words}){edge}", mark, text), found

    def __call__(self, texts):
        masked = [self.mask(text) for text in texts]
        similar = self.encode([m for m, _ in masked]) @ self.index.T
        similar = similar.toarray() if hasattr(similar, "toarray") else similar
        answers, best = [], []
        for (text, found), row in zip(masked, np.asarray(similar)):
            # of the wordings with the same marks, the most similar one
            number = int(np.argmax(row - 9.0 * (self.marks != marks_of(text))))
            answers.append(self.filled(self.form(*self.rows[number]), found))
            best.append(float(row[number]))
        # far away is what doubt is here
        self.distance = [1 - similarity for similarity in best]
        return answers

    def doubt(self, texts, answers):
        """1 - similarity of the last texts that were answered."""
        return self.distance

    def marked(self, found):
        """{mark with its number, such as "@area1" or "#2": what stood there}."""
        marked, counts = {}, {}
        for value in found:
            mark = "#" if value.isdigit() else "@" + self.names[value]
            counts[mark] = counts.get(mark, 0) + 1
            marked[f"{mark}{counts[mark]}"] = value
        return marked

    def form(self, row, found):
        """(intent, [(slot, sign, mark or value)]) of a training command: its call
        without what stood in the sentence.
        """
        marks = {value: mark for mark, value in reversed(self.marked(found).items())}
        call, slots = instruct.parse_call(row["call"]), []
        for slot, value in call.items():
            plain = value.lstrip("-")
            sign = value[: len(value) - len(plain)]
            if slot != "intent":
                slots.append((slot, sign, marks.get(plain, plain)))
        return call["intent"], tuple(slots)

    def filled(self, form, found):
        """The call of a form with the values of a sentence."""
        intent, slots = form
        marked = self.marked(found)
        return instruct.call_text(
            intent, {slot: sign + marked.get(m, m) for slot, sign, m in slots}
        )


class Linear(Nearest):
    """A linear classifier (LinearSVC) of the forms of calls, over runs of 1 to 4
    characters and of 1 or 2 words, and over the vectors of `encode` if it is given. Of
    the forms with all marks of the sentence it takes the one with the highest score. C
    was chosen on validation commands, of 1 and 10.
    """

    def __init__(self, rows, encode=None):
        super().__init__(rows)
        self.vectors = encode
        examples = {}
        for row in rows:
            masked, found = self.mask(row["text"])
            examples[masked, self.form(row, found)] = None
        texts, forms = zip(*examples)
        self.forms = list(dict.fromkeys(forms))
        number = {form: i for i, form in enumerate(self.forms)}
        self.features = make_union(
            TfidfVectorizer(analyzer="char", ngram_range=(1, 4), sublinear_tf=True),
            TfidfVectorizer(
                token_pattern=r"[@\w#]+|\S", ngram_range=(1, 2), sublinear_tf=True
            ),
        )
        self.features.fit(texts)
        inputs, numbers = self.inputs(texts), [number[form] for form in forms]
        self.classifier = LinearSVC(C=10).fit(inputs, numbers)

    def inputs(self, texts):
        counted = self.features.transform(texts)
        if self.vectors is None:
            return counted
        return scipy.sparse.hstack([counted, self.vectors(list(texts))]).tocsr()

    def __call__(self, texts):
        masked = [self.mask(text) for text in texts]
        scores = self.classifier.decision_function(self.inputs([m for m, _ in masked]))
        answers, best = [], []
        for (_, found), row in zip(masked, scores):
            marks = set(self.marked(found))
            fits = [marks == self._marks(form) for form in self.forms]
            chosen = int(np.argmax(row - 1e3 * ~np.array(fits)))
            answers.append(self.filled(self.forms[chosen], found))
            best.append(float(row[chosen]))
        # far on the wrong side of the classifier's plane is what doubt is here
        self.distance = [-score for score in best]
        return answers

    def _marks(self, form):
        return {mark for _, _, mark in form[1] if mark[:1] in "@#"}


def marks_of(masked):
    """The marks of a text, sorted, as one string."""
    return " ".join(sorted(re.findall(r"@[a-z_]+|#", masked)))


def minilm(texts):
    """MiniLM's vectors of texts, unit rows (N, 384)."""
    folder = hub.resolve("all-MiniLM-L6-v2")
    encoder = transformer.from_state(*hf_format.load(folder, dropout=0.0)).eval()
    tokenizer = tokenization.load(folder)
    # a mark is no word: MiniLM gets one that stands for all of its kind
    words = {"@area": "kitchen", "@name": "lamp", "@floor": "first", "@item": "milk"}
    words |= {"#": "5", "@conversation_command": "stop", "@": ""}
    for mark, word in words.items():
        texts = [text.replace(mark, word) for text in texts]
    rows = tokenization.encode(tokenizer, texts, 32)
    vectors = classify.features(encoder, classify.batches_of(rows, size=128))
    return torch.nn.functional.normalize(vectors, dim=1).numpy()


# --- the grid


def tuned(data, rows, pretrained, seed, ctx):
    """(Assistant, losses) of one run on the commands `rows` of both languages."""
    known = [row for language in LANGUAGES for row in data[language]["train"]]
    model, tokenizer = base_model(known, pretrained, seed)
    encoded = [instruct.encode_chat(tokenizer, conversation(r), LENGTH) for r in rows]
    run = tune(model, encoded, seed=seed, dtype=ctx.dtype, **SETTINGS)
    losses = [step.loss for step in run]
    return Assistant(model, tokenizer, rows), losses


def answered(assistant, parts, tests):
    """Exactness, nats and valid answers in each part of one language."""
    cell = {}
    for part in PARTS:
        rows = parts[part][:tests]
        texts = [row["text"] for row in rows]
        answers = assistant(texts)
        if not part.startswith("unrelated"):
            cell[part] = exact(answers, rows)
        cell[part + " doubt"] = [round(n, 2) for n in assistant.doubt(texts, answers)]
        if part == "test" and isinstance(assistant, Assistant):
            free = assistant(texts, constrained=False)
            cell["free"] = exact(free, rows)
            for name, said in (("constrained", answers), ("free", free)):
                parsed = [instruct.parse_call(answer) is not None for answer in said]
                cell[name + " parsed"] = round(float(np.mean(parsed)), 4)
                valid = [*map(assistant.is_valid, texts, said)]
                cell[name + " valid"] = round(float(np.mean(valid)), 4)
    return cell


def exact(answers, rows):
    """One digit for each answer: 1 where it is the call, whole."""
    return "".join(str(int(a == row["call"])) for a, row in zip(answers, rows))


def share_of(digits):
    return digits.count("1") / max(len(digits), 1)


def cells(a):
    """(method, share of templates, seed) of the whole grid, all templates first."""
    for share in sorted(a.shares, reverse=True):
        for method in a.methods:
            for seed in a.seeds:
                model = method in ("pretrained", "scratch")
                # with all templates a baseline draws nothing
                if model or share < 1 or seed == a.seeds[0]:
                    yield method, share, seed


def cell_of(method, share, seed, data, tests, ctx, save):
    rows = {k: drawn(data[k]["train"], share, seed) for k in LANGUAGES}
    cell = {"templates": {k: len({r["template"] for r in rows[k]}) for k in rows}}
    if method in ("pretrained", "scratch"):
        both = [row for language in LANGUAGES for row in rows[language]]
        assistant, losses = tuned(data, both, method == "pretrained", seed, ctx)
        cell["loss"] = round(float(np.mean(losses[-20:])), 4)
        ways = dict.fromkeys(LANGUAGES, assistant)
        if save:
            save_assistant(save, assistant)
    else:
        kind = Linear if method.startswith("linear") else Nearest
        encode = minilm if method.endswith("MiniLM") else None
        read = READS.get(method, LANGUAGES)
        ways = {language: kind(rows[language], encode) for language in read}
    for language, way in ways.items():
        cell[language] = answered(way, data[language], tests)
    return cell


def save_assistant(folder, assistant):
    """A folder of transformers, which opens as GPT-2, with its tokenizer."""
    hf_format.save(assistant.model, folder)
    assistant.tokenizer.no_truncation()
    assistant.tokenizer.save(str(Path(folder) / "tokenizer.json"))


def main(a):
    torch.set_num_threads(1)
    ctx = distributed.setup()
    data = {language: commands.load(language) for language in LANGUAGES}
    facts = about(ctx) | {"tests": a.tests, "settings": SETTINGS}
    same_settings(a.out, facts, ["tests"])
    for method, share, seed in cells(a):
        key = method, share, seed
        if key in done(a.out, "method", "share", "seed"):
            continue
        start = time.time()
        save = a.save if key == ("pretrained", 1.0, 0) else None
        cell = dict(zip(("method", "share", "seed"), key))
        cell |= cell_of(*key, data, a.tests, ctx, save)
        cell["seconds"] = round(time.time() - start)
        add(a.out, cell, facts, ["share", "method", "seed"])
        scores = [round(share_of(cell[k]["test"]), 3) for k in LANGUAGES if k in cell]
        print(*key, *scores, cell["seconds"], "s", flush=True)


def arguments():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    a.add_argument("--shares", type=float, nargs="+", default=SHARES)
    a.add_argument("--seeds", type=int, nargs="+", default=range(3))
    a.add_argument("--save", help="folder for the assistant of seed 0")
    a.add_argument("--tests", type=int, default=200)
    a.add_argument("--out", type=Path, default=Path("data/results/assistant.json"))
    return a.parse_args()


if __name__ == "__main__":
    main(arguments())
