// Reading files whole, with a limit; paths as Python's pathlib writes them; the images of a folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edgeglyph {

// A file's bytes; "-" with `standard_input` is what comes in there. Throws Error with one line that
// names the file; `missing` is what that line says of a file that does not exist.
std::vector<uint8_t> read_file(const std::string &path, size_t limit, const char *missing);
std::vector<uint8_t> read_standard_input(size_t limit);

// "./a//b/" is "a/b": no empty and no "." components, as str(pathlib.Path(…)).
std::string tidy_path(const std::string &path);

bool is_folder(const std::string &path);

// All images below a folder, by suffix, sorted by path component by component.
std::vector<std::string> images_below(const std::string &folder);

}  // namespace edgeglyph
