"""Wrong answers to the exercises of chapter p13: mistakes people make, two for each."""

WRONG = {
    "paths_left": [
        # paths through deleted blocks counted as well
        "return sum(math.comb(blocks, n) for n in range(longest + 1))",
        # of exactly that length
        "return math.comb(blocks - deleted, longest)",
    ],
    "tau": [
        # blocks that stand in their own place
        "return sum(k == unit for k, unit in enumerate(order)) / len(order)",
        # neighbours only
        "pairs = list(zip(order, order[1:]))\nreturn sum(1 if a < b else -1 for a, b in pairs) / len(pairs)",
    ],
    "deleted": [
        "return x",  # where the shape changes, this does not fit
        "return block(x) * 0",  # the skip cut as well
    ],
    "exact_gradient": [
        # as if all policies were equally likely
        "every = torch.tensor(list(product((0.0, 1.0), repeat=len(logits))))\n"
        "return ((every - logits.sigmoid()) * rewards.unsqueeze(1)).mean(0)",
        # of the logarithm's mean, not of the mean's
        "every = torch.tensor(list(product((0.0, 1.0), repeat=len(logits))))\n"
        "return ((every - logits.sigmoid()) * rewards.unsqueeze(1)).sum(0)",
    ],
    "policy_loss": [
        # as it stands in the exercise
        "logs = torch.where(keep, s, 1 - s).log()\nreturn (advantage * logs.sum(1)).mean()",
        # sign and forced blocks mended, but by the probabilities that were not drawn from
        "logs = torch.where(keep, s, 1 - s).log()[:, -free:]\nreturn -(advantage * logs.sum(1)).mean()",
    ],
    "as_random": [
        # the number of blocks only on average
        "return torch.rand(keep.shape) < keep.double().mean(1, keepdim=True)",
        # one shuffle for all images
        "return keep[:, torch.randperm(keep.shape[1])]",
    ],
    "over_static": [
        # the nearest whole number of blocks in place of the line between two
        "gains = []\n"
        "for row in rows:\n"
        "    if row['arm'] == 'BlockDrop':\n"
        "        own = [r for r in rows if r['arm'] == 'greedy static policy' and r['seed'] == row['seed']]\n"
        "        near = min(own, key=lambda r: abs(r['blocks'] - row['blocks']))\n"
        "        gains.append(row['accuracy'] - near['accuracy'])\n"
        "return float(np.mean(gains))",
        # one curve for all seeds
        "static = sorted((r['blocks'], r['accuracy']) for r in rows if r['arm'] == 'greedy static policy')\n"
        "x, y = zip(*static)\n"
        "ours = [r for r in rows if r['arm'] == 'BlockDrop']\n"
        "return float(np.mean([r['accuracy'] - np.interp(r['blocks'], x, y) for r in ours]))",
    ],
    "own_lesion_claim": [
        "return {\n"
        "    'claim': 'In an untrained residual network short paths carry most of the gradient',\n"
        "    'control': 'half of the blocks',\n"
        "    'effects': [0.1, 0.2],\n"  # two seeds
        "    'verdict': 'supported',\n"
        "}",
        "return {\n"
        "    'claim': 'In an untrained residual network short paths carry most of the gradient',\n"
        "    'control': 'half of the blocks',\n"
        "    'effects': [0.1, -0.2, 0.05, 0.0],\n"
        "    'verdict': 'supported',\n"  # the interval says otherwise
        "}",
    ],
}
