"""Wrong answers to the exercises of chapter p07: mistakes people make, two or more for each."""

_SPREADS = """single, main = [], []
for seed in sorted({row["seed"] for row in rows}):
    here = [row for row in rows if row["seed"] == seed]
    alone = {row["arm"]: row[measure] for row in here}
    single.append(alone[method] - alone["baseline"])
    on, off = (fmean(row[measure] for row in here if row[method] == level) for level in ("on", "off"))
    main.append(on - off)
return stdev(single), stdev(main)"""  # counts the arm that trained longer

_INTERACTION = """effects = []
for seed in sorted({row["seed"] for row in rows}):
    at = {row["arm"]: row["test accuracy"] for row in rows if row["seed"] == seed}
    effects.append(at["cutout + mixup"] - at["cutout"] - (at["mixup"] - at["baseline"]))
return {"first": "cutout", "second": "mixup", "measure": "test accuracy", "margin": 0.02, "effects": effects,
        "verdict": "contradicted"}"""  # half of the arms

WRONG = {
    "hidden_pixels": [
        "return float(length**2)",  # squares at the edge are clipped
        "return length**2 * (side - length) / side",
    ],
    "best_margin": [
        "return share - (1 - share)",  # of the probabilities
        "return math.log(share)",  # the other class has a logit, too
    ],
    "share_of_own": [
        "return alpha, alpha",  # the blend of labels is lost
        "return 2 * alpha, alpha",
    ],
    "two_task_loss": [
        "mixed = share * x + (1 - share) * x[order]\n"
        "logits, turn_logits = model.both(mixed, turned(mixed, turns))\n"  # blends of two rotations
        "first, second = F.cross_entropy(logits, y), F.cross_entropy(logits, y[order])\n"
        "return share * first + (1 - share) * second + weight * F.cross_entropy(turn_logits, turns)",
        "rotated = turned(x, turns)\n"
        "x *= share\n"
        "x += (1 - share) * x[order]\n"  # of what was scaled already
        "logits, turn_logits = model.both(x, rotated)\n"
        "first, second = F.cross_entropy(logits, y), F.cross_entropy(logits, y[order])\n"
        "return share * first + (1 - share) * second + weight * F.cross_entropy(turn_logits, turns)",
    ],
    "two_spreads": [
        _SPREADS,
        _SPREADS.replace(
            'row["seed"] == seed]', 'row["seed"] == seed and row["training"] == "once"]'
        ).replace("stdev(single), stdev(main)", "stdev(main), stdev(single)"),
    ],
    "chosen_once": [
        "return max(rows, key=lambda row: row['held-out accuracy'])[strength]",  # one lucky seed
        "values = {row[strength] for row in rows}\n"
        "return max(values, key=lambda v: fmean(row['test accuracy'] for row in rows if row[strength] == v))",
        "seeds = {row['seed'] for row in rows}\n"
        "best = [max((r for r in rows if r['seed'] == seed), key=lambda r: r['held-out accuracy'])\n"
        "        for seed in seeds]\n"
        "return fmean(row[strength] for row in best)",  # a length that nobody tried
        "from statistics import median\n"
        "seeds = {row['seed'] for row in rows}\n"
        "best = [max((r for r in rows if r['seed'] == seed), key=lambda r: r['held-out accuracy'])\n"
        "        for seed in seeds]\n"
        "return median(row[strength] for row in best)",
    ],
    "best_temperature": [
        "from torch.nn import functional as F\n"
        "return min(temperatures, key=lambda t: F.cross_entropy(logits * t, labels).item())",
        "return max(temperatures, key=lambda t: (logits / t).softmax(1).max(1).values.mean().item())",
        "right = (logits.argmax(1) == labels).float().mean()\n"
        "sure = lambda t: (logits / t).softmax(1).max(1).values.mean()\n"
        "return min(temperatures, key=lambda t: (sure(t) - right).abs().item())",  # right on average only
    ],
    "looks_robust": [
        "return lambda x: 1e-4 * model(x)",  # the sign does not care
        "return lambda x: model(x).softmax(1)",
    ],
    "own_interaction": [
        _INTERACTION,
        "return {'first': 'cutout', 'second': 'cutout', 'measure': 'gap', 'margin': 0.01, 'effects': [], "
        "'verdict': 'undecided'}",
    ],
}
