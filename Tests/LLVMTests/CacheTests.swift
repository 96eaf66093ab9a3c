import Foundation
import LTMIR
import LTMKernels
import LTMLLVM
import LTMSupport
import Testing

@Suite struct CacheTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("ltm-cache-\(UUID().uuidString)/a/b")
    defer { try? FileManager.default.removeItem(at: folder.deletingLastPathComponent().deletingLastPathComponent()) }
    try body(folder.path)
  }

  /// What a fresh compiler's kernel computes: nine twos.
  private func sum(_ cache: ObjectCache) throws -> [Double] {
    let compiler = try KernelCompiler(cache: cache)
    let kernel = binaryKernel(.add, .f32, 9)
    let compiled = try #require(try compiler.compile([kernel]).first)
    let ones = [Double](repeating: 1, count: 9)
    return try launch(compiled, kernel, [ones, ones, ones], order: .together)[2].doubles
  }

  private func expectSum(_ cache: ObjectCache) throws {
    let result = try sum(cache)
    #expect(result == [Double](repeating: 2, count: 9))
  }

  @Test func anObjectIsReusedAndACorruptOneMadeAgain() throws {
    try withFolder { folder in
      let cache = try #require(ObjectCache(folder: folder))
      try expectSum(cache)
      let name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first)
      let path = folder + "/" + name
      let whole = try Data(contentsOf: URL(fileURLWithPath: path))
      try expectSum(cache)
      var flipped = whole
      flipped[whole.count / 2] ^= 0x40
      for damaged in [Data(), whole.prefix(10), whole.prefix(whole.count - 1), flipped, Data("nonsense".utf8)] {
        try damaged.write(to: URL(fileURLWithPath: path))
        try expectSum(cache)
        let mended = try Data(contentsOf: URL(fileURLWithPath: path))
        #expect(mended == whole)
      }
    }
  }

  @Test func manyWritersLeaveWholeEntries() throws {
    try withFolder { folder in
      let cache = try #require(ObjectCache(folder: folder))
      let bodies = (0..<4).map { [UInt8](repeating: UInt8($0), count: 100_000) }
      DispatchQueue.concurrentPerform(iterations: 64) { index in
        cache.store(bodies[index % 4], for: "key")
        if let found = cache.object(for: "key") { #expect(bodies.contains(found)) }
      }
      #expect(cache.object(for: "key") != nil)
      let files = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(files == ["key.o"])
    }
  }

  @Test func pruningKeepsWhatWasUsedLast() throws {
    try withFolder { folder in
      let cache = try #require(ObjectCache(folder: folder, limit: 25_000))
      for index in 0..<4 {
        cache.store([UInt8](repeating: 1, count: 10_000), for: "key\(index)")
        let date = Date(timeIntervalSince1970: Double(1_000_000 + index))
        try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: "\(folder)/key\(index).o")
      }
      cache.prune()
      #expect((0..<4).map { cache.object(for: "key\($0)") != nil } == [false, false, true, true])
    }
  }

  @Test func pruningRemovesWhatWasNeverFinished() throws {
    try withFolder { folder in
      let cache = try #require(ObjectCache(folder: folder))
      let (left, recent) = (".key.1.2", ".key.3.4")
      for name in [left, recent] { try Data([1]).write(to: URL(fileURLWithPath: "\(folder)/\(name)")) }
      let date = Date(timeIntervalSince1970: 1_000_000)
      try FileManager.default.setAttributes([.modificationDate: date], ofItemAtPath: "\(folder)/\(left)")
      cache.prune()
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [recent])
    }
  }

  @Test func onlyThisUserGetsIn() throws {
    try withFolder { folder in
      let cache = try #require(ObjectCache(folder: folder))
      cache.store([1, 2, 3], for: "key")
      func mode(_ path: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
      }
      #expect(try mode(folder) == 0o700)
      #expect(try mode(folder + "/..") == 0o700)
      #expect(try mode(folder + "/key.o") == 0o600)
    }
  }

  @Test(arguments: [0o777, 0o770, 0o720, 0o702, 0o1777])
  func aFolderThatOthersMayWriteToIsNoCache(mode: Int) throws {
    try withFolder { folder in
      #expect(ObjectCache(folder: folder) != nil)
      try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: folder)
      #expect(ObjectCache(folder: folder) == nil)
      try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder)
      #expect(ObjectCache(folder: folder) != nil)
    }
  }

  @Test func aFolderThatAnyoneMayReplaceIsNoCache() throws {
    try withFolder { folder in
      #expect(ObjectCache(folder: folder) != nil)
      let parent = URL(filePath: folder).deletingLastPathComponent().path
      for (mode, isCache) in [(0o777, false), (0o703, false), (0o1777, true), (0o755, true)] {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: parent)
        #expect((ObjectCache(folder: folder) != nil) == isCache, "\(String(mode, radix: 8))")
      }
    }
  }

  @Test func whatSomeoneElseMayHavePutThereIsNotRead() throws {
    try withFolder { folder in
      let cache = try #require(ObjectCache(folder: folder))
      let path = folder + "/key.o"
      func expectUnread(_ spoil: () throws -> Void) throws {
        cache.store([1, 2, 3], for: "key")
        #expect(cache.object(for: "key") == [1, 2, 3])
        try spoil()
        #expect(cache.object(for: "key") == nil)
      }
      for mode in [0o666, 0o620, 0o602] {
        try expectUnread { try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path) }
      }
      try expectUnread {
        try FileManager.default.moveItem(atPath: path, toPath: folder + "/other")
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: folder + "/other")
      }
      try expectUnread {
        try FileManager.default.removeItem(atPath: path)
        #expect(mkfifo(path, 0o600) == 0)
      }
      if geteuid() == 0 { try expectUnread { #expect(chown(path, 4321, 4321) == 0) } }
      cache.store([4], for: "key")
      #expect(cache.object(for: "key") == [4])
    }
  }

  @Test func anotherUsersFolderIsNoCache() throws {
    try withFolder { folder in
      #expect(ObjectCache(folder: folder) != nil)
      guard geteuid() == 0 else { return }
      #expect(chown(folder, 4321, 4321) == 0)
      #expect(ObjectCache(folder: folder) == nil)
    }
  }

  @Test func codeOfAnotherKeyIsNotTaken() throws {
    try withFolder { folder in
      let cache = try #require(ObjectCache(folder: folder))
      cache.store([1, 2, 3], for: "a")
      try FileManager.default.copyItem(atPath: folder + "/a.o", toPath: folder + "/b.o")
      #expect(cache.object(for: "b") == nil)
    }
  }

  @Test func theKeyTellsCompilersAndMachinesApart() {
    let machines = [TargetProfile.host] + TargetProfile.named
    #expect(Set(machines.map { $0.codeKey }).count == Set(machines.map { [$0.triple, $0.cpu, $0.features] }).count)
    #expect(TargetProfile.host.codeKey.contains(compilerVersion))
  }

  @Test func anUnwritableFolderIsNoCache() {
    #expect(ObjectCache(folder: "/dev/null/cache") == nil)
  }

  @Test func namesAndLocationsAreNoPartOfTheKey() throws {
    try withFolder { folder in
      let cache = try #require(ObjectCache(folder: folder))
      let compiler = try KernelCompiler(cache: cache)
      let kernel = binaryKernel(.add, .f32, 9)
      var renamed = kernel
      renamed.name = "other"
      renamed.buffers[0].name = "left"
      renamed.locations = []
      let changed = binaryKernel(.sub, .f32, 9)
      let compiled = try compiler.compile([kernel, renamed, changed, kernel])
      #expect(compiled.count == 4)
      let files = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(files.count == 2)
    }
  }

  /// Contractions of several shapes need the same three micro-kernels (whole rows, the last, and the first, which packs columns); one that is damaged on disk, or is another function, is
  /// made again, and each compiler's kernels compute the same as one that has no cache.
  @Test func contractionsShareMicroKernels() throws {
    // Tiles have 6, 8 or 12 rows: of both, as many rows are left over.
    let kernels = [(20, 96, 30), (44, 192, 50)].map { linearKernel(m: $0.0, n: $0.1, k: $0.2, dtype: .f32) }
    let data = kernels.map { contents($0) }
    let expected = try zip(kernels, data).map { try launch($0, $1) }
    try withFolder { folder in
      let cache = try #require(ObjectCache(folder: folder))
      func check() throws {
        let compiled = try KernelCompiler(cache: cache).compile(kernels)
        for index in kernels.indices {
          let result = try launch(compiled[index], kernels[index], data[index], order: .oneByOne)
          #expect(result == expected[index])
        }
      }
      try check()
      let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(files.count == 5)
      let whole = try files.map { try Data(contentsOf: URL(fileURLWithPath: folder + "/" + $0)) }
      for (index, file) in files.enumerated() {
        for damaged in [Data("nonsense".utf8), whole[(index + 1) % 5]] {
          try damaged.write(to: URL(fileURLWithPath: folder + "/" + file))
          try check()
          let again = try Data(contentsOf: URL(fileURLWithPath: folder + "/" + file))
          #expect(again == whole[index])
        }
      }
    }
  }

  @Test func keysKeepTheirPartsApart() {
    #expect(ObjectCache.key(["ab", "c"]) != ObjectCache.key(["a", "bc"]))
    #expect(Set((0..<1000).map { ObjectCache.key(["kernel \($0)"]) }).count == 1000)
    #expect(ObjectCache.key(["x"]).count == 64)
  }
}
