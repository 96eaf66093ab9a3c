internal import CPJRT

/// Bytes of device memory that a compiled program needs.
package struct PJRTMemory: Sendable, Hashable {
  /// Code.
  package let code: Int
  /// Arguments.
  package let arguments: Int
  /// Results, those that take over an argument's buffer included.
  package let results: Int
  /// What of the results lies in the buffers of arguments.
  package let aliased: Int
  /// Everything between.
  package let temporaries: Int
}

extension PJRTPlugin {
  /// What a compiled program says of its memory.
  func memory(of executable: OpaquePointer?, _ action: String) throws(PJRTError) -> PJRTMemory {
    var stats = PJRT_Executable_GetCompiledMemoryStats_Args()
    stats.struct_size = MemoryLayout.size(ofValue: stats)
    stats.executable = executable
    try check(try function(\.PJRT_Executable_GetCompiledMemoryStats, action)(&stats), action)
    return PJRTMemory(
      code: Int(stats.generated_code_size_in_bytes), arguments: Int(stats.argument_size_in_bytes),
      results: Int(stats.output_size_in_bytes), aliased: Int(stats.alias_size_in_bytes),
      temporaries: Int(stats.temp_size_in_bytes))
  }

  /// What a compiled program says of its cost, by the plugin's own names, in their order.
  func cost(of executable: OpaquePointer?, _ action: String) throws(PJRTError) -> [(name: String, value: Double)] {
    var analysis = PJRT_Executable_GetCostAnalysis_Args()
    analysis.struct_size = MemoryLayout.size(ofValue: analysis)
    analysis.executable = executable
    try check(try function(\.PJRT_Executable_GetCostAnalysis, action)(&analysis), action)
    guard let properties = analysis.properties else { return [] }
    return (0..<analysis.num_properties).compactMap { index in
      let property = properties[index]
      let value: Double? =
        switch property.type {
        case PJRT_NamedValue_kFloat: Double(property.float_value)
        case PJRT_NamedValue_kInt64: Double(property.int64_value)
        default: nil
        }
      return value.map { (pjrtString(property.name, property.name_size), $0) }
    }.sorted { $0.name < $1.name }
  }

  /// Frees a compiled program that is not loaded.
  func destroy(executable: OpaquePointer?, _ action: String) throws(PJRTError) {
    var destroy = PJRT_Executable_Destroy_Args()
    destroy.struct_size = MemoryLayout.size(ofValue: destroy)
    destroy.executable = executable
    try check(try function(\.PJRT_Executable_Destroy, action)(&destroy), action)
  }
}
