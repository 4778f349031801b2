// Fuzz target: the bundle reader on any bytes, the self-test and one image of what it accepts.
#include <vector>

#include "bundle.h"
#include "error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

namespace {

// A network that is quick to run; others are only read.
bool is_small(const edgeglyph::Network &network) {
    int64_t work = 0;
    for (const edgeglyph::Layer &layer : network.layers) {
        const int64_t window =
            layer.convolves() ? layer.kernel_values() : layer.kernel[0] * layer.kernel[1];
        work += layer.output.values() * window;
        for (int source : layer.sources) work += network.shape(source).values();
    }
    return work < 1 << 20;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    using namespace edgeglyph;
    try {
        const Bundle bundle = read_bundle({data, size});
        if (!is_small(bundle.network)) return 0;
        const Engine engine(bundle.network, find_kernels("auto"));
        std::vector<uint64_t> arena(engine.arena_bytes() / 8 + 1);
        std::vector<int32_t> logits(bundle.alphabet.size());
        std::vector<uint32_t> probabilities(bundle.alphabet.size());
        const int8_t *input = reinterpret_cast<const int8_t *>(bundle.golden.data);
        engine.run(input, reinterpret_cast<uint8_t *>(arena.data()), logits.data());
        bundle.scores.probabilities(logits.data(), logits.size(), probabilities.data());
        ranking(logits.data(), logits.size(), 3);
        self_test(bundle, engine, reinterpret_cast<uint8_t *>(arena.data()));
    } catch (const Error &) {
    }
    return 0;
}
