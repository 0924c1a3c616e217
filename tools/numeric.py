"""Compare a cell's outputs with the stored ones: words exactly, numbers to a tolerance.

A stored output and a fresh one seldom agree to the last digit on another machine, and
they have to agree in every word. So each text is split into words and numbers:

>>> line = split("loss 3.10 after 1,000 steps of bert-base-2")
>>> line.words.replace(MARK, "#")
'loss#after#steps of bert-base-2'
>>> [number.value for number in line.numbers]
[3.1, 1000]
>>> compare_texts("loss 3.10", "loss 3.11", Tolerance())
[]
>>> print(*compare_texts("loss 3.10", "loss 3.30", Tolerance()))
line 1: the number 3.10 is now 3.30, and 0.062 apart are allowed: 'loss 3.30'

A number is an integer where it is written without a point and an exponent (counts,
percentages such as 71 %); integers are exact unless the cell's metadata say otherwise:

    "tolerance": {"relative": 0.1, "absolute": 0.05, "integers": 3, "reason": "..."}

Digits inside a word (block3, int8, 2.13.0, #135226) are text. Blanks beside numbers
and runs of blanks do not count, because a column shifts where a number gets longer;
line breaks do.
"""

import dataclasses
import math
import re

RELATIVE, ABSOLUTE, INTEGERS = 0.02, 0.01, 0
REASON_WORDS = 4  # a reason shorter than that explains nothing
SHOWN = 5  # differences of one output that a message lists
# where an output holds these, it is a picture or data of a program, and no text
EXACT = ("image/", "application/", "audio/", "video/")
TOKEN = re.compile(
    r"""
    (?P<number>
        (?:(?<![\w)\]])[-+−])?                          # no sign in 3-5 and x[2]-1
        (?:
            (?P<special>nan|NaN|inf|Infinity)(?![\w])
          | (?:
                [0-9]{1,3}(?:[,_][0-9]{3})+(?![,_]?[0-9])(?:\.[0-9]+)?
              | [0-9]+\.[0-9]+(?:[eE][-+]?[0-9]+)?
              | [0-9]+[eE][-+]?[0-9]+
              | [0-9]+\.(?=[,\])]|[ \t]+[-+]?[0-9])     # [1., 2.] and not "all 3."
              | [0-9]+
              | (?<![\w.])\.[0-9]+(?:[eE][-+]?[0-9]+)?
            )
            (?!\.[0-9])(?!-[^\W\d_])                    # 2.13.0, 3-gram
            (?=[^\W\d_]{1,3}(?![\w])|(?![\w]))          # 1.5x, 20ms; not 3fa9c1
        )
    )
  | (?P<word>\#?\w+(?:[-./+]\w+)*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far numbers may be apart: the larger of relative and absolute; integers."""

    relative: float = RELATIVE
    absolute: float = ABSOLUTE
    integers: int = INTEGERS
    reason: str = ""

    @classmethod
    def of(cls, metadata) -> "Tolerance":
        """The tolerance in a cell's metadata. Raises ValueError where it is faulty."""
        fields = metadata.get("tolerance")
        if fields is None:
            return cls()
        if not isinstance(fields, dict):
            raise ValueError(f"tolerance is {fields!r}; write an object with a reason")
        names = [field.name for field in dataclasses.fields(cls)]
        for name, value in fields.items():
            if name not in names:
                raise ValueError(
                    f"tolerance has no {name!r}; it has {', '.join(names)}"
                )
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if name != "reason" and not (number and 0 <= value < math.inf):
                raise ValueError(f"tolerance {name} is {value!r}; give a number from 0")
        if len(str(fields.get("reason", "")).split()) < REASON_WORDS:
            raise ValueError(
                f"tolerance has the reason {fields.get('reason', '')!r}; "
                f"say in {REASON_WORDS} words or more why the numbers may differ"
            )
        return cls(**fields)


@dataclasses.dataclass(frozen=True)
class Number:
    """A number as it is written, and its value: int, or float (nan and inf too)."""

    written: str
    value: int | float

    @classmethod
    def read(cls, written) -> "Number":
        plain = re.sub(r"[,_]", "", written.replace("−", "-"))
        integer = re.fullmatch(r"[-+]?[0-9]+", plain)
        return cls(written, int(plain) if integer else float(plain))


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of text: its words with a mark for each number, and the numbers."""

    text: str
    words: str
    numbers: tuple


MARK = "\0"  # stands for a number; a text that holds one itself gets another sign
LONGEST = 300  # characters; longer rows of digits are data, and no float holds them


def split(text) -> Line:
    """Split one line into words and numbers."""
    pieces, numbers = [], []
    for match in TOKEN.finditer(text.replace(MARK, "␀")):
        if match.group("number") and len(match.group()) < LONGEST:
            numbers.append(Number.read(match.group("number")))
            pieces.append(MARK)
        else:
            pieces.append(match.group())
    words = re.sub(r"\s+", " ", "".join(pieces)).strip()
    return Line(text.strip(), re.sub(f" ?{MARK} ?", MARK, words), tuple(numbers))


def allowed(stored, fresh, tolerance) -> float:
    """How far two numbers may be apart; 0 for integers unless the cell allows more."""
    if isinstance(stored.value, int) and isinstance(fresh.value, int):
        return tolerance.integers
    return max(tolerance.absolute, tolerance.relative * abs(stored.value))


def agree(stored, fresh, tolerance) -> bool:
    """Whether two numbers are within the tolerance; NaN equals NaN, inf equals inf."""
    a, b = stored.value, fresh.value
    if a == b or (a != a and b != b):
        return True
    if not (math.isfinite(a) and math.isfinite(b)):
        return False
    limit = allowed(stored, fresh, tolerance)
    if isinstance(a, int) and isinstance(b, int):
        return abs(a - b) <= limit
    if a * b < 0:  # another sign is another statement, except where both are about 0
        return max(abs(a), abs(b)) <= tolerance.absolute
    # 3.00 and 3.06 are 0.06 apart, and floats say 0.06000000000000005
    return abs(a - b) <= limit * (1 + 1e-9)


def compare_lines(stored, fresh, tolerance):
    """What differs between two lines -> sentences."""
    if stored.words != fresh.words:
        yield differing_words(stored, fresh)
        return
    for old, new in zip(stored.numbers, fresh.numbers, strict=True):
        if not agree(old, new, tolerance):
            limit = allowed(old, new, tolerance)
            rule = (
                f", and {limit:.3g} apart are allowed" if math.isfinite(limit) else ""
            )
            yield f"the number {old.written} is now {new.written}{rule}: {fresh.text!r}"


def differing_words(stored, fresh):
    """A sentence on two lines whose words, or whose count of numbers, differ."""
    where = f"stored {stored.text!r}, now {fresh.text!r}"
    extra = len(fresh.numbers) - len(stored.numbers)
    if extra:
        what = "missing" if extra < 0 else "new"
        return f"{abs(extra)} number{'s' * (abs(extra) > 1)} {what}: {where}"
    return f"the words differ: {where}"


def compare_texts(stored, fresh, tolerance) -> list[str]:
    """What differs between two texts -> sentences; none where they agree."""
    old = [split(line) for line in stored.rstrip().split("\n")]
    new = [split(line) for line in fresh.rstrip().split("\n")]
    found = [
        f"line {number}: {sentence}"
        for number, pair in enumerate(zip(old, new, strict=False), 1)
        for sentence in compare_lines(*pair, tolerance)
    ]
    if len(old) != len(new):
        longer, what = (old, "missing") if len(old) > len(new) else (new, "new")
        other = {line.words for line in (new if longer is old else old)}
        odd = next((line for line in longer if line.words not in other), longer[-1])
        number = abs(len(old) - len(new))
        found.insert(0, f"{number} line{'s' * (number > 1)} {what}: {odd.text!r}")
    return found


def count_numbers(text) -> int:
    """How many numbers a text holds."""
    return sum(len(split(line).numbers) for line in text.split("\n"))


def by_kind(outputs, skipped=()):
    """{kind: [value of each output]}: stdout, text/plain, ... as nbval compares them.

    The order of outputs of different kinds is left open: two streams race.
    """
    kinds = {}
    for output in outputs:
        fields = dict(output)
        if output["output_type"] == "stream":
            fields = {output["name"]: output["text"]}
        fields.update(fields.pop("data", {}))
        for kind, value in fields.items():
            if kind not in skipped:
                kinds.setdefault(kind, []).append(value)
    return kinds


def is_text(kind, value):
    """Whether a value is text for readers, whose numbers have a tolerance."""
    return isinstance(value, str) and not kind.startswith(EXACT)


def compare_outputs(stored, fresh, tolerance, skipped=()) -> tuple[list[str], int]:
    """Compare the outputs of a cell -> (sentences, how many numbers were compared)."""
    old, new = by_kind(stored, skipped), by_kind(fresh, skipped)
    found, numbers = [], 0
    for kind in sorted(set(old) | set(new)):
        before, after = old.get(kind, []), new.get(kind, [])
        if len(before) != len(after):
            shown = str((before + after)[0]).strip()[:200]
            found.append(
                f"{kind}: {len(before)} outputs stored, {len(after)} now: {shown!r}"
            )
            continue
        for a, b in zip(before, after, strict=True):
            if is_text(kind, a) and is_text(kind, b):
                here = compare_texts(a, b, tolerance)
                found += [f"{kind}, {sentence}" for sentence in here[:SHOWN]]
                numbers += count_numbers(a)
            elif a != b:
                found.append(f"{kind}: not what is stored")
    return found, numbers
