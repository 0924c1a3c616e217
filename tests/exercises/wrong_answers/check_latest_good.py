"""Wrong choices of a checkpoint, and another right one."""

import re


def another(names, is_whole):
    best, number = "", -1
    for name in names:
        found = re.fullmatch(r"step-(\d+)\.safetensors", name)
        if found and int(found[1]) > number and is_whole(name):
            best, number = name, int(found[1])
    return best


def _number(name):
    return int(re.search(r"\d+", name).group())


def by_text(names, is_whole):
    return max((n for n in names if not n.startswith(".") and is_whole(n)), default="")


def trusting(names, is_whole):
    return max((n for n in names if not n.startswith(".")), key=_number, default="")


def gives_up(names, is_whole):
    name = max((n for n in names if not n.startswith(".")), key=_number, default="")
    return name if name and is_whole(name) else ""


def temporary(names, is_whole):
    return next(
        (n for n in sorted(names, key=_number, reverse=True) if is_whole(n)), ""
    )


def oldest(names, is_whole):
    return next((n for n in sorted(names, key=_number) if is_whole(n)), "")


def never_empty(names, is_whole):
    whole = sorted(
        (n for n in names if not n.startswith(".") and is_whole(n)), key=_number
    )
    return whole[-1] if whole else names[0] if names else "step-0.safetensors"


def last_in_the_list(names, is_whole):
    whole = [n for n in names if not n.startswith(".") and is_whole(n)]
    return whole[-1] if whole else ""


def four_digits(names, is_whole):
    def key(name):
        return "".join(c for c in name if c.isdigit()).zfill(4)

    whole = [n for n in names if not n.startswith(".") and is_whole(n)]
    return max(whole, key=key, default="")


def name_made_again(names, is_whole):
    found = another(names, is_whole)
    return f"step-{_number(found)}" if found else ""


def the_number(names, is_whole):
    found = another(names, is_whole)
    return _number(found) if found else ""


def by_length(names, is_whole):
    whole = [n for n in names if not n.startswith(".") and is_whole(n)]
    return max(whole, key=len, default="")


def skips_tmp(names, is_whole):
    kept = [n for n in names if not n.endswith(".tmp") and is_whole(n)]
    return max(kept, key=_number, default="")


def finds_inside(names, is_whole):
    kept = [n for n in names if re.search(r"step-\d+\.safetensors$", n)]
    kept = [n for n in kept if is_whole(n)]
    return max(kept, key=_number, default="")


def newest_two(names, is_whole):
    kept = sorted((n for n in names if not n.startswith(".")), key=_number)
    return next((n for n in reversed(kept[-2:]) if is_whole(n)), "")


def step_zero_is_none(names, is_whole):
    found = another(names, is_whole)
    return found if found and _number(found) else ""


def by_length_and_text(names, is_whole):
    whole = [n for n in names if n[0] != "." and is_whole(n)]
    return max(whole, key=lambda name: (len(name), name)) if whole else ""


def split_at_the_signs(names, is_whole):
    steps = {}
    for name in names:
        if not name.startswith("."):
            steps[int(name.split("-")[1].split(".")[0])] = name
    while steps:
        name = steps.pop(max(steps))
        if is_whole(name):
            return name
    return ""


WRONG = [
    (by_text, "sort as text"),
    (trusting, "a damaged file was taken"),
    (gives_up, "you return nothing"),
    (temporary, "begin with a dot"),
    (oldest, "the oldest"),
    (never_empty, "return an empty string"),
    (last_in_the_list, "last of the list"),
    (four_digits, "9999"),
    (name_made_again, "is no name of the folder"),
    (the_number, "of type int"),
    (by_length, "of steps ["),
    (skips_tmp, "a1b2"),
    (finds_inside, "'.step-30.safetensors'"),
    (newest_two, "three newest"),
    (step_zero_is_none, "step-0"),
]

RIGHT = [by_length_and_text, split_at_the_signs]
