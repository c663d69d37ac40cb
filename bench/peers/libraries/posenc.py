"""posenc, through the C functions of candidate.hpp."""
import ctypes

import numpy as np

from timing import Prepared, aligned

POINTER, LONG, INT, DOUBLE = ctypes.c_void_p, ctypes.c_long, ctypes.c_int, ctypes.c_double
ROPE = [POINTER, POINTER, POINTER, LONG, LONG, LONG, INT, INT]
SIGNATURES = {
    "cand_rope_f32": ROPE, "cand_rope_bf16": ROPE, "cand_rope_f16": ROPE,
    "cand_add_f32": [POINTER] * 2 + [LONG] * 2 + [INT],
    "cand_table": [POINTER, POINTER, LONG, LONG, DOUBLE, INT],
    "cand_attention_f32": [POINTER] * 4 + [LONG] * 3 + [INT, POINTER, INT],
    "cand_decode_f32": [POINTER] * 4 + [LONG] * 4 + [INT],
    "cand_attention_bf16": [POINTER] * 4 + [LONG] * 3 + [INT, INT],
    "cand_attention_biased_f32": [POINTER] * 4 + [LONG] * 3 + [INT, INT],
    "cand_attention_backward_f32": [POINTER] * 9 + [LONG] * 3 + [INT] * 3,
    "limit_scale": [POINTER, LONG, LONG], "limit_copy": [POINTER, POINTER, LONG, LONG],
    "limit_add": [POINTER, POINTER, LONG, LONG], "limit_read": [POINTER, LONG, LONG], "limit_fma": [LONG, INT],
    "limit_fma_flops": [LONG],
    "repeat_rope": [POINTER] * 5 + [LONG] * 4 + [INT] * 2 + [LONG], "cand_version": [],
}
RESULTS = {"limit_fma_flops": DOUBLE, "cand_version": ctypes.c_char_p}


def to_bf16(x):
    """Nearest, ties to even: the upper halves of the words."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bf16(x):
    return (x.astype(np.uint32) << 16).view(np.float32)


STORE = {"f32": lambda x: x.astype(np.float32), "f16": lambda x: x.astype(np.float16), "bf16": to_bf16}
LOAD = {"f32": lambda x: x, "f16": lambda x: x.astype(np.float32), "bf16": from_bf16}


def pointer(array):
    return None if array is None else array.ctypes.data


class Posenc:
    def __init__(self, path, threads):
        self.functions, self.threads = ctypes.CDLL(path), threads
        for name, arguments in SIGNATURES.items():
            function = getattr(self.functions, name)
            function.argtypes, function.restype = arguments, RESULTS.get(name)

    def version(self):
        return self.functions.cand_version().decode()

    # ---- Limits, over as many bytes as the operation touches ----

    def scale_limit(self, num_bytes):
        x, times = aligned(np.ones(num_bytes // 4, np.float32)), self._times(num_bytes)
        return Prepared(lambda: self.functions.limit_scale(pointer(x), x.size, times), operations=times, keep=x)

    def copy_limit(self, num_bytes):
        x, y, times = aligned(np.ones(num_bytes, np.uint8)), aligned(np.ones(num_bytes, np.uint8)), self._times(num_bytes)
        return Prepared(lambda: self.functions.limit_copy(pointer(y), pointer(x), num_bytes, times), operations=times)

    def add_limit(self, count):
        x, y = aligned(np.zeros(count, np.float32)), aligned(np.full(count, 1e-9, np.float32))
        return Prepared(lambda: self.functions.limit_add(pointer(x), pointer(y), count, 1))

    def read_limit(self, num_bytes):
        x = aligned(np.ones(num_bytes // 4, np.float32))
        return Prepared(lambda: self.functions.limit_read(pointer(x), x.size, 1))

    def fma_limit(self):
        """And the flops of one call."""
        rounds = 100_000 if self.threads == 1 else 2_000_000  # long enough to be spread over the cores
        flops = self.functions.limit_fma_flops(rounds) * self.threads
        return Prepared(lambda: self.functions.limit_fma(rounds, self.threads)), flops

    @staticmethod
    def _times(num_bytes):
        """A small buffer is passed over many times in one call, or it is the call that is measured."""
        return 256 if num_bytes < 1 << 16 else 1

    # ---- Operations ----

    def rotate(self, q, k, cos, sin, interleaved, dtype):
        def prepare():
            x, y = aligned(STORE[dtype](q)), aligned(STORE[dtype](k))
            c, s = aligned(cos.astype(np.float32)), aligned(sin.astype(np.float32))
            function = getattr(self.functions, "cand_rope_" + dtype)
            tokens, heads, dim = q.shape
            times = self._times(x.nbytes + y.nbytes)
            threads = self.threads if times == 1 else 1
            once = lambda count: self.functions.repeat_rope(
                ctypes.cast(function, POINTER), pointer(x), pointer(y), pointer(c), pointer(s), tokens, heads, k.shape[1],
                dim, int(interleaved), threads, count)
            once(1)
            first = LOAD[dtype](x.copy())
            return Prepared(lambda: once(times), lambda: first, times, (x, y, c, s))
        return [("posenc", prepare)]

    def table(self, num_positions, num_pairs):
        def prepare():
            out = aligned(np.zeros((2, num_positions, num_pairs), np.float32))
            return Prepared(lambda: self.functions.cand_table(pointer(out[0]), pointer(out[1]), num_positions, 2 * num_pairs,
                                                            10000.0, self.threads), lambda: out)
        return [("posenc", prepare)]

    def add(self, x, rows):
        def prepare():
            sums, table = aligned(x), aligned(rows)
            once = lambda: self.functions.cand_add_f32(pointer(sums), pointer(table), *x.shape, self.threads)
            once()
            first = sums.copy()
            return Prepared(once, lambda: first, keep=(sums, table))
        return [("posenc", prepare)]

    def attention(self, q, k, v, causal, dtype, slopes):
        heads, tokens, dim = q.shape
        if tokens == 1:
            return [("posenc", lambda: self._decode(q, k, v))] if dtype == "f32" else []
        if dtype == "bf16":
            return [("posenc", lambda: self._attention_bf16(q, k, v, causal))] if slopes is None else []

        def prepare():
            x, out = [aligned(a) for a in (q, k, v)], aligned(np.zeros_like(q))
            s = None if slopes is None else slopes.astype(np.float32)
            return Prepared(lambda: self.functions.cand_attention_f32(*map(pointer, x), pointer(out), heads, tokens, dim,
                                                                    int(causal), pointer(s), self.threads), lambda: out)
        return [("posenc", prepare)] if dtype == "f32" else []

    def attention_backward(self, q, k, v, upstream, causal):
        def prepare():
            heads, tokens, dim = q.shape
            x = [aligned(a) for a in (q, k, v, np.zeros_like(q), upstream)]
            gradients = aligned(np.zeros((3, *q.shape), np.float32))
            lse = aligned(np.zeros((tokens, heads), np.float32))
            run = lambda forward: self.functions.cand_attention_backward_f32(
                *map(pointer, x), pointer(lse), *map(pointer, gradients), heads, tokens, dim, int(causal), forward,
                self.threads)
            run(1)  # out and log-sum-exp of the forward pass, which is not timed
            return Prepared(lambda: run(0), lambda: gradients)
        return [("posenc", prepare)]

    def flex(self, q, k, v, bias):
        kinds = {"none": 0, "ALiBi": 1, "KERPLE log": 2, "T5 buckets": 3}

        def prepare():
            heads, tokens, dim = q.shape
            x, out = [aligned(a) for a in (q, k, v)], aligned(np.zeros_like(q))
            return Prepared(lambda: self.functions.cand_attention_biased_f32(*map(pointer, x), pointer(out), heads, tokens,
                                                                           dim, kinds[bias], self.threads), lambda: out)
        return [("posenc, " + bias, prepare)]

    def _decode(self, q, k, v):
        x, out = [aligned(a) for a in (q, k, v)], aligned(np.zeros_like(q))
        return Prepared(lambda: self.functions.cand_decode_f32(*map(pointer, x), pointer(out), len(q), len(k), k.shape[1],
                                                             k.shape[2], self.threads), lambda: out)

    def _attention_bf16(self, q, k, v, causal):
        x, out = [aligned(to_bf16(a)) for a in (q, k, v)], aligned(to_bf16(np.zeros_like(q)))
        return Prepared(lambda: self.functions.cand_attention_bf16(*map(pointer, x), pointer(out), *q.shape, int(causal),
                                                                 self.threads), lambda: from_bf16(out))
