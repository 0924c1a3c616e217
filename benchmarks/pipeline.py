"""Tokens per second of the way from texts to masked batches, ftlib's functions against
transformers', on the film reviews.

    python benchmarks/pipeline.py            writes benchmarks/results/pipeline.json
    python benchmarks/pipeline.py --quick    few texts; writes nothing
    python benchmarks/render.py              makes the table

Two stages, timed apart because the first is done once and the second in every epoch:
  encode  texts to ids: tokenization.encode and tokenization.pack, against the same
          tokenizer.json opened by AutoTokenizer
  mask    rows of 128 ids to masked batches of 16: mlm.mask_tokens, against
          DataCollatorForLanguageModeling
The contenders take turns, so that a slow minute of the machine meets both.
"""

import argparse
import json
import pathlib
import time

import torch
from transformers import AutoTokenizer, DataCollatorForLanguageModeling

from ftlib.course import hub, reproducibility, sources
from ftlib.data import tokenization
from ftlib.objectives import mlm

HERE, LENGTH, BATCH = pathlib.Path(__file__).resolve().parent, 128, 16


def encoders(texts):
    """{contender: function that makes packed rows (M, LENGTH)}; both use the vocabulary
    of reviews-bert-mini.
    """
    folder = hub.resolve("reviews-bert-mini")
    ours, theirs = tokenization.load(folder), AutoTokenizer.from_pretrained(folder)
    return {
        "ftlib": lambda: tokenization.pack(tokenization.encode(ours, texts), LENGTH),
        "transformers": lambda: tokenization.pack(theirs(texts)["input_ids"], LENGTH),
    }


def maskers(rows):
    """{contender: function that masks all rows, batch by batch}."""
    folder = hub.resolve("reviews-bert-mini")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    special, index = tokenizer.all_special_ids, torch.arange(len(rows))
    examples = [{"input_ids": row} for row in rows]

    def ours():
        for i in index.split(BATCH):
            mlm.mask_tokens(
                rows[i],
                len(tokenizer),
                tokenizer.mask_token_id,
                special,
                seed=0,
                epoch=0,
                index=i,
            )

    def theirs():
        for i in range(0, len(examples), BATCH):
            collate(examples[i : i + BATCH])

    return {"ftlib": ours, "transformers": theirs}


def measure(texts, rounds):
    """[{"stage", "contender", "tokens_per_second": one per round}]."""
    makers = encoders(texts)
    rows = makers["ftlib"]()
    assert torch.equal(rows, makers["transformers"]())  # the same work
    result = []
    for stage, contenders in (("encode", makers), ("mask", maskers(rows))):
        rates = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, work in contenders.items():
                start = time.perf_counter()
                work()
                rates[name].append(round(rows.numel() / (time.perf_counter() - start)))
        result += [
            {"stage": stage, "contender": name, "tokens_per_second": values}
            for name, values in rates.items()
        ]
        print(stage, rates, flush=True)
    return result


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    a.add_argument("--quick", action="store_true")
    a.add_argument("--rounds", type=int, default=3)
    a = a.parse_args()
    texts = sources.load("imdb")["train"]["text"][: 200 if a.quick else 4000]
    rows = measure(texts, a.rounds)
    if not a.quick:
        record = {
            "what": "from texts to masked batches",
            "command": "python benchmarks/pipeline.py",
            "machine": reproducibility.machine(),
            "versions": reproducibility.versions(),
            "threads": torch.get_num_threads(),
            "texts": len(texts),
            "rows": rows,
        }
        (HERE / "results" / "pipeline.json").write_text(
            json.dumps(record, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
