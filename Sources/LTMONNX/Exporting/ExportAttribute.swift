import Foundation
import LTMIR

/// A compile-time operand of an ONNX node.
enum ExportAttribute {
  case int(Int)
  case ints([Int])
  case float(Double)
  case string(String)
  case graph(Onnx_GraphProto)

  static func flag(_ value: Bool) -> ExportAttribute { .int(value ? 1 : 0) }

  /// As a file has it.
  func proto(_ name: String) -> Onnx_AttributeProto {
    var proto = Onnx_AttributeProto()
    proto.name = name
    switch self {
    case .int(let value): (proto.type, proto.i) = (.int, Int64(value))
    case .ints(let values): (proto.type, proto.ints) = (.ints, values.map(Int64.init))
    case .float(let value): (proto.type, proto.f) = (.float, Float(value))
    case .string(let text): (proto.type, proto.s) = (.string, Data(text.utf8))
    case .graph(let graph): (proto.type, proto.g) = (.graph, graph)
    }
    return proto
  }
}

/// What a file says of an input or a result: its dtype, and its dimensions, where they are numbers or names.
func valueInfo(_ name: String, _ type: TensorType) -> Onnx_ValueInfoProto {
  var info = Onnx_ValueInfoProto()
  info.name = name
  info.type.tensorType.elemType = ElementType(type.dtype).rawValue
  info.type.tensorType.shape.dim = type.shape.map { dim in
    var proto = Onnx_TensorShapeProto.Dimension()
    if let number = dim.constant { proto.dimValue = Int64(number) } else { proto.dimParam = dim.description }
    return proto
  }
  return info
}
