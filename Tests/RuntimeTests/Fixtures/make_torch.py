"""Makes the files of PyTorch's that TorchTests read: python make_torch.py, with torch installed, in this folder."""
import collections

import torch

state = collections.OrderedDict()
state["fc1.weight"] = torch.tensor([[1.5, -2, 3.25], [0, 1e-3, -65504]])
state["fc1.bias"] = torch.tensor([0.5, -0.25], dtype=torch.float16)
state["norm.weight"] = torch.tensor([1, -3e38, 2.0**-100], dtype=torch.bfloat16)
state["steps"] = torch.tensor(2**40 + 1)
state["mask"] = torch.tensor([True, False, True])
state["wide"] = torch.tensor([0.1], dtype=torch.float64)
state["labels"] = torch.tensor([7, -7], dtype=torch.int32)
state["pixels"] = torch.tensor([[0, 255]], dtype=torch.uint8)
base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
state["base"] = base
state["turned"] = base.T
state["part"] = base[1:3, 1::2]
state["empty"] = torch.zeros(0, 3)
torch.save(state, "state.pt")
torch.save(state, "state_legacy.pth", _use_new_zipfile_serialization=False)

small = torch.nn.Linear(2, 2)
with torch.no_grad():
    small.weight.copy_(torch.tensor([[1.0, 2], [3, 4]]))
    small.bias.copy_(torch.tensor([5.0, 6]))
optimizer = torch.optim.Adam(small.parameters())
small(torch.ones(1, 2)).sum().backward()
optimizer.step()
with torch.no_grad():
    small.weight.copy_(torch.tensor([[1.0, 2], [3, 4]]))
    small.bias.copy_(torch.tensor([5.0, 6]))
parallel = {"module." + name: value for name, value in small.state_dict().items()}
torch.save(
    {"epoch": 3, "optimizer": optimizer.state_dict(), "state_dict": parallel, "ema": {"weight": torch.full((2, 2), 9.0)}},
    "checkpoint.ckpt")
torch.save(torch.nn.Sequential(collections.OrderedDict(first=small, norm=torch.nn.BatchNorm1d(2))), "module.pt")
torch.save({"small": torch.tensor([1, 2], dtype=torch.int8), "weight": torch.ones(1)}, "small_integers.pt")


class Call:
    def __reduce__(self):
        import os
        return os.system, ("touch called",)


torch.save({"weight": torch.ones(2), "other": Call()}, "calls.pt")
