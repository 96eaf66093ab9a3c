import LTMKernels

// Where collectives begin and are waited for: each as soon as its last value is there, and not before its first result is
// needed, so that bytes travel under the work between. Neighbours in time share a bucket: a message costs some time however
// short it is, and a bucket that is too long begins late.

/// Bytes of a bucket, as in PyTorch's DDP. What is larger is cut.
private let bucketBytes = 25 << 20

/// Puts the collectives of a frame, each begun and waited for at once, into buckets where they can overlap with other steps.
func placeCollectives(_ frame: inout PlanFrame) {
  let found = Placement(frame)
  if found.collectives.isEmpty { return }
  let buckets = found.buckets()
  var starts: [Int: [PlanStep]] = [:]
  var waits: [Int: [PlanStep]] = [:]
  for (number, bucket) in buckets.enumerated() {
    let collective = PlanCollective(number: number, parts: bucket.parts)
    starts[bucket.ready, default: []].append(.start(collective))
    waits[bucket.needed, default: []].append(.wait(collective))
  }
  var steps = starts[-1] ?? []
  for (time, step) in found.steps.enumerated() {
    steps += (waits[time] ?? []) + [step] + (starts[time] ?? [])
  }
  frame.steps = steps + (waits[found.steps.count] ?? [])
}

/// Collectives with the steps between which they may run.
private struct Placement {
  struct Bucket {
    var parts: [PlanCollective.Part] = []
    /// The step after which all parts are there; -1 before the first.
    var ready = -1
    /// The step before which some part is needed.
    var needed = Int.max
    var byteCount = 0
  }

  /// All other steps.
  private(set) var steps: [PlanStep] = []
  /// One for each, in the order in which they can begin.
  private(set) var collectives: [Bucket] = []

  init(_ frame: PlanFrame) {
    var places: [(part: PlanCollective.Part, time: Int)] = []
    for step in frame.steps {
      switch step {
      case .start(let collective): places += collective.parts.map { ($0, steps.count) }
      case .wait: break
      case .launch, .loop: steps.append(step)
      }
    }
    let uses = Dictionary(
      grouping: steps.enumerated().flatMap { time, step in Set(step.buffers).map { (buffer: $0, time: time) } },
      by: \.buffer
    ).mapValues { $0.map(\.time) }
    for (part, time) in places {
      let times = Set(part.buffers.flatMap { uses[$0] ?? [] }).sorted()
      let ready = times.last { $0 < time } ?? -1
      let needed = times.first { $0 >= time } ?? steps.count
      for piece in part.pieces(of: frame[part.buffer].dtype.byteCount) {
        let bytes = piece.elements.count * frame[part.buffer].dtype.byteCount
        collectives.append(Bucket(parts: [piece], ready: ready, needed: needed, byteCount: bytes))
      }
    }
    let order = collectives.indices.sorted { (collectives[$0].ready, $0) < (collectives[$1].ready, $1) }
    collectives = order.map { collectives[$0] }
  }

  /// Neighbours together, up to a bucket's size, where all are there before one is needed.
  func buckets() -> [Bucket] {
    var buckets: [Bucket] = []
    for next in collectives {
      if let last = buckets.last, next.ready < min(last.needed, next.needed),
        last.byteCount + next.byteCount <= bucketBytes
      {
        buckets[buckets.count - 1].parts += next.parts
        buckets[buckets.count - 1].ready = max(last.ready, next.ready)
        buckets[buckets.count - 1].needed = min(last.needed, next.needed)
        buckets[buckets.count - 1].byteCount += next.byteCount
      } else {
        buckets.append(next)
      }
    }
    return buckets
  }
}

extension PlanCollective.Part {
  /// Parts of at most a bucket's size.
  fileprivate func pieces(of elementBytes: Int) -> [PlanCollective.Part] {
    guard case .join = form else { return [self] }
    let most = bucketBytes / elementBytes
    return stride(from: elements.lowerBound, to: elements.upperBound, by: most).map { start in
      PlanCollective.Part(
        buffer: buffer, elements: start..<min(start + most, elements.upperBound), form: form)
    }
  }
}
