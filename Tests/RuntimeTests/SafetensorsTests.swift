import Foundation
import LTMIR
import LTMRuntime
import LTMSupport
import Testing

@Suite struct SafetensorsTests {
  @Test func readsWhatTorchWrote() throws {
    let checkpoint = try Checkpoint(path: fixtures + "torch.safetensors")
    #expect(checkpoint.metadata == ["format": "pt"])
    #expect(checkpoint.tensors.count == 8)
    let weight = try #require(checkpoint["fc1.weight"])
    #expect(weight.shape == [2, 3])
    #expect(weight == Tensor([1.5, -2, 3.25, 0, 1e-3, -65504] as [Float], shape: [2, 3]))
    #expect(checkpoint["fc1.bias"] == Tensor([0.5, -0.25], shape: [2], dtype: .f16))
    #expect(checkpoint["norm.weight"] == Tensor([1, -3e38, 0x1p-100], shape: [3], dtype: .bf16))
    #expect(checkpoint["steps"] == Tensor([0x1p40 + 1], shape: [], dtype: .i64))
    #expect(checkpoint["mask"] == Tensor([1, 0, 1], shape: [3], dtype: .bool))
    #expect(checkpoint["wide"] == Tensor([0.1], shape: [1], dtype: .f64))
    #expect(checkpoint["labels"] == Tensor([7, -7], shape: [2], dtype: .i32))
    #expect(checkpoint["pixels"] == Tensor([0, 255], shape: [1, 2], dtype: .u8))
  }

  @Test func whatIsSavedComesBack() throws {
    try withTemporaryFolder { folder in
      let saved = try sample()
      try saved.save(path: folder + "a.safetensors")
      let loaded = try Checkpoint(path: folder + "a.safetensors")
      #expect(loaded.tensors.map(\.name) == saved.tensors.map(\.name))
      #expect(loaded.tensors.map(\.tensor) == saved.tensors.map(\.tensor))
      #expect(loaded.metadata == saved.metadata)
      #expect(try names(in: folder) == ["a.safetensors"])
      // The same content is the same file, and each tensor is aligned for its dtype.
      try saved.save(path: folder + "b.safetensors")
      let content = try bytes(of: folder + "a.safetensors")
      #expect(try content == bytes(of: folder + "b.safetensors"))
      #expect(content[0] % 8 == 0)
    }
  }

  @Test func eachTensorIsAlignedForItsDType() throws {
    try withTemporaryFolder { folder in
      try sample().save(path: folder + "a.safetensors")
      let content = try bytes(of: folder + "a.safetensors")
      let length = (0..<8).reduce(0) { $0 | Int(content[$1]) << (8 * $1) }
      #expect(length % 8 == 0)
      let header = try JSON(parsing: Array(content[8..<8 + length]))
      for (name, tensor) in try Checkpoint(path: folder + "a.safetensors").tensors {
        let start = try #require(header[name]?["data_offsets"]?[0]?.intValue)
        #expect(start % tensor.dtype.byteCount == 0, "\(name) begins at \(start)")
      }
    }
  }

  private func sample() throws -> Checkpoint {
    var tensors: [(name: String, tensor: Tensor)] = []
    for (index, dtype) in DType.allCases.enumerated() where dtype != .float {
      tensors.append(("layers.\(index).\"é\n\(dtype)", try #require(Tensor([1, 0, 1], shape: [3, 1], dtype: dtype))))
    }
    tensors.append(("scalar", try #require(Tensor([3.5] as [Float], shape: []))))
    tensors.append(("empty", try #require(Tensor(zeros: [0, 4], dtype: .f16))))
    return Checkpoint(tensors: tensors, metadata: ["step": "12", "seed": "\"7\""])
  }

  @Test func anEmptyCheckpointIsAFile() throws {
    try withTemporaryFolder { folder in
      try Checkpoint(tensors: []).save(path: folder + "a.safetensors")
      #expect(try Checkpoint(path: folder + "a.safetensors").tensors.isEmpty)
    }
  }

  @Test func twoTensorsOfOneNameAreRefused() throws {
    try withTemporaryFolder { folder in
      let tensor = try #require(Tensor([1] as [Float], shape: []))
      let text = message {
        try Checkpoint(tensors: [("w", tensor), ("w", tensor)]).save(path: folder + "a.safetensors")
      }
      #expect(text.contains("two tensors would be called 'w'"))
      #expect(try names(in: folder).isEmpty)
    }
  }

  static let hostile: [(bytes: [UInt8], says: String)] = [
    ([], "not a safetensors file"),
    ([1, 2, 3], "not a safetensors file"),
    ([UInt8](repeating: 0xFF, count: 16), "not a safetensors file"),
    ([0, 0, 0, 0, 0, 0, 0, 0x80] + [0x7B, 0x7D], "not a safetensors file"),
    ([200, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8), "truncated"),
    (safetensors("[]"), "not a JSON object"),
    (safetensors("{"), "damaged header"),
    (safetensors(#"{"a":1}"#), "'a' has no dtype"),
    (
      safetensors(#"{"a":{"dtype":"F8_E4M3","shape":[],"data_offsets":[0,1]}}"#, data: 1),
      "F8_E4M3, which is not supported"
    ),
    (safetensors(#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, data: 4), "no shape"),
    (safetensors(#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#, data: 4), "no shape"),
    (safetensors(#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#), "no shape"),
    (safetensors(#"{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}"#), "no shape"),
    (safetensors(#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, data: 4), "data_offsets"),
    (safetensors(#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#, data: 4), "data_offsets"),
    (
      safetensors(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, data: 4),
      "8 bytes, but its data_offsets hold 4"
    ),
    (
      safetensors(#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[9223372036854775803,9223372036854775807]}}"#),
      "belong to no"
    ),
    (safetensors(#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, data: 3), "is truncated"),
    (safetensors(#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, data: 5), "1 bytes behind the last"),
    (
      safetensors(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, data: 2),
      "bytes 0 to 1, before 'a', belong to no"
    ),
    (
      safetensors(
        #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
        data: 3), "'b' overlaps"
    ),
    (
      safetensors(
        #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#,
        data: 2), "occurs twice"
    ),
    (safetensors(#"{"__metadata__":{"a":1}}"#), "is not a text"),
    (safetensors(#"{"__metadata__":[]}"#), "__metadata__ is not an object"),
    (safetensors(String(repeating: "{\"a\":", count: 10_000)), "nested deeper"),
  ]

  @Test(arguments: hostile.indices) func refusesHostileFiles(index: Int) throws {
    try withTemporaryFolder { folder in
      let (bytes, says) = Self.hostile[index]
      try write(bytes, to: folder + "bad.safetensors")
      let text = message { _ = try Checkpoint(path: folder + "bad.safetensors") }
      #expect(text.contains(says), "\(text)")
      #expect(text.hasPrefix("error: \(folder)bad.safetensors: "))
    }
  }

  @Test func boolsAreZeroOrOne() throws {
    try withTemporaryFolder { folder in
      let header = #"{"m":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#
      try write(safetensors(header) + [1, 2], to: folder + "a.safetensors")
      #expect(message { _ = try Checkpoint(path: folder + "a.safetensors") }.contains("element 1 is 2"))
    }
  }

  @Test func namesInMessagesAreHarmless() throws {
    try withTemporaryFolder { folder in
      let name = "\\u001b[31m" + String(repeating: "x", count: 5000)
      try write(safetensors("{\"\(name)\":1}"), to: folder + "a.safetensors")
      let text = message { _ = try Checkpoint(path: folder + "a.safetensors") }
      #expect(!text.contains("\u{1B}"))
      #expect(text.utf8.count < 1000)
    }
  }
}

@Suite struct UnreadableFileTests {
  @Test(arguments: ["safetensors", "npz", "npy", "csv"]) func isNamedInTheMessage(ending: String) throws {
    try withTemporaryFolder { folder in
      let path = folder + "data." + ending
      func load() throws { _ = try Dataset(path: path, fields: [DataField(parameter: "x", key: "x")]) }
      #expect(message(load).hasPrefix("error: \(path): no such file"))
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
      #expect(message(load).hasPrefix("error: \(path): is a directory"))
      try FileManager.default.removeItem(atPath: path)
      try write("", to: path)
      #expect(message(load).hasPrefix("error: \(path): is"))
      try FileManager.default.removeItem(atPath: path)
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/dev/zero")
      #expect(message(load).contains("is not a regular file"))
    }
  }

  @Test func anUnknownEndingNamesTheKnownOnes() {
    #expect(message { _ = try openTensors("a.dat") }.contains(".safetensors, .npz, .npy and PyTorch's .pt"))
    #expect(message { _ = try openTensors("") }.contains("no known ending"))
    #expect(message { _ = try openTensors("a\0b.npy") }.contains("no such file"))
  }

  @Test func aMissingTensorNamesThoseThereAre() throws {
    let file = try openTensors(fixtures + "torch.safetensors")
    #expect(message { _ = try file.tensor("fc1.wieght") }.contains("'fc1.wieght'"))
    #expect(message { _ = try file.tensor("fc1.wieght") }.contains("fc1.weight"))
  }
}
