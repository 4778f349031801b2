// Symbols that look alike once they are cut from their word: O, 0 and o; 1, I and l; C and c.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace edgeglyph {

// "  O, 0 or o: 99.3 %": the label, the symbols of the alphabet that look like it, likeliest first,
// and their probability together; empty where none does. `logits` and `probabilities` (millionths)
// hold one number for each symbol.
std::string alike_remark(const std::vector<std::string> &symbols, uint32_t label,
                         const int32_t *logits, const uint32_t *probabilities);

}  // namespace edgeglyph
