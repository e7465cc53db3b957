"""Wrong answers to the exercises of chapter p04: mistakes people make, two for each."""

_SAM = """\
loss().backward()
kept = [buffer.clone() for buffer in model.buffers()]
parameters = list(model.parameters())
before = [p.detach().clone() for p in parameters]
length = sum(p.grad.square().sum() for p in parameters).sqrt() + 1e-12
with torch.no_grad():
    for p in parameters:
        p.add_(radius * p.grad / length)
optimizer.zero_grad()
loss().backward()
with torch.no_grad():
    for p, old in zip(parameters, before):
        p.copy_(old)
    for buffer, old in zip(model.buffers(), kept):
        buffer.copy_(old)
optimizer.step()
optimizer.zero_grad()
"""


def _broken(right: str, wrong: str) -> str:
    assert right in _SAM
    return _SAM.replace(right, wrong)


WRONG = {
    "rounding_length": [
        "return sum(n * m / (2 ** (bits - 1) - 1) for n, m in zip(sizes, largest)) / 12**0.5",  # no squares
        "k = 2 ** (bits - 1) - 1\n"
        "return sum(n * (m / k) ** 2 / 4 for n, m in zip(sizes, largest)) ** 0.5",  # as if all were worst
        "return sum(n * (2 * m / 2**bits) ** 2 / 12 for n, m in zip(sizes, largest)) ** 0.5",  # not symmetric
    ],
    "hop": [
        "return rate * curvature * radius / 2",  # the pull of w itself is forgotten
        "return radius",
        "return -rate * curvature * radius / (2 + rate * curvature)",  # uphill and downhill exchanged
    ],
    "sam_step": [
        _broken("p.add_(radius * p.grad / length)", "p.add_(radius * p.grad / p.grad.norm())"),
        _broken("optimizer.zero_grad()\nloss().backward()", "loss().backward()"),
        _broken("buffer.copy_(old)", "pass"),
        _broken("p.copy_(old)", "p.sub_(radius * p.grad / length)"),
        _broken(" + 1e-12", ""),
    ],
    "quotient": [
        "a = [row['rise'] for row in rows if row['arm'] == arm]\n"
        "b = [row['rise'] for row in rows if row['arm'] == other]\n"
        "found = mean_interval([math.log(x / y) for x, y in zip(a, b)])\n"  # not brought together by seed
        "return math.exp(found.mean), math.exp(found.low), math.exp(found.high)",
        "rise = {(row['seed'], row['arm']): row['rise'] for row in rows}\n"
        "seeds = {row['seed'] for row in rows}\n"
        "found = mean_interval([rise[s, arm] / rise[s, other] for s in seeds])\n"  # no logarithm
        "return found.mean, found.low, found.high",
    ],
    "mean_curvature": [
        "v = torch.ones(n).double()\nreturn (v @ product(v)).item() / n",  # one vector, not a random one
        "signs = torch.randint(0, 2, (draws, n)).double() * 2 - 1\n"
        "return sum((v @ product(v)).item() for v in signs) / draws",  # the trace
        "v = torch.randn(n).double()\nfor _ in range(draws):\n    v = product(v / v.norm())\n"
        "return v.norm().item()",  # the largest
    ],
    "adaptive_change": [
        "length = sum((w * g).square().sum() for w, g in zip(weights, gradients)).sqrt()\n"
        "return [radius * w.abs() * g / length for w, g in zip(weights, gradients)]",  # T once, not twice
        "length = sum(g.square().sum() for g in gradients).sqrt()\n"
        "return [radius * w.square() * g / length for w, g in zip(weights, gradients)]",
        "return [radius * w.square() * g / ((w * g).norm() + 1e-12)\n"
        "        for w, g in zip(weights, gradients)]",  # each tensor by itself
    ],
    "best_step": [
        "return weight.abs().max().item() / (2 ** (bits - 1) - 1)",  # the usual one
        "return 2 * weight.std().item() / (2 ** (bits - 1) - 1)",  # cuts off at two standard deviations
    ],
    "wrong_labels": [
        "return {'claim': 'flat is good', 'control': 'sharp ones', 'effects': [1, 2, 3],\n"
        "        'verdict': 'supported'}",  # no sentence
        "return {\n"
        "    'claim': 'With wrong labels, SAM is more accurate on right ones than SGD',\n"
        "    'control': 'plain SGD with as many gradients',\n"
        "    'effects': [0.4, 0.4, 0.4],\n"
        "    'verdict': 'supported',\n"
        "}",  # the seed does not reach the experiment
    ],
}
