"""Write a checkpoint's model card from its run record, so that no number in the card is typed by hand.

    python tools/model_card.py data/checkpoints/reviews-bert-mini

Reads run.json (made by recipes/pretrain_mlm.py) and data/results/pretrain_probes.json (the short runs before it, those that
failed included), writes README.md into the folder. A test makes the card again and compares.
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

CARD = """# {name}

A small BERT (masked language model) that this course trained from scratch on English film reviews: {layers} layers, width {width},
{heads} heads, {weights:.1f} M weights, a WordPiece vocabulary of {vocab_size:,} lower-cased pieces, at most {max_tokens} tokens a text.

    from transformers import AutoModelForMaskedLM, AutoTokenizer
    model = AutoModelForMaskedLM.from_pretrained("data/checkpoints/{name}")
    tokenizer = AutoTokenizer.from_pretrained("data/checkpoints/{name}")

or `ftlib.model.load(hub.resolve("{name}"))`. It is a pre-norm encoder with learned positions, which transformers calls
RoBERTa-PreLayerNorm. Weights are stored in half precision and loaded as float32. {reach}

## What it was trained on

The training splits of {data} as `ftlib.data.load` cuts them by a hash of the text: the packages carry the published *train*
sets of Maas et al. 2011 and Pang & Lee 2005. Validation texts were used to measure the loss, test texts were never read; a
test of this repository checks that neither the vocabulary nor a row comes from them.

## How

`{command}`

AdamW (0.9, 0.98), peak rate {lr}, {warmup} steps of warm-up and a straight line to 0; {row_plan}; {per_step:,} packed tokens a
step, {steps:,} steps, {tokens:.1f} M tokens; the blocks' matrices started {gain_init:g} times larger than BERT's 0.02;
{share:.0%} of the tokens masked (80 % [MASK], 10 % random, 10 % unchanged); logits only at
masked places; {precision}; seed {seed}. {minutes:.0f} minutes on {machine} ({processes} process), which other work shared.{more}

## What came out

Held-out loss **{held_out:.2f}** nats per masked piece ({share_test} masked, validation texts). The unigram entropy of the same
places is {unigram:.2f}, so the model is **{gain:.2f} nats** under it. {verdict}

| step | loss on the training rows | held-out loss |
|---|---|---|
{curve}

## Runs before it, and what they taught

| run | steps | held-out loss | finding |
|---|---|---|---|
{probes}

## What it is not good for

It has read nothing but film reviews, {tokens:.0f} million tokens with repeats: it knows no facts worth quoting and no
other kind of text, it repeats the prejudices of its reviewers, and it writes nothing. Take it to learn with, to fine-tune on
sentiment, and to compare with; for real work take a model pretrained on more.

Licence of the weights: MIT-0. The reviews keep their own terms, see `data/README.md`.
"""


def card(folder):
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    probes = json.loads((ROOT / "data" / "results" / "pretrain_probes.json").read_text(encoding="utf-8"))["runs"]
    config, options = run.pop("config"), run.pop("options")
    measured = [row for row in run.pop("curve") if row[2] is not None]
    gain = run["unigram"] - measured[-1][2]
    stages = run.pop("stages", [[options["length"], options["steps"]]])
    longest = max(length for length, _ in stages)
    quarters = run.get("loss_by_quarter")
    reach = f"It was trained on rows of up to {longest} tokens." + ("" if not quarters else (
        f" Held-out loss in the four quarters of rows of {config['max_tokens']}: " + ", ".join(f"{loss:.2f}" for loss in quarters) + "."))
    plan, later = [f"{n:,} steps on rows of {length} tokens" for length, n in stages], run.pop("went_on", None)
    more = "" if not later else (
        f"\n\nThe second command goes on from the weights of the first, with a new optimizer and a peak rate of {later['lr']}: the steps on rows of\n"
        "128 at the end of the first came when the rate had almost reached 0, and the places behind the 64th learned nothing; the\n"
        "quarters then stood at " + ", ".join(f"{loss:.2f}" for loss in run["loss_by_quarter_before"]) + ".")
    fields = {**options, **config, **run, "reach": reach, "row_plan": ", then ".join(plan), "command": run["command"].replace(" && ", "`\n\n`"),
              "per_step": options["batch"] * options["length"], "gain_init": options.get("gain", 1), "more": more,
              "name": folder.name, "data": " and ".join(options["data"]), "weights": run["weights"] / 1e6,
              "tokens": run["tokens"] / 1e6, "minutes": run["seconds"] / 60, "held_out": measured[-1][2], "gain": gain, "share_test": "15 %",
              "verdict": "The goal was 3.0." if gain >= 3.0 else "The goal was 3.0, so this run fell short: its loss was still falling, and it needs more steps.",
              "curve": "\n".join(f"| {step:,} | {loss:.2f} | {held:.2f} |" for step, loss, held in measured),
              "probes": "\n".join(f"| {p['what']} | {p['steps']:,} | {p['held_out']:.2f} | {p['finding']} |" for p in probes)}
    return CARD.format(**fields)


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1]).resolve()
    (target / "README.md").write_text(card(target), encoding="utf-8")
    print(f"wrote {target.name}/README.md")
