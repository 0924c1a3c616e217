"""The label-efficiency grid: what its parts compute, and at toy size what it stores; a
second start adds only what is missing.
"""

import json
import sys

import label_efficiency as recipe
import pytest
import torch

from ftlib.course import sources
from ftlib.data import tables
from ftlib.models import transformer
from ftlib.objectives import classify


def encoder(window=8):
    torch.manual_seed(0)
    return transformer.Transformer(transformer.Config(50, 16, 2, 2, 32, window)).eval()


def batch(*lengths):
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(1, 50, (n,), generator=generator).tolist() for n in lengths]
    return classify.pad(rows)


def test_windows_are_read_one_by_one():
    """A row of 13 tokens in windows of 8: as the encoder reads tokens 0-7 and 8-12."""
    inner, rows = encoder(), batch(13, 6, 8)
    read = recipe.Windows(inner)(**rows).last_hidden_state
    assert read.shape == (3, 13, 16) and not read[1, 8:].any()
    ids = rows["input_ids"]
    for row, first, last in ((0, 0, 8), (0, 8, 13), (1, 0, 6), (2, 0, 8)):
        alone = inner(ids[row : row + 1, first:last]).last_hidden_state[0]
        torch.testing.assert_close(read[row, first:last], alone, atol=1e-5, rtol=1e-4)


def test_windows_of_short_rows_are_the_encoder_itself():
    inner, rows = encoder(), batch(8, 3)
    ours = recipe.Windows(inner)(**rows).last_hidden_state
    assert torch.equal(ours, inner(**rows).last_hidden_state)


def test_windows_learn():
    net = recipe.Windows(encoder())
    net(**batch(13, 6)).last_hidden_state.sum().backward()
    grads = [p.grad for name, p in net.named_parameters() if "pad_vector" not in name]
    assert all(g is not None and g.isfinite().all() for g in grads)
    assert net.config.max_tokens == 16


def test_pair_loss_is_that_of_a_loop_over_pairs():
    net, rows = encoder(), batch(5, 7, 3, 6)
    rows["labels"] = torch.tensor([0, 1, 1, 0])
    hidden = net(rows["input_ids"], rows["attention_mask"]).last_hidden_state
    x = [h[m.bool()].mean(0) for h, m in zip(hidden, rows["attention_mask"])]
    losses = [
        (torch.cosine_similarity(x[i], x[j], dim=0) - float(i + j == 3)) ** 2
        for i in range(4)
        for j in range(i + 1, 4)
    ]
    wanted = 4 * sum(losses) / 6  # the loop divides by the four labels
    torch.testing.assert_close(recipe.pair_loss(net, rows), wanted)


@pytest.mark.parametrize(
    "correct, digits", [([1, 0, 0, 0, 1], "88"), ([0, 1, 1, 1], "7"), ([1], "8")]
)
def test_bits_can_be_read_back(correct, digits):
    text = recipe.bits(torch.tensor(correct))
    assert text == digits
    read = [int(b) for digit in text for b in f"{int(digit, 16):04b}"]
    assert read[: len(correct)] == correct


def test_words_read_what_the_networks_read():
    """The text of the first 4 and the last 4 tokens, [CLS] and [SEP] among them."""
    long = "alpha beta gamma delta epsilon and so on for a while"
    short, cut = recipe.beginnings_and_ends(["a short one", long], 8)
    assert short == "a short one"
    front, back = cut.split(" ")[0], cut.split(" ")[-1]
    assert front == "alpha" and back == "while" and "on" not in cut.split()
    assert long.startswith(cut[: cut.index(" for")])


def test_what_is_wanted():
    cells = list(recipe.wanted(recipe.METHODS, (10, 1000, 10000), 2, 5000))
    assert len(cells) == len(set(cells))
    of = {
        n: {seed for m, size, seed in cells if size == n and m == recipe.WORDS}
        for n in (10, 1000, 10000)
    }
    # twice as many draws of few labels, and no more labels than there are texts
    assert of == {10: {0, 1, 2, 3}, 1000: {0, 1}, 10000: set()}
    assert [c for c in cells if c[0] == recipe.ZERO_SHOT] == [(recipe.ZERO_SHOT, 0, 0)]
    assert {n for m, n, _ in cells if m == recipe.CONTRASTIVE} == {10}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """What the file holds after two starts, and what each of them printed."""
    out = tmp_path_factory.mktemp("grid") / "toy.json"
    toy = "--data rotten_tomatoes --sizes 10 --tests 30 --draws 1 --tokens 32".split()
    quick = ["--methods", recipe.WORDS, recipe.CUT, "MiniLM frozen", recipe.ZERO_SHOT]
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLIB_BF16", "0")
        for methods in (quick[:3], quick):
            words = [*toy, *methods, "--out", str(out)]
            patch.setattr(sys, "argv", ["recipes/label_efficiency.py", *words])
            recipe.main()
    torch.set_num_threads(threads)
    return json.loads(out.read_text(encoding="utf-8"))


def test_the_stored_accuracy_is_that_of_the_stored_answers(stored):
    cells = stored["cells"]
    assert [(c["method"], c["n"], c["seed"]) for c in cells] == [
        (recipe.ZERO_SHOT, 0, 0),
        *((m, 10, s) for s in (0, 1) for m in sorted(("MiniLM frozen", *CUTS))),
    ]
    for cell in cells:
        answers = "".join(f"{int(digit, 16):04b}" for digit in cell["correct"])[:30]
        assert cell["accuracy"] == round(answers.count("1") / 30, 4)
    assert stored["tests"] == 30 and stored["head"] == 16


CUTS = (recipe.WORDS, recipe.CUT)


def test_stored_words_can_be_counted_again(stored):
    splits = sources.load("rotten_tomatoes")
    train, test = (
        tables.subset(splits["train"], 10, 1),
        tables.subset(splits["test"], 30),
    )
    model = recipe.words().fit(train["text"], train["label"])
    (cell,) = [
        c for c in stored["cells"] if c["method"] == recipe.WORDS and c["seed"] == 1
    ]
    assert cell["accuracy"] == round(model.score(test["text"], test["label"]), 4)


def test_the_first_draw_may_be_a_later_one():
    both = [("m", 10, 8), ("m", 10, 9)]
    assert list(recipe.wanted(["m"], [10], 5, 100, first=8)) == both
    assert list(recipe.wanted(["m"], [10], 5, 100))[-2:] == both
