import LTMSupport

// Ops that are a formula of others and nothing besides: reference, gradient and the way to kernels are all that formula's.
// What they must give is recorded from PyTorch (`Tests/IRTests/Fixtures/ops_reference.py`).

/// A formula over the operands as they are, with the attributes and the type of the result.
typealias Composition = @Sendable (inout GraphBuilder, _ x: [ValueID], Attributes, _ result: TensorType) -> ValueID

extension OpDefinition {
  /// An op of one formula.
  ///
  /// - Parameters:
  ///   - dtypes: those of operands, by position, that are no floats.
  ///   - gradient: the gradient where it is simpler than the formula's own.
  static func composed(
    _ summary: String, isCallable: Bool = true, signature: [OpParameter], precision: PrecisionClass = .follow,
    isElementwise: Bool = false, dtypes: [Int: DType] = [:], infer: @escaping InferRule, examples: [OpExample],
    gradient: OpGradient? = nil,
    _ formula: @escaping Composition
  ) -> OpDefinition {
    OpDefinition(
      summary, isCallable: isCallable, signature: signature, isElementwise: isElementwise, precision: precision,
      infer: infer,
      evaluate: { x, attributes, result in evaluated(formula, x, attributes, result, dtypes) },
      gradient: gradient ?? .ofFormula(formula),
      lowering: .decompose { b, node in formula(&b, node.operands, node.attributes, node.type) }, examples: examples)
  }
}

/// What a formula gives in f64.
func evaluated(
  _ formula: Composition, _ x: [Reference], _ attributes: Attributes, _ result: TensorType, _ dtypes: [Int: DType]
) -> Reference {
  var b = GraphBuilder(name: "reference")
  let inputs = x.enumerated().map { index, value in
    b.input("x\(index)", TensorType(dtypes[index] ?? .f64, value.shape.map { Dim($0) }), role: .argument)
  }
  let y = formula(&b, inputs, attributes, result.with(result.dtype.isFloating ? .f64 : result.dtype))
  return b.graph.value(y, of: Dictionary(uniqueKeysWithValues: zip(inputs, x)))
}

extension Graph {
  /// One value, of inputs that are given.
  fileprivate func value(_ value: ValueID, of inputs: [ValueID: Reference]) -> Reference {
    do throws(DiagnosticSet) {
      return try evaluateBound([inputs], rounding: .none, keep: [value])[0][value.index]
    } catch {
      internalFailure("graph", "a formula has no value: \(error)")
    }
  }
}

extension OpGradient {
  /// The gradient that the op's formula has. It is made apart, so that nothing flows on from the operands.
  static func ofFormula(_ formula: @escaping Composition) -> OpGradient {
    .rule { b, node, _, g in
      var apart = GraphBuilder(name: node.op.name)
      (apart.location, apart.scope, apart.reason) = (b.location, b.scope, b.reason)
      let inputs = node.operands.enumerated().map { index, operand in
        apart.input("x\(index)", b.type(operand), role: .argument)
      }
      let seed = apart.input("seed", b.type(g), role: .argument)
      let value = formula(&apart, inputs, node.attributes, node.type)
      let wanted = inputs.filter { apart.type($0).dtype.isFloating }
      let found: [ValueID?]
      do throws(OpError) {
        found = try apart.differentiate([(value, seed)], withRespectTo: wanted)
      } catch {
        internalFailure("gradient", "\(node.op.name) has a formula without a gradient: \(error.message)")
      }
      let copies = b.append(apart.graph, of: node.operands + [g])
      let gradients = Dictionary(uniqueKeysWithValues: Swift.zip(wanted, found))
      return inputs.map { input in gradients[input]?.map { copies[$0.index] } }
    }
  }
}

extension GraphBuilder {
  /// The nodes of another graph, with values in the place of its inputs. Gives the copy of each.
  fileprivate mutating func append(_ other: Graph, of operands: [ValueID]) -> [ValueID] {
    var copies = other.inputs.map(\.value).enumerated().reduce(into: [ValueID: ValueID]()) {
      $0[$1.element] = operands[$1.offset]
    }
    return other.nodes.enumerated().map { index, node in
      if let given = copies[ValueID(index)] { return given }
      var copy = node
      copy.operands = node.operands.map { copies[$0] ?? $0 }
      let value = append(copy)
      copies[ValueID(index)] = value
      return value
    }
  }

  /// A float in the dtype that formulas compute in; anything else as it is.
  mutating func wide(_ value: ValueID) -> ValueID {
    let dtype = type(value).dtype
    return dtype.isFloating ? cast(value, to: dtype.arithmetic) : value
  }

  /// A comparison with a number.
  mutating func compare(_ op: Op, _ value: ValueID, _ number: Double) -> ValueID {
    make(op, [value, fill(number, like: value)])
  }

  /// `c[0] z^n + ... + c[n]`
  mutating func polynomial(_ z: ValueID, _ coefficients: [Double]) -> ValueID {
    coefficients.dropFirst().reduce(fill(coefficients[0], like: z)) { offset(mul($0, z), by: $1) }
  }
}
