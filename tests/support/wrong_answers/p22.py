"""Wrong answers to the exercises of chapter p22: mistakes people make, two for each."""

WRONG = {
    "possible_views": [
        "return (padding + 1) ** 2 * (2 if mirrored else 1)",
        "return (2 * padding + 1) ** 2 + (1 if mirrored else 0)",
    ],
    "standardised": [
        "x = x.float()\nreturn (x - x.mean()) / x.std()",  # one statistic for all channels
        "x, of = x.float(), (0, 2, 3)\nreturn (x - x.mean(of, keepdim=True)) / x.var(of, keepdim=True)",
    ],
    "signal_left": [
        "return (n_times_variance / 2) ** layers",  # the mean square, not the signal
        "return math.sqrt(n_times_variance) ** layers",  # ReLU lets all through
    ],
    "gradient_magnitudes": [
        "F.cross_entropy(model(x), y).backward()\n"
        "return [c.weight.grad.abs().mean().item() for c in convolutions(model)]",
        "F.cross_entropy(model(x), y).backward()\n"
        "return [c.weight.grad.max().item() for c in convolutions(model)]",
    ],
    "with_skip": [
        "return nn.Sequential(branch)",
        "class Skip(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x + scale * branch(x)\n\n"
        "return Skip()",  # the branch is no part of the module
    ],
    "l2_step": [
        "return (x + length * gradient.sign()).clamp(0, 255)",
        "return (x + length * gradient / gradient.norm()).clamp(0, 255)",  # one length for the whole batch
    ],
    "own_gradient_claim": [
        "return {'claim': 'skips help', 'control': 'no skips', 'effects': [1, 2], 'verdict': 'supported'}",
        "return {\n"
        "    'claim': 'He initialisation keeps the gradient of the first layer alive',\n"
        "    'control': 'the default initialisation',\n"
        "    'effects': [0.5, 0.5, 0.5],\n"
        "    'verdict': 'supported',\n"
        "}",
    ],
}
