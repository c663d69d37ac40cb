// posenc_verify: runs the library on reference data from other programs, and reports per case whether it agrees.
#include "formats.hpp"

#include <CLI/CLI.hpp>
#include <iostream>

int main(int argc, char** argv) {
  CLI::App app{"Verifies posenc on reference data: goldens, ONNX operator cases, small models, trained models."};
  std::vector<std::string> paths;
  verify::setting with;
  app.add_option("PATH", paths, "directories or .json files")->required();
  app.add_option("--weights", with.weights, "directory in which trained models' files are searched")
      ->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, argc, argv);

  verify::report report;
  for (const std::string& path : paths) verify::verify_path(path, with, report);
  std::cout << report.totals() << '\n';
  return report.num_failed() == 0 ? 0 : 1;
}
