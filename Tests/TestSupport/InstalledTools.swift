import Foundation

/// What `scripts/tools.sh` installs into `.build/tools`.
package enum InstalledTools {
  /// The environment.
  package static let folder = root.appending(path: ".build/tools")

  /// XLA's CPU compiler as a PJRT plugin.
  package static let cpuPlugin: String? = find("xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so")
  /// The TPU's compiler.
  package static let tpuPlugin: String? = find("libtpu/libtpu.so")

  /// A file of an installed package.
  package static func find(_ path: String) -> String? {
    let libraries = folder.appending(path: "lib")
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: libraries.path)) ?? []
    return versions.map { libraries.appending(path: "\($0)/site-packages/\(path)").path }
      .first { FileManager.default.fileExists(atPath: $0) }
  }
}
