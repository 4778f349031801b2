#include "engine.h"

#include <algorithm>
#include <cstring>

namespace edgeglyph {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "int32 logits are checked as bytes");

namespace {

constexpr size_t alignment = 64;

size_t aligned(size_t size) {
    return (size + alignment - 1) / alignment * alignment;
}

size_t output_bytes(const Layer &layer) {
    const size_t values = static_cast<size_t>(layer.output.values());
    return layer.int32_output ? 4 * values : values;
}

}  // namespace

Engine::Engine(const Network &network, const Kernels &kernels)
    : network_(network), kernels_(kernels) {
    plan();
}

// Each map gets the lowest place that no other map has while both are needed.
void Engine::plan() {
    const std::vector<Layer> &layers = network_.layers;
    const size_t count = layers.size();
    std::vector<size_t> last_use(count);
    for (size_t i = 0; i < count; ++i) {
        last_use[i] = i;
        for (int source : layers[i].sources) {
            if (source >= 0) last_use[static_cast<size_t>(source)] = i;
        }
    }
    offsets_.assign(count, 0);
    size_t maps = 0, scratch = 0;
    for (size_t i = 0; i < count; ++i) {
        const size_t size = aligned(output_bytes(layers[i]));
        size_t place = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (size_t k = 0; k < i; ++k) {
                const size_t end = offsets_[k] + aligned(output_bytes(layers[k]));
                if (last_use[k] >= i && place < end && offsets_[k] < place + size) {
                    place = end;
                    moved = true;
                }
            }
        }
        offsets_[i] = place;
        maps = std::max(maps, place + size);
        scratch = std::max(scratch, static_cast<size_t>(scratch_values(layers[i])));
    }
    scratch_offset_ = maps;
    arena_bytes_ = maps + aligned(scratch * sizeof(int16_t));
}

const int8_t *Engine::map(int index, const int8_t *input, const uint8_t *arena) const {
    if (index < 0) return input;
    return reinterpret_cast<const int8_t *>(arena + offsets_[static_cast<size_t>(index)]);
}

void Engine::run_layer(const Layer &layer, const int8_t *input, uint8_t *arena,
                       uint8_t *output) const {
    const int8_t *x = map(layer.sources[0], input, arena);
    const Shape &in = network_.shape(layer.sources[0]);
    int8_t *y = reinterpret_cast<int8_t *>(output);
    switch (layer.kind) {
        case Kind::conv: {
            void *scratch = arena + scratch_offset_;
            return kernels_.conv(layer, in, x, static_cast<int16_t *>(scratch), output);
        }
        case Kind::depthwise_conv: return kernels_.depthwise(layer, in, x, output);
        case Kind::avg_pool: return kernels_.avg_pool(layer, in, x, y);
        case Kind::max_pool: return kernels_.max_pool(layer, in, x, y);
        case Kind::add: return kernels_.add(layer, x, map(layer.sources[1], input, arena), y);
        case Kind::concat: return concat(layer, input, arena, output);
    }
}

void Engine::concat(const Layer &layer, const int8_t *input, const uint8_t *arena,
                    uint8_t *out) const {
    for (int64_t pixel = 0; pixel < layer.output.height * layer.output.width; ++pixel) {
        for (int source : layer.sources) {
            const size_t channels = static_cast<size_t>(network_.shape(source).channels);
            const int8_t *values = map(source, input, arena);
            std::memcpy(out, values + static_cast<size_t>(pixel) * channels, channels);
            out += channels;
        }
    }
}

void Engine::run(const int8_t *input, uint8_t *arena, int32_t *logits, Observer observer,
                 void *context) const {
    for (size_t i = 0; i < network_.layers.size(); ++i) {
        const Layer &layer = network_.layers[i];
        run_layer(layer, input, arena, arena + offsets_[i]);
        if (observer) observer(context, i, {arena + offsets_[i], output_bytes(layer)});
    }
    const uint8_t *last = arena + offsets_.back();
    const size_t classes = static_cast<size_t>(network_.classes());
    if (network_.int32_logits()) {
        std::memcpy(logits, last, 4 * classes);
    } else {
        std::copy_n(reinterpret_cast<const int8_t *>(last), classes, logits);
    }
}

}  // namespace edgeglyph
