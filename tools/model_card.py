"""Write a checkpoint's model card from its run record, so that no number in the card is
typed by hand.

    python tools/model_card.py data/checkpoints/reviews-bert-mini ...

Reads run.json (made by recipes/pretrain_mlm.py, pretrain_clm.py or translate.py) and
data/results/pretrain_probes.json (the short runs before it, those that failed
included), writes README.md into the folder. A test makes the card again and compares.
"""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

CARD = """# {name}

{what}: {layers} layers, width {width},
{heads} heads, {weights:.1f} M parameters, {vocabulary}, at most {max_tokens} tokens a text.

    from transformers import {auto}, AutoTokenizer
    model = {auto}.from_pretrained("data/checkpoints/{name}")
    tokenizer = AutoTokenizer.from_pretrained("data/checkpoints/{name}")

or `ftlib.models.transformer.load(hub.resolve("{name}"))`. {opens} Weights are stored in half precision and loaded as float32. {reach}

## What it was trained on

The training splits of {data} as `ftlib.course.sources.load` cuts them by a hash of the text: {source} Validation texts were used to measure the loss, test texts were never read; a
test of this repository checks that neither the vocabulary nor a row comes from them.

## How

`{command}`

AdamW (0.9, 0.98), peak rate {lr}, {warmup} steps of warm-up and a straight line to 0; {row_plan}; {per_step:,} packed tokens a
step, {steps:,} steps, {tokens:.1f} M tokens; the blocks' matrices started with a standard deviation of {init_std:g};
{task}; {precision}; seed {seed}. {minutes:.0f} minutes on {machine} ({processes} process), which other work shared.{more}

## What came out

{result}

| step | training loss | validation loss |
|---|---|---|
{curve}

## Runs before it, and what they taught

{probes}

## What it is not good for

{limits}

Licence of the weights: MIT-0. {terms}
"""

TRANSLATOR = """# {name}

A small translator from English to Chinese (encoder-decoder transformer) that this course trained from scratch on the
words of programs: {encoder_layers} encoder and {decoder_layers} decoder layers, width {dim}, {heads} heads, {weights:.1f} M parameters, a byte-level BPE
vocabulary of {vocab_size:,} tokens for both languages, case kept, at most {max_len} tokens a text.

    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    model = AutoModelForSeq2SeqLM.from_pretrained("data/checkpoints/{name}")
    tokenizer = AutoTokenizer.from_pretrained("data/checkpoints/{name}")
    batch = tokenizer(["Turn on the light"], return_tensors="pt")
    print(tokenizer.decode(model.generate(**batch, max_new_tokens=64)[0], skip_special_tokens=True))

or `ftlib.models.seq2seq.from_folder(*pegasus_format.load(hub.resolve("{name}")))`. transformers opens it as a Pegasus.
Weights are stored in half precision and loaded as float32.

## What it was trained on

{train_pairs:,} pairs of {packages}, as `ftlib.course.translations.load` reads them from the packages:
human translations of user interfaces. Files of Home Assistant are split by a hash of their name; no training pair
shares a side (case and spaces aside) with a pair of the validation set or of a test set. JupyterLab and the everyday
sentences are wholly unseen. Settings were chosen on validation, search settings too.

## How

`{command}`

The embedding began as a word table (IBM's Model 1, trained by gradient, {lexical} steps). Then AdamW (0.9, 0.98), peak
rate {lr}, {warmup} steps of warm-up and a cosine to 0 at step {steps:,}; {stopped:,} steps of {batch} pairs{early}, {tokens:.1f} M source tokens; dropout {dropout:g}, label
smoothing {smoothing:g}; {precision}; seed {seed}. {minutes:.0f} minutes on {machine} ({processes} process), which other work shared.
{kept}

## What came out

Validation loss **{final:.2f}** nats a token; token counts alone, without the source, give {unigram:.2f}.

| step | loss on the training rows, with smoothing | validation loss |
|---|---|---|
{curve}

BLEU (characters) of beam search of width {width}, length penalty {penalty:g}, chosen on validation, beside what needs no network.
The interval is of the gain over the strongest of these, a bootstrap over {drawn}:

| set | sentences | greedy | beam | nearest training sentence | word table | one or the other | gain | 95 % interval |
|---|---|---|---|---|---|---|---|---|
{table}

## What it is not good for

It has read nothing but the words of programs. {verdict}
It invents, leaves words out, and may lose a placeholder such as {{name}}: no text that it writes should be shown to users
unread. Take it to learn with.

Licence of the weights: MIT-0. The packages keep their own terms, see `data/README.md`.
"""
SET_NAMES = {
    "test": "unseen files of Home Assistant",
    "neighbour": "JupyterLab",
    "everyday": "everyday sentences",
}

ENGLISH = dict(
    source="the packages carry the published *train*\nsets of Maas et al. 2011 and "
    "Pang & Lee 2005.",
    terms="The reviews keep their own terms, see `data/README.md`.",
)
MASKED = dict(
    auto="AutoModelForMaskedLM",
    opens="It is a pre-norm encoder with learned "
    "positions, which transformers "
    "calls\nRoBERTa-PreLayerNorm.",
    task="{share:.0%} of the tokens masked (80 % [MASK], 10 % random, 10 % unchanged); "
    "logits only at\ntarget positions",
    result="Validation loss **{held_out:.2f}** nats per target (15 % of the tokens). "
    "The unigram baseline of the same\n"
    "targets is {unigram:.2f}, so the model is **{gain:.2f} nats** under "
    "it.{verdict}\n\n"
    "The two kinds of targets apart: **{loss_apart[hidden]:.2f}** nats where [MASK] is "
    "shown (unigram {loss_apart[unigram]:.2f}), and\n{loss_apart[visible]:.2f} where a "
    "token is shown, kept or drawn at random (the best guess from that token alone: "
    "{loss_apart[copy]:.2f}).\n\n"
    "A count of pairs of tokens that guesses from both neighbours has "
    "{loss_apart[neighbours]:.2f} where [MASK] is shown, but it sees the true\n"
    "neighbours, which the model may find covered. Where neither neighbour is a target "
    "({loss_apart[beside_share]:.0%} of the gaps) the model has "
    "**{loss_apart[beside]:.2f}**\nand the count "
    "{loss_apart[beside_neighbours]:.2f}.{elsewhere}",
)
# of runs that measured the first rows alone; the recipe takes them from everywhere now
FIRST_ROWS = (
    "\n\nAll these are of the first 512 validation rows, which are reviews of one "
    "class. Over rows of all validation texts the model has\n**{hidden:.2f}** where [MASK] is "
    "shown (the count {neighbours:.2f}), and **{beside:.2f}** where neither neighbour is a target "
    "(the count {beside_neighbours:.2f})."
)
KINDS = {
    "reviews-bert-mini": MASKED
    | ENGLISH
    | dict(
        what="A small BERT (masked language model) that this course trained from "
        "scratch on English film reviews",
        vocabulary="a WordPiece vocabulary of {vocab_size:,} lower-cased tokens",
        goal=3.0,
        limits="It has read nothing but film reviews, {tokens:.0f} million tokens with "
        "repeats: it knows no facts worth quoting and no\n"
        "other kind of text, it repeats the prejudices of its reviewers, and it "
        "writes nothing. Take it to learn with, to fine-tune on\n"
        "sentiment, and to compare with; for real work take a model pretrained "
        "on more.",
    ),
    "zh-bert-mini": MASKED
    | dict(
        what="A small Chinese BERT (masked language model) that this course trained "
        "from scratch on shop reviews and a newspaper",
        vocabulary="a vocabulary of {vocab_size:,} tokens, nearly all of them single "
        "characters",
        goal=None,
        before="None: the recipe is that of `reviews-bert-mini`, with the rows of 128 "
        "earlier, while the rate is still high. All four quarters\n"
        "of a row learn then, which they did not in the first run of "
        "`reviews-bert-mini`.",
        source="the package carries them without saying where the\nshop reviews come "
        "from; the newspaper is the People's Daily of January 1998, annotated "
        "at Peking University.",
        limits="It has read shop reviews and one month of one newspaper, {tokens:.0f} "
        "million characters with repeats: it knows no facts worth\n"
        "quoting, and what it knows of the world is from January 1998. Some of\n"
        "the reviews carry a telephone number: a test hides each number of "
        "seven or more digits, and the model restores none of them.\n"
        "Take it to learn with; for real work take a model pretrained on more.",
        terms="The texts keep their own terms, see `data/README.md`.",
    ),
    "reviews-gpt-mini": ENGLISH
    | dict(
        what="A small GPT (causal language model) that this course trained from "
        "scratch on English film reviews",
        vocabulary="a byte-level BPE vocabulary of {vocab_size:,} tokens, case kept",
        auto="AutoModelForCausalLM",
        goal=None,
        before="None: rate, start and step are those of `reviews-bert-mini`.",
        opens="transformers opens it as GPT-2.",
        task="every token but a row's first is a target",
        result="On whole validation texts, each read from its beginning in windows of "
        "{max_tokens} tokens that overlap by half: **{documents[nats]:.2f} nats "
        "a token**,\n"
        "perplexity {documents[perplexity]:.1f}, {documents[bits_per_byte]:.2f} "
        "bits a byte, over {documents[tokens]:,} tokens. Guessing evenly costs "
        "{uniform:.2f} nats, counting tokens\n"
        "{unigram:.2f}, counting pairs of tokens {bigram:.2f}. The table has "
        "rows that begin anywhere in a text, where the first positions know less.",
        limits="It has read nothing but film reviews, {tokens:.0f} million tokens with "
        "repeats. It writes sentences that look like reviews and mean\n"
        "nothing, about films and people that need not exist; it repeats the "
        "prejudices of its reviewers and may repeat their words.\n"
        "It answers no questions. Take it to learn with and to fine-tune; "
        "publish nothing that it writes as a review.",
    ),
}


def translator_card(folder, run):
    """The card of an encoder-decoder, with its scores from data/results."""
    path = ROOT / "data" / "results" / "translation.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    chosen, rows, gains = result["chosen"], [], {}
    for name, words in SET_NAMES.items():
        cell = result["sets"][name]
        scores = {w["width"]: w["bleu"] for w in cell["widths"]}
        base = cell["baselines"]
        best = gains[name] = max(base.values(), key=lambda b: b["bleu"])
        shown = [scores[1], scores[chosen["width"]]]
        shown += [
            base[b]["bleu"] for b in ("nearest", "word_table", "nearest_or_table")
        ]
        low, high = best["interval"]
        rows.append(
            f"| {words} | {len(cell['rows']):,} | "
            + " | ".join(f"{bleu:.1f}" for bleu in shown)
            + f" | {best['gain']:+.1f} | {low:+.1f} to {high:+.1f} |"
        )
    worse = [SET_NAMES[name] for name, gain in gains.items() if gain["gain"] < 0]
    losses, options = run["validation_loss"], run["options"]
    stages = run.get("stages", [{"command": run["command"]}])
    mean = losses["averaged"] < losses["last"]
    fields = run["config"] | options | run
    fields |= {
        "name": folder.name,
        "weights": run["weights"] / 1e6,
        "tokens": run["tokens"] / 1e6,
        "minutes": run["seconds"] / 60,
        "packages": ", ".join(options["packages"]),
        "kept": f"The mean of the weights of the last {options['average']} checkpoints "
        f"has a validation loss of {losses['averaged']:.3f}, the\nlast one "
        f"{losses['last']:.3f}; kept is the {'mean' if mean else 'last'}.",
        "early": ""
        if run["stopped"] == run["steps"]
        else f" (ended early: from step {stages[1]['steps'][0]:,} on the\ncosine was "
        f"multiplied by a straight line to 0, whose end was moved {len(stages) - 2} "
        "times)",
        "command": "`\n\n`".join(stage["command"] for stage in stages),
        "final": min(losses.values()),
        "width": chosen["width"],
        "penalty": chosen["length_penalty"],
        "drawn": "whole files, where there are ten of them, else over sentences",
        "table": "\n".join(rows),
        "verdict": "It loses to a table of words on: " + ", ".join(worse) + "."
        if worse
        else "Outside of that it is weak, as the table shows.",
        "curve": "\n".join(
            f"| {step:,} | {loss:.2f} | {val:.2f} |"
            for step, loss, val, _ in run["curve"]
            if step % 400 == 0 or step == run["stopped"]
        ),
    }
    return TRANSLATOR.format(**fields)


def card(folder):
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    if "encoder_layers" in run["config"]:
        return translator_card(folder, run)
    probes = json.loads(
        (ROOT / "data" / "results" / "pretrain_probes.json").read_text(encoding="utf-8")
    )["runs"]
    probes = [p for p in probes if p.get("model", "reviews-bert-mini") == folder.name]
    config, options, kind = run.pop("config"), run.pop("options"), KINDS[folder.name]
    measured = [row for row in run.pop("curve") if row[2] is not None]
    gain = run["unigram"] - measured[-1][2]
    stages = run.pop("stages", [[options["length"], options["steps"]]])
    longest = max(length for length, _ in stages)
    quarters = run.get("loss_by_quarter")
    reach = f"It was trained on rows of up to {longest} tokens." + (
        ""
        if not quarters
        else (
            f" Validation loss in the four quarters of rows of {config['max_tokens']}: "
            + ", ".join(f"{loss:.2f}" for loss in quarters)
            + "."
        )
    )
    plan = [f"{n:,} steps on rows of {length} tokens" for length, n in stages]
    later = run.pop("went_on", None)
    more = (
        ""
        if not later
        else (
            "\n\nThe second command goes on from the weights of the first, with a new "
            f"optimizer and a peak rate of {later['lr']}: the steps on rows of\n"
            "128 at the end of the first came when the rate had almost reached 0, and "
            "the "
            "positions behind the 64th learned nothing; the\n"
            "quarters then stood at "
            + ", ".join(f"{loss:.2f}" for loss in run["loss_by_quarter_before"])
            + "."
        )
    )
    verdict = (
        ""
        if not kind["goal"]
        else f" The goal was {kind['goal']}"
        + (
            "."
            if gain >= kind["goal"]
            else ", so this run fell short: its loss was still "
            "falling, and it needs more steps."
        )
    )
    fields = {
        **options,
        **config,
        **run,
        "reach": reach,
        "row_plan": ", then ".join(plan),
        "command": run["command"].replace(" && ", "`\n\n`"),
        "per_step": options["batch"] * options["length"],
        # an earlier recipe said how many times larger than 0.02
        "init_std": options.get("init_std", 0.02 * options.get("gain", 1)),
        "more": more,
        "name": folder.name,
        "data": " and ".join(options["data"]),
        "weights": run["weights"] / 1e6,
        "tokens": run["tokens"] / 1e6,
        "minutes": run["seconds"] / 60,
        "held_out": measured[-1][2],
        "gain": gain,
        "verdict": verdict,
        "elsewhere": FIRST_ROWS.format(**run["loss_everywhere"])
        if "loss_everywhere" in run
        else "",
        "curve": "\n".join(
            f"| {step:,} | {loss:.2f} | {held:.2f} |" for step, loss, held in measured
        ),
        "probes": "\n".join(
            ["| run | steps | validation loss | finding |", "|---|---|---|---|"]
            + [
                f"| {p['what']} | {p['steps']:,} | {p['held_out']:.2f} | "
                f"{p['finding']} |"
                for p in probes
            ]
        )
        if probes
        else kind["before"],
    }
    words = {
        key: value.format(**fields)
        for key, value in kind.items()
        if isinstance(value, str)
    }
    return CARD.format(**fields | words)


if __name__ == "__main__":
    for target in map(pathlib.Path, sys.argv[1:]):
        (target / "README.md").write_text(card(target.resolve()), encoding="utf-8")
        print(f"wrote {target.name}/README.md")
