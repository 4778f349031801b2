// A compiled classifier (docs/bundle.md), and the proof that this machine computes it.
#pragma once

#include <string>
#include <vector>

#include "accelerator.h"
#include "bytes.h"
#include "engine.h"
#include "layers.h"
#include "scores.h"

namespace edgeglyph {

struct Bundle {
    std::string name;
    std::vector<std::string> alphabet;
    Network network;
    ScoreTable scores;
    uint32_t golden_count = 0;
    Bytes golden;  // records: input, a CRC-32 for each layer, logits
    Bytes checks;  // CRC-32 of each layer's parameters and probe, of the score table, the alphabet
    Bytes table;   // the section *scores*
    DpuKernel dpu;
    CoreImage core;
};

// Take a file's bytes apart, which must outlive the bundle; throws Error.
Bundle read_bundle(Bytes file);

// Compare all checksums, then run the golden vectors in `arena`; throws Error naming the first
// layer that differs.
void self_test(const Bundle &bundle, const Engine &engine, uint8_t *arena);

// Run the golden vectors on another device; throws Error naming the first whose logits differ.
void self_test(const Bundle &bundle, Accelerator &accelerator);

}  // namespace edgeglyph
