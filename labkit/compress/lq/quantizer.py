"""Learned quantisers and QEM, quantisation error minimisation (Zhang et al. 2018, section 3).

A value is stored as K bits. A basis v of K numbers turns them into one of 2^K levels, v^T e, where e is the
code: of -1 and +1 for weights, of 0 and 1 for activations, which are never negative. Everything here works on
G groups at once, each with a basis of its own: x is (G, N), a basis (G, K), codes are integers (G, N) whose
k-th bit is the k-th entry of e.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from labkit.errors import LabkitError

RIDGE = 1e-4  # as in the authors' code; it leaves the basis where a code does not occur
MOST_BITS = 8

Fit = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # (x, codes, basis, book) -> basis


def codebook(bits: int, *, signed: bool) -> Tensor:
    """Return all codes of `bits` bits, (2^bits, bits): -1 and +1 if `signed`, else 0 and 1.

    Raises LabkitError unless there are 1 to 8 bits.
    """
    if not 1 <= bits <= MOST_BITS:
        raise LabkitError(f"a learned quantiser cannot have {bits} bits; allowed: 1 to {MOST_BITS}")
    book = torch.arange(2**bits).unsqueeze(1) >> torch.arange(bits) & 1
    return (2 * book - 1 if signed else book).float()


def levels(basis: Tensor, book: Tensor) -> Tensor:
    """Return the level of each code of `book`, (G, 2^K), in the order of the codes: sort it to draw it."""
    return basis @ book.T


def thresholds(ascending: Tensor) -> Tensor:
    """Return the middles between neighbours of `ascending` levels, (G, 2^K - 1)."""
    return (ascending[:, 1:] + ascending[:, :-1]) / 2


def encode(x: Tensor, basis: Tensor, book: Tensor) -> Tensor:
    """Return the code of the level nearest to each value, (G, N) int64: the B-step of QEM.

    A value in the middle of two levels takes the lower one.
    """
    ascending, order = levels(basis, book).sort(dim=1)
    place = torch.searchsorted(thresholds(ascending), x.contiguous())
    return order.gather(1, place)


def decode(codes: Tensor, basis: Tensor, book: Tensor) -> Tensor:
    """Return the values, (G, N), that `codes` stand for."""
    return levels(basis, book).gather(1, codes)


def squared_error(x: Tensor, basis: Tensor, book: Tensor) -> Tensor:
    """Return the mean squared distance of the values of each group to their nearest levels, (G,)."""
    return (x - decode(encode(x, basis, book), basis, book)).square().mean(1)


def normal_equations(x: Tensor, codes: Tensor, book: Tensor) -> tuple[Tensor, Tensor]:
    """Return B^T B, (G, K, K), and B^T x, (G, K), in float64, where the rows of B are the codes of x.

    Values of one code have the same row, so a count and a sum for each code are enough.
    """
    groups, count = len(x), len(book)
    place = (codes + count * torch.arange(groups, device=x.device).unsqueeze(1)).flatten()
    sums = torch.bincount(place, x.flatten().double(), groups * count).view(groups, count)
    counts = torch.bincount(place, minlength=groups * count).view(groups, count).double()
    rows = book.double()
    return torch.einsum("gc,ck,cl->gkl", counts, rows, rows), sums @ rows


def least_squares(
    x: Tensor, codes: Tensor, basis: Tensor, book: Tensor, alive: Tensor | None = None
) -> Tensor:
    """Return the basis that minimises |x - B v|^2 + RIDGE |v - basis|^2: the v-step of QEM, (G, K).

    Entries of the basis that are not `alive`, (G, K) of truth values, stay what they are.
    """
    squares, products = normal_equations(x, codes, book)
    if alive is not None:
        squares = squares * alive.unsqueeze(1) * alive.unsqueeze(2)
        products = products * alive
    squares = squares + RIDGE * torch.eye(basis.shape[1], dtype=torch.float64, device=x.device)
    solved: Tensor = torch.linalg.solve(squares, products + RIDGE * basis.double())
    return solved.to(basis.dtype)


def qem(x: Tensor, basis: Tensor, book: Tensor, rounds: int, fit: Fit = least_squares) -> Tensor:
    """Return the basis after `rounds` of B-step and v-step; none of them raises the squared error."""
    for _ in range(rounds):
        basis = fit(x, encode(x, basis, book), basis, book)
    return basis


def start(scale: Tensor, bits: int, *, signed: bool) -> Tensor:
    """Return the authors' first basis, (G, bits), of equal steps, for groups of size `scale`, (G,).

    `scale` is a root mean square; 0.6745 is the third quartile of a Gaussian. For weights the authors take
    for `scale` what He's initialisation gives; for activations behind BatchNorm it is 1.
    """
    steps = 2.0 ** torch.arange(bits, device=scale.device)
    largest = 2 ** (bits - 1) if signed else (2**bits - 1) / 2
    first: Tensor = 0.6745 * scale.unsqueeze(1) * steps / largest
    return first
