"""Wrong answers to the exercises of chapter p01: mistakes people make, two for each."""

WRONG = {
    "weights_left": [
        "return round(total * (1 - fraction * rounds))",  # a fraction of the first weights each time
        "return total * (1 - fraction) ** rounds",  # weights are whole
    ],
    "rounds_needed": [
        "return math.floor(math.log(target) / math.log(1 - fraction))",
        "return math.ceil((1 - target) / fraction)",
    ],
    "keep_largest": [
        "return weight.abs() > weight.abs().quantile(fraction)",  # ties all go
        "return weight > weight.median()",  # the sign does not matter
    ],
    "same_sign_score": [
        "return after.abs()",
        "return before * after",
    ],
    "masked_step": [
        "velocity = momentum * velocity + gradient * mask\nreturn weight - rate * velocity, velocity",
        "velocity = momentum * velocity + gradient\nreturn weight - rate * velocity, velocity * mask",
    ],
    "reshuffled": [
        "order = torch.randperm(weight.numel(), generator=generator)\n"
        "return weight.flatten()[order].view_as(weight) * mask",  # pruned weights come back in
        "return torch.randn(weight.shape, generator=generator) * mask",  # other weights
    ],
    "own_ticket_claim": [
        "return {'claim': 'tickets are better', 'control': '', 'effects': [1.0], 'verdict': 'supported'}",
        "return {\n"
        "    'claim': 'The first layer is pruned less than the last',\n"
        "    'control': 'the last layer',\n"
        "    'effects': [0.3, -0.2, 0.1],\n"
        "    'verdict': 'supported',\n"
        "}",
    ],
}
