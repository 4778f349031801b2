#include "workers.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <system_error>

namespace edgeglyph {

// One call of run(), which outlives its helpers.
struct Workers::Loop {
    const size_t count;
    const std::function<void(size_t)> &body;
    size_t wanted;  // helpers that may still join
    std::atomic<size_t> next{0}, helping{0};
    std::mutex guard{};
    std::exception_ptr failure{};

    void work() {
        try {
            for (size_t i = next++; i < count; i = next++) body(i);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(guard);
            if (!failure) failure = std::current_exception();
            next = count;
        }
    }
};

unsigned machine_threads() {
    return std::max(1u, std::thread::hardware_concurrency());
}

Workers::Workers() : process_(::getpid()) {}

Workers::~Workers() {
    {
        const std::lock_guard<std::mutex> lock(guard_);
        ending_ = true;
    }
    wake_.notify_all();
    for (std::thread &thread : threads_) ::getpid() == process_ ? thread.join() : thread.detach();
}

void Workers::run(size_t count, unsigned threads, const std::function<void(size_t)> &body) {
    const size_t wanted = std::min<size_t>(threads ? threads : machine_threads(), count);
    if (wanted <= 1) {
        for (size_t i = 0; i < count; ++i) body(i);
        return;
    }
    Loop loop{count, body, wanted - 1};
    {
        const std::lock_guard<std::mutex> lock(guard_);
        grow(loop.wanted);
        open_.push_back(&loop);
    }
    for (size_t i = 0; i < wanted - 1; ++i) wake_.notify_one();
    loop.work();
    close(loop);
    if (loop.failure) std::rethrow_exception(loop.failure);
}

void Workers::grow(size_t wanted) {
    open_.reserve(open_.size() + 1);
    threads_.reserve(wanted);
    try {
        while (threads_.size() < wanted) threads_.emplace_back([this] { help(); });
    } catch (const std::system_error &) {
        // No more threads to be had: those that there are do all.
    }
}

// Let no more helpers join, and wait for those that have; mostly they end within an image's time,
// sooner than a sleeper wakes.
void Workers::close(Loop &loop) {
    {
        const std::lock_guard<std::mutex> lock(guard_);
        open_.erase(std::remove(open_.begin(), open_.end(), &loop), open_.end());
    }
    constexpr int most_looks = 20000;
    for (int look = 0; look < most_looks && loop.helping > 0; ++look) {
    }
    std::unique_lock<std::mutex> lock(guard_);
    done_.wait(lock, [&loop] { return loop.helping == 0; });
}

void Workers::help() {
    std::unique_lock<std::mutex> lock(guard_);
    for (;;) {
        wake_.wait(lock, [this] { return ending_ || !open_.empty(); });
        if (ending_) return;
        Loop &loop = *open_.front();
        if (--loop.wanted == 0) open_.erase(open_.begin());
        ++loop.helping;
        lock.unlock();
        loop.work();
        lock.lock();
        if (--loop.helping == 0) done_.notify_all();
    }
}

}  // namespace edgeglyph
