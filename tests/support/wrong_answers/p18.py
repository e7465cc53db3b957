"""Wrong answers to the exercises of chapter p18: mistakes people make, two for each."""

WRONG = {
    "weighted_mean": [
        "return models.mean(0)",  # as if all had as many
        "return (models * sizes.unsqueeze(1)).sum(0) / len(models)",  # weights that do not add up to one
    ],
    "trimmed_shift": [
        # as if the server cut no more than there are lies
        "dropped = lying / (1 - lying)\n"
        "return NormalDist().pdf(NormalDist().inv_cdf(dropped)) / (1 - dropped)",
        # shares of all, not of the honest
        "bell, above = NormalDist(), cut - lying\n"
        "return (bell.pdf(bell.inv_cdf(cut)) - bell.pdf(bell.inv_cdf(1 - above))) / (1 - cut - above)",
    ],
    "largest_gamma": [
        # the distance from the mean, not of two models
        "apart = honest.mean(0) - honest\nreturn (apart.norm(dim=1).max() / p.norm()).item()",
        # the model nearest to being too far is forgotten: the mean of all
        "allowed = torch.cdist(honest, honest).square().max()\n"
        "spread = (honest.mean(0) - honest).square().sum(1).mean()\n"
        "return ((allowed - spread) / (p @ p)).sqrt().item()",
    ],
    "honest_quantile": [
        "return 0.5 - lying / clients",  # of all values, not of the honest ones
        "return clients / 2 / (clients - lying)",  # as if the lies were above
    ],
    "krum_choice": [
        # as it stands in the exercise
        "distances = torch.cdist(models, models)\n"
        "nearest = distances.sort(1).values[:, : len(models) - attackers - 2]\n"
        "return int(nearest.sum(1).argmin())",
        # one of the two mended: squares, but each model is its own neighbour
        "distances = torch.cdist(models, models).square()\n"
        "nearest = distances.sort(1).values[:, : len(models) - attackers - 2]\n"
        "return int(nearest.sum(1).argmin())",
    ],
    "worst_damage": [
        # the largest within each seed, and then the mean
        "found = {}\n"
        "for row in rows:\n"
        "    worst = max(row[a] for a in attacks) - row['none']\n"
        "    found.setdefault(row['rule'], []).append(worst)\n"
        "return {rule: sum(values) / len(values) for rule, values in found.items()}",
        # the error itself
        "found = {}\n"
        "for row in rows:\n"
        "    found.setdefault(row['rule'], []).append(row)\n"
        "return {\n"
        "    rule: max(sum(row[a] for row in own) / len(own) for a in attacks)\n"
        "    for rule, own in found.items()\n"
        "}",
    ],
    "own_federated_claim": [
        'return {"claim": "The median is better", "control": "the mean", "effects": [0.1, 0.2, 0.3], '
        '"verdict": "supported"}',
        'return {"claim": "Under a fifth of lies the median loses less accuracy than the trimmed mean does", '
        '"control": "both rules without lies", "effects": [0.1, -0.2, 0.3], "verdict": "supported"}',
    ],
}
