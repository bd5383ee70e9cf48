/* The checksum of Kafka's record batches. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_x86(const uint8_t *at, size_t count) {
    uint64_t crc = ~0u;
    for (; count >= 8; at += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    for (; count; count--) crc = __builtin_ia32_crc32qi((uint32_t)crc, *at++);
    return ~(uint32_t)crc;
}
#endif

static uint32_t crc32c(const void *bytes, size_t count) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return crc32c_x86(bytes, count);
#endif
    static uint32_t table[256];
    for (uint32_t one = 0; !table[255] && one < 256; one++) {
        table[one] = one;
        for (int bit = 0; bit < 8; bit++) table[one] = table[one] >> 1 ^ (table[one] & 1 ? 0x82f63b78 : 0);
    }
    uint32_t crc = ~0u;
    for (const uint8_t *at = bytes; count; count--) crc = crc >> 8 ^ table[(crc ^ *at++) & 255];
    return ~crc;
}
