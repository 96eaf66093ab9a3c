"""TensorFlow / Keras on CPU: --mode graph (tf.function, default) | xla (jit_compile=True).
amp-f16 / amp-bf16 are Keras global policies mixed_float16 (with LossScaleOptimizer) / mixed_bfloat16."""
import os

import workloads as W

args = W.cli(__doc__)
W.set_threads(args.threads)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf                                                         # noqa: E402
import keras                                                                    # noqa: E402

tf.config.threading.set_intra_op_parallelism_threads(args.threads)
tf.config.threading.set_inter_op_parallelism_threads(1)
DT = {"f32": tf.float32, "f16": tf.float16, "bf16": tf.bfloat16}
XLA = args.mode == "xla"


def build(workload, dtype):
    if workload in W.KERNELS:
        t = {k: tf.cast(tf.constant(v), DT[dtype]) for k, v in W.kernel_inputs(workload).items()}
        f = {"ew_chain": lambda x, w, b, s, residual: tf.nn.gelu(x * w + b, approximate=True) * s + residual,
             "softmax": lambda x: tf.nn.softmax(x),
             "layernorm": lambda x, w, b: layernorm(x, w, b),
             "linear_gelu": lambda x, w, b: tf.nn.gelu(tf.matmul(x, w, transpose_b=True) + b, approximate=True),
             }.get(workload, lambda a, b: tf.matmul(a, b))
        g, ts = tf.function(f, jit_compile=XLA), list(t.values())
        return lambda: g(*ts), ""
    if workload in W.TORCH_ONLY:
        raise W.Unsupported("written for PyTorch alone")
    if workload in W.INFERENCE:
        raise W.Unsupported("not written for TensorFlow")
    policy = {"f32": "float32", "amp-f16": "mixed_float16", "amp-bf16": "mixed_bfloat16", "f16": "float16", "bf16": "bfloat16"}.get(dtype)
    if policy is None:
        raise W.Unsupported("Keras has no such policy")
    keras.config.set_dtype_policy(policy)
    L = keras.layers
    p = W.params_of(workload)
    model = keras.Sequential([L.Input((W.MLP[0],)), L.Dense(W.MLP[1], "relu"), L.Dense(W.MLP[2], "relu"), L.Dense(W.MLP[3])])
    weights = [a for i in range(3) for a in (p[f"fc{i}.weight"].T, p[f"fc{i}.bias"])]
    model.set_weights(weights)
    opt = keras.optimizers.Adam(W.LR_ADAM, W.BETA1, W.BETA2, W.EPS)
    model.compile(opt, keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=XLA)
    x, y = W.batch_of(workload)
    x, y = tf.constant(x), tf.constant(y)
    f = tf.function(lambda x, y: model.train_step((x, y))["loss"], jit_compile=XLA)
    return lambda: float(f(x, y)), f"policy {policy}, optimizer {type(model.optimizer).__name__}"


def layernorm(x, w, b):
    x32 = tf.cast(x, tf.float32)
    mu, var = tf.nn.moments(x32, [-1], keepdims=True)
    return tf.cast((x32 - mu) * tf.math.rsqrt(var + 1e-5) * tf.cast(w, tf.float32) + tf.cast(b, tf.float32), x.dtype)


if __name__ == "__main__":
    W.run("tf-" + (args.mode or "graph"), args, build)
