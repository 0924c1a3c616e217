"""Say where this course is published: `python tools/set_repository.py OWNER/NAME`.

The address stands in one place, `Repository` under [project.urls] of pyproject.toml,
and is repeated where a reader clicks or copies it: badges, the first cell of each
chapter, README, CITATION.cff, the templates under .github. This rewrites all of them,
byte for byte, and nothing else. Stopped half-way, it can be run again: pyproject.toml
comes last.

What it is not: it changes no remote of git, and nothing at the place it names.
"""

import os
import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUFFIXES = set(".md .toml .cff .yml .yaml .json .ipynb .py .html .txt .js .cfg".split())
HIDDEN = {
    ".github",
    ".devcontainer",
    ".ci",
}  # of the folders with a dot: these are ours
SKIPPED = {"runs", "build", "dist", "node_modules", "__pycache__"}
OWNER = r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}"
NAME = r"[A-Za-z0-9._-]{1,100}"
# what may stand before OWNER/NAME in an address that leads to this course
BEFORE = (
    rb"(?:github\.com[/:]|/github/|githubusercontent\.com/|/gh/|codespaces/new/|repo=)"
)
# where an address always means this course, never another one
OURS = re.compile(
    r"(?:colab\.research\.google\.com/github/|git clone [^\n\"]*?https://github\.com/|"
    r"repository-code: \"?https://github\.com/|^Repository = \"https://github\.com/)"
    rf"({OWNER}/{NAME}?)(?:\.git)?(?=[/\"\s)])",
    re.M,
)


def current(root: pathlib.Path = ROOT) -> str:
    """OWNER/NAME as pyproject.toml has it; ValueError where it has no such line."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    address = tomllib.loads(text)["project"].get("urls", {}).get("Repository", "")
    match = re.fullmatch(rf"https://github\.com/({OWNER}/{NAME})", address)
    if not match:
        raise ValueError(
            f"pyproject.toml has {address!r} as Repository; "
            "it must be https://github.com/OWNER/NAME, correct it there first"
        )
    return match[1]


def checked(slug: str) -> str:
    """The same text if it can be a repository's OWNER/NAME; ValueError otherwise.

    >>> checked("ada/course")
    'ada/course'
    """
    name = slug.partition("/")[2]
    good = re.fullmatch(f"{OWNER}/{NAME}", slug) and name.strip(".")
    if not good or name.lower().endswith(".git"):
        raise ValueError(
            f"{slug!r} is not OWNER/NAME: letters, digits and single hyphens, a slash, "
            "then letters, digits and . _ - (such as ada/course)"
        )
    return slug


def files(root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    """Every text file of the course, pyproject.toml last."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if name not in SKIPPED and (name[0] != "." or name in HIDDEN)
        )
        paths = (pathlib.Path(folder, name) for name in sorted(names))
        found += [path for path in paths if path.suffix in SUFFIXES]
    return sorted(found, key=lambda path: path == root / "pyproject.toml")


def replaced(content: bytes, old: str, new: str) -> bytes:
    """The content with `new` in place of `old` in addresses; other bytes stay.

    >>> replaced(b"see https://github.com/a/b, not github.com/a/bc", "a/b", "c/d")
    b'see https://github.com/c/d, not github.com/a/bc'
    """
    end = rb"(?![\w-])(?!\.(?!git\b)\w)"  # a longer name is another repository
    pattern = rb"(" + BEFORE + rb")" + re.escape(old.encode()) + end
    return re.sub(pattern, lambda match: match[1] + new.encode(), content)


def addresses(root: pathlib.Path = ROOT) -> dict[str, set[str]]:
    """{file: the OWNER/NAME that it gives as this course's}."""
    found = {}
    for path in files(root):
        text = path.read_bytes().decode("utf-8", "replace")
        here = {slug.removesuffix(".git") for slug in OURS.findall(text)}
        if here:
            found[path.relative_to(root).as_posix()] = here
    return found


def rewrite(new: str, root: pathlib.Path = ROOT) -> list[str]:
    """Put `new` in place of the present address -> the files that changed."""
    old, changed = current(root), []
    for path in files(root):
        before = path.read_bytes()
        after = replaced(before, old, checked(new))
        if after != before:
            fresh = path.with_name(path.name + ".tmp")
            fresh.write_bytes(after)
            fresh.chmod(path.stat().st_mode)
            os.replace(fresh, path)  # the old file or the new one, never half of it
            changed.append(path.relative_to(root).as_posix())
    return changed


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(f"Say OWNER/NAME; now it is {current()}.", file=sys.stderr)
        return 2
    try:
        changed = rewrite(checked(arguments[0]))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{arguments[0]}: {len(changed)} files changed", *changed, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
