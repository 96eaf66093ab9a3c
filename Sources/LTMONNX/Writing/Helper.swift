/// Functions of the written file for what the language says in several lines.
enum Helper: String, CaseIterable, Sendable {
  case lstm, lstmReversed = "lstm_reversed", gru, gruReversed = "gru_reversed"
  case gruLate = "gru_late", gruLateReversed = "gru_late_reversed", rnn, rnnReversed = "rnn_reversed"

  private var steps: String { rawValue.hasSuffix("_reversed") ? "gates.along(0).reversed()" : "gates.along(0)" }

  private var order: String { rawValue.hasSuffix("_reversed") ? ", from the last step to the first" : "" }

  /// Its definition.
  var text: String {
    switch self {
    case .lstm, .lstmReversed:
      """
      // An LSTM along the first axis\(order); its gates are input, output, forget, cell.
      func \(rawValue)(
        x: [T, B, I], w: [4 * H, I], r: [4 * H, H], bias: [4 * H], h0: [B, H], c0: [B, H],
      ) -> ([T, B, H], [B, H], [B, H]) {
        let gates = linear(x, w, bias)
        var h = h0
        var c = c0
        let all = for gate in \(steps) {
          let (i, o, f, g) = split(gate + linear(h, r), 4, axis: -1)
          c = sigmoid(f) * c + sigmoid(i) * tanh(g)
          h = sigmoid(o) * tanh(c)
          yield h
        }
        return (all, h, c)
      }
      """
    case .gru, .gruReversed:
      """
      // A GRU along the first axis\(order), which resets the state before its product; its gates are update, reset, hidden.
      func \(rawValue)(
        x: [T, B, I], w: [3 * H, I], r: [3 * H, H], wb: [3 * H], rb: [3 * H], h0: [B, H],
      ) -> ([T, B, H], [B, H]) {
        let gates = linear(x, w, wb)
        let (rz, rr, rh) = split(r, 3, axis: 0)
        let (bz, br, bh) = split(rb, 3, axis: 0)
        var h = h0
        let all = for gate in \(steps) {
          let (zx, rx, hx) = split(gate, 3, axis: -1)
          let z = sigmoid(zx + linear(h, rz, bz))
          let n = tanh(hx + linear(sigmoid(rx + linear(h, rr, br)) * h, rh, bh))
          h = (1 - z) * n + z * h
          yield h
        }
        return (all, h)
      }
      """
    case .gruLate, .gruLateReversed:
      """
      // A GRU along the first axis\(order), which resets the product of its state; its gates are update, reset, hidden.
      func \(rawValue)(
        x: [T, B, I], w: [3 * H, I], r: [3 * H, H], wb: [3 * H], rb: [3 * H], h0: [B, H],
      ) -> ([T, B, H], [B, H]) {
        let gates = linear(x, w, wb)
        var h = h0
        let all = for gate in \(steps) {
          let (zx, rx, hx) = split(gate, 3, axis: -1)
          let (zh, rh, nh) = split(linear(h, r, rb), 3, axis: -1)
          let z = sigmoid(zx + zh)
          h = (1 - z) * tanh(hx + sigmoid(rx + rh) * nh) + z * h
          yield h
        }
        return (all, h)
      }
      """
    case .rnn, .rnnReversed:
      """
      // A plain recurrent layer along the first axis\(order).
      func \(rawValue)(x: [T, B, I], w: [H, I], r: [H, H], bias: [H], h0: [B, H]) -> ([T, B, H], [B, H]) {
        let gates = linear(x, w, bias)
        var h = h0
        let all = for gate in \(steps) {
          h = tanh(gate + linear(h, r))
          yield h
        }
        return (all, h)
      }
      """
    }
  }
}
