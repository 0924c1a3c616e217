"""The folds of a cross-validation inside the training part.

>>> labels, authors = [0, 1] * 6, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
>>> folds_of(labels)
5
>>> for fitted, answered in folds_of(labels, authors):
...     assert not {authors[i] for i in fitted} & {authors[i] for i in answered}
"""

import numpy
from sklearn.model_selection import StratifiedGroupKFold

MOST = 5


def folds_of(labels, groups=None, most=MOST):
    """What GridSearchCV takes as cv: a number of stratified folds or, with the `groups`
    of the rows, [(rows to fit, rows to answer)] in which no group is on both sides.

    Where the groups are too few for that (one holds all rows of a class), the number.
    """
    labels = numpy.asarray(labels)
    smallest = int(numpy.unique(labels, return_counts=True)[1].min())
    folds = max(2, min(most, smallest))
    if groups is None:
        return folds
    names = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    index = numpy.array([names[group] for group in groups])
    if len(names) < 2:
        return folds
    split = StratifiedGroupKFold(min(folds, len(names)))
    pairs = list(split.split(labels, labels, index))
    classes = len(set(labels))
    pairs = [(a, b) for a, b in pairs if len(b) and len(set(labels[a])) == classes]
    return pairs or folds
