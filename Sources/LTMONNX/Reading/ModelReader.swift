import Foundation
import LTMIR
import LTMRuntime
import LTMSupport
import SwiftProtobuf

/// Reads an ONNX file. What is wrong with the file as a whole is thrown; a tensor that cannot be read is told of with the
/// graph, so that one run names all of them.
struct ModelReader {
  /// The file.
  let path: String
  /// How deep messages may nest; ONNX's own need about ten, and two more for each graph within a graph.
  private static let depthLimit = 100
  /// Files of more bytes are mapped; a protobuf has 2 GiB at most.
  private static let (mapped, sizeLimit) = (64 << 20, 1 << 31)

  /// Reads the file.
  func read() throws -> ONNXModel {
    let proto = try decode(try bytes())
    guard proto.hasGraph else {
      throw FileError(path, "is not an ONNX model: it has no graph", remedy: "name a .onnx file")
    }
    var opsets: [String: Int] = [:]
    for item in proto.opsetImport { opsets[item.domain == "ai.onnx" ? "" : item.domain] = Int(item.version) }
    let tensors = TensorReader(path: path)
    var model = ONNXModel(graph: graph(proto.graph, tensors), opsets: opsets)
    for function in proto.functions {
      model.functions["\(function.domain).\(function.name)"] = self.function(function, tensors)
    }
    return model
  }

  private func bytes() throws -> Data {
    let attributes = try? FileManager.default.attributesOfItem(
      atPath: URL(filePath: path).resolvingSymlinksInPath().path)
    let size = attributes?[.size] as? Int ?? 0
    guard attributes?[.type] as? FileAttributeType == .typeRegular, size > Self.mapped else {
      return Data(try readFile(path))
    }
    guard size <= Self.sizeLimit else {
      throw FileError(
        path, "has \(size) bytes, and an ONNX file has 2 GiB at most", remedy: "save its tensors beside it")
    }
    do {
      return try Data(contentsOf: URL(filePath: path), options: .alwaysMapped)
    } catch {
      throw FileError(path, "cannot be read: \(error.localizedDescription)")
    }
  }

  private func decode(_ bytes: Data) throws(FileError) -> Onnx_ModelProto {
    var options = BinaryDecodingOptions()
    options.messageDepthLimit = Self.depthLimit
    options.discardUnknownFields = true
    do {
      return try Onnx_ModelProto(serializedBytes: bytes, options: options)
    } catch BinaryDecodingError.messageDepthLimit {
      throw FileError(
        path, "is not an ONNX model: its messages nest more than \(Self.depthLimit) deep",
        remedy: "a graph of that depth is not imported")
    } catch {
      throw FileError(
        path, "is not an ONNX model, or is truncated: its bytes are no protocol buffer of that kind",
        remedy: "name a .onnx file; copy or download it again where it is one")
    }
  }

  private func graph(_ proto: Onnx_GraphProto, _ tensors: TensorReader) -> ONNXGraph {
    var graph = ONNXGraph(
      name: proto.name, nodes: proto.node.map { node($0, tensors) }, initializers: [],
      inputs: proto.input.map(input), outputs: proto.output.map(input))
    for tensor in proto.initializer {
      do {
        graph.initializers.append((tensor.name, try tensors.constant(tensor)))
      } catch {
        graph.unreadable.append((tensor.name, error.reason))
      }
    }
    graph.unreadable += proto.sparseInitializer.map { ($0.values.name, "sparse tensors are not imported") }
    return graph
  }

  private func function(_ proto: Onnx_FunctionProto, _ tensors: TensorReader) -> ONNXFunction {
    let defaults = proto.attributeProto.map { ($0.name, attribute($0, tensors)) }
    return ONNXFunction(
      inputs: proto.input, outputs: proto.output, nodes: proto.node.map { node($0, tensors) },
      defaults: Dictionary(defaults, uniquingKeysWith: { first, _ in first }))
  }

  private func node(_ proto: Onnx_NodeProto, _ tensors: TensorReader) -> ONNXNode {
    let attributes = proto.attribute.map { ($0.name, attribute($0, tensors)) }
    return ONNXNode(
      name: proto.name, op: proto.opType, domain: proto.domain == "ai.onnx" ? "" : proto.domain, inputs: proto.input,
      outputs: proto.output, attributes: Dictionary(attributes, uniquingKeysWith: { first, _ in first }))
  }

  private func attribute(_ proto: Onnx_AttributeProto, _ tensors: TensorReader) -> ONNXAttribute {
    if !proto.refAttrName.isEmpty { return .reference(proto.refAttrName) }
    switch proto.type {
    case .float: return .float(decimal(proto.f))
    case .int: return .int(Int(proto.i))
    case .string: return .string(String(decoding: proto.s, as: UTF8.self))
    case .floats: return .floats(proto.floats.map(decimal))
    case .ints: return .ints(proto.ints.map { Int($0) })
    case .strings: return .strings(proto.strings.map { String(decoding: $0, as: UTF8.self) })
    case .graph: return .graph(graph(proto.g, tensors))
    case .tensor:
      do { return .tensor(try tensors.constant(proto.t)) } catch { return .unreadable(error.reason) }
    case .undefined: return .unreadable("its type is not said")
    case .sparseTensor, .sparseTensors: return .unreadable("sparse tensors are not imported")
    case .tensors, .graphs, .typeProto, .typeProtos: return .unreadable("attributes of this kind are not imported")
    }
  }

  /// The number that was written: 1e-5, and not the f32 next to it.
  private func decimal(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }

  private func input(_ proto: Onnx_ValueInfoProto) -> ONNXInput {
    guard case .tensorType(let type)? = proto.type.value else {
      return ONNXInput(name: proto.name, kind: proto.type.value.map(words) ?? "of no type")
    }
    guard let element = ElementType(rawValue: type.elemType) else {
      return ONNXInput(name: proto.name, kind: "a tensor of the element type \(type.elemType)")
    }
    let shape = type.hasShape ? type.shape.dim.map(dim) : nil
    return ONNXInput(name: proto.name, element: element, shape: shape)
  }

  private func words(_ value: Onnx_TypeProto.OneOf_Value) -> String {
    switch value {
    case .tensorType: "a tensor"
    case .sequenceType: "a sequence"
    case .mapType: "a map"
    case .optionalType: "an optional value"
    case .sparseTensorType: "a sparse tensor"
    default: "an opaque value"
    }
  }

  private func dim(_ proto: Onnx_TensorShapeProto.Dimension) -> ONNXDim {
    switch proto.value {
    case .dimValue(let value): value >= 0 ? .number(Int(value)) : .unknown
    case .dimParam(let name): name.isEmpty || name == "?" ? .unknown : .named(name)
    case nil: .unknown
    }
  }
}
