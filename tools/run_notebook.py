"""Run notebooks from top to bottom and write them back in a normal form: the same
notebook gives the same bytes.

    python tools/run_notebook.py chapters/09_masked_language_model.ipynb ...
    python tools/run_notebook.py --check chapters/*.ipynb        # writes nothing, fails
    where the file would change

The kernel runs in the notebook's own folder, with the network blocked (`--online` opens
it) and OMP_NUM_THREADS as given. Each line of the report holds the seconds and the peak
memory of the kernel and its children.
"""

import argparse
import asyncio
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import sys
import threading
import time

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = pathlib.Path(__file__).resolve().parent.parent
OFFLINE = ROOT / "tests" / "offline"
WIDGETS = "application/vnd.jupyter.widget-state+json"
# "100%|####| 20/20 [00:03<00:00,  6.5it/s, loss=2.1]": the clock goes, what the author
# added after the rate stays
CLOCK = re.compile(
    r"\s*\[(?:\d+:)?\d+:\d+(?:<|&lt;)[^\],]*(?:,\s*[\d.?]*\s*[^\s\],]*(?:/s|s/)[^\s\],]*)?((?:,[^\]]*)?)\]"
)
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass
class Run:
    """One execution: the notebook with its outputs, wall-clock seconds and peak
    gigabytes (10^9 bytes).
    """

    notebook: nbformat.NotebookNode
    seconds: float
    gigabytes: float


class Memory(threading.Thread):
    """Samples the resident memory of this process's descendants: the kernel and
    whatever it starts.
    """

    def __init__(self, interval=0.1):
        super().__init__(daemon=True)
        self.interval, self.peak, self.done = interval, 0, threading.Event()

    def run(self):
        me = psutil.Process()
        while not self.done.wait(self.interval):
            total = 0
            for child in me.children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.Error:  # it ended between the two calls
                    continue
            self.peak = max(self.peak, total)

    def stop(self):
        self.done.set()
        self.join()
        return self.peak / 1e9


def environment(online=False):
    """The variables a kernel starts with: ftlib importable from anywhere, and no
    network unless `online`.
    """
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    if not online:
        paths.insert(0, str(OFFLINE))
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONHASHSEED": "0",
        "NO_COLOR": "1",
    }


def execute(path, timeout=120, online=False):
    """Run the notebook at `path` in a fresh kernel -> Run. Raises what nbclient raises;
    the file is not written.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata.pop("widgets", None)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=40"],  # errors only
        resources={"metadata": {"path": str(pathlib.Path(path).resolve().parent)}},
    )
    memory = Memory()
    memory.start()
    start = time.perf_counter()
    try:
        client.execute(env=environment(online))
    finally:
        seconds, gigabytes = time.perf_counter() - start, memory.stop()
    return Run(notebook, seconds, gigabytes)


def normalise(notebook):
    """Bring `notebook` to its normal form, in place, and return it."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.metadata.pop("scrolled", None)
        if cell.cell_type == "code":
            cell.outputs = merge_streams(cell.outputs)
    identify(notebook.cells)
    widgets = notebook.metadata.get("widgets", {}).get(WIDGETS, {})
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        }
    )
    if widgets.get("state"):
        notebook.metadata["widgets"] = {WIDGETS: widgets}
        notebook = renumber(notebook)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def merge_streams(outputs):
    """Join the pieces of stdout and of stderr (where they are cut depends on time),
    play carriage returns.
    """
    merged = []
    for output in outputs:
        if output.output_type == "stream":
            run = next(
                (
                    i
                    for i in range(len(merged), 0, -1)
                    if merged[i - 1].output_type != "stream"
                ),
                0,
            )
            same = [old for old in merged[run:] if old.name == output.name]
            if same:
                same[0].text += output.text
                continue
        merged.append(output)
    for output in merged:
        if output.output_type == "stream":
            output.text = CLOCK.sub(
                r"\1", re.sub(r"^.*\r(?=[^\n])", "", output.text, flags=re.M)
            )
    return merged


def identify(cells):
    """Give each cell an id that is a function of its text, so that the script that
    wrote it leaves no random ids.
    """
    seen = set()
    for cell in cells:
        name = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[
            :8
        ]
        while name in seen:
            name = hashlib.sha256(name.encode()).hexdigest()[:8]
        seen.add(name)
        cell["id"] = name


def renumber(notebook):
    """Replace the random ids of widget models by their number in order of first use,
    and cut tqdm's clock.
    """
    state = notebook.metadata.widgets[WIDGETS]["state"]
    for model in state.values():
        for key, value in model.get("state", {}).items():
            if isinstance(value, str):
                model["state"][key] = CLOCK.sub(r"\1", value)
    order, queue = [], [json.dumps(cell, sort_keys=True) for cell in notebook.cells]
    known = re.compile("|".join(map(re.escape, state)))
    while queue:
        for name in known.findall(queue.pop(0)):
            if name not in order:
                order.append(name)
                queue.append(json.dumps(state[name], sort_keys=True))
    order += [
        name for name in state if name not in order
    ]  # links between widgets: nothing shows them, they are still needed
    numbers = {name: f"{number:032x}" for number, name in enumerate(order, 1)}
    notebook.metadata.widgets[WIDGETS]["state"] = {name: state[name] for name in order}
    return nbformat.reads(
        known.sub(lambda match: numbers[match.group()], nbformat.writes(notebook)),
        as_version=4,
    )


def text_of(notebook):
    """The bytes that belong in the file."""
    return (nbformat.writes(notebook, version=4).rstrip("\n") + "\n").encode()


def explain(error):
    """What went wrong, without colours, and short enough to read."""
    return "\n".join(ANSI.sub("", str(error)).strip().splitlines()[-40:])


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=pathlib.Path)
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; fail where the file would change",
    )
    parser.add_argument("--online", action="store_true", help="leave the network open")
    parser.add_argument(
        "--timeout", type=int, default=120, help="seconds for one cell (120)"
    )
    options = parser.parse_args(arguments)
    failed = 0
    for path in options.paths:
        try:
            run = execute(path, options.timeout, options.online)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            failed += 1
            print(
                f"{path.name}: failed, file left as it was "
                f"({type(error).__name__})\n{explain(error)}",
                flush=True,
            )
            continue
        new = text_of(normalise(run.notebook))
        same = path.read_bytes() == new
        if not options.check:
            path.write_bytes(new)
        failed += options.check and not same
        state = "same bytes" if same else "WOULD CHANGE" if options.check else "written"
        print(
            f"{path.name}: {run.seconds:.1f} s, {run.gigabytes:.2f} GB, "
            f"{len(new) / 1000:.0f} kB, {state}",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.platform == "win32":  # the notebook client needs the selector loop there
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    sys.exit(main())
