import LTMSupport

/// How an op chooses the dtype it runs in: the class that O1 (autocast) reads, and its two kin that every level reads.
public enum PrecisionClass: String, Sendable, CaseIterable {
  /// Runs in half where it may: matrix products (Apex's allow list).
  case half
  /// Runs in f32: exponentials, sums, powers (the deny list).
  case float32
  /// Runs in the widest of its operands' dtypes: binary arithmetic (the promote list).
  case widest
  /// Runs in the dtype of its first floating operand.
  case follow
  /// A loss: f32 at every level, the cast on its inputs.
  case loss
  /// A normalisation: half in, f32 parameters, statistics and arithmetic, half out where "keep norm f32" holds; f32 at O1.
  case normalization
  /// An error on half operands, whose text names the form to use.
  case banned
  /// Never touched: no float in it, or its dtype is given by an attribute.
  case never
}

/// What a call of an op may be given, by name; a row's signature is all the language knows of it.
public struct OpParameter: Sendable {
  /// What is given.
  public enum Kind: Sendable, Hashable {
    /// A tensor operand; a scalar literal takes the dtype of the tensor operands.
    case tensor
    /// A tensor operand that may be left out (only after the required ones).
    case optionalTensor
    /// All remaining positional tensors, or one list of them (concat).
    case tensors
    /// The key that random numbers are drawn with, a tensor operand that the compiler supplies: no call gives it.
    case key
    case int, float, bool, dtype
    /// One axis, negative from the end, normalised against the first operand's rank before it becomes an attribute.
    case axis
    /// One axis or a list; left out it means all. Normalised, sorted, unique.
    case axes
    /// A list of dimensions, given as a list or as the remaining positional arguments (reshape).
    case dims
    /// One dimension (the bounds of a slice).
    case dim
    /// Ints likewise (permute).
    case ints
    /// An Int for each of so many spatial axes: a tuple or a list, or one Int for all of them.
    case sizes(Int)
    /// The same, before and after each axis; or `"same"`, or `"valid"`.
    case padding(Int)
    /// One of some words, written as a String.
    case word([String])
  }
  /// The argument's name in a call, and the attribute's in the IR.
  public let name: String
  /// What is given.
  public let kind: Kind
  /// The value when left out; `nil` where the argument is required (`.axes`, `.optionalTensor` need none).
  public let defaultValue: Attribute?
  /// Whether a node may lack the attribute; the others are there in every legal graph (`graph_c5`).
  public let isOptional: Bool
  /// Whether the compiler sets it, and no call does.
  public let isInternal: Bool
  /// For an operand, the dtype that a number takes in its place; `nil`: that of the other operands.
  public let literal: DType?

  /// A parameter of an op.
  public init(
    _ name: String, _ kind: Kind, default defaultValue: Attribute? = nil, isOptional: Bool = false,
    isInternal: Bool = false, literal: DType? = nil
  ) {
    self.name = name
    self.literal = literal
    self.kind = kind
    self.defaultValue = defaultValue
    self.isOptional = isOptional
    self.isInternal = isInternal
  }
}

/// Why an op cannot be applied to its operands. The front end shows it with the spans of the operands named.
public struct OpError: Error, Sendable {
  /// One sentence; shapes in it are written as `[B, 64]`.
  public var message: String
  /// The operands concerned, by position, and the dimension of each that disagrees.
  public var operands: [(index: Int, dim: Int?)]
  /// A remedy, where one is likely.
  public var note: String?

  /// An op error.
  public init(_ message: String, operands: [(index: Int, dim: Int?)] = [], note: String? = nil) {
    self.message = message
    self.operands = operands
    self.note = note
  }
}

/// The scalar operations that kernels are made of. Exp, log, tanh and erf are expanded per target and output dtype.
public enum Primitive: String, Sendable, CaseIterable {
  case neg, abs, sqrt, exp, log, sin, cos, tanh, erf, floor, ceil, round, isFinite = "is_finite", not
  case expm1, log1p, log2
  /// `a / (1 + exp(-b))`, `a Phi(b)` and `a exp(-b^2 / 2)`: exact in their tails, where an infinite `a` becomes 0.
  case timesSigmoid = "times_sigmoid", timesNormalCDF = "times_normal_cdf", timesGaussian = "times_gaussian"
  case add, sub, mul, div, pow, minimum, maximum
  case equal, notEqual = "not_equal", less, lessEqual = "less_equal", greater, greaterEqual = "greater_equal"
  case and, or
  /// On the bits of integers; a shift of as many bits as there are, or more, leaves what one bit after the other would.
  case bitAnd = "bit_and", bitOr = "bit_or", bitXor = "bit_xor", shiftLeft = "shift_left", shiftRight = "shift_right"
  case select
  /// Some bits of one word of Philox4x32-10, as an i32: of the counter's four words, the key's two, the number of the word, and
  /// how many of its bits to take behind how many that are skipped, from the top.
  case philox
  /// The first operand, once the second is there.
  case after
}

/// How the combining operation of a reduction works.
public enum Combiner: String, Sendable, CaseIterable {
  case add, multiply, maximum, minimum, and, or

  /// What a reduction over nothing gives.
  public var identity: Double {
    switch self {
    case .add, .or: 0
    case .multiply, .and: 1
    case .maximum: -.infinity
    case .minimum: .infinity
    }
  }
}

/// How an op becomes kernels, after casts and gradients are placed.
package enum OpLowering: Sendable {
  /// Replaced by simpler ops (pass `decompose`), which compute in the accumulator's dtype and narrow at the end.
  case decompose(@Sendable (inout GraphBuilder, Node) -> ValueID)
  /// The same, but for targets that have a form of their own for it.
  case whole(@Sendable (inout GraphBuilder, Node) -> ValueID)
  /// One scalar primitive per element.
  case primitive(Primitive)
  /// A reduction over the attribute `axes`.
  case reduction(Combiner)
  /// Bodies, which plans and targets run as they are.
  case control
  /// What every backend knows by name, with its attributes read; the types are those of the operands.
  case structural(@Sendable (Attributes, [TensorType]) -> StructuralOp)
}

/// The ops that move, make or pair elements: those that a backend has a form of its own for.
package enum StructuralOp: Sendable {
  case input, constant(Double), iota(axis: Int), cast(rounds: Bool), allReduce(replicas: Int, CollectiveOperation)
  case reduceScatter(replicas: Int, CollectiveOperation), allGather(replicas: Int)
  case broadcast(axes: [Int]), reshape, transpose([Int]), slice(axis: Int, start: Int, limit: Int, stride: Int)
  case pad(axis: Int, low: Int, high: Int, value: Double), concat(axis: Int)
  case window(axis: Int, WindowForm, outside: Double)
  case gather(axis: Int), scatterAdd(axis: Int), writeAt(axis: Int, wraps: Bool)
  case argReduce(Combiner, axis: Int), contract(ContractionAxes), line(LineOp, axis: Int)
  case foldKey(stream: UInt64), randomBits(RandomForm)
}

/// What turns a whole line along an axis into a line of the same length.
package enum LineOp: Sendable, Hashable {
  /// Each element combined with all before it; reversed, with all after it.
  case prefix(Combiner, isReversed: Bool)
  /// The indices that put it in order: equals in the order of their indices, NaN last; descending, NaN first.
  case order(isDescending: Bool)
}

/// The results after the first of an op that has several. No gradient flows through them.
package struct FurtherResults: Sendable {
  /// Whether a call in `.ltm` gives the first result alone, and the others are for its gradient.
  package var isHidden = false
  /// Their types, from those of the operands and of the first result.
  package let types: @Sendable (_ operands: [TensorType], _ first: TensorType, Attributes) -> [TensorType]
  /// The reference.
  package let evaluate: @Sendable ([Reference], Attributes, [TensorType]) -> [Reference]
  /// All results, the first one too, by simpler ops.
  package let decompose: @Sendable (inout GraphBuilder, Node) -> [ValueID]
}

/// How gradients flow back through an op.
public enum OpGradient: Sendable {
  /// No operand is differentiable (comparisons, argmax, floor, ...): nothing flows.
  case none
  /// The rule: given the node, its value and the gradient of its value (of the value's type), the gradient for each operand
  /// (of that operand's type), `nil` where none flows.
  case rule(@Sendable (inout GraphBuilder, Node, _ value: ValueID, _ gradient: ValueID) -> [ValueID?])
}

/// One row of the op table.
public struct OpDefinition: Sendable {
  /// One line for the docs.
  public let summary: String
  /// Whether `.ltm` can call it by name.
  public let isCallable: Bool
  /// Operands and attributes in call order.
  public let signature: [OpParameter]
  /// Whether the op does nothing but in training: in evaluation a call of it is its first operand.
  public let isTrainingOnly: Bool
  /// Whether a composite works element by element, so that a call spreads its operands over a common shape.
  public let isElementwise: Bool
  /// The precision class.
  public let precision: PrecisionClass
  /// Attributes with what the types of operands tell of them, where the reference has to know that.
  package let complete: (@Sendable ([TensorType], Attributes) -> Attributes)?
  /// The type of the result, or what is wrong with the operands. `float` operands make `float` results; `float` with a
  /// concrete float counts as `float` (the casts pass settles it).
  public let infer: @Sendable ([TensorType], Attributes) throws(OpError) -> TensorType
  /// The reference: f64 in, f64 out, row-major, on bound shapes; `result` is the inferred type.
  public let evaluate: @Sendable ([Reference], Attributes, _ result: TensorType) -> Reference
  /// The gradient.
  public let gradient: OpGradient
  /// The way to kernels.
  package let lowering: OpLowering
  /// The results after the first, where there are any.
  package let further: FurtherResults?
  /// Operands to try it on, where the signature alone does not tell them: see ``examples``.
  package let givenExamples: [OpExample]

  package init(
    _ summary: String, isCallable: Bool = true, isTrainingOnly: Bool = false, signature: [OpParameter],
    isElementwise: Bool = false, precision: PrecisionClass,
    complete: (@Sendable ([TensorType], Attributes) -> Attributes)? = nil,
    infer: @escaping @Sendable ([TensorType], Attributes) throws(OpError) -> TensorType,
    evaluate: @escaping @Sendable ([Reference], Attributes, TensorType) -> Reference, gradient: OpGradient,
    lowering: OpLowering, further: FurtherResults? = nil, examples: [OpExample] = []
  ) {
    self.summary = summary
    self.isCallable = isCallable
    self.isTrainingOnly = isTrainingOnly
    self.isElementwise = isElementwise
    self.signature = signature
    self.precision = precision
    self.complete = complete
    self.infer = infer
    self.evaluate = evaluate
    self.gradient = gradient
    self.lowering = lowering
    self.further = further
    givenExamples = examples
  }
}

extension OpDefinition {
  /// What a call gives of the signature.
  public var callSignature: [OpParameter] { signature.filter { $0.kind != .key && !$0.isInternal } }
}

extension Op {
  /// Whether it reads a key: it draws random numbers, or makes a key of another.
  public var readsKey: Bool { definition.signature.contains { $0.kind == .key } }

  /// Whether it makes random numbers, or a key, of a key and at most a number: whoever needs them again draws them again.
  package var readsOnlyKeys: Bool { readsKey && !definition.signature.contains { $0.kind == .tensor } }
}

/// A value of the reference interpreter: numbers in f64 under a bound shape.
public struct Reference: Sendable, Hashable {
  /// The dimensions.
  public var shape: [Int]
  /// Row-major elements.
  public var data: [Double]
  /// A value.
  public init(shape: [Int], data: [Double]) {
    self.shape = shape
    self.data = data
  }
}
