// Matrices whose tokens are not rows.
#include <posenc/eigen.hpp>

using namespace posenc;

int main() {
  row_matrix<float> rows(2, 6);
#if POSENC_MISUSE == 1
  // expect: a matrix must be row-major, so that the columns of a token lie side by side
  Eigen::MatrixXf columns(2, 6);
  return static_cast<int>(as_heads(columns, 2).head_dim);
#elif POSENC_MISUSE == 2
  // expect: a matrix must be row-major, so that the columns of a token lie side by side
  return static_cast<int>(as_tokens(rows.transpose()).dim);
#else
  return static_cast<int>(as_heads(rows, 2).head_dim + as_tokens(rows.middleRows(0, 1)).dim);
#endif
}
