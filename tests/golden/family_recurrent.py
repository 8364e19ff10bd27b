"""lstm_lengths, gru, rnn: opts layers, bidirectional, relu, with lengths; operands x, h [c], then the
weights as in golden.py, then the lengths."""

import torch
from golden import Golden
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

CALLS = {"lstm_lengths": torch.lstm, "gru": torch.gru, "rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu}


def run(call, x, states, weights, lengths, layers, directions):
    how = (True, layers, 0.0, True, directions == 2)
    if lengths is None:
        out = call(x, states if len(states) > 1 else states[0], weights, *how, False)
        return out
    data, sizes, order, back = pack_padded_sequence(x, lengths, enforce_sorted=False)
    states = [s.index_select(1, order) for s in states]
    y, *states = call(data, sizes, states if len(states) > 1 else states[0], weights, *how)
    y, _ = pad_packed_sequence(PackedSequence(y, sizes, order, back), total_length=x.shape[0])
    return (y, *[s.index_select(1, back) for s in states])


def recurrent_more():
    g = Golden()
    gates = {"lstm_lengths": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
    for name, call in CALLS.items():
        n_states = 2 if name == "lstm_lengths" else 1
        for T, N, I, H, layers, directions, packed in (
            (3, 2, 3, 3, 1, 1, 0), (4, 3, 2, 2, 1, 2, 1), (3, 2, 3, 2, 2, 2, 1), (1, 2, 2, 3, 1, 1, 1),
        ):  # fmt: skip
            G = gates[name] * H

            def make(v):
                x = [v.normal(T, N, I)] + [v.normal(layers * directions, N, H) for _ in range(n_states)]
                for layer in range(layers):
                    for _ in range(directions):
                        width = H * directions if layer else I
                        x += [v.normal(G, width, scale=0.4), v.normal(G, H, scale=0.4)]
                        x += [v.normal(G, scale=0.2), v.normal(G, scale=0.2)]
                return x + ([torch.tensor([T, 1, max(T - 1, 1)][:N])] if packed else [])

            def f(x, *rest):
                rest = list(rest)
                lengths = rest.pop() if packed else None
                return run(call, x, rest[:n_states], rest[n_states:], lengths, layers, directions)

            relu = int(name == "rnn_relu")
            g.case(name.split("_")[0] if "rnn" in name else name, f, make, [layers, directions - 1, relu, packed])
    return g


def families():
    return {"recurrent_more": recurrent_more().tensors}
