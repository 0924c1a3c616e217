"""Models for a table whose columns are numbers and categories: a logistic regression, a
small network, and boosted trees to compare with.

    >>> rows = {"age": ["1", "2", "8", "9"] * 5, "kind": ["a", "b", "a", "b"] * 5}
    >>> line = Line().fit(rows, [0, 0, 1, 1] * 5)
    >>> line.predict({"age": ["1", "9"], "kind": ["a", "a"]}).argmax(1).tolist()
    [0, 1]

Each has `predict(columns)` -> log-probabilities (N, C). columns.py says what a column
is. groups: of the training rows, which cross-validation then keeps together.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from torch import nn

from ftlib.course.project.columns import Columns
from ftlib.course.project.folds import folds_of

STEPS, SIZE, LR, HIDDEN = 1500, 128, 3e-3, 64


class Line:
    """A logistic regression; C by five-fold cross-validation."""

    net = None

    def fit(self, columns, labels, groups=None):
        self.columns, self.classes = Columns().fit(columns), max(labels) + 1
        x = self.columns.matrix(columns)
        search = GridSearchCV(
            LogisticRegression(max_iter=2000),
            {"C": (0.01, 0.1, 1, 10)},
            cv=folds_of(labels, groups),
        ).fit(x.numpy(), labels)
        line = search.best_estimator_
        weight, bias = torch.as_tensor(line.coef_), torch.as_tensor(line.intercept_)
        if len(weight) == 1:  # scikit-learn keeps one row of two classes
            weight = torch.cat([torch.zeros_like(weight), weight])
            bias = torch.cat([torch.zeros_like(bias), bias])
        self.net = nn.Sequential(nn.Linear(x.shape[1], self.classes))
        with torch.no_grad():
            self.net[0].weight.copy_(weight)
            self.net[0].bias.copy_(bias)
        return self

    def build(self, width):
        return nn.Sequential(nn.Linear(width, self.classes))

    @torch.no_grad()
    def predict(self, columns):
        return torch.log_softmax(self.net(self.columns.matrix(columns)).double(), dim=1)

    def save(self, folder):
        facts = {"columns": self.columns.facts()}
        facts |= {"classes": self.classes, "way": type(self).__name__}
        text = json.dumps(facts, ensure_ascii=False)
        (Path(folder) / "table.json").write_text(text, encoding="utf-8")
        save_file(self.net.state_dict(), Path(folder) / "table.safetensors")


class Small(Line):
    """A network with one hidden layer; it stops where a held-out tenth of the training
    rows, or of their groups, was answered best.
    """

    def __init__(self, seed=0):
        self.seed = seed

    def build(self, width):
        return nn.Sequential(
            nn.Linear(width, HIDDEN), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(HIDDEN, self.classes),
        )  # fmt: skip

    def fit(self, columns, labels, groups=None):
        torch.manual_seed(self.seed)
        self.columns, self.classes = Columns().fit(columns), max(labels) + 1
        x, y = self.columns.matrix(columns), torch.tensor(labels)
        own, val_rows = held_out(len(y), groups)
        self.net = self.build(x.shape[1])
        adam = torch.optim.AdamW(self.net.parameters(), LR, weight_decay=0.01)
        best = float("inf"), None
        for step in range(STEPS):
            rows = own[torch.randint(len(own), (SIZE,))]
            adam.zero_grad()
            F.cross_entropy(self.net.train()(x[rows]), y[rows]).backward()
            adam.step()
            if step % 50 == 49:
                with torch.no_grad():
                    loss = float(
                        F.cross_entropy(self.net.eval()(x[val_rows]), y[val_rows])
                    )
                if loss < best[0]:
                    state = self.net.state_dict()
                    best = loss, {k: v.clone() for k, v in state.items()}
        self.net.load_state_dict(best[1])
        self.net.eval()
        return self


def held_out(n, groups=None):
    """(rows to learn from, a tenth of the rows), or a tenth of the groups."""
    names = list(dict.fromkeys(range(n) if groups is None else groups))
    if len(names) < 2:
        return held_out(n)
    order = torch.randperm(len(names)).tolist()
    chosen = {names[i] for i in order[: max(1, len(names) // 10)]}
    is_val = torch.tensor([g in chosen for g in (groups or range(n))])
    return (~is_val).nonzero()[:, 0], is_val.nonzero()[:, 0]


class Trees:
    """Boosted trees of scikit-learn, the usual strong method for tables. They are here
    to compare with: their file format is pickle, which can run code, so none is
    written.
    """

    def __init__(self, seed=0):
        self.seed = seed

    def fit(self, columns, labels, groups=None):
        self.columns = Columns().fit(columns)
        trees = HistGradientBoostingClassifier(
            early_stopping=True, random_state=self.seed
        )
        self.trees = trees.fit(self.columns.matrix(columns).numpy(), labels)
        return self

    def predict(self, columns):
        chances = self.trees.predict_proba(self.columns.matrix(columns).numpy())
        return torch.tensor(chances, dtype=torch.float64).clamp(min=1e-12).log()


def load(folder):
    """The `Line` or `Small` that `save` has written."""
    folder = Path(folder)
    facts = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    model = {"Line": Line, "Small": Small}[facts["way"]]()
    model.columns = Columns(**facts["columns"])
    model.classes, state = facts["classes"], load_file(folder / "table.safetensors")
    first = next(value for name, value in state.items() if name.endswith("weight"))
    model.net = model.build(first.shape[1]).eval()
    model.net.load_state_dict(state)
    return model
