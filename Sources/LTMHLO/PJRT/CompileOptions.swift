// `xla.CompileOptionsProto` by hand: the few fields that matter, by their numbers in xla/pjrt/proto/compile_options.proto.

/// The serialized options of a compilation.
func compileOptions(replicas: Int, assignment: [Int]? = nil) -> [UInt8] {
  var options = ProtobufWriter()
  options.message(3) { build in  // executable_build_options
    build.integer(1, -1)  // device_ordinal: any
    build.integer(4, replicas)
    build.integer(5, 1)  // num_partitions
    if let assignment { build.message(9) { $0.deviceAssignment(assignment) } }
  }
  // With the first, on by default, a compiler may drop a cast that narrows; with the second, on by default too, a maximum
  // or minimum on a CPU may drop a NaN.
  for flag in ["xla_allow_excess_precision", "xla_cpu_enable_fast_min_max"] {
    options.message(7) { override in  // env_option_overrides, a map
      override.string(1, flag)
      override.message(2) { $0.integer(2, 0) }  // bool_field
    }
  }
  return options.bytes
}

/// Writes the wire format of protocol buffers.
private struct ProtobufWriter {
  private(set) var bytes: [UInt8] = []

  mutating func integer(_ field: Int, _ value: Int) {
    varint(UInt64(field) << 3)
    varint(UInt64(bitPattern: Int64(value)))
  }

  mutating func string(_ field: Int, _ text: String) { block(field, Array(text.utf8)) }

  mutating func message(_ field: Int, _ body: (inout ProtobufWriter) -> Void) {
    var inner = ProtobufWriter()
    body(&inner)
    block(field, inner.bytes)
  }

  /// A `DeviceAssignmentProto`: one computation, its replicas on those devices.
  mutating func deviceAssignment(_ devices: [Int]) {
    integer(1, devices.count)
    integer(2, 1)
    message(3) { computation in
      var ids = ProtobufWriter()
      for device in devices { ids.varint(UInt64(device)) }
      computation.block(1, ids.bytes)
    }
  }

  private mutating func block(_ field: Int, _ content: [UInt8]) {
    varint(UInt64(field) << 3 | 2)
    varint(UInt64(content.count))
    bytes += content
  }

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
