#include "bundle.h"

#include <algorithm>

#include "container.h"
#include "error.h"
#include "json.h"
#include "preprocess.h"
#include "read_layers.h"
#include "text.h"

namespace edgeglyph {
namespace {

constexpr uint32_t max_golden = 64;

bool is_symbol(const std::string &symbol) {
    if (symbol.empty()) return false;
    return std::none_of(symbol.begin(), symbol.end(),
                        [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F; });
}

std::vector<std::string> read_alphabet(const Json &list) {
    std::vector<std::string> symbols;
    for (const Json &item : list.items()) {
        if (!is_symbol(item.string())) refuse("a symbol is empty or not printable");
        symbols.push_back(item.string());
    }
    if (symbols.size() < 2 || symbols.size() > 4096) {
        refuse("an alphabet has 2 to 4096 symbols, not " + std::to_string(symbols.size()));
    }
    std::vector<std::string> sorted = symbols;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) refuse("the alphabet names '" + *twice + "' twice");
    return symbols;
}

size_t golden_record(const Network &network) {
    const size_t classes = static_cast<size_t>(network.classes());
    return static_cast<size_t>(network.input.values()) + 4 * network.layers.size() +
           classes * (network.int32_logits() ? 4 : 1);
}

}  // namespace

Bundle read_bundle(Bytes file) {
    const Sections sections(file);
    Bundle bundle;
    const Json manifest = parse_json(sections.at("manifest"));
    bundle.network = read_network(sections.at("layers"), sections.at("weights"));
    const int64_t version = manifest.at("preprocessing").at("version").whole(0, 1 << 20);
    if (version != preprocessing_version) {
        refuse("preprocessing version " + std::to_string(version) + ", this program has " +
               std::to_string(preprocessing_version));
    }
    bundle.name = manifest.at("name").string();
    bundle.alphabet = read_alphabet(manifest.at("alphabet"));
    bundle.table = sections.at("scores");
    bundle.scores = ScoreTable(bundle.table, bundle.network.int32_logits());
    bundle.golden = sections.at("golden");
    bundle.checks = sections.at("checks");
    const size_t classes = static_cast<size_t>(bundle.network.classes());
    if (bundle.alphabet.size() != classes) {
        refuse(std::to_string(bundle.alphabet.size()) + " symbols, but the network has " +
               std::to_string(classes) + " classes");
    }
    if (bundle.golden.size >= 4) bundle.golden_count = little32(bundle.golden.data);
    const size_t count = bundle.golden_count;
    if (count < 1 || count > max_golden ||
        bundle.golden.size != 4 + count * golden_record(bundle.network)) {
        refuse("its golden vectors do not fill their section");
    }
    bundle.golden = bundle.golden.from(4);
    if (bundle.checks.size != 8 * (bundle.network.layers.size() + 1)) {
        refuse("its checksums do not fill their section");
    }
    if (const Bytes *dpu = sections.find("dpu")) bundle.dpu = read_dpu(*dpu, bundle.network);
    if (const Bytes *core = sections.find("core")) bundle.core = read_core(*core, bundle.network);
    return bundle;
}

}  // namespace edgeglyph
