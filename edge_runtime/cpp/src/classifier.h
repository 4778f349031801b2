// The predictor: preprocessing → engine → scores, for any number of threads at once.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bundle.h"
#include "engine.h"
#include "workers.h"

namespace edgeglyph {

struct Prediction {
    uint32_t label = 0, confidence = 0, p_real = 0;  // a class number, and millionths
};

class Classifier {
public:
    // Read a bundle's bytes and run its self-test; `name` stands for it in messages. Throws Error.
    Classifier(std::vector<uint8_t> file, const std::string &name, const char *isa);

    const Bundle &bundle() const { return bundle_; }
    const Engine &engine() const { return *engine_; }
    size_t classes() const { return bundle_.alphabet.size(); }

    // From now on `accelerator` runs the network, once it has passed the self-test. Throws Error.
    void use(std::unique_ptr<Accelerator> accelerator);
    const Accelerator *accelerator() const { return accelerator_.get(); }

    // For batches.
    Workers &workers() const { return workers_; }

    // Logits [classes] of a preprocessed input [32][32].
    void run(const int8_t *input, int32_t *logits) const;

    // Classify gray pixels; `logits` and `probabilities` hold [classes] each.
    Prediction classify(const uint8_t *pixels, uint32_t width, uint32_t height, size_t stride,
                        int32_t *logits, uint32_t *probabilities) const;

private:
    class Lease;
    using Arena = std::unique_ptr<uint8_t[]>;

    std::vector<uint8_t> file_;
    Bundle bundle_;
    std::unique_ptr<Engine> engine_;
    std::unique_ptr<Accelerator> accelerator_;  // none: the engine runs the network
    mutable std::mutex guard_;
    mutable std::vector<Arena> idle_;  // arenas that no call is using
    mutable Workers workers_;
};

// Open the bundle at `path`.
std::unique_ptr<Classifier> open_classifier(const std::string &path, const char *isa);

}  // namespace edgeglyph
