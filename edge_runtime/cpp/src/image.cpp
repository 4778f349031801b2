#include "image.h"

#include <cstring>

#include "error.h"
#include "text.h"

namespace edgeglyph {
namespace {

using Decoder = Image (*)(Bytes);

// By the first bytes, as every image library does; nullptr for what is no image of ours.
Decoder decoder_of(Bytes file) {
    const auto begins = [&](const char *magic, size_t size) {
        return file.size >= size && std::memcmp(file.data, magic, size) == 0;
    };
    if (begins("\x89PNG\r\n\x1A\n", 8)) return decode_png;
    if (begins("\xFF\xD8\xFF", 3)) return decode_jpeg;
    if (begins("BM", 2)) return decode_bmp;
    if (file.size >= 2 && file.data[0] == 'P' && file.data[1] >= '1' && file.data[1] <= '6') {
        return decode_pnm;
    }
    return nullptr;
}

}  // namespace

void check_size(uint64_t width, uint64_t height) {
    if (width == 0 || height == 0) throw Damage{"no pixels"};
    if (width > max_side || height > max_side || width * height > max_pixels) {
        throw TooLarge{width, height};
    }
}

Image decode_image(Bytes file, const std::string &name) {
    if (file.size == 0) refuse(name + ": the file is empty (0 bytes); replace or remove it");
    const Decoder decode = decoder_of(file);
    if (!decode) refuse(name + ": not a PNG, JPEG, BMP, PGM or PPM image");
    try {
        return decode(file);
    } catch (const Damage &damage) {
        refuse(name + ": damaged or truncated image (" + damage.reason + ")");
    } catch (const TooLarge &size) {
        refuse(name + ": " + std::to_string(size.width) + "×" + std::to_string(size.height) +
               " pixels is over the limit of " + with_commas(max_pixels) + " in all and " +
               with_commas(max_side) + " a side; make it smaller");
    }
}

}  // namespace edgeglyph
