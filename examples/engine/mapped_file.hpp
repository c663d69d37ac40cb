// A file mapped into memory, read-only: pages are read on first access and shared between processes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace engine {

/// Owns a mapping. Moving the object does not move the bytes, so views into them stay valid. If another process
/// truncates the file while it is mapped, reading it raises SIGBUS: an inherent limit of mmap.
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
