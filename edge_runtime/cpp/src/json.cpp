#include "json.h"

#include "error.h"
#include "text.h"

namespace edgeglyph {
namespace {

class Parser {
public:
    explicit Parser(Bytes bytes) : bytes_(bytes) {}

    Json document() {
        Json value = parse(0);
        skip_space();
        if (at_ != bytes_.size) fail("something follows the value");
        return value;
    }

private:
    [[noreturn]] void fail(const char *what) const {
        refuse("no JSON: " + std::string(what) + " at byte " + std::to_string(at_));
    }

    int peek() const { return at_ < bytes_.size ? bytes_.data[at_] : -1; }

    bool take(char c) {
        if (peek() != c) return false;
        ++at_;
        return true;
    }

    void word(const char *rest) {
        for (; *rest; ++rest) {
            if (!take(*rest)) fail("unknown word");
        }
    }

    void skip_space() {
        while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
    }

    Json parse(int depth) {
        skip_space();
        Json value;
        switch (peek()) {
            case '{': parse_object(value, depth + 1); break;
            case '[': parse_list(value, depth + 1); break;
            case '"':
                value.kind = Json::Kind::text;
                value.text = parse_string();
                break;
            case 't':
                value.boolean = true;
                word("true");
                value.kind = Json::Kind::boolean;
                break;
            case 'f':
                word("false");
                value.kind = Json::Kind::boolean;
                break;
            case 'n': word("null"); break;
            default: parse_number(value);
        }
        return value;
    }

    void parse_list(Json &value, int depth) {
        if (depth > max_json_depth) fail("nested too deeply");
        value.kind = Json::Kind::list;
        ++at_;
        skip_space();
        if (take(']')) return;
        do value.list.push_back(parse(depth));
        while (more(']'));
    }

    void parse_object(Json &value, int depth) {
        if (depth > max_json_depth) fail("nested too deeply");
        value.kind = Json::Kind::object;
        ++at_;
        skip_space();
        if (take('}')) return;
        do {
            skip_space();
            if (peek() != '"') fail("a key is missing");
            std::string key = parse_string();
            if (value.find(key.c_str())) fail("a key occurs twice");
            if (value.object.size() >= 4096) fail("too many keys");
            skip_space();
            if (!take(':')) fail("a colon is missing");
            Json inner = parse(depth);
            value.object.emplace_back(std::move(key), std::move(inner));
        } while (more('}'));
    }

    bool more(char end) {
        skip_space();
        if (take(end)) return false;
        if (!take(',')) fail("a comma is missing");
        return true;
    }

    void digits() {
        if (peek() < '0' || peek() > '9') fail("a value is missing");
        while (peek() >= '0' && peek() <= '9') ++at_;
    }

    void parse_number(Json &value) {
        const size_t start = at_;
        const bool negative = take('-');
        if (!take('0')) digits();
        bool whole = true;
        if (take('.')) {
            whole = false;
            digits();
        }
        if (take('e') || take('E')) {
            whole = false;
            if (!take('+')) take('-');
            digits();
        }
        const size_t first = start + (negative ? 1 : 0);
        value.kind = Json::Kind::real;
        if (!whole || at_ - first > 18) return;  // 18 digits are below 2^60
        value.kind = Json::Kind::integer;
        for (size_t i = first; i < at_; ++i) {
            value.integer = value.integer * 10 + (bytes_.data[i] - '0');
        }
        if (negative) value.integer = -value.integer;
    }

    unsigned hex4() {
        unsigned value = 0;
        for (int i = 0; i < 4; ++i, ++at_) {
            const int c = peek();
            int digit = -1;
            if (c >= '0' && c <= '9') digit = c - '0';
            if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
            if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
            if (digit < 0) fail("a wrong \\u escape");
            value = value * 16 + static_cast<unsigned>(digit);
        }
        return value;
    }

    void parse_escape(std::string &out) {
        static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
        const int c = peek();
        for (size_t i = 0; i + 1 < sizeof names; ++i) {
            if (c == names[i]) {
                ++at_;
                out += values[i];
                return;
            }
        }
        if (!take('u')) fail("an unknown escape");
        unsigned code = hex4();
        if (code >= 0xD800 && code < 0xDC00) {
            if (!take('\\') || !take('u')) fail("half of a surrogate pair");
            const unsigned low = hex4();
            if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xDC00 && code < 0xE000) {
            fail("half of a surrogate pair");
        }
        if (code == 0) fail("a zero character");
        append_utf8(out, code);
    }

    std::string parse_string() {
        std::string out;
        ++at_;
        while (!take('"')) {
            const int c = peek();
            if (c < 0x20) fail("a text that does not end");
            if (take('\\')) {
                parse_escape(out);
                continue;
            }
            const size_t length = utf8_length(bytes_.from(at_));
            if (length == 0) fail("text that is not UTF-8");
            out.append(reinterpret_cast<const char *>(bytes_.data + at_), length);
            at_ += length;
        }
        return out;
    }

    Bytes bytes_;
    size_t at_ = 0;
};

}  // namespace

const Json *Json::find(const char *key) const {
    for (const auto &entry : object) {
        if (entry.first == key) return &entry.second;
    }
    return nullptr;
}

const Json &Json::at(const char *key) const {
    const Json *found = find(key);
    if (!found) refuse("lacks '" + std::string(key) + "'");
    return *found;
}

int64_t Json::whole(int64_t low, int64_t high) const {
    if (kind != Kind::integer || integer < low || integer > high) {
        refuse("a number is none or lies outside of " + std::to_string(low) + ".." +
               std::to_string(high));
    }
    return integer;
}

bool Json::truth() const {
    if (kind != Kind::boolean) refuse("neither true nor false");
    return boolean;
}

const std::string &Json::string() const {
    if (kind != Kind::text) refuse("a text is missing");
    return text;
}

const std::vector<Json> &Json::items() const {
    if (kind != Kind::list) refuse("a list is missing");
    return list;
}

Json parse_json(Bytes bytes) {
    return Parser(bytes).document();
}

}  // namespace edgeglyph
