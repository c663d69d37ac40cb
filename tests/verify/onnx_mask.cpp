#include "onnx_mask.hpp"

#include <cmath>
#include <stdexcept>

namespace verify {

namespace {

// Where an element lies in a mask whose missing or single extents stand for all; -1 behind its last key.
class broadcast {
 public:
  broadcast(const tensor& mask, const onnx_mask::extents& size) : num_keys_(mask.dim(-1)) {
    if (mask.rank() < 1 || mask.rank() > 4) throw std::runtime_error("attn_mask has " + shape_text(mask.shape));
    const index_t full[] = {size.batch, size.num_heads, size.num_queries};
    index_t stride = num_keys_;
    for (index_t axis = 2; axis >= 0; --axis) {
      const index_t in_mask = axis - 4 + mask.rank();
      const index_t extent = in_mask >= 0 ? mask.dim(in_mask) : 1;
      if (extent != 1 && extent != full[axis])
        throw std::runtime_error("attn_mask of shape " + shape_text(mask.shape) + " does not fit");
      strides_[axis] = extent == 1 ? 0 : stride;
      stride *= extent;
    }
    if (num_keys_ > size.num_keys) throw std::runtime_error("attn_mask has more keys than there are");
  }

  index_t at(index_t batch, index_t head, index_t query, index_t key) const {
    return key < num_keys_ ? batch * strides_[0] + head * strides_[1] + query * strides_[2] + key : -1;
  }

 private:
  index_t num_keys_;
  index_t strides_[3] = {};
};

}  // namespace

onnx_mask::onnx_mask(const onnx_case& one, const extents& size) : size_(size) {
  bias_.assign(static_cast<std::size_t>(size.batch * pairs()), 0.0);
  const tensor* mask = one.find("attn_mask");
  if (mask == nullptr) return;
  allowed_ = std::make_unique<bool[]>(bias_.size());
  const bool is_boolean = mask->dtype == "BOOL";
  const broadcast source(*mask, size);
  std::size_t pair = 0;
  for (index_t b = 0; b < size.batch; ++b) {
    for (index_t h = 0; h < size.num_heads; ++h) {
      for (index_t q = 0; q < size.num_queries; ++q) {
        for (index_t k = 0; k < size.num_keys; ++k, ++pair) {
          const index_t at = source.at(b, h, q, k);
          const double value = at < 0 ? 0 : mask->values[static_cast<std::size_t>(at)];
          allowed_[pair] = at >= 0 && (is_boolean ? value != 0 : !(std::isinf(value) && value < 0));
          if (!is_boolean) bias_[pair] = value;
        }
      }
    }
  }
}

posenc::bool_mask onnx_mask::allowed(index_t batch) const {
  if (!allowed_) return {};
  return {allowed_.get() + batch * pairs(), size_.num_keys, size_.num_keys, size_.num_queries * size_.num_keys};
}

posenc::dense_bias<double> onnx_mask::bias(index_t batch) const {
  return {bias_.data() + batch * pairs(),
          {.num_heads = size_.num_heads, .num_queries = size_.num_queries, .num_keys = size_.num_keys}};
}

}  // namespace verify
