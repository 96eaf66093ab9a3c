import LTM
import LTMMPI
import LTMSupport
import TestSupport
import Testing

/// What launchers tell, and what happens under the real ones, where they are installed.
@Suite struct LaunchTests {
  @Test func environmentsAreRead() {
    #expect(Launch([:]) == nil)
    #expect(Launch(["SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4"]) == nil, "a step without an MPI")
    #expect(Launch(["OMPI_COMM_WORLD_SIZE": "x"]) == nil)
    let open = Launch(["OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"])
    #expect(open?.count == 4 && open?.countHere == 2 && open?.libraries.first == "libmpi.so.40")
    #expect(Launch(["PMI_SIZE": "3", "PMI_RANK": "1"])?.libraries.first == "libmpich.so.12")
    #expect(Launch(["SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "8", "PMIX_RANK": "0"])?.count == 8)
  }

  @Test func aLibraryThatIsNoneIsRefused() throws {
    let launch = try #require(Launch(["PMI_SIZE": "2"]))
    let missing = #expect(throws: Diagnostic.self) { _ = try RankThread.join(launch, library: "./no-such.so") }
    #expect(missing?.message.contains("no MPI library can be opened") == true)
    let other = #expect(throws: Diagnostic.self) { _ = try RankThread.join(launch, library: "libm.so.6") }
    #expect(other?.notes.first?.contains("is no MPI library") == true)
  }

  static let launchers = ["/usr/bin/mpirun.openmpi", "/usr/bin/mpirun.mpich"].filter {
    (try? Command($0, ["--version"]))?.status == 0
  }
  static let environment = [
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_btl_base_warn_component_unused": "0",
  ]

  private func run(_ launcher: String, _ arguments: [String], in folder: TemporaryFolder) throws -> Command {
    try Command(
      launcher, ["-np", "2", Command.executable] + arguments, in: folder.path, environment: Self.environment)
  }

  /// Two processes, and an overflow in the rows of one of them.
  @Test(
    .enabled(if: !launchers.isEmpty, "no MPI is installed: scripts/tools.sh tries to"), arguments: launchers)
  func twoProcessesTrain(_ launcher: String) throws {
    let folder = try RankTrainingTests.folder()
    let flags = ["train", "m.ltm", "--seed", "5", "--precision", "16", "--amp-level", "O2", "--same-bits"]
    let one = try Command(flags + ["--save", "one.safetensors"], in: folder.path)
    #expect(one.status == 0, "\(one.errors)")
    let two = try run(launcher, flags + ["--save", "two.safetensors"], in: folder)
    #expect(two.status == 0, "\(two.errors)")
    #expect(two.errors.contains("2 ranks by "), "\(two.errors)")
    #expect(lines(two).first == lines(one).first, "one line for each epoch, from rank 0 alone")
    for name in try TensorFile.names(folder.file("one.safetensors")) {
      let (a, b) = (
        try TensorFile.read(folder.file("one.safetensors") + ":" + name),
        try TensorFile.read(folder.file("two.safetensors") + ":" + name)
      )
      #expect(a == b, "\(name)")
    }
  }

  @Test(
    .enabled(if: !launchers.isEmpty, "no MPI is installed: scripts/tools.sh tries to"), arguments: launchers)
  func aMistakeIsToldOnceAndEndsTheJob(_ launcher: String) throws {
    let folder = try RankTrainingTests.folder()
    let failed = try run(launcher, ["train", "m.ltm", "--batch", "15"], in: folder)
    #expect(failed.status != 0)
    let told = (failed.output + failed.errors).split(separator: "\n").filter {
      $0.contains("cannot be split evenly over 2 ranks")
    }
    #expect(told.count == 1, "\(failed.errors)")
  }

  private func lines(_ command: Command) -> [Substring] {
    command.output.split(separator: "\n").filter { $0.hasPrefix("epoch") }
  }
}
