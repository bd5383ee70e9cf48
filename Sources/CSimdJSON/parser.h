#ifndef CSIMDJSON_PARSER_H
#define CSIMDJSON_PARSER_H

#include <simdjson.h>

#include <cstdlib>
#include <memory>

#include "csimdjson.h"
#include "prefix_memory.h"

struct SkipKey {
    char *text = nullptr;
    uint32_t length = 0;
};

constexpr size_t skip_keys_max = 8;
// A parser that met a huge document gives the memory back when small ones follow.
constexpr size_t capacity_kept_bytes = 8u << 20;

// What a parser owns and keeps from one document to the next.
struct csimdjson_parser {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> stage1;
    csimdjson_token *tokens = nullptr;
    size_t tokens_capacity = 0;
    SkipKey skip_keys[skip_keys_max];
    size_t skip_keys_count = 0;
    bool checks_escapes = true;
    PrefixMemory prefixes;

    ~csimdjson_parser() {
        std::free(tokens);
        for (size_t i = 0; i < skip_keys_count; i++) std::free(skip_keys[i].text);
    }

    uint32_t prepare(size_t length) {
        size_t have = stage1 ? stage1->capacity() : 0;
        bool wasteful = have > capacity_kept_bytes && length < have / 8;
        if (stage1 && have >= length && !wasteful) return CSIMDJSON_OK;
        size_t wanted = length < 4096 ? 4096 : length + (wasteful ? 0 : length / 4);
        if (wanted > CSIMDJSON_LENGTH_MAX) wanted = CSIMDJSON_LENGTH_MAX;
        stage1.reset();
        auto error = simdjson::get_active_implementation()->create_dom_parser_implementation(wanted, 1, stage1);
        if (error || !stage1) {
            stage1.reset();
            return CSIMDJSON_NO_MEMORY;
        }
        if (wasteful) {
            std::free(tokens);
            tokens = nullptr;
            tokens_capacity = 0;
        }
        return CSIMDJSON_OK;
    }

    // Every token takes two structural characters, but for one; what is still open at an error, one each.
    uint32_t reserve_tokens(size_t structurals) {
        size_t wanted = structurals / 2 + CSIMDJSON_DEPTH_MAX + 8;
        if (wanted <= tokens_capacity) return CSIMDJSON_OK;
        if (wanted < tokens_capacity * 2) wanted = tokens_capacity * 2;
        std::free(tokens);
        tokens_capacity = 0;
        tokens = static_cast<csimdjson_token *>(std::malloc(wanted * sizeof(csimdjson_token)));
        if (!tokens) return CSIMDJSON_NO_MEMORY;
        tokens_capacity = wanted;
        return CSIMDJSON_OK;
    }
};

#endif
