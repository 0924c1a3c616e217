"""More text than memory: files or a `datasets` stream become packed rows on the way,
shuffled and resumable.

What it is: a source cuts the text into numbered parts and reads any of them from any
text on; `TextStream` deals the parts out to lanes, packs each lane's texts into rows of
`length` tokens, shuffles them in a window, and takes equally many from every lane. Use
it:

    >>> import tempfile, pathlib
    >>> # one document a line
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "films.txt"
    >>> _ = path.write_text(
    ...     "".join(f"film number {i}\\n" for i in range(400)), encoding="utf-8"
    ... )
    >>> # your tokenizer
    >>> def encode(texts):
    ...     return [[1, *map(ord, text), 2] for text in texts]
    >>> rows = TextStream(Files([path], size=1000), encode, length=16, lanes=2)
    >>> # two rows of each lane
    >>> ids, index = rows.take(4)
    >>> ids.shape, index.tolist()
    (torch.Size([4, 16]), [0, 1, 2, 3])
    >>> # plain numbers, for a checkpoint
    >>> there = rows.position()
    >>> later = TextStream(
    ...     Files([path], size=1000), encode, length=16, lanes=2, position=there
    ... )
    >>> bool(torch.equal(later.take(4)[0], rows.take(4)[0]))
    True

In memory at any time: one window of text and its rows for each lane, and 8 bytes a
part. The lanes do not depend on the number of processes: each of `world` processes
reads lanes rank, rank + world ..., so the processes together take the rows that one
alone would take, and a run can go on with another number of them. The order of parts
and rows is a function of (seed, epoch) and the position in the text.

What it is not: exact about epochs (the lanes do not wait for one another at the end of
one, and what fills no row at the end of a window is left out, half a row on average),
or a reader of compressed files. Needs: torch; `datasets` for `Shards`.
"""

import bisect
import itertools
import json
import re
from pathlib import Path

import torch
import torch.distributed as dist

LONGEST = 1 << 24  # bytes of one document: 16 MB, several thousand pages

# names of files with a JSON object a line, and of files that are no lines of text
LINES_OF_JSON = (".jsonl", ".json", ".ndjson")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z")
TABLES = (".csv", ".tsv", ".xlsx", ".xls", ".parquet", ".arrow", ".feather")

# how compressed files, archives, Parquet, Arrow and PDF begin, whatever their name
_BINARY = re.compile(
    rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|PK\x03\x04|7z\xbc\xaf|PAR1|ARROW1|%PDF"
)
# white space and what has no width (zero-width characters, byte-order marks, soft
# hyphens, fillers): a line of nothing else is empty
_BLANK = re.compile(
    r"[\s\xad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0]*"
)


def _check_file(path, field):
    """Raise ValueError for a file that is no text with a document a line, as far as its
    name and its first 64 KB tell.
    """
    kind = path.suffix.lower()
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the list of the files in it")
    if kind in COMPRESSED:
        raise ValueError(
            f"{path} is compressed and cannot be read from the middle; unpack it first"
        )
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n")[0]
    # the names of a table's columns, whatever the name of the file
    cells = re.split("[,;\t]", first.decode("utf-8", "ignore").strip().replace('"', ""))
    if kind in TABLES or (field in cells and len(cells) > 1):
        raise ValueError(
            f"{path} is a table, whose lines hold more than texts; read its text "
            'column (tables.read_csv) and write {"text": ...} lines as .jsonl'
        )
    if start := _BINARY.match(head):
        raise ValueError(
            f"{path} begins with {start[0]!r}, so it is compressed or no text; unpack "
            "or convert it first"
        )
    if b"\r" in head[:-1] and b"\n" not in head:
        raise ValueError(
            f"{path} has lines that end in a carriage return alone (old Mac), so it "
            "would be one document; write \\n at the end of each"
        )
    key = json.dumps(field, ensure_ascii=False).encode()
    if kind not in LINES_OF_JSON and re.match(
        rb"\{.*" + re.escape(key) + rb"\s*:", first
    ):
        raise ValueError(
            f"{path} has a JSON object with {field!r} a line, and its name says plain "
            "text; name it .jsonl"
        )


class Files:
    """Text files, a document a line; of a .jsonl, .json or .ndjson file the `field` of
    each line. Parts are about `size` bytes of one file.

    paths: list; raises ValueError for none, an empty or a compressed one, a table and
        JSON Lines under the name of a text, TypeError for one path in place of a list,
        FileNotFoundError for one that is not there. A line of white space and
        zero-width characters alone is no document.
    """

    def __init__(self, paths, size=1 << 20, field="text"):
        if isinstance(paths, (str, bytes, Path)):
            raise TypeError(
                f"a list of paths is needed, this is one, {str(paths)!r}; write "
                f"Files([{str(paths)!r}])"
            )
        if size < 1:
            raise ValueError(f"size is {size}; a part has 1 byte or more")
        self.paths, self.size, self.field = [Path(path) for path in paths], size, field
        for path in self.paths:
            _check_file(path, field)
        self.sizes = [path.stat().st_size for path in self.paths]
        if not all(self.sizes) or not self.paths:
            empty = [
                str(path) for path, size in zip(self.paths, self.sizes) if not size
            ]
            raise ValueError(
                f"{', '.join(empty) or 'the list of files'} is empty; "
                "give files with a document a line"
            )
        # not a list of parts, which would grow with the text: the number of the last
        # part of each file
        self.ends = list(
            itertools.accumulate(-(-size // self.size) for size in self.sizes)
        )

    def __len__(self):
        return self.ends[-1]

    def describe(self):
        """What a checkpoint remembers of the text, to notice another one: names, bytes,
        and how they were cut.
        """
        return {
            "files": [[path.name, size] for path, size in zip(self.paths, self.sizes)],
            "part": self.size,
        }

    def read(self, part, skip=0):
        """Yield the texts whose lines begin in this part, without the first `skip`;
        empty lines are no texts.
        """
        file = bisect.bisect_right(self.ends, part)
        path = self.paths[file]
        start = (part - (self.ends[file - 1] if file else 0)) * self.size
        return itertools.islice(self._texts(path, start, start + self.size), skip, None)

    def _texts(self, path, start, end):
        with open(path, "rb") as file:
            # the line that began before is the part before's: go to the first one that
            # begins here
            if start:
                file.seek(start - 1)
                while (
                    (skipped := file.readline(1 << 16))
                    and not skipped.endswith(b"\n")
                    and file.tell() < end
                ):
                    pass
                if not skipped.endswith(b"\n"):
                    return
            while (at := file.tell()) < end and (line := file.readline(LONGEST + 1)):
                if len(line) > LONGEST:
                    raise ValueError(
                        f"{path}: the line at byte {at} is longer than "
                        f"{LONGEST} bytes; write a document a line"
                    )
                if text := self._text(path, at, line):
                    yield text

    def _text(self, path, at, line):
        try:
            # -sig: some editors write a mark in front
            text = line.decode("utf-8-sig" if at == 0 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}: the line at byte {at} is not UTF-8 "
                f"({error.reason}); convert the file first"
            ) from error
        if "\0" in text:  # UTF-16 without a mark looks like this
            raise ValueError(
                f"{path}: the line at byte {at} has a NUL character; convert the file "
                "to UTF-8 first"
            )
        if path.suffix.lower() in LINES_OF_JSON and text:
            text = self._field(path, at, text)
        return "" if _BLANK.fullmatch(text) else text

    def _field(self, path, at, text):
        """The text in a line of JSON."""
        try:
            value = json.loads(text)[self.field]
            if isinstance(value, str):
                value.encode("utf-8")  # JSON can spell half a character
                return value.strip()
            why = f"it is {repr(value)[:40]}"
        except (ValueError, KeyError, TypeError, IndexError) as error:
            why = repr(error)[:120]
        raise ValueError(
            f"{path}: the line at byte {at} has no text {self.field!r} ({why}); write "
            "one JSON object with a string a line"
        )


class Shards:
    """A stream of the `datasets` library: load_dataset(..., streaming=True). A part is
    one of its files, or a share of one.

    With fewer files than lanes, each file serves several: they all read it, and each
    takes and encodes every k-th text.
    """

    def __init__(self, dataset, lanes, field="text"):
        self.dataset, self.files, self.field = dataset, dataset.num_shards, field
        self.lanes_per_file = -(-lanes // self.files)

    def __len__(self):
        return self.files * self.lanes_per_file

    def describe(self):
        """What a checkpoint remembers of the text, to notice another one."""
        return {"files": self.files, "shares of a file": self.lanes_per_file}

    def read(self, part, skip=0):
        """Yield the texts of this part, without the first `skip`, which are read again
        but not encoded.
        """
        turn, file = divmod(part, self.files)
        rows = self.dataset.shard(num_shards=self.files, index=file)
        for row in itertools.islice(
            rows, turn + skip * self.lanes_per_file, None, self.lanes_per_file
        ):
            if not isinstance(row.get(self.field), str):
                raise ValueError(
                    f"the data set has no text in {self.field!r}, it has "
                    f"{', '.join(row)}; name another field, or leave out rows with "
                    f"{row.get(self.field)!r:.40}"
                )
            yield row[self.field]


def sample(source, letters=16_000_000, parts=64):
    """List of texts of about `letters` characters together, from up to `parts` parts
    spread evenly over the source.
    """
    chosen = [
        i * len(source) // min(parts, len(source))
        for i in range(min(parts, len(source)))
    ]
    return [
        text
        for part in chosen
        for text in _window(source.read(part), letters // len(chosen))
    ]


def _window(texts, letters):
    """The next texts of an iterator, as many as make `letters` characters."""
    taken = []
    for text in texts:
        taken.append(text)
        letters -= len(text)
        if letters <= 0:
            break
    return taken


def _shuffled(count, *key):
    """A permutation of range(count) that depends on the numbers of `key` and nothing
    else.
    """
    seed = 0
    for number in key:
        seed = (seed * 1_000_003 + number) % 2**61
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


class TextStream:
    """Rows of packed tokens from a source, without end.

    encode: list of texts -> list of lists of ids. keep: text -> bool, to leave texts
        out (held-out ones). window: how many
    characters of each lane are packed and shuffled together. position: what
    `position()` returned, or None for the beginning. Raises ValueError if lanes,
    processes and parts do not fit together.
    """

    def __init__(
        self,
        source,
        encode,
        length,
        *,
        lanes=8,
        seed=0,
        rank=0,
        world_size=1,
        position=None,
        keep=None,
        window=1 << 18,
    ):
        if min(lanes, length, window) < 1 or not 0 <= rank < world_size:
            raise ValueError(
                f"lanes is {lanes}, length {length}, window {window}, rank {rank} of "
                f"{world_size}; all but the rank are 1 or more, and it is below the "
                "processes"
            )
        if position and (before := len(position["lanes"])) != lanes:
            raise ValueError(f"{lanes} lanes cannot go on where {before} stood")
        if lanes % world_size or len(source) < lanes:
            raise ValueError(
                f"{lanes} lanes need {lanes} parts of text, there are "
                f"{len(source)}, and must be a multiple of the "
                f"{world_size} processes; change lanes or the size of a "
                "part"
            )
        self.source = source
        self.encode = encode
        self.length = length
        self.lanes = lanes
        self.seed = seed
        self.window = window
        self.keep = keep or (lambda text: True)
        self.mine = range(rank, lanes, world_size)
        # rows of each lane so far: they number the rows for their masks
        self.taken = position["taken"] if position else 0
        # part, text, row
        self.at = (
            [list(p) for p in position["lanes"]]
            if position
            else [[0, 0, 0] for _ in range(lanes)]
        )
        self.windows = {
            lane: self._windows(lane, *self.at[lane][:2]) for lane in self.mine
        }
        # the window that each lane is in; the order of the parts in one epoch
        self.rows, self._order = {}, (-1, None)

    def _part(self, lane, epoch, turn):
        """The part that this lane reads in its `turn` of an epoch; the parts are dealt
        out like cards.
        """
        # kept for one epoch, because it is as long as there are parts
        if self._order[0] != epoch:
            self._order = epoch, _shuffled(len(self.source), self.seed, epoch)
        return int(self._order[1][lane + turn * self.lanes])

    def _windows(self, lane, number, text):
        """Yield (number of the part, its first text, rows (M, T)) from text `text` of
        the lane's part `number` on.
        """
        turns, empty = len(range(lane, len(self.source), self.lanes)), 0
        for number in itertools.count(number):
            part = self._part(lane, *divmod(number, turns))
            texts, empty = self.source.read(part, skip=text), empty + 1
            while window := _window(texts, self.window):
                if len(rows := self._pack(window)):
                    order = _shuffled(len(rows), self.seed, number // turns, part, text)
                    yield number, text, rows[order]
                    empty = 0
                text += len(window)
            if empty == turns:  # else it would look for ever
                raise ValueError(
                    f"lane {lane} found no row of {self.length} tokens in "
                    f"its {turns} parts; "
                    "give more text, fewer lanes or larger parts"
                )
            text = 0

    def _pack(self, texts):
        kept = [t for t in texts if self.keep(t) and not _BLANK.fullmatch(t)]
        ids = [i for row in self.encode(kept) for i in row]
        count = len(ids) // self.length
        if wrong := [i for i in ids if isinstance(i, (bool, float)) or i < 0]:
            raise ValueError(f"encode gives {wrong[0]!r}; ids are whole numbers from 0")
        rows = torch.tensor(ids[: count * self.length], dtype=torch.long)
        return rows.view(count, self.length)

    def _next(self, lane, count):
        """The next `count` rows of a lane, (count, T)."""
        taken = []
        while count:
            position = self.at[lane]
            # at the beginning, behind a window, or where a resumed run stands inside
            # one
            if lane not in self.rows:
                number, text, self.rows[lane] = next(self.windows[lane])
                position[:] = (
                    number,
                    text,
                    position[2] if position[:2] == [number, text] else 0,
                )
            taken.append(self.rows[lane][position[2] : position[2] + count])
            position[2] += len(taken[-1])
            count -= len(taken[-1])
            if position[2] >= len(self.rows[lane]):
                del self.rows[lane]
        return torch.cat(taken)

    def take(self, rows):
        """The next rows of this process: (ids (rows, T), index (rows,)), the index
        being unlike any other row's of the run.
        """
        if rows < 1 or rows % len(self.mine):
            raise ValueError(
                f"{rows} rows cannot be taken equally from "
                f"{len(self.mine)} lanes; take a multiple of them"
            )
        count = rows // len(self.mine)
        # (rows of a lane, lanes, T)
        ids = torch.stack([self._next(lane, count) for lane in self.mine], dim=1)
        index = (self.taken + torch.arange(count))[:, None] * self.lanes + torch.tensor(
            [*self.mine]
        )
        self.taken += count
        return ids.flatten(0, 1), index.flatten()

    def position(self):
        """{"taken": rows of each lane, "lanes": [[part, text, row]]} after the last
        `take`; all processes must call it.
        """
        mine = torch.tensor(
            [self.at[i] if i in self.mine else [0, 0, 0] for i in range(self.lanes)]
        )
        # each knows its own lanes and adds zeros for the others
        if dist.is_initialized() and len(self.mine) < self.lanes:
            mine = mine.to("cuda" if "nccl" in dist.get_backend() else "cpu")
            dist.all_reduce(mine)
        return {"taken": self.taken, "lanes": mine.tolist()}
