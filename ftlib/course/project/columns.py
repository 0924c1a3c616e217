"""How the columns of a table become numbers, and which are left out.

    >>> rows = {"age": ["1", "n/a", "8", "9"] * 5, "kind": ["a", "b", "a", "b"] * 5}
    >>> shape = Columns().fit(rows)
    >>> shape.matrix({"age": ["5", ""], "kind": ["c", "b"]}).shape  # age, missing, a, b
    torch.Size([2, 4])
    >>> [kind for _, kind, _ in shape.readings()]
    ['number', 'category']

What a column is, the training rows say. It is a number if at least 95 % of the cells
that are not empty are numbers; the rest count as missing. "n/a", "-", "?" and the like
are empty. Else it is a category. A column of one value says nothing, and one whose
values are nearly all different (a name, a number of the row) says nothing about new
rows: both are left out.
"""

import math
import re
import statistics
from collections import Counter

import torch

MOST = 50  # categories of a column; rarer ones share no column
NUMBERS = 0.95  # of the cells that are not empty
DIFFERENT = 0.9  # of the cells that are not empty, in a column of names
LEAST_ROWS = 20  # below it no column is called an identifier
EMPTY = frozenset(["", "-", "--", "?", ".", "n/a", "na", "#n/a", "nan", "null", "none"])
IDENTIFIER = re.compile(r"(?:^|[^a-z])(?:id|uuid|index|row|key|nr|no)$", re.IGNORECASE)
COMMA = re.compile(r"[+-]?\d+(?:\.\d{3})*,\d+")  # 1,5 and 1.234,5
THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")  # 1,234 and 1,234.5


def is_empty(cell) -> bool:
    return cell.strip().lower() in EMPTY


def number(cell, comma=""):
    """The number in a cell, None for another text, NaN for an empty one and for what is
    not finite. comma: what a comma means, see `comma_of`.
    """
    cell = cell.strip()
    if is_empty(cell):
        return float("nan")
    if comma == "decimal" and "," in cell:
        cell = cell.replace(".", "").replace(",", ".")
    elif comma == "thousands":
        cell = cell.replace(",", "")
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else float("nan")


def comma_of(name, cells) -> str:
    """What a comma in a column's numbers means: "decimal", "thousands", or "" where
    there is none. Raises ValueError where it could be either.
    """
    known = [cell.strip() for cell in cells if not is_empty(cell)]
    commas = [cell for cell in known if "," in cell]
    decimal = [cell for cell in commas if COMMA.fullmatch(cell)]
    thousands = [cell for cell in commas if THOUSANDS.fullmatch(cell)]
    numbers = sum(number(cell) is not None for cell in known)
    kinds = {"decimal": len(decimal), "thousands": len(thousands)}
    if not commas or numbers + max(kinds.values()) < NUMBERS * len(known):
        return ""  # no column of numbers
    if kinds["decimal"] == kinds["thousands"]:
        raise ValueError(
            f"column {name!r} has cells such as {commas[0]!r}, which may mean 1.234 or "
            "1234; write the number with a point, or without the comma"
        )
    comma = max(kinds, key=kinds.get)
    points = [cell for cell in known if "." in cell and "," not in cell]
    if comma == "decimal" and points:
        raise ValueError(
            f"column {name!r} has {commas[0]!r} and {points[0]!r}: both signs before "
            "decimals; use one of them"
        )
    return comma


class Columns:
    """How cells become numbers: `scales` {column: [mean, spread, median, 1 if training
    had a missing cell]}, `kinds` {column: categories}, `commas` {column: what a comma
    means}. After `fit`: `left_out` {column: why} and `notes` {column: what else}.
    """

    def __init__(self, scales=None, kinds=None, commas=None):
        self.scales, self.kinds = scales or {}, kinds or {}
        self.commas = commas or {}
        self.left_out, self.notes = {}, {}

    def fit(self, columns):
        for name, cells in columns.items():
            known = [cell for cell in cells if not is_empty(cell)]
            if len(set(cells)) < 2:
                value = cells[0][:40] if cells else ""
                self.left_out[name] = f"constant, always {value!r}"
                continue
            comma = comma_of(name, cells)
            numbers = [number(cell, comma) for cell in cells]
            others = Counter(c for c, n in zip(cells, numbers) if n is None)
            if known and others.total() <= (1 - NUMBERS) * len(known):
                self._fit_number(name, cells, numbers, others, comma)
            else:
                self._fit_kind(name, cells, known)
        if not self.scales and not self.kinds:
            raise ValueError(
                f"no column is left to predict from ({_listed(self.left_out)}); give "
                "columns that say something about more rows than one"
            )
        return self

    def _fit_number(self, name, cells, numbers, others, comma):
        values = [v for v in numbers if v is not None and v == v]
        if IDENTIFIER.search(name) and is_identifier(values):
            self.left_out[name] = "identifier, another number in each row"
            return
        known = torch.tensor(values, dtype=torch.float64)
        spread = float(known.std()) if len(known) > 1 else 0.0
        mean = float(known.mean()) if values else 0.0
        median = statistics.median(values) if values else 0.0
        missing = len(cells) - len(values)
        self.scales[name] = [mean, spread or 1.0, median, int(missing > 0)]
        if comma:
            self.commas[name] = comma
        notes = [f"{missing} missing, read as {median:g}"] if missing else []
        notes += [f"among them {cell[:40]!r}" for cell, _ in others.most_common(1)]
        notes += [f"{comma} comma"] if comma else []
        self.notes[name] = ", ".join(notes)

    def _fit_kind(self, name, cells, known):
        different = len(set(known))
        if len(known) >= LEAST_ROWS and different > DIFFERENT * len(known):
            self.left_out[name] = f"identifier, {different} values in {len(known)} rows"
            return
        common = Counter(cells).most_common(MOST)
        self.kinds[name] = sorted(kind for kind, _ in common)
        self.notes[name] = f"{len(set(cells))} values"
        if len(set(cells)) > MOST:
            self.notes[name] += f", the {MOST} most frequent have a column"

    def readings(self):
        """[[column, "number", "category" or "left out", what else]]."""
        rows = [[name, "number", self.notes.get(name, "")] for name in self.scales]
        rows += [[name, "category", self.notes.get(name, "")] for name in self.kinds]
        return rows + [[name, "left out", why] for name, why in self.left_out.items()]

    def numbers_of(self, name, cells):
        """The numbers of a column, NaN for what is missing or no number."""
        comma = self.commas.get(name, "")
        values = [number(cell, comma) for cell in cells]
        return [float("nan") if v is None else v for v in values]

    def matrix(self, columns):
        """(N, D) float32; of a missing number the median of training, and a 1 beside it
        where training had missing ones.
        """
        made = []
        for name, (mean, spread, median, has_missing) in self.scales.items():
            # float64: a date in seconds has more digits than float32
            values = torch.tensor(
                self.numbers_of(name, columns[name]), dtype=torch.float64
            )
            missing = values.isnan()
            values = ((values.nan_to_num(median) - mean) / spread).clamp(-5, 5)
            made.append(values[:, None])
            if has_missing:
                made.append(missing[:, None].double())
        for name, kinds in self.kinds.items():
            index = {kind: i for i, kind in enumerate(kinds)}
            rows = torch.tensor([index.get(cell, -1) for cell in columns[name]])
            made.append((rows[:, None] == torch.arange(len(kinds))).double())
        return torch.cat(made, dim=1).float()

    def facts(self):
        """What `Columns(**facts)` makes again, for JSON."""
        return {"scales": self.scales, "kinds": self.kinds, "commas": self.commas}


def is_identifier(values) -> bool:
    """All different, whole, and enough of them."""
    return (
        len(values) >= LEAST_ROWS
        and len(set(values)) == len(values)
        and all(value == int(value) for value in values)
    )


def _listed(reasons):
    return "; ".join(f"{name}: {why}" for name, why in list(reasons.items())[:3])
