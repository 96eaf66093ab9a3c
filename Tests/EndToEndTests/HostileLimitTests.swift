import Foundation
import TestSupport
import Testing

/// The limits that SECURITY.md names: what asks for more ends soon, with a message and not with a crash.
@Suite struct HostileLimitTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    var arguments = ["check", "m.ltm"]
    /// `nil` where there is no error.
    let says: String?
    let make: @Sendable (TemporaryFolder) throws -> Void
    var testDescription: String { name }
  }

  private static func entry(_ lines: String) -> String {
    "model M() {\n  func loss(x: [4]) -> [] {\n    var y = x\n\(lines)\n    return sum(y)\n  }\n}\n"
  }

  private static func loop(_ rounds: Int, _ body: String) -> String {
    "for i in 0..<\(rounds) {\nfor j in 0..<\(rounds) {\n\(body)\n}\n}"
  }

  /// Runs a small model on an array from a file.
  private static func array(_ name: String, _ file: String, says: String, _ bytes: @escaping @Sendable () -> [UInt8])
    -> Case
  {
    Case(name: name, arguments: ["run", "m.ltm", "--entry", "loss", "--input", "x=\(file)"], says: says) { folder in
      try folder.write("m.ltm", entry(""))
      try Data(bytes()).write(to: URL(filePath: folder.file(String(file.prefix { $0 != ":" }))))
    }
  }

  private static func littleEndian(_ value: Int, _ size: Int) -> [UInt8] {
    (0..<size).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  /// An archive of one member, whose directory promises `size` bytes for `packed` ones.
  private static func archive(_ packed: Int, promising size: Int) -> [UInt8] {
    let name = Array("x.npy".utf8)
    let sizes = littleEndian(packed, 4) + littleEndian(size, 4)
    let zeros = [UInt8](repeating: 0, count: packed)
    let member =
      [0x50, 0x4B, 3, 4, 20, 0, 0, 0, 8, 0] + littleEndian(0, 8) + sizes + [5, 0, 0, 0] + name + zeros
    let directory =
      [0x50, 0x4B, 1, 2, 20, 0, 20, 0, 0, 0, 8, 0] + littleEndian(0, 8) + sizes + [5, 0] + littleEndian(0, 16) + name
    let end =
      [0x50, 0x4B, 5, 6, 0, 0, 0, 0, 1, 0, 1, 0] + littleEndian(directory.count, 4) + littleEndian(member.count, 4)
      + [0, 0]
    return member + directory + end
  }

  /// A file that is as large as it says and holds next to nothing.
  private static func hollow(_ path: String, _ start: [UInt8], size: UInt64) throws {
    try Data(start).write(to: URL(filePath: path))
    let handle = try FileHandle(forWritingTo: URL(filePath: path))
    try handle.truncate(atOffset: size)
    try handle.close()
  }

  static let cases: [Case] = [
    Case(name: "a file of 4 MiB", says: nil) { folder in
      try folder.write("m.ltm", String(repeating: "/", count: 4_194_303) + "\n")
    },
    Case(name: "a file of a byte more", says: "may hold 4194304 bytes") { folder in
      try folder.write("m.ltm", String(repeating: "/", count: 4_194_304) + "\n")
    },
    Case(name: "deep nesting", says: "deeper than 256 levels") { folder in
      let (open, close) = (String(repeating: "(", count: 300), String(repeating: ")", count: 300))
      try folder.write("m.ltm", entry("    y = \(open)x\(close)"))
    },
    Case(name: "many rounds", says: "more than 100000 rounds") { folder in
      try folder.write("m.ltm", entry(loop(1000, "y = y + x")))
    },
    Case(name: "many nodes", says: "loops are unrolled") { folder in
      try folder.write("m.ltm", entry(loop(300, "y = y + x * 2")))
    },
    Case(name: "calls that double", says: "func f") { folder in
      let functions = (1..<60).map { "func f\($0)(n: Int) -> Int {\n  return f\($0 - 1)(n) + f\($0 - 1)(n)\n}\n" }
      try folder.write(
        "m.ltm", "func f0(n: Int) -> Int {\n  return n\n}\n" + functions.joined() + entry("    y = y * f59(1)"))
    },
    Case(name: "many mistakes", says: "unknown name 'unknown_49'") { folder in
      try folder.write("m.ltm", entry((0..<200).map { "    y = unknown_\($0)" }.joined(separator: "\n")))
    },
    Case(name: "many imports", says: "256") { folder in
      for file in 0..<300 { try folder.write("f\(file).ltm", "import \"f\(file + 1).ltm\"\n") }
      try folder.write("m.ltm", "import \"f0.ltm\"\n")
    },
    Case(name: "a pipe that is imported", says: "is not a regular file") { folder in
      #expect(mkfifo(folder.file("pipe.ltm"), 0o600) == 0)
      try folder.write("m.ltm", "import \"pipe.ltm\"\n")
    },
    Case(name: "a device that is imported", says: "is not a regular file") { folder in
      try folder.write("m.ltm", "import \"/dev/zero\"\n")
    },
    Case(name: "weights that no machine has", arguments: ["train", "m.ltm"], says: "does not fit into the memory") {
      folder in
      try folder.write(
        "m.ltm",
        """
        model M() {
          let fc = Linear(1000000, 1000000)
          func loss(x: [B, 1000000]) -> [] {
            return sum(fc(x))
          }
        }
        train M {
          minimize  loss
          optimizer SGD(lr: 0.1)
          batch     2
        }
        """)
    },
    Case(
      name: "a long header", arguments: ["run", "m.ltm", "--entry", "loss", "--input", "x=x.safetensors:x"],
      says: "is not a safetensors file, or is truncated"
    ) { folder in
      try folder.write("m.ltm", entry(""))
      try hollow(folder.file("x.safetensors"), littleEndian(100_000_001, 8), size: 200_000_000)
    },
    array("a deep header", "x.safetensors:x", says: "nested deeper than 64 levels") {
      let text = Array("{\"x\":\(String(repeating: "[", count: 100))".utf8)
      return littleEndian(text.count, 8) + text
    },
    array("a tensor that is larger than its file", "x.safetensors:x", says: "x.safetensors") {
      let text = Array(#"{"x":{"dtype":"F32","shape":[4000000000],"data_offsets":[0,16000000000]}}"#.utf8)
      return littleEndian(text.count, 8) + text
    },
    array("a long header of .npy", "x.npy", says: "its length is not possible") {
      [0x93] + Array("NUMPY".utf8) + [2, 0] + littleEndian(65_537, 4) + [UInt8](repeating: 0x20, count: 70_000)
    },
    array("an array that is larger than its file", "x.npy", says: "is truncated") {
      let text = Array("{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000,), }".utf8)
      return [0x93] + Array("NUMPY".utf8) + [1, 0] + littleEndian(text.count, 2) + text
    },
    array("a member that promises too much", "x.npz:x", says: "promises more bytes than it can hold") {
      archive(1000, promising: 4_000_000_000)
    },
    Case(
      name: "a large table", arguments: ["train", "m.ltm", "--data", "x.csv"],
      says: "more than the 4294967296 that can be read"
    ) { folder in
      try folder.write("m.ltm", entry("") + "train M {\n  minimize  loss\n  optimizer SGD(lr: 0.1)\n  batch     4\n}\n")
      try hollow(folder.file("x.csv"), Array("x\n".utf8), size: 4 << 30 + 1)
    },
  ]

  @Test("end with a message", arguments: cases) func limit(_ example: Case) throws {
    let folder = try TemporaryFolder()
    try example.make(folder)
    let run = try Command(example.arguments, in: folder.path, shell: "ulimit -t 60; export LTM_CACHE=off")
    #expect(run.status == (example.says == nil ? 0 : 1), "\(run.errors.prefix(2000))")
    if let says = example.says { #expect(run.errors.contains(says), "\(run.errors.prefix(2000))") }
  }
}
