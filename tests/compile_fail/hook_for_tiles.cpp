// add_to_scores and the hooks that belong to it, almost right.
#include <posenc/attention/attend.hpp>

#include <vector>

using namespace posenc;

struct running_sum {
#if POSENC_MISUSE == 1
  // expect: this encoding has a member add_to_scores that cannot be called for this compute type; it must read void add
  void add_to_scores(const score_tile<double>&) const noexcept {}
#elif POSENC_MISUSE == 2
  // expect: this encoding has a member add_to_scores that cannot be called for this compute type
  void add_to_scores(score_tile<float>&) const noexcept {}
#else
  void add_to_scores(const score_tile<float>& tile) const noexcept {
    for (index_t k = tile.num_keys; k-- > 0;) {
      for (index_t q = 0; q < tile.num_queries; ++q) tile.score(q, k) += tile.scratch[q] += 1;
    }
  }
#endif
#if POSENC_MISUSE == 3
  // expect: begin must read void begin(const score_tile<T>& tile) const noexcept
  void begin() const noexcept {}
#else
  void begin(const score_tile<float>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) tile.scratch[q] = 0;
  }
#endif
#if POSENC_MISUSE == 4
  // expect: scratch_size must read index_t scratch_size(index_t num_queries) const noexcept
  int scratch_size(index_t num_queries) const noexcept { return static_cast<int>(num_queries); }
#else
  index_t scratch_size(index_t num_queries) const noexcept { return num_queries; }
#endif
#if POSENC_MISUSE == 5
  // expect: reads_content must read bool reads_content() const noexcept
  static constexpr bool reads_content = true;
#else
  bool reads_content() const noexcept { return false; }
#endif
};

int main() {
  std::vector<float> x(12);
  const head_view<float> q(x.data(), 2, 2, 3);
  attend(q, q, q, q, running_sum{});
}
