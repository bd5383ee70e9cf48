/* A consumer that reads topics to their ends and throws them away: the limit of what comes from a broker through
   librdkafka. Usage: discard BROKERS TOPIC PARTITIONS MESSAGES. Prints the number of messages and their bytes. */
#include <librdkafka/rdkafka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **arguments) {
    if (count != 5) return 2;
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char *settings[][2] = {{"bootstrap.servers", arguments[1]}, {"group.id", "discard"},
                                 {"enable.auto.commit", "false"},     {"fetch.wait.max.ms", "10"},
                                 {"queued.max.messages.kbytes", "65536"}};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], error, sizeof error)) return fprintf(stderr, "%s\n", error), 1;
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (!consumer) return fprintf(stderr, "%s\n", error), 1;
    rd_kafka_poll_set_consumer(consumer);
    rd_kafka_topic_partition_list_t *partitions = rd_kafka_topic_partition_list_new(8);
    for (int partition = 0; partition < atoi(arguments[3]); partition++)
        rd_kafka_topic_partition_list_add(partitions, arguments[2], partition)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_assign(consumer, partitions);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(consumer);
    static rd_kafka_message_t *messages[10000];
    int64_t wanted = atoll(arguments[4]), read = 0, bytes = 0;
    while (read < wanted) {
        ssize_t got = rd_kafka_consume_batch_queue(queue, 100, messages, 10000);
        if (got < 0) return 1;
        for (ssize_t i = 0; i < got; i++) {
            if (!messages[i]->err) read++, bytes += messages[i]->len;
            rd_kafka_message_destroy(messages[i]);
        }
    }
    printf("%" PRId64 " %" PRId64 "\n", read, bytes);
    return 0;
}
