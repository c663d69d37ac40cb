// Gradients of attention against the reference, over all options of a call.
#include <posenc/attention/backward.hpp>

#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/kerple.hpp>
#include <posenc/encodings/t5_bias.hpp>

#include "../attention/random_gradients.hpp"
#include "../catch.hpp"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <span>
#include <vector>

using namespace posenc;

namespace {

constexpr index_t most_heads = 9;  // of the random calls: 6, from head 3 on

/// Prints the largest error in epsilon: of rows over the largest gradient of their kind, of parameters over that and
/// the number of tokens.
template <real T, class E>
void sweep(const char* name, unsigned seed, int num_calls, const E& encoding, index_t head_dim = 0) {
  constexpr auto epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
  random_values random(seed);
  double of_rows = 0, of_parameters = 0;
  for (int i = 0; i < num_calls; ++i) {
    random_attention call(random, 260);
    if (head_dim > 0) call.head_dim = head_dim;
    if (head_dim == 0 && random.whole(0, 3) == 0) call.head_dim = random.whole(1, 140);
    gradient_trial<T, E> trial(random, call, encoding);
    trial.go_forward();
    trial.go_backward();
    const reference_gradients expected = trial.expected();
    const double rows = trial.error(expected) / epsilon, parameters = trial.error_of_parameters(expected) / epsilon;
    if (rows > 400 || parameters > 400) {
      CAPTURE(name, seed, i, call.sizes(), rows, parameters);
      CHECK(rows <= 400);
      CHECK(parameters <= 400);
    }
    of_rows = std::max(of_rows, rows);
    of_parameters = std::max(of_parameters, parameters);
  }
  std::printf("%-28s %6d calls: rows within %5.1f, parameters within %5.1f epsilon\n", name, num_calls, of_rows,
              of_parameters);
  CHECK(of_rows > 0);
}

}  // namespace

TEMPLATE_TEST_CASE("backward: gradients of random calls are the reference's", "[backward]", double, float) {
  using T = TestType;
  random_values random(1);
  const alibi<T> slopes(random.list<T>(most_heads, 0, 1));
  const t5_bias<T> buckets(random.list<T>(32 * most_heads));
  const std::vector<T> rates = random.list<T>(2 * most_heads, 0.1, 1);
  const kerple<T> logarithms(kerple_kernel::log, std::span<const T>(rates).first(most_heads),
                             std::span<const T>(rates).last(most_heads));
  const cope<T> gates(random.list<T>(7 * 24), 24);
  sweep<T>("no encoding", 2, 4000, no_encoding{});
  sweep<T>("alibi", 3, 2000, slopes);
  sweep<T>("t5_bias", 4, 2000, buckets);
  sweep<T>("kerple", 5, 1000, logarithms);
  sweep<T>("alibi and t5_bias", 6, 1000, combine(slopes, buckets));
  sweep<T>("cope", 7, 1000, gates, 24);
  sweep<T>("alibi and cope", 8, 1000, combine(slopes, gates), 24);
}
