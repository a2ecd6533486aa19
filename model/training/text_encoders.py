"""What the training of the text encoders needs in either script."""
import torch
from torch.nn import functional as F

from labels import STRIDE, TAIL


def noun_loss(reader, kinds, text, ids, labels):
    """What `reader` tells of every noun from T5's output there: its action, colour, column and amount.

    text [B,L,J], ids [B,L], labels [B,TEXT_LABELS], `kinds` as of `noun_kinds`. Summed over labels, the mean over nouns.
    """
    named = kinds[ids]
    sentence, position = (named >= 0).nonzero(as_tuple=True)
    said = labels[:, :-TAIL].unflatten(1, (-1, STRIDE))[sentence, named[sentence, position]]
    guess = reader(text[sentence, position]).float()
    return F.binary_cross_entropy_with_logits(guess, said, reduction="sum") / max(1, len(said))


def paces(t5):
    """{parameter: factor of the learning rate} of T5's attention.

    It does not divide its scores by the root of the width. At the rate of everything else its queries grow until every head sees
    one word alone, whatever stands around it (scores deviated by 20 to 100), while the biases of relative positions, the only thing
    that tells "a red car and a blue tree" from "a blue car and a red tree", stay below 1.5.
    """
    return {p: 30 if "relative_attention_bias" in n else 1 / 8 for n, p in t5.named_parameters()
            if "relative_attention_bias" in n or ".SelfAttention.q." in n}


@torch.no_grad()
def step_at_paces(optimizer, factors):
    """A step of `optimizer` in which some parameters go further, or less far, than by its rate."""
    before = {p: p.clone() for p in factors}
    optimizer.step()
    for p, factor in factors.items():
        p.copy_(before[p] + factor * (p - before[p]))
