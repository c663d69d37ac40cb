// The cached keys and values of one layer.
#pragma once

#include <posenc/view.hpp>

#include <cstddef>
#include <vector>

namespace engine {

/// Contiguous and token-major, [num_tokens, num_kv_heads, head_dim]; grows at the end.
class kv_cache {
 public:
  kv_cache(posenc::index_t num_kv_heads, posenc::index_t head_dim) : num_heads_(num_kv_heads), head_dim_(head_dim) {}

  void append(posenc::head_view<const float> k, posenc::head_view<const float> v) {
    append(keys_, k);
    append(values_, v);
  }
  void clear() {
    keys_.clear();
    values_.clear();
  }

  posenc::head_view<const float> keys() const { return view(keys_); }
  posenc::head_view<const float> values() const { return view(values_); }

 private:
  static void append(std::vector<float>& cache, posenc::head_view<const float> x) {
    for (posenc::index_t t = 0; t < x.num_tokens; ++t) {
      for (posenc::index_t h = 0; h < x.num_heads; ++h)
        cache.insert(cache.end(), x.row(t, h), x.row(t, h) + x.head_dim);
    }
  }
  posenc::head_view<const float> view(const std::vector<float>& cache) const {
    return {cache.data(), std::ssize(cache) / (num_heads_ * head_dim_), num_heads_, head_dim_};
  }

  posenc::index_t num_heads_;
  posenc::index_t head_dim_;
  std::vector<float> keys_;
  std::vector<float> values_;
};

}  // namespace engine
