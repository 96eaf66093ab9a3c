/// Every op of the graph. What an op is (signature, shape and dtype rule, precision class, gradient, reference, lowering)
/// stands in one paragraph, its `OpDefinition`, found through ``definition``.
public enum Op: String, Sendable, CaseIterable, Hashable {
  // Sources
  case input, constant, dimension, iota
  // Control: ops with bodies, and what reads their further results
  case result, call, checkpoint, scan, `while`
  // Elementwise, one operand
  case neg, abs, sign, exp, expm1, log, log1p, log2, sqrt, rsqrt, reciprocal, sin, cos, tanh, erf
  case floor, ceil, round, square, relu, leakyRelu = "leaky_relu", sigmoid, silu, gelu, geluTanh = "gelu_tanh", softplus
  case isFinite = "is_finite", not
  case tan, asin, acos, atan, sinh, cosh, asinh, acosh, atanh, trunc
  case elu, selu, celu, mish, softsign, logSigmoid = "log_sigmoid", hardtanh, relu6, hardsigmoid, hardswish
  case threshold, clamp
  // Of which activations and their gradients are made
  case timesSigmoid = "times_sigmoid", timesNormalCDF = "times_normal_cdf", timesGaussian = "times_gaussian"
  // Elementwise, two or three operands of one shape
  case add, sub, mul, div, pow, minimum, maximum
  case equal, notEqual = "not_equal", less, lessEqual = "less_equal", greater, greaterEqual = "greater_equal"
  case and, or
  case `where`
  case atan2, maskedFill = "masked_fill"
  case bitwiseAnd = "bitwise_and", bitwiseOr = "bitwise_or", bitwiseXor = "bitwise_xor", bitwiseNot = "bitwise_not"
  case bitwiseLeftShift = "bitwise_left_shift", bitwiseRightShift = "bitwise_right_shift"
  case quotient, floorDivide = "floor_divide", remainder, fmod
  // Activations of more than one element
  case prelu, glu, swiglu
  // Replicas of a data-parallel program
  case allReduce = "all_reduce"
  case reduceScatter = "reduce_scatter"
  case allGather = "all_gather"
  case sumOverRanks = "sum_over_ranks", rankCount = "rank_count"
  // Dtype
  case cast
  case stopGradient = "stop_gradient"
  // What is computed again, and not before its gradient is there
  case after
  // Shape
  case broadcast, reshape, transpose, slice, concat, pad, window
  case flip, roll, tril, triu, expand, `repeat`, repeatInterleave = "repeat_interleave", padAround = "pad_around"
  // Images
  case unfold, fold, pixelShuffle = "pixel_shuffle", pixelUnshuffle = "pixel_unshuffle", interpolate
  // Spectra
  case stft, melScale = "mel_scale"
  // Indexed
  case gather, scatterAdd = "scatter_add", takeAlongAxis = "take_along_axis", oneHot = "one_hot"
  case scatter, writeAt = "write_at"
  // Along an axis
  case cumsum, cumprod, argsort, sort, topk
  // Random numbers
  case foldKey = "fold_key", randomBits = "random_bits"
  case uniform, normal, bernoulli, categorical, permutation, dropout
  // Reductions
  case sum, mean, max, min, prod, all, any, argmax, argmin, variance, logsumexp, std, norm
  case cosineSimilarity = "cosine_similarity"
  // Contractions
  case contract, matmul, linear
  // Convolutions and pools
  case conv1d, conv2d, conv3d, convTranspose1d = "conv_transpose1d", convTranspose2d = "conv_transpose2d"
  case convolutionInput = "convolution_input", convolutionWeight = "convolution_weight"
  case maxPool1d = "max_pool1d", maxPool2d = "max_pool2d", avgPool1d = "avg_pool1d", avgPool2d = "avg_pool2d"
  case adaptiveAvgPool1d = "adaptive_avg_pool1d", adaptiveAvgPool2d = "adaptive_avg_pool2d"
  case adaptiveMaxPool1d = "adaptive_max_pool1d", adaptiveMaxPool2d = "adaptive_max_pool2d"
  // Normalisation
  case softmax, logSoftmax = "log_softmax", layerNorm = "layer_norm", rmsNorm = "rms_norm", batchNorm = "batch_norm"
  case groupNorm = "group_norm"
  // Attention
  case attention, attentionGradient = "attention_gradient"
  // Losses
  case crossEntropy = "cross_entropy", mseLoss = "mse_loss", l1Loss = "l1_loss", bceWithLogits = "bce_with_logits"
  case binaryCrossEntropy = "binary_cross_entropy", huberLoss = "huber_loss"
  case nllLoss = "nll_loss", klDiv = "kl_div", smoothL1Loss = "smooth_l1_loss"

  /// The name in the IR and, where the op can be called from `.ltm`, in the language.
  public var name: String { rawValue }
}

extension Op {
  /// The op's row in the table.
  public var definition: OpDefinition {
    switch self {
    case .input: .input
    case .constant: .constant
    case .dimension: .dimension
    case .iota: .iota
    case .result: .result
    case .call: .call
    case .checkpoint: .checkpoint
    case .scan: .scan
    case .`while`: .`while`
    case .neg: .neg
    case .abs: .abs
    case .sign: .sign
    case .exp: .exp
    case .expm1: .expm1
    case .log: .log
    case .log1p: .log1p
    case .log2: .log2
    case .sqrt: .sqrt
    case .rsqrt: .rsqrt
    case .reciprocal: .reciprocal
    case .sin: .sin
    case .cos: .cos
    case .tanh: .tanh
    case .erf: .erf
    case .floor: .floor
    case .ceil: .ceil
    case .round: .round
    case .square: .square
    case .relu: .relu
    case .leakyRelu: .leakyRelu
    case .sigmoid: .sigmoid
    case .silu: .silu
    case .gelu: .gelu
    case .geluTanh: .geluTanh
    case .softplus: .softplus
    case .isFinite: .isFinite
    case .timesSigmoid: .timesSigmoid
    case .timesNormalCDF: .timesNormalCDF
    case .timesGaussian: .timesGaussian
    case .not: .not
    case .add: .add
    case .sub: .sub
    case .mul: .mul
    case .div: .div
    case .pow: .pow
    case .minimum: .minimum
    case .maximum: .maximum
    case .equal: .equal
    case .notEqual: .notEqual
    case .less: .less
    case .lessEqual: .lessEqual
    case .greater: .greater
    case .greaterEqual: .greaterEqual
    case .and: .and
    case .or: .or
    case .`where`: .`where`
    case .allReduce: .allReduce
    case .reduceScatter: .reduceScatter
    case .allGather: .allGather
    case .sumOverRanks: .sumOverRanks
    case .rankCount: .rankCount
    case .cast: .cast
    case .stopGradient: .stopGradient
    case .after: .after
    case .broadcast: .broadcast
    case .reshape: .reshape
    case .transpose: .transpose
    case .slice: .slice
    case .concat: .concat
    case .pad: .pad
    case .window: .window
    case .gather: .gather
    case .scatterAdd: .scatterAdd
    case .takeAlongAxis: .takeAlongAxis
    case .oneHot: .oneHot
    case .writeAt: .writeAt
    case .cumsum: .cumsum
    case .argsort: .argsort
    case .sort: .sort
    case .topk: .topk
    case .foldKey: .foldKey
    case .randomBits: .randomBits
    case .uniform: .uniform
    case .normal: .normal
    case .bernoulli: .bernoulli
    case .categorical: .categorical
    case .permutation: .permutation
    case .dropout: .dropout
    case .sum: .sum
    case .mean: .mean
    case .max: .max
    case .min: .min
    case .prod: .prod
    case .all: .all
    case .any: .any
    case .argmax: .argmax
    case .argmin: .argmin
    case .variance: .variance
    case .logsumexp: .logsumexp
    case .contract: .contract
    case .matmul: .matmul
    case .linear: .linear
    case .conv1d: .conv1d
    case .conv2d: .conv2d
    case .conv3d: .conv3d
    case .convTranspose1d: .convTranspose1d
    case .convTranspose2d: .convTranspose2d
    case .convolutionInput: .convolutionInput
    case .convolutionWeight: .convolutionWeight
    case .maxPool1d: .maxPool1d
    case .maxPool2d: .maxPool2d
    case .avgPool1d: .avgPool1d
    case .avgPool2d: .avgPool2d
    case .adaptiveAvgPool1d: .adaptiveAvgPool1d
    case .adaptiveAvgPool2d: .adaptiveAvgPool2d
    case .adaptiveMaxPool1d: .adaptiveMaxPool1d
    case .adaptiveMaxPool2d: .adaptiveMaxPool2d
    case .softmax: .softmax
    case .logSoftmax: .logSoftmax
    case .layerNorm: .layerNorm
    case .rmsNorm: .rmsNorm
    case .batchNorm: .batchNorm
    case .groupNorm: .groupNorm
    case .attention: .attention
    case .attentionGradient: .attentionGradient
    case .crossEntropy: .crossEntropy
    case .mseLoss: .mseLoss
    case .l1Loss: .l1Loss
    case .bceWithLogits: .bceWithLogits
    case .binaryCrossEntropy: .binaryCrossEntropy
    case .huberLoss: .huberLoss
    case .tan: .tan
    case .asin: .asin
    case .acos: .acos
    case .atan: .atan
    case .sinh: .sinh
    case .cosh: .cosh
    case .asinh: .asinh
    case .acosh: .acosh
    case .atanh: .atanh
    case .trunc: .trunc
    case .elu: .elu
    case .selu: .selu
    case .celu: .celu
    case .mish: .mish
    case .softsign: .softsign
    case .logSigmoid: .logSigmoid
    case .hardtanh: .hardtanh
    case .relu6: .relu6
    case .hardsigmoid: .hardsigmoid
    case .hardswish: .hardswish
    case .threshold: .threshold
    case .clamp: .clamp
    case .atan2: .atan2
    case .maskedFill: .maskedFill
    case .prelu: .prelu
    case .glu: .glu
    case .swiglu: .swiglu
    case .flip: .flip
    case .roll: .roll
    case .tril: .tril
    case .triu: .triu
    case .expand: .expand
    case .`repeat`: .`repeat`
    case .repeatInterleave: .repeatInterleave
    case .padAround: .padAround
    case .unfold: .unfold
    case .fold: .fold
    case .pixelShuffle: .pixelShuffle
    case .pixelUnshuffle: .pixelUnshuffle
    case .interpolate: .interpolate
    case .scatter: .scatter
    case .cumprod: .cumprod
    case .std: .std
    case .norm: .norm
    case .cosineSimilarity: .cosineSimilarity
    case .nllLoss: .nllLoss
    case .klDiv: .klDiv
    case .smoothL1Loss: .smoothL1Loss
    case .bitwiseAnd: .bitwiseAnd
    case .bitwiseOr: .bitwiseOr
    case .bitwiseXor: .bitwiseXor
    case .bitwiseNot: .bitwiseNot
    case .bitwiseLeftShift: .bitwiseLeftShift
    case .bitwiseRightShift: .bitwiseRightShift
    case .quotient: .quotient
    case .floorDivide: .floorDivide
    case .remainder: .remainder
    case .fmod: .fmod
    case .stft: .stft
    case .melScale: .melScale
    }
  }
}
