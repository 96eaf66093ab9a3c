import LTMIR
import LTMRuntime
import LTMSupport

/// Arrays in files: `.npy`, `.npz`, `.safetensors`, PyTorch's `.pt`, `.pth` and `.bin`.
public enum TensorFile {
  /// Reads `x.npy`, `data.npz:x` or `data.safetensors:x`; the key may be left out where the file holds one array.
  public static func read(_ place: String) throws(LTMError) -> Tensor {
    let (path, key) = split(place)
    return try reporting {
      let archive = try openTensors(path)
      if let key { return try archive.tensor(key) }
      guard archive.names.count == 1, let only = archive.names.first else {
        throw Diagnostic(
          .error, "\(path): holds \(archive.names.count) arrays, and none is named",
          notes: ["write \(path):KEY with one of \(listed(archive.names.prefix(20)))"])
      }
      return try archive.tensor(only)
    }
  }

  /// The names of the arrays in a file.
  public static func names(_ path: String) throws(LTMError) -> [String] {
    try reporting { try openTensors(path).names }
  }

  /// Writes results whole or not at all: the one to a `.npy`, or all to a `.safetensors`.
  public static func write(_ results: [(name: String, tensor: Tensor)], to path: String) throws(LTMError) {
    try checkPath(path)
    switch fileEnding(path) {
    case "safetensors":
      try reporting { try writeSafetensors(path, results) }
    case "csv":
      try reporting { try writeAtomically(path, Array(try csv(results, path).utf8)) }
    case _:
      guard let only = results.first, results.count == 1 else {
        throw LTMError(
          "\(path): a .npy holds one array, and there are \(results.count)", notes: ["write to a .safetensors"])
      }
      try reporting { try writeNPY(path, only.tensor) }
    }
  }

  /// Throws for a path that no results can be written to, before they are computed.
  public static func checkPath(_ path: String) throws(LTMError) {
    guard ["safetensors", "npy", "csv"].contains(fileEnding(path)) else {
      throw LTMError(
        "\(path): has no known ending", notes: ["results are written to .npy, .csv and .safetensors files"])
    }
    try reporting { try checkWritable(path) }
  }

  /// A row for each row of the results, which have as many; a column for each number of a row.
  private static func csv(_ results: [(name: String, tensor: Tensor)], _ path: String) throws(LTMError) -> String {
    let rows = results.first?.tensor.shape.first ?? 0
    guard results.allSatisfy({ $0.tensor.shape.first == rows }), rows > 0 else {
      throw LTMError(
        "\(path): a .csv holds a row for each row, and not all results have rows", notes: ["write to a .safetensors"])
    }
    var lines: [[String]] = Array(repeating: [], count: rows + 1)
    for (name, tensor) in results {
      let width = tensor.count / rows
      lines[0] += tensor.shape.count == 1 ? [name] : (0..<width).map { "\(name)_\($0)" }
      let texts =
        tensor.dtype.isFloating
        ? tensor.doubles.map { tensor.dtype == .f64 ? "\($0)" : "\(Float($0))" } : tensor.integers.map { "\($0)" }
      for row in 0..<rows { lines[row + 1] += texts[row * width..<(row + 1) * width] }
    }
    return lines.map { $0.joined(separator: ",") + "\n" }.joined()
  }

  /// The results as one JSON object: dtype, shape and nested values by name.
  public static func json(_ results: [(name: String, tensor: Tensor)]) -> String {
    JSON.object(
      results.map { name, tensor in
        .init(
          name,
          .object([
            .init("dtype", .string(tensor.dtype.rawValue)), .init("shape", .array(tensor.shape.map { .int($0) })),
            .init(
              "data",
              .array(tensor.dtype.isFloating ? tensor.doubles.map { .number($0) } : tensor.integers.map { .int($0) })),
          ]))
      }
    ).text()
  }

  /// Whether a place names arrays, by its ending.
  package static func isTensors(_ place: String) -> Bool {
    (["npz", "safetensors", "npy"] + torchEndings).contains(fileEnding(path(of: place)) ?? "")
  }

  /// The file of `data.npz:x`.
  package static func path(of place: String) -> String { split(place).path }

  /// `data.npz:x` in its parts; a colon counts only behind a known ending.
  private static func split(_ place: String) -> (path: String, key: String?) {
    for ending in ["npz", "safetensors", "npy"] + torchEndings {
      let ending = ".\(ending):"
      if let range = place.firstRange(of: ending) {
        return (String(place[..<place.index(before: range.upperBound)]), String(place[range.upperBound...]))
      }
    }
    return (place, nil)
  }
}

extension Tensor {
  /// `f32[64, 10] 0.12 -1.5 ...`: the type and the first few values.
  public var summary: String {
    let values =
      dtype.isFloating
      ? doubles.prefix(8).map { $0.isNaN ? "nan" : "\(Float($0))" } : integers.prefix(8).map { "\($0)" }
    return "\(dtype)\(shape) \(values.joined(separator: " "))\(count > 8 ? " ..." : "")"
  }

  /// The elements of an integer tensor, exactly: an i64 has more digits than a Double.
  var integers: [Int] {
    guard dtype == .i64 else { return doubles.map { Int($0) } }
    return withUnsafeBytes { bytes in
      (0..<count).map { Int(bytes.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self)) }
    }
  }
}
