// Threads that help with loops. They begin with the first loop that wants them, and sleep between
// loops: starting threads for every batch would cost a batch of 64 images a tenth of its speed.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <sys/types.h>

namespace edgeglyph {

unsigned machine_threads();

class Workers {
public:
    Workers();
    ~Workers();
    Workers(const Workers &) = delete;
    Workers &operator=(const Workers &) = delete;

    // Call body(i) once for every i below `count`, on up to `threads` threads (0: as many as the
    // machine has), this one included. The first exception is thrown here when all have ended. Any
    // number of threads may run loops at the same time; they share the helpers.
    void run(size_t count, unsigned threads, const std::function<void(size_t)> &body);

private:
    struct Loop;

    void grow(size_t wanted);
    void close(Loop &loop);
    void help();

    const pid_t process_;  // a child process has none of the threads
    std::mutex guard_;     // of all below, and of the loops' counts of helpers
    std::condition_variable wake_, done_;
    std::vector<Loop *> open_;  // that want more helpers
    std::vector<std::thread> threads_;
    bool ending_ = false;
};

}  // namespace edgeglyph
