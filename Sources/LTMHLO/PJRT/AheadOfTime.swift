internal import CPJRT
import Glibc

/// A program compiled for devices that are elsewhere, and what its compiler says of it.
package struct AheadOfTimeProgram: Sendable {
  /// `TPU v5 lite`
  package let deviceKind: String
  /// The number of devices of the topology.
  package let deviceCount: Int
  /// How many of them the program runs on.
  package let replicas: Int
  /// Bytes of device memory.
  package let memory: PJRTMemory
  /// The compiler's cost analysis, by its own names; empty where it gives none.
  package let cost: [(name: String, value: Double)]
  /// The program, for a machine that has the devices.
  package let serialized: [UInt8]
}

extension PJRTPlugin {
  /// The plugin at a path, for compiling without a device: libtpu then asks no server what machine it is on.
  package static func openForCompiling(_ path: String) throws(PJRTError) -> PJRTPlugin {
    for (name, value) in [
      ("TPU_SKIP_MDS_QUERY", "1"), ("TPU_WORKER_HOSTNAMES", "localhost"), ("TPU_WORKER_ID", "0"),
      ("TPU_ACCELERATOR_TYPE", "v5litepod-4"),
    ] { setenv(name, value, 0) }
    return try open(path)
  }

  /// Compiles StableHLO text for a topology by name, such as `v5e:2x2`, with no device at hand. A text that the plugin's
  /// compiler cannot take may end the process, so nothing should be half written when this is called.
  package func compile(_ text: String, topology name: String, replicas: Int = 1) throws(PJRTError) -> AheadOfTimeProgram
  {
    let action = "compiling for \(name)"
    let topology = try topology(name, action)
    defer { destroy(topology) }
    let (kind, count) = try devices(of: topology, action)
    guard (1...max(count, 1)).contains(replicas) else {
      throw PJRTError(action, "\(replicas) replicas need as many devices, and the topology has \(count)")
    }
    let compile = try function(\.PJRT_Compile, action)
    var arguments = PJRT_Compile_Args()
    arguments.struct_size = MemoryLayout.size(ofValue: arguments)
    arguments.topology = topology
    let error = withProgram(text, compileOptions(replicas: replicas, assignment: Array(0..<replicas))) {
      arguments.program = $0
      arguments.compile_options = $1.baseAddress
      arguments.compile_options_size = $1.count
      return compile(&arguments)
    }
    try check(error, action)
    let executable = arguments.executable
    defer { try? destroy(executable: executable, action) }
    return AheadOfTimeProgram(
      deviceKind: kind, deviceCount: count, replicas: replicas, memory: try memory(of: executable, action),
      cost: (try? cost(of: executable, action)) ?? [], serialized: try serialized(executable, action))
  }

  private func topology(_ name: String, _ action: String) throws(PJRTError) -> OpaquePointer? {
    let create = try function(\.PJRT_TopologyDescription_Create, action)
    let text = Array(name.utf8CString)
    var arguments = PJRT_TopologyDescription_Create_Args()
    arguments.struct_size = MemoryLayout.size(ofValue: arguments)
    let error = text.withUnsafeBufferPointer { text in
      arguments.topology_name = text.baseAddress
      arguments.topology_name_size = text.count - 1
      return create(&arguments)
    }
    try check(error, action)
    return arguments.topology
  }

  private func devices(of topology: OpaquePointer?, _ action: String) throws(PJRTError) -> (kind: String, count: Int) {
    var list = PJRT_TopologyDescription_GetDeviceDescriptions_Args()
    list.struct_size = MemoryLayout.size(ofValue: list)
    list.topology = topology
    try check(try function(\.PJRT_TopologyDescription_GetDeviceDescriptions, action)(&list), action)
    guard list.num_descriptions > 0, let first = list.descriptions?[0] else { return ("no device", 0) }
    var kind = PJRT_DeviceDescription_Kind_Args()
    kind.struct_size = MemoryLayout.size(ofValue: kind)
    kind.device_description = first
    try check(try function(\.PJRT_DeviceDescription_Kind, action)(&kind), action)
    return (pjrtString(kind.device_kind, kind.device_kind_size), list.num_descriptions)
  }

  private func serialized(_ executable: OpaquePointer?, _ action: String) throws(PJRTError) -> [UInt8] {
    var arguments = PJRT_Executable_Serialize_Args()
    arguments.struct_size = MemoryLayout.size(ofValue: arguments)
    arguments.executable = executable
    try check(try function(\.PJRT_Executable_Serialize, action)(&arguments), action)
    let bytes = [UInt8](
      UnsafeRawBufferPointer(start: arguments.serialized_bytes, count: arguments.serialized_bytes_size))
    arguments.serialized_executable_deleter?(arguments.serialized_executable)
    return bytes
  }

  private func destroy(_ topology: OpaquePointer?) {
    var arguments = PJRT_TopologyDescription_Destroy_Args()
    arguments.struct_size = MemoryLayout.size(ofValue: arguments)
    arguments.topology = topology
    try? check(try function(\.PJRT_TopologyDescription_Destroy, "freeing")(&arguments), "freeing")
  }
}
