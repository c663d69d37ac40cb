// ONNX RotaryEmbedding: cosines and sines are given as caches.
#include "onnx_case.hpp"
#include "rotate_by_cache.hpp"

namespace verify {

void check_onnx_rotary_embedding(onnx_case& one) {
  one.expect_only({"interleaved", "num_heads", "rotary_embedding_dim"},
                  {"X", "cos_cache", "sin_cache", "position_ids"});
  const tensor& x = one.input("X");
  const heads_shape shape = heads_shape_of(x, one.integer("num_heads", 0));
  const rotary_caches caches{one.input("cos_cache"), one.input("sin_cache"), one.find("position_ids"),
                             one.integer("interleaved", 0) != 0 ? posenc::pairing::interleaved : posenc::pairing::half,
                             one.integer("rotary_embedding_dim", 0)};
  with_element_type(one.element_type("X"),
                    [&]<class S>() { one.give("Y", widened(rotate_by_cache<S>(x, shape, caches))); });
}

}  // namespace verify
