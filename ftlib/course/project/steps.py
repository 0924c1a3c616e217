"""The steps of a project: what is printed about them, and what they leave behind for a
run that was interrupted.
"""

import json
import shutil
import sys
from pathlib import Path

from tqdm.auto import tqdm


def report(step, text):
    print(f"{step}/8  {text}", flush=True)


class Kept:
    """Results of finished steps: JSON files in `folder`, dropped if `meaning` is
    another than the one they were made with.
    """

    def __init__(self, folder, meaning):
        self.folder = Path(folder)
        told = self.folder / "meaning.json"
        text = json.dumps(meaning, sort_keys=True)
        if self.folder.exists() and not (
            told.exists() and told.read_text(encoding="utf-8") == text
        ):
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        told.write_text(text, encoding="utf-8")

    def __call__(self, name, make):
        path = self.folder / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        value = make()
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
        draft.replace(path)
        return value


def bar(total, unit):
    """A progress bar over a range of first rows, or over steps."""
    if total < 10:
        return iter
    quiet = not (sys.stderr.isatty() or "ipykernel" in sys.modules)
    return lambda items: tqdm(
        items, total=total, unit=unit, leave=False, mininterval=10 if quiet else 0.5
    )
