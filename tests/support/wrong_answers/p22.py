"""Wrong answers to the exercises of chapter p22: mistakes people make, two for each."""

WRONG = {
    "possible_views": [
        "return (padding + 1) ** 2 * (2 if mirrored else 1)",
        "return (2 * padding + 1) ** 2 + (1 if mirrored else 0)",
    ],
    "keeping_variance": [
        "return 2.0",  # that of ReLU, whatever the slope
        "return 2 / (1 + slope)",  # the mean, not the mean square
    ],
    "weight_gradient": [
        # a mean over images where the sum was asked for
        "patches = unfold(x, kernel, padding=kernel // 2)\n"
        "gradient = torch.einsum('bop,bip->oi', backward.flatten(2), patches) / len(x)\n"
        "return gradient.view(backward.shape[1], x.shape[1], kernel, kernel)",
        # the image flipped: a convolution in the mathematicians' sense
        "patches = unfold(x.flip(-1, -2), kernel, padding=kernel // 2)\n"
        "gradient = torch.einsum('bop,bip->oi', backward.flatten(2), patches)\n"
        "return gradient.view(backward.shape[1], x.shape[1], kernel, kernel)",
    ],
    "smallest_gradient": [
        "w = torch.tensor(weight)\n"  # Adam's ε forgotten: as if by plain gradient descent
        "spacing = torch.nextafter(w, torch.tensor(torch.inf)) - w\n"
        "return spacing.item() / 2 / rate",
        "return eps * 6e-8 / rate",  # float32's resolution, not the spacing at this weight
    ],
    "watched_gradients": [
        # what the layer has at the end, four times
        "optimizer, kept = torch.optim.SGD(model.parameters(), 0.1), []\n"
        "for x, y in batches:\n"
        "    optimizer.zero_grad(set_to_none=False)\n"
        "    F.cross_entropy(model(x), y).backward()\n"
        "    kept.append(layer.weight.grad)\n"
        "    optimizer.step()\n"
        "return [gradient.abs().max().item() for gradient in kept]",
        # every gradient on top of those before
        "optimizer, kept = torch.optim.SGD(model.parameters(), 0.1), []\n"
        "for x, y in batches:\n"
        "    F.cross_entropy(model(x), y).backward()\n"
        "    kept.append(layer.weight.grad.abs().max().item())\n"
        "    optimizer.step()\n"
        "return kept",
    ],
    "sign_test": [
        # one-sided
        "at = {(row['network'], row['seed']): row['test accuracy'] for row in rows}\n"
        "pairs = [(at[one, seed], at[other, seed]) for name, seed in at if name == one]\n"
        "wins, n = sum(a > b for a, b in pairs), sum(a != b for a, b in pairs)\n"
        "return sum(math.comb(n, k) for k in range(wins, n + 1)) / 2**n",
        # ties counted as trials
        "at = {(row['network'], row['seed']): row['test accuracy'] for row in rows}\n"
        "pairs = [(at[one, seed], at[other, seed]) for name, seed in at if name == one]\n"
        "wins, n = sum(a > b for a, b in pairs), len(pairs)\n"
        "tail = sum(math.comb(n, k) for k in range(min(wins, n - wins) + 1))\n"
        "return min(1.0, 2 * tail / 2**n)",
    ],
    "l2_step": [
        "return (x + length * gradient.sign()).clamp(0, 255)",
        "return (x + length * gradient / gradient.norm()).clamp(0, 255)",  # one length for the whole batch
    ],
    "own_repair": [
        "from labkit.models.convnet import ConvNet\n\nreturn ConvNet(width, 20, batch_norm=False)",
        "from labkit.models.convnet import ConvNet\n\n"
        "return ConvNet(width, 20, batch_norm=False, residual=True, scale=0.2)",
        "from labkit.models.convnet import ConvNet, he_init\n\n"
        "return he_init(ConvNet(width, 20, batch_norm=False))",
        # A normaliser of one's own.
        "class Level(nn.Module):\n"
        "    def __init__(self, inputs, outputs, kernel):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)\n\n"
        "    def forward(self, x):\n"
        "        z = self.conv(x).relu()\n"
        "        return z / z.square().mean().sqrt()\n\n"
        "return nn.Sequential(\n"
        "    Level(3, width, 3), nn.MaxPool2d(2), *[Level(width, width, 5) for _ in range(20)],\n"
        "    *[Level(width, width, 3) for _ in range(4)], nn.AdaptiveAvgPool2d(1), nn.Flatten(),\n"
        "    nn.Linear(width, 10),\n"
        ")",
    ],
}
