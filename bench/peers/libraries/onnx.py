"""ONNX Runtime: models of one operator each, inputs and outputs bound, so that Python copies nothing."""
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from timing import Prepared

CONTRIB = "com.microsoft"
TYPES = {"f32": (TensorProto.FLOAT, np.float32), "f16": (TensorProto.FLOAT16, np.float16)}


def _info(arrays):
    return [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in arrays.items()]


def run_node(nodes, inputs, outputs, threads, shared=()):
    """inputs, outputs: arrays by name; shared: pairs of an output and the input whose memory it is."""
    graph = helper.make_graph(nodes, "one", _info(inputs), _info(outputs))
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    values = {n: onnxruntime.OrtValue.ortvalue_from_numpy(a) for n, a in (inputs | outputs).items()}
    values |= {out: values[there] for out, there in shared}
    for name in inputs:
        binding.bind_ortvalue_input(name, values[name])
    for name in outputs:
        binding.bind_ortvalue_output(name, values[name])
    first = next(iter(outputs))
    return Prepared(lambda: session.run_with_iobinding(binding), lambda: values[first].numpy(), keep=(session, values))


def _flat(x):
    """[heads, tokens, dim] as [1, tokens, heads * dim]."""
    return np.ascontiguousarray(x.transpose(1, 0, 2)).reshape(1, x.shape[1], -1)


def _heads(prepared, num_heads, dim):
    flat = prepared.result
    prepared.result = lambda: flat().reshape(-1, num_heads, dim).transpose(1, 0, 2)
    return prepared


class Onnx:
    def __init__(self, threads):
        self.threads = threads

    def version(self):
        return onnxruntime.__version__

    def rotate(self, q, k, cos, sin, interleaved, dtype):
        if dtype not in TYPES:
            return []

        def prepare():
            number = TYPES[dtype][1]
            tokens = len(q)
            inputs = {"q": q.reshape(1, tokens, -1).astype(number), "k": k.reshape(1, tokens, -1).astype(number),
                      "ids": np.arange(tokens, dtype=np.int64)[None], "cos": cos.astype(number), "sin": sin.astype(number)}
            nodes = [helper.make_node("RotaryEmbedding", [x, "ids", "cos", "sin"], [x + "_out"], domain=CONTRIB,
                                      interleaved=int(interleaved), num_heads=heads.shape[1])
                     for x, heads in (("q", q), ("k", k))]
            outputs = {"q_out": np.zeros_like(inputs["q"]), "k_out": np.zeros_like(inputs["k"])}
            prepared = run_node(nodes, inputs, outputs, self.threads)
            flat = prepared.result
            prepared.result = lambda: flat().reshape(q.shape)
            return prepared
        return [("ONNX Runtime RotaryEmbedding", prepare)]

    def attention(self, q, k, v, causal, dtype, slopes):
        if dtype != "f32":
            return []
        if q.shape[1] == 1:
            return [("ONNX Runtime GroupQueryAttention", lambda: self._grouped(q, k, v))]
        ways = [("ONNX Runtime MultiHeadAttention", lambda: self._multi_head(q, k, v, causal, slopes))]
        if causal and slopes is None:
            ways.append(("ONNX Runtime GroupQueryAttention", lambda: self._grouped(q, k, v)))
        return ways

    def _multi_head(self, q, k, v, causal, slopes):
        inputs = {"q": _flat(q), "k": _flat(k), "v": _flat(v)}
        names = ["q", "k", "v"]
        if slopes is not None:
            distance = np.arange(q.shape[1])[:, None] - np.arange(k.shape[1])[None]
            inputs["bias"] = (-slopes[:, None, None] * distance).astype(np.float32)[None]
            names += ["", "", "bias"]
        node = helper.make_node("MultiHeadAttention", names, ["out"], domain=CONTRIB, num_heads=len(q),
                                unidirectional=int(causal))
        return _heads(run_node([node], inputs, {"out": np.zeros_like(inputs["q"])}, self.threads), len(q), q.shape[2])

    def _grouped(self, q, k, v):
        """Causal; with one query all but its own key come from the cache."""
        tokens, total, dim = q.shape[1], k.shape[1], q.shape[2]
        cache = [np.ascontiguousarray(x)[None] for x in (k, v)]
        inputs = {"q": _flat(q), "k": _flat(k[:, total - tokens:]), "v": _flat(v[:, total - tokens:]),
                  "past_k": cache[0], "past_v": cache[1], "last": np.array([total - 1], np.int32),
                  "total": np.array([total], np.int32)}
        outputs = {"out": np.zeros_like(inputs["q"]), "now_k": cache[0], "now_v": cache[1]}
        node = helper.make_node("GroupQueryAttention", list(inputs), list(outputs), domain=CONTRIB, num_heads=len(q),
                                kv_num_heads=len(k))
        shared = (("now_k", "past_k"), ("now_v", "past_v"))
        return _heads(run_node([node], inputs, outputs, self.threads, shared), len(q), dim)
