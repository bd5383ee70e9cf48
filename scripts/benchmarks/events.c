/* Writes the changes of the table `orders` behind a slot as the record batches that Debezium's connector would have sent
   to Kafka: each change once without schemas, once with them. The settings are those of connectors/debezium-postgres, but
   for tombstones and transaction metadata, which are off.
   Usage: events DSN SLOT PUBLICATION END_LSN FOLDER PARTITIONS. Prints the number of events. */
#include <stdbool.h>
#include "crc32c.h"
#include "slot.h"

enum { BATCH = 16384 /* a producer's batch.size */, HEADER = 61, COLUMNS = 7, PARTITIONS_MAX = 64, KEY = 280 };
#define TOPIC "bench.public.orders"
/* Positions of 16 digits, which the broker can raise in place. */
#define LSN_BASE 1000000000000000u

#define ROW(NAME)                                                                                                       \
    "{\"type\":\"struct\",\"fields\":["                                                                                 \
    "{\"type\":\"int64\",\"optional\":false,\"field\":\"id\"},"                                                         \
    "{\"type\":\"int64\",\"optional\":false,\"field\":\"customer_id\"},"                                                \
    "{\"type\":\"string\",\"optional\":false,\"field\":\"status\"},"                                                    \
    "{\"type\":\"bytes\",\"optional\":false,\"name\":\"org.apache.kafka.connect.data.Decimal\",\"version\":1,"          \
    "\"parameters\":{\"scale\":\"2\",\"connect.decimal.precision\":\"12\"},\"field\":\"total_amount\"},"                \
    "{\"type\":\"string\",\"optional\":true,\"field\":\"note\"},"                                                       \
    "{\"type\":\"string\",\"optional\":false,\"name\":\"io.debezium.time.ZonedTimestamp\",\"version\":1,"               \
    "\"field\":\"created_at\"},"                                                                                        \
    "{\"type\":\"string\",\"optional\":false,\"name\":\"io.debezium.time.ZonedTimestamp\",\"version\":1,"               \
    "\"field\":\"updated_at\"}],\"optional\":true,\"name\":\"" TOPIC ".Value\",\"field\":\"" NAME "\"}"
#define FIELD(TYPE, OPTIONAL, NAME) "{\"type\":\"" TYPE "\",\"optional\":" OPTIONAL ",\"field\":\"" NAME "\"}"

static const char key_schema[] =
    "{\"schema\":{\"type\":\"struct\",\"fields\":[" FIELD("int64", "false", "id") "],\"optional\":false,\"name\":\"" TOPIC
    ".Key\"},\"payload\":";
static const char value_schema[] =
    "{\"schema\":{\"type\":\"struct\",\"fields\":[" ROW("before") "," ROW("after") ",{\"type\":\"struct\",\"fields\":["
    FIELD("string", "false", "version") "," FIELD("string", "false", "connector") "," FIELD("string", "false", "name") ","
    FIELD("int64", "false", "ts_ms") ",{\"type\":\"string\",\"optional\":true,\"name\":\"io.debezium.data.Enum\","
    "\"version\":1,\"parameters\":{\"allowed\":\"true,first,first_in_data_collection,last_in_data_collection,last,false,"
    "incremental\"},\"default\":\"false\",\"field\":\"snapshot\"}," FIELD("string", "false", "db") ","
    FIELD("string", "true", "sequence") "," FIELD("int64", "true", "ts_us") "," FIELD("int64", "true", "ts_ns") ","
    FIELD("string", "false", "schema") "," FIELD("string", "false", "table") "," FIELD("int64", "true", "txId") ","
    FIELD("int64", "true", "lsn") "," FIELD("int64", "true", "xmin") "," FIELD("string", "true", "origin") ","
    FIELD("int64", "true", "origin_lsn") "],\"optional\":false,\"name\":\"io.debezium.connector.postgresql.Source\","
    "\"version\":1,\"field\":\"source\"},{\"type\":\"struct\",\"fields\":[" FIELD("string", "false", "id") ","
    FIELD("int64", "false", "total_order") "," FIELD("int64", "false", "data_collection_order") "],\"optional\":true,"
    "\"name\":\"event.block\",\"version\":1,\"field\":\"transaction\"}," FIELD("string", "false", "op") ","
    FIELD("int64", "true", "ts_ms") "," FIELD("int64", "true", "ts_us") "," FIELD("int64", "true", "ts_ns")
    "],\"optional\":false,\"name\":\"" TOPIC ".Envelope\",\"version\":2},\"payload\":";
static const char *const headers[][2] = {
    {"__debezium.context.connectorLogicalName", "bench"},
    {"__debezium.context.taskId", "0"},
    {"__debezium.context.connectorName", "postgresql"},
    {"__debezium.context.runId", "01a202a6-7471-7516-bb46-c361abfda080"},
};

/* One partition's file, and the batch that fills. */
typedef struct {
    FILE *file;
    uint8_t *batch;
    size_t length, room;
    int32_t count;
    int64_t base, first_ms, last_ms;
} log_t;

static void put(log_t *log, const void *bytes, size_t count) {
    if (log->length + count > log->room) log->batch = realloc(log->batch, log->room = 2 * (log->length + count));
    memcpy(log->batch + log->length, bytes, count);
    log->length += count;
}

static size_t varint(uint8_t *into, int64_t value) {
    uint64_t left = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    size_t count = 0;
    for (; left > 127; left >>= 7) into[count++] = left | 128;
    into[count++] = left;
    return count;
}

static void put_varint(log_t *log, int64_t value) {
    uint8_t bytes[10];
    put(log, bytes, varint(bytes, value));
}

static void put_counted(log_t *log, const char *prefix, const char *text, const char *suffix) {
    put_varint(log, strlen(prefix) + strlen(text) + strlen(suffix));
    put(log, prefix, strlen(prefix)), put(log, text, strlen(text)), put(log, suffix, strlen(suffix));
}

static void big(uint8_t *at, uint64_t value, int bytes) {
    for (int place = bytes - 1; place >= 0; place--, value >>= 8) at[place] = value;
}

static void flush(log_t *log) {
    if (!log->count) return;
    uint8_t *at = log->batch;
    memset(at, 0, HEADER);
    big(at, log->base, 8);
    big(at + 8, log->length - 12, 4);
    at[16] = 2; /* magic */
    big(at + 23, log->count - 1, 4);
    big(at + 27, log->first_ms, 8), big(at + 35, log->last_ms, 8);
    memset(at + 43, 0xff, 14); /* no producer id, epoch, sequence */
    big(at + 57, log->count, 4);
    big(at + 17, crc32c(at + 21, log->length - 21), 4);
    if (fwrite(at, 1, log->length, log->file) != log->length) perror("events"), exit(1);
    log->base += log->count;
    log->count = 0, log->length = HEADER;
}

static void append(log_t *log, int64_t time_ms, const char *key, const char *value, bool with_schema) {
    const char *prefixes[] = {with_schema ? key_schema : "", with_schema ? value_schema : ""};
    const char *suffix = with_schema ? "}" : "";
    static log_t record;
    uint8_t start[16] = {0};
    record.length = 0;
    put(&record, start, 1); /* attributes */
    put_varint(&record, log->count ? time_ms - log->first_ms : 0);
    put_varint(&record, log->count);
    put_counted(&record, prefixes[0], key, suffix);
    put_counted(&record, prefixes[1], value, suffix);
    put_varint(&record, sizeof headers / sizeof *headers);
    for (size_t one = 0; one < sizeof headers / sizeof *headers; one++) {
        put_counted(&record, "", headers[one][0], ""), put_counted(&record, "", headers[one][1], "");
    }
    if (log->count && log->length + record.length > BATCH) {
        flush(log);
        append(log, time_ms, key, value, with_schema);
        return;
    }
    if (!log->count) log->first_ms = time_ms;
    log->last_ms = time_ms;
    log->count++;
    put(log, start, varint(start, record.length));
    put(log, record.batch, record.length);
}

/* `precise`: the unscaled value's bytes, the fewest that hold it. */
static void decimal(char *into, const char *text) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    int64_t value = 0;
    for (const char *at = text; *at; at++) {
        if (*at >= '0' && *at <= '9') value = 10 * value + *at - '0';
    }
    if (*text == '-') value = -value;
    uint8_t bytes[9];
    int count = 1;
    while (count < 8 && (value >> (8 * count - 1)) != 0 && (value >> (8 * count - 1)) != -1) count++;
    big(bytes, value, count);
    for (int at = 0; at < count; at += 3) {
        uint32_t group = bytes[at] << 16 | (at + 1 < count ? bytes[at + 1] << 8 : 0) | (at + 2 < count ? bytes[at + 2] : 0);
        *into++ = digits[group >> 18], *into++ = digits[group >> 12 & 63];
        *into++ = at + 1 < count ? digits[group >> 6 & 63] : '=', *into++ = at + 2 < count ? digits[group & 63] : '=';
    }
    *into = 0;
}

/* "2026-01-01 00:00:00+00" as Debezium has it. */
static void moment(char *into, const char *text) {
    size_t length = strlen(text) - 3;
    memcpy(into, text, length);
    into[10] = 'T';
    strcpy(into + length, "Z");
}

/* A tuple's columns as text; NULL where a column is none. Where it ends. */
static const char *tuple(const char *at, char columns[COLUMNS][256], bool filled[COLUMNS]) {
    at += 2;
    for (int column = 0; column < COLUMNS; column++) {
        filled[column] = *at++ == 't';
        if (!filled[column]) continue;
        uint32_t length = u32(at);
        if (length > 255) fprintf(stderr, "events: a column is too long\n"), exit(1);
        memcpy(columns[column], at + 4, length);
        columns[column][length] = 0;
        at += 4 + length;
    }
    return at;
}

static void image(char *into, const char *tuple_at, bool is_key_alone, char *key) {
    char columns[COLUMNS][256], amount[24] = "AA==", created[40] = "1970-01-01T00:00:00Z", updated[40], note[264] = "null";
    bool filled[COLUMNS];
    tuple(tuple_at, columns, filled);
    strcpy(updated, created);
    snprintf(key, KEY, "{\"id\":%s}", columns[0]);
    if (is_key_alone) {
        /* The rest is each type's nothing. */
        strcpy(columns[1], "0"), strcpy(columns[2], "");
    } else {
        decimal(amount, columns[3]), moment(created, columns[5]), moment(updated, columns[6]);
        if (filled[4]) snprintf(note, sizeof note, "\"%s\"", columns[4]);
    }
    sprintf(into,
            "{\"id\":%s,\"customer_id\":%s,\"status\":\"%s\",\"total_amount\":\"%s\",\"note\":%s,\"created_at\":\"%s\","
            "\"updated_at\":\"%s\"}",
            columns[0], columns[1], columns[2], amount, note, created, updated);
}

int main(int count, char **arguments) {
    if (count != 7) return 2;
    int partitions = atoi(arguments[6]);
    if (partitions < 1 || partitions > PARTITIONS_MAX) return 2;
    static log_t logs[2][PARTITIONS_MAX];
    for (int form = 0; form < 2; form++) {
        for (int partition = 0; partition < partitions; partition++) {
            char path[1024];
            snprintf(path, sizeof path, "%s/%s/" TOPIC "-%d", arguments[5], form ? "schema" : "plain", partition);
            log_t *log = &logs[form][partition];
            log->file = fopen(path, "wb");
            if (!log->file) return perror(path), 1;
            log->batch = malloc(log->room = 2 * BATCH);
            log->length = HEADER;
        }
    }
    slot_t slot = slot_open(arguments[1], arguments[2], arguments[3], arguments[4]);
    uint64_t events = 0, lsn, commit = 0, transaction = 0;
    int64_t time_us = 0;
    const char *message;
    while ((message = slot_next(&slot, &lsn))) {
        char row[2048], value[5120], key[KEY], op = 0;
        switch (*message) {
        case 'B':
            time_us = (int64_t)u64(message + 9) + 946684800000000;
            transaction = u32(message + 17);
            break;
        case 'C': commit = u64(message + 10); break;
        case 'I': op = 'c', image(row, message + 6, false, key); break;
        case 'U':
            if (message[5] != 'N') return fprintf(stderr, "events: a key changed\n"), 1;
            op = 'u', image(row, message + 6, false, key);
            break;
        case 'D': op = 'd', image(row, message + 6, true, key); break;
        }
        if (!op) continue;
        /* Of the first transaction the connector doesn't know the commit before it: what comes before it is as good. */
        if (!commit) commit = lsn - 1;
        uint64_t place = LSN_BASE + lsn, before = LSN_BASE + commit;
        int64_t sent_us = time_us + 100000;
        snprintf(value, sizeof value,
                 "{\"before\":%s,\"after\":%s,\"source\":{\"version\":\"3.6.3.Final\",\"connector\":\"postgresql\","
                 "\"name\":\"bench\",\"ts_ms\":%" PRId64 ",\"snapshot\":\"false\",\"db\":\"bench\","
                 "\"sequence\":\"[\\\"%" PRIu64 "\\\",\\\"%" PRIu64 "\\\"]\",\"ts_us\":%" PRId64 ",\"ts_ns\":%" PRId64
                 "000,\"schema\":\"public\",\"table\":\"orders\",\"txId\":%" PRIu64 ",\"lsn\":%" PRIu64
                 ",\"xmin\":null,\"origin\":null,\"origin_lsn\":null},\"transaction\":null,\"op\":\"%c\",\"ts_ms\":%" PRId64
                 ",\"ts_us\":%" PRId64 ",\"ts_ns\":%" PRId64 "000}",
                 op == 'd' ? row : "null", op == 'd' ? "null" : row, time_us / 1000, before, place, time_us, time_us,
                 transaction, place, op, sent_us / 1000, sent_us, sent_us);
        int partition = strtoull(key + 6, NULL, 10) % partitions;
        for (int form = 0; form < 2; form++) append(&logs[form][partition], sent_us / 1000, key, value, form);
        events++;
    }
    for (int form = 0; form < 2; form++) {
        for (int partition = 0; partition < partitions; partition++) {
            flush(&logs[form][partition]);
            if (fclose(logs[form][partition].file)) return perror("events"), 1;
        }
    }
    printf("%" PRIu64 "\n", events);
    return 0;
}
