"""Writes ops.json: what PyTorch gives for ops beyond the core of the table, values and gradients, in f64.

Borders of pieces, zeros, NaN and infinities are here on purpose: finite differences say nothing there.
Run: python ops_reference.py > ops.json
"""
import json
import math

import torch
import torch.nn.functional as F

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
cases = []
NAN, INF = math.nan, math.inf


def encode(t):
    name = {torch.float64: "f64", torch.int32: "i32", torch.int64: "i64", torch.bool: "bool"}[t.dtype]
    data = [repr(v) if isinstance(v, float) and not math.isfinite(v) else v for v in t.flatten().tolist()]
    return {"dtype": name, "shape": list(t.shape), "data": [int(v) if isinstance(v, bool) else v for v in data]}


def case(op, attributes, function, *operands, gradients=True):
    operands = [torch.as_tensor(o) for o in operands]
    leaves = [o.clone().requires_grad_() if o.dtype == torch.float64 else o for o in operands]
    y = function(*leaves)
    entry = {"op": op, "attributes": attributes, "operands": [encode(o) for o in operands], "result": encode(y.detach())}
    if gradients and y.dtype == torch.float64 and y.requires_grad:
        y.backward(torch.cos(torch.arange(y.numel(), dtype=torch.float64)).reshape(y.shape))
        entry["gradients"] = [
            encode(l.grad) if l.grad is not None else None for l in leaves if l.dtype == torch.float64]
    cases.append(entry)


ints = lambda *v: torch.tensor(v, dtype=torch.int32)
x = torch.randn(2, 3)
# Borders of every piece, and tails. PyTorch's own hardsigmoid has a slope of 1/6 in f32.
pieces = torch.tensor([-30.0, -6.0, -3.0, -2.0, -1.0, -1e-9, 0.0, -0.0, 1e-9, 0.5, 1.0, 2.0, 3.0, 6.0, 30.0])
wide = torch.tensor([-700.0, -50.0, 25.0, 700.0])
for op, attributes, f in [
    ("elu", "{alpha = 1.0}", F.elu), ("elu", "{alpha = 0.3}", lambda v: F.elu(v, 0.3)), ("selu", "", F.selu),
    ("celu", "{alpha = 1.0}", F.celu), ("celu", "{alpha = 2.5}", lambda v: F.celu(v, 2.5)), ("mish", "", F.mish),
    ("softsign", "", F.softsign), ("log_sigmoid", "", F.logsigmoid), ("relu6", "", F.relu6),
    ("hardtanh", "{max_val = 1.0, min_val = -1.0}", F.hardtanh),
    ("hardtanh", "{max_val = 2.0, min_val = -3.0}", lambda v: F.hardtanh(v, -3.0, 2.0)),
    ("hardsigmoid", "", lambda v: F.relu6(v + 3) / 6), ("hardswish", "", F.hardswish),
    ("threshold", "{threshold = 0.5, value = -2.0}", lambda v: F.threshold(v, 0.5, -2.0)),
    ("clamp", "{max = 2.0, min = -3.0}", lambda v: torch.clamp(v, -3, 2)),
    ("clamp", "{max = inf, min = 0.5}", lambda v: torch.clamp(v, min=0.5)),
]:
    case(op, attributes, f, pieces)
    case(op, attributes, f, wide)
    # The gradient at NaN depends on the lane there.
    case(op, attributes, f, torch.tensor([NAN, 0.25]), gradients=False)
for op, f in {"tan": torch.tan, "atan": torch.atan, "sinh": torch.sinh, "cosh": torch.cosh, "asinh": torch.asinh}.items():
    case(op, "", f, torch.tensor([-30.0, -3.0, -1.0, -0.4, -1e-9, 0.0, -0.0, 1e-9, 0.3, 0.42, 0.9, 1.1, 2.0, 30.0, NAN]))
for op, f in {"atan": torch.atan, "sinh": torch.sinh, "cosh": torch.cosh, "asinh": torch.asinh}.items():
    case(op, "", f, torch.tensor([-INF, -1e20, -709.0, 80.0, 81.0, 709.5, 1e20, INF]), gradients=False)
for op, f in {"asin": torch.asin, "acos": torch.acos, "atanh": torch.atanh}.items():
    case(op, "", f, torch.tensor([-0.9, -0.5, -0.3, 0.0, -0.0, 1e-9, 0.49, 0.51, 0.75, 0.99, NAN]))
    case(op, "", f, torch.tensor([-2.0, -1.0, 1.0, 1.5, INF]), gradients=False)
case("acosh", "", torch.acosh, torch.tensor([1.001, 1.5, 2.0, 30.0, 1e12, NAN]))
case("acosh", "", torch.acosh, torch.tensor([-1e5, -3.0, 0.5, 1.0, INF]), gradients=False)
case("trunc", "", torch.trunc, torch.tensor([-2.5, -0.5, -0.0, 0.5, 1.9, NAN, INF]), gradients=False)
case("atan2", "", torch.atan2, torch.randn(8), torch.randn(8))
signed = torch.tensor([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN])
case("atan2", "", torch.atan2, signed.repeat_interleave(7), signed.repeat(7), gradients=False)
case("prelu", "", F.prelu, torch.tensor([[0.0, 1.0, -2.0], [-0.0, -1.0, 3.0]]), torch.tensor([0.5, -2.0, 0.25]))
case("prelu", "", F.prelu, torch.randn(2, 3, 2), torch.tensor([0.5]))
for axis in (0, 1):
    case("glu", "{axis = %d}" % axis, lambda v: F.glu(v, axis), torch.randn(4, 6))
    case("swiglu", "{axis = %d}" % axis,
         lambda v: F.silu(v.chunk(2, axis)[0]) * v.chunk(2, axis)[1], torch.randn(4, 6))
case("masked_fill", "{value = -inf}", lambda v, m: v.masked_fill(m, -INF), x,
     torch.tensor([[True, False, False], [False, True, True]]))

a = torch.randn(2, 3, 4)
case("flip", "{axes = [1, 2]}", lambda v: v.flip((1, 2)), a)
case("flip", "{axes = [0]}", lambda v: v.flip(0), ints(1, 2, 3))
for shift in (0, 1, -3, 9):
    case("roll", "{axis = 2, shifts = %d}" % shift, lambda v: v.roll(shift, 2), a)
for diagonal in (-1, 0, 2):
    case("tril", "{diagonal = %d}" % diagonal, lambda v: v.tril(diagonal), a)
    case("triu", "{diagonal = %d}" % diagonal, lambda v: v.triu(diagonal), a)
case("expand", "{shape = shape[5, 2, 3]}", lambda v: v.expand(5, 2, 3), torch.randn(2, 1))
case("repeat", "{repeats = [2, 1, 3]}", lambda v: v.repeat(2, 1, 3), x)
case("repeat_interleave", "{axis = 0, repeats = 3}", lambda v: v.repeat_interleave(3, 0), x)
image = torch.randn(1, 2, 3, 4)
for mode in ("reflect", "replicate", "circular"):
    case("pad_around", '{axis = 3, high = 3, low = 2, mode = "%s"}' % mode, lambda v: F.pad(v, (2, 3, 0, 0), mode=mode), image)
for k, d, p, s in (((2, 3), 1, 0, 1), ((2, 2), (2, 1), (1, 0), (1, 2)), ((1, 3), 1, 1, 2)):
    pair = lambda v: list(v) if isinstance(v, tuple) else [v, v]
    attributes = "dilation = %s, kernel = %s, padding = %s, stride = %s}" % (pair(d), pair(k), pair(p), pair(s))
    case("unfold", "{" + attributes, lambda v: F.unfold(v, k, d, p, s), image)
    columns = F.unfold(image, k, d, p, s)
    case("fold", "{output_size = [3, 4], " + attributes, lambda v: F.fold(v, (3, 4), k, d, p, s), torch.randn(columns.shape))
case("pixel_shuffle", "{upscale_factor = 2}", lambda v: F.pixel_shuffle(v, 2), torch.randn(2, 8, 2, 3))
case("pixel_unshuffle", "{downscale_factor = 2}", lambda v: F.pixel_unshuffle(v, 2), torch.randn(2, 2, 4, 6))
line, image, volume = torch.randn(2, 1, 5), torch.randn(1, 2, 3, 5), torch.randn(1, 1, 2, 3, 2)
for mode, v, size in [
    ("nearest", line, [8]), ("nearest", line, [3]), ("nearest", image, [6, 10]), ("nearest-exact", image, [4, 7]),
    ("linear", line, [8]), ("linear", line, [3]), ("linear", line, [1]), ("bilinear", image, [5, 3]),
    ("bilinear", image, [7, 10]), ("trilinear", volume, [3, 5, 4]), ("bicubic", image, [5, 3]), ("bicubic", image, [7, 10]),
]:
    for aligned in ((False,) if "nearest" in mode else (False, True)):
        case("interpolate", '{align_corners = %s, mode = "%s", size = %s}' % (str(aligned).lower(), mode, size),
             lambda t: F.interpolate(t, size=size, mode=mode, align_corners=None if "nearest" in mode else aligned), v)
for mode in ("nearest", "bilinear", "bicubic"):
    for factor in (2.0, 1.5, 0.7):
        case("interpolate", '{align_corners = false, mode = "%s", scale_factor = %s}' % (mode, factor),
             lambda t: F.interpolate(t, scale_factor=factor, mode=mode), image)

base, at, src = torch.randn(3, 5), torch.tensor([[0, 2, 4], [1, 1, 3], [4, 0, 2]], dtype=torch.int32), torch.randn(3, 3)
distinct = torch.tensor([[0, 2, 4], [1, 0, 3], [4, 0, 2]], dtype=torch.int32)
case("scatter", '{axis = 1, reduce = "set"}', lambda v, i, u: v.scatter(1, i.long(), u), base, distinct, src)
case("scatter", '{axis = 0, reduce = "set"}', lambda v, i, u: v.scatter(0, i.long(), u), torch.randn(5, 3), torch.tensor([[4, 2, 0]], dtype=torch.int32), torch.randn(1, 3))
case("scatter", '{axis = 1, reduce = "add"}', lambda v, i, u: v.scatter_add(1, i.long(), u), base, at, src)
for reduce, name in (("max", "amax"), ("min", "amin")):
    case("scatter", '{axis = 1, reduce = "%s"}' % reduce,
         lambda v, i, u: v.scatter_reduce(1, i.long(), u, name, include_self=True), base, at, src)
    odd = torch.tensor([[1.0, NAN, -INF], [2.0, 2.0, 0.0], [INF, 0.0, 5.0]])
    case("scatter", '{axis = 1, reduce = "%s"}' % reduce,
         lambda v, i, u: v.scatter_reduce(1, i.long(), u, name, include_self=True), base, at, odd, gradients=False)

for row in ([2.0, 3.0, -4.0, 0.5], [2.0, 0.0, 4.0, 3.0], [0.0, 2.0, 0.0, 4.0], [1.0, 2.0, 3.0, 0.0]):
    case("cumprod", "{axis = 0}", lambda v: v.cumprod(0), torch.tensor(row))
case("cumprod", "{axis = 1}", lambda v: v.cumprod(1), a)
constant = torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]])
for correction in (0, 1):
    case("std", "{axes = [1], correction = %d, keep = false}" % correction, lambda v: v.std(1, correction=correction), constant)
    case("std", "{axes = [0, 2], correction = %d, keep = true}" % correction,
         lambda v: v.std((0, 2), correction=correction, keepdim=True), a)
vectors = torch.tensor([[0.0, 0.0, 0.0], [3.0, -4.0, 0.0], [2.0, -2.0, 1.0]])
for p in (0.0, 1.0, 2.0, 3.0, 1.5, INF, -INF):
    case("norm", "{axes = [1], keep = false, p = %s}" % p, lambda v: torch.linalg.vector_norm(v, p, 1), vectors,
         gradients=p != 0 and not (p == -INF or p == INF))
    case("norm", "{axes = [0, 2], keep = true, p = %s}" % p,
         lambda v: torch.linalg.vector_norm(v, p, (0, 2), keepdim=True), a, gradients=p != 0)
case("cosine_similarity", "{axis = 1, eps = 1e-08}", lambda u, v: F.cosine_similarity(u, v, 1, 1e-8), torch.randn(3, 4), torch.randn(3, 4))
case("cosine_similarity", "{axis = 0, eps = 0.5}", lambda u, v: F.cosine_similarity(u, v, 0, 0.5),
     torch.tensor([[0.0, 1.0, 0.1], [0.0, 2.0, 0.2]]), torch.randn(2, 3), gradients=False)

logits, labels, weight = torch.randn(4, 3), ints(0, 2, 1, 1), torch.tensor([0.5, 2.0, 1.5])
far = torch.randn(2, 2, 3) * 10
for reduction in ("mean", "sum", "none"):
    tail = 'reduction = "%s"}' % reduction
    case("cross_entropy", "{ignore_index = 1, label_smoothing = 0.1, " + tail,
         lambda v, l, w: F.cross_entropy(v, l.long(), w.detach(), ignore_index=1, label_smoothing=0.1, reduction=reduction),
         logits, labels, weight)
    case("cross_entropy", "{" + tail, lambda v, t: F.cross_entropy(v, t, reduction=reduction), logits, torch.rand(4, 3))
    case("cross_entropy", "{label_smoothing = 0.2, " + tail,
         lambda v, t, w: F.cross_entropy(v, t, w.detach(), label_smoothing=0.2, reduction=reduction), logits, torch.rand(4, 3), weight)
    case("nll_loss", "{ignore_index = 2, " + tail,
         lambda v, l: F.nll_loss(v, l.long(), ignore_index=2, reduction=reduction), logits, labels)
    case("nll_loss", "{ignore_index = -100, " + tail,
         lambda v, l, w: F.nll_loss(v.transpose(1, 2), l.long(), w.detach(), reduction=reduction), far, torch.tensor([[0, -100], [2, 1]], dtype=torch.int32), weight)
    case("smooth_l1_loss", "{beta = 0.5, " + tail, lambda v, t: F.smooth_l1_loss(v, t, beta=0.5, reduction=reduction),
         torch.tensor([0.0, 0.5, 2.0, -0.2]), torch.tensor([0.0, 0.0, 0.0, 0.1]))
case("cross_entropy", "{ignore_index = 1}", lambda v, l: F.cross_entropy(v, l.long(), ignore_index=1), logits, labels)
case("cross_entropy", "{ignore_index = 1}", lambda v, l: F.cross_entropy(v, l.long(), ignore_index=1), logits[2:], labels[2:], gradients=False)
for reduction in ("mean", "sum", "none", "batchmean"):
    tail = 'reduction = "%s"}' % reduction
    t = torch.tensor([[0.0, 0.4, 0.6], [1.0, 0.0, 0.0]])
    case("kl_div", "{log_target = false, " + tail, lambda v, u: F.kl_div(v, u.detach(), reduction=reduction), x, t)
    case("kl_div", "{log_target = true, " + tail, lambda v, u: F.kl_div(v, u, reduction=reduction, log_target=True), x, torch.randn(2, 3))

whole, by = ints(7, -7, 7, -7, 0, 12, -1, 2147483647), ints(2, 2, -2, -2, 5, -12, 31, 3)
fractions, divisors = torch.tensor([7.5, -7.5, 7.5, -7.5, -0.25, 6.0, 1e6]), torch.tensor([2.0, 2.0, -2.0, -2.0, 3.0, -2.0, 0.3])
for op, f in {"floor_divide": torch.floor_divide, "remainder": torch.remainder, "fmod": torch.fmod}.items():
    case(op, "", f, whole, by)
    case(op, "", f, fractions, divisors, gradients=op != "floor_divide")
    case(op, "", f, torch.tensor([1.0, -1.0, 0.0, NAN, 5.0]), torch.tensor([0.0, 0.0, 2.0, 1.0, NAN]), gradients=False)
    # The quotient of 1 and 0.1 is 10 once it is rounded.
    case(op, "", f, torch.tensor([1.0, -1.0, 0.7, 5.0]), torch.tensor([0.1, 0.1, -0.1, 1e300]), gradients=False)
bits, shifts = ints(0, 1, -1, 5, 1234567, -1234567, 2147483647), ints(0, 31, 4, 1, 3, 7, 40)
for op, f in {"bitwise_and": torch.bitwise_and, "bitwise_or": torch.bitwise_or, "bitwise_xor": torch.bitwise_xor}.items():
    case(op, "", f, bits, shifts)
case("bitwise_not", "", torch.bitwise_not, bits)
case("bitwise_left_shift", "", torch.bitwise_left_shift, ints(1, -3, 5, 1234567), ints(31, 4, 0, 12))
case("bitwise_right_shift", "", torch.bitwise_right_shift, ints(-1, -1024, 1024, 1234567), ints(31, 4, 10, 40))


def stft(v, n, hop, window, center):
    return torch.view_as_real(torch.stft(v, n, hop, n, window, center, "reflect", return_complex=True))


def mel_bands(frequencies, mels, rate, low, high, norm, scale):
    """The triangles of torchaudio's melscale_fbanks, which is not needed for that."""
    if scale == "htk":
        to_mel, to_hertz = lambda f: 2595 * math.log10(1 + f / 700), lambda m: 700 * (10 ** (m / 2595) - 1)
    else:
        to_mel = lambda f: f * 3 / 200 if f < 1000 else 15 + math.log(f / 1000) * 27 / math.log(6.4)
        to_hertz = lambda m: torch.where(m < 15, m * 200 / 3, 1000 * torch.exp((m - 15) * math.log(6.4) / 27))
    points = to_hertz(torch.linspace(to_mel(low), to_mel(high), mels + 2))
    frequency = torch.linspace(0, rate / 2, frequencies)
    slopes, width = points[:, None] - frequency, points[1:] - points[:-1]
    bands = torch.clamp(torch.minimum(-slopes[:-2] / width[:-1, None], slopes[2:] / width[1:, None]), min=0)
    return bands * (2 / (points[2:] - points[:-2]))[:, None] if norm == "slaney" else bands


case("stft", "{center = true, hop_length = 3, n_fft = 8}", lambda v, w: stft(v, 8, 3, w.detach(), True), torch.randn(2, 16), torch.hann_window(8))
case("stft", "{center = false, n_fft = 6}", lambda v: stft(v, 6, 1, torch.ones(6), False), torch.randn(11))
for norm in ("none", "slaney"):
    for scale in ("htk", "slaney"):
        case("mel_scale", '{f_max = 3500.0, f_min = 20.0, mel_scale = "%s", n_mels = 6, norm = "%s", sample_rate = 8000.0}' % (scale, norm),
             lambda v: mel_bands(33, 6, 8000, 20, 3500, norm, scale) @ v, torch.rand(2, 33, 3))
print(json.dumps(cases, indent=None).replace('}, {"op"', '},\n {"op"'))
