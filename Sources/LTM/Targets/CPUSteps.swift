import LTMIR
import LTMKernels
import LTMLLVM
import LTMMPI
import LTMRuntime
import LTMSupport

/// The steps of a plan with the addresses of one caller's memory, ready to run.
final class CPUSteps {
  /// A launch's kernel and argument list.
  struct Launch {
    let kernel: Int
    let arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    /// Its place in `Plan.launches`.
    let number: Int
  }

  /// A pointer in an argument list that moves by so many bytes with each iteration.
  private struct Move {
    let pointer: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    let stride: Int
  }

  /// What ranks make together of arrays, whose addresses move with the loops around it.
  final class Collective {
    let subject: String
    /// For each part where it lies, and where its result does.
    fileprivate let addresses: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    fileprivate let parts: [(count: Int, dtype: DType, form: CollectiveForm)]
    /// What the ranks know it by, once it is begun.
    fileprivate var number = 0

    fileprivate init(_ subject: String, _ parts: [(count: Int, dtype: DType, form: CollectiveForm)]) {
      (self.subject, self.parts) = (subject, parts)
      addresses = .allocate(capacity: 2 * parts.count)
    }

    deinit { addresses.deallocate() }

    fileprivate var arrays: [CollectiveArray] {
      parts.enumerated().compactMap { index, part in
        guard let address = addresses[2 * index], let result = addresses[2 * index + 1] else { return nil }
        return switch part.form {
        case .join(let operation):
          CollectiveArray(address, count: part.count, dtype: part.dtype, operation: operation)
        case .scatter(let operation):
          CollectiveArray(scattering: address, count: part.count, dtype: part.dtype, operation: operation, to: result)
        case .gather: CollectiveArray(gathering: address, count: part.count, dtype: part.dtype, to: result)
        }
      }
    }
  }

  private indirect enum Step {
    case launch(Launch)
    case call([Step])
    case loop(count: Int, [Step], [Move])
    case start(Collective)
    case wait(Collective)
  }

  private let plan: Plan
  private var steps: [Step] = []
  private var launches: [Launch] = []
  /// What moves with each loop, while steps are made.
  private var moves: [[Move]] = []
  private let workspace: (_ number: Int) -> UnsafeMutableRawPointer

  /// - Parameters:
  ///   - address: where a buffer of the plan's own frame lies.
  ///   - workspace: what the tasks of a launch share, by its number.
  init(
    _ plan: Plan, address: (PlanBuffer) -> UnsafeMutableRawPointer,
    workspace: @escaping (_ number: Int) -> UnsafeMutableRawPointer
  ) {
    self.plan = plan
    self.workspace = workspace
    steps = prepared(plan.frame, plan.buffers.map { Address(base: address($0)) })
  }

  deinit {
    for launch in launches { launch.arguments.deallocate() }
  }

  // MARK: Making

  /// Where a buffer lies: further on with each iteration of some loops.
  private struct Address {
    var base: UnsafeMutableRawPointer
    var strides: [(loop: Int, bytes: Int)] = []
  }

  private func prepared(_ frame: PlanFrame, _ addresses: [Address]) -> [Step] {
    var begun: [Int: Collective] = [:]
    return frame.steps.map { step in
      switch step {
      case .launch(let launch): return .launch(prepared(launch, addresses))
      case .loop(let loop): return prepared(loop, addresses)
      case .start(let collective):
        let made = prepared(collective, frame, addresses)
        begun[collective.number] = made
        return .start(made)
      case .wait(let collective):
        guard let made = begun[collective.number] else { internalFailure("plan", "it waits for what was not begun") }
        return .wait(made)
      }
    }
  }

  private func prepared(_ collective: PlanCollective, _ frame: PlanFrame, _ addresses: [Address]) -> Collective {
    let first = collective.parts.first.map { frame[$0.buffer].name } ?? ""
    let more = collective.parts.count > 1 ? " and \(collective.parts.count - 1) more" : ""
    let made = Collective(
      "collective \(collective.number), \(first)\(more)",
      collective.parts.map { ($0.elements.count, frame[$0.buffer].dtype, $0.form) })
    for (index, part) in collective.parts.enumerated() {
      let start = part.elements.lowerBound * frame[part.buffer].dtype.byteCount
      set(made.addresses + 2 * index, addresses[part.buffer.index], offset: start)
      set(made.addresses + 2 * index + 1, addresses[(part.result ?? part.buffer).index], offset: 0)
    }
    return made
  }

  private func prepared(_ launch: LTMKernels.Launch, _ addresses: [Address]) -> Launch {
    let arguments = UnsafeMutablePointer<UnsafeMutableRawPointer?>.allocate(capacity: launch.arguments.count + 1)
    for (index, id) in launch.arguments.enumerated() {
      let address = addresses[id.index]
      arguments[index] = address.base
      for (loop, bytes) in address.strides {
        moves[loop].append(Move(pointer: arguments + index, stride: bytes))
      }
    }
    arguments[launch.arguments.count] = workspace(launches.count)
    launches.append(Launch(kernel: launch.kernel, arguments: arguments, number: launches.count))
    return launches[launches.count - 1]
  }

  /// Puts an address into a list of such, where it moves with its loops.
  private func set(_ pointer: UnsafeMutablePointer<UnsafeMutableRawPointer?>, _ address: Address, offset: Int) {
    pointer.initialize(to: address.base + offset)
    for (loop, bytes) in address.strides { moves[loop].append(Move(pointer: pointer, stride: bytes)) }
  }

  private func prepared(_ loop: PlanLoop, _ addresses: [Address]) -> Step {
    let body = plan.bodies[loop.body]
    let number = moves.count
    moves.append([])
    let own = body.frame.buffers.map { buffer -> Address in
      switch buffer.place {
      case .parameter(let parameter):
        var address = addresses[loop.arguments[parameter].index]
        guard body.parameters[parameter].isRow else { return address }
        address.base += max(loop.row(0), 0) * buffer.byteCount
        address.strides.append((number, loop.isReversed ? -buffer.byteCount : buffer.byteCount))
        return address
      case .arena(let offset):
        guard let arena = loop.arena else { internalFailure("plan", "a body has no arena") }
        return Address(base: addresses[arena.index].base + offset, strides: addresses[arena.index].strides)
      case .input, .output, .part: internalFailure("plan", "a body reads a buffer that it was not given")
      }
    }
    let steps = prepared(body.frame, own)
    return loop.isCall ? .call(steps) : .loop(count: loop.count, steps, moves[number])
  }

  // MARK: Running

  /// Calls `launch` with each launch in order, and whether its kernel has seen its constants before.
  ///
  /// - Parameter ranks: with whom collectives are made.
  func run(
    isPrepared: Bool, _ ranks: RankThread?, _ launch: (Launch, _ isPrepared: Bool) -> Void
  ) throws(LTMError) {
    try run(steps, isPrepared, ranks, launch)
  }

  private func run(
    _ steps: [Step], _ isPrepared: Bool, _ ranks: RankThread?, _ launch: (Launch, _ isPrepared: Bool) -> Void
  ) throws(LTMError) {
    for step in steps {
      switch step {
      case .launch(let next): launch(next, isPrepared)
      case .call(let body): try run(body, isPrepared, ranks, launch)
      case .start(let collective):
        if let ranks { collective.number = ranks.start(collective.arrays, collective.subject, isCounted: true) }
      case .wait(let collective): if let ranks { try reporting { try ranks.wait(collective.number, isCounted: true) } }
      case .loop(let count, let body, let moves):
        // What is constant in a loop may be another thing when the loop is entered again.
        for iteration in 0..<count {
          try run(body, iteration > 0, ranks, launch)
          for move in moves { move.pointer.pointee? += move.stride }
        }
        for move in moves { move.pointer.pointee? -= move.stride * count }
      }
    }
  }
}
