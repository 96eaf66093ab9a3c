import Foundation
import LTMIR
import LTMRuntime
import LTMSupport
import Testing

/// Files that `torch.save` wrote (Fixtures/make_torch.py).
@Suite struct TorchTests {
  @Test(arguments: ["state.pt", "state_legacy.pth"]) func readsAStateDict(_ name: String) throws {
    let file = try TorchFile(path: fixtures + name)
    #expect(
      file.names == [
        "fc1.weight", "fc1.bias", "norm.weight", "steps", "mask", "wide", "labels", "pixels", "base", "turned", "part",
        "empty",
      ])
    #expect(try file.tensor("fc1.weight") == Tensor([1.5, -2, 3.25, 0, 1e-3, -65504] as [Float], shape: [2, 3]))
    #expect(try file.tensor("fc1.bias") == Tensor([0.5, -0.25], shape: [2], dtype: .f16))
    #expect(try file.tensor("norm.weight") == Tensor([1, -3e38, 0x1p-100], shape: [3], dtype: .bf16))
    #expect(try file.tensor("steps") == Tensor([0x1p40 + 1], shape: [], dtype: .i64))
    #expect(try file.tensor("mask") == Tensor([1, 0, 1], shape: [3], dtype: .bool))
    #expect(try file.tensor("wide") == Tensor([0.1], shape: [1], dtype: .f64))
    #expect(try file.tensor("labels") == Tensor([7, -7], shape: [2], dtype: .i32))
    #expect(try file.tensor("pixels") == Tensor([0, 255], shape: [1, 2], dtype: .u8))
    let base = (0..<24).map(Double.init)
    #expect(try file.tensor("base") == Tensor(base, shape: [4, 6], dtype: .f32))
    let turned = (0..<24).map { base[$0 % 4 * 6 + $0 / 4] }
    #expect(try file.tensor("turned") == Tensor(turned, shape: [6, 4], dtype: .f32))
    #expect(try file.tensor("part") == Tensor([7, 9, 11, 13, 15, 17], shape: [2, 3], dtype: .f32))
    #expect(try file.tensor("empty").shape == [0, 3])
    #expect(file.warnings.isEmpty)
  }

  @Test func findsTheStateDictOfACheckpoint() throws {
    let path = fixtures + "checkpoint.ckpt"
    let file = try TorchFile(path: path)
    #expect(file.names == ["weight", "bias"])
    #expect(try file.tensor("weight") == Tensor([1, 2, 3, 4], shape: [2, 2], dtype: .f32))
    let other = try TorchFile(path: path, key: "ema")
    #expect(try other.tensor("weight") == Tensor([9, 9, 9, 9], shape: [2, 2], dtype: .f32))
    let text = message { _ = try TorchFile(path: path, key: "emma") }
    #expect(text.contains("holds nothing that is called 'emma'") && text.contains("epoch, optimizer, state_dict, ema"))
    #expect(message { _ = try TorchFile(path: path, key: "epoch") }.contains("holds no tensor below 'epoch'"))
  }

  @Test func readsAWholeModule() throws {
    let file = try TorchFile(path: fixtures + "module.pt")
    #expect(
      file.names == [
        "first.weight", "first.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
        "norm.num_batches_tracked",
      ])
    #expect(try file.tensor("first.bias") == Tensor([5, 6], shape: [2], dtype: .f32))
  }

  @Test func callsNothing() throws {
    let file = try TorchFile(path: fixtures + "calls.pt")
    #expect(file.names == ["weight"])
    let warning = try #require(file.warnings.first)
    #expect(warning.message.contains("would have Python call 'posix.system'"))
    #expect(!FileManager.default.fileExists(atPath: "called"))
  }

  @Test func namesWhatItCannotHold() throws {
    let file = try TorchFile(path: fixtures + "small_integers.pt")
    #expect(try file.tensor("weight").shape == [1])
    #expect(message { _ = try file.tensor("small") }.contains("'small' is of PyTorch's type Char"))
    #expect(message { _ = try file.tensor("large") }.contains("holds no tensor 'large'"))
  }

  /// Pickles made by hand, and what the user reads of each.
  private static let hostile: [(bytes: [UInt8], says: String)] = [
    ([], "is no file that torch.save wrote"), (Array("hello".utf8), "is no file that torch.save wrote"),
    ([0x80, 2, 0x4E, 0x2E], "none that torch.save wrote"), ([0x80, 2, 0x2E], "its stack is empty"),
    ([0x80, 2, 0xFF], "no instruction"), ([0x80, 2, 0x74], "no mark"), ([0x80, 2, 0x68, 7], "not remembered"),
    ([0x80, 2, 0x4E, 0x61], "its stack is empty"),
    ([0x80, 2, 0x58, 0xFF, 0xFF, 0xFF, 0x7F], "is truncated"),
    ([0x80, 2, 0x8D] + [UInt8](repeating: 0xFF, count: 8), "too large"),
    ([0x80, 2, 0x8D] + [UInt8](repeating: 0xFF, count: 7) + [0x7F], "is truncated"),
    ([0x80, 2] + [UInt8](repeating: 0x28, count: 200_000), "is truncated"),
  ]

  @Test(arguments: hostile.indices) func refusesHostilePickles(_ index: Int) throws {
    try withTemporaryFolder { folder in
      let (bytes, says) = Self.hostile[index]
      try write(bytes, to: folder + "a.pt")
      let text = message { _ = try TorchFile(path: folder + "a.pt") }
      #expect(text.contains(says), "\(text)")
    }
  }

  /// The content of a legacy file around a pickle: magic number, version, facts, and no storage.
  private func legacy(_ content: [UInt8]) -> [UInt8] {
    let magic: [UInt8] = [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]
    let (version, facts): ([UInt8], [UInt8]) = ([0x80, 2, 0x4D, 0xE9, 3, 0x2E], [0x80, 2, 0x7D, 0x2E])
    return magic + version + facts + [0x80, 2] + content + [0x2E] + [0x80, 2, 0x5D, 0x2E]
  }

  @Test func endsWithDeepAndSharedContainers() throws {
    try withTemporaryFolder { folder in
      // A list in a list in a list.
      let deep = [UInt8](repeating: 0x5D, count: 300_000) + [UInt8](repeating: 0x61, count: 299_999)
      try write(legacy(deep), to: folder + "deep.pt")
      #expect(message { _ = try TorchFile(path: folder + "deep.pt") }.contains("too deeply"))
      // Each tuple holds the one before twice: 2^60 of the first.
      let shared = [UInt8]([0x29]) + (0..<60).flatMap { _ in [0x32, 0x86] as [UInt8] }
      try write(legacy(shared), to: folder + "shared.pt")
      #expect(message { _ = try TorchFile(path: folder + "shared.pt") }.contains("without end"))
      // A list that holds itself.
      try write(legacy([0x5D, 0x71, 0, 0x68, 0, 0x61]), to: folder + "cycle.pt")
      #expect(message { _ = try TorchFile(path: folder + "cycle.pt") }.contains("without end"))
    }
  }

  /// `_rebuild_tensor_v2` of a storage of four numbers with a shape and strides.
  private func view(offset: UInt8, shape: [UInt8], strides: [UInt8]) -> [UInt8] {
    func text(_ text: String) -> [UInt8] { [0x58, UInt8(text.utf8.count), 0, 0, 0] + Array(text.utf8) }
    func tuple(_ numbers: [UInt8]) -> [UInt8] { [0x28] + numbers.flatMap { [0x4B, $0] } + [0x74] }
    let storage =
      [0x28] + text("storage") + Array("ctorch\nFloatStorage\n".utf8) + text("0") + text("cpu") + [0x4B, 4, 0x74, 0x51]
    return [0x7D] + text("w") + Array("ctorch._utils\n_rebuild_tensor_v2\n".utf8) + [0x28] + storage + [0x4B, offset]
      + tuple(shape) + tuple(strides) + [0x89, 0x4E, 0x74, 0x52, 0x73]
  }

  /// Numbers of which no product fits.
  @Test func refusesStoragesLargerThanAnyMemory() throws {
    try withTemporaryFolder { folder in
      let huge: [UInt8] = [0x8A, 8, 0, 0, 0, 0, 0, 0, 0, 0x40]
      var bytes = view(offset: 7, shape: [1], strides: [1])
      for mark in [[0x4B, 7], [0x4B, 4]] as [[UInt8]] {
        let place = try #require(bytes.firstRange(of: mark))
        bytes.replaceSubrange(
          place, with: mark == [0x4B, 4] ? [0x8A, 8] + [UInt8](repeating: 0xFF, count: 7) + [0x7F] : huge)
      }
      try write(legacy(bytes), to: folder + "a.pt")
      #expect(message { _ = try TorchFile(path: folder + "a.pt").tensor("w") }.contains("reads beyond"))
    }
  }

  @Test func refusesViewsBeyondTheirStorage() throws {
    try withTemporaryFolder { folder in
      for (offset, shape, strides) in [(1, [4], [1]), (0, [2, 2], [1, 3]), (0, [255, 255, 255], [0, 0, 0])]
        as [(UInt8, [UInt8], [UInt8])]
      {
        try write(legacy(view(offset: offset, shape: shape, strides: strides)), to: folder + "a.pt")
        let text = message { _ = try TorchFile(path: folder + "a.pt").tensor("w") }
        #expect(text.contains("reads beyond the 4 numbers"), "\(text)")
      }
      try write(legacy(view(offset: 0, shape: [4], strides: [1])), to: folder + "a.pt")
      #expect(message { _ = try TorchFile(path: folder + "a.pt").tensor("w") }.contains("lacks the storage of 'w'"))
    }
  }
}
