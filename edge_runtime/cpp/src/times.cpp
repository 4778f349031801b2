#include "times.h"

#include <algorithm>
#include <cstdio>

namespace edgeglyph {

void Times::sort() {
    std::sort(us.begin(), us.end());
}

double Times::at(double share) const {
    if (us.empty()) return 0;
    return us[static_cast<size_t>(share * static_cast<double>(us.size() - 1))];
}

std::string times_line(Times &times, unsigned threads, double seconds) {
    times.sort();
    const double rate = seconds > 0 ? static_cast<double>(times.us.size()) / seconds : 0;
    char line[256];
    std::snprintf(line, sizeof line,
                  "{\"images\": %zu, \"threads\": %u, \"seconds\": %.6f, "
                  "\"images_per_second\": %.2f, \"median_us\": %.2f, \"p99_us\": %.2f}\n",
                  times.us.size(), threads, seconds, rate, times.at(0.5), times.at(0.99));
    return line;
}

}  // namespace edgeglyph
