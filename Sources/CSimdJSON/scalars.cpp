#include "scalars.h"

namespace {

const uint8_t *skip_digits(const uint8_t *p, const uint8_t *end) {
    while (p < end && is_digit(*p)) p++;
    return p;
}

uint32_t scan_number(const uint8_t *p, const uint8_t *end, uint8_t &kind) {
    kind = CSIMDJSON_INTEGER;
    if (*p == '-') p++;
    if (p == end || !is_digit(*p)) return CSIMDJSON_BAD_NUMBER;
    p = *p == '0' ? p + 1 : skip_digits(p, end);
    if (p == end) return CSIMDJSON_OK;
    kind = CSIMDJSON_FRACTION;
    if (*p == '.') {
        const uint8_t *digits = p + 1;
        p = skip_digits(digits, end);
        if (p == digits) return CSIMDJSON_BAD_NUMBER;
    }
    if (p < end && (*p | 0x20) == 'e') {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        const uint8_t *digits = p;
        p = skip_digits(digits, end);
        if (p == digits) return CSIMDJSON_BAD_NUMBER;
    }
    return p == end ? CSIMDJSON_OK : CSIMDJSON_BAD_NUMBER;
}

uint32_t scan_literal(const uint8_t *p, const uint8_t *end, const char *word, size_t length) {
    return static_cast<size_t>(end - p) == length && std::memcmp(p, word, length) == 0
        ? CSIMDJSON_OK : CSIMDJSON_BAD_LITERAL;
}

// The plain character of a two-character escape, by its second character; 0 for what is none.
struct EscapedCharacters {
    uint8_t plain[256] = {};
    constexpr EscapedCharacters() {
        plain['"'] = '"';
        plain['\\'] = '\\';
        plain['/'] = '/';
        plain['b'] = '\b';
        plain['f'] = '\f';
        plain['n'] = '\n';
        plain['r'] = '\r';
        plain['t'] = '\t';
    }
};
constexpr EscapedCharacters escaped_characters;

size_t write_utf8(uint32_t code, uint8_t *out) {
    if (code < 0x80) {
        out[0] = static_cast<uint8_t>(code);
        return 1;
    }
    if (code < 0x800) {
        out[0] = static_cast<uint8_t>(0xC0 | code >> 6);
        out[1] = static_cast<uint8_t>(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = static_cast<uint8_t>(0xE0 | code >> 12);
        out[1] = static_cast<uint8_t>(0x80 | (code >> 6 & 0x3F));
        out[2] = static_cast<uint8_t>(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = static_cast<uint8_t>(0xF0 | code >> 18);
    out[1] = static_cast<uint8_t>(0x80 | (code >> 12 & 0x3F));
    out[2] = static_cast<uint8_t>(0x80 | (code >> 6 & 0x3F));
    out[3] = static_cast<uint8_t>(0x80 | (code & 0x3F));
    return 4;
}

// Reads the \u escape (or pair of them) whose backslash is at `p`; nullptr when it is wrong.
const uint8_t *read_unicode_escape(const uint8_t *p, const uint8_t *end, uint32_t &code) {
    if (end - p < 6) return nullptr;
    int32_t first = hex4(p + 2);
    if (first < 0) return nullptr;
    code = static_cast<uint32_t>(first);
    if (first < 0xD800 || first > 0xDFFF) return p + 6;
    if (first > 0xDBFF || end - p < 12 || p[6] != '\\' || p[7] != 'u') return nullptr;
    int32_t second = hex4(p + 8);
    if (second < 0xDC00 || second > 0xDFFF) return nullptr;
    code = 0x10000 + ((code - 0xD800) << 10) + (static_cast<uint32_t>(second) - 0xDC00);
    return p + 12;
}

}  // namespace

uint32_t scan_other_scalar(const uint8_t *p, const uint8_t *end, uint8_t &kind) {
    switch (*p) {
    case 'n': kind = CSIMDJSON_NULL; return scan_literal(p, end, "null", 4);
    case 't': kind = CSIMDJSON_TRUE; return scan_literal(p, end, "true", 4);
    case 'f': kind = CSIMDJSON_FALSE; return scan_literal(p, end, "false", 5);
    case '-': case '0': case '1': case '2': case '3': case '4':
    case '5': case '6': case '7': case '8': case '9':
        return scan_number(p, end, kind);
    case '}': case ']': case ',': case ':': return CSIMDJSON_BAD_STRUCTURE;
    default: return CSIMDJSON_BAD_LITERAL;
    }
}

bool csimdjson_escapes_are_valid(const void *content, size_t length) {
    auto p = static_cast<const uint8_t *>(content);
    const uint8_t *end = p + length;
    for (;;) {
        while (end - p >= 8) {
            uint64_t marks = bytes_equal(load8(p), '\\');
            if (marks) {
                p += first_byte(marks);
                break;
            }
            p += 8;
        }
        while (p < end && *p != '\\') p++;
        if (p == end) return true;
        if (end - p < 2) return false;
        if (escaped_characters.plain[p[1]]) {
            p += 2;
        } else {
            if (p[1] != 'u' || end - p < 6 || hex4(p + 2) < 0) return false;
            p += 6;
        }
    }
}

ptrdiff_t csimdjson_unescape(const void *source, size_t length, void *destination) {
    auto p = static_cast<const uint8_t *>(source);
    const uint8_t *end = p + length;
    auto start = static_cast<uint8_t *>(destination);
    uint8_t *out = start;
    for (;;) {
        // Eight bytes are written though fewer may count: what is written never gets ahead of what
        // is read, so there is room for them.
        while (end - p >= 8) {
            uint64_t word = load8(p);
            std::memcpy(out, &word, 8);
            uint64_t marks = bytes_equal(word, '\\');
            unsigned plain = marks ? first_byte(marks) : 8;
            p += plain;
            out += plain;
            if (marks) break;
        }
        while (p < end && *p != '\\') *out++ = *p++;
        if (p == end) return out - start;
        if (end - p < 2) return -1;
        if (uint8_t c = escaped_characters.plain[p[1]]) {
            *out++ = c;
            p += 2;
        } else {
            uint32_t code;
            p = p[1] == 'u' ? read_unicode_escape(p, end, code) : nullptr;
            if (!p) return -1;
            out += write_utf8(code, out);
        }
    }
}

size_t csimdjson_escape(const void *source, size_t length, void *destination) {
    auto p = static_cast<const uint8_t *>(source);
    const uint8_t *end = p + length;
    auto start = static_cast<uint8_t *>(destination);
    uint8_t *out = start;
    for (;;) {
        while (end - p >= 8) {
            uint64_t word = load8(p);
            std::memcpy(out, &word, 8);
            // Below 0x20: clearing the three high bits' range leaves zero.
            uint64_t control = zero_bytes(word & 0xE0E0E0E0E0E0E0E0u);
            uint64_t marks = bytes_equal(word, '"') | bytes_equal(word, '\\') | control;
            unsigned plain = marks ? first_byte(marks) : 8;
            p += plain;
            out += plain;
            if (marks) break;
        }
        while (p < end && *p >= 0x20 && *p != '"' && *p != '\\') *out++ = *p++;
        if (p == end) return static_cast<size_t>(out - start);
        uint8_t c = *p++;
        *out++ = '\\';
        switch (c) {
        case '"': case '\\': *out++ = c; break;
        case '\b': *out++ = 'b'; break;
        case '\f': *out++ = 'f'; break;
        case '\n': *out++ = 'n'; break;
        case '\r': *out++ = 'r'; break;
        case '\t': *out++ = 't'; break;
        default:
            std::memcpy(out, "u00", 3);
            out[3] = "0123456789abcdef"[c >> 4];
            out[4] = "0123456789abcdef"[c & 15];
            out += 5;
        }
    }
}

bool csimdjson_int64(const void *text, size_t length, int64_t *value) {
    auto p = static_cast<const uint8_t *>(text);
    const uint8_t *end = p + length;
    bool negative = p < end && *p == '-';
    if (negative) p++;
    if (p == end || end - p > 19) return false;
    uint64_t magnitude = 0;  // 19 digits always fit
    for (; p < end; p++) {
        if (!is_digit(*p)) return false;
        magnitude = magnitude * 10 + (*p - '0');
    }
    uint64_t limit = negative ? uint64_t(1) << 63 : (uint64_t(1) << 63) - 1;
    if (magnitude > limit) return false;
    *value = static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
    return true;
}
