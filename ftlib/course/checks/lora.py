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
        int(torch.linalg.matrix_rank(random)) == rank,
        "the rows of the random matrix are copies of one another, so the adapter has "
        "rank 1 whatever `rank` says; draw every entry",
    )
    again = answer(d_in, d_out, rank)[0 if a else 1].detach().double()
    expect(
        not torch.equal(random, again),
        "two calls give the same numbers: a seed is set inside, and all layers would "
        "start alike; leave the seed to the caller",
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
    return correct("the product is zero, and the zero matrix gets a gradient")


@exercise
def check_fold_in(answer):
    """answer(weight (d_out, d_in), A, B, alpha) -> the weight of one linear layer
    with the same outputs as base and adapter together.
    """
    W = _drawn(6, 9, seed=1)
    A = _drawn(3, 9, seed=2)
    B = _drawn(6, 3, seed=3)
    x = _drawn(5, 9, seed=4)
    # the hints below compare with numbers that the answer cannot have changed
    given = W.clone(), A.clone(), B.clone()
    got = answer(*given, 12)
    expect(
        torch.equal(W, given[0]),
        "`weight` itself was changed, so every other user of the base would get the "
        "adapter too; return a new tensor",
    )
    expect(
        torch.equal(A, given[1]) and torch.equal(B, given[2]),
        "A or B itself was changed, so the next use of the adapter would scale it "
        "once more; write `x = 2 * x`, not `x *= 2`",
    )
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
    # sizes at which a second rounding shows in some of the 54 numbers
    half, factor = W.to(torch.float16), 0.3
    folded = answer(half, A.float() * factor, B.float(), 12)
    best = (half.float() + 4 * B.float() @ (A.float() * factor)).to(torch.float16)
    expect(
        folded.dtype == torch.float16,
        "weight was float16 and the result is "
        f"{str(folded.dtype).removeprefix('torch.')}; return the dtype that came in",
    )
    expect(
        torch.equal(folded, best),
        "with a float16 weight some results are a rounding step off; add in float32, "
        "and round once at the end",
    )
    return correct("one layer, the same outputs, and the base unchanged")


@exercise
def check_largest_rank(answer):
    """answer(shapes: [(d_in, d_out)], bytes_allowed, bytes_each) -> the largest rank
    whose adapters fit.
    """
    mini = [(256, 256)] * 8  # query and value of 4 layers
    got = answer(mini, 300_000, 4)
    expected = 300_000 // (4 * 8 * 512)
    expect(
        got != 300_000 // (4 * 8 * 256 * 256) and got != 0,
        "you count d_in x d_out, the full matrix; A and B have rank x d_in and rank "
        "x d_out parameters",
    )
    expect(
        got != 300_000 // (8 * 512),
        "you count parameters; the limit is in bytes, and each parameter takes "
        "bytes_each of them",
    )
    expect(
        got != 300_000 // (4 * 512),
        "you count one layer; the file holds A and B for each entry of `shapes`",
    )
    expect(
        got != 300_000 // (4 * 8 * 256),
        "you count one of the two matrices; A has rank x d_in parameters, and B rank "
        "x d_out",
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
        "for 8 layers of 256 to 256, 300,000 bytes and 4 bytes a parameter your rank "
        f"is {got}, expected {expected}",
    )
    uneven = [(256, 1024), (1024, 256), (256, 256)]
    expect(
        answer(uneven, 100_000, 2) == 100_000 // (2 * 3072),
        "the rank is wrong for layers of unequal widths; add up d_in + d_out over "
        "all layers",
    )
    fits = 4 * 8 * 512 * 18
    expect(
        answer(mini, fits, 4) != 17,
        f"{fits:,} bytes hold rank 18 exactly, and `at "
        "most` allows that; compare with <=, not <",
    )
    expect(
        answer(mini, fits, 4) == 18,
        f"rank 18 takes {fits:,} bytes; with exactly as many allowed your rank is "
        "another",
    )
    expect(
        answer(mini, fits + 10_000, 4) == 18,
        "with room for rank 18.6 the rank is 18; rounded to the nearest integer, the "
        "file is too large, so use //",
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


@exercise
def check_products_of(answer):
    """answer(tensors, config) -> {layer name in the base: (d_out, d_in) that the
    adapter adds to its weight}.
    """
    tensors, config = peft_file()
    got = answer(dict(tensors), dict(config))
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
    expect(
        got.keys() == wanted,
        f"{len(got)} names came back, and {len(wanted)} layers have an adapter; "
        f"{sorted(wanted - got.keys())[:1]} is missing or another is too many",
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
            answer(dict(tensors), dict(config))[layer],
            2.5
            * tensors[NAME.format(0, "query", "B")]
            @ tensors[NAME.format(0, "query", "A")],
        ),
        "with r 2 and lora_alpha 5 the factor is wrong; read both from the "
        "configuration, and divide with /, not //",
    )
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
        int(torch.linalg.matrix_rank(drawn)) == rank,
        "the rows of the random matrix are copies of one another, so the adapter has "
        f"rank 1, expected {rank}; draw every entry",
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
    return correct("it starts as its base, and both matrices can learn")
