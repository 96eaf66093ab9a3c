import Foundation
import LTM
import LTMIR
import LTMSupport

/// Why a node is not exported: a clause, lower case, no full stop.
struct ExportProblem: Error {
  let reason: String
  init(_ reason: String) { self.reason = reason }
}

/// What all graphs of one ONNX file share: names, tensors, and what has gone wrong.
final class ExportStore {
  private(set) var initializers: [Onnx_TensorProto] = []
  private(set) var problems: [Diagnostic] = []
  private var names: Set<String> = []
  private var constants: [Constant: String] = [:]
  private let weight: (String) -> Tensor?

  /// A tensor that an operator takes as an operand.
  private struct Constant: Hashable {
    let dtype: DType
    let shape: [Int]
    let values: [Double]
  }

  init(model: Model) { weight = { model.weight($0) } }

  /// A name that nothing else of the file has: names within bodies hide no others.
  func unique(_ name: String) -> String {
    if names.insert(name).inserted { return name }
    var number = 2
    while !names.insert("\(name)_\(number)").inserted { number += 1 }
    return "\(name)_\(number)"
  }

  func report(_ diagnostic: Diagnostic) {
    if !problems.contains(diagnostic) { problems.append(diagnostic) }
  }

  /// A weight under its own name, in the dtype that the graph reads it in.
  func add(weight name: String, _ dtype: DType) throws(ExportProblem) -> String {
    guard let tensor = weight(name) else { throw ExportProblem("there is no weight '\(name)'") }
    let name = unique(name)
    add(tensor.converted(to: dtype), name)
    return name
  }

  /// A tensor of these numbers; equal ones are one.
  func constant(_ values: [Double], _ dtype: DType, shape: [Int]) -> String {
    let key = Constant(dtype: dtype, shape: shape, values: values)
    if let known = constants[key] { return known }
    let name = unique("constant")
    if let tensor = Tensor(values, shape: shape, dtype: dtype) { add(tensor, name) }
    constants[key] = name
    return name
  }

  private func add(_ tensor: Tensor, _ name: String) {
    var proto = Onnx_TensorProto()
    proto.name = name
    proto.dims = tensor.shape.map(Int64.init)
    proto.dataType = ElementType(tensor.dtype).rawValue
    proto.rawData = tensor.withUnsafeBytes { Data($0) }
    initializers.append(proto)
  }
}
