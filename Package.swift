// swift-tools-version: 6.1
import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    // Dynamic exclusivity checks cost 2-4 times on the arena's hot paths; debug builds, which the tests run, keep them.
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release)),
]
/// What every byte goes through is optimised in debug builds too, checks and all: the tests replay large files.
let hot = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]

let package = Package(
    name: "millrace",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "millrace", targets: ["millrace"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.0.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.30.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.30.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.20.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
    ],
    targets: [
        // C libraries: each is imported by exactly one Swift target.
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CRDKafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"])]),
        .systemLibrary(name: "CMalloc"),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .target(
            name: "CSimdJSON",
            cxxSettings: [
                .define("NDEBUG", .when(configuration: .release)), .unsafeFlags(["-O2"], .when(configuration: .debug)),
            ],
            linkerSettings: [.linkedLibrary("simdjson")]
        ),
        .target(name: "CDuckDB", linkerSettings: [.linkedLibrary("dl")]),
        .target(name: "CBrokerPort", linkerSettings: [.linkedLibrary("dl")]),

        // Swift.
        .target(name: "SerialQueue", swiftSettings: strict),
        .target(name: "CrashPoint", swiftSettings: strict),
        .target(name: "JSON", dependencies: ["CSimdJSON"], swiftSettings: hot),
        .target(
            name: "Replication", dependencies: ["JSON", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: hot),
        .target(name: "EventSchemas", dependencies: ["Replication", "JSON"], swiftSettings: hot),
        .target(name: "Debezium", dependencies: ["EventSchemas", "Replication", "JSON"], swiftSettings: hot),
        .target(name: "EventFile", dependencies: ["Replication", "JSON", "CZlib"], swiftSettings: strict),
        .target(
            name: "Kafka",
            dependencies: [
                "Replication", "SerialQueue", "CRDKafka", "CBrokerPort",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "Postgres",
            dependencies: [
                "Replication", "SerialQueue", "CrashPoint", "CLibPQ", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: hot
        ),
        .target(
            name: "DuckDB",
            dependencies: [
                "Replication", "SerialQueue", "CrashPoint", "CDuckDB", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: hot
        ),
        .target(
            name: "Agent",
            dependencies: [
                "Replication", "EventSchemas", "Debezium", "EventFile", "Kafka", "Postgres", "DuckDB", "JSON",
                "PipelineFile", "SerialQueue", "CrashPoint", "ThrowawayPostgres", "CMalloc",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "Yams", package: "Yams"),
            ],
            swiftSettings: strict
        ),
        .target(
            name: "PipelineFile",
            dependencies: ["Replication", "JSON", .product(name: "Yams", package: "Yams")],
            resources: [.embedInCode("Schema/millrace.schema.json")],
            swiftSettings: strict
        ),
        .target(name: "ChildProcess", swiftSettings: strict),
        .target(name: "ThrowawayPostgres", dependencies: ["ChildProcess", "SerialQueue"], swiftSettings: strict),
        .executableTarget(name: "throwaway-postgres", dependencies: ["ThrowawayPostgres"], swiftSettings: strict),
        .target(name: "ReplicationTestKit", dependencies: ["Replication", "JSON"], swiftSettings: strict),
        .executableTarget(
            name: "millrace",
            dependencies: [
                "Agent", "Kafka", "Replication", "PipelineFile",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict
        ),

        // Tests, in the order in which they are worth reading.
        .testTarget(
            name: "ReplicationTests", dependencies: ["Replication", "ReplicationTestKit", "JSON"], swiftSettings: strict
        ),
        .testTarget(name: "ChildProcessTests", dependencies: ["ChildProcess"], swiftSettings: strict),
        .testTarget(name: "JSONTests", dependencies: ["JSON"], swiftSettings: strict),
        .testTarget(name: "EventFileTests", dependencies: ["EventFile", "Replication", "JSON"], swiftSettings: strict),
        .testTarget(
            name: "DebeziumTests",
            dependencies: [
                "Debezium", "EventSchemas", "Replication", "ReplicationTestKit", "JSON", "EventFile", "ChildProcess",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "EventSchemasTests", dependencies: ["EventSchemas", "Replication", "JSON"], swiftSettings: strict),
        .testTarget(
            name: "PipelineFileTests",
            dependencies: ["PipelineFile", "Replication", "JSON", .product(name: "Yams", package: "Yams")],
            swiftSettings: strict),
        .testTarget(
            name: "KafkaTests",
            dependencies: ["Kafka", "Replication", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict
        ),
        .testTarget(name: "PostgresTests", dependencies: ["Postgres", "ThrowawayPostgres"], swiftSettings: strict),
        .target(
            name: "Simulation",
            dependencies: [
                "Agent", "Debezium", "EventFile", "EventSchemas", "JSON", "PipelineFile", "Postgres", "Replication",
                "ReplicationTestKit",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .executableTarget(
            name: "fuzzer",
            dependencies: ["Simulation", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),
        .executableTarget(
            name: "benchmark",
            dependencies: [
                "DuckDB", "Postgres", "Replication", "ReplicationTestKit", "Simulation",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "simulator",
            dependencies: ["Simulation", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),
        .testTarget(
            name: "SimulationTests", dependencies: ["Simulation", "ReplicationTestKit"], swiftSettings: strict),
        .testTarget(name: "DuckDBTests", dependencies: ["DuckDB", "ChildProcess"], swiftSettings: strict),
        .testTarget(
            name: "DuckDBWarehouseTests", dependencies: ["DuckDB", "Replication", "ReplicationTestKit", "JSON"],
            swiftSettings: strict),
        .testTarget(
            name: "PostgresWarehouseTests",
            dependencies: ["Postgres", "Replication", "ReplicationTestKit", "ThrowawayPostgres", "JSON"],
            swiftSettings: strict),
        .testTarget(
            name: "ConformanceTests",
            dependencies: ["Replication", "ReplicationTestKit", "DuckDB", "Postgres", "ThrowawayPostgres"],
            swiftSettings: strict),
        .testTarget(
            name: "AgentTests",
            dependencies: [
                "Agent", "PipelineFile", "Replication", "ReplicationTestKit", "JSON", "EventSchemas", "Debezium",
                "EventFile", "Kafka", "Postgres", "DuckDB", "ChildProcess",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdTesting", package: "hummingbird"),
                .product(name: "HummingbirdTLS", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], swiftSettings: strict),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "Agent", "PipelineFile", "Debezium", "Kafka", "DuckDB", "Postgres", "Replication", "ReplicationTestKit",
                "ThrowawayPostgres", "JSON", "SerialQueue", "ChildProcess",
            ], swiftSettings: strict),
        .testTarget(
            name: "CommandLineTests",
            dependencies: [
                "millrace", "ChildProcess", "JSON",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "CrashTests",
            dependencies: [
                "millrace", "CrashPoint", "ReplicationTestKit", "ThrowawayPostgres", "JSON", "Kafka", "DuckDB",
                "ChildProcess", .product(name: "Logging", package: "swift-log"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdTesting", package: "hummingbird"),
            ],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
