"""Muon (Jordan et al., 2024; kellerjordan.github.io/posts/muon) for the hidden matrices, AdamW for everything else."""
import torch

from text_encoders import step_at_paces


def orthogonalised(g):
    """[n, rows, columns] -> the same with singular values near 1, by five Newton-Schulz steps in bfloat16."""
    x = g.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.mT if tall else x).float()


class Optimizer:
    """`matrices` by Muon, `others` by AdamW, some of them at a pace of their own: {parameter: factor}."""

    def __init__(self, matrices, others, paces, decay=.01):
        self.paces = paces
        self.matrices, self.momentum, self.decay = matrices, [torch.zeros_like(p) for p in matrices], decay
        self.adam = torch.optim.AdamW([dict(params=[p for p in others if p.dim() > 1], weight_decay=decay),
                                       dict(params=[p for p in others if p.dim() < 2], weight_decay=0.0)], lr=1e-3, betas=(.9, .98), fused=True)
        self.groups = {}
        for n, p in enumerate(matrices):
            self.groups.setdefault(p.shape, []).append(n)

    @torch.no_grad()
    def step(self, muon_rate, adam_rate):
        for group in self.adam.param_groups:
            group["lr"] = adam_rate
        step_at_paces(self.adam, self.paces)
        torch._foreach_lerp_(self.momentum, [p.grad for p in self.matrices], .05)
        for shape, members in self.groups.items():
            looks = torch.stack([self.matrices[n].grad.lerp(self.momentum[n], .95) for n in members])
            for n, update in zip(members, orthogonalised(looks)):
                self.matrices[n].mul_(1 - muon_rate * self.decay).add_(update, alpha=-muon_rate * max(1, shape[0] / shape[1]) ** .5)

    def state_dict(self):
        return dict(adam=self.adam.state_dict(), momentum=self.momentum)

    def load_state_dict(self, state):
        self.adam.load_state_dict(state["adam"])
        for m, s in zip(self.momentum, state["momentum"]):
            m.copy_(s)
