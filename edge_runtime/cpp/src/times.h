// Durations and their percentiles, for --bench and --times.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace edgeglyph {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Times {
    std::vector<double> us;  // microseconds, to be sorted before `at`

    void sort();
    // The duration that this share (0 to 1) of them does not exceed; 0 where there is none.
    double at(double share) const;
};

// One JSON line: images, threads, seconds from the first file to the last answer, images per
// second, and median and 99th percentile of the time from opening an image's file to its line.
std::string times_line(Times &times, unsigned threads, double seconds);

}  // namespace edgeglyph
