import Foundation
import LTM
import TestSupport
import Testing

/// What SECURITY.md promises of the code that runs.
@Suite struct SecurityTests {
  private static let digits = Command.root + "/samples/digits.ltm"

  /// A folder with a file for each name that is opened or run by default; to open or run one leaves its mark.
  private func trap() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for name in ["libtpu.so", "libcuda.so.1"] { try folder.write(name, "no library, but opened") }
    try folder.write("ptxas", "#!/bin/sh\ntouch '\(folder.file("ran"))'\n")
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder.file("ptxas"))
    return folder
  }

  /// What the loader says of a file that it opened.
  private func wasOpened(_ text: String, _ name: String) -> Bool {
    text.split(separator: "\n").contains {
      $0.contains(name) && ($0.contains("invalid ELF header") || $0.contains("file too short"))
    }
  }

  @Test(
    "A default name is not that of a file in the current folder",
    arguments: ["", "export LD_LIBRARY_PATH=.", "export LD_LIBRARY_PATH=:", "export LD_LIBRARY_PATH=./:/nowhere"],
    ["", "export TPU_LIBRARY_PATH=libtpu.so LTM_CUDA_DRIVER=libcuda.so.1", "export TPU_LIBRARY_PATH= LTM_CUDA_DRIVER="])
  func defaultNames(search: String, names: String) throws {
    let folder = try trap()
    let shell = [search, names, "true"].filter { !$0.isEmpty }.joined(separator: "; ")
    let devices = try Command(["devices"], in: folder.path, shell: shell)
    #expect(devices.status == 0)
    for name in ["libtpu.so", "libcuda.so.1"] { #expect(!wasOpened(devices.output, name), "\(devices.output)") }
    let train = try Command(["train", Self.digits, "--target", "tpu"], in: folder.path, shell: shell)
    #expect(train.status == 1 && !wasOpened(train.errors, "libtpu.so"), "\(train.errors)")
  }

  @Test("A path is one with a slash")
  func paths() throws {
    let folder = try trap()
    for (name, isOpened) in [("libtpu.so", false), ("./libtpu.so", true), (folder.file("libtpu.so"), true)] {
      let devices = try Command(["devices", "--pjrt-plugin", name], in: folder.path)
      #expect(wasOpened(devices.output, "libtpu.so") == isOpened, "\(devices.output)")
      let set = try Command(["devices"], in: folder.path, shell: "export TPU_LIBRARY_PATH='\(name)'")
      #expect(wasOpened(set.output, "libtpu.so") == isOpened, "\(set.output)")
    }
    let bare = try Command(["devices", "--pjrt-plugin", "libtpu.so"], in: folder.path)
    #expect(bare.output.contains("./libtpu.so"), "\(bare.output)")
    let empty = try Command(["devices", "--pjrt-plugin", ""], in: folder.path)
    #expect(empty.output.contains("is not the name of a library"), "\(empty.output)")
  }

  @Test(
    "ptxas is not run from the current folder",
    arguments: [".:$PATH", ":$PATH", "$PATH:", "./:$PATH", "$PATH"], ["", "ptxas"])
  func programs(path: String, name: String) throws {
    let folder = try trap()
    let output = folder.file("o.cubin")
    _ = try Command(
      ["compile", Self.digits, "--target", "cuda", "--emit", "cubin", "-o", output], in: folder.path,
      shell: "export PATH=\"\(path)\" LTM_PTXAS=\(name)")
    #expect(!FileManager.default.fileExists(atPath: folder.file("ran")))
    _ = try Command(
      ["compile", Self.digits, "--target", "cuda", "--emit", "cubin", "-o", output], in: folder.path,
      shell: "export LTM_PTXAS=./ptxas")
    #expect(FileManager.default.fileExists(atPath: folder.file("ran")))
  }

  @Test("A cache that others may write to is not used; one note says so, and none with --json or --quiet")
  func cache() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("cache")
    let shell = "export LTM_CACHE='\(path)'"
    let train = ["train", Self.digits, "--max-steps", "1", "--precision", "16"]
    #expect(try Command(train, shell: "umask 000; \(shell)").errors.contains("warning: the cache") == false)
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    #expect(attributes[.posixPermissions] as? Int == 0o700)
    let files = try FileManager.default.contentsOfDirectory(atPath: path)
    #expect(!files.isEmpty)
    for file in files { try Data("spoiled".utf8).write(to: URL(filePath: "\(path)/\(file)")) }

    try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: path)
    let noted = try Command(train, shell: shell)
    #expect(noted.status == 0)
    #expect(noted.errors.components(separatedBy: "warning: the cache of machine code is not used").count == 2)
    #expect(noted.errors.contains(path) && noted.errors.contains("LTM_CACHE"))
    for flag in ["--json", "--quiet"] { #expect(try Command(train + [flag], shell: shell).errors.isEmpty) }
    let left = try files.map { try String(contentsOfFile: "\(path)/\($0)", encoding: .utf8) }
    #expect(left.allSatisfy { $0 == "spoiled" })

    try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: path)
    for file in files {
      try FileManager.default.setAttributes([.posixPermissions: 0o666], ofItemAtPath: "\(path)/\(file)")
    }
    let entries = try Command(train, shell: shell)
    #expect(entries.status == 0)
    #expect(entries.errors.components(separatedBy: "warning: a file in the cache").count == 2, "\(entries.errors)")
    #expect(try Command(train, shell: shell).errors.contains("warning: ") == false)
  }

  @Test("A model, its imports and its data are read, and nothing is written that no flag names")
  func reading() throws {
    let folder = try TemporaryFolder()
    try folder.write(
      "net.ltm",
      "layer Net() {\n  let fc = Linear(2, 2)\n  func call(x: [B, 2]) -> [B, 2] {\n    return fc(x)\n  }\n}\n")
    try folder.write("x.csv", "x0,x1,label\n1,2,0\n3,4,1\n")
    try folder.write(
      "m.ltm",
      """
      import "net.ltm"

      model M() {
        let net = Net()
        func loss(x: [B, 2], label: i32[B]) -> [] {
          return cross_entropy(net(x), label)
        }
      }

      train M {
        minimize  loss
        data      "x.csv"
        optimizer SGD(lr: 0.1)
        batch     2
      }

      """)
    let before = try contents(folder)
    let commands = [
      ["check", "m.ltm"], ["fmt", "--check", "m.ltm"], ["explain", "m.ltm"], ["train", "m.ltm"],
      ["compile", "m.ltm", "--emit", "kernels"], ["profile", "m.ltm", "--step", "--runs", "1"],
    ]
    for command in commands {
      let run = try Command(command, in: folder.path, shell: "export LTM_CACHE=off")
      #expect(run.status == 0, "\(command): \(run.errors)")
    }
    #expect(try contents(folder) == before)
  }

  private func contents(_ folder: TemporaryFolder) throws -> [String: String] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    return try Dictionary(
      uniqueKeysWithValues: names.map { ($0, try String(contentsOfFile: folder.file($0), encoding: .utf8)) })
  }

  @Test("The version names the commit, or says that it is not known")
  func version() throws {
    let version = try Command(["--version"])
    #expect(version.status == 0)
    #expect(version.output == "\(LTMVersion.text)\n")
    #expect(version.output.wholeMatch(of: /0\.1\.0 \((unknown commit|commit [0-9a-f]{12})\)\n/) != nil)
    let changes = try String(contentsOfFile: Command.root + "/CHANGELOG.md", encoding: .utf8)
    #expect(changes.contains("\n## \(LTMVersion.current) ("))
  }
}
