"""Chapter 20: one judge chooses, the other is reported."""


def another(curve, limit):
    step, highest, score = 0, None, None
    for row in curve:
        if row["nats"] > limit:
            continue
        if highest is None or row["trained"] > highest:
            step, highest, score = row["step"], row["trained"], row["second"]
    return step, score


def by_table(curve, limit):
    table = sorted(curve, key=lambda row: (row["nats"] <= limit, row["trained"]))
    if table[-1]["nats"] > limit:
        return 0, None
    return [table[-1]["step"], table[-1]["second"]]


def no_limit(curve, limit):
    best = max(curve, key=lambda row: row["trained"])
    return best["step"], best["second"]


def trained_is_reported(curve, limit):
    fluent = [row for row in curve if row["nats"] <= limit]
    if not fluent:
        return 0, None
    best = max(fluent, key=lambda row: row["trained"])
    return best["step"], best["trained"]


def second_chooses(curve, limit):
    fluent = [row for row in curve if row["nats"] <= limit]
    if not fluent:
        return 0, None
    best = max(fluent, key=lambda row: row["second"])
    return best["step"], best["second"]


def last_step(curve, limit):
    fluent = [row for row in curve if row["nats"] <= limit]
    return (fluent[-1]["step"], fluent[-1]["second"]) if fluent else (0, None)


def step_alone(curve, limit):
    return another(curve, limit)[0]


def last_anyway(curve, limit):
    step, score = another(curve, limit)
    return (step, score) if step else (curve[0]["step"], None)


def row_number(curve, limit):
    step, score = another(curve, limit)
    return (step // 8 - 1 if step else 0), score


def below_the_limit(curve, limit):
    return another(curve, limit - 1e-9)


RIGHT = [by_table]

WRONG = [
    (no_limit, "drop what is too odd"),
    (trained_is_reported, "that of the second judge"),
    (second_chooses, "is no test any more"),
    (last_step, "is the last one within"),
    (step_alone, "return a pair"),
    (last_anyway, "keep the writer as it was"),
    (row_number, "is no step of the curve"),
    (below_the_limit, "exactly at the limit"),
]
