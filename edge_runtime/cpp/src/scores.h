// From integer logits to probabilities in millionths, by the bundle's tables (docs/bundle.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bytes.h"

namespace edgeglyph {

class ScoreTable {
public:
    ScoreTable() = default;
    ScoreTable(Bytes section, bool int32_logits);  // throws Error

    // `probabilities` receives one number for each class; returns p_real.
    uint32_t probabilities(const int32_t *logits, size_t classes, uint32_t *probabilities) const;

private:
    uint64_t exponential(uint64_t difference) const;
    uint64_t weight(int64_t difference) const;
    uint64_t fake(int32_t largest) const;

    bool wide_ = false;
    std::vector<uint64_t> table_;
};

// The best `count` classes: largest logit first, equal ones by class number.
std::vector<uint32_t> ranking(const int32_t *logits, size_t classes, size_t count);

}  // namespace edgeglyph
