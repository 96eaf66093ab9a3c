import LTMSyntax

// What needs a sentence: names of Python, of modules and of autograd, and arguments.

extension ForeignNames {
  /// Arguments that say here what another argument, or another name, says.
  static let argumentNotes: [String: String] = [
    "Linear.bias": "a Linear without bias is a Projection",
    "mse_loss.reduction": "it is the mean over all elements",
    "Adam.betas": "they are two arguments, beta1 and beta2", "AdamW.betas": "they are two arguments, beta1 and beta2",
    "Embedding.padding_idx": "every row is trained: multiply by a mask of the indices",
    "LayerNorm.elementwise_affine": "it has a weight and a bias", "BatchNorm.affine": "it has a weight and a bias",
  ]

  private static let members = "the members of a layer are named alone: 'fc1', not 'self.fc1'"
  private static let random = "the seed is chosen outside, by --seed; each call draws numbers of its own"
  private static let convolution =
    "the number of spatial axes is part of the name: conv1d, conv2d, conv3d, as the layers Conv1d, ..."
  private static let pooling =
    "the number of spatial axes is part of the name: max_pool2d, avg_pool2d, as the layers MaxPool2d, ..."
  private static let recurrence =
    "a loop over an axis runs one step for each index: for step in x.along(1) { ... yield h }"
  private static let static_ = "the size of a result does not depend on values: use where(mask, x, 0)"
  private static let gradients = "gradients are made by 'ltm train', or 'compile --step'; stop_gradient(x) stops them"
  private static let place = "where it runs is chosen outside, by --target"
  private static let layout = "layouts are chosen by the compiler: leave it out"
  private static let value = "a value is not known while code makes a graph: return it, and 'ltm run' gives it out"
  private static let mode = "'training' tells whether the step trains; 'ltm run' evaluates"
  private static let count = "a loop counts: for i in 0..<xs.count { let x = xs[i] ... }"
  private static let list = "a list is made whole: [Linear(8, 8) for _ in 0..<depth]"
  private static let flags = "it is chosen outside, by a flag of 'ltm train' or a line of a 'train' block"
  private static let casts = "cast(x, f16) converts a tensor; which ops run in 16 bits is the opt level's choice"

  /// Types of other languages.
  static let typeNotes: [String: String] = byWord([
    (
      ["Tensor", "tensor", "ndarray", "Array", "array", "FloatTensor", "LongTensor", "Variable"],
      "the type of a tensor is its shape, as in [B, 64], i32[B], or [...] for any"
    ),
    (["str", "string", "char"], "a string is a String"),
    (["list", "List", "tuple", "Tuple", "dict", "Dict", "Sequence", "Optional"], listTypeForms),
    (["None", "void", "Void"], "every function gives a value: '-> []' is a scalar"),
    (["Callable", "Module", "Function"], "a function is a func, a layer or a function a Layer"),
  ])

  static let notes: [String: String] = byWord(
    [
      (["self", "super"], members), (["this"], "the members of a layer are named alone: 'fc1', not 'this.fc1'"),
      (
        ["None", "null", "nil", "nullptr"],
        "there is no value for nothing: leave the name out; unsqueeze(x, axis) makes an axis of 1"
      ),
      (["t", "permute_dims"], "the last two axes are swapped by 'x.T', others by permute(x, 0, 2, 1)"),
      (
        ["print", "println"], "code makes a graph, which runs later; 'ltm run' writes the results of an entry to a file"
      ),
      (["half", "bfloat16", "to_half", "autocast", "GradScaler"], casts),
      (["float"], "cast(x, f32) converts a tensor, and the Float of an Int n is n * 1.0"),
      (["double"], "cast(x, f64) converts a tensor"), (["long"], "cast(x, i64) converts a tensor"),
      (["to", "type", "type_as"], "cast(x, f16) converts a tensor; where it runs is chosen by --target"),
      (["cuda", "cpu", "gpu", "tpu", "device", "device_put", "pin_memory"], place),
      (["len"], "the length of a list is list.count, that of an axis x.shape[axis]"),
      (["size", "shape"], "the sizes of a tensor are x.shape, and one of them is x.shape[axis]"),
      (
        [
          "item", "tolist", "numpy", "asarray", "array", "tensor", "as_tensor", "from_numpy", "str", "format",
          "isinstance",
        ], value
      ),
      (["contiguous", "is_contiguous", "stride"], layout),
      (["clone", "copy", "deepcopy"], "values do not change: leave it out"),
      (["enumerate", "zip"], count),
      (["append", "extend", "list", "tuple", "dict", "set", "map", "filter", "ModuleList", "ModuleDict"], list),
      (["reversed", "sorted"], "a list is indexed: [xs[xs.count - 1 - i] for i in 0..<xs.count]"),
      (["tensordot", "einops", "rearrange"], "einsum, matmul, transpose and reshape say the same"),
      (["Sequential"], "a list of layers can be called: [Linear(4, 8), relu]"),
      (["Identity"], "a function that returns its argument: func identity(x: [...]) -> [...] { return x }"),
      (["Upsample"], "it is a function: interpolate(x, scale_factor: 2, mode: \"bilinear\")"),
      (["PixelShuffle"], "it is a function: pixel_shuffle(x, 2)"),
      (["Flatten"], "it is a function: flatten(x, 1)"),
      (["Parameter", "register_parameter"], "a layer declares it: param weight: [64, 10] = kaiming_uniform()"),
      (["register_buffer", "Buffer"], "a layer declares it: state seen: [64] = zeros()"),
      (["Module"], "a layer is declared: layer Net(hidden: Int) { ... }"),
      (["Conv", "conv", "convolution", "convolve"], convolution),
      (["max_pool", "avg_pool", "MaxPool", "AvgPool", "MaxPooling2D", "AveragePooling2D"], pooling),
      (["LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "scan", "while_loop", "fori_loop"], recurrence),
      (["masked_select", "nonzero", "argwhere", "boolean_mask", "flatnonzero"], static_),
      (["manual_seed", "Generator", "PRNGKey"], random),
      (
        [
          "backward", "grad", "value_and_grad", "autograd", "requires_grad", "no_grad", "zero_grad", "jacobian", "vjp",
          "jvp",
        ], gradients
      ),
      (["eval", "is_training"], mode),
      (["vmap", "pmap"], "ops take leading axes as they are: write the batch as a dimension B"),
      (["jit", "compile"], "everything is compiled"),
      (["DataLoader", "Trainer", "fit", "state_dict", "load_state_dict", "save", "load"], flags),
    ])

  private static func byWord(_ groups: [([String], String)]) -> [String: String] {
    Dictionary(groups.flatMap { words, note in words.map { ($0, note) } }, uniquingKeysWith: { first, _ in first })
  }
}
