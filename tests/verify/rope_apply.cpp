// Rotations applied to queries and keys: forward, back, shifted, differentiated, and by given caches.
#include "grids.hpp"
#include "groups.hpp"
#include "heads.hpp"
#include "rope_parameters.hpp"
#include "rotate_by_cache.hpp"

namespace verify {

namespace {

using posenc::head_view;
using posenc::positions;

template <class S, class Act>
void for_each_batch(golden_case& one, std::vector<S>& x, const heads_shape& shape, Act act) {
  for (index_t b = 0; b < shape.batch; ++b) {
    batch_ids at{counting_from(0, shape.num_tokens), 1};
    if (one.has("position_ids")) at = ids_of(one.input("position_ids"), b, shape.num_tokens);
    act(heads_of(x, shape, b), positions(at.ids, at.num_axes));
  }
}

// `name` is the role of an input: q, k or x.
heads_shape shape_of(const golden_case& one, const std::string& name) {
  const tensor& x = one.input(name);
  const std::string order = x.rank() == 3 ? "batch, position, head * dim" : "batch, head, position, dim";
  const index_t num_heads = one.count("num_heads", 1);
  return heads_shape_of(x, one.text("order", order), name == "k" ? one.count("num_kv_heads", num_heads) : num_heads);
}

template <posenc::real T>
void rotate_one(golden_case& one, const std::string& name) {
  const tensor& x = one.input(name);
  const heads_shape shape = shape_of(one, name);
  const posenc::rope rotary = rope_of(one, shape.head_dim);
  std::vector<T> turned = values_as<T>(x);
  for_each_batch(one, turned, shape, [&](head_view<T> heads, const positions& at) {
    if (name == "k")
      posenc::apply_to_keys(rotary, heads, at);
    else
      posenc::apply_to_queries(rotary, heads, at);
  });
  one.give(name + "_rotated", turned);

  if (one.wants(name + "_back")) {
    std::vector<T> back = turned;
    for_each_batch(one, back, shape, [&](head_view<T> heads, const positions& at) { unrotate(rotary, heads, at); });
    one.give(name + "_back", back);
  }
  if (one.wants(name + "_shifted")) {
    std::vector<T> shifted = turned;
    const std::vector<position_t> by(static_cast<std::size_t>(shape.num_tokens),
                                     static_cast<position_t>(one.count("shift")));
    for_each_batch(one, shifted, shape, [&](head_view<T> heads, const positions&) { shift(rotary, heads, by); });
    one.give(name + "_shifted", shifted);
  }
  if (one.wants(name + "_grad")) {
    std::vector<T> gradient = values_as<T>(one.input("upstream", x.shape));
    for_each_batch(one, gradient, shape, [&](head_view<T> heads, const positions& at) {
      const head_view<const T> before = heads;  // the rotation is linear: what it acted on does not matter
      if (name == "k")
        posenc::hooks::apply_to_keys_backward<posenc::rope, T>(rotary, before, heads, at, {});
      else
        posenc::hooks::apply_to_queries_backward<posenc::rope, T>(rotary, before, heads, at, {});
    });
    one.give(name + "_grad", gradient);
  }
}

// Stored, rotated and stored again in sixteen bits.
template <posenc::scalar S>
void rotate_rounded(golden_case& one) {
  const heads_shape shape = shape_of(one, "x");
  const posenc::rope rotary = rope_of(one, shape.head_dim);
  std::vector<S> turned = values_as<S>(one.input("x"));
  for_each_batch(one, turned, shape, [&](head_view<S> heads, const positions& at) { rotate(rotary, heads, at); });
  std::vector<float> widened;
  for (const S element : turned) widened.push_back(static_cast<float>(element));
  one.give("x_rotated_rounded", widened);
}

void rotate_by_caches(golden_case& one) {
  const heads_shape shape = shape_of(one, "x");
  const rotary_caches caches{one.input("cos_cache"), one.input("sin_cache"),
                             one.has("position_ids") ? &one.input("position_ids") : nullptr,
                             one.flag("interleaved", false) ? posenc::pairing::interleaved : posenc::pairing::half,
                             one.count("rotary_embedding_dim", 0)};
  one.give("output", rotate_by_cache<float>(one.input("x"), shape, caches));
}

void refuse_unknown_variants(const golden_case& one) {
  if (one.encoding() != "rope" && one.encoding() != "m-rope")
    throw not_known("the encoding " + one.encoding() + " does not exist yet");
  if (one.has_parameter("scale_base")) throw not_known("rotations that scale with position do not exist yet");
}

}  // namespace

void check_rope_apply(golden_case& one) {
  if (one.encoding() == "axial rope" || one.encoding() == "axial rope 3D") return check_axial_rope(one);
  if (one.encoding() == "xpos") return check_xpos(one);
  refuse_unknown_variants(one);
  if (one.has("cos_cache")) return rotate_by_caches(one);
  for (const std::string name : {"q", "k", "x"}) {
    if (!one.has(name)) continue;
    rotate_one<float>(one, name);
    rotate_one<double>(one, name);
  }
  const std::string type = one.text("input_type", "");
  if (type == "bf16") rotate_rounded<posenc::bf16>(one);
  if (type == "f16") rotate_rounded<posenc::f16>(one);
}

}  // namespace verify
