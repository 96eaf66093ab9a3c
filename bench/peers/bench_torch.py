"""PyTorch on CPU: --mode eager | compile (Inductor).  W1-W5, W7, W9-W11."""
import workloads as W

args = W.cli(__doc__)
W.set_threads(args.threads)
mode = args.mode or "eager"

import torch                                                                    # noqa: E402
import torch.nn.functional as F                                                 # noqa: E402
from torch_models import make_model                                             # noqa: E402

torch.set_num_threads(args.threads)
DT = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def jit(f):
    return torch.compile(f) if mode == "compile" else f


def build_kernel(workload, dtype):
    t = {k: torch.from_numpy(v).to(DT[dtype]) for k, v in W.kernel_inputs(workload).items()}
    if workload == "ew_chain":
        f = jit(lambda x, w, b, s, residual: F.gelu(x * w + b, approximate="tanh") * s + residual)
    elif workload == "softmax":
        f = jit(lambda x: torch.softmax(x, -1))
    elif workload == "layernorm":
        f = jit(lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b))
    elif workload == "linear_gelu":
        f = jit(lambda x, w, b: F.gelu(F.linear(x, w, b), approximate="tanh"))
    else:
        f = jit(lambda a, b: a @ b)
    tensors = list(t.values())

    def call():
        with torch.inference_mode():
            f(*tensors)
    return call, ""


def build_inference(workload, dtype):
    x = torch.from_numpy(W.batch_of(workload))
    model = make_model(workload).eval().to(DT[dtype])
    x = x.to(DT[dtype]) if x.is_floating_point() else x
    f = jit(model)

    def call():
        with torch.inference_mode():
            f(x)
    return call, ""


def build_training(workload, dtype):
    """f32, f16/bf16 (all half), amp-* (autocast + GradScaler for fp16), o2-* (half model + fp32 masters, written by hand)."""
    x, y = (torch.from_numpy(a) for a in W.batch_of(workload))
    model = make_model(workload)
    scheme, half = (dtype.split("-") + [None])[:2] if "-" in dtype else (dtype, None)
    half = DT[half] if half else None
    masters = None
    if scheme in ("f16", "bf16"):
        model.to(DT[scheme])
    if scheme == "o2":
        masters = [p.detach().clone().requires_grad_() for p in model.parameters()]
        model.to(half)
    model_dtype = next(model.parameters()).dtype
    x = x.to(model_dtype) if x.is_floating_point() else x
    opt_params = masters if masters else list(model.parameters())
    opt = (torch.optim.SGD(opt_params, W.LR_SGD, W.MOMENTUM, fused=True) if workload.endswith("sgd")
           else torch.optim.Adam(opt_params, W.LR_ADAM, (W.BETA1, W.BETA2), W.EPS, fused=True))
    scaler = torch.amp.GradScaler("cpu", init_scale=W.INIT_SCALE) if half == torch.float16 else None

    def loss_of(x, y):
        if scheme == "amp":
            with torch.autocast("cpu", half):
                out = model(x)
                return F.cross_entropy(out.flatten(0, -2), y.flatten())
        return F.cross_entropy(model(x).flatten(0, -2).float(), y.flatten())
    loss_of = jit(loss_of)
    model_params = list(model.parameters())

    def call():
        for p in model_params:
            p.grad = None
        loss = loss_of(x, y)
        (scaler.scale(loss) if scaler else loss).backward()
        if masters:
            for m, p in zip(masters, model_params):
                m.grad = p.grad.float()
        if scaler:
            scaler.step(opt)
            scaler.update()
        else:
            opt.step()
        if masters:
            with torch.no_grad():
                torch._foreach_copy_(model_params, masters)
        return float(loss.detach())
    note = "fused optimizer" + (", GradScaler('cpu')" if scaler else "")
    return call, note


def build_attention(workload, dtype):
    """Forward and backward; the gradients are made anew each time."""
    if dtype not in DT:
        raise W.Unsupported("attention alone has one dtype")
    g = W.rng(1)
    q, k, v, seed = (torch.from_numpy(W.normal(g, 1, *W.ATTENTION[workload])).to(DT[dtype]) for _ in range(4))
    leaves = [t.requires_grad_() for t in (q, k, v)]
    f = jit(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True))

    def call():
        for leaf in leaves:
            leaf.grad = None
        f(*leaves).backward(seed)
    return call, "scaled_dot_product_attention"


def build(workload, dtype):
    torch._dynamo.reset()
    if workload in W.ATTENTION:
        return build_attention(workload, dtype)
    if workload in W.KERNELS or W.product_of(workload):
        return build_kernel(workload, dtype)
    return (build_training if workload in W.TRAINING else build_inference)(workload, dtype)


if __name__ == "__main__":
    W.run("torch-" + mode, args, build)
