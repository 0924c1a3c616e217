"""The options of `python -m ftlib project`, and the command line made of them."""

import shlex

from ftlib.course.project import examples

# what changes the result, and with it whether kept steps may be used
MEANING = ("text", "label", "group", "minutes", "encoder", "seed", "split")


def options_of(parser):
    parser.add_argument("file", nargs="?", help="a .csv, .tsv or .jsonl table")
    parser.add_argument("--example", choices=examples.EXAMPLES, help="instead of one")
    parser.add_argument("--rows", type=int, help="of an example, at most")
    parser.add_argument(
        "--text", help="the column of texts; without it every column is an input"
    )
    parser.add_argument("--label", default="label", help="the column of classes")
    parser.add_argument(
        "--group", help="a column: rows that share its value stay in one part"
    )
    parser.add_argument("--minutes", type=float, default=20, help="for all")
    parser.add_argument("--encoder", help="a name or a folder; else by the language")
    parser.add_argument("--name", help="the title; else the file's name")
    parser.add_argument("--out", help="a folder; else projects/<name>")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--split",
        type=int,
        help="the number of the split; else the folder's, or the first with "
        "every class in every part",
    )
    parser.add_argument(
        "--no-texts",
        action="store_true",
        help="show no text of yours in the report (a model of counted words still "
        "holds their words)",
    )


def command_of(options) -> str:
    """The command line that makes the same project."""
    return "python -m ftlib project " + " ".join(filter(None, _arguments(options)))


def _arguments(options):
    if options.example:
        yield f"--example {options.example}"
        yield f"--rows {options.rows}" if options.rows else ""
    else:
        yield shlex.quote(options.file)
        yield f"--label {shlex.quote(options.label)}"
    own = ("group",) if options.example else ("text", "group")
    for name in (*own, "encoder", "name", "out"):
        if getattr(options, name):
            yield f"--{name} {shlex.quote(getattr(options, name))}"
    yield f"--minutes {options.minutes:g} --seed {options.seed}"
    yield f"--split {options.split}"
    if options.no_texts:
        yield "--no-texts"
