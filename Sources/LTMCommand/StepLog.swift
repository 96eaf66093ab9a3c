import Foundation
import LTM

/// One JSON line per step.
final class StepLog {
  private let path: String
  private let descriptor: Int32

  init(path: String, appends: Bool) throws {
    self.path = path
    // Opened, never replaced: the path may be a device or a pipe.
    // What stands behind /dev/stdout may be a file that others write to.
    let keeps = appends || path.hasPrefix("/dev/")
    descriptor = open(path, O_WRONLY | O_CREAT | (keeps ? O_APPEND : 0) | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw Self.unwritable(path, errno) }
    do {
      try Self.requireLog(path)
    } catch {
      close(descriptor)
      throw error
    }
    if !keeps { ftruncate(descriptor, 0) }
  }

  /// Throws what opening it would throw, before anything is compiled, and leaves what is there alone.
  static func check(_ path: String) throws {
    var status = stat()
    if stat(path, &status) == 0 {
      if status.st_mode & S_IFMT == S_IFDIR { throw unwritable(path, EISDIR) }
      if access(path, W_OK) != 0 { throw unwritable(path, errno) }
      try requireLog(path)
    } else {
      let folder = URL(filePath: path).resolvingSymlinksInPath().deletingLastPathComponent().path
      if access(folder, W_OK | X_OK) != 0 { throw unwritable(path, errno) }
    }
  }

  private static func unwritable(_ path: String, _ code: Int32) -> LTMError {
    LTMError(
      "cannot write the log '\(path)': \(String(cString: strerror(code)))",
      notes: ["name a file in a folder that exists and is writable"])
  }

  /// Throws where something else would be lost by writing there: a model, its data or a checkpoint does not begin as JSON lines do.
  private static func requireLog(_ path: String) throws {
    var status = stat()
    guard !path.hasPrefix("/dev/"), stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size > 0
    else { return }
    let begin = try? FileHandle(forReadingFrom: URL(filePath: path)).read(upToCount: 2)
    guard begin.map({ $0 == Data("{\"".utf8) }) ?? true else {
      throw LTMError(
        "'\(path)' is there already, and is no log", notes: ["name another file for the log, or remove it"])
    }
  }

  deinit { close(descriptor) }

  func write(_ record: StepRecord) throws {
    if let reason = writeAll(Array((record.json + "\n").utf8), to: descriptor) {
      throw LTMError("cannot write the log '\(path)': \(reason)")
    }
  }
}
