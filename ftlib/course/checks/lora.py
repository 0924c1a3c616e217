"""Checks of chapter 19: an initialization that changes nothing, merging, the largest
rank, a file written by peft, a layer that never learns.
"""

import numbers

import torch
from torch import nn

from ftlib.course.checks import correct, exercise, expect


def _drawn(*shape, seed):
    return torch.randn(
        *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def _near(a, b, tolerance=1e-6):
    return a.shape == b.shape and torch.allclose(
        a.double(), b.double(), atol=tolerance, rtol=tolerance
    )


def sizes_of_pair(answer, a_is_random):
    """Raise the hint for a start that is right for some widths or ranks alone."""
    for d_in, d_out, rank in ((7, 7, 7), (5, 400, 1), (400, 5, 1), (64, 64, 16)):
        A, B = answer(d_in, d_out, rank)
        expect(
            A.shape == (rank, d_in) and B.shape == (d_out, rank),
            f"for {d_in} inputs, {d_out} outputs and rank {rank} the shapes are "
            f"{tuple(A.shape)} and {tuple(B.shape)}, expected {(rank, d_in)} and "
            f"{(d_out, rank)}",
        )
        a, b = bool(A.detach().any()), bool(B.detach().any())
        expect(
            a != b,
            f"for {d_in} inputs, {d_out} outputs and rank {rank} one of the two must "
            "be zero and the other random",
        )
        random = (A if a else B).detach().double()
        ratio = float(random.pow(2).mean().sqrt()) * random.shape[1] ** 0.5
        expect(
            random.numel() < 100 or 0.4 < ratio < 1.9,
            f"for {d_in} inputs, {d_out} outputs and rank {rank} the standard "
            f"deviation is {ratio / random.shape[1] ** 0.5:.2g}, expected about "
            f"{random.shape[1] ** -0.5:.2g}; use the matrix's own number of columns",
        )


def _rounded(value, expected):
    """Whether `value` is the tensor `expected` rounded to some digits, and not it."""
    value, expected = value.detach().double(), expected.detach().double()
    # a product summed in another order may be rounded to the other side of a half
    apart = (value - expected).abs().max()
    return not torch.allclose(value, expected, atol=1e-6) and any(
        torch.allclose(value, value.round(decimals=k), atol=1e-6, rtol=3e-7)
        and apart < 0.51 * 10.0**-k + 1e-6
        for k in range(1, 6)
    )


def _rank_of(matrix):
    """The rank of a matrix of float32 numbers, whose rounding is no rank of its own."""
    return int(torch.linalg.matrix_rank(matrix.double(), rtol=2e-6))


@exercise
def check_start_pair(answer):
    """answer(d_in, d_out, rank) -> (A (rank, d_in), B (d_out, rank)): product zero, and
    still able to learn.
    """
    d_in, d_out, rank = 96, 40, 4
    torch.manual_seed(0)
    got = answer(d_in, d_out, rank)
    expect(
        isinstance(got, (tuple, list)) and len(got) == 2,
        "return two tensors: A, B",
    )
    A, B = got
    expect(
        tuple(A.shape) != (d_out, rank),
        "A and B are exchanged: A comes first and is applied to the input, so it is "
        "(rank, d_in)",
    )
    expect(
        tuple(A.shape) == (rank, d_in),
        f"A has the shape {tuple(A.shape)}, expected (rank, d_in) = {(rank, d_in)}; "
        "it is the weight of a linear layer from d_in to rank features",
    )
    expect(
        tuple(B.shape) == (d_out, rank),
        f"B has the shape {tuple(B.shape)}, expected {(d_out, rank)}; it is the "
        "weight of a linear layer from rank to d_out features",
    )
    for letter, matrix in (("A", A), ("B", B)):
        expect(
            matrix.is_floating_point(),
            f"{letter} is {str(matrix.dtype).removeprefix('torch.')}: integers have "
            "no gradient, so it could never be trained; make it a floating-point "
            "tensor",
        )
    a, b = bool(A.detach().any()), bool(B.detach().any())
    expect(
        a or b,
        "both are zero: the gradient of each is a multiple of the other, so neither "
        "would ever change; make one of them random",
    )
    expect(
        not (a and b),
        "B A is not zero, so the model would not start as the pretrained one; make "
        "one of the two zero",
    )
    random = (A if a else B).detach().double()
    expect(
        _rank_of(random) == rank,
        "rows of the random matrix are copies or multiples of one another, so the "
        f"adapter has rank {_rank_of(random)} whatever `rank` says; draw every entry",
    )
    nothing = float((random == 0).double().mean())
    expect(
        nothing < 0.5,
        f"{nothing:.0%} of the matrix that should be random are zeros; draw each of "
        "its entries",
    )
    again = answer(d_in, d_out, rank)[0 if a else 1].detach().double()
    expect(
        not torch.equal(random, again),
        "two calls give the same numbers: a seed is set inside, and all layers would "
        "start alike; leave the seed to the caller",
    )
    torch.manual_seed(0)
    expect(
        torch.equal(random, answer(d_in, d_out, rank)[0 if a else 1].detach().double()),
        "torch.manual_seed(0) before two calls gives different numbers; draw them with "
        "torch's global generator, so that a run can be repeated",
    )
    # widths at which the wrong divisors are far from the correct one
    d_in, d_out, rank = 900, 100, 9
    random = answer(d_in, d_out, rank)[0 if a else 1].detach().double()
    fan, size = random.shape[1], float(random.pow(2).mean().sqrt())
    advice, ratio = f"take about 1 / sqrt({fan})", size * fan**0.5
    for what, wrong in (
        ("rank", rank),
        ("sqrt(rank)", rank**0.5),
        ("sqrt(d_out)", d_out**0.5),
        ("d_in", d_in),
    ):
        expect(
            abs(size * wrong - 1) > 0.05 or 0.4 < ratio < 1.9,
            f"the random numbers are divided by {what}; each row of this matrix is "
            f"multiplied with {fan} inputs: {advice}",
        )
    expect(
        ratio < 1.9,
        f"the standard deviation of the random matrix is {size:.2f}, and the first "
        f"step of the other matrix would be too large; with {fan} columns {advice} = "
        f"{fan**-0.5:.2f}",
    )
    expect(
        ratio > 0.4,
        f"the standard deviation of the random matrix is {size:.1e}, and the other "
        f"matrix gets next to no gradient; {advice}",
    )
    middle = float(random.mean().abs()) / size
    expect(
        middle < 0.2,
        f"the mean of the random numbers is {float(random.mean()):.3f} where their "
        f"size is {size:.3f}: they do not lie around 0, and the rows are alike; "
        "torch.rand() is never negative",
    )
    sizes_of_pair(answer, a)
    return correct("the product is zero, and the zero matrix gets a gradient")


def kinds_of_weight(answer):
    """Raise the hint for a weight of another dtype, or one that was rounded twice."""
    W, A, B = _drawn(6, 9, seed=1), _drawn(3, 9, seed=2), _drawn(6, 3, seed=3)
    for dtype, pair in (
        (torch.float16, torch.float32),  # base and adapter as they often come
        (torch.float16, torch.float16),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float32),
    ):
        # sizes at which a second rounding shows in some of the 54 numbers
        weight, a, b = W.to(dtype), (0.3 * A).to(pair), B.to(pair)
        got, name = answer(weight, a, b, 12), str(dtype).removeprefix("torch.")
        exact = weight.double() + 4 * b.double() @ a.double()
        expect(
            got.dtype == dtype,
            f"weight was {name} and the result is "
            f"{str(got.dtype).removeprefix('torch.')}; return the dtype that came in",
        )
        # a sum in float32 is off by less than this, in whatever order it is added
        off = 1e-6 * (exact.abs() + 4)
        low, high = (exact - off).to(dtype), (exact + off).to(dtype)
        expect(
            bool(((got >= low) & (got <= high)).all()),
            f"with a {name} weight and an adapter in "
            f"{str(pair).removeprefix('torch.')} some results are a rounding step off; "
            "add in float32, and round once at the end",
        )
    large, a, b = 1e4 * W, A, B
    expect(
        float((answer(large, a, b, 12) - (large + 4 * b @ a)).abs().max()) < 1e-6,
        "a float64 weight of large numbers is off by more than 1e-6, as if it were "
        "added in float32; keep float64 where it comes in",
    )


@exercise
def check_fold_in(answer):
    """answer(weight (d_out, d_in), A, B, alpha) -> the weight of one linear layer
    with the same outputs as base and adapter together.
    """
    W = _drawn(6, 9, seed=1)
    A = _drawn(3, 9, seed=2)
    B = _drawn(6, 3, seed=3)
    x = _drawn(5, 9, seed=4)
    got = answer(W, A, B, 12)
    expect(
        isinstance(got, torch.Tensor) and got.shape == W.shape,
        f"return a tensor of the shape {tuple(W.shape)}, the shape of `weight`",
    )
    expect(
        not _near(got, W + B @ A),
        "the product is added without alpha / rank; multiply it by this factor",
    )
    expect(
        not _near(got, W + 12 * B @ A),
        "the product is multiplied by alpha alone; the factor is alpha / rank, and "
        "the rank is len(A)",
    )
    expect(
        not _near(got, W + 12 / 9 * B @ A),
        "alpha is divided by d_in; the rank is the number of rows of A, A.shape[0]",
    )
    expect(
        not _near(got, W + 12 / 6 * B @ A),
        "alpha is divided by d_out; the rank is the number of rows of A, A.shape[0]",
    )
    expect(
        not _near(got, W + 3 / 12 * B @ A),
        "the factor is upside down; it is alpha / rank, not rank / alpha",
    )
    expect(
        not _near(got, 12 / 3 * B @ A),
        "this is what the adapter adds; the base's weight is missing, so add it",
    )
    expect(
        not _near(got, W - 12 / 3 * B @ A),
        "the product is subtracted, which would unmerge an adapter; add it",
    )
    expected = W + 12 / 3 * B @ A
    expect(
        not _rounded(got, expected),
        "the weights are rounded to a few digits; return the sum in the weight's dtype",
    )
    expect(
        _near(got, expected),
        "the weights differ from W + alpha / rank * B A by "
        f"{(got - expected).abs().max():.2g}; "
        "try one row x: x @ W.T + alpha / rank * (x @ A.T) @ B.T",
    )
    expect(
        _near(x @ got.T, x @ W.T + 4 * (x @ A.T) @ B.T),
        "the merged layer and the base with its adapter give different outputs",
    )
    A2, B2 = _drawn(2, 9, seed=5), _drawn(6, 2, seed=6)
    other = answer(W.clone(), A2.clone(), B2.clone(), 5)
    expect(
        not _near(other, W + 5 // 2 * B2 @ A2),
        "with alpha 5 and rank 2 the factor is 2.5, and yours is 2: divide with /, "
        "not //",
    )
    expect(
        not _near(other, W + 5 / 3 * B2 @ A2),
        "the rank 3 is written into your function; this adapter has rank 2, so read "
        "it from A",
    )
    expect(
        _near(other, W + 5 / 2 * B2 @ A2),
        "with alpha 5 and an adapter of rank 2 the weight is wrong; the factor is "
        "alpha / len(A) = 2.5",
    )
    for d_out, d_in, rank, alpha in ((4, 4, 1, 0.5), (3, 8, 6, 16), (7, 2, 2, 3)):
        W, A, B = (
            _drawn(*shape, seed=rank + i)
            for i, shape in enumerate(((d_out, d_in), (rank, d_in), (d_out, rank)))
        )
        expect(
            _near(answer(W, A, B, alpha), W + alpha / rank * B @ A),
            f"for a weight {(d_out, d_in)}, rank {rank} and alpha {alpha} the weights "
            "differ from W + alpha / rank * B A",
        )
    kinds_of_weight(answer)
    return correct("one layer, the same outputs, and the base unchanged")


@exercise
def check_largest_rank(answer):
    """answer(shapes: [(d_in, d_out)], bytes_allowed, bytes_each) -> the largest rank
    whose adapters fit.
    """
    mini, allowed = [(24, 24)] * 8, 20_000
    got = answer(mini, allowed, 4)
    expected = allowed // (4 * 8 * 48)

    def fits(bytes_a_rank):
        """Whether the rank is the one for these bytes, with or without a limit."""
        return got in (allowed // bytes_a_rank, min(24, allowed // bytes_a_rank))

    expect(
        not fits(4 * 8 * 24 * 24),
        "you count d_in x d_out, the full matrix; A and B have rank x d_in and rank "
        "x d_out parameters",
    )
    expect(
        got not in (allowed // (8 * 48), allowed // 48),
        "you count parameters; the limit is in bytes, and each parameter takes "
        "bytes_each of them",
    )
    expect(
        got != allowed // (4 * 48),
        "you count one layer; the file holds A and B for each entry of `shapes`",
    )
    expect(
        got != allowed // (4 * 8 * 24),
        "you count one of the two matrices; A has rank x d_in parameters, and B rank "
        "x d_out",
    )
    expect(
        got != 24,
        "the rank is the width of the layers, and its file is larger than allowed; "
        "count rank x (d_in + d_out) parameters for each layer, and bytes_each bytes "
        "for each of them",
    )
    expect(
        got != expected + 1,
        "this rank is one too high; rounded up, the file is larger than allowed",
    )
    expect(
        isinstance(got, numbers.Integral),
        f"{got!r} is not an integer; use // and return an int",
    )
    expect(
        got == expected,
        f"for 8 layers of 24 to 24, {allowed:,} bytes and 4 bytes a parameter your "
        f"rank is {got}, expected {expected}",
    )
    uneven = [(256, 1024), (1024, 256), (256, 256)]
    expect(
        answer(uneven, 100_000, 2) == 100_000 // (2 * 3072),
        "the rank is wrong for layers of unequal widths; add up d_in + d_out over "
        "all layers",
    )
    mini, exact = [(256, 256)] * 8, 4 * 8 * 512 * 18
    expect(
        answer(mini, exact, 4) != 17,
        f"{exact:,} bytes hold rank 18 exactly, and `at "
        "most` allows that; compare with <=, not <",
    )
    expect(
        answer(mini, exact, 4) == 18,
        f"rank 18 takes {exact:,} bytes; with exactly as many allowed your rank is "
        "another",
    )
    expect(
        answer(mini, exact + 10_000, 4) == 18,
        "with room for rank 18.6 the rank is 18; rounded to the nearest integer, the "
        "file is too large, so use //",
    )
    expect(
        answer(mini, exact - 1, 4) == 17,
        "one byte less than rank 18 takes, and the rank is still 18; it is 17",
    )
    expect(
        answer([(16, 4)], 10**6, 4) == 4,
        "a rank above min(d_in, d_out) is no longer a low rank; stop at the smallest "
        "width of any layer",
    )
    expect(
        answer([(4, 16)], 10**6, 4) == 4,
        "for a layer of 4 inputs and 16 outputs you stop at one side; the smaller of "
        "both is the limit",
    )
    expect(
        answer([(64, 64), (4, 16)], 10**6, 4) == 4,
        "the second layer is narrower than the first; the smallest width of ANY "
        "layer is the limit",
    )
    expect(
        answer([(4, 16), (64, 64)], 10**6, 4) == 4,
        "you stop at a width of the last or the largest layer; the narrowest layer "
        "is the limit, wherever it is in the list",
    )
    expect(answer([(64, 64)], 100, 4) == 0, "where not even rank 1 fits, return 0")
    expect(answer([(64, 64)], 0, 4) == 0, "no byte is allowed, and the rank is not 0")
    expect(
        answer(mini, exact) == 18 and answer(mini, exact + 32 * 512 - 1) == 18,
        "without the third argument a parameter takes 4 bytes; keep `bytes_each=4` in "
        "the first line",
    )
    for shapes, allowed, each in (
        ([(1000, 3000)], 10**10, 2),  # the width alone is the limit
        (((5, 70), (70, 5), (5, 70)), 9000, 8),
        ([[16, 8], [8, 16], [40, 33]], 1210, 1),
        ([(16, 24)] * 3 + [(24, 16)], 3000, 4),
    ):
        rank = min(min(map(min, shapes)), allowed // (each * sum(map(sum, shapes))))
        got = answer(shapes, allowed, each)
        expect(
            got == rank and isinstance(got, numbers.Integral),
            f"for the layers {list(shapes)}, {allowed:,} bytes and {each} a parameter "
            f"your rank is {got!r}, expected {rank}",
        )
    return correct("r * (d_in + d_out) parameters for each layer, no byte too many")


NAME = "base_model.model.encoder.layer.{}.attention.self.{}.lora_{}.weight"


def peft_file(rank=3, alpha=12, dtype=torch.float32):
    """Tensors and configuration as peft writes them, for two layers of 6 to 6 and two
    of 6 to 10.
    """
    tensors, seed = {}, 0
    for layer in range(2):
        for matrix, wide in (("query", 6), ("value", 10)):
            tensors[NAME.format(layer, matrix, "A")] = _drawn(rank, 6, seed=seed).to(
                dtype
            )
            tensors[NAME.format(layer, matrix, "B")] = _drawn(
                wide, rank, seed=seed + 1
            ).to(dtype)
            seed += 2
    return tensors, {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": ["query", "value"],
    }


def other_files(answer):
    """Raise the hint for a file in another order, of another model, with one layer or
    with more than ten.
    """
    names = [f"model.layers.{i}.self_attn.{m}_proj" for i in range(12) for m in "qv"]
    names += ["model.model.head", "lm_head"]
    for kept in (names, names[-1:], ["encoder.layer.3.output.dense"]):
        tensors = {}
        for i, name in enumerate(kept):
            for letter, shape in (("A", (3, 5)), ("B", (5, 3))):
                key = f"base_model.model.{name}.lora_{letter}.weight"
                tensors[key] = _drawn(*shape, seed=2 * i + (letter == "A"))
        # the order of a dict is that of a file, and means nothing
        order = torch.randperm(
            len(tensors), generator=torch.Generator().manual_seed(len(tensors))
        )
        keys = [list(tensors)[i] for i in order]
        got = answer(
            {key: tensors[key] for key in keys},
            {"r": 3, "lora_alpha": 24, "bias": "none"},
        )
        lost, other = sorted(set(kept) - set(got)), sorted(set(got) - set(kept))
        expect(
            not other,
            f"{other[:1]} is not a layer of the base, and {lost[:1]} is; take away "
            "`base_model.model.` once, at the front, whatever comes behind it",
        )
        expect(
            not lost,
            f"{len(lost)} of {len(kept)} layers are missing, {lost[:1]} for one; an "
            "adapter may be on any layer, so go by the end of the name",
        )
        for name in kept:
            A, B = (
                tensors[f"base_model.model.{name}.lora_{letter}.weight"]
                for letter in "AB"
            )
            expect(
                _near(got[name], 8 * B @ A),
                f"in a file with its tensors in another order, {name} does not get its "
                "own B A; find B by the name of A",
            )


@exercise
def check_products_of(answer):
    """answer(tensors, config) -> {layer name in the base: (d_out, d_in) that the
    adapter adds to its weight}.
    """
    tensors, config = peft_file()
    got = answer(tensors, config)
    expect(
        isinstance(got, dict),
        f"the result is a {type(got).__name__}; return a dict from layer names to "
        "tensors",
    )
    first, layer = next(iter(got), ""), "encoder.layer.0.attention.self.query"
    expect(
        not first.startswith("base_model"),
        "the names still begin with peft's base_model.model.; the base model does "
        "not have this prefix, so remove it",
    )
    expect(
        "lora_" not in first,
        "the names still end in lora_A or lora_B; return one product for each layer, "
        "under the layer's name",
    )
    expect(
        not first.endswith(".weight"),
        "the names end in .weight; return the layer's name, as named_modules() gives "
        "it",
    )
    wanted = {
        NAME.format(i, matrix, "A").split(".lora_")[0].removeprefix("base_model.model.")
        for i in (0, 1)
        for matrix in ("query", "value")
    }
    lost, other = sorted(wanted - got.keys()), sorted(got.keys() - wanted)
    expect(
        got.keys() == wanted,
        f"{len(got)} names came back, and {len(wanted)} layers have an adapter; "
        f"missing: {lost[:1]}, too many: {other[:1]}",
    )
    A, B = (tensors[NAME.format(0, "query", letter)] for letter in "AB")
    product = B @ A
    expect(
        not _near(got[layer], product),
        "the products have no factor; peft stores alpha and r in its configuration: "
        "multiply by lora_alpha / r",
    )
    expect(
        not _near(got[layer], 12 * product),
        "the factor is lora_alpha alone; divide it by r",
    )
    expect(
        not _near(got[layer], 3 / 12 * product),
        "the factor is upside down; it is lora_alpha / r",
    )
    expect(
        not _near(got[layer], (4 * product).T),
        "the products are transposed; B (d_out, r) @ A (r, d_in) has the shape of "
        "the base's weight",
    )
    value = got["encoder.layer.1.attention.self.value"]
    expect(
        not _rounded(got[layer], 4 * product),
        "the products are rounded to a few digits; return them as they are",
    )
    expect(
        tuple(value.shape) == (10, 6),
        f"a value layer of 6 inputs and 10 outputs gets {tuple(value.shape)}; its "
        "weight is (d_out, d_in) = (10, 6)",
    )
    for i in (0, 1):
        for matrix in ("query", "value"):
            expected = (
                4
                * tensors[NAME.format(i, matrix, "B")]
                @ tensors[NAME.format(i, matrix, "A")]
            )
            name = f"encoder.layer.{i}.attention.self.{matrix}"
            expect(
                _near(got[name], expected),
                f"the product of {name} is another layer's, or is not B A; pair A and "
                "B by their layer",
            )
    tensors, config = peft_file(rank=2, alpha=5)
    expect(
        _near(
            answer(tensors, config)[layer],
            2.5
            * tensors[NAME.format(0, "query", "B")]
            @ tensors[NAME.format(0, "query", "A")],
        ),
        "with r 2 and lora_alpha 5 the factor is wrong; read both from the "
        "configuration, and divide with /, not //",
    )
    other_files(answer)
    return correct("every layer has its own B A, times lora_alpha / r")


def _able_to_learn(random, rank):
    """Hints for a random matrix that trains badly; the standard deviation may be
    anything between usual choices.
    """
    drawn = random.detach().double()
    expect(
        drawn.unique().numel() > 1,
        "all numbers of the matrix that is not zero are the same, so all rows get "
        "the same gradient; draw them",
    )
    expect(
        _rank_of(drawn) == rank,
        "rows of the random matrix are copies or multiples of one another, so the "
        f"adapter has rank {_rank_of(drawn)}, expected {rank}; draw every entry",
    )
    ratio = float(drawn.pow(2).mean().sqrt()) * drawn.shape[1] ** 0.5
    expect(
        ratio > 0.005,
        "the random matrix is next to zero, and so is the other one's gradient; 1 / "
        "sqrt(its columns) is a usual standard deviation",
    )
    expect(
        ratio < 10,
        "the random matrix is so large that the first step of the other would be too "
        "large; 1 / sqrt(its columns) is a usual standard deviation",
    )


def _called(layer, x, what):
    """layer(x), with an exception turned into a hint."""
    try:
        return layer(x)
    except Exception as error:
        told = str(error).splitlines()[0] if str(error) else ""
        expect(
            False,
            f"for {what} and inputs {tuple(x.shape)} the layer raised "
            f"{type(error).__name__} ({told}); base(x) and x @ A.T take any shape that "
            "ends with the width, and a base without bias",
        )


def _other_layers(answer):
    """Hints for a layer that fits one shape, or that cuts off the layers before it."""
    for d_in, d_out, rank, alpha, bias in (
        (6, 6, 6, 3, True),
        (5, 9, 1, 8, False),
        (20, 3, 2, 0.5, True),
    ):
        base = nn.Linear(d_in, d_out, bias=bias)
        weight = base.weight.detach().clone()
        offset = base.bias.detach().clone() if bias else None
        layer = answer(base, rank, alpha)
        pair = [p for p in layer.parameters() if p.requires_grad]
        A, B = sorted(pair, key=lambda p: tuple(p.shape) != (rank, d_in))
        if d_in == d_out == rank:  # the one that is not zero says which is which
            A, B = sorted(pair, key=lambda p: not p.any())
        _able_to_learn(A if A.any() else B, rank)
        # gradients are compared in eval mode: a dropout is no fault
        x = _drawn(2, 3, d_in, seed=7).float().requires_grad_()
        with torch.no_grad():
            for p, seed in ((A, 8), (B, 9)):
                p.copy_(_drawn(*p.shape, seed=seed))
        what = f"a base from {d_in} to {d_out}, {'with' if bias else 'without'} bias"
        got, scale = _called(layer.eval(), x, what), alpha / rank
        a, b = (p.detach().clone().requires_grad_() for p in (A, B))
        orders = [(a, b)] if d_in != d_out or rank != d_in else [(a, b), (b, a)]
        wanted = [
            nn.functional.linear(x, weight, offset) + scale * (x @ first.T) @ second.T
            for first, second in orders
        ]
        fit = [i for i, w in enumerate(wanted) if _near(got.detach(), w.detach(), 1e-4)]
        expect(
            fit,
            f"for {what}, rank {rank}, alpha {alpha} and inputs (2, 3, {d_in}) the "
            "layer does not give base(x) + alpha / rank * B A x",
        )
        slopes = torch.autograd.grad(got.square().sum(), (x, A, B), allow_unused=True)
        exact = torch.autograd.grad(wanted[fit[0]].square().sum(), (x, a, b))
        expect(
            slopes[0] is not None and _near(slopes[0], exact[0], 1e-3),
            "the layers before this one get a wrong gradient, or none; let it pass "
            "through the base and through the adapter: no detach() and no no_grad() "
            "around either, requires_grad_(False) is enough",
        )
        expect(
            all(s is not None and _near(s, r, 1e-3) for s, r in zip(slopes, exact)),
            "the gradients of A and B are not those of alpha / rank * B A x",
        )


@exercise
def check_repaired_layer(answer):
    """Clinic. answer(base: nn.Linear, rank, alpha) -> nn.Module that starts as `base`,
    and whose adapter can learn.
    """
    d_in, d_out, rank, alpha = 12, 7, 4, 10  # 10 / 4 is not 10 // 4
    torch.manual_seed(0)
    base = nn.Linear(d_in, d_out)
    weight = base.weight.detach().clone()
    x = torch.randn(5, d_in, generator=torch.Generator().manual_seed(1))
    layer = answer(base, rank, alpha)
    expect(
        isinstance(layer, nn.Module),
        f"the result is a {type(layer).__name__}; return an nn.Module",
    )
    plain = nn.functional.linear(x, weight, base.bias.detach())
    free = [p for p in layer.parameters() if p.requires_grad]
    shapes = sorted(tuple(p.shape) for p in free)
    STILL = (
        "the base still trains: its weights have requires_grad=True, and the "
        "optimizer would change all of them; freeze them"
    )
    # by value, not by identity: a frozen copy of the base is as good as the base, and a
    # free copy as bad
    expect(
        not any(
            torch.equal(p.detach(), q.detach()) for p in free for q in base.parameters()
        ),
        STILL,
    )
    expect(
        len(free) == 2 and shapes == sorted([(rank, d_in), (d_out, rank)]),
        f"trainable parameters have the shapes {shapes}, expected two: A "
        f"{(rank, d_in)} and B {(d_out, rank)}",
    )
    A, B = sorted(free, key=lambda p: tuple(p.shape) != (rank, d_in))
    expect(
        A.any() or B.any(),
        "A and B are both zero, so the gradient of each stays zero; draw A, and "
        "leave B zero",
    )
    layer.eval()  # a dropout on the adapter's input is no fault
    expect(
        _near(layer(x).detach(), plain),
        "before any step the outputs differ from those of the base; initialize B (or "
        "A) with zero",
    )
    _able_to_learn(A if A.any() else B, rank)
    layer.train()
    with torch.no_grad():
        A.copy_(_drawn(rank, d_in, seed=5))
        B.copy_(_drawn(d_out, rank, seed=6))
        got, low = layer.eval()(x) - plain, (x @ A.T) @ B.T
    expect(
        not _near(got, alpha // rank * low, 1e-4),
        f"with alpha {alpha} and rank {rank} the factor is {alpha / rank}; // cuts it "
        f"to {alpha // rank}",
    )
    expect(
        not _near(got, rank / alpha * low, 1e-4),
        "the factor is upside down; it is alpha / rank",
    )
    expect(
        not _near(got, alpha * low, 1e-4),
        "the factor is alpha alone, and then each rank needs its own learning rate; "
        "use alpha / rank",
    )
    expect(
        not _near(got, low, 1e-4),
        "there is no factor; an adapter that was trained with alpha / rank would "
        "give wrong outputs here",
    )
    expect(
        not _near(got, (alpha / rank) ** 2 * low, 1e-4),
        "alpha / rank is applied twice; apply it once",
    )
    expect(
        _near(got, alpha / rank * low, 1e-4),
        "the layer does not add alpha / rank * B A x; put numbers into A and B and "
        "compare",
    )
    output = layer.train()(x)
    if output.requires_grad:
        output.square().sum().backward()
    expect(
        A.grad is not None and B.grad is not None,
        "no gradient reaches A and B; look for detach() or no_grad",
    )
    expect(all(p.grad is None for p in base.parameters()), STILL)
    expect(
        torch.equal(base.weight.detach(), weight),
        "the weight of the base was changed; it stays as it is, and the adapter is "
        "added to its output",
    )
    _other_layers(answer)
    return correct("it starts as its base, and both matrices can learn")
