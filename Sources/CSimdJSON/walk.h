#ifndef CSIMDJSON_WALK_H
#define CSIMDJSON_WALK_H

#include <cstring>

#include "csimdjson.h"
#include "parser.h"
#include "scalars.h"

// The walk over the structural characters that stage 1 found from `start` on, or from the top. Stage 1
// has seen that strings are closed, hold no control characters and that all is UTF-8; the rest is
// checked here. All that changes is kept in local variables: as members, they would be stored and loaded
// again for every token, which could be one of them for all the compiler knows.
class Walk {
public:
    Walk(csimdjson_parser &parser, const uint8_t *document, uint32_t length, uint32_t start)
        : parser(parser), document(document), length(length), start(start) {}

    uint32_t count = 0;
    uint32_t error_offset = 0;

    // After a remembered prefix the walk begins behind the first member of the top-level object.
    uint32_t run(const RememberedPrefix *prefix) {
        const uint8_t *const text = document;
        const uint32_t base = start;
        csimdjson_token *const tokens = parser.tokens;
        uint32_t *next = parser.stage1->structural_indexes.get();
        uint32_t *const last = next + parser.stage1->n_structural_indexes;
        *last = length - start;
        csimdjson_token *token = tokens;             // the one being written
        uint32_t at = 0;                             // the structural character taken last
        uint32_t backslash = find_backslash(start);  // the first one not yet passed
        csimdjson_token *open[CSIMDJSON_DEPTH_MAX];  // the containers around
        uint32_t children[CSIMDJSON_DEPTH_MAX];
        uint32_t depth = 0;
        const bool checks_escapes = parser.checks_escapes;

        auto fail = [&](uint32_t what) {
            error_offset = what == CSIMDJSON_TRUNCATED ? length : at;
            return error = what;
        };
        // Between a scalar's first byte and the next structural character there is only white space
        // behind it: anything else would have begun a scalar of its own.
        auto scalar_end = [&]() __attribute__((always_inline)) {
            uint32_t end = base + *next;
            while (__builtin_expect(text[end - 1] <= ' ', false) && is_space(text[end - 1])) end--;
            return end;
        };
        // Takes the string that begins at `at`: its content, and whether that has escapes.
        auto take_string = [&](uint32_t &offset, uint32_t &size, bool &escaped) __attribute__((always_inline)) {
            uint32_t end = scalar_end() - 1;
            offset = at + 1;
            size = end - offset;
            escaped = false;
            if (end <= at || text[end] != '"') return false;
            if (backslash >= end) return true;
            if (backslash < at) backslash = find_backslash(offset);
            if (backslash >= end) return true;
            if (checks_escapes && !csimdjson_escapes_are_valid(text + backslash, end - backslash)) return false;
            escaped = true;
            backslash = find_backslash(end);
            return true;
        };
        // Takes the scalar that begins at `at` into the token, whose key stands there already. False
        // having set the error.
        auto take_scalar = [&]() __attribute__((always_inline)) {
            bool escaped = false;
            if (text[at] == '"') {
                if (!take_string(token->value_offset, token->value_length, escaped)) {
                    fail(CSIMDJSON_BAD_STRING);
                    return false;
                }
                token->kind = CSIMDJSON_STRING;
            } else {
                uint32_t size = scalar_end() - at;
                token->value_offset = at;
                token->value_length = size;
                if (uint32_t wrong = scan_scalar(text + at, size, token->kind)) {
                    // Half a number or literal at the end of an unfinished document.
                    bool cut_off = depth > 0 && next == last && wrong != CSIMDJSON_BAD_STRUCTURE;
                    fail(cut_off ? uint32_t(CSIMDJSON_TRUNCATED) : wrong);
                    return false;
                }
            }
            token->flags |= escaped ? CSIMDJSON_VALUE_ESCAPED : 0;
            token->count = 0;
            token->next = static_cast<uint32_t>(token - tokens) + 1;
            token++;
            return true;
        };
        auto no_key = [&] {
            token->key_offset = CSIMDJSON_NO_KEY;
            token->key_length = 0;
            token->flags = 0;
        };

        if (prefix) {
            tokens[0] = prefix->object;
            tokens[1] = prefix->skipped;
            token = tokens + 2;
            open[0] = tokens;
            children[0] = 0;
            depth = 1;
            goto after_member;
        }
        if (next == last) return fail(CSIMDJSON_TRUNCATED);
        at = base + *next++;
        no_key();
        if ((text[at] | 0x20) == '{') goto container;
        if (!take_scalar()) return error;
        goto end;

    container:
        if (depth == CSIMDJSON_DEPTH_MAX) return fail(CSIMDJSON_TOO_DEEP);
        token->value_offset = at;
        open[depth] = token;
        children[depth] = 0;
        depth++;
        if (text[at] == '{') {
            (token++)->kind = CSIMDJSON_OBJECT;
            if (next != last && text[base + *next] == '}') goto empty;
            goto member;
        }
        (token++)->kind = CSIMDJSON_ARRAY;
        if (next == last || text[base + *next] != ']') goto element;
    empty:
        at = base + *next++;

    close:
        depth--;
        open[depth]->value_length = at + 1 - open[depth]->value_offset;
        open[depth]->next = static_cast<uint32_t>(token - tokens);
        open[depth]->count = children[depth] > 0xFFFF ? 0xFFFF : static_cast<uint16_t>(children[depth]);
        if (depth == 0) goto end;
        if (open[depth - 1]->kind == CSIMDJSON_OBJECT) goto after_member;
        goto after_element;

    member:
        if (last - next < 3) return fail(cut_off_member(next, last));
        at = base + *next++;
        if (text[at] != '"') return fail(CSIMDJSON_BAD_STRUCTURE);
        {
            bool escaped;
            if (!take_string(token->key_offset, token->key_length, escaped)) return fail(CSIMDJSON_BAD_STRING);
            token->flags = escaped ? CSIMDJSON_KEY_ESCAPED : 0;
        }
        at = base + *next++;
        if (text[at] != ':') return fail(CSIMDJSON_BAD_STRUCTURE);
        at = base + *next++;
        if ((text[at] | 0x20) == '{') {
            if (depth > 1 || !skips(*token)) goto container;
            token->value_offset = at;
            if (!skip_container(*token, next, last)) return error;
            token->next = static_cast<uint32_t>(token - tokens) + 1;
            token++;
        } else if (!take_scalar()) {
            return error;
        }

    after_member:
        if (next == last) return fail(CSIMDJSON_TRUNCATED);
        at = base + *next++;
        children[depth - 1]++;
        if (text[at] == ',') goto member;
        if (text[at] == '}') goto close;
        return fail(CSIMDJSON_BAD_STRUCTURE);

    element:
        if (next == last) return fail(CSIMDJSON_TRUNCATED);
        at = base + *next++;
        no_key();
        if ((text[at] | 0x20) == '{') goto container;
        if (!take_scalar()) return error;

    after_element:
        if (next == last) return fail(CSIMDJSON_TRUNCATED);
        at = base + *next++;
        children[depth - 1]++;
        if (text[at] == ',') goto element;
        if (text[at] == ']') goto close;
        return fail(CSIMDJSON_BAD_STRUCTURE);

    end:
        if (next != last) {
            at = base + *next;
            return fail(CSIMDJSON_TRAILING_CONTENT);
        }
        count = static_cast<uint32_t>(token - tokens);
        return CSIMDJSON_OK;
    }

private:
    csimdjson_parser &parser;
    const uint8_t *const document;
    const uint32_t length;
    const uint32_t start;
    uint32_t error = CSIMDJSON_OK;

    // `length` when there is none.
    uint32_t find_backslash(uint32_t from) const {
        auto found = static_cast<const uint8_t *>(std::memchr(document + from, '\\', length - from));
        return found ? static_cast<uint32_t>(found - document) : length;
    }

    bool skips(const csimdjson_token &token) const {
        for (size_t i = 0; i < parser.skip_keys_count; i++) {
            const SkipKey &key = parser.skip_keys[i];
            if (csimdjson_key_is(&token, document, key.text, key.length)) return true;
        }
        return false;
    }

    // What is wrong with a member that the document has no room for.
    uint32_t cut_off_member(const uint32_t *next, const uint32_t *last) const {
        if (next != last && document[start + *next++] != '"') return CSIMDJSON_BAD_STRUCTURE;
        return next < last && document[start + *next] != ':' ? CSIMDJSON_BAD_STRUCTURE : CSIMDJSON_TRUNCATED;
    }

    // Passes the container at the token's offset; only its brackets are looked at. False having set the
    // error.
    bool skip_container(csimdjson_token &token, uint32_t *&next, uint32_t *last) {
        uint64_t objects = document[token.value_offset] == '{';  // a bit per open one, the innermost lowest
        uint32_t depth = 1;
        auto fail = [&](uint32_t what, uint32_t where) {
            error = what;
            error_offset = where;
            return false;
        };
        while (next != last) {
            uint32_t at = start + *next++;
            uint8_t c = document[at];
            if ((c | 0x20) == '{') {
                // The top-level object around it is one level too.
                if (depth + 1 == CSIMDJSON_DEPTH_MAX) return fail(CSIMDJSON_TOO_DEEP, at);
                objects = objects << 1 | (c == '{');
                depth++;
            } else if ((c | 0x20) == '}') {
                if ((c == '}') != (objects & 1)) return fail(CSIMDJSON_BAD_STRUCTURE, at);
                objects >>= 1;
                if (--depth == 0) {
                    token.value_length = at + 1 - token.value_offset;
                    token.kind = CSIMDJSON_SKIPPED;
                    token.count = 0;
                    return true;
                }
            }
        }
        return fail(CSIMDJSON_TRUNCATED, length);
    }
};

#endif
