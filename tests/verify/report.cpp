#include "report.hpp"

#include <exception>
#include <iostream>

namespace verify {

namespace {

// Names and messages hold text from files: whatever that is, a case stays one line.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
  }
  return text;
}

}  // namespace

void report::run(const std::string& name, const std::function<void(findings&)>& check) {
  findings found;
  try {
    check(found);
  } catch (const not_known& what) {
    found.cannot_judge(what.what());
  } catch (const no_weights& what) {
    found.lacks_weights(what.what());
  } catch (const std::exception& what) {
    found.fail(what.what());
  }
  add(name, found);
}

void report::reject(const std::string& name, const std::string& why) {
  findings found;
  found.fail(why);
  add(name, found);
}

std::string report::totals() const {
  return std::to_string(passed_) + " passed, " + std::to_string(failed_) + " failed, " + std::to_string(unknown_) +
         " unknown, " + std::to_string(without_weights_) + " without weights";
}

void report::add(const std::string& name, const findings& found) {
  const char* label = "";
  switch (found.result()) {
    case verdict::passed:
      ++passed_, label = "passed     ";
      break;
    case verdict::failed:
      ++failed_, label = "FAILED     ";
      break;
    case verdict::unknown:
      ++unknown_, label = "unknown    ";
      break;
    case verdict::without_weights:
      ++without_weights_, label = "no weights ";
      break;
  }
  std::cout << label << one_line(name + ": " + found.text()) << '\n';
}

}  // namespace verify
