#include "attention_setting.hpp"

namespace verify {

namespace {

// `specific` for one side, `position_ids` for both, indices where there is neither.
std::vector<position_t> positions_of(const golden_case& one, const std::string& specific, index_t batch, index_t first,
                                     index_t count) {
  for (const std::string& role : {specific, std::string("position_ids")}) {
    if (one.has(role)) return ids_of(one.input(role), batch, count).ids;
  }
  return counting_from(first, count);
}

}  // namespace

posenc::index_band band_of(const golden_case& one) {
  const bool causal = one.flag("causal", false);
  if (!one.has_parameter("sliding_window")) return causal ? posenc::causal() : posenc::index_band{};
  const index_t width = one.count("sliding_window");
  return causal ? posenc::sliding_window(width) : posenc::symmetric_window(width);
}

template <posenc::real T>
attention_setting<T>::attention_setting(const golden_case& one, index_t batch, index_t num_queries, index_t num_keys)
    : one_(one),
      query_ids_(positions_of(one, "query_position_ids", batch, num_keys - num_queries, num_queries)),
      key_ids_(positions_of(one, "key_position_ids", batch, 0, num_keys)),
      num_keys_(num_keys) {
  if (one.has("sinks")) sinks_ = values_as<T>(one.input("sinks"));
  if (!one.has("key_mask")) return;
  const std::vector<position_t> mask = ids_of(one.input("key_mask"), batch, num_keys).ids;
  key_mask_ = std::make_unique<bool[]>(mask.size());
  for (std::size_t k = 0; k < mask.size(); ++k) key_mask_[k] = mask[k] != 0;
}

template <posenc::real T>
posenc::attend_options<T> attention_setting<T>::options() const {
  posenc::attend_options<T> options{.band = band_of(one_)};
  options.positions = {queries(), keys()};
  if (one_.has_parameter("scale")) options.scale = one_.number("scale");
  options.softcap = one_.number("softcap", 0);
  options.sinks = sinks_;
  if (key_mask_) options.more.allowed = {.data = key_mask_.get(), .num_keys = num_keys_};
  return options;
}

template class attention_setting<float>;
template class attention_setting<double>;

}  // namespace verify
