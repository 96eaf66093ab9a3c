"""The workloads in pure JAX, shared by bench_jax.py and bench_iree.py (which compiles the same StableHLO).

A training step is a pure function (params, opt_state, batch) -> (params, opt_state, loss).
JAX has no autocast and no loss scaler of its own, so the mixed-precision recipes are written out:
  amp-*  (Apex O1)  matmuls and convolutions in half, everything else fp32, parameters fp32
  o2-*   (Apex O2)  the whole forward pass in half on half copies of fp32 master parameters, loss in fp32
  f16/bf16 (O3)     parameters, activations and optimizer state in half
fp16 recipes carry a dynamic loss scale (skip and halve on overflow, double after GROWTH_INTERVAL good steps).
"""
import jax
import jax.numpy as jnp
import numpy as np

import workloads as W

DT = {"f32": jnp.float32, "f16": jnp.float16, "bf16": jnp.bfloat16}


def gelu(x):
    return jax.nn.gelu(x, approximate=True)


# ---------------------------------------------------------------------------------- W1-W3
def ew_chain(x, w, b, s, residual):
    return gelu(x * w + b) * s + residual


def softmax(x):
    return jax.nn.softmax(x, -1)


def layernorm(x, w, b):
    x32 = x.astype(jnp.float32)
    mu = x32.mean(-1, keepdims=True)
    var = ((x32 - mu) ** 2).mean(-1, keepdims=True)
    return (((x32 - mu) * jax.lax.rsqrt(var + 1e-5)) * w.astype(jnp.float32) + b.astype(jnp.float32)).astype(x.dtype)


def gemm(a, b):
    return a @ b


def linear_gelu(x, w, b):
    return gelu(x @ w.T + b)


def kernel(workload):
    return {"ew_chain": ew_chain, "softmax": softmax, "layernorm": layernorm, "linear_gelu": linear_gelu}.get(workload, gemm)


# ---------------------------------------------------------------------------------- models
class Policy:
    """mm: type of matmul/conv operands; ew: type of everything between them."""
    def __init__(self, dtype):
        scheme, _, half = dtype.partition("-")
        self.half = DT[half] if half else None
        self.params = DT.get(scheme, jnp.float32)                 # storage type of the parameters
        self.mm = self.half or self.params
        self.ew = jnp.float32 if scheme == "amp" else self.mm
        self.scaled = half == "f16"


def lin(pol, p, name, x):
    y = x.astype(pol.mm) @ p[name + ".weight"].astype(pol.mm).T
    return y + p[name + ".bias"].astype(pol.mm) if name + ".bias" in p else y


def mlp(pol, p, x):
    for i in range(3):
        x = lin(pol, p, f"fc{i}", x)
        x = jax.nn.relu(x) if i < 2 else x
    return x


def params_of(workload, dtype="f32"):
    pol = Policy(dtype)
    return {k: jnp.asarray(v).astype(pol.params) for k, v in W.params_of(workload).items()}


def forward(workload, dtype):
    pol = Policy(dtype)
    return lambda p, x: mlp(pol, p, x)


# ---------------------------------------------------------------------------------- training
def opt_init(workload, params):
    zeros = {k: jnp.zeros_like(v) for k, v in params.items()}
    s = dict(m=zeros, scale=jnp.float32(W.INIT_SCALE), good=jnp.int32(0))
    s.update(v={k: jnp.zeros_like(v) for k, v in params.items()}, t=jnp.int32(0))
    return s


def train_step(workload, dtype):
    pol = Policy(dtype)

    def loss_fn(p, scale, x, y):
        logits = mlp(pol, p, x).astype(jnp.float32)
        logp = jax.nn.log_softmax(logits, -1)
        loss = -jnp.take_along_axis(logp, y[..., None], -1).mean()
        return loss * scale, loss

    def step(params, s, x, y):
        scale = s["scale"] if pol.scaled else jnp.float32(1)
        grads, loss = jax.grad(loss_fn, has_aux=True)(params, scale, x, y)
        if pol.scaled:
            grads = {k: g / scale for k, g in grads.items()}
        new, n = {}, dict(s)
        t = s["t"] + 1
        c1, c2 = 1 - W.BETA1 ** t.astype(jnp.float32), 1 - W.BETA2 ** t.astype(jnp.float32)
        n["m"] = {k: (W.BETA1 * s["m"][k] + (1 - W.BETA1) * g).astype(g.dtype) for k, g in grads.items()}
        n["v"] = {k: (W.BETA2 * s["v"][k] + (1 - W.BETA2) * g * g).astype(g.dtype) for k, g in grads.items()}
        new = {k: (p - W.LR_ADAM * (n["m"][k] / c1) / (jnp.sqrt(n["v"][k] / c2) + W.EPS)).astype(p.dtype) for k, p in params.items()}
        n["t"] = t
        if pol.scaled:
            ok = jnp.array(True)
            for g in grads.values():
                ok &= jnp.isfinite(g).all()
            keep = lambda a, b: jax.tree.map(lambda u, v: jnp.where(ok, u, v), a, b)     # noqa: E731
            new, n = keep(new, params), keep(n, s)
            good = jnp.where(ok, s["good"] + 1, 0)
            n["scale"] = jnp.where(ok, jnp.where(good == W.GROWTH_INTERVAL, scale * W.GROWTH, scale), scale * W.BACKOFF)
            n["good"] = jnp.where(good == W.GROWTH_INTERVAL, 0, good)
        return new, n, loss
    return step
