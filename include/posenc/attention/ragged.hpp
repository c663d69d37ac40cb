// Attention over a batch of sequences of different lengths, without padding or copies.
#pragma once

#include <posenc/attention/attend.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

namespace posenc::inline POSENC_ISA {

/// Bounds of the sequences in a packed batch: sequence i is tokens [cu_seqlens[i], cu_seqlens[i + 1]) of its memory.
using cu_seqlens = std::span<const std::int32_t>;  // [num_sequences + 1], non-decreasing

/// Returns what is wrong with them for `num_tokens` tokens, if anything.
inline problem check_cu_seqlens(cu_seqlens lengths, index_t num_tokens) noexcept {
  const auto wrong = [](const char* argument, index_t value, const char* rule, index_t limit) {
    return problem::invalid("packed_batch", argument, value, rule, limit);
  };
  if (lengths.empty()) return wrong("size of cu_seqlens", 0, "at least 1", 0);
  if (lengths.front() < 0) return wrong("cu_seqlens", lengths.front(), "at least 0", 0).at(0);
  for (std::size_t i = 1; i < lengths.size(); ++i) {
    if (lengths[i] < lengths[i - 1])
      return wrong("cu_seqlens", lengths[i], "at least #, the one before", lengths[i - 1]).at(static_cast<index_t>(i));
  }
  if (lengths.back() > num_tokens)
    return wrong("last of cu_seqlens", lengths.back(), "at most #, the tokens", num_tokens);
  return {};
}

/// One sequence of a batch: its queries, its keys and values in any key source, and its output.
template <element Q, key_source K, key_source V, element O>
struct ragged_sequence {
  head_view<Q> q;    // [num_queries, num_heads, head_dim]
  K keys;            // [num_keys, num_kv_heads, head_dim]
  V values;          // [num_keys, num_kv_heads, value_dim]
  head_view<O> out;  // [num_queries, num_heads, value_dim]
  query_key_positions positions{};
  std::optional<index_t> query_offset{};  // default: the queries are the sequence's last tokens
  lse_view<compute_t<Q>> lse{};
  std::span<const key_range> key_ranges{};  // [num_queries], or empty; indices of the sequence's own keys
};

/// A batch: anything with a size whose elements are sequences, stored or made on access.
template <class B>
concept ragged_batch = requires(const B& batch, std::size_t i) {
  batch.size();
  batch[i].q;
  batch[i].keys;
  batch[i].values;
  batch[i].out;
  batch[i].lse;
};

/// Sequences packed one after the other in memory (flash-attention's varlen form), as a batch.
///
///     attend_ragged(packed_batch(q, k, v, out, of_queries, of_keys), no_encoding{}, {.band = causal()});
///
/// Positions  counted within each sequence, unless given for all tokens, packed like q and keys.
/// Errors     bounds that decrease or exceed the tokens, and lists of another length, throw invalid_argument.
template <element Q, key_source K, key_source V, element O>
class packed_batch {
 public:
  using sequence = ragged_sequence<Q, K, V, O>;

  /// q and out are [total_queries, ...]; keys and values are [total_keys, ...], a `head_view` or a `quantized_view`.
  packed_batch(head_view<Q> q, const K& keys, const V& values, head_view<O> out, cu_seqlens of_queries,
               cu_seqlens of_keys, const query_key_positions& p = {}, const lse_view<compute_t<Q>>& lse = {})
      : all_{q, keys, values, out, p, std::nullopt, lse, {}}, of_queries_(of_queries), of_keys_(of_keys) {
    raise_if(check_cu_seqlens(of_queries, std::min(q.num_tokens, out.num_tokens)).of("queries"));
    raise_if(check_cu_seqlens(of_keys, std::min(keys.num_tokens, values.num_tokens)).of("keys"));
    require(of_keys.size() == of_queries.size(), "packed_batch", "size of cu_seqlens of keys", of_keys.size(),
            "#, that of the queries", std::ssize(of_queries));
    if (p.queries) raise_if(check_positions("packed_batch", *p.queries, q.num_tokens).of("queries"));
    if (p.keys) raise_if(check_positions("packed_batch", *p.keys, keys.num_tokens).of("keys"));
    require(lse.data == nullptr || lse.num_tokens == q.num_tokens, "packed_batch", "num_tokens of lse", lse.num_tokens,
            "#, that of the queries", q.num_tokens);
  }

  std::size_t size() const noexcept { return of_queries_.size() - 1; }

  sequence operator[](std::size_t i) const noexcept {
    const index_t first_query = of_queries_[i], num_queries = of_queries_[i + 1] - first_query;
    const index_t first_key = of_keys_[i], num_keys = of_keys_[i + 1] - first_key;
    sequence s{all_.q.tokens(first_query, num_queries), all_.keys.tokens(first_key, num_keys),
               all_.values.tokens(first_key, num_keys), all_.out.tokens(first_query, num_queries)};
    if (all_.positions.queries) s.positions.queries = all_.positions.queries->tokens(first_query, num_queries);
    if (all_.positions.keys) s.positions.keys = all_.positions.keys->tokens(first_key, num_keys);
    s.lse = all_.lse;
    if (s.lse.data != nullptr) {
      s.lse.data += first_query * s.lse.token_stride;
      s.lse.num_tokens = num_queries;
    }
    return s;
  }

 private:
  sequence all_;
  cu_seqlens of_queries_, of_keys_;
};

namespace detail {

/// One key-value head of a key source.
template <class Source>
struct one_head {
  const Source* source;
  index_t head;
  index_t num_tokens;
  index_t num_heads = 1;
  index_t head_dim;

  one_head(const Source& all, index_t which) noexcept
      : source(&all), head(which), num_tokens(all.num_tokens), head_dim(all.head_dim) {}
  auto block(index_t first, index_t count) const noexcept { return source->block(first, count).heads(head, 1); }
};

template <class T, class Sequence>
attend_options<T> options_of(const Sequence& sequence, attend_options<T> shared) noexcept {
  shared.positions = sequence.positions;
  shared.query_offset = sequence.query_offset;
  shared.lse = sequence.lse;
  shared.more.key_ranges = sequence.key_ranges;
  return shared;
}

/// Computes the query heads of a sequence that share one key-value head.
template <class Sequence, class E, class T>
void attend_one_head(const Sequence& s, index_t kv_head, const E& encoding, attend_options<T> options) noexcept {
  const index_t group = s.q.num_heads / s.keys.num_heads;
  const index_t first = kv_head * group;
  options.more.first_head += first;
  if (!options.sinks.empty())
    options.sinks = options.sinks.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(group));
  if (options.lse.data != nullptr) {
    options.lse.data += first * options.lse.head_stride;
    options.lse.num_heads = group;
  }
  attend(unchecked, s.q.heads(first, group), one_head(s.keys, kv_head), one_head(s.values, kv_head),
         s.out.heads(first, group), encoding, options);
}

template <class Batch>
using batch_compute_t = compute_t<std::remove_reference_t<decltype(*std::declval<const Batch&>()[0].q.data)>>;

}  // namespace detail

/// Number of workspace values with which `attend_ragged` runs at its best block sizes, for all workers together.
template <ragged_batch Batch, class E>
index_t ragged_workspace_size(const Batch& batch, const E& encoding, const parallel_for& threads = {}) noexcept {
  index_t largest = 0;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const auto& s = batch[i];
    largest = std::max(largest, workspace_size(s.q, s.keys, s.values, encoding));
  }
  return largest * threads.num_workers();
}

/// `attend` for every sequence of a batch, in one call. The caller's threads share the tasks, one per key-value head of
/// a sequence.
///
///     std::vector<ragged_sequence<const bf16, paged_view<const bf16>, paged_view<const bf16>, bf16>> batch = ...;
///     attend_ragged(batch, no_encoding{}, {.band = causal(), .run = {.threads = threads}});
///
/// batch      sequences of any length, including empty ones; prompts and single tokens may be mixed
/// encoding   as for `attend`
/// options    band, scale, soft-cap, sinks, first_head and `run` apply to all sequences; the rest is set per sequence
/// Memory     options.run.workspace, in equal shares, or a small block on the stack.
/// Errors     those of `check_attend`, with the index of the sequence, raised before anything is written.
template <ragged_batch Batch, class E>
void attend_ragged(const Batch& batch, const E& encoding,
                   const attend_options<detail::batch_compute_t<Batch>>& options = {}) {
  require(options.more.allowed.data == nullptr, "attend_ragged", "number of masks", 1,
          "0: sequences have key_ranges of their own");
  index_t num_kv_heads = 0;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const auto& s = batch[i];
    raise_if(check_attend(s.q, s.keys, s.values, s.out, encoding, detail::options_of(s, options))
                 .at(static_cast<index_t>(i)));
    if (s.q.num_heads > 0) num_kv_heads = std::max(num_kv_heads, s.keys.num_heads);
  }
  const auto task = [&](index_t t, index_t worker) {
    const auto& s = batch[static_cast<std::size_t>(t / num_kv_heads)];
    if (s.q.num_heads <= 0 || t % num_kv_heads >= s.keys.num_heads) return;
    auto one = detail::options_of(s, options);
    const auto share = options.run.workspace.size() / static_cast<std::size_t>(options.run.threads.num_workers());
    one.run = {options.run.workspace.subspan(static_cast<std::size_t>(worker) * share, share), {}};
    detail::attend_one_head(s, t % num_kv_heads, encoding, one);
  };
  options.run.threads(static_cast<index_t>(batch.size()) * num_kv_heads, task_ref(task));
}

}  // namespace posenc::inline POSENC_ISA
