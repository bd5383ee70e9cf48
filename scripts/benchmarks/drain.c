/* A client that decodes a slot's changes and throws them away: the limit of what streams from one slot.
   Usage: drain DSN SLOT PUBLICATION END_LSN. Prints the number of row changes. */
#include "slot.h"

/* Walks a tuple's columns; where it ends. */
static const char *tuple(const char *at, uint64_t *bytes) {
    uint16_t columns;
    memcpy(&columns, at, 2);
    at += 2;
    for (int left = ntohs(columns); left > 0; left--) {
        char kind = *at++;
        if (kind == 't' || kind == 'b') {
            uint32_t length = u32(at);
            *bytes += length;
            at += 4 + length;
        }
    }
    return at;
}

int main(int count, char **arguments) {
    if (count != 5) return 2;
    slot_t slot = slot_open(arguments[1], arguments[2], arguments[3], arguments[4]);
    uint64_t changes = 0, bytes = 0, lsn;
    const char *message;
    while ((message = slot_next(&slot, &lsn))) {
        switch (*message) {
        case 'I': tuple(message + 6, &bytes), changes++; break;
        case 'D': tuple(message + 6, &bytes), changes++; break;
        case 'U':
            message += 5;
            if (*message != 'N') message = tuple(message + 1, &bytes);
            tuple(message + 1, &bytes), changes++;
            break;
        }
    }
    printf("%" PRIu64 "\n", changes);
    return 0;
}
