import LTMHLO
import LTMIR
import LTMSupport

/// Runs graphs as StableHLO on the devices of a PJRT plugin: libtpu on a machine with a TPU, or any other.
struct TPUBackend: Backend {
  /// The most replicas that may be asked for: beyond any machine, within what a plugin takes.
  static let coreLimit = 65_536

  private let client: PJRTClient

  /// The plugin to open: the one given, else `TPU_LIBRARY_PATH`, else the `libtpu.so` that the system finds.
  static func pluginPath(_ given: String?) -> String {
    given ?? environment("TPU_LIBRARY_PATH") ?? "libtpu.so"
  }

  /// A plugin that could not be opened, with what to do.
  static func unopened(_ error: PJRTError) -> LTMError {
    LTMError(
      error.description,
      notes: [
        "the target tpu needs a PJRT plugin, which --pjrt-plugin PATH names; on a machine with a TPU it is libtpu.so",
        "'ltm compile --target tpu --emit stablehlo' works without one",
      ])
  }

  /// Throws for a number of cores that no machine has.
  static func check(cores: Int) throws(LTMError) {
    guard (1...coreLimit).contains(cores) else {
      throw LTMError(
        "\(cores) TPU cores: at least 1\(cores > coreLimit ? " and at most \(coreLimit)" : "") can be used",
        notes: ["--tpu-cores says over how many cores each batch is split"])
    }
  }

  /// Opens the plugin and starts its devices, `cores` of them at least.
  init(plugin given: String?, cores: Int = 1) throws(LTMError) {
    try Self.check(cores: cores)
    let path = Self.pluginPath(given)
    let plugin: PJRTPlugin
    do throws(PJRTError) {
      plugin = try PJRTPlugin.open(path)
    } catch {
      throw Self.unopened(error)
    }
    do throws(PJRTError) {
      client = try PJRTClient.start(plugin, devices: cores)
    } catch {
      throw LTMError(
        error.description,
        notes: [
          cores > 1
            ? "--tpu-cores \(cores) needs as many devices; 'ltm compile --topology' compiles for devices that are elsewhere"
            : "'ltm compile --topology' compiles for devices that are elsewhere"
        ])
    }
  }

  func compile(_ graph: Graph, in storage: SessionStorage) throws(LTMError) -> any Executable {
    try PJRTExecutable(graph, client, storage)
  }
}
