"""Outputs of notebooks are compared as words and numbers: each planted fault fails."""

import numeric
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nbformat import write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

TABLE = """\
model          loss  accuracy  steps
bert-base-2    9.95   0.7123  1,000
block3-int8   -1.31   0.6500    250
2.13.0 says 71 % of nan
"""
DEFAULT = numeric.Tolerance()


def stated(text):
    """The numbers of a text -> their values."""
    return [number.value for number in numeric.split(text).numbers]


def differences(stored, fresh, **tolerance):
    return numeric.compare_texts(stored, fresh, numeric.Tolerance(**tolerance))


@pytest.mark.parametrize(
    "text, values",
    [
        ("loss 3.10, 1,234 tokens, 71 %", [3.1, 1234, 71]),
        ("71%, 1.5x, 20ms, 1_000 rows", [71, 1.5, 20, 1000]),
        ("-0.5 +0.5 −0.5 1e-3 2.5E+05 .5", [-0.5, 0.5, -0.5, 1e-3, 2.5e5, 0.5]),
        ("tensor([1., 2.]) [0. 1.5] tensor(3.)", [1.0, 2.0, 0.0, 1.5, 3.0]),
        ("x=0.5 (0.25) [1, 2] 3-5 0.1±0.2", [0.5, 0.25, 1, 2, 3, 5, 0.1, 0.2]),
        ("bert-base-2 block3 int8 0x7f 3fa9c1 2.13.0 #135226 3-gram q8_0 a.0.b", []),
        ("torch 2.6.0+cpu, 127.0.0.1, utf8, 4bits_", []),
        ("inf -inf Infinity", [float("inf"), float("-inf"), float("inf")]),
        ("all 3. Next", [3]),
        ("", []),
    ],
)
def test_what_is_a_number(text, values):
    assert stated(text) == values


def test_integers_are_integers():
    kinds = {
        text: type(stated(text)[0]) for text in ("3", "71 %", "1,234", "3.0", "1.")
    }
    assert kinds == {"3": int, "71 %": int, "1,234": int, "3.0": float, "1.": int}


FAULTS = {  # what a fresh run puts out in place of a piece of TABLE, and the complaint
    "a number off by 5 %": ("9.95", "10.45", "9.95 is now 10.45, and 0.199 apart"),
    "a word changed": ("says", "said", "the words differ"),
    "an identifier changed": ("block3", "block4", "the words differ"),
    "a version changed": ("2.13.0", "2.13.1", "the words differ"),
    "a number missing": ("0.7123", "      ", "1 number missing"),
    "a number too many": ("0.7123", "0.7123 4", "1 number new"),
    "a sign flipped": ("-1.31", " 1.31", "-1.31 is now 1.31"),
    "NaN in place of a number": ("9.95", " nan", "9.95 is now nan"),
    "a number in place of NaN": ("nan", "0.0", "nan is now 0.0"),
    "a count off by one": ("1,000", "1,001", "1,000 is now 1,001, and 0 apart"),
    "a percentage off by one": ("71 %", "72 %", "71 is now 72"),
    "two numbers exchanged": ("9.95   0.7123", "0.7123   9.95", "9.95 is now 0.7123"),
    "a line missing": ("2.13.0 says 71 % of nan\n", "", "1 line missing: '2.13.0"),
    "a line too many": ("of nan", "of nan\nthe end", "1 line new: 'the end'"),
    "two lines joined": ("steps\n", "steps ", "1 line missing"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_caught(name, counted):
    old, new, complaint = FAULTS[name]
    assert TABLE.count(old) == 1
    assert complaint in differences(TABLE, TABLE.replace(old, new))[0]
    counted("fault")


ALIKE = {
    "a number off by 1 %, in a wider column": TABLE.replace("  9.95", " 10.03"),
    "a count with its comma, in a wider column": TABLE.replace("loss ", "loss    "),
    "a blank at a line's end": TABLE.replace("steps", "steps  "),
}


@pytest.mark.parametrize("name", ALIKE)
def test_what_may_differ(name):
    assert ALIKE[name] != TABLE and differences(TABLE, ALIKE[name]) == []


@pytest.mark.parametrize(
    "stored, fresh, tolerance, same",
    [
        ("0.004", "-0.005", {}, True),  # both are about 0
        ("0.02", "-0.02", {}, False),
        ("0.2", "-0.2", {"relative": 9.0}, False),  # a flip is no matter of degree
        ("inf", "inf", {}, True),
        ("inf", "-inf", {}, False),
        ("1e308", "inf", {}, False),
        ("nan", "NaN", {}, True),
        ("3 of 9", "5 of 9", {"integers": 2}, True),
        ("3 of 9", "6 of 9", {"integers": 2}, False),
        ("1.00", "1.09", {"relative": 0.1}, True),
        ("1.00", "1.11", {"relative": 0.1}, False),
        ("1e-5", "1.05e-5", {"absolute": 0.0}, False),
        ("a # b", "a 3 b", {}, False),
        ("a\0b", "a 3 b", {}, False),
    ],
)
def test_tolerance(stored, fresh, tolerance, same):
    assert (differences(stored, fresh, **tolerance) == []) == same


@pytest.mark.parametrize(
    "fields, words",
    [
        (0.1, "write an object"),
        ({"relative": 0.1}, "say in 4 words"),
        ({"relative": 0.1, "reason": "it differs"}, "say in 4 words"),
        (
            {"relativ": 0.1, "reason": "the seed sets only five batches"},
            "has no 'relativ'",
        ),
        ({"relative": -1, "reason": "the seed sets only five batches"}, "from 0"),
        ({"absolute": "0.1", "reason": "the seed sets only five batches"}, "from 0"),
    ],
)
def test_faulty_tolerance_is_refused(fields, words, counted):
    with pytest.raises(ValueError, match=words):
        numeric.Tolerance.of({"tolerance": fields})
    counted("fault")


@given(st.text() | st.text(alphabet="0123456789.,-+eE%#_ \nabnif()[]\0−"))
def test_any_text_agrees_with_itself(text):
    assert numeric.compare_texts(text, text, DEFAULT) == []


WORDS = st.lists(st.sampled_from(["loss", "bert-base-2", "|", "=", "(", "71 %", "4"]))


@given(WORDS, st.floats(-1e6, 1e6), st.floats(-10, 10), WORDS)
def test_a_number_beyond_its_tolerance_never_passes(before, value, factor, after):
    stored, fresh = f"{value:.6f}", f"{value * factor + factor:.6f}"
    a, b = float(stored), float(fresh)
    limit = max(0.01, 0.02 * abs(a))
    assume(abs(abs(a - b) - limit) > 1e-6)
    old, new = (" ".join([*before, text, *after]) for text in (stored, fresh))
    if abs(a - b) > limit and max(abs(a), abs(b)) > 0.01:
        assert len(differences(old, new)) == 1
    elif a * b >= 0:
        assert differences(old, new) == []


@given(st.integers(-(10**9), 10**9), st.integers(-3, 3))
def test_counts_are_exact(value, change):
    assert bool(differences(f"{value:,} rows", f"{value + change:,} rows")) == bool(
        change
    )


# --- in nbval


def notebook(path, stored, fresh, metadata=None, kind="stdout"):
    """A notebook whose cell puts out `fresh` where `stored` is stored."""
    if kind == "stdout":
        code, output = (
            f"print({fresh!r})",
            new_output("stream", name=kind, text=stored + "\n"),
        )
    else:
        code = (
            "from IPython.display import display\n"
            f"display({{{kind!r}: {fresh!r}}}, raw=True)"
        )
        output = new_output("display_data", {kind: stored})
    cell = new_code_cell(
        code, execution_count=1, outputs=[output], metadata=metadata or {}
    )
    write(new_notebook(cells=[new_markdown_cell("# Sample"), cell]), path)
    return path


def test_nbval_compares_numbers(tmp_path, validate):
    """Four notebooks in one run: what differs within the tolerance passes."""
    wide = {"tolerance": {"relative": 0.2, "reason": "twenty steps of a random start"}}
    cases = {
        "table": notebook(tmp_path / "a.ipynb", TABLE, ALIKE[next(iter(ALIKE))]),
        "html": notebook(
            tmp_path / "b.ipynb", "<td>3.10</td>", "<td>3.11</td>", kind="text/html"
        ),
        "tolerance": notebook(tmp_path / "c.ipynb", "loss 3.1", "loss 3.5", wide),
    }
    result = validate(tmp_path)
    assert result.returncode == 0 and f"{len(cases)} passed" in result.stdout, (
        result.stdout
    )


def test_nbval_fails_where_a_number_or_a_word_differs(tmp_path, validate, counted):
    short = {"tolerance": {"relative": 0.2, "reason": "noise"}}
    notebook(tmp_path / "a.ipynb", TABLE, TABLE.replace("9.95", "9.45"))
    notebook(tmp_path / "b.ipynb", "<td>3.10</td>", "<td>3.30</td>", kind="text/html")
    notebook(tmp_path / "c.ipynb", "loss 3.1", "loss 3.1", short)
    notebook(tmp_path / "d.ipynb", "the loss falls", "the loss rises")
    notebook(tmp_path / "e.ipynb", "**3.10** nats", "nats", kind="text/markdown")
    result = validate(tmp_path)
    assert "5 failed" in result.stdout, result.stdout
    for sentence in (
        "stdout, line 2: the number 9.95 is now 9.45, and 0.199 apart are allowed",
        "text/html, line 1: the number 3.10 is now 3.30, and 0.062 apart are allowed",
        "say in 4 words or more why the numbers may differ",
        "line 1: the words differ: stored 'the loss falls', now 'the loss rises'",
        "text/markdown, line 1: 1 number missing",
    ):
        assert sentence in result.stdout, result.stdout
    counted("fault", 5)


def test_outputs_of_one_kind_are_counted():
    picture = new_output(
        "display_data", {"image/png": "aa", "text/plain": "<figure, 5 x 3>"}
    )
    stored = [picture, new_output("stream", name="stdout", text="loss 3.1\n")]
    compare = numeric.compare_outputs
    assert compare(stored, stored[::-1], DEFAULT) == ([], 3)
    found, _ = compare(stored, stored[:1], DEFAULT)
    assert found == ["stdout: 1 outputs stored, 0 now: 'loss 3.1'"]
    other = new_output(
        "display_data", {"image/png": "bb", "text/plain": "<figure, 5 x 3>"}
    )
    assert compare([picture], [other], DEFAULT)[0] == ["image/png: not what is stored"]
    assert compare([picture], [other], DEFAULT, ("image/png",))[0] == []
