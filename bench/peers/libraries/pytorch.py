"""PyTorch as its users call it: eager, compiled where it compiles, fused attention, FlexAttention."""
import math

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention as fused_attention

import reference
from timing import Prepared

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def to_numpy(tensor):
    return tensor.detach().float().numpy()


class Torch:
    def __init__(self, threads, compiles):
        torch.set_num_threads(threads)
        self.compiles = compiles

    def version(self):
        return torch.__version__

    def rotate(self, q, k, cos, sin, interleaved, dtype):
        if interleaved:
            return [("torch view_as_complex product", lambda: self._complex(q, k, cos, sin))] if dtype == "f32" else []
        ways = [("transformers apply_rotary_pos_emb", lambda: self._rotate_half(q, k, cos, sin, dtype, False))]
        if self.compiles:
            ways.append(("transformers apply_rotary_pos_emb, compiled",
                         lambda: self._rotate_half(q, k, cos, sin, dtype, True)))
        return ways

    @staticmethod
    def _rotate_half(q, k, cos, sin, dtype, compiled):
        from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
        rows = [torch.from_numpy(np.concatenate((x, x), -1)[None]).to(DTYPES[dtype]) for x in (cos, sin)]
        x, y = (torch.from_numpy(a)[None].to(DTYPES[dtype]).transpose(1, 2) for a in (q, k))
        apply = torch.compile(apply_rotary_pos_emb, dynamic=False) if compiled else apply_rotary_pos_emb
        return Prepared(lambda: apply(x, y, *rows), lambda: to_numpy(apply(x, y, *rows)[0].transpose(1, 2)[0]))

    @staticmethod
    def _complex(q, k, cos, sin):
        turns = torch.from_numpy((cos + 1j * sin).astype(np.complex64))[:, None]
        x, y = torch.from_numpy(q), torch.from_numpy(k)
        turn = lambda a: torch.view_as_real(torch.view_as_complex(a.view(*a.shape[:-1], -1, 2)) * turns).flatten(2)
        return Prepared(lambda: (turn(x), turn(y)), lambda: to_numpy(turn(x)))

    def table(self, num_positions, num_pairs):
        def prepare(dtype):
            inv_freq = torch.from_numpy(10000.0 ** (-np.arange(num_pairs) / num_pairs)).to(dtype)
            ids = torch.arange(num_positions).to(dtype)

            def fill():
                angles = torch.outer(ids, inv_freq)
                return angles.cos().float(), angles.sin().float()
            return Prepared(fill, lambda: to_numpy(torch.stack(fill())))
        return [("torch, float64 angles", lambda: prepare(torch.float64)),
                ("torch, float32 angles (as transformers)", lambda: prepare(torch.float32))]

    def add(self, x, rows):
        def prepare():
            a, b, zero = torch.from_numpy(x.copy()), torch.from_numpy(rows), torch.zeros(x.shape)
            a.add_(b)
            first = to_numpy(a).copy()
            return Prepared(lambda: zero.add_(b), lambda: first)
        return [("torch x.add_(rows)", prepare)]

    def attention(self, q, k, v, causal, dtype, slopes):
        def prepare():
            x = [torch.from_numpy(a)[None].to(DTYPES[dtype]) for a in (q, k, v)]
            options = {"enable_gqa": len(q) != len(k)}
            if slopes is not None:
                distance = torch.arange(q.shape[1])[:, None] - torch.arange(k.shape[1])[None]
                bias = -torch.from_numpy(slopes).float()[:, None, None] * distance
                options["attn_mask"] = bias.masked_fill(distance < 0, -math.inf)[None]
            else:
                options["is_causal"] = causal

            def run():
                with torch.no_grad():
                    return fused_attention(*x, **options)
            return Prepared(run, lambda: to_numpy(run()[0]))
        return [("torch scaled_dot_product_attention" + (", mask made before" if slopes is not None else ""), prepare)]

    def attention_backward(self, q, k, v, upstream, causal):
        def prepare():
            x = [torch.from_numpy(a)[None].requires_grad_() for a in (q, k, v)]
            d_out = torch.from_numpy(upstream)[None]
            out = fused_attention(*x, is_causal=causal)
            run = lambda: torch.autograd.grad(out, x, d_out, retain_graph=True)
            return Prepared(run, lambda: np.stack([to_numpy(g[0]) for g in run()]))
        return [("torch scaled_dot_product_attention, backward", prepare)]

    def flex(self, q, k, v, bias):
        if not self.compiles:
            return []

        def prepare():
            from torch.nn.attention.flex_attention import create_block_mask, flex_attention
            torch._dynamo.reset()
            x = [torch.from_numpy(a)[None] for a in (q, k, v)]
            mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, q.shape[1], k.shape[1], device="cpu")
            function = torch.compile(flex_attention, dynamic=False)

            def run():
                with torch.no_grad():
                    return function(*x, score_mod=score_modification(bias, len(q), q.shape[1]), block_mask=mask)
            return Prepared(run, lambda: to_numpy(run()[0]))
        return [("torch FlexAttention, " + bias, prepare)]


def score_modification(bias, num_heads, num_tokens):
    """As a user writes it: a function of the score, batch, head and two indices."""
    slopes = torch.tensor([2.0 ** (-8 * (h + 1) / num_heads) for h in range(num_heads)])
    if bias == "ALiBi":
        return lambda s, b, h, i, j: s - slopes[h] * (i - j)
    if bias == "KERPLE log":
        return lambda s, b, h, i, j: s - torch.log1p(0.5 * (i - j).abs())
    if bias == "T5 buckets":
        buckets = torch.from_numpy(reference.t5_buckets(num_tokens))
        table = torch.from_numpy(reference.t5_table(num_heads))
        return lambda s, b, h, i, j: s + table[buckets[(i - j).clamp(0, num_tokens - 1)], h]
    return None
