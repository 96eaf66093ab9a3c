"""Writes convolution.json: what PyTorch gives for convolutions, pools and group norm, values and gradients, in f64.

Sizes of 1, padding wider than the kernel, odd strides, dilation, groups, ties, ceil_mode.
Run: python convolution_reference.py > convolution.json
"""
import json

import torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
torch.backends.mkldnn.enabled = False
cases = []


def encode(t):
    return {"dtype": "f64", "shape": list(t.shape), "data": [float(f"{v:.14g}") for v in t.flatten().tolist()]}


def case(op, attributes, function, *operands):
    leaves = [o.clone().requires_grad_() for o in operands]
    y = function(*leaves)
    y.backward(torch.cos(torch.arange(y.numel(), dtype=torch.float64)).reshape(y.shape))
    text = ", ".join(f"{k} = {str(v).lower() if isinstance(v, bool) else list(v) if isinstance(v, tuple) else v}"
                     for k, v in sorted(attributes.items()))
    cases.append({"op": op, "attributes": "{%s}" % text, "operands": [encode(o) for o in operands],
                  "result": encode(y.detach()), "gradients": [encode(l.grad) for l in leaves]})


def rounded(*shape):
    return (torch.randn(*shape) * 64).round() / 64


CONVOLUTIONS = [  # channels, outputs, groups, sizes, taps, stride, padding, dilation, bias
    (1, 1, 1, (1, 1, 1), (1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1), True),
    (2, 3, 1, (5, 4, 3), (3, 3, 2), (1, 1, 1), (0, 0, 0), (1, 1, 1), True),
    (3, 4, 1, (6, 5, 4), (3, 2, 3), (2, 1, 3), (1, 2, 1), (1, 1, 1), False),
    (2, 2, 1, (1, 2, 3), (2, 3, 3), (1, 2, 1), (3, 4, 3), (1, 1, 1), True),
    (4, 6, 2, (7, 6, 3), (3, 3, 1), (3, 1, 1), (1, 0, 1), (2, 1, 1), True),
    (4, 4, 4, (6, 7, 2), (3, 5, 2), (2, 2, 1), (1, 2, 1), (1, 1, 1), True),
    (3, 6, 3, (5, 8, 3), (2, 3, 1), (1, 3, 2), (0, 2, 0), (1, 2, 1), False),
    (2, 3, 1, (9, 8, 2), (3, 2, 2), (2, 3, 1), (2, 1, 0), (3, 2, 1), True),
    (5, 3, 1, (4, 5, 3), (1, 1, 1), (2, 3, 1), (0, 0, 0), (1, 1, 1), False),
    (6, 4, 2, (4, 3, 2), (1, 1, 1), (1, 1, 1), (1, 0, 0), (1, 1, 1), True),
    (3, 2, 1, (8, 7, 3), (4, 4, 2), (4, 2, 2), (0, 3, 1), (1, 1, 1), True),
]
for c, o, groups, sizes, taps, stride, padding, dilation, bias in CONVOLUTIONS:
    for n, f in ((1, F.conv1d), (2, F.conv2d), (3, F.conv3d))[:3 if c < 4 else 2]:
        x, w, b = rounded(2, c, *sizes[:n]), rounded(o, c // groups, *taps[:n]), rounded(o)
        a = dict(stride=stride[:n], padding=padding[:n], dilation=dilation[:n], groups=groups)
        case(f"conv{n}d", a, lambda *t: f(*t, **a), *([x, w, b] if bias else [x, w]))
TRANSPOSED = [  # channels, outputs, groups, sizes, taps, stride, padding, output padding, dilation, bias
    (1, 1, 1, (1, 1), (1, 1), (1, 1), (0, 0), (0, 0), (1, 1), True),
    (2, 3, 1, (4, 3), (3, 2), (1, 1), (0, 0), (0, 0), (1, 1), True),
    (3, 2, 1, (4, 5), (3, 3), (2, 2), (1, 1), (1, 1), (1, 1), False),
    (2, 2, 1, (3, 2), (2, 3), (3, 1), (0, 2), (2, 0), (1, 2), True),
    (4, 6, 2, (3, 4), (4, 3), (2, 3), (1, 0), (0, 2), (1, 1), True),
    (4, 4, 4, (4, 3), (3, 3), (2, 1), (1, 1), (1, 0), (1, 1), False),
    (3, 6, 3, (3, 4), (2, 2), (2, 2), (0, 1), (0, 1), (2, 1), True),
    (2, 3, 1, (3, 4), (1, 2), (3, 2), (0, 0), (2, 1), (1, 3), True),
]
for c, o, groups, sizes, taps, stride, padding, extra, dilation, bias in TRANSPOSED:
    for n, f in ((1, F.conv_transpose1d), (2, F.conv_transpose2d)):
        x, w, b = rounded(2, c, *sizes[:n]), rounded(c, o // groups, *taps[:n]), rounded(o)
        a = dict(stride=stride[:n], padding=padding[:n], output_padding=extra[:n], dilation=dilation[:n], groups=groups)
        case(f"conv_transpose{n}d", a, lambda *t: f(*t, **a), *([x, w, b] if bias else [x, w]))
POOLS = [  # sizes, kernel, stride, padding, dilation, ceil_mode
    ((4, 6), (2, 2), None, (0, 0), (1, 1), False), ((1, 1), (1, 1), None, (0, 0), (1, 1), False),
    ((7, 5), (3, 2), (2, 1), (1, 1), (1, 1), False), ((7, 8), (3, 3), (2, 3), (1, 0), (1, 1), True),
    ((5, 7), (2, 3), (3, 2), (1, 1), (1, 1), True), ((5, 4), (1, 1), (2, 3), (0, 0), (1, 1), True),
    ((9, 8), (3, 2), (2, 2), (1, 1), (2, 3), True), ((6, 6), (3, 3), (1, 1), (1, 1), (2, 2), False),
]
for sizes, kernel, stride, padding, dilation, ceil in POOLS:
    for n, largest, mean in ((1, F.max_pool1d, F.avg_pool1d), (2, F.max_pool2d, F.avg_pool2d)):
        # Few values, so that some tie.
        x = torch.randint(-2, 3, (2, 2, *sizes[:n])).double()
        a = dict(kernel=kernel[:n], padding=padding[:n], ceil_mode=ceil)
        if stride:
            a["stride"] = stride[:n]
        given = dict(stride=stride and stride[:n], padding=padding[:n], ceil_mode=ceil)
        case(f"max_pool{n}d", dict(a, dilation=dilation[:n]),
             lambda t: largest(t, kernel[:n], dilation=dilation[:n], **given), x)
        if all(2 * p <= k for p, k in zip(padding, kernel)):
            for counts in (True, False):
                case(f"avg_pool{n}d", dict(a, count_include_pad=counts),
                     lambda t: mean(t, kernel[:n], count_include_pad=counts, **given), x)
case("avg_pool2d", dict(kernel=(2, 3), padding=(1, 1), stride=(2, 2), ceil_mode=False, count_include_pad=True, divisor_override=5),
     lambda t: F.avg_pool2d(t, (2, 3), (2, 2), (1, 1), divisor_override=5), rounded(1, 2, 4, 5))
for sizes, output in (((4, 6), (2, 3)), ((5, 7), (3, 4)), ((3, 2), (5, 1)), ((6, 5), (1, 1)), ((1, 1), (2, 3))):
    for n in (1, 2):
        for kind in ("avg", "max"):
            f = getattr(F, f"adaptive_{kind}_pool{n}d")
            x = torch.randint(-2, 3, (2, 2, *sizes[:n])).double()
            case(f"adaptive_{kind}_pool{n}d", dict(output=output[:n]), lambda t: f(t, output[:n]), x)
for shape, groups in (((2, 4, 3), 2), ((2, 6, 2, 3), 3), ((1, 3, 1, 2), 3), ((3, 2, 5), 1)):
    c = shape[1]
    case("group_norm", dict(groups=groups, eps=1e-5), lambda x, w, b: F.group_norm(x, groups, w, b, 1e-5),
         rounded(*shape), rounded(c), rounded(c))
case("group_norm", dict(groups=4, eps=1e-5), lambda x: F.instance_norm(x), rounded(2, 4, 3, 2))
print("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]")
