#ifndef CSIMDJSON_PREFIX_MEMORY_H
#define CSIMDJSON_PREFIX_MEMORY_H

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "csimdjson.h"

// Debezium sends the same 3 kB of schema before every row. A document's bytes up to the end of a
// skipped first member are kept, so that the next document that begins with them is only parsed
// from there on.

struct RememberedPrefix {
    uint8_t *bytes = nullptr;
    uint32_t length = 0;
    uint32_t id = 0;
    csimdjson_token object = {};
    csimdjson_token skipped = {};
};

class PrefixMemory {
public:
    PrefixMemory() = default;
    PrefixMemory(const PrefixMemory &) = delete;
    PrefixMemory &operator=(const PrefixMemory &) = delete;
    ~PrefixMemory() {
        for (auto &entry : entries) std::free(entry.bytes);
    }

    // Entries often begin alike; their last bytes hold the schema's name, and are compared first. The
    // entry stays valid until the next `remember`.
    const RememberedPrefix *find(const uint8_t *document, uint32_t length) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t slot = (latest + i) % count;
            const RememberedPrefix &entry = entries[slot];
            if (entry.length >= length) continue;
            uint32_t end = entry.length < 64 ? entry.length : 64;
            uint32_t rest = entry.length - end;
            if (std::memcmp(document + rest, entry.bytes + rest, end) != 0) continue;
            if (std::memcmp(document, entry.bytes, rest) != 0) continue;
            latest = slot;
            return &entry;
        }
        return nullptr;
    }

    // Returns the new entry's id, or 0 when it isn't kept.
    uint32_t remember(const uint8_t *document, const csimdjson_token &object, const csimdjson_token &skipped) {
        uint32_t length = skipped.value_offset + skipped.value_length;
        if (length > length_max) return 0;
        auto copy = static_cast<uint8_t *>(std::malloc(length));
        if (!copy) return 0;
        std::memcpy(copy, document, length);
        if (++last_id == 0) last_id = 1;
        RememberedPrefix &entry = entries[oldest];
        std::free(entry.bytes);
        entry = {copy, length, last_id, object, skipped};
        latest = oldest;
        oldest = (oldest + 1) % capacity;
        if (count < capacity) count++;
        return last_id;
    }

private:
    static constexpr uint32_t capacity = 32;
    static constexpr uint32_t length_max = 64u << 10;
    RememberedPrefix entries[capacity];
    uint32_t count = 0;
    uint32_t latest = 0;  // where to look first
    uint32_t oldest = 0;  // where to write next
    uint32_t last_id = 0;
};

#endif
