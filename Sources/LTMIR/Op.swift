/// Every op of the graph. What an op is (signature, shape and dtype rule, precision class, gradient, reference, lowering)
/// stands in one paragraph, its `OpDefinition`, found through ``definition``.
public enum Op: String, Sendable, CaseIterable, Hashable {
  // Sources
  case input, constant, dimension, iota
  // Control: ops with bodies, and what reads their further results
  case result, call, checkpoint, scan, `while`
  // Elementwise, one operand
  case neg, abs, sign, exp, expm1, log, log1p, log2, sqrt, rsqrt, reciprocal, sin, cos, tanh, erf
  case floor, ceil, round, square, relu, sigmoid, silu, gelu, geluTanh = "gelu_tanh", softplus
  case isFinite = "is_finite", not
  // Elementwise, two or three operands of one shape
  case add, sub, mul, div, pow, minimum, maximum
  case equal, notEqual = "not_equal", less, lessEqual = "less_equal", greater, greaterEqual = "greater_equal"
  case and, or
  case `where`
  // Replicas of a data-parallel program
  case allReduce = "all_reduce"
  // Dtype
  case cast
  case stopGradient = "stop_gradient"
  // Shape
  case broadcast, reshape, transpose, slice, concat, pad
  // Indexed
  case gather, scatterAdd = "scatter_add"
  // Reductions
  case sum, mean, max, min, prod, all, any, argmax, argmin, variance, logsumexp
  // Contractions
  case contract, matmul, linear
  // Normalisation
  case softmax, logSoftmax = "log_softmax", layerNorm = "layer_norm", rmsNorm = "rms_norm", batchNorm = "batch_norm"
  // Losses
  case crossEntropy = "cross_entropy", mseLoss = "mse_loss", l1Loss = "l1_loss", bceWithLogits = "bce_with_logits"
  case binaryCrossEntropy = "binary_cross_entropy", huberLoss = "huber_loss"

  /// The name in the IR and, where the op can be called from `.ltm`, in the language.
  public var name: String { rawValue }
}
