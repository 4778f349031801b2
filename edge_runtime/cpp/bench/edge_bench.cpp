// edge_bench: how long the network alone, and a whole image from its file's bytes, take; or the
// same work a given number of times, for counting instructions. Prints one JSON object.
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <set>
#include <string>
#include <vector>

#include "bytes.h"
#include "classifier.h"
#include "error.h"
#include "files.h"
#include "image.h"
#include "peak.h"
#include "preprocess.h"

namespace edgeglyph {
namespace {

const char *const usage =
    "usage: edge_bench --bundle FILE.egb [--isa I] [--image FILE] [--cpu K] [--rounds R]\n"
    "       edge_bench --bundle FILE.egb [--isa I] [--image FILE] [--cpu K] --ask yes\n"
    "       edge_bench --bundle FILE.egb [--isa I] --repeat N\n"
    "\n"
    "  --image FILE   also measure a whole image, from the file's bytes to probabilities\n"
    "  --cpu K        the first processor to run on (default: 0)\n"
    "  --rounds R     of all measurements in turn (default: 100)\n"
    "  --ask yes      measure what the lines of standard input name, once each and answered by a\n"
    "                 line: 'network 1 1' (or image; batch; threads) by nanoseconds an image,\n"
    "                 processor time by elapsed time, and the nanoseconds an image of each call;\n"
    "                 'peak' by multiply-adds a nanosecond of a vpdpbusd loop, 0 without that\n"
    "  --repeat N     preprocess a 64×64 picture and run the network N times, measuring nothing\n";

struct Settings {
    std::string bundle, isa = "auto", image;
    int cpu = 0, rounds = 100, repeat = 0;
    bool ask = false, help = false;
};

int number(const std::string &name, const std::string &text) {
    char *end = nullptr;
    const long value = std::strtol(text.c_str(), &end, 10);
    if (text.empty() || *end || value < 0 || value > 1000000) {
        refuse(name + " needs a number, not '" + text + "'");
    }
    return static_cast<int>(value);
}

int processors() {
    return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
}

Settings parse(int count, char **arguments) {
    Settings settings;
    for (int i = 1; i < count; ++i) {
        const std::string name = arguments[i];
        if (name == "--help") return settings.help = true, settings;
        if (i + 1 == count) refuse("no option " + name + ", or it lacks its value; see --help");
        const std::string value = arguments[++i];
        if (name == "--bundle")
            settings.bundle = value;
        else if (name == "--isa")
            settings.isa = value;
        else if (name == "--image")
            settings.image = value;
        else if (name == "--cpu")
            settings.cpu = number(name, value);
        else if (name == "--rounds")
            settings.rounds = std::max(1, number(name, value));
        else if (name == "--ask" && value == "yes")
            settings.ask = true;
        else if (name == "--repeat")
            settings.repeat = std::max(1, number(name, value));
        else
            refuse("no option " + name + "; --help lists them");
    }
    if (settings.cpu >= processors()) refuse("no processor " + std::to_string(settings.cpu));
    if (settings.bundle.empty()) refuse("name the classifier with --bundle FILE.egb");
    return settings;
}

// Run on `count` processors alone: `first` and those after it, around the end.
void pin(int first, int count) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < count; ++i) {
        CPU_SET(static_cast<size_t>((first + i) % processors()), &set);
    }
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        refuse("cannot run on processor " + std::to_string(first));
    }
}

// Time that all threads of this process have run.
double processor_ns() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

// Nanoseconds that one image takes, a figure for each round.
struct Measurement {
    const char *what;
    size_t batch;
    unsigned threads;
    std::function<void()> body;  // works on a batch
    std::vector<double> ns = {};
    std::vector<double> calls = {};  // of the last round, each
    double processors = 0;           // of the last round: processor time by elapsed time

    void measure(int cpu) {
        using Clock = std::chrono::steady_clock;
        constexpr double least_ns = 2e6;  // shorter than a system's slice of time
        pin(cpu, static_cast<int>(threads));
        body();  // with what others left in the caches
        calls.clear();
        const double cpu_before = processor_ns();
        const Clock::time_point start = Clock::now();
        double elapsed = 0;
        do {
            body();
            const double before = elapsed;
            elapsed = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
            calls.push_back((elapsed - before) / static_cast<double>(batch));
        } while (elapsed < least_ns);
        processors = (processor_ns() - cpu_before) / elapsed;
        ns.push_back(elapsed / static_cast<double>(calls.size() * batch));
    }
};

double at(std::vector<double> values, double share) {
    std::sort(values.begin(), values.end());
    return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

class Bench {
public:
    explicit Bench(const Settings &settings)
        : settings_(settings),
          classifier_(open_classifier(settings.bundle, settings.isa.c_str())),
          logits_(most_batch * classifier_->classes()),
          probabilities_(most_batch * classifier_->classes()) {
        if (!settings.image.empty()) {
            file_ = read_file(settings.image, max_image_bytes, "no such file");
        }
        const auto most = static_cast<unsigned>(processors());
        for (unsigned threads : std::set<unsigned>{1, std::min(2u, most), most}) {
            for (size_t batch : {size_t{1}, most_batch}) {
                if (threads > batch) continue;
                all_.push_back({"network", batch, threads, over(batch, threads, &Bench::network)});
                if (file_.empty()) continue;
                all_.push_back({"image", batch, threads, over(batch, threads, &Bench::image)});
            }
        }
    }

    void repeat() {
        uint8_t pixels[64 * 64];
        for (size_t i = 0; i < sizeof pixels; ++i) {
            pixels[i] = static_cast<uint8_t>((i % 64 * (i / 64)) ^ (i * 7));
        }
        int8_t input[input_side * input_side];
        for (int i = 0; i < settings_.repeat; ++i) {
            preprocess(pixels, 64, 64, 64, input);
            classifier_->run(input, logits_.data());
        }
        const Bytes bytes{reinterpret_cast<const uint8_t *>(logits_.data()),
                          4 * classifier_->classes()};
        std::printf("{\"isa\": \"%s\", \"logits_crc32\": %u}\n", isa(), crc32(bytes));
    }

    void measure() {
        std::vector<double> peaks;  // of each round
        for (int round = -warm_up; round < settings_.rounds; ++round) {
            pin(settings_.cpu, 1);
            peaks.push_back(peak_multiply_adds_per_ns());
            for (Measurement &one : all_) one.measure(settings_.cpu);
            if (round < 0) {
                peaks.clear();
                for (Measurement &one : all_) one.ns.clear();
            }
        }
        print(peaks);
    }

    // For a driver that lets engines take turns.
    void answer() {
        std::printf("{\"isa\": \"%s\", \"multiply_adds\": %lld}\n", isa(), work());
        std::fflush(stdout);
        char line[64], what[16] = "";
        while (std::fgets(line, sizeof line, stdin)) {
            size_t batch = 1;
            unsigned threads = 1;
            std::sscanf(line, "%15s %zu %u", what, &batch, &threads);
            pin(settings_.cpu, 1);
            if (std::string(what) == "peak") {
                std::printf("%.2f\n", peak_multiply_adds_per_ns());
            } else {
                const Measurement &found = once(what, batch, threads);
                std::printf("%.2f %.4f", found.ns.back(), found.processors);
                for (const double call : found.calls) std::printf(" %.1f", call);
                std::printf("\n");
            }
            std::fflush(stdout);
        }
    }

private:
    static constexpr size_t most_batch = 64;
    static constexpr int warm_up = 3;

    const char *isa() const { return classifier_->engine().kernels().name; }

    long long work() const {
        long long found = 0;
        for (const Layer &layer : classifier_->bundle().network.layers) {
            if (layer.convolves()) found += multiply_adds(layer);
        }
        return found;
    }

    const Measurement &once(const std::string &what, size_t batch, unsigned threads) {
        for (Measurement &one : all_) {
            if (what != one.what || batch != one.batch || threads != one.threads) continue;
            one.measure(settings_.cpu);
            return one;
        }
        refuse("cannot measure '" + what + "' of a batch of " + std::to_string(batch) + " on " +
               std::to_string(threads) + " threads");
    }

    std::function<void()> over(size_t batch, unsigned threads, void (Bench::*one)(size_t)) {
        if (batch == 1) return [this, one] { (this->*one)(0); };
        return [this, batch, threads, one] {
            classifier_->workers().run(batch, threads, [this, one](size_t i) { (this->*one)(i); });
        };
    }

    void network(size_t i) {
        const Bundle &bundle = classifier_->bundle();
        const size_t record = bundle.golden.size / bundle.golden_count;
        const uint8_t *input = bundle.golden.data + i % bundle.golden_count * record;
        classifier_->run(reinterpret_cast<const int8_t *>(input),
                         logits_.data() + i * classifier_->classes());
    }

    void image(size_t i) {
        const Image decoded = decode_image({file_.data(), file_.size()}, settings_.image);
        classifier_->classify(decoded.pixels.data(), decoded.width, decoded.height, decoded.width,
                              logits_.data() + i * classifier_->classes(),
                              probabilities_.data() + i * classifier_->classes());
    }

    void print(const std::vector<double> &peaks) const {
        const double peak = at(peaks, 0.5), work = static_cast<double>(this->work());
        std::printf("{\"isa\": \"%s\", \"multiply_adds\": %lld, \"rounds\": %d, \"cpu\": %d", isa(),
                    this->work(), settings_.rounds, settings_.cpu);
        if (peak > 0) {
            std::printf(", \"vpdpbusd_multiply_adds_per_ns\": %.2f, \"peak_ns\": %.1f", peak,
                        work / peak);
        }
        std::printf(", \"measurements\": [");
        const char *comma = "";
        for (const Measurement &one : all_) {
            std::printf(
                "%s\n  {\"what\": \"%s\", \"batch\": %zu, \"threads\": %u, "
                "\"median_ns\": %.1f, \"p10_ns\": %.1f, \"p90_ns\": %.1f, \"min_ns\": %.1f",
                comma, one.what, one.batch, one.threads, at(one.ns, 0.5), at(one.ns, 0.1),
                at(one.ns, 0.9), at(one.ns, 0));
            if (peak > 0) {
                std::vector<double> ratios;  // in each round, as clocks change from one to the next
                for (size_t i = 0; i < peaks.size(); ++i) {
                    ratios.push_back(one.ns[i] * peaks[i] / work);
                }
                std::printf(", \"of_peak\": %.3f", at(ratios, 0.5));
            }
            std::printf("}");
            comma = ",";
        }
        std::printf("\n]}\n");
    }

    const Settings settings_;
    std::unique_ptr<Classifier> classifier_;
    std::vector<int32_t> logits_;
    std::vector<uint32_t> probabilities_;
    std::vector<uint8_t> file_;
    std::vector<Measurement> all_;
};

int run(int count, char **arguments) {
    try {
        const Settings settings = parse(count, arguments);
        if (settings.help) return std::fputs(usage, stdout), 0;
        Bench bench(settings);
        if (settings.repeat > 0) return bench.repeat(), 0;
        settings.ask ? bench.answer() : bench.measure();
        return 0;
    } catch (const Error &error) {
        std::fprintf(stderr, "edge_bench: %s\n", error.message.c_str());
        return static_cast<int>(error.fault);
    } catch (const std::bad_alloc &) {
        std::fputs("edge_bench: out of memory\n", stderr);
        return 2;
    }
}

}  // namespace
}  // namespace edgeglyph

int main(int count, char **arguments) {
    return edgeglyph::run(count, arguments);
}
