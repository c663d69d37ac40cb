// A project that has no Eigen includes all but the headers for it.
#include <posenc/posenc.hpp>

#if __has_include(<Eigen/Core>)
#error "posenc brings Eigen, which this project does without"
#endif

using namespace posenc;

// A query that sees one key takes over its value.
int main() {
  float q[] = {1, 2, 3, 4}, k[] = {4, 3, 2, 1}, v[] = {5, 6, 7, 8}, out[4] = {};
  rotate(rope(pairing::half, default_frequencies({.head_dim = 4})), head_view<float>{q, 1, 1, 4},
         head_view<float>{k, 1, 1, 4}, positions(7, 1));
  attend(head_view<const float>{q, 1, 1, 4}, head_view<const float>{k, 1, 1, 4}, head_view<const float>{v, 1, 1, 4},
         head_view<float>{out, 1, 1, 4}, alibi<float>(1));
  return out[0] == 5 && out[3] == 8 ? 0 : 1;
}
