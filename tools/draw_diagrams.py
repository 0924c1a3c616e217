"""Draw the chapters' diagrams: chapters/figures/NAME.svg, and a picture of each.

    python tools/draw_diagrams.py              # all
    python tools/draw_diagrams.py 07_block     # some
    python tools/draw_diagrams.py --check      # is what is stored what is drawn here?

The same code and the same chapters give the same SVG. The picture (NAME.png, two dots
a unit) is made by Chromium and bears the SHA-256 of its SVG, so that a test sees a
picture that is out of date. Needs: ftlib, Pillow; Chromium for the pictures.
"""

import argparse
import hashlib
import pathlib
import shutil
import subprocess
import sys
import tempfile

from PIL import Image, PngImagePlugin

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]
from diagram import Diagram, faults, text_width  # noqa: E402

from ftlib.course import diagrams  # noqa: E402

FIGURES = ROOT / "chapters" / "figures"
CHROMIUM = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--hide-scrollbars --force-device-scale-factor=2 "
    "--default-background-color=00000000"
).split()

# --- chapter 00: the course as a map

# part: rows of {column: (chapter, title)}
PARTS = {
    "Part I: Foundations": [
        {0: (1, "Gradient\ndescent"), 1: (2, "Back-\npropagation"),
         3: (3, "Optimizers,\nschedules"), 4: (4, "Measuring\nhonestly")},
        {1: (5, "Tokenization"), 2: (6, "Attention"), 3: (7, "Transformer")},
    ],
    "Part II: Pretraining": [
        {1: (8, "Causal lan-\nguage model"), 2: (9, "Masked lan-\nguage model"),
         3: (10, "Data, scaling,\ncompute"), 4: (11, "Training\nthat survives")},
    ],
    "Part III: Fine-tuning": [
        {0: (12, "Images"), 1: (13, "Contrastive\nlearning"),
         2: (14, "Classification,\nfew labels"), 3: (15, "Entities,\nanswers"),
         4: (16, "Translation")},
        {0: (17, "Domains,\nforgetting"), 1: (18, "Instruction\ntuning"),
         2: (19, "LoRA,\ncomponents"), 3: (20, "Preferences,\nrewards"),
         4: (21, "Speech")},
    ],
    "Part IV: In use": [
        {0: (22, "Trust"), 1: (23, "Smaller\nand faster"), 2: (24, "Deploy,\nmonitor"),
         3: (25, "Capstone")},
    ],
}  # fmt: skip
ONE_DAY = (0, 6, 9, 14)
FINE_TUNING = {4, 5, *range(12, 22), 23, 24, 25}


def draw_00_map() -> Diagram:
    """Every chapter in its part, and two ways through."""
    parts = "; ".join(
        f"{part} has the chapters "
        + ", ".join(f"{n:02d}" for row in rows for n, _ in row.values())
        for part, rows in PARTS.items()
    )
    d = Diagram(
        "The course in four parts, from gradient descent to a model in use.",
        f"A map of 26 chapters. Chapter 00 is the start. {parts}. The way of one day "
        "leads through 00, 06, 09 and 14; who wants to fine-tune and nothing else "
        "reads 04, 05, 12 to 21 and 23 to 25. Film reviews are the thread through all "
        "parts.",
        684,
    )
    places = {0: d.box(296, 16, 128, 44, "00 Start here", "blue", tint=0.16, bold=True)}
    d.text(24, 30, "The thread: film reviews,", 13, "black", "start")
    d.text(24, 48, "from counting words to a service", 13, "black", "start")
    y = 80
    for part, rows in PARTS.items():
        d.group(16, y, 688, 24 + 66 * len(rows))
        d.text(28, y + 14, part, 13, "black", "start", bold=True)
        y += 28
        for row in rows:
            for column, (number, title) in row.items():
                places[number] = _chapter(d, column, y, number, title)
            y += 66
        y += 12
    for start, end in zip(ONE_DAY, ONE_DAY[1:]):
        d.arrow(places[start].bottom, places[end].top, color="orange")
    _legend(d, y + 6)
    return d


def _chapter(d, column, y, number, title):
    """One chapter, with a green bar if it is about fine-tuning."""
    box = d.box(24 + 136 * column, y, 128, 54, "", "blue", tint=0.16)
    d.text(box.x + 23, y + 27, f"{number:02d}", 13, "black", bold=True)
    d.text(box.x + 37, y + 27, title, 12, "black", "start")
    if number in FINE_TUNING:
        d.bar(box.x + 5, y + 6, 4, 42, "green")
    return box


def _legend(d, y):
    """What the marks mean."""
    d.arrow((24, y + 10), (58, y + 10), color="orange")
    d.text(66, y + 10, "one day", 12, anchor="start")
    d.bar(146, y, 4, 20, "green")
    d.text(158, y + 10, "for those who fine-tune and nothing else", 12, anchor="start")


# --- chapter 00: a sentence becomes a vector; two trainings


def draw_00_vector() -> Diagram:
    """Sentence, tokens, ids, a vector for each token, their mean, a comparison."""
    words = "[CLS] i fell asleep in the cinema . [SEP]".split()
    ids = "101 1045 3062 6680 1999 1996 5988 1012 102".split()
    d = Diagram(
        "From a sentence to a vector, and from the vector to its nearest neighbour.",
        "The sentence 'I fell asleep in the cinema.' is cut into nine tokens: "
        f"{', '.join(words)}. Each token has a number, its id: {', '.join(ids)}. "
        "MiniLM turns the nine ids into nine vectors of 384 numbers, a table of shape "
        "9, 384. Their mean is one vector of 384 numbers for the sentence. It is "
        "compared with the vectors of 4,000 film sentences. The most similar one wins.",
        446,
    )
    d.text(
        20, 26, "A sentence: I fell asleep in the cinema.", 14, "black", "start", True
    )
    x, tops, ends = 130, [], []
    for word, number in zip(words, ids):
        wide = max(text_width(word, 12), text_width(number, 12)) + 12
        tops.append(d.box(x, 48, wide, 28, word, "orange", 12))
        ends.append(d.box(x, 100, wide, 28, number, "orange", 12, 0.02))
        d.arrow(tops[-1].bottom, ends[-1].top, color="grey")
        x += wide + 8
    d.text(20, 62, "9 tokens", 13, "black", "start")
    d.text(20, 114, "9 numbers (ids)", 13, "black", "start")
    right = x - 8
    model = d.box(130, 152, right - 130, 42, "MiniLM: 22.6 million trained numbers",
                  "blue", 14, 0.16, bold=True)  # fmt: skip
    d.group(122, 214, right - 114, 52)
    for box in ends:
        d.arrow(box.bottom, (box.bottom[0], model.y), color="grey")
        low = (box.bottom[0], 194)
        d.arrow(low, (low[0], 220), color="grey")
        d.box(box.x, 220, box.width, 40, "", "blue", tint=0.12)
    d.text(20, 240, "9 vectors:\n(9, 384)", 13, "black", "start")
    mean = d.box(130, 300, 170, 34, "1 vector: (384,)", "blue", 13, 0.16)
    d.arrow((215, 266), mean.top)
    d.text(225, 282, "the mean of the nine", 12, "black", "start")
    d.text(20, 316, "1 sentence", 13, "black", "start")
    close = d.box(400, 300, 300, 34, "compare with 4,000 vectors: (4000, 384)",
                  "green", 12)  # fmt: skip
    d.arrow(mean.right, close.left)
    d.box(130, 376, 570, 42, "the film sentence whose vector is most similar",
                 "green", 14)  # fmt: skip
    d.arrow(close.bottom, (550, 376))
    return d


def draw_00_trainings() -> Diagram:
    """Pretraining once, and what is done with its weights."""
    d = Diagram(
        "One expensive training, and the many cheap uses of its weights.",
        "Pretraining reads a lot of text that nobody has labelled for your task: "
        "pairs of texts for MiniLM, hidden words for BERT, next words for GPT. "
        "It takes an hour to months, once. What it leaves is a file of weights. "
        "Three ways lead on. Frozen: the weights stay, their vectors are searched or "
        "feed a small classifier, in seconds. Fine-tuning: the weights go on learning "
        "from your labelled examples, in minutes. Continual learning: one task after "
        "another arrives, and the old ones must not be forgotten.",
        392,
    )
    data = d.box(20, 40, 190, 76, "a lot of text:\npairs, hidden words,\nnext words",
                 "orange")  # fmt: skip
    train = d.box(256, 40, 190, 76, "Pretraining\nonce, an hour\nto months",
                  "orange", tint=0.16)  # fmt: skip
    file = d.box(500, 40, 200, 76, "a file of weights:\n22.6 million numbers,\n90 MB",
                 "blue", tint=0.16)  # fmt: skip
    d.text(20, 22, "Somebody else pays this bill", 13, "black", "start", True)
    d.arrow(data.right, train.left)
    d.arrow(train.right, file.left)
    d.text(132, 172, "You pay these bills", 13, "black", "start", True)
    uses = (
        ("Frozen", "the weights stay:\nsearch, or a small\nclassifier on top",
         "seconds"),
        ("Fine-tuning", "the weights go on\nlearning from your\nlabelled examples",
         "minutes"),
        ("Continual learning", "task after task,\nwithout forgetting\nthe old ones",
         "as long as it runs"),
    )  # fmt: skip
    d.arrow(file.bottom, (600, 148), (120, 148), head=False, color="blue")
    for i, (name, what, time) in enumerate(uses):
        box = d.box(20 + 240 * i, 200, 200, 122, "", "green", tint=0.1)
        middle = box.x + 100
        d.arrow((middle, 148), (middle, 200), color="blue")
        d.text(middle, 220, name, 14, bold=True)
        d.text(middle, 270, what, 13)
        d.text(middle, 346, time, 13, "green", bold=True)
    d.text(360, 376, "Using knowledge from one task in another is called transfer.", 13)
    return d


# --- chapter 07: the transformer block


def draw_07_block() -> Diagram:
    """Pre-norm, attention with heads, feed-forward, two residual connections."""
    d = Diagram(
        "A transformer block keeps the shape of what goes through it.",
        "Vectors of shape B, T, D run down on the left, the residual stream. Twice a "
        "branch leaves it and its result is added. First branch: LayerNorm, three "
        "linear layers for queries, keys and values, split into H heads of shape B, H, "
        "T, D/H; attention weights of shape B, H, T, T; the heads joined, a linear "
        "layer back to B, T, D. Second branch: LayerNorm, a linear layer to B, T, 4D, "
        "GELU, a linear layer back to B, T, D.",
        560,
    )
    x = 92
    d.text(x, 22, "x: (B, T, D)", 14, bold=True)
    d.group(172, 48, 532, 212, "blue")
    d.text(184, 64, "Self-attention: positions exchange information", 13, "blue",
           "start", True)  # fmt: skip
    d.group(172, 300, 532, 170, "orange")
    d.text(184, 316, "Feed-forward: each position by itself", 13, "orange",
           "start", True)  # fmt: skip
    _attention(d, x)
    _feed_forward(d, x)
    d.text(x, 544, "x: (B, T, D)", 14, bold=True)
    d.text(186, 500, "B texts in a batch, T tokens in a text, D numbers per token, "
           "H heads", 12, anchor="start")  # fmt: skip
    d.text(186, 522, "The output has the shape of the input: blocks can be stacked.",
           12, anchor="start")  # fmt: skip
    return d


def _branch(d, x, y, boxes, back):
    """A branch that leaves the stream at `y`, goes through boxes and comes back."""
    d.arrow((x, y), boxes[0].left)
    for a, b in zip(boxes, boxes[1:]):
        d.arrow(a.right, b.left)
    end = boxes[-1]
    d.arrow(end.bottom, (end.bottom[0], back), (x + 12, back))


def _attention(d, x):
    norm = d.box(186, 90, 84, 44, "LayerNorm", "grey")
    heads = []
    for i, name in enumerate(("Q", "K", "V")):
        heads.append(d.box(306, 84 + 34 * i, 66, 24, f"W {name}", "blue"))
    weights = d.box(404, 84, 118, 58, "softmax of\nQ Kᵀ / √(D/H)", "blue", 12)
    values = d.box(404, 152, 118, 24, "weights · V", "blue", 12)
    out = d.box(566, 142, 120, 44, "join heads,\nW O", "blue")
    plus = d.circle(x, 236, "+")
    d.arrow((x, 36), plus.top)
    d.arrow((x, 112), norm.left)
    for head in heads:
        d.arrow(norm.right, (288, 112), (288, head.left[1]), head.left)
    for head in heads[:2]:
        d.arrow(head.right, (404, head.right[1]))
    d.arrow(heads[2].right, values.left)
    d.arrow(weights.bottom, values.top)
    d.arrow(values.right, out.left)
    d.arrow(out.bottom, (626, 236), plus.right)
    d.text(339, 194, "each (B, H, T, D/H)", 12, "black")
    d.text(532, 112, "(B, H, T, T): who looks\nat whom, per head", 12, "black", "start")
    d.text(400, 226, "(B, T, D)", 12)
    d.text(x - 18, 236, "residual:\nadd", 12, anchor="end")


def _feed_forward(d, x):
    boxes = [
        d.box(186, 346, 84, 44, "LayerNorm", "grey"),
        d.box(312, 346, 94, 44, "W 1\nD to 4D", "orange"),
        d.box(448, 346, 80, 44, "GELU", "orange"),
        d.box(574, 346, 104, 44, "W 2\n4D to D", "orange"),
    ]
    plus = d.circle(x, 446, "+")
    d.arrow((x, 248), plus.top)
    _branch(d, x, 368, boxes, 446)
    d.arrow(plus.bottom, (x, 528))
    d.text(427, 404, "(B, T, 4D)", 12)
    d.text(551, 404, "(B, T, 4D)", 12)
    d.text(400, 436, "(B, T, D)", 12)
    d.text(x - 18, 446, "residual:\nadd", 12, anchor="end")


# --- chapter 09: masked language modelling

GAP = "[CLS] this movie was absolutely [MASK] . [SEP]".split()


def draw_09_gap() -> Diagram:
    """A text with a gap, the model's scores for it, and the word that stood there."""
    d = Diagram(
        "A text with a hidden word, and the loss of guessing it.",
        f"A row of eight tokens: {' '.join(GAP)}. At the position of [MASK] the text "
        "had the word terrible. BERT, which reads the whole row, turns ids of shape B, "
        "T into vectors of shape B, T, D. The vector at [MASK], of length D, goes "
        "through the last layer and becomes V scores, one for each token of the "
        "vocabulary. Softmax makes them probabilities: hilarious, terrible, awful and "
        "crap have much, the little. The loss is minus the logarithm of the "
        "probability of terrible.",
        396,
    )
    d.text(20, 26, "A text without labels; one word is covered", 14, "black", "start",
           True)  # fmt: skip
    wide = [text_width(word, 13) + 18 for word in GAP]
    gap, x, row = (680 - sum(wide)) / (len(GAP) - 1), 20, []
    for word, w in zip(GAP, wide):
        covered = word == "[MASK]"
        color, tint = ("orange", 0.2) if covered else ("black", 0.04)
        row.append(d.box(x, 76, w, 30, word, color, 13, tint))
        x += w + gap
    at = row[GAP.index("[MASK]")].top[0]
    word = d.box(at - 44, 38, 88, 26, "terrible", "green", 13, 0.18)
    d.text(at + 52, 51, "what it covers", 12, "green", "start")
    d.text(20, 60, "ids: (B, T)", 12, "black", "start")
    said = "BERT: every position reads every position, left and right"
    model = d.box(20, 136, 680, 44, said, "blue", 14, 0.14)
    for box in row:
        color = "orange" if box.x < at < box.x + box.width else "grey"
        d.arrow(box.bottom, (box.bottom[0], model.y), color=color)
    d.text(20, 196, "vectors: (B, T, D)", 12, "black", "start")
    last = d.box(at - 90, 216, 180, 40, "last layer: D to V scores", "blue", 13, 0.14)
    d.arrow((at, 180), last.top, color="orange")
    d.text(at + 12, 198, "the vector at [MASK]", 12, "black", "start")
    d.text(20, 226, "softmax: a probability for each\nof the V tokens", 12, "black",
           "start")  # fmt: skip
    guesses = [("hilarious", 118), ("terrible", 116), ("awful", 114), ("crap", 96),
               ("...", 0), ("the", 3)]  # fmt: skip
    for i, (guess, length) in enumerate(guesses):
        y = 258 + 22 * i
        d.text(88, y + 7, guess, 12, "green" if guess == "terrible" else "black", "end")
        d.bar(98, y, length, 14, "green" if guess == "terrible" else "grey")
    d.arrow(last.left, (196, 236))
    loss = d.box(at - 104, 300, 208, 46, "loss: -log of the green bar", "green", 13,
                 0.18)  # fmt: skip
    d.arrow((220, 287), (300, 287), (300, 323), loss.left, color="green")
    d.text(at, 366, "0 nats for a sure right guess", 12)
    return d


SENTENCE = "the movie fails to live up to the sum of its parts .".split()
FATES = {3: "[MASK]", 6: "up", 9: "soup"}  # position: what the model is given


def draw_09_mlm() -> Diagram:
    """A sentence, the tokens drawn, what becomes of them, and where the loss is."""
    text = ["[CLS]", *SENTENCE, "[SEP]"]
    given = [FATES.get(i, word) for i, word in enumerate(text)]
    labels = [word if i in FATES else "-100" for i, word in enumerate(text)]
    d = Diagram(
        "In masked language modelling only the drawn positions have a loss.",
        f"The sentence {' '.join(SENTENCE)!r} as tokens between [CLS] and [SEP]. Each "
        "token but the special ones is drawn with probability 0.15; here fails, up and "
        "sum. A drawn token becomes [MASK] with probability 0.8 (fails), stays with "
        "0.1 (up) or becomes a random token with 0.1 (sum becomes soup). The model "
        "reads all tokens. The labels are the original tokens at the three target "
        "positions and -100 elsewhere; the loss is the mean over the targets.",
        548,
    )
    rows = zip(text, given, labels)
    widths = [max(text_width(word, 12) for word in row) + 8 for row in rows]
    gap = (680 - sum(widths)) / (len(widths) - 1)
    top = _row(d, 50, text, widths, gap, "black", "green")
    inputs = _row(d, 186, given, widths, gap, "black", "orange")
    model = d.box(20, 254, 680, 46, "", "blue", tint=0.12)
    d.text(
        360, 277, "BERT: every position reads every position, (B, T) to (B, T, D)", 14
    )
    targets = _row(d, 442, labels, widths, gap, "grey", "green")
    d.text(20, 32, "1. The text: each token is drawn with probability 0.15, "
           "never [CLS] or [SEP]", 13,
           anchor="start", bold=True)  # fmt: skip
    d.text(20, 168, "2. input_ids", 13, anchor="start", bold=True)
    d.text(20, 424, "3. labels", 13, anchor="start", bold=True)
    what = ("80 %:\n[MASK]", "10 %:\nunchanged", "10 %:\nrandom token")
    for i, words in zip(FATES, what):
        d.arrow(top[i].bottom, inputs[i].top, color="orange")
        d.text(top[i].bottom[0] + 8, 126, words, 12, anchor="start")
    for box in inputs:
        d.arrow(box.bottom, (box.bottom[0], model.y), color="grey")
    for i in FATES:
        x = targets[i].top[0]
        made = d.box(x - 50, 332, 100, 40, "scores for\nV tokens", "blue", 12)
        d.arrow((x, 300), made.top)
        d.arrow(made.bottom, targets[i].top, color="green")
        d.text(x + 8, 400, "cross-entropy", 12, anchor="start")
    d.text(360, 500, "-100: ignored, no loss there. The loss is the mean of the "
           "three cross-entropies.", 13)  # fmt: skip
    d.text(360, 522, "Which visible tokens were drawn is not told: "
           "so BERT has to be ready for each.", 13)  # fmt: skip
    return d


def _row(d, y, words, widths, gap, color, marked):
    """A row of tokens in columns that all rows share; the drawn ones are marked."""
    x, made = 20, []
    for i, (word, wide) in enumerate(zip(words, widths)):
        drawn = i in FATES
        tint = 0.18 if drawn else 0.04
        box = d.box(x, y, wide, 28, word, marked if drawn else color, 12, tint)
        made.append(box)
        x += wide + gap
    return made


# --- chapter 13: two towers; the table of a batch

THINGS = ("cat", "sun", "boat", "key")


def draw_13_two_towers() -> Diagram:
    """Two kinds of things become vectors of one space; the nearest is the answer."""
    d = Diagram(
        "Two towers turn two kinds of things into vectors that can be compared.",
        "Three rows. In each, something on the left goes through a query tower, and "
        "something on the right through a key tower: a sentence and other sentences, "
        "the Chinese word for cat and pictures, a user and films. Both towers end in "
        "vectors of length 1, and the cosine of the two is the score. The vectors of "
        "all keys are computed once, the query's when it is asked.",
        330,
    )
    for x, words in ((110, "what you ask"), (360, "one space of vectors"),
                     (610, "what can be found")):  # fmt: skip
        d.text(x, 28, words, 14, "black", bold=True)
    space = d.box(290, 50, 140, 216, "", "grey", tint=0.04)
    rows = (
        ("your sentence", "film sentences"),
        ("a name, English\nor Chinese", "pictures"),
        ("a user's last\n20 films", "all films"),
    )
    for i, (asked, found) in enumerate(rows):
        y = 58 + 72 * i
        left = d.box(20, y, 132, 52, asked, "orange", 13, 0.14)
        one = d.box(178, y + 4, 84, 44, "tower", "blue", 13, 0.16)
        two = d.box(458, y + 4, 84, 44, "tower", "green", 13, 0.16)
        right = d.box(568, y, 132, 52, found, "orange", 13, 0.14)
        d.arrow(left.right, one.left)
        d.arrow(one.right, (space.x, y + 26), color="blue")
        d.arrow(right.left, two.right)
        d.arrow(two.left, (space.x + 140, y + 26), color="green")
        d.text(360, y + 26, "cosine", 13)
    d.text(360, 290, "The keys' vectors are computed once and kept.", 13)
    d.text(360, 312, "A question costs one vector and one multiplication for each "
           "number kept.", 13)  # fmt: skip
    return d


def draw_13_info_nce() -> Diagram:
    """A batch of four pairs: a table of similarities, the diagonal is correct."""
    d = Diagram(
        "A batch of four pairs is a table of sixteen similarities.",
        f"Rows are four names, {', '.join(THINGS)}; columns are their four pictures. "
        "Each cell is the cosine of a name and a picture, divided by the temperature. "
        "The four cells on the diagonal are pairs, the twelve others are negatives. "
        "Cross-entropy along each row asks which picture belongs to a name; along each "
        "column, which name belongs to a picture. CLIP takes the mean of both.",
        352,
    )
    d.text(20, 28, "names (4, D)", 14, "black", "start", True)
    d.text(358, 28, "pictures (4, D)", 14, "black", bold=True)
    for i, name in enumerate(THINGS):
        y = 88 + 48 * i
        row = d.box(20, y, 108, 40, name, "blue", 13, 0.14)
        d.arrow(row.right, (186, row.right[1]), color="grey")
        d.box(190 + 86 * i, 42, 80, 32, f"picture {i + 1}", "green", 13, 0.14)
        for j in range(4):
            same = i == j
            d.box(190 + 86 * j, y, 80, 40, "pair" if same else "negative",
                  "orange" if same else "black", 13, 0.2 if same else 0.03,
                  bold=same)  # fmt: skip
        d.arrow((534, y + 20), (566, y + 20), color="blue")
    d.text(572, 160, "cross-entropy\nof each row:\nwhich picture\nis it?", 13, "blue",
           "start")  # fmt: skip
    for j in range(4):
        d.arrow((230 + 86 * j, 274), (230 + 86 * j, 296), color="green")
    d.text(358, 312, "cross-entropy of each column: which name is it?", 13, "green")
    d.text(358, 336, "cell = cosine / temperature", 13)
    return d


# --- chapter 14: a classifier; pairs of few labelled texts; self-training

SHORT = "[CLS] a dull mess . [SEP] [PAD] [PAD]".split()
LONG = "[CLS] warm , funny and wise . [SEP]".split()


def draw_14_classifier() -> Diagram:
    """A batch of two texts, its vectors, one vector a text, a head, two logits."""
    d = Diagram(
        "From a padded batch of two texts to two logits for each.",
        f"Two texts are rows of eight tokens: {' '.join(SHORT)} and {' '.join(LONG)}. "
        "The first row ends in two padded positions, whose attention mask is 0. The "
        "pretrained encoder turns ids of shape 2, 8 into vectors of shape 2, 8, 384. "
        "Pooling takes the mean over the real tokens of each text and leaves the "
        "padded positions out: shape 2, 384. The head, the only new part, has 384 "
        "times 2 weights and 2 biases and gives logits of shape 2, 2, which the "
        "cross-entropy compares with the labels 0 and 1.",
        432,
    )
    d.text(20, 26, "A batch of two texts, padded to equal length", 14, "black",
           "start", True)  # fmt: skip
    left, wide, step = 132, 64, 71
    for y, name, words in ((44, "text 1", SHORT), (82, "text 2", LONG)):
        d.text(20, y + 15, name, 13, "black", "start")
        _positions(d, left, y, words, wide, step, 30)
    right = left + 7 * step + wide
    said = "pretrained encoder: the real tokens of a text read each other"
    encoder = d.box(left, 142, right - left, 44, said, "blue", 14, 0.16)
    for i in range(8):
        x = left + i * step + wide / 2
        d.arrow((x, 112), (x, encoder.y), color="grey")
        d.arrow((x, 186), (x, 214), color="grey")
    d.text(20, 156, "ids: (2, 8)\nmask: (2, 8)", 12, "black", "start")
    for y in (214, 246):
        marks = SHORT if y == 214 else LONG
        _positions(d, left, y, marks, wide, step, 24, named=False)
    both = d.box(left - 6, 208, right - left + 12, 68, "", "grey", 12, 0)
    d.text(20, 242, "vectors:\n(2, 8, 384)", 13, "black", "start")
    pooled = d.box(left, 318, 170, 48, "mean over the real\ntokens: (2, 384)", "grey",
                   13, 0.08)  # fmt: skip
    head = d.box(352, 318, 162, 48, "head: 384 x 2 weights,\n2 biases", "green", 13,
                 0.18)  # fmt: skip
    logits = d.box(564, 318, 129, 48, "logits: (2, 2)", "green", 13, 0.06)
    d.arrow((pooled.top[0], both.bottom[1]), pooled.top)
    d.text(pooled.top[0] + 10, 296, "pool: padding is left out", 12, "black", "start")
    d.arrow(pooled.right, head.left)
    d.arrow(head.right, logits.left)
    d.text(433, 388, "the only new numbers", 12, "green")
    d.text(628, 388, "cross-entropy with\nthe labels 0 and 1", 12)
    d.text(217, 388, "one vector for each text", 12)
    return d


def _positions(d, x, y, words, wide, step, tall, named=True):
    """A row of eight positions; padded ones are dashed and empty of colour."""
    for i, word in enumerate(words):
        padded = word == "[PAD]"
        d.box(
            x + i * step, y, wide, tall, word if named else "",
            "grey" if padded else "orange" if named else "blue", 12,
            0 if padded else 0.12, dashed=padded,
        )  # fmt: skip


FOUR = {
    "a joy to watch": "green",
    "warm and wise": "green",
    "a dull mess": "orange",
    "a waste of time": "orange",
}


def draw_14_contrastive() -> Diagram:
    """Four labelled texts, their six pairs, and the probe that follows."""
    d = Diagram(
        "Four labelled texts make six pairs to learn from.",
        f"Four texts, two positive and two negative: {', '.join(FOUR)}. The encoder "
        "gives each a vector of 384 numbers. A table of four rows and four columns "
        "shows the target of each pair's cosine: 1 for the two positive and for the "
        "two negative texts, 0 for the four pairs between classes. The diagonal and "
        "the lower half are left out. The loss moves the encoder. Afterwards a probe "
        "learns from the four vectors that have moved.",
        372,
    )
    d.text(20, 26, "1. Few labelled texts", 14, "black", "start", True)
    d.text(236, 26, "2. Vectors", 14, "black", "start", True)
    d.text(430, 26, "3. Targets of the cosines", 14, "black", "start", True)
    encoder = d.box(236, 48, 108, 186, "encoder,\nits weights\nmove:\n(4, T) to\n"
                    "(4, 384)", "blue", 13, 0.16)  # fmt: skip
    for i, (text, color) in enumerate(FOUR.items()):
        y = 48 + 48 * i
        box = d.box(20, y, 168, 42, text, color, 13, 0.14)
        d.arrow(box.right, (encoder.x, box.right[1]), color="grey")
        d.arrow((344, y + 21), (398, y + 21), color="grey")
        d.bar(404, y + 8, 6, 26, color)
        for j, other in enumerate(FOUR.values()):
            x = 430 + 66 * j
            same = other == color
            if j > i:
                d.box(x, y, 60, 42, "1" if same else "0", "blue" if same else "black",
                      14, 0.16 if same else 0.04, bold=same)  # fmt: skip
            else:
                d.box(x, y, 60, 42, "", "grey", tint=0, dashed=True)
    d.text(558, 256, "6 pairs; the rest repeats them,\nor pairs a text with itself", 12)
    loss = d.box(430, 296, 258, 44, "mean of (cosine - target)² over 6 pairs", "black",
                 12)  # fmt: skip
    d.arrow((558, 280), (558, 296))
    d.arrow(loss.left, (290, 318), (290, 234), color="blue")
    d.text(300, 304, "gradient", 12, "blue", "start")
    d.text(20, 290, "4. Afterwards: a probe on\nthe vectors that have moved", 13,
           "black", "start", True)  # fmt: skip
    return d


def draw_14_self_training() -> Diagram:
    """A teacher marks unlabelled texts, the confident ones of both ends are kept."""
    d = Diagram(
        "A teacher marks unlabelled texts, and a student learns from both.",
        "A teacher learns from n labelled reviews and gives each of the unlabelled "
        "reviews a probability of being positive. The reviews are sorted by it. The k "
        "lowest become pseudo-negative, the k highest pseudo-positive, the many in the "
        "middle are left out. A student learns from the n labelled and the 2 k marked "
        "reviews. The test set judges teacher and student.",
        372,
    )
    few = d.box(20, 48, 150, 50, "n labelled\nreviews", "green", 13, 0.16)
    teacher = d.box(236, 48, 130, 50, "teacher", "blue", 14, 0.16, bold=True)
    many = d.box(432, 48, 268, 50, "thousands of reviews\nwithout labels", "grey", 13)
    d.text(20, 26, "1. Learn", 14, "black", "start", True)
    d.text(432, 26, "2. Mark", 14, "black", "start", True)
    d.arrow(few.right, teacher.left)
    d.arrow(teacher.right, many.left)
    d.text(20, 146, "3. Sort by the teacher's probability, and keep both ends", 14,
           "black", "start", True)  # fmt: skip
    d.arrow((500, 98), (500, 166))
    low = d.box(20, 166, 150, 50, "the k lowest:\npseudo-label 0", "orange", 13, 0.16)
    d.box(176, 166, 368, 50, "the unsure ones: left out", "grey", 13, 0, dashed=True)
    high = d.box(550, 166, 150, 50, "the k highest:\npseudo-label 1", "orange", 13,
                 0.16)  # fmt: skip
    d.text(20, 262, "4. Learn again", 14, "black", "start", True)
    again = d.box(20, 284, 150, 50, "the n labelled\nreviews", "green", 13, 0.16)
    student = d.box(290, 284, 140, 50, "student", "blue", 14, 0.16, bold=True)
    test = d.box(550, 284, 150, 50, "test set:\nteacher, student", "black", 13)
    d.arrow(low.bottom, (95, 236), (340, 236), (340, 284), color="orange")
    d.arrow(high.bottom, (625, 236), (380, 236), (380, 284), color="orange")
    d.arrow(again.right, student.left)
    d.arrow(student.right, test.left)
    d.text(360, 354, "n + 2k reviews, as many pseudo-labels of each class", 12)
    return d


def draw_15_tagging() -> Diagram:
    """A sentence as words, tokens, labels; an encoder and a head; tags, names."""
    d = Diagram(
        "From a sentence to a tag for each token, and back to names.",
        "Ang Lee left Taipei has four words with the tags B-PER, I-PER, O and B-LOC. "
        "The tokenizer makes seven tokens of them: [CLS], Ang, Lee, left, Tai, ##pei, "
        "[SEP]. Labels stand at the first token of each word: 1, 2, 0, 3. [CLS], "
        "##pei and [SEP] have the label -100, which no loss counts. The encoder gives "
        "vectors of shape 7, 256, the head logits of shape 7, 5, one for each tag. "
        "The tags B-PER, I-PER are read as one name, Ang Lee, and B-LOC as Taipei.",
        400,
    )
    left, wide, step = 132, 74, 81
    tokens = ["[CLS]", "Ang", "Lee", "left", "Tai", "##pei", "[SEP]"]
    tags = ["B-PER", "I-PER", "O", "B-LOC"]
    d.text(20, 41, "words and tags", 13, "black", "start")
    for word, tag, first, n in zip(
        ["Ang", "Lee", "left", "Taipei"], tags, [1, 2, 3, 4], [1, 1, 1, 2]
    ):
        d.box(left + first * step, 20, wide + (n - 1) * step, 34, f"{word}  {tag}",
              "green" if tag != "O" else "grey", 12, 0.16)  # fmt: skip
    d.text(20, 91, "tokens: (7,)", 13, "black", "start")
    d.text(20, 131, "labels: (7,)", 13, "black", "start")
    labels = ["-100", "1", "2", "0", "3", "-100", "-100"]
    for i, (token, label) in enumerate(zip(tokens, labels)):
        x = left + i * step
        d.box(x, 72, wide, 30, token, "orange", 12, 0.12)
        ignored = label == "-100"
        d.box(x, 112, wide, 30, label, "grey" if ignored else "green", 12,
              0 if ignored else 0.16, dashed=ignored)  # fmt: skip
    right = left + 6 * step + wide
    d.text(20, 190, "vectors:\n(7, 256)", 13, "black", "start")
    said = "pretrained encoder: each token sees the others"
    d.box(left, 172, right - left, 40, said, "blue", 14, 0.16)
    d.text(20, 248, "logits: (7, 5)", 13, "black", "start")
    d.box(left, 228, right - left, 34, "head: the only new weights, one score for "
          "each of 5 tags", "green", 13, 0.06)  # fmt: skip
    d.text(20, 296, "predicted tags", 13, "black", "start")
    for i, tag in enumerate(["B-PER", "I-PER", "O", "B-LOC"], 1):
        d.arrow((left + i * step + wide / 2, 262), (left + i * step + wide / 2, 280))
        d.box(left + i * step, 280, wide, 30, tag, "grey" if tag == "O" else "green",
              12, 0.16)  # fmt: skip
    d.text(20, 358, "names", 13, "black", "start")
    d.box(left + step, 340, step + wide, 34, "Ang Lee: a person", "purple", 13, 0.12)
    d.box(left + 4 * step, 340, step + wide, 34, "Taipei: a place", "purple", 13,
          0.12)  # fmt: skip
    d.arrow((left + 1.5 * step + wide / 2, 312), (left + 1.5 * step + wide / 2, 340))
    d.arrow((left + 4 * step + wide / 2, 312), (left + 4 * step + wide / 2, 340))
    return d


def draw_15_answer() -> Diagram:
    """Windows over a long review, two scores a token, the best span."""
    d = Diagram(
        "A long review is read in windows, and each token gets two scores.",
        "A review of 280 tokens is cut into windows of 128 tokens that share 32 with "
        "their neighbours. Each window stands behind the question: [CLS], question, "
        "[SEP], part of the review, [SEP]. The encoder and one layer give a start and "
        "an end score for every token, shape W, 128 each. The best pair of a start "
        "and an end over all windows is the answer, Ridley Scott. Position 0, [CLS], "
        "stands for no answer.",
        352,
    )
    d.text(20, 36, "review: 280 tokens", 13, "black", "start")
    long = "... one long text, the answer somewhere in it ..."
    d.box(190, 18, 510, 30, long, "orange",
          13, 0.12)  # fmt: skip
    for i, x in enumerate((190, 345, 500)):
        d.box(x, 66 + 30 * i, 200, 24, f"window {i + 1}: 128 tokens", "blue", 12, 0.12)
    d.text(20, 106, "W windows, and each\nshares 32 tokens with\nits neighbour", 12,
           "black", "start")  # fmt: skip
    d.text(20, 190, "one window", 13, "black", "start")
    x = 132
    for word, wide, color in (
        ("[CLS]", 60, "grey"), ("Who directed it ?", 136, "green"),
        ("[SEP]", 60, "grey"), ("... director", 90, "orange"),
        ("Ridley", 66, "purple"), ("Scott", 62, "purple"), ("...", 30, "orange"),
        ("[SEP]", 46, "grey"),
    ):  # fmt: skip
        d.box(x, 172, wide, 32, word, color, 12, 0.14)
        x += wide + 2
    d.text(20, 240, "start: (W, 128)", 13, "black", "start")
    d.text(20, 276, "end: (W, 128)", 13, "black", "start")
    d.text(162, 240, "-3.1", 12)
    d.text(162, 276, "-2.8", 12)
    d.text(517, 240, "6.4", 13, "purple", bold=True)
    d.text(517, 276, "0.3", 12)
    d.text(583, 240, "1.2", 12)
    d.text(583, 276, "6.0", 13, "purple", bold=True)
    d.text(132, 316, "no answer: -3.1 - 2.8 = -5.9", 13, "grey", "start")
    d.text(480, 316, "Ridley Scott: 6.4 + 6.0 = 12.4", 13, "purple", "start", True)
    return d


def draw_21_pipeline() -> Diagram:
    """Samples, features, text, a call, with their shapes."""
    d = Diagram(
        "From a microphone to a lamp: samples, features, vectors, text, a call.",
        "A microphone gives 28,800 samples in 1.8 seconds at 16,000 a second. log_mel "
        "makes 80 by 3,000 features of 30 seconds. Whisper's encoder makes 1,500 "
        "vectors of width 512. Its decoder writes turn on the kitchen light. The "
        "assistant of chapter 18 writes the call HassTurnOn, area kitchen, and the "
        "lamp goes on.",
        236,
    )
    top = [
        ("microphone", "28,800 samples\n16,000 a second", "grey"),
        ("log_mel", "padded to 30 s:\n(80, 3000)", "orange"),
        ("Whisper encoder", "(1500, 512)\n50 vectors a second", "blue"),
    ]
    boxes = []
    for i, (name, shape, color) in enumerate(top):
        x = 20 + 240 * i
        boxes.append(d.box(x, 24, 190, 36, name, color, 14, 0.14, bold=True))
        d.text(x + 95, 84, shape, 12)
    for a, b in zip(boxes, boxes[1:]):
        d.arrow(a.right, b.left)
    text = d.box(500, 138, 190, 36, "Whisper decoder", "blue", 14, 0.14, bold=True)
    d.text(595, 198, "Turn on the\nkitchen light.", 12)
    chat = d.box(260, 138, 190, 36, "assistant", "purple", 14, 0.14, bold=True)
    d.text(355, 198, "HassTurnOn,\narea: kitchen", 12)
    lamp = d.box(20, 138, 190, 36, "the lamp goes on", "green", 14, 0.14, bold=True)
    d.arrow((595, 104), text.top)
    d.arrow(text.left, chat.right)
    d.arrow(chat.left, lamp.right)
    return d


def draw_21_log_mel() -> Diagram:
    """Frames, window, FFT, mel, log, with shapes for one second."""
    d = Diagram(
        "The five steps of log-mel features, with the shapes of one second.",
        "16,000 samples are cut into 100 frames of 400 samples, each 160 samples after "
        "the one before, so that they overlap. A window fades each frame in and out. "
        "The FFT gives the power at 201 frequencies. 80 mel filters add them up. A "
        "logarithm ends it: 80 by 100.",
        248,
    )
    d.text(20, 20, "16,000 samples, one second", 13, "black", "start")
    d.bar(20, 34, 680, 10, "grey")
    for i in range(4):
        d.box(20 + 46 * i, 54 + 20 * i, 114, 16, "", "orange", tint=0.3)
    d.text(300, 62, "frames of 400 samples (25 ms), one every 160 (10 ms)", 12,
           "black", "start")  # fmt: skip
    steps = [
        ("frames", "(100, 400)", "orange"),
        ("x window", "(100, 400)", "orange"),
        ("|FFT| squared", "(201, 100)", "blue"),
        ("mel filters", "(80, 100)", "purple"),
        ("log10", "(80, 100)", "green"),
    ]
    last = None
    for i, (name, shape, color) in enumerate(steps):
        x = 20 + 140 * i
        box = d.box(x, 154, 116, 38, name, color, 13, 0.14, bold=True)
        d.text(x + 58, 214, shape, 13)
        if last:
            d.arrow(last.right, box.left)
        last = box
    return d


def draw_21_frozen() -> Diagram:
    """Two ways from the same synthetic words to a digit."""
    d = Diagram(
        "Two recognisers learn from the same synthetic words.",
        "Log-mel features of a word, 80 by 100, go two ways. Above, a small network of "
        "68 thousand parameters, all trained. Below, Whisper's encoder, 20 million "
        "parameters that have heard people and stay frozen; its 50 vectors of width "
        "512 are averaged, and only a logistic regression of 5 thousand parameters is "
        "trained. Both give ten classes.",
        240,
    )
    d.box(20, 94, 120, 50, "log-mel\n(80, 100)", "grey", 13, 0.12)
    net = d.box(240, 26, 240, 56, "SpeechCNN, all trained\n68 thousand parameters",
                "orange", 13, 0.14)  # fmt: skip
    enc = d.box(200, 150, 200, 56, "Whisper encoder, frozen\n20 million parameters",
                "blue", 13, 0.14)  # fmt: skip
    head = d.box(470, 150, 110, 56, "head, trained\n5 thousand", "orange", 13, 0.14)
    first = d.box(620, 34, 80, 40, "10 classes", "green", 12, 0.12)
    second = d.box(620, 158, 80, 40, "10 classes", "green", 12, 0.12)
    d.arrow((80, 94), (80, 54), net.left)
    d.arrow((80, 144), (80, 178), enc.left)
    d.arrow(net.right, first.left)
    d.arrow(enc.right, head.left)
    d.arrow(head.right, second.left)
    d.text(435, 132, "mean of (50, 512)", 12)
    d.text(320, 224, "has heard people", 12, "blue")
    d.text(525, 224, "synthetic words only", 12, "orange")
    return d


def draw_21_ctc() -> Diagram:
    """Three paths through seven frames that read as 73."""
    d = Diagram(
        "Paths of CTC: many ways through the frames read as the same labels.",
        "Seven frames. The first path is 7, 7, blank, blank, 3, 3, 3. The second is "
        "blank, 7, blank, 3, blank, blank, blank. The third is 7, 3, 3, blank, blank, "
        "blank, blank. Repetitions are joined and blanks are dropped, and each reads "
        "73. The probability of 73 is the sum over all such paths. A fourth path, 7, "
        "blank, 7, 3, 3, 3, 3, reads 773.",
        232,
    )
    paths = [
        ("77--333", "73"),
        ("-7-3---", "73"),
        ("733----", "73"),
        ("7-73333", "773"),
    ]
    for i in range(7):
        d.text(155 + 52 * i, 22, f"frame {i + 1}", 12, "grey")
    for row, (path, read) in enumerate(paths):
        y = 40 + 46 * row
        d.text(20, y + 16, f"path {row + 1}", 13, "black", "start")
        for i, sign in enumerate(path):
            color = {"7": "blue", "3": "orange", "-": "grey"}[sign]
            d.box(
                132 + 52 * i, y, 46, 32, sign, color, 14, 0.05 if sign == "-" else 0.2
            )
        d.arrow((494, y + 16), (560, y + 16))
        color = "green" if read == "73" else "purple"
        d.box(566, y, 80, 32, read, color, 14, 0.14, bold=True)
    return d


def draw_22_private_step() -> Diagram:
    """A gradient for each row, clipped, summed, noise, one update."""
    d = Diagram(
        "One step of DP-SGD: a gradient for each row, clipped, summed, with noise.",
        "Four rows of a batch give four gradients, one a row, shape 4, P. The third is "
        "much longer than the clipping norm C and is cut to it; the others stay. The "
        "sum has shape P, and no row can move it by more than C. Gaussian noise of "
        "standard deviation noise times C is added. The result is divided by the "
        "expected batch size and moves the weights. An accountant counts the steps "
        "and gives epsilon.",
        384,
    )
    d.text(20, 24, "batch: (4, D)", 13, "black", "start")
    d.text(220, 24, "gradients: (4, P)", 13, "black", "start")
    d.text(440, 24, "clipped to C: (4, P)", 13, "black", "start")
    lengths, limit = (60, 90, 190, 40), 100
    for i, length in enumerate(lengths):
        y = 44 + 44 * i
        row = d.box(20, y, 120, 32, f"row {i + 1}", "grey", 13, 0.12)
        d.arrow(row.right, (216, y + 16))
        long = length > limit
        color = "orange" if long else "blue"
        d.bar(220, y + 6, length, 20, color)
        d.bar(440, y + 6, min(length, limit), 20, color)
    d.arrow((540, 40), (540, 212), dashed=True, head=False)
    d.text(546, 204, "C", 13, "black", "start", bold=True)
    d.text(560, 142, "row 3 is cut,\nthe others stay", 12, "black", "start")
    total = d.box(220, 248, 200, 40, "sum: (P,)", "blue", 14, 0.16)
    d.arrow((480, 222), (480, 268), total.right)
    noise = d.box(20, 248, 150, 40, "noise x C: (P,)", "green", 13, 0.12)
    d.arrow(noise.right, total.left)
    d.text(500, 268, "one row moves it by C at most", 12, "black", "start")
    step = d.box(220, 322, 200, 40, "/ expected batch size", "purple", 13, 0.12)
    d.arrow(total.bottom, step.top)
    d.arrow(step.right, (470, 342))
    d.text(480, 342, "new weights", 13, "black", "start")
    count = d.box(20, 322, 150, 40, "accountant: epsilon", "grey", 13, 0.08)
    d.arrow(noise.bottom, count.top, dashed=True)
    return d


def draw_22_six_questions() -> Diagram:
    """A classifier in the middle, six questions around it, and what answers each."""
    rows = [
        ("slices", "Where is it wrong?", "accuracy by slice, interval,\ncorrection"),
        ("calibration", "Does it know when?", "confidence against\naccuracy"),
        ("fairness", "Is it wrong for some more?", "rates by group,\nnames exchanged"),
        ("privacy", "What does it give away?", "was this row in\nthe training set?"),
        ("explanation", "Why this answer?", "delete what is said\nto matter"),
        ("robustness", "Will a slip turn it?", "spelling, negation"),
    ]
    d = Diagram(
        "Six questions to a model that works, and the measurement that answers each.",
        "In the middle: a sentence goes into a classifier, which gives good or bad "
        "with a confidence. Around it: "
        + "; ".join(f"{a}: {b} {c}".replace("\n", " ") for a, b, c in rows)
        + ".",
        364,
    )
    text = d.box(20, 20, 260, 40, "a fine film by Anna Kovacs", "orange", 13, 0.12)
    model = d.box(330, 14, 150, 52, "classifier", "blue", 14, 0.16, bold=True)
    answer = d.box(530, 20, 170, 40, "good, 0.91", "green", 14, 0.12)
    d.arrow(text.right, model.left)
    d.arrow(model.right, answer.left)
    colors = ("blue", "green", "orange", "orange", "purple", "grey")
    for i, (name, question, measure) in enumerate(rows):
        x, y = 20 + 232 * (i % 3), 92 + 130 * (i // 3)
        d.group(x, y, 216, 116, colors[i], 0.05)
        d.text(x + 12, y + 20, name, 13, "black", "start", bold=True)
        d.text(x + 12, y + 44, question, 12, "black", "start")
        d.text(x + 12, y + 84, measure, 12, colors[i], "start")
    return d


def draw_22_deletion() -> Diagram:
    """Two explanations of one sentence, and deletion as the judge."""
    d = Diagram(
        "Two explanations of one answer are judged by deleting what they name.",
        "The sentence: a slow but very moving film, log-odds 2.1. Explanation one "
        "names moving and very; without them the log-odds are -0.6, a fall of 2.7. "
        "Explanation two names film and a; without them the log-odds are 1.9, a fall "
        "of 0.2. Two random words fall by 0.7 on average. The first is more faithful "
        "than chance, the second less.",
        300,
    )
    words = ["a", "slow", "but", "very", "moving", "film"]
    for y, name, marked, after, color in (
        (24, "the sentence", (), "log-odds 2.1", "black"),
        (92, "explanation 1", (3, 4), "-0.6: falls by 2.7", "green"),
        (160, "explanation 2", (0, 5), "1.9: falls by 0.2", "orange"),
        (228, "two random words,\nmean of many", (1, 2), "1.4: falls by 0.7", "grey"),
    ):
        d.text(20, y + 16, name, 13, "black", "start")
        x = 170
        for i, word in enumerate(words):
            wide = text_width(word, 13) + 18
            hit = i in marked
            d.box(x, y, wide, 32, word, color if hit else "black", 13,
                  0.2 if hit else 0.03, dashed=hit)  # fmt: skip
            x += wide + 6
        d.text(540, y + 16, after, 13, color, "start", bold=True)
    return d


# --- chapter 16: translation


def draw_24_batcher() -> Diagram:
    d = Diagram(
        "The way of a request: limits, the queue, the batch, the model, and back.",
        "Four clients send texts. At the door a body of 70 kilobytes is turned away "
        "with 413, and a request that finds the queue full with 429 and Retry-After. "
        "Three requests of 1, 2 and 1 texts stand in the queue in the order of their "
        "arrival. When the model is free it takes all of them as one batch of 4 texts, "
        "shape 4, T, and gives logits of shape 4, 2. The rows are cut 1, 2, 1 and each "
        "client gets its own, with the version. A client that has gone gets no place "
        "in the batch.",
        330,
    )
    clients = [
        d.box(30, 40 + 62 * i, 96, 40, text, color)
        for i, (text, color) in enumerate(
            [
                ("A  1 text", "blue"),
                ("B  2 texts", "purple"),
                ("C  1 text", "green"),
                ("D  70 kB", "orange"),
            ]
        )
    ]
    d.box(170, 40, 84, 226, "", "grey", tint=0.06)
    d.text(212, 64, "limits", 13, bold=True)
    d.text(212, 130, "bytes\ntexts\ntokens\ndepth\nseconds", 12)
    for client in clients:
        d.arrow(client.right, (170, client.right[1]))
    d.text(212, 290, "413, 422, 408", 12, "orange")
    d.arrow((212, 266), (212, 281), color="orange")
    queue = d.box(300, 40, 104, 226, "", "grey", tint=0.06)
    d.text(352, 64, "queue", 13, bold=True)
    d.arrow((254, 150), queue.left)
    for y, text, color in (
        (84, "A", "blue"),
        (122, "B  B", "purple"),
        (160, "C", "green"),
    ):
        d.box(318, y, 68, 30, text, color)
    d.box(318, 198, 68, 30, "gone", "grey", dashed=True)
    d.text(352, 290, "full: 429", 12, "orange")
    d.arrow((352, 266), (352, 281), color="orange")
    d.text(352, 310, "Retry-After: 2", 12, "orange")
    batch = d.box(450, 84, 60, 130, "", "purple")
    d.text(480, 70, "(4, T)", 12)
    for y, text in zip((100, 130, 160, 190), "ABBC"):
        d.text(480, y + 4, text, 13)
    d.arrow((404, 150), batch.left)
    model = d.box(545, 120, 66, 60, "model", "purple", bold=True)
    d.arrow((510, 150), model.left)
    out = d.box(646, 84, 48, 130, "", "purple")
    d.text(670, 70, "(4, 2)", 12)
    for y, text in zip((100, 130, 160, 190), "ABBC"):
        d.text(670, y + 4, text, 13)
    d.arrow(model.right, out.left)
    d.arrow((670, 214), (670, 250), (440, 250), color="purple")
    d.text(556, 236, "to each its own rows", 12)
    d.text(556, 268, "and the version", 12)
    return d


def draw_24_canary() -> Diagram:
    d = Diagram(
        "A canary: a new version answers a part, a test watches, one call goes back.",
        "Requests with their ids come from the left. A hash of the id sends 80 percent "
        "to version 1 and 20 percent to version 2. Users judge some answers. The "
        "sequential test pairs judged answers of both versions. Its evidence either "
        "crosses the line of 100: then the canary is taken away and everything goes to "
        "version 1 again. Or it stays below for the number of pairs that was set "
        "before: then version 2 becomes the current one by moving the pointer.",
        320,
    )
    asked = d.box(30, 120, 104, 56, "request\nid 7f3a", "black")
    split = d.box(176, 120, 100, 56, "hash(id)\n< 0.2 ?", "grey")
    d.arrow(asked.right, split.left)
    old = d.box(330, 54, 120, 50, "version 1", "blue", bold=True)
    new = d.box(330, 192, 120, 50, "version 2", "purple", bold=True)
    d.arrow((226, 120), (226, 79), old.left)
    d.text(262, 62, "80 %", 12)
    d.arrow((226, 176), (226, 217), new.left)
    d.text(262, 234, "20 %", 12)
    test = d.box(520, 116, 170, 64, "pairs of judged answers\nevidence", "purple")
    d.arrow(old.right, (605, 79), test.top)
    d.arrow(new.right, (605, 217), test.bottom)
    d.text(530, 64, "right or wrong", 12)
    d.text(530, 234, "right or wrong", 12)
    d.arrow((690, 130), (706, 130), (706, 24), (390, 24), old.top, color="orange")
    d.text(560, 38, "above 100: roll back to version 1", 12, "orange")
    d.arrow((690, 166), (706, 166), (706, 284), (390, 284), new.bottom, color="green")
    d.text(556, 300, "enough pairs below: a person makes it current", 12, "green")
    return d


def draw_16_encoder_decoder() -> Diagram:
    """Source tokens, encoder, memory; decoder inputs, decoder, logits, labels."""
    d = Diagram(
        "The encoder reads the English, the decoder writes the Chinese and looks back.",
        "Left: five source tokens, [CLS] turn on light [SEP], go through the encoder, "
        "where each token sees every other, and become the memory, 5 vectors, shape "
        "(5, 192). Right: the decoder reads three tokens, [CLS], 打开, 灯. It sees "
        "them only backwards, and through cross-attention it asks the memory: "
        "queries come from the decoder, keys and values from the memory. It gives "
        "logits of shape (3, V), which should predict 打开, 灯, [SEP].",
        424,
    )
    d.group(16, 44, 324, 364)
    d.group(372, 44, 332, 364)
    d.text(178, 26, "encoder: reads", 15, "blue", bold=True)
    d.text(538, 26, "decoder: writes", 15, "green", bold=True)
    wide = 58
    for i, word in enumerate(["[CLS]", "turn", "on", "light", "[SEP]"]):
        x = 26 + i * (wide + 3)
        d.box(x, 362, wide, 32, word, "orange", 13, 0.14)
        d.arrow((x + wide / 2, 362), (x + wide / 2, 330))
        d.box(x, 106, wide, 32, "", "blue", tint=0.3)
        d.arrow((x + wide / 2, 196), (x + wide / 2, 138))
    d.box(
        26,
        196,
        302,
        134,
        "self-attention both ways,\nfeed-forward, 3 times",
        "blue",
        13,
    )
    d.text(178, 80, "memory: (5, 192)", 13, "blue")
    wide = 92
    inputs, labels = ["[CLS]", "打开", "灯"], ["打开", "灯", "[SEP]"]
    for i, (word, label) in enumerate(zip(inputs, labels)):
        x = 392 + i * (wide + 8)
        d.box(x, 362, wide, 32, word, "green", 14, 0.14)
        d.arrow((x + wide / 2, 362), (x + wide / 2, 330))
        d.box(x, 62, wide, 32, label, "purple", 14, 0.14)
        d.arrow((x + wide / 2, 130), (x + wide / 2, 94))
    d.box(392, 290, 292, 40, "self-attention, backwards only", "green", 13)
    looks = "cross-attention: queries from here,\nkeys and values from the memory"
    d.box(392, 210, 292, 48, looks, "blue", 13, 0.16)
    d.box(392, 130, 292, 48, "feed-forward, then logits: (3, V)", "green", 13)
    d.arrow((538, 290), (538, 258))
    d.arrow((538, 210), (538, 178))
    d.arrow((328, 122), (356, 122), (356, 234), (392, 234), color="blue")
    return d


def draw_16_teacher_forcing() -> Diagram:
    """Training reads the true text shifted by one, generation its own tokens."""
    d = Diagram(
        "While it is taught, the decoder reads the true text. Alone, it reads its own.",
        "Above, training: the labels are 打开, 灯, [SEP], -100. The decoder reads "
        "them shifted by one to the right: [CLS], 打开, 灯, [SEP]. All positions are "
        "computed at once, and at -100 no loss is counted. Below, generation: the "
        "first token read is [CLS]. What comes out, 打开, is the next input, one step "
        "after another, until [SEP] comes out.",
        372,
    )
    left, wide, step = 214, 104, 124
    rows = ["打开", "灯", "[SEP]", "-100"], ["[CLS]", "打开", "灯", "[SEP]"]
    d.text(20, 28, "training: all positions at once", 14, "black", "start", True)
    d.text(20, 68, "labels: (B, T)", 13, "black", "start")
    d.text(20, 148, "the decoder reads:\n(B, T)", 13, "black", "start")
    for i, (label, word) in enumerate(zip(*rows)):
        x, ignored = left + i * step, label == "-100"
        d.box(x, 50, wide, 34, label, "grey" if ignored else "purple", 14,
              0 if ignored else 0.14, dashed=ignored)  # fmt: skip
        d.box(x, 130, wide, 34, word, "green", 14, 0.14)
        if i < 3:
            d.arrow((x + wide / 2, 84), (x + step + wide / 2, 130), color="grey")
    d.text(20, 216, "generation: one step after another", 14, "black", "start", True)
    d.text(20, 256, "comes out", 13, "black", "start")
    d.text(20, 336, "is read", 13, "black", "start")
    for i, (label, word) in enumerate(list(zip(*rows))[:3]):
        x = left + i * step
        d.box(x, 238, wide, 34, label, "orange", 14, 0.14)
        d.box(x, 318, wide, 34, word, "grey" if i == 0 else "orange", 14, 0.14)
        d.arrow((x + wide / 2 - 20, 318), (x + wide / 2 - 20, 272), color="green")
        if i < 2:
            d.arrow(
                (x + wide / 2 + 8, 272), (x + step + wide / 2 - 28, 318), color="grey"
            )
    return d


def draw_16_beam() -> Diagram:
    """Greedy takes the likeliest first token; a beam of two finds a likelier text."""
    d = Diagram(
        "Two beginnings are kept, and the less likely one leads to the better text.",
        "From the start, token a has probability 0.55 and b 0.45. Behind a the end has "
        "0.40, a 0.30, b 0.30. Behind b the end has 0.95. Greedy takes a and then the "
        "end: 0.55 times 0.40 is 0.22. A beam of width 2 keeps a and b: 0.45 times "
        "0.95 is 0.43, the likelier text.",
        260,
    )
    start = d.box(20, 106, 86, 40, "start", "grey", 14)
    a = d.box(206, 44, 110, 40, "a: 0.55", "orange", 14, 0.16)
    b = d.box(206, 168, 110, 40, "b: 0.45", "blue", 14, 0.16)
    d.arrow(start.right, a.left, color="orange")
    d.arrow(start.right, b.left, color="blue")
    ends = [
        (16, "end: 0.55 x 0.40 = 0.22", "orange", a, True),
        (62, "a, b: 0.55 x 0.30 = 0.17 each", "grey", a, False),
        (152, "end: 0.45 x 0.95 = 0.43", "blue", b, True),
        (198, "a, b: 0.45 x 0.05 = 0.02 together", "grey", b, False),
    ]
    for y, words, color, parent, bold in ends:
        box = d.box(404, y, 290, 34, words, color, 13, 0.16 if bold else 0, bold=bold)
        d.arrow(parent.right, box.left, color=color)
    d.text(20, 28, "greedy keeps one beginning", 13, "orange", "start", True)
    d.text(20, 232, "a beam of 2 keeps both", 13, "blue", "start", True)
    return d


def draw_18_chat() -> Diagram:
    """A chat as text, as tokens, as labels: only the answer counts."""
    d = Diagram(
        "A chat becomes text, tokens and labels, and only the answer counts.",
        "The user says hall lights on, the assistant answers with a call. The "
        "template writes both into one text, with roles, [CLS] in front and [SEP] "
        "behind the answer. Its tokens are predicted one by one. The labels of the "
        "prompt are -100, which no loss counts. The labels of the call and of [SEP] "
        "are the tokens themselves.",
        330,
    )
    d.text(20, 41, "chat", 13, "black", "start")
    d.box(132, 20, 220, 34, "user: hall lights on", "orange", 13, 0.12)
    d.box(372, 20, 328, 34, "assistant: {intent: TurnOn, area: hall}", "green", 13,
          0.16)  # fmt: skip
    d.text(20, 105, "one text", 13, "black", "start")
    said = "[CLS]user  hall lights on  assistant  {intent: TurnOn, area: hall}[SEP]"
    d.box(132, 84, 568, 34, said, "blue", 13, 0.12)
    d.arrow((242, 56), (242, 82))
    d.arrow((536, 56), (536, 82))
    tokens = "[CLS]|user|hall|lights|on|assistant|{intent: TurnOn|, area:|hall|}|[SEP]"
    widths = [46, 42, 42, 46, 42, 70, 110, 54, 42, 28, 46]
    d.text(20, 165, "tokens", 13, "black", "start")
    d.text(20, 213, "labels", 13, "black", "start")
    x = 92
    for i, (token, width) in enumerate(zip(tokens.split("|"), widths)):
        own = i > 5
        d.box(x, 146, width, 30, token, "green" if own else "orange", 12, 0.16)
        d.box(x, 194, width, 30, token if own else "-100", "green" if own else "grey",
              12, 0.16 if own else 0, dashed=not own)  # fmt: skip
        x += width + 4
    d.text(245, 250, "read, never counted", 13, "grey", "middle")
    d.text(560, 250, "predicted: the loss", 13, "green", "middle")
    d.box(132, 276, 568, 34, "language model: each token sees those before it, in its "
          "own chat", "blue", 13, 0.16)  # fmt: skip
    return d


def draw_18_grammar() -> Diagram:
    """What was written, what may follow, and what the model likes."""
    d = Diagram(
        "Constrained decoding asks a grammar which tokens may follow.",
        "The assistant has written intent TurnOn, area. The sentence was turn on the "
        "kitchen light. The grammar allows only runs of words of the sentence: turn, "
        "kitchen, light and others. The model gives garden the highest score, and "
        "garden is not allowed, so its score becomes minus infinity. kitchen is the "
        "best of what is left, and it is written.",
        300,
    )
    d.box(20, 20, 330, 34, "sentence: turn on the kitchen light", "orange", 13, 0.12)
    d.box(370, 20, 330, 34, "written so far: {intent: TurnOn, area:", "green", 13, 0.16)
    d.box(20, 90, 330, 40, "grammar: a name is copied from the sentence", "purple", 13,
          0.12)  # fmt: skip
    d.box(370, 90, 330, 40, "model: a score for each token", "blue", 13, 0.12)
    d.arrow((185, 56), (185, 88))
    d.arrow((535, 56), (535, 88))
    d.arrow((370, 44), (300, 88))
    rows = [("garden", "6.1", False), ("kitchen", "5.8", True), ("turn", "0.3", True)]
    for i, (token, score, allowed) in enumerate(rows):
        y = 152 + 44 * i
        d.box(60, y, 250, 34, f"{token}: {'may follow' if allowed else 'may not'}",
              "purple" if allowed else "grey", 13, 0.12 if allowed else 0,
              dashed=not allowed)  # fmt: skip
        d.box(390, y, 130, 34, score, "blue", 13, 0.12)
        best = token == "kitchen"
        d.box(560, y, 140, 34, score if allowed else "minus infinity",
              "green" if best else "grey", 13, 0.16 if best else 0)  # fmt: skip
        d.arrow((522, y + 17), (558, y + 17))
    return d


def draw_20_loop() -> Diagram:
    """Writer, texts, judge, update; the reference and the judge that never trains."""
    d = Diagram(
        "A writer is steered by a judge and held by a leash to what it was before.",
        "The writer continues a prompt several times. A judge gives each text a "
        "reward. The update makes texts with a high reward likelier. A frozen copy of "
        "the writer, the reference, measures the KL divergence, which is the leash. A "
        "second judge reads the texts and is used for nothing but measuring.",
        320,
    )
    d.box(20, 30, 120, 44, "prompt (P, 8)", "grey", 13)
    d.box(190, 22, 130, 60, "writer\nit learns", "blue", 13, 0.16)
    d.box(370, 22, 150, 60, "P x G texts\n24 new tokens each", "orange", 13, 0.12)
    d.box(570, 22, 130, 60, "judge\nrewards (P, G)", "purple", 13, 0.12)
    d.arrow((142, 52), (188, 52))
    d.arrow((322, 52), (368, 52))
    d.arrow((522, 52), (568, 52))
    d.box(370, 130, 330, 44, "better or worse than its group: advantages (P, G)",
          "green", 12, 0.12)  # fmt: skip
    d.arrow((635, 84), (635, 128))
    d.box(190, 130, 130, 44, "update", "blue", 13, 0.16)
    d.arrow((368, 152), (322, 152))
    d.arrow((255, 128), (255, 84))
    d.box(60, 226, 260, 60, "reference: the writer as it was\nKL divergence, the leash",
          "black", 13, 0.06)  # fmt: skip
    d.arrow((255, 224), (255, 176))
    d.box(370, 226, 330, 60, "second judge and fluency\nmeasured, never trained on",
          "grey", 13, 0, dashed=True)  # fmt: skip
    d.arrow((440, 84), (440, 108), (346, 108), (346, 256), (368, 256), dashed=True)
    return d


def draw_20_dpo() -> Diagram:
    """Two texts, two log-ratios, one difference."""
    d = Diagram(
        "DPO compares how much likelier two texts of one prompt became.",
        "The chosen and the rejected text each get a log-probability from the writer "
        "and one from the reference, summed over the completion alone. Their "
        "difference, times beta, is the implicit reward of each text. The loss is "
        "minus the log of the sigmoid of the difference of the two rewards, which is "
        "ln 2 before the first step, when both rewards are 0.",
        300,
    )
    for y, name, color in ((24, "chosen", "green"), (164, "rejected", "orange")):
        d.box(20, y + 24, 150, 52, f"prompt +\n{name} text", color, 13, 0.12)
        d.box(220, y, 170, 40, "writer: log p", "blue", 13, 0.16)
        d.box(220, y + 60, 170, 40, "reference: log p", "grey", 13)
        d.arrow((172, y + 42), (218, y + 20))
        d.arrow((172, y + 58), (218, y + 80))
        d.box(440, y + 24, 110, 52, "beta x\ndifference", color, 13, 0.12)
        d.arrow((392, y + 20), (438, y + 42))
        d.arrow((392, y + 80), (438, y + 58))
    d.box(590, 118, 116, 52, "-log sigmoid\n(top - bottom)", "purple", 13, 0.12)
    d.arrow((552, 74), (604, 74), (604, 116))
    d.arrow((552, 214), (604, 214), (604, 172))
    return d


# --- writing


def draw_23_ways() -> Diagram:
    """Five ways to a smaller model, and which cost each of them touches."""
    rows = [
        ("distil", "train a small student\nwith the large teacher", "yes", "yes"),
        ("cut heads", "smaller matrices", "a little", "a little"),
        ("zeros", "same shapes, with\nzeros inside", "no", "no"),
        ("int8", "one byte a number,\nproducts of whole numbers", "/ 4", "yes"),
        ("int4", "half a byte, in groups,\nback to floats to multiply", "/ 7", "no"),
        ("ONNX", "the same numbers,\nanother program", "no", "yes"),
    ]
    d = Diagram(
        "Ways to a smaller or faster model, and what each of them changes.",
        "MiniLM has weights in float32. Six ways lead on from it: "
        + "; ".join(
            f"{a}: {b}, bytes {c}, time {t}".replace("\n", " ") for a, b, c, t in rows
        )
        + ". Each may cost accuracy, except ONNX, which computes the same.",
        372,
    )
    model = d.box(20, 160, 130, 64, "MiniLM\n6 layers, float32", "blue", 13, 0.16)
    d.text(540, 24, "bytes", 13, "black", bold=True)
    d.text(650, 24, "time", 13, "black", bold=True)
    colors = ("green", "orange", "orange", "purple", "purple", "grey")
    for i, ((name, how, size, clock), color) in enumerate(zip(rows, colors)):
        y = 42 + 54 * i
        box = d.box(210, y, 90, 42, name, color, 13, 0.14, bold=True)
        d.arrow(model.right, (178, 192), (178, y + 21), box.left)
        d.text(312, y + 21, how, 12, "black", "start")
        for x, word in ((540, size), (650, clock)):
            shade = "grey" if word == "no" else color
            d.box(x - 45, y + 4, 90, 34, word, shade, 13, 0 if word == "no" else 0.16)
    return d


def draw_23_export() -> Diagram:
    """A model, the exported folder, a service, and the comparison of both."""
    d = Diagram(
        "A model becomes a folder of three files, and both answer the same texts.",
        "The classifier in torch is exported into a folder: model.onnx with the graph "
        "and the weights, tokenizer.json, and config.json with labels, opset, versions "
        "and SHA-256. onnxruntime serves the folder without torch. 200 texts go "
        "through both, logits of shape 200, 2, and the largest difference has to be "
        "below 0.0001.",
        330,
    )
    d.box(20, 140, 110, 50, "200 texts", "orange", 14, 0.14)
    net = d.box(180, 30, 170, 54, "classifier\nin torch", "blue", 14, 0.16)
    d.group(180, 136, 220, 170, "grey", 0.05)
    file = d.box(194, 150, 192, 40, "model.onnx", "green", 14, 0.16)
    d.box(194, 200, 192, 36, "tokenizer.json", "green", 13, 0.08)
    d.box(194, 246, 192, 48, "config.json: labels,\nopset, SHA-256", "green", 12, 0.08)
    d.arrow((265, 84), (265, 150))
    d.text(275, 112, "torch.onnx.export", 12, "black", "start")
    serve = d.box(440, 140, 130, 60, "onnxruntime\n(no torch)", "purple", 13, 0.12)
    d.arrow(file.right, serve.left)
    d.arrow((75, 140), (75, 57), net.left)
    d.arrow((75, 190), (75, 318), (505, 318), serve.bottom)
    one = d.box(440, 32, 130, 50, "logits (200, 2)", "blue", 13, 0.1)
    two = d.box(606, 145, 100, 50, "logits\n(200, 2)", "purple", 13, 0.1)
    d.arrow(net.right, one.left)
    d.arrow(serve.right, two.left)
    check = d.box(606, 32, 100, 50, "largest\ndifference", "black", 13, 0.06)
    d.arrow(one.right, check.left)
    d.arrow(two.top, check.bottom)
    d.text(656, 18, "< 0.0001", 13, "black", bold=True)
    return d


def draw_23_distillation() -> Diagram:
    """Texts through teacher and student, three losses between them."""
    d = Diagram(
        "A teacher of six layers and a student of two read the same sentences.",
        "32 sentences, input_ids of shape 32, T, go through the frozen teacher, blocks "
        "0 to 5, and through the student, two blocks copied from the teacher's 2 and "
        "5. Between block 2 and the student's first block hidden states of shape 32, "
        "T, 384 are compared, and attention maps of shape 32, 12, T, T. At the end "
        "logits of shape 32, 2 are divided by the temperature and compared. Rows with "
        "a label add the usual cross-entropy.",
        372,
    )
    d.box(20, 150, 100, 56, "input_ids\n(32, T)", "orange", 13, 0.14)
    d.text(160, 26, "teacher, frozen", 13, "black", "start", bold=True)
    d.text(160, 352, "student, trained", 13, "black", "start", bold=True)
    teacher = [
        d.box(160 + 62 * i, 46, 54, 46, f"{i}", "blue", 14, 0.16) for i in range(6)
    ]
    student = [
        d.box(160 + 62 * i, 286, 54, 46, f"{i}", "green", 14, 0.16) for i in (2, 5)
    ]
    d.arrow((70, 150), (70, 69), teacher[0].left)
    d.arrow((70, 206), (70, 309), student[0].left)
    for a, b in [*zip(teacher, teacher[1:]), *zip(student, student[1:])]:
        d.arrow(a.right, b.left)
    for i, (t, s) in enumerate(zip((teacher[2], teacher[5]), student)):
        d.arrow(t.bottom, (t.bottom[0], 146), dashed=True)
        d.arrow(s.top, (s.top[0], 232), dashed=True)
        words = ("hidden states\n(32, T, 384)", "attention maps\n(32, 12, T, T)")
        d.box(t.x - 36, 150, 126, 38, words[0], "purple", 12, 0.1)
        d.box(t.x - 36, 192, 126, 38, words[1], "purple", 12, 0.1)
    top = d.box(570, 46, 130, 46, "logits (32, 2)", "blue", 13, 0.1)
    low = d.box(570, 286, 130, 46, "logits (32, 2)", "green", 13, 0.1)
    d.arrow(teacher[5].right, top.left)
    d.arrow(student[1].right, low.left)
    soft = d.box(570, 150, 130, 80, "soft targets:\ndivide both by t,\nt x t x KL",
                 "purple", 12, 0.16)  # fmt: skip
    d.arrow(top.bottom, soft.top)
    d.arrow(low.top, soft.bottom)
    return d


def draw_25_project() -> Diagram:
    d = Diagram(
        "A project: a table goes in, a folder comes out that others can check and use.",
        "A table of 2,000 rows is read and checked. What is left is dealt into three "
        "parts: 70 percent train, 15 percent validation, 15 percent test. Models are "
        "fitted on train, and one is chosen on validation. The test part is read once, "
        "for the chosen model. Out comes a folder: report.html, model card and data "
        "sheet, the model's file, and the reference for drift.",
        330,
    )
    file = d.box(24, 118, 92, 60, "reviews.csv\n2,000 rows", "black")
    check = d.box(150, 118, 92, 60, "read, check,\nleave out", "grey")
    d.arrow(file.right, check.left)
    parts = []
    for y, text, color in (
        (40, "train, 70 %", "blue"),
        (126, "validation, 15 %", "purple"),
        (212, "test, 15 %", "orange"),
    ):
        parts.append(d.box(284, y, 124, 44, text, color))
        d.arrow(check.right, parts[-1].left)
    fit = d.box(450, 40, 104, 44, "fit models", "blue")
    choose = d.box(450, 126, 104, 44, "choose one", "purple")
    judge = d.box(450, 212, 104, 44, "judge, once", "orange", bold=True)
    for part, step in zip(parts, (fit, choose, judge)):
        d.arrow(part.right, step.left)
    d.arrow(fit.bottom, choose.top)
    d.arrow(choose.bottom, judge.top)
    d.box(594, 40, 106, 216, "", "green", tint=0.08)
    d.text(647, 64, "the folder", 13, bold=True)
    d.text(
        647,
        150,
        "report.html\nmodel card\ndata sheet\nmodel/\ndrift.json\nanswers",
        12,
    )
    d.arrow(judge.right, (594, 234))
    d.text(360, 296, "Nothing goes back from the test part: what it says, "
           "it says at the end.", 12)  # fmt: skip
    return d


def draw_25_tomorrow() -> Diagram:
    d = Diagram(
        "Tomorrow: new rows are answered and compared with the validation part.",
        "New rows, N of them, go to the model, which gives log-probabilities, N "
        "by C. Four numbers of each row, its characters, unknown words, confidence and "
        "chances, are compared with the stored reference of the validation part. A "
        "number has moved if its corrected p is below 0.01 and its KS distance is at "
        "least 0.1. Then a person looks, labels some rows, and the project runs again.",
        300,
    )
    rows = d.box(24, 60, 96, 50, "new rows\nN", "black")
    model = d.box(170, 60, 110, 50, "model/", "purple", bold=True)
    out = d.box(330, 60, 120, 50, "answers\n(N, C)", "purple")
    d.arrow(rows.right, model.left)
    d.arrow(model.right, out.left)
    numbers = d.box(200, 160, 180, 50, "numbers of each row:\n(N, 4)", "blue")
    d.arrow((72, 110), (72, 185), numbers.left)
    d.arrow((390, 110), (390, 136), (290, 136), (290, 160))
    d.box(200, 238, 180, 40, "drift.json, validation", "green")
    rule = d.box(440, 160, 122, 50, "p < 0.01 and\nKS at least 0.1?", "grey")
    d.arrow(numbers.right, rule.left)
    d.arrow((380, 258), (500, 258), (500, 210))
    person = d.box(600, 160, 100, 50, "a person\nlooks, labels", "orange")
    d.arrow(rule.right, person.left)
    d.text(581, 178, "yes", 12, "orange")
    again = d.box(600, 60, 100, 50, "project again", "black")
    d.arrow(person.top, again.bottom)
    return d


DRAWINGS = {
    "00_map": draw_00_map,
    "00_trainings": draw_00_trainings,
    "00_vector": draw_00_vector,
    "07_block": draw_07_block,
    "09_gap": draw_09_gap,
    "09_mlm": draw_09_mlm,
    "13_info_nce": draw_13_info_nce,
    "13_two_towers": draw_13_two_towers,
    "14_classifier": draw_14_classifier,
    "14_contrastive": draw_14_contrastive,
    "14_self_training": draw_14_self_training,
    "15_answer": draw_15_answer,
    "15_tagging": draw_15_tagging,
    "16_beam": draw_16_beam,
    "16_encoder_decoder": draw_16_encoder_decoder,
    "16_teacher_forcing": draw_16_teacher_forcing,
    "18_chat": draw_18_chat,
    "18_grammar": draw_18_grammar,
    "20_dpo": draw_20_dpo,
    "20_loop": draw_20_loop,
    "21_ctc": draw_21_ctc,
    "21_frozen": draw_21_frozen,
    "21_log_mel": draw_21_log_mel,
    "21_pipeline": draw_21_pipeline,
    "22_deletion": draw_22_deletion,
    "22_private_step": draw_22_private_step,
    "22_six_questions": draw_22_six_questions,
    "23_distillation": draw_23_distillation,
    "23_export": draw_23_export,
    "23_ways": draw_23_ways,
    "24_batcher": draw_24_batcher,
    "24_canary": draw_24_canary,
    "25_project": draw_25_project,
    "25_tomorrow": draw_25_tomorrow,
}


def picture(svg, height) -> bytes:
    """The PNG of an SVG, two dots a unit, with the SHA-256 of the SVG in it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        raise SystemExit("no chromium found; install it to draw the pictures")
    with tempfile.TemporaryDirectory() as folder:
        page = pathlib.Path(folder, "page.html")
        body = '<meta charset="utf-8"><body style="margin:0">'
        page.write_text(body + svg, encoding="utf-8")
        out = pathlib.Path(folder, "page.png")
        size = [f"--window-size=720,{height}", f"--screenshot={out}"]
        data = f"--user-data-dir={folder}/profile"
        command = [chromium, *CHROMIUM, data, *size, page.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        drawn = Image.open(out).convert("RGBA").crop((0, 0, 1440, 2 * height))
        about = PngImagePlugin.PngInfo()
        about.add_text("Source", hashlib.sha256(svg.encode()).hexdigest())
        _reduced(drawn).save(out, pnginfo=about, optimize=True, transparency=0)
        return out.read_bytes()


def _reduced(drawn):
    """128 colours, the first of them for what is outside the round corners."""
    white = Image.new("RGBA", drawn.size, "white")
    flat = Image.alpha_composite(white, drawn).convert("RGB")
    flat = flat.quantize(127, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    shifted = flat.point(lambda index: min(index + 1, 127))
    shifted.putpalette([255, 255, 255, *flat.getpalette()[: 3 * 127]])
    outside = drawn.getchannel("A").point(lambda alpha: 255 * (alpha < 128))
    shifted.paste(0, mask=outside)
    return shifted


def stale(name) -> str:
    """Why what is stored for a drawing is not what is drawn here, or ""."""
    svg, path = DRAWINGS[name]().svg(), FIGURES / f"{name}.svg"
    if not path.exists() or path.read_text(encoding="utf-8") != svg:
        return f"{path.name} differs from what tools/draw_diagrams.py draws"
    png = path.with_suffix(".png")
    found = diagrams.picture_source(png.read_bytes()) if png.exists() else ""
    if found != hashlib.sha256(svg.encode()).hexdigest():
        return f"{png.name} was made of another {path.name}"
    return ""


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="drawings; none: all")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.names) - set(DRAWINGS))
    if unknown:
        parser.error(f"no drawing {unknown[0]!r}; there are {', '.join(DRAWINGS)}")
    bad = 0
    for name in chosen.names or DRAWINGS:
        drawing = DRAWINGS[name]()
        problems = faults(drawing.svg())
        if chosen.check:
            problems += [stale(name)] if stale(name) else []
        elif not problems:
            path = FIGURES / f"{name}.svg"
            path.write_text(drawing.svg(), encoding="utf-8")
            path.with_suffix(".png").write_bytes(picture(drawing.svg(), drawing.height))
        bad += bool(problems)
        print(f"{name}: {'; '.join(problems) or 'in order'}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
