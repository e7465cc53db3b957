"""Wrong answers to the exercises of chapter p04: mistakes people make, two for each."""

WRONG = {
    "matching_scale": [
        "return length / sum(n * s for n, s in zip(sizes, spreads))",  # lengths do not add up
        "return length / sum(s**2 for s in spreads) ** 0.5",  # the length of a single weight
    ],
    "largest_error": [
        "return largest / (2 ** (bits - 1) - 1)",  # a whole step
        "return largest / 2**bits",  # as if the values were not symmetric about zero
    ],
    "sam_gradient": [
        "return matrix @ (weights + radius * matrix @ weights)",  # the gradient is not normalised
        "return matrix @ (weights - radius * matrix @ weights / (matrix @ weights).norm())",  # downhill
    ],
    "worst_change": [
        "return [radius * g / (g.norm() + 1e-12) for g in gradients]",  # a ball for each tensor
        "return [radius * g / sum(g.square().sum() for g in gradients).sqrt() for g in gradients]",
    ],
    "quantize_filters": [
        "step = weight.abs().max() / (2 ** (bits - 1) - 1)\nreturn step * (weight / step).round()",
        "step = weight.abs().amax(0, keepdim=True) / (2 ** (bits - 1) - 1)\n"
        "return step * (weight / step.clamp(min=1e-12)).round()",  # the wrong axis
    ],
    "adaptive_change": [
        "length = sum((w * g).square().sum() for w, g in zip(weights, gradients)).sqrt()\n"
        "return [radius * w.abs() * g / length for w, g in zip(weights, gradients)]",  # T once, not twice
        "length = sum(g.square().sum() for g in gradients).sqrt()\n"
        "return [radius * w.square() * g / length for w, g in zip(weights, gradients)]",
    ],
    "own_flatness_claim": [
        "return {'claim': 'flat is good', 'control': 'sharp ones', 'effects': [1, 2, 3],\n"
        "        'verdict': 'supported'}",  # no sentence
        "return {\n"
        "    'claim': 'Rounding filter by filter moves the weights less than rounding whole tensors',\n"
        "    'control': 'rounding whole tensors',\n"
        "    'effects': [0.4, 0.4, 0.4],\n"
        "    'verdict': 'supported',\n"
        "}",  # the seed does not reach the experiment
    ],
}
