"""Write benchmarks/README.md from the measurements in benchmarks/results/: no number in
it is typed by hand.

    python benchmarks/render.py
"""

import json
import math
import operator
import pathlib
import statistics

HERE = pathlib.Path(__file__).resolve().parent


def read(name):
    path = HERE / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def where(record):
    commit = f" at commit {record['commit'][:7]}" if record.get("commit") else ""
    return (
        f"`{record['command']}`{commit} on {record['machine']}; threads: "
        f"{record['threads']}; {record['versions']}."
    )


def at_most(part):
    """A bound in percent, rounded up."""
    return f"{math.ceil(100 * part)} %"


def table(head, rows):
    return "\n".join(
        [
            "| " + " | ".join(head) + " |",
            "|" + " --- |" * len(head),
            *("| " + " | ".join(row) + " |" for row in rows),
        ]
    )


def mlm_step(record):
    sizes = record["sizes"]
    rates = {
        (r["contender"], r["precision"]): r["tokens_per_second"] for r in record["rows"]
    }
    peaks, operations = record.get("peaks", {}), record.get("operations", {})
    names = {
        "ftlib": "ftlib's loop and model",
        "loop": "ftlib's loop, transformers' model",
        "Trainer": "transformers' `Trainer` and model",
        "Lightning": "Lightning's `Trainer`, transformers' model",
    }
    rows, limits = [], []
    for (contender, precision), values in rates.items():
        ratio = statistics.median(
            a / b for a, b in zip(values, rates["Trainer", precision])
        )
        rows.append(
            [
                names[contender],
                precision,
                f"{statistics.median(values):,.0f}",
                f"{min(values):,.0f} to {max(values):,.0f}",
                f"{ratio:.2f}",
            ]
        )
        # operations a second of the step, against those of the round's fastest matrix
        # product
        if precision in peaks:
            each = operations["ftlib" if contender == "ftlib" else "transformers"] / (
                sizes["batch"] * sizes["tokens"]
            )
            part = statistics.median(
                v * each / p for v, p in zip(values, peaks[precision])
            )
            rows[-1].append(f"{part:.0%}")
            if contender == "ftlib":
                limits.append(f"{ratio / part:.1f} in {precision}")
    counted = operations
    words = (
        ""
        if not counted
        else f"""
Counted, not timed: a step of ftlib's model takes {counted["ftlib"] / 1e9:.1f} thousand million operations, of transformers' model {counted["transformers"] / 1e9:.1f}.
At the same speed of arithmetic that makes a ratio of {counted["transformers"] / counted["ftlib"]:.2f}; what is above it is fewer numbers written to memory.
"""
        + (
            ""
            if not peaks
            else "The peak is the fastest large matrix product of the round: "
            + ", ".join(
                f"{statistics.median(p) / 1e9:,.0f} thousand million operations a "
                "second in "
                f"{kind}"
                for kind, p in peaks.items()
            )
            + ".\nWere a step of ftlib nothing but products at that speed, it would be as many "
            f"times as fast as the Trainer's: {', '.join(limits)}.\n"
        )
    )
    return f"""## A masked-LM training step

{sizes["layers"]} layers, width {sizes["width"]}, vocabulary {sizes["vocab"]:,}, {sizes["batch"]} rows of {sizes["tokens"]} tokens, equal weights,
equal batches, fused AdamW, clipping. Each number is the median of {len(record["rows"][0]["tokens_per_second"])} rounds of {record["steps_per_round"]} steps; the contenders take turns
in one process. The last column compares each round with the Trainer's next to it.

{table(["what", "precision", "tokens/s", "lowest to highest", "against Trainer"] + ["share of peak"] * bool(peaks), rows)}

ftlib's model makes logits, and the second half of its last block, only at the asked places; transformers' makes them
everywhere. The middle rows show how much of the difference is the loop's.{" This record: " + record["note"] + "." if "note" in record else ""}
{words}
{where(record)}
"""


def changes(record):
    what = {
        "as it is": "as it is",
        "logits everywhere": "logits at all places, not at the asked ones alone",
        "last block everywhere": "the last block's second half at all places",
        "fused attention": "SDPA's fused kernel, not written out",
        "compiled blocks": "`torch.compile` on the blocks",
    }
    rates = {
        (r["variant"], r["precision"]): r["tokens_per_second"] for r in record["rows"]
    }
    rows = [
        [
            what[name],
            kind,
            f"{statistics.median(values):,.0f}",
            f"{min(values):,.0f} to {max(values):,.0f}",
            f"{statistics.median(a / b for a, b in zip(values, rates['as it is', kind])):.2f}",
        ]
        for (name, kind), values in rates.items()
    ]
    return f"""## What each change gave

The step of the table above, `ftlib's loop and model`, as it is and with one thing changed at a time. A ratio under 1 is what the
change back would cost. In float32 the fused kernel is what the model uses.

{table(["what", "precision", "tokens/s", "lowest to highest", "against as it is"], rows)}

{where(record)}
"""


def loop(record):
    rows = [
        [
            r["name"],
            f"{r['layers']} x {r['width']}",
            f"{r['accumulate']} x {r['batch']} x {r['tokens']}",
            *(f"{1000 * statistics.median(r[k]):.1f}" for k in ("bare", "steps")),
            f"{r['ratio']:.3f}",
        ]
        for r in record["rows"]
    ]
    return f"""## What the loop costs

`train.steps` counts targets, sums over processes, watches for values that are not finite and reports each step. The
bare loop does none of that. A ratio of 1 means that this is free; at least 0.98 is wanted at the recipe's size.

{table(["sizes", "layers x width", "micro-batches x rows x tokens", "bare, ms a step", "`steps`, ms a step", "ratio"], rows)}

{where(record)}
"""


def pipeline(record):
    rates = {
        (r["stage"], r["contender"]): r["tokens_per_second"] for r in record["rows"]
    }
    what = {
        ("encode", "ftlib"): "`tokenize.encode`, `pack`",
        ("encode", "transformers"): "`AutoTokenizer`, `pack`",
        ("mask", "ftlib"): "`mlm.mask_tokens`",
        ("mask", "transformers"): "`DataCollatorForLanguageModeling`",
    }
    rows = [
        [
            stage,
            what[stage, name],
            f"{statistics.median(values):,.0f}",
            f"{min(values):,.0f} to {max(values):,.0f}",
            f"{statistics.median(a / b for a, b in zip(values, rates[stage, 'transformers'])):.2f}",
        ]
        for (stage, name), values in rates.items()
    ]
    return f"""## From texts to masked batches

{record["texts"]:,} film reviews to rows of 128 ids, once, and rows to masked batches of 16, in every epoch. `mask_tokens` draws each
row's mask from (seed, epoch, row), so that it does not depend on the batch; the collator draws from the global generator.

{table(["stage", "what", "tokens/s", "lowest to highest", "against transformers"], rows)}

{where(record)}
"""


def processes(record):
    rates = {
        (r["contender"], r["precision"]): r["tokens_per_second"] for r in record["rows"]
    }
    alone, threads, *_ = dict.fromkeys(name for name, _ in rates)

    def against(values, name, kind):
        ratios = (a / b for a, b in zip(values, rates[name, kind]))
        return f"{statistics.median(ratios):.2f}"

    rows = [
        [
            name,
            kind,
            f"{statistics.median(values):,.0f}",
            f"{min(values):,.0f} to {max(values):,.0f}",
            against(values, alone, kind),
            against(values, threads, kind),
        ]
        for (name, kind), values in rates.items()
    ]
    head = ["what", "precision", "tokens/s", "lowest to highest"]
    head += ["against one thread", "against two threads"]
    return f"""## Two processes against one

The same step of {record.get("step_rows", 16)} rows of 128 tokens, with equal losses; two processes exchange their gradients by gloo once a step (FSDP2 the weights too). Ratios
are medians of the rounds' ratios.

{table(head, rows)}

{where(record)}
"""


def stream_memory(record):
    what = {
        "files": "files through `streaming.TextStream`",
        "data set": "a stream of `datasets`",
        "in memory": "all texts in memory",
        "recipe": "the recipe, training 20 steps of a tiny model",
    }
    rows = [
        [
            what.get(r["kind"], r["kind"]),
            f"{r['megabytes']:,} MB",
            f"{r['peak'] / 1e6:,.0f} MB",
            f"{r['after_imports'] / 1e6:,.0f} MB",
            f"{r['tokens']:,}",
        ]
        for r in record["rows"]
    ]
    return f"""## The memory of a stream

The largest memory of a process that reads plain text, all of Python and torch in it, against the length of the text.

{table(["what", "text", "peak", "before any text", "tokens read"], rows)}

{where(record)}
"""


def stream_size(record):
    rows = [
        [
            f"process {rank}",
            f"{row['peak'] / 1e6:,.0f} MB",
            f"{row['after_imports'] / 1e6:,.0f} MB",
            f"{row['tokens']:,}",
        ]
        for rank, row in enumerate(record["rows"])
    ]
    lanes, equal = record["lanes"], record["equal_lanes"]
    back = ", ".join(f"{what}: {count} of {lanes}" for what, count in equal.items())
    low, high = min(record["ratios"]), max(record["ratios"])
    return f"""## A stream at size

{record["bytes"] / 1e9:.1f} GB of text, read once by two processes of one thread each.

{table(["what", "peak", "before any text", "tokens read"], rows)}

New processes started from the position in the middle and took {record["compared_rows"]:,} rows. Lanes whose rows were the
ones that the first two processes had got there, by SHA-256 ({back}). The last is the control: one row further on, no lane may be equal.

In turns with as much text in memory, encoded and packed anew, the stream gives {record["ratio"]:.2f} times its tokens a second
({low:.2f} to {high:.2f}; {len(record["race"][0]["stream"])} rounds, {len(record["race"])} processes).

{where(record)}
"""


def process_memory(record):
    rows, alone, off = [], {}, []
    for row in record["rows"]:
        ratio = row["formula"] / row["measured"]
        width, layers, vocab, texts, length = row["sizes"]
        if row["gives_back"]:
            off.append(abs(ratio - 1))
        else:
            alone[row["way"]] = row["measured"] / 1e6
            continue
        rows.append(
            [
                f"{row['model']} ({layers} x {width}, {vocab:,})",
                f"{texts} x {length}",
                row["way"],
                f"{row['measured'] / 1e6:,.0f} MB",
                f"{row['formula'] / 1e6:,.0f} MB",
                f"{ratio:.2f}",
            ]
        )
    as_it_comes = ", ".join(f"{way} {size:,.0f} MB" for way, size in alone.items())
    saved = 1 - alone["FSDP2"] / alone["DDP"]
    head = ["mostly (layers x width, vocabulary)", "rows x tokens", "way"]
    head += ["measured", "formula", "formula / measured"]
    return f"""## The memory of a training process

The largest resident memory of process 0 over three steps in float32 with AdamW, less that of Python and its libraries, against
`cost.process_bytes`. It is at most {at_most(max(off))} off.

{table(head, rows)}

These processes ran with `MALLOC_MMAP_THRESHOLD_=65536`, so that glibc gives freed tensors back. As it comes, the first
model took: {as_it_comes}. There two processes save {"nothing" if saved < 0.01 else f"{saved:.0%}"} by sharding, whatever the formula says.

{where(record)}
"""


def cost_model(record):
    parts = []
    for kind in record["kinds"]:
        precision = "float32" if kind["precision"] == "None" else "bfloat16"
        speed, traffic, overhead = kind["numbers"]["three numbers"]
        three = kind["numbers"]["three numbers"]
        rows, worst = [], {}
        for row in kind["rows"]:
            name, vocab, width, layers, texts, length = row["spec"]
            measured = statistics.median(row["seconds"])
            ratios = {
                model: sum(map(operator.mul, numbers, row["terms"])) / measured
                for model, numbers in kind["numbers"].items()
            }
            for model, ratio in ratios.items():
                if not row["fitted"]:
                    worst[model] = max(worst.get(model, 0), abs(ratio - 1))
            rows.append(
                [
                    f"{name}, {layers} x {width}, {vocab:,}",
                    f"{texts} x {length}",
                    "fitted" if row["fitted"] else "predicted",
                    f"{1000 * measured:,.0f}",
                    f"{1000 * min(row['seconds']):,.0f} to {1000 * max(row['seconds']):,.0f}",
                    f"{ratios['three numbers']:.2f}",
                    f"{ratios['one number']:.2f}",
                ]
            )
        # the step of `mlm_step`
        step = next(r for r in kind["rows"] if r["spec"][2:] == [256, 4, 16, 128])
        each = [number * term for number, term in zip(three, step["terms"])]
        of_step = [f"{each_part / sum(each):.0%}" for each_part in each]
        head = ["run (layers x width, vocabulary)", "rows x tokens", "", "ms a step"]
        head += [
            "lowest to highest",
            "three numbers / measured",
            "one number / measured",
        ]
        parts.append(
            f"""In {precision}: {1 / speed:,.0f} thousand million operations a second, {1 / traffic / 4000:,.2f} thousand million kept numbers a second,
{1000 * overhead:.1f} ms a block. Of the runs that were predicted, these three numbers are at most {at_most(worst["three numbers"])} off, one share of the peak
{at_most(worst["one number"])}. In the fit, of the step of 4 layers, width 256 and 16 rows of 128 tokens, {of_step[0]} is products, {of_step[1]} numbers written and
read, {of_step[2]} the starting of calls.

{table(head, rows)}
"""
        )
    return f"""## What a run will take

Seconds of a step = operations / speed + numbers kept for the backward pass / traffic + (layers + 1) x overhead: three numbers
of a machine, fitted on seven short runs before six others of other sizes began. Medians of {record["rounds"]} rounds.

{chr(10).join(parts)}
{where(record)}
"""


def time_until(curve, score):
    """Seconds until a curve of (seconds, score) has come down to `score` and stays
    there, between its points along a straight line; None if it never does.
    """
    above = [i for i, point in enumerate(curve) if point[1] > score]
    if not above:
        return curve[0][0]
    if above[-1] + 1 == len(curve):
        return None
    last, first = curve[above[-1] : above[-1] + 2]
    part = (last[1] - score) / (last[1] - first[1])
    return last[0] + part * (first[0] - last[0])


def shares(record, contender):
    """Of the time until `contender` stays at its score at the end, how much the one that
    it is compared with needs for that: one for each seed in which `contender` ran to
    its end, None where the other does not get there.
    """
    rows = {(row["contender"], row["seed"]): row for row in record["rows"]}
    found = []
    for (name, seed), row in rows.items():
        if name == contender and "stopped" not in row:
            other = rows[row.get("against", record["rows"][0]["contender"]), seed]
            end = row["curve"][-1][1]
            seconds = None
            if "stopped" not in other:
                seconds = time_until(other["curve"], end)
            whole = time_until(row["curve"], end)
            found.append(None if seconds is None else seconds / whole)
    return found


def share_words(found):
    """Shares of the time in words, with a t interval where there are several."""
    from ftlib.evaluation import intervals

    if not found:
        return ""
    if None in found:
        reached = sum(share is not None for share in found)
        return f"reached by {reached} of {len(found)}"
    words = f"{statistics.mean(found):.2f} of its time"
    if len(found) > 1:
        low, high = intervals.t_interval(found)
        words += f", 95 % interval {low:.2f} to {high:.2f}"
    return words


FIFTH = "ftlib in a fifth"  # its clock ends after a fifth of the time


def fifth_words(ends):
    """Whether ftlib's run of a fifth of the time is as good as the Trainer's whole."""
    fifth, whole = ends[FIFTH], ends["Trainer"]
    reached = sum(fifth.get(seed, math.inf) <= end for seed, end in whole.items())
    ours, theirs = (statistics.mean(made.values()) for made in (fifth, whole))
    return (
        "A run of ftlib's that has only a fifth of the time, and whose rate falls to 0 "
        f"within it, ends at {ours:.3f},\nthe Trainer after the whole time at "
        f"{theirs:.3f}: as good or better in {reached} of {len(whole)}.\n\n"
    )


def best_rate(tried):
    """The rate of the lowest score in {rate: score, None where the run failed}."""
    return min(tried, key=lambda r: math.inf if tried[r] is None else tried[r])


def edge(tried):
    """Whether the best rate is the "lowest" or the "highest" of all tried; None where
    it is neither, or the only one.
    """
    rates, best = sorted(tried, key=float), best_rate(tried)
    if len(rates) == 1 or best not in (rates[0], rates[-1]):
        return None
    return "lowest" if best == rates[0] else "highest"


def rate_words(record):
    """The learning rates of the Trainer, and what is left to do about them."""
    tried = record["rates"]
    ends = ", ".join(
        f"{rate}: " + ("failed" if tried[rate] is None else f"{tried[rate]:.3f}")
        for rate in sorted(tried, key=float)
    )
    words = f"Learning rates that the Trainer tried, and their ends: {ends}."
    if edge(tried):
        words += (
            f"\nThe best is the {edge(tried)} of them: one beyond it may be better."
        )
    best = best_rate(tried)
    if record.get("rate", best) != best:
        words += (
            f"\n**The race was run with {record['rate']}, before {best} was found "
            "better: it has to be run again.**"
        )
    return words + "\n\n"


def notes_of(record):
    """What a reader has to know beside the table: a paragraph each."""
    notes = ""
    if record["task"] == "classify":
        notes += (
            "run_glue.py pads each text to 128 tokens by default, and so does the "
            "Trainer here; ftlib pads to the longest\nof a batch. These sentences are "
            "much shorter, so that most of the ratio is likely that padding.\n\n"
        )
    if "stages" in record:
        stages = ", ".join(
            f"{length} for {part:.0%}" for length, part in record["stages"]
        )
        notes += (
            f"Tokens of a row, and of the time how much of it: {stages}. The recipe for "
            "longer runs has fewer short rows.\n\n"
        )
    for row in record["rows"]:
        if "stopped" in row:
            notes += (
                f"{row['contender']}, seed {row['seed']}, stopped early, after "
                f"{row['steps']:,} steps, and is left out of the table: "
                f"{' '.join(row['stopped'].split())}\n\n"
            )
    return notes


def time_to_loss(record):
    what = {
        "mlm": "masked LM, held-out loss at [MASK] positions (nats)",
        "clm": "causal LM, held-out loss (nats)",
        "classify": "a classifier from 1,000 labels, share of errors on validation",
    }[record["task"]]
    names = dict.fromkeys(row["contender"] for row in record["rows"])
    first, *others = names
    ideas = "Trainer" not in others
    done = {
        name: [
            row
            for row in record["rows"]
            if row["contender"] == name and "stopped" not in row
        ]
        for name in names
    }
    ends = {
        name: {row["seed"]: row["curve"][-1][1] for row in made}
        for name, made in done.items()
    }
    against = {row["contender"]: row.get("against", first) for row in record["rows"]}
    rows = []
    for name, made in done.items():
        values = list(ends[name].values())
        rows.append([name, "", "stopped early", "", ""])
        if made:
            rows[-1][1:] = [
                f"{statistics.mean(row['curve'][-1][0] for row in made) / 60:.1f}",
                f"{statistics.mean(values):.3f}",
                f"{min(values):.3f} to {max(values):.3f}",
                f"{statistics.mean(row['steps'] for row in made):,.0f}",
            ]
        compared = name not in (first, FIFTH)
        if ideas:
            rows[-1].append(against[name] if compared else "")
        rows[-1].append(share_words(shares(record, name)) if compared else "")
    both = ends.get(FIFTH) and ends.get("Trainer")
    fifth = fifth_words(ends) if both else ""
    baseline = "".join(
        f"\nThe dotted line is a guess that reads nothing ({name}), {score:.3f}."
        for name, score in record["baseline"].items()
    )
    (level,) = record["baseline"].values()
    near = [
        name
        for name, made in ends.items()
        if made and abs(statistics.mean(made.values()) - level) < 0.1
    ]
    if near and record["task"] != "classify":
        # whoever reads "0.06 of its time" has to know what that score is worth
        baseline += (
            f" Within 0.1 nats of it at the end: {', '.join(near)}. So that score says "
            "little\nmore than how common each token is."
        )
    if ends.get("Trainer"):
        baseline += (
            "\nThe dashed lines are the Trainer's score at its end, and a fifth of the "
            "time."
        )
    seeds = len({row["seed"] for row in record["rows"]})
    name = f"time_to_loss_{'ideas' if ideas else record['task']}"
    title = "What each idea gave" if ideas else "Time to quality"
    head = ["what", "minutes", "at the end", "lowest to highest", "steps"]
    head += ["compared with", "which gets there in"] if ideas else []
    head += [] if ideas else [f"{first} gets there in"]
    other = "the one that it is compared with" if ideas else first
    return f"""## {title}: {what}

{record["budget"] / 60:g} minutes for each contender and seed ({seeds}), taking turns in one process; the clock of each stands
still while it is measured. Models, tokenizer, texts and precision ({record["precision"].removeprefix("torch.")}) are of equal size and kind.
The last column is the time that {other} needs to reach the score at the end of the row, and to stay
as good, against the time that the row itself needs.{baseline}

{table(head, rows)}

{fifth}{notes_of(record)}![The curves of all contenders over the time of each](results/{name}.svg)

{"" if ideas else rate_words(record)}{where(record)}
"""


def curves_svg(record):
    """The curves of a record of time_to_loss, one line for each contender and seed."""
    import io

    import matplotlib

    matplotlib.use("Agg")
    from ftlib.course import plot

    names = list(dict.fromkeys(row["contender"] for row in record["rows"]))
    many = len(names) > 4
    fig, ax = plot.figure(size=plot.WIDEST if many else plot.SMALL)
    # grey is the baseline's; beyond the house's colours the strokes tell them apart too
    palette = [color for name, color in plot.COLORS.items() if name != "grey"]
    looks = [dict(color=color) for color in palette]
    more = ("#D81B60", "#009E8E", "#C49000", "#56B4E9")
    looks += [dict(color=color, linestyle="-.") for color in more]
    labelled = set()
    for row in record["rows"]:
        name = row["contender"]
        if not row["curve"]:  # it failed before the first point
            continue
        x, y = zip(*row["curve"])
        label = None if name in labelled else name
        labelled.add(name)
        look = looks[names.index(name) % len(looks)]
        ax.plot([s / 60 for s in x], y, linewidth=1, label=label, **look)
    for score in record["baseline"].values():
        ax.axhline(score, color=plot.COLORS["grey"], linestyle=":", linewidth=1)
    goals = [
        row["curve"][-1][1]
        for row in record["rows"]
        if row["contender"] == "Trainer" and "stopped" not in row
    ]
    if goals:
        look = dict(color=plot.COLORS["black"], linestyle="--", linewidth=0.6)
        ax.axhline(statistics.mean(goals), **look)
        ax.axvline(record["budget"] / 5 / 60, **look)
    unit = "share of errors" if record["task"] == "classify" else "held-out loss (nats)"
    ax.set(xlabel="minutes of each contender", ylabel=unit)
    if many:
        fig.legend(loc="outside lower center", ncols=2)
    else:
        ax.legend()
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "time_to_loss"}):
        fig.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def told_apart(text, record):
    """A table whose heading says the rows of a step, where there are any, and the
    machine, for pages with several tables of one heading.
    """
    heading, rest = text.split("\n", 1)
    rows = record.get("step_rows") or record.get("sizes", {}).get("batch")
    rows = f"{rows} rows, " if rows else ""
    return f"{heading}: {rows}{record['machine']}\n{rest}"


def page():
    parts = [
        """# Measurements

Speed, measured side by side on one machine; run them on yours. Every table is written by `benchmarks/render.py` from the
JSON files in `results/`, which hold each round, the machine and the versions.
"""
    ]
    # a record for each machine
    for make in (
        time_to_loss,
        mlm_step,
        changes,
        loop,
        pipeline,
        processes,
        stream_memory,
        stream_size,
        process_memory,
        cost_model,
    ):
        records = [
            read(path.stem)
            for path in sorted((HERE / "results").glob(f"{make.__name__}*.json"))
        ]
        made = [make(record) for record in records] or [
            f"`benchmarks/{make.__name__}.py` has not been run yet.\n"
        ]
        if len({text.split("\n", 1)[0] for text in made}) < len(made):
            made = [told_apart(*pair) for pair in zip(made, records)]
        parts += made
    return "\n".join(parts)


if __name__ == "__main__":
    for path in (HERE / "results").glob("time_to_loss*.json"):
        picture = curves_svg(read(path.stem))
        path.with_suffix(".svg").write_text(picture, encoding="utf-8")
    (HERE / "README.md").write_text(page(), encoding="utf-8")
