#include "scores.h"

#include <algorithm>
#include <numeric>

#include "error.h"

namespace edgeglyph {
namespace {

constexpr uint64_t one = uint64_t{1} << 30, cap = uint64_t{1} << 62, million = 1000000;
constexpr uint64_t wide_limit = uint64_t{1} << 24;

uint32_t millionths(uint64_t part, uint64_t whole) {
    return static_cast<uint32_t>((part * (2 * million) + whole) / (2 * whole));
}

}  // namespace

ScoreTable::ScoreTable(Bytes section, bool int32_logits) : wide_(int32_logits) {
    const size_t count = wide_ ? 769 : 512;
    if (section.size != 8 * count) refuse("its score table has a wrong size");
    for (size_t i = 0; i < count; ++i) table_.push_back(little64(section.data + 8 * i));
    const size_t exponentials = wide_ ? 768 : 256;
    for (size_t i = 0; i < exponentials; ++i) {
        if (table_[i] > one || (i % 256 == 0 && table_[i] != one)) {
            refuse("entries of its score table are out of range");
        }
    }
    for (size_t i = exponentials; i < count; ++i) {
        if (table_[i] > (wide_ ? 31 : cap)) refuse("entries of its score table are out of range");
    }
}

// 2^30 · exp(-difference · unit), rounded after each of two products.
uint64_t ScoreTable::exponential(uint64_t difference) const {
    const size_t d = static_cast<size_t>(std::min(difference >> table_[768], wide_limit - 1));
    uint64_t e = table_[d >> 16];
    e = (e * table_[256 + (d >> 8 & 255)] + one / 2) >> 30;
    return (e * table_[512 + (d & 255)] + one / 2) >> 30;
}

uint64_t ScoreTable::weight(int64_t difference) const {
    const uint64_t d = static_cast<uint64_t>(difference);
    return wide_ ? exponential(d) : table_[static_cast<size_t>(d)];
}

uint64_t ScoreTable::fake(int32_t largest) const {
    const int64_t m = largest;
    if (!wide_) return table_[static_cast<size_t>(256 + m + 128)];
    if (m >= 0) return exponential(static_cast<uint64_t>(m));
    return one * one / std::max<uint64_t>(1, exponential(static_cast<uint64_t>(-m)));
}

uint32_t ScoreTable::probabilities(const int32_t *logits, size_t classes,
                                   uint32_t *probabilities) const {
    const int64_t largest = *std::max_element(logits, logits + classes);
    uint64_t total = 0;
    for (size_t i = 0; i < classes; ++i) total += weight(largest - logits[i]);
    for (size_t i = 0; i < classes; ++i) {
        probabilities[i] = millionths(weight(largest - logits[i]), total);
    }
    return millionths(total, total + fake(static_cast<int32_t>(largest)));
}

std::vector<uint32_t> ranking(const int32_t *logits, size_t classes, size_t count) {
    std::vector<uint32_t> order(classes);
    std::iota(order.begin(), order.end(), 0u);
    count = std::min(count, classes);
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count),
                      order.end(), [logits](uint32_t a, uint32_t b) {
                          return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
                      });
    order.resize(count);
    return order;
}

}  // namespace edgeglyph
