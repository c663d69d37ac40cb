// A hook for scores that is almost right: a bias of distance, its check and its table.
#include <posenc/attention/attend.hpp>

#include <vector>

using namespace posenc;

struct decay {
#if POSENC_MISUSE == 1
  // expect: this encoding has a member bias that cannot be called as it must be: either T bias(index_t head,
  float bias(index_t, position_t distance) const { return -0.5F * static_cast<float>(distance); }
#elif POSENC_MISUSE == 2
  // expect: position_t distance) const noexcept or T bias(index_t head, position_t query, position_t key)
  float bias(index_t, float distance) const noexcept { return -0.5F * distance; }
#elif POSENC_MISUSE == 3
  // expect: this encoding has a member bias that cannot be called as it must be
  float bias(int, position_t distance) const noexcept { return -0.5F * static_cast<float>(distance); }
#elif POSENC_MISUSE == 4
  // expect: this encoding has a member bias that cannot be called as it must be
  float bias(index_t, position_t query, position_t key = 0) const noexcept { return static_cast<float>(key - query); }
#elif POSENC_MISUSE == 5
  // expect: one of the two, with exactly these parameter types
  float bias(index_t, position_t distance) const noexcept { return -0.5F * static_cast<float>(distance); }
  float bias(index_t, position_t query, position_t key) const noexcept { return static_cast<float>(key - query); }
#elif POSENC_MISUSE == 6
  // expect: this encoding has a member bias that cannot be called as it must be
  float bias(index_t, position_t distance) noexcept { return -0.5F * static_cast<float>(distance); }
#elif POSENC_MISUSE == 7
  // expect: this encoding has a member bias that cannot be called as it must be
  float bias = -0.5F;
#else
  float bias(index_t, position_t distance) const noexcept { return -0.5F * static_cast<float>(distance); }
#endif
#if POSENC_MISUSE == 8
  // expect: this encoding has both bias and add_to_scores; they are two spellings of one hook, keep one
  void add_to_scores(const score_tile<float>&) const noexcept {}
#endif
#if POSENC_MISUSE == 9
  // expect: fill_bias must read void fill_bias(index_t head, position_t first_distance, index_t count, T* out)
  void fill_bias(index_t, position_t, std::span<float>) const noexcept {}
#endif
#if POSENC_MISUSE == 10
  // expect: check_scores must read problem check_scores(const score_shape&, const positions& queries,
  problem check_scores(const score_shape&, const positions&) const noexcept { return {}; }
#endif
#if POSENC_MISUSE == 11
  // expect: begin, scratch_size and reads_content belong to an encoding that has add_to_scores
  index_t scratch_size(index_t num_queries) const noexcept { return num_queries; }
#endif
};

int main() {
  std::vector<float> x(12);
  const head_view<float> q(x.data(), 2, 2, 3);
  attend(q, q, q, q, decay{});
}
