#include <posenc/encodings/window_bias.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: window_bias", "[laws]", float, double) {
  using T = compute_t<TestType>;
  for (const bool class_token : {false, true}) {
    CAPTURE(class_token);
    const patch_window window{.height = 8, .width = 9, .class_token = class_token};
    const law_report report = laws_hold<TestType>(window_bias<T>(random_table<T>(window.num_offsets() * 3), window));
    CHECK(ran(report, "scores: their adjoint matches finite differences"));
    CHECK(!ran(report, "scores: the bias depends on distance alone"));
  }
}
