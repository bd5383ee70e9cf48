/* A librdkafka consumer that throws away what it reads: the limit of what comes out of a topic.
   Usage: consume BROKERS TOPIC PARTITIONS EVENTS. Prints the number of records and of their bytes. */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

enum { AT_ONCE = 1000 };

int main(int count, char **arguments) {
    if (count != 5) return 2;
    /* As millrace's own. */
    const char *settings[][2] = {
        {"bootstrap.servers", arguments[1]},
        {"group.id", "consume"},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"queued.max.messages.kbytes", "65536"},
        {"fetch.message.max.bytes", "8388608"},
    };
    char reason[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t one = 0; one < sizeof settings / sizeof *settings; one++) {
        if (rd_kafka_conf_set(conf, settings[one][0], settings[one][1], reason, sizeof reason)) return puts(reason), 1;
    }
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, reason, sizeof reason);
    if (!client) return puts(reason), 1;
    rd_kafka_poll_set_consumer(client);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    for (int one = 0; one < atoi(arguments[3]); one++) {
        rd_kafka_topic_partition_list_add(list, arguments[2], one)->offset = 0;
    }
    if (rd_kafka_assign(client, list)) return 1;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    int64_t records = 0, bytes = 0;
    for (int waits = 0; records < atoll(arguments[4]); waits++) {
        rd_kafka_message_t *messages[AT_ONCE];
        /* It waits that long for all of them. */
        ssize_t got = rd_kafka_consume_batch_queue(queue, 10, messages, AT_ONCE);
        if (got > 0) waits = 0;
        if (got < 0 || waits > 1000) return fprintf(stderr, "consume: nothing comes after %" PRId64 " records\n", records), 1;
        for (ssize_t one = 0; one < got; one++) {
            if (messages[one]->err) return fprintf(stderr, "consume: %s\n", rd_kafka_message_errstr(messages[one])), 1;
            bytes += messages[one]->len + messages[one]->key_len;
            rd_kafka_message_destroy(messages[one]);
        }
        records += got;
    }
    printf("%" PRId64 " %" PRId64 "\n", records, bytes);
    return 0;
}
