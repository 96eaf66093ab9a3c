import ArgumentParser
import Foundation
import LTM

/// The flags of a job of several processes.
struct RankOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The MPI library: a path with a slash, or a name among the system's. Default: the launcher's.", valueName: "path")
  )
  var mpiLibrary: String?
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Seconds after which a rank that waits for another one gives up. Default: 600.", valueName: "seconds"))
  var collectiveTimeout: Double?

  @Flag(
    help: "The same bits on any number of ranks, with any number of threads and micro-batches, for some speed.")
  var sameBits = false
  @Option(
    help: ArgumentHelp(
      "Into how many parts the rows of an update are cut for --same-bits. Default: 8.", valueName: "number"))
  var batchParts: String?

  @Option(
    help: ArgumentHelp(
      "Divide masters and the optimizer's state among the ranks, which divides their memory.", valueName: "optimizer"))
  var shard: String?

  var given: [GivenOption] {
    givenOptions([("shard", shard), ("same_bits", sameBits ? "true" : nil), ("batch_parts", batchParts)])
  }

  /// The job that this process was started in; `nil` where it was started alone.
  func communicator() throws -> Communicator? {
    try Communicator.launched(library: mpiLibrary, timeout: collectiveTimeout)
  }
}

extension Communicator {
  /// Runs `body` on every rank and leaves the job in good order. Where it fails, the job ends, with the message of the rank at
  /// fault: most mistakes are the same on all ranks, and rank 0 tells of those.
  func run(_ body: () throws -> Void) throws {
    do {
      try body()
    } catch let code as ExitCode {
      finish()
      throw code
    } catch {
      if !isFirst { Thread.sleep(forTimeInterval: 2) }
      FileHandle.standardError.write(Data("\(isFirst ? "" : "rank \(rank) on \(hosts[rank]): ")\(error)\n".utf8))
      abort()
      throw ExitCode.failure
    }
    finish()
  }
}
