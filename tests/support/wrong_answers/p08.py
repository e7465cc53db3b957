"""Wrong answers to the exercises of chapter p08: mistakes people make, two for each."""

WRONG = {
    "flagged": [
        # the question that the chapter asks
        "limit = inside.sort(descending=True).values[math.ceil(0.95 * len(inside)) - 1]\n"
        "return (outside >= limit).double().mean().item()",
        # the wrong end of the outliers
        "limit = outside.sort().values[math.ceil(0.05 * len(outside)) - 1]\n"
        "return (inside <= limit).double().mean().item()",
    ],
    "images_needed": [
        "return math.ceil(share * (1 - share) / margin**2)",  # one standard deviation
        "return math.ceil((1.96 * share * (1 - share) / margin) ** 2)",  # the variance for the deviation
    ],
    "compromise": [
        "return 1 / (1 + weight)",  # the outlier gives the true class its share as well
        "return (1 + weight / classes) / (1 + weight * classes)",
    ],
    "without_ties": [
        "return (logits / temperature).softmax(1).amax(1)",  # the ties
        "return logits.amax(1) - logits.logsumexp(1)",  # MSP, which ranks otherwise
    ],
    "exposed_loss": [
        # two forward passes
        "other = model(outliers).log_softmax(1)\nreturn F.cross_entropy(model(x), y) - weight * other.mean()",
        # a sum over classes
        "known, other = model(torch.cat([x, outliers])).split([len(x), len(outliers)])\n"
        "return F.cross_entropy(known, y) - weight * other.log_softmax(1).sum(1).mean()",
    ],
    "agreement": [
        # seeds thrown together
        "rows = [row for row in rows if row['score'] == score]\n"
        "at = {(row['seed'], row['network'], row['set']): row['AUROC'] for row in rows}\n"
        "keys = sorted((seed, name) for seed, network, name in at if network == one)\n"
        "both = [[at[seed, network, name] for seed, name in keys] for network in (one, other)]\n"
        "return float(spearmanr(*both).statistic)",
        # the scores thrown together: of each set the last row counts
        "at = {(row['seed'], row['network'], row['set']): row['AUROC'] for row in rows}\n"
        "found = []\n"
        "for seed in sorted({seed for seed, _, _ in at}):\n"
        "    sets = sorted(name for s, network, name in at if (s, network) == (seed, one))\n"
        "    both = [[at[seed, network, name] for name in sets] for network in (one, other)]\n"
        "    found.append(sum((a - b) ** 2 for a, b in zip(*both)))\n"
        "return fmean(found)",
    ],
    "made_outliers": [
        "return {'claim': 'noise helps', 'control': 'no noise', 'effects': [1, 2, 3],\n"
        "        'verdict': 'supported'}",  # no sentence
        "return {\n"
        "    'claim': 'Noise as outliers raises the AUROC against the ring',\n"
        "    'control': 'training without any outliers',\n"
        "    'effects': [0.1, 0.3, 0.2],\n"
        "    'verdict': 'contradicted',\n"
        "}",  # not what the interval says
    ],
}
