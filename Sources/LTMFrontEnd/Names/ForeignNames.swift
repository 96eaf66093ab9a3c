import LTMSupport
import LTMSyntax

/// Names that other frameworks taught, for messages about names that mean nothing here.
enum ForeignNames {
  /// What is only called something else.
  private static let renamed: [String: String] = [
    "view": "reshape", "cat": "concat", "concatenate": "concat", "mm": "matmul", "bmm": "matmul", "dot": "matmul",
    "dim": "axis", "dims": "axes", "keepdim": "keep", "keepdims": "keep", "learning_rate": "lr", "power": "pow",
    "amax": "max", "amin": "min", "arange": "iota", "swapaxes": "transpose",
    "absolute": "abs", "multiply": "mul", "subtract": "sub", "divide": "div", "negative": "neg",
    "log_sum_exp": "logsumexp", "Dense": "Linear", "Integer": "Int", "Double": "Float",
    "in_features": "inputs", "out_features": "outputs", "num_features": "features", "normalized_shape": "features",
    "num_embeddings": "count", "embedding_dim": "features", "target": "labels",
  ]

  /// Arguments that say here what another argument, or another name, says.
  private static let argumentNotes: [String: String] = [
    "Linear.bias": "a Linear without bias is a Projection",
    "cross_entropy.reduction": "it is the mean over the rows", "mse_loss.reduction": "it is the mean over all elements",
    "Adam.betas": "they are two arguments, beta1 and beta2", "AdamW.betas": "they are two arguments, beta1 and beta2",
  ]

  private static let notes: [String: String] = [
    "self": "the members of a layer are named alone: 'fc1', not 'self.fc1'",
    "this": "the members of a layer are named alone: 'fc1', not 'this.fc1'",
    "super": "a layer has no base class: its members are those that it declares",
    "torch": "ops are named alone: 'relu(x)', not 'torch.relu(x)'", "nn": "layers are named alone: 'Linear(2, 3)'",
    "F": "ops are named alone: 'relu(x)'", "np": "ops are named alone: 'exp(x)'", "tf": "ops are named alone: 'exp(x)'",
    "None": "there is no value for nothing: leave the name out", "t": "the last two axes are swapped by 'x.T'",
    "clip": "between two bounds: maximum(minimum(x, high), low)",
    "clamp": "between two bounds: maximum(minimum(x, high), low)",
    "print": "code makes a graph, which runs later; 'ltm run' writes the results of an entry to a file",
    "float": "cast(x, f32) converts a tensor, and the Float of an Int n is n * 1.0",
    "len": "the length of a list is list.count, that of an axis x.shape[axis]",
    "size": "the sizes of a tensor are x.shape, and one of them is x.shape[axis]",
    "einsum": "matmul, transpose and sum say the same",
    "Sequential": "a list of layers can be called: [Linear(4, 8), relu]",
    "ReLU": "activations are functions: relu, gelu, silu, tanh",
    "GELU": "activations are functions: relu, gelu, silu, tanh",
    "Identity": "a function that returns its argument: func identity(x: [...]) -> [...] { return x }",
    "Conv2d": "there is no convolution yet", "Conv1d": "there is no convolution yet",
    "conv2d": "there is no convolution yet",
    "nll_loss": "cross_entropy(logits, labels) is it, on what log_softmax would be given",
    "half": "cast(x, f16) converts a tensor; which ops run in 16 bits is the opt level's choice",
    "double": "cast(x, f64) converts a tensor", "long": "cast(x, i64) converts a tensor",
    "to": "cast(x, f16) converts a tensor; where it runs is chosen by --target",
    "Dropout": "there are no random numbers yet", "dropout": "there are no random numbers yet",
  ]

  /// What a name is here; of the names given, where there are only those.
  static func replacement(_ name: String, among names: some Sequence<String>) -> String? {
    let dtype = foreignDtypes[name]
    guard let replacement = renamed[name] ?? dtype else { return nil }
    // What takes several axes takes one.
    let isMeant = names.contains(replacement) || replacement == "axis" && names.contains("axes")
    return isMeant ? replacement : nil
  }

  /// A hint for an argument that a function or a layer does not have.
  static func note(_ argument: String, of callee: String) -> [String] {
    argumentNotes["\(callee).\(argument)"].map { [$0] } ?? []
  }

  /// A hint where no other name says it.
  static func note(_ name: String) -> [String] { notes[name].map { [$0] } ?? [] }
}
