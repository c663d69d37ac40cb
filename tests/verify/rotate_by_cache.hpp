// Rotation by given caches of cosines and sines, as in ONNX's RotaryEmbedding.
#pragma once

#include "heads.hpp"

#include <posenc/encodings/rope.hpp>

namespace verify {

struct rotary_caches {
  const tensor& cos;                     // [max_position, rotary_dim / 2], or [batch, num_tokens, rotary_dim / 2]
  const tensor& sin;                     // the same
  const tensor* position_ids = nullptr;  // [batch, num_tokens]; null: a cache has one row per token
  posenc::pairing pairs = posenc::pairing::half;
  index_t rotary_dim = 0;  // 0: all of head_dim
};

/// x, rotated in elements of type S.
template <posenc::scalar S>
std::vector<S> rotate_by_cache(const tensor& x, const heads_shape& shape, const rotary_caches& caches) {
  const index_t num_pairs = caches.cos.dim(-1);
  const index_t rotary_dim = caches.rotary_dim > 0 ? caches.rotary_dim : shape.head_dim;
  if (caches.cos.shape != caches.sin.shape || 2 * num_pairs != rotary_dim)
    throw std::runtime_error("caches of shape " + shape_text(caches.cos.shape) + " and " +
                             shape_text(caches.sin.shape) + " for a rotary slice of " + std::to_string(rotary_dim));
  if (caches.position_ids == nullptr && (caches.cos.rank() != 3 || caches.cos.dim(0) != shape.batch))
    throw std::runtime_error("without position ids the caches have shape " + shape_text(caches.cos.shape));

  std::vector<S> turned = values_as<S>(x);
  const std::vector<S> cos = values_as<S>(caches.cos);
  const std::vector<S> sin = values_as<S>(caches.sin);
  for (index_t b = 0; b < shape.batch; ++b) {
    if (caches.position_ids != nullptr) {
      const posenc::cos_sin_rows<const S> rows(cos.data(), sin.data(), caches.cos.dim(-2), num_pairs);
      posenc::rotate(rows, caches.pairs, heads_of(turned, shape, b),
                     ids_of(*caches.position_ids, b, shape.num_tokens).ids);
    } else {
      const index_t first = b * caches.cos.dim(1) * num_pairs;
      const posenc::cos_sin_rows<const S> rows(cos.data() + first, sin.data() + first, caches.cos.dim(1), num_pairs);
      posenc::rotate(rows, caches.pairs, heads_of(turned, shape, b));
    }
  }
  return turned;
}

}  // namespace verify
