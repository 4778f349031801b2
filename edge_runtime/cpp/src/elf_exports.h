// The names that a shared library exports, read from its file, so that a board's library can be
// looked into on any machine.
#pragma once

#include <string>
#include <vector>

#include "bytes.h"

namespace edgeglyph {

// `name` stands for the file in messages. Throws Error where it is no ELF library, or cut off.
std::vector<std::string> elf_exports(Bytes file, const std::string &name);

}  // namespace edgeglyph
