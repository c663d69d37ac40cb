// Errors as values, and the one cold function that raises them.
#pragma once

#include <posenc/isa.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>

#if defined(__cpp_exceptions)
#include <stdexcept>
#endif

namespace posenc::inline POSENC_ISA {

/// Sizes, counts and strides, in elements. Signed, so that differences can be negative.
using index_t = std::ptrdiff_t;

/// The result of a check: operation, argument, value and rule, or nothing.
///
///     if (const problem wrong = check_add(encoding, x, ids)) report(wrong.message());
///
/// Does not allocate, so that checks are `noexcept` and work without exceptions. Texts must be string literals.
class [[nodiscard]] problem {
 public:
  enum class kind : unsigned char { none, invalid_argument, out_of_range };

  /// Nothing is wrong.
  constexpr problem() noexcept = default;

  /// `operation: argument is value, expected rule`. A '#' in the rule stands for `limit`.
  template <class V>
  requires std::is_arithmetic_v<V>
  static constexpr problem invalid(const char* operation, const char* argument, V value, const char* rule,
                                   std::int64_t limit = 0) noexcept {
    return problem{kind::invalid_argument, operation, argument, value, rule, limit};
  }
  /// The same for a value outside of a range: a position beyond a table, say.
  template <class V>
  requires std::is_arithmetic_v<V>
  static constexpr problem out_of_range(const char* operation, const char* argument, V value, const char* rule,
                                        std::int64_t limit = 0) noexcept {
    return problem{kind::out_of_range, operation, argument, value, rule, limit};
  }

  /// The same problem with element `index` of the argument: `positions[7] is 512`.
  constexpr problem at(index_t index) const noexcept {
    problem located = *this;
    located.index_ = index;
    return located;
  }
  /// The same problem, reported under the name of the calling operation.
  constexpr problem in(const char* operation) const noexcept {
    problem renamed = *this;
    renamed.operation_ = operation;
    return renamed;
  }

  /// The same problem with one of several similar arguments: "attend: queries: number of positions is 3, ...".
  constexpr problem of(const char* owner) const noexcept {
    problem owned = *this;
    owned.owner_ = owner;
    return owned;
  }

  /// True if something is wrong.
  constexpr explicit operator bool() const noexcept { return kind_ != kind::none; }
  constexpr kind what() const noexcept { return kind_; }
  constexpr const char* operation() const noexcept { return operation_; }
  constexpr const char* argument() const noexcept { return argument_; }

  /// "learned: positions[3] is 512, expected at most 511". Allocates.
  std::string message() const {
    if (!*this) return {};
    std::string text = std::string(operation_) + ": ";
    if (owner_ != nullptr) text += std::string(owner_) + ": ";
    text += argument_;
    // Appended piece by piece: GCC 12 warns of an overlap (-Wrestrict) inside "literal" + string.
    if (index_ >= 0) text.append("[").append(std::to_string(index_)).append("]");
    text.append(" is ").append(value_text()).append(", expected ");
    for (const char* c = rule_; *c != '\0'; ++c) *c == '#' ? text += std::to_string(limit_) : text += *c;
    return text;
  }

 private:
  template <class V>
  constexpr problem(kind k, const char* operation, const char* argument, V value, const char* rule,
                    std::int64_t limit) noexcept
      : operation_(operation), argument_(argument), rule_(rule), limit_(limit), kind_(k) {
    if constexpr (std::is_floating_point_v<V>) {
      real_ = static_cast<double>(value);
      is_real_ = true;
    } else {
      integer_ = static_cast<std::int64_t>(value);
    }
  }

  std::string value_text() const {
    if (!is_real_) return std::to_string(integer_);
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.9g", real_);
    return digits;
  }

  const char* operation_ = "";
  const char* owner_ = nullptr;
  const char* argument_ = "";
  const char* rule_ = "";
  std::int64_t limit_ = 0;
  std::int64_t integer_ = 0;
  double real_ = 0;
  index_t index_ = -1;
  bool is_real_ = false;
  kind kind_ = kind::none;
};

/// Receives the message of an error when exceptions are off. If it returns, posenc aborts.
using error_handler = void (*)(const char* message);

namespace detail {
inline error_handler& current_error_handler() noexcept {
  static error_handler handler = [](const char* message) { std::fprintf(stderr, "posenc: %s\n", message); };
  return handler;
}
}  // namespace detail

/// Replaces the handler called before the abort when exceptions are off (default: prints the message to stderr).
/// Returns the former one. Not synchronized: call it before threads start.
inline error_handler set_error_handler(error_handler handler) noexcept {
  const error_handler former = detail::current_error_handler();
  detail::current_error_handler() = handler;
  return former;
}

/// Throws std::out_of_range or std::invalid_argument with the message; without exceptions, calls the handler and
/// aborts.
#if defined(__GNUC__)
[[gnu::cold, gnu::noinline]]
#endif
[[noreturn]] inline void
raise(const problem& wrong) {
#if defined(__cpp_exceptions)
  if (wrong.what() == problem::kind::out_of_range) throw std::out_of_range(wrong.message());
  throw std::invalid_argument(wrong.message());
#else
  detail::current_error_handler()(wrong.message().c_str());
  std::abort();
#endif
}

/// Raises what a check found, if anything.
inline void raise_if(const problem& wrong) {
  if (wrong) raise(wrong);
}

/// Raises "operation: argument is value, expected rule" unless the condition holds.
template <class V>
void require(bool condition, const char* operation, const char* argument, V value, const char* rule,
             std::int64_t limit = 0) {
  if (!condition) raise(problem::invalid(operation, argument, value, rule, limit));
}

}  // namespace posenc::inline POSENC_ISA
