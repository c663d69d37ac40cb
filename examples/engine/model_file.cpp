#include "model_file.hpp"

#include "error.hpp"
#include "mapped_file.hpp"
#include "safetensors.hpp"

#include <map>
#include <utility>

namespace engine {

namespace {

class safetensors_file final : public model_file {
 public:
  explicit safetensors_file(mapped_file file)
      : file_(std::move(file)), tensors_(read_safetensors(file_.bytes(), file_.name())) {}

  const std::string& name() const override { return file_.name(); }
  const stored_tensor* find(std::string_view tensor_name) const override {
    const auto found = tensors_.find(tensor_name);
    return found != tensors_.end() ? &found->second : nullptr;
  }

 private:
  mapped_file file_;
  tensors_by_name tensors_;
};

}  // namespace

std::unique_ptr<model_file> open_model_file(const std::filesystem::path& path) {
  mapped_file file(path);
  if (file.text().starts_with("GGUF")) refuse(file.name(), "format", "GGUF", "safetensors");
  return std::make_unique<safetensors_file>(std::move(file));
}

}  // namespace engine
