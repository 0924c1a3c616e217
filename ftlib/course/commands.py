"""Commands to a house and the calls that they mean, expanded from the templates of Home
Assistant; split so that no wording of the test was seen in training.

    data = load("en")                   # or "zh"
    data["train"][0]["text"]            # 'turn on the kitchen light'
    data["train"][0]["call"]            # '{intent: HassTurnOn, area: kitchen}'

    >>> tree = parse("[please] (turn|switch) on [the] {area} light[s]")
    >>> matches("switch on {area} lights", [tree], {})
    True
    >>> matches("{area} lights on", [tree], {})
    False

A template such as `(turn|switch) on [the] {area} light[s]` stands for many sentences:
`(a|b)` is a choice, `[a]` may be left out, `(a;b)` stands in any order, `{area}` is a
slot and `<rule>` another template. Templates, not sentences, are dealt to train,
validation and test. Two templates may still allow one wording, so a sentence of
validation or test is dropped if any template before it could have made it.

What it is not: a parser for a real house, whose devices have other names. Needs: the
package home-assistant-intents (wheels.py), read in place.
"""

import itertools
import json
import random
import re

from ftlib.course import wheels
from ftlib.course.house import VALUES
from ftlib.data.tables import bucket
from ftlib.objectives import instruct

FILES = {"en": "en.json", "zh": "zh-CN.json"}
# questions and small talk: the assistant cannot answer them and must say so
UNRELATED = ("HassGetState", "HassRespond")
TOKENS = re.compile(r"\{[^}]*\}|<[^>]*>|[()\[\]|;]|[^{}<>()\[\]|;]+")
SPACE = re.compile(r"\s+")


# --- templates


def parse(template):
    """A template as a tree of tuples: ("seq", [...]), ("alt", [...]), ("perm", [...]),
    ("text", str), ("slot", list, slot), ("rule", name).

    Raises ValueError for a bracket that is not closed.
    """
    tokens = TOKENS.findall(template)
    tree, end = _choice(tokens, 0)
    if end < len(tokens):
        raise ValueError(
            f"{template!r} has a {tokens[end]!r} that was never opened; write the "
            "bracket that it closes"
        )
    return tree


def _choice(tokens, at):
    """(tree, position behind it) of alternatives up to a closing bracket or the end."""
    parts, sign = [[]], "|"
    while at < len(tokens) and tokens[at] not in ")]":
        token = tokens[at]
        at += 1
        if token in "|;":
            sign = token
            parts.append([])
        elif token in "([":
            tree, at = _choice(tokens, at)
            if at == len(tokens):
                raise ValueError(f"a {token!r} is never closed; write the other half")
            at += 1
            optional = ("alt", [tree, ("text", "")])
            parts[-1].append(optional if token == "[" else tree)
        else:
            parts[-1].append(_leaf(token))
    trees = [("seq", part) for part in parts]
    if len(trees) == 1:
        return trees[0], at
    return ("alt" if sign == "|" else "perm", trees), at


def _leaf(token):
    if token[0] == "{":
        listed, _, slot = token[1:-1].partition(":")
        return "slot", listed, slot or listed
    return ("rule", token[1:-1]) if token[0] == "<" else ("text", token)


def sample_sentence(tree, rules, rng):
    """One sentence of a template, as a list of strings and of slots (list, slot)."""
    kind = tree[0]
    if kind == "text":
        return [tree[1]]
    if kind == "slot":
        return [tree[1:]]
    if kind == "rule":
        return sample_sentence(rules[tree[1]], rules, rng)
    if kind == "alt":
        return sample_sentence(rng.choice(tree[1]), rules, rng)
    parts = list(tree[1])
    if kind == "perm":
        rng.shuffle(parts)
    between = [" "] if kind == "perm" else []
    drawn = [[*sample_sentence(part, rules, rng), *between] for part in parts]
    return list(itertools.chain.from_iterable(drawn))


def pattern(tree, rules) -> str:
    """The regular expression of everything that a template allows, without spaces, and
    with the mark {list} where a slot stands.
    """
    kind = tree[0]
    if kind == "text":
        return re.escape(SPACE.sub("", tree[1]))
    if kind == "slot":
        return re.escape("{" + tree[1] + "}")
    if kind == "rule":
        return pattern(rules[tree[1]], rules)
    parts = [pattern(part, rules) for part in tree[1]]
    if kind == "seq":
        return "".join(parts)
    if kind == "perm":
        parts = ["".join(order) for order in itertools.permutations(parts)]
    return "(?:" + "|".join(parts) + ")"


def matches(wording, trees, rules) -> bool:
    """Whether one of the templates could have made a wording: a sentence with {list} in
    place of values.
    """
    wording = SPACE.sub("", wording)
    return any(re.fullmatch(pattern(tree, rules), wording) for tree in trees)


# --- values


class House:
    """The lists of one language: what a slot may hold, and how it is said."""

    def __init__(self, data, language):
        self.language, self.values = language, VALUES[language]
        self.rules = {
            name: parse(body) for name, body in data["expansion_rules"].items()
        }
        self.closed, self.ranges = {}, {}
        for name, listed in data["lists"].items():
            if "values" in listed:
                self.closed[name] = [
                    (parse(str(v["in"])), str(v["out"])) for v in listed["values"]
                ]
            elif "range" in listed:
                self.ranges[name] = listed["range"]

    def choose(self, listed, domains, rng, new):
        """(as it is said, as the call has it) of a value for a slot.

        domains: kinds of devices that a name may have. new: take one of the values that
            no training command has.
        """
        if listed in self.ranges:
            r = self.ranges[listed]
            number = str(rng.randrange(r["from"], r["to"] + 1, r.get("step", 1)))
            return number, ("-" if r.get("multiplier") == -1 else "") + number
        if listed in self.closed:
            tree, out = rng.choice(self.closed[listed])
            return "".join(sample_sentence(tree, self.rules, rng)), out
        devices = self.values["devices"]
        kinds = [d for d in domains or () if d in devices] or ["light", "switch"]
        kinds = ["sensor"] if domains == ["binary_sensor"] else kinds
        pools = self.values.get(listed) or [v for kind in kinds for v in devices[kind]]
        pool = [v for v in pools if is_new(v) == new] or pools
        value = rng.choice(pool)
        return value, value


def names_of(row) -> list[str]:
    """The names that were put into a command: its values, but for numbers."""
    return [v for v in row["values"].values() if not v.lstrip("-").isdigit()]


def is_new(value) -> bool:
    """Whether a name is kept out of the training commands."""
    return bucket("value " + value) >= 75


# --- commands


def read(language):
    """The parsed file of a language. Raises KeyError for another, and OSError where the
    package is missing and cannot be fetched.
    """
    if language not in FILES:
        raise KeyError(f"no commands in {language!r}; there are {', '.join(FILES)}")
    location = f"home_assistant_intents/data/{FILES[language]}"
    return json.loads(wheels.member("home-assistant-intents", location))


def templates(data) -> list[dict]:
    """[{"intent", "template", "tree", "domains", "fixed", "meaning"}], one of each
    template and meaning. meaning: the intent with the names of its slots.
    """
    rows, seen = [], set()
    for intent, body in data["intents"].items():
        for block in body["data"]:
            domains = block.get("requires_context", {}).get("domain")
            domains = [domains] if isinstance(domains, str) else domains
            fixed = {k: str(v) for k, v in block.get("slots", {}).items()}
            for template in block["sentences"]:
                tree = parse(template)
                slots = sorted(re.findall(r"\{(?:[^}:]*:)?([^}]*)\}", template))
                meaning = json.dumps([intent, slots, fixed])
                if (template, meaning) not in seen:
                    seen.add((template, meaning))
                    rows.append(
                        {
                            "intent": intent,
                            "template": template,
                            "tree": tree,
                            "domains": domains,
                            "fixed": fixed,
                            "meaning": meaning,
                        }
                    )
    return rows


def normal(text) -> str:
    """What people type, as the commands are written: small letters, no punctuation but
    % and -, one space between words.
    """
    return SPACE.sub(" ", re.sub(r"[^\w\s%'-]", " ", text.lower())).strip()


def command(row, house, rng, new=False) -> dict:
    """A sentence of a template with its call: {"text", "call", "wording", "values",
    "intent", "template"}. wording: the sentence with {list} for each value. values: the
    names and numbers that were put in, by slot.
    """
    text, wording, slots, values = [], [], dict(row["fixed"]), {}
    for part in sample_sentence(row["tree"], house.rules, rng):
        if isinstance(part, str):
            text.append(part)
            wording.append(part)
        else:
            listed, slot = part
            surface, value = house.choose(listed, row["domains"], rng, new)
            text.append(surface)
            wording.append("{" + listed + "}")
            slots[slot] = value
            if listed not in house.closed:
                values[slot] = value
    return {
        "text": normal("".join(text)),
        "call": instruct.call_text(row["intent"], dict(sorted(slots.items()))),
        "wording": SPACE.sub(" ", "".join(wording)).strip(),
        "values": values,
        "intent": row["intent"],
        "template": row["template"],
    }


def split_templates(rows) -> dict[str, list[dict]]:
    """Templates dealt to train, validation and test, 70/10/20 by a hash. The first
    template of each meaning is for training: nobody can guess a call never shown.
    """
    parts, known = {"train": [], "validation": [], "test": []}, set()
    for row in sorted(rows, key=lambda r: bucket("first " + r["template"])):
        number = bucket(row["template"])
        part = "train" if number < 70 else "validation" if number < 80 else "test"
        part = part if row["meaning"] in known else "train"
        known.add(row["meaning"])
        parts[part].append(row)
    return parts


def load(language, per_template=24, tests=4, seed=0) -> dict[str, list[dict]]:
    """{"train", "validation", "test", "new_values", "unrelated_validation",
    "unrelated_test"} -> commands, as `command` makes them.

    per_template: training commands of a template, tests: those of validation and test.
    Validation and test have wordings that no earlier template allows. new_values: test
    templates again, with names that no training command has. unrelated_*: sentences
    that ask for what the assistant cannot do; their call is "".
    A sentence with two meanings in the templates is left out everywhere.
    """
    data = read(language)
    house, rng = House(data, language), random.Random(seed)
    rows = templates(data)
    parts = split_templates([r for r in rows if r["intent"] not in UNRELATED])
    made, earlier = {}, []
    for part, own in parts.items():
        n = per_template if part == "train" else tests
        fresh = [command(row, house, rng) for row in own for _ in range(n)]
        made[part] = _unseen(fresh, earlier, house)
        if part == "test":
            fresh = [
                command(row, house, rng, new=True) for row in own for _ in range(n)
            ]
            trained = {v for c in made["train"] for v in c["values"].values()}
            fresh = [
                c
                for c in fresh
                if any(is_new(v) and v not in trained for v in names_of(c))
            ]
            made["new_values"] = _unseen(fresh, earlier, house)
        earlier = earlier + own
    made = _one_meaning(made)
    unrelated = [r for r in rows if r["intent"] in UNRELATED]
    for part, wanted in (("unrelated_validation", True), ("unrelated_test", False)):
        own = [r for r in unrelated if (bucket(r["template"]) < 33) == wanted]
        drawn = [command(row, house, rng) | {"call": ""} for row in own]
        made[part] = list({c["text"]: c for c in drawn}.values())
    for part in [part for part in made if part != "train"]:
        rng.shuffle(made[part])  # so that the first hundred stand for all
    return made


def _unseen(rows, earlier, house):
    """Without the commands whose wording an earlier template allows."""
    patterns = [re.compile(pattern(row["tree"], house.rules)) for row in earlier]
    allowed = {}
    for row in rows:
        if row["wording"] not in allowed:
            bare = SPACE.sub("", row["wording"])
            allowed[row["wording"]] = any(p.fullmatch(bare) for p in patterns)
    return [row for row in rows if not allowed[row["wording"]]]


def _one_meaning(parts):
    """Each sentence once in a part; none whose calls differ."""
    calls = {}
    for row in itertools.chain.from_iterable(parts.values()):
        calls.setdefault(row["text"], set()).add(row["call"])
    return {
        part: [
            row
            for row in {row["text"]: row for row in rows}.values()
            if len(calls[row["text"]]) == 1
        ]
        for part, rows in parts.items()
    }


def near_equal(wording, others, most=1) -> bool:
    """Whether a wording differs from one of the others by at most `most` words (of
    characters, where it has no spaces) left out, put in or changed.
    """
    own = wording.split() if " " in wording else list(wording)
    for other in others:
        their = other.split() if " " in other else list(other)
        if abs(len(own) - len(their)) <= most and _edits(own, their, most) <= most:
            return True
    return False


def _edits(a, b, most):
    # the edits between two lists, or more than `most` as soon as that is sure
    # what is equal at both ends costs nothing: nearly all of near-equal wordings
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
        if min(row) > most:
            return min(row)
    return row[-1]
