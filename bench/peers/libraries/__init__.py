"""One module a library. Each offers the operations it has, by these names; `None` means that it lacks this form.

    rotate(q, k, cos, sin, interleaved, dtype)      q, k: [num_tokens, heads, head_dim]; result: the rotated q
    table(num_positions, num_pairs)                 result: cosines and sines, [2, num_positions, num_pairs]
    add(x, rows)                                    result: x + rows, [num_tokens, dim]
    attention(q, k, v, causal, dtype, slopes)       [heads, num_tokens, head_dim]; slopes: of ALiBi, or None
    attention_backward(q, k, v, upstream, causal)   result: gradients of q, k and v, stacked
    flex(q, k, v, bias)                             causal, with a bias of distance by name

Each returns `(name, prepare)` pairs: a library may have several ways.
"""
