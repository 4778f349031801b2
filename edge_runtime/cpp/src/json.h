// A strict reader of JSON (RFC 8259) for a bundle's two tables: UTF-8, no key twice, limited depth.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bytes.h"

namespace edgeglyph {

constexpr int max_json_depth = 32;

struct Json {
    enum class Kind { null, boolean, integer, real, text, list, object };

    Kind kind = Kind::null;
    bool boolean = false;
    int64_t integer = 0;  // of an integer beyond 62 bits nothing is kept: its kind is `real`
    std::string text;
    std::vector<Json> list;
    std::vector<std::pair<std::string, Json>> object;

    const Json *find(const char *key) const;         // nullptr where the object lacks it
    const Json &at(const char *key) const;           // refuses to go on without it
    int64_t whole(int64_t low, int64_t high) const;  // an integer in low..high
    bool truth() const;
    const std::string &string() const;
    const std::vector<Json> &items() const;
};

// Parse all of `bytes`; throws Error with what is wrong and at which byte.
Json parse_json(Bytes bytes);

}  // namespace edgeglyph
