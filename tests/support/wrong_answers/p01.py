"""Wrong answers to the exercises of chapter p01: mistakes people make, two for each."""

_CUT = (  # how a ticket ends: its pruned weights are zero
    "with torch.no_grad():\n"
    "    for name, mask in masks.items():\n"
    "        model.get_parameter(name).mul_(mask)\n"
    "return masks"
)
WRONG = {
    "weights_left": [
        "return round(total * (1 - fraction * rounds))",  # a fraction of the first weights each time
        "return total * (1 - fraction) ** rounds",  # weights are whole
    ],
    "keep_largest": [
        "return weight.abs() > weight.abs().quantile(fraction)",  # ties all go
        "return weight > weight.median()",  # the sign does not matter
    ],
    "scale_free_score": [
        "return weight.abs() / weight.norm()",  # one factor for the whole layer
        "return weight / weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1)",  # the sign comes in
        "return weight.abs() / weight.flatten(1).norm(dim=1)",  # broadcast over the window, not the filters
    ],
    "drift": [
        "return -rate * velocity * (1 - momentum**steps) / (1 - momentum)",  # the first step is not shrunk
        "return 0.0",  # as if a masked gradient were enough
        "return -rate * velocity * momentum * steps",  # a velocity that never fades
    ],
    "find_ticket": [
        # a new dict of the same, live tensors
        "start = dict(model.state_dict())\n"
        "train(model)\n"
        "masks = prune(model)\n"
        "model.load_state_dict(start)\n" + _CUT,
        # the statistics of BatchNorm stay trained
        "start = {name: p.detach().clone() for name, p in model.named_parameters()}\n"
        "train(model)\n"
        "masks = prune(model)\n"
        "model.load_state_dict(start, strict=False)\n" + _CUT,
        # never trained
        "masks = prune(model)\n" + _CUT,
        # rewound before pruning: the mask is that of the initial weights
        "start = deepcopy(model.state_dict())\n"
        "train(model)\n"
        "model.load_state_dict(start)\n"
        "masks = prune(model)\n" + _CUT,
        # rewound after pruning, so that pruned weights come back
        "start = deepcopy(model.state_dict())\n"
        "train(model)\n"
        "masks = prune(model)\n"
        "model.load_state_dict(start)\n"
        "return masks",
    ],
    "reshuffled": [
        "order = torch.randperm(weight.numel(), generator=generator)\n"
        "return weight.flatten()[order].view_as(weight) * mask",  # pruned weights come back in
        "return torch.randn(weight.shape, generator=generator) * mask",  # other weights
        "moved = torch.zeros_like(weight)\n"
        "moved[mask] = weight[mask].roll(1)\n"
        "return moved",  # no chance in it
        "moved = torch.zeros_like(weight)\nmoved[mask] = weight[mask].flip(0)\nreturn moved",
        "moved, survivors = torch.zeros_like(weight), weight[mask]\n"
        "moved[mask] = survivors.roll(int(torch.randint(1, 20, (), generator=generator)))\n"
        "return moved",  # neighbours stay neighbours
        "moved, survivors = torch.zeros_like(weight), weight[mask]\n"
        "moved[mask] = survivors[torch.randperm(len(survivors))]\n"
        "return moved",  # by another generator
    ],
    "gain_per_halving": [
        # over the compression itself
        "slopes = []\n"
        "for seed in sorted({row['seed'] for row in rows}):\n"
        "    of = {(row['arm'], row['compression']): row['test accuracy'] for row in rows\n"
        "          if row['seed'] == seed and row['level'] != 'dense'}\n"
        "    at = sorted({x for _, x in of})\n"
        "    gains = [of['ticket', x] - of['fresh weights', x] for x in at]\n"
        "    slopes.append(float(np.polyfit(at, gains, 1)[0]))\n"
        "return slopes",
        # the dense network, where both arms are one, bends the line
        "slopes = []\n"
        "for seed in sorted({row['seed'] for row in rows}):\n"
        "    of = {(row['arm'], row['compression']): row['test accuracy'] for row in rows\n"
        "          if row['seed'] == seed}\n"
        "    at = sorted({x for _, x in of})\n"
        "    gains = [of['ticket', x] - of['fresh weights', x] for x in at]\n"
        "    slopes.append(float(np.polyfit(np.log2(at), gains, 1)[0]))\n"
        "return slopes",
        # all seeds in one line
        "x = [np.log2(row['compression']) for row in rows if row['arm'] == 'ticket']\n"
        "y = [row['test accuracy'] for row in rows if row['arm'] == 'ticket']\n"
        "return [float(np.polyfit(x, y, 1)[0])]",
    ],
    "own_criterion": [
        "return 3 * after.abs() + 1",  # large_final in other words
        "return (after.abs() > before.abs()).float()",  # equal scores
        "return torch.rand(after.shape)",  # another mask each time
    ],
}
