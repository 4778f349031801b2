// A loop over threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace edgeglyph {

inline unsigned machine_threads() {
    return std::max(1u, std::thread::hardware_concurrency());
}

// Call body(i) once for every i below `count`, on up to `threads` threads (0: as many as the
// machine has), this one included. The first exception is thrown here when all have ended.
template <typename Body>
void parallel_for(size_t count, unsigned threads, const Body &body) {
    if (threads == 0) threads = machine_threads();
    std::atomic<size_t> next{0};
    std::exception_ptr failure;
    std::mutex guard;
    const auto work = [&] {
        try {
            for (size_t i = next++; i < count; i = next++) body(i);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(guard);
            if (!failure) failure = std::current_exception();
            next = count;
        }
    };
    std::vector<std::thread> others;
    const size_t wanted = std::min<size_t>(threads, count);
    others.reserve(wanted);
    for (size_t i = 1; i < wanted; ++i) {
        try {
            others.emplace_back(work);
        } catch (const std::system_error &) {
            break;  // no more threads to be had: these do all
        }
    }
    work();
    for (std::thread &other : others) other.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace edgeglyph
