#include "heads.hpp"

#include "findings.hpp"

#include <stdexcept>

namespace verify {

namespace {

void expect_rank(const tensor& x, index_t rank) {
  if (x.rank() != rank) throw std::runtime_error("heads come in a tensor of shape " + shape_text(x.shape));
}

heads_shape packed(const tensor& x, index_t num_heads) {
  expect_rank(x, 3);
  if (num_heads < 1 || x.dim(2) % num_heads != 0)
    throw std::runtime_error(std::to_string(x.dim(2)) + " columns are no " + std::to_string(num_heads) + " heads");
  return {x.dim(0), num_heads, x.dim(1), x.dim(2) / num_heads, true};
}

}  // namespace

heads_shape heads_shape_of(const tensor& x, index_t num_heads) {
  if (x.rank() == 3) return packed(x, num_heads);
  expect_rank(x, 4);
  return {x.dim(0), x.dim(1), x.dim(2), x.dim(3), false};
}

heads_shape heads_shape_of(const tensor& x, const std::string& order, index_t num_heads) {
  if (order == "batch, position, head * dim") return packed(x, num_heads);
  if (order == "head, position, dim") {
    expect_rank(x, 3);
    return {1, x.dim(0), x.dim(1), x.dim(2), false};
  }
  expect_rank(x, 4);
  if (order == "batch, head, position, dim") return {x.dim(0), x.dim(1), x.dim(2), x.dim(3), false};
  if (order == "batch, position, head, dim") return {x.dim(0), x.dim(2), x.dim(1), x.dim(3), true};
  throw not_known("the order of axes \"" + order + "\" is not known here");
}

batch_ids ids_of(const tensor& position_ids, index_t batch, index_t num_tokens) {
  const std::vector<position_t> all = ids_of(position_ids);
  const index_t rank = position_ids.rank();
  const index_t num_axes = rank == 3 ? position_ids.dim(0) : 1;
  const index_t num_batches = rank >= 2 ? position_ids.dim(-2) : 1;
  if (rank < 1 || rank > 3 || position_ids.dim(-1) != num_tokens || (num_batches != 1 && batch >= num_batches)) {
    throw std::runtime_error("positions of shape " + shape_text(position_ids.shape) + " for " +
                             std::to_string(num_tokens) + " tokens of batch " + std::to_string(batch));
  }
  batch_ids one{{}, num_axes};
  const index_t row = num_batches == 1 ? 0 : batch;
  for (index_t axis = 0; axis < num_axes; ++axis) {
    const auto first = all.begin() + (axis * num_batches + row) * num_tokens;
    one.ids.insert(one.ids.end(), first, first + num_tokens);
  }
  return one;
}

std::vector<position_t> counting_from(index_t first, index_t count) {
  std::vector<position_t> ids;
  for (index_t i = 0; i < count; ++i) ids.push_back(static_cast<position_t>(first + i));
  return ids;
}

}  // namespace verify
