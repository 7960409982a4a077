# Builds the one binary and puts it, alone, on a small Debian.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# aws-lc-sys and mimalloc compile C.
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libc6-dev make cmake \
    && rm -rf /var/lib/apt/lists/*
# The image's own toolchain is the one to use: rustup must not look for another.
ENV RUSTUP_TOOLCHAIN=1.95
COPY Cargo.toml Cargo.lock ./
# What the compiler is told of the gateway's use.
COPY .cargo ./.cargo
COPY profile ./profile
COPY src ./src
# Cargo wants the files that the manifest names, though nothing of them is built here.
COPY benches ./benches
COPY tests ./tests
RUN cargo build --release --locked --bin postern

FROM debian:bookworm-slim
# Upstreams with a public certificate are checked against the system's roots.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-create-home --shell /usr/sbin/nologin postern \
    && install -d -m 0700 -o postern -g postern /var/lib/postern /var/lib/postern/data /var/lib/postern/secrets
COPY --from=build /src/target/release/postern /usr/local/bin/postern
USER postern
VOLUME ["/var/lib/postern/data", "/var/lib/postern/secrets"]
EXPOSE 8080 8081
ENTRYPOINT ["postern"]
CMD ["serve", "--config", "/etc/postern/postern.yaml"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["postern", "health", "--url", "http://127.0.0.1:8081/healthz"]
