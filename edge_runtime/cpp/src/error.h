// The one exception of the runtime: a message for the user, and the exit code that goes with it.
#pragma once

#include <string>
#include <utility>

namespace edgeglyph {

enum class Fault { not_verified = 1, bad_input = 2 };

struct Error {
    Fault fault;
    std::string message;
};

[[noreturn]] inline void refuse(std::string message) {
    throw Error{Fault::bad_input, std::move(message)};
}

}  // namespace edgeglyph
