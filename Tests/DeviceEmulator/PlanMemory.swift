import LTMKernels

/// The buffers of a plan in this machine's memory, each between margins that nothing may write to.
package final class PlanMemory {
  package let plan: Plan
  private let memory: UnsafeMutableRawPointer
  private let places: [Int]
  private let arena: Int
  private let byteCount: Int
  private static let margin = 256
  private static let filling: UInt8 = 0xFF

  package init(_ plan: Plan) {
    self.plan = plan
    var end = Self.margin
    func reserve(_ bytes: Int) -> Int {
      defer { end += (bytes + 255) / 256 * 256 + Self.margin }
      return end
    }
    let arena = reserve(plan.arenaBytes)
    var places: [Int] = []
    for buffer in plan.buffers {
      switch buffer.place {
      case .arena(let offset): places.append(arena + offset)
      // Those come after what they are a part of.
      case .part(let whole, let offset): places.append(places[whole.index] + offset)
      case .input, .output, .parameter: places.append(reserve(buffer.byteCount))
      }
    }
    self.places = places
    self.arena = arena
    byteCount = end
    memory = .allocate(byteCount: byteCount, alignment: 256)
    memory.initializeMemory(as: UInt8.self, repeating: Self.filling, count: byteCount)
  }

  deinit { memory.deallocate() }

  /// The bytes of a buffer.
  package func bytes(_ id: PlanBufferID) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(start: memory + places[id.index], count: plan[id].byteCount)
  }

  /// The bytes of the buffer of that name that a caller owns.
  package func bytes(named name: String) -> UnsafeMutableRawBufferPointer? {
    plan.buffers.indices.first { number in
      switch plan.buffers[number].place {
      case .input(name), .output(name): true
      case .input, .output, .arena, .parameter, .part: false
      }
    }.map { bytes(PlanBufferID($0)) }
  }

  package func addresses(_ launch: Launch) -> [UnsafeMutableRawPointer] {
    launch.arguments.map { memory + places[$0.index] }
  }

  /// Whether nothing was written outside of the buffers.
  package var marginsAreWhole: Bool {
    let owned = plan.buffers.indices.compactMap { number -> Range<Int>? in
      switch plan.buffers[number].place {
      case .arena, .part: return nil
      case .input, .output, .parameter: break
      }
      return places[number]..<places[number] + plan.buffers[number].byteCount
    }
    var place = 0
    for range in (owned + [arena..<arena + plan.arenaBytes]).sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if range.isEmpty { continue }
      let gap = UnsafeRawBufferPointer(start: memory + place, count: range.lowerBound - place)
      if !gap.allSatisfy({ $0 == Self.filling }) { return false }
      place = range.upperBound
    }
    return UnsafeRawBufferPointer(start: memory + place, count: byteCount - place)
      .allSatisfy { $0 == Self.filling }
  }
}
