// A model whose positions end has to refuse longer texts.
#pragma once

#include "findings.hpp"

#include <engine/model.hpp>

namespace verify {

/// `length` tokens must be refused, one fewer must not.
void check_refusal(const engine::model& model, index_t length, findings& found);

}  // namespace verify
