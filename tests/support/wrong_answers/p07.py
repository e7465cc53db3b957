"""Wrong answers to the exercises of chapter p07: mistakes people make, two for each."""

WRONG = {
    "hidden_pixels": [
        "return float(length**2)",  # squares at the edge are clipped
        "return length**2 * (side - length) / side",
    ],
    "mixed_target": [
        "target = torch.zeros(classes)\ntarget[first], target[second] = share, 1 - share\nreturn target",
        "target = torch.zeros(classes)\ntarget[first] += 1 - share\ntarget[second] += share\nreturn target",
    ],
    "hide": [
        "half = length // 2\n"
        "x = x.clone()\n"
        "x[:, row - half : row + half, column - half : column + half] = 0\n"  # black, and an empty slice
        "return x",
        "half = length // 2\n"
        "top, left = max(row - half, 0), max(column - half, 0)\n"
        "x[:, top : row + half, left : column + half] = fill.view(-1, 1, 1)\n"  # writes into its argument
        "return x",
    ],
    "quarter_turns": [
        "for _ in range(turns):\n    x = x.transpose(1, 2)\nreturn x",  # mirrors
        "for _ in range(turns):\n    x = x.flip(1).transpose(1, 2)\nreturn x",  # the other way round
    ],
    "calibration_gap": [
        "return abs(confidence.mean() - right.double().mean()).item()",  # one bin
        "place = (confidence * bins).ceil().long() - 1\n"
        "gaps = [\n"
        "    abs(confidence[place == k].mean() - right[place == k].double().mean()).item()\n"
        "    for k in place.unique()\n"
        "]\n"
        "return sum(gaps) / len(gaps)",  # every bin counts alike
    ],
    "best_temperature": [
        "from torch.nn import functional as F\n"
        "return min(temperatures, key=lambda t: F.cross_entropy(logits * t, labels).item())",
        "return max(temperatures, key=lambda t: (logits / t).softmax(1).max(1).values.mean().item())",
    ],
    "one_step": [
        "x.requires_grad_()\n"
        "torch.nn.functional.cross_entropy(model(x), y).backward()\n"  # leaves a gradient in the weights
        "return (x + eps * x.grad.sign()).clamp(0, 255).detach()",
        "x.requires_grad_()\n"
        "(gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(model(x), y), x)\n"
        "return (x + eps * gradient).clamp(0, 255).detach()",  # no sign
    ],
    "own_regulariser_claim": [
        "return {'claim': 'cutout helps', 'control': '', 'effects': [1.0], 'verdict': 'supported'}",
        "return {\n"
        "    'claim': 'Four small squares hide more than a large one',\n"
        "    'control': 'the large square',\n"
        "    'effects': [0.3, -0.2, 0.1],\n"
        "    'verdict': 'supported',\n"
        "}",
    ],
}
