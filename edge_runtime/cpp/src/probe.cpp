#include "probe.h"

#include <algorithm>

#include "bytes.h"
#include "engine.h"

namespace edgeglyph {
namespace {

// Values in `range` by a hash of their place.
std::vector<int8_t> noise(const Shape &shape, Range range, uint32_t seed) {
    std::vector<int8_t> values(static_cast<size_t>(shape.values()));
    const uint32_t choices = static_cast<uint32_t>(range.high - range.low + 1);
    uint32_t place = (seed << 24) + 1;
    for (int8_t &value : values) {
        uint32_t h = place++ * 2654435761u;
        h ^= h >> 15;
        h *= 2246822519u;
        h ^= h >> 13;
        value = static_cast<int8_t>(range.low + static_cast<int>((h >> 8) % choices));
    }
    return values;
}

}  // namespace

uint32_t probe(const Network &network, const Engine &engine, size_t index) {
    const std::vector<Range> ranges = output_ranges(network);
    Layer layer = network.layers[index];
    if (layer.convolves()) {
        layer.int32_output = true;
        layer.shift = 0;
        layer.activation = Activation::none;
    }
    std::vector<std::vector<int8_t>> maps;
    std::vector<const int8_t *> inputs;
    for (size_t k = 0; k < layer.sources.size(); ++k) {
        const int source = layer.sources[k];
        const uint32_t seed = static_cast<uint32_t>(index + 7919 * k);
        maps.push_back(noise(network.shape(source), range_of(ranges, source), seed));
        inputs.push_back(maps.back().data());
    }
    std::vector<uint8_t> scratch(engine.scratch_bytes(index));
    std::vector<uint8_t> output(output_bytes(layer));
    engine.run_layer(index, layer, inputs.data(), scratch.data(), output.data());
    return crc32({output.data(), output.size()});
}

}  // namespace edgeglyph
