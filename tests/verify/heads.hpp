// Views of tensors of heads, in the orders that reference files use, and their positions per batch.
#pragma once

#include "tensor.hpp"

#include <posenc/view.hpp>

#include <string>
#include <vector>

namespace verify {

struct heads_shape {
  index_t batch = 1;
  index_t num_heads = 1;
  index_t num_tokens = 0;
  index_t head_dim = 0;
  bool token_major = false;  // [batch, num_tokens, num_heads, head_dim], else [batch, num_heads, num_tokens, head_dim]

  index_t size() const { return num_heads * num_tokens * head_dim; }  // of one batch
};

/// Rank 4: batch, head, position, dim. Rank 3: batch, position, head * dim.
heads_shape heads_shape_of(const tensor& x, index_t num_heads);

/// By the order that a golden spells out; default: "batch, head, position, dim".
heads_shape heads_shape_of(const tensor& x, const std::string& order, index_t num_heads);

/// The heads of one batch.
template <class S>
posenc::head_view<S> heads_of(std::vector<S>& x, const heads_shape& shape, index_t batch) {
  S* first = x.data() + batch * shape.size();
  if (shape.token_major) return {first, shape.num_tokens, shape.num_heads, shape.head_dim};
  return posenc::head_major(first, shape.num_heads, shape.num_tokens, shape.head_dim);
}

/// The positions of one batch, axis by axis, from ids of shape [num_tokens], [batch, num_tokens] or
/// [num_axes, batch, num_tokens].
struct batch_ids {
  std::vector<position_t> ids;  // [num_axes, num_tokens]
  index_t num_axes = 1;
};
batch_ids ids_of(const tensor& position_ids, index_t batch, index_t num_tokens);

/// 0, 1, 2, ...
std::vector<position_t> counting_from(index_t first, index_t count);

}  // namespace verify
