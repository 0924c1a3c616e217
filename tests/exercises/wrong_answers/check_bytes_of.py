"""Chapter 00: the bytes of a small model."""

import torch


def another(vocabulary, width, classes, bytes_each):
    return bytes_each * (width * (vocabulary + classes) + classes)


def weights_only(vocabulary, width, classes, bytes_each):
    return vocabulary * width + width * classes + classes


def bits(vocabulary, width, classes, bytes_each):
    return 8 * another(vocabulary, width, classes, bytes_each)


def no_biases(vocabulary, width, classes, bytes_each):
    return (vocabulary * width + width * classes) * bytes_each


def no_table(vocabulary, width, classes, bytes_each):
    return (width * classes + classes) * bytes_each


def product(vocabulary, width, classes, bytes_each):
    return vocabulary * width * width * classes * bytes_each


def fixed(vocabulary, width, classes, bytes_each):
    return 32102


def bias_of_each_input(vocabulary, width, classes, bytes_each):
    return another(vocabulary, width, classes, bytes_each) + bytes_each * (
        width - classes
    )


def always_four(vocabulary, width, classes, bytes_each):
    return another(vocabulary, width, classes, 4)


def kilobytes(vocabulary, width, classes, bytes_each):
    return another(vocabulary, width, classes, bytes_each) / 1024


def one_output_for_two(vocabulary, width, classes, bytes_each):
    return another(vocabulary, width, 1 if classes == 2 else classes, bytes_each)


def by_building_it(vocabulary, width, classes, bytes_each):
    layers = torch.nn.Embedding(vocabulary, width), torch.nn.Linear(width, classes)
    return sum(p.numel() for layer in layers for p in layer.parameters()) * bytes_each


def in_a_tensor(vocabulary, width, classes, bytes_each):
    return torch.tensor([vocabulary * width, width * classes, classes]).sum() * (
        bytes_each
    )


WRONG = [
    (weights_only, "number of parameters"),
    (bits, "count bits"),
    (no_biases, "biases are missing"),
    (no_table, "embedding is missing"),
    (product, "add them"),
    (fixed, "one set of sizes"),
    (bias_of_each_input, "for each input"),
    (always_four, "4 bytes for each"),
    (kilobytes, "not kilobytes"),
    (one_output_for_two, "a layer of one output"),
]

RIGHT = [by_building_it, in_a_tensor]
