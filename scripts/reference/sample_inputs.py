"""Runs PyTorch's own sample inputs (torch.testing._internal.common_methods_invocations) of the ops that both have: results and gradients in f64.

    python3 scripts/reference/sample_inputs.py .build/release/ltm [op...]        # needs torch, expecttest, numpy, safetensors

For each op a line: how many samples were tried, how many are equal (within 1e-10 of the largest element), and how many the language does not say, and why. It ends with 1
where one differs. docs/conformance.md holds what it printed.
"""
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch.testing._internal.common_methods_invocations import op_db

LTM = sys.argv[1]
TOLERANCE = 1e-10
# PyTorch's own kernel takes a sixth in f32.
ROUNDED = {"nn.functional.hardsigmoid": 1e-8}
# Of ops with more samples than that one in four of the rest is tried.
MOST = 100


class Unsaid(Exception):
    """What the language has no words for."""


def number(x):
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, (int, float)):
        return "inf" if x == float("inf") else "-inf" if x == float("-inf") else repr(x)
    if isinstance(x, str):
        return f'"{x}"'
    if isinstance(x, (list, tuple)):
        return "[" + ", ".join(number(e) for e in x) + "]"
    raise Unsaid(f"{type(x).__name__} as an argument")


def only(kwargs, *names):
    extra = [k for k, v in kwargs.items() if k not in names and v is not None]
    if extra:
        raise Unsaid("/".join(sorted(extra)))


def unary(name, *names):
    """The names of arguments, in PyTorch's order, that follow the tensor."""
    def say(x, *args, **kw):
        values = {**dict(zip(names, args)), **kw}
        only(values, *names)
        return f"{name}({', '.join([x] + [f'{k}: {number(v)}' for k, v in values.items() if v is not None])})"
    return say


def binary(name):
    def say(a, b, **kw):
        only({k: v for k, v in kw.items() if (k, v) not in [("alpha", 1), ("rounding_mode", None)]})
        return f"{name}({a}, {b if isinstance(b, str) else number(b)})"
    return say


def axes(x, dim, shapes):
    rank = len(shapes[x])
    if dim is None:
        return list(range(rank))
    dims = [dim] if isinstance(dim, int) else list(dim)
    return [d % max(rank, 1) for d in dims] if dims else list(range(rank))


def reduction(name, extra=()):
    def say(x, *args, shapes, **kw):
        values = {**dict(zip(["dim", "keepdim"], args)), **kw}
        if "unbiased" in values and "correction" in extra:
            values["correction"] = int(values.pop("unbiased"))
        only(values, "dim", "keepdim", *extra)
        dims = axes(x, values.get("dim"), shapes)
        if not dims:
            raise Unsaid("a reduction over no axis")
        rest = "".join(f", {k}: {number(values[k])}" for k in extra if values.get(k) is not None)
        return f"{name}({x}, axes: {number(dims)}, keep: {number(bool(values.get('keepdim', False)))}{rest})"
    say.needs_shapes = True
    return say


def along(name, argument="axis", extra=()):
    """Of one axis, which is named first."""
    def say(x, *args, shapes, **kw):
        values = {**dict(zip(["dim", *extra], args)), **kw}
        if "keepdim" in values:
            values["keep"] = values.pop("keepdim")
        only(values, "dim", *extra)
        if values.get("dim") is None:
            raise Unsaid("no axis")
        if not shapes[x]:
            raise Unsaid("an axis of a scalar")
        rest = "".join(f", {k}: {number(values[k])}" for k in extra if values.get(k) is not None)
        return f"{name}({x}, {argument}: {values['dim']}{rest})"
    say.needs_shapes = True
    return say


def ordered(name):
    def say(x, *args, shapes, **kw):
        values = {**dict(zip(["dim", "descending"], args)), **kw}
        only(values, "dim", "descending", "stable")
        if not shapes[x]:
            raise Unsaid("an axis of a scalar")
        return f"{name}({x}, axis: {values.get('dim', -1)}, descending: {number(bool(values.get('descending', False)))})"
    say.needs_shapes = True
    return say


def top(x, k, *args, shapes, **kw):
    values = {**dict(zip(["dim", "largest", "sorted"], args)), **kw}
    only(values, "dim", "largest", "sorted")
    if not shapes[x]:
        raise Unsaid("an axis of a scalar")
    return f"topk({x}, {k}, axis: {values.get('dim', -1)}, largest: {number(bool(values.get('largest', True)))})"


top.needs_shapes = True


def one_of(name, loss="reduction"):
    """A loss: two tensors, and words."""
    def say(x, y, weight=None, **kw):
        if weight is not None:
            kw["weight"] = weight
        rest = "".join(f", {k}: {v if k == 'weight' else number(v)}" for k, v in kw.items() if v is not None)
        return f"{name}({x}, {y}{rest})"
    return say


def mean_only(name, *names):
    def say(x, y, reduction="mean", **kw):
        only(kw, *names)
        inner = "".join(f", {k}: {number(v)}" for k, v in kw.items())
        if reduction != "mean":
            raise Unsaid(f"reduction {reduction}")
        return f"{name}({x}, {y}{inner})"
    return say


def batched(x, rank, shapes, say):
    """An input without a batch gets one of a single row."""
    if len(shapes[x]) == rank + 1:
        return f"squeeze({say(f'unsqueeze({x}, axis: 0)')}, axis: 0)"
    return say(x)


def convolution(name, *order):
    def say(x, w, b=None, *args, shapes, **kw):
        values = {**dict(zip(order, args)), **kw}
        if b is None:
            b = values.pop("bias", None)
        only(values, *order)
        rest = "".join(f", {k}: {number(list(v) if isinstance(v, tuple) else v)}" for k, v in values.items())
        return batched(x, int(name[-2]), shapes, lambda x: f"{name}({x}, {w}{', ' + b if b else ''}{rest})")
    say.needs_shapes = True
    return say


def pooled(name, *order):
    renamed = {"kernel_size": "kernel", "output_size": "output"}
    def say(x, *args, shapes, **kw):
        values = {**dict(zip(order, args)), **kw}
        values.pop("return_indices", None)
        only(values, *order)
        rest = "".join(f", {renamed.get(k, k)}: {number(list(v) if isinstance(v, tuple) else v)}" for k, v in values.items()
                       if v is not None and not (k == "stride" and v in ((), [])))
        return batched(x, int(name[-2]), shapes, lambda x: f"{name}({x}{rest})")
    say.needs_shapes = True
    return say


def shaped(name):
    def say(x, *args, shapes, **kw):
        sizes = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
        if kw or any(isinstance(s, str) for s in sizes):
            raise Unsaid("a dtype")
        known, count = [s for s in sizes if s != -1], int(np.prod(shapes[x], dtype=int))
        if name == "reshape":
            sizes = [count // max(int(np.prod(known, dtype=int)), 1) if s == -1 else s for s in sizes]
        else:
            have = [1] * (len(sizes) - len(shapes[x])) + list(shapes[x])
            sizes = [h if s == -1 else s for s, h in zip(sizes, have)]
        return f"{name}({x}, {number(list(sizes))})"
    say.needs_shapes = True
    return say


def permuted(x, *args, shapes, **kw):
    order = args[0] if args and not isinstance(args[0], int) else args or kw["dims"]
    return f"transpose({x}, {number([d % max(len(shapes[x]), 1) for d in order])})"


def swapped(x, a, b, *, shapes):
    rank = len(shapes[x])
    order = list(range(rank))
    if rank:
        order[a], order[b] = order[b], order[a]
    return f"transpose({x}, {number(order)})" if rank else x


def padded(x, pad, mode="constant", value=None, *, shapes):
    modes, out = {"constant": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}, x
    for index in range(len(pad) // 2):
        low, high = pad[2 * index], pad[2 * index + 1]
        given = f', value: {number(float(value))}' if value is not None and mode == "constant" else ""
        out = f'pad({out}, axis: {len(shapes[x]) - 1 - index}, low: {low}, high: {high}{given}, mode: "{modes[mode]}")'
    return out


def joined(name):
    def say(xs, *args, **kw):
        values = {**dict(zip(["dim"], args)), **kw}
        only(values, "dim")
        return f"{name}([{', '.join(xs)}], axis: {values.get('dim', 0)})"
    return say


def indexed(x, dim, index, *, shapes):
    if not shapes[x] or not shapes[index]:
        raise Unsaid("an axis of a scalar")
    return f"gather({x}, {index}, axis: {dim})"


def taken(x, dim, index, *, shapes, **kw):
    only({k: v for k, v in kw.items() if v})
    if not shapes[x]:
        raise Unsaid("an axis of a scalar")
    return f"take_along_axis({x}, {index}, axis: {dim})"


def scattered(operation):
    def say(x, dim, index, src, *, shapes, reduce=None, **kw):
        only(kw)
        if not shapes[x] or not isinstance(src, str):
            raise Unsaid("a scalar")
        kind = {None: operation, "add": "add", "amax": "max", "amin": "min"}.get(reduce)
        if kind is None:
            raise Unsaid(f"reduce {reduce}")
        return f'scatter({x}, {index}, {src}, axis: {dim}, reduce: "{kind}")'
    say.needs_shapes = True
    return say


def rolled(x, shifts, dims=None, *, shapes):
    if dims is None or not shapes[x]:
        raise Unsaid("no axis")
    pairs = zip([shifts] if isinstance(shifts, int) else shifts, [dims] if isinstance(dims, int) else dims)
    out = x
    for shift, dim in pairs:
        out = f"roll({out}, {shift}, axis: {dim})"
    return out


def normed(x, shape, weight=None, bias=None, eps=1e-5, *, shapes):
    if len(shape) != 1 or weight is None or bias is None:
        raise Unsaid("several axes, or no weight")
    return f"layer_norm({x}, {weight}, {bias}, eps: {eps})"


def grouped(x, groups, weight=None, bias=None, eps=1e-5):
    return f"group_norm({x}{f', {weight}' if weight else ''}{f', {bias}' if bias else ''}, groups: {groups}, eps: {eps})"


def attended(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False, *, shapes):
    if dropout_p or len(shapes[q]) != 4 or attn_mask is not None:
        raise Unsaid("dropout, or other ranks")
    return f"attention({q}, {k}, {v}, causal: {number(is_causal)}{f', scale: {scale}' if scale is not None else ''})"


for said in (permuted, swapped, padded, indexed, taken, rolled, normed, attended):
    said.needs_shapes = True

def product(a, b, *, shapes):
    """A vector is a row or a column, whose axis goes again."""
    left, right = len(shapes[a]) == 1, len(shapes[b]) == 1
    out = f"matmul({f'unsqueeze({a}, axis: 0)' if left else a}, {f'unsqueeze({b}, axis: -1)' if right else b})"
    out = f"squeeze({out}, axis: -1)" if right else out
    return f"squeeze({out}, axis: {-1 if right else -2})" if left else out


product.needs_shapes = True
OPS = {name: unary(name) for name in (
    "neg abs sign exp expm1 log log1p log2 sqrt rsqrt reciprocal sin cos tanh erf floor ceil square sigmoid tan asin acos atan sinh cosh asinh "
    "acosh atanh trunc tril triu").split()}
OPS |= {"tril": unary("tril", "diagonal"), "triu": unary("triu", "diagonal"), "round": unary("round"), "isfinite": unary("is_finite")}
OPS |= {f"nn.functional.{name}": unary(name) for name in "silu softplus selu mish softsign relu6 hardsigmoid hardswish relu".split()}
OPS |= {"nn.functional.leaky_relu": lambda x, negative_slope=0.01: f"leaky_relu({x}, slope: {negative_slope})",
        "nn.functional.gelu": lambda x, approximate="none": f"gelu({x})" if approximate == "none" else f"gelu_tanh({x})",
        "nn.functional.elu": unary("elu", "alpha"), "nn.functional.celu": unary("celu", "alpha"),
        "nn.functional.logsigmoid": unary("log_sigmoid"), "nn.functional.hardtanh": unary("hardtanh", "min_val", "max_val"),
        "nn.functional.threshold": lambda x, a, b: f"threshold({x}, threshold: {float(a)}, value: {float(b)})",
        "nn.functional.prelu": lambda x, w: f"prelu({x}, {w})", "nn.functional.glu": along("glu"),
        "nn.functional.cosine_similarity": lambda a, b, dim=1, eps=1e-8: f"cosine_similarity({a}, {b}, axis: {dim}, eps: {eps})"}
OPS |= {"add": binary("add"), "sub": binary("sub"), "mul": binary("mul"), "true_divide": binary("div"), "pow": binary("pow"),
        "minimum": binary("minimum"), "maximum": binary("maximum"), "eq": binary("equal"), "ne": binary("not_equal"), "lt": binary("less"),
        "le": binary("less_equal"), "gt": binary("greater"), "ge": binary("greater_equal"), "atan2": binary("atan2"), "fmod": binary("fmod"),
        "remainder": binary("remainder"), "floor_divide": binary("floor_divide"),
        "where": lambda x, c, y: f"where({c}, {x}, {y})", "masked_fill": lambda x, m, v: f"masked_fill({x}, {m}, {v if isinstance(v, str) else number(float(v))})"}
OPS |= {"sum": reduction("sum"), "mean": reduction("mean"), "amax": reduction("max"), "amin": reduction("min"), "all": reduction("all"),
        "any": reduction("any"), "std": reduction("std", ["correction"]), "var": reduction("variance", ["correction"]), "prod": reduction("prod"),
        "logsumexp": reduction("logsumexp"), "softmax": along("softmax"), "log_softmax": along("log_softmax"), "cumsum": along("cumsum"),
        "cumprod": along("cumprod"), "argmax": along("argmax", extra=["keep"]), "argmin": along("argmin", extra=["keep"]), "sort": ordered("sort"), "argsort": ordered("argsort"),
        "topk": top, "flip": lambda x, dims: f"flip({x}, axes: {number(list(dims))})", "roll": rolled, "cat": joined("concat"), "stack": joined("stack"),
        "reshape": shaped("reshape"), "view": shaped("reshape"), "expand": shaped("expand"), "permute": permuted, "transpose": swapped,
        "repeat": lambda x, *r: f"repeat({x}, {number(list(r[0] if isinstance(r[0], (list, tuple, torch.Size)) else r))})",
        "squeeze": along("squeeze"), "unsqueeze": along("unsqueeze"),
        "index_select": indexed, "gather": taken, "scatter": scattered("set"), "scatter_add": scattered("add")}
OPS |= {"matmul": product, "mm": binary("matmul"), "bmm": binary("matmul"), "mv": product, "dot": product,
        "nn.functional.linear": lambda x, w, b=None: f"linear({x}, {w}{', ' + b if b else ''})",
        "einsum": lambda xs, equation: f'einsum("{equation}", {", ".join(xs)})'}
for rank in (1, 2, 3):
    OPS[f"nn.functional.conv{rank}d"] = convolution(f"conv{rank}d", "stride", "padding", "dilation", "groups")
for rank in (1, 2):
    OPS[f"nn.functional.conv_transpose{rank}d"] = convolution(f"conv_transpose{rank}d", "stride", "padding", "output_padding", "groups", "dilation")
    OPS[f"nn.functional.max_pool{rank}d"] = pooled(f"max_pool{rank}d", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
    OPS[f"nn.functional.avg_pool{rank}d"] = pooled(f"avg_pool{rank}d", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    for kind in ("avg", "max"):
        OPS[f"nn.functional.adaptive_{kind}_pool{rank}d"] = pooled(f"adaptive_{kind}_pool{rank}d", "output_size")
OPS |= {"nn.functional.mse_loss": mean_only("mse_loss"), "nn.functional.l1_loss": mean_only("l1_loss"),
        "nn.functional.binary_cross_entropy": mean_only("binary_cross_entropy"), "nn.functional.binary_cross_entropy_with_logits": mean_only("bce_with_logits"),
        "nn.functional.huber_loss": mean_only("huber_loss", "delta"), "nn.functional.smooth_l1_loss": one_of("smooth_l1_loss"),
        "nn.functional.kl_div": one_of("kl_div"),
        "nn.functional.layer_norm": normed, "nn.functional.group_norm": grouped, "nn.functional.pixel_shuffle": unary("pixel_shuffle", "upscale_factor"),
        "nn.functional.pixel_unshuffle": unary("pixel_unshuffle", "downscale_factor"), "nn.functional.scaled_dot_product_attention": attended}
for variant in ("constant", "reflect", "replicate", "circular"):
    OPS[f"nn.functional.pad.{variant}"] = padded


class Case:
    """One sample: what it is in the language, and PyTorch's results and gradients."""

    def __init__(self, index, op, sample, say):
        self.tensors, self.shapes, self.prefix = {}, {}, f"s{index}"
        self.values, self.leaves = {}, []
        args = [self.named(a) for a in (sample.input, *sample.args)]
        kwargs = {k: self.named(v) for k, v in sample.kwargs.items()}
        if getattr(say, "needs_shapes", False):
            kwargs["shapes"] = self.shapes
        self.text = say(*args, **kwargs)
        out = op(sample.input, *sample.args, **sample.kwargs)
        out = out[0] if isinstance(out, (tuple, list)) else out
        if not isinstance(out, torch.Tensor) or out.numel() == 0:
            raise Unsaid("a tensor without elements")
        self.out = out.detach()
        self.isFloating = out.is_floating_point()
        self.cotangent = torch.from_numpy(np.random.default_rng(index).normal(size=tuple(out.shape)))
        self.gradients = {}
        if self.isFloating and out.requires_grad:
            names = [n for n, t in self.leaves if t.requires_grad]
            found = torch.autograd.grad((out * self.cotangent).sum(), [t for _, t in self.leaves if t.requires_grad], allow_unused=True)
            self.gradients = {n: g.detach() if g is not None else None for n, g in zip(names, found)}

    def named(self, value):
        """A tensor's name in the language; the rest as it is."""
        if isinstance(value, (list, tuple)) and value and all(isinstance(v, torch.Tensor) for v in value):
            return [self.named(v) for v in value]
        if not isinstance(value, torch.Tensor):
            return value
        if value.numel() == 0:
            raise Unsaid("a tensor without elements")
        if value.is_complex():
            raise Unsaid("complex numbers")
        name = f"{self.prefix}_{len(self.tensors)}"
        self.tensors[name] = value.detach().double().numpy()
        if value.is_floating_point():
            self.leaves.append((name, value))
            said = name
        else:
            said = f"cast(stop_gradient({name}), {'bool' if value.dtype == torch.bool else 'i32'})"
        self.shapes[said] = tuple(value.shape)
        return said


def program(cases):
    lines = ["model M() {"]
    for case in cases:
        lines += [f"  param {n}: {list(t.shape)} = zeros()" for n, t in case.tensors.items()]
        lines.append(f"  param {case.prefix}_g: {list(case.cotangent.shape)} = zeros()")
    results = [case.text if case.isFloating else f"cast({case.text}, f64)" for case in cases]
    kinds = ", ".join(f"{'' if case.isFloating else 'f64'}{list(case.out.shape)}" for case in cases)
    lines.append(f"  func out() -> {'(' + kinds + ')' if len(cases) > 1 else kinds} {{ return {'(' + ', '.join(results) + ')' if len(cases) > 1 else results[0]} }}")
    terms = [f"sum(({case.text}) * stop_gradient({case.prefix}_g))" for case in cases if case.gradients]
    lines.append("  param reached: [1] = zeros()")
    lines.append(f"  func loss(row: [B]) -> [] {{ return {' + '.join(['sum(row) + sum(reached)'] + terms)} }}")
    lines.append("}\ntrain M {\n  minimize loss\n  optimizer SGD(lr: 1)\n  batch 1\n  epochs 1\n}")
    return "\n".join(lines) + "\n", bool(terms)


def ltm(*arguments):
    run = subprocess.run([LTM, *arguments], capture_output=True, text=True)
    if run.returncode:
        told = [line for line in run.stderr.splitlines() if "error:" in line]
        raise Unsaid(told[0].split("error:")[1].strip() if told else f"exit {run.returncode}: {run.stderr[-200:]}")


def compare(cases, folder, bound):
    """Messages for the cases that differ, by case."""
    text, learns = program(cases)
    open(f"{folder}/m.ltm", "w").write(text)
    weights = {n: np.array(t, order="C") for case in cases for n, t in case.tensors.items()}
    weights["reached"] = np.zeros(1)
    weights |= {f"{case.prefix}_g": case.cotangent.numpy() for case in cases}
    save_file(weights, f"{folder}/w.safetensors")
    ltm("run", f"{folder}/m.ltm", "--entry", "out", "--weights", f"{folder}/w.safetensors", "--precision", "64", "-o", f"{folder}/o.safetensors")
    found = load_file(f"{folder}/o.safetensors")
    updated = {}
    if learns:
        save_file({"row_train": np.zeros(1)}, f"{folder}/d.safetensors")
        ltm("train", f"{folder}/m.ltm", "--weights", f"{folder}/w.safetensors", "--data", f"{folder}/d.safetensors", "--precision", "64", "--no-report", "--quiet",
            "--max-steps", "1", "--save", f"{folder}/u.safetensors")
        updated = load_file(f"{folder}/u.safetensors")
    told = {}
    for index, case in enumerate(cases):
        result = found["result" if len(cases) == 1 else f"result.{index}"]
        problems = [difference("result", result, case.out.double().numpy(), bound)]
        for name, gradient in case.gradients.items():
            if name in updated and gradient is not None:
                before = case.tensors[name]
                problems.append(difference(f"gradient of {name}", before - updated[name], gradient.numpy(), bound, np.abs(before).max()))
        problems = [p for p in problems if p]
        if problems:
            told[case.prefix] = f"{case.text} of {[t.shape for t in case.tensors.values()]}: {problems[0]}"
    return told


def difference(what, found, wanted, bound, scale=0.0):
    if found.shape != wanted.shape:
        return f"{what} has shape {found.shape}, not {wanted.shape}"
    finite = np.isfinite(wanted)
    if not (np.isfinite(found) == finite).all() or not np.array_equal(np.nan_to_num(found[~finite], nan=7), np.nan_to_num(wanted[~finite], nan=7)):
        return f"{what} is finite elsewhere: {found[np.isfinite(found) != finite][:3]}, not {wanted[np.isfinite(found) != finite][:3]}"
    far = np.abs(found[finite] - wanted[finite]).max(initial=0) / max(np.abs(wanted[finite]).max(initial=0), scale, 1e-300)
    return f"{what} is {far:.1e} apart" if far > bound else None


torch.manual_seed(1)
wanted, totals, failed, notes = set(sys.argv[2:]), np.zeros(3, int), False, []
print("| op | samples | equal | not said | why |\n|---|---|---|---|---|")
for op in op_db:
    name = op.name + (f".{op.variant_test_name}" if op.variant_test_name else "")
    say = OPS.get(name)
    if say is None or wanted and name not in wanted:
        continue
    cases, unsaid, count = [], {}, 0
    for index, sample in enumerate(op.sample_inputs("cpu", torch.float64, requires_grad=op.supports_autograd)):
        if index % 4 and index >= MOST:
            continue
        count += 1
        try:
            cases.append(Case(index, op, sample, say))
        except (Unsaid, TypeError) as reason:
            unsaid[str(reason)[:60]] = unsaid.get(str(reason)[:60], 0) + 1
    told = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            told = compare(cases, folder, ROUNDED.get(name, TOLERANCE)) if cases else {}
        except Unsaid:
            for case in list(cases):
                try:
                    told |= compare([case], folder, ROUNDED.get(name, TOLERANCE))
                except Unsaid as reason:
                    unsaid[str(reason)[:60]] = unsaid.get(str(reason)[:60], 0) + 1
                    cases.remove(case)
    totals += [count, len(cases) - len(told), sum(unsaid.values())]
    failed |= bool(told)
    why = "; ".join(f"{n}: {reason}" for reason, n in unsaid.items())[:150].replace("|", "/")
    print(f"| `{name}` | {count} | {len(cases) - len(told)} | {sum(unsaid.values())} | {why} |", flush=True)
    for text in told.values():
        notes.append(f"{name}: {text}")
print(f"\n{totals[0]} samples, {totals[1]} equal, {totals[2]} not said, {len(notes)} that differ.")
for note in notes:
    print(note[:400])
sys.exit(failed)
