"""Chapter 00: the bytes of a small model."""


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


WRONG = [
    (weights_only, "number of parameters"),
    (bits, "count bits"),
    (no_biases, "biases are missing"),
    (no_table, "embedding is missing"),
    (product, "add them"),
    (fixed, "one set of sizes"),
]
