#include "bench.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "backend.h"
#include "error.h"
#include "files.h"
#include "image.h"
#include "times.h"

namespace edgeglyph {
namespace {

constexpr double warm_up_s = 0.2, measured_s = 1.0;
constexpr size_t least_runs = 20, most_runs = 100000;

template <typename Body>
Times measure(const Body &body) {
    const Clock::time_point warm = Clock::now();
    do body();
    while (seconds_since(warm) < warm_up_s);
    Times times;
    const Clock::time_point begin = Clock::now();
    while (times.us.size() < least_runs ||
           (seconds_since(begin) < measured_s && times.us.size() < most_runs)) {
        const Clock::time_point start = Clock::now();
        body();
        times.us.push_back(seconds_since(start) * 1e6);
    }
    times.sort();
    return times;
}

// Most memory that this process has had resident, from Linux's /proc; 0 elsewhere.
long peak_kb() {
    std::FILE *status = std::fopen("/proc/self/status", "r");
    if (!status) return 0;
    long found = 0;
    char line[128];
    while (found == 0 && std::fgets(line, sizeof line, status)) {
        if (std::strncmp(line, "VmHWM:", 6) == 0) found = std::strtol(line + 6, nullptr, 10);
    }
    std::fclose(status);
    return found;
}

void print(const Options &options, const char *what, const Times &times) {
    const char *form = options.json ? ", \"%s\": {\"median_us\": %.2f, \"p99_us\": %.2f, "
                                      "\"runs\": %zu}"
                                    : "%-28s %10.2f µs median %10.2f µs 99th percentile  "
                                      "(%zu runs)\n";
    std::printf(form, what, times.at(0.5), times.at(0.99), times.us.size());
}

}  // namespace

void bench(const Options &options) {
    const Clock::time_point start = Clock::now();
    const auto classifier = open_with_backend(options);
    const double open_us = seconds_since(start) * 1e6;
    std::vector<int32_t> logits(classifier->classes());
    std::vector<uint32_t> probabilities(classifier->classes());
    std::string path;
    std::vector<uint8_t> file;
    const auto whole = [&] {
        const Image image = decode_image({file.data(), file.size()}, path);
        classifier->classify(image.pixels.data(), image.width, image.height, image.width,
                             logits.data(), probabilities.data());
    };
    if (!options.images.empty()) {
        path = tidy_path(options.images.front());
        file = read_file(path, max_image_bytes, "no such file");
        whole();
    }
    const double first_us = seconds_since(start) * 1e6;
    std::printf(options.json
                    ? "{\"isa\": \"%s\", \"working_bytes\": %zu, \"open_us\": %.2f, "
                      "\"first_answer_us\": %.2f, \"peak_kb\": %ld"
                    : "%s, %zu bytes of working memory, opened and self-tested in %.2f µs, "
                      "first answer after %.2f µs, %ld KB resident\n",
                classifier->engine().kernels().name, classifier->engine().arena_bytes(), open_us,
                first_us, peak_kb());
    const int8_t *input = reinterpret_cast<const int8_t *>(classifier->bundle().golden.data);
    print(options, "network", measure([&] { classifier->run(input, logits.data()); }));
    if (!path.empty()) print(options, "image", measure(whole));
    if (options.json) std::printf("}\n");
}

}  // namespace edgeglyph
