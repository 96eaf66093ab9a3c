import LTMIR
import LTMSupport

/// Why two values are not computed by one kernel.
package enum FusionObstacle: Error, Hashable, Sendable {
  /// One of them is the body of a loop or of a call.
  case body
  /// No value of the one has as many elements as one of the other, nor does what it reduces.
  case sizes
  /// One is a reduction of so much that other scalars would wait for it.
  case longReduction
  /// What the one makes reaches the other through a third kernel.
  case detour
  /// There is no one domain over whose points both could run.
  case domain
  /// There would be two products, or a product and something else that needs the domain for itself.
  case secondProduct
  /// An element is read at another point than the one that computes it.
  case otherElement
  /// The element's place is no sum of axes: it was reshaped across them, or is looked up.
  case index
  /// Rows would have to be kept that are too long, too few or not contiguous.
  case rows
  /// A product reduces only what it gives, element for element, and with both sides in tiles.
  case epilogue
  /// A sort or a running sum has its lines for itself.
  case line
  /// A value that is written in part has a kernel for itself.
  case part
  /// An attention takes its operands as they come, and no work beside it.
  case attention
  /// There would be too many buffers or operations.
  case size

  /// The sentence for a user.
  package var words: String {
    switch self {
    case .body: "the body of a loop or of a call is planned for itself"
    case .sizes: "no value of the one has as many elements as a value of the other"
    case .longReduction: "other scalars would wait for a long reduction"
    case .detour: "what the one makes reaches the other through a third kernel"
    case .domain: "there is no one domain over whose points both could run"
    case .secondProduct: "a kernel holds one product, and reduces nothing beside it"
    case .otherElement: "an element is read at another point than the one that computes it"
    case .index: "an element's place is no sum of axes: a reshape or a lookup stands between"
    case .rows:
      "rows would be kept that are not contiguous, or longer than \(KernelBuilder.rowLimit), or too few for all cores"
    case .epilogue: "a product reduces only what it gives, element for element, with rows and columns of its own"
    case .line: "a sort or a running sum takes a kernel of its own"
    case .part: "what is written in part takes a kernel of its own"
    case .attention: "an attention takes a kernel of its own"
    case .size:
      "there would be more than \(KernelBuilder.bufferLimit) buffers (\(KernelBuilder.contractBufferLimit) beside a "
        + "product) or \(KernelBuilder.expressionLimit) operations"
    }
  }
}

/// A value that one kernel stores and another reads, and why they are two.
package struct FusionBorder: Hashable, Sendable {
  /// The plan's frame that both stand in: the plan's name or a body's.
  package let frame: String
  /// The kernels, or the bodies of loops and calls.
  package let from: String
  package let to: String
  /// What is stored, and where it was written.
  package let op: Op
  package let type: TensorType
  package let location: Location?
  /// `nil` where they could be one, and other merges came first.
  package let obstacle: FusionObstacle?
}

/// For every value that goes through memory from one kernel of a plan to another, why it does.
package func fusionBorders(_ graph: Graph, epilogueReductions: Bool = true) throws(DiagnosticSet) -> [FusionBorder] {
  let graph = epilogueReductions ? graph : graph.decomposed(keepsWhole: false)
  var planner = Planner(fuse: true, epilogueReductions: epilogueReductions)
  planner.borders = []
  _ = try planner.plan(graph)
  return planner.borders ?? []
}

extension Grouping {
  /// Those of one frame; `names` are those of its groups.
  mutating func borders(in frame: String, names: [Int: String]) -> [FusionBorder] {
    var found: [FusionBorder] = []
    for index in fusion.lowered.nodes.indices where fusion.isCompute[index] {
      guard let own = groupOf[index] else { continue }
      let node = fusion.lowered.nodes[index]
      for reader in Set(fusion.readers[index].compactMap({ groupOf[$0] })).sorted() where reader != own {
        found.append(
          FusionBorder(
            frame: frame, from: names[own] ?? "", to: names[reader] ?? "", op: node.op, type: node.type,
            location: node.location, obstacle: obstacle(own, reader)))
      }
    }
    return found
  }

  private mutating func obstacle(_ a: Int, _ b: Int) -> FusionObstacle? {
    do throws(FusionObstacle) {
      _ = try fusible(a, b)
      return nil
    } catch { return error }
  }
}
