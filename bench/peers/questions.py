"""The questions: inputs, the limit, the work, and what float64 says."""
import numpy as np

import reference
from timing import Group


_GENERATOR = np.random.default_rng(0)


def _random(*shape):
    return _GENERATOR.standard_normal(shape, dtype=np.float32)


def _ask(group, posenc, peers, operation, arguments, work, expected, tolerance, of_peers=None):
    """`tolerance` is posenc's; the peers' may be wider, for a rotation by float32 angles is still the same operation."""
    for library in (posenc, *peers):
        allowed = tolerance if library is posenc or of_peers is None else of_peers
        for name, prepare in getattr(library, operation, lambda *_: [])(*arguments):
            group.add(name, work, prepare, expected, allowed)


def rotate(options, posenc, peers):
    """RoPE on q and k, a table of angles given: how near to scaling the same bytes in place?"""
    for tokens in (1, 512, 4096):
        q, k = _random(tokens, 32, 128), _random(tokens, 8, 128)
        cos, sin = reference.cos_sin(tokens, 64)
        for dtype, size, tolerance in (("f32", 4, 2e-6), ("bf16", 2, 0.05), ("f16", 2, 0.02)):
            num_bytes = (q.size + k.size) * size
            for interleaved in (False, True):
                layout = "interleaved" if interleaved else "half"
                group = Group(f"rotate {tokens} tokens {dtype} {layout}", "GB/s", options.rounds or 15, options.threads)
                group.add("limit: scale in place", 2 * num_bytes, lambda: posenc.scale_limit(num_bytes))
                group.add("limit: memcpy", 2 * num_bytes, lambda: posenc.copy_limit(num_bytes))
                _ask(group, posenc, peers, "rotate", (q, k, cos, sin, interleaved, dtype), 2 * num_bytes,
                     reference.rotate(q, cos, sin, interleaved), tolerance, max(tolerance, 5e-3))
                yield group


def table(options, posenc, peers):
    """Cosines and sines of consecutive positions: nanoseconds a pair."""
    num_positions, num_pairs = 131072, 64
    group = Group("table 131072 x 64 pairs", "ns", options.rounds or 5, options.threads)
    pairs = num_positions * num_pairs
    group.add("limit: memcpy", pairs, lambda: posenc.copy_limit(4 * pairs))
    expected = np.stack(reference.cos_sin(num_positions, num_pairs))
    _ask(group, posenc, peers, "table", (num_positions, num_pairs), pairs, expected, 6.1e-8, 1e-2)
    yield group


def add(options, posenc, peers):
    """x += rows, in place."""
    for tokens, dim in ((512, 768), (4096, 4096)):
        x, rows = _random(tokens, dim), _random(tokens, dim) * np.float32(1e-3)
        group = Group(f"add {tokens} x {dim}", "GB/s", options.rounds or 15, options.threads)
        group.add("limit: x += y", 3 * x.nbytes, lambda: posenc.add_limit(x.size))
        _ask(group, posenc, peers, "add", (x, rows), 3 * x.nbytes, x.astype(np.float64) + rows, 1e-6)
        yield group


def _pairs(num_tokens, causal):
    return num_tokens * (num_tokens + 1) / 2 if causal else num_tokens * num_tokens


def _attention_group(options, posenc, name, rounds=5):
    group = Group(name, "GFLOP/s", options.rounds or rounds, options.threads)
    prepared, flops = posenc.fma_limit()
    group.add("limit: float32 FMA", flops, lambda: prepared)
    return group


def _attention_inputs(num_tokens, dim):
    return [_random(8 if num_tokens <= 2048 else 2, num_tokens, dim) for _ in range(3)]


def attention(options, posenc, peers):
    """Share of the FMA peak; causal counts the pairs that the mask lets through."""
    for num_tokens in (n for n in (512, 2048, 8192) if n <= options.longest):
        for dim in (64, 128):
            q, k, v = _attention_inputs(num_tokens, dim)
            for causal in (False, True):
                expected = reference.attention(q, k, v, causal)
                for dtype, tolerance in (("f32", 1e-5), ("bf16", 0.03)):
                    name = f"attention n={num_tokens} d={dim} {'causal' if causal else 'full'} {dtype}"
                    group = _attention_group(options, posenc, name)
                    _ask(group, posenc, peers, "attention", (q, k, v, causal, dtype, None),
                         4 * dim * len(q) * _pairs(num_tokens, causal), expected, tolerance)
                    yield group


def alibi(options, posenc, peers):
    """Causal attention with ALiBi's bias, beside the same without."""
    for num_tokens in (n for n in (512, 2048) if n <= options.longest):
        dim = 64
        q, k, v = _attention_inputs(num_tokens, dim)
        slopes = 2.0 ** -(np.arange(len(q)) + 1.0)
        distance = reference.distances(num_tokens, num_tokens)
        group = _attention_group(options, posenc, f"ALiBi n={num_tokens} d={dim} causal f32")
        work = 4 * dim * len(q) * _pairs(num_tokens, True)
        expected = reference.attention(q, k, v, True, lambda h: -slopes[h] * distance)
        _ask(group, posenc, peers, "attention", (q, k, v, True, "f32", slopes), work, expected, 2e-3)
        yield group


def decode(options, posenc, peers):
    """One token of 32 heads against a cache of 8: bytes of k and v, against a read-only sum over them."""
    for num_keys in (4096, 32768):
        q, k, v = _random(32, 1, 128), _random(8, num_keys, 128), _random(8, num_keys, 128)
        group = Group(f"decode {num_keys} keys 32/8 heads d=128 f32", "GB/s", options.rounds or 9, options.threads)
        group.add("limit: read-only sum", 2 * k.nbytes, lambda: posenc.read_limit(2 * k.nbytes))
        _ask(group, posenc, peers, "attention", (q, k, v, False, "f32", None), 2 * k.nbytes,
             reference.attention(q, k, v), 1e-5, 1e-4)
        yield group


def backward(options, posenc, peers):
    """Gradients of attention: 10 flops a pair and column."""
    for num_tokens in (n for n in (512, 2048) if n <= options.longest):
        for dim in (64, 128):
            q, k, v = _attention_inputs(num_tokens, dim)
            upstream = _random(*q.shape)
            for causal in (False, True):
                name = f"backward n={num_tokens} d={dim} {'causal' if causal else 'full'} f32"
                group = _attention_group(options, posenc, name, 3)
                _ask(group, posenc, peers, "attention_backward", (q, k, v, upstream, causal),
                     10 * dim * len(q) * _pairs(num_tokens, causal),
                     reference.attention_backward(q, k, v, upstream, causal), 2e-4)
                yield group


def flex(options, posenc, peers):
    """Causal attention with a bias of distance that a person wrote."""
    num_tokens, dim = min(options.longest, 2048), 128
    q, k, v = (_random(4, num_tokens, dim) for _ in range(3))
    distance = reference.distances(num_tokens, num_tokens)
    group = _attention_group(options, posenc, f"flex n={num_tokens} d={dim} causal f32", 9)
    work = 4 * dim * len(q) * _pairs(num_tokens, True)
    buckets = reference.t5_buckets(num_tokens)[np.maximum(distance, 0)]
    biases = {"none": None, "ALiBi": lambda h: -(2.0 ** (-8 * (h + 1) / len(q))) * distance,
              "KERPLE log": lambda h: -np.log1p(0.5 * np.abs(distance)), "T5 buckets": lambda h: reference.t5_table(len(q))[buckets, h]}
    for bias, matrix in biases.items():
        _ask(group, posenc, peers, "flex", (q, k, v, bias), work, reference.attention(q, k, v, True, matrix), 1e-4)
    yield group


ALL = {"rotate": rotate, "table": table, "add": add, "attention": attention, "alibi": alibi, "decode": decode,
       "backward": backward, "flex": flex}
