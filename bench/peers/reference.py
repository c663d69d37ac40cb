"""What every library has to compute, in float64."""
import numpy as np


def cos_sin(num_positions, num_pairs, base=10000.0):
    """Cosines and sines of position * base^(-i / num_pairs): two arrays [num_positions, num_pairs]."""
    inv_freq = base ** (-np.arange(num_pairs) / num_pairs)
    angles = np.outer(np.arange(num_positions), inv_freq)
    return np.cos(angles), np.sin(angles)


def rotate(x, cos, sin, interleaved):
    """x: [num_tokens, num_heads, head_dim]; cos, sin: [num_tokens, head_dim / 2]."""
    x = x.astype(np.float64)
    half = x.shape[-1] // 2
    first, second = (np.s_[..., 0::2], np.s_[..., 1::2]) if interleaved else (np.s_[..., :half], np.s_[..., half:])
    out = np.empty_like(x)
    out[first] = x[first] * cos[:, None] - x[second] * sin[:, None]
    out[second] = x[second] * cos[:, None] + x[first] * sin[:, None]
    return out


def distances(num_queries, num_keys):
    """Query position minus key position, the queries being the last tokens: [num_queries, num_keys]."""
    return np.arange(num_keys - num_queries, num_keys)[:, None] - np.arange(num_keys)[None]


def _weights(q, k, causal, bias):
    """One head's softmax: [num_queries, num_keys]."""
    scores = q @ k.T / np.sqrt(q.shape[-1])
    if bias is not None:
        scores = scores + bias
    if causal:
        scores = np.where(distances(len(q), len(k)) < 0, -np.inf, scores)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    return scores / scores.sum(-1, keepdims=True)


def attention(q, k, v, causal=False, bias=None):
    """q: [num_heads, num_queries, head_dim]; k, v: [num_kv_heads, num_keys, head_dim]; bias(head): [num_queries, num_keys]."""
    group = len(q) // len(k)
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    return np.stack([_weights(q[h], k[h // group], causal, bias(h) if bias else None) @ v[h // group]
                     for h in range(len(q))])


def t5_buckets(num_distances):
    """Of one direction: 32 buckets up to distance 128."""
    distance = np.arange(num_distances)
    large = 16 + (np.log(np.maximum(distance, 1) / 16) / np.log(8) * 16).astype(int)
    return np.where(distance < 16, distance, np.minimum(large, 31))


def t5_table(num_heads):
    """[32, num_heads]"""
    return np.sin(np.arange(32 * num_heads, dtype=np.float32)).reshape(32, num_heads)


def attention_backward(q, k, v, upstream, causal=False):
    """Gradients with respect to q, k and v, all of them [num_heads, num_tokens, head_dim]."""
    q, k, v, upstream = (x.astype(np.float64) for x in (q, k, v, upstream))
    scale = 1 / np.sqrt(q.shape[-1])
    dq, dk, dv = np.empty_like(q), np.empty_like(k), np.empty_like(v)
    for h in range(len(q)):
        weights = _weights(q[h], k[h], causal, None)
        d_weights = upstream[h] @ v[h].T
        d_scores = weights * (d_weights - (d_weights * weights).sum(-1, keepdims=True))
        dq[h], dk[h], dv[h] = scale * d_scores @ k[h], scale * d_scores.T @ q[h], weights.T @ upstream[h]
    return np.stack((dq, dk, dv))
