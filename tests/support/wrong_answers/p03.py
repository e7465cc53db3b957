"""Wrong answers to the exercises of chapter p03: mistakes people make, two for each."""

WRONG = {
    "on_the_wire": [
        # sums take as many bits as codes
        "return 64 / 4, 32 / workers",
        # codes go to all others, and floats too
        "return 64 / (2 + (2 * workers).bit_length()), 32 / 2",
    ],
    "ternarise": [
        # the wrong way round
        "if scale == 0:\n    return torch.zeros_like(gradient)\n"
        "return scale * gradient.sign() * (drawn > gradient.abs() / scale)",
        # the sign is lost
        "if scale == 0:\n    return torch.zeros_like(gradient)\n"
        "return scale * (drawn < gradient.abs() / scale).float()",
        # zero by zero
        "return gradient.sign() * scale * (drawn < gradient.abs() / scale) * (scale / scale)",
    ],
    "repaired": [
        # each its own scale
        "scale = gradients.abs().amax(1, keepdim=True)\n"
        "return (scale * gradients.sign() * (drawn < gradients.abs() / scale)).mean(0)",
        # averaged first
        "mean = gradients.mean(0)\nscale = mean.abs().max()\n"
        "return scale * mean.sign() * (drawn[0] < mean.abs() / scale)",
        # the same draws for all
        "scale = gradients.abs().max()\n"
        "return (scale * gradients.sign() * (drawn[0] < gradients.abs() / scale)).mean(0)",
    ],
    "chances": [
        # cut off, and nothing given to the others
        "return (size * rate / size.mean()).clamp(max=1)",
        # by the largest
        "return size / size.max() * rate",
    ],
    "lost_by_workers": [
        # a mean over all runs
        "found = {}\n"
        "for workers in {row['workers'] for row in rows}:\n"
        "    by = {g: [r['test accuracy'] for r in rows if (r['workers'], r['gradients']) == (workers, g)]\n"
        "          for g in ('float', 'ternary')}\n"
        "    found[workers] = 100 * (sum(by['float']) / len(by['float'])\n"
        "                            - sum(by['ternary']) / len(by['ternary']))\n"
        "return found",
        # the sign
        "table = {(r['seed'], r['workers'], r['gradients']): r['test accuracy'] for r in rows}\n"
        "found = {}\n"
        "for seed, workers, gradients in table:\n"
        "    if gradients == 'ternary':\n"
        "        lost = table[seed, workers, 'ternary'] - table[seed, workers, 'float']\n"
        "        found.setdefault(workers, []).append(100 * lost)\n"
        "return {workers: sum(each) / len(each) for workers, each in found.items()}",
    ],
    "own_gradient_claim": [
        # two seeds
        "return {'claim': 'clipping lowers the variance of ternary gradients of Laplace',\n"
        "        'control': 'not clipped gradients', 'effects': [0.1, 0.2], 'verdict': 'supported'}",
        # the verdict is not that of the interval
        "return {'claim': 'clipping lowers the variance of ternary gradients of Laplace',\n"
        "        'control': 'not clipped gradients', 'effects': [0.1, -0.2, 0.3], 'verdict': 'supported'}",
    ],
}
