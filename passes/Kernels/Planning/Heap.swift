/// Elements of which the first in some order is at hand.
struct Heap<Element> {
  private var elements: [Element] = []
  private let isBefore: (Element, Element) -> Bool

  init(_ elements: [Element], by isBefore: @escaping (Element, Element) -> Bool) {
    self.isBefore = isBefore
    for element in elements { insert(element) }
  }

  mutating func insert(_ element: Element) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0, isBefore(elements[child], elements[(child - 1) / 2]) {
      elements.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func popFirst() -> Element? {
    guard let last = elements.indices.last else { return nil }
    elements.swapAt(0, last)
    let first = elements.removeLast()
    var parent = 0
    while let child = [2 * parent + 1, 2 * parent + 2].filter(elements.indices.contains).min(by: {
      isBefore(elements[$0], elements[$1])
    }), isBefore(elements[child], elements[parent]) {
      elements.swapAt(child, parent)
      parent = child
    }
    return first
  }
}
