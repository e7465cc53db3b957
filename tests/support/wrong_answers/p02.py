"""Wrong answers to the exercises of chapter p02: mistakes people make, two for each."""

WRONG = {
    "mixing_share": [
        "return 1 / (height * width)",  # one kernel, not K
        "return kernels / (inputs * outputs)",
    ],
    "temperature": [
        "return start + (1 - start) * epoch / epochs",  # goes on falling after its end
        "return max(1.0, start * (1 - epoch / epochs))",
    ],
    "dynamic_convolution": [
        "weight = torch.einsum('k,koixy->oixy', pi.mean(0), kernels)\n"
        "return F.conv2d(x, weight, padding=1)",  # one kernel for the whole batch
        "return F.conv2d(x, kernels.mean(0), padding=1)",
    ],
    "straight_through": [
        "return (a > 0).float()",  # no gradient
        "return torch.sigmoid(a / temperature)",  # not hard
    ],
    "shaping_penalty": [
        "n, gates = values.shape\n"
        "ordered = values.sort(dim=1).values\n"  # over the channels
        "empirical = torch.arange(1, n + 1)[:, None] / (n + 1)\n"
        "return (empirical - cdf(ordered)).square().mean(0)",
        "n = len(values)\n"
        "empirical = torch.arange(1, n + 1)[:, None] / (n + 1)\n"
        "return (empirical - cdf(values)).square().mean(0)",  # not sorted
    ],
    "conditional_share": [
        "return gates.mean().item()",  # how many are open, not how many decide
        "rate = gates.mean(0)\nreturn ((rate > 0) & (rate < 1)).float().mean().item()",
    ],
    "own_adaptive_claim": [
        "return {'claim': 'gates help', 'control': 'no gates', 'effects': [1, 2], 'verdict': 'supported'}",
        "return {\n"
        "    'claim': 'Attention over kernels differs between the classes',\n"
        "    'control': 'shuffled labels',\n"
        "    'effects': [0.2, 0.1, -0.3],\n"
        "    'verdict': 'supported',\n"
        "}",
    ],
}
