internal import CPJRT
import Glibc
import LTMSupport
import Synchronization

/// A shared library that implements the PJRT C API: libtpu, XLA's CPU compiler, or another. Opened at run time.
package final class PJRTPlugin: @unchecked Sendable {
  /// Where it came from.
  package let path: String
  /// The version of the C API that it speaks.
  package let version: (major: Int, minor: Int)
  /// A table of functions that never changes and that any thread may call.
  private let api: UnsafePointer<PJRT_Api>

  private static let opened = Mutex<[String: PJRTPlugin]>([:])

  /// The plugin at a path. A library is opened once and stays: no plugin can be unloaded.
  package static func open(_ path: String) throws(PJRTError) -> PJRTPlugin {
    try opened.withLock { (opened) throws(PJRTError) in
      if let plugin = opened[path] { return plugin }
      let plugin = try PJRTPlugin(path)
      opened[path] = plugin
      return plugin
    }
  }

  /// Whether the machine has what a TPU's chips are reached through.
  package static var mayHaveTPU: Bool { access("/dev/accel0", F_OK) == 0 || access("/dev/vfio", F_OK) == 0 }

  private init(_ path: String) throws(PJRTError) {
    let action = "opening the PJRT plugin '\(path)'"
    // On a machine without a TPU libtpu would ask a server of Google's cloud, for minutes, what machine it is.
    if !Self.mayHaveTPU { setenv("TPU_SKIP_MDS_QUERY", "1", 0) }
    let library: UnsafeMutableRawPointer
    do throws(SystemLibrary.Refusal) {
      library = try SystemLibrary.open(path)
    } catch {
      throw PJRTError(action, error.reason)
    }
    guard let symbol = dlsym(library, "GetPjrtApi") else {
      throw PJRTError(action, "the library has no function GetPjrtApi, so it is no PJRT plugin")
    }
    typealias GetAPI = @convention(c) () -> UnsafePointer<PJRT_Api>?
    guard let api = unsafeBitCast(symbol, to: GetAPI.self)() else { throw PJRTError(action, "GetPjrtApi gave nothing") }
    let found = api.pointee.pjrt_api_version
    guard found.major_version == PJRT_API_MAJOR else {
      throw PJRTError(
        action, "it speaks version \(found.major_version) of the C API, this is version \(PJRT_API_MAJOR)")
    }
    self.path = path
    self.api = api
    version = (Int(found.major_version), Int(found.minor_version))
    var arguments = PJRT_Plugin_Initialize_Args()
    arguments.struct_size = MemoryLayout.size(ofValue: arguments)
    try check(try function(\.PJRT_Plugin_Initialize, action)(&arguments), action)
  }

  /// A function of the table, which an older plugin may not reach to.
  func function<F>(_ field: KeyPath<PJRT_Api, F?>, _ action: String) throws(PJRTError) -> F {
    let table = UnsafeRawPointer(api)
    let size = table.load(as: Int.self)
    guard let offset = MemoryLayout<PJRT_Api>.offset(of: field), offset + MemoryLayout<F?>.size <= size,
      let function = table.load(fromByteOffset: offset, as: F?.self)
    else {
      throw PJRTError(action, "the plugin, version \(version.major).\(version.minor) of the C API, is too old for this")
    }
    return function
  }

  /// Throws what a function reported, and frees it.
  func check(_ error: OpaquePointer?, _ action: String) throws(PJRTError) {
    guard let error else { return }
    var message = PJRT_Error_Message_Args()
    message.struct_size = MemoryLayout.size(ofValue: message)
    message.error = error
    try function(\.PJRT_Error_Message, action)(&message)
    let text = pjrtString(message.message, message.message_size)
    var destroy = PJRT_Error_Destroy_Args()
    destroy.struct_size = MemoryLayout.size(ofValue: destroy)
    destroy.error = error
    try function(\.PJRT_Error_Destroy, action)(&destroy)
    throw PJRTError(action, text)
  }

  /// Waits for an event and frees it.
  func wait(_ event: OpaquePointer?, _ action: String) throws(PJRTError) {
    guard let event else { return }
    var arguments = PJRT_Event_Await_Args()
    arguments.struct_size = MemoryLayout.size(ofValue: arguments)
    arguments.event = event
    let error = try function(\.PJRT_Event_Await, action)(&arguments)
    var destroy = PJRT_Event_Destroy_Args()
    destroy.struct_size = MemoryLayout.size(ofValue: destroy)
    destroy.event = event
    try check(try function(\.PJRT_Event_Destroy, action)(&destroy), action)
    try check(error, action)
  }
}

/// Characters with a length.
func pjrtString(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
  guard let start else { return "" }
  return String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
}
