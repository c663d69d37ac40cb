// What a result depends on besides the code: the machine, the compiler, and where the scheduler put us.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace posenc_bench {

/// Pairs of a name and what there is to say, for the head of a report; as it was when first asked.
const std::vector<std::pair<std::string, std::string>>& describe_machine();

/// Cycles a second that the core runs at now, by a chain of additions which take one each.
double clock_rate();

/// What the core gets done in a cycle, in words: operations of multiply-adds of float, and of bf16 by the matrix unit
/// if there is one. Less while somebody else computes on it.
std::string flops_a_cycle();

}  // namespace posenc_bench
