import LTMIR
import LTMRuntime
import Testing

@Suite struct NPYTests {
  static let cube = Tensor((0..<24).map { Float($0) / 8 }, shape: [2, 3, 4])

  @Test(arguments: ["v1.npy", "v2.npy", "v3.npy"]) func readsEachVersion(name: String) throws {
    let file = try NPYFile(path: fixtures + name)
    let stem = String(name.dropLast(4))
    #expect(file.names == [stem])
    #expect(try file.tensor() == Self.cube)
  }

  @Test(arguments: ["stored.npz", "packed.npz"]) func readsArchives(name: String) throws {
    let file = try NPZFile(path: fixtures + name)
    #expect(try file.tensor("f4") == Self.cube)
    #expect(try file.tensor("fortran") == Self.cube)
    #expect(try file.tensor("big") == Self.cube?.converted(to: .f64))
    #expect(try file.tensor("f2") == Self.cube?.converted(to: .f16))
    #expect(try file.tensor("i8") == Tensor([0x1p40 + 1, -1], shape: [2], dtype: .i64))
    #expect(try file.tensor("bigint") == Tensor([1, -2, 70000], shape: [3], dtype: .i32))
    #expect(try file.tensor("u1") == Tensor([0, 1, 2, 3, 4], shape: [5], dtype: .u8))
    #expect(try file.tensor("b1") == Tensor([1, 0], shape: [2], dtype: .bool))
    #expect(try file.tensor("scalar") == Tensor([2.5], shape: [], dtype: .f64))
    #expect(try file.tensor("empty") == Tensor([] as [Float], shape: [0, 3]))
  }

  @Test func inflatesDynamicAndStoredBlocks() throws {
    let long = (0..<3000).map { Double($0 * $0 % 251) }
    #expect(try NPZFile(path: fixtures + "packed.npz").tensor("long") == Tensor(long, shape: [3000], dtype: .i32))
    #expect(try NPZFile(path: fixtures + "level0.npz").tensor("f4") == Self.cube)
  }

  @Test(arguments: DType.allCases.filter { $0 != .float && $0 != .bf16 }, [[], [3], [1, 3], [3, 1, 1]])
  func whatIsWrittenComesBack(dtype: DType, shape: [Int]) throws {
    try withTemporaryFolder { folder in
      let values: [Double] = shape.isEmpty ? [1] : [1, 0, 1]
      let tensor = try #require(Tensor(values, shape: shape, dtype: dtype))
      try writeNPY(folder + "a.npy", tensor)
      #expect(try NPYFile(path: folder + "a.npy").tensor() == tensor)
      #expect(try (bytes(of: folder + "a.npy").count - tensor.bytes.count) % 64 == 0)
    }
  }

  @Test func bf16IsNotForNumPy() throws {
    try withTemporaryFolder { folder in
      let tensor = try #require(Tensor([1], shape: [], dtype: .bf16))
      #expect(message { try writeNPY(folder + "a.npy", tensor) }.contains(".safetensors"))
      #expect(try names(in: folder).isEmpty)
    }
  }

  static let headers: [(header: String, says: String)] = [
    ("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "'<c8', which is not supported"),
    ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "'|O', which is not supported"),
    ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "not the dictionary"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "is truncated: f32 [2] needs 8 bytes"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (), 'more': 1}", "not the dictionary"),
    ("{'descr': '<f4', 'fortran_order': False, 'fortran_order': False, 'shape': ()}", "not the dictionary"),
    ("{'descr': '<f4', 'fortran_order': False}", "not the dictionary"),
    ("{'descr': '<f4', 'fortran_order': 0, 'shape': ()}", "not the dictionary"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "not the dictionary"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "not the dictionary"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2)}", "no array has shape"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, )}", "4 bytes follow the array"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (1", "not the dictionary"),
    ("{'descr': '<f4", "not the dictionary"),
    ("", "not the dictionary"),
  ]

  @Test(arguments: headers.indices) func refusesHostileHeaders(index: Int) throws {
    try withTemporaryFolder { folder in
      let (header, says) = Self.headers[index]
      let prefix: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count), 0]
      try write(prefix + Array(header.utf8) + [0, 0, 0, 0], to: folder + "a.npy")
      let text = message { _ = try NPYFile(path: folder + "a.npy").tensor() }
      #expect(text.contains(says), "\(text)")
    }
  }

  @Test(arguments: [
    ("PK", "not a zip archive"), (String(repeating: " ", count: 100), "not a zip archive"),
    ("PK\u{5}\u{6}" + String(repeating: "\0", count: 6) + "\u{1}\0" + String(repeating: "\0", count: 10), "directory"),
  ]) func refusesWhatIsNoArchive(text: String, says: String) throws {
    try withTemporaryFolder { folder in
      try write(text, to: folder + "a.npz")
      #expect(message { _ = try NPZFile(path: folder + "a.npz") }.contains(says))
    }
  }

  @Test func aFlippedBitFailsTheChecksum() throws {
    try withTemporaryFolder { folder in
      var content = try bytes(of: fixtures + "stored.npz")
      content[170] ^= 1
      try write(content, to: folder + "a.npz")
      let text = message { _ = try NPZFile(path: folder + "a.npz").tensor("f4") }
      #expect(text.contains("'f4.npy' does not match its checksum"))
    }
  }

  @Test func inflatesTheLongestAndTheFarthestMatches() throws {
    var state: UInt32 = 1
    let noise = (0..<300).map { _ in
      state = (state &* 1_103_515_245 &+ 12_345) & 0x7FFF_FFFF
      return Double(state >> 16 & 255)
    }
    let wanted = noise + [Double](repeating: 0, count: 20_000) + noise
    #expect(try NPZFile(path: fixtures + "far.npz").tensor("a") == Tensor(wanted, shape: [20_600], dtype: .u8))
  }

  /// Each damage of one byte or more, as far as it is not the data's own, and what is said of it.
  @Test(arguments: [
    ("packed.npz", "the checksum in the directory", "does not match its checksum"),
    ("packed.npz", "the size in the directory", "promises more bytes than it can hold"),
    ("level0.npz", "the length of a stored block", "a stored block of unclear length"),
  ]) func refusesDamagedMembers(name: String, what: String, says: String) throws {
    try withTemporaryFolder { folder in
      var content = try bytes(of: fixtures + name)
      let mark: [UInt8] = [0x50, 0x4B, 1, 2]
      let directory = try #require(content.indices.first { content[$0...].starts(with: mark) })
      switch what {
      case "the checksum in the directory": content[directory + 16] ^= 1
      case "the size in the directory": content[directory + 27] = 0x7F
      default: content[39] ^= 1
      }
      try write(content, to: folder + "a.npz")
      #expect(message { _ = try NPZFile(path: folder + "a.npz").tensor("f4") }.contains(says))
    }
  }
}
