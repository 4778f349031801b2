// edge_classify: the on-board program. One line for each image, as text or as JSON, equal to what
// `python -m edge_runtime classify` prints.
#include <cstdio>
#include <new>

#include "backend.h"
#include "bench.h"
#include "classifier.h"
#include "error.h"
#include "files.h"
#include "image.h"
#include "look_alikes.h"
#include "n2cube_library.h"
#include "options.h"
#include "text.h"
#include "times.h"
#include "version.h"
#include "workers.h"

namespace edgeglyph {
namespace {

constexpr size_t batch = 64;

struct Source {
    std::string path;
    bool standard_input;
};

std::vector<Source> sources_of(const std::vector<std::string> &images) {
    std::vector<Source> sources;
    for (const std::string &given : images) {
        if (given == "-") {
            sources.push_back({"-", true});
            continue;
        }
        const std::string path = tidy_path(given);
        if (!is_folder(path)) {
            sources.push_back({path, false});
            continue;
        }
        const std::vector<std::string> inside = images_below(path);
        if (inside.empty()) refuse(path + ": no image in this folder");
        for (const std::string &image : inside) sources.push_back({image, false});
    }
    return sources;
}

std::string json_line(const Classifier &classifier, const std::string &path,
                      const Prediction &found, const std::vector<int32_t> &logits,
                      const std::vector<uint32_t> &probabilities, size_t top_k) {
    const std::vector<std::string> &symbols = classifier.bundle().alphabet;
    std::string line = "{\"path\": " + json_text(path) +
                       ", \"label\": " + json_text(symbols[found.label]) +
                       ", \"confidence\": " + decimal(found.confidence) +
                       ", \"p_real\": " + decimal(found.p_real) + ", \"top\": [";
    const char *comma = "";
    for (uint32_t c : ranking(logits.data(), logits.size(), top_k)) {
        line += comma + ("[" + json_text(symbols[c])) + ", " + decimal(probabilities[c]) + "]";
        comma = ", ";
    }
    line += "], \"logits\": [";
    comma = "";
    for (int32_t logit : logits) {
        line += comma + std::to_string(logit);
        comma = ", ";
    }
    return line + "]}\n";
}

std::string plain_line(const Classifier &classifier, const std::string &path,
                       const Prediction &found, const std::vector<int32_t> &logits,
                       const std::vector<uint32_t> &probabilities, size_t top_k) {
    const std::vector<std::string> &symbols = classifier.bundle().alphabet;
    std::string others;
    for (uint32_t c : ranking(logits.data(), logits.size(), top_k)) {
        if (c == found.label) continue;
        others +=
            (others.empty() ? "" : ", ") + symbols[c] + " " + percent(probabilities[c]) + " %";
    }
    return path + ": " + symbols[found.label] + "  " + percent(found.confidence) + " %" +
           (others.empty() ? "" : "  (then " + others + ")") +
           alike_remark(symbols, found.label, logits.data(), probabilities.data()) + "\n";
}

struct Answer {
    std::string line;
    bool failed = false;
    double us = 0;  // from opening the file to the line
};

Answer answer(const Classifier &classifier, const Source &source, const Options &options) {
    try {
        const std::vector<uint8_t> file =
            source.standard_input ? read_standard_input(max_image_bytes)
                                  : read_file(source.path, max_image_bytes, "no such file");
        const Image image = decode_image({file.data(), file.size()}, source.path);
        std::vector<int32_t> logits(classifier.classes());
        std::vector<uint32_t> probabilities(classifier.classes());
        const Prediction found =
            classifier.classify(image.pixels.data(), image.width, image.height, image.width,
                                logits.data(), probabilities.data());
        const auto line = options.json ? json_line : plain_line;
        return {line(classifier, source.path, found, logits, probabilities, options.top_k), false};
    } catch (const Error &error) {
        if (!options.json) return {source.path + ": error: " + error.message + "\n", true};
        return {"{\"path\": " + json_text(source.path) +
                    ", \"error\": " + json_text(error.message) + "}\n",
                true};
    }
}

int classify(const Classifier &classifier, const Options &options) {
    const std::vector<Source> sources = sources_of(options.images);
    bool failed = false;
    Times times;
    const Clock::time_point start = Clock::now();
    for (size_t from = 0; from < sources.size(); from += batch) {
        std::vector<Answer> answers(std::min(batch, sources.size() - from));
        classifier.workers().run(answers.size(), options.threads, [&](size_t i) {
            const Clock::time_point opened = Clock::now();
            answers[i] = answer(classifier, sources[from + i], options);
            answers[i].us = seconds_since(opened) * 1e6;
        });
        for (const Answer &given : answers) {
            failed = failed || given.failed;
            if (options.times) times.us.push_back(given.us);
            std::fwrite(given.line.data(), 1, given.line.size(), stdout);
        }
        std::fflush(stdout);
    }
    if (std::ferror(stdout)) refuse("standard output cannot be written");
    if (options.times) {
        const unsigned threads = options.threads ? options.threads : machine_threads();
        std::fputs(times_line(times, threads, seconds_since(start)).c_str(), stderr);
    }
    return failed ? 2 : 0;
}

void print_version(const std::string &isa) {
    const char *chosen = find_kernels(isa.c_str()).name;
    std::string all;
    for (const std::string &name : supported_names()) all += (all.empty() ? "" : ", ") + name;
    std::printf("edge_classify %s, instruction set %s of %s\n", edgeglyph_version, chosen,
                all.c_str());
}

int run(const Options &options) {
    if (options.help) return std::fputs(usage_text, stdout), 0;
    if (options.version) return print_version(options.isa), 0;
    if (options.bench) return bench(options), 0;
    if (!options.n2cube_library.empty()) return check_n2cube(options.n2cube_library), 0;
    const auto classifier = open_with_backend(options);
    if (options.self_test) {
        const Bundle &bundle = classifier->bundle();
        std::printf(
            "self-test of bundle '%s' passed: %zu layers, %u golden vectors, %s, "
            "%zu bytes of working memory%s%s%s%s\n",
            bundle.name.c_str(), bundle.network.layers.size(), bundle.golden_count,
            classifier->engine().kernels().name, classifier->engine().arena_bytes(),
            classifier->accelerator() ? "; the same golden vectors on " : "",
            classifier->accelerator() ? classifier->accelerator()->device() : "",
            classifier->accelerator() ? " by " : "",
            classifier->accelerator() ? classifier->accelerator()->name() : "");
        return 0;
    }
    return classify(*classifier, options);
}

int guarded(int count, const char *const *arguments) {
    try {
        return run(parse_options(count, arguments));
    } catch (const Error &error) {
        std::fprintf(stderr, "edge_classify: %s\n", error.message.c_str());
        return static_cast<int>(error.fault);
    } catch (const std::bad_alloc &) {
        std::fputs("edge_classify: out of memory\n", stderr);
        return 2;
    }
}

}  // namespace
}  // namespace edgeglyph

int main(int count, char **arguments) {
    return edgeglyph::guarded(count, arguments);
}
