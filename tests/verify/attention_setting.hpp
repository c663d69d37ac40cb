// The options of an attention case, with their memory.
#pragma once

#include "golden_case.hpp"
#include "heads.hpp"

#include <posenc/attention/options.hpp>

#include <memory>
#include <vector>

namespace verify {

template <posenc::real T>
class attention_setting {
 public:
  attention_setting(const golden_case& one, index_t batch, index_t num_queries, index_t num_keys);

  /// Positions are those of the case, or the indices of queries at the end of the keys.
  posenc::positions queries() const { return posenc::positions(query_ids_); }
  posenc::positions keys() const { return posenc::positions(key_ids_); }

  /// All options except the log-sum-exp, which is the caller's.
  posenc::attend_options<T> options() const;

 private:
  const golden_case& one_;
  std::vector<position_t> query_ids_;
  std::vector<position_t> key_ids_;
  std::vector<T> sinks_;
  std::unique_ptr<bool[]> key_mask_;
  index_t num_keys_;
};

/// `causal` and `sliding_window`.
posenc::index_band band_of(const golden_case& one);

}  // namespace verify
