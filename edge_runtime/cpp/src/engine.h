// Runs an integer network in one block of memory whose size is known before the first image.
#pragma once

#include <cstddef>
#include <vector>

#include "bytes.h"
#include "kernels.h"
#include "layers.h"

namespace edgeglyph {

size_t output_bytes(const Layer &layer);

// Compute one layer. `inputs` and `shapes` are those of its sources; `output` is int8, or int32
// where the layer says so, and overlaps none of the inputs.
void run_layer(const Layer &layer, const Kernels &kernels, const int8_t *const *inputs,
               const Shape *shapes, int16_t *scratch, uint8_t *output);

class Engine {
public:
    // Called after each layer with its number and its output's bytes.
    using Observer = void (*)(void *context, size_t layer, Bytes output);

    // `network` must outlive this.
    Engine(const Network &network, const Kernels &kernels);

    const Kernels &kernels() const { return kernels_; }

    // Bytes that run() works in, aligned to 64: all maps that live at one time, and scratch.
    size_t arena_bytes() const { return arena_bytes_; }

    // `input` int8 [32][32][1]; `logits` receives one number for each class. Allocates nothing.
    void run(const int8_t *input, uint8_t *arena, int32_t *logits, Observer observer = nullptr,
             void *context = nullptr) const;

private:
    void plan();
    void run_in_place(size_t index, const int8_t *input, uint8_t *arena) const;

    const Network &network_;
    const Kernels &kernels_;
    std::vector<size_t> offsets_;  // of each layer's output in the arena
    std::vector<Shape> shapes_;    // of the inputs of all layers, one after another
    std::vector<size_t> first_;    // of a layer's inputs in shapes_
    size_t pointers_offset_ = 0, scratch_offset_ = 0, arena_bytes_ = 0;
};

}  // namespace edgeglyph
