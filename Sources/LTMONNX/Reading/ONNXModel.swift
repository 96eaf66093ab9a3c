import LTMIR

/// An ONNX model, read: what the importer looks at, with nothing of protobuf in it.
struct ONNXModel: Sendable {
  var graph: ONNXGraph
  /// The version of each domain's operators; ONNX's own domain is the empty text.
  var opsets: [String: Int]
  /// Operators that the file defines itself, by domain and name.
  var functions: [String: ONNXFunction] = [:]

  /// The version of ONNX's own operators.
  var opset: Int { opsets[""] ?? opsets["ai.onnx"] ?? 1 }
}

/// A graph: of a model, or of a branch or a body of a node.
struct ONNXGraph: Sendable {
  var name: String
  var nodes: [ONNXNode]
  var initializers: [(name: String, value: Constant)]
  var inputs: [ONNXInput]
  var outputs: [ONNXInput]
  /// Tensors that cannot be read, with the reason.
  var unreadable: [(name: String, reason: String)] = []
}

/// What is said of an input or a result.
struct ONNXInput: Sendable {
  var name: String
  /// `nil` for what is no tensor, or one of a type that is not known.
  var element: ElementType?
  /// `nil` where the file does not say the rank.
  var shape: [ONNXDim]?
  /// What it is in words, where it is no tensor of a type that is known.
  var kind: String = ""
}

/// A dimension as a file has it.
enum ONNXDim: Sendable, Equatable {
  case number(Int)
  case named(String)
  case unknown
}

/// One operator with its operands.
struct ONNXNode: Sendable {
  var name: String
  var op: String
  var domain: String
  var inputs: [String]
  var outputs: [String]
  var attributes: [String: ONNXAttribute]

  /// The name in a message: a node without one is called after its first result.
  var shownName: String { name.isEmpty ? "that gives '\(outputs.first ?? "")'" : "'\(name)'" }

  /// The operator in a message.
  var shownOp: String { domain.isEmpty ? op : "\(domain).\(op)" }
}

/// A compile-time operand of a node.
enum ONNXAttribute: Sendable {
  case int(Int)
  case ints([Int])
  case float(Double)
  case floats([Double])
  case string(String)
  case strings([String])
  case tensor(Constant)
  case graph(ONNXGraph)
  /// The attribute of the function's call that it stands for.
  case reference(String)
  /// What is not read, in words.
  case unreadable(String)
}

/// An operator that a file defines by others.
struct ONNXFunction: Sendable {
  var inputs: [String]
  var outputs: [String]
  var nodes: [ONNXNode]
  /// Attributes with the values that they have where a call gives none.
  var defaults: [String: ONNXAttribute]
}
