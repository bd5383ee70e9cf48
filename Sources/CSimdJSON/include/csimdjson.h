#ifndef CSIMDJSON_H
#define CSIMDJSON_H

// One JSON document, as a flat array of fixed-size tokens in document order. simdjson finds the
// structure and checks the UTF-8; the walk over it, here, checks the grammar and writes the tokens.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Readable bytes that must lie behind a document.
#define CSIMDJSON_PADDING 64
#define CSIMDJSON_NO_KEY 0xFFFFFFFFu
#define CSIMDJSON_DEPTH_MAX 64
#define CSIMDJSON_LENGTH_MAX (256u << 20)

enum csimdjson_kind {
    CSIMDJSON_NULL = 0,
    CSIMDJSON_FALSE = 1,
    CSIMDJSON_TRUE = 2,
    CSIMDJSON_INTEGER = 3,
    CSIMDJSON_FRACTION = 4, // a number with a fraction or an exponent
    CSIMDJSON_STRING = 5,
    CSIMDJSON_OBJECT = 6,
    CSIMDJSON_ARRAY = 7,
    CSIMDJSON_SKIPPED = 8, // a container that was not walked: balanced, its grammar unchecked
};

enum csimdjson_flag {
    CSIMDJSON_VALUE_ESCAPED = 1, // the string has a backslash
    CSIMDJSON_KEY_ESCAPED = 2,
};

enum csimdjson_error {
    CSIMDJSON_OK = 0,
    CSIMDJSON_EMPTY = 1,
    CSIMDJSON_TRUNCATED = 2,
    CSIMDJSON_BAD_UTF8 = 3,
    CSIMDJSON_TOO_DEEP = 4,
    CSIMDJSON_TRAILING_CONTENT = 5,
    CSIMDJSON_BAD_NUMBER = 6,
    CSIMDJSON_BAD_LITERAL = 7,
    CSIMDJSON_BAD_STRING = 8, // a control character or a wrong escape
    CSIMDJSON_BAD_STRUCTURE = 9,
    CSIMDJSON_TOO_LONG = 10,
    CSIMDJSON_NO_MEMORY = 11,
    CSIMDJSON_OTHER = 12,
};

/// Offsets are bytes from the start of the document. A string's extent is without its quotes and
/// still escaped; a container's is with its brackets. `next` is the index of the token behind this
/// value and all that is in it; `count` a container's members or elements, at most 65535.
typedef struct csimdjson_token {
    uint32_t key_offset;
    uint32_t key_length;
    uint32_t value_offset;
    uint32_t value_length;
    uint32_t next;
    uint8_t kind;
    uint8_t flags;
    uint16_t count;
} csimdjson_token;

typedef struct csimdjson_result {
    const csimdjson_token *tokens; // valid until the parser's next parse
    uint32_t count;
    uint32_t error;
    uint32_t error_offset;
    /// Names the bytes of the skipped member where that comes first in the document: the same number
    /// from the same parser means the same bytes. 0: there is none, or it isn't remembered.
    uint32_t skipped_id;
} csimdjson_result;

typedef struct csimdjson_parser csimdjson_parser;

/// NULL when there is no memory.
csimdjson_parser *csimdjson_parser_new(void);
void csimdjson_parser_free(csimdjson_parser *parser);
/// Members of the top-level object of this name aren't walked where they are containers.
/// False when there is no memory or there are too many (8) of them.
bool csimdjson_parser_skip(csimdjson_parser *parser, const void *key, size_t length);
/// Escapes aren't checked while parsing: the caller checks those of every string it doesn't unescape.
void csimdjson_parser_leave_escapes(csimdjson_parser *parser);
/// Returns result->error.
uint32_t csimdjson_parse(
    csimdjson_parser *parser, const void *document, size_t length, csimdjson_result *result);

/// Whether a string's content has only JSON's escapes. Half a surrogate pair is one.
bool csimdjson_escapes_are_valid(const void *content, size_t length);
/// Writes the UTF-8 of an escaped string's content to `destination`, which has room for `length`
/// bytes and doesn't overlap. Returns the bytes written; -1 for a wrong escape or a lone surrogate.
ptrdiff_t csimdjson_unescape(const void *source, size_t length, void *destination);
/// Writes a JSON string's content to `destination`, which has room for 6 * length bytes.
size_t csimdjson_escape(const void *source, size_t length, void *destination);
/// Reads an integer as written in JSON; false when it isn't one or doesn't fit.
bool csimdjson_int64(const void *text, size_t length, int64_t *value);

static inline bool csimdjson_key_is(
    const csimdjson_token *token, const void *document, const void *key, size_t length) {
    return token->key_length == length && token->key_offset != CSIMDJSON_NO_KEY
        && memcmp((const char *)document + token->key_offset, key, length) == 0;
}

#ifdef __cplusplus
}
#endif
#endif
