"""Every link of the documents and of the notebooks' text leads somewhere.

    python tools/check_links.py             relative links and anchors, no network
    python tools/check_links.py --online    the external ones too

Read: *.md and the markdown cells of *.ipynb. A link to the course's own address on
GitHub or Colab counts as a relative one, because the file that it names is here.
Anchors are those that GitHub makes from headings. Standard library only.
"""

import argparse
import concurrent.futures
import html
import json
import os
import pathlib
import re
import sys
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRUNED = {"build", "dist", "node_modules", "runs", "__pycache__"}
KEPT = {
    ".github",
    ".devcontainer",
}  # the other folders that begin with a dot are tools'
FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,}).*?^[ \t>]*\1[`~]*[ \t]*$", re.S | re.M)
SPAN = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.S)
MATH = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.S)
COMMENT = re.compile(r"<!--.*?-->", re.S)
TARGET = r"<?((?:[^()\s<>]|\([^()\s]*\))+)>?"
INLINE = re.compile(r"\]\(\s*" + TARGET + r"(?:\s+\"[^\"]*\")?\s*\)")
DEFINED = re.compile(r"^ {0,3}\[[^\]]+\]:\s+<?(\S+?)>?(?:\s+\"[^\"]*\")?\s*$", re.M)
USED = re.compile(r"\]\[([^\]\n]+)\]")
NAMED = re.compile(r"^ {0,3}\[([^\]]+)\]:\s", re.M)
TAG = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=[\"']([^\"']+)[\"']", re.I)
AUTO = re.compile(r"<(https?://[^>\s]+)>")
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t]*#*[ \t]*$", re.M)
PLACED = re.compile(r"<[^>]+\b(?:id|name)=[\"']([^\"']+)[\"']", re.I)
ALIVE = {401, 403, 405, 406, 429, 999}  # a server that answers so knows the page or us


class Link(NamedTuple):
    """page: relative to the root; line: in the file, or in the notebook's text."""

    page: str
    line: int
    target: str


def pages(root):
    """The paths of all documents and notebooks under `root`, sorted."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if name not in PRUNED and (name[0] != "." or name in KEPT)
        ]
        found += [
            pathlib.Path(folder, f) for f in files if f.endswith((".md", ".ipynb"))
        ]
    return sorted(found)


def text_of(path):
    """The Markdown of a page; of a notebook, its markdown cells one after another."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    sources = [c["source"] for c in cells if c["cell_type"] == "markdown"]
    return "\n\n".join(s if isinstance(s, str) else "".join(s) for s in sources)


def blank(match):
    """As many characters and lines as there were, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match[0])


def prose(text):
    """The text without code, formulas and comments, at the same places."""
    for pattern in (FENCE, COMMENT, SPAN, MATH):
        text = pattern.sub(blank, text)
    return text


def links(path, root):
    """The links of a page, in order of their places."""
    text = prose(text_of(path))
    page = path.relative_to(root).as_posix()
    found = []
    for pattern in (INLINE, DEFINED, TAG, AUTO):
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start(1)) + 1
            found.append(Link(page, line, html.unescape(match[1])))
    names = {name.lower() for name in NAMED.findall(text)}
    for match in USED.finditer(text):  # [text][name] without a line "[name]: address"
        if match[1].lower() not in names:
            line = text.count("\n", 0, match.start(1)) + 1
            found.append(Link(page, line, f"[{match[1]}]"))
    return sorted(found, key=lambda link: link.line)


def slug(heading):
    """The anchor that GitHub makes from a heading."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # a link's text stays
    text = re.sub(r"[`*]|<[^>]+>", "", text).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(path):
    """The anchors of a page: ids, and headings, numbered where one repeats."""
    text = FENCE.sub(blank, text_of(path))
    found, seen = set(PLACED.findall(text)), {}
    for heading in HEADING.findall(text):
        name = slug(heading)
        seen[name] = seen.get(name, -1) + 1
        found.add(f"{name}-{seen[name]}" if seen[name] else name)
    return found


def repository(root):
    """The course's own address, from pyproject.toml; "" where there is none."""
    path = root / "pyproject.toml"
    if not path.exists():
        return ""
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "").rstrip("/")


def inside(target, own):
    """The path in this repository that an address of our own names, or None."""
    if not own:
        return None
    colab = own.replace("github.com", "colab.research.google.com/github")
    for begin in (f"{own}/blob/main/", f"{own}/tree/main/", f"{colab}/blob/main/"):
        if target.startswith(begin):
            return target.removeprefix(begin)
    return None


def there(path, root):
    """Whether `path` exists under `root`, spelt with the same capitals."""
    here = root
    for part in path.relative_to(root).parts:
        # macOS and Windows open "readme.md" for README.md; GitHub does not
        if not here.is_dir() or part not in os.listdir(here):
            return False
        here = here / part
    return True


def fault(link, root, own):
    """What is wrong with a link that leads into this repository, or None."""
    if link.target.startswith("["):
        return f"{link.target} has no line that gives its address; add one"
    target = inside(link.target, own)
    base = root if target is not None else (root / link.page).parent
    target = link.target if target is None else target
    name, _, anchor = target.partition("#")
    name = urllib.parse.unquote(name.partition("?")[0])
    if name.startswith("/"):
        return f"{target} begins at the root of a disk or server; write a relative path"
    path = pathlib.Path(os.path.normpath(base / name)) if name else root / link.page
    if not path.is_relative_to(root):
        return f"{target} leads out of the repository; link to a file inside"
    if not there(path, root):
        return f"{target} does not exist; correct the link or add the file"
    if anchor and path.suffix in (".md", ".ipynb"):
        known = anchors(path)
        if anchor not in known and anchor.lower() not in known:
            return f"{target}: the page has no heading with that anchor; correct it"
    return None


def external(link, own):
    """Whether a link leads to somebody else's server."""
    return (
        bool(re.match(r"https?://", link.target)) and inside(link.target, own) is None
    )


def ignored(link):
    """Whether a link is neither a file nor a page: mail, pictures held in the cell."""
    return bool(re.match(r"(mailto|data|attachment|tel):", link.target))


def answers(address, seconds=15):
    """None if the address answers, else what it said."""
    headers = {"User-Agent": "Mozilla/5.0 (link check)"}
    for method in ("HEAD", "GET"):  # some servers know no HEAD
        request = urllib.request.Request(address, headers=headers, method=method)
        try:
            urllib.request.urlopen(request, timeout=seconds).close()
            return None
        except urllib.error.HTTPError as error:
            said = f"status {error.code}"
            if error.code in ALIVE:
                return None
        except (
            Exception
        ) as error:  # a name that is not found, a certificate, a time-out
            said = f"{type(error).__name__}: {error}"
    return said


def online_faults(found, own):
    """[sentence] for the external links that do not answer; each address is asked once.

    The course's own address is left out: it may be a placeholder.
    """
    asked = sorted({link.target.partition("#")[0] for link in found})
    asked = [address for address in asked if not own or not address.startswith(own)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        said = dict(zip(asked, pool.map(answers, asked), strict=True))
    sentences = []
    for link in found:
        if problem := said.get(link.target.partition("#")[0]):
            sentences.append(f"{link.page}:{link.line}: {link.target}: {problem}")
    return sentences


def check(root=ROOT, online=False):
    """(counts of pages and of links by kind, [sentence for each fault])."""
    root, own = pathlib.Path(root).resolve(), repository(pathlib.Path(root))
    found = [link for path in pages(root) for link in links(path, root)]
    found = [link for link in found if not ignored(link)]
    outside = [link for link in found if external(link, own)]
    local = [link for link in found if not external(link, own)]
    faults = []
    for link in local:
        if problem := fault(link, root, own):
            faults.append(f"{link.page}:{link.line}: {problem}")
    if online:
        faults += online_faults(outside, own)
    counts = {
        "pages": len(pages(root)),
        "relative": len(local),
        "external": len(outside),
    }
    return counts, faults


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--online", action="store_true", help="ask the external ones too"
    )
    parser.add_argument(
        "--root", type=pathlib.Path, default=ROOT, help=argparse.SUPPRESS
    )
    options = parser.parse_args(arguments)
    counts, faults = check(options.root, options.online)
    for sentence in faults:
        print(sentence)
    asked = "asked" if options.online else "not asked"
    print(
        f"{counts['relative']} relative links in {counts['pages']} pages, "
        f"{counts['external']} external ones {asked}: {len(faults)} faults"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
