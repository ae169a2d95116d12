# Build: docker build -t nilometer .
# Run:   docker run -p 9090:9090 -v nilometer-data:/data nilometer
FROM node:22-bookworm-slim AS web
WORKDIR /src/web/ui
COPY web/ui/package.json web/ui/package-lock.json web/ui/.npmrc ./
RUN npm ci
COPY web/ui/ ./
RUN npm run build

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
COPY --from=web /src/web/dist/ web/dist/
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -tags all_sd -trimpath \
    -ldflags "-s -w -X main.version=${VERSION}" -o /nilometer ./cmd/nilometer \
 && mkdir -p /empty/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /nilometer /nilometer
COPY --from=build --chown=65534:65534 /empty/data /data
USER 65534:65534
VOLUME /data
EXPOSE 9090
ENTRYPOINT ["/nilometer"]
CMD ["--data.dir=/data", "--web.listen-address=0.0.0.0:9090"]
