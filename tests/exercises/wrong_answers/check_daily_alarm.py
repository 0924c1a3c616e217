"""Chapter 24: a drift test that does not ring every day."""

from scipy.stats import ks_2samp


def tests_of(reference, today):
    return [ks_2samp(reference[k], today[k]) for k in reference]


def another(reference, today, days):
    limit = 0.05 / (len(reference) * days)
    for name, values in reference.items():
        statistic, p = ks_2samp(values, today[name])
        if p < limit and statistic >= 0.1:
            return True
    return False


def uncorrected(reference, today, days):
    tests = tests_of(reference, today)
    return any(t.pvalue < 0.05 and t.statistic >= 0.1 for t in tests)


def columns_only(reference, today, days):
    tests = tests_of(reference, today)
    return any(t.pvalue * len(tests) < 0.05 and t.statistic >= 0.1 for t in tests)


def any_size(reference, today, days):
    tests = tests_of(reference, today)
    return any(t.pvalue * len(tests) * days < 0.05 for t in tests)


def two_columns(reference, today, days):
    tests = tests_of(reference, today)
    sure = any(t.pvalue * len(tests) * days < 0.05 for t in tests)
    return sure and any(t.statistic >= 0.1 for t in tests)


def every_column(reference, today, days):
    tests = tests_of(reference, today)
    return all(
        t.pvalue * len(tests) * days < 0.05 and t.statistic >= 0.1 for t in tests
    )


def a_number(reference, today, days):
    return min(t.pvalue for t in tests_of(reference, today))


WRONG = [
    (uncorrected, "correction for the columns"),
    (columns_only, "all days as well"),
    (any_size, "long before it matters"),
    (two_columns, "no column has both"),
    (every_column, "it should ring"),
    (a_number, "return True or False"),
]

PRODUCT = "test.pvalue * len(tests) * days"
EQUIVALENT = {
    f"`{PRODUCT} < 0.05` -> `{PRODUCT} <= 0.05`": "no product is 0.05 exactly",
    "`ks_2samp(reference[k], today[k])` -> `ks_2samp(today[k], reference[k])`": (
        "the distance of two samples has no order"
    ),
}
