import Foundation

/// The executables of one entry for arrays of one size: each caller has one to itself, made when as many are in use.
final class ExecutablePool: @unchecked Sendable {
  private let make: @Sendable () throws(LTMError) -> any Executable
  /// Guards all below.
  private let condition = NSCondition()
  /// What the others are siblings of.
  private var first: (any Executable)?
  private var idle: [any Executable] = []
  private var count = 0
  /// Whether there can be no second one.
  private var isSingle = false
  /// More than these are not kept for the next callers.
  private static let mostIdle = max(ProcessInfo.processInfo.activeProcessorCount, 2)

  /// - Parameter make: compiles; called once, unless it throws.
  init(_ make: @escaping @Sendable () throws(LTMError) -> any Executable) { self.make = make }

  /// Compiles, so that the first call does not.
  func prepare() throws(LTMError) { try use { (_) throws(LTMError) in } }

  /// Lets `body` have an executable to itself.
  func use<R>(_ body: (any Executable) throws(LTMError) -> R) throws(LTMError) -> R {
    let executable = try take()
    defer { put(back: executable) }
    return try body(executable)
  }

  /// Bytes of those that there are, as each was allocated: what they have to themselves.
  var memoryBytes: Int {
    condition.lock()
    defer { condition.unlock() }
    return (first?.memory.ofRun ?? 0) * count
  }

  private func take() throws(LTMError) -> any Executable {
    condition.lock()
    defer { condition.unlock() }
    while true {
      if let executable = idle.popLast() { return executable }
      if let executable = try another() {
        count += 1
        return executable
      }
      condition.wait()
    }
  }

  /// One more; `nil` where there can be none.
  private func another() throws(LTMError) -> (any Executable)? {
    guard let first else {
      first = try make()
      return first
    }
    if isSingle { return nil }
    let sibling = try first.sibling()
    isSingle = sibling == nil
    return sibling
  }

  private func put(back executable: any Executable) {
    condition.lock()
    defer { condition.unlock() }
    if idle.count < Self.mostIdle || executable === first { idle.append(executable) } else { count -= 1 }
    condition.broadcast()
  }
}
