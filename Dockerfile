# Two stages: the Swift toolchain builds, Debian's runtime libraries run. Not built by the tests here (no engine);
# its steps are those of scripts/setup and scripts/demo.
FROM swift:6.3-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
    libpq-dev librdkafka-dev libsimdjson-dev zlib1g-dev python3 python3-pip binutils gcc && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN scripts/fetch-duckdb && swift build -c release --product millrace --static-swift-stdlib

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
    libpq5 librdkafka1 libsimdjson14 zlib1g ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home /var/lib/millrace --create-home millrace
# The engine lies beside the program, where it is looked for.
COPY --from=build /build/.build/release/millrace /build/third-party/duckdb/libduckdb.so \
    /build/third-party/duckdb/libduckdb-python-stub.so /usr/local/lib/millrace/
RUN ln -s /usr/local/lib/millrace/millrace /usr/local/bin/millrace
USER millrace
WORKDIR /var/lib/millrace
ENTRYPOINT ["millrace"]
CMD ["run"]
