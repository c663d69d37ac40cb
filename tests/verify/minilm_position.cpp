// MiniLM with and without its positions, and where they end.
#include "refusal.hpp"
#include "trained_cases.hpp"

#include <engine/network.hpp>

namespace verify {

namespace {

using engine::token_id;
using tokens = std::vector<token_id>;

double cosine(const engine::row_vector& a, const engine::row_vector& b) { return static_cast<double>(a.dot(b)); }

void check_pair(const engine::model& model, const std::vector<tokens>& pair, const json& want, const tolerance& allowed,
                findings& found) {
  for (const auto& [table, value] : want.items()) {
    if (table != "learned_table" && table != "zero_table") throw not_known("the table " + table + " is not known here");
    const engine::forward_options options{.without_positions = table == "zero_table"};
    found.compare("cosine with " + table,
                  cosine(model.sentence_embedding(pair.at(0), options), model.sentence_embedding(pair.at(1), options)),
                  value.get<double>(), allowed);
  }
}

// Without positions, permuted tokens give permuted states. The golden's own difference is float64's; float32 has its
// tolerance.
void check_permutation(const engine::model& model, const tokens& ids, const json& permutation, const tolerance& allowed,
                       findings& found) {
  const auto order = permutation.at("order").get<std::vector<std::size_t>>();
  if (order.size() != ids.size()) throw std::runtime_error("order and input_ids disagree");
  tokens permuted;
  for (const std::size_t token : order) permuted.push_back(ids.at(token));
  const engine::forward_options none{.without_positions = true};
  const engine::matrix before = model.hidden_states(ids, none).back();
  const engine::matrix after = model.hidden_states(permuted, none).back();
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto got = after.row(static_cast<index_t>(i));
    const auto want = before.row(static_cast<index_t>(order[i]));
    found.compare("token " + std::to_string(order[i]), std::vector<double>(got.begin(), got.end()),
                  {"F64", {before.cols()}, {want.begin(), want.end()}}, allowed);
  }
}

void check_shifts(const engine::model& model, const tokens& ids, const json& want, const tolerance& allowed,
                  findings& found) {
  const engine::row_vector unshifted = model.sentence_embedding(ids);
  for (const auto& [shift, value] : want.items()) {
    const engine::forward_options options{.first_position = number_of(shift)};
    found.compare("cosine after a shift by " + shift, cosine(model.sentence_embedding(ids, options), unshifted),
                  value.get<double>(), allowed);
  }
}

void check_table(const engine::model& model, const json& content, findings& found) {
  const auto& table = model.layers().position_table;
  if (!table) throw std::runtime_error("the model has no table of positions");
  if (content.contains("table_rows")) {
    const auto want = content.at("table_rows").get<index_t>();
    found.expect(table->num_tokens == want,
                 "the table has " + std::to_string(table->num_tokens) + " rows, wanted " + std::to_string(want));
  }
  for (const auto& [row, first_columns] : content.at("table_rows_sample").items()) {
    const auto want = first_columns.get<std::vector<double>>();
    const index_t number = number_of(row);
    if (number < 0 || number >= table->num_tokens || std::ssize(want) > table->dim)
      throw std::runtime_error("the table has no row " + row + " of that width");
    const float* got = table->token(number);
    // The golden's nine digits are what float32 has.
    found.compare("row " + row, std::vector<double>(got, got + want.size()), {"F32", {std::ssize(want)}, want},
                  {.abs = 0, .rel = 1e-8});
  }
}

}  // namespace

std::vector<trained_case> position_cases(const json& content) {
  const tolerance allowed = tolerance_from(content.at("tolerance"));
  const auto pair = content.at("input_ids").get<std::vector<tokens>>();
  std::vector<trained_case> cases;
  const auto add = [&](const char* name, auto check) {
    if (!content.contains(name) || content.at(name).is_null()) return;
    const json& want = content.at(name);
    cases.push_back({name, [&want, pair, allowed, check](const engine::model& model, findings& found) {
                       check(model, pair, want, allowed, found);
                     }});
  };
  add("cosine_between_the_pair", check_pair);
  add("permutation",
      [](const engine::model& model, const std::vector<tokens>& ids, const json& want, const tolerance& near,
         findings& found) { check_permutation(model, ids.at(0), want, near, found); });
  add("cosine_after_shifting_all_positions",
      [](const engine::model& model, const std::vector<tokens>& ids, const json& want, const tolerance& near,
         findings& found) { check_shifts(model, ids.at(0), want, near, found); });
  add("must_refuse_length",
      [](const engine::model& model, const std::vector<tokens>&, const json& want, const tolerance&, findings& found) {
        check_refusal(model, want.get<index_t>(), found);
      });
  if (content.contains("table_rows_sample")) {
    cases.push_back({"table_rows_sample",
                     [&content](const engine::model& model, findings& found) { check_table(model, content, found); }});
  }
  return cases;
}

}  // namespace verify
