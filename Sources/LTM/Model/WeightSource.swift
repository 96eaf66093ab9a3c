import LTMIR
import Synchronization

/// What an entry's storage is filled with: the weights and states of a model. Those that were given to it are let go as soon as
/// the storage holds them: a second copy would be half of a served model's memory.
final class WeightSource: Sendable {
  private let state: Mutex<State>

  private struct State {
    var model: Model
    var gone: Set<String> = []
  }

  init(_ model: Model) { state = Mutex(State(model: model)) }

  var contents: SessionStorage.Contents {
    SessionStorage.Contents(
      tensor: { [self] (name) throws(LTMError) in try tensor(name) }, isHeld: { [self] name in letGo(name) })
  }

  private func tensor(_ name: String) throws(LTMError) -> Tensor {
    let (tensor, isGone) = state.withLock { ($0.model.weight(name), $0.gone.contains(name)) }
    // Only a size that takes the weight in another dtype would ask again, and all sizes are cast alike.
    if isGone { throw LTMError("'\(name)' was loaded in one dtype, and is asked for in another") }
    guard let tensor else { throw LTMError("there are no weights for '\(name)'") }
    return tensor
  }

  private func letGo(_ name: String) {
    state.withLock { state in
      if state.model.dropGiven(name) { state.gone.insert(name) }
    }
  }
}
