"""Write benchmarks/README.md from the measurements in benchmarks/results/: no number in
it is typed by hand.

    python benchmarks/render.py
"""

import collections
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


def rates_of(record):
    """{(contender, precision): the tokens a second of each round}."""
    return {
        (r["contender"], r["precision"]): r["tokens_per_second"] for r in record["rows"]
    }


def median_ratio(values, others):
    """Of what was measured in the same rounds."""
    return statistics.median(a / b for a, b in zip(values, others))


def mfu(record, contender, precision):
    """Operations a second of the step, against those of the round's fastest matrix
    product.
    """
    sizes = record["sizes"]
    model = "ftlib" if contender == "ftlib" else "transformers"
    each = record["operations"][model] / (sizes["batch"] * sizes["tokens"])
    values = [v * each for v in rates_of(record)[contender, precision]]
    return median_ratio(values, record["peaks"][precision])


def mlm_step(record):
    sizes, rates = record["sizes"], rates_of(record)
    peaks, operations = record.get("peaks", {}), record.get("operations", {})
    names = {
        "ftlib": "ftlib's loop and model",
        "loop": "ftlib's loop, transformers' model",
        "Trainer": "transformers' `Trainer` and model",
        "Lightning": "Lightning's `Trainer`, transformers' model",
    }
    rows, limits = [], []
    for (contender, precision), values in rates.items():
        ratio = median_ratio(values, rates["Trainer", precision])
        rows.append(
            [
                names[contender],
                precision,
                f"{statistics.median(values):,.0f}",
                f"{min(values):,.0f} to {max(values):,.0f}",
                f"{ratio:.2f}",
            ]
        )
        if precision in peaks:
            part = mfu(record, contender, precision)
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


def bounds(part):
    """{kind: Counter of its operations and bytes, and of its milliseconds in a step: at
    least ("bound"), with each product as fast as it ran alone ("alone"), measured}. The
    speeds of the bound are the best of all rounds, as those of the products alone are.
    """
    speed, copying = (
        max(turn[name] for turn in part["rounds"]) for name in ("peak", "bandwidth")
    )
    step = statistics.median(turn["ftlib"] for turn in part["rounds"])
    kinds = collections.defaultdict(collections.Counter)
    for row in part["operations"]:
        found, calls = kinds[row["kind"]], row["calls"]
        least = max(row["operations"] / speed, row["bytes"] / copying)
        found["operations"] += calls * row["operations"]
        found["bytes"] += calls * row["bytes"]
        found["bound"] += 1000 * calls * least
        found["alone"] += 1000 * calls * row.get("alone", least)
    for kind, share in part["shares"].items():
        kinds[kind]["measured"] = 1000 * share * step
    return kinds


def in_all(part):
    """The sums of bounds() over the kinds."""
    return sum(bounds(part).values(), collections.Counter())


def roof_ratios(part):
    """How many times as fast as the Trainer's step ftlib's is, at its bound, and with
    each product as fast as alone.
    """
    ours, theirs = (
        statistics.median(turn[name] for turn in part["rounds"])
        for name in ("ftlib", "Trainer")
    )
    total = in_all(part)
    return [theirs / ours, *(1000 * theirs / total[n] for n in ("bound", "alone"))]


def roof_row(name, found):
    numbers = [found["operations"] / 1e9, found["bytes"] / 1e6]
    numbers += [found[column] for column in ("bound", "alone", "measured")]
    return [name, *(f"{number:,.1f}" for number in numbers)]


def roofline(record):
    sizes, parts = record["sizes"], []
    head = ["what", "operations (10^9)", "read and written (MB)", "at least (ms)"]
    head += ["products as alone (ms)", "measured (ms)"]
    for part in record["parts"]:
        kinds = sorted(bounds(part).items(), key=lambda kind: -kind[1]["measured"])
        rows = [roof_row(*kind) for kind in kinds]
        rows.append(roof_row("the step", in_all(part)))
        measured, bound, near = roof_ratios(part)
        speed, copying = (
            max(turn[name] for turn in part["rounds"]) / 1e9
            for name in ("peak", "bandwidth")
        )
        parts.append(
            f"In {part['precision']}: products at {speed:,.0f} thousand million "
            f"operations a second, copies at {copying:,.0f} thousand million bytes a "
            f"second.\nAgainst the Trainer's step of the same rounds the measured step "
            f"is {measured:.2f} times as fast,\nwith each product as fast as alone it "
            f"would be {near:.2f} times, at the bound {bound:.2f} times.\n\n"
            + table(head, rows)
        )
    tables = "\n\n".join(parts)
    return f"""## The roofline of a step

The masked-LM step of {sizes["batch"]} rows, operation by operation, one after the other. *At least*: each takes the longer of two times,
its arithmetic at the speed of the fastest large product, and the numbers that it reads and writes, each once, at the
speed of the fastest copy. *Products as alone*: the same, and each product as fast as it ran by itself, with its own shapes. *Measured*: shares of torch's
profiler of the time of a step. Speeds and products alone: the best of {len(record["parts"][0]["rounds"])} rounds; steps: their medians.

{tables}

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
            f"{median_ratio(values, rates['as it is', kind]):.2f}",
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
            f"{median_ratio(values, rates[stage, 'transformers']):.2f}",
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
    rates = rates_of(record)
    alone, threads, *_ = dict.fromkeys(name for name, _ in rates)
    rows = [
        [
            name,
            kind,
            f"{statistics.median(values):,.0f}",
            f"{min(values):,.0f} to {max(values):,.0f}",
            f"{median_ratio(values, rates[alone, kind]):.2f}",
            f"{median_ratio(values, rates[threads, kind]):.2f}",
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


def memory_off(row):
    """How far the formula is off, as a part of what was measured."""
    return abs(row["formula"] / row["measured"] - 1)


def process_memory(record):
    rows, alone, off = [], {}, []
    for row in record["rows"]:
        ratio = row["formula"] / row["measured"]
        width, layers, vocab, texts, length = row["sizes"]
        if row["gives_back"]:
            off.append(memory_off(row))
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


def precision_of(kind):
    return "float32" if kind["precision"] == "None" else "bfloat16"


def predicted(row, numbers):
    """Predicted seconds of a run against the measured ones."""
    seconds = statistics.median(row["seconds"])
    return sum(map(operator.mul, numbers, row["terms"])) / seconds


def cost_off(kind, model):
    """How far each run is off that was not fitted but predicted."""
    rows = [row for row in kind["rows"] if not row["fitted"]]
    return [abs(predicted(row, kind["numbers"][model]) - 1) for row in rows]


def cost_model(record):
    parts = []
    for kind in record["kinds"]:
        precision = precision_of(kind)
        speed, traffic, overhead = kind["numbers"]["three numbers"]
        three = kind["numbers"]["three numbers"]
        rows = []
        worst = {model: max(cost_off(kind, model)) for model in kind["numbers"]}
        for row in kind["rows"]:
            name, vocab, width, layers, texts, length = row["spec"]
            measured = statistics.median(row["seconds"])
            ratios = {
                model: predicted(row, numbers)
                for model, numbers in kind["numbers"].items()
            }
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


def ended(record):
    """{contender: its rows that reached their end}."""
    names = dict.fromkeys(row["contender"] for row in record["rows"])
    return {
        name: [
            row
            for row in record["rows"]
            if row["contender"] == name and "stopped" not in row
        ]
        for name in names
    }


def ends_of(record):
    """{contender: {seed: its score at the end}}."""
    return {
        name: {row["seed"]: row["curve"][-1][1] for row in made}
        for name, made in ended(record).items()
    }


def near_baseline(record):
    """The contenders that end within 0.1 nats of a guess that reads nothing."""
    (level,) = record["baseline"].values()
    if record["task"] == "classify":
        return []
    return [
        name
        for name, made in ends_of(record).items()
        if made and abs(statistics.mean(made.values()) - level) < 0.1
    ]


def time_to_loss(record):
    what = {
        "mlm": "masked LM, held-out loss at [MASK] positions (nats)",
        "clm": "causal LM, held-out loss (nats)",
        "classify": "a classifier from 1,000 labels, share of errors on validation",
    }[record["task"]]
    done, ends = ended(record), ends_of(record)
    first, *others = done
    ideas = "Trainer" not in others
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
    near = near_baseline(record)
    if near:
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


def step_rows(record):
    rows = record.get("step_rows") or record.get("sizes", {}).get("batch")
    return f"{rows} rows" if rows else ""


def told_apart(text, record):
    """A table whose heading says the rows of a step, where there are any, and the
    machine, for pages with several tables of one heading.
    """
    heading, rest = text.split("\n", 1)
    rows = step_rows(record)
    return f"{heading}: {rows + ', ' * bool(rows)}{record['machine']}\n{rest}"


# --- goals ----------------------------------------------------------------------------

TIME_SHARE, SEEDS = 0.2, 3  # of the Trainer's time
FLOAT32_RATIO, BFLOAT16_MFU = 2.2, 0.6  # the first against the Trainer
PROCESS_RATIO = 0.9  # two processes against two threads
MEMORY_OFF, COST_OFF, COST_RUNS = 0.10, 0.15, 6  # how far predictions may be off
STREAM_RATIO, STREAM_PEAK, STREAM_TEXT = 0.9, 600e6, 10e9  # the last two in bytes
GPU_MFU, GPU_RATIO = 0.5, 1.5
PRECISIONS = ("float32", "bfloat16")
ROW = 128  # tokens of a row of benchmarks/processes.py
# the second name of DDP is that of records from before there was FSDP2
WAYS = {
    "DDP": ("two processes, DDP", "two processes, one thread each"),
    "FSDP2": ("two processes, FSDP2",),
}


def records_stored():
    """{name: record} of all there are."""
    paths = sorted((HERE / "results").glob("*.json"))
    return {path.stem: read(path.stem) for path in paths}


def of_kind(stored, kind):
    """The records of a kind, without those with a note, which are of older code."""
    found = [record for name, record in stored.items() if name.startswith(kind)]
    return [record for record in found if "note" not in record]


def verdict(passed, missing=""):
    """passed: of each measurement, whether it reaches the goal. missing: what the goal
    wants and no record has.
    """
    if not all(passed):
        return "**not met**"
    if not passed:
        return "**not measured**"
    return f"**not measured** in full: {missing}" if missing else "**met**"


def goal(text, reached, passed, words=(), missing=""):
    """A row of the table."""
    words = " ".join(f"{word}." for word in (verdict(passed, missing), *words) if word)
    return [text, "; ".join(reached), words]


def apart(record, records):
    """The rows of a step, and the machine where the records have several."""
    several = len({other["machine"] for other in records}) > 1
    words = [step_rows(record), record["machine"] if several else ""]
    return f" ({', '.join(filter(None, words))})" if any(words) else ""


def time_goal(stored, task, name):
    text = f"{name}: at the Trainer's last score in at most {TIME_SHARE:g} of its time"
    text += f", {SEEDS} seeds"
    record = stored.get(f"time_to_loss_{task}")
    if not record:
        return goal(text, [], [])
    found = shares(record, "Trainer")
    seeds = f"{len(found)} seed{'s' * (len(found) > 1)}"
    reached = [f"{share_words(found)} ({seeds})"] * bool(found)
    passed = [share is not None and share <= TIME_SHARE for share in found]
    tried, missing = record["rates"], ""
    if record.get("rate", best_rate(tried)) != best_rate(tried):
        missing = f"to be run again with the learning rate {best_rate(tried)}"
    elif len(found) < SEEDS:
        missing = f"{len(found)} of {SEEDS} seeds"
    return goal(text, reached, passed, time_caveats(record), missing)


def time_caveats(record):
    """What the Trainer's end is worth."""
    if "Trainer" in near_baseline(record):
        end = statistics.mean(ends_of(record)["Trainer"].values())
        ((guess, level),) = record["baseline"].items()
        level = f"{level:.3f} nats"
        yield f"The Trainer ends at {end:.3f}, near the {guess} guess ({level})"
    if edge(record["rates"]):
        yield f"Its best learning rate is the {edge(record['rates'])} of those tried"


def against_trainer(record, precision):
    rates = rates_of(record)
    return median_ratio(rates["ftlib", precision], rates["Trainer", precision])


def milliseconds(record, contender, precision):
    tokens = record["sizes"]["batch"] * record["sizes"]["tokens"]
    rates = rates_of(record)[contender, precision]
    return 1000 * tokens / statistics.median(rates)


def arithmetic(record, precision):
    """Milliseconds of the products of ftlib's step at the speed of the peak."""
    peak = statistics.median(record["peaks"][precision])
    return 1000 * record["operations"]["ftlib"] / peak


def of_a_step(record, precision, most, records):
    """What a step is made of. most: the milliseconds that the goal leaves to it."""
    step = round(milliseconds(record, "ftlib", precision))
    products = round(arithmetic(record, precision))
    return (
        f"Of {step} ms a step{apart(record, records)} {products} are arithmetic at the "
        f"peak, {step - products} the rest, for which the goal leaves "
        f"{most - products:.0f}"
    )


def roof_parts(stored, precision):
    return [
        part
        for record in of_kind(stored, "roofline")
        for part in record["parts"]
        if part["precision"] == precision
    ]


def within(near, most):
    if near < most:
        return "which is below the goal: not with these operations in this order"
    return "which does not rule the goal out"


def roof_words(stored):
    """What the rooflines allow in float32; of several the one that allows most."""
    found = [roof_ratios(part) for part in roof_parts(stored, "float32")]
    if not found:
        return []
    _, bound, near = max(found, key=lambda ratios: ratios[2])
    return [
        f"By the roofline at most {bound:.2f} times the Trainer, and {near:.2f} with "
        f"each product as fast as it ran alone, {within(near, FLOAT32_RATIO)}"
    ]


def roof_mfu(part):
    """MFU at the bound, and with each product as fast as it ran alone."""
    total, speed = in_all(part), max(turn["peak"] for turn in part["rounds"])
    arithmetic = 1000 * total["operations"] / speed
    return [arithmetic / total[name] for name in ("bound", "alone")]


def roof_mfu_words(stored):
    found = [roof_mfu(part) for part in roof_parts(stored, "bfloat16")]
    if not found:
        return []
    bound, near = max(found, key=lambda both: both[1])
    return [
        f"By the roofline at most {bound:.0%}, and {near:.0%} with each product as fast "
        f"as it ran alone, {within(near, BFLOAT16_MFU)}"
    ]


def float32_words(peaks):
    """Of the record with the lowest ratio."""
    record = min(peaks, key=lambda record: against_trainer(record, "float32"))
    counted = record["operations"]
    ratio = against_trainer(record, "float32")
    most = milliseconds(record, "Trainer", "float32") / FLOAT32_RATIO
    return [
        f"{counted['transformers'] / counted['ftlib']:.2f} of the ratio is arithmetic; "
        f"an MFU of 100 % would make it {ratio / mfu(record, 'ftlib', 'float32'):.1f}",
        of_a_step(record, "float32", most, peaks),
    ]


def with_peaks(records, precision):
    return [record for record in records if precision in record.get("peaks", {})]


def float32_goal(stored):
    records = [
        record
        for record in of_kind(stored, "mlm_step")
        if ("ftlib", "float32") in rates_of(record)
    ]
    ratios = [against_trainer(record, "float32") for record in records]
    reached = [f"{r:.2f}{apart(one, records)}" for r, one in zip(ratios, records)]
    peaks = with_peaks(records, "float32")
    text = f"float32 step: at least {FLOAT32_RATIO:g} times the Trainer's tokens/s"
    passed = [ratio >= FLOAT32_RATIO for ratio in ratios]
    words = float32_words(peaks) if peaks else []
    words += roof_words(stored)
    return goal(text, reached, passed, words)


def bfloat16_goal(stored):
    records = with_peaks(of_kind(stored, "mlm_step"), "bfloat16")
    text = f"bfloat16 step: MFU of at least {100 * BFLOAT16_MFU:g} %"
    reached, passed, words = [], [], []
    for record in records:
        part = mfu(record, "ftlib", "bfloat16")
        ratio = against_trainer(record, "bfloat16")
        where_at = apart(record, records)
        reached.append(f"{100 * part:.0f} %, {ratio:.2f} times the Trainer{where_at}")
        passed.append(part >= BFLOAT16_MFU)
        most = arithmetic(record, "bfloat16") / BFLOAT16_MFU
        words.append(of_a_step(record, "bfloat16", most, records))
    words += roof_mfu_words(stored)
    return goal(text, reached, passed, words)


def two_processes(record, way):
    """(precision, tokens a second of two processes, of two threads), each."""
    rates = rates_of(record)
    for name, kind in rates:
        if name in WAYS[way]:
            yield kind, rates[name, kind], rates["one process, two threads", kind]


def longer(record, values, threads):
    """By how much a step of two processes is longer than one of two threads."""
    tokens = 1000 * ROW * record.get("step_rows", 16)
    more = statistics.median(tokens / a - tokens / b for a, b in zip(values, threads))
    allowed = tokens / statistics.median(threads) * (1 / PROCESS_RATIO - 1)
    return f"{more:.0f} ms, allowed {allowed:.0f}"


def processes_goal(stored, way):
    records = of_kind(stored, "processes")
    reached, passed, more, kinds = [], [], [], set()
    for record in records:
        for kind, values, threads in two_processes(record, way):
            ratio, where_at = median_ratio(values, threads), apart(record, records)
            reached.append(f"{kind} {ratio:.2f}{where_at}")
            passed.append(ratio >= PROCESS_RATIO)
            kinds.add(kind)
            if ratio < PROCESS_RATIO:
                beyond = longer(record, values, threads)
                more.append(f"{kind} {beyond}{where_at}")
    words = ["Exchange and work not split, per step: " + "; ".join(more)] * bool(more)
    absent = [r for r in records if not list(two_processes(r, way))]
    words += [f"Not measured with {step_rows(record)}" for record in absent]
    missing = ", ".join(kind for kind in PRECISIONS if kind not in kinds)
    text = f"Two processes, {way}: at least {PROCESS_RATIO:g} of two threads' tokens/s"
    return goal(text, reached, passed, words, missing)


def memory_goal(stored, gives_back):
    off = {}
    for record in of_kind(stored, "process_memory"):
        for row in record["rows"]:
            if row["gives_back"] is gives_back:
                off[row["way"]] = max(off.get(row["way"], 0), memory_off(row))
    text = f"Memory of a process within {100 * MEMORY_OFF:g} % of the formula"
    text += ", freed memory " + ("given back" if gives_back else "kept")
    reached = [f"{way} {at_most(part)} off" for way, part in off.items()]
    setting = "`MALLOC_MMAP_THRESHOLD_=65536`"
    words = f"With {setting}" if gives_back else f"As glibc comes, without {setting}"
    passed = [part <= MEMORY_OFF for part in off.values()]
    return goal(text, reached, passed, [words] * bool(off))


def cost_goal(stored):
    kinds = [k for record in of_kind(stored, "cost_model") for k in record["kinds"]]
    off = [cost_off(kind, "three numbers") for kind in kinds]
    counts = [len(one) for one in off]
    reached = [
        f"{precision_of(kind)} {at_most(max(one))} off" for kind, one in zip(kinds, off)
    ]
    passed = [max(one) <= COST_OFF for one in off]
    few = [f"{count} runs" for count in counts if count < COST_RUNS]
    words = [f"{count} runs in {precision_of(k)}" for count, k in zip(counts, kinds)]
    text = f"Cost model within {100 * COST_OFF:g} %"
    text += f" on {COST_RUNS} runs that were not fitted"
    return goal(text, reached, passed, [", ".join(words)], ", ".join(few))


def resumes(record):
    """Whether each resumption got the same rows, and the control none of them."""
    equal, lanes = record["equal_lanes"], record["lanes"]
    return [
        count == (0 if name.endswith("further") else lanes)
        for name, count in equal.items()
    ]


def recipe_words(stored):
    """Processes over the limit that train from a stream."""
    for record in of_kind(stored, "stream_memory"):
        for row in record["rows"]:
            if row["kind"] == "recipe" and row["peak"] >= STREAM_PEAK:
                yield (
                    f"A recipe that also trains takes {row['peak'] / 1e6:,.0f} MB with "
                    f"{row['megabytes']:,} MB of text ({record['machine']})"
                )


def stream_goal(stored):
    text = f"{STREAM_TEXT / 1e9:g} GB through a stream, two processes: under "
    text += f"{STREAM_PEAK / 1e6:g} MB each, resumed exactly"
    reached, passed, short = [], [], []
    for record in of_kind(stored, "stream_size"):
        peak, lanes = max(row["peak"] for row in record["rows"]), record["lanes"]
        equal = [f"{n}: {c} of {lanes}" for n, c in record["equal_lanes"].items()]
        reached += [f"{peak / 1e6:,.0f} MB", f"equal lanes, {', '.join(equal)}"]
        passed += [peak < STREAM_PEAK, *resumes(record)]
        if record["bytes"] < STREAM_TEXT:
            short.append(f"{record['bytes'] / 1e9:.1f} GB")
    return goal(text, reached, passed, recipe_words(stored), ", ".join(short))


def stream_rates(record):
    """Tokens a second of a process: over the whole text, in the race, in memory."""
    whole = [row["tokens"] / row["seconds"] for row in record["rows"]]
    race = {
        kind: statistics.median(rate for one in record["race"] for rate in one[kind])
        for kind in ("stream", "memory")
    }
    return statistics.mean(whole), race["stream"], race["memory"]


def stream_rate_goal(stored):
    text = f"Stream: at least {STREAM_RATIO:g} of the tokens/s of texts in memory"
    reached, passed, words, missing = [], [], [], []
    for record in of_kind(stored, "stream_size"):
        whole, stream, memory = stream_rates(record)
        low, size = min(record["ratios"]), f"{record['bytes'] / 1e9:.0f} GB"
        reached.append(f"{record['ratio']:.2f} in turns (lowest {low:.2f})")
        passed.append(record["ratio"] >= STREAM_RATIO)
        if whole < STREAM_RATIO * memory:
            missing.append(f"over all {size} {whole / memory:.2f}, not in turns")
        words.append(
            f"{size} in {max(row['seconds'] for row in record['rows']):,.0f} s, "
            f"{whole:,.0f} tokens/s a process; in turns {stream:,.0f}, in memory "
            f"{memory:,.0f}"
        )
    return goal(text, reached, passed, words, ", ".join(missing))


def gpu_goal(stored):
    """Of the results.json of tools/gpu.py, kept as results/gpu*.json."""
    text = f"GPU: MFU of {100 * GPU_MFU:g} %, {GPU_RATIO:g} times the Trainer"
    records = [r for r in of_kind(stored, "gpu") if not r.get("rehearsal")]
    reached, passed, missing = [], [], []
    for record in records:
        for name in ("bert_base", "gpt2_small"):
            stage = record["stages"].get(name, {})
            ours = [run for label, run in stage.items() if label.startswith("ftlib")]
            part = max((run["mfu"] or 0 for run in ours), default=0)
            ratio = stage.get("against_trainer")
            if not part or not ratio:
                missing.append(name)
                continue
            reached.append(f"{name} {100 * part:.0f} %, {ratio:.2f} times")
            passed += [part >= GPU_MFU, ratio >= GPU_RATIO]
    words = [] if records else ["No GPU yet"]
    return goal(text, reached, passed, words, ", ".join(missing))


def goals(stored):
    """All goals, from {name: record}."""
    rows = [
        time_goal(stored, "mlm", "Masked LM"),
        time_goal(stored, "clm", "Causal LM"),
        time_goal(stored, "classify", "Classifier, 1,000 labels"),
        float32_goal(stored),
        bfloat16_goal(stored),
        processes_goal(stored, "DDP"),
        processes_goal(stored, "FSDP2"),
        memory_goal(stored, gives_back=True),
        memory_goal(stored, gives_back=False),
        cost_goal(stored),
        stream_goal(stored),
        stream_rate_goal(stored),
        gpu_goal(stored),
    ]
    return f"""## Goals

A goal is met if every record of it says so. A record with a note, of older code, is left out here. The machines stand in the
sections below, and here where the records of a goal have several. MFU is model FLOPs utilisation: the operations a second of
the step against those of the fastest large matrix product of the same round.

{table(["goal", "reached", "where it stands, or what holds it back"], rows)}
"""


def page():
    stored = records_stored()
    parts = [
        """# Measurements

Speed, measured side by side on one machine; run them on yours. Every table is written by `benchmarks/render.py` from the
JSON files in `results/`, which hold each round, the machine and the versions.
""",
        goals(stored),
    ]
    # a record for each machine
    for make in (
        time_to_loss,
        mlm_step,
        roofline,
        changes,
        loop,
        pipeline,
        processes,
        stream_memory,
        stream_size,
        process_memory,
        cost_model,
    ):
        records = [r for name, r in stored.items() if name.startswith(make.__name__)]
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
