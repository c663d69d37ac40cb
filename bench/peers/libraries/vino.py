"""OpenVINO: the graphs that its CPU plugin fuses."""
import numpy as np
import openvino
import openvino.opset13 as ops

from timing import Prepared


class OpenVino:
    def __init__(self, threads):
        self.options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}

    def version(self):
        return openvino.__version__

    def _prepare(self, outputs, parameters, arrays, fused=None):
        compiled = openvino.Core().compile_model(openvino.Model(outputs, parameters, "one"), "CPU", self.options)
        kinds = [node.get_rt_info()["layerType"].astype(str) for node in compiled.get_runtime_model().get_ordered_ops()]
        if fused and fused not in kinds:
            raise RuntimeError(f"not fused into {fused}: {kinds}")
        request = compiled.create_infer_request()
        for i, array in enumerate(arrays):
            request.set_input_tensor(i, openvino.Tensor(np.ascontiguousarray(array, np.float32)))
        return Prepared(request.infer, lambda: request.get_output_tensor(0).data, keep=compiled)

    def rotate(self, q, k, cos, sin, interleaved, dtype):
        """The rotate-half pattern, as exported models have it."""
        if interleaved or dtype != "f32":
            return []

        def prepare():
            tokens, _, dim = q.shape
            integers = lambda *values: ops.constant(np.array(values, np.int64))
            rows = [ops.parameter([1, 1, tokens, dim], np.float32) for _ in range(2)]
            outputs, parameters = [], []
            for heads in (q.shape[1], k.shape[1]):
                x = ops.parameter([1, tokens, heads * dim], np.float32)
                x4 = ops.transpose(ops.reshape(x, integers(0, 0, heads, dim), True), integers(0, 2, 1, 3))
                low = ops.slice(x4, integers(0), integers(dim // 2), integers(1), integers(3))
                high = ops.slice(x4, integers(dim // 2), integers(2**63 - 1), integers(1), integers(3))
                turned = ops.concat([ops.multiply(high, ops.constant(np.full((1, 1, 1, 1), -1, np.float32))), low], -1)
                outputs.append(ops.add(ops.multiply(x4, rows[0]), ops.multiply(turned, rows[1])))
                parameters.append(x)
            both = [np.concatenate((x, x), -1)[None, None] for x in (cos, sin)]
            flat = [x.reshape(1, tokens, -1) for x in (q, k)]
            prepared = self._prepare(outputs, parameters + rows, flat + both, fused="RoPE")
            by_head = prepared.result
            prepared.result = lambda: by_head()[0].transpose(1, 0, 2)
            return prepared
        return [("OpenVINO fused RoPE", prepare)]

    def attention(self, q, k, v, causal, dtype, slopes):
        if dtype != "f32" or slopes is not None or len(q) != len(k):
            return []

        def prepare():
            parameters = [ops.parameter([1, *x.shape], np.float32) for x in (q, k, v)]
            outputs = [ops.scaled_dot_product_attention(*parameters, causal=causal)]
            prepared = self._prepare(outputs, parameters, [x[None] for x in (q, k, v)])
            batch = prepared.result
            prepared.result = lambda: batch()[0]
            return prepared
        return [("OpenVINO scaled_dot_product_attention", prepare)]
