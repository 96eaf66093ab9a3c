import Foundation
import LTMRuntime
import LTMSupport

/// NVIDIA's assembler, which turns PTX into code of a GPU. Nothing else of CUDA is needed, nor a GPU.
public struct Assembler: Sendable {
  /// Where it lies.
  public let path: String

  /// The environment variable that names one.
  private static let variable = "LTM_PTXAS"

  /// Where an assembler is looked for, in order.
  private static var places: [String] {
    let given = environment(variable).map { [$0] } ?? []
    // A bare name, the default or a given one, is never that of a file in the current folder.
    return (given + ["ptxas"]).flatMap { name in
      name.contains("/") ? [name] : (absoluteFolders(in: "PATH") + ["/usr/local/cuda/bin"]).map { "\($0)/\(name)" }
    }
  }

  /// The one that `LTM_PTXAS` names, else that of the path, whose relative folders do not count, or of `/usr/local/cuda`.
  public static func find() throws(LTMError) -> Assembler {
    guard let path = places.first(where: FileManager.default.isExecutableFile) else {
      throw LTMError(
        "there is no ptxas, which makes a cubin of PTX",
        notes: [
          "looked for $LTM_PTXAS, and for ptxas in $PATH and in /usr/local/cuda/bin",
          "scripts/tools.sh installs one: LTM_PTXAS=$(find $PWD/.build/tools -name ptxas -type f)",
          "'--emit ptx' works without it; a GPU's driver takes PTX as it is",
        ])
    }
    return Assembler(path: path)
  }

  /// Assembles a module. The report says registers, shared memory and spills of each kernel.
  public func assemble(_ ptx: String, architecture: String) throws(LTMError) -> (code: [UInt8], report: String) {
    let folder = try temporaryFolder()
    defer { folder.removeAll() }
    let (source, target) = ("\(folder.path)/kernels.ptx", "\(folder.path)/kernels.cubin")
    do {
      guard folder.write(Array(ptx.utf8), to: "kernels.ptx") else { throw LTMError("cannot write \(source)") }
      let process = Process()
      process.executableURL = URL(filePath: path)
      process.arguments = ["-v", "-arch=\(architecture)", source, "-o", target]
      let output = Pipe()
      (process.standardOutput, process.standardError) = (output, output)
      try process.run()
      let report = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
      process.waitUntilExit()
      guard process.terminationStatus == 0 else {
        throw LTMError("ptxas refused the kernels for \(architecture)", notes: [report])
      }
      return ([UInt8](try Data(contentsOf: URL(filePath: target))), report)
    } catch let error as LTMError {
      throw error
    } catch {
      throw LTMError("\(path) could not be run: \(error.localizedDescription)")
    }
  }

  private func temporaryFolder() throws(LTMError) -> PrivateFolder {
    do throws(PrivateFolder.Refusal) {
      return try PrivateFolder.temporary()
    } catch {
      throw LTMError("no folder for temporary files: \(error.reason)", notes: ["TMPDIR names another"])
    }
  }
}
