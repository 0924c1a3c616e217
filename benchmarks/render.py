"""Write benchmarks/README.md from the measurements in benchmarks/results/: no number in it is typed by hand.

    python benchmarks/render.py
"""

import json
import pathlib
import statistics

HERE = pathlib.Path(__file__).resolve().parent


def read(name):
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def where(record):
    commit = f" at commit {record['commit'][:7]}" if record.get("commit") else ""
    return f"`{record['command']}`{commit} on {record['machine']}; {record['threads']} threads; {record['versions']}."


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + " --- |" * len(head), *("| " + " | ".join(row) + " |" for row in rows)])


def mlm_step(record):
    sizes, rates = record["sizes"], {(r["contender"], r["precision"]): r["tokens_per_second"] for r in record["rows"]}
    names = {"ftlib": "ftlib's loop and model", "loop": "ftlib's loop, transformers' model", "Trainer": "transformers' `Trainer` and model"}
    rows = []
    for (contender, precision), values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(values, rates["Trainer", precision]))
        rows.append([names[contender], precision, f"{statistics.median(values):,.0f}", f"{min(values):,.0f} to {max(values):,.0f}", f"{ratio:.2f}"])
    counted = record.get("operations")
    words = "" if not counted else f"""
Counted, not timed: a step of ftlib's model takes {counted['ftlib'] / 1e9:.1f} thousand million operations, of transformers' model {counted['transformers'] / 1e9:.1f}.
At the same speed of arithmetic that makes a ratio of {counted['transformers'] / counted['ftlib']:.2f}; what is above it is fewer numbers written to memory.
"""
    return f"""## A masked-LM training step

{sizes['layers']} layers, width {sizes['width']}, vocabulary {sizes['vocab']:,}, {sizes['batch']} rows of {sizes['tokens']} tokens, equal weights,
equal batches, fused AdamW, clipping. Each number is the median of {len(record['rows'][0]['tokens_per_second'])} rounds of {record['steps_per_round']} steps; the contenders take turns
in one process. The last column compares each round with the Trainer's next to it.

{table(["what", "precision", "tokens/s", "lowest to highest", "against Trainer"], rows)}

ftlib's model makes logits, and the second half of its last block, only at the asked places; transformers' makes them
everywhere. The middle rows show how much of the difference is the loop's.{" This record: " + record["note"] + "." if "note" in record else ""}
{words}
{where(record)}
"""


def loop(record):
    rows = [[r["name"], f"{r['layers']} x {r['width']}", f"{r['accumulate']} x {r['batch']} x {r['tokens']}",
             *(f"{1000 * statistics.median(r[k]):.1f}" for k in ("bare", "steps")), f"{r['ratio']:.3f}"] for r in record["rows"]]
    return f"""## What the loop costs

`train.steps` counts targets, sums over processes, watches for values that are not finite and reports each step. The
bare loop does none of that. A ratio of 1 means that this is free; at least 0.98 is wanted at the recipe's size.

{table(["sizes", "layers x width", "micro-batches x rows x tokens", "bare, ms a step", "`steps`, ms a step", "ratio"], rows)}

{where(record)}
"""


def main():
    parts = ["""# Measurements

Speed, measured side by side on one machine; run them on yours. Every table is written by `benchmarks/render.py` from the
JSON files in `results/`, which hold each round, the machine and the versions.
"""]
    for make in (mlm_step, loop):  # a record for each machine
        records = [read(path.stem) for path in sorted((HERE / "results").glob(f"{make.__name__}*.json"))]
        parts += [make(record) for record in records] or [f"`benchmarks/{make.__name__}.py` has not been run yet.\n"]
    (HERE / "README.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
