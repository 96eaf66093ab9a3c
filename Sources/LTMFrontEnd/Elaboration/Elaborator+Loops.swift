import LTMIR
import LTMSupport
import LTMSyntax

// Loops. Over a range or a list they unroll; over an axis of a tensor (`Elaborator+Scan.swift`) the body is elaborated once.

extension Elaborator {
  /// A loop that is a statement: the value that its body returns.
  func run(_ loop: Loop) -> Value? {
    yields.append(nil)
    defer { yields.removeLast() }
    let values = evaluate(loop.values)
    if let sequences = sequences(values) {
      _ = scan(loop, sequences)
      return nil
    }
    return rounds(loop, values).flatMap { unroll(loop, $0) }
  }

  /// A loop that is a value: what its rounds yield, a list where it unrolls, stacked where it runs over an axis.
  func collect(_ loop: Loop) -> Value {
    yields.append([])
    defer { yields.removeLast() }
    let values = evaluate(loop.values)
    if let sequences = sequences(values) { return scan(loop, sequences) }
    guard let rounds = rounds(loop, values) else { return Value(.poison, loop.span) }
    if unroll(loop, rounds) != nil { return fail("a loop that is a value has no 'return'", at: loop.span) }
    guard let items = yields.last ?? nil else { return Value(.poison, loop.span) }
    if items.isEmpty { return fail("no round of this loop yields a value", at: loop.span) }
    return list(items, Value.Kind.list, loop.span)
  }

  /// `yield e`
  func yield(_ value: Value, _ span: Span) {
    guard let index = yields.indices.last, yields[index] != nil else {
      fail(
        "what is yielded here goes nowhere", at: span,
        notes: ["a loop gives what it yields where it is a value: let all = for x in xs { ... yield y }"])
      return
    }
    yields[index]?.append(value)
  }

  /// What each round of a loop runs on; `nil` where that is not known, or after an error.
  private func rounds(_ loop: Loop, _ values: Value) -> [Value]? {
    let items = elements(of: values, at: loop.values.span)
    if items == nil, isGeneric { perhaps(loop.names, loop.body) }
    return items
  }

  private func unroll(_ loop: Loop, _ items: [Value]) -> Value? {
    for item in items {
      guard step(loop.span) else { return Value(.poison, loop.span) }
      let result = inBlock { () -> Value? in
        for (name, value) in bound(loop, to: item) { frame.bind(name, value) }
        return run(loop.body)
      }
      if let result { return result }
    }
    return nil
  }

  /// The names of a loop's pattern with their values in one round.
  func bound(_ loop: Loop, to item: Value) -> [(String, Value)] {
    destructure(item, loop.names, isTuple: loop.isTuple, from: loop.values.span, at: loop.span)
  }

  // MARK: What loops run over

  /// `x.along(axis)`
  func along(_ given: [Given], _ span: Span) -> Value {
    guard case .tensor(let id) = given[0].value.kind else {
      return fail("'along' takes a tensor, and this is \(describe(given[0].value))", at: given[0].span)
    }
    let rank = builder.type(id).rank
    guard let axis = given[1].value.constantInteger else {
      return fail("an axis is an Int known at compile time, and this is \(describe(given[1].value))", at: given[1].span)
    }
    guard axis >= -rank, axis < rank else {
      return fail("axis \(axis) does not exist in \(typeText(id))", at: given[1].span)
    }
    return Value(.along(Along(tensor: id, axis: axis < 0 ? axis + rank : axis)), span)
  }

  /// `x.along(axis).reversed()`, and lists and ranges the other way.
  func reversed(_ given: Given, _ span: Span) -> Value {
    switch given.value.kind {
    case .along(var along):
      along.isReversed.toggle()
      return Value(.along(along), span)
    case .list(let items): return Value(.list(items.reversed()), span)
    case .range:
      let items = elements(of: given.value, at: given.span) ?? []
      return items.isEmpty ? given.value : Value(.list(items.reversed()), span)
    default:
      return fail(
        "'reversed' takes a list, a range or x.along(axis), and this is \(describe(given.value))", at: given.span)
    }
  }

  /// The tensors that a loop runs along; `nil` where it runs over something else.
  private func sequences(_ value: Value) -> [Along]? {
    if case .along(let along) = value.kind { return [along] }
    guard case .tuple(let items) = value.kind else { return nil }
    let found = items.compactMap { item in if case .along(let along) = item.kind { along } else { nil } }
    return found.count == items.count ? found : nil
  }
}
