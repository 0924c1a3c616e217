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


WRONG = [
    (by_text, "sort as text"),
    (trusting, "a damaged file was taken"),
    (gives_up, "you return nothing"),
    (temporary, "begin with a dot"),
    (oldest, "the oldest"),
    (never_empty, "return an empty string"),
]
