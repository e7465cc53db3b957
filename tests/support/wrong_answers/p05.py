"""Wrong answers to the exercises of chapter p05: mistakes people make, two for each."""

ATTACK = """was_training, z = model.training, x.clone()
{eval}
for _ in range(steps):
    z.requires_grad_()
    loss = F.cross_entropy(model(z), target, reduction="sum")
    (g,) = torch.autograd.grad(loss, z)
    change = z.detach() {sign} step * g / {gradient} - x
    z = (x + change * (eps / {change}).clamp_max(1)){clip}
model.train(was_training)
return z"""
EACH = "{}.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)"
RIGHT = {
    "eval": "model.eval()",
    "sign": "-",
    "gradient": EACH.format("g"),
    "change": EACH.format("change"),
    "clip": ".clamp(0, 255)",
}

WRONG = {
    "grey_levels": [
        "return 255 * length / (channels * side**2)",  # the root forgotten
        "return 255 * length / side",  # as if there were one channel
    ],
    "right_by_sight": [
        "return 1 / classes",
        "return 1 / (classes - 1) if true_class_left_out else 1 / classes",
    ],
    "towards_target": [
        ATTACK.format(**RIGHT | {"sign": "+"}),
        ATTACK.format(**RIGHT | {"gradient": "g.norm()"}),
        ATTACK.format(**RIGHT | {"change": "change.norm()"}),
        ATTACK.format(**RIGHT | {"clip": ""}),
        ATTACK.format(**RIGHT | {"eval": "pass"}),
    ],
    "somebody_else": [
        "return torch.randperm(n, generator=generator)",
        "return torch.arange(n).roll(1)",  # nobody is drawn
        # each somebody else, but not each once
        "return (torch.arange(n) + torch.randint(1, n, (n,), generator=generator)) % n",
    ],
    "learned_from_next_labels": [
        # the covariance of the random labels
        "w = m / variances\n"
        "covariance = torch.diag(variances) + torch.outer(m, m)\n"
        "return torch.linalg.solve(covariance, eps * w / w.norm() - m)",
        "w = m / variances\nreturn eps * w / w.norm() / variances",  # the old class forgotten
    ],
    "share_of_right_labels": [
        # chance counts as learned
        "at = {(row['seed'], row['arm']): row['test accuracy'] for row in rows}\n"
        "seeds = sorted({row['seed'] for row in rows})\n"
        "found = mean_interval([math.log(at[seed, arm] / at[seed, 'originals']) for seed in seeds])\n"
        "return math.exp(found.mean), math.exp(found.low), math.exp(found.high)",
        # a mean of quotients
        "above = {(row['seed'], row['arm']): row['test accuracy'] - 0.1 for row in rows}\n"
        "seeds = sorted({row['seed'] for row in rows})\n"
        "found = mean_interval([above[seed, arm] / above[seed, 'originals'] for seed in seeds])\n"
        "return found.mean, found.low, found.high",
    ],
    "inversion_step": [
        "z = z.detach().requires_grad_()\n"
        "distance = (features(z) - goal).square().sum(dim=1).sqrt().sum()\n"
        "(g,) = torch.autograd.grad(distance, z)\n"
        "length = g.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, 1, 1, 1)\n"
        "return (z.detach() - step * g / length).clamp(0, 255)",
        "z = z.detach().requires_grad_()\n"
        "distance = (features(z) - goal).square().sum()\n"
        "(g,) = torch.autograd.grad(distance, z)\n"
        "return (z.detach() - step * g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)).clamp(0, 255)",
    ],
    "own_set": [
        "return {'claim': 'features are everything', 'control': 'no features', 'effects': [1, 2, 3],\n"
        "        'verdict': 'supported'}",  # no sentence
        "return {\n"
        "    'claim': 'Random labels of an attack teach more than random labels alone do',\n"
        "    'control': 'the same labels on untouched images',\n"
        "    'effects': [0.3, -0.2, 0.1],\n"
        "    'verdict': 'supported',\n"
        "}",  # a verdict that the effects do not give
    ],
}
