"""JAX (XLA:CPU), jax.jit with donated parameters.  W1-W4, W7.  JAX_COMPILATION_CACHE_DIR turns on the on-disk cache."""
import os

import workloads as W

args = W.cli(__doc__)
W.set_threads(args.threads)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax                                                                      # noqa: E402
import jax.numpy as jnp                                                         # noqa: E402
import jax_models as M                                                          # noqa: E402


def build(workload, dtype):
    if workload in W.KERNELS:
        t = [jnp.asarray(v).astype(M.DT[dtype]) for v in W.kernel_inputs(workload).values()]
        f = jax.jit(M.kernel(workload))
        return lambda: f(*t).block_until_ready(), ""
    params = M.params_of(workload, dtype)
    if workload in W.TORCH_ONLY:
        raise W.Unsupported("written for PyTorch alone")
    params = M.params_of(workload, dtype)
    if workload in W.INFERENCE:
        x = jnp.asarray(W.batch_of(workload))
        x = x.astype(M.DT[dtype]) if x.dtype == jnp.float32 else x
        f = jax.jit(M.forward(workload, dtype))
        return lambda: f(params, x).block_until_ready(), ""
    x, y = (jnp.asarray(a) for a in W.batch_of(workload))
    f = jax.jit(M.train_step(workload, dtype), donate_argnums=(0, 1))
    state = [params, M.opt_init(workload, params)]

    def call():
        state[0], state[1], loss = f(*state, x, y)
        return float(loss)
    return call, "hand-written loss scaling" if dtype.endswith("-f16") else ""


if __name__ == "__main__":
    W.run("jax", args, build)
