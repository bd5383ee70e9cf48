# Two stages: the Swift toolchain builds, Debian's runtime libraries run. scripts/image-steps plays the steps of this
# file without an engine, and runs what they make.
#   docker build -t millrace . && docker run -v "$PWD/state:/var/lib/millrace" millrace
FROM swift:6.3-bookworm AS build
# Versions of packages are the stable release's: a pinned one would be gone with its next security update.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends \
    libpq-dev librdkafka-dev libsimdjson-dev zlib1g-dev python3 python3-pip binutils gcc && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN scripts/fetch-duckdb && swift build -c release --product millrace --static-swift-stdlib
# Half of it is symbols.
RUN strip -o .build/millrace .build/release/millrace

FROM debian:bookworm-slim
# The user has a number, so that Kubernetes' runAsNonRoot can tell that it isn't root.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends \
    libpq5 librdkafka1 libsimdjson14 zlib1g ca-certificates && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 millrace \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/millrace --shell /usr/sbin/nologin millrace \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/millrace
# The engine lies beside the program, where it is looked for.
COPY --from=build /build/.build/millrace /build/third-party/duckdb/libduckdb.so \
    /build/third-party/duckdb/libduckdb-python-stub.so /usr/local/lib/millrace/
COPY deploy/image/healthcheck /usr/local/lib/millrace/
COPY LICENSE /usr/share/doc/millrace/
RUN ln -s /usr/local/lib/millrace/millrace /usr/local/bin/millrace
# A crash ends the process: writing a backtrace first can hang where threads can't be stopped for it.
ENV SWIFT_BACKTRACE=enable=no
USER 10001:10001
WORKDIR /var/lib/millrace
# Where the pipeline file says `agent: { listen: "0.0.0.0:8642" }`; loopback, the default, stays inside.
EXPOSE 8642
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/local/lib/millrace/healthcheck"]
ENTRYPOINT ["millrace"]
CMD ["run"]
