# Builds with a C compiler only; the result holds the binary, its configuration, CA certificates and nothing else of ours.
# tests/foreign/dockerfile_in_chroot.py runs the steps of both stages in chroots, as they stand here.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked && strip target/release/real-streaming

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --home-dir /var/lib/real-streaming real-streaming
COPY --from=build /src/target/release/real-streaming /usr/local/bin/
COPY conf/real-streaming.yaml /etc/real-streaming.yaml
# JSON lines on standard output; QA prints lines for people.
ENV APP_CONFIG__ENVIRONMENT=PROD
USER real-streaming
WORKDIR /var/lib/real-streaming
EXPOSE 8080
HEALTHCHECK CMD ["real-streaming", "health"]
ENTRYPOINT ["real-streaming"]
CMD ["serve", "--config", "/etc/real-streaming.yaml"]
