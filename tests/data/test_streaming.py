"""More text than memory: each text once, the same rows for any number of processes and
after any resume, located errors.
"""

import bz2
import collections
import gzip
import itertools
import json
import os
import pathlib
import random

import pytest
import torch

from ftlib.data import streaming

TEXTS = [f"film {i} " + "é" * (i % 7) + " ende" * (i % 3) for i in range(300)]


def encode(texts):
    """One row of ids a text: a start, its number in TEXTS as often as it has words, an
    end. So a row tells its texts.
    """
    return [[1, *[10 + int(text.split()[1])] * len(text.split()), 2] for text in texts]


@pytest.fixture
def files(tmp_path):
    """Two .txt files and a .jsonl, with every ending of a line, empty lines, a
    byte-order mark and no end of the last line.
    """
    a, b, c = TEXTS[:90], TEXTS[90:91], TEXTS[91:]
    (tmp_path / "a.txt").write_bytes("\n".join(a).encode("utf-8-sig"))
    (tmp_path / "b.txt").write_bytes(f"\r\n\n  \r\n{b[0]}\r\n\r\n".encode())
    (tmp_path / "c.jsonl").write_text(
        "".join(
            json.dumps({"n": 1, "text": text}, ensure_ascii=i % 2) + "\n"
            for i, text in enumerate(c)
        ),
        encoding="utf-8",
    )
    return [tmp_path / name for name in ("a.txt", "b.txt", "c.jsonl")]


@pytest.mark.parametrize("size", [7, 16, 100, 1000, 10**6])
def test_every_text_belongs_to_one_part(files, size):
    source = streaming.Files(files, size)
    parts = [list(source.read(part)) for part in range(len(source))]
    assert [text.strip() for part in parts for text in part] == [
        text.strip() for text in TEXTS
    ]
    assert size > 100 or sum(map(bool, parts)) > len(source) / 50
    assert all(
        list(source.read(part, skip=k)) == texts[k:]
        for part, texts in enumerate(parts)
        for k in (1, 3)
    )


def test_control_cutting_at_bytes_alone_breaks_texts(files, counted):
    """The planted fault: a part that begins where the bytes begin, not where a line
    does.
    """

    class Careless(streaming.Files):
        def _texts(self, path, start, end):
            with open(path, "rb") as file:
                file.seek(start)
                yield from filter(
                    None,
                    (
                        line.decode(errors="replace").strip()
                        for line in file.read(end - start).split(b"\n")
                    ),
                )

    source = Careless(files[:1], 100)
    assert [text for part in range(len(source)) for text in source.read(part)] != TEXTS[
        :90
    ]
    counted("fault")


# ---- rows: the same for any number of processes, and after any resume ----


def streams(files, world, position=None, lanes=4, seed=0, **more):
    source = streaming.Files(files, 500)
    return [
        streaming.TextStream(
            source,
            encode,
            12,
            lanes=lanes,
            seed=seed,
            rank=rank,
            world_size=world,
            position=position,
            window=300,
            **more,
        )
        for rank in range(world)
    ]


def step(some, rows=8):
    """One step of all processes -> {index: row}."""
    taken = [stream.take(rows // len(some)) for stream in some]
    return {
        i: row
        for ids, index in taken
        for i, row in zip(index.tolist(), ids.tolist(), strict=True)
    }


def together(some):
    """What `position` gives after its exchange: each process knows its own lanes and
    zeros for the others.
    """
    places = [stream.position() for stream in some]
    return {
        "taken": places[0]["taken"],
        "lanes": torch.tensor([p["lanes"] for p in places]).sum(0).tolist(),
    }


@pytest.fixture
def whole(files):
    """40 steps of one process, several epochs -> ([{index: row}], [position after
    each]).
    """
    (one,) = streams(files, 1)
    found = [(step([one]), json.loads(json.dumps(one.position()))) for _ in range(40)]
    return [rows for rows, _ in found], [place for _, place in found]


def test_any_number_of_processes_takes_the_same_rows(files, whole):
    assert sorted(i for rows in whole[0] for i in rows) == list(range(320))
    for world in (2, 4):
        some = streams(files, world)
        for rows, place in zip(*whole):
            assert step(some) == rows and together(some) == place


@pytest.mark.parametrize("world", [1, 2])
def test_any_number_goes_on_from_any_step(files, whole, world, counted):
    rows, places = whole
    for first in (1, 2, 3, 7, 20, 39):
        some = streams(files, world, places[first - 1])
        assert all(step(some) == wanted for wanted in rows[first:])
    # control: a position of one step before
    stale = streams(files, world, {**places[6], "lanes": places[5]["lanes"]})
    assert step(stale) != rows[7]
    counted("fault")


def test_an_epoch_reads_each_text_once_in_an_order_of_its_own(files):
    """With rows of one token nothing is left out: counting the starts counts
    the texts.
    """

    def order(seed, epoch):
        lanes = 3
        source = streaming.Files(files, 500)
        stream = streaming.TextStream(
            source,
            lambda texts: [[10 + int(t.split()[1])] for t in texts],
            1,
            lanes=lanes,
            seed=seed,
            window=300,
        )
        seen = []
        for lane in range(lanes):
            turns = len(range(lane, len(source), lanes))
            for number, _, rows in itertools.takewhile(
                lambda w: w[0] < (epoch + 1) * turns,
                stream._windows(lane, epoch * turns, 0),
            ):
                seen += rows.flatten().tolist()
        return seen

    orders = [order(0, 0), order(0, 1), order(1, 0)]
    assert all(sorted(seen) == [10 + i for i in range(300)] for seen in orders)
    assert orders[0] == order(0, 0) and orders[0] != orders[1] != orders[2] != orders[0]
    near = sum(abs(a - b) == 1 for a, b in itertools.pairwise(orders[0]))
    # of 299 neighbours in the files; a window holds about ten texts here
    assert near < 100


def test_what_is_held_out_never_comes(files):
    (one,) = streams(files, 1, keep=lambda text: int(text.split()[1]) % 3 > 0)
    seen = collections.Counter(
        i for _ in range(60) for row in step([one]).values() for i in row
    )
    texts = {i - 10 for i in seen if i >= 10}
    # of 200: some lie where a window leaves less than a row
    assert all(i % 3 for i in texts) and len(texts) > 150


def test_two_processes_put_their_positions_together(files, two_processes):
    def work(rank):
        (alone,), mine = streams(files, 1), streams(files, 2)[rank]
        for _ in range(5):
            alone.take(8), mine.take(4)
        return mine.position() == {**alone.position(), "taken": 10}

    assert two_processes(work) == [0, 0]


def test_a_sample_is_bounded_and_from_everywhere(files):
    source = streaming.Files(files, 500)
    everything = streaming.sample(source)
    assert sorted(everything) == sorted(t.strip() for t in TEXTS)
    few = streaming.sample(source, letters=600, parts=8)
    assert 600 <= sum(map(len, few)) < 900 and len(few) < 100
    assert {int(t.split()[1]) // 75 for t in few} == {0, 1, 2, 3}


# ---- a stream of the datasets library ----


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("datasets")
    here = tmp_path_factory.mktemp("hub")
    for name, part in (("train-0.jsonl", TEXTS[:120]), ("train-1.jsonl", TEXTS[120:])):
        (here / name).write_text(
            "".join(json.dumps({"text": text, "label": 1}) + "\n" for text in part),
            encoding="utf-8",
        )
    return here


@pytest.mark.parametrize("lanes, parts", [(2, 2), (4, 4), (5, 6)])
def test_a_data_set_streams_as_files_do(folder, lanes, parts):
    import datasets

    source = streaming.Shards(
        datasets.load_dataset(str(folder), split="train", streaming=True), lanes
    )
    assert len(source) == parts
    texts = [list(source.read(part)) for part in range(parts)]
    assert sorted(t for part in texts for t in part) == sorted(TEXTS)
    assert list(source.read(1, skip=5)) == texts[1][5:]
    if lanes == 4:

        def some(world, position=None):
            return [
                streaming.TextStream(
                    source,
                    encode,
                    12,
                    lanes=4,
                    rank=rank,
                    world_size=world,
                    position=position,
                    window=300,
                )
                for rank in range(world)
            ]

        one, two = some(1), some(2)
        rows = [step(one) for _ in range(6)]
        assert [step(two) for _ in range(3)] == rows[:3]
        later = some(1, together(two))
        assert [step(later) for _ in range(3)] == rows[3:]
    with pytest.raises(
        ValueError, match="no text in 'label', it has text, label; name another field"
    ):
        next(streaming.Shards(source.dataset, 2, "label").read(0))


class Rows(list):
    """What `Shards` reads of a data set."""

    num_shards = 1

    def shard(self, num_shards, index):
        return self


def test_an_empty_row_of_a_data_set_is_no_document(counted):
    texts = ["film 1", "", "film 2", "\u200b\ufeff", " ", "film 3"] * 9
    source = streaming.Shards(Rows({"text": text} for text in texts), 1)
    assert list(source.read(0)) == texts  # so that a resumed run counts them too

    def asked_for(texts):
        assert all(text.startswith("film") for text in texts)
        return encode(texts)

    rows, _ = streaming.TextStream(source, asked_for, 4, lanes=1).take(27)
    assert sorted({i for row in rows.tolist() for i in row}) == [1, 2, 11, 12, 13]
    with pytest.raises(
        ValueError, match="no text in 'text', it has text; .* with None"
    ):
        list(streaming.Shards(Rows([{"text": "a"}, {"text": None}]), 1).read(0))
    counted("fault")


# ---- what cannot be read ----


@pytest.mark.parametrize(
    "name, data, words",
    [
        (
            "x.txt",
            b"good\n\xff\xfe bad\n",
            "line at byte 5 is not UTF-8 .*convert the file first",
        ),
        (
            "x.jsonl",
            b'{"text": "a"}\n{"text": \n',
            "line at byte 14 has no text 'text'",
        ),
        (
            "x.jsonl",
            b'{"body": "a"}\n',
            r"line at byte 0 has no text 'text' \(KeyError",
        ),
        ("x.jsonl", b"[1]\n", "line at byte 0 has no text"),
        ("x.jsonl", b'{"text": 3}\n', r"line at byte 0 has no text 'text' \(it is 3\)"),
        ("x.jsonl", b'{"text": null}\n', r"\(it is None\); write one JSON object"),
        ("x.jsonl", b'{"text": ["a"]}\n', r"\(it is \['a'\]\)"),
        ("x.jsonl", b'{"text": "\\ud800"}\n', "byte 0 has no text .*surrogates"),
        ("x.json", b'{"body": "a"}\n', r"line at byte 0 has no text 'text' \(KeyError"),
        ("x.json", b'[\n{"text": "a"}\n]\n', "byte 0 has no text .*write one JSON obj"),
        ("x.json", b'[{"text": "a"}, {"text": "b"}]\n', "line at byte 0 has no text"),
        ("x.json", b'{\n "text": "a"\n}\n', "line at byte 0 has no text"),
        ("x.txt", b'{"text": "a"}\n{"text": "b"}\n', "JSON object with 'text' .*jsonl"),
        ("x", b'\xef\xbb\xbf\n{"n": 1, "text" : "a"}\n', "plain text; name it .jsonl"),
        ("x.csv", b"text,label\nfine,1\n", "is a table, .*read its text column"),
        ("x.CSV", b"text,label\nfine,1\n", "is a table"),
        ("x.tsv", b"text\tlabel\nfine\t1\n", "is a table"),
        ("x.parquet", b"PAR1", "is a table"),
        # its header and labels were read as documents
        ("x.txt", b"text,label\nfine,1\n", "is a table, .*read its text column"),
        ("x.txt", b'\xef\xbb\xbf"label";"text"\r\n1;fine\r\n', "is a table"),
        ("x", "编号\ttext\n1\t好\n".encode(), "is a table"),
        (
            "x.txt",
            gzip.compress(b"a film\n", mtime=0),
            "begins with .*so it is compressed or no",
        ),
        ("x.txt", bz2.compress(b"a film\n"), "begins with b'BZh'"),
        ("x.jsonl", b"PAR1\x15\x04", "begins with b'PAR1'"),
        ("x.txt", b"%PDF-1.7\n", "begins with b'%PDF'"),
        ("x.txt", b"PK\x03\x04\x14", "begins with b'PK"),
        ("x.TXT.GZ", b"1", "compressed .*unpack it first"),
        *((f"x{kind}", b"a\n", "compressed") for kind in streaming.COMPRESSED),
        *((f"x{kind}", b"a\n", "is a table") for kind in streaming.TABLES),
        ("x.txt", b"\xfd7zXZ\x00", "begins with b'.xfd7zXZ'"),
        ("x.txt", b"\x28\xb5\x2f\xfd", "it is compressed or no text; unpack or conv"),
        ("x.txt", b"7z\xbc\xaf\x27", "begins with b'7z"),
        ("x.txt", b"ARROW1\x00", "begins with b'ARROW1'"),
        ("x.txt", "a film\n".encode("utf-16"), "line at byte 0 is not UTF-8"),
        ("x.txt", "a film\n".encode("utf-16-le"), "byte 0 has a NUL character; conv"),
        (
            "x.txt",
            b"one\rtwo\rthree\r",
            r"carriage return alone .old Mac.*write \\n at",
        ),
        ("x.txt", b"", "x.txt is empty; give files with a document a line"),
        ("x.txt.gz", b"1", "compressed .*unpack it first"),
    ],
)
def test_bad_files_are_named_with_the_place(tmp_path, name, data, words, counted):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=words):
        source = streaming.Files([tmp_path / name], 10)
        [*itertools.chain(*(source.read(part) for part in range(len(source))))]
    counted("fault")


@pytest.mark.parametrize(
    "line", ["text", "Pictures, text, sound: a film", "the text, label and all"]
)
def test_a_sentence_that_says_text_is_no_header(tmp_path, line):
    path = tmp_path / "x.txt"
    path.write_text(f"{line}\nfine\n", encoding="utf-8")
    assert list(streaming.Files([path]).read(0)) == [line, "fine"]


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.ndjson", "x.JSON"])
def test_lines_of_json_are_read_under_all_their_names(tmp_path, name, counted):
    lines = [json.dumps({"n": i, "text": f" film {i} "}) for i in range(9)]
    (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    source = streaming.Files([tmp_path / name], 40)
    found = [text for part in range(len(source)) for text in source.read(part)]
    assert found == [f"film {i}" for i in range(9)]
    counted("fault", name != "x.jsonl")


BLANK = ["\u200b", "\u2060 \u00ad", "\u200e\t\u200d", "\u3164", "\ufe0f", "\u034f"]
BLANK += ["\u061c", "\u115f\u1160", "\u180b\u180f", "\u202a\u202e", "\u206f", "\u2800"]
BLANK += ["\uffa0", "\ufeff\ufe00"]


@pytest.mark.parametrize("name", ["x.txt", "x.json"])
def test_a_line_of_zero_width_characters_is_no_document(tmp_path, name, counted):
    texts = ["\ufeff", *BLANK, "a\u200bb", *BLANK, "c"]
    lines = texts if name == "x.txt" else [json.dumps({"text": t}) for t in texts]
    (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "bom").write_bytes(b"\xef\xbb\xbf\nfirst\n")
    assert list(streaming.Files([tmp_path / name]).read(0)) == ["a\u200bb", "c"]
    assert list(streaming.Files([tmp_path / "bom"]).read(0)) == ["first"]
    counted("fault", len(BLANK))


def test_a_text_that_speaks_of_json_is_a_text(tmp_path):
    for text in ('{"body": "a"}', 'He wrote {"text": "a"} once', "{text: a}", "{}"):
        (tmp_path / "x.txt").write_text(text + "\n", encoding="utf-8")
        assert list(streaming.Files([tmp_path / "x.txt"]).read(0)) == [text]


@pytest.mark.parametrize("kind", [str, bytes, pathlib.Path])
def test_one_path_is_no_list_of_paths(tmp_path, kind, counted):
    path = tmp_path / "x.txt"
    path.write_text("a film\n", encoding="utf-8")
    one = os.fsencode(path) if kind is bytes else kind(path)
    with pytest.raises(TypeError, match="a list of paths is needed, this is one, "):
        streaming.Files(one)
    with pytest.raises(ValueError, match="is a folder; give the list of the files"):
        streaming.Files([tmp_path])
    with pytest.raises(ValueError, match="size is 0; a part has 1 byte or more"):
        streaming.Files([path], 0)
    assert list(streaming.Files(p for p in [path]).read(0)) == ["a film"]
    counted("fault", 3)


@pytest.mark.parametrize(
    "more",
    [
        dict(lanes=0),
        dict(length=0),
        dict(window=0),
        dict(rank=2, world_size=2),
        dict(rank=-1),
        dict(position={"taken": 4, "lanes": [[0, 0, 0]] * 3}),
    ],
)
def test_a_stream_that_gives_no_rows_is_refused(files, more, counted):
    settings = dict(length=8, lanes=4) | more
    with pytest.raises(ValueError, match="lanes is|4 lanes cannot go on where 3"):
        streaming.TextStream(
            streaming.Files(files, 500), encode, settings.pop("length"), **settings
        )
    with pytest.raises(ValueError, match="0 rows cannot be taken equally"):
        streaming.TextStream(streaming.Files(files, 500), encode, 8, lanes=4).take(0)
    counted("fault")


@pytest.mark.parametrize("wrong", [1.7, True, -1])
def test_ids_that_are_none_are_refused(files, wrong, counted):
    def some(texts):
        return [[5, 6, wrong] for _ in texts]

    stream = streaming.TextStream(streaming.Files(files, 500), some, 8, lanes=4)
    with pytest.raises(ValueError, match=f"encode gives {wrong}; ids are whole"):
        stream.take(4)
    counted("fault")


def test_a_line_without_an_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "LONGEST", 1000)
    (tmp_path / "x.txt").write_text("a\n" + "b " * 600, encoding="utf-8")
    with pytest.raises(
        ValueError,
        match="line at byte 2 is longer than 1000 bytes; write a document a line",
    ):
        list(streaming.Files([tmp_path / "x.txt"], 10**6).read(0))


def test_what_does_not_fit_together_is_refused(files, tmp_path):
    source = streaming.Files(files, 500)
    for lanes, world in ((4, 3), (len(source) + 1, 1)):
        with pytest.raises(
            ValueError, match=f"{lanes} lanes need {lanes} parts of text"
        ):
            streaming.TextStream(source, encode, 8, lanes=lanes, world_size=world)
    with pytest.raises(ValueError, match="6 rows cannot be taken equally from 4 lanes"):
        streaming.TextStream(source, encode, 8, lanes=4).take(6)
    with pytest.raises(
        ValueError, match="lane 0 found no row of 10000 tokens in its .* parts"
    ):
        streaming.TextStream(source, encode, 10_000, lanes=4).take(4)
    with pytest.raises(ValueError, match="the list of files is empty"):
        streaming.Files([])
    with pytest.raises(FileNotFoundError):
        streaming.Files([tmp_path / "nowhere.txt"])


def test_random_files_and_sizes_lose_nothing(tmp_path):
    draw = random.Random(0)
    for _ in range(60):
        lines = [
            draw.choice(["", "x", "ab" * draw.randrange(20), "ü" * draw.randrange(9)])
            for _ in range(draw.randrange(1, 30))
        ]
        text = draw.choice(["\n", "\r\n"]).join(lines) + draw.choice(["", "\n"])
        (tmp_path / "x.txt").write_bytes(text.encode() or b"\n")
        source = streaming.Files([tmp_path / "x.txt"], draw.randrange(1, 40))
        assert [t for part in range(len(source)) for t in source.read(part)] == [
            line for line in lines if line
        ]


def test_a_line_of_the_limit_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "LONGEST", 10)
    (tmp_path / "x.txt").write_text("123456789\nab\n", encoding="utf-8")
    assert list(streaming.Files([tmp_path / "x.txt"], 10**6).read(0)) == [
        "123456789",
        "ab",
    ]
