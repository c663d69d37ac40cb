// ONNX's attn_mask, boolean or added, broadcast to all batches, heads and queries, and padded to all keys.
#pragma once

#include "onnx_case.hpp"

#include <posenc/attention/masks.hpp>
#include <posenc/encodings/dense_bias.hpp>

#include <memory>
#include <vector>

namespace verify {

class onnx_mask {
 public:
  struct extents {
    index_t batch, num_heads, num_queries, num_keys;
  };

  /// Without a mask everything is allowed and nothing is added.
  onnx_mask(const onnx_case& one, const extents& size);

  /// Pairs that a boolean mask allows; for an added mask, those that it does not take to minus infinity.
  posenc::bool_mask allowed(index_t batch) const;
  /// What an added mask adds.
  posenc::dense_bias<double> bias(index_t batch) const;

 private:
  index_t pairs() const { return size_.num_heads * size_.num_queries * size_.num_keys; }  // of one batch

  extents size_;
  std::unique_ptr<bool[]> allowed_;  // [batch, num_heads, num_queries, num_keys]; null: all
  std::vector<double> bias_;         // the same shape
};

}  // namespace verify
