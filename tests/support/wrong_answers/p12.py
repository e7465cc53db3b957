"""Wrong answers to the exercises of chapter p12: mistakes people make, two for each."""

WRONG = {
    "sizes": [
        # no biases
        "products = sum(a * b for a, b in zip(widths, widths[1:]))\nreturn products, products",
        # a bias for each input
        "products = sum(a * b for a, b in zip(widths, widths[1:]))\n"
        "return products + sum(widths[:-1]), products",
    ],
    "how_warm": [
        # the interval ends too soon
        "low, high = 1.0, 20.0\n"
        "for _ in range(100):\n"
        "    middle = (low + high) / 2\n"
        "    if (v / middle).softmax(0).max() > confidence:\n"
        "        low = middle\n"
        "    else:\n"
        "        high = middle\n"
        "return low",
        # the wrong half
        "low, high = 1e-6, 1e6\n"
        "for _ in range(100):\n"
        "    middle = (low * high) ** 0.5\n"
        "    if (v.double() / middle).softmax(0).max() < confidence:\n"
        "        low = middle\n"
        "    else:\n"
        "        high = middle\n"
        "return low",
    ],
    "repaired": [
        # the default reduction
        "soft = F.kl_div((z / T).log_softmax(1), (v / T).softmax(1))\n"
        "return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(z, y)",
        # the factor forgotten
        "soft = F.kl_div((z / T).log_softmax(1), (v / T).softmax(1), reduction='batchmean')\n"
        "return alpha * soft + (1 - alpha) * F.cross_entropy(z, y)",
        # the other divergence
        "soft = F.kl_div((v / T).log_softmax(1), (z / T).softmax(1), reduction='batchmean')\n"
        "return alpha * T**2 * soft + (1 - alpha) * F.cross_entropy(z, y)",
    ],
    "smoothing": [
        # the soft weight itself
        "return alpha",
        # what the wrong classes get together
        "right = math.exp(correct / temperature)\n"
        "wrong = math.exp((1 - correct) / (classes - 1) / temperature)\n"
        "return alpha * (classes - 1) * wrong / (right + (classes - 1) * wrong)",
    ],
    "best_bias": [
        # a grid that is too coarse
        "def wrong(bias):\n"
        "    moved = z.clone()\n"
        "    moved[:, missing] += bias\n"
        "    return int((moved.argmax(1) != y).sum())\n"
        "return float(min(range(-20, 100), key=wrong))",
        # as often said as it is there, which is not the same as right
        "others = z.clone()\n"
        "others[:, missing] = -torch.inf\n"
        "turns = (others.amax(1) - z[:, missing]).sort().values\n"
        "return turns[int((y == missing).sum())].item()",
    ],
    "from_the_deepest": [
        # not detached
        "p = (z[:, -1:] / T).softmax(2)\n"
        "log_q = (z[:, :-1] / T).log_softmax(2)\n"
        "return -(T**2) * (p * log_q).sum(2).mean(0).sum()",
        # the mean over exits
        "p = (z[:, -1:] / T).softmax(2).detach()\n"
        "log_q = (z[:, :-1] / T).log_softmax(2)\n"
        "return -(T**2) * (p * log_q).sum(2).mean()",
    ],
    "share_closed": [
        # the quotient of means
        "floor = statistics.fmean(r['errors'] for r in networks if r['network'] == 'teacher')\n"
        "own = [r for r in students if r['student'] == student]\n"
        "mean = lambda t: statistics.fmean(r['errors'] for r in own if r['targets'] == t)\n"
        "return (mean('labels') - mean('soft targets')) / (mean('labels') - floor)",
        # of the student's own errors
        "own = [r for r in students if r['student'] == student]\n"
        "mean = lambda t: statistics.fmean(r['errors'] for r in own if r['targets'] == t)\n"
        "return 1 - mean('soft targets') / mean('labels')",
    ],
    "own_teacher_claim": [
        # one seed
        "return {'claim': 'A student of an average gains at least a point over labels', "
        "'control': 'the same student with labels', 'effects': [0.02], 'verdict': 'supported'}",
        # a verdict that the effects do not carry
        "return {'claim': 'A student of an average gains at least a point over labels', "
        "'control': 'the same student with labels', 'effects': [0.02, -0.01, 0.01], 'verdict': 'supported'}",
    ],
}
