// Ops, layers and losses of PyTorch, JAX and NumPy. A test checks that each name to use exists, that what is called missing
// is missing, and that each form compiles for x, y: [B, 8], w: [8, 8], mask: bool[B, 8], i: i32[B].

extension ForeignNames {
  /// What is only called something else.
  static let renamed: [String: String] = [
    "view": "reshape", "cat": "concat", "concatenate": "concat", "mm": "matmul", "bmm": "matmul", "dot": "matmul",
    "dim": "axis", "dims": "axes", "keepdim": "keep", "keepdims": "keep", "learning_rate": "lr", "power": "pow",
    "amax": "max", "amin": "min", "arange": "iota", "swapaxes": "transpose", "expand_dims": "unsqueeze",
    "ravel": "flatten",
    "absolute": "abs", "multiply": "mul", "subtract": "sub", "divide": "div", "true_divide": "div", "negative": "neg",
    "log_sum_exp": "logsumexp", "Dense": "Linear", "Integer": "Int", "Double": "Float", "var": "variance",
    "swish": "silu", "isfinite": "is_finite", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal",
    "gt": "greater", "ge": "greater_equal", "logical_and": "and", "logical_or": "or", "logical_not": "not",
    "astype": "cast", "randperm": "permutation",
    "tile": "repeat", "broadcast_to": "expand", "clip": "clamp", "logsigmoid": "log_sigmoid", "vector_norm": "norm",
    "arctan": "atan", "arctan2": "atan2", "arcsin": "asin", "arccos": "acos", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "fix": "trunc", "left_shift": "bitwise_left_shift", "right_shift": "bitwise_right_shift",
    "invert": "bitwise_not",
    "binary_cross_entropy_with_logits": "bce_with_logits",
    "BatchNorm1d": "BatchNorm", "BatchNorm2d": "BatchNorm", "BatchNorm3d": "BatchNorm", "Embed": "Embedding",
    "InstanceNorm1d": "InstanceNorm", "InstanceNorm2d": "InstanceNorm", "InstanceNorm3d": "InstanceNorm",
    "Conv2D": "Conv2d", "Conv1D": "Conv1d", "in_channels": "inputs", "out_channels": "outputs",
    "kernel_size": "kernel", "num_groups": "groups", "num_channels": "channels", "output_size": "output",
    "in_features": "inputs", "out_features": "outputs", "num_features": "features", "normalized_shape": "features",
    "num_embeddings": "count", "embedding_dim": "features", "target": "labels", "negative_slope": "slope",
    "epsilon": "eps", "unbiased": "correction", "ddof": "correction", "ndim": "rank", "mT": "T",
    "True": "true", "False": "false", "length": "count",
  ]

  /// What ops that are here already say.
  package static let written: [String: String] = [
    "detach": "stop_gradient(x)",
    "normalize": "x / sqrt(sum(square(x), axis: -1, keep: true))",
    "ones_like": "full(x.shape, 1)", "full_like": "full(x.shape, 3)", "new_zeros": "full(x.shape, 0)",
    "empty": "full([4, 8], 0)", "empty_like": "full(x.shape, 0)",
    "expand_as": "x[0] + full(x.shape, 0)",
    "vstack": "concat([x, y], axis: 0)", "hstack": "concat([x, y], axis: 1)",
    "chunk": "split(x, 2, axis: 1)", "unbind": "unstack(x, axis: 1)", "narrow": "x[..<, 2..<6]", "select": "x[0]",
    "take_along_dim": "take_along_axis(x, unsqueeze(i, 1), axis: 1)",
    "eye": "cast(iota([8, 8], axis: 0) == iota([8, 8], axis: 1), f32)",
    "linspace": "cast(iota([5], axis: 0), f32) / 4",
    "outer": "unsqueeze(x[0], 1) * unsqueeze(y[0], 0)", "addmm": "matmul(x, w) + y", "lerp": "x + 0.1 * (y - x)",
    "clamp_min": "maximum(x, 0)", "clamp_max": "minimum(x, 6)",
    "softmin": "softmax(-x, axis: -1)",
    "log10": "log(x) / log(10.0)", "exp2": "2.0 ** x",
    "frac": "x - floor(x)",
    "isnan": "x != x", "isinf": "abs(x) == inf", "logaddexp": "logsumexp(stack([x, y], axis: 0), axis: 0)",
    "logit": "log(x / (1 - x))", "hypot": "sqrt(square(x) + square(y))", "erfc": "1 - erf(x)",
    "numel": "x.shape[0] * x.shape[1]", "sum_to_size": "sum(x, axis: 0)", "count_nonzero": "sum(cast(x != 0, f32))",
    "index_select": "x[i]", "take": "x[i]", "embedding": "w[i]", "index_add": "scatter_add(w, i, x)",
    "segment_sum": "scatter_add(full([8, 8], 0.0), i, x)",
    "softmax_cross_entropy_with_integer_labels": "cross_entropy(x, i)",
    "rand": "uniform([4, 8])", "randn": "normal([4, 8])", "rand_like": "uniform(x.shape)",
    "randn_like": "normal(x.shape)", "randint": "cast(floor(uniform([4, 8], 0, 10)), i32), for 0 to 9",
    "randint_like": "cast(floor(uniform(x.shape, 0, 10)), i32), for 0 to 9",
    "multinomial": "categorical(log(x)), where x are probabilities",
    "gumbel_softmax": "softmax(x - log(-log(uniform(x.shape, 1e-7, 1))), axis: -1)",
    "scaled_dot_product_attention": "attention(q, k, v, causal: true)", "flash_attention": "attention(q, k, v)",
    "dot_product_attention": "attention(q, k, v)",
    "checkpoint": "recompute { x * y }", "remat": "recompute { x * y }",
  ]

  /// What nothing that is here says.
  package static let missing: Set<String> = [
    "median", "quantile", "kthvalue", "mode", "unique", "searchsorted",
    "bincount",
    "cummax", "cumlogsumexp", "inverse", "inv", "det", "svd", "qr", "eigh", "cholesky", "solve", "fft", "rfft", "ifft",
    "lgamma", "digamma", "erfinv",
    "Transformer", "TransformerEncoder", "TransformerEncoderLayer",
    "ctc_loss", "Dropout2d", "Dropout3d", "AlphaDropout",
    "associative_scan", "clip_grad_norm", "clip_grad_value", "EMA",
  ]

  static let activations: Set<String> = [
    "ReLU", "GELU", "SiLU", "Swish", "Sigmoid", "Tanh", "LeakyReLU", "Softplus", "Softmax", "LogSoftmax", "ELU", "Mish",
    "Hardswish", "ReLU6", "Activation",
  ]

  static let losses: Set<String> = [
    "CrossEntropyLoss", "NLLLoss", "MSELoss", "L1Loss", "BCELoss", "BCEWithLogitsLoss", "HuberLoss", "SmoothL1Loss",
    "KLDivLoss",
  ]

  /// Where other frameworks keep theirs.
  static let modules: Set<String> = [
    "torch", "nn", "F", "np", "numpy", "tf", "keras", "jnp", "jax", "lax", "flax", "optim", "functional", "linalg",
    "random",
    "math", "init", "layers", "mx",
  ]
}
