internal import CPJRT
import LTMIR
import Synchronization

/// A compiled program with its place on the devices.
package final class PJRTProgram: @unchecked Sendable {
  private let client: PJRTClient
  private let loaded: OpaquePointer
  /// The number of replicas, one to a device.
  package let replicas: Int
  private let resultCount: Int
  /// What the compiler says of the memory that a run needs; `nil` where the plugin does not tell.
  package let memory: PJRTMemory?

  init(_ client: PJRTClient, _ loaded: OpaquePointer, replicas: Int) throws(PJRTError) {
    self.client = client
    self.loaded = loaded
    self.replicas = replicas
    let (plugin, action) = (client.plugin, "reading what was compiled")
    var get = PJRT_LoadedExecutable_GetExecutable_Args()
    get.struct_size = MemoryLayout.size(ofValue: get)
    get.loaded_executable = loaded
    try plugin.check(try plugin.function(\.PJRT_LoadedExecutable_GetExecutable, action)(&get), action)
    var count = PJRT_Executable_NumOutputs_Args()
    count.struct_size = MemoryLayout.size(ofValue: count)
    count.executable = get.executable
    try plugin.check(try plugin.function(\.PJRT_Executable_NumOutputs, action)(&count), action)
    resultCount = count.num_outputs
    memory = try? plugin.memory(of: get.executable, action)
    try plugin.destroy(executable: get.executable, action)
  }

  deinit {
    var destroy = PJRT_LoadedExecutable_Destroy_Args()
    destroy.struct_size = MemoryLayout.size(ofValue: destroy)
    destroy.executable = loaded
    let (plugin, action) = (client.plugin, "freeing")
    try? plugin.check(try plugin.function(\.PJRT_LoadedExecutable_Destroy, action)(&destroy), action)
  }

  /// Runs every replica on its arguments and waits; gives the results of each.
  ///
  /// An argument whose buffer a result takes over (`tf.aliasing_output`) must not be used again.
  package func run(_ arguments: [[PJRTBuffer]]) throws(PJRTError) -> [[PJRTBuffer]] {
    let run = try start(arguments)
    try run.wait()
    return run.results
  }

  /// Starts every replica on its arguments; the results may be passed on before they are there.
  package func start(_ arguments: [[PJRTBuffer]]) throws(PJRTError) -> PJRTRun {
    let action = "running on \(client.platform)"
    let count = arguments.first?.count ?? 0
    guard arguments.count == replicas, arguments.allSatisfy({ $0.count == count }) else {
      throw PJRTError(action, "\(replicas) lists of arguments of one length are needed")
    }
    let execute = try client.plugin.function(\.PJRT_LoadedExecutable_Execute, action)
    var flat: [OpaquePointer?] = arguments.flatMap { $0.map(\.buffer) }
    var results = [OpaquePointer?](repeating: nil, count: replicas * resultCount)
    var events = [OpaquePointer?](repeating: nil, count: replicas)
    let error = flat.withUnsafeMutableBufferPointer { flat in
      results.withUnsafeMutableBufferPointer { results in
        let inputs = (0..<replicas).map { index in flat.baseAddress.map { UnsafePointer($0 + index * count) } }
        let outputs = (0..<replicas).map { index in results.baseAddress.map { $0 + index * resultCount } }
        return call(execute, inputs, count, outputs, &events)
      }
    }
    let buffers = results.map { $0.map { PJRTBuffer(client, $0) } }
    try client.plugin.check(error, action)
    let run = PJRTRun(client.plugin, action, events)
    run.results = try (0..<replicas).map { (index) throws(PJRTError) in
      let own = buffers[index * resultCount..<(index + 1) * resultCount].compactMap(\.self)
      guard own.count == resultCount else { throw PJRTError(action, "a result is missing") }
      return own
    }
    return run
  }

  /// The number of this launch in the process, never 0. XLA's CPU client lets the replicas meet by it: those of launches that
  /// run at the same time, of two trainers say, would meet each other and end the process.
  private static func nextLaunch() -> Int32 {
    launches.withLock { number in
      number = number == .max ? 1 : number + 1
      return number
    }
  }
  private static let launches = Mutex<Int32>(0)

  private typealias Execute = (UnsafeMutablePointer<PJRT_LoadedExecutable_Execute_Args>?) -> OpaquePointer?

  private func call(
    _ execute: Execute, _ inputs: [UnsafePointer<OpaquePointer?>?], _ count: Int,
    _ outputs: [UnsafeMutablePointer<OpaquePointer?>?], _ events: inout [OpaquePointer?]
  ) -> OpaquePointer? {
    var options = PJRT_ExecuteOptions()
    options.struct_size = MemoryLayout.size(ofValue: options)
    options.launch_id = Self.nextLaunch()
    return inputs.withUnsafeBufferPointer { inputs in
      outputs.withUnsafeBufferPointer { outputs in
        events.withUnsafeMutableBufferPointer { events in
          withUnsafeMutablePointer(to: &options) { options in
            var arguments = PJRT_LoadedExecutable_Execute_Args()
            arguments.struct_size = MemoryLayout.size(ofValue: arguments)
            arguments.executable = loaded
            arguments.options = options
            arguments.argument_lists = inputs.baseAddress
            arguments.num_devices = replicas
            arguments.num_args = count
            arguments.output_lists = outputs.baseAddress
            arguments.device_complete_events = events.baseAddress
            return execute(&arguments)
          }
        }
      }
    }
  }
}

/// A run that the devices may still be at.
package final class PJRTRun {
  /// By replica.
  package fileprivate(set) var results: [[PJRTBuffer]] = []
  private let plugin: PJRTPlugin
  private let action: String
  private var events: [OpaquePointer?]

  fileprivate init(_ plugin: PJRTPlugin, _ action: String, _ events: [OpaquePointer?]) {
    (self.plugin, self.action, self.events) = (plugin, action, events)
  }

  deinit { try? wait() }

  /// Waits until every replica is done.
  package func wait() throws(PJRTError) {
    let events = events
    self.events = []
    var failure: PJRTError?
    for event in events {
      do throws(PJRTError) { try plugin.wait(event, action) } catch { failure = failure ?? error }
    }
    if let failure { throw failure }
  }
}
