"""Wrong answers to the exercises of chapter p02: mistakes people make, two or more for each."""

WRONG = {
    "largest_share": [
        "return 1 / kernels / entropy",  # as if entropy were linear in the share
        "return entropy",
    ],
    "expected_shaping": [
        "return 1 / (12 * n * n)",  # what is left of the integral when all values are where they belong
        "return 1 / (6 * n)",  # right for many
    ],
    "gate_gradients": [
        "import math\n"
        "soft = 1 / (1 + math.exp(-a / temperature))\n"  # no noise
        "slope = soft * (1 - soft) / temperature\n"
        "p = 1 / (1 + math.exp(-a))\n"
        "return p * (1 - p) * ((1 - c) ** 2 - c**2), 2 * (float(a > 0) - c) * slope",
        "import math\n"
        "p = 1 / (1 + math.exp(-a))\n"
        "true = p * (1 - p) * ((1 - c) ** 2 - c**2)\n"
        "return true, true",  # as if there were no bias
    ],
    "block_cost": [
        "rate = gates.mean(1)\n"
        "first = 9 * inputs * outputs * pixels * rate\n"
        "second = 9 * outputs * outputs * pixels * rate\n"
        "return first + second",  # the gates decide for nothing
        "rate, net = gates.mean(1), inputs * hidden + hidden * outputs\n"
        "first = 9 * inputs * outputs * pixels * rate\n"
        "second = 9 * outputs * outputs * pixels * rate**2\n"  # saved twice
        "return first + second + net",
    ],
    "strangers": [
        "return torch.arange(len(labels)).roll(1)",  # the neighbour
        "draw = torch.Generator().manual_seed(seed)\n"
        "return torch.randint(len(labels), (len(labels),), generator=draw)",  # some twice, some never
        "draw = torch.Generator().manual_seed(0)\n"  # whatever the seed
        "order = torch.randperm(len(labels), generator=draw)\n"
        "index = torch.empty_like(order)\n"
        "index[order] = order.roll(1)\n"
        "return index",
    ],
    "frozen": [
        "out, inputs, *size = layer.shape\n"
        "conv = nn.Conv2d(inputs, out, size, layer.stride, layer.padding, bias=layer.bias is not None)\n"
        "conv.weight.data = layer.kernels().mean(0)\n"  # whatever the attention
        "return conv",
        "out, inputs, *size = layer.shape\n"
        "conv = nn.Conv2d(inputs, out, size, layer.stride, layer.padding, bias=False)\n"  # the bias forgotten
        "conv.weight.data = torch.einsum('k,koixy->oixy', pi, layer.kernels())\n"
        "return conv",
    ],
    "pooled_difference": [
        "import statistics\n"
        "a, b = ([row['test accuracy'] for row in rows if row['arm'] == name] for name in (arm, other))\n"
        "spread = statistics.stdev(x - y for x, y in zip(a, b))\n"  # the two arms alone
        "return statistics.fmean(a) - statistics.fmean(b), spread / len(a) ** 0.5",
        "import statistics\n"
        "everything = [row['test accuracy'] for row in rows]\n"  # differences between arms taken for noise
        "a, b = ([row['test accuracy'] for row in rows if row['arm'] == name] for name in (arm, other))\n"
        "error = statistics.stdev(everything) * (2 / len(a)) ** 0.5\n"
        "return statistics.fmean(a) - statistics.fmean(b), error",
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
