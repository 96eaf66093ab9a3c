"""Records PyTorch's optimizers, schedules and averages in float64: python record.py > torch.json

Weights and gradients are formulas that the tests repeat: weight i begins as cos(0.5 i), its gradient in update n (from 0) is
sin(1.7 i + 0.9 n) (1 + 0.1 n).
"""

import json
import math
import sys
import warnings

import torch
from torch.optim import lr_scheduler as schedules
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

warnings.filterwarnings("ignore")
SHAPES = {"tall": (5, 3), "wide": (3, 5), "vector": (4,)}
UPDATES = 20


class Lion(torch.optim.Optimizer):
    """As in Chen et al. 2023, which PyTorch has not."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                update = (beta1 * m + (1 - beta1) * p.grad).sign()
                p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * update)
                m.mul_(beta2).add_(p.grad, alpha=1 - beta2)


def weights():
    values = {}
    for name, shape in SHAPES.items():
        index = torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)
        values[name] = torch.cos(0.5 * index).requires_grad_()
    return values


def set_gradients(values, update):
    for weight in values.values():
        index = torch.arange(weight.numel(), dtype=torch.float64).reshape(weight.shape)
        weight.grad = torch.sin(1.7 * index + 0.9 * update) * (1 + 0.1 * update)


def flat(values):
    return {name: weight.detach().flatten().tolist() for name, weight in values.items()}


def run(make, schedule=None, before=None, after=None):
    values = weights()
    optimizer = make(values)
    plan = schedule(optimizer) if schedule else None
    for update in range(UPDATES):
        set_gradients(values, update)
        if before:
            before(values, update)
        optimizer.step()
        if plan:
            plan.step()
        if after:
            after(values)
    return flat(values)


def muon(values):
    """Matrices by Muon without its rounding to bf16, the vector by AdamW."""
    matrices = [w for w in values.values() if w.ndim == 2]
    parts = [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1),
        torch.optim.AdamW([values["vector"]], lr=1e-3, weight_decay=0.1, betas=(0.9, 0.999), eps=1e-8),
    ]

    class Both:
        def step(self):
            for part in parts:
                part.step()

    return Both()


def each(kind, **arguments):
    return lambda values: kind(list(values.values()), **arguments)


def optimizers():
    o = torch.optim
    yield "SGD(lr: 0.1, momentum: 0.9, nesterov: true)", each(o.SGD, lr=0.1, momentum=0.9, nesterov=True)
    yield "Adam(lr: 0.01)", each(o.Adam, lr=0.01)
    yield "Adam(lr: 0.01, amsgrad: true)", each(o.Adam, lr=0.01, amsgrad=True)
    yield "AdamW(lr: 0.01, amsgrad: true)", each(o.AdamW, lr=0.01, amsgrad=True)
    yield "NAdam(lr: 0.01, weight_decay: 0.1)", each(o.NAdam, lr=0.01, weight_decay=0.1)
    yield "RAdam(lr: 0.01, weight_decay: 0.1)", each(o.RAdam, lr=0.01, weight_decay=0.1)
    yield "RMSprop(lr: 0.01)", each(o.RMSprop, lr=0.01)
    yield (
        "RMSprop(lr: 0.01, momentum: 0.9, centered: true, weight_decay: 0.1)",
        each(o.RMSprop, lr=0.01, momentum=0.9, centered=True, weight_decay=0.1),
    )
    yield "Adagrad(lr: 0.1, lr_decay: 0.1)", each(o.Adagrad, lr=0.1, lr_decay=0.1)
    yield "Adagrad(initial_accumulator_value: 0.5)", each(o.Adagrad, initial_accumulator_value=0.5)
    yield "Lion(lr: 0.01, weight_decay: 0.1)", each(Lion, lr=0.01, weight_decay=0.1)
    yield (
        "Adafactor(lr: 0.05, eps1: 1e-10, weight_decay: 0.1)",
        each(o.Adafactor, lr=0.05, eps=(1e-10, 1e-3), weight_decay=0.1),
    )
    yield "Muon(lr: 0.02)", muon


def sequence(first, then, milestone):
    return lambda o: schedules.SequentialLR(o, [first(o), then(o)], [milestone])


def schedule_list():
    s = schedules
    yield "exponential(gamma: 0.9)", lambda o: s.ExponentialLR(o, 0.9)
    yield "multi_step(milestones: [3, 4, 11], gamma: 0.5)", lambda o: s.MultiStepLR(o, [3, 4, 11], 0.5)
    yield "step_decay(every: 4, gamma: 0.5)", lambda o: s.StepLR(o, 4, 0.5)
    yield "polynomial(power: 2)", lambda o: s.PolynomialLR(o, UPDATES, 2)
    yield "cosine()", lambda o: s.CosineAnnealingLR(o, UPDATES)
    yield "cosine_restarts(period: 6, floor: 0.1)", lambda o: s.CosineAnnealingWarmRestarts(o, 6, eta_min=0.01)
    yield "cosine_restarts(period: 3, growth: 2)", lambda o: s.CosineAnnealingWarmRestarts(o, 3, 2)
    yield "inverse_sqrt(warmup: 4)", lambda o: s.LambdaLR(o, lambda n: min((n + 1) / 4, math.sqrt(4 / (n + 1))))
    yield "one_cycle()", lambda o: s.OneCycleLR(o, 0.1, total_steps=UPDATES)
    yield (
        "warmup(steps: 5, start: 0.1) then cosine()",
        sequence(
            lambda o: s.LambdaLR(o, lambda n: 0.1 + 0.9 * min((n + 1) / 5, 1)),
            lambda o: s.CosineAnnealingLR(o, UPDATES - 5),
            5,
        ),
    )


def rates(make):
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    plan = make(optimizer)
    result = []
    for _ in range(UPDATES):
        result.append(optimizer.param_groups[0]["lr"])
        weight.grad = torch.zeros_like(weight)
        optimizer.step()
        plan.step()
    return result


def plateau():
    """The rate of each update, and the values that are watched after each."""
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    plan = schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=1e-2, cooldown=1)
    watched = [1, 0.9, 0.895, 0.897, 0.92, 0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.7, 0.71, 0.72, 0.73, 0.74, 0.75]
    result = []
    for value in watched:
        result.append(optimizer.param_groups[0]["lr"])
        plan.step(value)
    return {"watched": watched, "rates": result}


def clips():
    norm, value = torch.nn.utils.clip_grad_norm_, torch.nn.utils.clip_grad_value_
    yield "norm(1.5)", lambda values, _: norm(list(values.values()), 1.5)
    yield "parameter_norm(0.7)", lambda values, _: [norm([w], 0.7) for w in values.values()]
    yield "value(0.6)", lambda values, _: value(list(values.values()), 0.6)


def averages():
    class Holder(torch.nn.Module):
        def __init__(self, values):
            super().__init__()
            for name, weight in values.items():
                setattr(self, name, torch.nn.Parameter(weight))

    for text, options, start, every in [
        ("ema(0.9)", {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}, 0, 1),
        ("swa(start: 0.5, every: 3)", {}, 10, 3),
    ]:
        holder = Holder({name: w.detach() for name, w in weights().items()})
        averaged = AveragedModel(holder, **options)
        optimizer = torch.optim.SGD(holder.parameters(), lr=0.1)
        for update in range(UPDATES):
            set_gradients(dict(holder.named_parameters()), update)
            optimizer.step()
            if update >= start and (update - start) % every == 0:
                averaged.update_parameters(holder)
        yield text, flat(dict(averaged.module.named_parameters()))


def groups():
    def make(values):
        rest = [values["tall"], values["wide"]]
        return torch.optim.AdamW([{"params": rest}, {"params": [values["vector"]], "lr": 0.1, "weight_decay": 0}], lr=0.01)

    return run(make, lambda o: schedules.ExponentialLR(o, 0.9))


def main():
    # Else NAdam keeps a product of its own in f32.
    torch.set_default_dtype(torch.float64)
    # Muon rounds to bf16 for speed; what is compared is its formula.
    real = torch.Tensor.to
    torch.Tensor.to = lambda self, *args, **named: (
        self.clone() if named.get("dtype") is torch.bfloat16 else real(self, *args, **named)
    )
    result = {
        "optimizers": {text: run(make) for text, make in optimizers()},
        "schedules": {text: rates(make) for text, make in schedule_list()},
        "one_cycle": {
            "SGD(lr: 0.1, momentum: 0.9)": run(
                each(torch.optim.SGD, lr=0.1, momentum=0.9), lambda o: schedules.OneCycleLR(o, 0.1, total_steps=UPDATES)
            ),
            "Adam(lr: 0.01)": run(
                each(torch.optim.Adam, lr=0.01), lambda o: schedules.OneCycleLR(o, 0.01, total_steps=UPDATES)
            ),
        },
        "plateau": plateau(),
        "clips": {text: run(each(torch.optim.SGD, lr=0.1), before=clip) for text, clip in clips()},
        "averages": dict(averages()),
        "groups": groups(),
    }
    json.dump(result, sys.stdout, indent=1)


main()
