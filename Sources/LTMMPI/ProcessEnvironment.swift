import CRuntime
import Foundation

/// What a process tells others of itself.
package enum ProcessEnvironment {
  /// The environment's variables.
  package static var all: [String: String] { ProcessInfo.processInfo.environment }

  /// The machine, the process's number and the cores that it may run on, separated by tabs.
  package static var identity: String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    let host = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    var cores = [Int32](repeating: 0, count: 4096)
    let count = max(Int(ltm_cores(&cores, Int32(cores.count))), 0)
    let list = cores.prefix(count).map(String.init).joined(separator: ",")
    return "\(host.replacing("\t", with: " "))\t\(getpid())\t\(list)"
  }
}
