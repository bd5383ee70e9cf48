#ifndef CSIMDJSON_SCALARS_H
#define CSIMDJSON_SCALARS_H

#include <cstdint>
#include <cstring>

#include "csimdjson.h"

inline bool is_space(uint8_t c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
inline bool is_digit(uint8_t c) { return static_cast<uint8_t>(c - '0') < 10; }

/// 0…15, or -1.
inline int hex_digit(uint8_t c) {
    if (is_digit(c)) return c - '0';
    uint8_t letter = static_cast<uint8_t>((c | 0x20) - 'a');
    return letter < 6 ? letter + 10 : -1;
}

/// The four hex digits at `p`, or a negative number.
inline int32_t hex4(const uint8_t *p) {
    int32_t a = hex_digit(p[0]), b = hex_digit(p[1]), c = hex_digit(p[2]), d = hex_digit(p[3]);
    if ((a | b | c | d) < 0) return -1;
    return a << 12 | b << 8 | c << 4 | d;
}

inline uint64_t load8(const uint8_t *p) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    return word;
}

/// The high bit of each byte that is zero; bytes behind the first such one may be set wrongly.
inline uint64_t zero_bytes(uint64_t word) {
    return (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
}

inline uint64_t bytes_equal(uint64_t word, uint8_t c) { return zero_bytes(word ^ (0x0101010101010101u * c)); }

inline unsigned first_byte(uint64_t marks) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return static_cast<unsigned>(__builtin_ctzll(marks)) >> 3;
#else
#error "the eight-bytes-at-a-time scans are written for little-endian machines"
#endif
}

/// Whether `length` bytes are all digits. Reads up to seven bytes behind them.
inline bool all_digits(const uint8_t *p, size_t length) {
    auto digits = [](uint64_t word) {
        constexpr uint64_t high = 0xF0F0F0F0F0F0F0F0u, zeros = 0x3030303030303030u;
        return (word & high) == zeros && ((word + 0x0606060606060606u) & high) == zeros;
    };
    for (; length >= 8; length -= 8, p += 8) {
        if (!digits(load8(p))) return false;
    }
    if (length == 0) return true;
    uint64_t beyond = ~uint64_t(0) << (8 * length);
    return digits((load8(p) & ~beyond) | (0x3030303030303030u & beyond));
}

uint32_t scan_other_scalar(const uint8_t *p, const uint8_t *end, uint8_t &kind);

/// Checks a number or literal of `length` > 0 bytes and says what it is.
inline uint32_t scan_scalar(const uint8_t *p, uint32_t length, uint8_t &kind) {
    uint32_t sign = *p == '-';
    if (length > sign && (p[sign] != '0' || length == sign + 1) && all_digits(p + sign, length - sign)) {
        kind = CSIMDJSON_INTEGER;
        return CSIMDJSON_OK;
    }
    if (length == 4 && std::memcmp(p, "null", 4) == 0) {
        kind = CSIMDJSON_NULL;
        return CSIMDJSON_OK;
    }
    return scan_other_scalar(p, p + length, kind);
}

#endif
