// The outer form of a bundle: named sections, each with a checksum (docs/bundle.md).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bytes.h"

namespace edgeglyph {

constexpr size_t max_bundle_bytes = size_t{256} << 20;

class Sections {
public:
    // Take a file's bytes apart, which must outlive this; throws Error where anything is off.
    explicit Sections(Bytes file);

    Bytes at(const char *name) const;           // refuses to go on without it
    const Bytes *find(const char *name) const;  // nullptr where there is none

private:
    std::vector<std::pair<std::string, Bytes>> sections_;
};

}  // namespace edgeglyph
