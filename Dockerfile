# tokman alone, in an image of one file and the trust roots:  docker build -t tokman .
# Static, so that it can also be copied into an image of your own.
FROM rust:1.95-alpine3.22 AS build
# hadolint ignore=DL3018
RUN apk add --no-cache ca-certificates musl-dev
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY src src
RUN cargo build --locked --release
# What cannot be made in an image without a shell.
RUN mkdir -p /image/tmp /image/data/config /image/data/state /image/etc/ssl/certs /image/usr/bin \
    && chmod 1777 /image/tmp \
    && chmod -R 0700 /image/data \
    && chown -R 65532:65532 /image/data \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && cp target/release/tokman /image/usr/bin/

FROM scratch
COPY --from=build /image /
USER 65532:65532
ENV HOME=/data XDG_CONFIG_HOME=/data/config XDG_STATE_HOME=/data/state PATH=/usr/bin
VOLUME ["/data"]
ENTRYPOINT ["/usr/bin/tokman"]
CMD ["--help"]
