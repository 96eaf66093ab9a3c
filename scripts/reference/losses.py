"""Two losses with an optimizer each, in float64: a GAN whose critic is trained with every batch and its generator with every second one.

    python3 scripts/reference/losses.py > Tests/EndToEndTests/Fixtures/losses.json
"""

import json

import torch
import torch.nn.functional as F

torch.manual_seed(5)
torch.set_default_dtype(torch.float64)
BATCH, STEPS = 8, 20


class GAN(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = torch.nn.ModuleDict({"fc1": torch.nn.Linear(3, 6), "fc2": torch.nn.Linear(6, 4)})
        self.critic = torch.nn.ModuleDict({"fc1": torch.nn.Linear(4, 6), "fc2": torch.nn.Linear(6, 1)})

    def make(self, z):
        return self.generator["fc2"](torch.tanh(self.generator["fc1"](z)))

    def judge(self, x):
        return self.critic["fc2"](torch.tanh(self.critic["fc1"](x)))[:, 0]


model = GAN()
first = {name: weight.detach().clone() for name, weight in model.named_parameters()}
x, z = torch.randn(BATCH * STEPS, 4) + 1, torch.randn(BATCH * STEPS, 3)
critic = torch.optim.Adam(model.critic.parameters(), lr=2e-2, betas=(0.5, 0.999))
generator = torch.optim.SGD(model.generator.parameters(), lr=0.3, momentum=0.9)
decay = torch.optim.lr_scheduler.ExponentialLR(generator, 0.9)
losses = []
for step in range(STEPS):
    real, noise = x[step * BATCH:(step + 1) * BATCH], z[step * BATCH:(step + 1) * BATCH]
    scores, fakes = model.judge(real), model.judge(model.make(noise).detach())
    loss = F.binary_cross_entropy_with_logits(scores, torch.ones(BATCH)) \
        + F.binary_cross_entropy_with_logits(fakes, torch.zeros(BATCH))
    critic.zero_grad()
    loss.backward()
    critic.step()
    losses.append(loss.item())
    if step % 2 == 1:
        loss = F.binary_cross_entropy_with_logits(model.judge(model.make(noise)), torch.ones(BATCH))
        generator.zero_grad()
        loss.backward()
        generator.step()
        decay.step()
        losses.append(loss.item())


def values(tensor):
    return tensor.detach().flatten().tolist()


print(json.dumps({
    "x": values(x), "z": values(z), "losses": losses,
    "first": {name: values(weight) for name, weight in first.items()},
    "last": {name: values(weight) for name, weight in model.named_parameters()},
}))
