import LTMIR
import LTMSupport

/// The symbolic dimensions of a file: their names in the language, and those that are given a size.
struct DimNames {
  /// Sizes by name, ours or ONNX's.
  let given: [String: Int]
  /// Our name of each of ONNX's.
  private(set) var names: [String: String] = [:]
  private var taken: Set<String> = []
  private var used: Set<String> = []

  init(given: [String: Int]) { self.given = given }

  /// The dimension of an axis.
  mutating func dim(_ dim: ONNXDim, axis: Int) -> Dim {
    switch dim {
    case .number(let number): return Dim(number)
    case .named(let name):
      let ours = names[name] ?? fresh(Self.readable(name) ?? Self.standard(axis))
      names[name] = ours
      return sized(name, ours)
    case .unknown: return sized("", fresh(Self.standard(axis)))
    }
  }

  private mutating func sized(_ onnx: String, _ ours: String) -> Dim {
    for name in [ours, onnx] {
      if let size = given[name] {
        used.insert(name)
        return Dim(size)
      }
    }
    return Dim(symbol: ours)
  }

  private mutating func fresh(_ name: String) -> String {
    var result = name
    var number = 2
    while !taken.insert(result).inserted {
      result = "\(name)\(number)"
      number += 1
    }
    return result
  }

  /// The batch comes first; the other axes are told apart by their number.
  private static func standard(_ axis: Int) -> String { axis == 0 ? "B" : "D\(axis)" }

  /// `batch_size` as `BatchSize`; `nil` for names that say nothing, as exporters make them up.
  private static func readable(_ name: String) -> String? {
    let words = name.split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }.map(String.init)
    let text = words.map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    let isMadeUp = name.hasPrefix("unk__") || name.contains("DynamicDimension") || name.contains("dim_param")
    guard let first = text.first, first.isLetter, text.count <= 40, !isMadeUp else { return nil }
    return text == "Batch" || text == "BatchSize" || text == "N" ? "B" : text
  }

  /// Throws where a size is given for a dimension that the inputs do not have.
  func requireUse(_ path: String) throws {
    guard let unknown = given.keys.sorted().first(where: { !used.contains($0) }) else { return }
    let known = taken.sorted().map { "'\($0)'" }.joined(separator: ", ")
    throw Diagnostic(
      "\(path): no input has a dimension '\(unknown.shownSafely)'",
      notes: [taken.isEmpty ? "all its dimensions are numbers" : "there are \(known)"])
  }
}
