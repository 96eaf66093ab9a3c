import LTMKernels

/// A piece of machine code to make: one object with one function that others see.
protocol CodeJob: Sendable {
  /// In the cache.
  var key: String { get }
  var symbol: String { get }
  /// What compiling it costs, roughly.
  var work: Int { get }
  func emit() throws(LLVMFailure) -> [UInt8]
}

/// One kernel to compile.
struct KernelJob: CodeJob {
  let kernel: Kernel
  let schedule: Schedule
  let key: String
  let work: Int
  /// The key alone; with debug info the kernel's name too, for those who look.
  let symbol: String
  /// The micro-kernels that it calls and does not bring itself. With debug info it brings them: under its name, with its lines.
  let microTiles: [MicroTile]
  private let profile: TargetProfile
  /// The folder that paths of source places start from, where line tables are wanted.
  private let folder: String?

  init(_ kernel: Kernel, _ profile: TargetProfile, _ session: DebugSession?) {
    self.kernel = kernel
    self.profile = profile
    schedule = LTMLLVM.schedule(kernel, profile)
    folder = session?.folder
    let needed: [MicroTile]
    if case .contraction(let tiles) = schedule.strategy {
      needed = MicroTile.needed(tiles, FlatKernel(kernel)).all
    } else {
      needed = []
    }
    microTiles = session == nil ? needed : []
    // A tiled contraction packs, and has edges of its own.
    work = kernel.expressions.count + (needed.isEmpty ? 0 : 100)
    var parts = [kernel.identity, "\(schedule)"] + profile.codeKey
    // Names and places decide an object only where it tells of them.
    if let session { parts += [kernel.name, "\(kernel.locations)", "\(kernel.origins)", session.folder] }
    key = ObjectCache.key(parts)
    symbol = session == nil ? "ltm_" + key : "\(kernel.name)_\(key.prefix(8))"
  }

  func emit() throws(LLVMFailure) -> [UInt8] {
    try LTMLLVM.emit(
      kernel, as: .object, profile: profile, symbol: symbol, schedule: schedule, lines: folder,
      sharesMicroKernels: !microTiles.isEmpty)
  }
}

/// A micro-kernel that several kernels call.
struct MicroKernelJob: CodeJob {
  let shape: MicroTile
  private let profile: TargetProfile
  let key: String
  let symbol: String
  let work = 50

  init(_ shape: MicroTile, _ profile: TargetProfile) {
    self.shape = shape
    self.profile = profile
    (key, symbol) = (shape.key(profile), shape.symbol(profile))
  }

  func emit() throws(LLVMFailure) -> [UInt8] {
    let machine = try Machine(profile)
    let workspace = try Workspace(name: symbol, machine: machine)
    MicroKernel(ir: IRBuilder(workspace, profile: profile), shape: shape).emit(named: symbol, isInternal: false)
    return try workspace.finish(.object, machine: machine)
  }
}
