internal import CLLVM
import Glibc
import Synchronization

/// What `LTM_DEBUG=1` asks for: compiled kernels carry their names and line tables, gdb and perf are told of them, and
/// `/tmp/perf-PID.map`, which perf reads without further steps, lists them.
package final class DebugSession: Sendable {
  /// What relative paths of source places start from.
  let folder: String
  private let map: Mutex<Int32>

  /// The session that the environment asks for.
  package static let requested: DebugSession? = {
    guard let value = getenv("LTM_DEBUG"), value.pointee != 0, String(cString: value) != "0" else { return nil }
    return DebugSession(map: "/tmp/perf-\(getpid()).map")
  }()

  /// - Parameter map: where to list the code; nowhere, if that cannot be written.
  package init(map path: String) {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    folder = getcwd(&buffer, buffer.count).map { String(cString: $0) } ?? "."
    // A process of this number may have left its own; what someone else left there, and a device, is not written to.
    var status = stat()
    if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid() { unlink(path) }
    map = Mutex(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600))
  }

  deinit { map.withLock { if $0 >= 0 { close($0) } } }

  /// Lists the functions of an object, one of which lies at `address`.
  func add(_ object: [UInt8], symbol: String, at address: UInt) {
    let functions = Self.functions(of: object)
    guard let known = functions.first(where: { $0.name == symbol }) else { return }
    let lines = functions.map { function in
      let start = address &+ function.start &- known.start
      return "\(String(start, radix: 16)) \(String(function.size, radix: 16)) \(function.name)\n"
    }
    let text = Array(lines.joined().utf8)
    map.withLock { descriptor in
      // A list that cannot be written is no reason not to compute.
      if descriptor >= 0 { _ = write(descriptor, text, text.count) }
    }
  }

  /// The symbols of an object that have a size, by their places in its code.
  private static func functions(of object: [UInt8]) -> [(name: String, start: UInt, size: UInt)] {
    let buffer = object.withUnsafeBytes { LLVMCreateMemoryBufferWithMemoryRangeCopy($0.baseAddress, $0.count, "") }
    defer { LLVMDisposeMemoryBuffer(buffer) }
    var message: UnsafeMutablePointer<CChar>?
    guard let binary = LLVMCreateBinary(buffer, nil, &message) else {
      _ = takeMessage(message)
      return []
    }
    defer { LLVMDisposeBinary(binary) }
    let symbols = LLVMObjectFileCopySymbolIterator(binary)
    defer { LLVMDisposeSymbolIterator(symbols) }
    var found: [(String, UInt, UInt)] = []
    while LLVMObjectFileIsSymbolIteratorAtEnd(binary, symbols) == 0 {
      let size = LLVMGetSymbolSize(symbols)
      if size > 0, let name = LLVMGetSymbolName(symbols) {
        found.append((String(cString: name), UInt(LLVMGetSymbolAddress(symbols)), UInt(size)))
      }
      LLVMMoveToNextSymbol(symbols)
    }
    return found
  }
}
