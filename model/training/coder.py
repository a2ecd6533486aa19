"""The halves of the autoencoder as they are trained: on single cells, of 64x64 pixels, without norms."""
import torch
from torch import nn
from torch.nn import functional as F

LATENT, GROUPS = 32, 8
SQUARE, SQUARES = 8, 64   # pixels on the side of what the decoder's fine level sees as one position; such positions in a cell
ANCHORS = 2 * GROUPS      # channels that `autoencoder.anchored` adds
WIDTH, FINE = 320, 144    # channels of the coarse and of the fine level, anchors included
FREE, FREE_FINE = WIDTH - ANCHORS, FINE - ANCHORS


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.conv2 = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x):
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


def blocks(count, width):
    return nn.Sequential(*(Block(width) for _ in range(count)))


class Coder(nn.Module):
    """[n, components] -> latent [n, 32] of unit deviation -> [n, components]; what the encoder is trained with."""

    def __init__(self, components):
        super().__init__()
        self.enter = nn.Linear(components, FREE)
        self.down = blocks(3, FREE)
        self.code = nn.Linear(FREE, LATENT)
        self.open = nn.Linear(LATENT, FREE)
        self.up = blocks(4, FREE)
        self.leave = nn.Linear(FREE, components)
        self.scale = nn.BatchNorm1d(LATENT, affine=False, momentum=.02)

    def encode(self, x):
        return self.scale(self.code(F.silu(self.down(self.enter(x)))))

    def decode(self, z):
        return self.leave(F.silu(self.up(self.open(z))))


class Decoder(nn.Module):
    """Latent [n, 32] -> pixels [n, 64, 192] in [-1,1]: `squares` of a cell.

    A linear end can show no more than as many pictures and their sums as it has inputs: 36.5 dB of this world's cells. So
    every square has features of its own, and two blocks that work on them.
    """

    def __init__(self):
        super().__init__()
        self.open = nn.Linear(LATENT, FREE)
        self.up = blocks(4, FREE)
        self.spread = nn.Linear(FREE, SQUARES * FREE_FINE)
        self.fine = blocks(2, FREE_FINE)
        self.leave = nn.Linear(FREE_FINE, 3 * SQUARE ** 2)

    def coarse(self, z):
        return self.up(self.open(z))

    def forward(self, z):
        return self.leave(F.silu(self.fine(self.spread(self.coarse(z)).unflatten(1, (SQUARES, FREE_FINE)))))

    @torch.no_grad()
    def start(self, coder, coordinates, mean, weight, bias):
        """As `coder` opens latents, and with a linear map from there to every square: coordinates [192, FREE_FINE/2] and the
        mean [192] of squares, weight [64, FREE_FINE/2, FREE] and bias [64, FREE_FINE/2] of their coordinates."""
        self.open.load_state_dict(coder.open.state_dict())
        self.up.load_state_dict(coder.up.state_dict())
        # silu(x) - silu(-x) = x, so a pair of features passes a coordinate on as it is
        self.spread.weight.copy_(torch.cat((weight, -weight), 1).flatten(0, 1))
        self.spread.bias.copy_(torch.cat((bias, -bias), 1).flatten())
        self.leave.weight.copy_(torch.cat((coordinates, -coordinates), 1))
        self.leave.bias.copy_(mean)


def squares(cells):
    """[n, 12288] (y, x, channel) -> [n, 64, 192] (channel, y, x) of each square."""
    side = int(SQUARES ** .5)
    return cells.view(-1, side, SQUARE, side, SQUARE, 3).permute(0, 1, 3, 5, 2, 4).reshape(len(cells), SQUARES, -1)
