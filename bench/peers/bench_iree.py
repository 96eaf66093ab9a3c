"""IREE llvm-cpu (host CPU features, O3) on the StableHLO that JAX lowers: kernels, inference and whole training steps.  W1-W4, W7.
--mode tiled (data tiling: packed matmul operands, its best; the default here) | default (IREE's defaults).
Threads: local-sync for 1, local-task with that many workers otherwise.  IREE keeps no on-disk cache of its own."""
import os

import workloads as W

args = W.cli(__doc__)
W.set_threads(args.threads)
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax                                                                      # noqa: E402
import jax.numpy as jnp                                                         # noqa: E402
import numpy as np                                                              # noqa: E402
from iree import compiler as ireec, runtime as ireert                           # noqa: E402
import jax_models as M                                                          # noqa: E402

FLAGS = ["--iree-llvmcpu-target-cpu=host", "--iree-opt-level=O3", "--iree-input-demote-f64-to-f32=false"]
if args.mode != "default":
    FLAGS.append("--iree-opt-data-tiling")
if args.threads > 1:
    ireert.flags.parse_flags(f"--task_topology_group_count={args.threads}")


def compiled(f, flat_args):
    """f takes and returns flat lists of arrays.  -> callable on device arrays"""
    text = str(jax.jit(f, keep_unused=True).lower(*[jax.ShapeDtypeStruct(a.shape, a.dtype) for a in flat_args]).compiler_ir("stablehlo"))
    vmfb = ireec.compile_str(text, input_type="stablehlo", target_backends=["llvm-cpu"], extra_args=FLAGS)
    config = ireert.Config("local-sync" if args.threads == 1 else "local-task")
    ctx = ireert.SystemContext(config=config)
    module = ireert.VmModule.copy_buffer(ctx.instance, vmfb)
    ctx.add_vm_module(module)
    main = ctx.modules[module.name]["main"]
    put = [ireert.asdevicearray(config.device, np.asarray(a)) for a in flat_args]
    return main, put


def build(workload, dtype):
    if workload in W.KERNELS:
        t = [jnp.asarray(v).astype(M.DT[dtype]) for v in W.kernel_inputs(workload).values()]
        f, dev = compiled(M.kernel(workload), t)
        return lambda: f(*dev), ""
    params = M.params_of(workload, dtype)
    if workload in W.TORCH_ONLY:
        raise W.Unsupported("written for PyTorch alone")
    params = M.params_of(workload, dtype)
    if workload in W.INFERENCE:
        x = jnp.asarray(W.batch_of(workload))
        x = x.astype(M.DT[dtype]) if x.dtype == jnp.float32 else x
        leaves, tree = jax.tree.flatten((params, x))
        fwd = M.forward(workload, dtype)
        f, dev = compiled(lambda *a: fwd(*jax.tree.unflatten(tree, a)), leaves)
        return lambda: f(*dev), ""
    x, y = (jnp.asarray(a) for a in W.batch_of(workload))
    leaves, tree = jax.tree.flatten((params, M.opt_init(workload, params), x, y))
    step = M.train_step(workload, dtype)

    def flat(*a):
        new, s, loss = step(*jax.tree.unflatten(tree, a))
        return *jax.tree.leaves((new, s)), loss
    f, dev = compiled(flat, leaves)
    state, batch = dev[:-2], dev[-2:]

    def call():
        out = f(*state, *batch)
        state[:] = out[:-1]
        return float(out[-1].to_host())
    return call, "hand-written loss scaling" if dtype.endswith("-f16") else ""


if __name__ == "__main__":
    W.run("iree-default" if args.mode == "default" else "iree", args, build)
