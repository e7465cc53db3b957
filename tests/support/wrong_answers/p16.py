"""Wrong answers to the exercises of chapter p16: mistakes people make, two for each."""

WRONG = {
    "stored_bits": [
        "return bits",  # the bases forgotten
        "return bits + given / (inputs * kernel**2)",  # one number a filter, not one for each bit
    ],
    "one_bit": [
        "v = x.abs().mean().item()\nreturn v, x.square().mean().item() - v",  # not its square
        "v = x.square().mean().sqrt().item()\nreturn v, (x - v * x.sign()).square().mean().item()",
    ],
    "qem_round": [
        # thresholds by the order of the codes, not of the levels
        "signs = torch.tensor(list(product((-1.0, 1.0), repeat=len(basis)))).flip(1)\n"
        "levels = signs @ basis\n"
        "place = torch.bucketize(x, (levels[1:] + levels[:-1]) / 2)\n"
        "return torch.linalg.lstsq(signs[place], x.unsqueeze(1)).solution.squeeze(1)",
        # the basis of each bit by itself, as if the columns were orthogonal
        "signs = torch.tensor(list(product((-1.0, 1.0), repeat=len(basis))))\n"
        "b = signs[(x.unsqueeze(1) - signs @ basis).abs().argmin(1)]\n"
        "return b.T @ x / len(x)",
    ],
    "straight_through": [
        "place = torch.bucketize(x.detach(), (steps[1:] + steps[:-1]) / 2)\n"
        "return steps[place] + x - x.detach()",  # no stop above the largest level
        "place = torch.bucketize(x.detach(), (steps[1:] + steps[:-1]) / 2)\n"
        "return steps[place] * (x <= steps[-1])",  # values lost, and no gradient
    ],
    "follow": [
        # as it stands in the exercise
        "codes = encode(x, basis, BOOK)\n"
        "fitted = least_squares(x, codes, basis, BOOK)\n"
        "basis = 0.1 * basis + 0.9 * fitted\n"
        "return decode(codes, basis, BOOK), basis",
        # two of the three mended: it learns in evaluation as well
        "codes = encode(x, basis, BOOK)\n"
        "fitted = least_squares(x, codes, basis, BOOK)\n"
        "return decode(codes, basis, BOOK), 0.9 * basis + 0.1 * fitted",
    ],
    "bit_product": [
        # a stored zero taken for nothing, not for minus one
        "return sum(vi * uj * (b & c).bit_count() for vi, b in zip(v, w) for uj, c in zip(u, a))",
        "return sum(\n"
        "    vi * uj * (2 * (b & c).bit_count() - n) for vi, b in zip(v, w) for uj, c in zip(u, a)\n"
        ")",  # as if activations had signs, too
    ],
    "height_over_line": [
        # one line for all seeds
        "plain = sorted((r[axis], r['test accuracy']) for r in rows if r['basis'] == 'plain')\n"
        "x, y = zip(*plain)\n"
        "heights = [r['test accuracy'] - np.interp(r[axis], x, y) for r in rows if r['basis'] == 'sparse']\n"
        "return float(np.mean(heights))",
        # a straight line by least squares through three points that are not on one
        "heights = []\n"
        "for row in rows:\n"
        "    if row['basis'] == 'sparse':\n"
        "        own = [r for r in rows if r['basis'] == 'plain' and r['seed'] == row['seed']]\n"
        "        fit = np.polyfit([r[axis] for r in own], [r['test accuracy'] for r in own], 1)\n"
        "        heights.append(row['test accuracy'] - np.polyval(fit, row[axis]))\n"
        "return float(np.mean(heights))",
    ],
    "best_levels": [
        # one start, and a descent
        "basis = start(x.square().mean().sqrt().view(1), 2, signed=True)\n"
        "return qem(x.unsqueeze(0), basis, BOOK, 50)[0]",
        "return torch.tensor([0.5, 1.0]) * x.abs().mean()",
    ],
    "own_levels_claim": [
        'return {"claim": "Learned levels are better", "control": "linear ones", '
        '"effects": [0.1, 0.2, 0.3], "verdict": "supported"}',
        'return {"claim": "On numbers with heavy tails learned levels have less error than linear ones", '
        '"control": "linear levels with a fitted step", "effects": [0.1, -0.2, 0.3], '
        '"verdict": "supported"}',
    ],
}
