import LTMIR
import LTMKernels
import LTMSupport

/// The order of the groups: after what they read, and, where one writes over an input, after all that read the old value.
struct LaunchOrder {
  private let grouping: Grouping
  /// Which groups must run before which.
  private var graph: GroupGraph

  init(_ grouping: Grouping) {
    self.grouping = grouping
    graph = grouping.graph
  }

  func emit(_ members: [Int], inPlace: [Int: Int]) throws(EmissionFailure) -> EmittedKernel {
    var emitter = try KernelBuilder(grouping.fusion, members)
    return try emitter.emit(inPlace: inPlace)
  }

  /// The updates that are written straight into the input they replace, by node: those whose kernel reads no other element
  /// of it, and that can run after every reader of the old value.
  mutating func placeUpdates() -> [Int: Int] {
    let lowered = grouping.fusion.lowered
    let inputs = Dictionary(
      lowered.graph.inputs.map { ($0.name, $0.value.index) }, uniquingKeysWith: { first, _ in first })
    var inPlace: [Int: Int] = [:]
    // Those of each group.
    var updates: [Int: [Int: Int]] = [:]
    for (node, number) in lowered.outputOf.sorted(by: { $0.key < $1.key }) {
      guard let name = lowered.graph.outputs[number].updates, let input = inputs[name],
        let writer = grouping.groupOf[node]
      else { continue }
      let own = updates[writer, default: [:]].merging([node: input]) { $1 }
      let refused =
        grouping.isControl(writer)
        ? (isOperand(input, of: writer, besides: updates[writer] ?? [:]) ? [] : [node])
        : (try? emit(grouping.groups[writer], inPlace: own))?.refused ?? [node]
      let readers = Set(grouping.fusion.readers[input].compactMap { grouping.groupOf[$0] }).subtracting([writer])
      guard !refused.contains(node), graph.put(readers.sorted(), before: writer) else { continue }
      inPlace[node] = input
      updates[writer] = own
    }
    return inPlace
  }

  /// Whether a call reads an input as it is, once, and writes nothing else there: then its body may.
  private func isOperand(_ input: Int, of group: Int, besides others: [Int: Int]) -> Bool {
    let node = grouping.fusion.lowered.nodes[grouping.groups[group][0]]
    let count = node.operands.count { grouping.fusion.holder(of: $0.index) == input }
    return node.op == .call && count == 1 && !others.values.contains(input)
  }

  /// Every group after those before it; of the ready ones, that whose last node comes first in the graph.
  func sorted() throws(DiagnosticSet) -> [Int] {
    let last = grouping.groups.map(lastNode)
    let before = grouping.groups.indices.map(graph.earlier)
    var waiting = before.map(\.count)
    var after = [[Int]](repeating: [], count: before.count)
    for (group, earlier) in before.enumerated() { for other in earlier { after[other].append(group) } }
    let live = grouping.groups.indices.filter { !grouping.groups[$0].isEmpty }
    var ready = Heap(live.filter { waiting[$0] == 0 }) { last[$0] < last[$1] }
    var order: [Int] = []
    while let group = ready.popFirst() {
      order.append(group)
      for next in after[group] {
        waiting[next] -= 1
        if waiting[next] == 0 { ready.insert(next) }
      }
    }
    guard order.count == live.count else {
      throw DiagnosticSet([.internalError(in: "launch order", "the groups depend on each other in a circle")])
    }
    return order
  }

  /// Epilogue reductions do not count: they come with what they reduce, and do not hold it back.
  private func lastNode(_ members: [Int]) -> Int {
    members.last { !grouping.epilogueReductions($0) } ?? members.last ?? 0
  }
}
