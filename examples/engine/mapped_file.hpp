// A file mapped into memory, read-only: pages are read when they are touched, and shared with whoever maps them too.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace engine {

/// Owns a mapping. Bytes stay where they are when the object moves, so views into them may be kept beside it.
/// A file that another process cuts short while it is mapped ends the program with SIGBUS; that is mmap's price.
class mapped_file {
 public:
  /// Throws std::runtime_error if the file cannot be opened or is not a regular file.
  explicit mapped_file(const std::filesystem::path& path);
  mapped_file(mapped_file&& other) noexcept;
  mapped_file& operator=(mapped_file&& other) noexcept;
  ~mapped_file();

  const std::string& name() const noexcept { return name_; }  // the last part of the path, for messages
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  std::string name_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace engine
