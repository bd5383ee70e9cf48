#include "csimdjson.h"

#include <new>

#include "parser.h"
#include "walk.h"

namespace {

uint32_t translate(simdjson::error_code error) {
    switch (error) {
    case simdjson::SUCCESS: return CSIMDJSON_OK;
    case simdjson::EMPTY: return CSIMDJSON_EMPTY;
    case simdjson::UNCLOSED_STRING: return CSIMDJSON_TRUNCATED;
    case simdjson::UTF8_ERROR: return CSIMDJSON_BAD_UTF8;
    case simdjson::UNESCAPED_CHARS: return CSIMDJSON_BAD_STRING;
    case simdjson::MEMALLOC: return CSIMDJSON_NO_MEMORY;
    case simdjson::CAPACITY: return CSIMDJSON_TOO_LONG;
    default: return CSIMDJSON_OTHER;
    }
}

}  // namespace

csimdjson_parser *csimdjson_parser_new(void) { return new (std::nothrow) csimdjson_parser; }

void csimdjson_parser_free(csimdjson_parser *parser) { delete parser; }

bool csimdjson_parser_skip(csimdjson_parser *parser, const void *key, size_t length) {
    if (parser->skip_keys_count == skip_keys_max || length > 0xFFFF) return false;
    auto text = static_cast<char *>(std::malloc(length + 1));
    if (!text) return false;
    std::memcpy(text, key, length);
    SkipKey &slot = parser->skip_keys[parser->skip_keys_count++];
    slot.text = text;
    slot.length = static_cast<uint32_t>(length);
    return true;
}

void csimdjson_parser_leave_escapes(csimdjson_parser *parser) { parser->checks_escapes = false; }

uint32_t csimdjson_parse(
    csimdjson_parser *parser, const void *document, size_t length, csimdjson_result *result) {
    *result = {};
    auto fail = [&](uint32_t error, uint32_t offset) {
        result->error = error;
        result->error_offset = offset;
        return error;
    };
    if (length == 0) return fail(CSIMDJSON_EMPTY, 0);
    if (length > CSIMDJSON_LENGTH_MAX) return fail(CSIMDJSON_TOO_LONG, 0);
    auto bytes = static_cast<const uint8_t *>(document);
    auto size = static_cast<uint32_t>(length);

    // A prefix met before was checked then, ends outside of any string and is not looked at again.
    const RememberedPrefix *prefix =
        parser->skip_keys_count ? parser->prefixes.find(bytes, size) : nullptr;
    uint32_t start = prefix ? prefix->length : 0;
    if (uint32_t error = parser->prepare(size - start)) return fail(error, 0);
    if (uint32_t error = translate(parser->stage1->stage1(
            bytes + start, size - start, simdjson::stage1_mode::regular))) {
        if (error == CSIMDJSON_EMPTY && prefix) error = CSIMDJSON_TRUNCATED;
        return fail(error, error == CSIMDJSON_TRUNCATED ? size : start);
    }
    if (uint32_t error = parser->reserve_tokens(parser->stage1->n_structural_indexes + (prefix ? 4 : 0))) {
        return fail(error, 0);
    }

    Walk walk(*parser, bytes, size, start);
    if (uint32_t error = walk.run(prefix)) return fail(error, walk.error_offset);
    result->tokens = parser->tokens;
    result->count = walk.count;
    if (prefix) {
        result->skipped_id = prefix->id;
    } else if (walk.count > 1 && parser->tokens[1].kind == CSIMDJSON_SKIPPED) {
        result->skipped_id = parser->prefixes.remember(bytes, parser->tokens[0], parser->tokens[1]);
    }
    return CSIMDJSON_OK;
}
