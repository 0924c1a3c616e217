"""BLEU and chrF against sacrebleu, their intervals, and the baselines."""

import random

import pytest
import torch
from sacrebleu.metrics import BLEU, CHRF

from ftlib.evaluation import translation

# signs that tokenizers treat differently, in both scripts and in neither
SIGNS = (
    "打开厨房的灯，。“” …→①ABCabc019.,-/&<>!{}%s  \u3000\u2009㈠豈︰ｱ＂é"
    "\U00020001\n\t'\"()[]:;@~`_"
)


def random_pairs(seed):
    rng = random.Random(seed)

    def text():
        return "".join(rng.choice(SIGNS) for _ in range(rng.randint(0, 16)))

    references = [text() for _ in range(rng.randint(1, 6))]
    if seed % 2:
        return [text() for _ in references], references
    # near the reference, so that four tokens match
    cut = [text[: rng.randint(0, len(text))] for text in references]
    return [text + rng.choice(SIGNS) for text in cut], references


@pytest.mark.parametrize("tokenize", ["zh", "13a"])
def test_bleu_is_that_of_sacrebleu(tokenize):
    reached = set()
    for seed in range(400):
        hypotheses, references = random_pairs(seed)
        ours = translation.bleu(hypotheses, references, tokenize)
        theirs = BLEU(tokenize=tokenize).corpus_score(hypotheses, [references]).score
        assert ours == pytest.approx(theirs, abs=1e-6), (hypotheses, references)
        reached.add(round(ours, -1))
    assert len(reached) > 5


def test_every_character_is_split_as_in_sacrebleu():
    tokenizers = {name: BLEU(tokenize=name).tokenizer for name in ("zh", "13a")}
    # all of the first plane but the halves of surrogate pairs, and some beyond it
    points = [*range(1, 0xD800), *range(0xE000, 0x10000), *range(0x1F5F0, 0x1F650)]
    for point in points:
        text = f"a{chr(point)}1"
        for name, tokenizer in tokenizers.items():
            ours = translation.scored_tokens(text, name)
            assert ours == tokenizer(text).split(), (name, hex(point))


@pytest.mark.parametrize(
    "text",
    ["&quot;a&quot; &amp;lt; <skipped>b", "1,000.5-2 kg.", "end-\nof line", " a\n"],
)
def test_western_rules(text):
    for name in ("zh", "13a"):
        expected = BLEU(tokenize=name)._preprocess_segment(text).split()
        assert translation.scored_tokens(text.rstrip(), name) == expected


def test_chrf_is_that_of_sacrebleu():
    score = CHRF()
    for seed in range(400):
        hypotheses, references = random_pairs(seed)
        ours = translation.chrf(hypotheses, references)
        theirs = score.corpus_score(hypotheses, [references]).score
        assert ours == pytest.approx(theirs, abs=1e-6)
        for one, reference in zip(hypotheses, references):
            theirs = score.sentence_score(one, [reference]).score
            ours = translation.sentence_chrf(one, reference)
            assert ours == pytest.approx(theirs, abs=1e-6)


def test_by_hand():
    # 6 of 6, 4 of 5, 3 of 4, 2 of 3; and 6 tokens where the reference has 7
    ours = translation.bleu_counts("打开厨房的灯", "打开厨房里的灯")
    assert ours == [6, 7, 6, 4, 2, 1, 6, 5, 4, 3]
    assert translation.bleu_counts("the the the", "the cat", "13a")[2:6] == [1, 0, 0, 0]


def test_a_perfect_and_an_empty_translation():
    references = ["打开厨房里的灯", "关闭窗户吧"]
    assert translation.bleu(references, references) == pytest.approx(100)
    assert translation.chrf(references, references) == pytest.approx(100)
    assert translation.bleu(["", ""], references) == 0
    assert translation.chrf(["", ""], references) == 0


@pytest.mark.parametrize("score", [translation.bleu, translation.chrf])
@pytest.mark.parametrize(
    "hypotheses, references, words",
    [
        (["a"], ["a", "b"], "1 hypotheses and 2 references"),
        ([], [], "at least one"),
        ("abc", ["a", "b", "c"], "hypotheses is one string"),
        (["a", "b", "c"], "abc", "references is one string"),
    ],
)
def test_lists_that_do_not_belong_together(score, hypotheses, references, words):
    with pytest.raises(ValueError, match=words):
        score(hypotheses, references)


def test_unknown_tokenizer():
    with pytest.raises(ValueError, match='"zh" or "13a"'):
        translation.bleu(["a"], ["a"], tokenize="intl")


# --- intervals
# ------------------------------------------------------------------------------


def systems(n=120, seed=0):
    """References, a system with every 3rd character wrong, one with every 6th."""
    rng = random.Random(seed)
    references = ["".join(rng.choices("天地玄黄宇宙洪荒", k=12)) for _ in range(n)]

    def spoiled(text, every):
        return "".join("错" if rng.random() < 1 / every else sign for sign in text)

    return (
        references,
        [spoiled(text, 3) for text in references],
        [spoiled(text, 6) for text in references],
    )


def test_the_interval_holds_the_score_and_shrinks_with_n():
    references, worse, _ = systems(480)
    score, low, high = translation.bleu_interval(worse, references)
    assert score == pytest.approx(translation.bleu(worse, references))
    assert low < score < high
    _, few_low, few_high = translation.bleu_interval(worse[:120], references[:120])
    assert 1.5 < (few_high - few_low) / (high - low) < 2.7


def test_the_paired_difference_sees_what_two_intervals_do_not():
    references, worse, _ = systems()
    better = list(worse)
    for i in range(0, 24, 2):
        better[i] = references[i]
    difference, low, high = translation.bleu_difference(worse, better, references)
    expected = translation.bleu(better, references) - translation.bleu(
        worse, references
    )
    assert difference == pytest.approx(expected)
    assert 0 < low < difference < high
    first = translation.bleu_interval(worse, references)
    second = translation.bleu_interval(better, references)
    assert high - low < second[2] - second[1]
    assert second[1] < first[2] + 8
    back = translation.bleu_difference(better, worse, references)
    assert back[0] == pytest.approx(-difference)
    assert back[1:] == pytest.approx((-high, -low))


def test_the_bootstrap_agrees_with_drawing_the_sentences_one_by_one():
    references, worse, _ = systems(60)
    _, low, high = translation.bleu_interval(worse, references, samples=2000)
    rng, scores = random.Random(1), []
    for _ in range(400):
        drawn = rng.choices(range(60), k=60)
        scores.append(
            translation.bleu([worse[i] for i in drawn], [references[i] for i in drawn])
        )
    edges = torch.quantile(torch.tensor(scores), torch.tensor([0.025, 0.975]))
    assert edges.tolist() == pytest.approx([low, high], abs=0.15 * (high - low))


def test_files_that_differ_make_the_interval_wider():
    references, worse, better = systems(200)
    files = [f"file {i // 10}" for i in range(200)]
    # every second file is translated well
    mixed = [better[i] if i // 10 % 2 else worse[i] for i in range(200)]
    _, low, high = translation.bleu_interval(mixed, references)
    _, wide_low, wide_high = translation.bleu_interval(mixed, references, groups=files)
    assert wide_high - wide_low > 1.3 * (high - low)
    with pytest.raises(ValueError, match="3 units to draw from"):
        translation.bleu_interval(
            mixed[:30], references[:30], groups=[i // 10 for i in range(30)]
        )
    with pytest.raises(ValueError, match="20 groups for 200 sentences"):
        translation.bleu_interval(mixed, references, groups=files[:20])


# --- baselines
# ------------------------------------------------------------------------------

ENGLISH = [
    "Open the door",
    "Open the window",
    "Close the door",
    "Close the window",
    "The {name} lamp of Philips",
    "A lamp",
]
HUMAN = ["打开门", "打开窗户", "关闭门", "关闭窗户", "飞利浦的{name}灯", "一盏灯"]


def test_the_memory_gives_a_human_translation_back():
    memory = translation.NearestSentence(ENGLISH, HUMAN)
    for row, (target, source, similarity) in zip(
        range(len(ENGLISH)), memory.nearest(ENGLISH)
    ):
        assert (target, source) == (HUMAN[row], ENGLISH[row])
        assert similarity == pytest.approx(1)
    target, _, similarity = memory.nearest(["open the big window"])[0]
    assert target == "打开窗户" and 0.3 < similarity < 1
    assert memory.nearest(["日本"])[0][2] == 0


def test_the_dictionary_finds_what_goes_together():
    table = translation.WordTable(ENGLISH, HUMAN)
    assert table.best("open") == ("打开", 1.0)
    assert table.best("close") == ("关闭", 1.0)
    assert table.best("window") == ("窗户", 1.0)
    assert table.best("lamp") == ("灯", 1.0)
    # n = 1 is not enough
    assert table.best("philips") == table.best("zebra") == ("", 0.0)


def test_the_gloss_keeps_names_numbers_and_placeholders():
    table = translation.WordTable(ENGLISH, HUMAN, dice=0.9)
    assert table.gloss("Close window 12 in {room} of Marseille zebra %s") == (
        "关闭窗户12{room}Marseille%s"
    )
    # a number that always stands beside one Chinese word is still a number
    numbered = translation.WordTable(["2 lamps", "2 old lamps"], ["两盏灯", "两盏灯"])
    assert numbered.best("2")[1] == 1 and numbered.gloss("2 %s") == "2%s"
    # a capital at the beginning is no sign of a name
    assert table.gloss("Zebra lamp") == "灯"


def test_of_a_common_word_a_part_is_looked_at():
    english = ["red lamp"] * 500 + ["red door"] * 500
    human = ["红灯"] * 500 + ["红门"] * 500
    table = translation.WordTable(english, human)
    chinese, dice = table.best("red", most=100)
    assert chinese == "红" and dice == pytest.approx(1)
