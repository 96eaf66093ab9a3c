import LTMSupport

/// Which declaration names which, so that code that needs itself is found before any of it runs, whether or not a model
/// uses it. A declaration is known by the span of its name.
struct NameGraph {
  enum Kind { case constant, function, type }

  private struct Node {
    var title: String
    var kind: Kind
    var uses: [(target: Span, place: Span)] = []
  }

  private var nodes: [Span: Node] = [:]
  private var order: [Span] = []

  /// Adds a declaration, unless it is there.
  mutating func add(_ id: Span, _ title: String, _ kind: Kind) {
    guard nodes[id] == nil else { return }
    nodes[id] = Node(title: title, kind: kind)
    order.append(id)
  }

  /// `user` names `target` at `place`.
  mutating func add(from user: Span, to target: Span, at place: Span) {
    nodes[user]?.uses.append((target, place))
  }

  /// One message for each cycle, up to as many as are shown.
  func cycles() -> [Diagnostic] {
    var rest = order.filter { nodes[$0] != nil }
    var messages: [Diagnostic] = []
    while messages.count < DiagnosticSet.limit {
      rest = withoutDeadEnds(rest)
      guard let first = rest.first else { break }
      let cycle = self.cycle(from: first, within: Set(rest))
      messages.append(message(cycle))
      rest.removeAll { id in cycle.contains { $0.id == id } }
    }
    return messages
  }

  /// What is left when everything that leads nowhere is taken away, again and again: each of it leads to a cycle.
  private func withoutDeadEnds(_ ids: [Span]) -> [Span] {
    var users: [Span: [Span]] = [:]
    var open: [Span: Int] = [:]
    let within = Set(ids)
    for id in ids {
      let targets = Set(nodes[id]?.uses.map(\.target) ?? []).intersection(within)
      open[id] = targets.count
      for target in targets { users[target, default: []].append(id) }
    }
    var dead = ids.filter { open[$0] == 0 }
    while let id = dead.popLast() {
      for user in users[id] ?? [] {
        open[user, default: 0] -= 1
        if open[user] == 0 { dead.append(user) }
      }
    }
    return ids.filter { open[$0, default: 0] > 0 }
  }

  /// Follows the first use of each declaration until one comes again.
  private func cycle(from first: Span, within ids: Set<Span>) -> [(id: Span, place: Span)] {
    var path: [(id: Span, place: Span)] = []
    var places: [Span: Int] = [:]
    var id = first
    while places[id] == nil, let use = nodes[id]?.uses.first(where: { ids.contains($0.target) }) {
      places[id] = path.count
      path.append((id, use.place))
      id = use.target
    }
    let cycle = Array(path[(places[id] ?? 0)...])
    // The one that stands first in the file begins.
    let start = cycle.indices.min { (cycle[$0].id.start, $0) < (cycle[$1].id.start, $1) } ?? 0
    return Array(cycle[start...] + cycle[..<start])
  }

  private func message(_ cycle: [(id: Span, place: Span)]) -> Diagnostic {
    let members = cycle.compactMap { nodes[$0.id] }
    let titles = members.map(\.title)
    let shown = titles.count > 10 ? titles.prefix(8) + ["..."] + titles.suffix(1) : titles[...]
    let path = (shown + titles.prefix(1)).joined(separator: " -> ")
    let kinds = Set(members.map(\.kind))
    let verb = kinds == [.function] ? "calls" : kinds == [.type] ? "contains" : "depends on"
    let labels = zip(cycle, titles).dropFirst().map { Diagnostic.Label($0.place, "in '\($1)'") }
    return Diagnostic(
      "'\(titles.first ?? "")' \(verb) itself: \(path)", at: cycle.first?.place, labels: Array(labels.prefix(8)),
      notes: kinds.contains(.function) ? ["recursion is not possible: all code is unrolled"] : [])
  }
}
