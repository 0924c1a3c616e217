"""Two towers and one loss, twice: pictures and their names in two languages, users and
films. Chapter 13's stored numbers.

    python recipes/two_towers.py                            # both, five seeds
    python recipes/two_towers.py --parts films --methods popularity \\
        --out runs/try.json                                 # a small trial

Pictures: a seed draws the 300 concepts that are held out, the new weights and the
order. Every row says recall among the 300. The settings were found in trials whose
held-out concepts overlap with those of the seeds, so the numbers may be a little too
good; the strength of the ridge regression is chosen inside the training concepts.

Films: MovieLens 100k, the last film of each user is the test, the one before it the
validation, with which every setting was chosen. A seed draws weights and order. `ranks`
are the positions of the 943 test films among all films that the user has not rated.

The file is written after every cell and done cells are skipped.
"""

import argparse
import functools
import time
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F

# beside this file: Python puts a script's own folder on its path
from grid import about, add, done, same_settings
from torch import nn

from ftlib.course import hub, sources
from ftlib.data import images, tokenization
from ftlib.evaluation import retrieval
from ftlib.models import cnn, hf_format, transformer
from ftlib.objectives import classify, contrastive
from ftlib.training import optim, train

HELD, WIDTH, VIEWS, SIDE = 300, 128, 4, 96
DISTORT = dict(turn=15, zoom=0.15, shift=0.08, shear=0.1)
LITE0 = "efficientnet-lite0-57934424.pth"
# pairs seen are the same for all: 300 steps of 128
PICTURES = {
    "ridge regression": None,
    "two towers": dict(size=128, temperature=0.07),
    "temperature 1, fixed": dict(size=128, temperature=1.0, learnable=False),
    "batches of 16": dict(size=16, temperature=0.07),
    "picture tower from scratch": dict(size=128, temperature=0.07, scratch=True),
}
RECENT = 20
FILMS = {
    "popularity": None,
    "item-kNN": None,
    "item-kNN, last 20": None,
    "what came after": None,
    "matrix factorisation": None,
    "two towers": dict(correction=1.0),
    "two towers, no correction": dict(correction=0.0),
    "two towers, test films trained": dict(correction=1.0, leak=True),
}


def text_vectors(name, texts):
    """(N, D) of a frozen encoder, before any scaling."""
    folder = hub.resolve(name)
    net = transformer.from_state(*hf_format.load(folder))
    rows = tokenization.encode(tokenization.load(folder), texts, 32)
    return classify.features(getattr(net, "encoder", net), classify.batches_of(rows))


@torch.no_grad()
def picture_vectors(pictures, view=0):
    """(N, 1280) of the frozen EfficientNet-Lite0; a view above 0 is distorted."""
    net = cnn.load_lite0(Path(hub.resolve("efficientnet-lite0")) / LITE0).eval()
    x = pictures
    if view:
        x = images.augment(x, torch.arange(len(x)), 0, view, **DISTORT).clamp(0, 1)
    parts = [net.features(images.prepare(part, SIDE)) for part in x.split(64)]
    return torch.cat(parts)


def scaled(vectors, rows):
    """Each column with mean 0 and deviation 1 on `rows`, then made short."""
    known = vectors[..., rows, :].reshape(-1, vectors.shape[-1])
    return (vectors - known.mean(0)) / (known.std(0) + 1e-3) / 16


def characters(names, rows):
    """(N, C): which of the characters that the names of `rows` have are in a name."""
    known = {c: i for i, c in enumerate(sorted({c for r in rows for c in names[r]}))}
    bag = torch.zeros(len(names), len(known))
    for row, name in enumerate(names):
        bag[row, [known[c] for c in name if c in known]] = 1
    return F.normalize(bag, dim=1)


def head(inputs):
    """A tower on vectors that do not move."""
    return nn.Sequential(nn.Dropout(0.2), nn.Linear(inputs, WIDTH))


def fit(model, batches, loss_fn, lr, schedule, weight_decay=0.01):
    """Train to the end of the batches -> the last loss of a pair."""
    groups = optim.parameter_groups(model, lr, weight_decay)
    run = train.steps(
        model, batches, loss_fn, optim.adamw(groups), schedule=schedule, clip=None
    )
    for step in run:
        pass
    return step.loss


def picture_batches(picture_of, tables, learn, size, seed):
    """300 x 128 pairs, `size` at a time; picture_of(rows, epoch): the input of the
    tower.
    """
    drawn = train.sample_rows(len(learn), size, seed)
    for epoch, rows in islice(drawn, 300 * 128 // size):
        chosen = learn[rows]
        texts = {language: table[chosen] for language, table in tables.items()}
        yield texts | {"picture": picture_of(rows, epoch), "labels": chosen}


def picture_loss(towers, batch):
    """CLIP's loss of the names in either language, each with the pictures."""
    picture, heat = towers["picture"](batch["picture"]), towers["temperature"]()
    return sum(
        contrastive.clip_loss(towers[language](batch[language]), picture, None, heat)
        for language in ("en", "zh")
    )


def train_pictures(x, pixels, tables, learn, held, seed, *, size, temperature,
                   learnable=True, scratch=False):  # fmt: skip
    """Recall of both languages among the held-out concepts."""
    torch.manual_seed(seed)
    tower = cnn.SmallCNN(WIDTH, width=16) if scratch else head(x.shape[-1])
    towers = nn.ModuleDict({"picture": tower})
    towers.update({name: head(table.shape[1]) for name, table in tables.items()})
    towers["temperature"] = contrastive.Temperature(temperature, learnable)
    draw = torch.Generator().manual_seed(seed)
    small = F.avg_pool2d(pixels, 2) if scratch else None

    def picture_of(rows, epoch):
        if scratch:
            index = torch.tensor(rows)
            seen = images.augment(small[learn[rows]], index, seed, epoch, **DISTORT)
            return 2 * seen - 1
        return x[torch.randint(VIEWS, (len(rows),), generator=draw), learn[rows]]

    total = 300 * 128 // size
    batches = picture_batches(picture_of, tables, learn, size, seed)
    schedule = functools.partial(optim.warmup_cosine, warmup=total // 15, total=total)
    loss = fit(towers, batches, picture_loss, 3e-3, schedule, weight_decay=0.05)
    towers.eval()
    with torch.no_grad():
        shown = towers["picture"](2 * small[held] - 1 if scratch else x[0, held])
        cell = {"loss": loss, "temperature": float(towers["temperature"]())}
        for language, table in tables.items():
            cell |= recalls(towers[language](table[held]), shown, language)
    return cell


def recalls(texts, pictures, language):
    """{"en@5": recall, ...}: texts look for their pictures."""
    table = F.normalize(texts, dim=1) @ F.normalize(pictures, dim=1).T
    own = torch.arange(len(table))
    return {
        f"{language}@{k}": float(retrieval.recall_at_k(table, own, k).mean())
        for k in (1, 5, 10)
    }


def ridge_map(inputs, targets, strength):
    """The linear map with the least squared error and small weights."""
    square = inputs.T @ inputs + strength * torch.eye(inputs.shape[1])
    return torch.linalg.solve(square, inputs.T @ targets)


def ridge(x, tables, learn, held):
    """The baseline: from a picture's vector to the text's, in closed form; its strength
    is chosen on the last fifth of the training concepts.
    """
    cut, cell = len(learn) * 4 // 5, {}
    for language, table in tables.items():
        table = table - table[learn].mean(0)

        def score(rows, asked, strength):
            inputs = x[:, rows].reshape(-1, x.shape[-1])
            weights = ridge_map(inputs, table[rows].repeat(VIEWS, 1), strength)
            return recalls(table[asked], x[0, asked] @ weights, language)

        tried = {
            strength: score(learn[:cut], learn[cut:], strength)[f"{language}@5"]
            for strength in (1.0, 10.0, 100.0, 1000.0)
        }
        cell |= score(learn, held, max(tried, key=tried.get))
    return cell


def fill_pictures(path, facts, seeds, methods):
    order = ["part", "seed", "method"]
    there = done(path, *order)
    wanted = [(s, m) for s in seeds for m in PICTURES if m in methods]
    wanted = [(s, m) for s, m in wanted if ("pictures", s, m) not in there]
    if not wanted:
        return
    table = sources.pictures()
    pixels = torch.tensor(table["picture"]).float() / 255
    views = torch.stack([picture_vectors(pixels, view) for view in range(VIEWS)])
    en = F.normalize(text_vectors("all-MiniLM-L6-v2", table["en"]), dim=1)
    zh_raw = text_vectors("zh-bert-mini", table["zh"])
    for seed, method in wanted:
        started = time.perf_counter()
        draw = torch.Generator().manual_seed(seed)
        shuffled = torch.randperm(len(pixels), generator=draw)
        held, learn = shuffled[:HELD], shuffled[HELD:]
        x = scaled(views, learn)
        bag = characters(table["zh"], learn.tolist())
        zh = torch.cat([scaled(zh_raw, learn), bag], dim=1)
        tables = {"en": en, "zh": zh}
        how = PICTURES[method]
        if how is None:
            cell = ridge(x, tables, learn, held)
        else:
            cell = train_pictures(x, pixels, tables, learn, held, seed, **how)
        cell = {k: round(v, 4) for k, v in cell.items()}
        cell |= {"part": "pictures", "seed": seed, "method": method, "held": HELD}
        cell["seconds"] = round(time.perf_counter() - started)
        add(path, cell, facts, order)
        print(cell, flush=True)


class Recent(nn.Module):
    """The user tower: a weighted mean of the vectors of the last films, (B, 20) numbers
    with `films` for none, newest first -> (B, D).
    """

    def __init__(self, films, width=64):
        super().__init__()
        self.none, self.table = films, nn.Embedding(films + 1, width)
        nn.init.normal_(self.table.weight, std=0.1)
        self.place, self.drop = nn.Parameter(torch.zeros(RECENT)), nn.Dropout(0.3)

    def forward(self, films):
        weight = self.place.exp() * (films != self.none)
        weight = weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-6)
        return (self.drop(weight)[..., None] * self.table(films)).sum(dim=1)


def film_rows():
    """The ratings with what each of them knows: `before` (N, 20), the films that the
    user rated before it, newest first; `last` and `validation`, bool (N,).
    """
    table = sources.ratings()
    user, film = torch.tensor(table["user"]), torch.tensor(table["film"])
    new = torch.cat([torch.tensor([True]), user[1:] != user[:-1]])
    row = torch.arange(len(user))
    start = torch.where(new, row, 0).cummax(0).values
    earlier = row[:, None] - 1 - torch.arange(RECENT)
    films = len(table["title"])
    before = torch.where(earlier >= start[:, None], film[earlier.clamp(min=0)], films)
    last = torch.cat([new[1:], torch.tensor([True])])
    validation = torch.cat([last[1:], torch.tensor([False])])
    return dict(user=user, film=film, before=before, last=last, validation=validation,
                first=new, users=int(user.max()) + 1, films=films)  # fmt: skip


def seen_films(data, rows):
    """bool (users, films): what a user has rated in `rows`."""
    seen = torch.zeros(data["users"], data["films"], dtype=torch.bool)
    seen[data["user"][rows], data["film"][rows]] = True
    return seen


def film_scores(data, method):
    """{setting: score(split)} of a baseline; the scores are (users, films)."""
    known = seen_films(data, ~(data["last"] | data["validation"])).float()
    if method == "popularity":
        return {"": lambda split: known.sum(0).expand_as(known)}
    if method == "matrix factorisation":
        axes = torch.linalg.svd(known, full_matrices=False).Vh
        return {
            rank: lambda split, v=axes[:rank]: rated_before(data, split) @ v.T @ v
            for rank in (10, 20, 40, 80)
        }
    if method == "what came after":
        return {
            (half, power): lambda split, half=half, power=power: (
                recent_matrix(data, split, decay(half))
                @ (came_after(data, half) / known.sum(0).clamp(min=1) ** power)
            )
            for half in (2, 5, 20)
            for power in (0.0, 0.25, 0.5, 0.75)
        }
    together, count = known.T @ known, known.sum(0).clamp(min=1)
    like = together / (count[:, None] * count).sqrt()
    like.fill_diagonal_(0)
    found = {}
    for near in (10, 20, 50, 100):
        kept = like * (like >= like.topk(near).values[:, -1:])
        if method == "item-kNN":
            found[near] = lambda split, kept=kept: rated_before(data, split) @ kept.T
            continue
        for half in (2, 5, 20):  # after so many films a film counts half
            found[near, half] = lambda split, kept=kept, half=half: (
                recent_matrix(data, split, decay(half)) @ kept.T
            )
    return found


def decay(half):
    """The weight of each of a user's last films, the newest first."""
    return 0.5 ** (torch.arange(RECENT) / half)


def came_after(data, half):
    """(films, films): how often the second was rated among the RECENT films after the
    first, the nearest with weight 1, each row divided by the times the first was rated.
    """
    rows = ~(data["last"] | data["validation"])
    before = data["before"][rows]
    target = data["film"][rows][:, None].expand_as(before)
    table = torch.zeros(data["films"] + 1, data["films"])
    weight = decay(half).expand_as(before)
    table.index_put_((before, target), weight, accumulate=True)
    return table[:-1] / table[:-1].sum(1, keepdim=True).clamp(min=1)


def rated_before(data, split):
    """(users, films): 1 for what a user has rated before the film of the split."""
    hidden = data["last"] | (data["validation"] if split == "validation" else False)
    return seen_films(data, ~hidden).float()


def recent_matrix(data, split, weight):
    """(users, films): the weight of each of a user's last films before the split's."""
    table = torch.zeros(data["users"], data["films"] + 1)
    return table.scatter(1, data["before"][data[split]], weight.expand(
        data["users"], -1))[:, :-1]  # fmt: skip


def ranked(data, scores, split):
    """(positions (users,), {"hr@10", "ndcg@10"}) of the split's films among all that
    the user has not rated before.
    """
    hidden = data["last"] | (data["validation"] if split == "validation" else False)
    seen, target = seen_films(data, ~hidden), data["film"][data[split]]
    hits = retrieval.hit_rate_at_k(scores, target, 10, seen).mean()
    gain = retrieval.ndcg_at_k(scores, target, 10, excluded=seen).mean()
    ranks = retrieval.expected_rank(scores, target, seen)
    return ranks, {"hr@10": float(hits), "ndcg@10": float(gain)}


def film_loss(towers, batch):
    """InfoNCE of users who look for their next film, a sum. One more column takes
    `often` off a film's score: it is a negative as often as it is watched.
    """
    target, heat = batch["labels"], towers["temperature"]()
    query = F.normalize(towers["users"](batch["before"]), dim=1)
    key = F.normalize(towers["films"](target), dim=1)
    query = torch.cat([query, torch.ones(len(query), 1)], dim=1)
    key = torch.cat([key, -heat.detach() * batch["often"][:, None]], dim=1)
    return contrastive.info_nce(query, key, target, heat, normalize=False)


def train_films(data, seed, correction, leak=False, size=512, epochs=4, lr=1e-2):
    """score(split) of two towers trained on (last films, next film)."""
    hidden = False if leak else data["last"] | data["validation"]
    learn = (~(data["first"] | hidden)).nonzero()[:, 0]
    torch.manual_seed(seed)
    towers = nn.ModuleDict({"users": Recent(data["films"])})
    towers["films"] = nn.Embedding(data["films"], 64)
    nn.init.normal_(towers["films"].weight, std=0.1)
    towers["temperature"] = contrastive.Temperature(0.2)
    count = torch.bincount(data["film"][learn], minlength=data["films"]).clamp(min=1)
    often = correction * (count / count.sum()).log()

    def batches():
        for _, rows in train.sample_rows(len(learn), size, seed, epochs=epochs):
            film, before = (data[k][learn[rows]] for k in ("film", "before"))
            yield {"before": before, "labels": film, "often": often[film]}

    total = -(-len(learn) // size) * epochs
    schedule = functools.partial(optim.warmup_linear, warmup=total // 20, total=total)
    fit(towers, batches(), film_loss, lr, schedule)
    towers.eval()

    @torch.no_grad()
    def score(split):
        query = F.normalize(towers["users"](data["before"][data[split]]), dim=1)
        return query @ F.normalize(towers["films"].weight, dim=1).T

    return score


def fill_films(path, facts, seeds, methods):
    order, data = ["part", "seed", "method"], film_rows()
    for method, how in FILMS.items():
        for seed in seeds if how else [0]:
            if ("films", seed, method) in done(path, *order) or method not in methods:
                continue
            started = time.perf_counter()
            if how:
                setting, score = "", train_films(data, seed, **how)
            else:
                tried = film_scores(data, method)
                chances = {
                    k: ranked(data, s("validation"), "validation")[1]["hr@10"]
                    for k, s in tried.items()
                }
                setting = max(chances, key=chances.get)
                score = tried[setting]
            validated = ranked(data, score("validation"), "validation")[1]
            ranks, values = ranked(data, score("last"), "last")
            cell = {k: round(v, 4) for k, v in values.items()}
            cell |= {"part": "films", "seed": seed, "method": method}
            cell |= {"setting": str(setting), "ranks": ranks.tolist()}
            cell["validation hr@10"] = round(validated["hr@10"], 4)
            cell["seconds"] = round(time.perf_counter() - started)
            add(path, cell, facts, order)
            print({k: v for k, v in cell.items() if k != "ranks"}, flush=True)


def main(arguments=None):
    p = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    p.add_argument("--parts", nargs="+", default=["films", "pictures"],
                   choices=["films", "pictures"])  # fmt: skip
    p.add_argument("--methods", nargs="+", default=[*PICTURES, *FILMS])
    p.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    p.add_argument("--out", type=Path, default=Path("data/results/two_towers.json"))
    a = p.parse_args(arguments)
    facts = about() | {"held": HELD, "views": VIEWS, "recent films": RECENT}
    same_settings(a.out, facts)
    for part in a.parts:
        fill = fill_films if part == "films" else fill_pictures
        fill(a.out, facts, a.seeds, a.methods)


if __name__ == "__main__":
    main()
