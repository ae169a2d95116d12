// Package httpapi is Prometheus' HTTP API over Nilometer's parts: queries,
// labels and series, targets, rules, alerts, metadata and status, with health
// checks, reload and the server's own metrics beside it.
//
// It owns the protocol: parameters, the JSON envelope, status codes, limits on
// requests and results. It holds no state of its own and asks only contracts
// (storage) and flows.
//
// Invariants:
//
//   - I1: an answer with status 200 is whole: values, warnings and infos; a
//     failure is an envelope with errorType and error. A client that sees a cut
//     connection has no answer.
//   - I2: while the store is replaying, what it cannot answer wholly is 503 with
//     errorType "unavailable" (N4), unless the request says partial=true.
//   - I3: nothing that came in from outside (label values, expressions) leaves
//     other than as JSON or plain text.
package httpapi
