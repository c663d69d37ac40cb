// The tables of Swin and BEiT, and Swin v2's network.
#include "bias_matrix.hpp"
#include "heads.hpp"
#include "score_bias.hpp"

#include <posenc/encodings/swin_v2_bias.hpp>
#include <posenc/encodings/window_bias.hpp>

#include <stdexcept>

namespace verify {

namespace {

// Height and width, of parameters that are lists of two.
struct sides {
  index_t height, width;
};
sides sides_of(const golden_case& one, const std::string& name) {
  const auto list = one.parameter(name).get<std::vector<index_t>>();
  if (list.size() != 2) throw std::runtime_error("parameter " + name + " is no height and width");
  return {list[0], list[1]};
}

posenc::patch_window window_of(const golden_case& one) {
  const auto [height, width] = sides_of(one, "window_size");
  return {.height = height, .width = width, .class_token = one.flag("class_token", false)};
}

template <class E>
void give_index(golden_case& one, const E& encoding) {
  const auto num_tokens = static_cast<position_t>(encoding.window().num_tokens());
  std::vector<position_t> index;
  for (position_t q = 0; q < num_tokens; ++q) {
    for (position_t k = 0; k < num_tokens; ++k) index.push_back(static_cast<position_t>(encoding.offset(q, k)));
  }
  one.give_integers("relative_position_index", index);
}

template <posenc::real T>
void check_swin_v2_in(golden_case& one) {
  const std::vector<T> w1 = values_as<T>(one.input("w1"));
  const std::vector<T> b1 = values_as<T>(one.input("b1"));
  const std::vector<T> w2 = values_as<T>(one.input("w2"));
  posenc::swin_v2_params<T> params{.window = window_of(one)};
  params.num_heads = one.input("w2").dim(0);
  params.mlp_width = one.input("w2").dim(1);
  params.w1 = w1;
  params.b1 = b1;
  params.w2 = w2;
  if (one.has_parameter("pretrained_window_size")) {
    const auto [height, width] = sides_of(one, "pretrained_window_size");
    params.pretrained_height = height;
    params.pretrained_width = width;
  }
  const posenc::swin_v2_bias<T> encoding(params);

  std::vector<T> coordinates;
  for (index_t o = 0; o < encoding.num_offsets(); ++o) {
    for (const double coordinate : encoding.coordinates(o)) coordinates.push_back(static_cast<T>(coordinate));
  }
  one.give("coords_table", coordinates);
  give_index(one, encoding);

  // By the network, and by the table that it fills.
  const std::vector<position_t> ids = counting_from(0, params.window.num_tokens());
  one.give("bias", bias_matrix<T>(encoding, params.num_heads, ids, ids));
  one.give("bias", bias_matrix<T>(posenc::window_bias<T>(encoding.table(), params.window), params.num_heads, ids, ids));
}

}  // namespace

void check_window(golden_case& one) {
  const posenc::patch_window window = window_of(one);
  give_index(one,
             posenc::window_bias<double>(std::vector<double>(static_cast<std::size_t>(window.num_offsets())), window));
}

void check_swin_v2(golden_case& one) {
  check_swin_v2_in<float>(one);
  check_swin_v2_in<double>(one);
}

}  // namespace verify
