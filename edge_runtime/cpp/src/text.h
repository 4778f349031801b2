// Text as Python prints it: UTF-8, JSON strings, decimals, thousands separators.
#pragma once

#include <cstdint>
#include <string>

#include "bytes.h"

namespace edgeglyph {

// Length in bytes of the well-formed UTF-8 character that `bytes` begin with; 0 if there is none.
size_t utf8_length(Bytes bytes);

void append_utf8(std::string &out, unsigned code);

// A JSON string with its quotes, as json.dumps(…, ensure_ascii=False). A byte that is not UTF-8
// (file names may hold any) becomes \udcXX, the form that Python gives such names.
std::string json_text(const std::string &text);

// 983211 is "0.983211".
std::string decimal(uint32_t millionths);

// One decimal of a percentage: 983211 is "98.3".
std::string percent(uint32_t millionths);

// 67108864 is "67,108,864".
std::string with_commas(uint64_t value);

}  // namespace edgeglyph
