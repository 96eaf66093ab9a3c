// Rows: values that come from nothing. The type of an input, a constant and a dimension is set where they are made.

extension OpDefinition {
  static let input = OpDefinition(
    "A value from outside: data, a parameter, a state.", isCallable: false, signature: [], precision: .never,
    infer: { (_, _) throws(OpError) in throw OpError("an input is made with its type") },
    evaluate: { _, _, result in .filled(result.boundShape, 0) }, gradient: .none,
    lowering: .structural { _, _ in .input })

  static let constant = OpDefinition(
    "A scalar known at compile time.", isCallable: false, signature: [OpParameter("value", .float)], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 0...0)
      _ = try attributes.required("value", attributes.float("value"))
      return TensorType(.float, [])
    },
    evaluate: { _, attributes, _ in .scalar(attributes[float: "value"]) }, gradient: .none,
    lowering: .structural { attributes, _ in .constant(attributes[float: "value"]) })

  static let dimension = OpDefinition(
    "A scalar that holds a dimension; a constant once dimensions are bound.", isCallable: false,
    signature: [OpParameter("value", .dim)], precision: .follow,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 0...0)
      _ = try attributes.required("value", attributes.dim("value"))
      return TensorType(.float, [])
    },
    evaluate: { _, attributes, _ in .scalar(Double(attributes[bound: "value"])) }, gradient: .none,
    lowering: .structural { attributes, _ in .constant(Double(attributes[bound: "value"])) })

  static let iota = OpDefinition(
    "The index along one axis: 0, 1, 2, ...",
    signature: [
      OpParameter("shape", .dims), OpParameter("axis", .axis, default: .int(0)),
      OpParameter("dtype", .dtype, default: .dtype(.i32)),
    ], precision: .never,
    infer: { (types, attributes) throws(OpError) in
      try requireCount(types, 0...0)
      let shape = try attributes.required("shape", attributes.dims("shape"))
      let axis = try attributes.requiredAxis(rank: shape.count)
      let dtype = try attributes.required("dtype", attributes.dtype("dtype"))
      guard dtype != .bool else { throw OpError("an index cannot be a bool") }
      if let last = shape[axis].constant.map({ $0 - 1 }), !dtype.holds(Double(last)) {
        throw OpError("the last index, \(last), does not fit \(dtype)", note: "use a wider dtype, such as i32")
      }
      return TensorType(dtype, shape)
    },
    evaluate: { _, attributes, result in
      let axis = attributes[int: "axis"]
      let shape = result.boundShape
      return Reference(shape: [shape[axis]], data: (0..<shape[axis]).map(Double.init)).broadcast(shape, [axis])
    }, gradient: .none, lowering: .structural { attributes, _ in .iota(axis: attributes[int: "axis"]) })
}

extension Op {
  /// Whether the type is given where the value is made, not inferred.
  package var isTypedAtCreation: Bool { self == .input || self == .constant || self == .dimension }
}
