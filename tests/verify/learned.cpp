// Learned tables: rows looked up and added, their gradient, and the position ids that some models make for them.
#include "groups.hpp"
#include "heads.hpp"

#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/resample.hpp>

#include <stdexcept>

namespace verify {

namespace {

using posenc::token_view;

posenc::learned_params params_of(const golden_case& one) {
  posenc::learned_params params{.offset = one.count("offset", 0)};
  if (one.has_parameter("padding_idx")) params.padding_idx = one.count("padding_idx");
  return params;
}

template <posenc::real T>
void check_lookup(golden_case& one) {
  const tensor& table = one.input("table");
  const index_t dim = table.dim(-1);
  const posenc::learned<T> encoding(values_as<T>(table), dim, params_of(one));
  const std::vector<position_t> ids = ids_of(one.input("position_ids"));
  const index_t num_tokens = std::ssize(ids);

  std::vector<T> x(static_cast<std::size_t>(num_tokens * dim), T(0));
  if (one.has("x")) {
    x = values_as<T>(one.input("x"));
    if (std::ssize(x) != num_tokens * dim) throw std::runtime_error("x and position_ids disagree");
  }
  add_to(encoding, token_view<T>(x.data(), num_tokens, dim), ids);
  one.give("output", x);

  if (one.wants("table_grad")) {
    const std::vector<T> upstream = values_as<T>(one.input("upstream"));
    if (std::ssize(upstream) != num_tokens * dim) throw std::runtime_error("upstream and position_ids disagree");
    std::vector<T> gradient(table.values.size(), T(0));
    posenc::hooks::add_to_backward<posenc::learned<T>, T>(
        encoding, token_view<const T>(upstream.data(), num_tokens, dim), ids, gradient);
    one.give("table_grad", gradient);
  }
}

void check_refusal(golden_case& one) {
  const tensor& table = one.input("table");
  const posenc::learned<double> encoding(values_as<double>(table), table.dim(-1), params_of(one));
  std::vector<double> x(static_cast<std::size_t>(table.dim(-1)), 0.0);
  const posenc::positions first_missing(encoding.max_positions() - encoding.params().offset, 1);
  const auto found = check_add(encoding, token_view<double>(x.data(), 1, table.dim(-1)), first_missing);
  one.found().expect(static_cast<bool>(found), "the first missing row is not refused");
}

// Tokens that are no padding count up from the row behind the padding's; padding keeps its own.
std::vector<position_t> ids_behind_padding(const tensor& input_ids, double padding_idx, index_t past) {
  std::vector<position_t> all;
  const auto num_tokens = static_cast<std::size_t>(input_ids.dim(-1));
  for (std::size_t first = 0; first < input_ids.values.size(); first += num_tokens) {
    std::vector<int> mask;
    for (std::size_t t = 0; t < num_tokens; ++t) mask.push_back(input_ids.values[first + t] != padding_idx ? 1 : 0);
    std::vector<position_t> ids = posenc::positions_from_mask(mask);
    for (std::size_t t = 0; t < num_tokens; ++t) {
      const auto padding = static_cast<position_t>(padding_idx);
      all.push_back(mask[t] != 0 ? static_cast<position_t>(ids[t] + padding + 1 + past) : padding);
    }
  }
  return all;
}

posenc::resample_params resampling_of(const golden_case& one) {
  posenc::resample_params params{.align_corners = one.flag("align_corners", false),
                                 .antialias = one.flag("antialias", false),
                                 .num_prefix_rows = one.count("num_prefix_tokens", 0)};
  const std::string mode = one.text("mode", "");
  if (mode == "nearest")
    params.mode = posenc::resampling::nearest;
  else if (mode == "bicubic")
    params.mode = posenc::resampling::cubic;
  else if (mode != "linear" && mode != "bilinear")
    throw not_known("the mode " + mode);
  if (one.has_parameter("cubic_a")) params.cubic_a = one.number("cubic_a");
  return params;
}

template <posenc::real T>
void check_resampling(golden_case& one) {
  const bool grid = one.has_parameter("old_grid");
  const auto sizes = [&](const char* of_grid, const char* of_line) {
    return grid ? one.parameter(of_grid).get<std::vector<index_t>>() : std::vector<index_t>{one.count(of_line)};
  };
  one.give("output",
           posenc::resample(values_as<T>(one.input("table")), one.count("d_model"), sizes("old_grid", "old_length"),
                            sizes("new_grid", "new_length"), resampling_of(one)));
}

}  // namespace

void check_learned(golden_case& one) {
  if (one.encoding() != "learned") throw not_known("the encoding " + one.encoding() + " does not exist yet");
  if (one.has_parameter("mode")) {
    check_resampling<float>(one);
    return check_resampling<double>(one);
  }
  if (one.has("input_ids")) {
    const double padding_idx = one.number("padding_idx");
    one.give_integers("position_ids", ids_behind_padding(one.input("input_ids"), padding_idx, 0));
    one.give_integers("position_ids_after_past",
                      ids_behind_padding(one.input("input_ids"), padding_idx, one.count("past_key_values_length", 0)));
  }
  if (!one.has("table")) return;
  check_lookup<float>(one);
  check_lookup<double>(one);
  check_refusal(one);
}

}  // namespace verify
