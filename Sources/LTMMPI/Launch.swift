import Glibc
import LTMSupport

/// What a launcher told this process of the job that it is part of.
package struct Launch: Hashable, Sendable {
  /// The processes of the job.
  package let count: Int
  /// Those of them on this machine; 0 where the launcher does not say.
  package let countHere: Int
  /// The libraries that may be meant, the likeliest first.
  package let libraries: [String]
  /// The variable that told it.
  package let variable: String

  /// Open MPI; MPICH and what has its binary interface; the standard interface, which either may give.
  private static let openMPI = ["libmpi.so.40"]
  private static let mpich = ["libmpich.so.12", "libmpi.so.12"]
  private static let standard = ["libmpi_abi.so.1", "libmpi_abi.so.0"]
  /// Every name that is looked for.
  package static let names = openMPI + mpich + standard

  /// The job that the environment speaks of; `nil` for a process that was started alone. Open MPI, the PMI of MPICH, Intel MPI
  /// and Slurm, and PMIx each set variables of their own.
  package init?(_ environment: [String: String]) {
    func number(_ name: String) -> Int? { environment[name].flatMap { Int($0) } }
    if let count = number("OMPI_COMM_WORLD_SIZE") {
      self.init(count, number("OMPI_COMM_WORLD_LOCAL_SIZE"), Self.openMPI + Self.standard, "OMPI_COMM_WORLD_SIZE")
    } else if let count = number("PMI_SIZE") {
      self.init(count, number("MPI_LOCALNRANKS"), Self.mpich + Self.standard, "PMI_SIZE")
    } else if let count = number("SLURM_STEP_NUM_TASKS"), environment["SLURM_PROCID"] != nil,
      environment["PMIX_RANK"] != nil || environment["PMI_RANK"] != nil || environment["PMI_FD"] != nil
    {
      self.init(count, nil, Self.openMPI + Self.mpich + Self.standard, "SLURM_STEP_NUM_TASKS")
    } else {
      return nil
    }
  }

  private init?(_ count: Int, _ countHere: Int?, _ libraries: [String], _ variable: String) {
    guard count >= 1 else { return nil }
    (self.count, self.countHere, self.libraries, self.variable) = (count, countHere ?? 0, libraries, variable)
  }
}

extension RankThread {
  /// Joins the job by the first library that can be opened, or by the one named.
  package static func join(
    _ launch: Launch, library: String?, limit: Double = usualLimit
  ) throws(Diagnostic) -> RankThread {
    let opened = try open(library.map { [$0] } ?? launch.libraries)
    let ranks = try start(limit: limit) { () throws(Diagnostic) in try MPITransport(opened) }
    guard ranks.count == launch.count else {
      throw Diagnostic(
        .error,
        "'\(opened.path)' (\(opened.version)) sees \(ranks.count) ranks, and the launcher says \(launch.count) (\(launch.variable))",
        notes: ["the launcher is of another MPI than the library: --mpi-library names the library that belongs to it"])
    }
    return ranks
  }

  private static func open(_ paths: [String]) throws(Diagnostic) -> MPILibrary {
    var reasons: [String] = []
    for path in paths {
      do throws(Diagnostic) { return try MPILibrary(path) } catch { reasons.append(error.message) }
    }
    throw Diagnostic(
      .error, "this process was started as one of several, and no MPI library can be opened",
      notes: reasons + ["--mpi-library PATH names one"])
  }
}

/// The MPI libraries among the system's, each with its version.
package func installedMPILibraries() -> [String] {
  var seen: Set<String> = []
  return Launch.names.compactMap { name in
    (try? MPILibrary(name, runs: false)).flatMap { seen.insert($0.version).inserted ? "\(name): \($0.version)" : nil }
  }
}
