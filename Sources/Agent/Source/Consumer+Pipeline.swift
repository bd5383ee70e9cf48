import Kafka
import Logging
import PipelineFile

extension Consumer {
    /// The one way from the pipeline file to a client of its brokers, so that none of them lacks what encrypts the
    /// connection or says who we are.
    init(_ settings: Pipeline.Kafka, ahead_bytes: Int = Consumer.ahead_bytes, logger: Logger) throws(KafkaError) {
        try self.init(
            brokers: settings.brokers, group: settings.group, ahead_bytes: ahead_bytes,
            properties: settings.properties.mapValues(\.value), logger: logger)
    }
}
