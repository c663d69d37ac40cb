"""ggml through ctypes: the shared libraries that llama-cpp-python installs, opaque pointers only."""
import ctypes
import importlib.util
import math
import os

import numpy as np

from timing import Prepared

F32, F16, I32 = 0, 1, 26
INTERLEAVED, HALF = 0, 2
NUMBER = {"f32": (F32, np.float32), "f16": (F16, np.float16)}

P, I, F, L, SIZE = ctypes.c_void_p, ctypes.c_int, ctypes.c_float, ctypes.c_int64, ctypes.c_size_t


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", SIZE), ("mem_buffer", P), ("no_alloc", ctypes.c_bool)]


SIGNATURES = {
    "ggml_init": (P, InitParams), "ggml_free": (None, P), "ggml_new_tensor_4d": (P, P, I, L, L, L, L),
    "ggml_get_data": (P, P), "ggml_rope_ext_inplace": (P, P, P, P, P, I, I, I, F, F, F, F, F, F),
    "ggml_add_inplace": (P, P, P, P), "ggml_flash_attn_ext": (P, P, P, P, P, P, F, F, F),
    "ggml_new_graph_custom": (P, P, SIZE, ctypes.c_bool), "ggml_build_forward_expand": (None, P, P),
    "ggml_version": (ctypes.c_char_p,), "ggml_backend_graph_compute": (I, P, P), "ggml_backend_cpu_init": (P,),
    "ggml_backend_cpu_set_n_threads": (None, P, I),
}


def _load():
    folder = os.path.join(os.path.dirname(importlib.util.find_spec("llama_cpp").origin), "lib")
    libraries = [ctypes.CDLL(os.path.join(folder, f"libggml-{part}.so"), mode=ctypes.RTLD_GLOBAL) for part in ("base", "cpu")]
    functions = {}
    for name, (result, *arguments) in SIGNATURES.items():
        library = next(x for x in libraries if hasattr(x, name))
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
        functions[name] = function
    return functions


class Ggml:
    def __init__(self, threads):
        self.functions = _load()
        self.backend = self.functions["ggml_backend_cpu_init"]()
        self.functions["ggml_backend_cpu_set_n_threads"](self.backend, threads)

    def version(self):
        return self.functions["ggml_version"]().decode()

    def rotate(self, q, k, cos, sin, interleaved, dtype):
        """Computes its cosines and sines in every call."""
        if dtype not in NUMBER:
            return []

        def prepare():
            memory = Memory(self, 4 * (q.nbytes + k.nbytes))
            repeats = 32 if len(q) == 1 else 1
            ids = memory.tensor(I32, np.arange(len(q), dtype=np.int32))
            kind, number = NUMBER[dtype]
            x, y = (memory.tensor(kind, a.astype(number)) for a in (q, k))
            mode = INTERLEAVED if interleaved else HALF
            rope = lambda t: memory("ggml_rope_ext_inplace", t, ids, None, q.shape[2], mode, 0, 10000.0, 1.0, 0.0, 1.0, 32.0, 1.0)
            once = memory.graph([rope(x), rope(y)])
            once()
            first = memory.read(x, q.shape, number)
            chain = [x, y]
            for _ in range(repeats):
                chain = [rope(t) for t in chain]
            return Prepared(memory.graph(chain), lambda: first, repeats, memory)
        return [("ggml rope_ext in place", prepare)]

    def add(self, x, rows):
        def prepare():
            memory = Memory(self, 2 * x.nbytes)
            a, b = memory.tensor(F32, x), memory.tensor(F32, rows)
            run = memory.graph([memory("ggml_add_inplace", a, b)])
            run()
            first = memory.read(a, x.shape, np.float32)
            return Prepared(run, lambda: first, keep=memory)
        return [("ggml add in place", prepare)]

    def attention(self, q, k, v, causal, dtype, slopes):
        if dtype != "f32":
            return []
        return [("ggml flash_attn_ext", lambda: self._attention(q, k, v, causal, slopes))]

    def _attention(self, q, k, v, causal, slopes):
        heads, num_queries, dim = q.shape
        num_keys = k.shape[1]
        memory = Memory(self, 4 * (3 * q.nbytes + k.nbytes + v.nbytes) + 4 * num_queries * num_keys)
        x = [memory.tensor(F32, a) for a in (q, k, v)]
        mask = None
        if (causal and num_queries > 1) or slopes is not None:
            distance = np.arange(num_keys - num_queries, num_keys)[:, None] - np.arange(num_keys)[None]
            mask = memory.tensor(F16, np.where(distance < 0, -np.inf, -distance if slopes is not None else 0).astype(np.float16))
        max_bias = 8.0 if slopes is not None else 0.0  # its own slopes, which the caller's must be
        out = memory("ggml_flash_attn_ext", *x, mask, 1 / math.sqrt(dim), max_bias, 0.0)
        return Prepared(memory.graph([out]),
                        lambda: memory.read(out, (num_queries, heads, dim), np.float32).transpose(1, 0, 2), keep=memory)


class Memory:
    """A context with tensors, and graphs over them."""

    def __init__(self, ggml, num_bytes):
        self.ggml, self.functions = ggml, ggml.functions
        self.context = self.functions["ggml_init"](InitParams(int(num_bytes) + (32 << 20), None, False))

    def __call__(self, name, *arguments):
        return self.functions[name](self.context, *arguments)

    def __del__(self):
        self.functions["ggml_free"](self.context)

    def tensor(self, kind, array):
        sizes = list(reversed(array.shape)) + [1] * (4 - array.ndim)
        tensor = self("ggml_new_tensor_4d", kind, *sizes)
        array = np.ascontiguousarray(array)
        ctypes.memmove(self.functions["ggml_get_data"](tensor), array.ctypes.data, array.nbytes)
        return tensor

    def read(self, tensor, shape, number):
        array = np.empty(shape, number)
        ctypes.memmove(array.ctypes.data, self.functions["ggml_get_data"](tensor), array.nbytes)
        return array

    def graph(self, outputs):
        graph = self("ggml_new_graph_custom", 256, False)
        for tensor in outputs:
            self.functions["ggml_build_forward_expand"](graph, tensor)
        return lambda: self.functions["ggml_backend_graph_compute"](self.ggml.backend, graph)
