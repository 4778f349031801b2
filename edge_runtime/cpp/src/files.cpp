#include "files.h"

#include <dirent.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "error.h"
#include "text.h"

namespace edgeglyph {
namespace {

class Descriptor {
public:
    explicit Descriptor(int number) : number_(number) {}
    ~Descriptor() {
        if (number_ > 0) ::close(number_);
    }
    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;
    int number() const { return number_; }

private:
    int number_;
};

[[noreturn]] void refuse_file(const std::string &path, int error, const char *missing) {
    if (error == ENOENT) refuse(path + ": " + missing);
    refuse(path + ": cannot be read (" + std::strerror(error) + ")");
}

[[noreturn]] void refuse_size(const std::string &path, uint64_t size, size_t limit) {
    refuse(path + ": " + with_commas(size) + " bytes is over the limit of " + with_commas(limit));
}

std::vector<uint8_t> read_all(int descriptor, const std::string &path, size_t expected,
                              size_t limit, const char *missing) {
    std::vector<uint8_t> bytes(expected + 1);  // one more, so that the end is seen at once
    for (size_t used = 0;;) {
        const ssize_t got = ::read(descriptor, bytes.data() + used, bytes.size() - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) refuse_file(path, errno, missing);
        used += static_cast<size_t>(got);
        if (got == 0) {
            bytes.resize(used);
            return bytes;
        }
        if (used > limit) refuse_size(path, used, limit);
        if (used == bytes.size()) bytes.resize(2 * used);
    }
}

std::vector<std::string> components(const std::string &path) {
    std::vector<std::string> parts;
    size_t start = 0;
    while (start <= path.size()) {
        const size_t end = std::min(path.find('/', start), path.size());
        parts.push_back(path.substr(start, end - start));
        start = end + 1;
    }
    return parts;
}

bool is_image_name(const std::string &name) {
    const size_t dot = name.rfind('.');
    if (dot == std::string::npos || dot == 0) return false;
    for (const char *suffix : {".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm"}) {
        if (strcasecmp(name.c_str() + dot, suffix) == 0) return true;
    }
    return false;
}

void collect(const std::string &folder, std::vector<std::string> &found) {
    DIR *directory = ::opendir(folder.c_str());
    if (!directory) return;  // a folder that may not be read is passed over, as Python does
    std::vector<std::string> folders;
    while (const dirent *entry = ::readdir(directory)) {
        const std::string name = entry->d_name;
        if (name == "." || name == "..") continue;
        const std::string path = tidy_path(folder + "/" + name);
        struct stat status;
        const bool known = ::lstat(path.c_str(), &status) == 0;
        if (known && S_ISDIR(status.st_mode)) {
            folders.push_back(path);
        } else if (is_image_name(name) && !is_folder(path)) {
            found.push_back(path);
        }
    }
    ::closedir(directory);
    for (const std::string &inner : folders) collect(inner, found);
}

}  // namespace

std::vector<uint8_t> read_file(const std::string &path, size_t limit, const char *missing) {
    struct stat status;
    if (::stat(path.c_str(), &status) != 0) refuse_file(path, errno, missing);
    const uint64_t size = static_cast<uint64_t>(std::max<off_t>(status.st_size, 0));
    if (size > limit) refuse_size(path, size, limit);
    const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.number() < 0) refuse_file(path, errno, missing);
    return read_all(file.number(), path, static_cast<size_t>(size), limit, missing);
}

std::vector<uint8_t> read_standard_input(size_t limit) {
    return read_all(0, "-", 4096, limit, "standard input is closed");
}

std::string tidy_path(const std::string &path) {
    std::string out;
    const size_t slashes = std::min(path.find_first_not_of('/'), path.size());
    if (slashes > 0) out = slashes == 2 ? "//" : "/";  // POSIX: exactly two may mean something else
    const size_t root = out.size();
    for (const std::string &part : components(path)) {
        if (part.empty() || part == ".") continue;
        if (out.size() > root) out += '/';
        out += part;
    }
    return out.empty() ? "." : out;
}

bool is_folder(const std::string &path) {
    struct stat status;
    return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

std::vector<std::string> images_below(const std::string &folder) {
    std::vector<std::string> found;
    collect(folder, found);
    std::sort(found.begin(), found.end(), [](const std::string &a, const std::string &b) {
        return components(a) < components(b);
    });
    return found;
}

}  // namespace edgeglyph
