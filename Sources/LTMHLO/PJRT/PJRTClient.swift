internal import CPJRT
import LTMIR

/// A connection to the devices of a plugin.
package final class PJRTClient: @unchecked Sendable {
  let plugin: PJRTPlugin
  /// `tpu`, `cpu`
  package let platform: String
  private let client: OpaquePointer
  private let devices: [OpaquePointer?]

  /// Starts the plugin's runtime with that many devices at least. A processor can be as many devices as are asked for.
  package static func start(_ plugin: PJRTPlugin, devices: Int = 1) throws(PJRTError) -> PJRTClient {
    let client = try PJRTClient(plugin)
    if client.platform == "cpu", client.deviceCount < devices {
      return try PJRTClient(plugin, options: [("cpu_device_count", devices)])
    }
    guard client.deviceCount >= devices else {
      throw PJRTError(
        "starting \(devices) devices",
        "'\(plugin.path)' has \(client.deviceCount) device\(client.deviceCount == 1 ? "" : "s") "
          + "of the platform \(client.platform) for this process")
    }
    return client
  }

  /// Starts the plugin's runtime, with the options of its own that are given.
  package init(_ plugin: PJRTPlugin, options: [(name: String, value: Int)] = []) throws(PJRTError) {
    let action = "starting the devices of '\(plugin.path)'"
    let start = try plugin.function(\.PJRT_Client_Create, action)
    var create = PJRT_Client_Create_Args()
    create.struct_size = MemoryLayout.size(ofValue: create)
    let error = withNamedValues(options) { options in
      create.create_options = options.baseAddress
      create.num_options = options.count
      return start(&create)
    }
    try plugin.check(error, action)
    guard let client = create.client else { throw PJRTError(action, "the plugin gave no client") }
    var name = PJRT_Client_PlatformName_Args()
    name.struct_size = MemoryLayout.size(ofValue: name)
    name.client = client
    try plugin.check(try plugin.function(\.PJRT_Client_PlatformName, action)(&name), action)
    var list = PJRT_Client_AddressableDevices_Args()
    list.struct_size = MemoryLayout.size(ofValue: list)
    list.client = client
    try plugin.check(try plugin.function(\.PJRT_Client_AddressableDevices, action)(&list), action)
    guard list.num_addressable_devices > 0, let first = list.addressable_devices else {
      throw PJRTError(action, "the plugin found no device")
    }
    self.plugin = plugin
    self.client = client
    platform = pjrtString(name.platform_name, name.platform_name_size)
    devices = (0..<list.num_addressable_devices).map { first[$0] }
  }

  deinit {
    var destroy = PJRT_Client_Destroy_Args()
    destroy.struct_size = MemoryLayout.size(ofValue: destroy)
    destroy.client = client
    // A runtime that cannot end leaves nothing to be done.
    try? plugin.check(try plugin.function(\.PJRT_Client_Destroy, "ending")(&destroy), "ending")
  }

  /// The number of devices that this process can use.
  package var deviceCount: Int { devices.count }

  /// Compiles StableHLO text, to run as that many replicas on the first devices.
  package func compile(_ text: String, replicas: Int = 1) throws(PJRTError) -> PJRTProgram {
    let action = "compiling for \(platform)"
    guard (1...deviceCount).contains(replicas) else {
      throw PJRTError(action, "\(replicas) replicas need as many devices, and there are \(deviceCount)")
    }
    let compile = try plugin.function(\.PJRT_Client_Compile, action)
    var arguments = PJRT_Client_Compile_Args()
    arguments.struct_size = MemoryLayout.size(ofValue: arguments)
    arguments.client = client
    let options = compileOptions(replicas: replicas)
    let error = withProgram(text, options) { program, options in
      arguments.program = program
      arguments.compile_options = options.baseAddress
      arguments.compile_options_size = options.count
      return compile(&arguments)
    }
    try plugin.check(error, action)
    guard let executable = arguments.executable else { throw PJRTError(action, "the plugin gave no program") }
    return try PJRTProgram(self, executable, replicas: replicas)
  }

  /// Copies a tensor to a device.
  package func buffer(_ tensor: Tensor, device: Int = 0) throws(PJRTError) -> PJRTBuffer {
    let action = "copying to \(platform)"
    guard devices.indices.contains(device) else { throw PJRTError(action, "there is no device \(device)") }
    let copy = try plugin.function(\.PJRT_Client_BufferFromHostBuffer, action)
    let dims = tensor.shape.map(Int64.init)
    var arguments = PJRT_Client_BufferFromHostBuffer_Args()
    arguments.struct_size = MemoryLayout.size(ofValue: arguments)
    arguments.client = client
    arguments.type = tensor.dtype.pjrtType
    arguments.num_dims = dims.count
    arguments.host_buffer_semantics = PJRT_HostBufferSemantics_kImmutableOnlyDuringCall
    arguments.device = devices[device]
    let error = tensor.withUnsafeBytes { bytes in
      dims.withUnsafeBufferPointer { dims in
        arguments.data = bytes.baseAddress
        arguments.dims = dims.baseAddress
        return copy(&arguments)
      }
    }
    try plugin.check(error, action)
    try plugin.wait(arguments.done_with_host_buffer, action)
    guard let buffer = arguments.buffer else { throw PJRTError(action, "the plugin gave no buffer") }
    return PJRTBuffer(self, buffer)
  }
}

/// Calls `body` with named integers in the form that the C API takes.
private func withNamedValues<R>(
  _ options: [(name: String, value: Int)], _ body: (UnsafeBufferPointer<PJRT_NamedValue>) -> R
) -> R {
  let names = options.map { Array($0.name.utf8) }
  let characters = names.flatMap { $0 }.map { CChar(bitPattern: $0) }
  return characters.withUnsafeBufferPointer { characters in
    var start = 0
    var values: [PJRT_NamedValue] = []
    for (name, option) in zip(names, options) {
      var value = PJRT_NamedValue()
      value.struct_size = MemoryLayout.size(ofValue: value)
      value.name = characters.baseAddress.map { $0 + start }
      value.name_size = name.count
      value.type = PJRT_NamedValue_kInt64
      value.int64_value = Int64(option.value)
      value.value_size = 1
      values.append(value)
      start += name.count
    }
    return values.withUnsafeBufferPointer(body)
  }
}

/// Calls `body` with a program in the form that the C API takes, and with the options.
func withProgram<R>(
  _ text: String, _ options: [UInt8], _ body: (UnsafePointer<PJRT_Program>, UnsafeBufferPointer<CChar>) -> R
) -> R {
  var code = Array(text.utf8CString)
  let count = code.count - 1
  let format = Array("mlir".utf8CString)
  return code.withUnsafeMutableBufferPointer { code in
    format.withUnsafeBufferPointer { format in
      options.map { CChar(bitPattern: $0) }.withUnsafeBufferPointer { options in
        var program = PJRT_Program()
        program.struct_size = MemoryLayout.size(ofValue: program)
        program.code = code.baseAddress
        program.code_size = count
        program.format = format.baseAddress
        program.format_size = format.count - 1
        return body(&program, options)
      }
    }
  }
}

extension DType {
  fileprivate var pjrtType: PJRT_Buffer_Type {
    switch self {
    case .f16: PJRT_Buffer_Type_F16
    case .bf16: PJRT_Buffer_Type_BF16
    case .f32, .float: PJRT_Buffer_Type_F32
    case .f64: PJRT_Buffer_Type_F64
    case .i32: PJRT_Buffer_Type_S32
    case .i64: PJRT_Buffer_Type_S64
    case .u8: PJRT_Buffer_Type_U8
    case .bool: PJRT_Buffer_Type_PRED
    }
  }
}
