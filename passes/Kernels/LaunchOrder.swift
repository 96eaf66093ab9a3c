import LTMIR
import LTMKernels
import LTMSupport

/// The order of the groups: after what they read, and, where one writes over an input, after all that read the old value.
struct LaunchOrder {
  private let grouping: Grouping
  /// For each group, those that must run before it.
  private var before: [Set<Int>]

  init(_ grouping: Grouping) {
    self.grouping = grouping
    before = grouping.groups.map { members in
      Set(members.flatMap { grouping.fusion.reads[$0] }.compactMap { grouping.groupOf[$0] })
    }
    for index in before.indices { before[index].remove(index) }
  }

  func emit(_ members: [Int], inPlace: [Int: Int]) throws(EmissionFailure) -> EmittedKernel {
    var emitter = try KernelEmitter(grouping.fusion, members)
    return try emitter.emit(inPlace: inPlace)
  }

  /// The updates that are written straight into the input they replace, by node: those whose kernel reads no other element
  /// of it, and that can run after every reader of the old value.
  mutating func placeUpdates() -> [Int: Int] {
    let lowered = grouping.fusion.lowered
    var inPlace: [Int: Int] = [:]
    for (node, number) in lowered.outputOf.sorted(by: { $0.key < $1.key }) {
      guard let name = lowered.graph.outputs[number].updates, let input = lowered.graph.input(name)?.value.index,
        let writer = grouping.groupOf[node]
      else { continue }
      inPlace[node] = input
      let own = inPlace.filter { grouping.groupOf[$0.key] == writer }
      let refused = (try? emit(grouping.groups[writer], inPlace: own))?.refused ?? [node]
      let readers = Set(grouping.fusion.readers[input].compactMap { grouping.groupOf[$0] }).subtracting([writer])
      if refused.contains(node) || readers.contains(where: { needs($0, writer) }) {
        inPlace[node] = nil
      } else {
        before[writer].formUnion(readers)
      }
    }
    return inPlace
  }

  /// Whether `group` runs after `other`.
  private func needs(_ group: Int, _ other: Int) -> Bool {
    var visited: Set<Int> = []
    var pending = [group]
    while let next = pending.popLast() {
      if next == other { return true }
      for earlier in before[next] where visited.insert(earlier).inserted { pending.append(earlier) }
    }
    return false
  }

  /// Every group after those before it; of the ready ones, that whose last node comes first in the graph.
  func sorted() throws(DiagnosticSet) -> [Int] {
    let last = grouping.groups.map(lastNode)
    var waiting = before.map(\.count)
    var after = [[Int]](repeating: [], count: before.count)
    for (group, earlier) in before.enumerated() { for other in earlier { after[other].append(group) } }
    var ready = grouping.groups.indices.filter { !grouping.groups[$0].isEmpty && waiting[$0] == 0 }
    var order: [Int] = []
    while let position = ready.indices.min(by: { last[ready[$0]] < last[ready[$1]] }) {
      let group = ready.remove(at: position)
      order.append(group)
      for next in after[group] {
        waiting[next] -= 1
        if waiting[next] == 0 { ready.append(next) }
      }
    }
    guard order.count == grouping.groups.count(where: { !$0.isEmpty }) else {
      throw DiagnosticSet([.internalError(in: "launch order", "the groups depend on each other in a circle")])
    }
    return order
  }

  /// Folds do not count: they come with what they reduce, and do not hold it back.
  private func lastNode(_ members: [Int]) -> Int { members.last { !grouping.folds($0) } ?? members.last ?? 0 }
}
