// Positions beyond a learned table: refused before anything is written, clamped if requested, never read out of bounds.
#include <posenc/encodings/learned.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

using namespace posenc;

int main() {
  constexpr index_t max_positions = 1024, dim = 8;

  // A table as in a mapped model file: not copied.
  const std::vector<float> file(max_positions * dim, 0.5f);
  const token_view<const float> table(file.data(), max_positions, dim);
  const learned_view<float> wpe(table);

  std::vector<float> embeddings(4 * dim, 1.0f);
  const token_view<float> x(embeddings.data(), 4, dim);
  const positions last_rows(1020, 4);
  const positions beyond(1022, 4);  // 1022, 1023, 1024, 1025

  add_to(wpe, x, last_rows);
  std::printf("positions 1020 to 1023: %g\n", static_cast<double>(embeddings[0]));

  std::string said;
  try {
    add_to(wpe, x, beyond);
  } catch (const std::out_of_range& error) {
    said = error.what();
  }
  std::printf("positions 1022 to 1025: %s\n", said.c_str());
  const bool untouched = embeddings == std::vector<float>(4 * dim, 1.5f);
  std::printf("x after that: %s\n", untouched ? "untouched, the two rows that exist included" : "written to");

  // An engine without exceptions checks first, then makes a call that cannot fail.
  const problem wrong = check_add(wpe, x, beyond);
  if (!wrong) add_to(unchecked, wpe, x, beyond);
  std::printf("asked first: %s\n", wrong ? "refused" : "accepted");

  const learned_view<float> clamped(table, {.beyond = beyond_last_row::clamp});
  add_to(clamped, x, beyond);
  std::printf("clamped by name: %g\n", static_cast<double>(embeddings[3 * dim]));

  return untouched && wrong && said == "add_to: positions[2] is 1024, expected at most 1023" &&
                 embeddings == std::vector<float>(4 * dim, 2.0f)
             ? 0
             : 1;
}

// positions 1020 to 1023: 1.5
// positions 1022 to 1025: add_to: positions[2] is 1024, expected at most 1023
// x after that: untouched, the two rows that exist included
// asked first: refused
// clamped by name: 2
