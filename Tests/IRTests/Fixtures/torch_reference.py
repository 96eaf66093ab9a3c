"""Writes torch.json: what PyTorch gives for ops of the table, values and gradients, in f64.

Kinks and corners (ties, zeros, NaN, infinities) are here on purpose: finite differences say nothing there.
Run: python torch_reference.py > torch.json
"""
import json
import math

import torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
cases = []
NAN, INF = math.nan, math.inf


def encode(t):
    name = {torch.float64: "f64", torch.int32: "i32", torch.int64: "i64", torch.bool: "bool"}[t.dtype]
    data = [repr(v) if isinstance(v, float) and not math.isfinite(v) else v for v in t.flatten().tolist()]
    return {"dtype": name, "shape": list(t.shape), "data": [int(v) if isinstance(v, bool) else v for v in data]}


def case(op, attributes, function, *operands, result=None, gradients=True):
    operands = [torch.as_tensor(o) for o in operands]
    leaves = [o.clone().requires_grad_() if o.dtype == torch.float64 else o for o in operands]
    y = function(*leaves)
    entry = {"op": op, "attributes": attributes, "operands": [encode(o) for o in operands]}
    shown = y.to(result) if result else y
    entry["result"] = encode(shown.detach())
    if gradients and y.dtype == torch.float64 and y.requires_grad:
        seed = torch.cos(torch.arange(y.numel(), dtype=torch.float64)).reshape(y.shape)
        y.backward(seed)
        entry["gradients"] = [encode(l.grad) if l.grad is not None else None for l in leaves if l.dtype == torch.float64]
    cases.append(entry)


x = torch.randn(2, 3)
finite = torch.tensor([-30.0, -1.0, -1e-9, 0.0, 1e-9, 0.5, 2.0, 30.0])
for op, f in {
    "neg": torch.neg, "abs": torch.abs, "exp": torch.exp, "expm1": torch.expm1, "sin": torch.sin, "cos": torch.cos,
    "tanh": torch.tanh, "erf": torch.erf, "square": torch.square, "relu": torch.relu, "sigmoid": torch.sigmoid,
    "silu": F.silu, "gelu": F.gelu, "softplus": F.softplus,
    "gelu_tanh": lambda v: F.gelu(v, approximate="tanh"),
}.items():
    case(op, "", f, x)
    case(op, "", f, finite)
for op, f in {"sign": torch.sign, "floor": torch.floor, "ceil": torch.ceil, "round": torch.round}.items():
    case(op, "", f, torch.tensor([-2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 3.2]), gradients=False)
for op, f in {"log": torch.log, "log1p": torch.log1p, "log2": torch.log2, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt,
              "reciprocal": torch.reciprocal}.items():
    case(op, "", f, x.abs() + 0.1)
case("is_finite", "", torch.isfinite, torch.tensor([1.0, INF, -INF, NAN]))
a, b = torch.tensor([1.0, 2.0, 3.0, -1.0]), torch.tensor([2.0, 2.0, 1.0, -1.0])
for op, f in {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "minimum": torch.minimum,
              "maximum": torch.maximum}.items():
    case(op, "", f, a, b)
    case(op, "", f, torch.tensor([NAN, 1.0]), torch.tensor([1.0, NAN]), gradients=False)
case("pow", "", torch.pow, torch.tensor([0.0, 0.0, 2.0, -2.0, 3.0]), torch.tensor([0.0, 2.0, 0.0, 3.0, 0.5]), gradients=False)
case("pow", "", torch.pow, torch.tensor([0.0, 2.0, 3.0, 1.5]), torch.tensor([2.0, 0.0, 0.5, -1.0]))
for op, f in {"equal": torch.eq, "not_equal": torch.ne, "less": torch.lt, "less_equal": torch.le, "greater": torch.gt,
              "greater_equal": torch.ge}.items():
    case(op, "", f, torch.tensor([1.0, 2.0, NAN, 0.0]), torch.tensor([2.0, 2.0, NAN, -0.0]))
case("where", "", torch.where, torch.tensor([True, False, True]), torch.tensor([1.0, NAN, 3.0]), torch.tensor([4.0, 5.0, INF]))
ties = torch.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
for op, f in {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin, "logsumexp": torch.logsumexp}.items():
    case(op, "{axes = [1], keep = false}", lambda v: f(v, dim=1), ties)
    case(op, "{axes = [0, 1], keep = true}", lambda v: f(v, dim=(0, 1), keepdim=True), x)
case("logsumexp", "{axes = [0], keep = false}", lambda v: torch.logsumexp(v, 0), torch.tensor([-INF, -INF]), gradients=False)
case("logsumexp", "{axes = [0], keep = false}", lambda v: torch.logsumexp(v, 0), torch.tensor([1.0, INF]), gradients=False)
case("logsumexp", "{axes = [0], keep = false}", lambda v: torch.logsumexp(v, 0), torch.tensor([1000.0, 1000.5, -INF]))
case("max", "{axes = [0], keep = false}", lambda v: torch.amax(v, 0), torch.tensor([1.0, NAN, 3.0]), gradients=False)
case("min", "{axes = [0], keep = false}", lambda v: torch.amin(v, 0), torch.tensor([1.0, NAN, 3.0]), gradients=False)
for row in ([2.0, 3.0, 4.0], [2.0, 0.0, 4.0], [0.0, 0.0, 4.0]):
    case("prod", "{axes = [0], keep = false}", lambda v: torch.prod(v, 0), torch.tensor(row))
for correction in (0, 1):
    case("variance", "{axes = [1], correction = %d, keep = false}" % correction,
         lambda v: torch.var(v, dim=1, correction=correction), x)
for op, f in {"argmax": torch.argmax, "argmin": torch.argmin}.items():
    case(op, "{axis = 1, keep = false}", lambda v: f(v, dim=1), ties, result=torch.int32)
    case(op, "{axis = 0, keep = false}", lambda v: f(v, dim=0), torch.tensor([1.0, NAN, 3.0, NAN]), result=torch.int32)
unsorted = torch.tensor([[3.0, NAN, -INF, 0.0, -0.0, 3.0, INF], [1.0, 1.0, NAN, -2.0, NAN, 0.5, 1.0]])
for descending in [False, True]:
    attributes = "{axis = 1, descending = %s}" % str(descending).lower()
    sort = lambda v: torch.sort(v, dim=1, descending=descending, stable=True)
    case("sort", attributes + " also (i32[2, 7])", lambda v: sort(v).values, unsorted)
    case("argsort", attributes, lambda v: sort(v).indices, unsorted, result=torch.int32)
distinct = torch.tensor([[0.5, -1.0, 4.0, 2.0], [7.0, 8.0, -3.0, 0.0], [1.0, 6.0, 5.0, -7.0]])
for largest in [False, True]:
    case("topk", "{axis = 0, k = 2, largest = %s} also (i32[2, 4])" % str(largest).lower(),
         lambda v: torch.topk(v, 2, dim=0, largest=largest).values, distinct)
for axis in [0, 1]:
    case("cumsum", "{axis = %d, reversed = false}" % axis, lambda v: torch.cumsum(v, axis), distinct)
case("cumsum", "{axis = 0, reversed = false}", lambda v: torch.cumsum(v, 0),
     torch.tensor([1.0, INF, 2.0, -INF, 3.0]))
case("take_along_axis", "{axis = 1}", lambda v, i: torch.take_along_dim(v, i, 1), distinct,
     torch.tensor([[3, 3], [0, 1], [2, 0]]))
case("one_hot", "{classes = dim[4]}", lambda i: F.one_hot(i, 4), torch.tensor([2, 0, 3, 3]), result=torch.int32)
case("matmul", "", torch.matmul, torch.randn(2, 2, 3), torch.randn(2, 3, 4))
case("linear", "", F.linear, torch.randn(2, 2, 3), torch.randn(4, 3), torch.randn(4))
case("softmax", "{axis = 1}", lambda v: F.softmax(v, 1), x)
case("softmax", "{axis = 0}", lambda v: F.softmax(v, 0), torch.tensor([1000.0, 999.0, -INF]))
case("log_softmax", "{axis = 1}", lambda v: F.log_softmax(v, 1), x)
case("layer_norm", "{eps = 1e-05}", lambda v, w, c: F.layer_norm(v, (3,), w, c, 1e-5), x, torch.randn(3), torch.randn(3))
case("rms_norm", "{eps = 1e-06}", lambda v, w: F.rms_norm(v, (3,), w, 1e-6), x, torch.randn(3))
case("batch_norm", "{eps = 1e-05}",
     lambda v, w, c, m, s: (v - m[:, None]) / torch.sqrt(s[:, None] + 1e-5) * w[:, None] + c[:, None],
     torch.randn(2, 3, 2), torch.randn(3), torch.randn(3), torch.randn(3), torch.rand(3) + 0.5)
logits = torch.randn(4, 3)
labels = torch.tensor([0, 2, 1, 1], dtype=torch.int32)
case("cross_entropy", "", lambda v, l: F.cross_entropy(v, l.long()), logits, labels)
case("cross_entropy", "", lambda v, l: F.cross_entropy(v, l.long()), logits * 1000, labels)
target = torch.tensor([[0.0, 1.0, 0.3], [1.0, 0.0, 0.5]])
case("mse_loss", "", F.mse_loss, x, target)
case("l1_loss", "", F.l1_loss, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 3.0, 1.0]))
case("huber_loss", "{delta = 0.5}", lambda v, t: F.huber_loss(v, t, delta=0.5), torch.tensor([0.0, 0.5, 2.0]), torch.zeros(3))
case("bce_with_logits", "", F.binary_cross_entropy_with_logits, x * 50, target)
case("binary_cross_entropy", "", lambda v, t: F.binary_cross_entropy(v, t.detach()), torch.tensor([0.0, 1.0, 0.2]),
     torch.tensor([1.0, 0.0, 0.6]), gradients=False)
case("binary_cross_entropy", "", F.binary_cross_entropy, torch.tensor([0.4, 0.9, 0.2]), torch.tensor([1.0, 0.0, 0.6]))
case("gather", "{axis = 0}", lambda v, i: F.embedding(i, v), torch.randn(4, 2), torch.tensor([[1, 1], [3, 0]], dtype=torch.int32))
case("reshape", "{shape = shape[3, 2]}", lambda v: v.reshape(3, 2), x)
case("transpose", "{permutation = [2, 0, 1]}", lambda v: v.permute(2, 0, 1), torch.randn(2, 3, 4))
case("slice", "{axis = 1, limit = dim[5], start = dim[1], stride = 2}", lambda v: v[:, 1:5:2], torch.randn(2, 6))
case("concat", "{axis = 1}", lambda v, w: torch.cat([v, w], 1), torch.randn(2, 1), torch.randn(2, 3))
case("pad", "{axis = 1, high = 2, low = 1, value = 0.5}", lambda v: F.pad(v, (1, 2), value=0.5), x)
print(json.dumps(cases, indent=None).replace('}, {"op"', '},\n {"op"'))
