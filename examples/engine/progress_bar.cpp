#include "progress_bar.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace engine {

namespace {
constexpr auto patience = std::chrono::milliseconds(500);
constexpr auto between_draws = std::chrono::milliseconds(100);
constexpr std::int64_t width = 32;
}  // namespace

progress_bar::progress_bar(std::int64_t total)
    : total_(total), is_terminal_(::isatty(STDERR_FILENO) == 1), next_draw_(start_ + patience) {}

progress_bar::~progress_bar() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);  // goes to the start of the line and erases it
}

void progress_bar::update(std::int64_t done) {
  const auto now = clock::now();
  if (!is_terminal_ || total_ <= 0 || now < next_draw_) return;
  next_draw_ = now + between_draws;
  drawn_ = true;
  const std::int64_t filled = width * std::clamp<std::int64_t>(done, 0, total_) / total_;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const std::string bar(static_cast<std::size_t>(filled), '#');
  std::fprintf(stderr, "\r[%-*s] %lld/%lld  %.1f/s\x1b[K", static_cast<int>(width), bar.c_str(),
               static_cast<long long>(done), static_cast<long long>(total_), static_cast<double>(done) / seconds);
}

}  // namespace engine
