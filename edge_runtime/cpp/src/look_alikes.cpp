#include "look_alikes.h"

#include <algorithm>

#include "text.h"

namespace edgeglyph {
namespace {

// As LOOK_ALIKES in edge_runtime/look_alikes.py.
const char *const look_alikes[] = {"0Oo", "1Il", "Cc", "Kk", "Pp", "Ss",
                                   "Uu",  "Vv",  "Ww", "Xx", "Yy", "Zz"};

std::string set_of(const std::string &symbol) {
    for (const char *set : look_alikes) {
        if (symbol.size() == 1 && std::string(set).find(symbol) != std::string::npos) return set;
    }
    return "";
}

}  // namespace

std::string alike_remark(const std::vector<std::string> &symbols, uint32_t label,
                         const int32_t *logits, const uint32_t *probabilities) {
    const std::string set = set_of(symbols[label]);
    std::vector<uint32_t> alike;
    for (uint32_t c = 0; c < symbols.size(); ++c) {
        if (symbols[c].size() == 1 && set.find(symbols[c]) != std::string::npos) alike.push_back(c);
    }
    if (alike.size() < 2) return "";
    std::stable_sort(alike.begin(), alike.end(),
                     [&](uint32_t a, uint32_t b) { return logits[a] > logits[b]; });
    std::string remark = "  " + symbols[alike[0]];
    uint32_t together = probabilities[alike[0]];
    for (size_t i = 1; i < alike.size(); ++i) {
        remark += (i + 1 < alike.size() ? ", " : " or ") + symbols[alike[i]];
        together += probabilities[alike[i]];
    }
    return remark + ": " + percent(together) + " %";
}

}  // namespace edgeglyph
