import LTMIR
import LTMRuntime
import LTMSupport

/// Bounds of sizes that only data decides: an entry is compiled for the bounds alone, and what is called with other sizes is filled up to
/// the next one, where a mask of the entry says that nothing is there.
public struct Buckets: Sendable, Hashable {
  /// The bounds of each symbolic dimension, ascending.
  public let bounds: [String: [Int]]

  /// Bounds by the name of a dimension.
  public init(_ bounds: [String: [Int]]) throws(LTMError) {
    for (name, sizes) in bounds.sorted(by: { $0.key < $1.key }) where sizes.isEmpty || sizes.contains(where: { $0 < 1 })
    {
      throw LTMError("the bounds of '\(name)' are \(sizes)", notes: [Self.form])
    }
    self.bounds = bounds.mapValues { Array(Set($0)).sorted() }
  }

  /// Reads `T=16,32,64`, several times for several dimensions.
  public init(parsing texts: [String]) throws(LTMError) {
    var bounds: [String: [Int]] = [:]
    for text in texts {
      let parts = text.split(separator: "=", omittingEmptySubsequences: false)
      let sizes =
        parts.count == 2 ? parts[1].split(separator: ",", omittingEmptySubsequences: false).map { Int($0) } : []
      guard parts.count == 2, !parts[0].isEmpty, !sizes.isEmpty, !sizes.contains(nil) else {
        throw LTMError("'\(text)' names no bounds of a dimension", notes: [Self.form])
      }
      bounds[String(parts[0]), default: []] += sizes.compactMap(\.self)
    }
    try self.init(bounds)
  }

  private static let form = "write the dimension with sizes of 1 or more, as in --bucket T=16,32,64"

  /// The bound that a size is filled up to: itself, where it is larger than all.
  func bound(_ symbol: String, _ size: Int) -> Int { bounds[symbol]?.first { $0 >= size } ?? size }
}

/// An entry's arguments and results by the dimensions that have bounds.
struct BucketedSizes {
  private let graph: Graph
  private let buckets: Buckets

  /// Throws where the entry has no such dimension, no mask along it, or sizes that are computed of it.
  init(_ graph: Graph, _ buckets: Buckets, entry: String) throws(LTMError) {
    (self.graph, self.buckets) = (graph, buckets)
    let arguments = graph.inputs.filter { $0.role == .argument }.map { (name: $0.name, type: graph[$0.value].type) }
    for symbol in buckets.bounds.keys.sorted() {
      let reading = arguments.filter { $0.type.shape.contains { $0.symbols.contains(symbol) } }
      guard !reading.isEmpty else { throw LTMError("'\(entry)' has no dimension '\(symbol)' that a call decides") }
      if let computed = reading.first(where: {
        $0.type.shape.contains { $0.symbols.contains(symbol) && $0.symbol != symbol }
      }) {
        throw LTMError(
          "'\(computed.name)' of '\(entry)' is \(computed.type.sourceText): it cannot be filled up to a bound of '\(symbol)'",
          notes: ["a size that has bounds stands alone, as in i32[B, T]"])
      }
      guard reading.contains(where: { $0.type.dtype == .bool }) else {
        throw LTMError(
          "'\(entry)' has no mask along '\(symbol)', and could not tell what is filled up",
          notes: [
            "give it a parameter bool[B, \(symbol)], which is false there, and leave those out of sums and attention"
          ])
      }
    }
  }

  /// The arguments filled up with zeros.
  func filled(_ inputs: [String: Tensor], _ sizes: [String: Int]) throws(LTMError) -> [String: Tensor] {
    var result = inputs
    for (name, tensor) in inputs {
      guard let input = graph.input(name), input.role == .argument else { continue }
      let shape = zip(graph[input.value].type.shape, tensor.shape).map { bound($0, $1) }
      if shape != tensor.shape { result[name] = try tensor.placed(in: shape) }
    }
    return result
  }

  /// A result without what belongs to what was filled up.
  func cut(_ name: String, _ tensor: Tensor, _ sizes: [String: Int]) throws(LTMError) -> Tensor {
    guard let output = graph.outputs.first(where: { $0.name == name }) else { return tensor }
    let shape = zip(graph[output.value].type.shape, tensor.shape).map { dim, size in
      dim.symbol.flatMap { buckets.bounds[$0] == nil ? nil : sizes[$0] } ?? size
    }
    return shape == tensor.shape ? tensor : try tensor.placed(in: shape)
  }

  private func bound(_ dim: Dim, _ size: Int) -> Int { dim.symbol.map { buckets.bound($0, size) } ?? size }
}

extension Tensor {
  /// The part that both shapes have, zeros elsewhere.
  fileprivate func placed(in shape: [Int]) throws(LTMError) -> Tensor {
    var result = [UInt8](repeating: 0, count: try bytes(filledUpTo: shape))
    let common = zip(self.shape, shape).map(min)
    if !common.contains(0) {
      let line = (common.last ?? 1) * dtype.byteCount
      let rows = common.dropLast().reduce(1, *)
      withUnsafeBytes { source in
        for row in 0..<rows {
          let (from, to) = (Self.offset(row, common, self.shape), Self.offset(row, common, shape))
          for byte in 0..<line { result[to * dtype.byteCount + byte] = source[from * dtype.byteCount + byte] }
        }
      }
    }
    guard let tensor = Tensor(dtype: dtype, shape: shape, bytes: result) else {
      throw LTMError("a tensor \(dtype)\(self.shape) cannot be filled up to \(shape)")
    }
    return tensor
  }

  /// Throws where a bound asks for more than memory holds.
  private func bytes(filledUpTo shape: [Int]) throws(LTMError) -> Int {
    var bytes = dtype.byteCount
    for size in shape {
      let (product, overflows) = bytes.multipliedReportingOverflow(by: size)
      guard !overflows, product <= ResourceUsage.allowedBytes / 4 else {
        throw LTMError(
          "a tensor \(dtype)\(self.shape) filled up to \(shape) takes more than memory holds",
          notes: ["choose a smaller bound"])
      }
      bytes = product
    }
    return bytes
  }

  /// Where a line of `common` begins in a tensor of another shape.
  private static func offset(_ row: Int, _ common: [Int], _ shape: [Int]) -> Int {
    var (rest, offset, stride) = (row, 0, shape.last ?? 1)
    for axis in shape.indices.dropLast().reversed() {
      offset += rest % common[axis] * stride
      rest /= common[axis]
      stride *= shape[axis]
    }
    return offset
  }
}
