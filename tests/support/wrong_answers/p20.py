"""Wrong answers to the exercises of chapter p20: mistakes people make, two for each."""

WRONG = {
    "queries_of": [
        # the last bisection forgotten
        "probes = sum(int(100 * t**0.5) for t in range(1, rounds + 1))\n"
        "return 1 + 10 + probes + rounds + rounds * bisection",
        # rounds counted from zero: the first has no probes
        "probes = sum(int(100 * t**0.5) for t in range(rounds))\n"
        "return 1 + 10 + probes + rounds + (rounds + 1) * bisection",
    ],
    "probes_for": [
        "return math.ceil(math.pi * dimensions / 2 * cosine**2)",  # the one in the bracket dropped
        "return int(math.pi * dimensions / 2 / (cosine**-2 - 1))",  # one too few
    ],
    "to_the_boundary": [
        # the end that is named rightly
        "low, high = 0.0, 1.0\n"
        "while high - low > tolerance:\n"
        "    middle = (low + high) / 2\n"
        "    if misread(original + middle * (picture - original)):\n"
        "        high = middle\n"
        "    else:\n"
        "        low = middle\n"
        "return original + low * (picture - original)",
        # step by step
        "share = 1.0\n"
        "while share > tolerance and misread(original + (share - tolerance) * (picture - original)):\n"
        "    share -= tolerance\n"
        "return original + share * (picture - original)",
    ],
    "normals_of_all": [
        # one length for the whole batch
        "phi = 2 * found.float() - 1\n"
        "mean = phi.mean(0)\n"
        "mean[mean.abs() == 1] = 0\n"
        "normals = ((phi - mean).unsqueeze(2) * probes).mean(0)\n"
        "return normals / normals.norm()",
        # one mean for the whole batch
        "phi = 2 * found.float() - 1\n"
        "normals = ((phi - phi.mean()).unsqueeze(2) * probes).mean(0)\n"
        "return normals / normals.norm(dim=1, keepdim=True)",
    ],
    "proposal": [
        # not made to lie at right angles
        "change = picture - original\n"
        "distance = change.norm()\n"
        "moved = change + around * distance * direction / direction.norm()\n"
        "return original + (1 - inwards) * distance * moved / moved.norm()",
        # not brought back to the sphere
        "change = picture - original\n"
        "distance = change.norm()\n"
        "towards = change / distance\n"
        "sideways = direction - (direction @ towards) * towards\n"
        "moved = change + around * distance * sideways / sideways.norm()\n"
        "return original + (1 - inwards) * moved",
    ],
    "crossing": [
        # averaged over seeds before looking
        "at = {}\n"
        "for row in rows:\n"
        "    at.setdefault((row['attack'], row['queries']), []).append(row['median L2'])\n"
        "both = [q for a, q in at if a == one and (other, q) in at]\n"
        "means = {k: statistics.mean(v) for k, v in at.items()}\n"
        "return min([q for q in both if means[one, q] < means[other, q]], default=float('inf'))",
        # any row of the other attack, whatever its number of queries
        "first = {row['seed']: float('inf') for row in rows}\n"
        "for row in rows:\n"
        "    best = min(r['median L2'] for r in rows if r['attack'] == other and r['seed'] == row['seed'])\n"
        "    if row['attack'] == one and row['median L2'] < best:\n"
        "        first[row['seed']] = min(first[row['seed']], row['queries'])\n"
        "return statistics.median(first.values())",
    ],
    "own_probes": [
        # white noise
        "noise = torch.randn(count, channels, side, side, generator=generator)\n"
        "return noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)",
        # smooth, and of any length
        "small = torch.randn(count, channels, side // 4, side // 4, generator=generator)\n"
        "return F.interpolate(small, size=(side, side), mode='bilinear', align_corners=False)",
    ],
}
